"""What speculation gains and costs: a recorded continuation is forced, drawn and written down as any answer.

    PYTHONPATH=. python tests/bench/speculation.py [1b|135m] [--precision int4] [--threads 1]

The share is that of the continuation's 8-grams that stand in the prompt. A model of random weights would repeat itself
for reasons of its own, so its draws are made and paid for but not used. Rounds with and without alternate. Beside the
clock it counts the processor's time, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import Any

import torch

from engine.bench.models import Subject, from_shape
from engine.bench.shapes import SHAPES
from engine.decoding import loop
from engine.decoding.contexts import Context
from engine.decoding.loop import Settings, generate
from engine.decoding.speculation import Speculation
from engine.messages import Generated, Stats
from engine.params import CaptureParams, SamplingParams

CLOSED = CaptureParams(candidates=0)
PROMPT, TOKENS = 512, 192


def continuation(prompt: list[int], span: int, gap: int, source: random.Random, vocabulary: int) -> list[int]:
    """Runs of span tokens of the prompt with gap others between them."""
    text: list[int] = []
    while len(text) < TOKENS:
        at = source.randrange(len(prompt) - span) if span else 0
        text += prompt[at : at + span] + [source.randrange(vocabulary) for _ in range(gap)]
    return text[:TOKENS]


def share(prompt: list[int], text: list[int], size: int) -> float:
    """How many of the text's runs of that size stand in the prompt."""
    known = {tuple(prompt[i : i + size]) for i in range(len(prompt) - size + 1)}
    grams = [tuple(text[i : i + size]) for i in range(len(text) - size + 1)]
    return sum(gram in known for gram in grams) / len(grams)


def seconds(
    subject: Subject, speculation: Speculation, context: Context, prompt: list[int], text: list[int], wanted: str
) -> tuple[float, float, float]:
    """Seconds for a token of the forced text, by the clock and of the processor, and tokens for each pass."""
    plain = loop._draw_and_record

    def forced(logits: Any, history: Any, sampling: Any, capture: Any, moment: Any, *rest: Any) -> Any:
        _, moment_after = plain(logits, history, sampling, capture, moment, *rest)
        return text[moment.position - len(prompt)], moment_after

    settings = Settings(SamplingParams(max_new_tokens=len(text), seed=1, speculation=wanted), CLOSED)
    loop._draw_and_record = forced  # type: ignore[assignment]
    try:
        tokenizer, begun = subject.tokenizer, time.process_time()
        events = list(
            generate(0, context, tokenizer, prompt, (), "", frozenset(), settings, lambda: None, None, speculation)
        )
    finally:
        loop._draw_and_record = plain
    busy = time.process_time() - begun
    result = next(event for event in events if isinstance(event, Generated))
    stats = [event for event in events if isinstance(event, Stats)]
    count = len(result.ids) - 1
    return result.decode_seconds / count, busy / count, stats[-1].tokens_per_pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", nargs="?", default="135m", choices=tuple(SHAPES))
    parser.add_argument("--precision", default="int4")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = SHAPES[arguments.shape]
    subject = from_shape(shape, arguments.precision, arguments.threads)
    source = random.Random(1)
    prompt = [source.randrange(shape.vocabulary) for _ in range(PROMPT)]
    speculation = Speculation(subject.model)
    context = Context.fresh(subject.model, CLOSED)
    texts = {
        "spans of 40": continuation(prompt, 40, 2, source, shape.vocabulary),
        "random": continuation(prompt, 0, 1, source, shape.vocabulary),
        "spans of 5": continuation(prompt, 5, 2, source, shape.vocabulary),
    }
    seconds(subject, speculation, context, prompt, texts["spans of 40"], "prompt lookup")  # warm, prices measured
    prices = speculation.prices(context, lambda: None)
    print(f"{shape.name} {arguments.precision}, {arguments.threads} thread: a pass over 1, 2, 4, 8, 16 rows costs",
          ", ".join(f"{prices[rows]:.2f}" for rows in (1, 2, 4, 8, 16)), "passes over one")  # fmt: skip
    for name, text in texts.items():
        times: dict[str, list[tuple[float, float]]] = {"off": [], "prompt lookup": []}
        rate = 1.0
        for _ in range(arguments.rounds):
            for wanted, found in times.items():
                clock, busy, rate = seconds(subject, speculation, context, prompt, text, wanted)
                found.append((clock, busy))
        off, on = (tuple(map(statistics.median, zip(*found))) for found in times.values())
        print(
            f"{name}: {share(prompt, text, 8):.0%} of 8-grams and {share(prompt, text, 3):.0%} of 3-grams known: "
            f"{1 / off[0]:.1f} to {1 / on[0]:.1f} tokens/s, {off[0] / on[0]:.2f} times by the clock, "
            f"{off[1] / on[1]:.2f} by the processor; {rate:.2f} tokens a pass"
        )


if __name__ == "__main__":
    main()
