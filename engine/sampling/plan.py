"""Which steps run and in what order, by the settings alone: for whoever runs them, on logits or on what was stored."""

from __future__ import annotations

import functools

from engine.params import FIRST, SamplingParams

LAST = ("mirostat", "adaptive_p")
"""Steps with a memory of what was drawn; they choose, so they always come last."""

KNOBS = {
    "grammar": ("schema", "regex", "grammar"),
    "ends": ("min_new_tokens", "end_token"),
    "bans": ("banned_words", "banned_phrases"),
    "penalties": ("repetition_penalty", "frequency_penalty", "presence_penalty"),
    "dry": ("dry_multiplier",),
    "xtc": ("xtc_probability",),
    "temperature": ("temperature", "dynamic_range"),
    "adaptive_p": ("adaptive_target",),
}


@functools.lru_cache(maxsize=32)
def active(params: SamplingParams) -> tuple[str, ...]:
    """The steps that do anything, in order; one that rests because of another setting does not."""
    off = _off()
    resting = params.resting
    return tuple(
        step
        for step in (*FIRST, *params.order, *LAST)
        if any(getattr(params, name) != off[name] and name not in resting for name in KNOBS.get(step, (step,)))
    )


@functools.cache
def _off() -> dict[str, object]:
    neutral = SamplingParams.neutral()
    names = [knob.name for knob in SamplingParams.table()] + [words.name for words in SamplingParams.texts()]
    return {name: getattr(neutral, name) for name in names}
