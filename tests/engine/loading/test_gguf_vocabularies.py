"""A GGUF file that holds only a vocabulary: it turns text into ids, and its card says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFWriter

from engine.errors import BadModelFiles
from engine.loading import load
from engine.loading.architectures import ARCHITECTURES
from engine.loading.catalog import inspect
from engine.params import LoadParams
from engine.text.tokenizer import Tokenizer

SAID = "holds only a vocabulary, no weights."


def vocabulary(path: Path, architecture: str) -> Path:
    """A vocabulary with nothing said of the model."""
    writer = GGUFWriter(path, architecture)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", "▁", "H", "i"])
    writer.add_token_scores([0.0] * 6)
    writer.add_token_types([2, 3, 3, 1, 1, 1])
    writer.add_bos_token_id(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "mammoth"])
def test_a_vocabulary_of_any_architecture_turns_text_into_ids_and_has_a_card(tmp_path: Path, architecture: str) -> None:
    path = vocabulary(tmp_path / "words.gguf", architecture)
    assert Tokenizer.load(str(path)).encode("Hi") == [1, 3, 4, 5]
    card = inspect(str(path))
    assert (card.supported, card.tokenizer, card.bytes_on_disk) == (False, "BPE", 0)
    assert card.reason == f"words.gguf {SAID}" and card.hint == "It can be used to turn text into ids."
    with pytest.raises(BadModelFiles, match=SAID):
        list(load(str(path), LoadParams()))


def test_the_published_vocabularies_are_said_to_be_no_more(references: Path) -> None:
    for path in sorted((references / "tokenizers" / "llamacpp-vocab-gguf").glob("*.gguf")):
        card = inspect(str(path))
        assert card.reason == f"{path.name} {SAID}" and card.context > 0
