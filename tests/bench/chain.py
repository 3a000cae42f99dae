"""What the sampling chain costs a token: llama.cpp's order over a vocabulary of 150,000, on one thread.

Run it on a quiet machine: `python tests/bench/chain.py`. It says what a whole token costs, with the trace of 256
candidates and the draw, what each step adds, and what the record takes beside; and the machine's load, since a busy one
says little.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from torch import Tensor

from engine.decoding.recorder import _summary, top_ids
from engine.params import SamplingParams
from engine.sampling.chain import Moment, active, among, trace

VOCABULARY, HISTORY, CANDIDATES, ROUNDS, TOKENS = 150_000, 4096, 256, 25, 10

LLAMA_CPP = SamplingParams.neutral(
    repetition_penalty=1.1,
    frequency_penalty=0.1,
    presence_penalty=0.1,
    dry_multiplier=0.8,
    dry_window=4096,
    top_n_sigma=2.0,
    top_k=200,
    typical_p=0.95,
    top_p=0.95,
    min_p=0.05,
    xtc_probability=0.5,
    xtc_threshold=0.1,
    temperature=0.8,
)
"""Penalties, DRY over 4,096 tokens, top-n-sigma, top-k 200, typical, top-p, min-p, XTC and temperature."""


def logits_like_a_model(rng: np.random.Generator) -> Tensor:
    """150,000 logits with a bell of noise and a few hundred that stand out, as real ones have."""
    logits = rng.normal(0, 2, VOCABULARY).astype(np.float32)
    logits[rng.integers(0, VOCABULARY, 300)] += rng.exponential(4, 300).astype(np.float32)
    return torch.from_numpy(logits)


def token(logits: Tensor, history: Tensor, params: SamplingParams, position: int) -> int:
    """What the loop does with one distribution, but for the record: the trace of the best and the draw."""
    moment = Moment(seed=1, position=position, breakers=frozenset({13, 25}))
    result = trace(logits, history, params, top_ids(logits, CANDIDATES), moment)
    return among(result.ids, result.left, moment.seed, moment.position)


def milliseconds(work: Callable[[int], object]) -> tuple[float, float]:
    """The median and the least of the rounds, each a mean over some tokens."""
    times = []
    for round in range(ROUNDS + 1):
        begun = time.thread_time()
        for position in range(TOKENS):
            work(round * TOKENS + position)
        times.append(1000 * (time.thread_time() - begun) / TOKENS)
    return statistics.median(times[1:]), min(times[1:])


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    many = [logits_like_a_model(rng) for _ in range(TOKENS)]
    # A text that repeats itself: DRY has something to find.
    words = rng.integers(0, VOCABULARY, 400)
    history = torch.from_numpy(words[rng.integers(0, 400, HISTORY)])

    def run(params: SamplingParams) -> tuple[float, float]:
        return milliseconds(lambda position: token(many[position % TOKENS], history, params, position))

    print(f"load average {os.getloadavg()[0]:.2f}, {VOCABULARY:,} logits, a trace of {CANDIDATES} candidates")
    bare = run(SamplingParams.neutral())
    print(f"{'nothing but trace and draw':34} {bare[0]:6.2f} ms (least {bare[1]:.2f})")
    for step in active(LLAMA_CPP):
        alone = SamplingParams.neutral(**{name: getattr(LLAMA_CPP, name) for name in KNOBS_OF[step]})
        median, least = run(alone)
        print(f"  with {step:27} {median:6.2f} ms (least {least:.2f})")
    for name, params in (("as it comes, untouched", SamplingParams()), ("all of it, in llama.cpp’s order", LLAMA_CPP)):
        median, least = run(params)
        print(f"{name:34} {median:6.2f} ms (least {least:.2f})")
    median, least = milliseconds(lambda position: _summary(many[position % TOKENS].numpy(), position))
    print(f"{'the record’s figures':34} {median:6.2f} ms (least {least:.2f})")


KNOBS_OF = {
    "penalties": ("repetition_penalty", "frequency_penalty", "presence_penalty"),
    "dry": ("dry_multiplier", "dry_window"),
    "top_n_sigma": ("top_n_sigma",),
    "top_k": ("top_k",),
    "typical_p": ("typical_p",),
    "top_p": ("top_p",),
    "min_p": ("min_p",),
    "xtc": ("xtc_probability", "xtc_threshold"),
    "temperature": ("temperature",),
}


if __name__ == "__main__":
    main()
