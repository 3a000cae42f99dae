"""SentencePiece models whose ids are not the file's own, against transformers' classes and a slow search of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepieces import CONTROL, NORMAL, SPACE, UNKNOWN, Row, cut, sentencepiece_model

from engine.errors import UnsupportedModel
from engine.text.tokenizer import Detokenizer, Tokenizer

PIECES: list[Row] = [
    (text, -1.5 - n / 7, NORMAL) for n, text in enumerate(
        [SPACE, "the", f"{SPACE}the", f"{SPACE}hill", "s", "h", "i", "l", "ll", "t", "e", f"{SPACE}a", "x", "é", '"',
         "9", "9,", ",", "``", "e9,", f"{SPACE}T"])
]  # fmt: skip
FILE: list[Row] = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), *PIECES]
ALBERT: list[Row] = [("<pad>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN), ("[CLS]", 0.0, CONTROL), ("[SEP]", 0.0, CONTROL),
                     ("[MASK]", 0.0, CONTROL), *PIECES]  # fmt: skip
FIRST = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
SCORED = [(text, score) for text, score, _ in FILE]
UNUSED = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0), ("<unk>NOTUSED", -100.0)]
PARTS = ["the", "The", " ", "  ", "hills", "a", "é", "É", "xz", "\n", "\t", "9,", "9,9", "``", "''", "<mask>", "</s>"]
TEXTS = st.lists(st.sampled_from(PARTS)).map("".join)


def theirs(kind: str) -> Any:
    """transformers' tokenizer of the vocabulary that its converter makes of the file."""
    transformers = pytest.importorskip("transformers")
    languages = [(code, 0.0) for code in transformers.models.mbart.tokenization_mbart.FAIRSEQ_LANGUAGE_CODES]
    vocabulary = {
        "XLMRobertaTokenizer": [*FIRST, *SCORED[3:], ("<mask>", 0.0)],
        "CamembertTokenizer": [*UNUSED, *SCORED[1:], ("<mask>", 0.0)],
        "MBartTokenizer": [*FIRST, *SCORED[3:], *languages, ("<mask>", 0.0)],
        # A piece of a digit and a comma is never cut.
        "AlbertTokenizer": [(text, score - 100 * (text in ("9,", "e9,"))) for text, score, _ in ALBERT],
    }[kind]
    return getattr(transformers, kind)(vocab=vocabulary)


@pytest.fixture(
    scope="module", params=["XLMRobertaTokenizer", "CamembertTokenizer", "MBartTokenizer", "AlbertTokenizer"]
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    albert = request.param == "AlbertTokenizer"
    name = "spiece.model" if albert else "sentencepiece.bpe.model"
    (folder / name).write_bytes(sentencepiece_model(ALBERT if albert else FILE))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": request.param}), "utf-8")
    return Tokenizer.load(str(folder)), theirs(request.param)


@pytest.mark.parity
@given(text=TEXTS)
def test_ids_and_texts_are_those_of_transformers(pair: tuple[Tokenizer, Any], text: str) -> None:
    ours, library = pair
    ids = library(text)["input_ids"]
    assert ours.encode(text) == ids
    assert ours.decode(ids) == library.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@given(text=TEXTS)
def test_text_arrives_piece_by_piece_as_it_is_read_whole(pair: tuple[Tokenizer, Any], text: str) -> None:
    ours, _ = pair
    ids = ours.encode(text)
    stream = Detokenizer(ours)
    assert "".join([stream.push(id) for id in ids]) + stream.flush() == ours.decode(ids)


def test_ids_are_shifted_against_the_file(tmp_path: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(sentencepiece_model(FILE))
    tokenizer = Tokenizer.load(str(tmp_path))
    places = {row[0]: id for id, row in enumerate(FILE)}
    text = "the hills ll zz"
    expected = [places[piece] + 1 if piece in places else 3 for piece in cut(text, FILE)]
    assert tokenizer.encode(text) == [0, *expected, 2]
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.token(1), tokenizer.token(3)) == (0, 2, "<pad>", "<unk>")


def test_another_class_of_these_files_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(sentencepiece_model(FILE))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "NllbTokenizer"}', "utf-8")
    with pytest.raises(UnsupportedModel, match="NllbTokenizer"):
        Tokenizer.load(str(tmp_path))
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "sentencepiece.bpe.model").write_bytes(sentencepiece_model(FILE, algorithm=2))
    with pytest.raises(UnsupportedModel, match="not Unigram, which a XLMRobertaTokenizer reads"):
        Tokenizer.load(str(tmp_path))
