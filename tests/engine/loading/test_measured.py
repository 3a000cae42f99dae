"""What loading measures of a model's memory is what was foreseen, in a process that had loaded nothing before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoints import write_tiny

ROOT = Path(__file__).resolve().parents[3]

MEASURE = """
import json, sys
from pathlib import Path
from checkpoints import loaded

model = loaded(Path(sys.argv[1]), precision=sys.argv[2])
print(json.dumps([model.foreseen, model.bytes_in_memory, model.measured]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(
        tmp_path_factory.mktemp("large"), dtype=torch.bfloat16, hidden_size=768, intermediate_size=2560,
        num_hidden_layers=12, num_attention_heads=12, num_key_value_heads=4, head_dim=64, vocab_size=20000,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own figures")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_the_first_model_of_a_process_takes_what_was_foreseen_within_a_tenth(
    folder: Path, tmp_path: Path, precision: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "VITRINE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", MEASURE, str(folder), precision]
    answer = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env=environment, timeout=200
    )
    foreseen, held, measured = json.loads(answer.stdout)
    assert held > 100_000_000
    assert foreseen == pytest.approx(held, rel=0.01)
    assert measured == pytest.approx(foreseen, rel=0.1)
