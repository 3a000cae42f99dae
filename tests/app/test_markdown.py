"""Markdown drawn in pieces is the same as drawn at once, and nothing in it can bring markup of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PySide6.QtGui import QTextCursor, QTextDocument
from PySide6.QtWidgets import QApplication

from app.widgets.highlight import code_formats
from app.widgets.ink import current_ink
from app.widgets.markdown import MarkdownDocument

TEXT = """# Title

Some *soft* and **loud** words, `code` and [a link](https://example.org).

- one
- two
  - inside

1. first
2. second

> said

```python
def f(x: int) -> int:
    return x
```

| a | b |
|---|---|
| 1 | 2 |

---

The end.
"""
PIECES = ["#", " ", "*", "**", "`", "```\n", "\n", "\n\n", "- ", "1. ", "> ", "|", "|---|\n", "word", "<b>", "[x](y)"]


def drawn(*pieces: str) -> tuple[str, list[str]]:
    document = QTextDocument()
    markdown = MarkdownDocument(document, current_ink(15))
    for piece in pieces:
        markdown.append(piece)
    return document.toPlainText(), markdown.codes


@pytest.mark.parametrize("step", [1, 3, 17])
def test_text_that_arrives_in_pieces_is_drawn_like_the_whole(themed: QApplication, step: int) -> None:
    assert drawn(*(TEXT[i : i + step] for i in range(0, len(TEXT), step))) == drawn(TEXT)


@examples(max_examples=60)
@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_any_mixture_of_marks_is_drawn_without_error(pieces: list[str]) -> None:
    drawn(*pieces)


def test_marks_become_formats_and_code_is_kept_apart(themed: QApplication) -> None:
    text, codes = drawn(TEXT)
    assert "soft" in text and "*" not in text and "|" not in text
    assert codes == ["def f(x: int) -> int:\n    return x"]


def test_html_and_images_in_an_answer_stay_text(themed: QApplication) -> None:
    text, _ = drawn("<img src='http://example.org/x.png'> ![pixel](http://example.org/y.png)")
    assert "<img" in text and "[image: pixel]" in text


def test_a_selection_survives_what_is_still_written(themed: QApplication) -> None:
    document = QTextDocument()
    markdown = MarkdownDocument(document, current_ink(15))
    markdown.append("First paragraph.\n\nSecond")
    cursor = QTextCursor(document)
    cursor.setPosition(6)
    cursor.setPosition(15, QTextCursor.MoveMode.KeepAnchor)
    for piece in (" paragraph.", "\n\n- a", "\n- b", "\n\nEnd."):
        markdown.append(piece)
    assert cursor.selectedText() == "paragraph"


@pytest.mark.parametrize("language", ["python", "json", "no-such-language", ""])
def test_coloured_code_is_the_code_to_the_character(themed: QApplication, language: str) -> None:
    code = 'def f():\n\treturn {"a": 1}  # ok\n\n'
    assert "".join(text for text, _ in code_formats(code, language, current_ink(15))) == code
