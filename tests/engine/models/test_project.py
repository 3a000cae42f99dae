"""Several linear layers of one input: in one go where their kind can, one by one where it cannot."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.models.layers import Embedding, project, vocabulary_scores


class Packed(nn.Module):
    """A linear layer of a kind that multiplies with others of its kind; `calls` counts how often."""

    calls: list[int] = []  # noqa: RUF012

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T

    @staticmethod
    def together(x: Tensor, linears: tuple[Packed, ...]) -> tuple[Tensor, ...]:
        Packed.calls.append(len(linears))
        return tuple(linear(x) for linear in linears)


def test_layers_of_a_kind_that_can_are_read_in_one_go() -> None:
    x, weights = torch.randn(1, 3, 8), [torch.randn(rows, 8) for rows in (4, 2, 2)]
    Packed.calls.clear()
    found = project(x, *(Packed(weight) for weight in weights))
    assert Packed.calls == [3]
    for y, weight in zip(found, weights):
        assert torch.equal(y, x @ weight.T)


def test_layers_of_different_kinds_are_read_one_by_one() -> None:
    x, packed, plain = torch.randn(2, 8), Packed(torch.randn(4, 8)), nn.Linear(8, 5)
    Packed.calls.clear()
    first, second = project(x, packed, plain)
    assert Packed.calls == []
    assert torch.equal(first, packed(x)) and torch.equal(second, plain(x))


def test_a_tied_head_scores_by_the_embedding() -> None:
    embedding = Embedding(7, 4)
    x = torch.randn(1, 2, 4)
    assert torch.equal(vocabulary_scores(x, None, embedding), x @ embedding.weight.T)
