"""What the project carries beside code: it can be read, and it says where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtGui import QFontDatabase
from PySide6.QtSvg import QSvgRenderer
from pytestqt.qtbot import QtBot

ASSETS = Path(__file__).resolve().parent.parent / "assets"
MODELS = sorted(path for path in (ASSETS / "models").iterdir() if path.is_dir())
ICONS = sorted((ASSETS / "icons").glob("*.svg"))
FONTS = sorted([*(ASSETS / "fonts").glob("*.otf"), *(ASSETS / "fonts").glob("*.ttf")])


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_a_bundled_model_is_whole_and_names_its_origin_and_licence(folder: Path, data: Path) -> None:
    assert json.loads((folder / "config.json").read_text("utf-8"))["model_type"] == "llama"
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).stat().st_size > 0
    source = (folder / "SOURCE.md").read_text("utf-8")
    assert "**Origin**" in source and "**Licence**" in source
    assert json.loads((data / folder.name / "expected.json").read_text("utf-8"))["greedy_fp32_cpu"]


@pytest.mark.parametrize("icon", ICONS, ids=lambda path: path.stem)
def test_an_icon_is_valid_and_square(qtbot: QtBot, icon: Path) -> None:
    renderer = QSvgRenderer(str(icon))
    assert renderer.isValid()
    assert renderer.viewBoxF().width() == renderer.viewBoxF().height() > 0


def test_every_icon_but_our_own_can_be_tinted() -> None:
    fixed = [icon.name for icon in ICONS if 'stroke="currentColor"' not in icon.read_text("utf-8")]
    assert fixed == ["vitrine.svg"]


@pytest.mark.parametrize("font", FONTS, ids=lambda path: path.stem)
def test_a_font_loads_and_carries_its_licence(qtbot: QtBot, font: Path) -> None:
    number = QFontDatabase.addApplicationFont(str(font))
    try:
        families = QFontDatabase.applicationFontFamilies(number)
        assert families and families[0].replace(" ", "").startswith(font.stem.split("-")[0])
        licence = font.with_name(f"{font.stem.split('-')[0]}-OFL.txt").read_text("utf-8")
        assert "SIL Open Font License, Version 1.1" in licence
    finally:
        QFontDatabase.removeApplicationFont(number)
