"""What is in memory: the models, and the contexts that were read, whose prefixes the next answers may reuse."""

from __future__ import annotations

from collections.abc import Callable

from engine.decoding.contexts import Contexts
from engine.decoding.loop import Settings, breakers, checker
from engine.decoding.wording import bias, words
from engine.errors import EngineError
from engine.jobs.workbench import Workbench
from engine.loading import memory
from engine.messages import Run


class Models:
    """What the jobs of the model's lane share. settings: of each answer that is being written, by its run."""

    def __init__(self) -> None:
        self.first: Workbench | None = None
        self.second: Workbench | None = None  # beside the first, to compare with
        self.contexts = Contexts(lambda: memory.available(self.first.loaded.device if self.first else "cpu"))
        self.settings: dict[int, Settings] = {}

    def require(self, second: bool = False) -> Workbench:
        """The model to work with, or the second one; refuses where there is none."""
        if second and self.second is None:
            raise EngineError("No second model is loaded.", "Choose one to compare with.")
        if second and self.second is not None:
            return self.second
        if self.first is None:
            raise EngineError("No model is loaded.", "Choose one in the Models pane.")
        return self.first

    def clear(self) -> None:
        """Give back all that can be had again: contexts, and adapters that no run uses."""
        self.contexts.clear()
        for bench in (self.first, self.second):
            if bench is not None:
                bench.adapters.clear()

    def put_down(self) -> None:
        """Give back the model, and all contexts."""
        if self.first is not None:
            self.first.close()
        self.first = None
        self.contexts.clear()
        for cached in (breakers, words, bias):  # they hold tokenizers
            cached.cache_clear()
        memory.give_back()

    def put_second_down(self) -> None:
        """Give back the second model, and the contexts that it read."""
        if self.second is not None:
            self.second.close()
            self.contexts.forget(self.second.loaded.model)
            self.second = None
            memory.give_back()


def check_of(run: Run) -> Callable[[], None]:
    """A check that raises Cancelled once the run is cancelled, MemoryError once nearly all memory is taken."""
    cancelled, look = checker(lambda: run.cancelled), memory.watch()

    def check() -> None:
        cancelled()
        look()

    return check
