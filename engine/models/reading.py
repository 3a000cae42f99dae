"""What several families' configs say in the same words: rotary settings, the widths of heads, what no decoder does."""

from __future__ import annotations

import math

from engine.models.layers import RotaryConfig
from engine.models.reader import Reader


def read_rotary(reader: Reader, context: int, default_theta: float = 10000.0, partial: bool = False) -> RotaryConfig:
    """Rotary settings from either dialect: rope_parameters, or rope_theta beside rope_scaling.

    partial: whether the family can leave a part of each head as it is. Scaling kinds that are not here raise
    UnsupportedModel with their name.
    """
    theta = reader.positive("rope_theta", default_theta)
    fraction = reader.positive("partial_rotary_factor", 1.0) if partial else 1.0
    scaling = reader.inner("rope_parameters") or reader.inner("rope_scaling")
    if scaling is not None and partial:
        fraction = scaling.positive("partial_rotary_factor", fraction)
    elif scaling is not None:
        scaling.choice("partial_rotary_factor", (1.0,), 1.0)
    return read_scaling(scaling, theta, context, fraction)


def read_scaling(scaling: Reader | None, theta: float, context: int, fraction: float = 1.0) -> RotaryConfig:
    """Rotary settings from the object that holds the kind and its numbers; plain ones where there is none."""
    if scaling is None:
        return RotaryConfig(theta, fraction=fraction)
    theta = scaling.positive("rope_theta", theta)
    kind = "rope_type" if scaling.has("rope_type") else "type"
    name = scaling.choice(kind, ("default", "linear", "dynamic", "llama3", "yarn"), "default")
    # Dynamic scaling begins only behind the context. Vitrine stops there: each token more would turn all that was read
    # otherwise, so a token's logits would depend on how its text was read, as they do in the reference.
    if name in ("default", "dynamic"):
        return RotaryConfig(theta, fraction=fraction)
    if name == "linear":
        return RotaryConfig(theta, name, scaling.positive("factor"), fraction=fraction)
    original = scaling.count("original_max_position_embeddings", context, most=2**31 - 1)
    if name == "yarn":
        return _read_yarn(scaling, theta, context, original, fraction)
    low, high = scaling.positive("low_freq_factor"), scaling.positive("high_freq_factor")
    if not low < high:
        raise scaling.refusal("low_freq_factor", low, f"It has to be below high_freq_factor, which is {high}.")
    return RotaryConfig(theta, name, scaling.positive("factor"), low, high, original, fraction=fraction)


def _read_yarn(scaling: Reader, theta: float, context: int, original: int, fraction: float) -> RotaryConfig:
    factor = scaling.positive("factor", context / original)

    def growth(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    scale = growth(1.0)
    if scaling.has("mscale") and scaling.has("mscale_all_dim"):
        scale = growth(scaling.positive("mscale")) / growth(scaling.positive("mscale_all_dim"))
    return RotaryConfig(
        theta,
        "yarn",
        factor,
        scaling.positive("beta_slow", 1.0),
        scaling.positive("beta_fast", 32.0),
        original,
        scaling.positive("attention_factor", scale),
        scaling.take("truncate", bool, True),
        fraction,
    )


def plain_decoder(reader: Reader, *architectures: str) -> None:
    """Refuse what no decoder here does: other heads than these architectures', quantised weights, cross-attention."""
    for key in ("is_encoder_decoder", "add_cross_attention"):
        reader.choice(key, (False,), False)
    reader.choice("quantization_config", (None,), None)
    for name in reader.take("architectures", list, []):
        if name not in architectures:
            raise reader.refusal("architectures", name, f"Vitrine runs {' and '.join(architectures)}.")


def heads_of(reader: Reader, width: int, heads: int) -> int:
    """The width of each of the heads that share the model's width evenly."""
    if width % heads:
        raise reader.refusal("hidden_size", width, f"It has to be a multiple of the {heads} attention heads.")
    return width // heads
