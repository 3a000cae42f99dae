"""The inks of a text: fonts and colours of the theme as Qt character formats, and Pygments' colours for code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Literal, Name, Number, String, _TokenType
from pygments.util import ClassNotFound
from PySide6.QtGui import QColor, QFont, QTextCharFormat

from app import theme

LIGATURES = ("calt", "liga")  # off: "->" must not be drawn as an arrow that nobody wrote
LONGEST_COLOURED = 20_000  # characters; longer code stays plain, so that drawing it never stalls the window


@dataclass(frozen=True, slots=True)
class Ink:
    """Colours, font families and sizes (pixels) that a text is drawn with."""

    text: QColor
    muted: QColor
    accent: QColor
    raised: QColor
    line: QColor
    good: QColor
    warning: QColor
    family: str
    mono: str
    size: int
    line_height: int = 150  # percent

    def text_format(self) -> QTextCharFormat:
        return self._format(self.text, self.family, self.size)

    def code_format(self) -> QTextCharFormat:
        return self._format(self.text, self.mono, self.size - 1)

    def caption_format(self) -> QTextCharFormat:
        return self._format(self.muted, self.family, 12)

    def _format(self, color: QColor, family: str, size: int) -> QTextCharFormat:
        font = QFont(family)
        font.setPixelSize(size)
        for ligature in LIGATURES:
            font.setFeature(QFont.Tag(ligature), 0)
        form = QTextCharFormat()
        form.setFont(font, QTextCharFormat.FontPropertiesInheritanceBehavior.FontPropertiesSpecifiedOnly)
        form.setForeground(color)
        return form


def current_ink(size: int) -> Ink:
    """The theme's inks, for text of this size in pixels."""
    now = theme.current()
    colors = (now.text, now.muted, now.accent, now.raised, now.line, now.good, now.warning)
    text, muted, accent, raised, line, good, warning = map(QColor, colors)
    return Ink(text, muted, accent, raised, line, good, warning, theme.text_family(), theme.mono_family(), size)


def code_formats(code: str, language: str, ink: Ink) -> Iterator[tuple[str, QTextCharFormat]]:
    """Pieces of the code with the format of each; together they are the code, to the character."""
    lexer = _lexer(language)
    if lexer is None or len(code) > LONGEST_COLOURED:
        yield code, ink.code_format()
        return
    for kind, text in lexer.get_tokens(code):
        form = ink.code_format()
        if kind in Comment:
            form.setForeground(ink.muted)
            form.setFontItalic(True)
        elif kind in Keyword or kind in Name.Tag:
            form.setForeground(ink.accent)
        elif kind in String or kind in Literal.String:
            form.setForeground(ink.good)
        elif kind in Number or kind in Name.Decorator:
            form.setForeground(ink.warning)
        elif _defines(kind):
            form.setFontWeight(QFont.Weight.DemiBold)
        yield text, form


def _defines(kind: _TokenType) -> bool:
    return kind in Name.Function or kind in Name.Class


@lru_cache(maxsize=32)
def _lexer(language: str) -> Lexer | None:
    if not language:
        return None
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
