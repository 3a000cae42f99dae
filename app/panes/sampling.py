"""The Sampling pane: presets and a row for every setting, numbers and texts. Sliders act on the next token written."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.state import State
from app.state.preset_files import PresetFiles
from app.state.structuring import Structuring, Verdict
from app.state.token_pieces import TokenPieces
from app.widgets.adapter_rows import AdapterRows
from app.widgets.bias_table import BiasTable
from app.widgets.form import Form
from app.widgets.named import named, quiet_button
from app.widgets.order_list import OrderList
from app.widgets.prompt_row import PromptRow
from app.widgets.step_picture import picture
from app.widgets.structure_editor import StructureEditor
from app.widgets.text_list import TextList
from engine import ModelInfo, SamplingParams

NAME, TITLE, ICON = "sampling", "Sampling", "sliders-horizontal"
FOLDED = (
    "More shape", "More cutoffs", "Repetition", "Steering", "Guidance", "Contrastive search", "Beam search", "Speed",
)  # fmt: skip
FILES = "Presets (*.json)"
LISTS = (
    ("Length", "stop", "stop string", "Stop at this text, \\n for a line break"),
    ("Repetition", "dry_breakers", "DRY breaker", "A text that ends a run, \\n for a line break"),
    ("Words", "banned_words", "banned word", "A word, or #123 for a token's id"),
    ("Words", "banned_phrases", "banned phrase", "A run of words"),
)
"""Settings that are lists of texts: the group, the name, what one text is called, the hint where one is typed."""
AGAINST = "What the answer is to keep away from"
FORM_FILES = "Forms (*.json *.lark *.txt);;All files (*)"


class Pane(QWidget):
    """A view of state.presets, and of what is on of state.adapters."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._presets, self._adapters = state.presets, state.adapters
        self.files = PresetFiles(state.presets)
        self.files.said.connect(self._say)
        self.form = Form(state.presets.sampling, picture, folded=FOLDED)
        self.form.changed.connect(self._presets.set_sampling)
        self.form.reset.connect(lambda name: self._presets.reset(*self.form.rows[name].names))
        self.order = OrderList()
        self.order.changed.connect(lambda order: self._change(order=order))
        self.form.sections["Other"].body.addWidget(self.order)
        self.pieces, self.structuring = TokenPieces(state.workspace), Structuring(state.workspace)
        self._add_texts()
        holder = QWidget()
        inner = QVBoxLayout(holder)
        inner.setContentsMargins(16, 8, 12, 16)
        self.adapters = AdapterRows()
        self.adapters.weighed.connect(state.adapters.set_weight)
        inner.addWidget(self.adapters)
        inner.addWidget(self.form)
        inner.addStretch(1)
        self.body = QScrollArea()
        self.body.setWidgetResizable(True)
        self.body.setFrameShape(QFrame.Shape.NoFrame)
        self.body.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.body.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.body.setWidget(holder)
        self.body.viewport().setAutoFillBackground(False)
        holder.setAutoFillBackground(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(self._make_head())
        column.addWidget(self.body, 1)
        self._presets.sampling_changed.connect(self._show_sampling)
        self._presets.presets_changed.connect(self._show_presets)
        state.workspace.model_changed.connect(self._show_model)
        self._adapters.changed.connect(self._show_adapters)
        theme.theme_changed.connect(self._tint)
        self._tint()
        self._show_presets()
        self._show_model(state.workspace.info)
        self._show_adapters()

    def _add_texts(self) -> None:
        """The settings that are texts, each in the section of its like."""
        self.form.add_section("Words", "Beam search")
        self.form.add_section("Structured answer", "Beam search")
        self.lists = {name: TextList(name, one, hint) for _, name, one, hint in LISTS}
        for group, name, _, _ in LISTS:
            self.form.add(self.lists[name], group)
        self.biases, self.against = BiasTable(), PromptRow("negative_prompt", AGAINST)
        self.pieces.changed.connect(lambda: self.biases.show_pieces(self.pieces.found, self.pieces.vocabulary))
        self.form.add(self.biases, "Words")
        self.form.add(self.against, "Guidance")
        self.structure = StructureEditor()
        self.structure.asked.connect(self.structuring.judge)
        self.structure.file_wanted.connect(self._open_form)
        self.structuring.judged.connect(self._show_verdict)
        self.structuring.opened.connect(lambda text: self.structure.start(self.structure.form, text))
        self.structuring.failed.connect(self.structure.say)
        self.form.add(self.structure, "Structured answer")

    def _make_head(self) -> QVBoxLayout:
        self.chooser = named(QComboBox(), "presetChooser", "Preset")
        self.chooser.setMinimumWidth(64)  # a long name must not make the whole dock wide
        self.chooser.activated.connect(lambda _: self._presets.apply(self.chooser.currentText()))
        self.reset = quiet_button("presetReset", "Back to the preset's values")
        self.reset.clicked.connect(lambda: self._presets.reset())
        self.keep = quiet_button("presetSave", "Save as a preset")
        self.keep.clicked.connect(self._name_it)
        self.remove = quiet_button("presetDelete", "Delete this preset")
        self.remove.clicked.connect(lambda: self._presets.delete(self._presets.name))
        self.more = quiet_button("presetMore", "Presets as files")
        self.more.clicked.connect(self._offer_files)
        self.neutral = QPushButton("Neutral")
        self.neutral.setToolTip("Switch every step off")
        self.neutral.clicked.connect(self._presets.neutral)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.chooser, 1)
        for button in (self.neutral, self.reset, self.keep, self.remove, self.more):
            line.addWidget(button)
        self._words = QLabel(wordWrap=True)
        self._words.setProperty("role", "caption")
        self.name = named(QLineEdit(), "presetName", "Name of the new preset")
        self.name.setPlaceholderText("Name, then Enter")
        self.name.returnPressed.connect(self._save)
        self.name.editingFinished.connect(lambda: self.name.setVisible(self.name.hasFocus()))
        self.name.hide()
        head = QVBoxLayout()
        head.setContentsMargins(16, 12, 12, 8)
        head.setSpacing(6)
        head.addLayout(line)
        head.addWidget(self.name)
        head.addWidget(self._words)
        return head

    def _change(self, **changes: Any) -> None:
        self._presets.set_sampling(self._presets.sampling.replace(**changes))

    def _offer_files(self) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Import a preset from a file", self._import)
        menu.addAction("Export these values to a file", self._export)
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _import(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a preset", "", FILES)
        if path:
            self.files.open(path)

    def _open_form(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a form", "", FORM_FILES)
        if path:
            self.structuring.open(path)

    def _export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save these values", f"{self._presets.name}.json", FILES)
        if path:
            self.files.save(path)

    def _say(self, words: str) -> None:
        self._words.setText(words)
        self._words.setVisible(bool(words))

    def _name_it(self) -> None:
        self.name.setText(self._presets.name if self._presets.preset.saved else "")
        self.name.show()
        self.name.setFocus()
        self.name.selectAll()

    def _save(self) -> None:
        refusal = self._presets.save(self.name.text())
        if refusal:
            self._say(refusal)
        else:
            self.name.hide()

    def _show_presets(self) -> None:
        self.chooser.blockSignals(True)
        self.chooser.clear()
        self.chooser.addItems([preset.name for preset in self._presets.presets])
        for index, preset in enumerate(self._presets.presets):
            self.chooser.setItemData(index, preset.description, Qt.ItemDataRole.ToolTipRole)
        self.chooser.setCurrentText(self._presets.name)
        self.chooser.setToolTip(self._presets.name)
        self.chooser.blockSignals(False)
        self.remove.setVisible(self._presets.preset.saved)
        self._say(self._presets.description)
        self._show_sampling(self._presets.sampling)

    def _show_sampling(self, sampling: SamplingParams) -> None:
        self.form.set_params(sampling)
        self.form.set_baseline(self._presets.baseline, self._presets.changed_from_preset)
        self.pieces.ask(self.biases.texts)
        self.order.set_order(sampling.order)
        self.reset.setEnabled(self._presets.changed)

    def _show_adapters(self) -> None:
        """Those that fit the loaded model; the Models pane says of the others why not."""
        cards = [card for card in self._adapters.cards() if not card.reason]
        self.adapters.show_adapters(cards, [self._adapters.weight(card.path) for card in cards])

    def _show_verdict(self, verdict: Verdict) -> None:
        form = (verdict.form, verdict.source)
        self.structure.tell(form, verdict.text, verdict.problem, verdict.fits, verdict.complete)

    def _show_model(self, info: ModelInfo | None) -> None:
        """An encoder does not write; a control that does nothing is not shown."""
        self.form.sections["Beam search"].setVisible(info is None or info.kind != "encoder")

    def _tint(self, *_: object) -> None:
        for button, icon in (
            (self.reset, "undo-2"),
            (self.keep, "plus"),
            (self.remove, "trash-2"),
            (self.more, "ellipsis"),
        ):
            button.setIcon(theme.icon(icon, 16, "muted"))
