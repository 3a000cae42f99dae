"""A text tinted by attention: what is read of it, what is chosen, and the lines between two texts."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app import theme
from app.widgets.token_flow import FlowArea, TokenFlow

TEXT = ["The", " dog", " sat", " down"]


@pytest.fixture
def flow(themed: QApplication, qtbot: QtBot) -> TokenFlow:
    flow = TokenFlow()
    area = FlowArea(flow)
    qtbot.addWidget(area)
    area.resize(320, 240)
    area.show()
    flow.area = area  # type: ignore[attr-defined]  # kept alive with it
    return flow


def picture(flow: TokenFlow) -> QImage:
    return flow.grab().toImage()


def test_a_token_is_as_dark_as_it_is_looked_at(flow: TokenFlow) -> None:
    flow.set_text(TEXT, np.array([1.0, 0.0, 0.25]), 2)
    image = picture(flow)
    for index, weight in ((0, 1.0), (1, 0.0)):
        corner = flow._boxes[index].topLeft().toPoint() + QPoint(1, 1)
        expected = QColor(*map(int, theme.attention_lut()[round(weight**0.5 * 255)]))
        assert image.pixelColor(corner) == expected
    assert flow.weight(2) == 0.25 and flow.weight(3) is None, "what comes after it was not looked at"


def test_tokens_are_read_and_chosen_by_keys_and_by_mouse(flow: TokenFlow, qtbot: QtBot) -> None:
    flow.set_text(TEXT, np.array([0.5, 0.25, 0.25]), 2)
    chosen: list[int] = []
    flow.chosen.connect(chosen.append)
    qtbot.keyClick(flow, Qt.Key.Key_Left)
    assert flow.readout() == "␣sat (2): 0.250"
    qtbot.keyClick(flow, Qt.Key.Key_Left)
    assert flow.readout() == "␣dog (1): 0.250" and "0.250" in flow.accessibleDescription()
    qtbot.keyClick(flow, Qt.Key.Key_Return)
    qtbot.mouseClick(flow, Qt.MouseButton.LeftButton, pos=flow._boxes[3].center().toPoint())
    assert chosen == [1, 3]
    qtbot.keyClick(flow, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text().split("\n")[2] == "1\t␣dog\t0.2500"


def test_a_text_that_was_not_captured_is_hatched_and_has_no_weights(flow: TokenFlow) -> None:
    flow.set_text(TEXT, None, 2)
    plain = picture(flow)
    flow.set_text(TEXT, np.zeros(4), 2)
    assert picture(flow) != plain
    flow.set_text(TEXT, None, 2)
    flow.pointer = 0
    assert flow.readout() == "The (0): not looked at"


def test_two_texts_are_joined_by_lines_both_ways(flow: TokenFlow, qtbot: QtBot) -> None:
    target = ["Der", " Hund"]
    weights = np.array([[0.9, 0.1, 0.0, 0.0], [0.05, 0.9, 0.05, 0.0]])
    flow.set_text(TEXT, weights[1], 1, target, lambda index: weights[:, index])
    between = (flow._boxes[1].bottom() + flow._boxes[-1].top()) / 2
    rows = range(round(between) - 20, round(between) + 20)

    def inked() -> int:
        image = picture(flow)
        ground = image.pixelColor(310, round(between))
        return sum(image.pixelColor(x, y) != ground for x in range(5, 300) for y in rows)

    forward = inked()
    assert forward > 20
    flow.set_text(TEXT, np.zeros(4), 1, target, lambda index: weights[:, index])
    assert inked() == 0
    flow._point(0)
    assert inked() > 20, "from the source's token to those of the target that look at it"
    chosen: list[int] = []
    flow.chosen.connect(chosen.append)
    qtbot.mouseClick(flow, Qt.MouseButton.LeftButton, pos=flow._boxes[0].center().toPoint())
    qtbot.mouseClick(flow, Qt.MouseButton.LeftButton, pos=flow._boxes[4].center().toPoint())
    assert chosen == [0], "only those that look can be looked from"


def test_a_text_written_from_right_to_left_begins_at_the_right(flow: TokenFlow) -> None:
    flow.set_text(["אב", "גד"], np.array([0.5, 0.5]), 1)
    assert flow._boxes[0].left() > flow._boxes[1].left()


def test_long_texts_wrap_and_the_token_that_looks_comes_into_view(flow: TokenFlow, qtbot: QtBot) -> None:
    words = [f" word{n}" for n in range(400)]
    flow.set_text(words, np.full(400, 1 / 400), 399)
    assert all(box.right() <= flow.width() for box in flow._boxes)
    assert flow.height() > 1000
    bar = flow.area.verticalScrollBar()  # type: ignore[attr-defined]
    qtbot.waitUntil(lambda: bar.maximum() > 0)
    flow.set_text(words, np.full(400, 1 / 400), 398)
    assert bar.value() > bar.maximum() * 0.8


def test_a_text_that_grew_stands_as_one_laid_out_anew(flow: TokenFlow, qtbot: QtBot) -> None:
    words = [f" word{n}" + ("\n" if n % 17 == 0 else "") for n in range(120)]
    for count in range(1, 121):
        flow.set_text(words[:count], None, count - 1)
    grown, height = list(flow._boxes), flow.height()
    flow.set_text(["other"], None, 0)
    flow.set_text(words, None, 119)
    assert flow._boxes == grown and flow.height() == height
    flow.set_text(["one", *words[1:]], None, 119)
    assert len(flow._boxes) == 120 and flow._boxes[1] != grown[1]
