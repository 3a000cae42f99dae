"""The theme: contrast as promised, scales that can be read, fonts and icons in its colours."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app import style, theme
from app.theme import DARK, LIGHT, Theme


def luminance(color: QColor) -> float:
    """WCAG's relative luminance."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color.getRgbF()[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(QColor(one)), luminance(QColor(other))))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("each", [LIGHT, DARK], ids=lambda t: t.name)
def test_text_keeps_its_contrast_on_every_ground(each: Theme) -> None:
    for ground in (each.window, each.surface, each.raised):
        for ink in (each.text, each.muted, each.accent, each.danger, each.warning, each.good):
            assert contrast(ink, ground) >= 4.5, (ink, ground)
    assert contrast(each.text, each.selection) >= 4.5
    assert contrast(each.on_accent, each.accent) >= 4.5


@pytest.mark.parametrize("each", [LIGHT, DARK], ids=lambda t: t.name)
def test_applying_a_theme_reaches_palette_style_and_listeners(qapp: QApplication, qtbot: QtBot, each: Theme) -> None:
    with qtbot.waitSignal(theme.theme_changed) as told:
        theme.apply(qapp, each)
    assert told.args == [each] and theme.current() is each
    assert qapp.palette().window().color() == QColor(each.window)
    assert "$" not in qapp.styleSheet() and each.accent in qapp.styleSheet()
    theme.apply(qapp, LIGHT)


def test_a_choice_goes_before_the_system(qapp: QApplication) -> None:
    for choice, expected in (("dark", DARK), ("light", LIGHT)):
        theme.follow(qapp, choice)
        assert theme.current() is expected
    theme.follow(qapp, "system")
    dark = qapp.styleHints().colorScheme() == Qt.ColorScheme.Dark
    assert theme.current() is (DARK if dark else LIGHT)


def test_every_role_of_the_sheet_is_a_field_of_the_theme() -> None:
    paths = dict.fromkeys(style.ICONS, "icon.svg")
    assert style.sheet(LIGHT, paths) != style.sheet(DARK, paths)
    assert len({field.name for field in dataclasses.fields(Theme)}) == 16


def test_probability_runs_from_dark_to_light_without_turning_back(qapp: QApplication) -> None:
    steps = [luminance(theme.probability_color(n / 50)) for n in range(51)]
    assert steps == sorted(steps) and steps[0] < 0.05 and steps[-1] > 0.7
    assert theme.probability_color(-1) == theme.probability_color(0)
    assert theme.probability_color(2) == theme.probability_color(1)


@pytest.mark.parametrize("each", [LIGHT, DARK], ids=lambda t: t.name)
def test_the_attention_ramp_leaves_the_surface_steadily(qapp: QApplication, each: Theme) -> None:
    table = theme._ramp(each)
    assert table.shape == (256, 3) and table.dtype == np.uint8
    assert tuple(table[0]) == QColor(each.surface).getRgb()[:3]
    steps = np.diff([luminance(QColor(*map(int, row))) for row in table[::8]])
    assert (steps > 0).all() if each.dark else (steps < 0).all()


def test_figures_are_equally_wide_and_tokens_have_no_ligatures(themed: QApplication) -> None:
    metrics = QFontMetricsF(theme.font(15))
    assert len({round(metrics.horizontalAdvance(digit), 3) for digit in "0123456789"}) == 1
    mono = QFontMetricsF(theme.font(15, mono=True))
    assert mono.horizontalAdvance("<|>") == pytest.approx(3 * mono.horizontalAdvance("x"))


@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.0])
def test_an_icon_has_the_colour_of_its_role_on_every_screen(
    themed: QApplication, monkeypatch: pytest.MonkeyPatch, ratio: float
) -> None:
    monkeypatch.setattr(theme, "_sharpest", lambda: ratio)
    theme._on_screen()  # a screen like that was plugged in
    image = theme.icon("square", 48, "accent").pixmap(QSize(48, 48), ratio).toImage()
    assert image.width() == 48 * ratio
    colors = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
    assert {color.name() for color in colors if color.alpha() == 255} == {theme.current().accent.lower()}
