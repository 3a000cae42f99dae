"""From a folder to a model in memory, and the catalog of the folders that hold one.

`load` and `LoadedModel` are imported when first asked for, and torch with them: the catalog does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.loading.loader import LoadedModel, load

__all__ = ["LoadedModel", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from engine.loading import loader

    return getattr(loader, name)
