"""Several answers by the real engine and a real model: kept, scored, the likeliest shown, and found again tomorrow."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.chat import Pane
from app.state import State
from engine import SamplingParams
from engine.decoding import loop
from live import LONG, showing

SAMPLING = SamplingParams(temperature=1.3, seed=5, max_new_tokens=24)


def opened(home: Path, assets: Path, qtbot: QtBot) -> AbstractContextManager[tuple[Pane, State]]:
    return showing(Pane, home, qtbot, assets / "models" / "stories260K")


def test_three_answers_are_kept_the_likeliest_is_shown_and_a_restart_shows_the_same(
    home: Path, assets: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, assets, qtbot) as (pane, state):
        talk = state.conversation
        assert talk.chat.mode == "complete"
        state.presets.set_sampling(SAMPLING)
        pane.text.editor.setPlainText("Once upon a time")
        said: list[str] = []
        talk.reading_changed.connect(lambda progress: said.append(progress.phase if progress else ""))
        grown: dict[str, list[str]] = {}
        talk.text_added.connect(lambda key, text: grown.setdefault(key, []).append(text))
        pane.composer.ask_several()
        qtbot.waitUntil(lambda: talk.answering is None, timeout=LONG)
        assert "Answer 3 of 3" in said and said[-1] == ""
        versions = talk.tree.siblings(talk.path[-1].id)
        assert list(grown) == [version.id for version in versions] and all(len(texts) > 1 for texts in grown.values())
        assert ["Once upon a time" + "".join(texts) for texts in grown.values()] == [each.text for each in versions]
        scores = [version.stats["score"] for version in versions]
        assert len({version.text for version in versions}) == 3
        assert [version.settings["seed"] for version in versions] == [5, 6, 7]
        assert talk.path[-1].stats["score"] == max(scores) and talk.path[-1].stats["rank"] == 1
        assert pane.text.text == talk.path[-1].text and pane.text._score.text().startswith("Likeliest of 3")
        for version in versions:
            records = state.captures.records(version.id)
            assert "".join(record.text for record in records) == version.text[len("Once upon a time") :]
            mean = sum(record.logprob for record in records) / len(records)
            assert version.stats["score"] == pytest.approx(mean, abs=1e-5)
        chat, shown = talk.chat.id, talk.path[-1]

    with opened(home, assets, qtbot) as (pane, state):
        talk = state.conversation
        state.library.refresh()
        qtbot.waitUntil(lambda: state.library.chat(chat) is not None, timeout=LONG)
        talk.open(chat)
        qtbot.waitUntil(lambda: bool(talk.path), timeout=LONG)
        assert talk.path[-1] == shown and pane.text.text == shown.text
        assert talk.tree.siblings(shown.id) == versions
        assert pane.text._score.text().startswith("Likeliest of 3")
        other = next(version for version in versions if version.id != shown.id)
        state.what_if.watch("test", True)
        talk.show_version(other.id, 0)
        qtbot.waitUntil(lambda: bool(state.captures.records(other.id)), timeout=LONG)
        state.captures.focus(other.id, 2)
        total = len(state.captures.records(other.id))
        state.presets.set_sampling(SAMPLING)
        # The same draw under the same settings: this version was drawn with a seed of its own, and that was kept.
        qtbot.waitUntil(lambda: state.what_if.outcome.words == f"None of {total} tokens would differ.", timeout=LONG)


def test_stopping_the_real_thing_keeps_whole_answers_and_the_one_under_way(
    home: Path, assets: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, assets, qtbot) as (_, state):
        talk = state.conversation
        state.presets.set_sampling(SAMPLING.replace(max_new_tokens=200, end_token="never"))
        first: list[str] = []

        def grow(key: str, _: str) -> None:
            first.append(key)
            if key != first[0]:  # in the middle of the second
                talk.stop()

        talk.text_added.connect(grow)
        talk.send("Once upon a time", answers=8)
        qtbot.waitUntil(lambda: talk.answering is None, timeout=LONG)
        versions = talk.tree.siblings(talk.path[-1].id)
        assert [version.status for version in versions] == ["length", "stopped"]
        assert all(version.text != "Once upon a time" for version in versions)
        assert talk.path[-1] == versions[0]


def test_when_memory_runs_out_in_the_second_it_is_kept_as_far_as_it_came_and_found_tomorrow(
    home: Path, assets: Path, themed: QApplication, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, draw = [0], loop._draw_and_record

    def scarce(*given: Any) -> Any:
        drawn[0] += 1
        if drawn[0] > 35:
            raise MemoryError
        return draw(*given)

    monkeypatch.setattr(loop, "_draw_and_record", scarce)
    with opened(home, assets, qtbot) as (_, state):
        talk = state.conversation
        state.presets.set_sampling(SAMPLING.replace(end_token="never"))
        with qtbot.waitSignal(talk.refused, timeout=LONG) as said:
            talk.send("Once upon a time", answers=4)
        first, second = talk.tree.siblings(talk.path[-1].id)
        assert (first.status, second.status) == ("length", "failed") and talk.path[-1] == first
        assert said.args is not None and second.stats["error"] == said.args[0]
        records = state.captures.records(second.id)
        assert len(records) == 35 - 24
        assert second.text == "Once upon a time" + "".join(record.text for record in records)
        chat = talk.chat.id
    with opened(home, assets, qtbot) as (_, state):
        state.library.refresh()
        qtbot.waitUntil(lambda: state.library.chat(chat) is not None, timeout=LONG)
        state.conversation.open(chat)
        qtbot.waitUntil(lambda: bool(state.conversation.path), timeout=LONG)
        assert state.conversation.tree.siblings(first.id) == [first, second]


def test_a_branch_by_beams_holds_the_word_that_it_was_made_to_go_on_with(
    home: Path, assets: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, assets, qtbot) as (_, state):
        talk = state.conversation
        state.presets.set_sampling(SamplingParams.neutral(temperature=0.0, beams=3, max_new_tokens=12))
        talk.send("Once upon a time")
        qtbot.waitUntil(lambda: talk.answering is None, timeout=LONG)
        first = talk.path[-1]
        before = "".join(record.text for record in state.captures.records(first.id)[:2])
        talk.branch(first.id, 2, text=" dragon")
        qtbot.waitUntil(lambda: talk.answering is None, timeout=LONG)
        branch = talk.path[-1]
        assert branch.text.startswith(f"Once upon a time{before} dragon") and talk.versions(branch.id) == (2, 2)
        records = state.captures.records(branch.id)
        assert "Once upon a time" + "".join(record.text for record in records) == branch.text
        assert [each.position for each in records] == list(range(records[0].position, records[-1].position + 1))
