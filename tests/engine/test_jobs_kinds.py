"""The model's lane on encoder-decoders and encoders: the same ids as transformers, and what each kind refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoders import WORDS, write_bert
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from driver import Driver, all_of, one, text_of
from engine import (
    Attend,
    AttentionRows,
    AttentionThumbnails,
    Beams,
    CaptureParams,
    Classified,
    Classify,
    Done,
    Embed,
    Failed,
    Fill,
    Filled,
    Generate,
    Generated,
    Load,
    Loaded,
    LoadParams,
    Message,
    Nearest,
    NearestWords,
    Prompt,
    RenderTemplate,
    SamplingParams,
    Score,
    Scored,
    Started,
    Tokens,
)

transformers = pytest.importorskip("transformers")
GREEDY = SamplingParams.neutral(temperature=0.0, max_new_tokens=20)
SOURCE = "the cat sat on a mat ."
LETTERS = [f"w{n}" for n in range(40)]
WORDS_OF_TARGETS = ["<pad>", "</s>", "<s>", *SOURCE.split(), *LETTERS]


def write_seq2seq(folder: Path, family: str, **generation: Any) -> Any:
    """A tiny checkpoint of an encoder-decoder with a tokenizer of words; transformers' model of it."""
    torch.manual_seed(3)
    common = {"vocab_size": len(WORDS_OF_TARGETS), "d_model": 24, "pad_token_id": 0, "eos_token_id": 1}
    if family == "T5":
        config = transformers.T5Config(
            **common, d_kv=7, d_ff=31, num_layers=2, num_heads=3, decoder_start_token_id=0
        )  # fmt: skip
        theirs = transformers.T5ForConditionalGeneration(config)
    else:
        sides = {f"{side}_{key}": n for side in ("encoder", "decoder") for key, n in
                 (("layers", 2), ("attention_heads", 3), ("ffn_dim", 31))}  # fmt: skip
        config = getattr(transformers, f"{family}Config")(
            **common, **sides, max_position_embeddings=40, bos_token_id=2, decoder_start_token_id=2,
            forced_eos_token_id=None,
        )  # fmt: skip
        theirs = getattr(transformers, f"{family}ForConditionalGeneration")(config)
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            weight.normal_(float("norm" in name) * name.endswith("weight"), 0.3)
    for key, value in generation.items():
        setattr(theirs.generation_config, key, value)
    theirs.eval().save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(WORDS_OF_TARGETS)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(WORDS_OF_TARGETS[:3])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', "utf-8")
    return theirs


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path / "home")
    driver.engine.start()
    yield driver
    assert driver.engine.stop()


def expected_ids(theirs: Any, source: tuple[int, ...], **how: Any) -> list[int]:
    """What transformers writes, without the id it begins with."""
    ids = theirs.generate(
        torch.tensor([source]), do_sample=False, max_new_tokens=20, use_cache=False, **{"num_beams": 1, **how}
    )
    result: list[int] = ids[0, 1:].tolist()
    return result


RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "forced first and last": {"forced_bos_token_id": 5, "forced_eos_token_id": 1},
    "banned": {"bad_words_ids": [[11], [12, 13]], "min_length": 9},
    "no repeats": {"no_repeat_ngram_size": 2, "encoder_no_repeat_ngram_size": 1, "min_length": 15},
}


@pytest.mark.parity
@pytest.mark.parametrize("family", ["T5", "Bart"])
@pytest.mark.parametrize("rules", RULES)
def test_targets_are_those_of_transformers_greedily_and_with_beams(
    driver: Driver, tmp_path: Path, family: str, rules: str
) -> None:
    theirs = write_seq2seq(tmp_path / "tiny", family, **RULES[rules])
    driver.load(tmp_path / "tiny")
    greedy = driver.run(Generate(Prompt(source=SOURCE), GREEDY))
    result = one(greedy, Generated)
    assert result.prompt_ids == (*range(3, 3 + len(SOURCE.split())), 1)
    assert list(result.ids) == expected_ids(theirs, result.prompt_ids)
    assert text_of(greedy) == result.text
    beams = driver.run(Generate(Prompt(source=SOURCE), GREEDY.replace(beams=4, length_penalty=1.5)))
    found = one(beams, Generated)
    assert list(found.ids) == expected_ids(theirs, result.prompt_ids, num_beams=4, length_penalty=1.5)
    assert all_of(beams, Beams)[-1].beams[0].ids == found.ids
    assert [r.id for r in one(beams, Tokens).records] == list(found.ids)
    assert text_of(beams) == found.text


