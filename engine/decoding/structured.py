"""Answers of a given form: a JSON schema, a regular expression or a grammar, as the tokens that may come next.

llguidance walks the form; it is given the bytes of every token from our own tokenizer, so that every family works. What
may come next is a function of the answer's ids alone, so an answer can be rewound, drafted ahead or taken up again.
"""

from __future__ import annotations

import functools
import json
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import llguidance
import numpy as np
import torch
from torch import Tensor

from engine.decoding.contexts import shared
from engine.errors import InvalidValue
from engine.params import SamplingParams
from engine.text.tokenizer import Tokenizer

KINDS = {"schema": "JSON schema", "regex": "regular expression", "grammar": "grammar"}

BLANK = r"( |\n {0,64})?"
"""Between the parts of JSON: a blank or a line break with its indent, so that no model can write blanks for ever."""


Encode = Callable[[bytes], list[int]]


class Structure:
    """The form of one answer, and how far the answer has come.

    size: the model's vocabulary. eos_ids: what ends an answer. Raises InvalidValue for a form that cannot be read.
    """

    def __init__(self, params: SamplingParams, tokenizer: Tokenizer, size: int, eos_ids: frozenset[int]) -> None:
        self._matcher = llguidance.LLMatcher(_vocabulary(tokenizer, size, eos_ids), _compiled(params))
        self._size = size
        self._taken: list[int] = []

    def allowed(self, ids: Sequence[int]) -> Tensor | None:
        """Which ids may follow these of an answer, bool [V]; None where none may, or these do not fit themselves."""
        if not self._go(ids):
            return None
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        mask = np.unpackbits(bits, bitorder="little")[: self._size].astype(bool)
        return torch.from_numpy(mask) if mask.any() and not self._matcher.is_error() else None

    def complete(self, ids: Sequence[int]) -> bool:
        """Whether an answer may end after these ids."""
        return self._go(ids) and self._matcher.is_accepting()

    def _go(self, ids: Sequence[int]) -> bool:
        """Be after these ids, as far as they fit; whether they do."""
        same = shared(self._taken, ids)
        if same < len(self._taken):
            self._matcher.rollback(len(self._taken) - same)
            del self._taken[same:]
        more = self._matcher.try_consume_tokens(list(ids[same:]))
        self._taken += ids[same : same + more]
        return len(self._taken) == len(ids)


def wanted(params: SamplingParams) -> tuple[str, str]:
    """Which form is asked for and its text, or two empty texts."""
    return next(((kind, text) for kind in KINDS if (text := getattr(params, kind))), ("", ""))


def check(params: SamplingParams, text: str) -> tuple[int, bool]:
    """How many characters of a text fit the form, and whether it may end there. Raises InvalidValue for a bad form."""
    matcher = llguidance.LLMatcher(_bytes_alone(), _compiled(params))
    raw = text.encode("utf-8", "replace")
    fits = matcher.try_consume_tokens(list(raw))
    return len(raw[:fits].decode("utf-8", "ignore")), fits == len(raw) and matcher.is_accepting()


class _Table:
    """A vocabulary as llguidance wants it: the bytes of every id, and which of them are no text."""

    bos_token_id = None

    def __init__(self, tokens: list[bytes], special: list[int], end: int, encode: Encode) -> None:
        self.tokens, self.special_token_ids, self.eos_token_id = tokens, special, end
        self._encode = encode

    def __call__(self, text: str | bytes) -> list[int]:
        return self._encode(text if isinstance(text, bytes) else text.encode())


_vocabularies: weakref.WeakKeyDictionary[Tokenizer, Any] = weakref.WeakKeyDictionary()


def _vocabulary(tokenizer: Tokenizer, size: int, eos_ids: frozenset[int]) -> Any:
    """The model's ids for llguidance, made once for a tokenizer that is in use."""
    known = _vocabularies.get(tokenizer)
    if known is None or known[0] != (size, eos_ids):
        known = _vocabularies[tokenizer] = (size, eos_ids), _made(tokenizer, size, eos_ids)
    return known[1]


def _made(tokenizer: Tokenizer, size: int, eos_ids: frozenset[int]) -> Any:
    """The same, made now. An id that the model has not ends an answer where it knows no end."""
    special = sorted(id for id in tokenizer.special_ids if id < size)
    tokens = [_bytes_of(tokenizer, id) for id in range(size)]
    ends = sorted(id for id in eos_ids if id < size)
    if not ends:
        ends, special = [size], [*special, size]
        tokens.append(b"<end>")
    special = sorted({*special, *ends})
    weak = weakref.ref(tokenizer)

    def encode(text: bytes) -> list[int]:
        held = weak()
        ids = held.encode(text.decode(errors="replace"), special=False) if held else []
        # Some tokenizers begin every text with a blank, and what is asked for here may stand within a word.
        return ids if b"".join(tokens[id] for id in ids) == text else _longest_first(text, known)

    known = {token: id for id, token in reversed([*enumerate(tokens)]) if token and id not in special}
    table = _Table(tokens, special, ends[0], encode)
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(table), eos_token=ends)


def _longest_first(text: bytes, known: dict[bytes, int]) -> list[int]:
    """Tokens that make up a text, each as long as there is one; nothing where there are none."""
    ids: list[int] = []
    longest = max(map(len, known))
    while text:
        size = next((size for size in range(min(longest, len(text)), 0, -1) if text[:size] in known), 0)
        if not size:
            return []
        ids.append(known[text[:size]])
        text = text[size:]
    return ids


def _bytes_of(tokenizer: Tokenizer, id: int) -> bytes:
    """What a token adds to a text behind others; nothing where it has no piece."""
    if id in tokenizer.special_ids:
        return tokenizer.piece(id).encode()
    if tokenizer.token(id) is None:
        return b""
    raw = tokenizer.raw_bytes(id)
    return tokenizer.piece(id).encode() if raw is None else raw


@functools.cache
def _bytes_alone() -> Any:
    table = _Table([*(bytes([byte]) for byte in range(256)), b"<end>"], [256], 256, list)
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(table), eos_token=[256])


def _compiled(params: SamplingParams) -> str:
    kind, text = wanted(params)
    return _compile(kind, text)


def _check_json(text: str) -> None:
    try:
        json.loads(text)
    except ValueError as error:
        raise InvalidValue(f"The JSON schema is not JSON: {error}.", "Correct it, or leave it out.") from None


@functools.lru_cache(maxsize=16)
def _compile(kind: str, text: str) -> str:
    if kind == "schema":
        _check_json(text)
        source = llguidance.LLMatcher.grammar_from_json_schema(text, overrides={"whitespace_pattern": BLANK})
    elif kind == "regex":
        source = llguidance.LLMatcher.grammar_from_regex(text)
    else:
        source = llguidance.LLMatcher.grammar_from_lark(text)
    wrong = llguidance.LLMatcher.validate_grammar(source, _bytes_alone())
    if wrong:
        lines = [line.strip() for line in wrong.splitlines() if line.strip()]
        reason = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
        raise InvalidValue(f"The {KINDS[kind]} cannot be used: {reason.rstrip('.')}.", "Correct it, or leave it out.")
    return str(source)
