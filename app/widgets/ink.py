"""The inks of a text: fonts and colours of the theme as Qt character formats."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtGui import QColor, QFont, QTextCharFormat

from app import theme

LIGATURES = ("calt", "liga")  # off: "->" must not be drawn as an arrow that nobody wrote


@dataclass(frozen=True, slots=True)
class Ink:
    """Colours, font families and sizes (pixels) that a text is drawn with."""

    text: QColor
    muted: QColor
    accent: QColor
    raised: QColor
    line: QColor
    good: QColor
    warning: QColor
    family: str
    mono: str
    size: int
    line_height: int = 150  # percent

    def text_format(self) -> QTextCharFormat:
        return self._format(self.text, self.family, self.size)

    def code_format(self) -> QTextCharFormat:
        return self._format(self.text, self.mono, self.size - 1)

    def caption_format(self) -> QTextCharFormat:
        return self._format(self.muted, self.family, 12)

    def _format(self, color: QColor, family: str, size: int) -> QTextCharFormat:
        font = QFont(family)
        font.setPixelSize(size)
        for ligature in LIGATURES:
            font.setFeature(QFont.Tag(ligature), 0)
        form = QTextCharFormat()
        form.setFont(font, QTextCharFormat.FontPropertiesInheritanceBehavior.FontPropertiesSpecifiedOnly)
        form.setForeground(color)
        return form


def current_ink(size: int) -> Ink:
    """The theme's inks, for text of this size in pixels."""
    now = theme.current()
    colors = (now.text, now.muted, now.accent, now.raised, now.line, now.good, now.warning)
    text, muted, accent, raised, line, good, warning = map(QColor, colors)
    return Ink(text, muted, accent, raised, line, good, warning, theme.text_family(), theme.mono_family(), size)
