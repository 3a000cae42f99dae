"""Blocks of a decoder as one native call for a few tokens: what is multiplied, where it lies, and the call itself.

It knows addresses, no modules: whoever builds it says which weights belong where. The cache's rows are given with each
call, since they move when it grows.
"""

from __future__ import annotations

import array
import ctypes
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from engine.quantize.kernels.cached import Bytes, Form, Half
from engine.quantize.kernels.lowrank import AT_ONCE
from engine.quantize.kernels.native import Library
from engine.quantize.kernels.plan import Matrix, Plan, parallel
from engine.quantize.kernels.stretch import LAYER, PHASES, Dimensions, Stretch
from engine.quantize.kernels.team import team
from engine.quantize.rows import Rows

__all__ = ["Additions", "Dimensions", "FusedBlocks", "Weights"]

LINE = 64
"""Bytes that processors pass to each other at once: scratch of two threads does not share any."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """One block's. qkv_bias: float32 of queries, keys and values behind each other; q_norm and k_norm: of a head."""

    norm: Tensor
    qkv: tuple[Matrix, ...]
    out: Matrix
    next_norm: Tensor
    gate_up: tuple[Matrix, ...]
    down: Matrix
    qkv_bias: Tensor | None = None
    out_bias: Tensor | None = None
    q_norm: Tensor | None = None
    k_norm: Tensor | None = None


Additions = Mapping[Matrix, tuple[Tensor, Tensor]]
"""By the matrix W [N, K] that they belong to: A [ranks, K] and B [ranks, N], float32; W x becomes W x + B' A x."""


class FusedBlocks:
    """All blocks of a model. Dimensions have to be multiples of eight."""

    def __init__(
        self, dimensions: Dimensions, blocks: Sequence[Weights], library: Library, additions: Additions | None = None
    ) -> None:
        self._d = dimensions
        self._blocks = tuple(blocks)
        self._library = library
        self._parallel, self._team_size, self._give_way = _threads()
        self._held: list[object] = []  # whose memory the addresses below are of
        self._additions = {matrix: self._addition(*pair) for matrix, pair in (additions or {}).items()}
        self._ranks = max((len(A) for A, _ in (additions or {}).values()), default=0)
        self._ranks += -self._ranks % AT_ONCE
        records = array.array("q")
        for block in blocks:
            records.extend(self._record(block))
        self._layers = records
        self._count = len(blocks)
        self._counters = array.array("q", [0] * (PHASES * len(blocks)))
        self._shared = torch.empty(0)
        self._own = torch.empty(0)
        self._zeros = bytes(8 * len(self._counters))

    def adapted(self, additions: Additions) -> FusedBlocks:
        """The same blocks with low-rank additions to some of their products; the weights are shared."""
        return FusedBlocks(self._d, self._blocks, self._library, additions)

    def __call__(
        self,
        x: Tensor,
        positions: tuple[Tensor, Tensor],
        rows: Rows,
        position: int,
        shown: Mapping[int, Tensor],
    ) -> Tensor:
        """The states x, float32 [1, T, C] at position and those behind it, behind all blocks.

        shown: zeros of float32 [H, T, position + T] for each layer whose attention is wanted, which is written there.
        positions: cosines and signed sines of the positions. rows: where keys and values [K, ..., D] lie, with room for
        T more positions.
        """
        d, many = self._d, x.shape[1]
        threads = (team.gather(self) if many == 1 else team.size) if self._parallel else 1
        own_bytes = (4 * d.own_floats(many, position + many, self._ranks) + LINE - 1) // LINE * LINE
        if self._own.nbytes < threads * own_bytes:
            self._own = torch.empty(threads * own_bytes // 2)  # twice as much as is needed now
        if self._shared.numel() < d.shared_floats(many):
            self._shared = torch.empty(d.shared_floats(many))
        x = x.clone(memory_format=torch.contiguous_format)
        ctypes.memset(self._counters.buffer_info()[0], 0, len(self._zeros))
        splits = 1 if threads == 1 or d.kv_heads % threads == 0 else d.heads // d.kv_heads
        cosines, sines = positions
        watched = array.array("q", self._zeros[: 8 * self._count])
        for layer, weights in shown.items():
            watched[layer] = weights.data_ptr()
        numbers = (
            self._layers.buffer_info()[0], self._count, rows.addresses.buffer_info()[0], watched.buffer_info()[0],
            x.data_ptr(), many, cosines.data_ptr(), sines.data_ptr(), position, rows.stride, splits,
            self._shared.data_ptr(), self._own.data_ptr(), own_bytes, self._ranks, self._counters.buffer_info()[0],
            self._parallel, self._team_size, self._give_way, threads, 0, 0, 0,
        )  # fmt: skip
        call = array.array("q", numbers)
        begun = time.perf_counter()
        self._function(Bytes() if rows.eight_bit else Half())(call.buffer_info()[0])
        if self._parallel and many == 1:
            team.took(time.perf_counter() - begun)
        return x

    def _function(self, form: Form) -> Callable[[int], None]:
        """The blocks for that form of keys and values."""
        d = self._d
        return self._library.function("stretch", f" {d!r} {form.name}", lambda module: Stretch(module, d, form))

    def _addition(self, A: Tensor, B: Tensor) -> int:
        """The address of what lowrank.py reads of one."""
        A, B = (functional.pad(each, (0, 0, 0, -len(each) % AT_ONCE)).contiguous() for each in (A, B))
        record = array.array("q", [len(A), A.data_ptr(), B.data_ptr()])
        self._held += [A, B, record]
        return record.buffer_info()[0]

    def _record(self, block: Weights) -> list[int]:
        def address(tensor: Tensor | None) -> int:
            return 0 if tensor is None else tensor.data_ptr()

        def plan(*matrices: Matrix) -> int:
            made = Plan(matrices, [self._additions.get(matrix, 0) for matrix in matrices])
            self._held.append(made)
            return made.address

        numbers = {
            "norm": address(block.norm),
            "qkv": plan(*block.qkv),
            "qkv_bias": address(block.qkv_bias),
            "q_norm": address(block.q_norm),
            "k_norm": address(block.k_norm),
            "out": plan(block.out),
            "out_bias": address(block.out_bias),
            "next_norm": address(block.next_norm),
            "gate_up": plan(*block.gate_up),
            "down": plan(block.down),
        }
        return [numbers[name] for name in LAYER]


@functools.cache
def _threads() -> tuple[int, int, int]:
    """Addresses of GOMP_parallel, omp_get_num_threads and sched_yield; zeros where only one thread is to be had."""
    start = parallel()
    for path in (Path(torch.__file__).parent / "lib").glob("libgomp*.so*") if start else ():
        try:
            team, give_way = ctypes.CDLL(str(path)).omp_get_num_threads, ctypes.CDLL(None).sched_yield
        except (OSError, AttributeError):
            continue
        return start, _address(team), _address(give_way)
    return 0, 0, 0


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
