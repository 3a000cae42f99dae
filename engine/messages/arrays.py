"""The types of the arrays that events carry; read-only by agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, and the window shows before it is needed
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Integers = npt.NDArray[np.integer[Any]]
else:
    Floats = Integers = object
