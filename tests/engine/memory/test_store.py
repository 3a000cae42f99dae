"""What the store keeps, forgets and says about chats, in files of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.kill_store import ROOT, record

from engine.errors import EngineError
from engine.memory import store as store_module
from engine.memory.store import Store
from engine.messages import Chat, StoredMessage

CHAT = Chat(
    "c", "A title", "complete", 1.5, 2.5, "model", "system", "draft", "leaf", {"temperature": 0.7, "stop": ["x"]}
)
MESSAGE = StoredMessage("m", "c", "", "user", "Hello\n日本 🙂", "done", 3.5, "model", {"seed": 1}, {"tokens": 2})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(tmp_path / "vitrine.db")) as opened:
        yield opened


def test_what_was_saved_comes_back_equal_after_the_store_opened_again(tmp_path: Path) -> None:
    child = dataclasses.replace(MESSAGE, id="n", parent="m", role="assistant", status="length")
    with contextlib.closing(Store(tmp_path / "vitrine.db")) as store:
        store.save_chat(CHAT)
        store.save_message(MESSAGE)
        store.save_message(child, (record(0),))
    with contextlib.closing(Store(tmp_path / "vitrine.db")) as store:
        assert store.chats() == (CHAT,)
        assert store.chat("c") == (CHAT, (MESSAGE, child))
        assert [r.position for r in store.records("n")] == [0]
        assert store.notice == ""


@pytest.mark.parametrize("text", ["", "\x00 inside", "a\r\nb", "x" * 1_000_000, "'; DROP TABLE chats; --"])
def test_any_text_comes_back_as_it_was(store: Store, text: str) -> None:
    store.save_chat(dataclasses.replace(CHAT, title=text[:100]))
    store.save_message(dataclasses.replace(MESSAGE, text=text))
    chat, (message,) = store.chat("c")
    assert (chat.title, message.text) == (text[:100], text)


def test_half_a_character_is_stored_as_the_usual_mark_and_a_pair_as_its_character(store: Store) -> None:
    store.save_chat(CHAT)
    store.save_message(dataclasses.replace(MESSAGE, text="a\ud83d b \ud83d\ude42"))
    assert store.chat("c")[1][0].text == "a� b 🙂"


def test_a_message_saved_again_keeps_its_place_and_takes_the_new_text(store: Store) -> None:
    store.save_chat(CHAT)
    store.save_message(MESSAGE)
    store.save_message(dataclasses.replace(MESSAGE, id="n"))
    store.save_message(dataclasses.replace(MESSAGE, text="changed"))
    assert [(m.id, m.text) for m in store.chat("c")[1]] == [("m", "changed"), ("n", MESSAGE.text)]


def test_chats_come_newest_first_and_are_found_by_any_part_of_the_title_in_any_case(store: Store) -> None:
    for key, title, updated in (("1", "Straße nach Ulm", 1), ("2", "100% _sure_", 3), ("3", "ÉCOLE", 2)):
        store.save_chat(Chat(key, title, updated=float(updated)))
    assert [c.id for c in store.chats()] == ["2", "3", "1"]
    assert [c.id for c in store.chats("STRASSE")] == ["1"]
    assert [c.id for c in store.chats("école")] == ["3"]
    assert [c.id for c in store.chats("% _")] == ["2"]
    assert store.chats("%a%") == ()


def test_a_deleted_chat_is_out_of_sight_and_undo_brings_it_back_whole(store: Store) -> None:
    store.save_chat(CHAT)
    store.save_message(MESSAGE)
    store.delete_chat("c")
    assert store.chats() == ()
    with pytest.raises(EngineError, match="no longer there"):
        store.chat("c")
    store.save_chat(CHAT)  # a draft saved late does not bring it back
    assert store.chats() == ()
    store.delete_chat("c", undo=True)
    assert store.chat("c") == (CHAT, (MESSAGE,))


def test_a_message_deleted_while_it_is_written_stays_deleted(store: Store) -> None:
    store.save_chat(CHAT)
    store.save_message(MESSAGE)
    store.save_message(dataclasses.replace(MESSAGE, id="n"))
    store.delete_messages(("m", "n", "unknown"))
    store.save_message(dataclasses.replace(MESSAGE, text="more"))
    assert store.chat("c")[1] == ()
    store.delete_messages(("m",), undo=True)
    assert [m.text for m in store.chat("c")[1]] == ["more"]


def test_what_was_deleted_is_purged_with_its_records_after_thirty_days_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vitrine.db"
    with contextlib.closing(Store(path)) as store:
        for key in ("gone", "kept"):
            store.save_chat(Chat(key, key))
            for name in (f"{key}-1", f"{key}-2"):
                store.save_message(StoredMessage(name, key, "", "user", "text"), (record(0),))
        store.delete_chat("gone")
        store.delete_messages(("kept-1",))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 29 * 86400)
    Store(path).close()
    assert _ids(path) == ["gone-1", "gone-2", "kept-1", "kept-2"]
    monkeypatch.setattr(time, "time", lambda: now + 31 * 86400)
    with contextlib.closing(Store(path)) as store:
        assert [c.id for c in store.chats()] == ["kept"]
        assert [len(store.records(key)) for key in ("gone-1", "kept-1", "kept-2")] == [0, 0, 1]
    assert _ids(path) == ["kept-2"]


def test_records_are_added_in_order_of_position_and_the_later_save_of_a_position_wins(store: Store) -> None:
    store.save_chat(CHAT)
    store.save_message(MESSAGE, (record(4), record(5)))
    store.save_message(MESSAGE, (record(2), record(3)))
    store.save_message(MESSAGE, (dataclasses.replace(record(5), text="later"),))
    assert [r.position for r in store.records("m")] == [2, 3, 4, 5]
    assert store.records("m")[-1].text == "later"
    assert store.records("unknown") == ()


def test_what_was_being_written_is_interrupted_for_all_but_the_store_that_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "vitrine.db"
    with contextlib.closing(Store(path)) as first, contextlib.closing(Store(path)) as second:
        first.save_chat(CHAT)
        first.save_message(dataclasses.replace(MESSAGE, text="half", status="writing"))
        assert first.chat("c")[1][0].status == "writing"
        assert second.chat("c")[1][0] == dataclasses.replace(MESSAGE, text="half", status="interrupted")
        first.save_message(dataclasses.replace(MESSAGE, text="half and whole"))
        assert second.chat("c")[1][0].text == "half and whole"
        assert second.chat("c")[1][0].status == "done"


def test_a_message_of_an_unknown_chat_is_refused_and_nothing_of_it_stays(store: Store, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not in the store"):
        store.save_message(MESSAGE, (record(0),))
    assert _ids(tmp_path / "vitrine.db") == []
    assert store.records("m") == ()


def test_two_processes_write_the_same_new_store_at_once_and_both_keep_all(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from engine.memory.store import Store; from engine.messages import *\n"
        "name = sys.argv[2]; sys.stdin.read(); store = Store(Path(sys.argv[1])); store.save_chat(Chat(name, name))\n"
        "for n in range(50): store.save_message(StoredMessage(f'{name}{n}', name, '', 'user', 'text'))\n"
        "store.close()"
    )
    path = tmp_path / "made" / "here" / "vitrine.db"
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name], cwd=ROOT, stdin=subprocess.PIPE)
        for name in "ab"
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()  # both begin
    assert [child.wait(60) for child in children] == [0, 0]
    with contextlib.closing(Store(path)) as store:
        assert [len(store.chat(name)[1]) for name in "ab"] == [50, 50]


def test_a_full_disk_is_said_and_loses_nothing_that_was_saved(store: Store) -> None:
    from engine.memory.database import spoken

    store.save_chat(CHAT)
    store.save_message(MESSAGE)
    (pages,) = store._chats.execute("PRAGMA page_count").fetchone()
    store._chats.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(EngineError, match="disk is full"), spoken(store._path):
        store.save_message(dataclasses.replace(MESSAGE, id="n", text="x" * 100_000))
    assert store.chat("c")[1] == (MESSAGE,)
    store._chats.execute(f"PRAGMA max_page_count = {pages + 1000}")
    store.save_message(dataclasses.replace(MESSAGE, id="n", text="x" * 100_000))
    assert len(store.chat("c")[1]) == 2


def test_an_older_schema_is_brought_up_and_its_file_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vitrine.db"
    with contextlib.closing(Store(path)) as store:
        store.save_chat(CHAT)
    newer = (*store_module.CHATS, "ALTER TABLE chats ADD COLUMN colour TEXT;\nCREATE TABLE extra (id TEXT)")
    monkeypatch.setattr(store_module, "CHATS", newer)
    with contextlib.closing(Store(path)) as store:
        assert store.chats() == (CHAT,)
    monkeypatch.undo()
    with contextlib.closing(Store(tmp_path / "vitrine-schema-1.db")) as old:
        assert old.chats() == (CHAT,)
    with pytest.raises(EngineError, match=r"newer Vitrine \(schema 2; this one knows 1\)"):
        Store(path)


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vitrine.db"
    with contextlib.closing(Store(path)) as store:
        store.save_chat(CHAT)
    monkeypatch.setattr(store_module, "CHATS", (*store_module.CHATS, "CREATE TABLE extra (id TEXT);\nNONSENSE"))
    with pytest.raises(sqlite3.OperationalError):
        Store(path)
    monkeypatch.undo()
    with contextlib.closing(Store(path)) as store:
        assert store.chats() == (CHAT,)


def _ids(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return sorted(key for (key,) in connection.execute("SELECT id FROM messages"))
