"""A branch of an answer: what another version begins with, and what the model is asked so that it goes on from there.

Pure values; the conversation makes the message and starts the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from engine import Drawing, Prompt, TokenRecord


@dataclass(frozen=True, slots=True)
class Branch:
    """text: what the new version begins with. kept, drawings: its records, and what they were drawn with."""

    text: str
    prompt: Prompt
    kept: tuple[TokenRecord, ...]
    drawings: tuple[Drawing, ...]


def branch(
    written: str,
    prompt_length: int,
    records: Sequence[TokenRecord],
    drawings: Sequence[Drawing],
    index: int,
    prompt: Prompt,
    own: bool,
    ids: tuple[int, ...],
    text: str,
) -> Branch | None:
    """The same answer up to a token, then these ids, or this text; None where the tokens are not those of the text.

    written: the answer; its first prompt_length characters are those of the text that it continues. prompt: what
    stands before it. own: whether the model that wrote it goes on; to another its ids mean nothing, so the text counts.
    """
    rest = "".join(record.text for record in records[index:])
    if not written.endswith(rest):
        return None
    begun = written[: len(written) - len(rest)]
    if not own:
        return Branch(begun, dataclasses.replace(prompt, answer_text=begun[prompt_length:], forced_text=text), (), ())
    kept = tuple(records[:index])
    if drawings and prompt.source is None:  # the very context that it was written in
        prompt = Prompt(ids=drawings[0].ids[: drawings[0].prompt])
    forced = {"forced_ids": ids} if ids else {"forced_text": text}
    prompt = dataclasses.replace(prompt, answer_ids=tuple(record.id for record in kept), **forced)
    return Branch(begun, prompt, kept, tuple(d for d in drawings if kept and len(d.ids) <= kept[-1].position))
