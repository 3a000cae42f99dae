"""What a kept prefix saves: seconds to the first token of a chat's next turn, beside reading all of it afresh.

    PYTHONPATH=. python tests/bench/prefix.py [135m|1b] [--history 4000] [--new 40] [--threads 1]

Two chats take turns, so that both prefixes have to be kept; then a message halfway through the first is edited.
"""

from __future__ import annotations

import argparse
import random
import time

import torch

from engine.bench.models import from_shape
from engine.bench.shapes import SHAPES
from engine.decoding.contexts import Contexts
from engine.decoding.loop import Settings, generate
from engine.loading import memory
from engine.messages import Started, Tokens
from engine.params import CaptureParams, SamplingParams

CLOSED = CaptureParams(candidates=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", nargs="?", default="135m", choices=tuple(SHAPES))
    parser.add_argument("--precision", default="int4")
    parser.add_argument("--history", type=int, default=4000)
    parser.add_argument("--new", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = SHAPES[arguments.shape]
    subject = from_shape(shape, arguments.precision, arguments.threads)
    source = random.Random(1)

    def text(count: int) -> list[int]:
        return [source.randrange(shape.vocabulary) for _ in range(count)]

    shelf = Contexts(memory.available)

    def first_token(ids: list[int]) -> tuple[float, int]:
        """Seconds to the first token after ids, and how many of them were not read again."""
        context = shelf.take(subject.model, ids, CLOSED)
        settings = Settings(SamplingParams(max_new_tokens=1, seed=1), CLOSED)
        begun, came, reused = time.perf_counter(), 0.0, 0
        for event in generate(0, context, subject.tokenizer, ids, (), "", frozenset(), settings, lambda: None):
            if isinstance(event, Started):
                reused = event.reused
            if isinstance(event, Tokens) and not came:
                came = time.perf_counter() - begun
        shelf.put(context)
        return came, reused

    one, two = text(arguments.history), text(arguments.history)
    fresh, _ = first_token(one)
    again, _ = first_token(two)
    print(f"read afresh: {fresh:.2f} s and {again:.2f} s")
    for name, ids in (("first chat's next turn", one), ("second chat's", two), ("first chat's, once more", one)):
        ids += text(arguments.new)
        seconds, reused = first_token(ids)
        print(f"{name}: {seconds:.3f} s, {seconds / fresh:.1%} of reading afresh; {reused:,} tokens reused")
    middle = [*one[: arguments.history // 2], *text(arguments.new)]
    seconds, reused = first_token(middle)
    print(f"edited halfway: {seconds:.3f} s; {reused:,} tokens reused; {shelf.nbytes / 2**20:,.0f} MB kept")


if __name__ == "__main__":
    main()
