"""Subcommands on models as files: what one holds, its 4-bit scales, what is kept of quantised ones, their speed."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

from engine.cli.arguments import Commands, print_json, subcommand, text_of
from engine.cli.client import Client
from engine.errors import EngineError
from engine.messages import CountKept, Kept
from engine.params import LoadParams

BENCH_NUMBERS = {
    "threads": "processor threads; as many as run it best by default",
    "prompt-tokens": "tokens of the prompt, which is what is written after (512)",
    "tokens": "tokens written in each round (32)",
    "rounds": "rounds, of which the median counts (5)",
    "group": "weights that share a scale, in a quantised shape (32)",
}


def add(commands: Commands) -> None:
    """Declare them."""
    sub = subcommand(commands, inspect, "What a model's or an adapter's folder holds, without loading it.")
    sub.add_argument("--precision", metavar="NAME", help="also what each matrix would be held in, and why")

    sub = subcommand(commands, quantize, "Choose a model's 4-bit scales by a text, for all later loads in int4.")
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="TEXT")
    source.add_argument("--file", metavar="FILE")

    sub = subcommand(commands, cache, "What is kept of models that were quantised.", model=None)
    sub.add_argument("--clear", action="store_true", help="remove it; it is made again when a model is loaded")

    sub = subcommand(commands, bench, "How fast a model, or a shape of random weights, runs here.", model="optional")
    sub.add_argument("--shape", metavar="SHAPE", help="in place of a model: 1b or 135m, a Llama of random weights")
    sub.add_argument("--precision", metavar="NAME", help="as the other commands take it; a shape's default is int4")
    for name, help in BENCH_NUMBERS.items():
        sub.add_argument(f"--{name}", metavar="N", type=int, help=help)
    sub.add_argument("--against", metavar="PROGRAM", help='"llama.cpp", through llama-cpp-python')
    sub.add_argument("--busy", action="store_true", help="once more beside a process that keeps a core busy")
    sub.add_argument("--cold", action="store_true", help="also from the start of a process to its first token")
    sub.add_argument("--write", metavar="FILE", help="put the figures into the table of this file (README.md)")


def inspect(arguments: argparse.Namespace) -> int:
    from engine.adapters.files import is_adapter
    from engine.loading.catalog import foreseen
    from engine.loading.catalog import inspect as inspect_folder

    folder = Path(arguments.model).expanduser()
    if is_adapter(folder) and not (folder / "config.json").exists():
        return _inspect_adapter(arguments)
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
        print_json(**values)
    else:
        values["bytes_in_memory"] = ", ".join(f"{name} {size:,}" for name, size in card.bytes_in_memory)
        plan = values.pop("plan", None)
        if forecast is not None:
            free = "" if forecast.free is None else f" of {forecast.free:,} free: {forecast.verdict}"
            longest = f", the longest text {forecast.longest:,} tokens" if forecast.verdict else ""
            values["forecast"] = f"{forecast.needed:,} bytes{free} in {forecast.precision}{longest}"
        _print_values(values)
        if plan is not None:
            print(f"{'in ' + arguments.precision:16} {plan['bytes']:,} bytes of weights")
        for each in plan["matrices"] if plan is not None else ():
            why = f" ({each['why']})" if each["why"] else ""
            print(f"{'':16} {each['form']}: {_count(each['matrices'])}, {each['nbytes']:,} bytes{why}")
    return 0


def _inspect_adapter(arguments: argparse.Namespace) -> int:
    """What an adapter's folder holds; one that cannot be used is a mistake, as a model's is."""
    from engine.adapters.catalog import card as card_of

    card = card_of(arguments.model)
    if not card.modules:
        raise EngineError(card.reason, card.hint)
    values = {"kind": "adapter"} | dataclasses.asdict(card)
    if arguments.json:
        print_json(**values)
    else:
        _print_values(values | {"modules": ", ".join(card.modules)})
    return 0


def _print_values(values: Mapping[str, object]) -> None:
    """A line for each that says something."""
    for name, value in values.items():
        if value not in ("", 0):
            print(f"{name.replace('_', ' '):16} {f'{value:,}' if type(value) is int else value}")


def quantize(arguments: argparse.Namespace) -> int:
    """Choose a model's 4-bit scales by a text; they are kept, and taken whenever it is loaded in int4."""
    from engine.loading.calibration import calibrated

    phases = calibrated(arguments.model, text_of(arguments), LoadParams(precision="int4"))
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
        print_json(matrices=[dataclasses.asdict(each) for each in held])
    else:
        for each in held:
            print(f"{each.form}: {_count(each.matrices)}, {each.nbytes:,} bytes, off by {each.error:.2%}")
    return 0


def cache(arguments: argparse.Namespace) -> int:
    """What is kept of quantised models, which --clear removes."""
    with Client() as client:
        kept = next(event for event in list(client.run(CountKept(arguments.clear))) if isinstance(event, Kept))
    if arguments.json:
        print_json(models=kept.models, bytes=kept.nbytes, cleared=arguments.clear)
    else:
        models = f"{kept.models:,} quantised {'model' if kept.models == 1 else 'models'}"
        print(f"{models} {'removed' if arguments.clear else 'kept'}, {kept.nbytes:,} bytes")
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
        print_json(**result)
    else:
        print("\n".join(lines(result)))
    return 0


def _count(matrices: int) -> str:
    return f"{matrices:,} {'matrix' if matrices == 1 else 'matrices'}"
