"""How far 4 and 8 bits take a model from its own answers, beside llama.cpp's formats of the same weights.

    python tests/bench/quantised_quality.py companion [--tokens 5000]

The text was used neither to choose scales nor, where that is known, to train: see the model's SOURCE.md. KL is the mean
over positions of KL(full || quantised) in nats. With llama-cpp-python, Q4_K comes from llama.cpp's own quantiser, all
matrices alike (pure), as Q4_0 does; without it, only gguf's Q4_0 and Q4_1 are compared. The inputs of products are
not rounded here: this is about the weights.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from checkpoints import loaded  # noqa: E402

from engine.loading import LoadedModel  # noqa: E402
from engine.messages import Message  # noqa: E402
from engine.quantize.scheme import Scheme, schemes  # noqa: E402
from engine.quantize.search import to_4_bits, to_8_bits  # noqa: E402
from engine.text.templates import ChatTemplate  # noqa: E402
from engine.text.tokenizer import Tokenizer  # noqa: E402

Weights = Callable[[str, torch.Tensor], torch.Tensor]
"""A parameter's name and weights -> what a format makes of them."""


def texts(model: Path, context: int, tokens: int, corpora: Path) -> list[list[int]]:
    """Ids of stories, and of conversations where the model takes turns, that many in all."""
    tokenizer = Tokenizer.load(str(model))
    found: list[list[int]] = []

    def stories() -> Iterator[list[int]]:
        whole = (corpora / "tinystories-sample" / "tinystories-train-first-2MiB.txt").read_text("utf-8")
        for story in whole.split("<|endoftext|>")[:30]:
            yield tokenizer.encode(story.strip())

    def turns() -> Iterator[list[int]]:
        chat = ChatTemplate(tokenizer.chat_template or "", tokenizer.special_tokens, tokenizer)
        for line in (corpora / "casino" / "test.jsonl").read_text("utf-8").splitlines():
            spoken = tuple(Message(each["role"], each["content"]) for each in json.loads(line)["messages"])
            yield list(chat.render(spoken, False).ids)
        chat.close()

    for source in (stories, turns)[: 1 + bool(tokenizer.chat_template)]:
        room = tokens // (1 + bool(tokenizer.chat_template))
        for ids in source():
            if room <= 0:
                break
            found.append(ids[: min(context, room)])
            room -= len(found[-1])
    return [ids for ids in found if len(ids) > 1]


@torch.inference_mode()
def measured(model: LoadedModel, ids: list[list[int]], full: list[torch.Tensor]) -> tuple[float, float]:
    """Perplexity, and KL from the full model's log-probabilities, which are appended where there are none."""
    nll = kl = 0.0
    first = not full
    for index, row in enumerate(ids):
        logprobs = model.model(torch.tensor([row])).float().log_softmax(-1)[0]
        if first:
            full.append(logprobs)
        kl += float((full[index].exp() * (full[index] - logprobs)).sum())
        nll -= float(logprobs[:-1].gather(1, torch.tensor(row[1:])[:, None]).sum())
    positions = sum(map(len, ids))
    return math.exp(nll / (positions - len(ids))), kl / positions


def fill(model: LoadedModel, matrices: dict[str, torch.Tensor], weights: Weights) -> None:
    """Give the model what a format makes of its matrices."""
    for name, weight in matrices.items():
        model.model.get_parameter(name).data.copy_(weights(name, weight))


def ours(plan: dict[str, Scheme], group: int = 0, head: int = 0) -> Weights:
    """As the plan says; group: another group for 4 bits; head: 4 where the vocabulary is held in 4 bits too."""

    def weights(name: str, weight: torch.Tensor) -> torch.Tensor:
        scheme = plan[name]
        if not scheme.bits:
            return weight
        if scheme.bits == 4 or head == 4:
            return to_4_bits(weight, group or 32).dense()
        return to_8_bits(weight, scheme.group).dense()

    return weights


def theirs(kind: str) -> Weights:
    """As the gguf library rounds."""
    number = GGMLQuantizationType[kind]
    block = gguf.GGML_QUANT_SIZES[number][0]

    def weights(_: str, weight: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(weight, (0, -weight.shape[1] % block)).numpy()
        rounded = gguf.dequantize(gguf.quantize(padded, number), number)
        return torch.from_numpy(np.array(rounded))[:, : weight.shape[1]]

    return weights


def of_llama_cpp(model: Path, kind: str) -> Weights | None:
    """As llama.cpp's quantiser rounds a GGUF file of the model; None where it is not installed or does not fit."""
    try:
        import ctypes

        import llama_cpp
        import transformers
        from ggufs import write_gguf
    except ImportError:
        return None
    original = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        plain = write_gguf(Path(folder) / "plain.gguf", original)
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}{'_S' if kind.endswith('_K') else ''}")
        params.pure, params.nthread = True, 1
        params.token_embedding_type = params.output_tensor_type = int(GGMLQuantizationType[kind])
        small = Path(folder) / "small.gguf"
        if llama_cpp.llama_model_quantize(str(plain).encode(), str(small).encode(), ctypes.byref(params)):
            return None
        model_of_it = loaded(small, precision="fp32").model
    return lambda name, _: model_of_it.get_parameter(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a model under assets/models, or a folder")
    parser.add_argument("--tokens", type=int, default=5000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = ROOT / "assets" / "models" / arguments.model
    folder = folder if folder.is_dir() else Path(arguments.model)
    model = loaded(folder, precision="fp32")
    ids = texts(folder, model.config.context, arguments.tokens, Path(os.environ["VITRINE_REFERENCES"]) / "corpora")
    plan = schemes(model.model, "int4", {model.config.vocabulary})
    matrices = {name: weight.clone() for name, weight in model.model.named_parameters() if name in plan}
    full: list[torch.Tensor] = []
    print(f"{folder.name}: {len(ids)} texts, {sum(map(len, ids)):,} tokens")
    formats: dict[str, Weights | None] = {
        "fp32": lambda _, weight: weight,
        "int8": ours(schemes(model.model, "int8", {model.config.vocabulary})),
        "int4": ours(plan),
        "int4, vocabulary in 4 bits too": ours(plan, head=4),
        "int4, groups of 64": ours(plan, 64),
        "int4, groups of 64, vocabulary in 4 bits too": ours(plan, 64, head=4),
        "int4, groups of 128": ours(plan, 128),
        "gguf Q4_0": theirs("Q4_0"),
        "gguf Q4_1": theirs("Q4_1"),
        "llama.cpp Q4_K": of_llama_cpp(folder, "Q4_K") if model.config.width % 256 == 0 else None,
    }
    for name, weights in formats.items():
        if weights is None:
            continue
        begun = time.perf_counter()
        fill(model, matrices, weights)
        seconds = time.perf_counter() - begun
        perplexity, kl = measured(model, ids, full)
        print(f"{name:46} perplexity {perplexity:9.4f}   KL {1000 * kl:8.3f}e-3   {seconds:6.2f} s")


if __name__ == "__main__":
    main()
