"""The door: `vitrine` opens the window, `vitrine SUBCOMMAND ...` is the same as `python -m engine SUBCOMMAND ...`.

A subcommand is handed on before anything of Qt is imported, so it works where there is no display.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Arguments: nothing, a model folder, or a subcommand with its own. Returns the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given:  # else the window shows a thirtieth of a second sooner without these
        from engine.__main__ import SUBCOMMANDS
        from engine.__main__ import main as headless

        if given[0] in SUBCOMMANDS or given[0].startswith("-"):
            return headless(given)
    return open_window(given[0] if given else "")


def open_window(model: str) -> int:
    """Show the window at once, start the engine behind it, and stay until it is closed."""
    from PySide6.QtWidgets import QApplication

    from app import errors, theme
    from app.bridge import Bridge
    from app.session import Session
    from app.settings import Settings
    from app.state import make_state
    from app.window import Window
    from engine import data_folder

    app = QApplication(["vitrine"])
    app.setApplicationName("Vitrine")
    settings = Settings(data_folder())
    theme.follow(app, settings.value("theme"))
    bridge = Bridge.to_engine()
    state = make_state(bridge, settings)
    window = Window(state)
    session = Session(bridge, state, model)
    errors.install(window.chat.notice.fail)
    window.painted.connect(session.start)
    window.show()
    status = app.exec()
    session.end()
    return status


if __name__ == "__main__":
    sys.exit(main())
