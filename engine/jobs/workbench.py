"""A loaded model with all that its answers need, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engine.adapters.shelf import Shelf
from engine.decoding.speculation import Speculation
from engine.errors import EngineError, InvalidValue
from engine.loading import LoadedModel
from engine.loading.checkpoint import checkpoint
from engine.messages import Message, ModelInfo
from engine.models.base import Decoder, Encoder
from engine.params import LoadParams, SamplingParams
from engine.text.templates import ChatTemplate
from engine.text.tokenizer import Tokenizer

KINDS = {
    "decoder": "a decoder: it continues a text.",
    "encoder-decoder": "an encoder-decoder: it writes a text for a source.",
    "encoder": "an encoder: it fills masks and compares sentences.",
}

GENERATION_KEYS = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "max_new_tokens",
    "length_penalty",
)


@dataclass(frozen=True, slots=True)
class Workbench:
    """A loaded model with all that its answers need. generation: what its files say of generating.

    adapters: those that were read for it. eight_bit: whether what it reads is kept in 8 bits.
    """

    loaded: LoadedModel
    generation: dict[str, Any]
    tokenizer: Tokenizer
    template: ChatTemplate | None
    info: ModelInfo
    adapters: Shelf
    speculation: Speculation | None = None
    eight_bit: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes that go with it: its own, and those of what drafts for it and of its adapters."""
        drafts = 0 if self.speculation is None else self.speculation.nbytes
        return self.loaded.bytes_in_memory + drafts + self.adapters.nbytes

    def cannot(self, hint: str = "") -> EngineError:
        """The refusal of what another kind of model does."""
        return EngineError(f"{self.info.name} is {KINDS[self.loaded.kind]}", hint)

    @property
    def decoder(self) -> Decoder:
        """The model, where it is one that writes on from a text by itself."""
        if not isinstance(self.loaded.model, Decoder):
            raise self.cannot("Choose a model that writes text.")
        return self.loaded.model

    @property
    def writer(self) -> Tokenizer:
        """The tokenizer of what the model writes; an encoder-decoder may read with another."""
        return self.tokenizer.target

    @property
    def encoder(self) -> Encoder:
        """The model, where it is one that reads a text both ways."""
        if not isinstance(self.loaded.model, Encoder):
            raise self.cannot("Choose an encoder for this.")
        return self.loaded.model

    def require_template(self) -> ChatTemplate:
        """The chat template; refuses where there is none."""
        if self.loaded.kind != "decoder":
            raise self.cannot("It has no chat template.")
        if self.template is None:
            raise EngineError(
                f"{self.info.name} has no chat template, so it cannot take turns.", "Use Complete: it continues a text."
            )
        return self.template

    def close(self) -> None:
        """End what runs beside the model."""
        if self.template is not None:
            self.template.close()


def set_up(loaded: LoadedModel, tokenizer: Tokenizer, params: LoadParams) -> Workbench:
    """Put a model that was loaded together with its tokenizer, its chat template and its defaults."""
    template, note = _template(tokenizer, loaded.kind)
    generation = _generation(loaded)
    chats, chat_format = template is not None or joins_turns(loaded), tokenizer.chat_format if template else ""
    info = _info(loaded, generation, chats, note, chat_format)
    speculation = Speculation(loaded.model) if isinstance(loaded.model, Decoder) else None
    shelf = Shelf(loaded.model, loaded.name)
    return Workbench(loaded, generation, tokenizer, template, info, shelf, speculation, params.cache == "8-bit")


def model_defaults(generation: dict[str, Any]) -> tuple[SamplingParams, tuple[str, ...]]:
    """The sampling a generation_config asks for, over Vitrine's own, and which fields came from it.

    Values that are absent or outside a slider's range are left alone; do_sample false does not mean greedy here.
    """
    params, taken = SamplingParams(), []
    named = {key: generation.get(key) for key in GENERATION_KEYS} | {"beams": generation.get("num_beams")}
    for key, value in named.items():
        if value is None:
            continue
        try:
            params = replace(params, **{key: value})
        except InvalidValue:
            continue
        taken.append(key)
    return params, tuple(taken)


def joins_turns(loaded: LoadedModel) -> bool:
    """Whether it takes the turns of a conversation, joined into one source."""
    return loaded.kind == "encoder-decoder" and checkpoint(loaded.path).joins_turns


def _generation(loaded: LoadedModel) -> dict[str, Any]:
    """The checkpoint's generation_config; before there were such files, an encoder-decoder's config.json held it."""
    if loaded.generation or loaded.kind != "encoder-decoder":
        return loaded.generation
    return checkpoint(loaded.path).config


def _template(tokenizer: Tokenizer, kind: str) -> tuple[ChatTemplate | None, str]:
    """A decoder's own chat template, if it has one that renders; else None and why."""
    if kind != "decoder":
        return None, f"This is {KINDS[kind]}"
    if tokenizer.chat_template is None:
        return None, "This is a base model without a chat template: it continues a text."
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens, tokenizer)
    fallback = f"Its files hold no chat template: {tokenizer.chat_format}'s is used, as its special tokens show."
    try:
        template.render([Message("user", "Hi")], True)
    except EngineError as error:
        template.close()
        return None, f"Its chat template cannot be used, so it continues a text. {error.message}"
    return template, fallback if tokenizer.chat_format else ""


def _info(loaded: LoadedModel, generation: dict[str, Any], chats: bool, note: str, chat_format: str) -> ModelInfo:
    defaults, taken = model_defaults(generation)
    config = loaded.model.config
    return ModelInfo(
        path=loaded.path,
        name=loaded.name,
        family=loaded.family,
        kind=loaded.kind,
        parameters=loaded.parameters,
        bytes_in_memory=loaded.bytes_in_memory,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        width=config.width,
        vocabulary=config.vocabulary,
        context=config.context,
        device=loaded.device,
        precision=loaded.precision,
        threads=loaded.threads,
        chat_template=chats,
        defaults=defaults,
        from_model=taken,
        note=" ".join(filter(None, (note, loaded.model.note))),
        encoder_layers=getattr(config, "encoder_layers", 0),
        encoder_heads=getattr(config, "encoder_heads", config.heads) if loaded.kind == "encoder-decoder" else 0,
        use=getattr(config, "use", ""),
        chat_format=chat_format,
        runs=loaded.runs,
        held=loaded.held,
    )
