"""A knob, a setting of texts, and what every class of them can do: check, list, and be written down."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass, field
from typing import Any, Self

from engine.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Param:
    """One knob: its range, its neutral value and its words.

    low, high, step: numbers in the field's unit; high is the slider's end as well as the largest value accepted.
    off: the value that switches the step off, or None where nothing does. choices: the accepted strings, in order.
    lowest: what the lowest value stands for where it is no quantity.
    scale: "linear" or "log", how a slider spreads the range. group: the heading under which it is shown.
    """

    default: Any
    low: float | None = None
    high: float | None = None
    step: float | None = None
    off: float | None = None
    choices: tuple[str, ...] = ()
    label: str = ""
    help: str = ""
    group: str = ""
    scale: str = "linear"
    lowest: str = ""
    name: str = ""


def param(
    default: Any,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    *,
    off: float | None = None,
    choices: tuple[str, ...] = (),
    label: str,
    help: str,
    group: str,
    scale: str = "linear",
    lowest: str = "",
) -> Any:
    """Declare a dataclass field together with its Param."""
    knob = Param(default, low, high, step, off, choices, label, help, group, scale, lowest)
    return field(default=default, metadata={"param": knob})


@dataclass(frozen=True, slots=True)
class Words:
    """A setting that is texts and no number, and its words. several: a list of them, else one text.

    weighed: each text comes with a number. file: the command line names a file that holds it.
    """

    label: str
    help: str
    several: bool = True
    weighed: bool = False
    file: bool = False
    name: str = ""


def words(default: tuple[Any, ...] | str, *, label: str, help: str, weighed: bool = False, file: bool = False) -> Any:
    """Declare a dataclass field of texts together with its Words."""
    return field(default=default, metadata={"words": Words(label, help, not isinstance(default, str), weighed, file)})


class Params:
    """Base of the parameter dataclasses: range check, table, and a dictionary form that survives versions."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for knob in self.table():
            object.__setattr__(self, knob.name, _checked(knob, getattr(self, knob.name)))

    @classmethod
    @functools.cache  # asked for at every token
    def table(cls) -> tuple[Param, ...]:
        """Every knob of this class, in the order of declaration, with its field's name filled in."""
        return tuple(
            dataclasses.replace(item.metadata["param"], name=item.name)
            for item in dataclasses.fields(cls)  # type: ignore[arg-type]
            if "param" in item.metadata
        )

    @classmethod
    @functools.cache
    def texts(cls) -> tuple[Words, ...]:
        """Every setting that is texts, in the order of declaration, with its field's name filled in."""
        return tuple(
            dataclasses.replace(item.metadata["words"], name=item.name)
            for item in dataclasses.fields(cls)  # type: ignore[arg-type]
            if "words" in item.metadata
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> tuple[Self, tuple[str, ...]]:
        """Build from a preset or a file; returns the params and the names of the keys that are not known here.

        Missing keys take their default. A known key with a wrong value raises InvalidValue.
        """
        known = {item.name for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
        taken = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items() if key in known}
        return cls(**taken), tuple(sorted(set(values) - known))

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        values = dataclasses.asdict(self)  # type: ignore[call-overload]
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}

    @property
    def resting(self) -> dict[str, str]:
        """The knobs that do nothing as things stand, and why, a sentence each."""
        return {}

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked like any other."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


def _checked(knob: Param, value: Any) -> Any:
    if knob.choices:
        if value not in knob.choices:
            raise InvalidValue(
                f"{knob.name} is {value!r}, which is none of {', '.join(knob.choices)}.", "Choose one of these."
            )
        return value
    if knob.low is None:
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63
    if number and isinstance(knob.default, int) and value == int(value):
        value = int(value)
    elif number and isinstance(knob.default, int):
        number = False
    if not number or not knob.low <= value <= (knob.high if knob.high is not None else math.inf):
        raise InvalidValue(
            f"{knob.name} is {value!r}, outside {knob.low:g} to {knob.high if knob.high is not None else math.inf:g}.",
            f"The default is {knob.default:g}.",
        )
    return value if isinstance(knob.default, int) else float(value)
