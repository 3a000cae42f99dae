"""Memory in large pages: what is moved there is the same, and leaves with its last user."""

from __future__ import annotations

import gc
import mmap
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.quantize.kernels import pages as module
from engine.quantize.kernels.pages import BLOCK, LINE, PAGE, SMALLEST, Pages

pytestmark = pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="this system has no large pages")


def _switched_on() -> bool:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return setting.exists() and "[never]" not in setting.read_text(encoding="ascii")


def test_what_is_moved_is_the_same_and_begins_at_a_line_of_its_own() -> None:
    pages = Pages()
    given = [
        torch.arange(SMALLEST, dtype=torch.int32).view(4, -1),
        torch.rand(3, SMALLEST - 1).half(),
        torch.randint(0, 256, (PAGE + 7,), dtype=torch.uint8),
        torch.rand(BLOCK // 4 + 5),
        torch.rand(SMALLEST),
    ]
    moved = [pages.moved(each) for each in given]
    for before, after in zip(given, moved, strict=True):
        assert torch.equal(before, after) and after.shape == before.shape and after.dtype == before.dtype
        assert after.data_ptr() != before.data_ptr() and after.data_ptr() % LINE == 0
    ends = sorted((each.data_ptr(), each.data_ptr() + each.nbytes) for each in moved)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(ends)), "no two share memory"


def test_a_small_tensor_stays_where_it_is() -> None:
    given = torch.rand(SMALLEST // 4 - 1)
    assert Pages().moved(given) is given


def test_a_block_goes_back_with_the_last_tensor_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = []

    class Counted(mmap.mmap):
        def __new__(cls, *arguments: Any) -> Counted:
            block = super().__new__(cls, *arguments)
            blocks.append(weakref.ref(block))
            return block

    monkeypatch.setattr(module.mmap, "mmap", Counted)
    pages = Pages()
    first, second = (pages.moved(torch.rand(SMALLEST)) for _ in range(2))
    assert len(blocks) == 1, "both lie in one block"
    view = second[5:]
    del first, second
    gc.collect()
    assert blocks[0]() is not None and view.sum() > 0
    del view
    gc.collect()
    assert blocks[0]() is None
    pages.moved(torch.rand(SMALLEST))
    assert len(blocks) == 2, "the next tensor has a new one"


def test_where_there_is_no_memory_for_a_block_the_tensor_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> mmap.mmap:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(module.mmap, "mmap", refuse)
    given = torch.rand(SMALLEST)
    assert Pages().moved(given) is given


@pytest.mark.skipif(not _switched_on(), reason="large pages are switched off here")
def test_the_system_gives_large_pages() -> None:
    def large() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("AnonHugePages"))

    before = large()
    held = Pages().moved(torch.rand(4 * PAGE // 4))
    assert large() - before >= 2 * PAGE and held.nbytes == 4 * PAGE
