"""The list of chats over a fake store."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from app.state import State
from app.state.library import title_of
from engine import Chat, DeleteChat, SaveChat
from fakes import FakeEngine


def titles(state: State) -> list[str]:
    return [chat.title for chat in state.library.chats]


def fill(fake: FakeEngine) -> None:
    for number, title in enumerate(("Rivers", "Lakes", "Seas and rivers")):
        fake.chats[f"c{number}"] = Chat(f"c{number}", title, updated=float(number))


def test_chats_come_newest_first_and_search_looks_into_titles(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    fill(fake)
    state.library.refresh()
    qtbot.waitUntil(lambda: titles(state) == ["Seas and rivers", "Lakes", "Rivers"])
    state.library.search("RIVER")
    qtbot.waitUntil(lambda: titles(state) == ["Seas and rivers", "Rivers"])


def test_rename_is_stored_and_an_empty_title_changes_nothing(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    fill(fake)
    state.library.refresh()
    qtbot.waitUntil(lambda: len(titles(state)) == 3)
    state.library.rename("c0", "  The   Rhine ")
    assert fake.last(SaveChat)[1].chat.title == "The Rhine"
    before = len(fake.given(SaveChat))
    state.library.rename("c0", "  ")
    assert len(fake.given(SaveChat)) == before


def test_a_deleted_chat_is_gone_at_once_and_undo_brings_it_back(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    fill(fake)
    state.library.refresh()
    qtbot.waitUntil(lambda: len(titles(state)) == 3)
    state.library.delete("c1")
    assert titles(state) == ["Seas and rivers", "Rivers"]
    assert fake.last(DeleteChat)[1] == DeleteChat("c1")
    state.library.undo_delete()
    qtbot.waitUntil(lambda: titles(state) == ["Seas and rivers", "Lakes", "Rivers"])


def test_a_rename_and_a_new_message_do_not_overwrite_each_other(state: State, fake: FakeEngine) -> None:
    chat = state.library.new()
    state.library.save(chat)
    state.library.rename(chat.id, "Named")
    changed = state.library.change(chat, draft="half")
    assert (changed.title, changed.draft) == ("Named", "half")


def test_a_title_is_the_first_line_that_says_something_cut_at_a_word() -> None:
    assert title_of("\n  \n  What is   this?\nmore") == "What is this?"
    long = "word " * 40
    assert len(title_of(long)) <= 61 and title_of(long).endswith("word…")
    assert title_of("") == ""
