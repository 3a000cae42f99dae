"""What is foreseen of a model's memory is what it takes: weights and cache by their own count, and a process's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoints import loaded, write_tiny

from engine.__main__ import main
from engine.decoding.cache import KVCache
from engine.lanes import Job
from engine.loading import memory
from engine.loading.catalog import FilesJobs, inspect
from engine.loading.forecast import cache_bytes, capture_bytes, forecast, scratch_bytes
from engine.loading.loader import LoadedModel
from engine.messages import Forecast, ForecastMemory, Forecasts, ModelCard, Run
from engine.models.base import Decoder
from engine.params import LoadParams

ROOT = Path(__file__).resolve().parents[3]
PRECISIONS = ("fp32", "bf16", "fp16", "int8", "int4")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))


def with_tokenizer(folder: Path, assets: Path) -> Path:
    """The folder, with some tokenizer, without which a model cannot be run."""
    (folder / "tokenizer.json").write_bytes((assets / "models" / "stories260K" / "tokenizer.json").read_bytes())
    return folder


def run(command: ForecastMemory) -> tuple[Forecast, ...]:
    job: Job = FilesJobs().start(command, Run())
    (event,) = list(job)
    assert isinstance(event, Forecasts)
    return event.forecasts


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["companion", "babyllama-361", "stories260K"])
def test_the_weights_are_foreseen_from_the_header(assets: Path, name: str, precision: str) -> None:
    folder = assets / "models" / name
    foreseen = dict(inspect(str(folder)).bytes_in_memory)[precision]
    assert foreseen == pytest.approx(loaded(folder, precision=precision).bytes_in_memory, rel=0.02)


def filled(model: LoadedModel, tokens: int, eight_bit: bool) -> int:
    """The bytes of a cache that has so many tokens, written 512 at a time."""
    assert isinstance(model.model, Decoder)
    cache = KVCache.for_model(model.model, eight_bit=eight_bit)
    config = model.config
    for start in range(0, tokens, 512):
        T = min(512, tokens - start)
        for layer in range(config.layers):
            rows = torch.zeros(1, config.kv_heads, T, config.head_dim, dtype=next(model.model.parameters()).dtype)
            cache.update(layer, rows, rows)
        cache.advance(T)
    return cache.nbytes


@pytest.mark.parametrize("tokens", [1, 300, 1000, 2500])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_kept_of_a_text_is_foreseen_to_the_byte(tmp_path: Path, tokens: int, precision: str) -> None:
    folder = write_tiny(tmp_path / "tiny", max_position_embeddings=3000)
    model, card = loaded(folder, precision=precision), inspect(str(folder))
    assert card.sizes is not None
    assert cache_bytes(card.sizes, precision, tokens, card.context) == filled(model, tokens, False)
    eight_bit = cache_bytes(card.sizes, precision, tokens, card.context, eight_bit=True)
    assert eight_bit == pytest.approx(filled(model, tokens, True), rel=0.25)  # scratch grows by quarters


@pytest.mark.parametrize("tokens", [1, 300, 2500])
@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize("name", ["companion", "babyllama-361"])
def test_what_native_blocks_keep_is_foreseen_but_for_what_is_widened(
    assets: Path, name: str, precision: str, tokens: int
) -> None:
    folder = assets / "models" / name
    model, card = loaded(folder, precision=precision), inspect(str(folder))
    tokens = min(tokens, card.context)
    assert isinstance(model.model, Decoder) and card.sizes is not None and card.sizes == model.sizes
    assert card.sizes.half == (model.model.fused is not None)
    foreseen = cache_bytes(card.sizes, precision, tokens, card.context)
    assert foreseen == pytest.approx(filled(model, tokens, False), rel=0.1)  # scratch grows by quarters


def test_layers_with_a_window_are_foreseen_to_keep_only_that(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny", max_position_embeddings=8000)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 200}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    model, card = loaded(folder), inspect(str(folder))
    assert card.sizes is not None and card.sizes.windows == (200, 200, 200)
    assert cache_bytes(card.sizes, "fp32", 5000, card.context) == filled(model, 5000, False)
    assert filled(model, 5000, False) < 2 * 3 * 10 * 4 * 2000


def test_the_longest_text_that_fits_takes_no_more_than_is_free_and_one_token_more_does(tmp_path: Path) -> None:
    card = inspect(str(write_tiny(tmp_path / "tiny", max_position_embeddings=100_000)))
    whole = forecast(card, "fp32", None)
    assert whole is not None and (whole.verdict, whole.longest) == ("", 100_000)
    assert card.sizes is not None

    def needed(tokens: int) -> int:
        cache = cache_bytes(card.sizes, "fp32", tokens, card.context)
        held = dict(card.bytes_in_memory)["fp32"]
        return held + cache + capture_bytes(card.sizes, tokens) + scratch_bytes(card.sizes, "fp32", tokens)

    for free in (20_000_000, 40_000_000):
        found = forecast(card, "fp32", free)
        assert found is not None and 512 < found.longest < 100_000
        assert needed(found.longest) <= free < needed(found.longest + 1)


def a_card() -> ModelCard:
    """A Llama of 1.1 billion parameters."""
    from engine.messages import Sizes

    sizes = Sizes(22, 32, 4, 64, 2048, 5632, 32000 * 2048, (None,) * 22)
    held = (("fp32", 4_400_000_000), ("bf16", 2_200_000_000), ("int8", 1_130_000_000), ("int4", 730_000_000))
    return ModelCard("/m", "m", supported=True, parameters=1_100_000_000, bytes_in_memory=held, context=2048,
                     precision="bf16", sizes=sizes)  # fmt: skip


@pytest.mark.parametrize(
    ("precision", "free", "verdict", "instead"),
    [
        ("fp32", 16 * 10**9, "fits", ""),
        ("fp32", 5 * 10**9, "tight", ""),
        ("fp32", 4 * 10**9, "too large", "int8"),
        ("bf16", 2 * 10**9, "too large", "int8"),
        ("fp32", 13 * 10**8, "too large", "int4"),
        ("int4", 7 * 10**8, "too large", ""),
    ],
)
def test_a_model_fits_or_is_tight_or_too_large_and_then_fewer_bits_are_named(
    precision: str, free: int, verdict: str, instead: str
) -> None:
    found = forecast(a_card(), precision, free)
    assert found is not None and (found.verdict, found.instead) == (verdict, instead)
    assert (found.needed <= free) == (verdict != "too large" and found.longest == 2048)


def test_forecasts_are_of_the_precision_that_loading_would_choose(
    assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda device="cpu": 4 * 10**9)
    card, broken = a_card(), ModelCard("/b", "b", reason="It is damaged.")
    for wanted, expected in (("auto", "bf16"), ("fast", "int8"), ("int4", "int4")):
        (found,) = run(ForecastMemory((broken, card), LoadParams(precision=wanted, device="cpu")))
        assert (found.path, found.precision, found.free) == ("/m", expected, 4 * 10**9)
    (found,) = run(ForecastMemory((card,), LoadParams(precision="fp32", device="cpu"), in_use=10**9))
    assert (found.free, found.verdict) == (5 * 10**9, "tight")
    assert run(ForecastMemory((card,), LoadParams(precision="nf4", device="cpu"))) == ()


def test_the_door_tells_whether_a_model_fits(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(assets / "models" / "companion")
    assert main(["inspect", folder, "--precision", "int4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["forecast"]
    assert (found["precision"], found["longest"]) == ("int4", 1024)
    assert found["needed"] == found["weights"] + found["cache"] + found["capture"] + found["scratch"]
    assert main(["inspect", folder]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("forecast ")]
    assert " in bf16" in line


MEASURE = """
import json, sys
from pathlib import Path
import torch
from checkpoints import loaded
from engine.decoding.contexts import Context
from engine.decoding.loop import read
from engine.loading import memory
from engine.params import CaptureParams
from engine.quantize import cache

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

