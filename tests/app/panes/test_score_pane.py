"""The Text pane: a text scored by one model and by two, files, and the same text through several tokenizers."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.panes.score import LONG, UNALIKE, Pane
from app.state import State
from app.widgets.tokenizer_page import EXAMPLE
from engine import (
    Done,
    Event,
    Failed,
    Loaded,
    LoadSecond,
    ModelCard,
    Progress,
    Prompt,
    Score,
    Scored,
    SecondLoaded,
    Tokenized,
    TokenizeWith,
    TokenRecord,
)
from fakes import FakeEngine, a_model, a_record

CARDS = (
    ModelCard("models/companion", "Companion 7M", supported=True, tokenizer="bpe"),
    ModelCard("models/story", "Story", supported=True, tokenizer="bpe"),
    ModelCard("models/odd", "Odd", tokenizer="bpe"),
)


@pytest.fixture
def pane(state: State, fake: FakeEngine, qtbot: QtBot) -> Pane:
    fake.cards = CARDS
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(640, 900)
    pane.show()
    load(state, fake, qtbot)
    state.models.refresh()
    qtbot.waitUntil(lambda: bool(state.models.cards))
    return pane


def load(state: State, fake: FakeEngine, qtbot: QtBot, **changes: object) -> None:
    run, info = state.workspace.load("x"), a_model(**changes)
    fake.play(run.id, [Loaded(0, info), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info == info)


def scored(*tokens: tuple[str, float]) -> Scored:
    records = tuple(a_record(place + 1, text, probability) for place, (text, probability) in enumerate(tokens))
    nll = -sum(record.logprob for record in records)
    ids, logprobs = (5, *(r.id for r in records)), (None, *(r.logprob for r in records))
    return Scored(
        0, ids, ("x", *(r.text for r in records)), logprobs, logprobs, nll, math.exp(nll / len(records)), len(records),
        records,
    )  # fmt: skip


def score(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot, text: str, *events: Event) -> None:
    """Press Score and answer: the loaded model's events, then the second's."""
    pane.page.field.setPlainText(text)
    pane.page.button.click()
    runs = [run for run, command in fake.runs.values() if isinstance(command, Score)][-len(events) :]
    for run, event in zip(runs, events):
        fake.play(run.id, [event, Done(0)])
    qtbot.waitUntil(lambda: not state.scoring.running)


def test_a_text_is_coloured_and_summed_up(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    score(pane, state, fake, qtbot, "Once upon a", scored((" upon", 0.5), (" a", 0.125)))
    assert fake.last(Score)[1] == Score(Prompt(text="Once upon a"), 10)
    assert pane.page.summary.text().startswith("Companion 7M: Perplexity 4.00 · 2 tokens scored · 1.386 nats a token")
    assert pane.page.strip.count == 2 and pane.page.strip.text.toPlainText() == "Once upon a"
    assert "not scored" in pane.page.note.text() and not pane.page.difference.isVisible()
    pane.page.strip.focused.emit(1)
    record = state.captures.record
    assert isinstance(record, TokenRecord) and record.text == " a"


def test_progress_is_shown_and_stop_cancels(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    pane.page.field.setPlainText("Once upon")
    pane.page.button.click()
    run, _ = fake.last(Score)
    fake.play(run.id, [Progress(0, "Scoring", 3, 9)])
    qtbot.waitUntil(lambda: pane._bar.isVisible() and (pane._bar.value(), pane._bar.maximum()) == (3, 9))
    pane.page.button.click()
    assert run.cancelled
    fake.play(run.id, [Done(0, "cancelled")])
    qtbot.waitUntil(lambda: not state.scoring.running)
    assert not pane._bar.isVisible() and pane.page.button.text() == "Score"


def test_an_encoder_decoder_asks_for_a_source(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, kind="encoder-decoder")
    pane.page.field.setPlainText("Ein Haus")
    assert pane.page.source.isVisible() and not pane.page.button.isEnabled()
    pane.page.source.setPlainText("A house")
    pane.page.button.click()
    assert fake.last(Score)[1].prompt == Prompt(text="Ein Haus", source="A house")


def test_two_models_are_compared_with_colours_and_a_table(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    names = [pane.page.seconds.models.itemText(index) for index in range(pane.page.seconds.models.count())]
    assert names == ["No second model", "Companion 7M", "Story"]
    pane.page.seconds.models.setCurrentIndex(2)
    pane.page.seconds.models.activated.emit(2)
    run, command = fake.last(LoadSecond)
    assert command.path == "models/story"
    fake.play(run.id, [SecondLoaded(0, a_model(name="Story", path="models/story")), Done(0)])
    qtbot.waitUntil(lambda: state.second.info is not None)
    assert pane.page.seconds.models.currentText() == "Story"
    score(pane, state, fake, qtbot, "x up on", scored((" up", 0.5), (" on", 0.5)), scored((" up", 0.125), (" on", 0.5)))
    assert [command.second for command in fake.given(Score)] == [False, True]
    assert pane.page.difference.isVisible()
    assert pane.page.difference.table.as_text().splitlines() == [
        "text\tfirst, bits\tsecond, bits\tdifference", "␣up\t1.00\t3.00\t2.00", "␣on\t1.00\t1.00\t0.00",
    ]  # fmt: skip
    assert pane.page.summary.text().count("Perplexity") == 2
    score(pane, state, fake, qtbot, "x up on", scored((" up", 0.5), (" on", 0.5)), scored((" UP", 0.5)))
    assert pane.page.note.text() == UNALIKE and not pane.page.difference.isVisible()


def test_a_failure_is_said_where_it_happened(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    pane.page.field.setPlainText("a")
    pane.page.button.click()
    run, _ = fake.last(Score)
    fake.play(run.id, [Failed(0, "There is nothing to score.", "Give two tokens.")])
    qtbot.waitUntil(pane.notice.isVisible)
    assert pane.notice.text == "There is nothing to score. Give two tokens."


def test_a_file_is_read_and_one_that_is_no_text_is_refused(
    pane: Pane, state: State, qtbot: QtBot, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("Es war einmal: ä", "utf-8")
    bad.write_bytes(b"\xff\xfe\x00")
    with qtbot.waitSignal(state.scoring.opened):
        state.scoring.open(str(good))
    assert pane.page.field.toPlainText() == "Es war einmal: ä"
    for path, words in ((bad, "bad.txt is not a text in UTF-8."), (tmp_path / "none.txt", "none.txt cannot be read")):
        with qtbot.waitSignal(state.scoring.failed):
            state.scoring.open(str(path))
        assert pane.notice.text.startswith(words)


def test_another_model_forgets_what_this_one_found(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    score(pane, state, fake, qtbot, "Once upon", scored((" upon", 0.5)))
    load(state, fake, qtbot, name="Other")
    assert pane.page.strip.count == 0 and not pane.page.summary.isVisible()


def test_a_text_goes_through_several_tokenizers(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    pane.tabs.setCurrentWidget(pane.cutting)
    pane.cutting.add.click()
    pane.cutting.field.setPlainText("tacobell")
    qtbot.waitUntil(lambda: [each.text for each in fake.given(TokenizeWith)][-2:] == ["tacobell"] * 2)
    asked = [(run, command) for run, command in fake.runs.values() if isinstance(command, TokenizeWith)][-2:]
    assert [command.path for _, command in asked] == ["models/companion", "models/story"]
    cuts = (("taco", "bell"), ("ta", "co", "bell"))
    for (run, _), pieces in zip(asked, cuts):
        ids, raw = tuple(range(len(pieces))), tuple(piece.encode() for piece in pieces)
        fake.play(run.id, [Tokenized(0, ids, pieces, 300, raw), Done(0)])
    qtbot.waitUntil(lambda: [column.table.model().rowCount() for column in pane.cutting.columns] == [2, 3])
    assert pane.cutting.columns[0].count.text() == "2 tokens · 4.00 bytes a token · 300 in the vocabulary"
    assert pane.cutting.columns[0].table.as_text().splitlines()[1] == "0\ttaco\t74 61 63 6f"
    pane.cutting.removed.emit(0)
    assert [column.models.currentText() for column in pane.cutting.columns] == ["Story"]


def test_of_a_long_text_there_is_the_sum_alone(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    score(pane, state, fake, qtbot, "word " * 5000, dataclasses.replace(scored((" word", 0.5)), records=()))
    assert fake.last(Score)[1].candidates == 0
    assert pane.page.note.text() == LONG and "Perplexity 2.00" in pane.page.summary.text()
    assert not pane.page.strip.isVisible()


def test_many_tokens_come_in_parts_and_all_of_them(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    text = "x" + " on" * 700
    score(pane, state, fake, qtbot, text, scored(*[(" on", 0.5)] * 700))
    assert 0 < pane.page.strip.count < 700
    qtbot.waitUntil(lambda: pane.page.strip.count == 700)
    assert pane.page.strip.text.toPlainText() == text
    pane.page.show_difference([(" on", 1.0, 2.0)] * 700, "one against the other")
    qtbot.waitUntil(lambda: pane.page.difference.text.toPlainText() == text[1:])
    last = pane.page.difference.table.model().index(699, 3)
    qtbot.waitUntil(lambda: last.data() == "1.00")


def test_a_models_file_is_opened_for_its_tokenizer(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: state.tokenizers.text == EXAMPLE)  # else they are asked once more, a little later
    state.tokenizers.open("/models/other/tokenizer.json")
    state.tokenizers.open("/models/small.gguf")
    assert state.tokenizers.paths == ["models/companion", "/models/other", "/models/small.gguf"]
    assert [column.models.currentText() for column in pane.cutting.columns] == ["Companion 7M", "other", "small.gguf"]
    run, command = fake.last(TokenizeWith)
    assert command.path == "/models/small.gguf"
    fake.play(run.id, [Failed(0, "It holds no tokenizer.", "Choose another.")])
    qtbot.waitUntil(pane.notice.isVisible)
    assert state.tokenizers.paths == ["models/companion", "/models/other"]


def test_the_second_models_scores_leave_the_tokens_of_the_first_as_they_are(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    state.second.load("models/story")
    run, _ = fake.last(LoadSecond)
    fake.play(run.id, [SecondLoaded(0, a_model(name="Story")), Done(0)])
    qtbot.waitUntil(lambda: state.second.info is not None)
    pane.page.field.setPlainText("x" + " on" * 300)
    pane.page.button.click()
    first, second = (run for run, command in list(fake.runs.values())[-2:])
    starts: list[str] = []
    start = pane.page.strip.text.start
    pane.page.strip.text.start = lambda before: starts.append(before) or start(before)  # type: ignore[method-assign,func-returns-value]
    fake.play(first.id, [scored(*[(" on", 0.5)] * 300), Done(0)])
    fake.play(second.id, [scored(*[(" on", 0.25)] * 300), Done(0)])
    assert not pane.page.difference.isVisible(), "it comes behind the tokens"
    qtbot.waitUntil(lambda: pane.page.difference.text.toPlainText() == " on" * 300)
    assert starts == ["x"] and pane.page.strip.count == 300
    assert pane.page.difference.isVisible() and pane.page.difference.table.model().rowCount() == 300


def test_a_table_of_differences_is_made_as_far_as_it_is_seen(pane: Pane, qtbot: QtBot) -> None:
    table, made = pane.page.difference.table, []
    table.put(range(5000), lambda row: made.append(row) or ("word", "1.00", "2.00", f"{row}.00"))  # type: ignore[func-returns-value]
    pane.page.difference.show()
    qtbot.waitUntil(lambda: 0 in made)
    assert len(set(made)) < 100
    assert table.model().index(4999, 3).data() == "4999.00"
    assert len(table.as_text().splitlines()) == 5001
