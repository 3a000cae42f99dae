"""The style sheet, written over a theme's colours. Widgets are told apart by class, object name and `kind`.

Kinds of buttons: "" (outlined), "primary" (object name, the one main action), "quiet" (no frame until hovered).
"""

from __future__ import annotations

import dataclasses
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.theme import Theme

ICONS = (("chevron-down", "muted"), ("check", "on_accent"))


def sheet(theme: Theme, icons: dict[tuple[str, str], str]) -> str:
    """The whole style sheet. icons: the files of ICONS."""
    names = {f"{name.replace('-', '_')}_{role}": path for (name, role), path in icons.items()}
    return Template(_SHEET).substitute(dataclasses.asdict(theme), **names)


_SHEET = """
QWidget { color: $text; }
QMainWindow, QDialog { background: $window; }
QLabel { background: transparent; }
QLabel#caption, QLabel[role="caption"] { color: $muted; font-size: 12px; }
QLabel#heading, QLabel[role="heading"] { color: $muted; font-size: 12px; font-weight: 600; }
QLabel:disabled { color: $muted; }
QLabel#title, QLabel[role="title"] { font-size: 18px; font-weight: 600; }
QLabel[role="danger"] { color: $danger; }
QLabel[role="name"] { font-weight: 600; }
QToolTip { background: $raised; color: $text; border: 1px solid $line; padding: 4px 6px; }

QPushButton {
    background: $surface; border: 1px solid $line; border-radius: 6px; padding: 4px 12px; min-height: 18px;
}
QPushButton:hover { background: $raised; }
QPushButton:pressed, QPushButton:checked { background: $selection; }
QPushButton:focus { border: 2px solid $accent; padding: 3px 11px; }
QPushButton:disabled { color: $muted; background: $window; }
QPushButton#primary {
    background: $accent; color: $on_accent; border-color: $accent; font-weight: 600; min-height: 26px;
}
QPushButton#primary:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton#primary:focus { border: 2px solid $text; }
QPushButton#primary:disabled { background: $raised; color: $muted; border-color: $line; }
QPushButton[kind="quiet"], QToolButton {
    background: transparent; border: 2px solid transparent; border-radius: 6px; padding: 2px 4px; min-height: 20px;
}
QToolButton { min-width: 20px; padding: 0; }
QPushButton[kind="quiet"]:hover, QToolButton:hover { background: $raised; }
QPushButton[kind="quiet"]:pressed, QToolButton:pressed, QToolButton:checked { background: $selection; }
QPushButton[kind="quiet"]:focus, QToolButton:focus { border: 2px solid $accent; }
QToolButton::menu-indicator { image: none; }
QToolButton[role="fold"] { color: $muted; font-size: 12px; font-weight: 600; padding: 0; margin-left: -7px; }
QToolButton[role="fold"]:hover { color: $text; }
QToolButton[role="fold"]:checked { background: transparent; }

QLineEdit, QPlainTextEdit, QTextEdit, QAbstractSpinBox, QComboBox {
    background: $surface; border: 1px solid $line; border-radius: 6px; padding: 3px 8px;
    selection-background-color: $selection; selection-color: $text;
}
QLineEdit, QAbstractSpinBox, QComboBox { min-height: 20px; }
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QAbstractSpinBox:focus, QComboBox:focus {
    border: 2px solid $accent; padding: 2px 7px;
}
QLineEdit:disabled, QPlainTextEdit:disabled, QComboBox:disabled, QAbstractSpinBox:disabled {
    color: $muted; background: $window;
}
QTextBrowser { background: transparent; border: none; padding: 0; }
QTextBrowser:focus { border: none; padding: 0; }
QLineEdit[kind="value"] {
    background: transparent; border: 1px solid transparent; padding: 1px 6px; border-radius: 4px;
}
QLineEdit[kind="value"]:hover { background: $raised; }
QLineEdit[kind="value"]:focus { background: $surface; border: 2px solid $accent; padding: 0px 5px; }
QLineEdit[kind="value"][off="true"] { color: $muted; }
QComboBox { padding-right: 22px; combobox-popup: 0; }
QComboBox:hover { background: $raised; }
QComboBox::drop-down { border: none; width: 22px; }
QComboBox::down-arrow { image: url($chevron_down_muted); width: 14px; height: 14px; }
QComboBox QAbstractItemView {
    background: $surface; border: 1px solid $line; padding: 4px; outline: none;
    selection-background-color: $selection; selection-color: $text;
}
QComboBox QAbstractItemView::item { min-height: 26px; padding: 0 6px; border-radius: 4px; }
QComboBox QAbstractItemView::item:selected { background: $selection; color: $text; }
QComboBox QAbstractItemView::item:disabled { color: $muted; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0; border: none; }

QCheckBox, QRadioButton {
    spacing: 8px; min-height: 24px; border: 2px solid transparent; border-radius: 6px; padding: 0 4px;
}
QCheckBox:focus, QRadioButton:focus { border-color: $accent; }
QCheckBox::indicator { width: 14px; height: 14px; border: 1px solid $muted; border-radius: 4px; background: $surface; }
QCheckBox::indicator:hover { border-color: $accent; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url($check_on_accent); }
QCheckBox:disabled { color: $muted; }

QProgressBar { background: $faint; border: none; border-radius: 3px; max-height: 6px; min-height: 6px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }

QScrollBar:vertical { background: transparent; width: 12px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 12px; margin: 0; }
QScrollBar::handle { background: $line; border-radius: 4px; margin: 2px; }
QScrollBar::handle:vertical { min-height: 32px; }
QScrollBar::handle:horizontal { min-width: 32px; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QScrollArea, QAbstractScrollArea { border: none; }
QPlainTextEdit[kind="field"] { border: 1px solid $line; border-radius: 6px; padding: 3px 4px; }
QPlainTextEdit[kind="field"]:focus { border: 2px solid $accent; padding: 2px 3px; }
QScrollArea > QWidget > QWidget { background: transparent; }
QAbstractScrollArea::corner { background: transparent; border: none; }

QListView, QTreeView, QTableView {
    background: $surface; border: none; outline: none; alternate-background-color: $raised;
    selection-background-color: $selection; selection-color: $text;
}
QListWidget { background: transparent; }
QTableView { gridline-color: $faint; border: 1px solid $line; border-radius: 6px; }
QTableView:focus { border: 1px solid $accent; }
QTableView::item { padding: 2px 6px; }
QTableView::item:focus { background: $selection; }
QHeaderView { background: transparent; }
QHeaderView::section {
    background: $raised; color: $muted; border: none; border-bottom: 1px solid $line; padding: 4px 6px; font-size: 12px;
}
QTableCornerButton::section { background: $raised; border: none; }

QMenu { background: $surface; border: 1px solid $line; padding: 4px; }
QMenu::item { padding: 6px 24px 6px 12px; border-radius: 4px; }
QMenu::item:selected { background: $selection; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $line; margin: 4px 8px; }
QMenuBar { background: $window; }
QMenuBar::item { padding: 4px 10px; border-radius: 4px; background: transparent; }
QMenuBar::item:selected { background: $raised; }

QTabBar { background: transparent; }
QTabBar::tab {
    background: transparent; color: $muted; padding: 6px 12px; border: none; border-bottom: 2px solid transparent;
}
QTabBar::tab:selected { color: $text; border-bottom-color: $accent; }
QTabBar::tab:hover { color: $text; }
QTabBar::tab:focus { background: $raised; }
QMainWindow::separator { background: $line; width: 1px; height: 1px; }
QMainWindow::separator:hover { background: $accent; }
QSplitter::handle { background: $line; }
QDockWidget { background: $surface; }
QStatusBar { background: $window; color: $muted; border-top: 1px solid $line; }
QStatusBar::item { border: none; }

QFrame#card { background: $surface; border: 1px solid $line; border-radius: 10px; }
QFrame#card[current="true"] { border: 2px solid $accent; }
QFrame[kind="line"] { background: $line; max-height: 1px; min-height: 1px; border: none; }
QWidget#pane { background: $surface; }
QFrame#popover { background: $surface; border: 1px solid $line; border-radius: 10px; }
QWidget[dropping="true"] { border: 2px dashed $accent; border-radius: 10px; }
"""
