"""The Playground over the real engine: a real transliterator writes and searches, a tiny encoder fills and compares."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from encoders import write_bert
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.playground import Pane
from app.state import State
from engine import SamplingParams
from live import LONG, showing


def opened(home: Path, model: Path, qtbot: QtBot) -> AbstractContextManager[tuple[Pane, State]]:
    return showing(Pane, home, qtbot, model)


def settle(state: State, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: state.playground.running is None, timeout=LONG)


def test_a_transliterator_writes_token_by_token_and_searches_with_beams(
    home: Path, references: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, references / "models" / "aren-transliteration" / "hf", qtbot) as (pane, state):
        state.presets.set_sampling(SamplingParams.neutral(temperature=0.0, max_new_tokens=40))
        pane.writer.field.setPlainText("آتزمون")
        pane.writer.button.click()
        settle(state, qtbot)
        assert pane.writer.target.toPlainText() == "atzmon"
        records = state.captures.records(state.playground.target_key)
        assert "".join(record.text for record in records) == "atzmon"
        state.presets.set_sampling(SamplingParams.neutral(temperature=0.0, max_new_tokens=40, beams=3))
        pane.writer.button.click()
        settle(state, qtbot)
        lines = pane.writer.beams.as_text().splitlines()[1:]
        scores = [float(line.split("\t")[0]) for line in lines]
        assert len(lines) == 3 and scores == sorted(scores, reverse=True)
        assert lines[0].split("\t")[1] == pane.writer.target.toPlainText()
        assert (
            "".join(each.text for each in state.captures.records(state.playground.target_key))
            == lines[0].split("\t")[1]
        )
        assert state.captures.focused is not None and not pane.notice.isVisible()


def test_an_encoder_fills_masks_compares_sentences_and_finds_words(
    home: Path, tmp_path: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, write_bert(tmp_path / "bert", "BertForMaskedLM"), qtbot) as (pane, state):
        pane.fill.field.setPlainText("the [MASK] sat on a [MASK] .")
        pane.fill.button.click()
        settle(state, qtbot)
        assert [table.rowCount() for table in pane.fill.tables] == [10, 10]
        for field, text in zip(pane.similarity.fields, ("the cat sat .", "a dog sat .")):
            field.setText(text)
        pane.similarity.ask()
        settle(state, qtbot)
        assert pane.similarity.table.as_text().splitlines()[1].startswith("the cat sat .\t1.000000\t")
        pane.words.field.setText("cat - dog + mat")
        pane.words.ask()
        settle(state, qtbot)
        assert pane.words.table.rowCount() > 0 and not pane.notice.isVisible()
        assert not pane.tabs.isTabVisible(pane.tabs.indexOf(pane.labels))
        state.playground.classify("the cat")
        settle(state, qtbot)
        assert pane.notice.text.startswith("This model cannot name a text's class: it was made to fill masks.")


def test_a_classifier_shows_its_labels_with_bars_and_cannot_fill(
    home: Path, tmp_path: Path, themed: QApplication, qtbot: QtBot
) -> None:
    named = {"id2label": {"0": "bad", "1": "fair", "2": "good"}}
    with opened(home, write_bert(tmp_path / "bert", "BertForSequenceClassification", **named), qtbot) as (pane, state):
        titles = [pane.tabs.tabText(i) for i in range(pane.tabs.count()) if pane.tabs.isTabVisible(i)]
        assert titles == ["Labels", "Similarity", "Words"]
        pane.labels.field.setPlainText("the cat sat .")
        pane.labels.button.click()
        settle(state, qtbot)
        rows = [line.split("\t") for line in pane.labels.table.as_text().splitlines()[1:]]
        assert {name for name, _ in rows} == {"bad", "fair", "good"}
        shares = [float(share.removesuffix(" %")) for _, share in rows]
        assert shares == sorted(shares, reverse=True) and abs(sum(shares) - 100) < 0.1
