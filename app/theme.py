"""How Vitrine looks: the one place that holds its colours, sizes, fonts, tinted icons and data scales.

It knows no widget of ours, only the application it is applied to. Colours are roles, not names of colours; text on any
ground keeps a contrast of at least 4.5 : 1. The style sheet itself is `app.style`, written over these roles.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, lru_cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt, QTemporaryDir, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from app import style

if TYPE_CHECKING:  # numpy is slow to import and not needed before the first token
    import numpy as np
    import numpy.typing as npt

ASSETS = Path(__file__).resolve().parent.parent / "assets"

CAPTION, CONTROL, TRANSCRIPT, TITLE = 12, 13, 15, 18  # text sizes in pixels
RADIUS, CARD_RADIUS = 6, 10
HIT, PRIMARY_HIT = 28, 36  # least heights of what can be clicked


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours by role, as #RRGGBB. faint: grounds of bars and tracks; deepest: the far end of the attention ramp."""

    name: str
    window: str
    surface: str
    raised: str
    line: str
    faint: str
    text: str
    muted: str
    accent: str
    accent_hover: str
    on_accent: str
    selection: str
    danger: str
    warning: str
    good: str
    deepest: str

    @property
    def dark(self) -> bool:
        return self.name == "dark"


LIGHT = Theme(
    "light", window="#F6F7F9", surface="#FFFFFF", raised="#EEF1F5", line="#D5DAE1", faint="#E4E8EE", text="#1B2430",
    muted="#566273", accent="#0B6E75", accent_hover="#095A60", on_accent="#FFFFFF", selection="#CFE8EA",
    danger="#B3261E", warning="#8A5A00", good="#1F6F3A", deepest="#053B40",
)  # fmt: skip
DARK = Theme(
    "dark", window="#14181D", surface="#1B2027", raised="#252C35", line="#39424E", faint="#2E3641", text="#E7ECF2",
    muted="#A2AEBD", accent="#4FC3CB", accent_hover="#74D3DA", on_accent="#06282B", selection="#174A4F",
    danger="#FF8A80", warning="#F2C46D", good="#7FD39A", deepest="#DDF7F8",
)  # fmt: skip


class _Notifier(QObject):
    theme_changed = Signal(object)


_notifier = _Notifier()
theme_changed = _notifier.theme_changed
"""Emitted with the Theme after it was applied; painted widgets repaint, icons are made anew."""

_current = LIGHT
_choice = ""  # nothing was chosen yet
_families: tuple[str, str] | None = None
_drawn: QTemporaryDir | None = None


def current() -> Theme:
    """The theme in use."""
    return _current


def apply(app: QApplication, theme: Theme) -> None:
    """Style, palette, font and style sheet of the whole application."""
    global _current
    _current = theme
    app.setStyle("Fusion")
    app.setPalette(_palette(theme))
    app.setFont(font(CONTROL))
    app.setStyleSheet(style.sheet(theme, {name: _drawn_icon(*name) for name in style.ICONS}))
    theme_changed.emit(theme)


def follow(app: QApplication, choice: str) -> None:
    """Apply "light" or "dark", or with "system" whatever the system shows, now and whenever it changes."""
    global _choice
    hints = app.styleHints()
    if not _choice:
        hints.colorSchemeChanged.connect(_on_scheme)
        app.screenAdded.connect(_on_screen)
    _choice = choice
    schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
    hints.setColorScheme(schemes.get(choice, Qt.ColorScheme.Unknown))
    _on_scheme()


def _on_scheme() -> None:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    dark = app.styleHints().colorScheme() == Qt.ColorScheme.Dark if _choice == "system" else _choice == "dark"
    wanted = DARK if dark else LIGHT
    if wanted is not _current or not app.styleSheet():
        apply(app, wanted)


# --- fonts --------------------------------------------------------------------------------------------------------


def text_family() -> str:
    """The family of the interface's text."""
    return _fonts()[0]


def mono_family() -> str:
    """The family of tokens and code, every character equally wide."""
    return _fonts()[1]


def font(size: int = CONTROL, mono: bool = False, bold: bool = False) -> QFont:
    """A font of a size in pixels, its figures tabular so that numbers that change do not jitter."""
    return QFont(_font(mono_family() if mono else text_family(), size, mono, bold))


@cache  # asked for with every number that is drawn
def _font(family: str, size: int, mono: bool, bold: bool) -> QFont:
    result = QFont(family)
    result.setPixelSize(size)
    result.setFeature(QFont.Tag("tnum"), 1)
    if mono:  # a token is shown as it was written: "->" is no arrow
        result.setFeature(QFont.Tag("calt"), 0)
        result.setFeature(QFont.Tag("liga"), 0)
    if bold:
        result.setWeight(QFont.Weight.DemiBold)
    return result


def _fonts() -> tuple[str, str]:
    """Families for text and tokens: the system's, or the bundled ones where it has none or pictures must be alike."""
    global _families
    if _families is None:
        bundled = os.environ.get("VITRINE_FONTS") == "bundled" or QGuiApplication.platformName() == "offscreen"
        if bundled or not QFontDatabase.families():
            for file in sorted((ASSETS / "fonts").glob("*.?tf")):
                QFontDatabase.addApplicationFont(str(file))
            _families = ("Inter", "JetBrains Mono")
        else:
            kinds = (QFontDatabase.SystemFont.GeneralFont, QFontDatabase.SystemFont.FixedFont)
            text, mono = (QFontDatabase.systemFont(kind).family() for kind in kinds)
            _families = (text, mono)
    return _families


# --- icons --------------------------------------------------------------------------------------------------------


