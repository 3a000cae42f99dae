"""Contrastive search beside a transcription of its formula over transformers' hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded
from torch.nn.functional import cosine_similarity

from driver import Driver, all_of, one
from engine import CaptureParams, Generate, Generated, Prompt, Retune, SamplingParams, Tokens
from engine.decoding.contexts import Context
from engine.decoding.contrast import Contrast
from engine.models.base import Decoder

PROMPT = [5, 9, 3, 77, 21, 9, 3]


def tiny(name: str) -> Any:
    transformers = pytest.importorskip("transformers")
    shape = {"vocab_size": 128, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if name == "gpt2":
        config = transformers.GPT2Config(
            n_embd=48, n_layer=2, n_head=4, n_positions=128, initializer_range=0.5, **shape
        )
        return transformers.GPT2LMHeadModel(config)
    if name == "bloom":
        config = transformers.BloomConfig(hidden_size=48, n_layer=2, n_head=4, initializer_range=0.5, **shape)
        return transformers.BloomForCausalLM(config)
    config = transformers.LlamaConfig(
        hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=128, initializer_range=0.5, **shape,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


@torch.inference_mode()
def transcribed(model: Any, prompt: Sequence[int], alpha: float, k: int, count: int) -> list[int]:
    """The paper's equation 5, every candidate read with its whole text."""
    ids = list(prompt)
    for _ in range(count):
        out = model(torch.tensor([ids]), output_hidden_states=True)
        states, p = out.hidden_states[-1][0].double(), out.logits[0, -1].double().softmax(-1)
        best, score = -1, -9.0
        for v in p.argsort(descending=True)[:k].tolist():
            h = model(torch.tensor([[*ids, v]]), output_hidden_states=True).hidden_states[-1][0, -1].double()
            value = (1 - alpha) * float(p[v]) - alpha * float(cosine_similarity(states, h[None]).max())
            if value > score:
                best, score = v, value
        ids.append(best)
    return ids[len(prompt) :]


@pytest.mark.parity
@pytest.mark.parametrize("name", ["gpt2", "bloom", "llama"])
@pytest.mark.parametrize(("alpha", "k"), [(0.6, 4), (0.3, 8), (1.0, 3)])
def test_every_token_is_that_of_the_paper_s_formula(tmp_path: Path, name: str, alpha: float, k: int) -> None:
    torch.manual_seed(2)
    theirs = tiny(name).eval()
    theirs.save_pretrained(tmp_path)
    model = loaded(tmp_path).model
    assert isinstance(model, Decoder)
    params = SamplingParams.neutral(contrast=alpha, contrast_candidates=k)
    context, contrast, ids = Context.fresh(model, CaptureParams(candidates=0)), Contrast(), list(PROMPT)
    logits = context.feed(ids, lambda: None)
    for _ in range(16):
        ids.append(contrast.choose(context, ids, logits, params, lambda: None))
        assert context.ids == ids[:-1]
        logits = context.feed(ids[-1:], lambda: None)
    assert ids[len(PROMPT) :] == transcribed(theirs, PROMPT, alpha, k, 16)
    assert "head" not in vars(model)


def test_a_model_writes_by_contrast_in_its_events_and_a_slider_switches_it(assets: Path) -> None:
    driver = Driver()
    driver.engine.start()
    try:
        driver.load(assets / "models" / "stories260K")
        prompt, params = Prompt(text="Once upon a time"), SamplingParams(contrast=0.6, max_new_tokens=30)
        events = driver.run(Generate(prompt, params, CaptureParams(candidates=8)))
        result = one(events, Generated)
        records = [record for event in all_of(events, Tokens) for record in event.records]
        assert [record.id for record in records] == list(result.ids) and max(record.rank for record in records) in (
            1,
            2,
            3,
        )
        assert all(record.steps == () for record in records), "the cutoffs rest"
        again = one(driver.run(Generate(prompt, params.replace(seed=9))), Generated)
        assert again.ids == result.ids, "nothing is drawn"
        greedy = SamplingParams.neutral(temperature=0, max_new_tokens=150)
        run = driver.submit(Generate(prompt, greedy, CaptureParams(candidates=8)))
        driver.wait(lambda log: any(isinstance(event, Tokens) and event.run == run.id for event in log))
        driver.submit(Retune(run.id, greedy.replace(contrast=0.9)))
        mixed = [record for event in all_of(driver.finish(run), Tokens) for record in event.records]
        assert mixed[0].rank == 0 and any(record.rank > 0 for record in mixed)
    finally:
        driver.engine.stop()
