"""One side of a comparison: how it is written, its text while it comes, what differs from the first side, and Keep.

It shows what it is given and says what the person wants. Differences are underlined as well as coloured; the pane's
table says them in words.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QPushButton, QTextEdit, QVBoxLayout, QWidget

from app import theme
from app.widgets.flowing import FlowingText
from app.widgets.form import Form, NumberRow
from app.widgets.ink import current_ink
from app.widgets.model_box import ModelBox, Offer
from app.widgets.named import named, quiet_button, toggle_button
from app.widgets.token_strip import TokenStrip
from engine import AdapterUse, SamplingParams, TokenRecord

PANE = "As set"
LEAST = 250  # pixels: a column is no narrower
FOLDED = ("More shape", "More cutoffs", "Repetition", "Steering", "Beam search", "Speed", "Other")


class SideColumn(QFrame):
    """chosen: a preset, "" for what the Sampling pane says. changed: SamplingParams. token_chosen: index of a token.

    model_chosen: the number of a model, 0 the loaded one. looked_at: the other panes are to show this side.
    adapter_chosen: a path, or what stands in the place of one. strengthened: how strongly that adapter is on.
    """

    chosen = Signal(str)
    changed = Signal(object)
    reset = Signal(str)
    removed = Signal()
    kept = Signal()
    token_chosen = Signal(int)
    model_chosen = Signal(int)
    looked_at = Signal()
    adapter_chosen = Signal(str)
    strengthened = Signal(object)

    def __init__(self, number: int, letter: str, size: int) -> None:
        """size: of the text, in pixels."""
        super().__init__()
        named(self, "card", f"Side {letter}")
        self.number, self.letter, self._size = number, letter, size
        self.form: Form | None = None
        self._sampling = self._baseline = SamplingParams()
        self._changed: Collection[str] = ()
        self._marks: Sequence[tuple[int, int]] = ()
        self.setMinimumWidth(LEAST)
        self.badge = quiet_button(f"sideLook{letter}", f"Look at side {letter}")
        self.badge.setText(letter)
        self.badge.setToolTip("Show this answer's probabilities and attention in the other panes")
        self.badge.setCheckable(True)
        self.badge.clicked.connect(self._look)
        self.presets = named(QComboBox(), f"sidePreset{letter}", f"Settings of side {letter}")
        self.presets.setMinimumWidth(64)  # a long name must not widen the column
        self.presets.activated.connect(lambda index: self.chosen.emit(self.presets.itemText(index) if index else ""))
        self.how = toggle_button(f"sideSettings{letter}", "Settings")
        self.how.setAccessibleName(f"Show the settings of side {letter}")
        self.how.toggled.connect(self._show_form)
        self.close_button = quiet_button(f"sideRemove{letter}", f"Remove side {letter}")
        self.close_button.clicked.connect(self.removed)
        head = QHBoxLayout()
        head.setSpacing(6)
        for widget, stretch in ((self.badge, 0), (self.presets, 1), (self.how, 0), (self.close_button, 0)):
            head.addWidget(widget, stretch)
        self.models = named(QComboBox(), f"sideModel{letter}", f"Model of side {letter}")
        self.models.setMinimumWidth(64)
        self.models.activated.connect(self.model_chosen)
        self.adapters = named(ModelBox("Adapters as set"), f"sideAdapter{letter}", f"Adapter of side {letter}")
        self.adapters.setToolTip("Write this side through an adapter, or through those that the Sampling pane has on")
        self.adapters.chosen.connect(self.adapter_chosen)
        self.strength = NumberRow(AdapterUse.table()[0])
        self.strength.changed.connect(self.strengthened)
        self.summary = QLabel(wordWrap=True)
        self.text = FlowingText()
        self.text.setAccessibleName(f"Answer of side {letter}")
        self.text.installEventFilter(self)
        self.strip = TokenStrip(current_ink(size))
        self.strip.text.setAccessibleName(f"Tokens of side {letter}")
        self.strip.focused.connect(self.token_chosen)
        self.strip.hide()
        self.status = QLabel(wordWrap=True)
        for label in (self.summary, self.status):
            label.setProperty("role", "caption")
        self.keep = named(QPushButton("Keep"), f"sideKeep{letter}", f"Keep the answer of side {letter} in the chat")
        self.keep.setToolTip("Take this answer into the chat")
        self.keep.clicked.connect(self.kept)
        foot = QHBoxLayout()
        foot.addWidget(self.status, 1)
        foot.addWidget(self.keep, 0, Qt.AlignmentFlag.AlignTop)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(12, 10, 12, 10)
        self._column.setSpacing(6)
        self._column.addLayout(head)
        for part in (self.models, self.adapters, self.strength, self.summary, self.text, self.strip):
            self._column.addWidget(part)
        self._column.addStretch(1)
        self._column.addLayout(foot)
        theme.theme_changed.connect(self._tint)
        self._tint()

    # --- how it is written --------------------------------------------------------------------------------------------

    def show_presets(self, names: Sequence[str], chosen: str) -> None:
        self.presets.clear()
        self.presets.addItems([PANE, *names])
        self.presets.setCurrentText(chosen or PANE)
        self.presets.setItemData(0, "What the Sampling pane says", Qt.ItemDataRole.ToolTipRole)

    def show_models(self, names: Sequence[str], chosen: int) -> None:
        """The models that can write; there is nothing to choose from one."""
        self.models.clear()
        self.models.addItems(list(names))
        self.models.setCurrentIndex(chosen)
        self.models.setVisible(len(names) > 1)

    def show_adapters(self, offers: Sequence[Offer], chosen: str, strength: float, plain: str) -> None:
        """The adapters that its model can take, and the one chosen; there is nothing to choose where there is none.

        plain: what stands for no adapter at all; "" is what is on for the model.
        """
        self.adapters.show_models([("No adapter", plain, ""), *offers], chosen)
        self.adapters.setVisible(bool(offers))
        self.strength.setVisible(chosen not in ("", plain))
        self.strength.set_value(strength)

    def show_settings(self, sampling: SamplingParams, baseline: SamplingParams, changed: Collection[str]) -> None:
        """What the side is written with, what its preset says, and the fields that differ."""
        self._sampling, self._baseline, self._changed = sampling, baseline, changed
        labels = {knob.name: knob.label for knob in SamplingParams.table()}
        values = {name: getattr(sampling, name) for name in labels if name in changed}
        words = [
            f"{labels[name].lower()} {v:g}" if isinstance(v, int | float) else f"{labels[name].lower()} {v}"
            for name, v in values.items()
        ]
        self.summary.setText(" · ".join(words) or "No changes")
        if self.form is not None:
            self.form.set_params(sampling)
            self.form.set_baseline(baseline, changed.__contains__)

    def _show_form(self, shown: bool) -> None:
        if shown and self.form is None:
            self.form = Form(self._sampling, folded=FOLDED)
            self.form.setAccessibleName(f"Settings of side {self.letter}")
            self.form.changed.connect(self.changed)
            self.form.reset.connect(self.reset)
            self.form.set_baseline(self._baseline, self._changed.__contains__)
            self._column.insertWidget(self._column.indexOf(self.summary) + 1, self.form)
        if self.form is not None:
            self.form.setVisible(shown)

    # --- whether it is looked at --------------------------------------------------------------------------------------

    def show_looked(self, looked: bool) -> None:
        """Whether the other panes show this side."""
        self.badge.setChecked(looked)
        if self.property("current") != looked:
            self._column.setContentsMargins(*((11, 9, 11, 9) if looked else (12, 10, 12, 10)))  # its frame is wider
            self.setProperty("current", looked)
            self.style().unpolish(self)
            self.style().polish(self)

    def _look(self) -> None:
        self.badge.setChecked(True)  # to look away is to look at another
        self.looked_at.emit()

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def show_text(self, text: str) -> None:
        """The whole answer, without marks."""
        self._marks = ()
        self.text.setExtraSelections([])
        self.text.document().clear()
        self.add_text(text)

    def add_text(self, text: str) -> None:
        cursor = QTextCursor(self.text.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.insertText(text, current_ink(self._size).text_format())

    def mark(self, places: Sequence[tuple[int, int]]) -> None:
        """Underline these stretches of the text, each from a character up to another."""
        self._marks = places
        color, selections = theme.side_color(self.number), []
        ground = QColor(color)
        ground.setAlpha(70)
        for start, end in places:
            selection = QTextEdit.ExtraSelection()
            cursor = QTextCursor(self.text.document())
            cursor.setPosition(_utf16(self.text.toPlainText(), start))
            cursor.setPosition(_utf16(self.text.toPlainText(), end), QTextCursor.MoveMode.KeepAnchor)
            form = QTextCharFormat()
            form.setBackground(ground)
            form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
            form.setUnderlineColor(color)
            selection.cursor, selection.format = cursor, form
            selections.append(selection)
        self.text.setExtraSelections(selections)

    def show_records(self, records: Sequence[TokenRecord]) -> None:
        """The tokens of the answer so far, where they are shown."""
        if self.strip.grows_into(records):
            self.strip.append(records[self.strip.count :])
        elif self.strip.count != len(records) or not records:
            self.strip.set(records)

    def show_tokens(self, shown: bool) -> None:
        """Tokens in the text's place."""
        self.strip.setVisible(shown)
        self.text.setVisible(not shown)

    def _tint(self, *_: object) -> None:
        color = theme.side_color(self.number)
        self.badge.setStyleSheet(
            f"QToolButton {{ border: 2px solid {color.name()}; border-radius: 6px; font-weight: 600; }}"
            f"QToolButton:checked {{ background: {color.name()}; color: {theme.side_text(self.number)}; }}"
            f"QToolButton:focus {{ border-color: {theme.current().accent}; }}"
        )
        self.close_button.setIcon(theme.icon("x", 16, "muted"))
        cursor = QTextCursor(self.text.document())
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.setCharFormat(current_ink(self._size).text_format())
        self.mark(self._marks)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.FocusIn:
            self._look()
        return super().eventFilter(watched, event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        self._look()


def _utf16(text: str, place: int) -> int:
    """Qt's place of a character: what lies beyond the first plane takes two."""
    return len(text[:place].encode("utf-16-le")) // 2


def status_words(status: str, tokens: int, speed: float, seed: int, model: str) -> str:
    """How an answer stands, in a line."""
    words = {
        "writing": "Writing", "done": "Done", "length": "Cut at the longest length", "stopped": "Stopped",
    }  # fmt: skip
    if status not in words:
        return ""
    parts = [words[status], f"{tokens} tokens"]
    if speed:
        parts.append(f"{speed:.0f} tokens/s")
    if seed >= 0:
        parts.append(f"seed {seed}")
    return " · ".join([*parts, model])


def spread(widgets: Sequence[QWidget], width: int) -> int:
    """How many columns stand in a row of this width: all, or half of them, or one."""
    count = len(widgets)
    for columns in (count, (count + 1) // 2):
        if columns * (LEAST + 12) <= width:
            return columns
    return 1
