"""The box of models greys what cannot be chosen with the reason, and leaves an open list alone."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QStandardItemModel, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.model_box import ModelBox

OFFERS = [("small", "/m/small", ""), ("other", "/m/other", "another tokenizer"), ("tiny", "/m/tiny", "")]


@pytest.fixture
def box(themed: QApplication, qtbot: QtBot) -> ModelBox:
    box = ModelBox("Nobody")
    qtbot.addWidget(box)
    box.show_models(OFFERS, "")
    box.show()
    return box


def test_what_cannot_be_chosen_says_why_and_is_passed_over_by_keyboard(box: ModelBox, qtbot: QtBot) -> None:
    assert [box.itemText(row) for row in range(4)] == ["Nobody", "small", "other (another tokenizer)", "tiny"]
    model = box.model()
    assert isinstance(model, QStandardItemModel) and not model.item(2).isEnabled()
    chosen: list[str] = []
    box.chosen.connect(chosen.append)
    for _ in range(2):
        qtbot.keyClick(box, Qt.Key.Key_Down)
    assert chosen == ["/m/small", "/m/tiny"]


def test_the_same_models_again_keep_the_list_and_only_the_choice_moves(box: ModelBox) -> None:
    model = box.model()
    assert isinstance(model, QStandardItemModel)
    item = model.item(1)
    box.show_models(OFFERS, "/m/tiny")
    assert model.item(1) is item and box.currentText() == "tiny"


def test_a_chosen_model_that_is_not_offered_stands_there_all_the_same(box: ModelBox) -> None:
    box.show_models(OFFERS, "/elsewhere/mine/")
    assert box.currentText() == "mine" and box.currentData() == "/elsewhere/mine/"


def test_the_wheel_passes_over_it(box: ModelBox) -> None:
    box.setFocus()
    wheel = QWheelEvent(
        QPointF(5, 5), QPointF(5, 5), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(box, wheel)
    assert box.currentIndex() == 0 and not wheel.isAccepted()
