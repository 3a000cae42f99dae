"""Every key of every reference config is read, or known to change no forward pass of a released checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.models import FAMILIES, family
from engine.models.reader import Reader

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

WITHOUT_EFFECT = {
    # who wrote it, and what is returned
    "transformers_version", "architectures", "_name_or_path", "model_type", "dtype", "output_attentions",
    "output_hidden_states", "output_router_logits", "return_dict", "use_cache",
    # only in training
    "initializer_range", "initializer_factor", "initializer_cutoff_factor", "init_std", "router_aux_loss_coef",
    "router_jitter_noise", "layerdrop", "encoder_layerdrop", "decoder_layerdrop", "attention_dropout",
    "activation_dropout", "hidden_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout",
    "dropout_rate", "embd_pdrop", "resid_pdrop", "attn_pdrop", "embed_dropout", "resid_dropout", "classifier_dropout",
    "qa_dropout", "seq_classif_dropout", "embedding_dropout", "mlp_dropout", "summary_first_dropout",
    "sparse_prediction", "sparse_pred_ignore_index",
    # ids, which the loader reads, and heads of other tasks
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "decoder_start_token_id",
    "forced_eos_token_id", "encoder_no_repeat_ngram_size", "problem_type", "id2label", "label2id", "summary_type",
    "summary_use_proj", "summary_activation", "summary_proj_to_labels",
    # the same numbers in another order
    "chunk_size_feed_forward", "reorder_and_upcast_attn", "pretraining_tp", "slow_but_exact",
    "deterministic_flash_attn",
    # said by other keys too
    "is_encoder_decoder", "is_decoder", "attention_layers", "dense_act_fn", "is_gated_act", "_sliding_window_pattern",
    "sinusoidal_pos_embds",
    # of pictures, and of the whole that the text part is a part of
    "vision_config", "boi_token_index", "eoi_token_index", "image_token_index", "mm_tokens_per_image",
}  # fmt: skip

WHERE_ASKED = {
    "qwen2": {"max_window_layers", "sliding_window"},
    "qwen3": {"max_window_layers", "sliding_window"},
    "qwen3_moe": {"sliding_window"},
    "smollm3": {"sliding_window", "no_rope_layer_interval"},
    "phi3": {"original_max_position_embeddings"},
    "falcon": {"num_kv_heads"},
    "marian": {"decoder_vocab_size"},
    "gemma3": {"tie_word_embeddings"},
}
"""Read only where another key gives them a meaning: a window that is used, another kind of positions or of layers."""


class Noted(dict[str, Any]):
    """A config that notes what is asked of it."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def left(self) -> Iterator[str]:
        return (key for key in self if key not in self.asked)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_key_of_the_reference_config_is_read_or_without_effect(name: str) -> None:
    values = transformers.AutoConfig.for_model(name).to_dict()
    config = Noted({"is_encoder_decoder": False, **values})
    family(name).Config.read(Reader(config, "config.json"))
    assert set(config.left()) <= WITHOUT_EFFECT | WHERE_ASKED.get(name, set())
