"""Whether the window stalls while a large checkpoint loads.

Not a test: run it by hand, on a real or a virtual screen.

    xvfb-run -s "-screen 0 1280x800x24" .venv/bin/python tests/bench/load_window.py [--gigabytes 2]

Writes the random checkpoint of load.py, shows the real window with the Models pane open, and loads it there. A timer of
one frame (16 ms) ticks on the GUI thread from the click until the model is there; every interval between its ticks is
kept, and so is the longest turn of the event loop by itself (what ran between two of its sleeps). The goal: none above
50 ms. The figures of a window at rest, taken just before, tell what the machine itself adds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FRAME = 16
STALL = 50.0  # milliseconds


def figures(intervals: list[float]) -> dict[str, object]:
    intervals = sorted(intervals)
    return {
        "ticks": len(intervals),
        "p50_ms": round(intervals[len(intervals) // 2], 1),
        "p99_ms": round(intervals[int(len(intervals) * 0.99)], 1),
        "longest_ms": round(intervals[-1], 1),
        "stalls": sum(each > STALL for each in intervals),
    }


def loading(model: Path, precision: str, size: tuple[int, int]) -> None:
    """One fresh process' figures, a line each."""
    from PySide6.QtCore import QElapsedTimer, QEventLoop, Qt, QTimer
    from PySide6.QtWidgets import QApplication

    from app import theme
    from app.bridge import Bridge
    from app.settings import Settings
    from app.state import make_state
    from app.window import Window
    from engine import Engine, LoadParams, data_folder

    app = QApplication(["vitrine"])
    theme.follow(app, "light")
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(data_folder()))
    window = Window(state)
    window.resize(*size)
    window.docks["models"].show()
    window.show()
    bridge.start()

    def wait(until: Callable[[], bool], limit: float = 300.0) -> None:
        loop, end = QEventLoop(), time.monotonic() + limit
        poll = QTimer(interval=20)  # a real event loop that sleeps: one that spins would starve the engine
        poll.timeout.connect(lambda: loop.quit() if until() or time.monotonic() > end else None)
        poll.start()
        loop.exec()
        assert until(), "took too long"

    intervals: list[tuple[float, str]] = []
    clock = QElapsedTimer()
    tick = QTimer(timerType=Qt.TimerType.PreciseTimer, interval=FRAME)

    def note() -> None:
        now = state.workspace.loading
        intervals.append(
            (clock.nsecsElapsed() / 1e6, "" if now is None else f"{now.phase} {now.done * 100 // max(now.total, 1)} %")
        )
        clock.restart()

    tick.timeout.connect(note)
    for name, begin in (
        ("starting", lambda: None),
        ("at rest", lambda: None),
        ("loading", lambda: state.workspace.load(str(model), LoadParams(precision=precision, threads=1, device="cpu"))),
    ):
        intervals.clear()
        clock.start()
        tick.start()
        began = time.monotonic()
        begin()
        wait(lambda: time.monotonic() > began + 3 if name != "loading" else state.workspace.info is not None)  # noqa: B023
        tick.stop()
        result = {"window": name, "precision": precision, "seconds": round(time.monotonic() - began, 2)}
        longest = [f"{ms:.0f} ms: {phase}" for ms, phase in sorted(intervals, reverse=True)[:3]]
        print(json.dumps({**result, **figures([ms for ms, _ in intervals]), "where": longest}), flush=True)
    window.close()
    bridge.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--size", default="1280x800")
    parser.add_argument("--model", type=Path, help="a model folder of your own instead of a random one")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        width, height = map(int, given.size.split("x"))
        loading(Path(given.child[0]), given.child[1], (width, height))
        return
    sys.path.insert(0, str(ROOT))
    for precision, share in (("auto", 1.0), ("fp32", 0.5)):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
            if given.model is None:
                from load import write

                write(Path(folder), round(given.gigabytes * 1e9 * share))
                give_a_tokenizer(Path(folder))
            env = {**os.environ, "VITRINE_HOME": home, "PYTHONPATH": str(ROOT)}
            model = str(given.model or folder)
            command = [sys.executable, __file__, "--size", given.size, "--child", model, precision]
            subprocess.run(command, env=env, cwd=ROOT, check=True)


def give_a_tokenizer(folder: Path) -> None:
    """The window loads whole models: give the random one words, as many as it has embeddings."""
    from tokenizers import Tokenizer, models

    words = {f"w{number}": number for number in range(json.loads((folder / "config.json").read_text())["vocab_size"])}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    main()
