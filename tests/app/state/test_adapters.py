"""Adapters over the fake engine: which there are, which fit, which are on for which model, and what runs name them."""

from __future__ import annotations

import dataclasses

import pytest
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.state import State, make_state
from app.state.adapters import changed_by, uses_in
from app.state.comparison import AS_SET, PLAIN
from engine import (
    AdapterCard,
    AdapterUse,
    Answered,
    Attend,
    BestOf,
    Classified,
    Classify,
    Done,
    Embed,
    Failed,
    Fill,
    FindAdapters,
    Generate,
    Generated,
    Lens,
    LoadSecond,
    Score,
    Scored,
    SecondLoaded,
    Started,
    Tokens,
)
from fakes import FakeEngine, a_model, a_record

RED = AdapterCard("/a/red", "red", "somebody/companion", rank=4)
BLUE = AdapterCard("/a/blue", "blue", rank=8)
FOREIGN = AdapterCard(
    "/a/foreign", "foreign", reason="foreign changes x of 2 × 2, but companion's is 4 × 4.", hint="No."
)
PATH = a_model().path
OTHER = a_model(path="models/story", name="Story")


@pytest.fixture
def there(state: State, fake: FakeEngine, bridge: Bridge) -> State:
    """Two adapters that fit the loaded model, and one that does not."""
    bare = dataclasses.replace(FOREIGN, reason="", hint="")
    fake.adapters = {"": (RED, BLUE, bare), PATH: (RED, BLUE, FOREIGN), OTHER.path: (bare,)}
    state.settings.set("folders", ["/a"])
    state.workspace._show_model(a_model())
    settle(bridge)
    return state


def settle(bridge: Bridge) -> None:
    for _ in range(3):  # what there is, then whether it fits
        bridge.deliver()


def end(fake: FakeEngine, bridge: Bridge, text: str = "Yes") -> None:
    run = fake.last(Generate)[0]
    whole = Generated(0, (1, 2, 3), (103,), text, "eos", 0.1, 0.1, 9.0)
    fake.play(run.id, [Started(0, (1, 2, 3), "", 7, 0), Tokens(0, text, (a_record(3, text),)), whole, Done(0, "eos")])
    bridge.deliver()


def test_adapters_are_looked_for_where_models_are_and_those_that_do_not_fit_come_last_with_the_reason(
    there: State, fake: FakeEngine, bridge: Bridge
) -> None:
    assert [card.reason for card in there.adapters.cards()] == ["", "", FOREIGN.reason]
    assert [why for _, _, why in there.adapters.offers()] == ["", "", "does not fit"]
    there.models.remove_folder("/a")
    settle(bridge)
    assert there.adapters.cards() == () and len(fake.last(FindAdapters)[1].folders) == 1
    there.models.add_folder("/a")
    settle(bridge)
    question = fake.last(FindAdapters)[1]
    assert question.folders[1:] == ("/a",) and question.model == PATH and len(there.adapters.cards()) == 3


