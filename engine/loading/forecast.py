"""What a model will take in memory, before it is loaded: weights, what is kept of a text, capture and scratch.

Only arithmetic on what a file's header and a config say. What a buffer's room is, and what reading takes beside the
weights, was measured on models of several shapes; the tests hold it to what a process really takes.
"""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING

from engine.errors import OutOfMemory
from engine.messages import Forecast, ModelCard, Sizes

if TYPE_CHECKING:
    from engine.loading.gguf import GGUFWeights
    from engine.loading.safetensors import Weights
    from engine.models.base import LanguageModel

GROUPED = {"int8": 8, "int4": 4}
"""Precisions of few bits, the most bits first. bf16 is not offered for another: on many processors it is slow."""

FEWER: dict[str, tuple[str, ...]] = {"int8": ("int4",), "int4": (), "nf4": ()}

BYTES = {"bf16": 2, "fp16": 2}
"""Of a number that a model computes with; 4 in all other precisions."""

USUAL, LEAST = 4096, 512
"""Tokens of a text that are counted on, where the model can read so many, and those without which it is of no use."""

ROOMY = 0.8
"""Share of the free memory from which it is tight: the rest is other programs'."""

CHUNK = 256
"""Rows read in one pass (engine/decoding/loop.py)."""

FIRST, SPARE = 256, 512
"""As engine/decoding/cache.py has them."""

WITH_ZEROS = ("Q4_1", "Q4_K")
"""GGUF's formats of 4 bits that have a zero for each group beside the scale."""


