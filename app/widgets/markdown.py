"""Markdown that arrives in pieces, drawn into a QTextDocument: only the block that still grows is drawn again.

markdown-it reads the tail of the text; whatever stands before its last top-level block is settled and left alone, so
selections survive streaming and the cost of a token does not grow with the answer. Tokens are drawn with cursor
formats, not through HTML: nothing in an answer can bring markup, images or requests of its own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token
from PySide6.QtGui import (
    QFont,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFrameFormat,
    QTextLength,
    QTextListFormat,
    QTextTableFormat,
)

from app.widgets.highlight import code_formats
from app.widgets.ink import Ink

HEADINGS = {"h1": 1.35, "h2": 1.2, "h3": 1.08}
BULLETS = (QTextListFormat.Style.ListDisc, QTextListFormat.Style.ListCircle, QTextListFormat.Style.ListSquare)
_numbers = itertools.count(1)
_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@dataclass(slots=True)
class _Place:
    """Where the drawing stands: the block format that the next paragraph takes and the lists around it."""

    indent: int = 0
    lists: list[QTextListFormat] = field(default_factory=list)
    first_of_item: bool = False


class MarkdownDocument:
    """Draws growing Markdown. codes: the code blocks so far; a link "copy:N" stands above each."""

    def __init__(self, document: QTextDocument, ink: Ink) -> None:
        self._document = document
        self._ink = ink
        self._source = ""
        self._settled = 0  # characters of the source that will not be drawn again
        self._mark = 0  # where in the document the rest begins
        self._fresh = True  # the cursor's block is empty and not yet formatted
        self._fresh_mark = True
        self._settled_codes = 0
        self.codes: list[str] = []
        document.setUndoRedoEnabled(False)
        document.setDocumentMargin(0)

    @property
    def source(self) -> str:
        """The Markdown drawn so far."""
        return self._source

    def append(self, text: str) -> None:
        """Add to the text and draw the part that changed."""
        self._source += text
        self._draw()

    def set(self, text: str, ink: Ink | None = None) -> None:
        """Draw another text, or the same in other colours."""
        self._ink = ink or self._ink
        self._document.clear()
        self._source, self._settled, self._mark, self._settled_codes = text, 0, 0, 0
        self._fresh = self._fresh_mark = True
        self.codes.clear()
        self._draw()

    def _draw(self) -> None:
        tail = self._source[self._settled :]
        tokens = _parser.parse(tail)
        starts = [i for i, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]
        cursor = QTextCursor(self._document)
        cursor.beginEditBlock()
        cursor.setPosition(self._mark)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        self._fresh = self._fresh_mark
        del self.codes[self._settled_codes :]
        if self._fresh:
            cursor.setBlockFormat(QTextBlockFormat())
            cursor.setBlockCharFormat(QTextCharFormat())
        if len(starts) > 1:
            self._blocks(cursor, tokens[: starts[-1]])
            line = (tokens[starts[-1]].map or [0])[0]
            self._settled += sum(map(len, tail.splitlines(keepends=True)[:line]))
            self._mark, self._fresh_mark = cursor.position(), self._fresh
            self._settled_codes = len(self.codes)
        self._blocks(cursor, tokens[starts[-1] :] if starts else [])
        cursor.endEditBlock()

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _blocks(self, cursor: QTextCursor, tokens: list[Token]) -> None:
        place = _Place()
        index = 0
        while index < len(tokens):
            token = tokens[index]
            match token.type:
                case "inline":
                    self._paragraph(cursor, place, tokens[index - 1].tag, token)
                case "fence" | "code_block":
                    self._code(cursor, place, token)
                case "hr":
                    self._rule(cursor)
                case "bullet_list_open" | "ordered_list_open":
                    place.lists.append(self._list_format(token, len(place.lists)))
                case "bullet_list_close" | "ordered_list_close":
                    place.lists.pop()
                case "list_item_open":
                    place.first_of_item = True
                case "blockquote_open":
                    place.indent += 1
                case "blockquote_close":
                    place.indent -= 1
                case "table_open":
                    end = next(i for i in range(index, len(tokens)) if tokens[i].type == "table_close")
                    self._table(cursor, tokens[index:end])
                    index = end
            index += 1

    def _block(self, cursor: QTextCursor, form: QTextBlockFormat) -> None:
        """Move on to an empty block of this format."""
        if self._fresh:
            cursor.setBlockFormat(form)
            cursor.setBlockCharFormat(QTextCharFormat())
        else:
            cursor.insertBlock(form, QTextCharFormat())
        self._fresh = False

    def _paragraph(self, cursor: QTextCursor, place: _Place, tag: str, token: Token) -> None:
        form = QTextBlockFormat()
        form.setLineHeight(self._ink.line_height, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        form.setBottomMargin(4 if place.lists else 10)
        form.setLeftMargin(16 * place.indent)
        char = self._ink.text_format()
        if tag in HEADINGS or tag in ("h4", "h5", "h6"):
            char.setFontWeight(QFont.Weight.DemiBold)
            char.setProperty(QTextCharFormat.Property.FontPixelSize, round(self._ink.size * HEADINGS.get(tag, 1.0)))
            form.setTopMargin(8)
            form.setHeadingLevel(int(tag[1]))
        if place.indent:
            char.setForeground(self._ink.muted)
        if place.lists and not place.first_of_item:
            form.setIndent(len(place.lists))
        self._block(cursor, form)
        if place.lists and place.first_of_item:
            self._join_list(cursor, place)
        place.first_of_item = False
        self._inline(cursor, token, char)

    def _join_list(self, cursor: QTextCursor, place: _Place) -> None:
        """Put the block into its list: the one of this level that is already growing, or a new one."""
        form = place.lists[-1]
        key = form.property(QTextListFormat.Property.UserProperty)
        block = cursor.block().previous()
        while (block.isValid() and block.textList() is not None) or block.blockFormat().indent():
            found = block.textList()
            if found is not None and found.format().property(QTextListFormat.Property.UserProperty) == key:
                found.add(cursor.block())
                return
            block = block.previous()
        cursor.createList(form)

    def _list_format(self, token: Token, depth: int) -> QTextListFormat:
        form = QTextListFormat()
        form.setIndent(depth + 1)
        form.setProperty(QTextListFormat.Property.UserProperty, next(_numbers))
        if token.type.startswith("ordered"):
            form.setStyle(QTextListFormat.Style.ListDecimal)
            form.setStart(int(token.attrs.get("start", 1)))
        else:
            form.setStyle(BULLETS[min(depth, 2)])
        return form

    def _code(self, cursor: QTextCursor, place: _Place, token: Token) -> None:
        language = token.info.split()[0] if token.info.strip() else ""
        code = token.content.rstrip("\n")
        frame = QTextFrameFormat()
        frame.setBackground(self._ink.raised)
        frame.setPadding(10)
        frame.setLeftMargin(16 * (place.indent + len(place.lists)))
        frame.setBottomMargin(8)
        if self._fresh:
            self._hide_block(cursor)
        cursor.insertFrame(frame)
        small = self._ink.caption_format()
        cursor.insertText(f"{language or 'code'}   ", small)
        link = self._ink.caption_format()
        link.setAnchor(True)
        link.setAnchorHref(f"copy:{len(self.codes)}")
        link.setForeground(self._ink.accent)
        cursor.insertText("Copy", link)
        form = QTextBlockFormat()
        form.setTopMargin(6)
        form.setLineHeight(135, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        cursor.insertBlock(form, self._ink.code_format())
        for text, char in code_formats(code, language, self._ink):
            cursor.insertText(text.replace("\n", "\u2028"), char)
        self.codes.append(code)
        self._leave(cursor)

    def _table(self, cursor: QTextCursor, tokens: list[Token]) -> None:
        rows: list[list[Token]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(token)
        form = QTextTableFormat()
        form.setBorder(1)
        form.setBorderBrush(self._ink.line)
        form.setBorderCollapse(True)
        form.setCellPadding(6)
        form.setHeaderRowCount(1)
        form.setBottomMargin(8)
        columns = max(map(len, rows))
        form.setColumnWidthConstraints([QTextLength(QTextLength.Type.VariableLength, 0)] * columns)
        if self._fresh:
            self._hide_block(cursor)
        table = cursor.insertTable(len(rows), columns, form)
        for r, row in enumerate(rows):
            for c, cell in enumerate(row):
                char = self._ink.text_format()
                if r == 0:
                    char.setFontWeight(QFont.Weight.DemiBold)
                self._inline(table.cellAt(r, c).firstCursorPosition(), cell, char)
        self._leave(cursor)

    def _leave(self, cursor: QTextCursor) -> None:
        """Step behind a frame; the empty block that must follow it serves the next paragraph."""
        cursor.movePosition(QTextCursor.MoveOperation.End)
        self._hide_block(cursor)
        self._fresh = True

    def _hide_block(self, cursor: QTextCursor) -> None:
        """Qt wants a block before and after every frame; an empty one takes a pixel."""
        form = QTextBlockFormat()
        form.setLineHeight(1, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        cursor.setBlockFormat(form)

    def _rule(self, cursor: QTextCursor) -> None:
        form = QTextBlockFormat()
        form.setLineHeight(1, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        form.setBackground(self._ink.line)
        form.setTopMargin(6)
        form.setBottomMargin(16)
        self._block(cursor, form)

    # --- inside a line ------------------------------------------------------------------------------------------------

    def _inline(self, cursor: QTextCursor, token: Token, base: QTextCharFormat) -> None:
        formats = [base]
        for child in token.children or []:
            char = QTextCharFormat(formats[-1])
            match child.type:
                case "text":
                    cursor.insertText(child.content, char)
                case "softbreak":
                    cursor.insertText(" ", char)
                case "hardbreak":
                    cursor.insertText("\u2028", char)
                case "code_inline":
                    code = self._ink.code_format()
                    code.setBackground(self._ink.raised)
                    cursor.insertText(child.content, code)
                case "image":
                    cursor.insertText(f"[image: {child.content}]", char)
                case "strong_open":
                    char.setFontWeight(QFont.Weight.DemiBold)
                    formats.append(char)
                case "em_open":
                    char.setFontItalic(True)
                    formats.append(char)
                case "s_open":
                    char.setFontStrikeOut(True)
                    formats.append(char)
                case "link_open":
                    char.setAnchor(True)
                    char.setAnchorHref(str(child.attrs.get("href", "")))
                    char.setForeground(self._ink.accent)
                    char.setFontUnderline(True)
                    formats.append(char)
                case "strong_close" | "em_close" | "s_close" | "link_close":
                    formats.pop()
