"""Forms being judged: the engine's word, the latest question only, and files that can and cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from app.state import State
from app.state.structuring import LARGEST, Structuring, Verdict
from engine import CheckStructure, Done, Failed, SamplingParams, StructureChecked
from fakes import FakeEngine


@pytest.fixture
def structuring(state: State) -> Structuring:
    return Structuring(state.workspace)


def test_a_form_is_judged_by_the_engine(structuring: Structuring, fake: FakeEngine, qtbot: QtBot) -> None:
    structuring.judge("regex", "ab+", "abx")
    run, command = fake.last(CheckStructure)
    assert command == CheckStructure(SamplingParams(regex="ab+"), "abx")
    with qtbot.waitSignal(structuring.judged) as judged:
        fake.play(run.id, [StructureChecked(0, 2, False), Done(0)])
    assert judged.args == [Verdict("regex", "ab+", "abx", "", 2, False)]


def test_why_a_form_cannot_be_used_belongs_to_it_alone(
    structuring: Structuring, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    elsewhere = QSignalSpy(state.workspace.failed)
    structuring.judge("grammar", "start: nothing", "")
    run, _ = fake.last(CheckStructure)
    with qtbot.waitSignal(structuring.judged) as judged:
        fake.play(run.id, [Failed(0, "It is not defined.", "Correct it.", "")])
    assert judged.args == [Verdict("grammar", "start: nothing", "", "It is not defined. Correct it.")]
    assert elsewhere.count() == 0


def test_an_earlier_question_is_dropped(structuring: Structuring, fake: FakeEngine, qtbot: QtBot) -> None:
    structuring.judge("regex", "a", "")
    early, _ = fake.last(CheckStructure)
    structuring.judge("regex", "ab", "")
    late, _ = fake.last(CheckStructure)
    assert early.cancelled and not late.cancelled
    spy = QSignalSpy(structuring.judged)
    fake.play(early.id, [StructureChecked(0, 0, True), Done(0)])
    with qtbot.waitSignal(structuring.judged):
        fake.play(late.id, [StructureChecked(0, 0, False), Done(0)])
    assert [spy.at(row)[0].source for row in range(spy.count())] == ["ab"]


def test_a_file_is_read_without_its_last_line_end(structuring: Structuring, tmp_path: Path, qtbot: QtBot) -> None:
    (tmp_path / "date.txt").write_bytes(b"\xef\xbb\xbf\\d+ \r\n")
    with qtbot.waitSignal(structuring.opened) as opened:
        structuring.open(str(tmp_path / "date.txt"))
    assert opened.args == ["\\d+ "]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "form.json could not be read: No such file or directory."),
        (b"\xff\xfe\x00", "form.json is not a text in UTF-8."),
        (b"a" * (LARGEST + 1), "form.json is larger than 64 kB."),
    ],
    ids=["missing", "binary", "large"],
)
def test_a_file_that_cannot_be_read_says_why(
    structuring: Structuring, tmp_path: Path, qtbot: QtBot, content: bytes | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "form.json").write_bytes(content)
    with qtbot.waitSignal(structuring.failed) as failed:
        structuring.open(str(tmp_path / "form.json"))
    assert failed.args == [why]
