"""A map of attention as a file: asked for on the window's thread, written on another."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QByteArray
from PySide6.QtGui import QImageWriter
from PySide6.QtWidgets import QFileDialog, QWidget

from app.widgets.heatmap import Heatmap

KINDS = ("Picture (*.png)", "Table (*.csv)")


def ask_where(parent: QWidget, name: str) -> str:
    """The path of a picture or a table that the person chose; "" where none."""
    path, kind = QFileDialog.getSaveFileName(parent, "Save the map", f"{name}.png", ";;".join(KINDS))
    if path and not Path(path).suffix:
        path += ".csv" if kind == KINDS[1] else ".png"
    return path


def writer(map: Heatmap, path: str) -> Callable[[Path], None]:
    """What writes the whole map: a table where the path ends in .csv, else a picture. It may run on any thread."""
    if path.lower().endswith(".csv"):
        rows = map.csv_rows()

        def write_table(part: Path) -> None:
            with part.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(rows)

        return write_table
    image = map.picture()

    def write_picture(part: Path) -> None:
        file = QImageWriter(str(part), QByteArray(b"png"))
        if not file.write(image):
            raise OSError(file.errorString())

    return write_picture
