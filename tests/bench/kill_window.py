"""Kill the real window while a real model answers in it, and see that what it had acknowledged is there.

    PYTHONPATH=. QT_QPA_PLATFORM=offscreen python tests/bench/kill_window.py --kills 20

The child opens the window on a bundled model, asks for a long story and prints a line for every save that the store
acknowledged: the message, the length of its text, the time. The parent kills it at a random moment of the answer, its
first second included, opens the store and compares. One data folder serves all kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from engine.memory.store import Store

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 9.0  # seconds of an answer of 800 tokens


def answer_until_killed() -> None:
    from PySide6.QtWidgets import QApplication

    from app import theme
    from app.bridge import Bridge
    from app.session import Session
    from app.settings import Settings
    from app.state import make_state
    from app.window import Window
    from engine import Done, Engine, Event, SamplingParams, SaveMessage, data_folder

    app = QApplication(["vitrine"])
    settings = Settings(data_folder())
    theme.follow(app, "light")
    bridge = Bridge(Engine)
    state = make_state(bridge, settings)
    window = Window(state)
    session = Session(bridge, state, str(ROOT / "assets" / "models" / "companion"))
    window.painted.connect(session.start)
    saves: dict[int, SaveMessage] = {}
    submit = state.workspace.submit

    def watched(command, receiver=None):  # type: ignore[no-untyped-def]
        run = submit(command, receiver)
        if isinstance(command, SaveMessage):
            saves[run.id] = command
        return run

    def acknowledged(event: Event) -> None:
        if isinstance(event, Done) and event.run in saves:
            message = saves.pop(event.run).message
            print(json.dumps([message.id, len(message.text), message.status, time.monotonic()]), flush=True)

    def ask(info: object) -> None:
        if info is not None:
            # No end mark can win against the others for long at this temperature, so the answer is a long one.
            wild = SamplingParams(temperature=2.0, top_k=0, top_p=1.0, min_p=0.0, max_new_tokens=800)
            state.presets.set_sampling(wild)
            state.conversation.new_chat()
            state.conversation.send("Tell me a very long story about a dog.")
            print("asked", flush=True)

    state.workspace.submit = watched  # type: ignore[method-assign]
    state.workspace.event.connect(acknowledged)
    state.workspace.model_changed.connect(ask)
    window.show()
    app.exec()


def kill_once(home: str, after: float) -> tuple[float, list[list]]:
    """The time of the kill and the promises printed before it."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--child"],
        env={**os.environ, "VITRINE_HOME": home, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    promises: list[list] = []
    for line in child.stdout:
        if line.strip() == "asked":
            break
        promises.append(json.loads(line))
    reader = threading.Thread(target=lambda: promises.extend(json.loads(x) for x in child.stdout if x.endswith("]\n")))
    reader.start()
    time.sleep(after)
    killed = time.monotonic()
    child.kill()
    child.wait()
    reader.join()
    return killed, promises


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        answer_until_killed()
        return
    dice = random.Random(given.seed)
    total = kept = 0
    with tempfile.TemporaryDirectory() as home:
        everything: dict[str, tuple[int, str]] = {}
        for i in range(given.kills):
            # The first second gets a quarter of the kills.
            after = dice.uniform(0, 1) if i % 4 == 0 else dice.uniform(1, LONGEST)
            killed, promises = kill_once(home, after)
            for key, length, status, _ in promises:
                everything[key] = (length, status)
            total += len(promises)
            old = [p for p in promises if p[3] <= killed - 1]
            store = Store(Path(home) / "vitrine.db")
            try:
                messages = {m.id: m for chat in store.chats() for m in store.chat(chat.id)[1]}
                for key, (length, status) in everything.items():
                    assert key in messages, f"message {key} is lost"
                    assert len(messages[key].text) >= length, f"message {key} lost text"
                    assert status == "writing" or messages[key].status == status
                    joined = "".join(record.text for record in store.records(key))
                    assert messages[key].role == "user" or messages[key].text.startswith(joined)
                    kept += 1
            finally:
                store.close()
            print(f"kill {i + 1:2} after {after:4.1f} s: {len(promises)} saves, {len(old)} a second before")
    print(json.dumps({"kills": given.kills, "acknowledged": total, "lost": 0, "checks": kept}))


if __name__ == "__main__":
    main()
