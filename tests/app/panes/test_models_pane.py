"""The Models pane over its state: cards, loading, folders, drops."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.models import HELP, Pane
from app.state import State
from app.widgets.model_card import amount, facts, size_words
from engine import Done, Failed, Load, Loaded, LoadParams, ModelCard, Progress, Scan
from fakes import FakeEngine, a_model

GOOD = ModelCard(
    "/m/companion", "companion", "llama", "decoder", True, parameters=7_300_000, bytes_on_disk=14_600_000,
    context=1024, precision="bf16", chat_template=True, bundled=True, note="Tiny.",
)  # fmt: skip
BASE = ModelCard("/m/base", "base", "llama", "decoder", True)
BAD = ModelCard("/x/gpt2", "gpt2", reason="The family gpt2 is not here yet.", hint="Choose a Llama model.")


@pytest.fixture
def pane(state: State, qtbot: QtBot, fake: FakeEngine, bridge: Bridge) -> Pane:
    fake.cards = (BAD, BASE, GOOD)
    state.settings.set("folders", ["/x"])
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(340, 600)
    pane.show()
    bridge.deliver()
    return pane


def words(widget: object) -> str:
    return " ".join(label.text() for label in widget.findChildren(QLabel))  # type: ignore[attr-defined]


def test_cards_say_what_each_is_and_why_one_cannot_be_run(pane: Pane) -> None:
    assert [card.card.name for card in pane.cards] == ["companion", "base", "gpt2"]
    assert facts(GOOD) == "llama · 7.3M parameters · 14.6 MB · bf16 · context 1,024 · talks"
    assert "Tiny." in words(pane.cards[0])
    assert f"{BAD.reason} {BAD.hint}" in words(pane.cards[2])
    assert [card.button.isEnabled() for card in pane.cards] == [True, True, False]
    assert HELP in words(pane)


@pytest.mark.parametrize(("number", "expected"), [(512, "512"), (969_000, "969K"), (1_100_000_000, "1.1B")])
def test_counts_are_short(number: int, expected: str) -> None:
    assert amount(number) == expected


def test_sizes_are_short() -> None:
    assert [size_words(n) for n in (12, 2_100, 3_880_000, 2_200_000_000)] == ["12 bytes", "2.1 kB", "3.9 MB", "2.2 GB"]


def test_loading_shows_the_phase_and_can_be_cancelled_and_the_loaded_one_is_marked(
    pane: Pane, fake: FakeEngine, bridge: Bridge
) -> None:
    pane.cards[0].button.click()
    run, command = fake.last(Load)
    assert command == Load("/m/companion", LoadParams())
    fake.play(run.id, [Progress(0, "Reading weights", 3, 12)])
    bridge.deliver()
    assert pane.loading.isVisible() and pane.phase.text() == "companion: reading weights 3 of 12"
    assert (pane.bar.value(), pane.bar.maximum()) == (3, 12)
    pane.cancel.click()
    assert run.cancelled
    fake.play(run.id, [Loaded(0, a_model(path="/m/companion")), Done(0)])
    bridge.deliver()
    assert not pane.loading.isVisible()
    assert [card.button.text() for card in pane.cards[:2]] == ["Loaded", "Load"]


def test_a_load_that_fails_is_said_here_in_words(pane: Pane, fake: FakeEngine, bridge: Bridge) -> None:
    pane.cards[1].button.click()
    run, _ = fake.last(Load)
    fake.play(run.id, [Failed(0, "The weights are cut short.", "Download them again.")])
    bridge.deliver()
    assert pane.notice.isVisible()
    assert "The weights are cut short. Download them again." in words(pane.notice)


def test_the_way_to_load_goes_with_the_next_load(pane: Pane, fake: FakeEngine, state: State) -> None:
    assert pane.form.isHidden()
    pane.how.click()
    assert pane.form.isVisible()
    pane.form.changed.emit(LoadParams(precision="fp32"))
    pane.cards[1].button.click()
    assert fake.last(Load)[1].params == LoadParams(precision="fp32")
    pane.form.reset.emit("precision")
    assert state.models.load_params == LoadParams()


def test_a_folder_is_added_by_dialog_and_forgotten_by_its_card(
    pane: Pane, fake: FakeEngine, bridge: Bridge, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "/y")
    pane.add.click()
    assert fake.last(Scan)[1].folders[1:] == ("/x", "/y")
    bridge.deliver()
    removable = [card.card.name for card in pane.cards if not card.remove.isHidden()]
    assert removable == ["gpt2"]
    pane.cards[2].remove.click()
    assert state.models.folders == ["/y"]


def test_a_folder_dropped_is_added_and_a_file_stands_for_its_folder(pane: Pane, state: State, tmp_path: Path) -> None:
    folder, file = tmp_path / "one", tmp_path / "two" / "config.json"
    folder.mkdir()
    file.parent.mkdir()
    file.write_text("{}")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(folder)), QUrl.fromLocalFile(str(file))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, data, buttons, keys)
    QApplication.sendEvent(pane, enter)
    assert enter.isAccepted() and pane.property("dropping") is True
    drop = QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys)
    QApplication.sendEvent(pane, drop)
    assert state.models.folders == ["/x", str(folder), str(file.parent)]
    assert pane.property("dropping") is False