def test_records_of_an_answer_agree_with_scoring_it(driver: Driver, tmp_path: Path) -> None:
    write_seq2seq(tmp_path / "tiny", "Bart")
    driver.load(tmp_path / "tiny")
    for sampling in (SamplingParams(seed=4, max_new_tokens=20), GREEDY.replace(beams=3)):
        events = driver.run(Generate(Prompt(source=SOURCE), sampling))
        ids = one(events, Generated).ids
        scored = one(driver.run(Score(Prompt(source=SOURCE, ids=ids))), Scored)
        assert (scored.ids, scored.scored) == (ids, len(ids))
        records = [r for e in all_of(events, Tokens) for r in e.records]
        np.testing.assert_allclose([r.logprob for r in records], scored.logprobs, atol=1e-4)
        assert [r.position for r in records] == [*range(1, 1 + len(ids))]


def test_a_target_s_score_is_transformers_loss(driver: Driver, tmp_path: Path) -> None:
    theirs = write_seq2seq(tmp_path / "tiny", "T5")
    driver.load(tmp_path / "tiny")
    scored = one(driver.run(Score(Prompt(source=SOURCE, text="w3 w1 cat"))), Scored)
    source, labels = torch.tensor([[*range(3, 10), 1]]), torch.tensor([scored.ids])
    assert scored.ids[-1] == 1
    with torch.inference_mode():
        loss = theirs(input_ids=source, labels=labels).loss
    assert scored.nll / scored.scored == pytest.approx(float(loss), abs=1e-5)


def test_an_answer_goes_on_from_its_beginning_whichever_way_it_is_given(driver: Driver, tmp_path: Path) -> None:
    write_seq2seq(tmp_path / "tiny", "Bart")
    driver.load(tmp_path / "tiny")
    whole = one(driver.run(Generate(Prompt(source=SOURCE), GREEDY)), Generated).ids
    words = " ".join(WORDS_OF_TARGETS[id] for id in whole[:3])
    for prompt in (Prompt(source=SOURCE, answer_ids=whole[:3]), Prompt(source=SOURCE, text=words)):
        for beams in (1, 2):
            events = driver.run(Generate(prompt, GREEDY.replace(beams=beams, max_new_tokens=4)))
            assert one(events, Started).prompt_ids[0] == 2
            if beams == 1:
                assert one(events, Generated).ids == whole[3:7]


def test_a_stop_string_ends_a_target_greedily_and_with_beams(driver: Driver, tmp_path: Path) -> None:
    write_seq2seq(tmp_path / "tiny", "T5", min_length=12)
    driver.load(tmp_path / "tiny")
    for beams in (1, 3):
        plain = one(driver.run(Generate(Prompt(source=SOURCE), GREEDY.replace(beams=beams))), Generated)
        stop = plain.text[6:9]
        events = driver.run(Generate(Prompt(source=SOURCE), GREEDY.replace(beams=beams, stop=(stop,))))
        result = one(events, Generated)
        assert result.finish == "stop"
        assert result.text == plain.text[: plain.text.index(stop)] == text_of(events)


def test_generation_settings_become_the_defaults_from_either_file(driver: Driver, tmp_path: Path) -> None:
    write_seq2seq(tmp_path / "tiny", "Bart", num_beams=3, length_penalty=1.5)
    info = one(driver.run(Load(str(tmp_path / "tiny"), LoadParams(threads=1))), Loaded).info
    assert (info.kind, info.defaults.beams, info.defaults.length_penalty) == ("encoder-decoder", 3, 1.5)
    assert {"beams", "length_penalty"} <= set(info.from_model)
    config = json.loads((tmp_path / "tiny" / "config.json").read_text("utf-8"))
    (tmp_path / "tiny" / "generation_config.json").unlink()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps({**config, "num_beams": 2}), "utf-8")
    info = one(driver.run(Load(str(tmp_path / "tiny"), LoadParams(threads=1))), Loaded).info
    assert info.defaults.beams == 2


def test_turns_are_joined_for_the_tokenizer_that_joins_them_and_for_no_other(driver: Driver, tmp_path: Path) -> None:
    write_seq2seq(tmp_path / "tiny", "Blenderbot")
    turns = (Message("user", "the cat"), Message("assistant", "w3"), Message("user", "sat on"))
    info = one(driver.run(Load(str(tmp_path / "tiny"), LoadParams(threads=1))), Loaded).info
    assert info.chat_template
    said = driver.run(Generate(Prompt(messages=turns), GREEDY))
    assert one(said, Started).rendered == " the cat  w3   sat on"
    joined = driver.run(Generate(Prompt(source=" the cat  w3   sat on"), GREEDY))
    assert one(said, Generated).ids == one(joined, Generated).ids
    settings = tmp_path / "tiny" / "tokenizer_config.json"
    settings.write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}', "utf-8")
    info = one(driver.run(Load(str(tmp_path / "tiny"), LoadParams(threads=1))), Loaded).info
    assert not info.chat_template
    assert "writes a text for a source" in one(driver.run(Generate(Prompt(messages=turns), GREEDY)), Failed).message


