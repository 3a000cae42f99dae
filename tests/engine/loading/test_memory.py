"""How much memory there is: what the system says, and the limits of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.loading import memory

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own figures")


@linux
def test_what_is_free_is_no_more_than_the_system_has() -> None:
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    total = int(next(line for line in lines if line.startswith("MemTotal")).split()[1]) * 1024
    free = memory.available()
    assert free is not None and 0 < free < total


@linux
def test_a_limit_on_the_address_space_bounds_what_is_free() -> None:
    code = """
import resource
from pathlib import Path
from engine.loading import memory
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 50_000_000, -1))
print(memory.available(), memory._kept())
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    free, kept = map(int, answer.stdout.split())
    assert 30_000_000 < free - kept <= 50_100_000  # reading the figures takes and frees a little


@linux
def test_what_is_held_is_what_was_written_not_what_was_promised() -> None:
    code = """
import torch
from engine.loading import memory
begin = memory.held()
block = torch.empty(16_000_000)
promised = memory.held() - begin
block.fill_(1.0)
written = memory.held() - begin
del block
memory.give_back()
print(promised, written, memory.held() - begin)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    promised, written, left = map(int, answer.stdout.split())
    assert promised < 2_000_000 and 63_000_000 < written < 67_000_000 and left < 2_000_000


def test_a_control_group_leaves_its_limit_less_what_is_used_and_cannot_be_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "user" / "app"
    inner.mkdir(parents=True)
    for folder, limit, used in ((inner, "max", 10), (inner.parent, "1000", 700)):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text(str(used))
    (inner.parent / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    own = tmp_path / "cgroup"
    own.write_text("4:cpu:/elsewhere\n0::/user/app\n")
    monkeypatch.setattr(memory, "OWN_GROUPS", own)
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    assert memory._group_room() == 1000 - 700 + 150
    (inner.parent / "memory.max").write_text("max")
    assert memory._group_room() is None


@linux
def test_blocks_that_are_freed_while_a_model_loads_go_back_to_the_system() -> None:
    code = """
import torch
from engine.loading import memory
def held():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024
torch.set_num_threads(1)
torch.ones(10)
before = held()
with memory.returning():
    kept = []
    for _ in range(20):  # what stays lies between what goes
        blocks = [torch.ones(500_000), torch.ones(3_000_000)]
        kept.append(blocks[0])
        del blocks
print(held() - before - sum(each.nbytes for each in kept))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 5_000_000
