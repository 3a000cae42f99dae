"""What an answer may go on from, through the engine: other chats, edited messages, a prompt that was refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from driver import Driver, one
from engine import CaptureParams, Failed, Generate, Generated, Message, Prompt, SamplingParams, Started

GREEDY = SamplingParams.neutral(temperature=0.0, max_new_tokens=12)
BARE = CaptureParams(candidates=0)
ONE = (Message("user", "Tell me a story about a dog who lives in a house by the sea."),)
TWO = (Message("user", "Hi, how are you? What did you do yesterday, and what will you do tomorrow?"),)


@pytest.fixture(scope="module")
def companion(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path_factory.mktemp("home"))
    driver.engine.start()
    driver.load(assets / "models" / "companion")
    yield driver
    assert driver.engine.stop()


def ask(driver: Driver, messages: tuple[Message, ...]) -> tuple[Started, Generated]:
    events = driver.run(Generate(Prompt(messages=messages), GREEDY, BARE))
    return one(events, Started), one(events, Generated)


def longer(messages: tuple[Message, ...], answer: Generated) -> tuple[Message, ...]:
    return (*messages, Message("assistant", answer.text), Message("user", "Tell me more."))


def test_switching_between_two_chats_keeps_both(companion: Driver, assets: Path) -> None:
    one_answer, two_answer = ask(companion, ONE)[1], ask(companion, TWO)[1]
    for messages, answer in ((ONE, one_answer), (TWO, two_answer)):
        started, again = ask(companion, longer(messages, answer))
        assert started.reused >= len(answer.prompt_ids) + len(answer.ids) - 2
        companion.load(assets / "models" / "companion")  # puts down all that was read
        started, fresh = ask(companion, longer(messages, answer))
        assert started.reused == 0 and fresh.ids == again.ids
        ask(companion, ONE)
        ask(companion, TWO)


def test_a_prompt_that_is_refused_costs_no_context(companion: Driver) -> None:
    answer = ask(companion, ONE)[1]
    long = Prompt(ids=answer.prompt_ids * 200)
    assert one(companion.run(Generate(long, GREEDY, BARE)), Failed).hint
    assert ask(companion, longer(ONE, answer))[0].reused >= len(answer.prompt_ids)
