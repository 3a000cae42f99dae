"""The headless door: the same engine, the same knobs, in a terminal. Imports no Qt.

`vitrine SUBCOMMAND ...` and `python -m engine SUBCOMMAND ...` are the same. With --json, one JSON object on stdout.
A mistake is one sentence on stderr and exit 1; wrong usage is exit 2.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from engine.engine import Engine
from engine.errors import EngineError, InvalidValue
from engine.flags import add_flags, given
from engine.messages import (
    Answered,
    Attend,
    AttentionRows,
    BestOf,
    Classified,
    Classify,
    Command,
    CountKept,
    Done,
    Embed,
    Embedded,
    Event,
    Failed,
    Fill,
    Filled,
    Generate,
    Generated,
    Kept,
    Lens,
    LensRows,
    Load,
    LoadDraft,
    Loaded,
    Message,
    ModelInfo,
    NamePieces,
    Progress,
    Prompt,
    Score,
    Scored,
    Started,
    Tokenized,
    TokenRecord,
    Tokens,
)
from engine.params import CaptureParams, LoadParams, SamplingParams

SUBCOMMANDS = (
    "generate",
    "chat",
    "score",
    "fill",
    "classify",
    "embed",
    "tokenize",
    "template",
    "inspect",
    "attend",
    "lens",
    "quantize",
    "cache",
    "bench",
)

KEPT = "What is kept of models that were quantised."

Answer = TypeVar("Answer", bound=Event)


class Client:
    """An engine used from one thread: run a command, take its events as they come."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._engine = Engine(self._ready.set)

    def __enter__(self) -> Client:
        self._engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.stop()

    def run(self, command: Command) -> Iterator[Event]:
        """The command's events, Done last. Failed is raised as EngineError; Ctrl+C cancels and goes on to the end."""
        run = self._engine.submit(command)
        before = signal.signal(signal.SIGINT, lambda *_: run.cancel())
        try:
            while True:
                self._ready.wait()
                self._ready.clear()
                for event in self._engine.drain():
                    if event.run != run.id:
                        continue
                    if isinstance(event, Failed):
                        raise EngineError(event.message, event.hint)
                    yield event
                    if isinstance(event, Done):
                        return
        finally:
            signal.signal(signal.SIGINT, before)


class Timing:
    """How long the parts of a run took, in seconds, one after the other."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.perf_counter()

    def mark(self, part: str) -> None:
        """That part ends here, if it has not ended before."""
        now = time.perf_counter()
        if part not in self.parts:
            self.parts[part] = now - self._last
            self._last = now


def load_model(client: Client, arguments: argparse.Namespace, timing: Timing | None = None) -> ModelInfo:
    """Load arguments.model; progress on stderr where that is a terminal."""
    timing = timing or Timing()
    params = LoadParams(**given(arguments, LoadParams))
    info = None
    for event in client.run(Load(arguments.model, params)):
        timing.mark("imports")
        if isinstance(event, Progress) and sys.stderr.isatty():
            share = f" {100 * event.done // event.total} %" if event.total else ""
            print(f"\r{event.phase}{share}\x1b[K", end="", file=sys.stderr, flush=True)
        elif isinstance(event, Loaded):
            info = event.info
    timing.mark("load")
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if info is None:
        raise EngineError("Loading was cancelled.")
    if getattr(arguments, "draft", None):
        list(client.run(LoadDraft(arguments.draft)))
    return info


def sampling_from(arguments: argparse.Namespace, info: ModelInfo) -> SamplingParams:
    """Flags over the model's own defaults; temperature 0 alone is the argmax of the raw logits."""
    flags = given(arguments, SamplingParams)
    lengths = {"max_new_tokens", "min_new_tokens", "end_token", "seed", "speculation"}
    shaping = set(flags) - lengths - {words.name for words in SamplingParams.texts()}
    if shaping == {"temperature"} and flags["temperature"] == 0:
        return SamplingParams.neutral(max_new_tokens=info.defaults.max_new_tokens).replace(**flags)
    return info.defaults.replace(**flags)


