"""From a prompt to what a model reads: ids, and for an encoder-decoder a source and the target's beginning."""

from __future__ import annotations

from collections.abc import Sequence

from engine.decoding import targets
from engine.decoding.constraints import Rules
from engine.decoding.targets import Target
from engine.errors import InvalidValue
from engine.jobs.workbench import Workbench, joins_turns
from engine.messages import Prompt
from engine.models.base import Decoder, Seq2Seq


def opened(bench: Workbench, prompt: Prompt) -> tuple[list[int], Decoder]:
    """The ids of prompt and answer, and who reads them: the model, or its decoder for the source."""
    if isinstance(bench.loaded.model, Seq2Seq):
        source, _, prompt = source_of(bench, prompt)
        begin, answer = begin_target(bench, prompt)
        return [*begin, *answer], Target(bench.loaded.model, source)
    begin, answer, _ = resolve(bench, prompt)
    return [*begin, *answer], bench.decoder


def text_ids(bench: Workbench, prompt: Prompt) -> list[int]:
    """What an encoder reads."""
    return bench.tokenizer.encode(prompt.text or "") if prompt.ids is None else list(prompt.ids)


def resolve(bench: Workbench, prompt: Prompt) -> tuple[list[int], list[int], str]:
    """Ids of a decoder's prompt, ids that the answer already has, and the prompt as text."""
    if prompt.source is not None or bench.loaded.kind != "decoder":
        raise bench.cannot("Choose a model that fits the task.")
    answer, more = answer_of(bench, prompt)
    if prompt.ids is not None:
        return list(prompt.ids), answer, bench.tokenizer.decode(prompt.ids)
    if prompt.text is not None:
        return bench.tokenizer.encode(prompt.text + more), answer, prompt.text + more
    if prompt.messages is None:
        raise InvalidValue("There is no prompt.", "Give a text, messages or ids.")
    rendered = bench.require_template().render(prompt.messages, True, more)
    return list(rendered.ids), answer, rendered.text


def source_of(bench: Workbench, prompt: Prompt) -> tuple[list[int], str, Prompt]:
    """The ids that an encoder-decoder reads, their text, and what is left of the prompt for the target."""
    if prompt.source is None and prompt.messages is not None and not joins_turns(bench.loaded):
        raise bench.cannot("Give it a source: it does not take turns.")
    return targets.source_of(prompt, bench.tokenizer, bench.info.context)


def begin_target(bench: Workbench, prompt: Prompt) -> tuple[list[int], list[int]]:
    """What the target begins with, the model's own first ids before the prompt's, and what it already has."""
    if bench.loaded.start_id is None:
        raise InvalidValue(
            f"{bench.info.name} does not say what a target begins with.",
            "Add decoder_start_token_id to its config.json.",
        )
    answer, more = answer_of(bench, prompt)
    begin = [bench.loaded.start_id]
    if prompt.ids is not None:
        return [*begin, *prompt.ids], answer
    ids = bench.writer.encode((prompt.text or "") + more, special=False)
    first = Rules.read(bench.generation, ()).first
    if ids and first is not None and ids[0] != first:
        begin.append(first)
    return [*begin, *ids], answer


def answer_of(bench: Workbench, prompt: Prompt) -> tuple[list[int], str]:
    """The ids that the answer already has, or the text that it begins with."""
    answer = list(prompt.answer_ids)
    while answer and answer[-1] in bench.loaded.eos_ids:  # to continue is to take the end mark back
        answer.pop()
    return answer, "" if answer else prompt.answer_text


def forced_of(bench: Workbench, prompt: Prompt, before: Sequence[int]) -> list[int]:
    """The ids that the answer must go on with after the ids before it."""
    if prompt.forced_ids or not prompt.forced_text:
        return list(prompt.forced_ids)
    return bench.writer.encode_after(before, prompt.forced_text)
