"""Marian's tokenizer: a SentencePiece model cuts, vocab.json counts, mostly for both languages together.

A piece that only the target's language has must never be cut from a source, and yet be shown when the model writes it:
it bears a mark here that no text can hold. A piece of the source's model that vocab.json lacks is unknown: it gets an
id beyond the vocabulary. Source: transformers' tokenization_marian.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import decoders, normalizers

from engine.errors import BadModelFiles, UnsupportedModel
from engine.text.sentencepiece import UNIGRAM, SentencePieceModel
from engine.text.vocabularies import Kind, Piece, framed, sentencepiece_unigram

MARK = "\ue000"


def marian(
    source: SentencePieceModel, ids: Mapping[str, Any], specials: Mapping[str, str], name: str
) -> tokenizers.Tokenizer:
    """The tokenizer, of whose ids those from len(ids) on are unknown to the model.

    specials: eos_token, unk_token, pad_token; name: what to call vocab.json by in messages.
    """
    if source.algorithm != UNIGRAM:
        raise UnsupportedModel(
            f"{name} belongs to a SentencePiece model that is not Unigram.", "Add the model's tokenizer.json."
        )
    texts = {id: text for text, id in ids.items()}
    if set(texts) != set(range(len(ids))) or specials["unk_token"] not in ids:
        raise BadModelFiles(f"{name} does not number its tokens from 0 on.", "Download the file again.")
    scores = {piece.text: piece.score for piece in source.pieces if piece.kind != Kind.CONTROL}
    lowest = min(scores.values(), default=0.0)
    pieces = [
        Piece(text, 0.0, Kind.CONTROL) if text in specials.values()
        else Piece(text, 0.0, Kind.USER_DEFINED) if text.startswith(">>") and text.endswith("<<")  # a language's code
        else Piece(text, scores[text]) if text in scores
        else Piece(MARK + text, lowest)
        for text in (texts[id] for id in range(len(ids)))
    ]  # fmt: skip
    pieces += [Piece(text, score) for text, score in scores.items() if text not in ids]
    backend = sentencepiece_unigram(pieces, ids[specials["unk_token"]], "always", source.squeeze, source.charsmap)
    steps = [backend.normalizer] if backend.normalizer else []
    backend.normalizer = normalizers.Sequence([normalizers.Replace(MARK, ""), *steps])
    backend.decoder = decoders.Sequence([decoders.Replace(MARK, ""), backend.decoder])
    framed(backend, "", specials["eos_token"])
    return backend
