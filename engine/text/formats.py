"""The files that a tokenizer may come in, each read into the `tokenizers` library's terms.

In this order: tokenizer.json, which says everything itself; a GGUF file; and the older files, of which each says less
(a SentencePiece model, vocab.json with merges.txt, vocab.txt), so that the tokenizer_class beside them has to be known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, normalizers

from engine.errors import BadModelFiles, EngineError, UnsupportedModel
from engine.gguf_parts import wholes
from engine.text import sentencepiece
from engine.text.marian import marian
from engine.text.splitting import QWEN2
from engine.text.vocabularies import byte_level_bpe, framed, word_pieces

AGAIN = "Download the model's files again."
LARGEST = 64 * 2**20
"""Bytes a vocabulary's file may have."""

Files = tuple[tokenizers.Tokenizer, dict[str, Any], str | None]
Builder = Callable[[Path, dict[str, Any], str], tokenizers.Tokenizer]


def read(place: Path) -> Files:
    """The tokenizer of a model folder or GGUF file, its settings and its chat template.

    Settings are in the words of a tokenizer_config.json. Raises BadModelFiles or UnsupportedModel.
    """
    if place.is_file():
        return _guarded(place.name, lambda: _of_gguf(place))
    settings = read_json(place / "special_tokens_map.json") | read_json(place / "tokenizer_config.json")
    template = _chat_template(place, settings)
    path = place / "tokenizer.json"
    if path.is_file():
        backend = _guarded(f"tokenizer.json in {place}", lambda: tokenizers.Tokenizer.from_str(_text(path)))
        backend.no_truncation()
        backend.no_padding()
        return backend, settings, template
    for name, (usual, build) in BUILDERS.items():
        if (place / name).is_file() and (name != "vocab.json" or (place / "merges.txt").is_file()):
            known = settings.get("tokenizer_class") or usual
            kind = str(known).removesuffix("Fast")
            backend = _guarded(f"{name} in {place}", partial(build, place / name, settings, kind))
            _add_listed(backend, settings, place)
            return backend, settings, template
    files = wholes(place.glob("*.gguf"))
    if len(files) == 1:
        return read(files[0])
    raise BadModelFiles(f"tokenizer.json is missing in {place}.", AGAIN)


