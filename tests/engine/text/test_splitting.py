"""Every splitting that a GGUF file can name: against another engine of regular expressions, and against llama.cpp.

The vocabulary is trained on the texts themselves without any cutting, so that a cut, and nothing else, parts a text.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFWriter
from tokenizers import Regex, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from engine.text.splitting import SPLITTINGS
from engine.text.tokenizer import Tokenizer
from engine.text.vocabularies import SPACE

TEXTS = [
    "Hello, I'm here; we'LL see it's 12345 things you'd done.",
    "  two  spaces\t\ttabs \n\n\n lines\r\n\r\nend   ",
    "getUserName iPhone HTTPServer",
    "École Straße señor Ünal ǅungla",
    "漢字とカナ、한국어 텍스트! ไทย ภาษา 中文123字",
    "1234 12345 123456 1,000,000 3.14159 007 ²³ ½",
    "١٢٣٤٥ १२३",
    "नमस्ते दुनिया a\u0301b",
    "a_b-c/d//e\\f {x:[1,2]} <sentinel:12> IMGIMGABCZ $5 €7",
    "😀👍🏽 ❤️ “quotes” … – —",
    "/path/to/file.py:10 --flag=3\n/",
    "\u212a \u2126 ﬁ Ⅳ ⅷ ªº",
    "\n\n\n\n",
    " ",
    "    if x:\n        return\n\n",
    "don’t DON'T O'Neil's 'tis Türkiye'nin 5'te",
    "a\u00a0b\u2003c",
    "c\u3000d",
    "ა Ა Ꭰ 𝐀𝐛 𐐀",
    "x=1;y+=2&&z|=3^4 and some more words in a line. ",
]
CASE, MARKS, DIGITS = "getUserName", "नमस्ते", "١٢٣٤٥"
APPROXIMATED: dict[str, tuple[str, ...]] = {
    # llama.cpp does not tell capitals from small letters there, or leaves combining marks out.
    **dict.fromkeys(("tekken", "gpt-4o", "llama4", "minimax-m2", "kanana2", "talkie"), (MARKS,)),
    **dict.fromkeys(("tiny_aya", "cohere2moe", "youtu"), (CASE,)),
    "kimi-k2": (CASE, MARKS),
    # Its digits and blanks are ASCII's where the published patterns' are Unicode's.
    "superbpe": (DIGITS,),
    **dict.fromkeys(("deepseek-llm", "deepseek-coder"), ("a\u00a0b", "c\u3000")),
}
"""Name -> how the texts begin that llama.cpp cuts in another way than the model's own tokenizer."""


def words_by_regex(patterns: tuple[str, ...], text: str) -> list[str]:
    """What the patterns, one after the other, cut a text into: matches, and what lies between them."""
    regex = pytest.importorskip("regex")
    words = [text]
    for pattern in patterns:
        cut = []
        for word in words:
            ends = {0, len(word)} | {end for match in regex.finditer(f"(?V1){pattern}", word) for end in match.span()}
            cut += [word[a:b] for a, b in zip(sorted(ends), sorted(ends)[1:])]
        words = cut
    return words


@pytest.mark.parametrize("name", SPLITTINGS)
def test_words_are_those_that_another_engine_finds(name: str) -> None:
    patterns = SPLITTINGS[name].patterns
    ours = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns])
    for text in TEXTS:
        assert [word for word, _ in ours.pre_tokenize_str(text)] == words_by_regex(patterns, text), text


