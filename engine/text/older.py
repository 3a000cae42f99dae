"""The files that tokenizers came in before tokenizer.json, each read as the class that wrote it would.

Each says less than a tokenizer.json: a SentencePiece model, vocab.json with merges.txt, vocab.txt. What they leave out
(the special tokens, how spaces count) their class knows, so that it has to be known here too; others are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, normalizers

from engine.errors import BadModelFiles, UnsupportedModel
from engine.text import fairseq, sentencepiece
from engine.text.blenderbot_small import blenderbot_small
from engine.text.files import AGAIN, Files, read_bytes, read_json, read_text
from engine.text.marian import marian
from engine.text.splitting import QWEN2
from engine.text.vocabularies import byte_level_bpe, framed, word_pieces

ADD = "Add the model's tokenizer.json to the folder."
SHIFTED = ("XLMRobertaTokenizer", "CamembertTokenizer", "MBartTokenizer", "AlbertTokenizer")
Builder = Callable[[Path, dict[str, Any], str], Files]


def _sentencepiece(path: Path, settings: dict[str, Any], kind: str) -> Files:
    """Llama's, Gemma's and T5's, whose ids are the file's."""
    kind = "T5Tokenizer" if kind == "MT5Tokenizer" else kind
    _require(path, kind, ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer", "T5Tokenizer", *SHIFTED))
    if kind in SHIFTED:
        return _shifted(path, settings, kind)
    model = sentencepiece.read(read_bytes(path), f"{path.name} in {path.parent}")
    if kind == "T5Tokenizer":
        backend = model.tokenizer()
        _name(settings, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
        count = settings.get("extra_ids", 100)
        names = [f"<extra_id_{n}>" for n in reversed(range(count if isinstance(count, int) else 0))]
        backend.add_special_tokens([AddedToken(name, normalized=False) for name in names])
        framed(backend, "", settings["eos_token"])
        return Files(backend, settings)
    first = settings.get("legacy") is False and model.prefix
    bare = settings.get("add_prefix_space") is False
    backend = model.tokenizer("never" if bare else "first" if first else None)
    _name(settings, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    settings.setdefault("add_bos_token", True)
    return Files(backend, settings)


def _shifted(path: Path, settings: dict[str, Any], kind: str) -> Files:
    """Those that number their tokens otherwise than the file does."""
    model = sentencepiece.read(read_bytes(path), f"{path.name} in {path.parent}")
    if model.algorithm != sentencepiece.UNIGRAM:
        raise UnsupportedModel(f"{path.name} in {path.parent} is not Unigram, which a {kind} reads.", ADD)
    if kind == "AlbertTokenizer":
        _name(settings, cls_token="[CLS]", sep_token="[SEP]", pad_token="<pad>", unk_token="<unk>", mask_token="[MASK]")
        lower, accents = settings.get("do_lower_case") is not False, settings.get("keep_accents") is True
        return Files(fairseq.albert(model, lower, accents), settings)
    _name(settings, cls_token="<s>", bos_token="<s>", eos_token="</s>", sep_token="</s>")
    _name(settings, pad_token="<pad>", unk_token="<unk>", mask_token="<mask>")
    if kind == "MBartTokenizer":
        language = settings.get("src_lang")
        return Files(fairseq.mbart(model, language if language in fairseq.LANGUAGES else "en_XX"), settings)
    return Files((fairseq.camembert if kind == "CamembertTokenizer" else fairseq.xlm_roberta)(model), settings)


def _byte_level(path: Path, settings: dict[str, Any], kind: str) -> Files:
    """GPT-2's vocab.json and merges.txt, and what BART, RoBERTa, Blenderbot and Qwen2 made of them."""
    framing = ("RobertaTokenizer", "BartTokenizer", "BlenderbotTokenizer")
    _require(path, kind, ("GPT2Tokenizer", "Qwen2Tokenizer", "BlenderbotSmallTokenizer", *framing))
    vocabulary = read_json(path)
    if not all(type(id) is int and 0 <= id < 2**31 for id in vocabulary.values()):
        raise BadModelFiles(f"{path.name} in {path.parent} holds ids that are no numbers.", AGAIN)
    lines = read_text(path.with_name("merges.txt")).split("\n")
    merges = [_pair(line) for line in lines if line and not line.startswith("#version")]
    if kind == "BlenderbotSmallTokenizer":
        _name(settings, bos_token="__start__", eos_token="__end__", unk_token="__unk__", pad_token="__null__")
        specials = [settings[name] for name in ("bos_token", "eos_token", "unk_token", "pad_token")]
        backend = blenderbot_small(vocabulary, merges, specials, settings["unk_token"])
        return Files(backend, settings, tokens=_tokens(backend, vocabulary))
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
    return Files(backend, settings)


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _word_pieces(path: Path, settings: dict[str, Any], kind: str) -> Files:
    _require(path, kind, ("BertTokenizer", "DistilBertTokenizer"))
    lines = read_text(path).removesuffix("\n").split("\n")
    lower, chinese = settings.get("do_lower_case") is not False, settings.get("tokenize_chinese_chars") is not False
    strip = settings.get("strip_accents")
    _name(settings, unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]", mask_token="[MASK]")
    vocabulary = {line.removesuffix("\r"): id for id, line in enumerate(lines)}
    backend = word_pieces(vocabulary, settings["unk_token"], lower, None if strip is None else not strip, chinese)
    framed(backend, settings["cls_token"], settings["sep_token"])
    return Files(backend, settings)


