"""From instructions to functions: compiles what the other files write, for exactly the processor that is there.

Object code is kept beside a person's data, since compiling takes a second at times. A file's name is a hash of all that
the code follows from, these sources included, and it begins with a hash of its content: what does not match is
compiled again.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path

import llvmlite
from llvmlite import binding as llvm
from llvmlite import ir

from engine.errors import EngineError
from engine.home import data_folder
from engine.quantize.kernels.dots import SETS, Dots
from engine.quantize.kernels.entry import Call
from engine.quantize.kernels.products import Kind, Product
from engine.quantize.kernels.rows import Rows

DIGEST = 32
"""Bytes of the hash that a cached file begins with."""

FILES = 200
"""Files of object code that are kept, of about 10 KB each; other versions of these sources leave theirs behind."""


@functools.cache
def features() -> frozenset[str]:
    """What this processor has, in LLVM's words; nothing where no set of instructions here is written for its kind."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return frozenset()
    return frozenset(name for name, there in llvm.get_host_cpu_features().items() if there)


def usable() -> list[Dots]:
    """The instruction sets that this processor has, from the widest to the plainest."""
    return [dots for dots in SETS if features().issuperset(dots.features)]


class Library:
    """The native functions in one instruction set; each kind of matrix is compiled when the first of it is met."""

    def __init__(self, dots: Dots) -> None:
        self.dots = dots
        self._held: list[llvm.ExecutionEngine] = []
        self._products: dict[Kind, int] = {}
        self._functions: dict[tuple[str, str], Callable[[int], None]] = {}
        types = [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 2 + [ctypes.c_void_p]
        self.run: Callable[..., None] = ctypes.CFUNCTYPE(None, *types)(self._address("run", Call))
        """run(plan, x, y, scratch, M, threads, parallel), as entry.py says."""

    def product(self, kind: Kind) -> int:
        """The address of the function for a kind of matrix."""
        if kind not in self._products:
            name = f"product_{kind}"
            self._products[kind] = self._address(name, lambda module: Product(module, self.dots, kind))
        return self._products[kind]

    def rows(self, kind: Kind) -> Callable[[int], None]:
        """The function that unpacks rows of a kind of matrix; it takes a call, as rows.py says."""
        return self.function(f"rows_{kind}", "", lambda module: Rows(module, kind))

    def function(self, name: str, variant: str, write: Callable[[ir.Module], object]) -> Callable[[int], None]:
        """A function of that name and one address, as `write` writes it; variant: what its code differs by.

        It is kept: the next model of the same dimensions needs it too, and half a megabyte goes with each.
        """
        if (name, variant) not in self._functions:
            kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
            self._functions[name, variant] = kind(self._address(name, write, variant))
        return self._functions[name, variant]

    def _address(self, name: str, write: Callable[[ir.Module], object], variant: str = "") -> int:
        machine = host()
        code = cached(f"{name}{variant} {self.dots.name}", lambda: machine.emit_object(optimised(write, machine)))
        linked = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host())
        linked.add_object_file(llvm.ObjectFileRef.from_data(code))
        linked.finalize_object()
        self._held.append(linked)
        return int(linked.get_function_address(name))


def host() -> llvm.TargetMachine:
    """This processor, for LLVM."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    flags = llvm.get_host_cpu_features().flatten()
    here = llvm.Target.from_triple(llvm.get_process_triple())
    return here.create_target_machine(cpu=llvm.get_host_cpu_name(), features=flags, opt=3, jit=True)


def optimised(write: Callable[[ir.Module], object], machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """A module as `write` fills it, checked and optimised for a processor."""
    module = ir.Module()
    module.triple = machine.triple
    write(module)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return parsed


def cached(what: str, compile: Callable[[], bytes]) -> bytes:
    """Object code from the data folder, or compiled and kept there."""
    key = hashlib.sha256("\n".join((what, *_follows_from())).encode()).hexdigest()
    try:
        path = data_folder() / "kernels" / f"{key}.o"
        held = path.read_bytes()
        if held[:DIGEST] == hashlib.sha256(held[DIGEST:]).digest():
            return held[DIGEST:]
    except (OSError, EngineError):
        pass
    code = compile()
    _keep(key, code)
    return code


def _keep(key: str, code: bytes) -> None:
    """Write whole or not at all, the oldest go; without a place to write to, the code is compiled again next time."""
    try:
        folder = data_folder() / "kernels"
        folder.mkdir(exist_ok=True)
        partial = folder / f"{key}.{os.getpid()}"
        partial.write_bytes(hashlib.sha256(code).digest() + code)
        partial.replace(folder / f"{key}.o")
        by_age = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in by_age[FILES:]:
            path.unlink(missing_ok=True)
    except (OSError, EngineError):
        pass


@functools.cache
def _follows_from() -> tuple[str, ...]:
    """What makes object code: the sources of this package, LLVM, and the processor."""
    sources = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(__file__).parent.glob("*.py"))]
    processor = (llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    return (*sources, llvmlite.__version__, str(llvm.llvm_version_info), *processor)
