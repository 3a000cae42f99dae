"""The app's state: QObjects with signals, no widgets. Panes are views of it and never know each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.bridge import Bridge
    from app.settings import Settings
    from app.state.adapters import Adapters
    from app.state.beside import Beside
    from app.state.captures import Captures
    from app.state.comparison import Comparison
    from app.state.conversation import Conversation
    from app.state.drafting import Drafting
    from app.state.inside import Inside
    from app.state.library import Library
    from app.state.models import Models
    from app.state.playground import Playground
    from app.state.presets import Presets
    from app.state.scoring import Scoring
    from app.state.second import Second
    from app.state.tokenizers import Tokenizers
    from app.state.what_if import WhatIfs
    from app.state.workspace import Workspace


@dataclass(frozen=True, slots=True)
class State:
    """Everything a pane may look at."""

    workspace: Workspace
    conversation: Conversation
    library: Library
    presets: Presets
    captures: Captures
    what_if: WhatIfs
    inside: Inside
    beside: Beside
    models: Models
    adapters: Adapters
    playground: Playground
    settings: Settings
    comparison: Comparison
    second: Second
    scoring: Scoring
    tokenizers: Tokenizers
    drafting: Drafting


def make_state(bridge: Bridge, settings: Settings) -> State:
    """The state over an engine's bridge, wired."""
    from app.state.adapters import Adapters
    from app.state.beside import Beside
    from app.state.captures import Captures
    from app.state.comparison import Comparison
    from app.state.conversation import Conversation
    from app.state.drafting import Drafting
    from app.state.inside import Inside
    from app.state.library import Library
    from app.state.models import Models
    from app.state.playground import Playground
    from app.state.presets import Presets
    from app.state.scoring import Scoring
    from app.state.second import Second
    from app.state.tokenizers import Tokenizers
    from app.state.what_if import WhatIfs
    from app.state.workspace import Workspace

    workspace = Workspace(bridge)
    presets = Presets(workspace, settings)
    models = Models(workspace, settings)
    second = Second(workspace, models)
    adapters = Adapters(workspace, models, second, settings)
    captures = Captures(workspace, second)
    what_if = WhatIfs(captures, presets)
    library = Library(workspace)
    conversation = Conversation(workspace, captures, presets, adapters, library, settings)
    playground = Playground(workspace, captures, presets, adapters)
    inside = Inside(workspace, captures, second)
    beside = Beside(workspace, second, adapters)
    comparison = Comparison(workspace, conversation, library, presets, captures, second, adapters)
    scoring = Scoring(workspace, captures, second, adapters)
    tokenizers = Tokenizers(workspace, models)
    drafting = Drafting(workspace, models, settings)
    return State(
        workspace,
        conversation,
        library,
        presets,
        captures,
        what_if,
        inside,
        beside,
        models,
        adapters,
        playground,
        settings,
        comparison,
        second,
        scoring,
        tokenizers,
        drafting,
    )
