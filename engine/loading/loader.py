"""A checkpoint into memory: config -> family -> meta device -> weights, one tensor a turn.

`load` is a generator, so that its caller shows the progress and stops it by closing it. Nothing of the file is trusted
until names and shapes agree with what the config builds; that is checked before the first weight is read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.errors import BadModelFiles, EngineError
from engine.loading import memory, threads
from engine.loading.checkpoint import Checkpoint, checkpoint
from engine.loading.files import DOWNLOAD_AGAIN
from engine.loading.forecast import check_fits, sizes_of, weights_of
from engine.loading.fusing import fuse
from engine.loading.gguf import GGUFWeights
from engine.loading.placing import Placing
from engine.loading.precision import Precision, beside, choose
from engine.loading.safetensors import Weights, listed
from engine.messages import Held, ModelCard, Sizes
from engine.models import family
from engine.models.base import DecoderConfig, LanguageModel, Reader
from engine.params import LoadParams
from engine.quantize import BITS, Scheme, nbytes, place, schemes, tie

GENERATION_KEYS = (
    "bad_words_ids",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "min_length",
    "no_repeat_ngram_size",
    "num_beams",
)
"""What encoder-decoders of the years before generation_config.json say in config.json of how to generate."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its weights in place, in evaluation mode, and what is known of it.

    generation: the checkpoint's generation_config.json as it is, or what config.json says in its place. eos_ids: the
    ids that end an answer, config's and generation_config's together. start_id: what an encoder-decoder's target begins
    with, where it is said. runs, held, foreseen, measured: as in ModelInfo.
    """

    model: LanguageModel
    config: DecoderConfig
    path: str
    name: str
    family: str
    kind: str
    parameters: int
    bytes_in_memory: int
    device: str
    precision: str
    threads: int
    generation: dict[str, Any]
    eos_ids: tuple[int, ...]
    start_id: int | None = None
    runs: str = ""
    held: tuple[Held, ...] = ()
    sizes: Sizes | None = None
    foreseen: int = 0
    measured: int = 0


def load(
    path: str,
    params: LoadParams,
    cancelled: Callable[[], bool] = lambda: False,
    importance: Mapping[str, Tensor] | None = None,
) -> Generator[tuple[str, int, int], None, LoadedModel]:
    """Load a model; yields (phase, bytes done, bytes in all) a tensor, returns the model.

    importance: how much each input of a matrix counts where scales are chosen, as in engine/loading/calibration.py.

    Raises BadModelFiles or UnsupportedModel before any weight is read where that can be known, Cancelled once
    `cancelled` says so. What was read until then is freed with the generator.
    """
    found = checkpoint(path)
    raw = found.config
    reader = Reader(raw, found.source)
    model_type = reader.take("model_type", str)
    module = family(model_type)
    config = module.Config.read(reader)
    generation = found.generation or {key: raw[key] for key in GENERATION_KEYS if key in raw}
    eos_ids = _eos_ids(raw, generation)
    device = _device(params.device)
    weights = found.weights()
    precision = choose(params.precision, weights, device)
    with torch.device("meta"):
        model: LanguageModel = module.Model(config)
    names = matched(model, weights, found)
    sizes, in_memory = sizes_of(weights, model), weights_of(weights, model)[1]
    card = ModelCard(
        str(found.path), found.described[0], context=config.context, bytes_in_memory=in_memory, sizes=sizes
    )
    check_fits(card, precision.name, memory.available(device), params.cache == "8-bit")
    tied = {name for name, other in model.optional.items() if other and name not in names.values()}
    parameters = sum(weight.numel() for name, weight in model.named_parameters() if name not in tied)
    vocabularies = {config.vocabulary, getattr(config, "source_vocabulary", config.vocabulary)}
    plan = schemes(model, precision.name, vocabularies, device) if precision.name in BITS else {}
    plain = beside(precision.name, device)
    placing = Placing(model, weights, names, precision.name, plain, device, plan, cancelled, importance)
    if device == "cpu" and weights.keepable:
        _make_kernels(plan)
    memory.give_back()
    before = memory.held(device)
    with memory.returning():
        yield from placing.run()
    for name, other in model.optional.items():
        if name in names.values():
            continue
        if other:
            tie(model, name, other)
        else:
            place(model, name, torch.zeros(model.get_parameter(name).shape), plain, device)
    model.eval()
    after = memory.held(device)
    if plan and device == "cpu":
        fuse(model)
    held = placing.held()

    if params.threads:
        torch.set_num_threads(params.threads)
    elif device == "cpu":
        yield "Choosing threads", 0, 0
        threads.choose(model, cancelled)
    return LoadedModel(
        model=model,
        config=model.config,
        path=str(found.path),
        name=found.described[0],
        family=model_type,
        kind=model.kind,
        parameters=parameters,
        bytes_in_memory=nbytes(model),
        device=device,
        precision=_main_form(held) or precision.name,
        threads=torch.get_num_threads(),
        generation=generation,
        eos_ids=eos_ids,
        start_id=_start_id(generation, raw),
        runs=_runs(held, precision),
        held=held,
        sizes=sizes,
        foreseen=dict(in_memory).get(precision.name, 0),
        measured=0 if before is None or after is None else max(0, after - before),
    )


def _main_form(held: tuple[Held, ...]) -> str:
    """What most of the weights in groups have; empty where there are none."""
    counts = {bits: sum(each.weights for each in held if each.form.startswith(f"{bits} bits")) for bits in (4, 8)}
    return "" if not any(counts.values()) else "int4" if counts[4] > counts[8] else "int8"


def _runs(held: tuple[Held, ...], precision: Precision) -> str:
    """In what numbers the model runs, by which kernels, and why."""
    main = _main_form(held)
    if not main:
        return f"Runs in {precision.name}: {precision.why}."
    from engine.quantize.kernels.choice import chosen  # builds kernels: not for a model of plain numbers

    kernels = chosen()
    return f"Runs in {main.removeprefix('int')} bits: {precision.why}. Kernels: {kernels.name}, {kernels.why}."


def _make_kernels(plan: Mapping[str, Scheme]) -> None:
    """Make what will multiply by the groups of a plan, so that what it takes is not measured as the model's."""
    from engine.quantize.kernels.choice import library
    from engine.quantize.kernels.products import Kind

    for bits, group in {(scheme.bits, scheme.group) for scheme in plan.values() if scheme.bits}:
        library(Kind(bits, group, zero=bits == 4))


