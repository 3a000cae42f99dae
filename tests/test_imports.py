"""Who imports whom: the walk over every import of app and engine, and the table it is held to.

The rules work on sources, not on imported modules, so that they see lazy imports too, and so that each of them is
proved here on sources made up to break it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the ground up. A room imports the rows below its own; within a row rooms do not know each other, except on the
# ground floor. A file directly under engine/ is a room as well as a folder.
ENGINE_ROWS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "params", "messages", "home", "gguf", "gguf_parts", "importing", "outbox", "lanes"}),
    frozenset({"text", "inside", "sampling", "models", "quantize"}),
    frozenset({"decoding", "encoding", "loading"}),
    frozenset({"adapters"}),
    frozenset({"memory", "training"}),
    frozenset({"jobs"}),
    frozenset({"engine"}),
    frozenset({"__init__"}),
    frozenset({"__main__", "cli", "bench"}),
)
APP_ABOVE: dict[str, frozenset[str]] = {  # the rooms that a room of app must not import
    "state": frozenset({"widgets", "panes", "wizard", "window"}),
    "widgets": frozenset({"panes", "wizard", "window"}),
    "panes": frozenset({"wizard", "window"}),
    "wizard": frozenset({"panes", "window"}),
}
HOLDERS = {"app.bridge", "app.state.workspace"}  # who may hold the Engine


class Import(NamedTuple):
    """One import: who, what (dotted), the name taken from it (nothing for a plain import), and where."""

    importer: str
    target: str
    name: str
    line: int


def module_of(path: str) -> str:
    """`engine/models/llama.py` -> `engine.models.llama`; a package's `__init__.py` is the package."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(sources: Mapping[str, str]) -> Iterator[Import]:
    """Every import in sources (path -> text), in functions and type-checking blocks too; relative ones resolved."""
    modules = {module_of(path) for path in sources}
    for path, text in sources.items():
        importer = module_of(path)
        package = importer if path.endswith("__init__.py") else importer.rpartition(".")[0]
        for node in ast.walk(ast.parse(text, path)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(importer, alias.name, "", node.lineno)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*parents, *([base] if base else [])])
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    # What is taken from a package may be a module of it.
                    yield Import(importer, *((inner, "") if inner in modules else (base, alias.name)), node.lineno)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "engine":
                yield Import(importer, "engine", node.attr, node.lineno)


