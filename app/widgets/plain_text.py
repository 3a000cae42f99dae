"""Markdown as plain text, for copying into places that know no Markdown: its words and its lines, without its marks.

It reads what markdown-it makes of the text, so it agrees with what is drawn.
"""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.token import Token

_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def plain(source: str) -> str:
    """The text without marks: blocks apart by a line, items with a dash or their number, cells with tabs between."""
    blocks: list[str] = []
    lists: list[int] = []  # the next number of each list around; 0 where it has none
    item, row = False, False
    for token in _parser.parse(source):
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                lists.append(int(token.attrs.get("start", 1)) if token.type.startswith("ordered") else 0)
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
                if not lists:
                    blocks.append("")
            case "list_item_open":
                item = True
            case "tr_open":
                row = True
                blocks.append("")
            case "tr_close":
                row = False
            case "table_close":
                blocks.append("")
            case "td_close" | "th_close":
                blocks[-1] += "\t"
            case "inline" if row:
                blocks[-1] += _words(token)
            case "inline" if lists:
                mark = "" if not item else f"{lists[-1]}. " if lists[-1] else "- "
                lists[-1] += bool(item and lists[-1])
                item = False
                blocks.append("  " * (len(lists) - 1) + mark + _words(token))
            case "inline":
                blocks += [_words(token), ""]
            case "fence" | "code_block":
                blocks += [token.content.rstrip("\n"), ""]
    return "\n".join(block.removesuffix("\t") for block in blocks).strip("\n")


def _words(token: Token) -> str:
    breaks = {"softbreak": " ", "hardbreak": "\n"}
    return "".join(breaks.get(child.type, child.content) for child in token.children or [])
