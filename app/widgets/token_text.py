"""Tokens as coloured text, one of them in focus: a read-only document, so it wraps, selects and is read aloud.

It knows records and colours, not where they come from. The candidates of a token stand in a tip while the pointer or
the keyboard is on it, and in a menu where another can be taken in its place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPoint, QPointF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QGuiApplication,
    QHelpEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextOption,
)
from PySide6.QtWidgets import QMenu, QTextEdit, QToolTip, QWidget

from app import theme
from app.widgets.ink import Ink
from app.widgets.long_text import LongText
from app.widgets.pieces import percent, worded
from app.widgets.token_scales import TokenScale, choice
from app.widgets.token_words import shown, table, tip
from engine import TokenRecord

OFFERED = 16  # candidates in the menu of a token


class TokenText(LongText):
    """The coloured text. focused: index of the token chosen by click or arrow key.

    replaced: index of a token, and the id of the candidate wanted in its place.
    """

    focused = Signal(int)
    replaced = Signal(int, int)

    def __init__(self, ink: Ink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Tokens of the answer")
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._ink = ink
        self._starts: list[int] = []
        self._records: list[TokenRecord] = []
        self._index = -1
        self._scale = choice.scale
        self._marks: list[QTextEdit.ExtraSelection] = []
        self.branching = False
        """Whether another token can be taken in one's place."""
        option = QTextOption(self.document().defaultTextOption())
        option.setFlags(QTextOption.Flag.ShowTabsAndSpaces)
        self.document().setDefaultTextOption(option)

    def set_scale(self, scale: TokenScale) -> None:
        """Colour by another number."""
        if scale is self._scale:
            return
        self._scale = scale
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        for index, record in enumerate(self._records):
            self._select(cursor, index)
            cursor.setCharFormat(self._format(record))
        cursor.endEditBlock()

    def start(self, before: str) -> None:
        """Show no tokens, only, muted, the text that they continue."""
        self.document().clear()
        self.forget_seams()
        self._starts.clear()
        self._records.clear()
        self._marks.clear()
        self._index = -1
        form = QTextBlockFormat()
        form.setLineHeight(self._ink.line_height + 10, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        cursor = QTextCursor(self.document())
        cursor.setBlockFormat(form)
        muted = self._ink.text_format()
        muted.setForeground(self._ink.muted)
        cursor.insertText(before, muted)

    def add_tokens(self, records: Sequence[TokenRecord]) -> None:
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        cursor.movePosition(QTextCursor.MoveOperation.End)
        for record in records:
            self._starts.append(self.place(cursor.position()))
            self._records.append(record)
            cursor.insertText(shown(record), self._format(record))
        cursor.endEditBlock()
        self.part_later()

    def show_focus(self, index: int) -> None:
        """Mark a token; -1 marks none."""
        self._index = index
        self._show_selections()

    def show_marks(self, changed: Sequence[bool], uncertain: Sequence[bool]) -> None:
        """Underline the tokens that would differ, and those that are uncertain."""
        styles = QTextCharFormat.UnderlineStyle
        self._marks.clear()
        for index in range(min(len(changed), len(self._starts))):
            if changed[index] or uncertain[index]:
                mark = styles.DotLine if uncertain[index] else styles.WaveUnderline
                form = QTextCharFormat()
                form.setUnderlineStyle(mark)
                self._marks.append(self._selection(index, form))
        self._show_selections()

    def _show_selections(self) -> None:
        focus = []
        if 0 <= self._index < len(self._starts):
            form = QTextCharFormat()
            form.setBackground(QColor(theme.current().accent))
            form.setForeground(QColor(theme.current().on_accent))
            focus.append(self._selection(self._index, form))
        self.setExtraSelections([*self._marks, *focus])

    def _selection(self, index: int, form: QTextCharFormat) -> QTextEdit.ExtraSelection:
        selection = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self.document())
        self._select(cursor, index)
        selection.cursor, selection.format = cursor, form
        return selection

    def _select(self, cursor: QTextCursor, index: int) -> None:
        last = index + 1 == len(self._starts)
        end = self.document().characterCount() - 1 if last else self.position(self._starts[index + 1])
        cursor.setPosition(self.position(self._starts[index]))
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)

    def _format(self, record: TokenRecord) -> QTextCharFormat:
        form = self._ink.text_format()
        background = self._scale.color(record)
        form.setBackground(background)
        form.setForeground(QColor("#10151B") if light(background) else QColor("#FFFFFF"))
        return form

    def token_at(self, point: QPointF) -> int:
        """The index of the token at a point of the viewport, -1 for none."""
        position = self.place(self.document().documentLayout().hitTest(point, Qt.HitTestAccuracy.FuzzyHit))
        inside = bool(self._starts) and position >= self._starts[0]
        return bisect_right(self._starts, position) - 1 if inside else -1

    def _place_of(self, index: int) -> QPoint:
        """Where the end of a token is on the screen."""
        cursor = QTextCursor(self.document())
        self._select(cursor, index)
        return self.viewport().mapToGlobal(self.cursorRect(cursor).bottomLeft())

    def offer(self, index: int, place: QPoint) -> QMenu | None:
        """The menu of what could stand in a token's place."""
        if not self.branching or not 0 <= index < len(self._records):
            return None
        record = self._records[index]
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Continue from here with").setEnabled(False)
        menu.addSeparator()
        for candidate in range(min(OFFERED, len(record.candidate_ids))):
            piece = worded(record.pieces[candidate]).replace("&", "&&")
            action = menu.addAction(f"{piece}\t{percent(float(record.before[candidate]))}")
            action.setData(int(record.candidate_ids[candidate]))
            action.setEnabled(candidate != record.chosen)
        menu.triggered.connect(lambda action: self.replaced.emit(index, action.data()))
        menu.popup(place)
        return menu

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = self.token_at(QPointF(event.pos()))
            if index >= 0:
                QToolTip.showText(event.globalPos(), tip(self._records[index]), self)
            else:
                QToolTip.hideText()
            return True
        return bool(super().viewportEvent(event))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        index = self.token_at(QPointF(event.pos()))
        if index < 0 or self.textCursor().hasSelection() or self.offer(index, event.globalPos()) is None:
            super().contextMenuEvent(event)
        else:
            self.focused.emit(index)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        if event.button() == Qt.MouseButton.LeftButton and not self.textCursor().hasSelection():
            index = self.token_at(event.position())
            if index >= 0:
                self.focused.emit(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        ends = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: len(self._starts) - 1}
        if event.matches(QKeySequence.StandardKey.Copy) and not self.textCursor().hasSelection():
            QGuiApplication.clipboard().setText(table(self._records))
        elif event.modifiers() == Qt.KeyboardModifier.NoModifier and event.key() in steps and self._starts:
            index = self._index + steps[event.key()] if self._index >= 0 else 0  # type: ignore[index]
            self._go_to(min(max(index, 0), len(self._starts) - 1))
        elif event.key() in ends and self._starts:
            self._go_to(ends[event.key()])  # type: ignore[index]
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Menu) and self._index >= 0:
            self.offer(self._index, self._place_of(self._index))
        else:
            super().keyPressEvent(event)

    def _go_to(self, index: int) -> None:
        """By keyboard: the candidates show as they do under the pointer."""
        self.focused.emit(index)
        QToolTip.showText(self._place_of(index), tip(self._records[index]), self)


def light(color: QColor) -> bool:
    """Whether dark ink reads better on it (WCAG relative luminance)."""
    channels = (color.redF(), color.greenF(), color.blueF())
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18