# --- subcommands ------------------------------------------------------------------------------------------------------


def generate(arguments: argparse.Namespace) -> int:
    if arguments.text is None and arguments.ids is None and arguments.source is None:
        arguments.usage("one of --prompt, --ids and --source is needed")
    prompt = _prompt(arguments)
    capture, timing = CaptureParams(candidates=arguments.candidates or 0), Timing()
    if arguments.best_of is not None:
        return _best_of(arguments, prompt, capture)
    records: list[TokenRecord] = []
    with Client() as client:
        info = load_model(client, arguments, timing)
        result, streamed = None, False
        for event in client.run(Generate(prompt, sampling_from(arguments, info), capture)):
            if isinstance(event, Tokens):
                timing.mark("first_token")
                records += event.records
            if isinstance(event, Tokens) and not arguments.json:
                print(event.text, end="", flush=True)
                streamed = True
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
    _print_json(
        prompt_ids=result.prompt_ids,
        ids=result.ids,
        text=result.text,
        finish=result.finish,
        tokens_per_second=round(result.tokens_per_second, 2),
        **({"tokens": list(map(_token, records))} if arguments.candidates is not None else {}),
        **({"timing": timing.parts} if arguments.timing else {}),
    )
    return 0


def _best_of(arguments: argparse.Namespace, prompt: Prompt, capture: CaptureParams) -> int:
    """Several answers, the one that the model finds likeliest by token first."""
    with Client() as client:
        info = load_model(client, arguments)
        command = BestOf(prompt, arguments.best_of, sampling_from(arguments, info), capture)
        answers = [event for event in client.run(command) if isinstance(event, Answered)]
    answers.sort(key=lambda answer: -answer.mean_logprob)
    if not arguments.json:
        for answer in answers:
            print(f"{answer.mean_logprob:.3f} nats a token\n{answer.generated.text}\n")
        return 0
    _print_json(
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
    return 0


def score(arguments: argparse.Namespace) -> int:
    prompt = _prompt(arguments)
    with Client() as client:
        load_model(client, arguments)
        scored = next((e for e in list(client.run(Score(prompt))) if isinstance(e, Scored)), None)
    if scored is None:
        raise EngineError("Scoring was cancelled.")
    if arguments.json:
        _print_json(
            ids=scored.ids,
            logprobs=scored.logprobs,
            entropies=scored.entropies,
            nll=scored.nll,
            perplexity=scored.perplexity,
            scored=scored.scored,
        )
    else:
        mean = scored.nll / scored.scored
        print(f"{scored.scored:,} tokens scored, {mean:.4f} nats a token, perplexity {scored.perplexity:.4f}")
    return 0


def fill(arguments: argparse.Namespace) -> int:
    filled = _ask(arguments, Fill(_text(arguments), arguments.candidates), Filled)
    if arguments.json:
        masks = [
            {"position": position, "candidates": [dataclasses.asdict(filler) for filler in fillers]}
            for position, fillers in filled.masks
        ]
        _print_json(masks=masks)
    else:
        for position, fillers in filled.masks:
            words = ", ".join(f"{filler.token.strip()} {filler.probability:.1%}" for filler in fillers)
            print(f"{position}: {words}")
    return 0


def classify(arguments: argparse.Namespace) -> int:
    classified = _ask(arguments, Classify(_text(arguments), arguments.pair), Classified)
    if arguments.json:
        _print_json(labels=[{"label": label, "probability": value} for label, value in classified.labels])
    else:
        for label, value in classified.labels:
            print(f"{value:7.2%} {label}")
    return 0


def embed(arguments: argparse.Namespace) -> int:
    embedded = _ask(arguments, Embed(tuple(arguments.texts)), Embedded)
    if arguments.json:
        _print_json(vectors=embedded.vectors.tolist(), similarities=embedded.similarities.tolist())
    else:
        for text, row in zip(arguments.texts, embedded.similarities.tolist()):
            print(" ".join(f"{value:6.3f}" for value in row), text)
    return 0


def tokenize(arguments: argparse.Namespace) -> int:
    from engine.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(arguments.model)
    ids = tokenizer.encode(_text(arguments), special=not arguments.plain)
    pieces = [tokenizer.piece(i) for i in ids]
    if arguments.json:
        _print_json(ids=ids, pieces=pieces)
    else:
        for i, piece in zip(ids, pieces):
            print(f"{i}\t{piece!r}")
    return 0


def template(arguments: argparse.Namespace) -> int:
    from engine.text.templates import ChatTemplate
    from engine.text.tokenizer import Tokenizer

    messages = _messages(arguments.messages)
    tokenizer = Tokenizer.load(arguments.model)
    if tokenizer.chat_template is None:
        raise EngineError("This model has no chat template.", "It is a base model: use generate.")
    with contextlib.closing(ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens, tokenizer)) as chat:
        rendered = chat.render(messages, arguments.add_generation_prompt)
    if arguments.json:
        _print_json(text=rendered.text, ids=list(rendered.ids), spans=[list(span) for span in rendered.spans])
    else:
        print(rendered.text)
    return 0


