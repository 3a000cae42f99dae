"""How the event loop fares while the Text pane shows what two models find of one long text.

Not a test: run it by hand.

    QT_QPA_PLATFORM=offscreen .venv/bin/python tests/bench/text_pane.py [--tokens 4000]

The text is one paragraph, the worst there is: Qt lays out a paragraph as a whole. The scores are made up and arrive one
after the other, as the two models' do; a timer ticks on the GUI thread, and every interval between its ticks is kept,
with the processor time that the thread spent in it, which another program beside it does not lengthen.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QElapsedTimer, QEventLoop, Qt, QTimer
from PySide6.QtWidgets import QApplication

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from app import theme  # noqa: E402
from app.bridge import Bridge  # noqa: E402
from app.panes.score import Pane  # noqa: E402
from app.settings import Settings  # noqa: E402
from app.state import make_state  # noqa: E402
from engine import Done, Loaded, LoadSecond, Score, Scored, SecondLoaded  # noqa: E402
from fakes import FakeEngine, a_model, a_record  # noqa: E402


def scored(tokens: list[str], seed: int) -> Scored:
    """What a model would say of these tokens, at random."""
    likely = random.Random(seed)
    records = tuple(a_record(place, text, 0.01 + 0.98 * likely.random()) for place, text in enumerate(tokens, start=1))
    nll = -sum(record.logprob for record in records)
    ids, logprobs = (5, *(r.id for r in records)), (None, *(r.logprob for r in records))
    mean = math.exp(nll / len(records))
    return Scored(0, ids, ("x", *tokens), logprobs, logprobs, nll, mean, len(records), records)


def wait(until: Callable[[], object]) -> None:
    """A real event loop that sleeps."""
    loop, poll, end = QEventLoop(), QTimer(interval=100), time.monotonic() + 60
    poll.timeout.connect(lambda: loop.quit() if until() or time.monotonic() > end else None)
    poll.start()
    loop.exec()
    assert until(), "took too long"


def measure(count: int, home: Path) -> dict[str, object]:
    app = QApplication(["vitrine"])
    theme.apply(app, theme.LIGHT)
    bridge = Bridge(FakeEngine)
    fake = bridge.engine
    assert isinstance(fake, FakeEngine)
    state = make_state(bridge, Settings(home))
    pane = Pane(state)
    pane.resize(640, 900)
    pane.show()
    fake.play(state.workspace.load("first").id, [Loaded(0, a_model()), Done(0)])
    state.second.load("second")
    fake.play(fake.last(LoadSecond)[0].id, [SecondLoaded(0, a_model(name="Story")), Done(0)])
    wait(lambda: state.second.info)

    letters = random.Random(0)
    words = [" " + "".join(letters.choices("abcdefghijklmnop", k=letters.randint(1, 6))) for _ in range(600)]
    tokens = [letters.choice(words) for _ in range(count)]
    found = [scored(tokens, seed) for seed in (1, 2)]
    text = "x" + "".join(tokens)
    pane.page.field.setPlainText(text)
    turns: list[tuple[float, float]] = []
    clock, spent = QElapsedTimer(), [time.thread_time()]

    def turn() -> None:
        now = time.thread_time()
        turns.append((clock.nsecsElapsed() / 1e6, (now - spent[0]) * 1e3))
        spent[0] = now
        clock.restart()

    tick = QTimer(timerType=Qt.TimerType.PreciseTimer, interval=1)
    tick.timeout.connect(turn)
    state.scoring.score(text)
    first, second = (run for run, command in list(fake.runs.values()) if isinstance(command, Score))
    clock.start()
    tick.start()
    fake.play(first.id, [found[0], Done(0)])
    QTimer.singleShot(300, lambda: fake.play(second.id, [found[1], Done(0)]))
    wait(lambda: len(pane.page.difference.text.plain()) == len(text) - 1)
    tick.stop()
    bridge.stop()
    longest, busiest = (max(values) for values in zip(*turns))
    return {
        "tokens": count,
        "turns": len(turns),
        "longest_ms": round(longest, 1),
        "longest_processor_ms": round(busiest, 1),
        "turns_above_50_ms": sum(wall > 50 for wall, _ in turns),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(measure(given.tokens, Path(home))))


if __name__ == "__main__":
    main()
