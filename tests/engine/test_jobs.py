"""The model's lane on real models: answers, continuations, captures, cancels, and that a mistake costs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from driver import Driver, all_of, one, text_of
from engine import (
    Attend,
    AttentionRows,
    AttentionThumbnails,
    CaptureParams,
    Done,
    Failed,
    Generate,
    Generated,
    Load,
    LoadParams,
    Message,
    NamePieces,
    Progress,
    Prompt,
    Rendered,
    RenderTemplate,
    Retune,
    SamplingParams,
    Score,
    Scored,
    Started,
    Stats,
    Tokenize,
    Tokenized,
    Tokens,
    Unload,
)

GREEDY = SamplingParams.neutral(temperature=0.0)
ONCE = Prompt(text="Once upon a time")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    driver = Driver(tmp_path_factory.mktemp("home"))
    driver.engine.start()
    yield driver
    assert driver.engine.stop()


@pytest.fixture
def companion(driver: Driver, assets: Path) -> Driver:
    return _with(driver, assets / "models" / "companion")


@pytest.fixture
def storyteller(driver: Driver, assets: Path) -> Driver:
    return _with(driver, assets / "models" / "babyllama-361")


def _with(driver: Driver, path: Path) -> Driver:
    if getattr(driver, "path", None) != path:
        driver.load(path)
        driver.path = path  # type: ignore[attr-defined]
    driver.log.clear()
    return driver


def greedy(n: int, **changes: object) -> SamplingParams:
    return GREEDY.replace(max_new_tokens=n, **changes)


def test_the_companion_gives_its_published_answers(companion: Driver, data: Path) -> None:
    for case in json.loads((data / "companion" / "expected.json").read_text())["greedy_fp32_cpu"]:
        messages = tuple(Message(m["role"], m["content"]) for m in case["messages"])
        events = companion.run(Generate(Prompt(messages=messages), greedy(80)))
        assert one(events, Started).rendered == case["rendered"]
        result = one(events, Generated)
        assert list(result.prompt_ids) == case["prompt_ids"]
        assert list(result.ids) == case["greedy_ids"]
        assert result.text == case["greedy_text"].removesuffix("<|end|>")
        assert text_of(events) == result.text


def test_an_answer_continued_from_its_middle_is_the_answer_written_at_once(companion: Driver) -> None:
    prompt = (Message("user", "Tell me a story about a dog."),)
    whole = one(companion.run(Generate(Prompt(messages=prompt), greedy(60))), Generated)
    half = whole.ids[:25]
    rest = one(companion.run(Generate(Prompt(messages=prompt, answer_ids=half), greedy(35))), Generated)
    assert half + rest.ids == whole.ids
    assert rest.text == whole.text[len(whole.text) - len(rest.text) :]


def test_an_ended_answer_goes_on_when_asked_to(companion: Driver) -> None:
    prompt = (Message("user", "Hi, how are you?"),)
    ended = one(companion.run(Generate(Prompt(messages=prompt), greedy(60))), Generated)
    assert ended.finish == "eos"
    rest = companion.run(Generate(Prompt(messages=prompt, answer_ids=ended.ids), greedy(60)))
    assert one(rest, Started).reused == len(ended.prompt_ids) + len(ended.ids) - 2
    assert one(rest, Generated).ids == ended.ids[-1:]  # greedy ends it at once again


def test_a_second_turn_reuses_the_first_and_writes_what_a_fresh_reading_writes(companion: Driver, assets: Path) -> None:
    first = (Message("user", "Hi, how are you?"),)
    answer = one(companion.run(Generate(Prompt(messages=first), greedy(40))), Generated)
    second = (*first, Message("assistant", answer.text), Message("user", "What do you do for a living?"))
    warm = companion.run(Generate(Prompt(messages=second), greedy(40)))
    assert one(warm, Started).reused >= len(answer.prompt_ids) + len(answer.ids) - 2
    companion.load(assets / "models" / "companion")
    companion.log.clear()
    cold = companion.run(Generate(Prompt(messages=second), greedy(40)))
    assert one(cold, Started).reused == 0
    assert one(cold, Generated).ids == one(warm, Generated).ids


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(storyteller: Driver) -> None:
    def ids(seed: int) -> tuple[int, ...]:
        sampling = SamplingParams(temperature=1.0, top_p=1.0, min_p=0.0, top_k=0, max_new_tokens=60, seed=seed)
        return one(storyteller.run(Generate(ONCE, sampling)), Generated).ids

    assert ids(7) == ids(7)
    assert ids(7) != ids(8)


def test_records_joined_are_the_text_and_agree_with_scoring_it(storyteller: Driver) -> None:
    events = storyteller.run(Generate(ONCE, SamplingParams(temperature=1.0, seed=3, max_new_tokens=80)))
    records = [r for e in all_of(events, Tokens) for r in e.records]
    result = one(events, Generated)
    assert "".join(r.text for r in records) == result.text == text_of(events)
    assert [r.id for r in records] == list(result.ids)
    scored = one(storyteller.run(Score(Prompt(ids=result.prompt_ids + result.ids))), Scored)
    n = len(result.prompt_ids)
    np.testing.assert_allclose([r.logprob for r in records], scored.logprobs[n:], atol=2e-4)
    np.testing.assert_allclose([r.entropy for r in records], scored.entropies[n:], atol=2e-4)
    for record in records:
        assert record.position == n + records.index(record)
        assert record.candidate_ids[record.chosen] == record.id
        assert record.after[record.chosen] > 0 and record.cut[record.chosen] == -1
        assert (np.diff(record.logits) <= 0).all()
        assert record.before.sum() <= 1 + 1e-5
        assert abs(record.after.sum() - 1) < 1e-4  # all survivors are among the candidates here
        assert record.rank == int((record.logits > record.logits[record.chosen]).sum())


def test_a_slider_moved_during_an_answer_acts_on_the_tokens_after_it(storyteller: Driver) -> None:
    wild = SamplingParams.neutral(temperature=1.5, max_new_tokens=220, seed=1)
    run = storyteller.submit(Generate(ONCE, wild))
    storyteller.wait(lambda log: len(all_of(log, Tokens)) >= 3)
    storyteller.submit(Retune(run.id, sampling=wild.replace(top_k=1)))
    records = [r for e in all_of(storyteller.finish(run), Tokens) for r in e.records]
    survivors = [int((r.after > 0).sum()) for r in records]
    turned = next(i for i, r in enumerate(records) if "top_k" in r.steps)
    assert 3 <= turned < len(records) - 1
    assert max(survivors[:turned]) > 1
    assert set(survivors[turned:]) == {1}


def test_attention_asked_for_during_an_answer_arrives_from_the_next_token(storyteller: Driver) -> None:
    run = storyteller.submit(Generate(ONCE, greedy(150)))
    storyteller.wait(lambda log: len(all_of(log, Tokens)) >= 3)
    storyteller.submit(Retune(run.id, capture=CaptureParams(attention="all", thumbnails=32)))
    events = storyteller.finish(run)
    rows, result = all_of(events, AttentionRows), one(events, Generated)
    assert rows[0].start > len(result.prompt_ids)
    starts = [r.start for r in rows]
    assert starts == list(range(starts[0], starts[0] + len(starts)))
    # The last token drawn is not read, so the last row belongs to the one before it.
    assert starts[-1] == len(result.prompt_ids) + len(result.ids) - 2
    thumbnails = all_of(events, AttentionThumbnails)[-1]
    assert np.isnan(thumbnails.cells[0, 0, 0]).all() and np.isfinite(thumbnails.cells[0, 0, -1]).all()


def test_reading_again_gives_the_rows_that_the_answer_gave_live(storyteller: Driver) -> None:
    capture = CaptureParams(attention="all")
    storyteller.run(Generate(Prompt(text="Something else entirely"), greedy(2)))
    events = storyteller.run(Generate(ONCE, greedy(30), capture))
    result, rows = one(events, Generated), all_of(events, AttentionRows)
    again = all_of(
        storyteller.run(Attend(Prompt(ids=result.prompt_ids, answer_ids=result.ids[:-1]), capture)), AttentionRows
    )
    assert len(again) == 1 and again[0].start == 0
    for row in rows:
        t, s = row.weights.shape[2:]
        np.testing.assert_allclose(row.weights, again[0].weights[:, :, row.start : row.start + t, :s], atol=2e-3)
    np.testing.assert_allclose(again[0].weights.astype(np.float32).sum(-1), 1, atol=5e-3)


def test_looking_does_not_change_what_is_written(storyteller: Driver) -> None:
    capture = CaptureParams(attention="all", thumbnails=64)
    with_panes = one(storyteller.run(Generate(ONCE, greedy(120), capture)), Generated)
    without = one(storyteller.run(Generate(ONCE, greedy(120), CaptureParams(candidates=0))), Generated)
    assert with_panes.ids == without.ids


def test_without_candidates_the_records_hold_none_and_the_draw_is_the_same(storyteller: Driver) -> None:
    sampling = SamplingParams(seed=5, max_new_tokens=40)
    bare = storyteller.run(Generate(ONCE, sampling, CaptureParams(candidates=0)))
    full = storyteller.run(Generate(ONCE, sampling, CaptureParams(candidates=20)))
    assert one(bare, Generated).ids == one(full, Generated).ids
    assert all(len(r.pieces) == 0 for e in all_of(bare, Tokens) for r in e.records)
    assert all(20 <= len(r.pieces) <= 21 for e in all_of(full, Tokens) for r in e.records)


def test_a_stop_string_cuts_the_text_and_its_records_at_the_same_place(storyteller: Driver) -> None:
    plain = one(storyteller.run(Generate(ONCE, greedy(120))), Generated)
    stop = plain.text[40:47]
    events = storyteller.run(Generate(ONCE, greedy(120, stop=(stop, "never said"))))
    result = one(events, Generated)
    assert result.finish == "stop"
    assert result.text == plain.text[: plain.text.index(stop)] == text_of(events)
    assert "".join(r.text for e in all_of(events, Tokens) for r in e.records) == result.text


def test_cancelled_between_tokens_it_keeps_what_it_had_and_sums_it_up(storyteller: Driver) -> None:
    run = storyteller.submit(Generate(ONCE, greedy(200, stop=("xyzzy",))))
    storyteller.wait(lambda log: len(all_of(log, Tokens)) >= 2)
    run.cancel()
    events = storyteller.finish(run)
    result = one(events, Generated)
    assert events[-1] == Done(run.id, "cancelled")
    assert result.finish == "cancelled"
    assert 0 < len(result.ids) < 200
    assert text_of(events) == result.text


def test_cancelled_before_it_started_it_does_nothing(storyteller: Driver) -> None:
    first = storyteller.submit(Generate(ONCE, greedy(5)))
    second = storyteller.submit(Load("/nowhere"))
    second.cancel()
    assert [type(e) for e in storyteller.finish(second)] == [Done]
    assert one(storyteller.finish(first), Generated).finish in ("length", "eos")


def test_cancelled_while_reading_the_prompt_it_stops_between_layers_and_the_next_answer_is_right(
    companion: Driver, assets: Path
) -> None:
    long = Prompt(text="There was a dog. " * 150)
    fresh = one(companion.run(Generate(long, greedy(10))), Generated)
    assert len(fresh.prompt_ids) > 512
    companion.load(assets / "models" / "companion")  # what was read is put down with the model
    companion.log.clear()
    run = companion.submit(Generate(long, greedy(10)))
    companion.wait(lambda log: any(isinstance(e, Progress) for e in log))
    run.cancel()
    events = companion.finish(run)
    assert events[-1] == Done(run.id, "cancelled")
    assert one(events, Generated).ids == ()
    assert one(companion.run(Generate(long, greedy(10))), Generated).ids == fresh.ids


def test_two_answers_stream_side_by_side_and_each_is_what_it_would_be_alone(storyteller: Driver) -> None:
    prompts = [Prompt(text="Once upon a time"), Prompt(text="One day, a cat")]
    alone = [one(storyteller.run(Generate(p, greedy(60))), Generated).ids for p in prompts]
    storyteller.log.clear()
    runs = [storyteller.submit(Generate(p, greedy(60))) for p in prompts]
    both = [one(storyteller.finish(run), Generated).ids for run in runs]
    assert both == alone
    order = [e.run for e in storyteller.log if isinstance(e, Tokens)]
    changes = sum(a != b for a, b in pairwise(order))
    assert changes >= 4, "the answers came one after the other"


def test_the_context_is_a_limit_that_is_named_before_anything_is_lost(storyteller: Driver) -> None:
    failed = one(storyteller.run(Generate(Prompt(text="word " * 200), greedy(5))), Failed)
    assert "256" in failed.message and "1,0" in failed.message and failed.hint
    assert "there" in one(storyteller.run(Generate(ONCE, greedy(60))), Generated).text


def test_an_answer_that_fills_the_context_ends_with_length(storyteller: Driver) -> None:
    events = storyteller.run(Generate(ONCE, SamplingParams(max_new_tokens=5000, seed=1, stop=())))
    result = one(events, Generated)
    stats = all_of(events, Stats)[-1]
    assert result.finish in ("length", "eos")
    if result.finish == "length":
        # The last token drawn need not be read any more, so it may stand beyond the context.
        assert len(result.prompt_ids) + len(result.ids) == 257
        assert stats.context_used == stats.context_total == 256


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (Prompt(), "no prompt"),
        (Prompt(text=""), ""),
        (Prompt(ids=(1, 361)), "361"),
        (Prompt(ids=()), "empty"),
        (Prompt(messages=(Message("user", "Hi"),)), "no chat template"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_refused_with_a_reason(storyteller: Driver, prompt: Prompt, says: str) -> None:
    events = storyteller.run(Generate(prompt, greedy(3)))
    if prompt.text == "":  # the tokenizer opens a text with its first mark, which is something to go on from
        assert isinstance(events[-1], Done)
    else:
        assert says in one(events, Failed).message


def test_a_load_that_fails_leaves_the_model_before_it_in_its_place(storyteller: Driver, tmp_path: Path) -> None:
    before = one(storyteller.run(Generate(ONCE, greedy(20))), Generated)
    failed = one(storyteller.run(Load(str(tmp_path))), Failed)
    assert str(tmp_path.name) in failed.message and failed.hint and not failed.details
    assert one(storyteller.run(Generate(ONCE, greedy(20))), Generated).ids == before.ids


def test_a_load_that_is_cancelled_leaves_the_model_before_it_in_its_place(storyteller: Driver, assets: Path) -> None:
    before = one(storyteller.run(Generate(ONCE, greedy(20))), Generated)
    run = storyteller.submit(Load(str(assets / "models" / "companion")))
    storyteller.wait(lambda log: any(isinstance(e, Progress) and e.run == run.id for e in log))
    run.cancel()
    assert storyteller.finish(run)[-1] == Done(run.id, "cancelled")
    assert one(storyteller.run(Generate(ONCE, greedy(20))), Generated).ids == before.ids


def test_a_place_that_holds_no_model_is_told_as_such_and_not_as_one_without_a_tokenizer(
    storyteller: Driver, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    assert one(storyteller.run(Load(str(nowhere))), Failed).message == f"There is nothing at {nowhere}."
    empty = tmp_path / "empty"
    empty.mkdir()
    failed = one(storyteller.run(Load(str(empty))), Failed)
    assert failed.message == "empty is not a model folder: it has no config.json."


def test_without_a_model_every_question_is_answered_with_what_to_do(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    driver.engine.start()
    try:
        for command in (Generate(ONCE), Score(ONCE), Tokenize("a"), RenderTemplate(()), Attend(ONCE, CaptureParams())):
            failed = one(driver.run(command), Failed)
            assert failed.message == "No model is loaded." and failed.hint
    finally:
        assert driver.engine.stop()


def test_unloading_lets_go_and_loading_brings_it_back(driver: Driver, assets: Path) -> None:
    _with(driver, assets / "models" / "babyllama-361")
    driver.run(Unload())
    assert one(driver.run(Generate(ONCE, greedy(2))), Failed).message == "No model is loaded."
    del driver.path  # type: ignore[attr-defined]
    _with(driver, assets / "models" / "babyllama-361")
    assert isinstance(driver.run(Generate(ONCE, greedy(2)))[-1], Done)


def test_text_ids_and_template_are_those_of_the_models_own_files(companion: Driver) -> None:
    tokens = one(companion.run(Tokenize("Hi, how are you?")), Tokenized)
    assert tokens.ids == (663, 16, 704, 341, 284, 35)
    assert "".join(tokens.pieces) == "Hi, how are you?"
    named = one(companion.run(NamePieces((0, 663, 999_999))), Tokenized)
    assert named.pieces == ("<|bos|>", "Hi", "<id 999999>")
    rendered = one(companion.run(RenderTemplate((Message("user", "Hi, how are you?"),))), Rendered)
    assert rendered.text == "<|bos|><|user|>Hi, how are you?<|end|><|assistant|>"
    ((role, first, last),) = rendered.spans
    assert role == "user" and set(tokens.ids) <= set(rendered.ids[first:last])


def test_the_models_own_defaults_are_taken_and_named(driver: Driver, assets: Path) -> None:
    from engine import Loaded

    events = driver.run(Load(str(assets / "models" / "companion"), LoadParams(precision="fp32")))
    del driver.path  # type: ignore[attr-defined]
    info = one(events, Loaded).info
    assert info.from_model == ("temperature", "top_p", "max_new_tokens")
    assert (info.defaults.temperature, info.defaults.top_p, info.defaults.max_new_tokens) == (0.7, 0.95, 256)
    assert info.defaults.min_p == SamplingParams().min_p


@pytest.mark.parity
@pytest.mark.parametrize("name", ["stories260K", "babyllama-361"])
def test_scoring_the_first_stories_gives_the_measured_loss(
    driver: Driver, assets: Path, data: Path, references: Path, name: str
) -> None:
    expected = json.loads((data / name / "expected.json").read_text())["measured_here"]
    text = (references / "corpora/tinystories-sample/tinystories-train-first-2MiB.txt").read_text(encoding="utf-8")
    stories = [story.strip() for story in text.split("<|endoftext|>")][:200]
    driver.load(assets / "models" / name)
    driver.path = None  # type: ignore[attr-defined]
    context = {"stories260K": 512, "babyllama-361": 256}[name]
    nll, count = 0.0, 0
    for story in stories:
        ids = one(driver.run(Tokenize(story)), Tokenized).ids[:context]
        scored = one(driver.run(Score(Prompt(ids=ids))), Scored)
        nll, count = nll + scored.nll, count + scored.scored
        driver.log.clear()
    assert count == expected["tokens"]
    assert nll / count == pytest.approx(expected["nll"], abs=1e-5)