def weights_of(weights: Weights | GGUFWeights, model: LanguageModel) -> tuple[int, tuple[tuple[str, int], ...]]:
    """How many parameters the file holds that the model has; (precision, bytes that they take), for each.

    The model may be an outline. Tables of positions, which are not put in groups, are counted as if they were.
    """
    from engine.quantize.blocks import BITS as BLOCKS  # with torch, which the family has imported by now
    from engine.quantize.scheme import FEWEST, GROUP_OF_4, group_of_8

    count, sizes = 0, dict.fromkeys(("fp32", "bf16", "fp16", *GROUPED), 0)
    tables = {model.config.vocabulary, getattr(model.config, "source_vocabulary", 0)}
    for entry in weights.entries.values():
        name = model.rename(entry.name)
        if name is None:
            continue
        numbers = math.prod(entry.shape)
        count += numbers
        sizes["fp32"] += 4 * numbers
        sizes["bf16"] += 2 * numbers
        sizes["fp16"] += 4 * numbers if name.endswith(model.exact) else 2 * numbers
        for precision, bits in GROUPED.items():
            if len(entry.shape) != 2 or entry.shape[0] < FEWEST:
                sizes[precision] += 4 * numbers
                continue
            rows, columns = entry.shape
            bits = 8 if rows in tables else bits
            group, zeros = (GROUP_OF_4, True) if bits == 4 else (group_of_8(columns), False)
            if BLOCKS.get(entry.precision, 9) <= bits:
                bits, group, zeros = BLOCKS[entry.precision], 32, entry.precision in WITH_ZEROS
            sizes[precision] += -(-rows // 16) * 16 * -(-columns // group) * (group * bits // 8 + (4 if zeros else 2))
    return count, tuple(sizes.items())


def sizes_of(weights: Weights | GGUFWeights, model: LanguageModel) -> Sizes:
    """What the rest depends on; the model may be an outline."""
    from engine.loading.fusing import fusable  # with torch

    config = model.config
    shapes = [entry.shape for entry in weights.entries.values()]
    tables = {config.vocabulary, getattr(config, "source_vocabulary", 0), config.context}
    seen = getattr(model, "window", lambda layer: None)
    return Sizes(
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        width=config.width,
        widest=max((side for shape in shapes for side in shape[-2:] if side not in tables), default=config.width),
        largest=max(map(math.prod, shapes), default=0),
        windows=() if model.kind == "encoder" else tuple(seen(layer) for layer in range(config.layers)),
        half=fusable(model),
    )


def cache_bytes(sizes: Sizes, precision: str, tokens: int, context: int, eight_bit: bool = False) -> int:
    """Of what is kept of a text so long, room to grow included; context: the longest that the model can read."""
    number, half = BYTES.get(precision, 4), sizes.half and precision in GROUPED
    row = sizes.head_dim + 4 if eight_bit else sizes.head_dim * (2 if half else number)
    rooms = [_room(tokens, context, window) for window in sizes.windows]
    widened = min(tokens, max(rooms, default=0)) * 5 // 4 * sizes.head_dim * number if eight_bit or half else 0
    return 2 * sizes.kv_heads * (sum(rooms) * row + widened)


def _room(tokens: int, context: int, window: int | None) -> int:
    """Positions that a layer has room for."""
    most = context if window is None else min(context, window - 1 + 2 * SPARE)
    needed = min(tokens, most)
    return min(most, max(FIRST, 1 << (needed - 1).bit_length()))


def capture_bytes(sizes: Sizes, tokens: int) -> int:
    """While a text so long is read and one layer's attention is looked at: its scores, and two copies on their way."""
    return 3 * 4 * sizes.heads * min(CHUNK, tokens) * tokens


def scratch_bytes(sizes: Sizes, precision: str, tokens: int) -> int:
    """While a text so long is read, or a model loaded: what the two take never lies in memory together."""
    reading = min(CHUNK, tokens) * (6 * sizes.widest + 16 * sizes.width) * BYTES.get(precision, 4)
    return max(reading, loading_bytes(sizes, precision))


def loading_bytes(sizes: Sizes, precision: str) -> int:
    """While the largest matrix is put in groups."""
    return 4 * sizes.largest if precision.startswith("int") else 0


def longest_text(sizes: Sizes, precision: str, context: int, room: int, eight_bit: bool = False) -> int:
    """The tokens of the longest text that can be read where so many bytes are free beside the weights."""

    def needed(tokens: int) -> int:
        return sum(_reading(sizes, precision, tokens, context, eight_bit))

    return bisect.bisect_right(range(1, context + 1), room, key=needed)


def _reading(sizes: Sizes, precision: str, tokens: int, context: int, eight_bit: bool) -> tuple[int, int, int]:
    cache = cache_bytes(sizes, precision, tokens, context, eight_bit)
    return cache, capture_bytes(sizes, tokens), scratch_bytes(sizes, precision, tokens)


def forecast(card: ModelCard, precision: str, free: int | None, eight_bit: bool = False) -> Forecast | None:
    """What the model of the card would take in that precision; None where the card does not know enough.

    free: bytes that can be taken. eight_bit: whether what is kept of a text has 8 bits.
    """
    held, sizes = dict(card.bytes_in_memory), card.sizes
    if precision not in held or sizes is None or not card.context:
        return None
    usual, least = min(card.context, USUAL), min(card.context, LEAST)
    parts = held[precision], *_reading(sizes, precision, usual, card.context, eight_bit)
    if free is None:
        return Forecast(card.path, precision, *parts, usual, free, "", card.context)
    longest = {
        form: longest_text(sizes, form, card.context, free - held[form], eight_bit)
        for form in (precision, *fewer_bits(precision))
    }
    verdict = "too large" if longest[precision] < least else "tight" if sum(parts) > ROOMY * free else "fits"
    smaller = [form for form in fewer_bits(precision) if longest[form] >= least]
    instead = smaller[0] if smaller and verdict == "too large" else ""
    return Forecast(card.path, precision, *parts, usual, free, verdict, longest[precision], instead)


def fewer_bits(precision: str) -> tuple[str, ...]:
    """The precisions that can be chosen where one takes too much, the most bits first."""
    return FEWER.get(precision, tuple(GROUPED))


def check_fits(card: ModelCard, precision: str, free: int | None, eight_bit: bool = False) -> None:
    """Raise OutOfMemory where the model is too large, and say what would fit."""
    found = forecast(card, precision, free, eight_bit)
    if found is None or found.free is None or found.verdict != "too large":
        return
    least = min(card.context, LEAST)
    assert card.sizes is not None
    needed = found.weights + sum(_reading(card.sizes, precision, least, card.context, eight_bit))
    raise OutOfMemory(
        f"{card.name} does not fit into the free memory: it needs {amount(needed)} in {precision}, and "
        f"{amount(found.free)} are free.",
        f"In {found.instead} it fits." if found.instead else "Close other programs, or choose a smaller model.",
        needed - found.free,
    )


def amount(nbytes: int) -> str:
    """Bytes in words: 724 MB, 2.1 GB."""
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.0f} MB"
