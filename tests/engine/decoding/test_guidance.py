"""Guidance beside transformers' own processor, on the same tiny checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from checkpoints import loaded

from engine.decoding.contexts import Context
from engine.decoding.guidance import CHUNK, Guide
from engine.decoding.targets import Target
from engine.models.base import Decoder
from engine.params import CaptureParams, SamplingParams
from engine.sampling.chain import Moment, apply, trace

PROMPT, AGAINST = [5, 9, 3, 77, 21], [8, 8, 40]


def nothing() -> None:
    return None


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Decoder, Any]:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=128, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, bos_token_id=None, eos_token_id=None, pad_token_id=None,
        initializer_range=0.6,
    )  # fmt: skip
    torch.manual_seed(3)
    theirs = transformers.LlamaForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("llama")
    theirs.save_pretrained(folder)
    model = loaded(folder).model
    assert isinstance(model, Decoder)
    return model, theirs


@pytest.mark.parity
@pytest.mark.parametrize("scale", [-0.5, 0.5, 1.5, 2.5])
@pytest.mark.parametrize("against", [AGAINST, PROMPT[-1:]])
def test_every_token_is_guided_as_transformers_does_it(
    pair: tuple[Decoder, Any], scale: float, against: list[int]
) -> None:
    from transformers.generation.logits_process import UnbatchedClassifierFreeGuidanceLogitsProcessor

    ours, theirs = pair
    negative = torch.tensor([against]) if against is AGAINST else None
    processor = UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, theirs, negative)
    guide = Guide(lambda: (ours, against))
    context, answer = Context.fresh(ours, CaptureParams(candidates=0)), list[int]()
    params = SamplingParams.neutral(guidance=scale)
    for _ in range(12):
        ids = [*PROMPT, *answer]
        with torch.inference_mode():
            raw = theirs(torch.tensor([ids])).logits[:, -1]
            expected = processor(torch.tensor([ids]), raw)
        mine = context.feed(ids[context.keep(ids) :], nothing)
        moment = Moment(against=guide.logits(answer, nothing))
        result = apply(mine[None], torch.tensor([ids]), params, moment)
        torch.testing.assert_close(result, expected, atol=1e-3, rtol=0)
        answer.append(int(expected.argmax()))


def test_a_guided_record_keeps_the_models_own_logits_and_names_the_step() -> None:
    logits, against = torch.randn(30), torch.randn(30)
    params = SamplingParams.neutral(guidance=2.0)
    result = trace(logits, torch.zeros(0, dtype=torch.long), params, torch.arange(30), Moment(against=against))
    assert result.steps == ("guidance",) and torch.equal(result.raw, logits)
    expected = 2 * logits.double().log_softmax(0) - against.double().log_softmax(0)
    torch.testing.assert_close(result.logits.double().softmax(0), expected.softmax(0))


def test_the_other_prompt_is_read_once_and_only_when_asked(pair: tuple[Decoder, Any]) -> None:
    ours, _ = pair
    asked: list[int] = []
    long = [id % 128 for id in range(CHUNK + 40)]

    def begin() -> tuple[Decoder, list[int]]:
        asked.append(1)
        return ours, long

    guide = Guide(begin)
    assert asked == []
    after, further = guide.logits([], nothing), guide.logits([3, 4], nothing)
    back = guide.logits([7], nothing)
    assert asked == [1]
    for answer, found in (([], after), ([3, 4], further), ([7], back)):
        torch.testing.assert_close(found, ours(torch.tensor([[*long, *answer]]))[0, -1], atol=1e-4, rtol=0)
    assert guide.fits(256 - len(long)) and not guide.fits(257 - len(long))
    assert not isinstance(ours, Target)


def test_what_guides_is_masked_where_the_model_says_never() -> None:
    logits = torch.tensor([[1.0, -torch.inf, 2.0]])
    left = apply(
        logits, torch.zeros(1, 0, dtype=torch.long), SamplingParams.neutral(guidance=1.5),
        Moment(against=torch.tensor([0.0, -torch.inf, 1.0])),
    )  # fmt: skip
    assert left[0, 1] == -torch.inf and left[0].isfinite().tolist() == [True, False, True]
