"""One message of the transcript: its text, what can be done with it, which version it is, and how it ended.

It knows one StoredMessage and its own looks. Actions are built when the message is first pointed at or focused, so a
long chat costs texts only; whatever is asked for goes out as `asked`.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, Qt, QUrl, Signal
from PySide6.QtGui import (
    QDesktopServices,
    QEnterEvent,
    QGuiApplication,
    QResizeEvent,
    QTextBlockFormat,
    QTextCursor,
)
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.state.adapters import changed_by, uses_in
from app.widgets.answer_score import score_words
from app.widgets.elided import Elided
from app.widgets.flowing import FlowingText
from app.widgets.ink import Ink
from app.widgets.markdown import MarkdownDocument
from app.widgets.message_edit import MessageEdit
from app.widgets.named import named, quiet_button
from app.widgets.plain_text import plain
from app.widgets.token_strip import TokenStrip
from app.widgets.version_switch import VersionSwitch
from engine import StoredMessage, TokenRecord

NOTES = {
    "length": "Reached the longest answer",
    "stopped": "Stopped",
    "interrupted": "Interrupted when Vitrine closed",
    "failed": "Ended by an error",
}
ACTIONS = (  # name, icon, words, roles it is for
    ("copy", "copy", "Copy", ("user", "assistant")),
    ("edit", "pencil", "Edit", ("user", "assistant")),
    ("retry", "refresh-cw", "Retry", ("user", "assistant")),
    ("several", "git-branch", "Answer several times and keep all", ("user", "assistant")),
    ("continue", "play", "Continue", ("assistant",)),
    ("tokens", "text-cursor-input", "Tokens", ("assistant",)),
    ("delete", "trash-2", "Delete", ("user", "assistant")),
    ("more", "ellipsis", "More", ("assistant",)),
)
MARGIN = 12  # beside the text, where the mark of the keyboard's focus stands
ROOMY = 560  # pixels in which versions, score and actions stand side by side
BUBBLE = 0.85  # the widest a person's turn gets, of the column


class MessageView(QFrame):
    """asked: action and message id. edited: id, text, and whether it is to be answered. token_chosen: id and index.

    token_replaced: id, index, and the id of the candidate wanted there.
    """

    asked = Signal(str, str)
    edited = Signal(str, str, bool)
    token_chosen = Signal(str, int)
    token_replaced = Signal(str, int, int)

    def __init__(self, message: StoredMessage, ink: Ink, versions: tuple[int, int]) -> None:
        super().__init__()
        self.message = message
        self._ink = ink
        self._busy = False
        self._natural_width = 0
        self._shown = message.text  # what is drawn, also while it grows
        self._as_source = False
        self._answer = message.role == "assistant"
        self.strip: TokenStrip | None = None
        self._editor: QWidget | None = None
        self._actions: QWidget | None = None
        self.text = FlowingText()
        self.text.setAccessibleName("Answer" if self._answer else "You")
        self.text.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextBrowserInteraction | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.text.anchorClicked.connect(self._on_link)
        self._turn = named(QFrame(), "answerTurn" if self._answer else "userTurn")
        turn = QVBoxLayout(self._turn)
        turn.setContentsMargins(*((0, 0, 0, 0) if self._answer else (14, 11, 14, 4)))
        turn.addWidget(self.text)
        row = QHBoxLayout()
        if not self._answer:
            row.addStretch(1)
        row.addWidget(self._turn, 1000)
        self._foot = QHBoxLayout()
        self._foot.setContentsMargins(0, 0, 0, 0)
        self._foot.setSpacing(2)
        self._switch: VersionSwitch | None = None
        self._score = named(QLabel(), "caption")
        self._score.setContentsMargins(0, 0, 8, 0)
        self._note = named(Elided(), "caption")
        self._foot.addWidget(self._score)
        self._foot.addWidget(self._note)
        self._foot.addStretch(1) if self._answer else self._foot.insertStretch(0, 1)
        foot = QWidget()
        foot.setFixedHeight(30)
        foot.setLayout(self._foot)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, 0, MARGIN, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(foot)
        self._turn_layout = turn
        self._mark = named(QFrame(self), "focusMark")
        self._mark.hide()
        self._markdown = MarkdownDocument(self.text.document(), ink) if self._answer else None
        self._draw()
        self._show_state()
        self.set_versions(versions)

    # --- content ------------------------------------------------------------------------------------------------------

    def append(self, text: str) -> None:
        """Text that was just written."""
        self._shown += text
        if self._markdown is not None and not self._as_source:
            self._markdown.append(text)
        else:
            cursor = QTextCursor(self.text.document())
            cursor.movePosition(QTextCursor.MoveOperation.End)
            cursor.insertText(text, self._ink.code_format())

    def update_message(self, message: StoredMessage) -> None:
        """The message as it is now; drawn again only where its text is another."""
        self.message = message
        if message.text != self._shown:
            self._shown = message.text
            self._draw()
        self._show_state()

    def set_versions(self, versions: tuple[int, int]) -> None:
        """Which of how many versions it is."""
        if self._switch is None and versions[1] > 1:
            self._switch = VersionSwitch()
            self._switch.step.connect(self._on_step)
            self._foot.insertWidget(0 if self._answer else 1, self._switch)
        if self._switch is not None:
            self._switch.set(versions)

    def _on_step(self, step: int) -> None:
        self.asked.emit("next" if step > 0 else "previous", self.message.id)

    def set_ink(self, ink: Ink) -> None:
        """Draw in other colours or sizes."""
        self._ink = ink
        self._draw()
        if self.strip is not None:
            self.hide_tokens()

    def set_busy(self, busy: bool, browsable: bool = False) -> None:
        """While an answer is written, what would change the chat is out of reach; of several, versions are not."""
        self._busy = busy
        if self._switch is not None:
            self._switch.setEnabled(not busy or browsable)
        if self.strip is not None:
            self.strip.set_branching(not busy)
        self.show_actions()

    def show_tokens(self, records: Sequence[TokenRecord]) -> None:
        """The text as tokens instead of Markdown."""
        if self.strip is None:
            self.strip = TokenStrip(self._ink)
            self.strip.focused.connect(lambda index: self.token_chosen.emit(self.message.id, index))
            self.strip.replaced.connect(lambda *wanted: self.token_replaced.emit(self.message.id, *wanted))
            self.strip.set_branching(not self._busy)
            self._turn_layout.addWidget(self.strip)
        self.strip.set(records)
        self.text.hide()

    def hide_tokens(self) -> None:
        if self.strip is not None:
            self.strip.deleteLater()
            self.strip = None
        self.text.show()

    def show_source(self, on: bool) -> None:
        """The answer as the model wrote it, marks and all, or drawn."""
        self._as_source = on
        if self.strip is not None:
            self.asked.emit("tokens", self.message.id)  # back from them
        self._draw()

    def copy_last_code(self) -> bool:
        """Put the last code block on the clipboard; False where there is none."""
        if self._markdown is None or not self._markdown.codes:
            return False
        QGuiApplication.clipboard().setText(self._markdown.codes[-1])
        return True

    def _draw(self) -> None:
        if self._markdown is not None and not self._as_source:
            self._markdown.set(self._shown, self._ink)
        else:
            self.text.document().setPlainText("")
            cursor = self.text.textCursor()
            form = QTextBlockFormat()
            form.setLineHeight(self._ink.line_height, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
            cursor.setBlockFormat(form)
            ink = self._ink.code_format() if self._as_source else self._ink.text_format()
            cursor.insertText(self._shown, ink)
            document = self.text.document().clone()
            document.setTextWidth(-1)
            self._natural_width = int(document.idealWidth()) + 30
            document.deleteLater()
        self._fit_bubble()

    def _show_state(self) -> None:
        note = NOTES.get(self.message.status, "")
        error = self.message.stats.get("error")
        ended = f"{note}: {error}" if error and note else note
        changed = changed_by(uses_in(self.message.settings))
        through = changed[:1].upper() + changed[1:]
        self._note.setText(" · ".join(filter(None, (ended, through))))
        self._note.setVisible(bool(ended or through))
        score, meaning = score_words(self.message.stats)
        self._score.setText(score)
        self._score.setToolTip(meaning)
        self.text.setAccessibleDescription(". ".join(filter(None, (score, through))))
        self._show_score()

    def _show_score(self) -> None:
        """Where there is not room for both, it gives way to the actions."""
        acting = self._actions is not None and not self._actions.isHidden()
        self._score.setVisible(bool(self._score.text()) and (not acting or self.width() >= ROOMY))

    def _fit_bubble(self) -> None:
        """A person's turn is as wide as its longest line, and no wider than its share of the column."""
        if not self._answer and self._editor is None:
            self._turn.setMaximumWidth(max(60, min(self._natural_width, int(self.width() * BUBBLE))))

    # --- editing ------------------------------------------------------------------------------------------------------

    def start_edit(self) -> None:
        """An editor in the text's place; Escape leaves everything as it was."""
        if self._editor is not None:
            return
        self._editor = MessageEdit(self.message.text, "Send" if not self._answer else "Save", not self._answer)
        self._editor.finished.connect(self._end_edit)
        self._turn.setMaximumWidth(16777215)
        self._turn.setMinimumWidth(int(self.width() * (BUBBLE if not self._answer else 1)))
        self._turn_layout.addWidget(self._editor)
        self.text.hide()

    def _end_edit(self, text: str, answer: bool) -> None:
        if self._editor is not None:
            self._editor.deleteLater()
            self._editor = None
        self.text.show()
        self._turn.setMinimumWidth(0)
        self._fit_bubble()
        self.text.setFocus()
        if text:
            self.edited.emit(self.message.id, text, answer)

    # --- actions ------------------------------------------------------------------------------------------------------

    def _build_actions(self) -> QWidget:
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for name, icon, words, roles in ACTIONS:
            if self.message.role not in roles:
                continue
            button = quiet_button(f"action-{name}", words)
            button.setIcon(theme.icon(icon, 16, "muted"))
            button.setProperty("action", name)
            button.clicked.connect(self._on_action)
            row.addWidget(button)
        return box

    def _on_action(self) -> None:
        sender = self.sender()
        assert isinstance(sender, QToolButton)
        name = str(sender.property("action"))
        if name == "copy":
            QGuiApplication.clipboard().setText(self.message.text)
        elif name == "edit":
            self.start_edit()
        elif name == "more":
            self.more_menu().popup(sender.mapToGlobal(sender.rect().bottomLeft()))
        else:
            self.asked.emit(name, self.message.id)

    def more_menu(self) -> QMenu:
        """What is wanted less often; it goes when it closes."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        clipboard = QGuiApplication.clipboard()
        menu.addAction("Copy as plain text", lambda: clipboard.setText(plain(self._shown)))
        menu.addAction("Copy as Markdown", lambda: clipboard.setText(self._shown))
        menu.addSeparator()
        source = menu.addAction("Show as Markdown", lambda: self.show_source(not self._as_source))
        source.setCheckable(True)
        source.setChecked(self._as_source)
        return menu

    def show_actions(self) -> None:
        """On hover and on focus; the space is always kept, so nothing moves."""
        self._mark.setVisible(self.text.hasFocus() or (self.strip is not None and self.strip.text.hasFocus()))
        focus = QApplication.focusWidget()
        wanted = (self.underMouse() or (focus is not None and self.isAncestorOf(focus))) and self._editor is None
        if wanted and self._actions is None:
            self._actions = self._build_actions()
            self._foot.insertWidget(self._foot.indexOf(self._note), self._actions)
            self.setTabOrder(self.text, self._actions)
        if self._actions is not None:
            self._actions.setVisible(wanted)
            self._show_score()
            for button in self._actions.findChildren(QToolButton):
                button.setEnabled(not self._busy or button.property("action") in ("copy", "tokens", "more"))

    def _on_link(self, url: QUrl) -> None:
        if url.scheme() == "copy" and self._markdown is not None:
            QGuiApplication.clipboard().setText(self._markdown.codes[int(url.path())])
        elif url.scheme() in ("http", "https", "mailto"):
            QDesktopServices.openUrl(url)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.show_actions()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.show_actions()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._mark.setGeometry(2, 2, 3, self.height() - 34)
        self._fit_bubble()
        self._show_score()
