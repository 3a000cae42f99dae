"""Every knob of every table walked: its words, its range, its neutral value, and its way through a preset."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidValue
from engine.params import STEPS, TRANSFORMERS_ORDER, CaptureParams, LoadParams, Param, Params, SamplingParams

TABLES: tuple[type[Params], ...] = (SamplingParams, LoadParams, CaptureParams)
KNOBS = [pytest.param(table, knob, id=f"{table.__name__}.{knob.name}") for table in TABLES for knob in table.table()]
NUMBERS = [item for item in KNOBS if not item.values[1].choices]
CHOICES = [item for item in KNOBS if item.values[1].choices]
every_knob = pytest.mark.parametrize(("table", "knob"), KNOBS)
every_number = pytest.mark.parametrize(("table", "knob"), NUMBERS)


def ends(knob: Param) -> tuple[float, float]:
    assert knob.low is not None and knob.high is not None
    return knob.low, knob.high


@every_knob
def test_every_knob_has_words_for_people(table: type[Params], knob: Param) -> None:
    assert knob.label and knob.label == knob.label.strip() and not knob.label.endswith(".")
    assert knob.help.endswith(".") and "!" not in knob.help
    assert knob.group and knob.scale in ("linear", "log")
    assert knob.label[0].isupper() and knob.help[0].isupper()


@every_knob
def test_the_default_of_every_knob_is_in_its_range_and_is_what_an_empty_preset_gives(
    table: type[Params], knob: Param
) -> None:
    params, unknown = table.from_dict({})
    assert unknown == ()
    assert getattr(params, knob.name) == knob.default
    assert type(getattr(params, knob.name)) is type(knob.default)
    if knob.choices:
        assert knob.default in knob.choices and len(set(knob.choices)) == len(knob.choices)
    else:
        low, high = ends(knob)
        assert low <= knob.default <= high and knob.step is not None and 0 < knob.step <= high - low
        assert knob.scale == "linear" or low > 0


@every_number
def test_off_is_in_range_and_both_ends_are_accepted_in_the_type_of_the_default(
    table: type[Params], knob: Param
) -> None:
    for value in (*ends(knob), *(() if knob.off is None else (knob.off,))):
        taken = getattr(table.from_dict({knob.name: value})[0], knob.name)
        assert taken == value and type(taken) is type(knob.default)


@every_number
def test_a_number_outside_is_refused_in_a_sentence_with_name_value_and_range(table: type[Params], knob: Param) -> None:
    low, high = ends(knob)
    for value in (low - 1, high + 1, math.nan, math.inf, -math.inf, "0.5", None, True):
        with pytest.raises(InvalidValue) as caught:
            table.from_dict({knob.name: value})
        assert caught.value.message.startswith(f"{knob.name} is {value!r}, outside {low:g} to {high:g}")
        assert caught.value.message.endswith(".") and f"{knob.default:g}" in caught.value.hint


@every_number
def test_whole_numbers_are_taken_as_floats_write_them_and_halves_are_refused(table: type[Params], knob: Param) -> None:
    if not isinstance(knob.default, int):
        assert type(getattr(table.from_dict({knob.name: int(ends(knob)[1])})[0], knob.name)) is float
        return
    assert type(getattr(table.from_dict({knob.name: float(knob.default)})[0], knob.name)) is int
    with pytest.raises(InvalidValue, match=knob.name):
        table.from_dict({knob.name: ends(knob)[0] + 0.5})


@pytest.mark.parametrize(("table", "knob"), CHOICES)
def test_every_choice_is_accepted_and_anything_else_refused_with_the_list(table: type[Params], knob: Param) -> None:
    for choice in knob.choices:
        assert getattr(table.from_dict({knob.name: choice})[0], knob.name) == choice
    for wrong in ("", "nonsense", None, 1):
        with pytest.raises(InvalidValue) as caught:
            table.from_dict({knob.name: wrong})
        assert knob.name in caught.value.message and all(choice in caught.value.message for choice in knob.choices)


def values_of(knob: Param) -> st.SearchStrategy[Any]:
    if knob.choices:
        return st.sampled_from(knob.choices)
    low, high = ends(knob)
    return st.integers(int(low), int(high)) if isinstance(knob.default, int) else st.floats(low, high)


@pytest.mark.parametrize("table", TABLES)
@given(st.data())
def test_any_values_in_range_come_back_from_json_and_keys_of_another_version_are_named(
    table: type[Params], data: st.DataObject
) -> None:
    values = {knob.name: data.draw(values_of(knob), label=knob.name) for knob in table.table()}
    params, unknown = table.from_dict({**values, "zeta": 1, "alpha": [2]})
    assert unknown == ("alpha", "zeta")
    assert {name: getattr(params, name) for name in values} == values
    written = json.loads(json.dumps(params.to_dict()))
    assert table.from_dict(written) == (params, ())


@pytest.mark.parametrize("table", TABLES)
def test_params_are_frozen_equal_by_value_and_checked_when_replaced(table: type[Params]) -> None:
    params = table.from_dict({})[0]
    first = next(iter(table.table()))
    assert params == table.from_dict({})[0] and hash(params) == hash(table.from_dict({})[0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(params, first.name, first.default)
    with pytest.raises(InvalidValue, match=first.name):
        params.replace(**{first.name: "nonsense"})
    assert params.replace(**{first.name: first.default}) == params


def test_neutral_has_every_step_off_and_takes_changes() -> None:
    neutral = SamplingParams.neutral(temperature=0)
    for knob in SamplingParams.table():
        expected = knob.off if knob.off is not None else knob.default
        assert getattr(neutral, knob.name) == (0 if knob.name == "temperature" else expected)


def test_the_order_of_steps_is_any_that_names_each_once() -> None:
    assert sorted(TRANSFORMERS_ORDER) == sorted(STEPS)
    reversed_order = SamplingParams(order=tuple(reversed(STEPS)))
    assert SamplingParams.from_dict(reversed_order.to_dict()) == (reversed_order, ())
    for wrong in ((), STEPS[1:], (*STEPS, "top_k"), (*STEPS[1:], "nonsense")):
        with pytest.raises(InvalidValue, match=r"^order is .*penalties"):
            SamplingParams(order=wrong)


def test_stop_strings_come_back_and_an_empty_one_is_refused() -> None:
    params = SamplingParams(stop=("\n\n", "日本"))
    assert SamplingParams.from_dict(json.loads(json.dumps(params.to_dict()))) == (params, ())
    for wrong in (("",), ("a", ""), (1,)):
        with pytest.raises(InvalidValue, match=r"^stop "):
            SamplingParams.from_dict({"stop": list(wrong)})
