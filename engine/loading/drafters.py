"""Which models could draft for another: those that write on from a text, are smaller, and name their ids alike.

Nothing of their weights is read, only tokenizers, and those only where a card does not rule its model out already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.errors import EngineError
from engine.messages import ModelCard
from engine.text.tokenizer import Tokenizer


def refusals(
    model: ModelCard, cards: tuple[ModelCard, ...], tokenizer: Callable[[str], Tokenizer]
) -> Iterator[tuple[str, str]]:
    """The path of each model that can be run, and why it cannot draft for the first, "" where it can.

    tokenizer: loads the tokenizer of the model at a path.
    """
    own: Tokenizer | None = None
    for card in cards:
        if not card.supported:
            continue
        if card.kind != "decoder":
            yield card.path, "does not write on from a text"
        elif card.parameters >= model.parameters:
            yield card.path, "not smaller"
        else:
            own = own or tokenizer(model.path)
            try:
                fits = alike(tokenizer(card.path), own)
            except EngineError:  # loading it would say what is wrong
                fits = False
            yield card.path, "" if fits else "another tokenizer"


def alike(a: Tokenizer, b: Tokenizer) -> bool:
    """Whether two tokenizers name the same ids the same; one may have more of them."""
    return all(a.token(id) == b.token(id) for id in range(min(a.vocabulary_size, b.vocabulary_size)))
