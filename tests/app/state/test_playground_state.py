"""What the playground asks of the engine, and what it makes of the answers."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.state import State
from app.state.playground import TASKS, arithmetic
from engine import (
    Beam,
    Beams,
    Classify,
    Done,
    Embed,
    Embedded,
    Failed,
    Fill,
    Generate,
    Generated,
    Loaded,
    NearestWords,
    Prompt,
    Retune,
    SamplingParams,
    Started,
    Tokens,
)
from fakes import FakeEngine, a_model, a_record


def load(state: State, fake: FakeEngine, qtbot: QtBot, family: str, kind: str) -> None:
    run = state.workspace.load("x")
    fake.play(run.id, [Loaded(0, a_model(family=family, kind=kind, chat_template=False)), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None and state.workspace.info.family == family)


@pytest.mark.parametrize(
    ("text", "plus", "minus"),
    [
        ("king - man + woman", ("king", "woman"), ("man",)),
        ("king -man +woman", ("king", "woman"), ("man",)),
        ("- man", (), ("man",)),
        ("well-known words", ("well-known", "words"), ()),
        ("king \N{MINUS SIGN} man", ("king",), ("man",)),
        ("  ", (), ()),
    ],
)
def test_a_sum_of_words_is_read_as_it_is_written(text: str, plus: tuple[str, ...], minus: tuple[str, ...]) -> None:
    assert arithmetic(text) == (plus, minus)


def test_a_task_puts_its_prefix_before_the_source_for_t5_only(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "t5", "encoder-decoder")
    assert state.playground.tasks == TASKS
    state.playground.write("A house.", "English to German")
    assert fake.last(Generate)[1].prompt == Prompt(source="translate English to German: A house.")
    load(state, fake, qtbot, "bart", "encoder-decoder")
    assert state.playground.tasks == {}
    state.playground.write("A house.", "English to German")
    assert fake.last(Generate)[1].prompt == Prompt(source="A house.")


def test_a_target_grows_and_its_records_are_in_focus(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "bart", "encoder-decoder")
    state.playground.write("A house.")
    run, _ = fake.last(Generate)
    fake.play(run.id, [Started(0, (2,), "", 1, 0), Tokens(0, "Ein", (a_record(1, "Ein"),))])
    qtbot.waitUntil(lambda: state.playground.target == "Ein")
    fake.play(run.id, [Tokens(0, " Haus", (a_record(2, " Haus"),)), Done(0, "eos")])
    qtbot.waitUntil(lambda: state.playground.running is None)
    assert state.playground.target == "Ein Haus"
    assert [record.text for record in state.captures.records(state.playground.target_key)] == ["Ein", " Haus"]
    assert state.captures.focused == (state.playground.target_key, 1)


def test_a_search_shows_its_best_beam_as_the_target(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "bart", "encoder-decoder")
    state.presets.set_sampling(SamplingParams(beams=2))
    seen: list[tuple[Beam, ...]] = []
    state.playground.beams_changed.connect(seen.append)
    state.playground.write("A house.")
    run, command = fake.last(Generate)
    assert command.sampling.beams == 2
    held = (Beam((4,), "Ein", -0.5), Beam((5,), "Das", -0.9))
    fake.play(run.id, [Beams(0, held)])
    qtbot.waitUntil(lambda: state.playground.target == "Ein")
    fake.play(run.id, [Generated(0, (2,), (4, 6), "Ein Haus", "eos", 0.0, 0.1, 20.0), Done(0, "eos")])
    qtbot.waitUntil(lambda: state.playground.running is None)
    assert state.playground.target == "Ein Haus" and held in seen
    state.presets.set_sampling(SamplingParams(beams=3))
    assert fake.given(Retune) == []


def test_new_sampling_counts_from_the_next_token_on(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "bart", "encoder-decoder")
    state.playground.write("A house.")
    run, _ = fake.last(Generate)
    changed = SamplingParams(temperature=0.1)
    state.presets.set_sampling(changed)
    assert [(each.target, each.sampling) for each in fake.given(Retune)] == [(run.id, changed)]


def test_stop_cancels_the_run_and_keeps_what_was_written(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "bart", "encoder-decoder")
    state.playground.write("A house.")
    run, _ = fake.last(Generate)
    fake.play(run.id, [Tokens(0, "Ein", ())])
    qtbot.waitUntil(lambda: state.playground.target == "Ein")
    state.playground.stop()
    assert run.cancelled
    fake.play(run.id, [Done(0, "cancelled")])
    qtbot.waitUntil(lambda: state.playground.running is None)
    assert state.playground.target == "Ein"


def test_a_request_takes_the_place_of_the_one_before(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "bert", "encoder")
    heard: list[Embedded] = []
    state.playground.embedded.connect(heard.append)
    state.playground.embed(("a", "b"))
    first, _ = fake.last(Embed)
    state.playground.embed(("a", "c"))
    second, command = fake.last(Embed)
    assert first.cancelled and command.texts == ("a", "c")
    both = Embedded(0, np.ones((2, 3), np.float32), np.ones((2, 2), np.float32))
    fake.play(first.id, [both, Done(0)])
    fake.play(second.id, [both, Done(0)])
    qtbot.waitUntil(lambda: state.playground.running is None)
    assert [event.run for event in heard] == [second.id]


def test_every_question_to_an_encoder_is_one_command(state: State, fake: FakeEngine) -> None:
    state.playground.fill("a [MASK]")
    state.playground.classify("good")
    state.playground.find("king - man + woman")
    assert fake.given(Fill) == [Fill("a [MASK]")]
    assert fake.given(Classify) == [Classify("good")]
    assert fake.given(NearestWords) == [NearestWords(("king", "woman"), ("man",))]


def test_a_failure_is_said_and_ends_the_run(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    said: list[tuple[str, str, str]] = []
    state.playground.failed.connect(lambda *words: said.append(words))
    state.playground.fill("a [MASK]")
    run, _ = fake.last(Fill)
    fake.play(run.id, [Failed(0, "It has no head.", "Choose another.")])
    qtbot.waitUntil(lambda: state.playground.running is None)
    assert said == [("It has no head.", "Choose another.", "")]
