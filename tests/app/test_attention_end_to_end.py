"""The Attention pane over the real engine, for models that read a source: its weights are those of the model."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from encoders import write_bert
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.attention import Pane
from app.state import State
from app.state.attention import CROSS, DECODER, ENCODER
from engine import Prompt, SamplingParams
from live import LONG, showing


def opened(home: Path, model: Path, qtbot: QtBot) -> AbstractContextManager[tuple[Pane, State]]:
    return showing(Pane, home, qtbot, model)


def choose(pane: Pane, title: str) -> None:
    pane.parts.setCurrentIndex(pane.parts.findText(title))


def test_a_target_shows_its_own_the_sources_and_the_attention_across(
    home: Path, references: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, references / "models" / "aren-transliteration" / "hf", qtbot) as (pane, state):
        state.presets.set_sampling(SamplingParams.neutral(temperature=0.0, max_new_tokens=40))
        state.playground.write("آتزمون")
        qtbot.waitUntil(lambda: state.playground.running is None, timeout=LONG)
        captures = state.captures
        qtbot.waitUntil(lambda: all(captures.row(part, 0, 0, 0) is not None for part in (DECODER, CROSS, ENCODER)))
        source = captures.tokens("source")
        qtbot.waitUntil(lambda: not any(token.startswith("<id ") for token in captures.tokens("source")), timeout=LONG)
        source = captures.tokens("source")
        letters = set("".join(source))
        assert set("آتزمون") <= letters
        choose(pane, "Cross")
        assert pane.map._seen == source and pane.map._tokens == captures.tokens()[:-1]
        assert pane.grid._image is not None
        rows = np.array([[pane.map.weight(r, c) for c in range(len(source))] for r in range(len(pane.map._tokens))])
        np.testing.assert_allclose(rows.astype(float).sum(1), 1, atol=5e-3)
        assert "it looked in the source at" in pane.readout.text()
        choose(pane, "Source")
        assert pane.map._tokens == pane.map._seen == source
        pane.scrub.setValue(2)
        qtbot.waitUntil(lambda: pane.map._row == 2)
        assert "looks at" in pane.readout.text() and pane._place.text() == f"token 3 of {len(source)}"
        written = {part: captures.row(part, 0, 1, 1) for part in (DECODER, CROSS, ENCODER)}
        captures._store.clear()
        captures.reread()
        qtbot.waitUntil(lambda: not captures.rereading.running, timeout=LONG)
        assert captures.rereading.error == ""
        for part, row in written.items():
            again = captures.row(part, 0, 1, 1)
            assert row is not None and again is not None
            np.testing.assert_allclose(again, row, atol=2e-3)


def test_a_text_that_was_filled_is_looked_at_both_ways(
    home: Path, tmp_path: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, write_bert(tmp_path / "bert", "BertForMaskedLM"), qtbot) as (pane, state):
        state.playground.fill("the [MASK] sat")
        qtbot.waitUntil(lambda: state.playground.running is None, timeout=LONG)
        qtbot.waitUntil(lambda: pane.map.weight(0, 4) is not None, timeout=LONG)
        assert not pane.parts.isVisible() and pane.map._row == 2, "the row of the mask"
        assert len(pane.map._tokens) == 5 and pane.scrub.maximum() == 4
        assert sum(pane.map.weight(0, column) or 0 for column in range(5)) > 0.99
        pane.map.row_chosen.emit(4)
        qtbot.waitUntil(lambda: pane.map._row == 4)
        state.captures.watch("labelled", Prompt(text="a dog"))
        qtbot.waitUntil(lambda: len(pane.map._tokens) == 4 and pane.map.weight(3, 3) is not None, timeout=LONG)
