"""What an answer has to be: nothing, a JSON schema, a regular expression or a grammar, written, opened or chosen.

It knows no grammar: whoever judges a form says what is wrong with it. Only the one that is shown is in force.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from app import theme
from app.state.presets import FORMS
from app.widgets.choice_box import ChoiceBox
from app.widgets.form import Row
from app.widgets.named import named, quiet_button
from app.widgets.settled_field import SettledField
from app.widgets.structure_tester import StructureTester
from app.widgets.text_row import words_of
from engine import Param, Params

NONE = "Anything"
HINTS = {"schema": '{"type": "object"}', "regex": "(yes|no)", "grammar": 'start: "yes" | "no"'}
HELP = "What the next answer has to be. Tokens that cannot go on that way are cut before anything is drawn."

IN_FORCE = f"No answer is written while it is so: mend it, or choose {NONE}."

PERSON = """{
  "type": "object",
  "properties": {
    "name": {"type": "string", "maxLength": 40},
    "age": {"type": "integer", "minimum": 0, "maximum": 150}
  },
  "required": ["name", "age"],
  "additionalProperties": false
}"""
LIST = """{
  "type": "array",
  "items": {"type": "string", "maxLength": 40},
  "minItems": 1,
  "maxItems": 5
}"""
DATE = r"(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
GREETING = """start: greeting ", " name "!"
greeting: "Hello" | "Good morning" | "Good evening"
name: /[A-Z][a-z]{1,11}/"""
SUM = """start: term (" + " term)* " = " number
term: number (" * " number)*
number: /[1-9][0-9]{0,3}/"""
EXAMPLES = (
    ("A name and a number", "schema", PERSON),
    ("A list of texts", "schema", LIST),
    ("A date", "regex", DATE),
    ("Yes or no", "regex", "(Yes|No)"),
    ("A greeting", "grammar", GREETING),
    ("A sum", "grammar", SUM),
)
"""What is offered to begin with: its name, its form and its text."""

Chosen = tuple[str, str]
"""Which form, and its text; two empty texts for none."""


class StructureEditor(Row):
    """The setting. Its value: what is Chosen. asked: form, its text and a text to try, to be judged.

    file_wanted: the text of the form is to come from a file.
    """

    asked = Signal(str, str, str)
    file_wanted = Signal()

    def __init__(self) -> None:
        super().__init__(Param(("", ""), label="The answer is", help=HELP, name="structure"))
        self._shown = ""
        self._drafts: dict[str, str] = {}  # what was written for the forms that are not chosen
        self._labels = {name: words_of(name).label for name in FORMS}
        self.chooser = named(ChoiceBox(), "structureForm", "Form of the answer")
        self.chooser.addItem(NONE, "")
        for name, label in self._labels.items():
            self.chooser.addItem(label, name)
        self.chooser.setMinimumWidth(96)
        self.chooser.activated.connect(self._choose)
        self.top.addWidget(self.help)
        self.editor = SettledField("structureSource", "Form", "", 64, 260)
        self.editor.settled.connect(self._take)
        self.examples = named(QPushButton("Examples"), "structureExamples")
        menu = QMenu(self.examples)
        for name, form, source in EXAMPLES:
            action = menu.addAction(f"{name} · {self._labels[form]}")
            action.triggered.connect(partial(self._begin, form, source))
        self.examples.setMenu(menu)
        self.open = quiet_button("structureOpen", "Open from a file")
        self.open.clicked.connect(self.file_wanted)
        self._told = QLabel(wordWrap=True)
        self._told.setProperty("role", "caption")
        self._problem = QLabel(wordWrap=True)
        self._problem.setProperty("role", "danger")
        self.tester = StructureTester()
        self.tester.settled.connect(self._ask)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.examples)
        line.addStretch(1)
        line.addWidget(self.open)
        self._holder = QWidget()
        inner = QVBoxLayout(self._holder)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(6)
        for widget in (self._told, self.editor, self._problem, self.tester):
            inner.addWidget(widget)
        self.column.setSpacing(4)
        self.column.addWidget(self.chooser)
        self.column.addLayout(line)
        self.column.addWidget(self._holder)
        theme.theme_changed.connect(self._tint_editor)
        self._tint_editor()
        self._show()

    @property
    def form(self) -> str:
        """The form that is chosen, "" for none."""
        return str(self.chooser.currentData())

    @property
    def problem(self) -> str:
        return self._problem.text()

    # --- a row of a form ----------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        return FORMS

    @property
    def on(self) -> bool:
        return bool(self.value[1])

    def read(self, params: Params) -> Chosen:
        return next(((name, text) for name in FORMS if (text := getattr(params, name))), ("", ""))

    def fields(self, value: Chosen) -> dict[str, Any]:
        return {name: value[1] if name == value[0] else "" for name in FORMS}

    def set_value(self, value: Chosen) -> None:
        super().set_value(value)
        self._drafts.clear()
        self.chooser.setCurrentIndex(self.chooser.findData(value[0]))
        self.editor.put(value[1])
        self._show()
        self._ask()

    # --- what the person does -----------------------------------------------------------------------------------------

    def start(self, form: str, source: str) -> None:
        """Begin with this text; Undo brings back what stood there of the same form."""
        if form != self.form:
            self.chooser.setCurrentIndex(self.chooser.findData(form))
            self._choose()
        cursor = QTextCursor(self.editor.document())
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.insertText(source)
        self.editor.setFocus()
        self.editor.settle()

    def _begin(self, form: str, source: str, _checked: bool = False) -> None:
        self.start(form, source)

    def _choose(self, *_: object) -> None:
        """Another form: what was written for the one before is kept at hand."""
        self._drafts[self._shown] = self.editor.toPlainText()
        self.editor.put(self._drafts.get(self.form, ""))
        self._show()
        self._take()

    def _take(self) -> None:
        source = self.editor.toPlainText()
        value = (self.form, source) if self.form and source.strip() else ("", "")
        if value != self.value:
            self.value = value
            self.changed.emit(value)
        self._ask()

    # --- what is known of it ------------------------------------------------------------------------------------------

    def tell(self, form: Chosen, text: str, problem: str, fits: int, complete: bool) -> None:
        """What was found of a form and a text; of others than these nothing is shown."""
        if form == self.value and text == self.tester.text:
            self.say(f"{problem} {IN_FORCE}" if problem else "")
            if problem:
                self.tester.clear()
            else:
                self.tester.tell(fits, complete)

    def _ask(self) -> None:
        if self.value[1]:
            self.asked.emit(*self.value, self.tester.text)
        else:
            self.say("")
            self.tester.clear()

    def say(self, problem: str) -> None:
        """What is wrong, in a sentence beneath the text; "" for nothing."""
        self._problem.setText(problem)
        self._problem.setVisible(bool(problem))
        self.editor.setAccessibleDescription(problem)

    def _show(self) -> None:
        self._shown = self.form
        for widget in (self._holder, self.open):
            widget.setVisible(bool(self.form))
        if self.form:
            self._told.setText(words_of(self.form).help)
            self.editor.setAccessibleName(self._labels[self.form])
            self.editor.setPlaceholderText(HINTS[self.form])

    def _tint_editor(self, *_: object) -> None:
        self.open.setIcon(theme.icon("folder-open", 16, "muted"))
        self.editor.setFont(theme.font(mono=True))
