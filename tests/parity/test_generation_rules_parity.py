"""What a generation_config forbids and forces, beside transformers' generate; every key of one is accounted for.

The values are those of released checkpoints (bart-large-cnn, blenderbot, OPUS-MT, Whisper's kind) on tiny random ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded

from engine.decoding.beams import Found, Search, search
from engine.decoding.constraints import IGNORED, KEYS, Rules
from engine.jobs import GENERATION_KEYS
from engine.models.base import Seq2Seq

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

VOCABULARY, START, END, PAD, LONGEST = 61, 2, 2, 1, 20
RULES: dict[str, dict[str, Any]] = {
    "bart-large-cnn": {
        "min_length": 12, "no_repeat_ngram_size": 3, "forced_bos_token_id": 0, "forced_eos_token_id": 2,
        "early_stopping": True, "length_penalty": 2.0,
    },
    "blenderbot": {"min_length": 15, "encoder_no_repeat_ngram_size": 1, "length_penalty": 0.65},
    "opus-mt": {"bad_words_ids": [[1]], "forced_eos_token_id": 0},
    "suppressed": {"suppress_tokens": [7, 8, 9, 30], "begin_suppress_tokens": [11, 12, 2]},
    "suppressed behind a forced one": {"begin_suppress_tokens": [11, 12], "forced_bos_token_id": 5},
    "new tokens": {"min_new_tokens": 9, "no_repeat_ngram_size": 1},
    "the end banned": {"bad_words_ids": [[2], [26], [7, 7]], "min_length": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seq2Seq, Any]:
    folder: Path = tmp_path_factory.mktemp("rules") / "tiny"
    torch.manual_seed(3)
    sides = {f"{side}_{key}": count for side in ("encoder", "decoder")
             for key, count in (("layers", 2), ("attention_heads", 3), ("ffn_dim", 31))}  # fmt: skip
    config = transformers.BartConfig(
        vocab_size=VOCABULARY, d_model=24, max_position_embeddings=48, decoder_start_token_id=START, pad_token_id=PAD,
        forced_eos_token_id=None, tie_word_embeddings=False, **sides,
    )  # fmt: skip
    theirs = transformers.BartForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            weight.normal_(float("norm" in name) * name.endswith("weight"), 0.3)
        theirs.lm_head.weight.normal_(0.0, 0.3)
        theirs.final_logits_bias[0, END] = 2.5  # so that texts end
    theirs.save_pretrained(folder)
    ours = loaded(folder).model
    assert isinstance(ours, Seq2Seq)
    return ours, theirs


def found(model: Seq2Seq, source: list[int], begin: list[int], rules: dict[str, Any], beams: int) -> list[int]:
    how = Search(beams, rules.get("length_penalty", 1.0), rules.get("early_stopping", False), LONGEST)
    adjust = Rules.read(rules, (END,), source, len(begin) + LONGEST, len(begin))
    steps = search(model, model.encode(torch.tensor([source])), begin, {END}, how, adjust=adjust)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            best: Found = end.value[0]
            return [*begin, *best.ids]


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("name", RULES)
@torch.inference_mode()
def test_rules_give_the_targets_of_transformers(pair: tuple[Seq2Seq, Any], name: str, beams: int) -> None:
    ours, theirs = pair
    plain = []
    for seed in range(1, 5):
        source = torch.randint(3, VOCABULARY, (1, 40), generator=torch.Generator().manual_seed(seed))
        for begin in ([START], [START, 14, 15]):
            expected = theirs.generate(
                source, decoder_input_ids=torch.tensor([begin]), do_sample=False, num_beams=beams,
                max_new_tokens=LONGEST, **{"forced_eos_token_id": None, **RULES[name]},
            )[0].tolist()  # fmt: skip
            assert found(ours, source[0].tolist(), begin, RULES[name], beams) == expected
            plain.append(found(ours, source[0].tolist(), begin, {}, beams) == expected)
    assert not all(plain)


def test_every_key_of_a_generation_config_is_known_ignored_for_a_reason_or_without_effect_on_the_text() -> None:
    known = {*KEYS, *GENERATION_KEYS, "num_beams", "early_stopping"}
    known |= {"eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id"}
    how = {  # how fast, with what memory, and what else is returned
        "assistant_confidence_threshold", "assistant_early_exit", "assistant_ensemble_weight", "assistant_lookbehind",
        "cache_config", "cache_implementation", "compile_config", "continuous_batching_config", "disable_compile",
        "is_assistant", "low_memory", "max_cache_len", "max_matching_ngram_size", "max_time", "num_assistant_tokens",
        "num_assistant_tokens_schedule", "output_attentions", "output_hidden_states", "output_logits", "output_scores",
        "prefill_chunk_size", "prompt_lookup_num_tokens", "return_dict_in_generate", "speculation_type",
        "target_lookbehind", "transformers_version", "use_cache", "use_mtp", "_from_model_config",
    }  # fmt: skip
    steps = {"epsilon_cutoff", "eta_cutoff", "top_h"}  # sampling steps, which a person turns on
    assert not IGNORED.keys() & known
    assert transformers.GenerationConfig().to_dict().keys() <= {*known, *IGNORED, *how, *steps}
