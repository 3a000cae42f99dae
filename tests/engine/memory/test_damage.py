"""Files broken on purpose: the store says so in a sentence, keeps the broken file, and comes back with what it can."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from datetime import date, timedelta
from pathlib import Path

import pytest
from bench.kill_store import record

from engine.errors import EngineError
from engine.memory import backup as backup_module
from engine.memory import database
from engine.memory.jobs import StoreJobs
from engine.memory.store import Store
from engine.messages import (
    Chat,
    Chats,
    Event,
    ListChats,
    OpenRecords,
    Progress,
    Records,
    Run,
    SaveMessage,
    StoredMessage,
)

TODAY = f"vitrine-{date.today().isoformat()}.db"


def filled(path: Path, messages: int = 200) -> None:
    with contextlib.closing(Store(path)) as store:
        store.save_chat(Chat("c", "Kept"))
        store._backups.close()
        for number in range(messages):
            store.save_message(StoredMessage(f"m{number}", "c", "", "user", f"{number} " + "x" * 500), (record(0),))


def run(jobs: StoreJobs, command: object) -> list[Event]:
    return list(jobs.start(command, Run()))  # type: ignore[arg-type]


def test_the_first_save_of_a_day_makes_a_backup_and_the_last_five_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for days in range(1, 8):
        (folder / f"vitrine-{date.today() - timedelta(days)}.db").write_bytes(b"")
    (folder / "mine.db").write_bytes(b"")
    (folder / "vitrine-2020-01-01.db.77.part").write_bytes(b"cut short")
    filled(tmp_path / "vitrine.db", 1)
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == sorted(["mine.db", TODAY, *(f"vitrine-{date.today() - timedelta(d)}.db" for d in range(1, 5))])
    with contextlib.closing(sqlite3.connect(folder / TODAY)) as copy:
        assert copy.execute("SELECT title FROM chats").fetchall() == [("Kept",)]


def test_saving_goes_on_while_a_backup_is_made_and_the_backup_is_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vitrine.db"
    filled(path)
    (tmp_path / "backups" / TODAY).unlink()
    whole = backup_module.copy_database
    with contextlib.closing(Store(path)) as store:

        def copy_while_saving(source: sqlite3.Connection, target: Path) -> None:
            source.execute("SELECT count(*) FROM messages").fetchone()  # the snapshot begins with the first read
            with contextlib.closing(Store(path)) as other:
                other._backups._day = date.today()  # one backup at a time is enough here
                other.save_message(StoredMessage("new", "c", "", "user", "saved meanwhile"))
            whole(source, target)

        monkeypatch.setattr(backup_module, "copy_database", copy_while_saving)
        store._backups._make(tmp_path / "backups" / TODAY)
        assert len(store.chat("c")[1]) == 201
    with contextlib.closing(sqlite3.connect(tmp_path / "backups" / TODAY)) as copy:
        assert copy.execute("SELECT count(*) FROM messages").fetchone() == (200,)


@pytest.mark.parametrize("damage", ["not a database", "truncated", "pages overwritten"])
def test_a_damaged_file_is_kept_and_the_backup_takes_its_place(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "vitrine.db"
    filled(path)
    broken = bytearray(path.read_bytes())
    if damage == "not a database":
        broken = bytearray(b"This is no database at all. " * 400)
    elif damage == "truncated":
        broken = broken[: len(broken) // 2]
    else:
        broken[len(broken) // 2 : len(broken) // 2 + 8192] = os.urandom(8192)
    path.write_bytes(broken)
    with contextlib.closing(Store(path)) as store:
        assert "was damaged; it is kept as vitrine-damaged-" in store.notice
        assert "latest backup took its place" in store.notice
        assert [c.title for c in store.chats()] == ["Kept"]
        saved = len(store.chat("c")[1])  # the backup held the chat alone: these were read from the damaged file
        store.save_message(StoredMessage("later", "c", "", "user", "works again"))
    assert saved > 50 if damage == "pages overwritten" else saved == 0
    (aside,) = tmp_path.glob("vitrine-damaged-*.db")
    assert aside.read_bytes() == broken
    with contextlib.closing(Store(path)) as store:
        assert store.notice == "" and len(store.chat("c")[1]) == saved + 1


def test_a_damaged_backup_is_passed_over_for_the_one_before_it(tmp_path: Path) -> None:
    path = tmp_path / "vitrine.db"
    filled(path, 1)
    folder = tmp_path / "backups"
    (folder / TODAY).rename(folder / f"vitrine-{date.today() - timedelta(1)}.db")
    (folder / TODAY).write_bytes(b"nonsense" * 1000)
    path.write_bytes(b"nonsense" * 1000)
    with contextlib.closing(Store(path)) as store:
        assert [c.title for c in store.chats()] == ["Kept"]


def test_without_a_backup_the_store_begins_anew_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "vitrine.db"
    path.write_bytes(b"nonsense" * 1000)
    with contextlib.closing(Store(path)) as store:
        assert "There was no backup." in store.notice
        store.save_chat(Chat("c", "New"))
        assert len(store.chats()) == 1


def test_damaged_records_cost_no_chat_and_are_set_aside(tmp_path: Path) -> None:
    filled(tmp_path / "vitrine.db", 3)
    (tmp_path / "vitrine-records.db").write_bytes(b"nonsense" * 1000)
    with contextlib.closing(StoreJobs(tmp_path / "vitrine.db")) as jobs:
        said, records = run(jobs, OpenRecords("m1"))
        assert isinstance(said, Progress) and "probabilities of earlier answers were damaged" in said.phase
        assert isinstance(records, Records) and records.records == ()
        run(jobs, SaveMessage(StoredMessage("m1", "c", "", "user", "x"), (record(0),)))
        (records,) = run(jobs, OpenRecords("m1"))
        assert isinstance(records, Records) and len(records.records) == 1


def test_damage_that_shows_in_use_is_mended_and_told_with_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "vitrine.db"
    filled(path)
    with contextlib.closing(StoreJobs(path)) as jobs:
        run(jobs, ListChats())
        path.write_bytes(b"nonsense" * 1000)
        assert jobs._store is not None
        jobs._store._chats.execute("PRAGMA shrink_memory")  # forget the pages that are still known
        events = run(jobs, ListChats())
        assert isinstance(events[-1], Chats) and [c.title for c in events[-1].chats] == ["Kept"]
        assert isinstance(events[0], Progress) and "was damaged" in events[0].phase


def test_a_file_held_by_another_program_is_said_and_works_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    path = tmp_path / "vitrine.db"
    filled(path, 1)
    message = SaveMessage(StoredMessage("n", "c", "", "user", "text"))
    with contextlib.closing(StoreJobs(path)) as jobs, contextlib.closing(sqlite3.connect(path)) as other:
        run(jobs, ListChats())
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineError, match="held by another program"):
            run(jobs, message)
        assert run(jobs, ListChats())  # reading goes on beside a writer
        other.rollback()
        assert run(jobs, message) == []


def test_a_folder_that_cannot_be_made_or_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    jobs = StoreJobs(tmp_path / "file" / "vitrine.db")
    with pytest.raises(EngineError) as caught:
        run(jobs, ListChats())
    assert str(tmp_path / "file" / "vitrine.db") in caught.value.message
    assert "VITRINE_HOME" in caught.value.hint
    (tmp_path / "file").unlink()
    with contextlib.closing(jobs):
        assert run(jobs, ListChats()) == [Chats(run_of(jobs), ())]


def run_of(jobs: StoreJobs) -> int:
    """The number of the run made last."""
    return Run().id - 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this person may write everywhere")
def test_a_read_only_folder_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(EngineError, match="cannot be saved"):
            Store(tmp_path / "vitrine.db")
    finally:
        tmp_path.chmod(0o700)


def test_a_read_only_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "vitrine.db"
    filled(path, 1)
    with contextlib.closing(StoreJobs(path)) as jobs:
        run(jobs, ListChats())
        assert jobs._store is not None
        jobs._store._chats.execute("PRAGMA query_only = ON")  # root may write to any file: SQLite refuses in its place
        with pytest.raises(EngineError, match="cannot be saved"):
            run(jobs, SaveMessage(StoredMessage("n", "c", "", "user", "text")))
