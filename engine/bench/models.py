"""What is measured: a shape filled with random numbers in memory, or a model's folder as the program itself loads it.

Random codes stand where quantising a billion random floats would lead, so a shape is there in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import tokenizers
import torch
from torch import Tensor, nn

from engine.bench.shapes import Shape
from engine.errors import EngineError, InvalidValue
from engine.loading import load, memory, threads
from engine.loading.fusing import fuse
from engine.models import family
from engine.models.base import Decoder, Reader
from engine.params import LoadParams
from engine.quantize import BITS, DTYPES, Grouped, nbytes, put
from engine.text.files import Files
from engine.text.tokenizer import Tokenizer

PERIOD = 2**20
"""Random numbers that are drawn; longer weights repeat them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A decoder with its tokenizer.

    weight_bytes: of all weights as they lie in memory. threads: what it runs with.
    """

    name: str
    model: Decoder
    tokenizer: Tokenizer
    precision: str
    weight_bytes: int
    threads: int


def from_files(path: str, params: LoadParams) -> Subject:
    """The model of a folder or a GGUF file; the person's Ctrl+C is the only way to stop it."""
    phases = load(path, params)
    try:
        while True:
            next(phases)
    except StopIteration as end:
        loaded = end.value
    if not isinstance(loaded.model, Decoder):
        raise EngineError(f"{loaded.name} is no decoder.", "The benchmark measures models that continue a text.")
    return Subject(
        loaded.name, loaded.model, Tokenizer.load(path), loaded.precision, loaded.bytes_in_memory, loaded.threads
    )


def from_shape(shape: Shape, precision: str, count: int, group: int = 32) -> Subject:
    """A Llama of that shape with random weights; count: threads, or 0 for as many as run it best.

    group: how many weights share a scale in int4 and int8.
    """
    if precision not in (*DTYPES, *BITS):
        raise InvalidValue(f"A shape cannot be measured in {precision}.", f"Choose {', '.join((*DTYPES, *BITS))}.")
    module = family("llama")
    with torch.device("meta"):
        model: Decoder = module.Model(module.Config.read(Reader(shape.config(), shape.name)))
    generator = torch.Generator().manual_seed(0)
    with memory.returning():
        if precision in BITS:
            _fill_packed(model, BITS[precision], group, generator)
        else:
            _fill_plain(model, DTYPES[precision], generator)
    model.eval()
    fuse(model)
    if count:
        torch.set_num_threads(count)
    else:
        threads.choose(model, lambda: False)
    tokenizer = Tokenizer(Files(words(shape.vocabulary), {}), "words")
    return Subject(shape.name, model, tokenizer, precision, nbytes(model), torch.get_num_threads())


def table_bytes(model: Decoder) -> int:
    """Bytes of embeddings that are no head too."""
    if getattr(model.config, "tied", True):
        return 0
    return sum(nbytes(module) for module in model.modules() if hasattr(module, "scores"))


def words(vocabulary: int) -> tokenizers.Tokenizer:
    """A tokenizer of so many made-up words, for models that know none."""
    table = {f"w{number}": number for number in range(vocabulary)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(table, unk_token="w0"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return made


def _fill_plain(model: nn.Module, dtype: torch.dtype, generator: torch.Generator) -> None:
    numbers = torch.empty(PERIOD).uniform_(-1.0, 1.0, generator=generator)
    for path, parameter in list(model.named_parameters()):
        owner, _, leaf = path.rpartition(".")
        if parameter.dim() == 1:
            weight = torch.ones(parameter.shape, dtype=dtype)
        else:
            weight = _repeated(numbers * (3 / parameter.shape[1]) ** 0.5, parameter.numel(), dtype).view_as(parameter)
        setattr(model.get_submodule(owner), leaf, nn.Parameter(weight, requires_grad=False))


def _fill_packed(model: nn.Module, bits: int, group: int, generator: torch.Generator) -> None:
    bytes_ = torch.randint(0, 256, (PERIOD,), dtype=torch.uint8, generator=generator)
    scales = torch.empty(PERIOD).uniform_(0.5, 1.5, generator=generator)
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            put(model, f"{path}.weight", _grouped(tuple(module.weight.shape), bits, group, bytes_, scales))
    for path, parameter in list(model.named_parameters()):
        owner, _, leaf = path.rpartition(".")
        ones = nn.Parameter(torch.ones(parameter.shape), requires_grad=False)
        setattr(model.get_submodule(owner), leaf, ones)


def _grouped(shape: tuple[int, ...], bits: int, group: int, codes: Tensor, scales: Tensor) -> Grouped:
    """A random matrix whose products keep the size of what they multiply."""
    N, K = shape
    G = -(-K // group)
    spread = 4.6 if bits == 4 else 74.0  # the standard deviation of the codes
    scale = _repeated(scales / (spread * K**0.5), N * G, torch.float16).view(N, G)
    whole = _repeated(codes, N * G * group * bits // 8, torch.uint8).view(N, -1)
    return Grouped(bits, group, (N, K), whole if bits == 4 else whole.view(torch.int8), scale)


def _repeated(numbers: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    numbers = numbers.to(dtype)
    result = torch.empty(count, dtype=dtype)
    whole = count // PERIOD * PERIOD
    result[:whole].view(-1, PERIOD).copy_(numbers.expand(whole // PERIOD, PERIOD))
    result[whole:] = numbers[: count - whole]
    return result