def inspect(arguments: argparse.Namespace) -> int:
    from engine.loading.catalog import foreseen
    from engine.loading.catalog import inspect as inspect_folder

    card = inspect_folder(arguments.model)
    if not card.family:
        raise EngineError(card.reason, card.hint)
    values = dataclasses.asdict(card) | {"bytes_in_memory": dict(card.bytes_in_memory)}
    del values["sizes"]
    forecast = next(foreseen((card,), LoadParams(precision=arguments.precision or "auto")), None)
    if forecast is not None:
        values["forecast"] = dataclasses.asdict(forecast) | {"needed": forecast.needed}
    if arguments.precision is not None:
        from engine.loading.planning import planned

        form, nbytes, held = planned(arguments.model, LoadParams(precision=arguments.precision).precision)
        values["plan"] = {"precision": form, "bytes": nbytes, "matrices": [dataclasses.asdict(each) for each in held]}
    if arguments.json:
        _print_json(**values)
    else:
        values["bytes_in_memory"] = ", ".join(f"{name} {size:,}" for name, size in card.bytes_in_memory)
        plan = values.pop("plan", None)
        if forecast is not None:
            free = "" if forecast.free is None else f" of {forecast.free:,} free: {forecast.verdict}"
            longest = f", the longest text {forecast.longest:,} tokens" if forecast.verdict else ""
            values["forecast"] = f"{forecast.needed:,} bytes{free} in {forecast.precision}{longest}"
        for name, value in values.items():
            if value not in ("", 0):
                print(f"{name.replace('_', ' '):16} {f'{value:,}' if type(value) is int else value}")
        if plan is not None:
            print(f"{'in ' + arguments.precision:16} {plan['bytes']:,} bytes of weights")
        for each in plan["matrices"] if plan is not None else ():
            why = f" ({each['why']})" if each["why"] else ""
            count = f"{each['matrices']:,} {'matrix' if each['matrices'] == 1 else 'matrices'}"
            print(f"{'':16} {each['form']}: {count}, {each['nbytes']:,} bytes{why}")
    return 0


def quantize(arguments: argparse.Namespace) -> int:
    """Choose a model's 4-bit scales by a text; they are kept, and taken whenever it is loaded in int4."""
    from engine.loading.calibration import calibrated

    phases = calibrated(arguments.model, _text(arguments), LoadParams(precision="int4"))
    try:
        while True:
            phase, done, total = next(phases)
            if sys.stderr.isatty():
                print(f"\r{phase} {100 * done // max(1, total)} %\x1b[K", end="", file=sys.stderr, flush=True)
    except StopIteration as end:
        held = end.value.held
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if arguments.json:
        _print_json(matrices=[dataclasses.asdict(each) for each in held])
    else:
        for each in held:
            print(f"{each.form}: {each.matrices:,} matrices, {each.nbytes:,} bytes, off by {each.error:.2%}")
    return 0


