"""Code in colours: Pygments' tokens as Qt character formats of the theme."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Literal, Name, Number, String, _TokenType
from pygments.util import ClassNotFound
from PySide6.QtGui import QFont, QTextCharFormat

from app.widgets.ink import Ink

LONGEST_COLOURED = 20_000  # characters; longer code stays plain, so that drawing it never stalls the window


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
