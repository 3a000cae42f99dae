"""The chat template of a checkpoint: its own, wherever its files keep it, or a fallback for the format it was tuned to.

A fallback is for files that lost their template, never for a base model: the special tokens must hold the format's
marks, and the end of a turn must be what ends the model's answers (base models carry the marks too, and end otherwise),
or the file must say that it was tuned. Formats whose releases differ in their blanks ([INST]) have none: a wrong blank
is worse than to continue a text. It reads small parts of files and imports no tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import BadModelFiles
from engine.text.files import first_line, read_json, read_text

if TYPE_CHECKING:
    from engine.gguf import GGUF

CONTROL = 3
TUNED = ("instruct", "chat", "it")
"""What GGUF's general.finetune says of a model that takes turns."""


class Found(NamedTuple):
    """A template's source, None where there is none; format: the fallback's name, "" where it is the model's own."""

    source: str | None
    format: str = ""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """marks: special tokens that it needs; end: the one that ends a turn; families: those that are only ever tuned."""

    name: str
    marks: tuple[str, ...]
    end: str
    template: str
    families: tuple[str, ...] = ()


FORMATS = (
    ChatFormat(
        "Phi-4",
        ("<|im_start|>", "<|im_sep|>", "<|im_end|>"),
        "<|im_end|>",
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message.role + '<|im_sep|>' + message.content + '<|im_end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}",
    ),
    ChatFormat(
        "ChatML",
        ("<|im_start|>", "<|im_end|>"),
        "<|im_end|>",
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    ),
    ChatFormat(
        "Llama 3",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|eot_id|>",
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}"
        "{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    ),
    ChatFormat(
        "Gemma",  # Gemma 3's, where what the system says begins the first turn; Gemma 2's knows no system
        ("<start_of_turn>", "<end_of_turn>"),
        "<end_of_turn>",
        "{{ bos_token }}{% set first = '' %}{% if messages[0].role == 'system' %}"
        "{% set first = messages[0].content | trim + '\n\n' %}{% set messages = messages[1:] %}{% endif %}"
        "{% for message in messages %}"
        "{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n'"
        " + (first if loop.first else '') + message.content | trim + '<end_of_turn>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    ),
    ChatFormat(
        "Phi-3",  # Phi-4-mini, of the same family, writes no line ends, and its vocabulary holds no places
        ("<|user|>", "<|assistant|>", "<|end|>", "<|placeholder1|>"),
        "<|end|>",
        "{% for message in messages %}"
        "{{ '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
        families=("phi3",),
    ),
)


def of_folder(folder: Path) -> Found:
    """The template for a model folder. Raises BadModelFiles where a file that should say it cannot be read."""
    settings = read_json(folder / "special_tokens_map.json") | read_json(folder / "tokenizer_config.json")
    own = _own(folder, settings)
    if own is not None:
        return Found(own)
    special = dict(_special_tokens(folder, settings))
    config = read_json(folder / "config.json")
    ends = {_content(settings.get("eos_token"))}
    for values in (config, read_json(folder / "generation_config.json")):
        named = values.get("eos_token_id")
        ends |= {special.get(id) for id in (named if isinstance(named, list) else [named]) if type(id) is int}
    return fallback(str(config.get("model_type", "")), set(special.values()), ends)


def of_gguf(file: GGUF) -> Found:
    """The template for a GGUF file. Raises BadModelFiles where its vocabulary cannot be read."""
    own = file.metadata.get("tokenizer.chat_template")
    if isinstance(own, str) and own:
        return Found(own)
    kinds = file.numbers("tokenizer.ggml.token_type")
    packed = getattr(file.metadata.get("tokenizer.ggml.tokens"), "packed", b"")
    # To look for marks in the bytes spares most files the decoding of their vocabulary.
    if kinds is None or not any(all(mark.encode() in packed for mark in known.marks) for known in FORMATS):
        return Found(None)
    special = {id: text for id, (text, kind) in enumerate(zip(file.texts("tokenizer.ggml.tokens"), kinds.tolist()))
               if kind == CONTROL}  # fmt: skip
    ends = {special.get(file.take(f"tokenizer.ggml.{name}_token_id", int, -1)) for name in ("eos", "eot")}
    tuned = str(file.metadata.get("general.finetune", "")).lower() in TUNED
    return fallback(str(file.metadata.get("general.architecture", "")), set(special.values()), ends, tuned)


def fallback(model_type: str, special: Collection[str], ends: Collection[str | None], tuned: bool = False) -> Found:
    """The template of the format that these special tokens and ends of answers are plainly for, if there is one."""
    for known in FORMATS:
        plain = known.end in ends or tuned or model_type in known.families
        if plain and all(mark in special for mark in known.marks):
            return Found(known.template, known.name)
    return Found(None)


def _own(folder: Path, settings: dict[str, Any]) -> str | None:
    """chat_template.jinja, else tokenizer_config's, else chat_template.json's.

    Of several that have names the one called "default", else the first.
    """
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return read_text(path)
        except UnicodeDecodeError as error:
            raise BadModelFiles(f"chat_template.jinja in {folder} cannot be read: {first_line(error)}.") from error
    template = settings.get("chat_template") or read_json(folder / "chat_template.json").get("chat_template")
    if isinstance(template, list):
        template = {str(t.get("name")): t.get("template") for t in template if isinstance(t, dict)}
    if isinstance(template, dict):
        template = template.get("default", next(iter(template.values()), None))
    return template if isinstance(template, str) and template else None


def _special_tokens(folder: Path, settings: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Id and text of the special tokens that the files list."""
    decoder = settings.get("added_tokens_decoder")
    for key, token in (decoder if isinstance(decoder, dict) else {}).items():
        if str(key).isdecimal() and isinstance(token, dict) and token.get("special") is True:
            yield int(key), str(token.get("content"))
    path = folder / "tokenizer.json"
    text = read_text(path) if path.is_file() else ""
    start = text.find("[", text.find('"added_tokens"'))  # the vocabulary beside it is large
    if '"added_tokens"' not in text or start < 0:
        return
    try:
        listed, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return  # whoever reads the tokenizer itself says what is wrong
    for token in listed:
        if isinstance(token, dict) and token.get("special") is True and isinstance(token.get("id"), int):
            yield token["id"], str(token.get("content"))


def _content(value: Any) -> str | None:
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) else None
