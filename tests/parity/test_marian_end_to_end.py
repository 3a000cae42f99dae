"""Translators of the Marian family from the command line, with one vocabulary and with one for each language.

The tokenizer's reference is SentencePiece's search written out in tests/sentencepieces.py, the model's transformers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sentencepieces import CONTROL, NORMAL, SPACE, UNKNOWN, Row, cut, sentencepiece_model

from engine.__main__ import main
from engine.errors import BadModelFiles
from engine.text.tokenizer import Detokenizer, Tokenizer

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

SPECIALS: list[Row] = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
ENGLISH: list[Row] = [
    *SPECIALS, *((text, -1.5 - n / 7, NORMAL) for n, text in enumerate(
        [SPACE, "the", f"{SPACE}the", f"{SPACE}hill", "s", "h", "i", "l", "ll", "t", "e", f"{SPACE}a", "x"]))
]  # fmt: skip
GERMAN: list[Row] = [
    *SPECIALS, *((text, -1.3 - n / 9, NORMAL) for n, text in enumerate(
        [SPACE, f"{SPACE}der", "der", f"{SPACE}Hügel", "d", "e", "r", "H", "ü", "g", "l", "h", f"{SPACE}Hü"]))
]  # fmt: skip
SIZES: dict[str, Any] = {
    "d_model": 36, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 53, "decoder_ffn_dim": 47, "max_position_embeddings": 48,
    "scale_embedding": True, "activation_function": "swish", "eos_token_id": 0, "forced_eos_token_id": None,
}  # fmt: skip
SOURCE = "the hills  thex zz the"


def numbered(rows: list[Row], first: list[str], without: str) -> dict[str, int]:
    """A vocabulary in another order than the pieces', which lacks one of them."""
    texts = [row[0] for row in reversed(rows) if row[2] == NORMAL and row[0] != without]
    return {text: id for id, text in enumerate(["</s>", "<unk>", "<pad>", *first, *texts])}


def expected_ids(text: str, rows: list[Row], ids: dict[str, int]) -> list[int]:
    return [*(ids.get(piece, ids["<unk>"]) for piece in cut(text, rows)), ids["</s>"]]


def write(folder: Path, separate: bool) -> tuple[Any, dict[str, int], dict[str, int]]:
    """A checkpoint in the folder: transformers' model, and the vocabularies of what it reads and of what it writes."""
    reads = numbered(ENGLISH, [], "x")
    writes = numbered(GERMAN, [">>de<<"], "g") if separate else reads
    pad = writes["<pad>"]
    values = {**SIZES, "vocab_size": len(reads), "pad_token_id": pad, "decoder_start_token_id": pad}
    if separate:
        values |= {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": len(writes)}
    torch.manual_seed(5)
    theirs = transformers.MarianMTModel(transformers.MarianConfig(**values)).eval()
    with torch.no_grad():
        for key, weight in theirs.state_dict().items():
            if "embed_positions" not in key:
                weight.normal_(float("norm" in key) * key.endswith("weight"), 0.3 if weight.ndim == 1 else 0.2)
    theirs.save_pretrained(folder)
    (folder / "source.spm").write_bytes(sentencepiece_model(ENGLISH))
    (folder / "target.spm").write_bytes(sentencepiece_model(GERMAN))
    (folder / "vocab.json").write_text(json.dumps(reads), "utf-8")
    settings = {"tokenizer_class": "MarianTokenizer", "separate_vocabs": separate}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    if separate:
        (folder / "target_vocab.json").write_text(json.dumps(writes), "utf-8")
    return theirs, reads, writes


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(arguments) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("separate", [False, True])
def test_a_source_is_translated_and_its_target_scored(
    separate: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "translator"
    folder.mkdir()
    theirs, reads, writes = write(folder, separate)
    source = expected_ids(SOURCE, ENGLISH, reads)
    assert source.count(reads["<unk>"]) == 2  # a piece that vocab.json lacks, and one that no piece begins
    target = "der Hügel" if separate else "the hill"
    labels = expected_ids(target, GERMAN if separate else ENGLISH, writes)
    with torch.inference_mode():
        found = theirs.generate(torch.tensor([source]), num_beams=1, do_sample=False, max_new_tokens=12)[0].tolist()
        begun = torch.tensor([[writes["<pad>"], *labels[:-1]]])
        logs = theirs(input_ids=torch.tensor([source]), decoder_input_ids=begun).logits.log_softmax(-1)[0]
    expected = logs.gather(-1, torch.tensor(labels)[:, None])[:, 0].tolist()

    tokenizer = Tokenizer.load(str(folder))
    assert tokenizer.encode(SOURCE) == source
    assert tokenizer.target.encode(target) == labels and tokenizer.target.decode(labels) == target
    door = [str(folder), "--threads", "1", "--json"]
    answer = run(capsys, "generate", *door, "--source", SOURCE, "--temperature", "0", "--max-new-tokens", "12")
    assert answer["ids"] == found[1 : 1 + len(answer["ids"])] and len(answer["ids"]) >= len(found) - 2
    names = {id: name for name, id in writes.items()}
    texts = [names[id] for id in answer["ids"] if names[id] not in ("</s>", "<pad>", "<unk>")]
    assert answer["text"].strip() == "".join(texts).replace(SPACE, " ").strip()
    scored = run(capsys, "score", *door, "--source", SOURCE, "--text", target)
    assert scored["ids"] == labels
    assert scored["logprobs"] == pytest.approx(expected, abs=1e-4)


def test_each_language_has_its_own_pieces(tmp_path: Path) -> None:
    _, reads, writes = write(tmp_path, separate=True)
    tokenizer = Tokenizer.load(str(tmp_path))
    hill, hugel = reads[f"{SPACE}hill"], writes[f"{SPACE}Hügel"]
    assert (tokenizer.piece(hill), tokenizer.target.piece(hugel)) == (" hill", " Hügel")
    stream = Detokenizer(tokenizer.target)
    assert "".join(map(stream.push, [hugel, writes[f"{SPACE}der"]])) + stream.flush() == "Hügel der"
    assert tokenizer.vocabulary_size == len(reads) and tokenizer.target.vocabulary_size == len(writes)
    (tmp_path / "target_vocab.json").unlink()
    with pytest.raises(BadModelFiles, match=r"^target_vocab\.json is missing"):
        Tokenizer.load(str(tmp_path))