def _marian(path: Path, settings: dict[str, Any], kind: str) -> Files:
    _require(path, kind, ("MarianTokenizer",))
    _name(settings, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    specials = {name: settings[name] for name in ("eos_token", "unk_token", "pad_token")}
    separate = settings.get("separate_vocabs") is True
    texts = [("source.spm", "vocab.json"), *([("target.spm", "target_vocab.json")] if separate else [])]
    sides: list[Files] = []
    for pieces, names in texts:
        if not (path.parent / names).is_file():
            raise BadModelFiles(f"{names} is missing in {path.parent}.", AGAIN)
        model = sentencepiece.read(read_bytes(path.parent / pieces), f"{pieces} in {path.parent}")
        ids = read_json(path.parent / names)
        backend = marian(model, ids, specials, f"{names} in {path.parent}")
        sides.append(Files(backend, settings, tokens=_tokens(backend, ids)))
    return replace(sides[0], target=sides[1]) if separate else sides[0]


BUILDERS: dict[str, tuple[str, Builder]] = {
    "tokenizer.model": ("LlamaTokenizer", _sentencepiece),
    "spiece.model": ("T5Tokenizer", _sentencepiece),
    "sentencepiece.bpe.model": ("XLMRobertaTokenizer", _sentencepiece),
    "source.spm": ("MarianTokenizer", _marian),
    "vocab.json": ("GPT2Tokenizer", _byte_level),
    "vocab.txt": ("BertTokenizer", _word_pieces),
}
"""File name -> the class that writes it where nothing else is said, and what reads it."""

CLASSES = {
    "albert": "AlbertTokenizer",
    "bart": "BartTokenizer",
    "blenderbot": "BlenderbotTokenizer",
    "blenderbot-small": "BlenderbotSmallTokenizer",
    "camembert": "CamembertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "gemma2": "GemmaTokenizer",
    "gemma3_text": "GemmaTokenizer",
    "mbart": "MBartTokenizer",
    "mt5": "T5Tokenizer",
    "qwen2": "Qwen2Tokenizer",
    "qwen3": "Qwen2Tokenizer",
    "roberta": "RobertaTokenizer",
    "t5": "T5Tokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
}
"""model_type -> the class of its tokenizer, for folders older than tokenizer_class."""


def builder(place: Path, settings: dict[str, Any]) -> tuple[str, Callable[[], Files]] | None:
    """The name of the file to read in a folder and what reads it; None where there is none."""
    for name, (usual, build) in BUILDERS.items():
        if (place / name).is_file() and (name != "vocab.json" or (place / "merges.txt").is_file()):
            model_type = str(read_json(place / "config.json").get("model_type", ""))
            kind = str(settings.get("tokenizer_class") or CLASSES.get(model_type, usual)).removesuffix("Fast")
            return name, partial(build, place / name, settings, kind)
    return None


def _tokens(backend: tokenizers.Tokenizer, ids: dict[str, Any]) -> int | None:
    """How many ids the model has, where the tokenizer has more."""
    return len(ids) if backend.get_vocab_size() > len(ids) else None


def _require(path: Path, kind: str, known: tuple[str, ...]) -> None:
    if kind not in known:
        raise UnsupportedModel(
            f"{path.name} in {path.parent} belongs to a {kind}, which cannot be read yet.",
            ADD,
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