def cache(arguments: argparse.Namespace) -> int:
    """What is kept of quantised models, which --clear removes."""
    with Client() as client:
        kept = next(event for event in list(client.run(CountKept(arguments.clear))) if isinstance(event, Kept))
    if arguments.json:
        _print_json(models=kept.models, bytes=kept.nbytes, cleared=arguments.clear)
    else:
        print(f"{kept.models:,} quantised models {'removed' if arguments.clear else 'kept'}, {kept.nbytes:,} bytes")
    return 0


def attend(arguments: argparse.Namespace) -> int:
    """All attention of a reading, or that of some layers and heads; a few megabytes of numbers soon."""
    wanted = _numbers(arguments.layers, "--layers")
    heads = _numbers(arguments.heads, "--heads")
    layer = (
        {"attention": "layer", "layer": wanted[0]} if wanted is not None and len(wanted) == 1 else {"attention": "all"}
    )
    maps: dict[str, list[Any]] = {}
    started = None
    with Client() as client:
        load_model(client, arguments)
        capture = CaptureParams(candidates=0, budget_mb=1024, exact=True, **layer)
        for event in client.run(Attend(_prompt(arguments), capture)):
            if isinstance(event, Started):
                started = event
            elif isinstance(event, AttentionRows):
                for name, rows in zip(event.layers, event.weights):
                    if wanted is None or int(name.split(".")[1]) in wanted:
                        chosen = rows if heads is None else rows[[head for head in heads if head < len(rows)]]
                        maps.setdefault(name, []).append(chosen)
        if started is None:
            raise EngineError("Reading was cancelled.")
        tokens = _pieces(client, started.prompt_ids)
        source = _pieces(client, started.source_ids, source=True)
    joined = {name: _joined(parts) for name, parts in maps.items()}
    if arguments.json:
        _print_json(tokens=tokens, source_tokens=source, maps={name: rows.tolist() for name, rows in joined.items()})
    else:
        for name, rows in joined.items():
            print(f"{name}: {' × '.join(map(str, rows.shape))} (heads, rows, columns)")
    return 0


def lens(arguments: argparse.Namespace) -> int:
    command = Lens(_prompt(arguments), arguments.first, arguments.best)
    with Client() as client:
        load_model(client, arguments)
        seen = next((event for event in list(client.run(command)) if isinstance(event, LensRows)), None)
        if seen is None:
            raise EngineError("Reading was cancelled.")
        tokens = _pieces(client, seen.ids[seen.first :])
    with_pieces: list[dict[str, Any]] = [
        {
            "name": name,
            "top": [
                [{"id": int(id), "text": seen.pieces[int(id)], "probability": float(p)} for id, p in zip(ids, values)]
                for ids, values in zip(seen.tops[layer], seen.probabilities[layer])
            ],
        }
        for layer, name in enumerate(seen.names)
    ]
    if arguments.json:
        _print_json(tokens=tokens, layers=with_pieces)
    else:
        for layer in with_pieces:
            best = layer["top"][-1][0]
            print(f"{layer['name']:12} {best['probability']:7.2%} {best['text']!r}")
    return 0


def bench(arguments: argparse.Namespace) -> int:
    from engine.bench import Options
    from engine.bench import bench as measure
    from engine.bench.report import lines, write

    names = {field.name for field in dataclasses.fields(Options)}
    given = {name: value for name, value in vars(arguments).items() if name in names and value is not None}
    result = measure(Options(**given))
    if arguments.write:
        write(Path(arguments.write), result)
    if arguments.json:
        _print_json(**result)
    else:
        print("\n".join(lines(result)))
    return 0


def chat(arguments: argparse.Namespace) -> int:
    """Talk in the terminal: a line is a turn; a base model continues each line instead. Ctrl+D ends it."""
    history: list[Message] = [Message("system", arguments.system)] if arguments.system else []
    with Client() as client:
        info = load_model(client, arguments)
        if info.kind == "encoder":
            raise EngineError(f"{info.name} does not talk. {info.note}", "Choose a model that writes text.")
        sampling = sampling_from(arguments, info)
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
                for event in client.run(Generate(prompt, sampling, CaptureParams(candidates=0))):
                    if isinstance(event, Tokens):
                        print(event.text, end="", flush=True)
                        text += event.text
            except EngineError as error:
                print(error, file=sys.stderr)
                continue
            print()
            history += [Message("user", line), Message("assistant", text)]


