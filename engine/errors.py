"""What goes wrong, said once: an EngineError is a sentence for the person and a suggestion for what to do next.

Errors are raised where they are found, caught in one place (engine/lanes.py) and shown in one place (app/errors.py).
"""

from __future__ import annotations

import errno

SIGNS = ("not enough memory", "out of memory", "allocate memory", "bad_alloc", "can't start new thread")
"""Of what torch, safetensors and Python say where the system gives no more."""


class EngineError(Exception):
    """Something the person can act on.

    message: what is wrong and which value, one sentence. hint: what to do, one sentence, or empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UnsupportedModel(EngineError):
    """A real model that Vitrine cannot run yet; message names the key and the value that stop it."""


class BadModelFiles(EngineError):
    """Files that are missing, truncated or contradict each other; message names the file."""


class InvalidValue(EngineError):
    """A parameter outside its range or of the wrong type; message names the parameter and the range."""


class ContextOverflow(EngineError):
    """A prompt that does not fit into the model's context; message gives both counts."""


class OutOfMemory(EngineError):
    """There is not enough memory; hint says what would fit. missing: the bytes that lacked, 0 where nobody knows."""

    def __init__(self, message: str, hint: str = "", missing: int = 0) -> None:
        super().__init__(message, hint)
        self.missing = missing


class Cancelled(Exception):
    """The run was cancelled: silence, never shown."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, means that memory ran out."""
    while error is not None:
        if isinstance(error, OutOfMemory | MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if not isinstance(error, EngineError) and any(sign in str(error) for sign in SIGNS):
            return True
        error = error.__cause__
    return False
