"""The Attention pane's text and files: the tint of a token, of a mean and of a rollout; pictures and tables."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.attention import Pane
from app.state import State
from app.state.attention import CROSS
from app.widgets.heatmap import Heatmap
from app.widgets.map_files import writer
from engine import AttentionRows, Done, NamePieces, Prompt, Started, Tokenized, Tokens
from fakes import FakeEngine, a_model, a_record

RUN = 900
LAYERS = ("layers.0.self", "layers.1.self")


def rows(start: int, count: int = 1) -> AttentionRows:
    """Head h of layer l looks at token 0 with weight (l * 4 + h + 1) / 16, at the rest evenly."""
    size = start + count
    weights = np.zeros((2, 4, count, size), np.float16)
    for layer in range(2):
        for head in range(4):
            first = (layer * 4 + head + 1) / 16
            for row in range(count):
                weights[layer, head, row, : start + row + 1] = (1 - first) / max(1, start + row)
                weights[layer, head, row, 0] = first if start + row else 1.0
    return AttentionRows(0, start, LAYERS, weights)


@pytest.fixture
def pane(state: State, qtbot: QtBot) -> Pane:
    state.workspace._show_model(a_model())
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(520, 480)
    pane.show()
    state.captures.show(["m"])
    state.captures.set_context("m", Prompt(ids=(1, 2, 3)))
    return pane


def write(state: State, fake: FakeEngine, bridge: Bridge, count: int) -> None:
    state.captures.begin("m", RUN)
    events = [Started(0, (1, 2, 3), "rendered", 1, 0), rows(0, 3)]
    for number in range(count):
        events += [Tokens(0, f" w{number}", (a_record(3 + number, f" w{number}"),)), rows(3 + number)]
    fake.play(RUN, events)
    bridge.deliver()


def test_the_text_is_tinted_by_the_head_the_mean_and_the_rollout(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 3)
    qtbot.waitUntil(lambda: pane.map._row == 4)
    pane.as_text.click()
    assert list(pane.flow._seen) == state.captures.tokens()[:-1] and pane.flow._marked == 4
    assert pane.flow.weight(0) == pytest.approx(1 / 16, abs=1e-3)
    pane.mean.click()
    assert pane.flow.weight(0) == pytest.approx(2.5 / 16, abs=1e-3)
    pane.rolled.click()
    qtbot.waitUntil(lambda: not state.captures.rolling and pane.flow.weight(4) is not None)
    pane.refresh()
    means = [rows(0, 5).weights[layer].astype(float).mean(0) for layer in range(2)]
    halves = [0.5 * mean + 0.5 * np.eye(5) for mean in means]
    np.testing.assert_allclose(pane.flow._weights, (halves[1] @ halves[0])[4], atol=2e-3)
    assert pane.title.text() == "All layers" and not pane.mean.isEnabled()
    pane.as_table.click()
    assert not pane.as_text.isChecked() and pane.views.currentIndex() == 1
    assert pane.title.text() == "Layer 0 · mean", "a rollout belongs to the text"
    pane.as_table.click()
    assert pane.views.currentIndex() == 0


def test_while_an_answer_is_written_the_text_and_its_newest_row_grow_with_every_token(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 1)
    pane.as_text.click()
    for number in range(1, 6):
        fake.play(RUN, [Tokens(0, f" w{number}", (a_record(3 + number, f" w{number}"),)), rows(3 + number)])
        bridge.deliver()
        qtbot.waitUntil(lambda n=number: pane.flow._marked == 2 + n and pane.map._row == 2 + n)
        assert pane.map.weight(2 + number, 0) == pytest.approx(1 / 16, abs=1e-3)
        assert len(pane.flow._seen) == 3 + number


def test_a_token_of_the_text_that_was_written_takes_the_focus(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 3)
    qtbot.waitUntil(lambda: pane.map._row == 4)
    pane.as_text.click()
    pane.flow.chosen.emit(3)
    assert state.captures.focused == ("m", 0)
    pane.flow.chosen.emit(1)
    assert state.captures.focused == ("m", 0), "the prompt was not written by the model"


def test_a_target_and_its_source_stand_in_two_texts(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    state.workspace._show_model(a_model(kind="encoder-decoder", encoder_layers=2, encoder_heads=4))
    state.captures.begin("m", RUN)
    cross = np.zeros((2, 4, 2, 3), np.float16)
    cross[:, :, 0, 0] = cross[:, :, 1, 2] = 1.0
    fake.play(
        RUN,
        [
            Started(0, (0,), "", 1, 0, (11, 12, 13)),
            Tokens(0, "ab", (a_record(1, "a"), a_record(2, "b"))),
            AttentionRows(0, 0, ("layers.0.cross", "layers.1.cross"), cross),
            Done(0, "eos"),
        ],
    )
    bridge.deliver()
    state.captures.tokens("source")
    run, asked = fake.last(NamePieces)
    assert asked.source
    fake.play(run.id, [Tokenized(0, asked.ids, ("x", "y", "z"))])
    bridge.deliver()
    qtbot.waitUntil(lambda: pane.parts.count() == 3)
    pane.parts.setCurrentIndex(pane.parts.findText(CROSS.title))
    pane.as_text.click()
    assert list(pane.flow._seen) == ["x", "y", "z"] and len(pane.flow._looking or ()) == 2
    assert pane.flow._marked == 1 and pane.flow.weight(2) == 1.0
    assert list(pane.flow._column(0)) == [1.0, 0.0]
    assert not pane.rolled.isVisible()
    pane.flow.chosen.emit(0)
    assert state.captures.focused == ("m", 0)


@pytest.mark.parametrize("name", ["map.csv", "map.png", "map"])
def test_the_map_is_written_to_the_file_that_was_chosen(
    pane: Pane,
    state: State,
    fake: FakeEngine,
    bridge: Bridge,
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    write(state, fake, bridge, 3)
    qtbot.waitUntil(lambda: pane.map._row == 4)
    folder = tmp_path / "maps"
    folder.mkdir()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(folder / name), "Picture (*.png)"))
    with qtbot.waitSignal(pane._saver.saved) as signal:
        pane.save.click()
    (path,) = (Path(argument) for argument in signal.args)
    assert [path] == list(folder.iterdir())
    if name == "map.csv":
        table = list(csv.reader(path.read_text("utf-8").splitlines()))
        assert len(table) == 6 and {len(line) for line in table} == {6}
        assert [float(cell) for cell in table[3][1:4]] == pytest.approx([1 / 16, 15 / 32, 15 / 32], abs=1e-3)
        assert table[3][4:] == ["", ""], "a token sees none that comes after it"
    else:
        assert path.suffix == ".png" and QImage(str(path)).width() > 5 * 14
    assert str(path) in pane.readout.text()


def test_a_folder_that_is_not_there_is_said(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot, tmp_path: Path
) -> None:
    write(state, fake, bridge, 1)
    for name in ("map.csv", "map.png"):
        path = str(tmp_path / "gone" / name)
        with qtbot.waitSignal(pane._saver.failed):
            pane._saver.save(path, writer(pane.map, path))
        assert "could not be written" in pane.readout.text()


@pytest.mark.parametrize("count", [3, 1000, 5000])
def test_a_picture_of_any_text_holds_the_whole_map_and_is_bounded(themed: object, qtbot: QtBot, count: int) -> None:
    heatmap = Heatmap()
    qtbot.addWidget(heatmap)
    heatmap.set_map(np.eye(8, count, dtype=np.float32) + 0.01, count - 8, [f"t{n}" for n in range(count)], count - 1)
    image = heatmap.picture()
    assert max(image.width(), image.height()) <= 5200
    assert image.width() >= count


@pytest.mark.parametrize("width", [280, 320, 900])
def test_all_buttons_stand_in_the_narrowest_pane(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot, width: int
) -> None:
    write(state, fake, bridge, 2)
    pane.as_text.click()
    pane.resize(width, 400)
    pane.refresh()
    qtbot.waitUntil(lambda: pane.minimumSizeHint().width() <= max(280, width))
    pane.resize(width, 400)
    assert pane.rolled.isVisible()
    for button in (pane.mean, pane.as_text, pane.as_table, pane.copy, pane.save):
        assert button.isVisible() and button.geometry().right() <= pane._buttons.width()
    assert not pane.grab().isNull()
