"""Adapters: which of them lie on this machine, and whether a model can take them. A run names those that it uses."""

from __future__ import annotations

from dataclasses import dataclass

from engine.messages.base import Command, Event


@dataclass(frozen=True, slots=True)
class AdapterCard:
    """What is known of an adapter's folder without a model.

    base: the name of the model that it was trained on, as its files say it; "" where they do not. rank: the largest of
    its matrices'. modules: the last part of the names of what it changes ("q_proj"). reason: why it cannot be used, one
    sentence; "" where it can, by the model that was asked for where one was.
    """

    path: str
    name: str
    base: str = ""
    rank: int = 0
    alpha: float = 0.0
    modules: tuple[str, ...] = ()
    parameters: int = 0
    bytes_on_disk: int = 0
    reason: str = ""
    hint: str = ""


# --- commands to the files' thread --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindAdapters(Command):
    """Look for adapters in these folders, each either one itself or a folder of them. -> Progress, Adapters.

    model: the path of the model that is to take them; "" asks only whether they can be read.
    """

    folders: tuple[str, ...]
    model: str = ""


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Adapters(Event):
    cards: tuple[AdapterCard, ...]
