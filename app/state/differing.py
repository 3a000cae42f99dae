"""Where two texts differ, word by word.

Pure values, no Qt. In long texts the words that come again and again are no places to begin at, which keeps an answer
of a thousand words to a few milliseconds.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import NamedTuple

WORDS = re.compile(r"\s*\S+|\s+$")
LONG = 300  # words: beyond it frequent ones are passed over when the search begins


class Difference(NamedTuple):
    """first, second: the stretch of either text that the other has not, each "" where there is only the other.

    place, end: where the second one's stretch stands in its text, in characters. word: its first word, from 1.
    """

    first: str
    second: str
    place: int
    end: int
    word: int


def words(text: str) -> list[str]:
    """A text as words, each with the blanks before it; joined they are the text."""
    return WORDS.findall(text)


def differences(first: str, second: str) -> list[Difference]:
    """What must change in the first text to give the second, in order."""
    a, b = words(first), words(second)
    starts = [0]
    for word in b:
        starts.append(starts[-1] + len(word))
    matcher = SequenceMatcher(None, a, b, autojunk=len(b) > LONG)
    return [
        Difference("".join(a[i:j]), "".join(b[k:m]), starts[k], starts[m], k + 1)
        for kind, i, j, k, m in matcher.get_opcodes()
        if kind != "equal"
    ]
