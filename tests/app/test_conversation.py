"""The conversation's state over a fake engine: what is said, stored, changed and brought back."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.state import State, make_state
from engine import (
    DeleteMessages,
    Done,
    Event,
    Failed,
    Generate,
    Generated,
    Load,
    Loaded,
    Retune,
    SamplingParams,
    SaveMessage,
    Started,
    Tokens,
)
from fakes import FakeEngine, a_model, a_record


@pytest.fixture
def talk(state: State, fake: FakeEngine, qtbot: QtBot) -> State:
    """The state with a chat model loaded."""
    run = state.workspace.load("models/companion")
    fake.play(run.id, [Loaded(0, a_model()), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None)
    return state


def answer(state: State, fake: FakeEngine, qtbot: QtBot, *words: str, end: Event | None = None) -> str:
    """Play an answer into the run going on; returns the message's id."""
    run, _ = fake.last(Generate)
    key = state.conversation.writing
    events: list[Event] = [Started(0, (1, 2, 3), "", 42, 0)]
    events += [Tokens(0, word, (a_record(3 + i, word),)) for i, word in enumerate(words)]
    fake.play(run.id, [*events, end or Done(0, "eos")])
    qtbot.waitUntil(lambda: state.conversation.answering is None)
    return key


def texts(state: State) -> list[str]:
    return [message.text for message in state.conversation.path]


def test_a_message_is_stored_before_it_is_answered(talk: State, fake: FakeEngine) -> None:
    assert talk.conversation.send("Where do rivers go?")
    stored = [type(command).__name__ for command in fake.commands[1:]]
    assert stored.index("SaveChat") < stored.index("SaveMessage") < stored.index("Generate")
    assert [message.text for message in fake.messages.values()] == ["Where do rivers go?", ""]
    assert fake.chats[talk.conversation.chat.id].title == "Where do rivers go?"


