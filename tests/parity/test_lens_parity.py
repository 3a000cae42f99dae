"""The logit lens against transformers' hidden states, put through its own last norm and projection; and the doors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from driver import Driver, one
from engine import Failed, Lens, LensRows, Prompt
from engine.__main__ import main
from engine.decoding.loop import CHUNK

pytestmark = pytest.mark.parity
TEXT = "Hi, how are you today? Tell me a story about a dog that could fly."


@pytest.fixture(scope="module")
def companion(assets: Path) -> Driver:
    driver = Driver()
    driver.load(assets / "models" / "companion")
    return driver


def reference(folder: Path, ids: tuple[int, ...]) -> list[torch.Tensor]:
    """Probabilities [T, V] after the embedding and after each layer."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_hidden_states=True)
        early = [model.lm_head(model.model.norm(state)) for state in out.hidden_states[:-1]]
    return [logits[0].softmax(-1) for logits in (*early, out.logits)]  # the last hidden state is normed already


def test_every_layer_says_what_the_references_states_say(companion: Driver, assets: Path) -> None:
    seen = one(companion.run(Lens(Prompt(text=TEXT), best=3)), LensRows)
    expected = reference(assets / "models" / "companion", seen.ids)
    assert seen.names == ("embedding", *(f"layers.{n}" for n in range(len(expected) - 1)))
    final = expected[-1].argmax(-1, keepdim=True)
    for layer, p in enumerate(expected):
        top = p.topk(3)
        np.testing.assert_allclose(seen.probabilities[layer], top.values.numpy(), atol=1e-4)
        sure = top.values[:, 0] - top.values[:, 1] > 1e-3
        assert (seen.tops[layer, sure, 0] == top.indices[sure, 0].numpy()).all()
        np.testing.assert_allclose(seen.said[layer], p.gather(1, final)[:, 0].numpy(), atol=1e-4)
        entropy = -(p * p.log()).nan_to_num(0).sum(-1)
        np.testing.assert_allclose(seen.entropies[layer], entropy.numpy(), atol=1e-3)
    assert set(np.unique(seen.tops)) == set(seen.pieces)


def test_a_long_text_read_in_passes_says_the_same_and_a_later_beginning_is_its_end(companion: Driver) -> None:
    ids = one(companion.run(Lens(Prompt(text=TEXT))), LensRows).ids
    long = (ids * (CHUNK // len(ids) + 2))[: CHUNK + 1]
    whole = one(companion.run(Lens(Prompt(ids=long))), LensRows)
    end = one(companion.run(Lens(Prompt(ids=long), first=CHUNK - 3)), LensRows)
    assert whole.tops.shape[1] == CHUNK + 1 and end.tops.shape[1] == 4
    np.testing.assert_allclose(whole.probabilities[:, -4:], end.probabilities, atol=1e-5)
    single = one(companion.run(Lens(Prompt(ids=ids[:1]))), LensRows)
    np.testing.assert_allclose(single.probabilities[:, 0], whole.probabilities[:, 0], atol=1e-5)


def test_a_position_beyond_the_text_is_refused(companion: Driver) -> None:
    (*_, failed) = companion.run(Lens(Prompt(text="Hi"), first=99))
    assert isinstance(failed, Failed) and "99" in failed.message


def test_the_door_prints_what_each_layer_says(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lens", str(assets / "models" / "companion"), "--text", "Once upon a time", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "".join(said["tokens"]) == "Once upon a time"
    assert [layer["name"] for layer in said["layers"]][:2] == ["embedding", "layers.0"]
    best = said["layers"][-1]["top"][-1][0]
    assert best.keys() == {"id", "text", "probability"} and 0 < best["probability"] <= 1


def test_the_door_prints_the_attention_that_transformers_computes(
    assets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForCausalLM

    folder = assets / "models" / "companion"
    assert (
        main(
            ["attend", str(folder), "--text", TEXT, "--json", "--layers", "0,3", "--heads", "1", "--precision", "fp32"]
        )
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert set(said["maps"]) == {"layers.0.self", "layers.3.self"} and said["source_tokens"] == []
    from engine.text.tokenizer import Tokenizer

    ids = torch.tensor([Tokenizer.load(str(folder)).encode(TEXT)])
    assert len(said["tokens"]) == ids.shape[1]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        maps = model(ids, output_attentions=True).attentions
    for layer in (0, 3):
        mine = np.array(said["maps"][f"layers.{layer}.self"])
        np.testing.assert_allclose(mine[0], maps[layer][0, 1].numpy(), atol=1e-4)
