"""Adapters over the real engine: a random one of rank 4 on the bundled model, in the chat, in columns, over a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from checkpoints import loaded
from lora import write_adapter
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.compare import Pane as ComparePane
from app.panes.inside import Pane as InsidePane
from app.state import State
from app.state.adapters import uses_in
from app.state.attention import DECODER
from app.state.comparison import PLAIN
from engine import AdapterUse, Generate, SamplingParams, Tokens
from live import LONG, living

ENDS = ("q_proj", "v_proj", "o_proj")
SAMPLING = SamplingParams(temperature=0.8, seed=3, max_new_tokens=24, end_token="never")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Path:
    """One for companion, and one that only another model can take."""
    place = tmp_path_factory.mktemp("adapters")
    write_adapter(place / "tall-tales", loaded(assets / "models" / "companion").model, *ENDS, lora_alpha=1.2)
    write_adapter(place / "another-tongue", loaded(assets / "models" / "stories260K").model, *ENDS)
    return place


@pytest.fixture
def state(home: Path, assets: Path, themed: QApplication, qtbot: QtBot, folder: Path) -> Iterator[State]:
    with living(home, qtbot, assets / "models" / "companion") as state:
        yield state


def found(state: State, folder: Path, qtbot: QtBot) -> str:
    """Have the folder looked into; the path of the adapter that fits."""
    state.models.add_folder(str(folder))
    qtbot.waitUntil(lambda: any(card.reason for card in state.adapters.cards()), timeout=LONG)
    path = str(folder / "tall-tales")
    assert [card.path for card in state.adapters.cards() if not card.reason] == [path]
    return path


def answer(state: State, qtbot: QtBot, text: str = "") -> str:
    if text:
        assert state.conversation.send(text)
    else:
        state.conversation.retry(state.conversation.path[-1].id)
    qtbot.waitUntil(lambda: state.conversation.answering is None, timeout=LONG)
    assert state.conversation.path[-1].status == "length"
    return state.conversation.path[-1].text


def test_what_is_dropped_is_on_at_once_changes_the_next_answer_and_nothing_when_it_is_off(
    state: State, folder: Path, qtbot: QtBot
) -> None:
    state.presets.set_sampling(SAMPLING)
    plain = answer(state, qtbot, "Hi, how are you?")
    state.models.open([str(folder / "tall-tales" / "adapter_config.json")])
    path = str(folder / "tall-tales")
    qtbot.waitUntil(lambda: state.adapters.weight(path) == 1.0, timeout=LONG)
    changed = answer(state, qtbot)
    message = state.conversation.path[-1]
    assert changed != plain and uses_in(message.settings) == (AdapterUse(path, 1.0),)
    state.adapters.set_weight(path, 0.25)
    weaker = answer(state, qtbot)
    assert weaker not in (plain, changed)
    state.adapters.set_weight(path, 0.0)
    assert answer(state, qtbot) == plain


def test_an_answer_that_an_adapter_wrote_is_read_again_through_it(state: State, folder: Path, qtbot: QtBot) -> None:
    path = found(state, folder, qtbot)
    captures = state.captures
    captures.set_visible("attention", True)
    state.presets.set_sampling(SAMPLING)
    state.adapters.set_weight(path, 1.5)
    answer(state, qtbot, "Hi, how are you?")
    last = captures.row_of(DECODER)
    live = captures.row(DECODER, 3, 1, last)
    assert live is not None
    state.adapters.set_weight(path, 0.0)  # what is on now has no say in what was written then

    def again() -> np.ndarray:
        captures._store.clear()
        captures.reread()
        qtbot.waitUntil(lambda: not captures.rereading.running, timeout=LONG)
        row = captures.row(DECODER, 3, 1, last)
        assert row is not None, captures.rereading.error
        return row

    assert np.abs(again() - live).max() < 2e-3
    message, (name, reader) = captures.focused[0], captures._writers[captures.focused[0]]  # type: ignore[index]
    captures._writers[message] = (name, reader._replace(adapters=()))
    assert np.abs(again() - live).max() > 1e-2, "without it, it would have looked elsewhere"


def test_columns_with_and_without_write_at_once_and_are_what_each_would_write_alone(
    state: State, folder: Path, qtbot: QtBot
) -> None:
    path = found(state, folder, qtbot)
    pane = ComparePane(state)
    qtbot.addWidget(pane)
    pane.show()
    state.presets.set_sampling(SAMPLING.replace(max_new_tokens=40))
    sides = state.comparison
    sides.choose_adapter(0, PLAIN)
    sides.choose_adapter(1, path)
    sides.change(1, sides.settings(sides.sides[1]).replace(seed=1))
    order: list[int] = []
    state.workspace.event.connect(lambda event: order.append(event.run) if isinstance(event, Tokens) else None)
    pane.field.setPlainText("Tell me a story about a cat.")
    pane.page.button.click()
    qtbot.waitUntil(lambda: not sides.running, timeout=LONG)
    first, second = sides.sides
    assert [side.seed for side in sides.sides] == [1, 1] and first.text != second.text
    runs = list(dict.fromkeys(order))
    assert len(runs) == 2 and order.index(runs[1]) < len(order) - 1 - order[::-1].index(runs[0]), "at once"
    for side, uses in ((first, ()), (second, (AdapterUse(path, 1.0),))):
        texts: list[str] = []
        command = Generate(state.captures._contexts[side.key], side.sampling, adapters=uses)
        run = state.workspace.submit(command, lambda e, t=texts: t.append(e.text) if isinstance(e, Tokens) else None)
        qtbot.waitUntil(lambda run=run: run.id not in state.workspace._receivers, timeout=LONG)
        assert "".join(texts) == side.text
    assert "companion with tall-tales" in pane.columns[1].status.text()
    assert sides.keep(1) and uses_in(state.conversation.path[-1].settings) == (AdapterUse(path, 1.0),)


def test_the_maps_of_the_model_and_of_itself_with_an_adapter_stand_beside_each_other(
    state: State, folder: Path, qtbot: QtBot
) -> None:
    path = found(state, folder, qtbot)
    pane = InsidePane(state)
    qtbot.addWidget(pane)
    pane.resize(700, 800)
    pane.show()
    pane.tabs.setCurrentIndex(2)
    beside, box = state.beside, pane.two.seconds.models
    box.setCurrentIndex(box.findText("Adapter tall-tales"))
    box.activated.emit(box.currentIndex())
    pane.two.button.click()
    off: dict[float, float] = {}
    for strength in (0.0, 1.0):
        beside.choose(path, strength)
        qtbot.waitUntil(lambda: beside.rows(True, 0) is not None and not beside.running, timeout=LONG)
        one, other = beside.rows(False, 0), beside.rows(True, 0)
        assert one is not None and other is not None and beside.tokens(True) == beside.tokens(False)
        off[strength] = float(np.abs(one.astype("float32") - other.astype("float32")).max())
    assert off[0.0] == 0.0 and off[1.0] > 1e-2
    qtbot.waitUntil(lambda: pane.two.columns[1].title.text() == "companion with tall-tales")
    assert pane.two.columns[0].title.text() == "companion" and pane.two.seconds.strength.isVisible()
    box.setCurrentIndex(0)
    box.activated.emit(0)
    qtbot.waitUntil(lambda: pane.two.columns[1].title.text() == "")
    assert beside.adapter == "" and not pane.two.seconds.strength.isVisible()


def test_the_model_and_itself_with_an_adapter_score_one_text_token_by_token(
    state: State, folder: Path, qtbot: QtBot
) -> None:
    path = found(state, folder, qtbot)
    scoring = state.scoring
    found_at: dict[float, float] = {}
    for strength in (0.0, 1.0):
        scoring.choose(path)
        scoring.set_strength(strength)
        scoring.score("Once upon a time there was a little dog who liked to play in the park.")
        qtbot.waitUntil(lambda: not scoring.running, timeout=LONG)
        assert scoring.first is not None and scoring.other is not None
        assert len(scoring.differences) == len(scoring.first.records)
        found_at[strength] = scoring.other.nll - scoring.first.nll
    assert found_at[0.0] == pytest.approx(0.0, abs=1e-6) and abs(found_at[1.0]) > 0.1
