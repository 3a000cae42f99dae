"""Markdown as plain text: the words and lines stay, the marks go."""

from __future__ import annotations

import pytest

from app.widgets.plain_text import plain


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Just words.", "Just words."),
        ("# Title\n\nSome *soft* and **hard** `code`.", "Title\n\nSome soft and hard code."),
        ("one\ntwo  \nthree", "one two\nthree"),
        ("- a\n- b\n  - c\n\nafter", "- a\n- b\n  - c\n\nafter"),
        ("3. three\n4. four", "3. three\n4. four"),
        ("```python\nx = 1\n\ny = 2\n```\nend", "x = 1\n\ny = 2\n\nend"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\nend", "a\tb\n1\t2\n\nend"),
        ("[a link](http://x.y) and <b>", "a link and <b>"),
        ("", ""),
    ],
)
def test_marks_go_and_words_stay(source: str, expected: str) -> None:
    assert plain(source) == expected
