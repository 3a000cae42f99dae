"""Which models' blocks go as one native call for a few tokens, and the call made for one.

It looks at what the blocks are made of, not at families' names: whatever computes as Llama does, with packed weights,
is fused. All others, and all passes over many tokens, go block by block.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from engine.models.base import Decoder, LanguageModel
from engine.models.layers import ACTIVATIONS, GatedMLP
from engine.models.trunk import GroupedAttention, NormedAttention, PreNormBlock, TrunkConfig, TrunkDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.quantize.fused import Weights
    from engine.quantize.kernels.plan import Matrix


def fuse(model: nn.Module) -> bool:
    """Let a model's blocks run as one where they can; returns whether they do.

    To be called once all weights are in place. Whoever changes a layer afterwards sets `fused` to None.
    """
    if not isinstance(model, TrunkDecoder) or not _is_plain(model):
        return False
    blocks = [_weights(block) for block in model.blocks()]
    found = [block for block in blocks if block is not None]
    if len(found) < model.config.layers:
        return False
    from engine.quantize.fused import Dimensions, FusedBlocks

    config, attention = model.config, model.blocks()[0].self_attn
    assert isinstance(attention, GroupedAttention)
    dimensions = Dimensions(
        config.width,
        config.heads,
        config.kv_heads,
        config.head_dim,
        config.hidden,
        config.epsilon,
        attention.scale,
    )
    model.fused = FusedBlocks(dimensions, found, found[0].out.library)
    return True


def fusable(model: LanguageModel) -> bool:
    """Whether a model's blocks will be fused here once their weights are packed; it may be an outline."""
    from engine.quantize.kernels.native import usable
    from engine.quantize.scheme import FEWEST

    if not isinstance(model, TrunkDecoder) or not _is_plain(model) or not any(usable()):
        return False
    config, family = model.config, cast("Callable[[TrunkConfig], TrunkDecoder]", type(model))
    if min(config.width, config.hidden, config.kv_heads * config.head_dim) < FEWEST:
        return False
    if hasattr(config, "experts"):  # their blocks are not fused, and to make them all takes seconds
        return False
    with torch.device("meta"):  # where nothing takes memory or time
        return all(_computes_alike(block) for block in family(replace(config, layers=1)).blocks())


def _is_plain(model: TrunkDecoder) -> bool:
    """Whether its way through the blocks is Llama's, in widths that vectors of eight divide."""
    config: TrunkConfig = model.config
    kind = type(model)
    widths = (config.width, config.head_dim, config.hidden)
    return (
        kind.positions is TrunkDecoder.positions
        and kind.forward is Decoder.forward
        and config.rotary.fraction == 1.0
        and ACTIVATIONS[config.activation] is ACTIVATIONS["silu"]
        and all(width % 8 == 0 for width in widths)
    )


def _computes_alike(block: nn.Module) -> bool:
    """Whether a block computes what the fused ones do."""
    if not isinstance(block, PreNormBlock) or type(block).forward is not PreNormBlock.forward:
        return False
    attention = block.self_attn
    return (
        isinstance(attention, GroupedAttention)
        and type(attention).forward is GroupedAttention.forward
        and type(attention).project in (GroupedAttention.project, NormedAttention.project)
        and attention.softcap is None
        and type(block.mlp) is GatedMLP
    )


def _weights(block: nn.Module) -> Weights | None:
    """What a block multiplies by; None where it computes otherwise or a weight is not packed."""
    from engine.quantize.fused import Weights

    if not _computes_alike(block):
        return None
    assert isinstance(block, PreNormBlock)
    attention, mlp = block.self_attn, block.mlp
    assert isinstance(attention, GroupedAttention) and isinstance(mlp, GatedMLP)
    normed = type(attention).project is NormedAttention.project
    into = [_matrix(linear) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)]
    out = _matrix(attention.o_proj)
    gate_up, down = [_matrix(linear) for linear in (mlp.gate_proj, mlp.up_proj)], _matrix(mlp.down_proj)
    if any(getattr(linear, "bias", None) is not None for linear in (mlp.gate_proj, mlp.up_proj, mlp.down_proj)):
        return None
    qkv = [matrix for matrix in into if matrix is not None]
    both = [matrix for matrix in gate_up if matrix is not None]
    if len(qkv) < 3 or len(both) < 2 or out is None or down is None:
        return None
    biases = [linear.bias for linear in (attention.q_proj, attention.k_proj, attention.v_proj)]
    bias = torch.cat([each.data for each in biases if each is not None]) if biases[0] is not None else None
    return Weights(
        norm=block.input_layernorm.weight,
        qkv=tuple(qkv),
        out=out,
        next_norm=block.post_attention_layernorm.weight,
        gate_up=tuple(both),
        down=down,
        qkv_bias=bias,
        out_bias=attention.o_proj.bias,
        q_norm=_norm(attention, "q_norm") if normed else None,
        k_norm=_norm(attention, "k_norm") if normed else None,
    )


def _norm(attention: nn.Module, name: str) -> Tensor:
    weight: Tensor = attention.get_parameter(f"{name}.weight")
    return weight


def _matrix(linear: nn.Module) -> Matrix | None:
    """A packed layer's matrix, where native kernels multiply by it."""
    return getattr(getattr(linear, "packed", None), "matrix", None)
