"""SentencePiece vocabularies whose ids are fairseq's: XLM-RoBERTa, CamemBERT and mBART; and ALBERT, cut like them.

fairseq numbered the special tokens itself and put the pieces behind them, so that an id is not a place in the .model.
Texts are cut at every blank first. Source: transformers' convert_slow_tokenizer.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import tokenizers
from tokenizers import AddedToken, normalizers, pre_tokenizers, processors

from engine.text.sentencepiece import SentencePieceModel
from engine.text.vocabularies import SPACE, Kind, Piece, framed, sentencepiece_unigram

FIRST = ("<s>", "<pad>", "</s>", "<unk>")
UNUSED = ("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED")
LANGUAGES = (
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT", "ja_XX",
    "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN",
)  # fmt: skip
NEVER = 100.0
"""What a piece's score loses that shall not be cut."""


def xlm_roberta(model: SentencePieceModel) -> tokenizers.Tokenizer:
    backend = _built(
        model, [*_specials(FIRST), *_plain(model.pieces[3:]), *_specials(["<mask>"])], FIRST.index("<unk>")
    )
    framed(backend, "<s>", "</s>")
    return backend


def camembert(model: SentencePieceModel) -> tokenizers.Tokenizer:
    first = _specials([UNUSED[0], "<pad>", UNUSED[1], "<unk>"])
    pieces = [*first, Piece(UNUSED[2], -NEVER), *_plain(model.pieces[1:]), *_specials(["<mask>"])]
    backend = _built(model, pieces, 3)
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in ("<s>", "</s>", *UNUSED)])
    framed(backend, "<s>", "</s>")
    return backend


def mbart(model: SentencePieceModel, language: str) -> tokenizers.Tokenizer:
    """The tokenizer of what is read in a language, such as en_XX."""
    last = _specials([*LANGUAGES, "<mask>"])
    backend = _built(model, [*_specials(FIRST), *_plain(model.pieces[3:]), *last], FIRST.index("<unk>"))
    ends = [(text, backend.token_to_id(text)) for text in ("</s>", language)]
    backend.post_processor = processors.TemplateProcessing(single=f"$A </s> {language}", special_tokens=ends)
    return backend


def albert(model: SentencePieceModel, lower: bool, accents: bool) -> tokenizers.Tokenizer:
    """ALBERT's; lower: capitals do not count; accents: they do. A piece that ends in a digit and a comma is not cut."""
    pieces = [
        piece if piece.text[-1:] != "," or not piece.text[-2:-1].isdigit() else Piece(piece.text, piece.score - NEVER)
        for piece in model.pieces
    ]
    backend = _built(model, pieces, model.unknown)
    steps: list[normalizers.Normalizer] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    steps += [] if accents else [normalizers.NFKD(), normalizers.StripAccents()]
    steps += [normalizers.Lowercase()] if lower else []
    steps += [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    backend.normalizer = normalizers.Sequence(steps)
    framed(backend, "[CLS]", "[SEP]")
    return backend


def _built(model: SentencePieceModel, pieces: Sequence[Piece], unknown: int) -> tokenizers.Tokenizer:
    backend = sentencepiece_unigram(pieces, unknown, "always", squeeze=False, charsmap=model.charsmap)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE, "always")]
    )
    # The blank before a mask is part of what it stands for.
    masks = [text for text in ("<mask>", "[MASK]") if backend.token_to_id(text) is not None]
    backend.add_special_tokens([AddedToken(text, lstrip=True, normalized=False) for text in masks])
    return backend


def _plain(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces as ordinary ones: fairseq's special tokens are others."""
    return [Piece(piece.text, piece.score) for piece in pieces]


def _specials(texts: Sequence[str]) -> list[Piece]:
    return [Piece(text, 0.0, Kind.CONTROL) for text in texts]