folder, precision = sys.argv[1:]
torch.set_num_threads(1)
def warm():
    model = loaded(Path(folder), precision=precision)
    for _ in read(0, Context.fresh(model.model, CaptureParams()), [1] * 20, lambda: None):
        pass
warm()  # kernels, libraries and threads are there from now on
cache.clear()  # to quantise it anew
memory.give_back()
before = held()
model = loaded(Path(folder), precision=precision)
loading = held() - before
context = Context.fresh(model.model, CaptureParams())
for _ in read(0, context, [1] * 600, lambda: None):
    pass
memory.give_back()
print(json.dumps([loading, held() - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own figures")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_a_process_takes_what_was_foreseen_within_a_tenth(tmp_path: Path, assets: Path, precision: str) -> None:
    folder = write_tiny(
        tmp_path / "large", dtype=torch.bfloat16, hidden_size=768, intermediate_size=2560, num_hidden_layers=10,
        num_attention_heads=12, num_key_value_heads=4, head_dim=64, vocab_size=20000, max_position_embeddings=1024,
    )  # fmt: skip
    card = inspect(str(with_tokenizer(folder, assets)))
    assert card.sizes is not None and card.bytes_on_disk > 200_000_000
    weights = dict(card.bytes_in_memory)[precision]
    with_text = weights + cache_bytes(card.sizes, precision, 600, card.context)
    command = [sys.executable, "-c", MEASURE, str(folder), precision]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env=environment)
    loading, reading = json.loads(answer.stdout)
    assert loading == pytest.approx(weights, rel=0.1)
    assert reading == pytest.approx(with_text, rel=0.1)