def _ask(arguments: argparse.Namespace, command: Command, answer: type[Answer]) -> Answer:
    """Load the model and run a command that is answered by one event of that type."""
    with Client() as client:
        load_model(client, arguments)
        found = next((event for event in list(client.run(command)) if isinstance(event, answer)), None)
    if found is None:
        raise EngineError("It was cancelled before there was an answer.")
    return found


# --- arguments --------------------------------------------------------------------------------------------------------


def _text(arguments: argparse.Namespace) -> str:
    if getattr(arguments, "file", None):
        try:
            return Path(arguments.file).read_text(encoding="utf-8")
        except OSError as error:
            raise EngineError(f"{arguments.file} cannot be read: {error.strerror}.", "Choose a text file.") from error
        except UnicodeDecodeError as error:
            raise EngineError(f"{arguments.file} is not UTF-8 text.", "Save it as UTF-8 first.") from error
    text: str = arguments.text or ""
    return text


def _prompt(arguments: argparse.Namespace) -> Prompt:
    source = arguments.source
    if arguments.ids is None:
        return Prompt(text=_text(arguments), source=source)
    try:
        return Prompt(ids=tuple(int(word) for word in arguments.ids.replace(",", " ").split()), source=source)
    except ValueError:
        raise InvalidValue(
            f"--ids is {arguments.ids!r}, which is not a list of whole numbers.", 'Write them like "1 2 3".'
        ) from None


def _numbers(text: str | None, flag: str) -> list[int] | None:
    """ "0,3" as numbers; None where nothing was given."""
    if text is None:
        return None
    try:
        return [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InvalidValue(f"{flag} is {text!r}, which is not a list of whole numbers.", 'Write "0,3".') from None


def _pieces(client: Client, ids: Sequence[int], source: bool = False) -> list[str]:
    named = (e for e in list(client.run(NamePieces(tuple(ids), source))) if isinstance(e, Tokenized))
    return [piece for event in named for piece in event.pieces]


def _joined(parts: Sequence[Any]) -> Any:
    """Rows that came in several passes, one under the other; what a later pass sees more is 0 before."""
    import numpy as np

    width = max(part.shape[-1] for part in parts)
    wide = [np.pad(part.astype(np.float32), ((0, 0), (0, 0), (0, width - part.shape[-1]))) for part in parts]
    return np.concatenate(wide, axis=1)


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


def _messages(path: str) -> tuple[Message, ...]:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return tuple(Message(str(item["role"]), str(item["content"])) for item in data)
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}.", "Choose a JSON file.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise EngineError(
            f"{path} is not a list of messages.", 'Write [{"role": "user", "content": "..."}] in it.'
        ) from error


