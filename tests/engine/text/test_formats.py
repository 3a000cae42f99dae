"""Tokenizers from the older files and from GGUF, against the tokenizer.json of the same model and llama.cpp's ids."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFWriter

from engine.errors import BadModelFiles, UnsupportedModel
from engine.text.tokenizer import Tokenizer
from engine.text.vocabularies import SPACE, Kind

OLDER = {
    "gpt2": ("vocab.json", "merges.txt"),
    "qwen2": ("vocab.json", "merges.txt"),
    "llama2": ("tokenizer.model",),
    "t5": ("spiece.model",),
    "bert-base-uncased": ("vocab.txt",),
}
PIECES = [("<unk>", Kind.UNKNOWN), ("<s>", Kind.CONTROL), ("</s>", Kind.CONTROL), ("<0x0A>", Kind.BYTE),
          *((text, Kind.NORMAL) for text in (SPACE, "a", "b", f"{SPACE}a", "ab", "aab")),
          ("<mark>", Kind.USER_DEFINED)]  # fmt: skip


def texts_of(references: Path) -> list[str]:
    """The texts that llama.cpp's and transformers.js's cases are about."""
    found: set[str] = set()
    for path in (references / "tokenizers").glob("*/*.inp"):
        found.update(path.read_bytes().decode().split("\n__ggml_vocab_test__\n"))
    for path in (references / "tokenizers").glob("*/expected-transformersjs.json"):
        cases = json.loads(path.read_text("utf-8")).values()
        found.update(case["text"] for case in cases if isinstance(case.get("text"), str))
    return sorted(found)


@pytest.mark.parity
@pytest.mark.parametrize("name", OLDER)
def test_older_files_give_the_ids_and_texts_of_the_tokenizer_json(references: Path, tmp_path: Path, name: str) -> None:
    folder = references / "tokenizers" / name
    for file in (*OLDER[name], "tokenizer_config.json"):
        shutil.copy(folder / file, tmp_path / file)
    older, whole = Tokenizer.load(str(tmp_path)), Tokenizer.load(str(folder))
    assert (older.kind, older.vocabulary_size, older.special_ids, older.special_tokens) == (
        whole.kind, whole.vocabulary_size, whole.special_ids, whole.special_tokens,
    )  # fmt: skip
    texts = texts_of(references)
    assert len(texts) > 80
    for text in texts:
        ids = whole.encode(text)
        assert older.encode(text) == ids, text
        assert older.decode(ids) == whole.decode(ids), text


@pytest.mark.parity
@pytest.mark.parametrize("name", ["bert-bge", "gpt-2", "llama-spm"])
def test_a_gguf_that_holds_only_a_vocabulary_gives_the_ids_of_llama_cpp(references: Path, name: str) -> None:
    path = references / "tokenizers" / "llamacpp-vocab-gguf" / f"ggml-vocab-{name}.gguf"
    tokenizer = Tokenizer.load(str(path))
    texts = path.with_name(f"{path.name}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    rows = path.with_name(f"{path.name}.out").read_text("utf-8").split("\n")
    assert len(texts) == len(rows) == 47
    for text, row in zip(texts, rows):
        assert tokenizer.encode(text, special=False) == [int(id) for id in row.split()], text
    added = {"bert-bge": [101, 102], "gpt-2": [], "llama-spm": [1]}[name]
    assert [id for id in tokenizer.encode("a") if id in tokenizer.special_ids] == added


@pytest.mark.parity
@pytest.mark.parametrize(
    ("model", "file"), [("stories260K", "stories260K-f32"), ("babyllama-361", "babyllama-361-q8_0")]
)
def test_the_vocabulary_in_a_gguf_is_that_of_the_folder(references: Path, model: str, file: str) -> None:
    place = references / "models" / model
    inside, beside = Tokenizer.load(str(place / "gguf" / f"{file}.gguf")), Tokenizer.load(str(place / "hf"))
    for text in texts_of(references):
        ids = beside.encode(text)
        assert inside.encode(text) == ids and inside.decode(ids) == beside.decode(ids), text


@pytest.mark.parity
def test_qwen2_in_a_gguf_gives_the_ids_of_llama_cpp(references: Path, tmp_path: Path) -> None:
    folder = references / "tokenizers" / "qwen2"
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    merges = (folder / "merges.txt").read_text("utf-8").split("\n")
    path = write_gguf(
        tmp_path / "qwen2.gguf", "gpt2",
        tokens=[*vocabulary, "<|im_end|>"], kinds=[*[1] * len(vocabulary), 3],
        merges=[merge for merge in merges if merge and not merge.startswith("#version")], pre="qwen2",
    )  # fmt: skip
    tokenizer = Tokenizer.load(str(path))
    texts = (folder / "ggml-vocab-qwen2.gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    rows = (folder / "ggml-vocab-qwen2.gguf.out").read_text("utf-8").split("\n")
    for text, row in zip(texts, rows):
        assert tokenizer.encode(text, special=False) == [int(id) for id in row.split()], text


def write_gguf(path: Path, model: str, tokens: list[str], kinds: list[int] | None = None, **changes: Any) -> Path:
    """A GGUF file that holds only a vocabulary."""
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    if kinds is not None:
        writer.add_token_types(kinds)
    add = {
        "scores": writer.add_token_scores, "merges": writer.add_token_merges, "pre": writer.add_tokenizer_pre,
        "bos": writer.add_bos_token_id, "eos": writer.add_eos_token_id, "add_bos": writer.add_add_bos_token,
        "space": writer.add_add_space_prefix, "template": writer.add_chat_template,
    }  # fmt: skip
    for name, value in changes.items():
        add[name](value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def sentencepiece_gguf(path: Path, **changes: Any) -> Tokenizer:
    tokens, kinds = [text for text, _ in PIECES], [int(kind) for _, kind in PIECES]
    scores = [0.0, 0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -1.0, 0.0]
    return Tokenizer.load(str(write_gguf(path, "llama", tokens, kinds, scores=scores, bos=1, eos=2, **changes)))


def test_the_best_score_is_joined_first_and_other_pieces_keep_their_parts(tmp_path: Path) -> None:
    tokenizer = sentencepiece_gguf(tmp_path / "v.gguf")
    names = [tokenizer.token(id) for id in tokenizer.encode("ab aab\n<mark><s>", special=False)]
    assert names == [f"{SPACE}a", "b", f"{SPACE}a", "ab", "<0x0A>", "<mark>", "<s>"]
    assert tokenizer.special_ids == {0, 1, 2} and (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)


def test_what_a_gguf_says_of_spaces_ends_and_templates_is_followed(tmp_path: Path) -> None:
    usual = sentencepiece_gguf(tmp_path / "usual.gguf")
    other = sentencepiece_gguf(tmp_path / "other.gguf", space=False, add_bos=False, template="{{ 1 }}")
    assert [usual.token(id) for id in usual.encode("a")] == ["<s>", f"{SPACE}a"]
    assert [other.token(id) for id in other.encode("a")] == ["a"]
    assert (usual.chat_template, other.chat_template, other.name) == (None, "{{ 1 }}", "other")


def test_llama3_words_are_taken_whole_and_begin_with_bos(tmp_path: Path) -> None:
    letters = ["a", "b", "c", "ab", "abc", "<s>"]
    whole = write_gguf(
        tmp_path / "3.gguf", "gpt2", letters, [*[1] * 5, 3], merges=["a b"], pre="llama-bpe", bos=5, eos=5
    )
    parts = write_gguf(tmp_path / "2.gguf", "gpt2", letters, [*[1] * 5, 3], merges=["a b"], pre="gpt-2", bos=5, eos=5)
    assert Tokenizer.load(str(whole)).encode("abc") == [5, 4]
    assert Tokenizer.load(str(parts)).encode("abc") == [3, 2]


@pytest.mark.parametrize(
    ("model", "changes", "word"),
    [("gpt2", {"merges": ["a b"], "pre": "mammoth"}, "mammoth"), ("rwkv", {}, "rwkv")],
)
def test_a_vocabulary_that_is_not_known_is_refused_by_name(
    tmp_path: Path, model: str, changes: dict[str, Any], word: str
) -> None:
    path = write_gguf(tmp_path / "v.gguf", model, ["a", "b", "ab"], **changes)
    with pytest.raises(UnsupportedModel, match=word):
        Tokenizer.load(str(path))


def test_a_merge_of_what_is_no_piece_is_one_sentence(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "v.gguf", "gpt2", ["a", "b"], merges=["a b"])
    with pytest.raises(BadModelFiles, match=r"^v\.gguf cannot be read") as caught:
        Tokenizer.load(str(path))
    assert "\n" not in str(caught.value)


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def piece(text: str, score: float, kind: int) -> bytes:
    return field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + bytes([0x18, kind]))


def sentencepiece_file(algorithm: int) -> bytes:
    rows = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), (SPACE, -2, 1), ("a", -2, 1), (f"{SPACE}a", -1, 1)]
    return b"".join(piece(*row) for row in rows) + field(2, bytes([0x18, algorithm]))


@pytest.mark.parametrize("algorithm", [1, 2])
def test_a_sentencepiece_model_is_unigram_or_bpe_as_it_says(tmp_path: Path, algorithm: int) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_file(algorithm))
    tokenizer = Tokenizer.load(str(tmp_path))
    assert tokenizer.kind == {1: "Unigram", 2: "BPE"}[algorithm]
    assert tokenizer.encode("a") == [1, 5]
    assert tokenizer.decode([1, 5]) == "a"


@pytest.mark.parametrize(
    "spoiled", [b"", b"\n\x05", b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0f", b"\xff" * 9]
)
def test_a_broken_sentencepiece_model_is_one_sentence(tmp_path: Path, spoiled: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(spoiled)
    with pytest.raises(BadModelFiles, match=r"^tokenizer\.model in "):
        Tokenizer.load(str(tmp_path))


def test_marian_cuts_with_the_source_and_shows_the_target(tmp_path: Path) -> None:
    (tmp_path / "source.spm").write_bytes(sentencepiece_file(1))
    target = f"{SPACE}b"  # a piece of the target alone, and in a source nothing known
    ids = {"</s>": 0, "<unk>": 1, f"{SPACE}a": 2, "a": 3, target: 4, "b": 5, SPACE: 6, ">>fr<<": 7, "<pad>": 8}
    (tmp_path / "vocab.json").write_text(json.dumps(ids), "utf-8")
    tokenizer = Tokenizer.load(str(tmp_path))
    assert tokenizer.encode("a a b") == [2, 2, 6, 1, 0]
    assert tokenizer.decode([4, 2, 5, 0]) == "b ab" and tokenizer.piece(4) == " b"
    assert (tokenizer.eos_id, tokenizer.special_ids) == (0, {0, 1, 8})
    assert tokenizer.encode(">>fr<< a") == [7, 2, 0]
    (tmp_path / "vocab.json").write_text(json.dumps({"<unk>": 0, "a": 2}), "utf-8")
    with pytest.raises(BadModelFiles, match=r"^vocab\.json in "):
        Tokenizer.load(str(tmp_path))


@pytest.mark.parametrize("algorithm", [3, 4])
def test_words_and_characters_of_sentencepiece_are_refused(tmp_path: Path, algorithm: int) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_file(algorithm))
    with pytest.raises(UnsupportedModel, match=f"type {algorithm}"):
        Tokenizer.load(str(tmp_path))


@pytest.mark.parametrize("name", ["tokenizer.model", "vocab.json", "vocab.txt"])
def test_a_class_that_reads_a_file_otherwise_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}", "utf-8")
    (tmp_path / "merges.txt").write_text("", "utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "MammothTokenizerFast"}', "utf-8")
    with pytest.raises(UnsupportedModel, match="MammothTokenizer,"):
        Tokenizer.load(str(tmp_path))


def test_added_tokens_keep_their_ids_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}', "utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n", "utf-8")
    (tmp_path / "added_tokens.json").write_text('{"<z>": 4, "<y>": 3}', "utf-8")
    tokenizer = Tokenizer.load(str(tmp_path))
    assert tokenizer.encode("ab<y><z>") == [2, 3, 4] and tokenizer.special_ids == {3, 4}
    (tmp_path / "added_tokens.json").write_text('{"<z>": 9}', "utf-8")
    with pytest.raises(BadModelFiles, match="<z>"):
        Tokenizer.load(str(tmp_path))


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["RobertaTokenizer", "BartTokenizer"])
def test_what_was_made_of_gpt2s_vocabulary_is_framed_and_masked_as_in_transformers(
    references: Path, tmp_path: Path, kind: str
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = references / "tokenizers" / "gpt2"
    texts = [text for text in json.loads((folder / "vocab.json").read_text("utf-8")) if text != "<|endoftext|>"]
    names = ["<s>", "<pad>", "</s>", "<unk>", *texts, "<mask>"]
    (tmp_path / "vocab.json").write_text(json.dumps({name: id for id, name in enumerate(names)}), "utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}), "utf-8")
    shutil.copy(folder / "merges.txt", tmp_path / "merges.txt")
    theirs, ours = getattr(transformers, kind).from_pretrained(tmp_path), Tokenizer.load(str(tmp_path))
    for text in [*texts_of(references), "Hello <mask>!", "a<mask> b", " x</s> y"]:
        ids = theirs(text)["input_ids"]
        assert ours.encode(text) == ids, text
        assert ours.decode(ids, skip_special=False) == theirs.decode(ids, clean_up_tokenization_spaces=False), text


@pytest.mark.parity
@pytest.mark.parametrize(
    "settings",
    [
        {}, {"do_lower_case": False}, {"strip_accents": False}, {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False},
    ],
)  # fmt: skip
def test_what_bert_does_to_capitals_accents_and_chinese_is_as_its_settings_say(
    references: Path, tmp_path: Path, settings: dict[str, bool]
) -> None:
    transformers = pytest.importorskip("transformers")
    lines = (references / "tokenizers" / "bert-base-uncased" / "vocab.txt").read_text("utf-8").splitlines()
    lines += ["Ünal", "ünal", "Unal", "中文", "École"]
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", **settings}), "utf-8"
    )
    theirs = transformers.BertTokenizer(vocab={line: id for id, line in enumerate(lines)}, **settings)
    ours = Tokenizer.load(str(tmp_path))
    for text in [*texts_of(references), "Ünal ünal École 中文 Unal"]:
        assert ours.encode(text) == theirs(text)["input_ids"], text


@pytest.mark.parametrize(("lower", "accents", "expected"), [(True, None, 4), (True, False, 5), (False, None, 3)])
def test_a_gguf_says_whether_capitals_and_accents_count(
    tmp_path: Path, lower: bool, accents: bool | None, expected: int
) -> None:
    path = tmp_path / "v.gguf"
    writer = GGUFWriter(path, "bert")
    writer.add_tokenizer_model("bert")
    writer.add_token_list(["[UNK]", "[CLS]", "[SEP]", f"{SPACE}Ü", f"{SPACE}u", f"{SPACE}ü"])
    writer.add_token_types([2, 3, 3, 1, 1, 1])
    writer.add_unk_token_id(0)
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", lower)
    if accents is not None:
        writer.add_bool("tokenizer.ggml.normalizer.strip_accents", accents)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert Tokenizer.load(str(path)).encode("Ü", special=False) == [expected]
