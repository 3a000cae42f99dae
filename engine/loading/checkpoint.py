"""A model as it lies on the disk: a folder in transformers' layout, or one GGUF file. Free of torch.

Both say the same things here, so that loading and the catalog know neither: a name, a config, the weights' headers.
What reads GGUF is imported with the first such file: its library takes a tenth of a second of the window's start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from engine.errors import EngineError
from engine.gguf_parts import first, title, wholes
from engine.loading.bnb import BnbWeights, check_method
from engine.loading.files import described, model_folder, read_json, read_optional
from engine.loading.safetensors import Weights
from engine.text.chat_formats import Found, of_folder, of_gguf

if TYPE_CHECKING:
    from engine.gguf import GGUF
    from engine.loading.architectures import Architecture
    from engine.loading.gguf import GGUFWeights

ENDS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>")
"""Tokens that end an answer wherever they are in a GGUF's vocabulary, as for llama.cpp."""


QUANTISED = "quantization_config"


@dataclass(frozen=True)
class Folder:
    """source: what to call the config by in messages; settings: what kind of thing it is."""

    settings: ClassVar[str] = "config.json"
    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """Without how the weights were quantised, which is no family's business."""
        return {key: value for key, value in self._whole.items() if key != QUANTISED}

    @cached_property
    def _whole(self) -> dict[str, Any]:
        return read_json(self.path / "config.json")

    @property
    def source(self) -> str:
        return f"{self.path.name}/config.json"

    @property
    def described(self) -> tuple[str, str]:
        """Name and note."""
        return described(self.path)

    @property
    def generation(self) -> dict[str, Any]:
        """What the checkpoint says of generating, in the words of a generation_config.json."""
        return read_optional(self.path / "generation_config.json")

    def weights(self) -> Weights:
        settings = self._whole.get(QUANTISED)
        if settings is None:
            return Weights(self.path)
        check_method(settings, self.path)
        return BnbWeights(self.path)

    @property
    def family(self) -> str:
        """The model_type, empty where it is not said."""
        named = self.config.get("model_type")
        return named if isinstance(named, str) else ""

    @property
    def tokenizer(self) -> str:
        """The kind of tokenizer beside the weights ("BPE", "Unigram", ...), empty where there is none.

        Found by its pattern: parsing the vocabulary of a large one would hold up the window for a third of a second.
        """
        try:
            found = TOKENIZER_HEAD.search((self.path / "tokenizer.json").read_bytes())
            return found[1].decode() if found else "unknown"
        except OSError:
            return next((kind for name, kind in OLDER_TOKENIZERS.items() if (self.path / name).is_file()), "")

    @property
    def joins_turns(self) -> bool:
        """Whether its tokenizer's class is one that joins the turns of a conversation into a source (Blenderbot's)."""
        named = read_optional(self.path / "tokenizer_config.json").get("tokenizer_class") or JOINING.get(self.family)
        return str(named).removesuffix("Fast") in JOINING.values()

    @cached_property
    def template(self) -> Found:
        """The chat template; none where a file that should say it cannot be read."""
        try:
            return of_folder(self.path)
        except EngineError:
            return Found(None)


@dataclass(frozen=True)
class GGUFFile:
    """The same of a GGUF file, or of the parts of one, whose header is read once. path: the first part."""

    settings: ClassVar[str] = "metadata"
    path: Path

    @cached_property
    def header(self) -> GGUF:
        from engine.gguf import GGUF

        return GGUF(self.path)

    @cached_property
    def _architecture(self) -> tuple[Architecture, dict[str, Any]]:
        from engine.loading.architectures import architecture

        return architecture(self.header)

    @property
    def config(self) -> dict[str, Any]:
        return self._architecture[1]

    @property
    def source(self) -> str:
        return self.path.name

    @property
    def described(self) -> tuple[str, str]:
        note = self.header.metadata.get("general.description")
        return title(self.path), note if isinstance(note, str) else ""

    @property
    def generation(self) -> dict[str, Any]:
        tokens = self.header.texts("tokenizer.ggml.tokens") if "tokenizer.ggml.tokens" in self.header.metadata else []
        named = [self.header.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
        return {"eos_token_id": [id for id in named if id is not None] + [tokens.index(t) for t in ENDS if t in tokens]}

    def weights(self) -> GGUFWeights:
        from engine.loading.architectures import no_weights
        from engine.loading.gguf import GGUFWeights

        if not self.header.tensors:
            raise no_weights(self.header)
        return GGUFWeights(self.header, *self._architecture)

    @property
    def family(self) -> str:
        """The model_type, or the architecture's name where that is not known here."""
        named = self.header.metadata.get("general.architecture")
        try:
            return str(self.config["model_type"])
        except EngineError:
            return named if isinstance(named, str) else ""

    @property
    def tokenizer(self) -> str:
        """The kind of tokenizer inside, empty where there is none."""
        kind = self.header.metadata.get("tokenizer.ggml.model")
        held = "tokenizer.ggml.tokens" in self.header.metadata
        return TOKENIZERS.get(str(kind), "unknown") if held else ""

    @property
    def joins_turns(self) -> bool:
        return False

    @cached_property
    def template(self) -> Found:
        """The chat template; none where the vocabulary that should say it cannot be read."""
        try:
            return of_gguf(self.header)
        except EngineError:
            return Found(None)


Checkpoint = Folder | GGUFFile
TOKENIZER_HEAD = re.compile(rb'"model"\s*:\s*\{\s*"type"\s*:\s*"(\w+)"')
OLDER_TOKENIZERS = {
    "tokenizer.model": "SentencePiece",
    "spiece.model": "SentencePiece",
    "sentencepiece.bpe.model": "SentencePiece",
    "source.spm": "SentencePiece",
    "merges.txt": "BPE",
    "vocab.txt": "WordPiece",
}
JOINING = {"blenderbot": "BlenderbotTokenizer", "blenderbot-small": "BlenderbotSmallTokenizer"}
TOKENIZERS = {"llama": "BPE", "gpt2": "BPE", "gemma4": "BPE", "whitespace": "BPE", "bert": "WordPiece", "t5": "Unigram"}


def checkpoint(path: str) -> Checkpoint:
    """What lies there; BadModelFiles where it is no model. A folder with one GGUF model stands for it."""
    place = Path(path).expanduser()
    if place.suffix == ".gguf" and place.is_file():
        return GGUFFile(first(place))
    if place.is_dir() and not (place / "config.json").is_file():
        files = wholes(place.glob("*.gguf"))
        if len(files) == 1:
            return GGUFFile(files[0])
    return Folder(model_folder(path))
