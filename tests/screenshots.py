"""Pictures of the real window with a real answer in it, for the README and for looking at.

    QT_QPA_PLATFORM=offscreen .venv/bin/python tests/screenshots.py FOLDER [--scale 2]

Each picture is taken in a process and a data folder of its own: light and dark, small, usual and large, a chat, the
tokens of an answer, its attention, what happens inside, answers side by side, a scored text, the models, a completion.
The answers are written by the bundled models with a fixed seed, so two runs give the same pictures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Shot:
    """theme: light or dark. panes: the docks raised. tokens: colour the answer. model: a bundled one.

    what_if: the steps of the token in focus, under settings moved after the answer. ask: the object name of a pane's
    field, and what is written there and asked. press: object names of buttons that are pressed at the end; "name:1"
    raises a page of tabs. answers: to each thing said. settings: of the sampling, over those of all pictures.
    adapter: how strongly a random adapter is on, at -1 there is one and it is off. through: what the second side, or
    the second reading of a text, goes through: "adapter", or a bundled model. watch: the picture is taken while the
    last answer is written, after so many tokens.
    """

    theme: str = "light"
    size: tuple[int, int] = (1280, 800)
    model: str = "companion"
    said: tuple[str, ...] = ("Hi, how are you?", "Tell me a story about a dog.")
    panes: tuple[str, ...] = ("sampling", "probabilities")
    tokens: bool = False
    focus: int = -1
    what_if: bool = False
    ask: tuple[str, str] = ("", "")
    press: tuple[str, ...] = ()
    answers: int = 1
    settings: tuple[tuple[str, Any], ...] = ()
    adapter: float = 0.0
    through: str = ""
    watch: int = 0


TEXT = (
    "Hello! It is nice to meet you. Once upon a time there was a little dog who liked to play in the park.\n\n"
    "Quarterly revenue rose by seven per cent, said the treasurer."
)

BESIDE = "The cat sat on the mat because it was tired."

FOLDS = ("fold-Words", "fold-Structured answer")
TEXTS = (
    ("banned_words", ("park", "very")),
    ("logit_bias", (("dog", 4.0), (" ice cream", -3.0))),
    ("stop", ("The end",)),
)
FORM = (("regex", r"(Yes|No)\. [A-Z][a-z ]{5,40}\."),)

SHOTS = {
    "chat-light": Shot(),
    "chat-dark": Shot(theme="dark"),
    "tokens-light": Shot(tokens=True, focus=24),
    "tokens-dark": Shot(theme="dark", tokens=True, focus=24),
    "steps-light": Shot(tokens=True, focus=24, what_if=True),
    "steps-dark": Shot(theme="dark", size=(900, 600), panes=("probabilities",), tokens=True, focus=24, what_if=True),
    "attention-light": Shot(panes=("sampling", "attention"), tokens=True, focus=24),
    "attention-dark": Shot(theme="dark", panes=("sampling", "attention"), tokens=True, focus=24),
    "looked-light": Shot(panes=("sampling", "attention"), focus=24, press=("attentionText",)),
    "looked-dark": Shot(
        theme="dark", size=(900, 600), panes=("attention",), focus=24, press=("attentionText", "attentionRollout")
    ),
    "inside-light": Shot(panes=("sampling", "inside"), tokens=True, focus=24),
    "inside-dark": Shot(theme="dark", panes=("sampling", "inside"), tokens=True, focus=24),
    "positions-light": Shot(panes=("sampling", "inside"), press=("insideTabs:1",)),
    "positions-dark": Shot(theme="dark", size=(900, 600), panes=("inside",), press=("insideTabs:1",)),
    "sides-light": Shot(panes=("compare",), ask=("comparePrompt", "Tell me a story about a cat.")),
    "sides-dark": Shot(
        theme="dark",
        size=(1600, 1000),
        panes=("compare",),
        ask=("comparePrompt", "Tell me a story about a cat."),
        press=("sideTokens",),
    ),
    "sides-small": Shot(size=(900, 600), panes=("compare",), ask=("comparePrompt", "What is your name?")),
    "text-light": Shot(panes=("score",), ask=("scoredText", TEXT)),
    "text-dark": Shot(theme="dark", size=(1600, 1000), panes=("score",), ask=("scoredText", TEXT)),
    "text-small": Shot(size=(900, 600), panes=("score",), ask=("scoredText", TEXT)),
    "sides-adapter-light": Shot(
        panes=("compare",), ask=("comparePrompt", "Tell me a story about a cat."), adapter=-1, through="adapter"
    ),
    "sides-adapter-dark": Shot(
        theme="dark",
        size=(900, 600),
        panes=("compare",),
        ask=("comparePrompt", "Tell me a story about a cat."),
        adapter=-1,
        through="adapter",
    ),
    "sides-live-dark": Shot(
        theme="dark",
        size=(1600, 1000),
        panes=("compare", "attention"),
        ask=("comparePrompt", "Tell me a story about a cat."),
        press=("sideLookB",),
        watch=30,
    ),
    "text-adapter-light": Shot(panes=("score",), ask=("scoredText", TEXT), adapter=-1, through="adapter"),
    "text-adapter-dark": Shot(
        theme="dark", size=(900, 600), panes=("score",), ask=("scoredText", TEXT), adapter=-1, through="adapter"
    ),
    "beside-light": Shot(panes=("inside",), ask=("besideText", BESIDE), press=("insideTabs:2",), through="stories260K"),
    "beside-dark": Shot(
        theme="dark",
        size=(1600, 1000),
        panes=("inside",),
        ask=("besideText", BESIDE),
        press=("insideTabs:2",),
        through="babyllama-361",
    ),
    "beside-small": Shot(
        size=(900, 600), panes=("inside",), ask=("besideText", BESIDE), press=("insideTabs:2",), through="stories260K"
    ),
    "beside-tall": Shot(
        theme="dark",
        size=(900, 1400),
        panes=("inside",),
        ask=("besideText", BESIDE),
        press=("insideTabs:2",),
        through="stories260K",
    ),
    "adapters-light": Shot(panes=("sampling", "probabilities"), adapter=0.8),
    "adapters-dark": Shot(theme="dark", size=(900, 600), panes=("sampling",), adapter=0.8),
    "models-adapters-light": Shot(panes=("models",), size=(1280, 1000), adapter=-1, press=("adapterButton",)),
    "models-adapters-dark": Shot(
        theme="dark", size=(900, 600), panes=("models",), adapter=-1, press=("adapterButton",)
    ),
    "several-live-light": Shot(answers=3, watch=50),
    "tokenizers-light": Shot(panes=("score",), press=("textTabs:1", "addTokenizer")),
    "tokenizers-dark": Shot(theme="dark", size=(1600, 1000), panes=("score",), press=("textTabs:1", "addTokenizer")),
    "several-light": Shot(answers=3),
    "several-dark": Shot(theme="dark", size=(900, 600), answers=3, panes=("probabilities",)),
    "texts-light": Shot(size=(1280, 1000), panes=("sampling",), settings=TEXTS, press=FOLDS[:1]),
    "texts-dark": Shot(theme="dark", size=(1280, 1000), panes=("sampling",), settings=FORM, press=FOLDS[-1:]),
    "models-light": Shot(panes=("models", "probabilities")),
    "models-dark": Shot(theme="dark", panes=("models", "probabilities")),
    "first-start-light": Shot(said=()),
    "complete-light": Shot(model="babyllama-361", said=("Once upon a time, there was a big dog",)),
    "complete-dark": Shot(theme="dark", model="babyllama-361", said=("Once upon a time",), tokens=True),
    "small-light": Shot(size=(900, 600)),
    "small-dark": Shot(theme="dark", size=(900, 600), panes=("attention",)),
    "tiny-light": Shot(size=(640, 480)),
    "least-light": Shot(size=(480, 400), panes=()),
    "models-small": Shot(size=(900, 600), panes=("models",)),
    "large-light": Shot(size=(1920, 1080), panes=("sampling", "attention"), tokens=True, focus=24),
    "large-dark": Shot(theme="dark", size=(1920, 1080), panes=("models", "attention")),
}


def write_adapters(folder: Path, model: str) -> Path:
    """A random adapter for a bundled model, strong enough to be seen, and one that does not fit; returns the first."""
    from checkpoints import loaded
    from lora import write_adapter

    models, ends = ROOT / "assets" / "models", ("q_proj", "v_proj", "o_proj")
    for name in ("babyllama-361", "stories260K"):
        if name != model:
            other = loaded(models / name).model
            write_adapter(folder / "another-tongue", other, *ends, base_model_name_or_path=f"somebody/{name}")
            break
    base = f"somebody/{model}"
    ours = loaded(models / model).model
    return write_adapter(folder / "tall-tales", ours, *ends, lora_alpha=1.2, base_model_name_or_path=base)


def take(shot: Shot, path: Path) -> None:
    from PySide6.QtCore import QEventLoop, QTimer
    from PySide6.QtWidgets import QAbstractButton, QApplication, QScrollArea, QTabWidget, QWidget

    from app import theme
    from app.bridge import Bridge
    from app.session import Session
    from app.settings import Settings
    from app.state import make_state
    from app.widgets.ask_text import TextField
    from app.window import Window
    from engine import Engine, SamplingParams, Tokens, data_folder

    app = QApplication(["vitrine"])
    settings = Settings(data_folder())
    settings.set("theme", shot.theme)
    theme.follow(app, shot.theme)
    bridge = Bridge(Engine)
    state = make_state(bridge, settings)
    window = Window(state)
    window.resize(*shot.size)
    session = Session(bridge, state, str(ROOT / "assets" / "models" / shot.model))
    window.painted.connect(session.start)
    window.show()

    def wait(until: Callable[[], bool], limit: float = 60.0) -> None:
        loop, end = QEventLoop(), time.monotonic() + limit
        poll = QTimer(interval=20)
        poll.timeout.connect(lambda: loop.quit() if until() or time.monotonic() > end else None)
        poll.start()
        loop.exec()

    def settle(seconds: float = 0.6) -> None:
        end = time.monotonic() + seconds
        wait(lambda: time.monotonic() > end)

    wait(lambda: state.workspace.info is not None and bool(state.models.cards))
    adapter = ""
    if shot.adapter:
        folder = data_folder() / "adapters"
        adapter = str(write_adapters(folder, shot.model))
        state.models.add_folder(str(folder))
        wait(lambda: any(card.reason for card in state.adapters.cards()))
        state.adapters.set_weight(adapter, max(0.0, shot.adapter))
    if shot.through == "adapter":
        state.comparison.choose_adapter(1, adapter)
        state.scoring.choose(adapter)
    elif shot.through:
        state.second.load(str(ROOT / "assets" / "models" / shot.through))
        wait(lambda: state.second.info is not None)
    state.presets.set_sampling(SamplingParams(temperature=0.9, seed=7, max_new_tokens=120, **dict(shot.settings)))
    for name in shot.panes:
        shown = window.docks[name].action
        if not shown.isChecked():
            shown.trigger()
        window.docks[name].raise_()
    settle()
    written = [0]
    state.workspace.event.connect(lambda event: written.append(len(event.records)) if isinstance(event, Tokens) else 0)
    for text in shot.said:
        state.conversation.send(text, shot.answers)
        live = shot.watch if text == shot.said[-1] and not any(shot.ask) else 0
        written.clear()
        wait(lambda live=live: state.conversation.answering is None or 0 < live <= sum(written))
    if not (shot.watch and state.conversation.answering):
        settle()
    if shot.tokens:
        window.actions_by_name["tokens"].trigger()
        settle()
    if shot.focus >= 0 and state.conversation.path:
        state.captures.focus(state.conversation.path[-1].id, shot.focus)
    if shot.what_if:
        state.presets.set_sampling(state.presets.sampling.replace(temperature=1.4, repetition_penalty=1.1))
        next(button for button in window.findChildren(QAbstractButton) if button.text() == "Steps").click()
    settle(0.2 if shot.watch else 1.5)
    if any(shot.ask):
        for name, _, page in (pressed.partition(":") for pressed in shot.press):
            if page:
                window.findChild(QTabWidget, name).setCurrentIndex(int(page))
        field = window.findChild(TextField, shot.ask[0])
        field.setPlainText(shot.ask[1])
        written.clear()
        field.submitted.emit()
        busy = (state.comparison, state.scoring, state.beside)
        wait(lambda: not any(each.running for each in busy) or 0 < shot.watch <= sum(written))
        settle(0.1 if shot.watch else 0.6)
    for name, _, page in (pressed.partition(":") for pressed in shot.press):
        found = window.findChild(QWidget, name)
        if isinstance(found, QTabWidget):
            found.setCurrentIndex(int(page))
        elif isinstance(found, QAbstractButton):
            found.click()
        area = found.parent()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parent()
        if area is not None:
            area.ensureWidgetVisible(found, 0, 400)
        settle(0.4 if shot.watch else 1.0)
    window.grab().save(str(path))
    window.close()
    session.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="part of a picture's name")
    parser.add_argument("--scale", default="1", help="QT_SCALE_FACTOR")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.child:
        take(SHOTS[given.child], given.folder / f"{given.child}.png")
        return
    for name in SHOTS:
        if given.only in name:
            with tempfile.TemporaryDirectory() as home:
                env = {**os.environ, "VITRINE_HOME": home, "QT_SCALE_FACTOR": given.scale, "PYTHONPATH": str(ROOT)}
                command = [sys.executable, __file__, str(given.folder), "--child", name]
                subprocess.run(command, env=env, check=True)
                print(name, flush=True)


if __name__ == "__main__":
    main()
