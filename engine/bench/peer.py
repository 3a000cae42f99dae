"""llama.cpp on the same shape, as the measure to beat: its file is written here, and a child process runs it.

A process of its own keeps its threads, its memory and its allocator out of our figures; it waits on a pipe while we
run, so that rounds of both can alternate. Of llama-cpp-python only the C functions are used, with llama.cpp's own
defaults.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from engine.bench.shapes import Shape
from engine.errors import EngineError

BLOCK = np.dtype([("scale", "<f2"), ("codes", "u1", 16)])
"""32 weights in Q4_0."""


def write_gguf(path: Path, shape: Shape, seed: int = 0) -> None:
    """Write a Llama of that shape: every matrix in random Q4_0 blocks, norms of ones, no vocabulary but its size."""
    from gguf import GGMLQuantizationType, GGUFWriter

    random = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.theta)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("none")

    def matrix(name: str, rows: int, columns: int) -> None:
        blocks = np.empty((rows, columns // 32), BLOCK)
        blocks["codes"] = random.integers(0, 256, (rows, columns // 32, 16), np.uint8)
        blocks["scale"] = random.uniform(0.5, 1.5, blocks.shape) * 0.2 * columns**-0.5
        writer.add_tensor(f"{name}.weight", blocks.view(np.uint8), raw_dtype=GGMLQuantizationType.Q4_0)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(shape.width, np.float32))

    C, D = shape.width, shape.head_dim
    matrix("token_embd", shape.vocabulary, C)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        norm(f"{block}.attn_norm")
        matrix(f"{block}.attn_q", shape.heads * D, C)
        matrix(f"{block}.attn_k", shape.kv_heads * D, C)
        matrix(f"{block}.attn_v", shape.kv_heads * D, C)
        matrix(f"{block}.attn_output", C, shape.heads * D)
        norm(f"{block}.ffn_norm")
        matrix(f"{block}.ffn_gate", shape.hidden, C)
        matrix(f"{block}.ffn_up", shape.hidden, C)
        matrix(f"{block}.ffn_down", C, shape.hidden)
    norm("output_norm")
    if not shape.tied:
        matrix("output", shape.vocabulary, C)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Peer:
    """A child process that holds a GGUF file in llama.cpp and measures when it is asked to."""

    name = "llama.cpp"

    def __init__(self, path: Path, threads: int, context: int) -> None:
        command = [sys.executable, "-m", "engine.bench.peer", str(path), str(threads), str(context)]
        # Our choice of how threads wait is not its own.
        own = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=own
        )
        self.version: str = self._answer()["version"]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()

    def read(self, tokens: int) -> float:
        """Seconds to read a prompt of so many tokens, which is then the context."""
        return float(self._ask(read=tokens)["seconds"])

    def decode(self, tokens: int) -> float:
        """Seconds a token, the median of so many, each after what was read; the context is then as before."""
        return float(self._ask(decode=tokens)["seconds"])

    def _ask(self, **task: int) -> dict[str, Any]:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(task) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise EngineError(
                "llama.cpp cannot be measured: its process ended.", "Install it with: pip install 'vitrine[bench]'."
            )
        found: dict[str, Any] = json.loads(line)
        return found


class _LlamaCpp:
    """The child's side: llama.cpp's C functions on one file."""

    def __init__(self, path: str, threads: int, context: int) -> None:
        import llama_cpp

        self._c = llama_cpp
        llama_cpp.llama_backend_init()
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_threads, settings.n_threads_batch = context, threads, threads
        model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        self._context = llama_cpp.llama_init_from_model(model, settings)
        if not self._context:
            raise EngineError("llama.cpp cannot read the file that was written for it.")
        vocabulary = llama_cpp.llama_model_get_vocab(model)
        self._size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self._ids = np.random.default_rng(1)
        self._length = 0

    def read(self, tokens: int) -> float:
        self._forget(0)
        begun = time.perf_counter()
        most = self._c.llama_n_batch(self._context)
        for start in range(0, tokens, most):
            self._feed(min(most, tokens - start))
        self._logits()
        self._length = tokens
        return time.perf_counter() - begun

    def decode(self, tokens: int) -> float:
        times = []
        for _ in range(tokens):
            begun = time.perf_counter()
            self._feed(1)
            self._logits().argmax()
            times.append(time.perf_counter() - begun)
        self._forget(self._length)
        return float(np.median(times))

    def _feed(self, tokens: int) -> None:
        ids = (ctypes.c_int32 * tokens)(*self._ids.integers(0, self._size, tokens).tolist())
        if self._c.llama_decode(self._context, self._c.llama_batch_get_one(ids, tokens)) != 0:
            raise EngineError("llama.cpp could not read a batch.")

    def _logits(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.ctypeslib.as_array(self._c.llama_get_logits_ith(self._context, -1), (self._size,))

    def _forget(self, length: int) -> None:
        self._c.llama_memory_seq_rm(self._c.llama_get_memory(self._context), -1, length, -1)


def _serve(path: str, threads: str, context: str) -> None:
    """Answer tasks, a line each, until there are no more."""
    import llama_cpp

    peer = _LlamaCpp(path, int(threads), int(context))
    print(json.dumps({"version": llama_cpp.__version__}), flush=True)
    for line in sys.stdin:
        [(task, tokens)] = json.loads(line).items()
        print(json.dumps({"seconds": getattr(peer, task)(tokens)}), flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
