"""The team of threads of short calls: it shrinks while a core is taken and grows again, and hardly ever tries in vain.

Times are made up, so that nothing here depends on the machine.
"""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable, Iterator

import pytest
import torch

from engine.quantize.kernels.team import Team

Times = Callable[[int], float]


@pytest.fixture
def team() -> Iterator[Team]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield Team()
    torch.set_num_threads(before)


def quiet(count: int) -> float:
    return 1 / count


def busy(count: int) -> float:
    """One of four cores is taken: who needs it waits."""
    return 1 / count if count < 4 else 0.6


class Caller:
    """Whose calls they are."""


ME, ANOTHER = Caller(), Caller()


def calls(team: Team, times: Times, many: int, who: object = ME, noise: float = 0.05) -> list[int]:
    source, sizes = random.Random(1), []
    for _ in range(many):
        sizes.append(team.gather(who))
        team.took(times(sizes[-1]) * source.uniform(1 - noise, 1 + noise))
    return sizes


def test_all_take_part_while_nobody_else_runs_and_trials_become_rare(team: Team) -> None:
    sizes = calls(team, quiet, 3000)
    assert sizes[:16] == [4] * 16
    assert 0 < sum(size != 4 for size in sizes) < 0.03 * len(sizes)
    assert sum(size != 4 for size in sizes[1500:]) < 0.015 * 1500


def test_one_leaves_when_a_core_is_taken_and_comes_back_when_it_is_free(team: Team) -> None:
    calls(team, quiet, 500)
    sizes = calls(team, busy, 200)
    assert sizes[30:].count(3) > 0.85 * 170 and team.size == 3
    sizes = calls(team, quiet, 200)
    assert team.size == 4 and sizes[100:].count(4) > 90


def test_the_best_count_is_found_though_it_is_several_away(team: Team) -> None:
    calls(team, lambda count: float(count), 300)
    assert team.size == 1


def test_threads_that_help_little_are_not_dropped_for_noise(team: Team) -> None:
    sizes = calls(team, lambda count: 1 / min(count, 3), 1000, noise=0.02)
    assert sizes.count(4) > 950


def test_what_another_caller_took_says_nothing(team: Team) -> None:
    calls(team, lambda count: float(count), 300)
    assert calls(team, quiet, 10, who=ANOTHER) == [4] * 10


def test_a_team_is_never_larger_than_the_threads_there_are(team: Team) -> None:
    calls(team, quiet, 100)
    torch.set_num_threads(2)
    assert team.size == 2 and set(calls(team, quiet, 100)) <= {1, 2}
    torch.set_num_threads(1)
    assert team.size == 1 and set(calls(team, quiet, 100)) == {1}


def test_a_team_keeps_no_caller_alive(team: Team) -> None:
    caller = Caller()
    seen = weakref.ref(caller)
    calls(team, quiet, 20, who=caller)
    del caller
    gc.collect()
    assert seen() is None, "a model that was unloaded would keep its memory"
    assert calls(team, quiet, 3) == [4] * 3
