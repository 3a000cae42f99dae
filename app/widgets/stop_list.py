"""A short list of texts that can be added to and removed from, such as the strings at which an answer stops."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.widgets.named import named, quiet_button

SIGNS = {"\n": "\\n", "\t": "\\t"}


def shown(text: str) -> str:
    """A stop string with its line breaks and tabs as they are typed."""
    for sign, typed in SIGNS.items():
        text = text.replace(sign, typed)
    return text


def typed(text: str) -> str:
    """The reverse of shown()."""
    for sign, written in SIGNS.items():
        text = text.replace(written, sign)
    return text


class StopList(QWidget):
    """changed: the whole list, as a tuple. one: what a single text of it is called."""

    changed = Signal(object)

    def __init__(self, name: str, heading: str, one: str, hint: str, help: str) -> None:
        super().__init__()
        self._name, self._one = name, one
        self._texts: tuple[str, ...] = ()
        self.entry = named(QLineEdit(), f"{name}Entry", f"Add a {one}")
        self.entry.setPlaceholderText(hint)
        self.entry.returnPressed.connect(self._add)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(2)
        self.removers: list[QToolButton] = []
        title = QLabel(heading)
        title.setToolTip(help)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(4)
        column.addWidget(title)
        column.addWidget(self.entry)
        column.addLayout(self._rows)
        theme.theme_changed.connect(self._tint)

    def set_texts(self, texts: tuple[str, ...]) -> None:
        """Show these, without a signal."""
        if texts == self._texts:
            return
        self._texts = texts
        self.removers.clear()
        while (item := self._rows.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for text in texts:
            self._rows.addWidget(self._row(text))
        self._tint()

    def _row(self, text: str) -> QWidget:
        row = QWidget()
        # It may break after any character: a long one must not make the whole dock wide.
        words = QLabel("\N{ZERO WIDTH SPACE}".join(shown(text)), textFormat=Qt.TextFormat.PlainText, wordWrap=True)
        words.setFont(theme.font(mono=True))
        remove = quiet_button(f"{self._name}Remove", f"Remove the {self._one} {shown(text)}", 24)
        remove.clicked.connect(lambda: self._set(tuple(t for t in self._texts if t != text)))
        self.removers.append(remove)
        line = QHBoxLayout(row)
        line.setContentsMargins(8, 0, 0, 0)
        line.addWidget(words, 1)
        line.addWidget(remove)
        return row

    def _add(self) -> None:
        text = typed(self.entry.text())
        self.entry.clear()
        if text and text not in self._texts:
            self._set((*self._texts, text))

    def _set(self, texts: tuple[str, ...]) -> None:
        self.set_texts(texts)
        self.changed.emit(texts)

    def _tint(self, *_: object) -> None:
        for remove in self.removers:
            remove.setIcon(theme.icon("x", 16, "muted"))
