"""The models of this machine: which folders are looked into, and which answer counts."""

from __future__ import annotations

from app.bridge import Bridge
from app.state import State
from app.state.models import BUNDLED
from engine import Load, LoadParams, ModelCard, Scan
from fakes import FakeEngine


def test_a_folder_added_is_scanned_with_the_bundled_one_and_kept(
    state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    fake.cards = (ModelCard("/m/one", "one", supported=True),)
    state.models.add_folder("/m")
    state.models.add_folder("/m")
    assert fake.given(Scan)[-1].folders == (str(BUNDLED), "/m")
    assert state.models.scanning
    bridge.deliver()
    assert state.models.cards == fake.cards and not state.models.scanning
    assert state.settings.value("folders") == ["/m"]


def test_a_removed_folder_is_forgotten_and_nothing_else(state: State, fake: FakeEngine) -> None:
    state.models.add_folder("/m")
    state.models.add_folder("/n")
    state.models.remove_folder("/m")
    assert fake.given(Scan)[-1].folders == (str(BUNDLED), "/n")
    assert state.models.folder_of("/n/deep/x") == "/n"
    assert state.models.folder_of("/nn/x") == ""


def test_only_the_latest_scan_counts(state: State, fake: FakeEngine, bridge: Bridge) -> None:
    fake.cards = (ModelCard("/old", "old"),)
    state.models.refresh()
    first, _ = fake.last(Scan)
    fake.cards = (ModelCard("/new", "new"),)
    state.models.refresh()
    bridge.deliver()
    assert first.cancelled
    assert [card.name for card in state.models.cards] == ["new"]


def test_load_params_go_with_the_load_and_broken_ones_are_the_usual(state: State, fake: FakeEngine) -> None:
    state.models.set_load_params(LoadParams(threads=3, precision="fp32"))
    state.models.load("/m/one")
    assert fake.last(Load)[1] == Load("/m/one", LoadParams(threads=3, precision="fp32"))
    state.settings.set("load", {"precision": "fp7"})
    assert state.models.load_params == LoadParams(precision="fast")
