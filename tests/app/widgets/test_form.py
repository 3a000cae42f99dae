"""Forms: every knob of every table becomes a row, and each row binds both ways."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.form import ChoiceRow, Form, NumberRow, make_row
from app.widgets.slider import Slider
from app.widgets.step_picture import EXAMPLES, after, picture
from app.widgets.value_edit import ValueEdit
from engine import CaptureParams, LoadParams, Param, SamplingParams

KNOBS = [knob for kind in (SamplingParams, LoadParams, CaptureParams) for knob in kind.table()]
NUMBERS = [knob for knob in KNOBS if not knob.choices]


def knob(name: str) -> Param:
    return next(k for k in KNOBS if k.name == name)


@pytest.mark.qt_log_ignore("This plugin does not support grabbing the keyboard", extend=True)
@pytest.mark.parametrize("each", KNOBS, ids=lambda k: k.name)
def test_every_knob_becomes_a_row_that_is_named_and_explained(qtbot: QtBot, themed: QApplication, each: Param) -> None:
    row = make_row(each, picture)
    qtbot.addWidget(row)
    editor = row.list if isinstance(row, ChoiceRow) else row.edit
    assert isinstance(row, ChoiceRow) == bool(each.choices)
    assert each.label in editor.accessibleName()
    assert editor.focusPolicy() & Qt.FocusPolicy.TabFocus
    row.help.click()
    assert row.popover.isVisible() and each.help in row.popover.accessibleDescription()
    row.popover.close()


@pytest.mark.parametrize("each", NUMBERS, ids=lambda k: k.name)
def test_a_row_shows_every_kind_of_value_without_speaking(qtbot: QtBot, themed: QApplication, each: Param) -> None:
    row = NumberRow(each)
    qtbot.addWidget(row)
    said: list[object] = []
    row.changed.connect(said.append)
    for value in (each.low, each.high, each.default, each.off):
        if value is not None:
            row.set_value(value)
            assert row.edit.text().split()[0] == row.edit.words(value)
            assert ("off" in row.edit.text()) == (value == each.off)
            assert row.slider is None or row.slider.number == value
    assert said == []


@pytest.mark.parametrize("each", NUMBERS, ids=lambda k: k.name)
def test_typing_a_value_gives_it_within_the_range(qtbot: QtBot, themed: QApplication, each: Param) -> None:
    edit = ValueEdit(each)
    qtbot.addWidget(edit)
    said: list[float] = []
    edit.changed.connect(said.append)
    assert each.low is not None and each.high is not None
    for text in ("nonsense", "nan", "inf"):
        edit.setText(text)
        edit.editingFinished.emit()
    assert said == []
    for text in ("-1e12", "1e12", "-1e12"):
        edit.setText(text)
        edit.editingFinished.emit()
    assert said[-2:] == [each.high, each.low]


def test_off_can_be_typed_as_a_word_and_a_comma_is_a_point(qtbot: QtBot, themed: QApplication) -> None:
    edit = ValueEdit(knob("top_p"))
    qtbot.addWidget(edit)
    for text, expected in (("0,5", "0.50"), ("off", "1.00  off"), ("0.3", "0.30"), ("", "1.00  off")):
        edit.setText(text)
        edit.editingFinished.emit()
        assert edit.text() == expected


def test_a_lowest_value_that_is_no_quantity_is_shown_with_its_word_which_can_be_typed(
    qtbot: QtBot, themed: QApplication
) -> None:
    edit = ValueEdit(knob("seed"))
    qtbot.addWidget(edit)
    assert edit.text() == "-1  random"
    for text, expected in (("7", "7"), ("random", "-1  random"), ("8", "8"), ("", "-1  random"), ("x", "-1  random")):
        edit.setText(text)
        edit.editingFinished.emit()
        assert edit.text() == expected


@pytest.mark.parametrize("name", ["temperature", "top_k", "min_p", "max_new_tokens", "frequency_penalty"])
def test_a_slider_reaches_both_ends_and_stays_on_its_steps(qtbot: QtBot, themed: QApplication, name: str) -> None:
    each = knob(name)
    slider = Slider(each)
    qtbot.addWidget(slider)
    said: list[float] = []
    slider.moved.connect(said.append)
    slider.setValue(slider.maximum())
    slider.setValue(slider.maximum() // 3)
    slider.setValue(slider.minimum())
    assert (said[0], said[-1]) == (each.high, each.low)
    assert each.low is not None and each.step is not None
    steps = (said[1] - each.low) / each.step
    assert steps == pytest.approx(round(steps), abs=1e-3)


def test_the_wheel_moves_a_slider_only_while_it_has_the_focus(qtbot: QtBot, themed: QApplication) -> None:
    slider = Slider(knob("temperature"))
    qtbot.addWidget(slider)
    slider.set_number(0.5)
    none, down = Qt.MouseButton.NoButton, QPoint(0, -120)
    flags = (Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)
    event = QWheelEvent(QPointF(5, 5), QPointF(5, 5), QPoint(), down, none, *flags)
    QApplication.sendEvent(slider, event)
    assert slider.number == 0.5 and not event.isAccepted()


def test_a_form_gives_the_whole_params_and_shows_what_it_is_given(qtbot: QtBot, themed: QApplication) -> None:
    form = Form(SamplingParams())
    qtbot.addWidget(form)
    assert list(form.rows) == [k.name for k in SamplingParams.table()]
    said: list[SamplingParams] = []
    form.changed.connect(said.append)
    row = form.rows["temperature"]
    assert isinstance(row, NumberRow) and row.slider is not None
    row.slider.setValue(row.slider.maximum())
    assert said[-1] == SamplingParams(temperature=knob("temperature").high)
    form.set_params(SamplingParams(temperature=0.25, top_k=3))
    assert row.edit.text() == "0.25" and row.slider.number == 0.25
    assert len(said) == 1


def test_a_double_click_on_a_name_asks_for_the_presets_value(qtbot: QtBot, themed: QApplication) -> None:
    form = Form(SamplingParams())
    qtbot.addWidget(form)
    form.show()
    with qtbot.waitSignal(form.reset) as asked:
        qtbot.mouseDClick(form.rows["top_k"].label, Qt.MouseButton.LeftButton)
    assert asked.args == ["top_k"]


def test_a_dot_marks_what_differs_from_the_preset(qtbot: QtBot, themed: QApplication) -> None:
    form = Form(SamplingParams())
    qtbot.addWidget(form)
    form.set_baseline(SamplingParams(), lambda name: name == "min_p")
    assert [name for name, row in form.rows.items() if row.dot.shown] == ["min_p"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_is_a_distribution_and_shows_a_difference(name: str) -> None:
    off = knob(name).off
    assert off is not None
    example, neutral = after(name, EXAMPLES[name]), after(name, off)
    assert example.sum() == pytest.approx(1) and neutral.sum() == pytest.approx(1)
    assert abs(example - neutral).max() > 0.01 or name == "top_k"


def test_pictures_cut_as_their_formulas_say() -> None:
    assert (after("top_k", 3) > 0).sum() == 3
    assert (after("top_p", 0.5) > 0).sum() == 3  # 0.30 + 0.19 is not yet 0.5
    assert (after("temperature", 0.0) > 0).sum() == 1