def matched(model: LanguageModel, weights: Weights | GGUFWeights, files: Checkpoint) -> dict[str, str]:
    """Tensor name -> parameter name, every parameter there and of its shape; else BadModelFiles names which not."""
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    source, said = files.path.name, files.settings
    renamed = weights.places(model)
    names = {tensor: parameter for tensor, parameter in renamed.items() if parameter is not None}
    extra = sorted(tensor for tensor, parameter in names.items() if parameter not in shapes)
    missing = sorted(shapes.keys() - names.values() - model.optional.keys())
    if missing:
        raise BadModelFiles(f"The weights of {source} lack {listed(missing)}.", DOWNLOAD_AGAIN)
    if extra:
        raise BadModelFiles(
            f"The weights of {source} hold {listed(extra)}, which its {said} has no place for.",
            f"The {said} may be another model's. {DOWNLOAD_AGAIN}",
        )
    for tensor, parameter in names.items():
        found, expected = weights.entries[tensor].shape, shapes[parameter]
        if found != expected:
            raise BadModelFiles(
                f"In {source}, {tensor} is {_times(found)}, but its {said} asks for {_times(expected)}.",
                f"The {said} may be another model's. {DOWNLOAD_AGAIN}",
            )
    return names


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a single number"


def _eos_ids(*configs: dict[str, Any]) -> tuple[int, ...]:
    """The ids in eos_token_id of each, a number or a list of them, in order and without repeats."""
    ids: dict[int, None] = {}
    for config in configs:
        value = config.get("eos_token_id")
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int) and not isinstance(item, bool):
                ids[item] = None
    return tuple(ids)


def _start_id(*configs: dict[str, Any]) -> int | None:
    """The first decoder_start_token_id that is said, or else bos_token_id."""
    for key in ("decoder_start_token_id", "bos_token_id"):
        for config in configs:
            if isinstance(config.get(key), int) and not isinstance(config[key], bool):
                return int(config[key])
    return None


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EngineError("There is no GPU that torch can use here.", "Choose the device auto or cpu.")
    return wanted
