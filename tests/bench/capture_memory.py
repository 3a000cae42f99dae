"""What the panes take in memory over a long chat: a text of 4,000 tokens is read and answered, panes closed and open.

Not a test: run it by hand, on a real or a virtual screen.

    xvfb-run -s "-screen 0 1920x1080x24" .venv/bin/python tests/bench/capture_memory.py [--tokens 4000]

The model is a Llama of 135 million random weights in int4, with 30 layers of 9 heads; whole, its attention over such a
text would be 8.6 GB in half precision. Each run is a process of its own, whose private memory is read before the text
is sent, all the while, and when the answer is there.
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
VIEWS = ("closed", "open")


def held() -> float:
    """Private megabytes of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def reading(model: Path, view: str, tokens: int) -> dict[str, object]:
    """One process' figures, in megabytes."""
    from PySide6.QtCore import QEventLoop, QTimer
    from PySide6.QtWidgets import QApplication

    from app import theme
    from app.bridge import Bridge
    from app.settings import Settings
    from app.state import make_state
    from app.window import Window
    from engine import Engine, Generated, LoadParams, SamplingParams, data_folder

    app = QApplication(["vitrine"])
    theme.follow(app, "light")
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(data_folder()))
    window = Window(state)
    window.resize(1600, 1000)
    for name in ("probabilities", "attention"):
        window.docks[name].setVisible(view != "closed")
    window.show()
    bridge.start()
    most = 0.0

    def wait(until: Callable[[], bool]) -> None:
        nonlocal most
        loop, end = QEventLoop(), time.monotonic() + 300

        def look() -> None:
            nonlocal most
            most = max(most, held())
            if until() or time.monotonic() > end:
                loop.quit()

        poll = QTimer(interval=20)
        poll.timeout.connect(look)
        poll.start()
        loop.exec()
        assert until(), "took too long"

    state.workspace.load(str(model), LoadParams(threads=1, precision="int4"))
    wait(lambda: state.workspace.info is not None)
    state.presets.set_sampling(SamplingParams(temperature=1.0, max_new_tokens=60, end_token="never", seed=1))
    results: list[Generated] = []
    state.workspace.event.connect(lambda event: results.append(event) if isinstance(event, Generated) else None)
    most = before = held()
    assert state.conversation.send(" ".join(f"w{number}" for number in range(5, 5 + tokens)))
    wait(lambda: bool(results) and state.conversation.answering is None)
    assert len(results[0].prompt_ids) == tokens
    figures = {"panes": view, "before": before, "most": most, "after": held()}
    state.conversation.finish()
    bridge.stop()
    return {key: value if isinstance(value, str) else round(value) for key, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--child", nargs=2, metavar=("MODEL", "VIEW"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(reading(Path(given.child[0]), given.child[1], given.tokens)))
        return
    sys.path.insert(0, str(ROOT))
    from engine.bench.cold import write_checkpoint
    from engine.bench.shapes import SHAPES

    with tempfile.TemporaryDirectory() as home:
        model = Path(home) / "135m"
        model.mkdir()
        write_checkpoint(model, SHAPES["135m"])
        for view in VIEWS:
            env = {**os.environ, "VITRINE_HOME": str(Path(home) / "data"), "PYTHONPATH": str(ROOT)}
            command = [sys.executable, __file__, "--tokens", str(given.tokens), "--child", str(model), view]
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
            print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
