"""Where keys and values lie, for native code that reads them and writes those of new positions itself."""

from __future__ import annotations

import array
from typing import NamedTuple


class Rows(NamedTuple):
    """addresses: of each layer's keys, values, and the scales of both in turn; 0 where there are none.

    Keys and values are [K, ..., D], in half precision or in 8 bits (kernels/cached.py); stride: positions from head to
    head.
    """

    addresses: array.array[int]
    stride: int
    eight_bit: bool