def _print_json(**values: Any) -> None:
    print(json.dumps(values, ensure_ascii=False))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vitrine", description="Vitrine without its window.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(SUBCOMMANDS))

    def add(function: Callable[[argparse.Namespace], int], help: str, *, runs: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(function.__name__, help=help, description=help)
        sub.set_defaults(function=function)
        several = "?" if function is bench else None
        sub.add_argument("model", metavar="MODEL", nargs=several, help="a model folder or a .gguf file")
        if runs:
            add_flags(sub, LoadParams)
        return sub

    def add_sampling(sub: argparse.ArgumentParser) -> None:
        add_flags(sub, SamplingParams)
        sub.add_argument("--draft", metavar="MODEL", help="a smaller model of the same tokenizer that drafts for it")

    sub = add(generate, "Continue a text.", runs=True)
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
    add_sampling(sub)

    sub = add(chat, "Talk in the terminal.", runs=True)
    sub.add_argument("--system", default="", metavar="TEXT", help="what the model is told first")
    add_sampling(sub)

    for function, help in ((attend, "Where every head looks, as numbers."), (lens, "What each layer would say next.")):
        sub = add(function, help, runs=True)
        sub.add_argument("--source", metavar="TEXT", help="what an encoder-decoder reads; the text is then its target")
        text = sub.add_mutually_exclusive_group(required=True)
        text.add_argument("--text", metavar="TEXT")
        text.add_argument("--ids", metavar="IDS", help='token ids, taken as they are: "1 2 3"')
        if function is attend:
            sub.add_argument("--layers", metavar="N,N", help="these layers alone")
            sub.add_argument("--heads", metavar="N,N", help="these heads alone")
        else:
            sub.add_argument("--first", type=int, default=0, metavar="N", help="the position to begin with")
            sub.add_argument("--best", type=int, default=5, metavar="N", help="tokens to name for each layer")

    sub = add(score, "How likely the model finds a text.", runs=True)
    sub.add_argument("--source", metavar="TEXT", help="what an encoder-decoder reads; the text is then its target")
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="TEXT")
    source.add_argument("--file", metavar="FILE")
    source.add_argument("--ids", metavar="IDS")

    sub = add(fill, "The likeliest tokens for every [MASK] of a text.", runs=True)
    sub.add_argument("--text", metavar="TEXT", required=True)
    sub.add_argument("--candidates", metavar="N", type=int, default=20, help="how many for each mask")

    sub = add(classify, "The labels of a text, by a sequence-classification head.", runs=True)
    sub.add_argument("--text", metavar="TEXT", required=True)
    sub.add_argument("--text-pair", dest="pair", metavar="TEXT", help="the second text, where two are compared")

    sub = add(embed, "Texts as vectors, and how similar they are.", runs=True)
    sub.add_argument("--text", dest="texts", metavar="TEXT", action="append", required=True, help="repeatable")

    sub = add(tokenize, "A text as token ids and pieces.")
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="TEXT")
    source.add_argument("--file", metavar="FILE")
    sub.add_argument("--plain", action="store_true", help="without the special tokens that the tokenizer adds")

    sub = add(template, "Messages as the model reads them.")
    sub.add_argument("--messages", required=True, metavar="FILE.json")
    sub.add_argument("--add-generation-prompt", action="store_true")

    sub = add(inspect, "What a model folder holds, without loading it.")
    sub.add_argument("--precision", metavar="NAME", help="also what each matrix would be held in, and why")

    sub = add(quantize, "Choose a model's 4-bit scales by a text, for all later loads in int4.")
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="TEXT")
    source.add_argument("--file", metavar="FILE")

    sub = commands.add_parser("cache", help=KEPT, description=KEPT)
    sub.set_defaults(function=cache)
    sub.add_argument("--clear", action="store_true", help="remove it; it is made again when a model is loaded")

    sub = add(bench, "How fast a model, or a shape of random weights, runs here.")
    sub.add_argument("--shape", metavar="SHAPE", help="in place of a model: 1b or 135m, a Llama of random weights")
    sub.add_argument("--precision", metavar="NAME", help="as the other commands take it; a shape's default is int4")
    for name, help in BENCH_NUMBERS.items():
        sub.add_argument(f"--{name}", metavar="N", type=int, help=help)
    sub.add_argument("--against", metavar="PROGRAM", help='"llama.cpp", through llama-cpp-python')
    sub.add_argument("--busy", action="store_true", help="once more beside a process that keeps a core busy")
    sub.add_argument("--cold", action="store_true", help="also from the start of a process to its first token")
    sub.add_argument("--write", metavar="FILE", help="put the figures into the table of this file (README.md)")
    for sub in commands.choices.values():
        if sub.prog.split()[-1] != "chat":
            sub.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


BENCH_NUMBERS = {
    "threads": "processor threads; as many as run it best by default",
    "prompt-tokens": "tokens of the prompt, which is what is written after (512)",
    "tokens": "tokens written in each round (32)",
    "rounds": "rounds, of which the median counts (5)",
    "group": "weights that share a scale, in a quantised shape (32)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    arguments = _parser().parse_args(argv)
    function: Callable[[argparse.Namespace], int] = arguments.function
    try:
        return function(arguments)
    except EngineError as error:
        print(str(error), file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 141


if __name__ == "__main__":
    sys.exit(main())
