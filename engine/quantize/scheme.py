"""Which matrices of a model are held in groups of few bits, and why another is not.

The rule looks at shapes and places only, so that it can be told before a weight is read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import nn

FEWEST = 16
"""Rows of the smallest matrix that is quantised: packed, its rows lie in tiles of 16."""

GROUP_OF_4 = 32
"""Weights that share a scale in 4 bits: with 64 the bundled models lie farther from their own answers than in Q4_K."""

GROUPS_OF_8 = (128, 64, 32)
"""The same in 8 bits, where even the widest costs nearly nothing: the first that divides the width is taken."""

BITS = {"int4": 4, "int8": 8, "nf4": 4}


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a matrix is held. bits: 4 or 8, or 0 for plain numbers; why: the reason where it is not what was asked for.

    transposed: whether the checkpoint has it as [inputs, outputs].
    """

    bits: int
    group: int = 0
    why: str = ""
    transposed: bool = False


def schemes(model: nn.Module, precision: str, vocabularies: Collection[int], device: str = "cpu") -> dict[str, Scheme]:
    """Parameter name -> scheme of every matrix, for one of the precisions in BITS.

    vocabularies: how many rows the tables of tokens have, and the heads that score them. On a GPU these stay plain, and
    groups are bitsandbytes's affair.
    """
    found: dict[str, Scheme] = {}
    for path, module in model.named_modules():
        transposed = getattr(module, "transposed", False)
        if isinstance(module, nn.Linear | nn.Embedding) or transposed:
            choosing = hasattr(model.get_submodule(path.rpartition(".")[0]), "experts")
            scheme = _scheme(module, BITS[precision], vocabularies, transposed, choosing)
            if device != "cpu" and scheme.bits:
                rows = module.get_parameter("weight").shape[1 if transposed else 0]
                plain = isinstance(module, nn.Embedding) or rows in vocabularies
                why = "the vocabulary stays in 16 bits on a GPU" if plain else ""
                scheme = Scheme(0 if plain else BITS[precision], 0, why, transposed)
            found[f"{path}.weight"] = scheme
    return found


def _scheme(module: nn.Module, bits: int, vocabularies: Collection[int], transposed: bool, choosing: bool) -> Scheme:
    rows, columns = module.get_parameter("weight").shape[:: -1 if transposed else 1]
    if isinstance(module, nn.Embedding) and rows not in vocabularies:
        return Scheme(0, why="positions and kinds are looked up, not multiplied")
    if rows < FEWEST:
        return Scheme(0, why=f"fewer than {FEWEST} rows")
    if choosing:
        return Scheme(0, why="a choice among experts costs little and must be right")
    if bits == 4 and rows in vocabularies:
        return Scheme(8, group_of_8(columns), "the vocabulary loses most in 4 bits", transposed)
    return Scheme(bits, GROUP_OF_4 if bits == 4 else group_of_8(columns), "", transposed)


def group_of_8(columns: int) -> int:
    """How many weights of a row that wide share a scale in 8 bits."""
    return next((group for group in GROUPS_OF_8 if columns % group == 0), GROUPS_OF_8[-1])
