"""Answers of a given form: every way to write one, by every kind of tokenizer, and no way out of it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from driver import Driver, all_of, one, text_of
from engine import CaptureParams, Done, Failed, Generate, Generated, Prompt, SamplingParams, Tokens
from engine.decoding.structured import Structure, _bytes_of, check
from engine.errors import InvalidValue
from engine.text.tokenizer import Tokenizer

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["a", "été", "日本"]}, "maxItems": 3},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
)
DATE = r"(19|20)\d\d-[01]\d-[0-3]\d( [a-zé]{2,9})?"
SUM = """
start: term ("+" term)*
term: NUMBER | "(" start ")"
NUMBER: /[0-9]{1,3}/
"""
FORMS = {"schema": SCHEMA, "regex": DATE, "grammar": SUM}
WRONG = {
    "schema": ('{"type": 5}', "nonsense", '{"type": "array", "uniqueItems": true}'),
    "regex": ("(", "(?=a)b", "[z-a]"),
    "grammar": ("nonsense", "start: missing", 'start: "a'),
}


def is_right(kind: str, text: str) -> bool:
    if kind == "schema":
        value = json.loads(text)
        return (
            set(value) == {"name", "age", "tags"}
            and len(value["name"]) <= 12
            and type(value["age"]) is int
            and 0 <= value["age"] <= 120
            and len(value["tags"]) <= 3
            and set(value["tags"]) <= {"a", "été", "日本"}
        )
    if kind == "regex":
        return re.fullmatch(DATE, text) is not None
    return re.fullmatch(r"[0-9+()]+", text) is not None and isinstance(eval(re.sub(r"\b0+(?=\d)", "", text)), int)


def tokenizers(assets: Path, references: Path) -> list[Tokenizer]:
    folders = [*sorted((assets / "models").iterdir()), *sorted((references / "tokenizers").iterdir())]
    found = []
    for folder in folders:
        try:
            found.append(Tokenizer.load(str(folder)))
        except Exception:  # a folder of another kind
            continue
    return found


def test_any_tokens_that_are_let_through_make_a_right_answer_for_every_tokenizer(
    assets: Path, references: Path
) -> None:
    loaded = tokenizers(assets, references)
    assert len({tokenizer.kind for tokenizer in loaded}) > 1
    for number, tokenizer in enumerate(loaded):
        rng = random.Random(number)
        size = tokenizer.vocabulary_size + 3
        eos = frozenset({tokenizer.eos_id}) if tokenizer.eos_id is not None else frozenset()
        pieces = [_bytes_of(tokenizer, id) for id in range(size) if id not in tokenizer.special_ids]
        for kind, form in FORMS.items():
            structure = Structure(SamplingParams(**{kind: form}), tokenizer, size, eos)
            if kind == "schema" and not any(piece.strip().startswith(b"{") for piece in pieces):
                assert tokenizer.name in ("t5", "mt5") or "t5" in tokenizer.name
                assert all(structure.allowed([*ids]) is None for ids in ([3, 3], [5])), "T5 has no braces"
                continue
            for _ in range(3):
                ids: list[int] = []
                while (allowed := structure.allowed(ids)) is not None:
                    choices = allowed.nonzero().flatten().tolist()
                    assert allowed.shape == (size,) and choices
                    if structure.complete(ids) and (rng.random() < 0.3 or set(choices) <= eos):
                        break
                    ids.append(rng.choice([id for id in choices if id not in eos]))
                text = b"".join(_bytes_of(tokenizer, id) for id in ids).decode()
                assert structure.complete(ids) and is_right(kind, text), (tokenizer.name, kind, text)


def test_the_bytes_of_the_tokens_are_the_text_for_every_tokenizer(assets: Path, references: Path) -> None:
    text = 'He said: {"a": [1, 2.5, "été 日本 🙂"]}\n\tand  left.'
    for tokenizer in tokenizers(assets, references):
        if tokenizer.kind == "WordPiece":  # for encoders, which write nothing
            continue
        ids = [id for id in tokenizer.encode(text, special=False) if id not in tokenizer.special_ids]
        joined = b"".join(_bytes_of(tokenizer, id) for id in ids).decode("utf-8", "replace")
        assert joined.lstrip() == tokenizer.decode(ids).lstrip(), tokenizer.name


def test_what_may_follow_depends_on_the_ids_alone(assets: Path) -> None:
    tokenizer = Tokenizer.load(str(assets / "models" / "companion"))
    eos = frozenset({tokenizer.eos_id or 0})

    def fresh() -> Structure:
        return Structure(SamplingParams(schema=SCHEMA), tokenizer, tokenizer.vocabulary_size, eos)

    walked, rng, ids = fresh(), random.Random(1), list[int]()
    for _ in range(40):
        allowed = fresh().allowed(ids)
        again = walked.allowed(ids)
        assert allowed is not None and again is not None and torch.equal(allowed, again)
        if rng.random() < 0.3:
            ids = ids[: rng.randrange(len(ids) + 1)]
        else:
            ids = [*ids, rng.choice((allowed).nonzero().flatten().tolist())]
            if ids[-1] in eos:
                ids.pop()
    assert walked.allowed([*ids, tokenizer.encode("}}}", special=False)[0]] * 2) is None


@pytest.mark.parametrize("kind", WRONG)
def test_a_form_that_cannot_be_read_is_refused_in_a_sentence(kind: str) -> None:
    for form in WRONG[kind]:
        with pytest.raises(InvalidValue) as caught:
            check(SamplingParams(**{kind: form}), "")
        assert caught.value.message.startswith("The ") and caught.value.message.endswith(".")
        assert "\n" not in caught.value.message and len(caught.value.message) < 160
    with pytest.raises(InvalidValue, match="two forms"):
        SamplingParams(schema="{}", regex="a")


def test_the_tester_says_how_far_a_text_fits_and_whether_it_may_end_there() -> None:
    params = SamplingParams(regex=DATE)
    assert check(params, "") == (0, False)
    assert check(params, "1999-1") == (6, False)
    assert check(params, "1999-12-31") == (10, True)
    assert check(params, "1999-12-31 été") == (14, True)
    assert check(params, "1999-12-31!") == (10, False)
    assert check(params, "1999x") == (4, False)
    assert check(SamplingParams(schema=SCHEMA), '{"name": "日本", "age": 7, "tags": []}')[1]


@pytest.fixture(scope="module")
def driver(assets: Path) -> Iterator[Driver]:
    driver = Driver()
    driver.engine.start()
    driver.load(assets / "models" / "stories260K")
    yield driver
    driver.engine.stop()


@pytest.mark.parametrize("speculation", ["off", "prompt lookup"])
@pytest.mark.parametrize("kind", FORMS)
def test_a_model_that_knows_nothing_of_it_writes_the_form(driver: Driver, kind: str, speculation: str) -> None:
    for seed in range(3):
        sampling = SamplingParams(
            temperature=1.5, seed=seed, max_new_tokens=400, speculation=speculation, **{kind: FORMS[kind]}
        )
        events = driver.run(Generate(Prompt(text="Once upon a time"), sampling, CaptureParams(candidates=32)))
        result = one(events, Generated)
        assert text_of(events) == result.text
        records = [record for event in all_of(events, Tokens) for record in event.records]
        assert all(record.steps[0] == "grammar" for record in records)
        assert any((record.cut == 0).any() for record in records)
        if result.finish == "eos":
            assert is_right(kind, result.text.lstrip())
        else:
            assert result.finish == "length" and kind == "grammar"


def test_an_answer_goes_on_in_its_form_or_says_that_it_cannot(driver: Driver) -> None:
    sampling = SamplingParams(regex="[ab]{3} c", temperature=1.0, seed=1, max_new_tokens=50)
    whole = one(driver.run(Generate(Prompt(text="x"), sampling)), Generated)
    assert whole.finish == "eos" and re.fullmatch("[ab]{3} c", whole.text.strip())
    begun = Prompt(text="x", answer_ids=whole.ids[:2])
    assert one(driver.run(Generate(begun, sampling)), Generated).ids == whole.ids[2:]
    events = driver.run(Generate(Prompt(text="x", answer_ids=(300, 301)), sampling))
    assert isinstance(events[-1], Done) and one(events, Generated).finish == events[-1].reason == "grammar"
    events = driver.run(Generate(Prompt(text="x"), SamplingParams(regex="(")))
    assert isinstance(events[-1], Failed) and "regular expression" in events[-1].message
