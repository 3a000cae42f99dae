"""Strict reading of a config.json: a value is what the code expects, or the model is refused by key and value.

A key that does not change the forward pass is simply never taken. A null counts as absent, as in the libraries that
write these files. It knows no family and no torch.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

from engine.errors import BadModelFiles, UnsupportedModel

T = TypeVar("T")

REQUIRED: Any = object()
"""The default of a key that must be there."""

KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    dict: "an object",
    list: "a list",
}


class Reader:
    """One JSON object and the name to call it by in messages ("companion/config.json")."""

    def __init__(self, config: dict[str, Any], source: str) -> None:
        self._config = config
        self.source = source
        self._again = f"Download {source.partition(',')[0]} again."

    def take(self, key: str, kind: type[T], default: T = REQUIRED) -> T:
        """The value of key, of that JSON type; BadModelFiles where it is of another one or missing without default."""
        value = self._config.get(key)
        if value is None:
            if default is REQUIRED:
                raise BadModelFiles(f"{self.source} does not say {key}.", self._again)
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                value = float(value)
            except OverflowError:
                raise self._bad(key, value, "which is too large") from None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._bad(key, value, f"not {KINDS[kind]}")
        return value

    def count(self, key: str, default: int = REQUIRED, most: int = 2**20) -> int:
        """A whole number from 1 to most; by default what keeps any product of three of them a possible size."""
        value = self.take(key, int, default)
        if not 1 <= value <= most:
            raise self._bad(key, value, f"outside 1 to {most}")
        return value

    def positive(self, key: str, default: float = REQUIRED) -> float:
        """A finite number above 0."""
        value = self.take(key, float, default)
        if not (value > 0 and math.isfinite(value)):
            raise self._bad(key, value, "not above 0")
        return value

    def choice(self, key: str, choices: tuple[Any, ...], default: Any) -> Any:
        """A value among those that are implemented; UnsupportedModel names any other."""
        value = self._config.get(key)
        value = default if value is None else value
        if value not in choices:
            known = ", ".join(repr(choice) for choice in choices if choice is not None)
            raise self.refusal(key, value, f"It can do {known}." if known else "Look for a version without it.")
        return value

    def inner(self, key: str) -> Reader | None:
        """The object under key, to be read in turn; None where there is none."""
        if self._config.get(key) is None:
            return None
        return Reader(self.take(key, dict), f"{self.source}, {key}")

    def within(self, key: str, defaults: dict[str, Any]) -> Reader:
        """The object under key, which must be there, with defaults for what it leaves out."""
        return Reader({**defaults, **self.take(key, dict)}, f"{self.source}, {key}")

    def named(self, *keys: str) -> str:
        """The first of these keys that is there, the first of all where none is: one value, named twice over time."""
        return next((key for key in keys if self.has(key)), keys[0])

    def has(self, key: str) -> bool:
        return self._config.get(key) is not None

    def nulls(self, key: str) -> bool:
        """Whether the key is there as null, where a family's reference tells that from a key that is absent."""
        return key in self._config and self._config[key] is None

    def refusal(self, key: str, value: object, hint: str) -> UnsupportedModel:
        return UnsupportedModel(f"{self.source} sets {key} to {value!r:.80}, which Vitrine cannot do yet.", hint)

    def _bad(self, key: str, value: object, why: str) -> BadModelFiles:
        return BadModelFiles(f"{self.source} sets {key} to {value!r:.80}, {why}.", self._again)