def _guarded(name: str, build: Callable[[], Any]) -> Any:
    """What build gives; whatever the library throws at a broken file, as BadModelFiles."""
    try:
        return build()
    except (EngineError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are no Exceptions
        raise BadModelFiles(f"{name} cannot be read: {_first_line(error)}.", AGAIN) from error


def _of_gguf(path: Path) -> Files:
    from engine.gguf import GGUF
    from engine.text.gguf_vocabulary import vocabulary

    backend, settings = vocabulary(GGUF(path))
    return backend, settings, settings["chat_template"]


def _sentencepiece(path: Path, settings: dict[str, Any], kind: str) -> tokenizers.Tokenizer:
    """Llama's, Gemma's and T5's; those of others shift ids against the file's."""
    _require(path, kind, ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "T5Tokenizer"))
    model = sentencepiece.read(_bytes(path), f"{path.name} in {path.parent}")
    if kind == "T5Tokenizer":
        backend = model.tokenizer()
        _name(settings, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
        count = settings.get("extra_ids", 100)
        names = [f"<extra_id_{n}>" for n in reversed(range(count if isinstance(count, int) else 0))]
        backend.add_special_tokens([AddedToken(name, normalized=False) for name in names])
        framed(backend, "", settings["eos_token"])
        return backend
    first = settings.get("legacy") is False and model.prefix
    bare = settings.get("add_prefix_space") is False
    backend = model.tokenizer("never" if bare else "first" if first else None)
    _name(settings, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    settings.setdefault("add_bos_token", True)
    return backend


def _byte_level(path: Path, settings: dict[str, Any], kind: str) -> tokenizers.Tokenizer:
    """GPT-2's vocab.json and merges.txt, and what BART, RoBERTa, Blenderbot and Qwen2 made of them."""
    framing = ("RobertaTokenizer", "BartTokenizer", "BlenderbotTokenizer")
    _require(path, kind, ("GPT2Tokenizer", "Qwen2Tokenizer", *framing))
    vocabulary = read_json(path)
    if not all(type(id) is int and 0 <= id < 2**31 for id in vocabulary.values()):
        raise BadModelFiles(f"{path.name} in {path.parent} holds ids that are no numbers.", AGAIN)
    lines = _text(path.with_name("merges.txt")).split("\n")
    merges = [_pair(line) for line in lines if line and not line.startswith("#version")]
    prefix = settings.get("add_prefix_space", kind == "BlenderbotTokenizer") is True
    backend = byte_level_bpe(vocabulary, merges, (QWEN2,) if kind == "Qwen2Tokenizer" else None, prefix=prefix)
    if kind == "Qwen2Tokenizer":
        backend.normalizer = normalizers.NFC()
        _name(settings, eos_token="<|endoftext|>")
    elif kind == "GPT2Tokenizer":
        end = "<|endoftext|>"
        _name(settings, bos_token=end, eos_token=end, unk_token=end)
    else:
        _name(settings, bos_token="<s>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>")
        # The blank before a mask is part of what it stands for.
        backend.add_special_tokens([AddedToken(settings["mask_token"], lstrip=True, normalized=False)])
        framed(backend, "" if kind == "BlenderbotTokenizer" else settings["bos_token"], settings["eos_token"])
    return backend


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _word_pieces(path: Path, settings: dict[str, Any], kind: str) -> tokenizers.Tokenizer:
    _require(path, kind, ("BertTokenizer", "DistilBertTokenizer"))
    lines = _text(path).removesuffix("\n").split("\n")
    lower = settings.get("do_lower_case") is not False
    _name(settings, unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]", mask_token="[MASK]")
    vocabulary = {line.removesuffix("\r"): id for id, line in enumerate(lines)}
    backend = word_pieces(vocabulary, settings["unk_token"], lower)
    framed(backend, settings["cls_token"], settings["sep_token"])
    return backend


def _marian(path: Path, settings: dict[str, Any], kind: str) -> tokenizers.Tokenizer:
    _require(path, kind, ("MarianTokenizer",))
    if settings.get("separate_vocabs") is True:
        raise UnsupportedModel(
            f"{path.parent} has a vocabulary for each language, which cannot be read yet.",
            "Add the model's tokenizer.json to the folder.",
        )
    _name(settings, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    source = sentencepiece.read(_bytes(path), f"{path.name} in {path.parent}")
    specials = {name: settings[name] for name in ("eos_token", "unk_token", "pad_token")}
    return marian(source, read_json(path.with_name("vocab.json")), specials, f"vocab.json in {path.parent}")


BUILDERS: dict[str, tuple[str, Builder]] = {
    "tokenizer.model": ("LlamaTokenizer", _sentencepiece),
    "spiece.model": ("T5Tokenizer", _sentencepiece),
    "source.spm": ("MarianTokenizer", _marian),
    "vocab.json": ("GPT2Tokenizer", _byte_level),
    "vocab.txt": ("BertTokenizer", _word_pieces),
}
"""File name -> the class that writes it where nothing else is said, and what reads it."""


def _require(path: Path, kind: str, known: tuple[str, ...]) -> None:
    if kind not in known:
        raise UnsupportedModel(
            f"{path.name} in {path.parent} belongs to a {kind}, which cannot be read yet.",
            "Add the model's tokenizer.json to the folder.",
        )


def _named(settings: dict[str, Any], name: str, default: str) -> str:
    """The text of a special token, which is a plain string or {"content": ...}."""
    value = settings.get(name, default)
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) else default


def _name(settings: dict[str, Any], **usual: str) -> None:
    """Let the settings name the special tokens, as their class does where they do not."""
    for name, text in usual.items():
        settings[name] = _named(settings, name, text)


def _add_listed(backend: tokenizers.Tokenizer, settings: dict[str, Any], place: Path) -> None:
    """The tokens that added_tokens_decoder or the older added_tokens.json list beyond the vocabulary."""
    listed: dict[int, dict[str, Any]] = {}
    for text, id in read_json(place / "added_tokens.json").items():
        if type(id) is int:
            listed[id] = {"content": text, "special": True}
    decoder = settings.get("added_tokens_decoder")
    for key, token in (decoder if isinstance(decoder, dict) else {}).items():
        if str(key).isdecimal() and isinstance(token, dict) and isinstance(token.get("content"), str):
            listed[int(key)] = token
    for id, token in sorted(listed.items()):
        flags = {name: token.get(name) is True for name in ("single_word", "lstrip", "rstrip", "normalized")}
        added = AddedToken(token["content"], special=token.get("special") is True, **flags)
        (backend.add_special_tokens if added.special else backend.add_tokens)([added])
        if backend.token_to_id(token["content"]) != id:
            raise BadModelFiles(f"The added token {token['content']!r:.60} in {place} does not get its id {id}.", AGAIN)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise BadModelFiles(f"{path.name} in {path.parent} is larger than {LARGEST // 2**20} MB.", AGAIN)
        return path.read_bytes()
    except OSError as error:
        raise BadModelFiles(f"{path.name} in {path.parent} cannot be read: {_first_line(error)}.", AGAIN) from error


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file that may be absent."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise BadModelFiles(f"{path.name} in {path.parent} cannot be read: {_first_line(error)}.", AGAIN) from error
    if not isinstance(values, dict):
        raise BadModelFiles(f"{path.name} in {path.parent} holds no JSON object.", AGAIN)
    return values


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The checkpoint's template: chat_template.jinja, else tokenizer_config's, else chat_template.json's.

    Of a list of named templates the one called "default", else the first.
    """
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadModelFiles(f"chat_template.jinja in {folder} cannot be read: {_first_line(error)}.") from error
    template = settings.get("chat_template") or read_json(folder / "chat_template.json").get("chat_template")
    if isinstance(template, list):
        named = {str(t.get("name")): t.get("template") for t in template if isinstance(t, dict)}
        template = named.get("default", next(iter(named.values()), None))
    return template if isinstance(template, str) and template else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
