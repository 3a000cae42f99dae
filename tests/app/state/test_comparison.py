"""Two to four answers to one prompt: what is asked of the engine, and how one of them becomes the chat's."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.state import State
from app.state.attention import DECODER
from app.state.comparison import MOST, Comparison
from engine import (
    AttentionRows,
    Done,
    Failed,
    Generate,
    Generated,
    Loaded,
    LoadSecond,
    Message,
    OpenRecords,
    Prompt,
    Retune,
    SamplingParams,
    SecondLoaded,
    Started,
    Tokens,
)
from fakes import FakeEngine, a_model, a_record


@pytest.fixture
def sides(state: State, fake: FakeEngine, qtbot: QtBot) -> Comparison:
    load(state, fake, qtbot)
    return state.comparison


def load(state: State, fake: FakeEngine, qtbot: QtBot, **changes: object) -> None:
    run = state.workspace.load("x")
    info = a_model(**changes)
    fake.play(run.id, [Loaded(0, info), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info == info)


def write(state: State, fake: FakeEngine, qtbot: QtBot, texts: tuple[str, ...] = ("Hello there", "Hello you")) -> None:
    for side, text in zip(state.comparison.sides, texts):
        assert side.run is not None
        records = tuple(a_record(4 + place, word) for place, word in enumerate(text.split(" ")))
        whole = Generated(0, (1, 2, 3), (7, 8), text, "eos", 0.1, 0.2, 40.0)
        fake.play(
            side.run.id,
            [Started(0, (1, 2, 3), "", 11, 0), Tokens(0, text, records), whole, Done(0, "eos")],
        )
    qtbot.waitUntil(lambda: not state.comparison.running)


def test_both_sides_are_asked_the_same_with_seeds_of_their_own(sides: Comparison, fake: FakeEngine) -> None:
    assert sides.ask("Hi")
    first, second = fake.given(Generate)
    assert first.prompt == second.prompt == Prompt(messages=(Message("user", "Hi"),))
    assert (first.sampling.seed, second.sampling.seed) == (1, 2)
    assert first.sampling.replace(seed=2) == second.sampling


def test_what_was_said_before_in_the_chat_is_part_of_the_prompt(
    sides: Comparison, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    state.conversation.set_system("Be brief.")
    state.conversation.send("One")
    run, _ = fake.last(Generate)
    fake.play(run.id, [Tokens(0, "Two", ()), Done(0, "eos")])
    qtbot.waitUntil(lambda: state.conversation.answering is None)
    sides.ask("Three")
    said = [(each.role, each.content) for each in fake.last(Generate)[1].prompt.messages or ()]
    assert said == [("system", "Be brief."), ("user", "One"), ("assistant", "Two"), ("user", "Three")]
    assert [message.text for message in state.conversation.path] == ["One", "Two"]


def test_a_side_is_a_preset_and_what_was_changed_from_it(sides: Comparison, state: State, fake: FakeEngine) -> None:
    sides.choose(1, "Greedy")
    assert sides.settings(sides.sides[1]) == state.presets.values("Greedy").replace(seed=2)
    sides.change(1, sides.settings(sides.sides[1]).replace(min_p=0.2))
    assert sides.sides[1].changes == {"seed": 2, "min_p": 0.2}
    state.presets.set_sampling(state.presets.sampling.replace(temperature=1.4))
    assert sides.settings(sides.sides[0]).temperature == 1.4
    assert sides.settings(sides.sides[1]).temperature == state.presets.values("Greedy").temperature
    sides.reset(1, "min_p")
    assert sides.sides[1].changes == {"seed": 2}


def test_a_change_counts_from_the_next_token_of_that_side_only(sides: Comparison, fake: FakeEngine) -> None:
    sides.ask("Hi")
    sides.change(1, SamplingParams(temperature=0.1, seed=2))
    second = sides.sides[1].run
    assert second is not None
    assert [(each.target, each.sampling and each.sampling.temperature) for each in fake.given(Retune)] == [
        (second.id, 0.1)
    ]


def captured(state: State, fake: FakeEngine, number: int) -> str:
    """Of which layers a side being written is told to capture the attention, by the last word on it."""
    run = state.comparison.sides[number].run
    assert run is not None
    command = fake.runs[run.id][1]
    assert isinstance(command, Generate)
    told = [each.capture for each in fake.given(Retune) if each.target == run.id and each.capture is not None]
    return [command.capture, *told][-1].attention


def test_only_the_side_that_is_looked_at_captures_attention_and_only_while_its_pane_is_seen(
    sides: Comparison, state: State, fake: FakeEngine
) -> None:
    sides.ask("Hi")
    assert [captured(state, fake, number) for number in (0, 1)] == ["none", "none"]
    state.captures.set_visible("attention", True)
    assert [captured(state, fake, number) for number in (0, 1)] == ["all", "none"]
    sides.look_at(1)
    assert [captured(state, fake, number) for number in (0, 1)] == ["none", "all"]
    state.captures.set_visible("attention", False)
    assert [captured(state, fake, number) for number in (0, 1)] == ["none", "none"]


def test_a_side_chosen_before_it_writes_is_captured_from_its_first_token(
    sides: Comparison, state: State, fake: FakeEngine
) -> None:
    state.captures.set_visible("attention", True)
    sides.look_at(1)
    assert sides.looked == 1
    sides.ask("Hi")
    assert [command.capture.attention for command in fake.given(Generate)] == ["none", "all"]
    assert fake.given(Retune) == []


def test_what_the_panes_show_follows_the_side_that_is_looked_at_while_both_write(
    sides: Comparison, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    state.captures.set_visible("attention", True)
    sides.ask("Hi")
    runs = [side.run.id for side in sides.sides if side.run is not None]
    for run, letter in zip(runs, "ab"):
        rows = AttentionRows(0, 0, ("layers.0.self", "layers.1.self"), np.full((2, 4, 3, 3), 0.25, np.float16))
        told = (Started(0, (1, 2, 3), "", 5, 0), rows, Tokens(0, letter, (a_record(3, letter),)))
        fake.play(run, told if letter == "a" else (told[0], told[2]))
    qtbot.waitUntil(lambda: [side.text for side in sides.sides] == ["a", "b"])
    captures = state.captures
    assert captures.focused == (sides.sides[0].key, 0) and captures.row(DECODER, 0, 0, 2) is not None
    sides.look_at(1)
    assert captures.focused == (sides.sides[1].key, 0), "the newest token of that side"
    assert captures.row(DECODER, 0, 0, 2) is not None, "both read the same prompt"
    late = AttentionRows(0, 3, ("layers.0.self", "layers.1.self"), np.full((2, 4, 1, 4), 0.125, np.float16))
    fake.play(runs[0], [late])
    fake.play(runs[1], [Tokens(0, "c", (a_record(4, "c"),)), late])
    fake.play(runs[0], [Tokens(0, "d", (a_record(4, "d"),))])
    qtbot.waitUntil(lambda: sides.sides[0].text == "ad")
    assert captures.focused == (sides.sides[1].key, 1), "it follows there"
    row = captures.row(DECODER, 0, 0, 3)
    assert row is not None and row.tolist() == [0.125] * 4


def test_looking_elsewhere_ends_the_capture_of_every_side(sides: Comparison, state: State, fake: FakeEngine) -> None:
    state.captures.set_visible("attention", True)
    sides.ask("Hi")
    state.conversation.new_chat()
    assert sides.looked == -1 and captured(state, fake, 0) == "none"
    sides.look_at(0)
    assert sides.looked == 0 and captured(state, fake, 0) == "all"


def test_a_side_removed_leaves_another_looked_at(sides: Comparison) -> None:
    sides.add()
    sides.look_at(2)
    sides.remove(0)
    assert sides.looked == 1
    sides.add()
    sides.look_at(2)
    sides.remove(2)
    assert sides.looked == 1


def test_there_are_two_to_four_sides(sides: Comparison) -> None:
    for _ in range(3):
        sides.add()
    assert len(sides.sides) == MOST and [side.changes["seed"] for side in sides.sides] == [1, 2, 3, 4]
    for _ in range(4):
        sides.remove(1)
    assert [side.changes["seed"] for side in sides.sides] == [1, 4]


def test_answers_grow_where_they_belong_and_stop_ends_them_all(
    sides: Comparison, fake: FakeEngine, qtbot: QtBot
) -> None:
    sides.ask("Hi")
    first, second = (side.run for side in sides.sides)
    assert first is not None and second is not None
    fake.play(second.id, [Tokens(0, "You", (a_record(4, "You"),))])
    fake.play(first.id, [Tokens(0, "I", (a_record(4, "I"),))])
    qtbot.waitUntil(lambda: [side.text for side in sides.sides] == ["I", "You"])
    assert not sides.ask("Again")
    sides.stop()
    assert first.cancelled and second.cancelled
    for run in (first, second):
        fake.play(run.id, [Done(0, "cancelled")])
    qtbot.waitUntil(lambda: not sides.running)
    assert [(side.text, side.status) for side in sides.sides] == [("I", "stopped"), ("You", "stopped")]


def test_the_winner_becomes_the_chats_answer_with_its_tokens(
    sides: Comparison, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    sides.ask("Hi")
    write(state, fake, qtbot)
    assert state.conversation.path == []
    assert sides.keep(1) and not sides.keep(1)
    question, answer = state.conversation.path
    assert (question.role, question.text, answer.role, answer.text) == ("user", "Hi", "assistant", "Hello you")
    assert answer.settings["seed"] == 11 and answer.model == "Companion 7M" and answer.status == "done"
    assert state.conversation.chat.title == "Hi"
    assert fake.messages[answer.id] == answer and fake.messages[question.id] == question
    assert [record.text for record in fake.records[answer.id]] == ["Hello", "you"]
    assert [record.text for record in state.captures.records(answer.id)] == ["Hello", "you"]
    assert fake.given(OpenRecords) == []


def test_two_answers_kept_are_versions_of_one_turn(
    sides: Comparison, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    sides.ask("Hi")
    write(state, fake, qtbot)
    sides.keep(0)
    sides.keep(1)
    assert [message.text for message in state.conversation.path] == ["Hi", "Hello you"]
    assert state.conversation.versions(state.conversation.path[-1].id) == (2, 2)


def test_a_continued_text_is_kept_with_its_beginning(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, chat_template=False)
    assert state.conversation.chat.mode == "complete"
    state.comparison.ask("Once")
    assert fake.last(Generate)[1].prompt == Prompt(text="Once")
    write(state, fake, qtbot, (" upon a time", " more"))
    assert state.comparison.keep(0)
    (text,) = state.conversation.path
    assert (text.role, text.text, text.stats["prompt_length"]) == ("text", "Once upon a time", 4)


def test_nothing_is_kept_in_a_chat_where_it_was_not_asked(
    sides: Comparison, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    said: list[tuple[str, str, str]] = []
    sides.refused.connect(lambda *words: said.append(words))
    sides.ask("Hi")
    write(state, fake, qtbot)
    state.conversation.new_chat()
    assert not sides.keep(0)
    assert said == [("The chat that these answers belong to is not shown.", "Open it, then keep one.", "")]
    assert state.conversation.path == []


def test_a_side_that_fails_says_why_and_the_other_goes_on(sides: Comparison, fake: FakeEngine, qtbot: QtBot) -> None:
    sides.ask("Hi")
    first, second = (side.run for side in sides.sides)
    assert first is not None and second is not None
    fake.play(first.id, [Failed(0, "The prompt is too long.", "Shorten it.")])
    fake.play(second.id, [Tokens(0, "You", ())])
    qtbot.waitUntil(lambda: sides.sides[1].text == "You")
    assert sides.running and sides.sides[0].error == "The prompt is too long. Shorten it."


def test_a_model_that_writes_no_text_is_not_asked(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    said: list[str] = []
    state.comparison.refused.connect(lambda message, *_: said.append(message))
    assert not state.comparison.ask("Hi")
    load(state, fake, qtbot, kind="encoder", name="BERT", chat_template=False)
    assert not state.comparison.ask("Hi")
    assert said == ["No model is loaded.", "BERT writes no text."] and fake.given(Generate) == []


def test_a_side_can_be_written_by_the_second_model(
    sides: Comparison, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    assert sides.models == ("Companion 7M",)
    state.second.load("models/story")
    run, _ = fake.last(LoadSecond)
    fake.play(run.id, [SecondLoaded(0, a_model(name="Story")), Done(0)])
    qtbot.waitUntil(lambda: sides.models == ("Companion 7M", "Story"))
    sides.choose_model(1, True)
    sides.ask("Hi")
    assert [command.second for command in fake.given(Generate)] == [False, True]
    write(state, fake, qtbot)
    sides.keep(1)
    assert state.conversation.path[-1].model == "Story"
    state.second.load("")
    run, _ = fake.last(LoadSecond)
    fake.play(run.id, [SecondLoaded(0, None), Done(0)])
    qtbot.waitUntil(lambda: not sides.sides[1].second)
