"""How the real window behaves: first paint, and the event loop while a real model streams with every pane open.

Not a test: run it by hand, on a real or a virtual screen.

    xvfb-run -s "-screen 0 1920x1080x24" .venv/bin/python tests/bench/window.py [--model assets/models/companion]

First window: seconds from the start of the process to the first paint, median of several starts, and whether torch had
been imported by then. Streaming: a chat of 200 messages is open and an answer is written at full speed; a timer of one
frame (16 ms) ticks on the GUI thread, and every interval between its ticks is kept. What a person feels as a stall is
the longest of them. Beside them stands the processor time that the thread spent in each, which other programs do not
lengthen. Tokens per second are the engine's own figure, with all panes open and with all closed; a busy
process beside it can be added with --busy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.window import Window

ROOT = Path(__file__).resolve().parents[2]
FRAME = 16

FIRST_WINDOW = """
import sys, time
from app import session
def painted(self):
    print(time.monotonic(), "torch" in sys.modules, flush=True)
    from PySide6.QtWidgets import QApplication
    QApplication.quit()
session.Session.start = painted
from app.__main__ import main
main([])
"""


def first_window(times: int) -> dict[str, object]:
    """Start the program `times` times; the first start warms the disk and does not count."""
    seconds, torch_seen = [], False
    with tempfile.TemporaryDirectory() as home:
        for _ in range(times + 1):
            began = time.monotonic()
            out = subprocess.run(
                [sys.executable, "-c", FIRST_WINDOW],
                cwd=ROOT,
                env={**os.environ, "VITRINE_HOME": home},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            seconds.append(float(out[0]) - began)
            torch_seen |= out[1] == "True"
    return {"first_window_s": round(statistics.median(seconds[1:]), 3), "torch_imported_before": torch_seen}


def show_all(window: Window, columns: list[list[str]]) -> None:
    """Every pane in full view, most of the room to those that are drawn at every token."""
    from PySide6.QtCore import Qt

    for names in columns:
        docks = [window.docks[name] for name in names]
        window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, docks[0], Qt.Orientation.Horizontal)
        for above, dock in pairwise(docks):
            window.splitDockWidget(above, dock, Qt.Orientation.Vertical)
        for dock in docks:
            dock.show()
    window.resizeDocks([window.docks[names[0]] for names in columns], [480] * 2, Qt.Orientation.Horizontal)
    for names in columns:
        heights = [1000 if name in ("probabilities", "attention") else 1 for name in names]
        window.resizeDocks([window.docks[name] for name in names], heights, Qt.Orientation.Vertical)


def streaming(model: Path, panes: bool, seconds: float, size: tuple[int, int]) -> dict[str, object]:
    """One fresh process' figures; called in a child so that runs do not warm each other."""
    from PySide6.QtCore import QElapsedTimer, QEventLoop, Qt, QTimer
    from PySide6.QtWidgets import QApplication

    from app import theme
    from app.bridge import Bridge
    from app.settings import Settings
    from app.state import make_state
    from app.window import DOCKS, Window
    from engine import (
        Chat,
        Engine,
        Generated,
        LoadParams,
        SamplingParams,
        SaveChat,
        SaveMessage,
        StoredMessage,
        data_folder,
    )

    app = QApplication(["vitrine"])
    settings = Settings(data_folder())
    theme.follow(app, "light")
    bridge = Bridge(Engine)
    state = make_state(bridge, settings)
    window = Window(state)
    window.resize(*size)
    window.show()
    bridge.start()

    def wait(until: Callable[[], bool], limit: float = 60.0) -> None:
        loop, end = QEventLoop(), time.monotonic() + limit
        poll = QTimer(interval=20)  # a real event loop that sleeps: one that spins would starve the engine
        poll.timeout.connect(lambda: loop.quit() if until() or time.monotonic() > end else None)
        poll.start()
        loop.exec()
        assert until(), "took too long"

    chat, parent = uuid.uuid4().hex, ""
    last = None
    state.workspace.submit(SaveChat(Chat(chat, "Two hundred messages", updated=time.time(), created=time.time())))
    for i in range(200):
        text = f"**Message {i}** says a few words and `code`:\n\n- one\n- two\n\n" + "Some more text. " * 12
        message = StoredMessage(
            uuid.uuid4().hex, chat, parent, "user" if i % 2 == 0 else "assistant", text, created=time.time()
        )
        parent = message.id
        last = state.workspace.submit(SaveMessage(message))
    ended: set[int] = set()
    state.workspace.event.connect(lambda event: ended.add(event.run) if type(event).__name__ == "Done" else None)
    wait(lambda: last is not None and last.id in ended)
    state.library.refresh()
    wait(lambda: bool(state.library.chats))
    state.workspace.load(str(model), LoadParams(threads=1, precision="fp32"))
    wait(lambda: state.workspace.info is not None)
    state.conversation.open(chat)
    wait(lambda: len(state.conversation.path) == 200)
    # What is told to the model is short, so that the answer can be long; the window shows all 200 all the same.
    state.conversation._prompt_before = lambda message: __import__("engine").Prompt(text="Once upon a time")
    state.presets.set_sampling(SamplingParams(temperature=1.0, max_new_tokens=900, seed=1))
    for dock in window.docks.values():  # out of their tabs, into which a split would only put them again
        window.removeDockWidget(dock)
    if panes:
        show_all(window, [[name for name, _, _ in DOCKS[start::2]] for start in (0, 1)])
    wait_until = time.monotonic() + 1.5
    wait(lambda: time.monotonic() > wait_until)

    results: list[Generated] = []
    state.workspace.event.connect(lambda event: results.append(event) if isinstance(event, Generated) else None)
    intervals: list[tuple[float, float]] = []  # while words arrive: wall and processor time of the thread
    sending: list[tuple[float, float]] = []  # from Send to the first word: the chat is laid out, the prompt is read
    now = [sending]
    clock, spent = QElapsedTimer(), [0.0]

    def turn() -> None:
        wall, processor = clock.nsecsElapsed() / 1e6, time.thread_time()
        now[0].append((wall, (processor - spent[0]) * 1e3))
        spent[0] = processor
        clock.restart()

    tick = QTimer(timerType=Qt.TimerType.PreciseTimer, interval=FRAME)
    tick.timeout.connect(turn)
    state.conversation.text_added.connect(lambda *_: now.__setitem__(0, intervals))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        count = len(results)
        now[0] = sending
        spent[0] = time.thread_time()
        clock.start()
        tick.start()
        assert state.conversation.send("Tell me more.")
        wait(lambda count=count: len(results) > count or time.monotonic() > end)
        tick.stop()
        if len(results) == count:
            state.conversation.stop()
            wait(lambda count=count: len(results) > count)
        wait(lambda: state.conversation.answering is None)
    tokens = sum(len(result.ids) for result in results)
    decode = sum(result.decode_seconds for result in results)
    state.conversation.finish()
    window.close()
    bridge.stop()
    walls, processors = (sorted(values) for values in zip(*intervals))
    return {
        "panes": panes,
        "tokens": tokens,
        "tokens_per_s": round(tokens / decode, 1),
        "ticks": len(walls),
        "frame_p50_ms": round(walls[len(walls) // 2], 1),
        "frame_p99_ms": round(walls[int(len(walls) * 0.99)], 1),
        "longest_ms": round(walls[-1], 1),
        "longest_at_send_ms": round(max(wall for wall, _ in sending), 1),
        "processor_p50_ms": round(processors[len(walls) // 2], 1),
        "processor_p99_ms": round(processors[int(len(walls) * 0.99)], 1),
        "processor_at_send_ms": round(max(processor for _, processor in sending), 1),
    }


def in_child(arguments: list[str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "VITRINE_HOME": home, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, __file__, *arguments, "--child"], env=env, stdout=subprocess.PIPE, text=True, check=True
        )
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "assets" / "models" / "companion"))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--busy", action="store_true", help="beside a process that spins on one core")
    parser.add_argument("--panes", choices=("open", "closed"), help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        width, height = map(int, given.size.split("x"))
        print(json.dumps(streaming(Path(given.model), given.panes == "open", given.seconds, (width, height))))
        return
    print(json.dumps(first_window(given.starts)), flush=True)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if given.busy else None
    try:
        for panes in ("closed", "open"):
            common = ["--model", given.model, "--seconds", str(given.seconds), "--size", given.size]
            print(json.dumps(in_child([*common, "--panes", panes])), flush=True)
    finally:
        if busy is not None:
            busy.kill()
            busy.wait()


if __name__ == "__main__":
    main()
