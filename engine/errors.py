"""What goes wrong, said once: an EngineError is a sentence for the person and a suggestion for what to do next.

Errors are raised where they are found, caught in one place (engine/lanes.py) and shown in one place (app/errors.py).
"""

from __future__ import annotations


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


class Cancelled(Exception):
    """The run was cancelled: silence, never shown."""
