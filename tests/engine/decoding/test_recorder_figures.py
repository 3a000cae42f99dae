"""What a record says of the whole distribution, and which candidates it names, against torch."""

from __future__ import annotations

import math

import pytest
import torch

from engine.decoding.recorder import _summary, top_ids


@pytest.mark.parametrize("cut", [0, 5])
@pytest.mark.parametrize("size", [12, 50_000])
def test_the_figures_are_those_of_the_distribution(size: int, cut: int) -> None:
    torch.manual_seed(size)
    logits = torch.randn(size) * 4 + 30
    logits[:cut] = -math.inf
    found = _summary(logits.numpy(), 7)
    wide = logits.double()
    p = wide.softmax(0)
    assert found.lse == pytest.approx(float(wide.logsumexp(0)), rel=1e-6)
    assert found.logprob == pytest.approx(float(wide.log_softmax(0)[7]), rel=1e-5, abs=1e-5)
    assert found.entropy == pytest.approx(float(-(p * p.log()).nansum()), rel=1e-4)
    assert found.rank == int((logits > logits[7]).sum())
    assert math.isnan(found.std) if cut else found.std == pytest.approx(float(wide.std(correction=0)), rel=1e-5)


def test_a_certain_token_has_no_entropy() -> None:
    logits = torch.full((9,), -math.inf)
    logits[2] = 1.5
    found = _summary(logits.numpy(), 2)
    assert (found.logprob, found.rank, found.entropy, found.lse) == (0.0, 0, 0.0, 1.5)


@pytest.mark.parametrize("count", [0, 1, 20, 12_000])
def test_the_largest_come_in_order(count: int) -> None:
    logits = torch.randn(10_000, generator=torch.Generator().manual_seed(1))
    found = top_ids(logits, count)
    assert torch.equal(logits[found], torch.topk(logits, min(count, 10_000)).values)
    assert found.unique().numel() == found.numel()


def test_of_equal_ones_no_more_are_named_than_were_asked_for() -> None:
    logits = torch.tensor([1.0, 3.0, 3.0, 3.0, 2.0])
    assert top_ids(logits, 2).tolist() == [1, 2]
