"""How long a slider's move takes: every token of a long answer drawn again, and marked in the coloured text.

Not a test: run it by hand.

    .venv/bin/python tests/bench/what_if.py [--tokens 1000] [--vocabulary 50000]

An answer is made up, with 256 stored candidates a token as a real one has them. Printed in milliseconds: deriving all
tokens under several settings, the first time and the best of five (the bound is 16), marking them in the tokens view,
and making the answer ready, which a thread does once; then what a token takes on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from engine import SamplingParams, TokenRecord, WhatIf  # noqa: E402
from engine.memory.records import pack  # noqa: E402

SETTINGS = (
    {"temperature": 1.2},
    {"temperature": 0.7, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
    {"temperature": 1.1, "typical_p": 0.9},
    {"temperature": 0.9, "repetition_penalty": 1.2, "dry_multiplier": 0.8, "top_n_sigma": 1.5},
    {"temperature": 1.0, "xtc_probability": 0.5, "smoothing": 0.3, "tail_free": 0.95},
    {"temperature": 1.0, "repetition_penalty": 1.2, "dry_multiplier": 0.8, "typical_p": 0.9, "top_p": 0.95},
)


def an_answer(tokens: int, vocabulary: int) -> list[TokenRecord]:
    """Records as of a real answer: long-tailed logits, the drawn token often the best, common words among the best."""
    rng, records = np.random.default_rng(7), []
    for position in range(tokens):
        logits = np.sort(rng.gumbel(0, 2.5, vocabulary).astype(np.float32))[::-1]
        lse = float(np.log(np.exp(logits - logits[0], dtype=np.float64).sum()) + logits[0])
        ids = rng.permutation(np.append(np.arange(100), rng.choice(np.arange(100, vocabulary), 156, replace=False)))
        rank = int(min(rng.geometric(0.5) - 1, 255))
        probabilities = np.exp(logits[:256] - lse)
        records.append(
            TokenRecord(
                40 + position, int(ids[rank]), " word", float(logits[rank]) - lse, rank, 3.0, lse, float(logits.std()),
                ids.astype(np.int32), logits[:256].copy(), tuple(f" w{i}" for i in ids.tolist()), probabilities,
                np.full(256, -1, np.int8), ("temperature",),
            )
        )  # fmt: skip
    return records


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--vocabulary", type=int, default=50_000)
    given = parser.parse_args()
    records = an_answer(given.tokens, given.vocabulary)
    history = [*range(40), *(record.id for record in records)]
    made: list[WhatIf] = []
    ready = milliseconds(lambda: made.append(WhatIf(records, history, 3, given.vocabulary, 40)))
    (what_if,) = made
    first = [milliseconds(lambda p=params: what_if.derive(SamplingParams.neutral(**p))) for params in SETTINGS]
    again = [
        min(milliseconds(lambda p=params: what_if.derive(SamplingParams.neutral(**p))) for _ in range(5))
        for params in SETTINGS
    ]
    from PySide6.QtWidgets import QApplication

    from app import theme
    from app.widgets.ink import current_ink
    from app.widgets.token_strip import TokenStrip

    app = QApplication(["vitrine"])
    theme.apply(app, theme.LIGHT)
    strip = TokenStrip(current_ink(15))
    strip.resize(700, 400)
    strip.set(records)
    strip.show()
    app.processEvents()
    derived = what_if.derive(SamplingParams.neutral(temperature=1.2))
    changed = derived.changed.tolist()

    def mark() -> None:
        strip.show_marks(changed, [False] * len(changed))
        app.processEvents()

    print(
        json.dumps(
            {
                "tokens": given.tokens,
                "derive_first_ms": [round(value, 1) for value in first],
                "derive_again_ms": [round(value, 1) for value in again],
                "marked": sum(changed),
                "mark_and_paint_ms": round(min(milliseconds(mark) for _ in range(5)), 1),
                "ready_ms": round(ready, 1),
                "bytes_a_token": round(len(pack(records[:200])) / 200),
            }
        )
    )


if __name__ == "__main__":
    main()
