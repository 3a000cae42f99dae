"""A draft model over the real engine: chosen on the card of the model in use, it drafts, and comes back with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from checkpoints import write_tiny
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.models import Pane
from app.settings import Settings
from app.state import State, make_state
from engine import CountKept, Engine, Kept, LoadParams, SamplingParams

LONG = 60_000  # milliseconds: torch is imported once, by a busy machine


@contextmanager
def opened(home: Path, qtbot: QtBot) -> Iterator[tuple[Pane, State]]:
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(home))
    state.models.set_load_params(LoadParams(device="cpu", threads=1, precision="int8"))
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.show()
    bridge.start()
    try:
        yield pane, state
    finally:
        bridge.stop()


@pytest.fixture
def folder(assets: Path, tmp_path: Path) -> Path:
    """A folder of a model, a smaller one of its tokenizer, and one of another."""
    folder = tmp_path / "models"
    shutil.copytree(assets / "models" / "stories260K", folder / "stories")
    small = write_tiny(folder / "small", vocab_size=430, max_position_embeddings=512, eos_token_id=None)
    shutil.copy(folder / "stories" / "tokenizer.json", small)
    other = write_tiny(folder / "other", vocab_size=361)
    shutil.copy(assets / "models" / "babyllama-361" / "tokenizer.json", other)
    return folder


def test_a_draft_model_is_chosen_drafts_and_is_there_again_after_a_restart(
    home: Path, folder: Path, themed: QApplication, qtbot: QtBot
) -> None:
    small = str(folder / "small")
    with opened(home, qtbot) as (pane, state):
        state.models.add_folder(str(folder))
        state.models.load(str(folder / "stories"))
        box = pane.drafts.models
        qtbot.waitUntil(lambda: box.findData(small) > 0, timeout=LONG)
        assert pane.drafts.isVisible()
        offered = {box.itemText(row) for row in range(box.count())}
        assert "small" in offered and "other (another tokenizer)" in offered
        box.activated.emit(box.findData(small))
        qtbot.waitUntil(lambda: state.drafting.path == small, timeout=LONG)
        sampling = SamplingParams.neutral(temperature=0.0, max_new_tokens=40, speculation="draft model")
        state.presets.set_sampling(sampling)
        assert state.conversation.send("Once upon a time")
        qtbot.waitUntil(lambda: "Last answer: " in pane.drafts.told, timeout=LONG)
        qtbot.waitUntil(lambda: state.conversation.answering is None, timeout=LONG)
    with opened(home, qtbot) as (pane, state):
        state.models.load(str(folder / "stories"))
        qtbot.waitUntil(lambda: state.drafting.path == small, timeout=LONG)
        assert pane.drafts.models.currentText() == "small"
        pane.drafts.models.activated.emit(0)
        qtbot.waitUntil(lambda: state.drafting.path == "" and state.drafting.loading is None, timeout=LONG)
        assert state.settings.value("drafts") == {}


def test_what_is_kept_of_quantised_models_is_counted_and_removed(
    home: Path, folder: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, qtbot) as (pane, state):
        state.models.load(str(folder / "stories"))
        qtbot.waitUntil(lambda: pane.kept.words.startswith("1 quantised model on the disk: "), timeout=LONG)
        (kept,) = (home / "quantised").glob("*.safetensors")
        pane.kept.clear.click()
        assert kept.exists()
        pane.kept.yes.click()
        qtbot.waitUntil(pane.kept.isHidden, timeout=LONG)
        assert not kept.exists() and state.workspace.info is not None
        counted: list[Kept] = []
        state.workspace.submit(CountKept(), lambda event: counted.append(event) if isinstance(event, Kept) else None)
        qtbot.waitUntil(lambda: bool(counted), timeout=LONG)
        assert (counted[0].models, counted[0].nbytes) == (0, 0)
