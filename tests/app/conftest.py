"""Fixtures of the app's tests: the state over a fake engine, in a data folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.bridge import Bridge
from app.settings import Settings
from app.state import State, make_state
from fakes import FakeEngine


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This test's own data folder, in VITRINE_HOME too."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("VITRINE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def qapp_args() -> list[str]:
    return ["vitrine"]


@pytest.fixture(scope="session")
def themed(qapp: QApplication) -> QApplication:
    """The application as the person sees it: style, palette, fonts."""
    from app import theme

    theme.apply(qapp, theme.LIGHT)
    return qapp


@pytest.fixture
def bridge(themed: QApplication) -> Iterator[Bridge]:
    bridge = Bridge(FakeEngine)
    yield bridge
    bridge.stop()


@pytest.fixture
def state(bridge: Bridge, home: Path) -> State:
    return make_state(bridge, Settings(home))


@pytest.fixture
def fake(bridge: Bridge) -> FakeEngine:
    assert isinstance(bridge.engine, FakeEngine)
    return bridge.engine
