"""The kernels of other processors, by what LLVM makes of them and by emulation; and which kernels are taken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from llvmlite import binding as llvm
from llvmlite import ir

from engine.errors import EngineError
from engine.quantize.kernels import choice, native
from engine.quantize.kernels.dots import SETS, Avx2, Dots, Vnni
from engine.quantize.kernels.emit import I32, Emitter, Value, splat, vector
from engine.quantize.kernels.plan import Plan
from engine.quantize.kernels.products import MANY, Kind, Product
from engine.quantize.packed import Portable, matmul, pack

WIDE, NARROW, PLAIN = SETS
KINDS = [Kind(4, 32, False), Kind(4, 128, True), Kind(8, 32, False), Kind(8, 64, False)]

on_x86 = pytest.mark.skipif(not native.usable(), reason="no native kernels on this processor")


@pytest.fixture
def fresh() -> Iterator[None]:
    """What was chosen is forgotten, before and after."""

    def forget() -> None:
        for each in (choice.chosen, choice.library, choice._ranked):
            each.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    return tmp_path


# --- instruction sets -------------------------------------------------------------------------------------------------


def assembly(cpu: str, dots: Dots, kind: Kind) -> list[str]:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(cpu=cpu, opt=3)
    module = native.optimised(lambda module: Product(module, dots, kind), machine)
    lines = [line.strip() for line in machine.emit_assembly(module).splitlines() if line.startswith("\t")]
    return [line for line in lines if not line.startswith(".")]


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]], ids=str)
@pytest.mark.parametrize(
    ("cpu", "dots", "instruction", "register"),
    [
        ("sapphirerapids", WIDE, "vpdpbusd", "zmm"),
        ("icelake-client", WIDE, "vpdpbusd", "zmm"),
        ("znver4", WIDE, "vpdpbusd", "zmm"),
        ("alderlake", NARROW, "vpdpbusd", "ymm"),
        ("haswell", PLAIN, "vpmaddubsw", "ymm"),
    ],
)
def test_a_processors_own_instructions_are_used(
    cpu: str, dots: Dots, instruction: str, register: str, kind: Kind
) -> None:
    found = [line for line in assembly(cpu, dots, kind) if instruction in line]
    assert len(found) >= 32
    assert all(register in line for line in found)


def test_a_processor_gets_only_sets_whose_features_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def having(*features: str) -> list[Dots]:
        monkeypatch.setattr(native, "features", lambda: frozenset(features))
        return native.usable()

    assert having() == []
    assert having("sse4.2", "avx") == []
    assert having(*PLAIN.features) == [PLAIN]
    assert having(*PLAIN.features, *NARROW.features) == [NARROW, PLAIN]
    assert having(*PLAIN.features, *WIDE.features) == [WIDE, PLAIN]
    assert having(*PLAIN.features, "avx512vnni") == [PLAIN]


def test_another_kind_of_processor_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    native.features.cache_clear()
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    try:
        assert native.usable() == []
    finally:
        native.features.cache_clear()


@dataclass(frozen=True)
class Emulated(Vnni):
    """The instructions for multiplying four bytes, out of plain ones that every processor has."""

    def add4(self, f: Emitter, sums: Value | None, codes: Value, x: Value) -> Value:
        start = splat(I32, self.lanes, 0) if sums is None else sums
        emulation = f.module.globals.get("emulation") or self._written(f.module, start.type, codes.type)
        return f.b.call(emulation, [start, codes, x])

    def _written(self, module: ir.Module, sums: ir.Type, codes: ir.Type) -> ir.Function:
        function = ir.Function(module, ir.FunctionType(sums, [sums, codes, codes]), "emulation")
        function.attributes.add("noinline")
        b = ir.IRBuilder(function.append_basic_block())
        total, unsigned, signed = function.args
        wide = vector(I32, 4 * self.lanes)
        products = b.mul(b.zext(unsigned, wide), b.sext(signed, wide))
        for place in range(4):
            picked = ir.Constant(sums, [4 * lane + place for lane in range(self.lanes)])
            total = b.add(total, b.shuffle_vector(products, products, picked))
        b.ret(total)
        return function


@on_x86
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("like", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_kernels_of_other_processors_are_right_when_their_instructions_are_emulated(
    like: Vnni, kind: Kind, home: Path
) -> None:
    library = native.Library(Emulated(f"emulated {like.name}", like.features, like.lanes, ""))
    assert choice.right(library, kind)
    if kind.bits == 4:  # all that is rounded is rounded alike
        plain = native.Library(PLAIN)
        grouped = choice.sample(kind, 40, 200)
        x = torch.randn(MANY + 1, 200, generator=torch.Generator().manual_seed(0))
        answers = [Plan([choice.laid(grouped, each)])(x)[0] for each in (library, plain)]
        assert torch.equal(*answers)


# --- the choice -------------------------------------------------------------------------------------------------------


class Wrong(Avx2):
    """Loses the last four columns of a block."""

    name = "wrong"

    def total4(self, f: Emitter, sums: Value) -> Value:
        return super().total4(f, f.b.sub(sums, sums))


class WrongIn8(Avx2):
    """Right in 4 bits only."""

    name = "wrong in 8 bits"

    def add8(self, f: Emitter, sums: Value | None, codes: Value, x: Value) -> Value:
        return super().add8(f, sums, codes, codes)


@on_x86
def test_a_kernel_that_answers_wrongly_is_never_taken(fresh: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "usable", lambda: [Wrong(), Avx2()])
    assert choice.chosen().name == "AVX2"
    assert "wrong" not in choice.chosen().why
    choice.chosen.cache_clear()
    choice.library.cache_clear()
    choice._ranked.cache_clear()
    monkeypatch.setattr(choice, "usable", lambda: [Wrong()])
    assert choice.chosen().name == "torch"
    assert choice.library(choice.COMMON) is None
    grouped = choice.sample(choice.COMMON, 40, 200)
    packed = pack(grouped)
    assert isinstance(packed, Portable)
    x = torch.randn(2, 200)
    exact = x @ grouped.dense().T
    assert ((matmul(x, packed)[0] - exact).abs() <= choice.PORTABLE_NEAR * (x.abs() @ grouped.dense().abs().T)).all()


@on_x86
def test_a_set_that_fails_on_one_kind_serves_the_others(
    fresh: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "usable", lambda: [WrongIn8()])
    four, eight = (pack(choice.sample(Kind(bits, 32, False), 40, 64)) for bits in (4, 8))
    assert not isinstance(four, Portable)
    assert isinstance(eight, Portable)
    x = torch.randn(3, 64)
    together = matmul(x, four, eight)
    assert torch.equal(together[0], matmul(x, four)[0])
    assert torch.equal(together[1], matmul(x, eight)[0])
    assert torch.equal(matmul(x, eight, four)[1], together[0])


@on_x86
def test_where_no_code_can_be_made_torchs_operators_run(
    fresh: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(dots: Dots) -> native.Library:
        raise RuntimeError("mprotect: permission denied")

    monkeypatch.setattr(choice, "Library", refused)
    assert choice.chosen().name == "torch"
    assert choice.library(choice.COMMON) is None


def test_where_nothing_is_right_a_sentence_says_so(fresh: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "usable", list)
    monkeypatch.setattr(choice, "portable_right", lambda: False)
    with pytest.raises(EngineError, match="right answers"):
        pack(choice.sample(choice.COMMON, 16, 32))


def test_torchs_operators_are_held_to_the_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice.portable_right()
    real = choice.Int4.multiply
    monkeypatch.setattr(choice.Int4, "multiply", lambda self, x: 1.1 * real(self, x))
    assert not choice.portable_right()


def test_the_choice_can_be_read_and_leaves_the_threads_as_they_were(fresh: None, home: Path) -> None:
    before = torch.get_num_threads()
    made = choice.chosen()
    assert made.name in {*(dots.name for dots in SETS), "torch"}
    assert f"{made.speed:.1f} GB/s" in made.why
    assert torch.get_num_threads() == before


# --- object code ------------------------------------------------------------------------------------------------------


@on_x86
def test_code_is_compiled_once_and_a_spoiled_file_is_made_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()
    real = native.optimised

    def counted(*arguments: object) -> object:
        made["compiled"] += 1
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(native, "optimised", counted)

    def works() -> bool:
        return choice.right(native.Library(PLAIN), choice.COMMON)

    assert works() and made["compiled"] == 3
    files = sorted((home / "kernels").iterdir())
    assert len(files) == 3
    whole = [path.read_bytes() for path in files]
    assert works() and made["compiled"] == 3
    files[0].write_bytes(whole[0][:-100])
    files[1].write_bytes(whole[1][:50] + bytes([whole[1][50] ^ 1]) + whole[1][51:])
    assert works() and made["compiled"] == 5
    assert [path.read_bytes()[:32] for path in files] == [content[:32] for content in whole]
    files[0].write_bytes(b"")
    assert works() and made["compiled"] == 6


@on_x86
def test_without_a_place_to_keep_code_it_is_compiled_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    monkeypatch.setenv("VITRINE_HOME", str(taken))
    assert choice.right(native.Library(PLAIN), choice.COMMON)
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    (tmp_path / "kernels").write_text("")
    assert choice.right(native.Library(PLAIN), choice.COMMON)


@on_x86
def test_code_for_another_processor_or_other_sources_has_another_name(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    def kept(follows_from: tuple[str, ...]) -> set[Path]:
        monkeypatch.setattr(native, "_follows_from", lambda: follows_from)
        native.cached("x", lambda: b"code")
        return set((home / "kernels").iterdir())

    first = kept(("sources", "processor"))
    assert kept(("sources", "processor")) == first
    assert len(kept(("sources", "another"))) == 2


@on_x86
def test_code_that_was_kept_runs_in_another_process(home: Path) -> None:
    assert choice.right(native.Library(PLAIN), choice.COMMON)
    program = (
        "from engine.quantize.kernels import choice, native\n"
        "native.optimised = None\n"
        "print(choice.right(native.Library(native.SETS[-1]), choice.COMMON))"
    )
    root = Path(__file__).resolve().parents[3]
    ran = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "True", ran.stderr


@on_x86
def test_the_oldest_code_goes_when_there_is_much(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "FILES", 3)
    for number in range(3):
        native.cached(str(number), lambda: b"code")
        for path in (home / "kernels").iterdir():  # a file's time may be as coarse as a tick of the clock
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**9))
    kept = set((home / "kernels").iterdir())
    native.cached("3", lambda: b"code")
    left = set((home / "kernels").iterdir())
    assert len(left) == 3 and len(left & kept) == 2
    assert native.cached("3", lambda: b"not kept") == b"code"
    assert native.cached("0", lambda: b"compiled again") == b"compiled again"
