"""Memory that runs out: what was written is kept, one sentence says what would fit, and the next try works.

Each test runs the engine in a process of its own, whose address space is bounded once its libraries are in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import write_tiny

from engine.errors import BadModelFiles, EngineError, OutOfMemory, is_out_of_memory

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="bounds a process as Linux does")

BEGIN = """
import json, resource, sys, time
from pathlib import Path
import torch
from engine import CaptureParams, Done, Engine, Failed, Generate, Load, LoadParams, Prompt, SamplingParams, Unload
from engine.loading import memory
from engine.quantize.kernels.choice import chosen

chosen()
torch.set_num_threads(1)
engine = Engine()
engine.start()

def run(command):
    run, events = engine.submit(command), []
    while not any(isinstance(event, Done | Failed) and event.run == run.id for event in events):
        events += [event for event in engine.drain() if event.run == run.id]
        time.sleep(0.01)
    return events

def load(path, precision):
    return run(Load(path, LoadParams(device="cpu", threads=1, precision=precision)))

def write(ids, tokens):
    return run(Generate(Prompt(ids=tuple(ids)), SamplingParams(max_new_tokens=tokens, end_token="never")))

def bound(more):
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + more, -1))

def told(events):
    last = events[-1]
    return [type(last).__name__, getattr(last, "reason", ""), getattr(last, "message", ""), getattr(last, "hint", "")]

answer = {}
"""
END = """
engine.stop()
print(json.dumps(answer))
"""


@pytest.fixture
def folder(tmp_path: Path, assets: Path) -> Path:
    """A model of 85 million parameters in bf16, in eight files, whose texts take much memory: 64 kB a token."""
    made = write_tiny(
        tmp_path / "large", 8, torch.bfloat16, hidden_size=1024, intermediate_size=2048, num_hidden_layers=8,
        num_attention_heads=16, num_key_value_heads=16, head_dim=64, vocab_size=512, max_position_embeddings=65536,
        eos_token_id=None,
    )  # fmt: skip
    (made / "tokenizer.json").write_bytes((assets / "models" / "stories260K" / "tokenizer.json").read_bytes())
    return made


def child(tmp_path: Path, code: str, *arguments: object) -> dict[str, Any]:
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT / "tests"), "VITRINE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",  # each thread's arena otherwise takes address space that it does not use
    }  # fmt: skip
    command = [sys.executable, "-c", BEGIN + code + END, *map(str, arguments)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env=environment)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@linux
def test_a_model_that_is_too_large_is_refused_with_what_fits_and_that_then_loads(tmp_path: Path, folder: Path) -> None:
    code = """
path = sys.argv[1]
load(path, "int4"), run(Unload())  # its groups are kept, and making them takes more than loading them
bound(330_000_000)
answer["fp32"], answer["int4"] = told(load(path, "fp32")), told(load(path, "int4"))
answer["written"] = told(write([1, 2, 3], 3))
"""
    found = child(tmp_path, code, folder)
    kind, _, message, hint = found["fp32"]
    assert kind == "Failed"
    assert message.startswith("large does not fit into the free memory: it needs ")
    assert hint in ("In int8 it fits.", "In int4 it fits.")
    assert found["int4"][:2] == ["Done", "done"]
    assert found["written"][:2] == ["Done", "length"]


@linux
def test_memory_that_runs_out_within_a_load_is_given_back_and_fewer_bits_then_load(
    tmp_path: Path, folder: Path
) -> None:
    code = """
from engine.loading import forecast, loader
path = sys.argv[1]
load(path, "int4"), run(Unload())
loader.check_fits = lambda *given: None  # as where a forecast is wrong
def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024
before = held()
bound(330_000_000)
answer["fp32"], answer["left"], answer["int4"] = told(load(path, "fp32")), held() - before, told(load(path, "int4"))
"""
    found = child(tmp_path, code, folder)
    kind, _, message, hint = found["fp32"]
    assert kind == "Failed" and message == "There is not enough free memory to load large in fp32."
    assert hint.split(":")[0] in ("In int8 it fits", "In int4 it fits")
    assert found["left"] < 30_000_000
    assert found["int4"][:2] == ["Done", "done"]


@linux
def test_a_prompt_that_is_too_long_is_said_to_be_and_a_shorter_one_is_read(tmp_path: Path, folder: Path) -> None:
    code = """
load(sys.argv[1], "int8")
write([1, 2, 3], 2)
bound(280_000_000)
answer["long"] = told(write([1] * 6000, 3))
answer["short"] = told(write([1] * 300, 3))
"""
    found = child(tmp_path, code, folder)
    kind, _, message, hint = found["long"]
    assert (kind, message) == ("Failed", "There is not enough free memory for so long a text.")
    assert hint.startswith("About ") and hint.endswith("shorten it, start a new chat, or load the model in int4.")
    assert 512 <= int(hint.split()[1].replace(",", "")) < 6000
    assert found["short"][:2] == ["Done", "length"]


@linux
def test_an_answer_whose_text_grows_too_long_is_kept_as_far_as_it_came(tmp_path: Path, folder: Path) -> None:
    code = """
from engine import Generated, Tokens
load(sys.argv[1], "int8")
write([1] * 1000, 2)
bound(80_000_000)
events = write([1] * 1000, 2000)
answer["long"] = told(events)
answer["tokens"] = sum(len(event.records) for event in events if isinstance(event, Tokens))
generated = [event for event in events if isinstance(event, Generated)]
answer["generated"] = [(len(each.ids), each.finish) for each in generated]
answer["short"] = told(write([1] * 100, 3))
"""
    found = child(tmp_path, code, folder)
    assert found["long"][0] == "Failed" and "free memory" in found["long"][2]
    assert found["tokens"] > 5
    assert found["generated"] == [[found["tokens"], "memory"]]
    assert found["short"][:2] == ["Done", "length"]


@linux
def test_a_model_takes_the_place_of_another_where_both_do_not_fit(tmp_path: Path, folder: Path) -> None:
    code = """
from engine import Loaded, Unloaded
load(sys.argv[1], "bf16")
bound(185_000_000)
events = load(sys.argv[1], "bf16")
answer["again"] = [type(event).__name__ for event in events if isinstance(event, Loaded | Unloaded)]
answer["written"] = told(write([1, 2, 3], 3))
"""
    found = child(tmp_path, code, folder)
    assert found["again"] == ["Unloaded", "Loaded"]
    assert found["written"][:2] == ["Done", "length"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("not enough memory: you tried to allocate 4096 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        OSError(12, "Cannot allocate memory"),
        OutOfMemory("It does not fit."),
    ],
)
def test_what_says_that_memory_ran_out_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)
    raised = BadModelFiles("model.safetensors is damaged.")
    raised.__cause__ = error
    assert is_out_of_memory(raised)


@pytest.mark.parametrize(
    "error", [ValueError("no"), EngineError("It says: out of memory."), OSError(2, "No such file")]
)
def test_other_errors_do_not_say_so(error: Exception) -> None:
    assert not is_out_of_memory(error)
