"""Kill a process while it keeps a chat, again and again, and see that nothing it was promised is lost.

    PYTHONPATH=. python tests/bench/kill_store.py --kills 100 --seconds 10 --saves 20

The child runs the real Engine (only its store's lane starts, so no torch) and prints each Done with what it had saved.
The parent kills it at a random moment, opens the store, and compares. One folder serves all kills, so each must also
leave the earlier chats whole.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine import STEPS, Chat, Done, Engine, Failed, SaveChat, SaveMessage, StoredMessage, TokenRecord
from engine.memory.store import Store

ROOT = Path(__file__).resolve().parents[2]

TOKENS_A_SAVE = 3
CANDIDATES = 64
SPARE = 0.1  # seconds, for a store that is made before the first save


def token_text(position: int) -> str:
    return ("wörd ", "日本 ", "plain ", "🙂 ")[position % 4]


def record(position: int) -> TokenRecord:
    """A record that can be told from its position alone."""
    ids = np.arange(position, position + CANDIDATES, dtype=np.int32)
    numbers = np.linspace(5, -5, CANDIDATES, dtype=np.float32) + np.float32(position)
    cut = np.full(CANDIDATES, -1, np.int8)
    pieces = tuple(map(str, ids.tolist()))
    text = token_text(position)
    return TokenRecord(position, position, text, -1.0, 0, 1.0, 2.0, 3.0, ids, numbers, pieces, numbers, cut, STEPS)


# --- the child --------------------------------------------------------------------------------------------------------


def keep_a_chat(home: Path, name: str, seconds: float, saves_a_second: float) -> None:
    """Save a chat as the window would, printing an empty line first, then each promise as it is given.

    A promise is {"id", "tokens", "status", "time"}, or {"failed"}.
    """
    ready = threading.Event()
    engine = Engine(ready.set, home)
    waiting: dict[int, dict[str, object]] = {}

    def save(message: StoredMessage, first: int = 0, end: int = 0) -> None:
        command = SaveMessage(message, tuple(record(position) for position in range(first, end)))
        waiting[engine.submit(command).id] = {"id": message.id, "tokens": end, "status": message.status}

    def tell() -> None:
        ready.clear()
        for event in engine.drain():
            promised = waiting.pop(event.run, None)
            if isinstance(event, Failed):
                promised = {"failed": f"{event.message} {event.details}"}
            if isinstance(event, Done | Failed) and promised is not None:
                os.write(1, json.dumps({**promised, "time": time.time()}).encode() + b"\n")

    os.write(1, b"\n")
    engine.submit(SaveChat(Chat(name, f"Chat {name}")))
    save(StoredMessage(f"{name}-q", name, "", "user", "Tell me a story."))
    start = time.monotonic()
    end = 0
    text = ""
    for number in range(round(seconds * saves_a_second)):
        text += "".join(token_text(position) for position in range(end, end + TOKENS_A_SAVE))
        answer = StoredMessage(f"{name}-a", name, f"{name}-q", "assistant", text, "writing")
        save(answer, end, end + TOKENS_A_SAVE)
        end += TOKENS_A_SAVE
        while (left := start + (number + 1) / saves_a_second - time.monotonic()) > 0:
            ready.wait(left)
            tell()
    save(StoredMessage(f"{name}-a", name, f"{name}-q", "assistant", text, "done"), end, end)
    engine.stop()
    tell()


# --- the parent -------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What one kill left. after: seconds from the first command."""

    after: float
    promised: dict[str, tuple[int, str]] = field(default_factory=dict)  # message id -> tokens, status
    saves: int = 0


def kill_once(home: Path, name: str, seconds: float, saves_a_second: float, after: float) -> Outcome:
    """Start a child, kill it `after` seconds, and return what it was promised until then."""
    command = [sys.executable, __file__, "--child", str(home), name, str(seconds), str(saves_a_second)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    child.stdout.readline()  # until here it only imported
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(after)
    child.kill()
    printed, _ = child.communicate()
    outcome = Outcome(after)
    for line in printed.decode().splitlines():
        promise = json.loads(line)
        assert "failed" not in promise, promise["failed"]
        outcome.promised[promise["id"]] = (promise["tokens"], promise["status"])
        outcome.saves += 1
    return outcome


def inspect(home: Path, outcomes: list[Outcome]) -> None:
    """Open the store after a kill and hold it to every promise made so far."""
    store = Store(home / "vitrine.db")
    try:
        assert store.notice == "", store.notice
        for path in (home / "vitrine.db", home / "vitrine-records.db"):
            with contextlib.closing(sqlite3.connect(path)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        stored = {m.id: m for chat in store.chats() for m in store.chat(chat.id)[1]}
        for outcome in outcomes:
            for key, (tokens, status) in outcome.promised.items():
                assert key in stored, f"{key} was promised and is lost"
                hold(stored[key], tokens, status, store)
    finally:
        store.close()


def hold(message: StoredMessage, tokens: int, status: str, store: Store) -> None:
    """One message against what was promised of it."""
    if message.role == "user":
        assert message.text == "Tell me a story."
        return
    count = message.text.count(" ")
    assert message.text == "".join(map(token_text, range(count))), f"{message.id} is half written"
    assert count >= tokens, f"{message.id} has {count} tokens of {tokens} promised"
    assert message.status == "done" or (message.status, status) == ("interrupted", "writing")
    records = store.records(message.id)
    assert [r.position for r in records] == list(range(len(records)))
    assert tokens <= len(records) <= count
    for found in records[-TOKENS_A_SAVE:]:
        assert found.pieces == record(found.position).pieces


def kills(home: Path, times: int, seconds: float, saves_a_second: float, seed: int) -> list[Outcome]:
    """Kill so many times over the whole answer and a little beyond, its start included, and inspect after each."""
    chance = random.Random(seed)
    lasts = seconds + SPARE
    # One kill in each of `times` equal parts, in random order: random moments that leave no part of the answer out.
    moments = [(part + chance.random()) / times * lasts for part in range(times)]
    chance.shuffle(moments)
    outcomes: list[Outcome] = []
    for number, after in enumerate(moments):
        outcomes.append(kill_once(home, f"{number}", seconds, saves_a_second, after))
        inspect(home, outcomes)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long an answer is written")
    parser.add_argument("--saves", type=float, default=20.0, help="saves a second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        home, name, seconds, saves = arguments.child
        keep_a_chat(Path(home), name, float(seconds), float(saves))
        return
    with tempfile.TemporaryDirectory() as folder:
        outcomes = kills(Path(folder), arguments.kills, arguments.seconds, arguments.saves, arguments.seed)
    for outcome in sorted(outcomes, key=lambda o: o.after):
        print(f"killed after {outcome.after:6.2f} s, {outcome.saves:4} saves promised, none lost")


if __name__ == "__main__":
    main()
