"""Which model reads an answer again: the one that wrote it, in whichever slot it is, or none, with a sentence why."""

from __future__ import annotations

import numpy as np
import pytest

from app.bridge import Bridge
from app.state import State
from app.state.attention import DECODER
from app.state.captures import Captures
from engine import (
    Attend,
    AttentionRows,
    Done,
    Lens,
    ModelInfo,
    NamePieces,
    Prompt,
    Started,
    Tokenized,
    Tokens,
)
from fakes import FakeEngine, a_model, a_record

FIRST, SECOND = a_model(name="One", layers=2), a_model(name="Two", layers=3, heads=2)
PROMPT = Prompt(ids=(1, 2, 3))


@pytest.fixture
def captures(state: State) -> Captures:
    state.workspace._show_model(FIRST)
    hold(state, SECOND)
    return state.captures


def hold(state: State, info: ModelInfo | None) -> None:
    """This is the second model now."""
    state.second.info = info
    state.second.changed.emit(info)


def write(captures: Captures, fake: FakeEngine, bridge: Bridge, key: str, run: int, second: bool) -> None:
    """An answer of one token after three, whose attention is not captured."""
    captures.set_context(key, PROMPT, (SECOND if second else FIRST).name, second)
    captures.begin(key, run)
    fake.play(run, [Started(0, (1, 2, 3), "", 1, 0), Tokens(0, "a", (a_record(3, "a"),)), Done(0, "eos")])
    bridge.deliver()
    captures.focus(key, 0)


def read(captures: Captures, fake: FakeEngine, bridge: Bridge, info: ModelInfo) -> Attend:
    """Read what is in focus again and answer with rows as wide as this model's."""
    captures.reread()
    run, attend = fake.last(Attend)
    layers = tuple(f"layers.{n}.self" for n in range(info.layers))
    weights = np.full((info.layers, info.heads, 3, 3), 0.5, np.float16)
    fake.play(run.id, [Started(0, (1, 2, 3), "", 0, 0), AttentionRows(0, 0, layers, weights), Done(0)])
    bridge.deliver()
    return attend


def test_each_answer_is_read_by_the_model_that_wrote_it(captures: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    for key, run, second, info in (("a", 900, False, FIRST), ("b", 901, True, SECOND)):
        write(captures, fake, bridge, key, run, second)
        assert captures.info == info and captures.shape(DECODER) == (info.layers, info.heads)
        assert read(captures, fake, bridge, info).second == second
        assert captures.row(DECODER, info.layers - 1, 0, 2) is not None
    captures.focus("a", 0)
    assert captures.row(DECODER, 0, 0, 2) is None, "the rows kept are another model's, though the ids are the same"


def test_the_layers_of_the_model_that_wrote_it_are_asked(
    captures: Captures, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    write(captures, fake, bridge, "b", 901, second=True)
    state.inside.look()
    assert fake.last(Lens)[1].second and state.inside.cost()[1] == SECOND.layers + 1


def test_the_tokens_of_two_models_with_the_same_ids_have_names_of_their_own(
    captures: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    for key, run, second, words in (("a", 900, False, "xyz"), ("b", 901, True, "uvw")):
        write(captures, fake, bridge, key, run, second)
        captures.tokens()
        asking, asked = fake.last(NamePieces)
        assert asked.second == second
        fake.play(asking.id, [Tokenized(0, asked.ids, tuple(words)), Done(0)])
        bridge.deliver()
        assert captures.tokens() == [*words, "a"]


def test_an_answer_whose_model_is_in_neither_place_names_it(
    captures: Captures, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    write(captures, fake, bridge, "b", 901, second=True)
    hold(state, None)
    captures.reread()
    words = "This answer was written by Two: load it, as the model or as the second one, to read it again."
    assert captures.foreign == captures.rereading.error == words
    state.inside.look()
    assert state.inside.error == words
    assert not fake.given(Attend) and not fake.given(Lens)


def test_a_model_that_moved_to_the_other_place_still_reads_what_it_wrote(
    captures: Captures, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    write(captures, fake, bridge, "b", 901, second=True)
    state.workspace._show_model(SECOND)
    hold(state, FIRST)
    assert captures.foreign == ""
    assert not read(captures, fake, bridge, SECOND).second


def test_another_second_model_leaves_what_the_first_captured(
    captures: Captures, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    write(captures, fake, bridge, "a", 900, second=False)
    read(captures, fake, bridge, FIRST)
    hold(state, a_model(name="Three"))
    assert captures.row(DECODER, 0, 0, 2) is not None
    write(captures, fake, bridge, "c", 902, second=True)
    captures.set_context("c", PROMPT, "Three", True)
    read(captures, fake, bridge, a_model(name="Three"))
    hold(state, SECOND)
    assert captures.row(DECODER, 0, 0, 2) is None
