"""Packed matrices are held to the dequantised ones.

The bound: an input value is rounded to the nearest of 127 steps a side of its block of 32, so it is off by at most half
a step, and a result by at most the sum of half a step times |weight|. What float32 loses comes on top: its rounding
(2^-24) for each of the additions, well below the number of columns times the sum of |x| |weight|.
"""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from engine.quantize.groups import Grouped
from engine.quantize.kernels import choice
from engine.quantize.kernels.products import CHUNK, MANY, Kind
from engine.quantize.packed import Packed, Portable, Tiled, matmul, pack

KINDS = [Kind(4, group, zero) for group in (32, 64, 128) for zero in (False, True)] + [
    Kind(8, group, zero=False) for group in (32, 64, 128)
]
SHAPES = [(16, 32), (1, 1), (40, 200), (33, 161), (70, 1100)]

native = pytest.mark.skipif(choice.library(choice.COMMON) is None, reason="no native kernels on this processor")


@pytest.fixture(autouse=True)
def _threads_as_before() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def inputs(rows: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def bound(x: Tensor, weight: Tensor) -> Tensor:
    """How far a product of x may be from the exact one, [M, N]."""
    blocks = functional.pad(x, (0, -x.shape[1] % 32)).unflatten(1, (-1, 32)).double()
    half_step = (blocks.abs().amax(2, keepdim=True) / 254).expand_as(blocks).flatten(1)[:, : x.shape[1]]
    float_loss = x.double().abs() * (2**-24 * (x.shape[1] + 64))
    return (half_step * (1 + 1e-6) + float_loss) @ weight.double().abs().T + 1e-30


def assert_within(y: Tensor, x: Tensor, weight: Tensor) -> None:
    exact = x.double() @ weight.double().T
    assert y.shape == exact.shape and y.dtype == torch.float32
    assert ((y - exact).abs() <= bound(x, weight)).all()


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_product_is_that_of_the_dequantised_matrix_within_the_inputs_rounding(
    kind: Kind, shape: tuple[int, int]
) -> None:
    grouped = choice.sample(kind, *shape)
    packed, weight = pack(grouped), grouped.dense()
    for rows in (1, 2, 3, 4, 7, MANY, CHUNK + 5):
        x = inputs(rows, shape[1], rows)
        (y,) = matmul(x, packed)
        assert_within(y, x, weight)


@native
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_product_is_that_of_the_rounded_input_to_the_last_digits(kind: Kind) -> None:
    grouped = choice.sample(kind, 70, 1100)
    x = inputs(9, 1100)
    exact = choice.rounded(x).double() @ grouped.dense().double().T
    (y,) = matmul(x, pack(grouped))
    assert (y - exact).abs().max() < 1e-5 * exact.abs().max()


@native
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_row_gives_the_same_bits_whatever_the_rows_beside_it_and_the_threads(kind: Kind) -> None:
    packed = pack(choice.sample(kind, 530, 1100))
    x = inputs(CHUNK + 3, 1100)
    torch.set_num_threads(1)
    (alone,) = matmul(x, packed)
    for row in (0, 5, CHUNK + 2):
        assert torch.equal(matmul(x[row : row + 1], packed)[0], alone[row : row + 1])
    assert torch.equal(matmul(x[:7], packed)[0], alone[:7])
    torch.set_num_threads(2)
    assert torch.equal(matmul(x, packed)[0], alone)
    assert torch.equal(matmul(x[:1], packed)[0], alone[:1])


@native
def test_several_matrices_in_one_call_give_what_each_gives_alone() -> None:
    kinds = [Kind(4, 32, False), Kind(4, 128, True), Kind(8, 64, False), Kind(4, 32, False)]
    packed = [pack(choice.sample(kind, rows, 200)) for kind, rows in zip(kinds, (48, 7, 300, 1))]
    for shape in [(1, 200), (3, 200), (2, 5, 200), (200,)]:
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        together = matmul(x, *packed)
        assert [y.shape for y in together] == [(*shape[:-1], each.shape[0]) for each in packed]
        for y, each in zip(together, packed):
            assert torch.equal(y, matmul(x, each)[0])
            assert y.is_contiguous()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_unpacked_it_is_the_dequantised_matrix_bit_for_bit(kind: Kind) -> None:
    for shape in SHAPES:
        grouped = choice.sample(kind, *shape)
        packed = pack(grouped)
        if isinstance(packed, Tiled):
            assert torch.equal(packed.dense(), grouped.dense())
        ids = torch.tensor([[0, shape[0] - 1], [shape[0] // 2, 0]])
        assert torch.equal(packed.rows(ids), packed.dense()[ids])
        assert torch.equal(packed.rows(ids.int().T), packed.dense()[ids.T])
        assert packed.shape == shape


@native
def test_a_number_that_is_no_rows_is_refused() -> None:
    packed = pack(choice.sample(Kind(4, 32, False), 20, 64))
    for number in (-1, 20, 31):
        with pytest.raises(IndexError):
            packed.rows(torch.tensor([number]))
    assert packed.rows(torch.empty(0, dtype=torch.long)).shape == (0, 64)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("rows", [1, 3, MANY + 3])
def test_numbers_that_are_none_make_their_own_row_none(bad: float, bits: int, rows: int) -> None:
    packed = pack(choice.sample(Kind(bits, 32, False), 40, 200))
    x = inputs(rows, 200)
    (clean,) = matmul(x, packed)
    x[rows - 1, 77] = bad
    (y,) = matmul(x, packed)
    assert not y[-1].isfinite().any()
    assert torch.equal(y[:-1], clean[:-1])


@native
@pytest.mark.parametrize("size", [0.0, 1e-44, 1e-38, 1e-31, 1e-25, 1e30])
@pytest.mark.parametrize("scale", [6e-8, 6e-5, 65504.0])
def test_extreme_inputs_and_scales_stay_within_the_bound(size: float, scale: float) -> None:
    grouped = choice.sample(Kind(4, 32, True), 40, 200)
    grouped = Grouped(4, 32, (40, 200), grouped.codes, torch.full_like(grouped.scale, scale), grouped.zero)
    x = inputs(MANY, 200) * size
    (y,) = matmul(x, pack(grouped))
    exact = x.double() @ grouped.dense().double().T
    # Blocks of inputs that are all below 1e-30 count as zeros.
    allowed = bound(x, grouped.dense()) + 1e-30 * grouped.dense().abs().sum(1)
    assert ((y - exact).abs() <= allowed).all()


@native
@pytest.mark.parametrize("kind", [Kind(4, 32, False), Kind(4, 128, True), Kind(8, 128, False)], ids=str)
def test_the_largest_codes_and_inputs_overflow_nothing(kind: Kind) -> None:
    for code in (0, 255) if kind.bits == 4 else (-128, 127):
        grouped = choice.sample(kind, 16, 256)
        grouped.codes.fill_(code)
        for x in (torch.full((1, 256), 3.0), torch.full((1, 256), -3.0), torch.tensor([[3.0, -3.0]]).repeat(MANY, 128)):
            assert_within(matmul(x, pack(grouped))[0], x, grouped.dense())


@native
def test_it_takes_the_bytes_of_its_codes_and_scales() -> None:
    packed = pack(choice.sample(Kind(4, 32, False), 64, 256))
    assert packed.nbytes == 64 * 256 // 2 + 64 * 8 * 2


@native
def test_other_numbers_than_float32_and_views_come_out_as_float32() -> None:
    packed = pack(choice.sample(Kind(4, 32, False), 40, 64))
    x = inputs(64, 12).T
    (y,) = matmul(x, packed)
    assert torch.equal(y, matmul(x.contiguous(), packed)[0])
    half = x.contiguous().bfloat16()
    assert torch.equal(matmul(half, packed)[0], matmul(half.float(), packed)[0])


@native
def test_gradients_reach_the_input() -> None:
    grouped = choice.sample(Kind(4, 32, False), 40, 64)
    packed, x = pack(grouped), inputs(3, 64).requires_grad_()
    first, second = matmul(x, packed, packed)
    assert torch.equal(first, matmul(x.detach(), packed)[0])
    (2 * first + second).sum().backward()
    expected = 3 * grouped.dense().sum(0).expand(3, 64)
    torch.testing.assert_close(x.grad, expected)


@native
def test_matrices_that_were_multiplied_together_give_their_memory_back_at_once() -> None:
    packed = [pack(choice.sample(Kind(4, 32, zero), 40, 64)) for zero in (False, True, False)]
    matmul(inputs(1, 64), packed[0], packed[1])
    matmul(inputs(1, 64), packed[1], packed[0])
    held = [weakref.ref(each.matrix.codes) for each in packed if isinstance(each, Tiled)]
    gc.disable()
    try:
        del packed[1]
        together = matmul(inputs(1, 64), *packed)
        assert torch.equal(together[1], matmul(inputs(1, 64), packed[1])[0])
        packed.clear()
        assert [each() for each in held] == [None, None, None]
    finally:
        gc.enable()


def portable(grouped: Grouped) -> Packed:
    return Portable(grouped)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_torchs_own_operators_multiply_by_what_they_unpack_to(kind: Kind, shape: tuple[int, int]) -> None:
    grouped = choice.sample(kind, *shape)
    packed = portable(grouped)
    weight = packed.dense()
    # bf16 keeps 8 bits: each weight moves by its scale's and its zero's rounding, in 8 bits by half a step of the row.
    if kind.bits == 4:
        scale = grouped.scale.float() * 8 + (0 if grouped.zero is None else grouped.zero.float().abs())
        moved = (scale * 2**-8).repeat_interleave(kind.group, 1)[:, : shape[1]]
    else:
        moved = (grouped.dense().abs().amax(1) * (0.5 / 127 + 2**-8)).unsqueeze(1)
        assert 0 < packed.error < 0.02
    assert ((weight - grouped.dense()).abs() <= moved * 1.02).all()
    ids = torch.tensor([shape[0] - 1, 0])
    assert torch.equal(packed.rows(ids), weight[ids])
    for rows in (1, 5):
        x = inputs(rows, shape[1])
        sizes = x.double().abs() @ weight.double().abs().T
        exact = x.double() @ weight.double().T
        assert ((matmul(x, packed)[0] - exact).abs() <= sizes * 2**-6).all()
    several = matmul(inputs(2, shape[1]), packed, packed)
    assert torch.equal(*several)
