"""Scales that a text has chosen: measured as they are by hand, nearer on such a text, and kept for later loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from checkpoints import loaded

from engine.__main__ import main
from engine.errors import EngineError, InvalidValue
from engine.loading.calibration import MOST_TOKENS, calibrated, importances
from engine.loading.loader import LoadedModel
from engine.models.base import Decoder
from engine.params import LoadParams
from engine.text.tokenizer import Tokenizer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(assets: Path) -> Path:
    return assets / "models" / "babyllama-361"


@pytest.fixture
def text(references: Path) -> str:
    stories = references / "corpora" / "tinystories-sample" / "tinystories-train-first-2MiB.txt"
    return stories.read_text("utf-8")[200_000:206_000]


def done(folder: Path, text: str) -> LoadedModel:
    steps = calibrated(str(folder), text, LoadParams(device="cpu", threads=1, precision="int4"))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: LoadedModel = end.value
            return found


def mean_squares(model: Decoder, ids: list[int]) -> dict[str, torch.Tensor]:
    steps = importances(model, ids)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: dict[str, torch.Tensor] = end.value
            return found


def test_the_mean_squares_are_those_of_the_inputs(folder: Path) -> None:
    model = loaded(folder, precision="fp32").model
    assert isinstance(model, Decoder)
    ids = torch.randint(3, 300, (model.config.context + 40,), generator=torch.Generator().manual_seed(0)).tolist()
    found = mean_squares(model, ids)
    assert len(found) == 35  # all matrices but the vocabulary, whose 8 bits are not searched
    first = model.get_submodule("model.layers.0")
    with torch.inference_mode():
        x = first.input_layernorm(model.get_submodule("model.embed_tokens")(torch.tensor(ids)))
    torch.testing.assert_close(found["model.layers.0.self_attn.q_proj.weight"], x.square().mean(0))
    assert not first.self_attn.q_proj._forward_pre_hooks


def test_later_loads_take_the_scales_that_the_text_chose(folder: Path, text: str) -> None:
    plain = loaded(folder, precision="int4").model
    chosen = done(folder, text)
    assert chosen.precision == "int4"
    later = loaded(folder, precision="int4").model
    ids = torch.tensor([Tokenizer.load(str(folder)).encode(text)[:200]])
    with torch.inference_mode():
        assert torch.equal(later(ids), chosen.model(ids))
        assert not torch.equal(later(ids), plain(ids))


def test_what_the_text_drives_is_off_by_less(folder: Path, text: str) -> None:
    full = loaded(folder, precision="fp32").model
    assert isinstance(full, Decoder)
    ids = Tokenizer.load(str(folder)).encode(text)
    weights = mean_squares(full, ids[:MOST_TOKENS])
    before = loaded(folder, precision="int4").model
    after = done(folder, text).model
    off = [0.0, 0.0]
    for name, importance in weights.items():
        path, weight = name.removesuffix(".weight"), full.get_parameter(name)
        for index, model in enumerate((before, after)):
            off[index] += float(((model.get_submodule(path).weight - weight).square() * importance).sum())
    assert off[1] < off[0]


def test_what_cannot_be_chosen_is_said_in_one_sentence(folder: Path, references: Path) -> None:
    with pytest.raises(InvalidValue, match="fewer than 256"):
        done(folder, "Too short.")
    with pytest.raises(InvalidValue, match="chooses nothing in int8"):
        next(calibrated(str(folder), "word " * 500, LoadParams(precision="int8")))
    coded = references / "models" / "babyllama-361" / "gguf" / "babyllama-361-q8_0.gguf"
    with pytest.raises(EngineError, match="holds codes already"):
        done(coded, "word " * 500)


def test_the_headless_door_does_it(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", str(folder), "--text", text, "--json"]) == 0
    matrices = json.loads(capsys.readouterr().out)["matrices"]
    assert [each["form"] for each in matrices] == ["4 bits in groups of 32", "8 bits in groups of 128"]
    assert 0 < matrices[0]["error"] < 0.1