def test_a_real_encoder_decoder_writes_every_name_as_published(driver: Driver, references: Path) -> None:
    folder = references / "models" / "aren-transliteration"
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    driver.load(folder / "hf")
    for how, beams in (("greedy", 1), ("beam4", 4)):
        texts = {
            name: one(driver.run(Generate(Prompt(source=name), GREEDY.replace(beams=beams))), Generated).text
            for name in expected[how]
        }
        assert texts == expected[how]
        assert len(texts) == 20


@pytest.mark.parity
@pytest.mark.parametrize("beams", [1, 3])
def test_the_attention_of_both_sides_and_across_is_that_of_transformers(
    driver: Driver, tmp_path: Path, beams: int
) -> None:
    theirs = write_seq2seq(tmp_path / "tiny", "Bart", min_length=9)
    theirs.set_attn_implementation("eager")
    driver.load(tmp_path / "tiny")
    capture = CaptureParams(attention="all", thumbnails=8)
    events = driver.run(Generate(Prompt(source=SOURCE), GREEDY.replace(beams=beams), capture))
    result, rows = one(events, Generated), all_of(events, AttentionRows)
    ids = torch.tensor([[2, *result.ids[:-1]]])
    with torch.inference_mode():
        expected = theirs(torch.tensor([result.prompt_ids]), decoder_input_ids=ids, output_attentions=True)
    named = {
        **{f"encoder.{i}.self": weights[0] for i, weights in enumerate(expected.encoder_attentions)},
        **{f"layers.{i}.self": weights[0] for i, weights in enumerate(expected.decoder_attentions)},
        **{f"layers.{i}.cross": weights[0] for i, weights in enumerate(expected.cross_attentions)},
    }
    seen: dict[str, set[int]] = {name: set() for name in named}
    for event in rows:
        for name, weights in zip(event.layers, event.weights):
            T, S = weights.shape[1:]
            part = named[name][:, event.start : event.start + T, :S]
            np.testing.assert_allclose(weights.astype(np.float32), part.numpy(), atol=2e-3)
            assert not seen[name] & {*range(event.start, event.start + T)}
            seen[name] |= {*range(event.start, event.start + T)}
    assert seen == {name: {*range(weights.shape[1])} for name, weights in named.items()}
    assert one(events, Started).source_ids == result.prompt_ids
    small = {name: (cells, event) for event in all_of(events, AttentionThumbnails)
             for name, cells in zip(event.layers, event.cells)}  # fmt: skip
    assert small.keys() == named.keys()
    for name, (cells, event) in small.items():
        weights = named[name]
        wide = event.cell if ".self" in name else -(-weights.shape[2] // 8)
        low, across = (weights.shape[i] // size for i, size in ((1, event.cell), (2, wide)))  # whole cells
        whole = weights[:, : low * event.cell, : across * wide]
        means = whole.unflatten(2, (across, wide)).mean(3).unflatten(1, (low, event.cell)).mean(2)
        np.testing.assert_allclose(cells[:, :low, :across], means.numpy(), atol=1e-4)


@pytest.mark.parity
def test_a_target_is_read_again_with_its_source_to_the_rows_it_was_written_with(driver: Driver, tmp_path: Path) -> None:
    write_seq2seq(tmp_path / "tiny", "Bart", min_length=5)
    info = one(driver.run(Load(str(tmp_path / "tiny"))), Loaded).info
    assert (info.layers, info.encoder_layers, info.use) == (2, 2, "") and info.encoder_heads > 0
    capture, prompt = CaptureParams(attention="all"), Prompt(source=SOURCE)
    written = driver.run(Generate(prompt, GREEDY, capture))
    ids = one(written, Generated).ids
    again = driver.run(Attend(replace(prompt, answer_ids=ids[:-1]), capture))
    assert one(again, Started).prompt_ids == one(written, Started).prompt_ids
    assert one(again, Started).source_ids == one(written, Started).source_ids
    whole = {name: weights for event in all_of(again, AttentionRows)
             for name, weights in zip(event.layers, event.weights)}  # fmt: skip
    for event in all_of(written, AttentionRows):
        for name, weights in zip(event.layers, event.weights):
            T, S = weights.shape[1:]
            np.testing.assert_allclose(weights, whole[name][:, event.start : event.start + T, :S], atol=2e-3)


def test_an_encoder_shows_its_attention_both_ways(driver: Driver, tmp_path: Path) -> None:
    driver.load(write_bert(tmp_path / "tiny", "BertModel"))
    events = driver.run(Attend(Prompt(text="the cat sat"), CaptureParams(attention="all")))
    rows = one(events, AttentionRows)
    assert len(one(events, Started).source_ids) == 5
    assert (rows.start, rows.layers, rows.weights.shape) == (0, ("layers.0.self", "layers.1.self"), (2, 3, 5, 5))
    np.testing.assert_allclose(rows.weights.astype(np.float32).sum(-1), 1, atol=5e-3)
    assert (rows.weights[..., 0, 1:] > 0).all()


def test_an_encoder_fills_embeds_and_finds_near_words(driver: Driver, tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "tiny", "BertForMaskedLM")
    driver.load(folder)
    masks = one(driver.run(Fill("the [MASK] sat on [MASK]", 4)), Filled).masks
    assert [position for position, _ in masks] == [2, 5]
    from safetensors.torch import load_file

    rows = load_file(folder / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    aim = rows[WORDS.index("cat")] - rows[WORDS.index("dog")] + rows[WORDS.index("mat")]
    cosines = torch.nn.functional.cosine_similarity(rows, aim[None])
    free = [id for id, word in enumerate(WORDS) if id > 4 and word not in ("cat", "dog", "mat")]
    expected = sorted(free, key=lambda id: -cosines[id])
    near = one(driver.run(NearestWords(("cat", "mat"), ("dog",), 3)), Nearest).words
    assert [word.strip() for word, _ in near] == [WORDS[id] for id in expected[:3]]
    assert near[0][1] == pytest.approx(float(cosines[expected[0]]), abs=1e-5)
    everything = one(driver.run(NearestWords(("cat",), (), 100)), Nearest).words
    assert {word.strip() for word, _ in everything} == set(WORDS[5:]) - {"cat"}
    assert "zebra" in one(driver.run(NearestWords(("zebra",))), Failed).message


def test_labels_that_do_not_exclude_each_other_have_a_probability_each(driver: Driver, tmp_path: Path) -> None:
    labels = {"id2label": {"0": "sad", "1": "glad"}}
    architecture = "BertForSequenceClassification"
    driver.load(write_bert(tmp_path / "one", architecture, **labels))
    exclusive = dict(one(driver.run(Classify("the cat")), Classified).labels)
    assert sum(exclusive.values()) == pytest.approx(1.0)
    driver.load(write_bert(tmp_path / "many", architecture, **labels, problem_type="multi_label_classification"))
    separate = dict(one(driver.run(Classify("the cat")), Classified).labels)
    odds = {label: p / (1 - p) for label, p in separate.items()}
    assert odds["sad"] / odds["glad"] == pytest.approx(exclusive["sad"] / exclusive["glad"], rel=1e-4)


def test_what_a_kind_cannot_do_is_refused_and_the_model_stays(driver: Driver, tmp_path: Path) -> None:
    driver.load(write_bert(tmp_path / "tiny", "BertModel"))
    text = Prompt(text="the cat")
    assert one(driver.run(Score(text)), Failed).message.startswith("This model cannot fill masks")
    for command in (Generate(text), RenderTemplate((Message("user", "hi"),))):
        assert one(driver.run(command), Failed).message == (
            "tiny is an encoder: it fills masks and compares sentences."
        )
    assert isinstance(driver.run(Embed(("the cat",)))[-1], Done)
    write_seq2seq(tmp_path / "pair", "T5")
    driver.load(tmp_path / "pair")
    for command in (Fill("the [MASK]"), Classify("the cat"), Embed(("the cat",))):
        assert one(driver.run(command), Failed).message == (
            "pair is an encoder-decoder: it writes a text for a source."
        )
    assert "needs a source" in one(driver.run(Score(text)), Failed).message
    assert one(driver.run(Generate(Prompt())), Failed).message == "There is no source."
    assert "is not in this model's vocabulary" in one(driver.run(Generate(Prompt(ids=(999,)))), Failed).message


def test_a_cancelled_search_keeps_the_best_beam_it_had(driver: Driver, tmp_path: Path) -> None:
    write_seq2seq(tmp_path / "tiny", "T5", min_length=3000)
    driver.load(tmp_path / "tiny")
    run = driver.submit(Generate(Prompt(source=SOURCE), GREEDY.replace(beams=4, max_new_tokens=3000)))
    driver.wait(lambda log: len(all_of(log, Beams)) >= 1)
    run.cancel()
    events = driver.finish(run)
    result = one(events, Generated)
    assert (result.finish, events[-1]) == ("cancelled", Done(run.id, "cancelled"))
    assert 0 < len(result.ids) < 3000
    assert all_of(events, Beams)[-1].beams[0].ids == result.ids
    assert text_of(events) == result.text
