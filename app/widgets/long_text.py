"""A text without end in one paragraph: Qt lays out and draws a block as a whole, so a long one is parted into several.

It is parted where a line ends anyway, so nobody sees it; when the width changes, it is put together and parted anew.
Places in the text count its own letters, of which the seams are none.
"""

from __future__ import annotations

from bisect import bisect_right

from PySide6.QtCore import QMimeData, QTimer
from PySide6.QtGui import QResizeEvent, QTextCursor
from PySide6.QtWidgets import QWidget

from app.widgets.flowing import FlowingText

LINES = 24  # of a block that was parted
REST = 200  # milliseconds without another width


class LongText(FlowingText):
    """Whoever has added text calls part_later(); whoever takes it out, forget_seams()."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._seams: list[int] = []  # places before which a block was begun
        self._parted_at = 0  # the width in pixels
        self._parting = QTimer(self, singleShot=True, interval=0)
        self._parting.timeout.connect(self._part)
        self._rest = QTimer(self, singleShot=True, interval=REST)
        self._rest.timeout.connect(self._part_anew)

    def forget_seams(self) -> None:
        """The document is empty now."""
        self._seams.clear()

    def part_later(self) -> None:
        """Text was added at the end."""
        self._parting.start()

    def position(self, place: int) -> int:
        """Where a place in the text is in the document."""
        return place + bisect_right(self._seams, place)

    def place(self, position: int) -> int:
        """The same the other way round."""
        behind = bisect_right(range(len(self._seams)), position, key=lambda number: self._seams[number] + number + 1)
        return position - behind

    def plain(self, begin: int = 0, end: int = -1) -> str:
        """The text between two positions of the document, as it was added."""
        cursor = QTextCursor(self.document())
        cursor.setPosition(begin)
        cursor.setPosition(self.document().characterCount() - 1 if end < 0 else end, QTextCursor.MoveMode.KeepAnchor)
        text = cursor.selectedText()
        for number in reversed(range(len(self._seams))):
            at = self._seams[number] + number - begin
            if 0 <= at < len(text):
                text = text[:at] + text[at + 1 :]
        return text.replace("\u2029", "\n").replace("\u2028", "\n")

    # --- inside -------------------------------------------------------------------------------------------------------

    def _part(self) -> None:
        """Part the last block, where it has become long."""
        block = self.document().lastBlock()
        layout, begin = block.layout(), self.place(block.position())
        if layout.lineCount() < 2 * LINES:
            return
        self._parted_at = self.viewport().width()
        lines = range(LINES, layout.lineCount(), LINES)
        seams = [begin + layout.lineAt(line).textStart() for line in lines]
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        for seam in reversed(seams):
            cursor.setPosition(self.position(seam))
            cursor.insertBlock()
        cursor.endEditBlock()
        self._seams += seams

    def _part_anew(self) -> None:
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        for number in reversed(range(len(self._seams))):
            cursor.setPosition(self._seams[number] + number)
            cursor.deleteChar()
        cursor.endEditBlock()
        self._seams.clear()
        self.part_later()

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def createMimeDataFromSelection(self) -> QMimeData:
        cursor = self.textCursor()
        if not self._seams:
            return super().createMimeDataFromSelection()
        data = QMimeData()
        data.setText(self.plain(cursor.selectionStart(), cursor.selectionEnd()))
        return data

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._seams and self.viewport().width() != self._parted_at:
            self._rest.start()
