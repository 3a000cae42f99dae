"""One model of this machine as a card: what it is, how large, whether it can be run, and what to do with it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app import theme
from app.widgets.named import named
from engine import Forecast, ModelCard, ModelInfo

MEASURABLE = 2**26
"""Bytes of weights from which what was measured is theirs: less drowns in what else a process takes at first."""
DOES = {"decoder": "continues text", "encoder": "reads text", "encoder-decoder": "rewrites text"}
BETWEEN = "\N{NO-BREAK SPACE}· "  # no line begins with the dot


def amount(number: int) -> str:
    """A count in the field's short form: 7.3M, 1.1B."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def size_words(count: int) -> str:
    """Bytes in decimal units, as download pages count them: 14.7 MB, 2.1 GB."""
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def facts(card: ModelCard) -> str:
    """Family, parameters, size, precision and context, as far as they are known."""
    parts = [card.family]
    if card.parameters:
        parts.append(f"{amount(card.parameters)} parameters")
    if card.bytes_on_disk:
        parts.append(size_words(card.bytes_on_disk))
    parts.append(card.precision)
    if card.context:
        parts.append(f"context {card.context:,}")
    if card.supported:
        chats = f"chats as {card.chat_format}" if card.chat_format else "chats"
        parts.append(chats if card.chat_template else DOES.get(card.kind, ""))
    return BETWEEN.join(part for part in parts if part)


def forecast_words(forecast: Forecast) -> str:
    """Whether it fits into memory, with the figures."""
    needed, form = size_words(forecast.needed), forecast.precision
    if forecast.free is None:
        return f"Takes {needed} of memory in {form}"
    free = size_words(forecast.free)
    if forecast.verdict == "too large":
        return f"Too large: needs {needed} in {form}, and {free} are free"
    verdict = forecast.verdict.capitalize()
    if forecast.longest < forecast.context:
        return f"{verdict}: {free} are free, enough for texts of up to {forecast.longest:,} tokens in {form}"
    return f"{verdict}: {needed} of the {free} free, in {form}"


def forecast_parts(forecast: Forecast) -> str:
    """What the memory is for."""
    parts = {
        "weights": forecast.weights,
        f"a text of {forecast.context:,} tokens": forecast.cache,
        "attention while it is read": forecast.capture,
        "scratch": forecast.scratch,
    }
    longest = f"The longest text that fits has {forecast.longest:,} tokens." if forecast.verdict else ""
    told = ", ".join(f"{size_words(size)} for {name}" for name, size in parts.items() if size)
    return f"{told}. {longest}".strip()


def memory_words(info: ModelInfo) -> str:
    """What the weights of a loaded model take, beside what was foreseen; "" where that was not measured."""
    if not info.foreseen or not info.measured or info.bytes_in_memory < MEASURABLE:
        return ""
    return f"Takes {size_words(info.measured)} for its weights; {size_words(info.foreseen)} were foreseen."


class Card(QFrame):
    """load: its path, the button was pressed, and the precision where it offers one. unload: for the model in use."""

    load = Signal(str, str)
    unload = Signal()

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.card = card
        self.current = self.loading = False
        self.setObjectName("card")
        self.setToolTip(card.path)
        self._mark = QLabel()
        self._state = words("", "caption", wrap=False)
        self.button = named(QPushButton("Load"), "cardButton")
        self.button.clicked.connect(self._act)
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(words(card.name, "name"), 1)
        for widget in (self._mark, self._state, self.button):
            head.addWidget(widget)
        column = self._column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 10)
        column.setSpacing(4)
        column.addLayout(head)
        for text in (facts(card), card.note):
            if text:
                column.addWidget(words(text, "caption"))
        self._forecast: Forecast | None = None
        self._fit, self._fit_mark = words("", "caption"), QLabel()
        self._fit.hide()
        self._fit_mark.hide()
        fit = QHBoxLayout()
        fit.setSpacing(6)
        fit.addWidget(self._fit_mark, 0, Qt.AlignmentFlag.AlignTop)
        fit.addWidget(self._fit, 1)
        column.addLayout(fit)
        self._runs = words("", "caption")
        column.addWidget(self._runs)
        self._warning = QLabel()
        if not card.supported:
            row = QHBoxLayout()
            row.setSpacing(6)
            row.addWidget(self._warning, 0, Qt.AlignmentFlag.AlignTop)
            row.addWidget(words(f"{card.reason} {card.hint}".strip(), ""), 1)
            column.addLayout(row)
        theme.theme_changed.connect(self._tint)
        self._tint()
        self.show_state(False, False)

    def adopt(self, widget: QWidget) -> None:
        """Show a control of the model in use at the foot."""
        if widget.parent() is not self:
            self._column.addWidget(widget)
            before: QWidget = self.button
            for each in widget.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
                if each.focusPolicy() & Qt.FocusPolicy.TabFocus:
                    QWidget.setTabOrder(before, each)
                    before = each
        widget.show()

    def show_state(self, current: bool, loading: bool, runs: str = "") -> None:
        """Whether this is the model in use, and whether it is being loaded.

        runs: how the one in use runs, and why, and what it takes.
        """
        self.current, self.loading = current, loading
        state = "Loading" if loading else "In use" if current else ""
        self._state.setText(state)
        self._state.setVisible(bool(state))
        self._mark.setVisible(current and not loading)
        self._runs.setText(runs)
        self._runs.setVisible(bool(runs))
        fit = "" if current or self._forecast is None else forecast_words(self._forecast)
        self._fit.setText(fit)
        self._fit.setVisible(bool(fit))
        self._fit_mark.setVisible(bool(fit) and self._forecast is not None and self._forecast.verdict == "too large")
        self.button.setText("Unload" if current else f"Load in {self._instead}" if self._instead else "Load")
        self.button.setAccessibleName(f"{self.button.text()} {self.card.name}")
        self.button.setVisible((self.card.supported or current) and not loading)
        usable = "" if self.card.supported else f"cannot be run: {self.card.reason}"
        spoken = (self.card.name, state.lower(), facts(self.card), usable, fit, runs)
        self.setAccessibleName(", ".join(part for part in spoken if part))
        if self.property("current") != current:
            self.setProperty("current", current)
            self.style().unpolish(self)
            self.style().polish(self)

    def show_forecast(self, forecast: Forecast | None) -> None:
        """What it would take in memory; where it is too large the button offers the precision that fits."""
        if forecast != self._forecast:
            self._forecast = forecast
            parts = forecast_parts(forecast) if forecast is not None else ""
            self._fit.setToolTip(parts)
            self._fit.setAccessibleDescription(parts)
            self.show_state(self.current, self.loading, self._runs.text())

    @property
    def _instead(self) -> str:
        return "" if self._forecast is None else self._forecast.instead

    def _act(self) -> None:
        if self.current:
            self.unload.emit()
        else:
            self.load.emit(self.card.path, self._instead)

    def _tint(self, *_: object) -> None:
        self._mark.setPixmap(theme.icon("check", 16, "accent").pixmap(16))
        self._fit_mark.setPixmap(theme.icon("triangle-alert", 16, "warning").pixmap(16))
        self._warning.setPixmap(theme.icon("triangle-alert", 16, "warning").pixmap(16))


def words(text: str, role: str, wrap: bool = True) -> QLabel:
    """A label of plain text in one of the style sheet's roles."""
    label = QLabel(text, textFormat=Qt.TextFormat.PlainText, wordWrap=wrap)
    label.setProperty("role", role)
    return label
