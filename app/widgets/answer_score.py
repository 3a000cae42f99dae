"""What is said of the score of one answer among several, in words; the same wherever an answer is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

ENDINGS = {1: "st", 2: "nd", 3: "rd"}  # up to the eighth
HELP = (
    "The mean log-probability of its tokens, before any sampling step: {score}. "
    "It is as likely as if each token had a probability of {share}. The nearer to 0, the likelier."
)


def score_words(stats: Mapping[str, Any]) -> tuple[str, str]:
    """A line and its tooltip, from a message's stats; both "" for an answer without a score."""
    score = stats.get("score")
    if score is None:
        return "", ""
    number = f"{score:.2f}".replace("-", "\N{MINUS SIGN}")
    rank, of = stats.get("rank"), stats.get("ranked")
    line = f"Score {number}"
    if rank is not None:
        place = "Likeliest" if rank == 1 else f"{rank}{ENDINGS.get(rank, 'th')} likeliest"
        line = f"{place} of {of}, score {number}"
    return line, HELP.format(score=number, share=f"{100 * math.exp(score):.0f} %")
