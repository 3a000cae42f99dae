"""The app's state: QObjects with signals, no widgets. Panes are views of it and never know each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.bridge import Bridge
    from app.settings import Settings
    from app.state.captures import Captures
    from app.state.conversation import Conversation
    from app.state.library import Library
    from app.state.models import Models
    from app.state.playground import Playground
    from app.state.presets import Presets
    from app.state.workspace import Workspace


@dataclass(frozen=True, slots=True)
class State:
    """Everything a pane may look at."""

    workspace: Workspace
    conversation: Conversation
    library: Library
    presets: Presets
    captures: Captures
    models: Models
    playground: Playground
    settings: Settings


def make_state(bridge: Bridge, settings: Settings) -> State:
    """The state over an engine's bridge, wired."""
    from app.state.captures import Captures
    from app.state.conversation import Conversation
    from app.state.library import Library
    from app.state.models import Models
    from app.state.playground import Playground
    from app.state.presets import Presets
    from app.state.workspace import Workspace

    workspace = Workspace(bridge)
    presets = Presets(workspace, settings)
    captures = Captures(workspace)
    library = Library(workspace)
    conversation = Conversation(workspace, captures, presets, library, settings)
    models = Models(workspace, settings)
    playground = Playground(workspace, captures, presets)
    return State(workspace, conversation, library, presets, captures, models, playground, settings)
