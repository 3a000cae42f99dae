"""Subcommands that write: an answer, several of them, a talk in the terminal."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from engine.cli.arguments import Commands, add_adapters, add_sampling, print_json, prompt_of, subcommand
from engine.cli.client import Client, Timing, adapters_from, load_model, sampling_from
from engine.errors import EngineError
from engine.messages import Answered, BestOf, Generate, Generated, Message, Prompt, Stats, TokenRecord, Tokens
from engine.params import CaptureParams


def add(commands: Commands) -> None:
    """Declare them."""
    sub = subcommand(commands, generate, "Continue a text.", runs=True)
    sub.add_argument(
        "--source", metavar="TEXT", help="what an encoder-decoder reads; a prompt is its target's beginning"
    )
    sub.set_defaults(usage=sub.error)
    source = sub.add_mutually_exclusive_group()
    source.add_argument("--prompt", dest="text", metavar="TEXT")
    source.add_argument("--ids", metavar="IDS", help='token ids, taken as they are: "1 2 3"')
    sub.add_argument(
        "--candidates", type=int, metavar="N", help="with --json, every token with what else it could have been"
    )
    sub.add_argument("--best-of", type=int, metavar="N", help="write so many answers, 1 to 8, the likeliest first")
    sub.add_argument("--timing", action="store_true", help="how long imports, loading and the first token took")
    add_adapters(sub)
    add_sampling(sub)

    sub = subcommand(commands, chat, "Talk in the terminal.", runs=True)
    sub.add_argument("--system", default="", metavar="TEXT", help="what the model is told first")
    add_adapters(sub)
    add_sampling(sub)


def generate(arguments: argparse.Namespace) -> int:
    if arguments.text is None and arguments.ids is None and arguments.source is None:
        arguments.usage("one of --prompt, --ids and --source is needed")
    prompt = prompt_of(arguments)
    capture, timing = CaptureParams(candidates=arguments.candidates or 0), Timing()
    if arguments.best_of is not None:
        return _best_of(arguments, prompt, capture)
    records: list[TokenRecord] = []
    with Client() as client:
        info = load_model(client, arguments, timing)
        result, stats, streamed = None, None, False
        command = Generate(prompt, sampling_from(arguments, info), capture, adapters=adapters_from(arguments))
        for event in client.run(command):
            if isinstance(event, Tokens):
                timing.mark("first_token")
                records += event.records
            if isinstance(event, Tokens) and not arguments.json:
                print(event.text, end="", flush=True)
                streamed = True
            elif isinstance(event, Stats):
                stats = event
            elif isinstance(event, Generated):
                result = event
    if not arguments.json:
        print("" if streamed or result is None else result.text)  # beams are known at the end
        if arguments.timing:
            print(", ".join(f"{part.replace('_', ' ')} {s:.2f} s" for part, s in timing.parts.items()), file=sys.stderr)
        if result is not None and result.finish == "cancelled":
            return 130
        return 0
    if result is None:
        raise EngineError("The answer was cancelled before it began.")
    print_json(
        prompt_ids=result.prompt_ids,
        ids=result.ids,
        text=result.text,
        finish=result.finish,
        tokens_per_second=round(result.tokens_per_second, 2),
        **({"drafted": stats.drafted, "accepted": stats.accepted} if stats is not None else {}),
        **({"tokens": list(map(_token, records))} if arguments.candidates is not None else {}),
        **({"timing": timing.parts} if arguments.timing else {}),
    )
    return 0


def _best_of(arguments: argparse.Namespace, prompt: Prompt, capture: CaptureParams) -> int:
    """Several answers, the one that the model finds likeliest by token first; those that were finished, if it fails."""
    answers: list[Answered] = []
    try:
        with Client() as client:
            info = load_model(client, arguments)
            sampling, adapters = sampling_from(arguments, info), adapters_from(arguments)
            command = BestOf(prompt, arguments.best_of, sampling, capture, adapters)
            for event in client.run(command):
                if isinstance(event, Answered):
                    answers.append(event)
    except EngineError:
        if answers:
            _print_answers(arguments, answers)
        raise
    _print_answers(arguments, answers)
    return 0


def _print_answers(arguments: argparse.Namespace, answers: list[Answered]) -> None:
    answers.sort(key=lambda answer: -answer.mean_logprob)
    if not arguments.json:
        for answer in answers:
            print(f"{answer.mean_logprob:.3f} nats a token\n{answer.generated.text}\n")
        return
    print_json(
        prompt_ids=answers[0].generated.prompt_ids if answers else (),
        answers=[
            {
                "seed": answer.started.seed,
                "ids": answer.generated.ids,
                "text": answer.generated.text,
                "finish": answer.generated.finish,
                "mean_logprob": answer.mean_logprob,
                **({"tokens": list(map(_token, answer.records))} if arguments.candidates is not None else {}),
            }
            for answer in answers
        ],
    )


def chat(arguments: argparse.Namespace) -> int:
    """Talk in the terminal: a line is a turn; a base model continues each line instead. Ctrl+D ends it."""
    history: list[Message] = [Message("system", arguments.system)] if arguments.system else []
    with Client() as client:
        info = load_model(client, arguments)
        if info.kind == "encoder":
            raise EngineError(f"{info.name} does not talk. {info.note}", "Choose a model that writes text.")
        sampling, adapters = sampling_from(arguments, info), adapters_from(arguments)
        print(f"{info.name} · {info.device} {info.precision}. {info.note} Ctrl+D ends the chat.".replace("  ", " "))
        while True:
            try:
                line = input("\n> ")
            except (EOFError, KeyboardInterrupt):
                print()
                return 0
            if not line.strip():
                continue
            if info.chat_template:
                prompt = Prompt(messages=(*history, Message("user", line)))
            else:
                prompt = Prompt(text=line)
            text = ""
            try:
                for event in client.run(Generate(prompt, sampling, CaptureParams(candidates=0), adapters=adapters)):
                    if isinstance(event, Tokens):
                        print(event.text, end="", flush=True)
                        text += event.text
            except EngineError as error:
                print(error, file=sys.stderr)
                continue
            print()
            history += [Message("user", line), Message("assistant", text)]


def _token(record: TokenRecord) -> dict[str, Any]:
    """One token and its candidates, best first; cut: the step that removed one, or None."""
    columns = (record.candidate_ids, record.pieces, record.before, record.after, record.cut)
    return {
        "id": record.id,
        "text": record.text,
        "logprob": record.logprob,
        "rank": record.rank,
        "entropy": record.entropy,
        "candidates": [
            {
                "id": int(id),
                "text": piece,
                "before": float(before),
                "after": float(after),
                "cut": record.steps[cut] if cut >= 0 else None,
            }
            for id, piece, before, after, cut in zip(*columns)
        ],
    }