def trained(texts: list[str], cut: Any, alphabet: list[str]) -> tuple[list[str], list[str]]:
    """Tokens and merges of a BPE that joins each of these texts as far as the cut lets it."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = cut
    trainer = trainers.BpeTrainer(vocab_size=20000, min_frequency=1, show_progress=False, initial_alphabet=alphabet)
    backend.train_from_iterator(texts * 2, trainer)
    model = json.loads(backend.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [" ".join(merge) for merge in model["merges"]]


def write(
    path: Path, pre: str, tokens: list[str], merges: list[str], others: list[tuple[str, int]], model: str = "gpt2"
) -> Path:
    """A GGUF of a vocabulary whose ends are its first token, <s>; others: further tokens and their kinds."""
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(["<s>", *tokens, *(text for text, _ in others)])
    writer.add_token_types([3, *[1] * len(tokens), *(kind for _, kind in others)])
    writer.add_token_merges(merges)
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_sep_token_id):
        add(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def llama_cpp(path: Path) -> Callable[[str], list[int]]:
    """llama.cpp's own encoding with the vocabulary in a file."""
    library = pytest.importorskip("llama_cpp")
    quiet = library.llama_log_callback(lambda *_: None)
    library.llama_log_set(quiet, ctypes.c_void_p(0))
    settings = library.llama_model_default_params()
    settings.vocab_only = True
    model = library.llama_model_load_from_file(str(path).encode(), settings)
    library.llama_log_set(library.llama_log_callback(0), ctypes.c_void_p(0))
    assert model, "llama.cpp refuses the file"
    vocabulary = library.llama_model_get_vocab(model)

    def encode(text: str) -> list[int]:
        data = text.encode()
        ids = (library.llama_token * (len(data) + 8))()
        count = library.llama_tokenize(vocabulary, data, len(data), ids, len(ids), False, False)
        assert count >= 0
        return list(ids[:count])

    return encode


@pytest.fixture(scope="module")
def byte_level() -> tuple[list[str], list[str]]:
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return trained(TEXTS, cut, pre_tokenizers.ByteLevel.alphabet())


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name, found in SPLITTINGS.items() if not found.raw])
def test_ids_are_llama_cpps_but_where_it_approximates(
    name: str, byte_level: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    path = write(tmp_path / "v.gguf", name, *byte_level, [])
    ours, theirs = Tokenizer.load(str(path)), llama_cpp(path)
    begins = APPROXIMATED.get(name, ("\0",))
    for text in TEXTS:
        assert (ours.encode(text, special=False) == theirs(text)) is not text.startswith(begins), text
        assert ours.decode(ours.encode(text, special=False)) == text


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name, found in SPLITTINGS.items() if found.raw])
def test_pieces_that_are_text_give_llama_cpps_ids_and_the_text_again(name: str, tmp_path: Path) -> None:
    known = [text.replace(" ", SPACE) for text in TEXTS if text.isascii() and "\r" not in text]
    tokens, merges = trained(known, pre_tokenizers.Split(Regex(r"\n+"), "isolated"), [])
    merges = [merge for merge in merges if "\n" not in merge]
    bytes_ = [(f"<0x{byte:02X}>", 6) for byte in range(256)]
    path = write(tmp_path / "v.gguf", name, [*tokens, "\n" * 3], merges, bytes_)
    ours, theirs = Tokenizer.load(str(path)), llama_cpp(path)
    for text in TEXTS:
        ids = ours.encode(text, special=False)
        assert ids == theirs(text), text
        assert ours.decode(ids) == text


def test_only_newlines_that_are_a_piece_together_are_taken_whole(tmp_path: Path) -> None:
    tokens = ["\n", "\n\n", "\n\n\n", "a", "aa"]
    for name, count in (("gemma4", 1), ("sarvam-moe", 3)):
        tokenizer = Tokenizer.load(str(write(tmp_path / f"{name}.gguf", name, tokens, ["a a"], [])))
        assert len(tokenizer.encode("a\n\n\na", special=False)) == count + 2


@pytest.mark.parity
def test_where_blanks_only_part_words_ids_are_llama_cpps(tmp_path: Path) -> None:
    tokens, merges = ["a", "b", "ab", "中", "文", "中文", "A"], ["a b", "中 文"]
    for others in ([], [(f"<0x{byte:02X}>", 6) for byte in range(256)]):
        path = write(tmp_path / f"{len(others)}.gguf", "whitespace", tokens, merges, others, model="whitespace")
        ours, theirs = Tokenizer.load(str(path)), llama_cpp(path)
        for text in ("ab ab", "中文 a\tb", "Az b\n\n a", "a\u3000b é", " ", ""):
            assert ours.encode(text, special=False) == theirs(text), text
