"""Layers whose weight is packed: they stand where a Linear or an Embedding stood, under the same name.

They compute in float32 and on the CPU. What lies in the packed weight, and how it is multiplied, they do not know.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from engine.quantize.packed import Packed, matmul


class QuantLinear(nn.Module):
    """y = x W' + b, with W [N, K] packed."""

    bias: nn.Parameter | None

    def __init__(self, packed: Packed, bias: nn.Parameter | None = None) -> None:
        super().__init__()
        self.packed = packed
        self.bias = bias
        self.out_features, self.in_features = packed.shape

    @property
    def weight(self) -> Tensor:
        """The weights that the codes stand for, unpacked anew at every call."""
        return self.packed.dense()

    def forward(self, x: Tensor) -> Tensor:
        (y,) = matmul(x, self.packed)
        return y if self.bias is None else y + self.bias

    @staticmethod
    def together(x: Tensor, linears: Sequence[QuantLinear]) -> tuple[Tensor, ...]:
        """What each makes of the same x, in one call of the kernel."""
        results = matmul(x, *(linear.packed for linear in linears))
        return tuple(y if linear.bias is None else y + linear.bias for y, linear in zip(results, linears))

    def extra_repr(self) -> str:
        return repr(self.packed)


class QuantEmbedding(nn.Module):
    """Rows of a packed table; a head that is tied to it multiplies by the same."""

    def __init__(self, packed: Packed) -> None:
        super().__init__()
        self.packed = packed

    @property
    def weight(self) -> Tensor:
        """The rows that the codes stand for, unpacked anew at every call."""
        return self.packed.dense()

    def forward(self, ids: Tensor) -> Tensor:
        return self.packed.rows(ids)

    def scores(self, x: Tensor) -> Tensor:
        """As engine.models.layers.Embedding's."""
        (y,) = matmul(x, self.packed)
        return y

    def extra_repr(self) -> str:
        return repr(self.packed)