def room(module: str) -> str:
    """The part of a package that a module belongs to: `engine.models.llama` -> `models`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def row(name: str) -> int | None:
    """Which floor of the engine a room is on."""
    return next((number for number, rooms in enumerate(ENGINE_ROWS) if name in rooms), None)


def complaint(found: Import) -> str | None:
    """Why an import breaks the table; None where it does not."""
    importer, target = found.importer, found.target
    side, other = importer.split(".")[0], target.split(".")[0]
    if side == "engine":
        if other in ("app", "PySide6", "shiboken6"):
            return "the engine knows neither the app nor Qt"
        return engine_complaint(importer, target) if other == "engine" else None
    if other == "torch":
        return "the app does not import torch"
    if other == "engine":
        if target != "engine" and (importer, target) != ("app.__main__", "engine.__main__"):
            return "the app imports the package engine, not what is inside"
        if found.name == "Engine" and importer not in HOLDERS:
            return "only the bridge and the workspace hold the Engine"
    if room(importer) == "state" and f"{target}.{found.name}".startswith("PySide6.QtWidgets"):
        return "state has no widgets"
    if other == "app" and room(target) in APP_ABOVE.get(room(importer), frozenset()):
        return f"{room(importer)} does not import {room(target)}"
    if room(importer) == room(target) == "panes" and "app.panes" not in (importer, target):
        return "panes do not know each other"
    return None


def engine_complaint(importer: str, target: str) -> str | None:
    """The rows of the engine, and what a family file may import."""
    above, below = room(importer), room(target)
    high, low = row(above), row(below)
    if high is None or low is None:
        return f"{above if high is None else below} is in no row of the table"
    if above != below and (low > high or (low == high and high not in (0, len(ENGINE_ROWS) - 1))):
        return f"{above} does not stand above {below}"
    if above == below == "models":
        family = importer.removeprefix("engine.models.")
        helpers = {f"engine.models.{name}" for name in ("base", "layers", "reading", "trunk", "seq2seq", "encoder")}
        if family not in ("engine.models", "base", "layers", "reader", "reading") and target not in helpers:
            return "a family file imports base, layers, reading and trunk only"
    return None


def complaints(sources: Mapping[str, str]) -> list[str]:
    """Every import of sources that breaks the table, in words."""
    found = ((each, complaint(each)) for each in imports(sources))
    return [f"{each.importer}:{each.line} imports {each.target}: {why}" for each, why in found if why]


def project() -> dict[str, str]:
    """The sources of app and engine."""
    files = [path for package in ("app", "engine") for path in sorted((ROOT / package).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files}


# --- the project --------------------------------------------------------------------------------------------------


def test_every_import_of_the_project_holds_the_table() -> None:
    assert complaints(project()) == []


def test_the_walk_sees_the_project() -> None:
    found = set(imports(project()))
    assert any(each.importer == "engine.params.knobs" and each.target == "engine.errors" for each in found)
    assert any(each.importer == "engine" and each.name == "Engine" for each in found)


@pytest.mark.parametrize("module", ["engine", "engine.messages", "app"])
def test_neither_torch_nor_qt_is_imported_before_it_is_needed(module: str) -> None:
    code = f"import {module}, sys; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    loaded = set(ran.stdout.split())
    assert module in loaded
    assert not loaded & {"torch", "transformers", "PySide6", "shiboken6"}


# --- the rules ----------------------------------------------------------------------------------------------------

# Modules that exist in every made-up project, so that `from engine import models` is seen as a module.
BACKGROUND = {
    f"{path}.py": ""
    for path in (
        "engine/__init__", "engine/errors", "engine/params", "engine/jobs", "engine/models/__init__",
        "engine/models/base", "engine/models/layers", "engine/models/llama", "engine/models/gemma",
        "engine/sampling/__init__", "engine/sampling/chain", "engine/sampling/cutoffs", "engine/decoding/loop",
        "engine/loading/catalog", "engine/memory/store", "engine/__main__", "app/__init__", "app/window",
        "app/panes/__init__", "app/panes/chat", "app/panes/models", "app/widgets/form", "app/state/library",
    )
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/jobs.py", "import app"),
        ("engine/jobs.py", "from app.state import library"),
        ("engine/jobs.py", "from PySide6.QtCore import QObject"),
        ("engine/jobs.py", "from engine import Engine"),
        ("engine/params.py", "from engine.sampling import chain"),
        ("engine/params.py", "from engine import sampling"),
        ("engine/params.py", "from . import sampling"),
        ("engine/params.py", "def late():\n    from engine.jobs import ModelJobs"),
        ("engine/sampling/chain.py", "from engine.models import base"),
        ("engine/sampling/chain.py", "from ..models.base import Decoder"),
        ("engine/sampling/chain.py", "import engine.models.base"),
        ("engine/decoding/loop.py", "from engine.loading.catalog import scan"),
        ("engine/decoding/loop.py", "from engine.memory.store import Store"),
        ("engine/models/llama.py", "from engine.models.gemma import Block"),
        ("engine/models/llama.py", "from . import gemma"),
        ("engine/models/llama.py", "from engine.sampling.chain import run"),
        ("engine/attic.py", "from engine.errors import EngineError"),
        ("app/bridge.py", "import torch"),
        ("app/bridge.py", "from torch import nn"),
        ("app/bridge.py", "from engine.messages import Tokens"),
        ("app/bridge.py", "from engine import params"),
        ("app/state/library.py", "import engine.__main__"),
        ("app/panes/chat.py", "from engine import Engine"),
        ("app/panes/chat.py", "import engine\n\ndef make():\n    return engine.Engine()"),
        ("app/panes/chat.py", "from app.panes.models import ModelsPane"),
        ("app/panes/chat.py", "from app.panes import models"),
        ("app/panes/chat.py", "from .models import ModelsPane"),
        ("app/panes/chat.py", "from app.window import Window"),
        ("app/widgets/form.py", "from app.panes.chat import ChatPane"),
        ("app/state/library.py", "from app.widgets.form import Form"),
        ("app/state/library.py", "from ..widgets.form import Form"),
        ("app/state/library.py", "from PySide6.QtWidgets import QWidget"),
        ("app/state/library.py", "from PySide6 import QtWidgets"),
    ],
)
def test_an_import_against_the_table_is_found(path: str, text: str) -> None:
    [found] = complaints({**BACKGROUND, path: text})
    assert found.startswith(module_of(path) + ":")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/params.py", "from engine.errors import InvalidValue"),
        ("engine/sampling/chain.py", "from engine.sampling.cutoffs import top_k\nfrom . import cutoffs\nimport torch"),
        ("engine/models/llama.py", "from engine.models.base import Decoder\nfrom .layers import attention"),
        ("engine/models/base.py", "from engine.models.layers import attention"),
        ("engine/models/__init__.py", "from engine.models import llama"),
        ("engine/decoding/loop.py", "from engine.models.base import Decoder\nfrom engine.sampling import chain"),
        ("engine/jobs.py", "from engine.memory.store import Store\nfrom engine.decoding import loop"),
        ("engine/__main__.py", "from engine import Engine\nfrom engine.jobs import ModelJobs"),
        ("app/__main__.py", "from engine.__main__ import main"),
        ("app/bridge.py", "from engine import Engine, Event\nfrom app.window import Window"),
        ("app/state/workspace.py", "from engine import Engine\nfrom PySide6.QtCore import QObject"),
        ("app/panes/chat.py", "from engine import Tokens\nfrom app.widgets.form import Form\nimport app.panes"),
        ("app/panes/__init__.py", "from app.panes.chat import ChatPane\nfrom app.panes import models"),
        ("app/window.py", "from app.panes.chat import ChatPane"),
    ],
)
def test_an_import_that_the_table_allows_passes(path: str, text: str) -> None:
    assert complaints({**BACKGROUND, path: text}) == []