def test_a_model_is_not_built_to_be_compared_with_where_there_is_no_adapter(
    state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    state.workspace._show_model(a_model())
    settle(bridge)
    assert {question.model for question in fake.given(FindAdapters)} == {""} and state.adapters.cards() == ()


def test_what_is_on_goes_with_every_run_from_the_next_on_and_is_kept_with_the_message(
    there: State, fake: FakeEngine, bridge: Bridge
) -> None:
    there.conversation.send("Hi")
    assert fake.last(Generate)[1].adapters == ()
    there.adapters.set_weight("/a/red", 0.5)
    there.adapters.set_weight("/a/blue", 1.0)
    end(fake, bridge)
    assert "adapters" not in there.conversation.path[-1].settings
    there.conversation.retry(there.conversation.path[-1].id)
    uses = (AdapterUse("/a/red", 0.5), AdapterUse("/a/blue", 1.0))
    assert fake.last(Generate)[1].adapters == uses
    end(fake, bridge)
    answer = there.conversation.path[-1]
    assert uses_in(answer.settings) == uses and uses_in(fake.messages[answer.id].settings) == uses
    there.conversation.retry(answer.id, answers=2)
    assert fake.last(BestOf)[1].adapters == uses
    assert changed_by(uses) == "with red at 0.5 and blue"
    there.adapters.set_weight("/a/red", 0.0)
    assert there.adapters.uses == uses[1:]


def test_an_answer_is_read_again_through_the_adapters_that_wrote_it(
    there: State, fake: FakeEngine, bridge: Bridge
) -> None:
    there.adapters.set_weight("/a/red", 0.5)
    there.conversation.send("Hi")
    end(fake, bridge)
    there.adapters.set_weight("/a/red", 0.0)
    there.captures.reread()
    assert fake.last(Attend)[1].adapters == (AdapterUse("/a/red", 0.5),)
    there.captures.rereading.cancel()
    there.inside.look()
    assert fake.last(Lens)[1].adapters == (AdapterUse("/a/red", 0.5),)
    message = there.conversation.path[-1]
    there.conversation.new_chat()
    there.conversation.open(message.chat)
    settle(bridge)
    there.captures.reread()
    assert fake.last(Attend)[1].adapters == (AdapterUse("/a/red", 0.5),), "and tomorrow"


def test_each_model_gets_its_own_back_and_one_that_does_not_fit_is_never_on(
    there: State, fake: FakeEngine, bridge: Bridge
) -> None:
    there.adapters.set_weight("/a/red", 0.5)
    there.adapters.set_weight("/a/foreign", 1.0)
    assert there.adapters.uses == (AdapterUse("/a/red", 0.5),)
    there.workspace._show_model(OTHER)
    assert there.adapters.uses == ()
    there.workspace._show_model(a_model())
    assert there.adapters.uses == (AdapterUse("/a/red", 0.5),)
    settle(bridge)
    assert there.adapters.weight("/a/red") == 0.5 and there.adapters.weight("/a/foreign") == 0.0


def test_what_was_on_is_on_after_a_restart_before_the_folders_are_looked_through(
    there: State, fake: FakeEngine, bridge: Bridge
) -> None:
    there.adapters.set_weight("/a/red", 0.5)
    again = make_state(bridge, there.settings)
    again.workspace._show_model(a_model())
    assert again.adapters.uses == (AdapterUse("/a/red", 0.5),)
    fake.adapters = {}
    settle(bridge)
    assert again.adapters.uses == () == again.adapters.cards(), "its folder is gone"


@pytest.mark.parametrize(
    "kept", [7, {PATH: 3}, {PATH: {"/a/red": "much"}}, {PATH: {"/a/red": 99}}, {PATH: {"/a/red": None}}]
)
def test_settings_that_make_no_sense_put_nothing_on(there: State, kept: object) -> None:
    there.settings.set("adapters", kept)
    assert there.adapters.uses == () and there.adapters.weight("/a/red") == 0.0


def test_a_model_that_cannot_be_looked_into_takes_none_and_says_why(
    state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    fake.adapters = {"": (RED,)}
    state.settings.set("folders", ["/a"])
    state.workspace._show_model(a_model())
    bridge.deliver()
    run, question = fake.last(FindAdapters)
    assert question.model == PATH
    bridge.arrived.emit(Failed(run.id, "The file is gone.", "Look."))
    (card,) = state.adapters.cards()
    assert (card.reason, card.hint) == ("The file is gone.", "Look.")


def test_an_adapter_that_is_dropped_joins_the_folders_and_is_on_where_it_fits(
    there: State, fake: FakeEngine, bridge: Bridge
) -> None:
    there.models.open(["/a/red/adapter_model.safetensors"])
    settle(bridge)
    settle(bridge)
    assert there.models.folders == ["/a", "/a/red"] and there.adapters.uses == (AdapterUse("/a/red", 1.0),)
    there.adapters.set_weight("/a/red", 0.25)
    there.models.open(["/a/red"])
    settle(bridge)
    settle(bridge)
    assert there.adapters.weight("/a/red") == 0.25, "one that was on stays as it was"


def test_a_damaged_adapter_that_is_dropped_says_why(
    there: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    fake.adapters[""] = (dataclasses.replace(RED, reason="red has only a pickle.", hint="Convert it."),)
    with qtbot.waitSignal(there.models.failed) as said:
        there.models.open(["/a/red"])
    assert said.args == ["red has only a pickle.", "Convert it."]


def test_a_side_goes_through_what_is_set_or_nothing_or_an_adapter_of_its_own(
    there: State, fake: FakeEngine, bridge: Bridge
) -> None:
    there.adapters.set_weight("/a/red", 0.5)
    sides = there.comparison
    sides.add()
    sides.choose_adapter(1, PLAIN)
    sides.choose_adapter(2, "/a/blue")
    sides.set_strength(2, 1.5)
    sides.look_at(2)
    assert sides.ask("Hi")
    expected = [(AdapterUse("/a/red", 0.5),), (), (AdapterUse("/a/blue", 1.5),)]
    assert [command.adapters for command in fake.given(Generate)] == expected
    told = [sides.through(side) for side in sides.sides]
    assert told == ["Companion 7M with red at 0.5", "Companion 7M", "Companion 7M with blue at 1.5"]
    for side in sides.sides[:2]:
        assert side.run is not None
        fake.play(side.run.id, [Done(0, "eos")])
    end(fake, bridge)
    assert sides.keep(2) and uses_in(there.conversation.path[-1].settings) == expected[2]
    assert there.conversation.path[-1].model == "Companion 7M"
    there.captures.reread()
    assert fake.last(Attend)[1].adapters == expected[2]


def test_an_adapter_that_a_sides_model_cannot_take_is_not_chosen_any_more(
    there: State, fake: FakeEngine, bridge: Bridge
) -> None:
    there.comparison.choose_adapter(1, "/a/blue")
    there.second.load(OTHER.path)
    run, _ = fake.last(LoadSecond)
    fake.play(run.id, [SecondLoaded(0, OTHER), Done(0)])
    settle(bridge)
    assert there.comparison.sides[1].adapter == "/a/blue"
    there.comparison.choose_model(1, True)
    settle(bridge)
    assert there.comparison.sides[1].adapter == AS_SET
    assert there.comparison.adapters(there.comparison.sides[1]) == [("foreign", "/a/foreign", "")]
    there.adapters.set_weight("/a/red", 0.5)
    there.comparison.ask("Hi")
    assert [command.adapters for command in fake.given(Generate)] == [(AdapterUse("/a/red", 0.5),), ()]


def test_a_text_is_compared_with_the_model_as_an_adapter_changes_it(
    there: State, fake: FakeEngine, bridge: Bridge
) -> None:
    scoring = there.scoring
    there.adapters.set_weight("/a/red", 0.5)
    scoring.choose("/a/blue")
    scoring.set_strength(0.75)
    scoring.score("A text")
    plain, other = fake.given(Score)
    assert plain.adapters == () and other.adapters == (AdapterUse("/a/blue", 0.75),) and not other.second
    runs = [run.id for run, command in fake.runs.values() if isinstance(command, Score)]
    for run, nll in zip(runs, (2.0, 4.0)):
        scored = Scored(0, (1, 2), ("A", " text"), (None, -nll), (None, 1.0), nll, 9.0, 1, (a_record(1, " text"),))
        fake.play(run, [scored, Done(0)])
    bridge.deliver()
    assert scoring.first is not None and scoring.other is not None
    assert (scoring.first.nll, scoring.other.nll, scoring.compared) == (2.0, 4.0, "Companion 7M with blue at 0.75")
    there.workspace._show_model(OTHER)
    settle(bridge)
    assert scoring.adapter == "" and scoring.other is None


def test_several_answers_keep_what_they_were_written_through(there: State, fake: FakeEngine, bridge: Bridge) -> None:
    there.adapters.set_weight("/a/red", 0.5)
    there.conversation.send("Hi", answers=2)
    run, _ = fake.last(BestOf)
    started = Started(0, (1, 2, 3), "", 7, 0)
    for index, text in enumerate(("one", "two")):
        whole = Generated(0, (1, 2, 3), (103,), text, "eos", 0.1, 0.1, 9.0)
        records = (a_record(3, text),)
        fake.play(
            run.id, [started, Tokens(0, text, records), Answered(0, index, started, whole, records, -1.0 - index)]
        )
    fake.play(run.id, [Done(0)])
    bridge.deliver()
    versions = there.conversation.tree.siblings(there.conversation.path[-1].id)
    assert [uses_in(version.settings) for version in versions] == [(AdapterUse("/a/red", 0.5),)] * 2


def test_the_playground_reads_and_writes_through_what_is_on(there: State, fake: FakeEngine, bridge: Bridge) -> None:
    there.adapters.set_weight("/a/red", 0.5)
    uses = (AdapterUse("/a/red", 0.5),)
    for kind in ("encoder-decoder", "encoder"):
        there.workspace._show_model(a_model(kind=kind, chat_template=False))
        settle(bridge)
        if kind == "encoder-decoder":
            there.playground.write("A source")
            run, written = fake.last(Generate)
            assert written.adapters == uses
            fake.play(run.id, [Done(0)])
            continue
        there.playground.classify("A text")
        run, command = fake.last(Classify)
        there.adapters.set_weight("/a/red", 0.0)  # what is read again is what was read then
        fake.play(run.id, [Classified(0, (("good", 1.0),)), Done(0)])
        bridge.deliver()
        there.captures.reread()
        assert command.adapters == fake.last(Attend)[1].adapters == uses
        there.adapters.set_weight("/a/red", 0.5)
        there.playground.fill("A [MASK]")
        there.playground.embed(("one", "two"))
        assert fake.last(Fill)[1].adapters == fake.last(Embed)[1].adapters == uses
