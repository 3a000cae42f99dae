"""What encoders do: fill masks, name a text's class, turn texts into vectors. Knows a model and a tokenizer.

Every function here is one or a few short passes, so only the texts of an `embed` are worth a turn each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from engine.errors import BadModelFiles, ContextOverflow, InvalidValue, UnsupportedModel
from engine.gguf import GGUF
from engine.inside.capture import Tap
from engine.lanes import Job
from engine.messages import Classified, Embedded, Filled, Filler, Nearest, Progress, Prompt, Started
from engine.models.base import Encoder, LanguageModel
from engine.params import CaptureParams
from engine.text.tokenizer import Tokenizer

MASK = "[MASK]"
"""What a mask may always be written as."""

USES = {"fill": "fill masks", "classify": "name a text's class", "embed": "turn texts into vectors"}
"""What a checkpoint was trained for, in words."""


def mask_of(model: Encoder, tokenizer: Tokenizer) -> int:
    """The id of a mask; InvalidValue where the model cannot fill any."""
    _require(model, "fill")
    found = tokenizer.encode(tokenizer.special_tokens.get("mask_token", MASK), special=False)
    if len(found) != 1:
        raise InvalidValue("The tokenizer of this model names no mask token.", "Choose a model that fills masks.")
    return found[0]


@torch.inference_mode()
def fill(
    run: int, model: Encoder, tokenizer: Tokenizer, text: str, candidates: int, check: Callable[[], None]
) -> Filled:
    """The likeliest tokens for every mask of a text; InvalidValue where there is none, or the model cannot fill any."""
    mask = mask_of(model, tokenizer)
    name = tokenizer.special_tokens.get("mask_token", MASK)
    ids = tokenizer.encode(text.replace(MASK, name))
    where = [position for position, id in enumerate(ids) if id == mask]
    if not where:
        raise InvalidValue("There is no mask in the text.", f"Write {name} where a word is to be found.")
    states = model(_row(ids, model), check=check)
    probabilities = model.fill(states[:, where])[0].float().softmax(-1)
    best = probabilities.topk(min(max(candidates, 1), probabilities.shape[1]))
    masks = tuple(
        (
            position,
            tuple(Filler(id, tokenizer.piece(id), value) for id, value in zip(row_ids, values)),
        )
        for position, row_ids, values in zip(where, best.indices.tolist(), best.values.tolist())
    )
    return Filled(run, tuple(ids), tuple(tokenizer.piece(id) for id in ids), masks)


@torch.inference_mode()
def classify(
    run: int,
    model: Encoder,
    tokenizer: Tokenizer,
    text: str,
    check: Callable[[], None],
    pair: str | None = None,
) -> Classified:
    """The probability of every label; where they do not exclude each other, each has its own.

    pair: the second of two texts, where the model was made to compare them.
    """
    _require(model, "classify")
    ids, segments = (tokenizer.encode(text), None) if pair is None else tokenizer.encode_pair(text, pair)
    row = _row(ids, model)
    states = model(row, check=check, segments=None if segments is None else torch.tensor([segments]).to(row.device))
    logits = model.classify(states, None)[0].float()
    values = logits.softmax(-1) if model.config.exclusive else logits.sigmoid()
    named = sorted(zip(model.config.labels, values.tolist()), key=lambda pair: -pair[1])
    return Classified(run, tuple(named))


GGUF_POOLINGS = {0: "mean", 1: "mean", 2: "cls"}
"""llama.cpp's numbers; 0 says nothing of how."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """How a text's states become one vector. kind: mean, cls or max; longest: ids read of a text, None for all."""

    kind: str = "mean"
    normalise: bool = True
    longest: int | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What a sentence-transformers folder or a GGUF file declares; for other folders the mean, normalised.

        Source: sentence-transformers' modules.json, 1_Pooling/config.json and sentence_bert_config.json; llama.cpp,
        which normalises always.
        """
        if folder.is_file():
            return cls(_gguf_kind(GGUF(folder)))
        modules = _json(folder / "modules.json", list)
        if modules is None:
            return cls()
        kind, normalise = "mean", False
        for module in modules:
            name = str(module.get("type", "")).rpartition(".")[2] if isinstance(module, dict) else ""
            if name == "Pooling":
                kind = _kind(folder, str(module.get("path", "1_Pooling")))
            elif name == "Normalize":
                normalise = True
            elif name != "Transformer":
                raise UnsupportedModel(
                    f"{folder.name}/modules.json asks for {name}, which Vitrine cannot do yet.",
                    "Choose a model that only pools and normalises.",
                )
        settings = _json(folder / "sentence_bert_config.json", dict) or {}
        longest = settings.get("max_seq_length")
        return cls(kind, normalise, longest if isinstance(longest, int) and longest > 1 else None)

    def __call__(self, states: Tensor) -> Tensor:
        """States [1, T, C] of one text to a vector [C]."""
        x = states[0].float()
        vector = x.mean(0) if self.kind == "mean" else x[0] if self.kind == "cls" else x.amax(0)
        return functional.normalize(vector, dim=0) if self.normalise else vector


def _gguf_kind(file: GGUF) -> str:
    number = file.take(f"{file.take('general.architecture', str, '')}.pooling_type", int, 1)
    if number not in GGUF_POOLINGS:
        raise UnsupportedModel(
            f"{file.name} pools in a way numbered {number}, which Vitrine cannot do yet.",
            "Choose a model that takes the mean or the first state.",
        )
    return GGUF_POOLINGS[number]


