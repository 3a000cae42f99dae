"""The one place that catches what nobody expected: an exception in a slot is said in the window, never only printed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from types import TracebackType

Report = Callable[[str, str, str], None]


def install(report: Report) -> None:
    """From now on unexpected errors go to report(message, hint, details), on the GUI thread, and to stderr."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(details)
        report(
            f"Vitrine ran into an unexpected {kind.__name__}: {error}",
            "Your chats are stored. The details help to report it.",
            details,
        )

    sys.excepthook = hook
