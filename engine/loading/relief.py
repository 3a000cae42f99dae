"""What to say where memory ran out all the same, though a forecast said otherwise or none was made.

It is asked once all that can be had again was given back, so what is free then is what the next try has.
"""

from __future__ import annotations

from engine.errors import OutOfMemory
from engine.loading import memory
from engine.loading.catalog import inspect
from engine.loading.forecast import LEAST, amount, fewer_bits, forecast, longest_text
from engine.loading.loader import LoadedModel
from engine.loading.precision import choose
from engine.params import LoadParams


def not_loaded(path: str, params: LoadParams) -> OutOfMemory:
    """Memory ran out while a model was loaded."""
    card, free = inspect(path), memory.available()
    chosen = choose(params.precision, card, "cpu").name
    message = f"There is not enough free memory to load {card.name} in {chosen}."
    for form in fewer_bits(chosen):
        found = forecast(card, form, free, params.cache == "8-bit")
        if found is not None and found.verdict in ("fits", "tight"):
            return OutOfMemory(message, f"In {form} it fits: it then needs {amount(found.weights)} for its weights.")
    return OutOfMemory(message, "Close other programs, or choose a smaller model.")


def too_long(loaded: LoadedModel | None, eight_bit: bool) -> OutOfMemory:
    """Memory ran out while the model ran. eight_bit: whether it keeps what it reads in 8 bits."""
    message = "There is not enough free memory for so long a text."
    free = None if loaded is None else memory.available(loaded.device)
    if loaded is None or loaded.sizes is None or free is None:
        return OutOfMemory(message, "Shorten it, or close other programs.")
    longest = longest_text(loaded.sizes, loaded.precision, loaded.config.context, free, eight_bit)
    fewer = fewer_bits(loaded.precision)[-1:]
    other = f"load the model in {fewer[0]}" if fewer else "close other programs"
    if longest < LEAST:
        return OutOfMemory(message, f"{other.capitalize()}, or choose a smaller model.")
    return OutOfMemory(message, f"About {longest:,} tokens fit now: shorten it, start a new chat, or {other}.")