def embed(
    run: int, model: Encoder, tokenizer: Tokenizer, texts: Sequence[str], pooling: Pooling, check: Callable[[], None]
) -> Job:
    """Yields Progress before each text and one Embedded at the end."""
    if not texts:
        raise InvalidValue("There is no text to embed.", "Give one at least.")
    longest = min(pooling.longest or model.config.context, model.config.context)
    vectors = []
    for done, text in enumerate(texts):
        yield Progress(run, "Embedding", done, len(texts))
        vectors.append(_vector(model, tokenizer, text, pooling, longest, check))
    stacked = torch.stack(vectors)
    unit = functional.normalize(stacked, dim=-1)
    yield Embedded(run, stacked.numpy(), (unit @ unit.T).numpy())
    return None


@torch.inference_mode()
def _vector(
    model: Encoder, tokenizer: Tokenizer, text: str, pooling: Pooling, longest: int, check: Callable[[], None]
) -> Tensor:
    ids = tokenizer.encode(text)
    if len(ids) > longest:  # the last id is the end mark
        ids = [*ids[: longest - 1], ids[-1]]
    return pooling(model(_row(ids, model), check=check)).cpu()


@torch.inference_mode()
def _watch(model: Encoder, ids: list[int], tap: Tap, check: Callable[[], None]) -> None:
    tap.begin(0)
    model(_row(ids, model), tap=tap, check=check)


def attend(
    run: int, model: Encoder, tokenizer: Tokenizer, prompt: Prompt, capture: CaptureParams, check: Callable[[], None]
) -> Job:
    """Read a text only to capture its attention, every token's to all of them: yields Started and the tap's events."""
    if prompt.ids is None and prompt.text is None:
        raise InvalidValue("There is no text to read.", "Give a text or ids.")
    ids = list(prompt.ids) if prompt.ids is not None else tokenizer.encode(prompt.text or "")
    yield Started(run, (), prompt.text or "", 0, 0, tuple(ids))
    tap = Tap(capture, model.config.layers)
    _watch(model, ids, tap, check)
    yield from tap.events(run, last=True)
    return None


@torch.inference_mode()
def nearest(
    run: int, model: LanguageModel, tokenizer: Tokenizer, plus: Sequence[str], minus: Sequence[str], count: int
) -> Nearest:
    """The pieces whose input embeddings lie nearest to the sum of some words' minus that of others'.

    A word of several pieces is their mean. Special tokens and the words' own pieces are left out.
    """
    if not plus:
        raise InvalidValue("There is no word to look around.", "Give one at least.")
    # The first embedding, packed or plain, is the tokens' in every family here; positions and segments come after it.
    rows = next(module.weight for module in model.modules() if hasattr(module, "scores"))
    assert isinstance(rows, Tensor)
    added, taken = ([_word(word, tokenizer, len(rows)) for word in words] for words in (plus, minus))
    aim = torch.zeros_like(rows[0], dtype=torch.float32)
    for sign, words in ((1, added), (-1, taken)):
        for ids in words:
            aim += sign * rows[ids].float().mean(0)
    cosines = functional.cosine_similarity(rows.float(), aim[None], dim=1)
    left_out = {*tokenizer.special_ids, *(id for ids in (*added, *taken) for id in ids)}
    cosines[[id for id in left_out if id < len(rows)]] = -torch.inf
    named = min(tokenizer.vocabulary_size, len(rows))
    best = cosines[:named].topk(min(max(count, 1), named))
    found = [(id, cosine) for id, cosine in zip(best.indices.tolist(), best.values.tolist()) if cosine > -torch.inf]
    return Nearest(run, tuple((tokenizer.piece(id), cosine) for id, cosine in found))


def _word(word: str, tokenizer: Tokenizer, rows: int) -> list[int]:
    """A word's ids as it stands in a sentence: behind a blank, unless the tokenizer does that by itself."""
    found = [tokenizer.encode(text, special=False) for text in (f" {word.strip()}", word.strip())]
    ids = min(found, key=len)
    if not ids or any(id in tokenizer.special_ids or id >= rows for id in ids):
        raise InvalidValue(f"{word!r} is not among the words that this model knows.", "Try another.")
    return ids


def _require(model: Encoder, use: str) -> None:
    if model.config.use != use:
        raise InvalidValue(
            f"This model cannot {USES[use]}: it was made to {USES[model.config.use]}.",
            f"Choose one that can {USES[use]}.",
        )


def _row(ids: list[int], model: Encoder) -> Tensor:
    if not ids:
        raise InvalidValue("The text is empty.", "Type something first.")
    if len(ids) > model.config.context:
        raise ContextOverflow(
            f"The text is {len(ids):,} tokens long, the model can read {model.config.context:,}.", "Shorten it."
        )
    if max(ids) >= model.config.vocabulary:
        raise BadModelFiles("The tokenizer gives ids that the model does not have.", "Download the model again.")
    return torch.tensor([ids], device=next(model.parameters()).device)


def _kind(folder: Path, inside: str) -> str:
    settings = _json(folder / Path(inside).name / "config.json", dict) or {}
    asked = [key.removeprefix("pooling_mode_") for key, on in settings.items() if on is True and "pooling_mode_" in key]
    asked = [str(settings["pooling_mode"])] if "pooling_mode" in settings else asked
    kind = asked[0].partition("_")[0] if len(asked) == 1 else ""
    if kind not in ("cls", "mean", "max"):
        raise UnsupportedModel(
            f"{folder.name}/{inside}/config.json asks to pool by {', '.join(asked) or 'nothing'}.",
            "Vitrine pools by the mean, the maximum or the first token.",
        )
    return kind


def _json(path: Path, kind: type) -> Any:
    """A JSON file's value, None where there is no such file; BadModelFiles where it is another kind of thing."""
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadModelFiles(
            f"{path.name} in {path.parent.name} cannot be read.", "Download the model again."
        ) from error
    if not isinstance(value, kind):
        raise BadModelFiles(f"{path.name} in {path.parent.name} is not what it should be.", "Download the model again.")
    return value
