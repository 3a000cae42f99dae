"""How much memory a large checkpoint takes while it loads, and how it comes and stops.

    PYTHONPATH=. python tests/bench/load.py [--gigabytes 2]

Writes a random Llama checkpoint of that size in shards, loads it in a fresh process as it is, in 8 and 4 bits (first
quantised, then found quantised) and widened to fp32 (half the size), and samples the process' anonymous memory
(RssAnon; mapped files are not counted) every few milliseconds. Then the same with GGUF files that are of that size in
bf16. The goal: the peak stays below the size in memory plus a tenth. Also: what was forecast beside what is held once
the model is there, and once it has read a text of 1,000 tokens; how often progress came, and how long a cancel took.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HIDDEN, VOCABULARY = 2048, 5632, 32000
TEXT = 1000
KINDS = ("Q8_0", "Q4_0", "Q4_K", "Q6_K")


def layers_of(size: int) -> int:
    """How many layers a model has that takes so many bytes in bf16."""
    layer = 4 * WIDTH * WIDTH + 3 * WIDTH * HIDDEN
    return max(1, round((size / 2 - 2 * VOCABULARY * WIDTH) / layer))


def write(folder: Path, size: int) -> None:
    import torch
    from safetensors.torch import save_file

    layers = layers_of(size)
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": WIDTH, "vocab_size": VOCABULARY,
        "intermediate_size": HIDDEN, "num_hidden_layers": layers, "num_attention_heads": 32, "torch_dtype": "bfloat16",
        "tie_word_embeddings": False, "max_position_embeddings": 2048,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))

    def some(*shape: int) -> torch.Tensor:
        return (torch.rand(shape) * 0.02).bfloat16()

    index: dict[str, str] = {}

    def shard(name: str, tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, folder / name)
        index.update(dict.fromkeys(tensors, name))

    ends = {"model.embed_tokens.weight": some(VOCABULARY, WIDTH), "lm_head.weight": some(VOCABULARY, WIDTH)}
    shard("ends.safetensors", {**ends, "model.norm.weight": torch.ones(WIDTH).bfloat16()})
    for i in range(layers):
        mlp = {"gate": (HIDDEN, WIDTH), "up": (HIDDEN, WIDTH), "down": (WIDTH, HIDDEN)}
        tensors = {f"model.layers.{i}.self_attn.{n}_proj.weight": some(WIDTH, WIDTH) for n in "qkvo"}
        tensors |= {f"model.layers.{i}.mlp.{n}_proj.weight": some(*shape) for n, shape in mlp.items()}
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{i}.{norm}.weight"] = torch.ones(WIDTH).bfloat16()
        shard(f"layer-{i}.safetensors", tensors)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def write_gguf(path: Path, size: int, kind: str) -> None:
    """The same as one GGUF file, of random blocks with finite scales; layers share theirs."""
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter

    layers, number = layers_of(size), GGMLQuantizationType[kind]
    block, nbytes = GGML_QUANT_SIZES[number]
    source = np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    for add, value in (
        (writer.add_embedding_length, WIDTH), (writer.add_block_count, layers), (writer.add_head_count, 32),
        (writer.add_context_length, 2048), (writer.add_feed_forward_length, HIDDEN),
        (writer.add_layer_norm_rms_eps, 1e-5),
    ):  # fmt: skip
        add(value)

    def some(rows: int, columns: int) -> np.ndarray:
        packed = source.integers(0, 256, (rows, columns // block * nbytes), np.uint8)
        return packed & np.where(np.arange(packed.shape[1]) % 2, 0xBF, 0xFF).astype(np.uint8)

    square, wide, tall, ones = some(WIDTH, WIDTH), some(HIDDEN, WIDTH), some(WIDTH, HIDDEN), np.ones(WIDTH, np.float32)
    for name in ("token_embd", "output"):
        writer.add_tensor(f"{name}.weight", some(VOCABULARY, WIDTH), raw_dtype=number)
    writer.add_tensor("output_norm.weight", ones)
    for i in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", ones)
        parts = {f"attn_{name}": square for name in ("q", "k", "v", "output")}
        for name, packed in {**parts, "ffn_gate": wide, "ffn_up": wide, "ffn_down": tall}.items():
            writer.add_tensor(f"blk.{i}.{name}.weight", packed, raw_dtype=number)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()


def anonymous() -> int:
    """Bytes of this process' anonymous memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not tell RssAnon")


def measure(folder: str, precision: str) -> None:
    from engine.decoding.contexts import Context
    from engine.decoding.loop import read
    from engine.loading import load, memory
    from engine.loading.catalog import inspect
    from engine.loading.forecast import cache_bytes
    from engine.params import CaptureParams, LoadParams

    card = inspect(folder)
    peak, before, over = [0], anonymous(), threading.Event()

    def watch() -> None:
        while not over.wait(0.003):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    steps = load(folder, LoadParams(precision=precision, threads=1, device="cpu"))
    gaps, last = [], began
    try:
        while True:
            next(steps)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now
    except StopIteration as end:
        loaded = end.value
    seconds = time.perf_counter() - began
    over.set()
    watcher.join()
    held = anonymous() - before
    context = Context.fresh(loaded.model, CaptureParams())
    for _ in read(0, context, [1] * TEXT, lambda: None):
        pass
    memory.give_back()
    with_text = anonymous() - before
    form = loaded.precision
    foreseen = dict(card.bytes_in_memory)[form]
    kept = cache_bytes(card.sizes, form, TEXT, card.context) if card.sizes else 0
    del context
    steps = load(folder, LoadParams(precision=precision, threads=1, device="cpu"), lambda: stop)
    stop = False
    for _ in range(len(gaps) // 2):
        next(steps)
    stop, asked = True, time.perf_counter()
    try:
        next(steps)
    except BaseException as error:
        cancelled = type(error).__name__
    size = loaded.bytes_in_memory
    result = {
        "model": Path(folder).stem, "precision": precision,
        "size_in_memory_mb": round(size / 1e6), "before_mb": round(before / 1e6),
        "peak_anonymous_mb": round(peak[0] / 1e6), "peak_over_size": round(peak[0] / size, 3),
        "forecast_mb": round(foreseen / 1e6), "held_mb": round(held / 1e6),
        "forecast_over_held": round(foreseen / held, 3),
        "with_text_forecast_over_held": round((foreseen + kept) / with_text, 3),
        "seconds": round(seconds, 2), "steps": len(gaps), "longest_step_ms": round(1000 * max(gaps)),
        "cancel_ms": round(1000 * (time.perf_counter() - asked)), "cancelled_with": cancelled,
    }  # fmt: skip
    print(json.dumps(result), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measure(*given.child)
        return
    size = given.gigabytes * 1e9
    for precisions, share in ((("auto", "int8", "int8", "int4", "int4"), 1.0), (("fp32",), 0.5)):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), round(size * share))
            environment = {**os.environ, "VITRINE_HOME": str(Path(folder, "home"))}
            for precision in precisions:
                command = [sys.executable, __file__, "--child", folder, precision]
                subprocess.run(command, check=True, cwd=ROOT, env=environment)
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{kind}.gguf")
            write_gguf(file, round(size), kind)
            for precision in ("bf16", "fp32"):
                subprocess.run([sys.executable, __file__, "--child", str(file), precision], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
