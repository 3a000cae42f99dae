"""Texts that begin alike share what was read of them, whoever asks next, as far as memory goes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import loaded, write_tiny
from hypothesis import given
from hypothesis import strategies as st

from engine.decoding.contexts import Context, Contexts, shared
from engine.models.base import Decoder
from engine.params import CaptureParams

PLENTY = 2**40
NONE = CaptureParams(candidates=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    model = loaded(write_tiny(tmp_path_factory.mktemp("tiny"), max_position_embeddings=2048)).model
    assert isinstance(model, Decoder)
    return model


def read(context: Context, ids: list[int]) -> torch.Tensor:
    """Keep what fits, read the rest; the logits of what follows."""
    return context.feed(ids[context.keep(ids) :], lambda: None)


def answer(shelf: Contexts, model: Decoder, ids: list[int]) -> tuple[torch.Tensor, int]:
    """The logits after ids from a context of the shelf, and how many ids it had read before."""
    context = shelf.take(model, ids, NONE)
    reused = context.keep(ids)
    logits = context.feed(ids[reused:], lambda: None)
    shelf.put(context)
    return logits, reused


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_the_common_prefix_is_the_longest_that_both_begin_with(a: list[int], b: list[int]) -> None:
    n = shared(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def test_two_chats_with_the_same_beginning_keep_both_prefixes(model: Decoder) -> None:
    shelf = Contexts(lambda: PLENTY)
    system = [1, 2, 3]
    one, two = system + [10] * 40, system + [20] * 30
    answer(shelf, model, one)
    assert answer(shelf, model, two)[1] == len(system)
    for ids in ([*one, 4, 5], [*two, 4, 5], [*one, 4, 5, 6]):
        logits, reused = answer(shelf, model, ids)
        assert reused == len(ids) - (2 if ids[-1] == 5 else 1)
        torch.testing.assert_close(logits, read(Context.fresh(model, NONE), ids), atol=1e-5, rtol=0)


def test_an_edited_message_reuses_what_stands_before_it_and_the_other_branch_stays(model: Decoder) -> None:
    shelf = Contexts(lambda: PLENTY)
    long = [*range(60)]
    answer(shelf, model, long)
    early, late = long[:10] + [99] * 20, long[:50] + [98] * 5
    assert answer(shelf, model, early)[1] == 10
    assert answer(shelf, model, long)[1] == 59
    logits, reused = answer(shelf, model, late)
    assert reused == 50
    torch.testing.assert_close(logits, read(Context.fresh(model, NONE), late), atol=1e-5, rtol=0)


def test_what_a_copy_reads_leaves_the_original_as_it_was(model: Decoder) -> None:
    original = Context.fresh(model, NONE)
    read(original, [*range(30)])
    fork = original.fork(12)
    read(fork, [*range(12), 77, 78])
    assert original.ids == [*range(30)] and fork.ids == [*range(12), 77, 78]
    fresh = Context.fresh(model, NONE)
    read(fresh, [*range(30)])
    assert torch.equal(original.feed([50], lambda: None), fresh.feed([50], lambda: None))


def test_the_least_lately_used_goes_first_when_memory_is_short(model: Decoder) -> None:
    size = Context.fresh(model, NONE)
    read(size, [1])
    room = 2 * size.cache.nbytes
    held = 0
    # Free memory such that a quarter of it and of what is held is always room for two.
    shelf = Contexts(lambda: 4 * room - held)
    for first in (1, 2, 3):
        held = shelf.nbytes + size.cache.nbytes
        answer(shelf, model, [first] * 20)
    assert shelf.nbytes == room
    held = shelf.nbytes
    assert answer(shelf, model, [2] * 21)[1] == 20
    assert answer(shelf, model, [3] * 21)[1] == 20
    assert answer(shelf, model, [1] * 21)[1] == 0


def test_the_last_text_is_kept_however_little_memory_there_is(model: Decoder) -> None:
    shelf = Contexts(lambda: 0)
    answer(shelf, model, [1] * 20)
    answer(shelf, model, [2] * 20)
    assert answer(shelf, model, [2] * 21)[1] == 20
    assert answer(shelf, model, [1] * 21)[1] == 0


def test_a_text_that_is_the_beginning_of_another_is_not_kept_beside_it(model: Decoder) -> None:
    shelf = Contexts(lambda: PLENTY)
    short = shelf.take(model, [1, 2, 3], NONE)
    read(short, [1, 2, 3])
    long = Context.fresh(model, NONE)
    read(long, [1, 2, 3, 4])
    shelf.put(short)
    shelf.put(long)
    assert shelf.nbytes == long.cache.nbytes
    shelf.clear()
    assert shelf.nbytes == 0


def test_another_model_s_contexts_are_not_taken(model: Decoder, tmp_path: Path) -> None:
    other = loaded(write_tiny(tmp_path / "other")).model
    assert isinstance(other, Decoder)
    shelf = Contexts(lambda: PLENTY)
    answer(shelf, model, [1, 2, 3])
    assert shelf.take(other, [1, 2, 3], NONE).ids == []
