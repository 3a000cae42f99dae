"""Forms made from a table of Params: a number becomes a row with a slider, a choice a row with a list.

It knows Params and their table, no particular one: a knob added to the table appears by itself. Extra words about a
knob (its picture) come from whoever builds the form.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.widgets.choice_box import ChoiceBox
from app.widgets.named import quiet_button
from app.widgets.slider import Slider
from app.widgets.value_edit import ValueEdit
from engine import Param, Params

WIDEST_SLIDER = 1_000_000  # steps; what has more is typed, not slid

Picture = Callable[[Param, float], QWidget | None]
"""A small picture of what a knob does at a value, or None."""


class _Label(QLabel):
    """A knob's name; a double click resets it."""

    reset = Signal()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.reset.emit()


class _Dot(QWidget):
    """Marks a value that differs from the preset's; keeps its place when it is not shown."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(8, 8)
        self.shown = False

    def show_changed(self, changed: bool) -> None:
        self.shown = changed
        self.setToolTip("Changed from the preset. Double-click the name to reset." if changed else "")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.shown:
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.current().accent))
            painter.drawEllipse(1, 1, 6, 6)


class Row(QWidget):
    """One knob. changed: the value chosen by the person; set_value() is silent."""

    changed = Signal(object)
    reset = Signal()

    def __init__(self, knob: Param, picture: Picture | None = None) -> None:
        super().__init__()
        self.knob = knob
        self.value: Any = knob.default
        self._picture = picture
        self.setObjectName(f"knob-{knob.name}")
        self.label = _Label(knob.label)
        self.label.setToolTip(knob.help)
        self.label.reset.connect(self.reset)
        self.dot = _Dot()
        self.help = quiet_button(f"help-{knob.name}", f"About {knob.label.lower()}", 24)
        self.help.clicked.connect(self._explain)
        self.top = QHBoxLayout()
        self.top.setSpacing(4)
        self.top.addWidget(self.label)
        self.top.addWidget(self.dot)
        self.top.addStretch(1)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 2, 0, 2)
        self.column.setSpacing(0)
        self.column.addLayout(self.top)
        theme.theme_changed.connect(self._tint)
        self._tint()

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the params that it sets."""
        return (self.knob.name,)

    def read(self, params: Params) -> Any:
        """Its value in these params."""
        return getattr(params, self.knob.name)

    def fields(self, value: Any) -> dict[str, Any]:
        """The fields that a value of it stands for."""
        return {self.knob.name: value}

    def set_value(self, value: Any) -> None:
        self.value = value

    def set_baseline(self, value: Any, changed: bool) -> None:
        """What the preset says, and whether the value differs from it."""
        self.dot.show_changed(changed)

    def set_resting(self, why: str) -> None:
        """Whether another setting takes this one's place: why, or ""."""
        self.setEnabled(not why)
        self.setToolTip(why)
        self.setAccessibleDescription(why)

    @property
    def on(self) -> bool:
        """Whether the knob does something: it has a neutral value and stands elsewhere."""
        off = "off" if "off" in self.knob.choices else self.knob.off
        return off is not None and self.value != off and self.isEnabled()

    def _tint(self, *_: object) -> None:
        self.help.setIcon(theme.icon("circle-help", 16, "muted"))

    def _explain(self) -> None:
        words = self.knob.help
        if self.knob.off is not None:
            words += f" At {self.knob.off:g} it is off."
        picture = self._picture(self.knob, self.value) if self._picture else None
        self.popover = Popover(self, self.knob.label, words, picture)
        self.popover.show_below(self.help)


class NumberRow(Row):
    """Label left, editable value right, slider beneath."""

    def __init__(self, knob: Param, picture: Picture | None = None) -> None:
        super().__init__(knob, picture)
        self.edit = ValueEdit(knob)
        longest = max(f"{self.edit.words(knob.high)}  off", f"{self.edit.words(knob.low)}  {knob.lowest}", key=len)
        wide = self.edit.fontMetrics().horizontalAdvance(longest) + 24
        self.edit.setFixedWidth(max(76, wide))
        self.edit.changed.connect(self._choose)
        self.top.addWidget(self.edit)
        self.top.addWidget(self.help)
        self.slider: Slider | None = None
        if knob.high is not None and knob.low is not None and knob.high - knob.low < WIDEST_SLIDER * (knob.step or 1):
            self.slider = Slider(knob)
            self.slider.moved.connect(self._choose)
            self.column.addWidget(self.slider)

    def set_value(self, value: Any) -> None:
        super().set_value(value)
        self.edit.set_number(value)
        if self.slider is not None:
            self.slider.set_number(value)

    def set_baseline(self, value: Any, changed: bool) -> None:
        super().set_baseline(value, changed)
        if self.slider is not None:
            self.slider.set_mark(value)

    def _choose(self, number: float) -> None:
        value = int(number) if isinstance(self.knob.default, int) else number
        self.set_value(value)
        self.changed.emit(value)


class ChoiceRow(Row):
    """Label left, list right."""

    def __init__(self, knob: Param, picture: Picture | None = None) -> None:
        super().__init__(knob, picture)
        self.list = ChoiceBox()
        self.list.addItems(list(knob.choices))
        self.list.setAccessibleName(knob.label)
        self.list.setMinimumWidth(96)
        self.list.activated.connect(lambda _: self._choose())
        self.top.addWidget(self.list)
        self.top.addWidget(self.help)

    def set_value(self, value: Any) -> None:
        super().set_value(value)
        self.list.setCurrentText(value)

    def _choose(self) -> None:
        self.value = self.list.currentText()
        self.changed.emit(self.value)