def test_an_answer_is_stored_with_its_records_seed_and_figures(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    run, _ = fake.last(Generate)
    key = talk.conversation.writing
    records = (a_record(3, "Hello"), a_record(4, " you"))
    fake.play(
        run.id,
        [
            Started(0, (1, 2, 3), "", 42, 0),
            Tokens(0, "Hello you", records),
            Generated(0, (1, 2, 3), (5, 6), "Hello you", "eos", 0.1, 0.2, 10.0),
            Done(0, "eos"),
        ],
    )
    qtbot.waitUntil(lambda: talk.conversation.answering is None)
    stored = fake.messages[key]
    assert (stored.text, stored.status, stored.settings["seed"]) == ("Hello you", "done", 42)
    assert stored.stats["tokens"] == 2
    assert fake.records[key] == records
    assert texts(talk) == ["Hi", "Hello you"]


def test_a_streaming_answer_is_stored_each_second_with_only_its_new_records(
    talk: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    talk.conversation.send("Hi")
    run, _ = fake.last(Generate)
    key = talk.conversation.writing
    fake.play(run.id, [Tokens(0, "one", (a_record(3, "one"),))])
    qtbot.waitUntil(lambda: fake.messages[key].text == "one", timeout=3000)
    assert fake.messages[key].status == "writing"
    fake.play(run.id, [Tokens(0, " two", (a_record(4, " two"),)), Done(0, "eos")])
    qtbot.waitUntil(lambda: talk.conversation.answering is None)
    assert [record.text for record in fake.records[key]] == ["one", " two"]


def test_records_of_a_save_that_failed_go_with_the_next_one(
    talk: State, fake: FakeEngine, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.state.storing.SAVE_EVERY", 20)
    said: list[str] = []
    talk.workspace.failed.connect(lambda message, hint, details: said.append(message))
    talk.conversation.send("Hi")
    run, _ = fake.last(Generate)
    key = talk.conversation.writing
    fake.broken = Failed(0, "The disk is full.")
    fake.play(run.id, [Tokens(0, "one", (a_record(3, "one"),))])
    qtbot.waitUntil(lambda: said == ["The disk is full."])
    saves = len(fake.given(SaveMessage))
    qtbot.waitUntil(lambda: len(fake.given(SaveMessage)) > saves + 2)
    assert said == ["The disk is full."]
    fake.broken = None
    qtbot.waitUntil(lambda: [record.text for record in fake.records[key]] == ["one"])
    assert fake.messages[key].text == "one"


def test_an_answer_that_could_not_be_stored_at_its_end_is_stored_when_the_disk_has_room(
    talk: State, fake: FakeEngine, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.state.storing.SAVE_EVERY", 20)
    talk.conversation.send("Hi")
    fake.broken = Failed(0, "The disk is full.")
    key = answer(talk, fake, qtbot, "one", " two")
    assert not talk.conversation.finish()
    fake.broken = None
    qtbot.waitUntil(talk.conversation.finish)
    assert (fake.messages[key].text, fake.messages[key].status) == ("one two", "done")
    assert [record.text for record in fake.records[key]] == ["one", " two"]


def test_the_focus_belongs_to_a_message_that_is_shown(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    first = answer(talk, fake, qtbot, "one")
    assert talk.captures.focused == (first, 0)
    talk.conversation.retry(first)
    assert talk.captures.focused is None
    second = answer(talk, fake, qtbot, "two", " words")
    assert talk.captures.focused == (second, 1)
    talk.conversation.show_version(second, -1)
    assert talk.captures.focused == (first, 0)
    talk.conversation.new_chat()
    assert talk.captures.focused is None


def test_whether_the_newest_token_is_followed_is_kept(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    key = answer(talk, fake, qtbot, "one", " two")
    talk.captures.focus(key, 0)
    assert talk.settings.value("follow_newest")  # to look at one token is not to give up following
    talk.captures.follow(True)
    talk.captures.follow(False)
    assert not talk.settings.value("follow_newest")
    again = make_state(Bridge(FakeEngine), talk.settings)
    assert not again.captures.following


def test_the_prompt_holds_the_path_and_the_system_prompt(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.set_system("Be brief.")
    talk.conversation.send("One")
    answer(talk, fake, qtbot, "First.")
    talk.conversation.send("Two")
    _, command = fake.last(Generate)
    assert command.prompt.messages is not None
    turns = [(m.role, m.content) for m in command.prompt.messages]
    assert turns == [("system", "Be brief."), ("user", "One"), ("assistant", "First."), ("user", "Two")]


def test_retry_makes_a_sibling_and_both_versions_can_be_shown(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    first = answer(talk, fake, qtbot, "one")
    talk.conversation.retry(first)
    second = answer(talk, fake, qtbot, "two")
    assert talk.conversation.versions(second) == (2, 2)
    talk.conversation.show_version(second, -1)
    assert texts(talk) == ["Hi", "one"]
    talk.conversation.show_version(first, 1)
    assert texts(talk) == ["Hi", "two"]


def test_stop_keeps_what_was_written_and_continue_goes_on_from_its_tokens(
    talk: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    talk.conversation.send("Hi")
    run, _ = fake.last(Generate)
    talk.conversation.stop()
    assert run.cancelled
    key = answer(talk, fake, qtbot, "a", "b", end=Done(0, "cancelled"))
    assert talk.conversation.message(key).status == "stopped"
    talk.conversation.go_on(key)
    _, command = fake.last(Generate)
    assert command.prompt.answer_ids == (103, 104)
    answer(talk, fake, qtbot, "c")
    assert talk.conversation.message(key).text == "abc"
    assert talk.conversation.message(key).status == "done"


def test_an_answer_of_another_model_is_continued_by_its_text_not_by_foreign_ids(
    talk: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    talk.conversation.send("Hi")
    key = answer(talk, fake, qtbot, "a", "b", end=Done(0, "length"))
    run = talk.workspace.load("models/another")
    fake.play(run.id, [Loaded(0, a_model(name="another")), Done(0)])
    qtbot.waitUntil(lambda: talk.workspace.info is not None and talk.workspace.info.name == "another")
    talk.conversation.go_on(key)
    _, command = fake.last(Generate)
    assert command.prompt.answer_ids == () and command.prompt.answer_text == "ab"


def test_stop_before_the_first_word_leaves_no_empty_version(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    key = answer(talk, fake, qtbot, end=Done(0, "cancelled"))
    assert texts(talk) == ["Hi"]
    assert fake.last(DeleteMessages)[1].messages == (key,)


def test_a_prompt_that_does_not_fit_comes_back_to_the_composer(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    refused: list[tuple[str, str, str]] = []
    talk.conversation.refused.connect(lambda *words: refused.append(words))
    talk.conversation.send("Far too long")
    run, _ = fake.last(Generate)
    fake.play(run.id, [Failed(0, "The prompt has 2,000 tokens, the context 1,024.", "Shorten it.")])
    qtbot.waitUntil(lambda: bool(refused))
    assert refused[0][0].startswith("The prompt has 2,000")
    assert texts(talk) == []
    assert talk.conversation.draft == "Far too long"


def test_a_failure_in_the_middle_keeps_the_words_and_says_why(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    key = answer(talk, fake, qtbot, "half", end=Failed(0, "There is not enough free memory.", ""))
    message = talk.conversation.message(key)
    assert (message.text, message.status) == ("half", "failed")
    assert message.stats["error"] == "There is not enough free memory."


def test_editing_a_message_and_sending_it_starts_a_new_branch(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    answer(talk, fake, qtbot, "Hello")
    first = talk.conversation.path[0].id
    talk.conversation.edit(first, "Good day", True)
    answer(talk, fake, qtbot, "Good day to you")
    assert texts(talk) == ["Good day", "Good day to you"]
    talk.conversation.show_version(talk.conversation.path[0].id, -1)
    assert texts(talk) == ["Hi", "Hello"]


def test_editing_in_place_keeps_what_follows(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    answer(talk, fake, qtbot, "Hello")
    talk.conversation.edit(talk.conversation.path[0].id, "Hi there", False)
    assert texts(talk) == ["Hi there", "Hello"]


def test_delete_takes_what_follows_and_undo_brings_all_of_it_back(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    answer(talk, fake, qtbot, "Hello")
    with qtbot.waitSignal(talk.conversation.deleted) as signal:
        talk.conversation.delete(talk.conversation.path[0].id)
    assert signal.args == [2]
    assert texts(talk) == []
    talk.conversation.undo_delete()
    assert texts(talk) == ["Hi", "Hello"]
    assert fake.last(DeleteMessages)[1].undo


def test_a_slider_moved_during_an_answer_reaches_the_run(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    run, _ = fake.last(Generate)
    talk.presets.set_sampling(SamplingParams(temperature=1.3))
    _, retune = fake.last(Retune)
    assert retune.target == run.id
    assert retune.sampling is not None and retune.sampling.temperature == 1.3


def test_a_chat_opened_again_is_as_it_was_left(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    answer(talk, fake, qtbot, "Hello")
    key = talk.conversation.chat.id
    talk.conversation.set_draft("half a thought")
    talk.conversation.new_chat()
    assert texts(talk) == []
    talk.conversation.open(key)
    qtbot.waitUntil(lambda: texts(talk) == ["Hi", "Hello"])
    assert talk.conversation.draft == "half a thought"


def test_an_answer_goes_on_while_another_chat_is_shown(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    run, _ = fake.last(Generate)
    key, chat = talk.conversation.writing, talk.conversation.chat.id
    talk.conversation.new_chat()
    assert talk.conversation.answering is None
    fake.play(run.id, [Tokens(0, "still here", (a_record(3, "still here"),)), Done(0, "eos")])
    qtbot.waitUntil(lambda: fake.messages[key].status == "done")
    talk.conversation.open(chat)
    qtbot.waitUntil(lambda: texts(talk) == ["Hi", "still here"])


def test_a_base_model_opens_an_empty_chat_in_complete(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    run = state.workspace.load("models/base")
    fake.play(run.id, [Loaded(0, a_model(chat_template=False)), Done(0)])
    qtbot.waitUntil(lambda: state.conversation.chat.mode == "complete")


def test_each_continuation_of_a_text_is_a_sibling_that_holds_the_whole_text(
    talk: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    talk.conversation.set_mode("complete")
    talk.conversation.send("Once upon")
    assert fake.last(Generate)[1].prompt.text == "Once upon"
    first = answer(talk, fake, qtbot, " a time")
    assert talk.conversation.text == "Once upon a time"
    talk.conversation.send(talk.conversation.text + ", far")
    second = answer(talk, fake, qtbot, " away")
    assert talk.conversation.text == "Once upon a time, far away"
    assert talk.conversation.versions(second) == (2, 2)
    talk.conversation.retry(first)
    assert fake.last(Generate)[1].prompt.text == "Once upon"


def test_the_two_modes_keep_their_own_transcripts(talk: State, fake: FakeEngine, qtbot: QtBot) -> None:
    talk.conversation.send("Hi")
    answer(talk, fake, qtbot, "Hello")
    talk.conversation.set_mode("complete")
    assert texts(talk) == []
    talk.conversation.send("Once")
    answer(talk, fake, qtbot, " more")
    assert texts(talk) == ["Once more"]
    talk.conversation.set_mode("chat")
    assert texts(talk) == ["Hi", "Hello"]


def test_without_a_model_nothing_is_lost(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    with qtbot.waitSignal(state.conversation.refused):
        assert not state.conversation.send("Hi")
    assert not fake.given(Generate) and not fake.given(SaveMessage)


def test_a_message_sent_while_the_model_loads_waits_for_it(state: State, fake: FakeEngine) -> None:
    state.workspace.load("models/companion")
    assert fake.given(Load)
    assert state.conversation.send("Hi")
    assert fake.given(Generate)
