"""Rows of a form for settings that are texts and no numbers: what a list of texts, a table and an editor share.

It knows Words, the declaration of such a setting, no particular one.
"""

from __future__ import annotations

import re
from typing import Any

from app.widgets.form import Row
from app.widgets.pieces import SIGNS
from engine import Param, SamplingParams, Words

ESCAPES = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}


def typed(text: str) -> str:
    """A text with its line breaks, tabs and backslashes as they are typed."""
    return "".join(next((typed for typed, sign in ESCAPES.items() if sign == letter), letter) for letter in text)


def meant(text: str) -> str:
    """The reverse of typed(); a backslash before any other letter is one."""
    return re.sub(r"\\[nt\\]", lambda found: ESCAPES[found[0]], text)


def drawn(text: str) -> str:
    """A text whose blanks and line ends can be seen, all of it."""
    return text.translate(SIGNS)


def words_of(name: str) -> Words:
    """The declaration of a sampling setting that is texts."""
    return next(words for words in SamplingParams.texts() if words.name == name)


class TextRow(Row):
    """One setting of texts: label, mark and help above, whatever it is edited with beneath.

    It counts as on where it stands elsewhere than it does by default.
    """

    def __init__(self, words: Words, default: Any) -> None:
        super().__init__(Param(default, label=words.label, help=words.help, name=words.name))
        self.column.setSpacing(4)
        self.top.addWidget(self.help)

    @property
    def on(self) -> bool:
        return bool(self.value != self.knob.default) and self.isEnabled()