def make_row(knob: Param, picture: Picture | None = None) -> Row:
    """The row that suits a knob."""
    return (ChoiceRow if knob.choices else NumberRow)(knob, picture)


class Section(QWidget):
    """The rows of one group under its heading. A folded one shows the heading alone, and how many of its knobs do
    something, so that nothing acts unseen."""

    def __init__(self, title: str, folds: bool) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.heading: QLabel | QToolButton | None = None
        self._title = title
        self._holder = QWidget()
        self.body = QVBoxLayout(self._holder)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(4)
        self._why = QLabel(wordWrap=True)
        self._why.setProperty("role", "caption")
        self._why.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        if folds:
            self.heading = QToolButton()
            self.heading.setObjectName(f"fold-{title}")
            self.heading.setProperty("role", "fold")
            self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            self.heading.setCheckable(True)
            self.heading.toggled.connect(lambda _: self.refresh())
            self._holder.hide()
            theme.theme_changed.connect(self._tint)
        elif title:
            self.heading = QLabel(title)
            self.heading.setProperty("role", "heading")
        for widget in (self.heading, self._why, self._holder):
            if widget is not None:
                column.addWidget(widget)
        self.refresh()

    def _tint(self, *_: object) -> None:
        self.refresh()

    def show_resting(self, resting: dict[str, str]) -> None:
        """Which knobs do nothing now, and why."""
        for row in self.rows:
            row.set_resting(resting.get(row.knob.name, ""))
        self._why.setText(" ".join(dict.fromkeys(row.toolTip() for row in self.rows if row.toolTip())))
        self.refresh()

    def refresh(self) -> None:
        """Bring heading and fold to where they belong."""
        if isinstance(self.heading, QToolButton):
            opened = self.heading.isChecked()
            self._holder.setVisible(opened)
            on = sum(row.on for row in self.rows)
            self.heading.setText(f"{self._title} · {on} on" if on else self._title)
            self.heading.setIcon(theme.icon("chevron-down" if opened else "chevron-right", 16, "muted"))
            self.heading.setAccessibleName(f"{self._title}, {'shown' if opened else 'folded'}, {on} on")
            self._why.setVisible(opened and bool(self._why.text()))
        else:
            self._why.setVisible(bool(self._why.text()))


class Form(QWidget):
    """Rows of a Params class under the headings of their groups. changed: the whole params, one field new.

    reset: the name of a knob that goes back to the preset. folded: groups that begin folded.
    """

    changed = Signal(object)
    reset = Signal(str)

    def __init__(
        self,
        params: Params,
        picture: Picture | None = None,
        headings: bool = True,
        folded: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._params = params
        self.rows: dict[str, Row] = {}
        self.sections: dict[str, Section] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(12)
        for knob in type(params).table():
            if knob.group not in self.sections:
                section = Section(knob.group if headings else "", knob.group in folded)
                self.sections[knob.group] = section
                self._column.addWidget(section)
            self.add(make_row(knob, picture), knob.group)
        self._show_resting()

    def add_section(self, title: str, before: str) -> None:
        """A folded heading above another one, for rows that are made elsewhere."""
        section = self.sections[title] = Section(title, True)
        self._column.insertWidget(self._column.indexOf(self.sections[before]), section)

    def add(self, row: Row, group: str) -> None:
        """A row at the end of a group."""
        self.rows[row.knob.name] = row
        row.changed.connect(lambda value: self._choose(row, value))
        row.reset.connect(lambda: self.reset.emit(row.knob.name))
        self.sections[group].body.addWidget(row)
        self.sections[group].rows.append(row)
        row.set_value(row.read(self._params))

    @property
    def params(self) -> Params:
        return self._params

    def set_params(self, params: Params) -> None:
        """Show these values, without a signal."""
        self._params = params
        for row in self.rows.values():
            if row.value != row.read(params):
                row.set_value(row.read(params))
        self._show_resting()

    def set_baseline(self, params: Params, changed: Callable[[str], bool]) -> None:
        """What the preset says, and which fields differ from it."""
        for row in self.rows.values():
            row.set_baseline(row.read(params), any(map(changed, row.names)))

    def _choose(self, row: Row, value: Any) -> None:
        self._params = self._params.replace(**row.fields(value))
        self._show_resting()
        self.changed.emit(self._params)

    def _show_resting(self) -> None:
        resting = self._params.resting
        for section in self.sections.values():
            section.show_resting(resting)


class Popover(QFrame):
    """A card with a title, a few words and perhaps a picture; goes at the next click or Esc."""

    def __init__(self, parent: QWidget, title: str, words: str, picture: QWidget | None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("popover")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setAccessibleName(title)
        self.setAccessibleDescription(words)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        name = QLabel(title)
        name.setProperty("role", "name")
        text = QLabel(words, wordWrap=True)
        text.setFixedWidth(260)
        column.addWidget(name)
        column.addWidget(text)
        if picture is not None:
            column.addWidget(picture)

    def show_below(self, place: QWidget) -> None:
        self.adjustSize()
        corner = place.mapToGlobal(QPoint(place.width() - self.width(), place.height() + 4))
        screen = place.screen().availableGeometry()
        x = min(max(corner.x(), screen.left() + 4), screen.right() - self.width() - 4)
        above = place.mapToGlobal(QPoint(0, 0)).y() - self.height() - 4
        self.move(x, corner.y() if corner.y() + self.height() < screen.bottom() else above)
        self.show()
