"""Which matrices are held in how many bits, and why others are not."""

from __future__ import annotations

import torch
from torch import nn

from engine.models.layers import Conv1D, Embedding, Mixture
from engine.quantize import Scheme, schemes


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = Embedding(1000, 96)
        self.positions = Embedding(64, 96)
        self.wide = nn.Linear(128, 256)
        self.odd = nn.Linear(100, 17)
        self.few = nn.Linear(96, 3)
        self.turned = Conv1D(192, 48)
        self.mixture = Mixture(96, 64, 32, 2, True, "silu")
        self.head = nn.Linear(96, 1000)
        self.norm = nn.LayerNorm(96)


def found(precision: str) -> dict[str, Scheme]:
    with torch.device("meta"):
        return schemes(Model(), precision, {1000})


def test_4_bits_are_for_what_is_multiplied_and_8_for_the_vocabulary() -> None:
    plan = found("int4")
    assert {plan[name].bits for name in ("wide.weight", "odd.weight", "mixture.experts.3.up_proj.weight")} == {4}
    assert (plan["tokens.weight"].bits, plan["head.weight"].bits) == (8, 8)
    assert plan["head.weight"].why
    assert not plan["wide.weight"].why
    assert "norm.weight" not in plan


def test_8_bits_share_a_scale_in_the_widest_group_that_divides_the_width() -> None:
    plan = found("int8")
    groups = [plan[f"{name}.weight"].group for name in ("wide", "turned", "head", "odd")]
    assert groups == [128, 64, 32, 32]
    assert {scheme.bits for scheme in plan.values()} == {0, 8}


def test_what_stays_plain_says_why() -> None:
    plan = found("int4")
    plain = {name for name, scheme in plan.items() if not scheme.bits}
    assert plain == {"positions.weight", "few.weight", "mixture.gate.weight"}
    assert len({plan[name].why for name in plain}) == 3


def test_a_transposed_matrix_is_known_as_one() -> None:
    plan = found("int4")
    assert [name for name, scheme in plan.items() if scheme.transposed] == ["turned.weight"]
