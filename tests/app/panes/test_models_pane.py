"""The Models pane: cards of what was found, folders that come and go, and a load that can be watched and given up."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.models import Pane
from app.state import State
from app.state.models import BUNDLED
from app.widgets.model_card import amount, size_words
from app.widgets.model_list import NOTHING
from engine import Done, Failed, Inspect, Load, Loaded, ModelCard, Progress, Scan, Unload, Unloaded
from fakes import FakeEngine, a_model

COMPANION = ModelCard(
    str(BUNDLED / "companion"), "companion", "llama", supported=True, parameters=7_340_000, bytes_on_disk=14_700_000,
    context=1024, precision="bf16", chat_template=True, bundled=True, note="A very small chat model.",
)  # fmt: skip
SMALL = ModelCard("/m/small", "small", "llama", supported=True, parameters=362_000_000)
BLOOM = ModelCard("/m/bloom", "bloom", "bloom", reason="bloom is not a Llama model.", hint="Choose another.")


@pytest.fixture
def pane(state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot) -> Pane:
    """A pane with a bundled model, a folder of two, and one of none."""
    fake.cards = (COMPANION, BLOOM, SMALL)
    state.settings.set("folders", ["/m", "/empty"])
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(320, 600)
    pane.show()
    bridge.deliver()
    return pane


def texts(widget: QWidget) -> list[str]:
    return [label.text() for label in widget.findChildren(QLabel) if label.isVisibleTo(widget)]


def test_showing_the_pane_looks_for_models_and_groups_them_by_folder(pane: Pane, fake: FakeEngine) -> None:
    assert fake.given(Scan)[-1].folders == (str(BUNDLED), "/m", "/empty")
    assert [card.card.name for card in pane.cards] == ["companion", "small", "bloom"]
    assert list(pane.removers) == ["/m", "/empty"]
    assert texts(pane).count(NOTHING) == 1


def test_a_card_says_what_the_model_is_and_why_it_cannot_be_run(pane: Pane) -> None:
    companion, _, bloom = pane.cards
    told = [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts(companion)]
    assert "llama · 7.34M parameters · 14.7 MB · bf16 · context 1,024 · chats" in told
    assert "A very small chat model." in texts(companion)
    assert companion.button.accessibleName() == "Load companion"
    assert "bloom is not a Llama model. Choose another." in texts(bloom)
    assert bloom.button.isHidden()
    assert bloom.accessibleName() == "bloom, bloom, cannot be run: bloom is not a Llama model."


def test_a_load_shows_how_far_it_is_and_can_be_cancelled(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    small = pane.cards[1]
    qtbot.mouseClick(small.button, Qt.MouseButton.LeftButton)
    run, command = fake.last(Load)
    assert command == Load("/m/small", state.models.load_params)
    fake.play(run.id, [Progress(0, "Loading weights", 312_000_000, 724_000_000)])
    bridge.deliver()
    assert pane.loading.isVisible() and small.loading and not small.button.isVisible()
    assert pane.loading.words == "Loading weights · 312.0 MB of 724.0 MB"
    qtbot.mouseClick(pane.loading.cancel, Qt.MouseButton.LeftButton)
    assert run.cancelled
    fake.play(run.id, [Done(0, "cancelled")])
    bridge.deliver()
    assert not pane.loading.isVisible() and small.button.isVisible() and not small.loading


def test_the_model_in_use_is_marked_and_can_be_unloaded(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    run = state.workspace.load("/m/small/")
    fake.play(run.id, [Loaded(0, a_model(path="/m/small")), Done(0)])
    bridge.deliver()
    assert [card.current for card in pane.cards] == [False, True, False]
    assert pane.cards[1].button.accessibleName() == "Unload small"
    qtbot.mouseClick(pane.cards[1].button, Qt.MouseButton.LeftButton)
    run, _ = fake.last(Unload)
    fake.play(run.id, [Unloaded(0), Done(0)])
    bridge.deliver()
    assert not any(card.current for card in pane.cards)


def test_a_model_from_elsewhere_has_a_card_while_it_is_in_use(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    run = state.workspace.load("/elsewhere/other")
    fake.play(run.id, [Loaded(0, a_model(path="/elsewhere/other", name="other")), Done(0)])
    bridge.deliver()
    assert [card.card.name for card in pane.cards] == ["other", "companion", "small", "bloom"]
    assert pane.cards[0].current


def test_a_failed_load_is_said_here_until_the_next_one_begins(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    run = state.workspace.load("/m/small")
    fake.play(run.id, [Failed(0, "model.safetensors is cut off.", "Download it again.")])
    bridge.deliver()
    assert pane.notice.isVisible()
    assert pane.notice.text == "model.safetensors is cut off. Download it again."
    state.workspace.load("/m/small")
    assert not pane.notice.isVisible()


def test_removing_a_folder_takes_its_models_away_and_keeps_the_rest(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    fake.cards = (COMPANION,)
    qtbot.mouseClick(pane.removers["/m"], Qt.MouseButton.LeftButton)
    bridge.deliver()
    assert state.models.folders == ["/empty"]
    assert [card.card.name for card in pane.cards] == ["companion"]
    assert list(pane.removers) == ["/empty"]


def test_a_folder_is_added_by_dialog_and_a_dialog_that_is_left_adds_nothing(
    pane: Pane, state: State, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in ("/y", ""):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, answer=answer: answer)
        pane.add.click()
    assert fake.last(Scan)[1].folders[1:] == ("/m", "/empty", "/y")
    assert state.models.folders == ["/m", "/empty", "/y"]


def drop(pane: Pane, *paths: str) -> None:
    """Drag these over the pane and let go, as a file manager does."""
    data = QMimeData()
    data.setUrls([*(QUrl.fromLocalFile(path) for path in paths), QUrl("http://somewhere/else")])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, data, buttons, keys)
    QApplication.sendEvent(pane, enter)
    assert enter.isAccepted() and pane.property("dropping") is True
    QApplication.sendEvent(pane, QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))
    assert pane.property("dropping") is False


def test_the_first_model_that_is_dropped_is_loaded_and_all_join_the_list(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    fake.cards = (BLOOM, SMALL, ModelCard("/many/a", "a", supported=True))
    drop(pane, "/m/bloom", "/m/small/config.json", "/many")
    assert fake.last(Scan)[1].folders == ("/m/bloom", "/m/small", "/many")
    bridge.deliver()
    assert fake.last(Load)[1].path == "/m/small"
    assert state.models.folders == ["/m", "/empty", "/m/bloom", "/m/small", "/many"]
    assert not fake.given(Inspect) and not pane.notice.isVisible()


def test_a_dropped_folder_of_models_is_only_looked_into(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    fake.cards = (ModelCard("/many/a", "a", supported=True),)
    drop(pane, "/many")
    bridge.deliver()
    assert state.models.folders[2:] == ["/many"] and not fake.given(Load)


def test_a_dropped_model_that_cannot_be_run_says_why(pane: Pane, fake: FakeEngine, bridge: Bridge) -> None:
    fake.cards = (BLOOM,)
    drop(pane, "/m/bloom")
    bridge.deliver()
    assert pane.notice.text == "bloom is not a Llama model. Choose another." and not fake.given(Load)


def test_of_wrong_files_the_first_is_asked_about(pane: Pane, state: State, fake: FakeEngine, bridge: Bridge) -> None:
    fake.cards = ()
    drop(pane, "/home/notes.txt", "/home/photo.jpg")
    bridge.deliver()  # they hold no model
    bridge.deliver()  # nor an adapter
    assert [command.path for command in fake.given(Inspect)] == ["/home/notes.txt"]
    assert state.models.folders == ["/m", "/empty"]


def test_loading_options_are_kept_marked_and_reset(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    usual = state.models.load_params
    pane.how.click()
    assert pane.form.isVisible()
    precision = pane.form.rows["precision"]
    assert precision.value == "fast" and not precision.dot.shown
    precision.changed.emit("fp32")
    assert state.models.load_params == usual.replace(precision="fp32")
    assert precision.dot.shown
    qtbot.mouseClick(pane.cards[1].button, Qt.MouseButton.LeftButton)
    assert fake.last(Load)[1].params == usual.replace(precision="fp32")
    qtbot.mouseDClick(precision.label, Qt.MouseButton.LeftButton)
    assert state.models.load_params == usual
    assert not precision.dot.shown


def test_a_second_look_that_finds_the_same_keeps_the_cards_and_the_focus(
    pane: Pane, state: State, bridge: Bridge
) -> None:
    cards = list(pane.cards)
    state.models.refresh()
    assert not pane.look.isEnabled()
    bridge.deliver()
    assert pane.look.isEnabled()
    assert pane.cards == cards


@pytest.mark.parametrize(("number", "expected"), [(512, "512"), (969_000, "969K"), (1_100_000_000, "1.1B")])
def test_counts_are_short(number: int, expected: str) -> None:
    assert amount(number) == expected


def test_sizes_are_short() -> None:
    assert [size_words(n) for n in (12, 2_100, 3_880_000, 2_200_000_000)] == ["12 bytes", "2.1 kB", "3.9 MB", "2.2 GB"]
