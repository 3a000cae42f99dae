"""The window over a fake engine: its places, its keys, its list of chats."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QTabBar, QToolButton
from pytestqt.qtbot import QtBot

from app import actions, errors, theme
from app.bridge import Bridge
from app.panes.chats import day_of
from app.session import Session
from app.state import State
from app.window import CHAT_LEAST, DOCKS, Window
from engine import Chat, DeleteChat, Done, Generate, Load, Loaded, LoadParams, SaveChat
from fakes import FakeEngine, a_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def window(state: State, fake: FakeEngine, qtbot: QtBot) -> Window:
    window = Window(state)
    qtbot.addWidget(window)
    window.resize(1280, 800)
    with qtbot.waitSignal(window.painted):
        window.show()
    return window


def load(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    run = state.workspace.load("x")
    fake.play(run.id, [Loaded(0, a_model()), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None)


def test_docks_are_built_only_after_the_first_paint_and_only_when_seen(state: State, qtbot: QtBot) -> None:
    window = Window(state)
    qtbot.addWidget(window)
    assert all(dock.pane is None for dock in window.docks.values())
    with qtbot.waitSignal(window.painted):
        window.show()
    assert window.docks["sampling"].pane is not None
    assert window.docks["models"].pane is None  # behind Sampling's tab
    window._show_models()
    assert window.docks["models"].pane is not None


def test_a_narrow_window_has_one_tabbed_drawer_and_a_wide_one_its_old_layout(window: Window, qtbot: QtBot) -> None:
    def together(a: str, b: str) -> bool:
        return window.docks[a] in window.tabifiedDockWidgets(window.docks[b])

    assert not together("sampling", "probabilities")
    window.resize(960, 700)
    qtbot.waitUntil(lambda: together("sampling", "probabilities"))
    assert window.chats.isVisible()
    window.resize(700, 700)
    qtbot.waitUntil(lambda: not window.chats.isVisible())
    window.resize(1280, 800)
    qtbot.waitUntil(lambda: not together("sampling", "probabilities"))
    assert window.chats.isVisible()


@pytest.mark.parametrize(("width", "column"), [(1280, 380), (1920, 480)])
def test_the_right_column_grows_with_the_window_and_gives_what_came_of_it_more_room(
    state: State, qtbot: QtBot, width: int, column: int
) -> None:
    window = Window(state)
    qtbot.addWidget(window)
    window.resize(width, 900)
    window.show()
    above, below = window.docks["sampling"], window.docks["probabilities"]
    qtbot.waitUntil(lambda: above.width() == column)
    assert below.width() == column
    assert 50 < 100 * below.height() / (above.height() + below.height()) < 60
    window.resizeDocks([above], [300], Qt.Orientation.Horizontal)
    window.reset_layout()
    qtbot.waitUntil(lambda: above.width() == column)


def test_the_drawer_is_put_away_where_it_would_crowd_the_chat_and_comes_back(window: Window, qtbot: QtBot) -> None:
    window.docks["attention"].close()
    window.resize(700, 600)
    qtbot.waitUntil(lambda: window.chat.width() >= CHAT_LEAST)
    assert window.docks["sampling"].isVisible()
    window.resize(480, 400)
    qtbot.waitUntil(lambda: window.width() == 480 and window.chat.width() == 480)
    assert all(dock.isHidden() for dock in window.docks.values())
    window.resize(720, 600)
    qtbot.waitUntil(lambda: window.docks["sampling"].isVisible())
    assert window.docks["attention"].isHidden()


def test_a_dock_torn_off_leaves_its_place_and_comes_back(window: Window, qtbot: QtBot) -> None:
    dock = window.docks["sampling"]
    docked = dock.mapToGlobal(dock.rect().topLeft())
    tear = dock.findChild(QToolButton, "dock-panel-right")
    assert tear is not None
    tear.click()
    assert dock.isFloating() and dock.pos() != docked
    qtbot.waitUntil(lambda: dock.isAncestorOf(QApplication.focusWidget() or window))
    dock.close()
    dock.action.trigger()
    assert dock.isFloating() and dock.isVisible()
    window.reset_layout()
    qtbot.waitUntil(lambda: not dock.isFloating() and dock.width() == 380)


def test_a_small_window_that_is_opened_again_folds_the_sidebar_where_the_drawer_leaves_the_chat_no_room(
    window: Window, state: State, qtbot: QtBot
) -> None:
    for dock in window.docks.values():
        dock.show()
    window.resize(900, 600)
    qtbot.waitUntil(lambda: window.chats.isHidden())
    window.close()
    again = Window(state)
    qtbot.addWidget(again)
    again.show()
    assert again.width() < 1000 and again.chats.isHidden()
    qtbot.waitUntil(lambda: again.chat.width() >= 360)


def test_the_drawer_opens_on_the_dock_that_is_in_use(window: Window, qtbot: QtBot) -> None:
    score = window.docks["score"]
    score.action.trigger()
    qtbot.waitUntil(lambda: score.isAncestorOf(window.focusWidget()))
    window.resize(900, 600)
    qtbot.waitUntil(lambda: window.docks["sampling"].visibleRegion().isEmpty())
    qtbot.waitUntil(lambda: not score.visibleRegion().isEmpty())


def test_the_action_of_a_dock_brings_it_from_behind_another_and_closes_the_one_that_is_seen(
    window: Window, qtbot: QtBot
) -> None:
    models, sampling = window.docks["models"], window.docks["sampling"]
    qtbot.waitUntil(lambda: sampling.pane is not None)
    assert models.action.isChecked() and models.visibleRegion().isEmpty()
    models.action.trigger()
    qtbot.waitUntil(lambda: not models.visibleRegion().isEmpty())
    assert models.action.isChecked() and sampling.action.isChecked() and sampling.visibleRegion().isEmpty()
    assert models.isAncestorOf(window.focusWidget())
    models.action.trigger()
    assert models.isHidden() and not models.action.isChecked()
    models.action.trigger()
    qtbot.waitUntil(lambda: not models.visibleRegion().isEmpty())
    assert models.action.isChecked()


def test_a_new_chat_takes_the_keyboard_from_a_dock_that_was_torn_off(window: Window, qtbot: QtBot) -> None:
    dock = window.docks["sampling"]
    dock.setFloating(True)
    dock.bring()
    qtbot.waitUntil(dock.isActiveWindow)
    window.actions_by_name["new_chat"].trigger()
    qtbot.waitUntil(lambda: window.isActiveWindow() and window.chat.composer.editor.hasFocus())


def test_the_key_of_a_dock_moves_the_focus_there_and_closes_it_only_once_it_is_there(
    window: Window, qtbot: QtBot
) -> None:
    window.activateWindow()
    qtbot.waitActive(window)
    sampling = window.docks["sampling"]
    window.chat.focus_composer()
    for seen in (True, False, True):
        qtbot.keyClick(window, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
        assert sampling.isVisible() is seen and sampling.action.isChecked() is seen
        assert sampling.isAncestorOf(window.focusWidget()) is seen
        assert window.chat.composer.isAncestorOf(window.focusWidget()) is not seen


@pytest.mark.parametrize("name", [name for name, _, _ in DOCKS])
def test_a_dock_that_is_brought_has_the_focus_on_a_control_of_its_own(window: Window, qtbot: QtBot, name: str) -> None:
    dock = window.docks[name]
    dock.close()
    dock.action.trigger()
    taken = window.focusWidget()
    if name in ("probabilities", "attention", "playground", "inside"):  # empty as yet
        assert taken is dock.pane
    else:
        assert dock.pane is not None and dock.pane.isAncestorOf(taken)
        assert taken.focusPolicy() & Qt.FocusPolicy.TabFocus and not isinstance(taken, QTabBar)


def test_there_is_one_bar_of_tabs_for_each_group_of_docks(window: Window, qtbot: QtBot) -> None:
    def bars() -> list[int]:
        return sorted(bar.count() for bar in window.findChildren(QTabBar) if bar.isVisible() and bar.parent() is window)

    qtbot.waitUntil(lambda: bars() == [2, 2])
    window.resize(760, 500)
    qtbot.waitUntil(lambda: bars() == [4])
    window.resize(1280, 800)
    qtbot.waitUntil(lambda: bars() == [2, 2])


@pytest.mark.parametrize("width", [720, 800, 960])
def test_the_tabs_of_the_drawer_fit_without_arrows(window: Window, qtbot: QtBot, width: int) -> None:
    window.resize(width, 600)
    window.docks["playground"].show()

    def bars() -> list[QTabBar]:
        return [bar for bar in window.findChildren(QTabBar) if bar.isVisible() and bar.parent() is window]

    qtbot.waitUntil(lambda: [bar.count() for bar in bars()] == [5])
    (bar,) = bars()
    assert not any(button.isVisible() for button in bar.findChildren(QToolButton))
    assert bar.elideMode() == Qt.TextElideMode.ElideNone and bar.tabRect(4).right() < bar.width()
    assert bar.mapTo(window, bar.rect().bottomRight()).x() < window.width()


def test_a_narrow_chat_cuts_the_model_s_name_and_nothing_else(window: Window, state: State, qtbot: QtBot) -> None:
    state.workspace._show_model(a_model(name="a-model-with-a-very-long-name-indeed-7B"))
    button = window.chat.header.complete_button
    for width in (360, 480, 900):
        window.chat.header.setFixedWidth(width)
        qtbot.waitUntil(lambda: button.width() >= button.sizeHint().width())
        assert window.chat.header.layout().minimumSize().width() <= width


def test_a_dock_that_was_closed_stays_closed_until_the_layout_is_reset(
    window: Window, state: State, qtbot: QtBot
) -> None:
    window.docks["probabilities"].close()
    window.close()
    again = Window(state)
    qtbot.addWidget(again)
    again.resize(1280, 800)
    again.show()
    assert again.docks["probabilities"].isHidden()
    again.reset_layout()
    assert not any(again.docks[name].isHidden() for name, _, shown in DOCKS if shown)


def test_every_action_of_the_table_has_a_slot_and_no_key_is_given_twice(window: Window) -> None:
    assert set(window.actions_by_name) == {row.name for row in actions.TABLE}
    keys = [row.keys for row in actions.TABLE if row.keys]
    keys += [dock.action.shortcut().toString() for dock in window.docks.values()]
    assert len(keys) == len(set(keys))


def test_escape_stops_the_answer(window: Window, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot)
    state.conversation.send("Hi")
    window.actions_by_name["stop"].trigger()
    assert fake.last(Generate)[0].cancelled


def test_the_theme_is_chosen_kept_and_shown(window: Window, state: State) -> None:
    window.actions_by_name["theme_dark"].trigger()
    assert theme.current() is theme.DARK
    assert state.settings.value("theme") == "dark"
    assert window.actions_by_name["theme_dark"].isChecked()
    window.actions_by_name["theme_light"].trigger()
    assert theme.current() is theme.LIGHT


def test_text_grows_and_shrinks_within_its_bounds(window: Window, state: State) -> None:
    for _ in range(20):
        window.actions_by_name["larger"].trigger()
    assert state.settings.value("text_size") == 24
    window.actions_by_name["usual_size"].trigger()
    assert state.settings.value("text_size") == 15


def test_the_list_of_chats_follows_the_library_and_opens_what_is_chosen(
    window: Window, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    for number, title in enumerate(("Rivers", "Lakes")):
        fake.chats[f"c{number}"] = Chat(f"c{number}", title, updated=float(number + 1))
    state.library.refresh()
    rows = window.chats.list
    qtbot.waitUntil(lambda: rows.count() == 3)  # with the heading of their month
    assert [rows.item(1).text(), rows.item(2).text()] == ["Lakes", "Rivers"]
    rows.setCurrentRow(2)
    qtbot.waitUntil(lambda: state.conversation.chat.id == "c0")
    rows.item(2).setText("The Rhine")
    assert fake.last(SaveChat)[1].chat.title == "The Rhine"
    qtbot.waitUntil(lambda: rows.currentRow() >= 0)
    qtbot.keyClick(rows, Qt.Key.Key_Delete)
    assert fake.last(DeleteChat)[1].chat == "c0"
    assert window.chat.notice.isVisible()
    window.chat.notice._action.click()
    qtbot.waitUntil(lambda: rows.count() == 3)
    window.chats.search.setText("lake")
    qtbot.waitUntil(lambda: rows.count() == 2)


def test_the_first_start_loads_a_model_and_offers_a_prompt(
    window: Window, state: State, bridge: Bridge, fake: FakeEngine, qtbot: QtBot
) -> None:
    session = Session(bridge, state)
    session.start()
    assert fake.started
    assert Path(fake.last(Load)[1].path).name == "companion"
    assert fake.last(Load)[1].params == LoadParams(precision="fast")
    qtbot.waitUntil(lambda: window.chat.composer.text == "Hi, how are you?")
    session.end()
    assert fake.stopped


def test_on_a_base_model_the_first_prompt_is_the_beginning_of_a_text(
    window: Window, state: State, bridge: Bridge, fake: FakeEngine, qtbot: QtBot
) -> None:
    session = Session(bridge, state)
    session.start()
    qtbot.waitUntil(lambda: state.conversation.draft == "Hi, how are you?")
    fake.play(fake.last(Load)[0].id, [Loaded(0, a_model(chat_template=False)), Done(0)])
    qtbot.waitUntil(lambda: state.conversation.chat.mode == "complete")
    assert window.chat.text.text == "Once upon a time"
    session.end()


def test_both_transcripts_are_in_the_size_that_was_chosen(window: Window, state: State) -> None:
    for size in (15, 20):
        state.settings.set("text_size", size)
        assert window.chat.text.editor.font().pixelSize() == size
        assert window.chat.composer.editor.font().pixelSize() == size


@pytest.mark.parametrize("name", ["folder", "file.gguf"])
def test_the_next_start_opens_the_last_chat_with_the_model_used_last(
    state: State, bridge: Bridge, fake: FakeEngine, qtbot: QtBot, tmp_path: Path, name: str
) -> None:
    model = tmp_path / name
    model.touch() if model.suffix else model.mkdir()
    fake.chats["c"] = Chat("c", "Rivers", draft="half")
    state.settings.set("last_chat", "c")
    state.settings.set("last_model", str(model))
    session = Session(bridge, state)
    session.start()
    assert fake.last(Load)[1].path == str(model)
    qtbot.waitUntil(lambda: state.conversation.chat.id == "c")
    assert state.conversation.draft == "half"


def test_a_model_given_by_a_relative_path_is_known_by_its_whole_path(
    state: State, bridge: Bridge, fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Session(bridge, state, "some/model").start()
    assert fake.last(Load)[1].path == str(tmp_path / "some" / "model")


def test_an_unexpected_error_is_said_in_the_window_with_its_details(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[tuple[str, str, str]] = []
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    errors.install(lambda *words: said.append(words))
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert said[0][0] == "Vitrine ran into an unexpected ZeroDivisionError: by zero"
    assert "Traceback" in said[0][2]
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(("days", "heading"), [(0, "Today"), (1, "Yesterday"), (3, "This week"), (40, "November 2026")])
def test_chats_stand_under_the_heading_of_their_day(days: int, heading: str) -> None:
    import datetime as dt

    moment = dt.datetime(2026, 11, 10, 12)
    assert day_of(moment.timestamp(), moment.date() + dt.timedelta(days=days)) == heading


def test_a_subcommand_runs_without_qt_and_the_window_without_torch() -> None:
    script = (
        "import sys, app.__main__\n"
        "try: app.__main__.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not any(name.startswith('PySide6') for name in sys.modules)\n"
        "import app.window, app.session\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "generate" in done.stdout