def icon(name: str, size: int = 16, role: str = "text") -> QIcon:
    """An icon of assets/icons in a colour of the theme, paler where disabled. Make it anew on theme_changed."""
    return _icon(name, size, getattr(_current, role))


@lru_cache(maxsize=256)
def _icon(name: str, size: int, color: str) -> QIcon:
    result = QIcon()
    for ratio in sorted({1, ceil(_sharpest())}):
        pixmap = _pixmap(name, size, color, ratio)
        result.addPixmap(pixmap, QIcon.Mode.Normal)
        result.addPixmap(_paler(pixmap), QIcon.Mode.Disabled)
    return result


def _sharpest() -> float:
    """Device pixels to a pixel on the sharpest screen."""
    app = QGuiApplication.instance()
    return app.devicePixelRatio() if isinstance(app, QGuiApplication) else 1.0


def _pixmap(name: str, size: int, color: str, ratio: int) -> QPixmap:
    source = (ASSETS / "icons" / f"{name}.svg").read_text("utf-8").replace("currentColor", color)
    pixmap = QPixmap(QSize(size, size) * ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(source.encode())).render(painter, QRectF(0, 0, size * ratio, size * ratio))
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def _paler(pixmap: QPixmap) -> QPixmap:
    result = QPixmap(pixmap.size())
    result.setDevicePixelRatio(pixmap.devicePixelRatio())
    result.fill(Qt.GlobalColor.transparent)
    painter = QPainter(result)
    painter.setOpacity(0.4)
    painter.drawPixmap(0, 0, pixmap)
    painter.end()
    return result


def _drawn_icon(name: str, role: str) -> str:
    """The path of a tinted icon in a folder of this process: a style sheet takes pictures from files only."""
    global _drawn
    if _drawn is None:
        _drawn = QTemporaryDir()
    path = Path(_drawn.path()) / f"{name}-{role}-{_current.name}.svg"
    if not path.exists():
        source = (ASSETS / "icons" / f"{name}.svg").read_text("utf-8")
        path.write_text(source.replace("currentColor", getattr(_current, role)), "utf-8")
    return path.as_posix()


# --- data scales --------------------------------------------------------------------------------------------------

_CIVIDIS = (
    (-4.54, -35.34, 2381.73, -6402.7, 7024.72, -2710.57),
    (32.49, 170.73, 52.82, -131.46, 176.58, -67.37),
    (81.24, 442.36, -2482.43, 6167.24, -6614.94, 2475.67),
)  # Source: d3-scale-chromatic's polynomial for cividis; its coefficients by rising power


@lru_cache(maxsize=1)
def _cividis() -> tuple[QColor, ...]:
    values = [[sum(c * (i / 255) ** power for power, c in enumerate(row)) for row in _CIVIDIS] for i in range(256)]
    return tuple(QColor(*(min(255, max(0, round(value))) for value in row)) for row in values)


def probability_color(probability: float) -> QColor:
    """Cividis, dark blue at 0 to yellow at 1: readable for every kind of colour vision."""
    return _cividis()[min(255, max(0, round(probability * 255)))]


SIDES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Sides of a comparison. Source: the palette of Okabe and Ito, which every kind of colour vision tells apart."""


def side_color(number: int) -> QColor:
    """The colour of a side, counted from 0."""
    return QColor(SIDES[number])


def side_text(number: int) -> str:
    """The colour of text on a side's: no less than 5 : 1 on each of them."""
    return "#FFFFFF" if number == 0 else "#000000"


def difference_color(share: float) -> QColor:
    """From blue at -1 over the page's colour at 0 to orange at 1."""
    page, hue = QColor(_current.surface), QColor("#0072B2" if share < 0 else "#D55E00")
    parts = zip((page.red(), page.green(), page.blue()), (hue.red(), hue.green(), hue.blue()))
    return QColor(*(round(one + (other - one) * min(abs(share), 1.0)) for one, other in parts))


def attention_lut() -> npt.NDArray[np.uint8]:
    """The attention ramp of the current theme, uint8 [256, 3]: from the surface through the accent to its far end."""
    return _ramp(_current)


@lru_cache(maxsize=2)
def _ramp(theme: Theme) -> npt.NDArray[np.uint8]:
    import numpy as np

    stops = [QColor(color) for color in (theme.surface, theme.accent, theme.deepest)]
    where = np.linspace(0, 1, 256)
    parts = ([c.red() for c in stops], [c.green() for c in stops], [c.blue() for c in stops])
    channels = [np.interp(where, (0.0, 0.6, 1.0), part) for part in parts]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def _on_screen() -> None:
    """A screen that may be sharper: icons are drawn for the sharpest there is."""
    _icon.cache_clear()
    theme_changed.emit(_current)


def _palette(theme: Theme) -> QPalette:
    roles = QPalette.ColorRole
    colors = {
        roles.Window: theme.window, roles.Base: theme.surface, roles.AlternateBase: theme.raised,
        roles.Button: theme.surface, roles.Text: theme.text, roles.WindowText: theme.text,
        roles.ButtonText: theme.text, roles.BrightText: theme.danger, roles.PlaceholderText: theme.muted,
        roles.Highlight: theme.selection, roles.HighlightedText: theme.text, roles.Accent: theme.accent,
        roles.Link: theme.accent, roles.LinkVisited: theme.accent, roles.ToolTipBase: theme.raised,
        roles.ToolTipText: theme.text, roles.Light: theme.surface, roles.Midlight: theme.raised,
        roles.Mid: theme.line, roles.Dark: theme.line, roles.Shadow: theme.line,
    }  # fmt: skip
    palette = QPalette()
    for role, color in colors.items():
        palette.setColor(role, QColor(color))
    for role in (roles.Text, roles.WindowText, roles.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(theme.muted))
    return palette
