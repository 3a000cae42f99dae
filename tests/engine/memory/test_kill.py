"""A process killed while it writes a chat loses nothing that it was told is stored."""

from __future__ import annotations

from pathlib import Path

from bench.kill_store import kills


def test_twenty_kills_over_a_whole_answer_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    outcomes = kills(tmp_path, times=20, seconds=0.8, saves_a_second=50, seed=1)
    assert sum(outcome.saves > 1 for outcome in outcomes) >= 8, "most kills must fall while an answer is written"
