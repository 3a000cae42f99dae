"""Subcommands that look inside: attention as numbers, and what each layer would say."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from engine.cli.arguments import Commands, add_adapters, numbers, print_json, prompt_of, subcommand
from engine.cli.client import Client, adapters_from, load_model, pieces
from engine.errors import EngineError
from engine.messages import Attend, AttentionRows, Lens, LensRows, Started
from engine.params import CaptureParams


def add(commands: Commands) -> None:
    """Declare them."""
    for function, help in ((attend, "Where every head looks, as numbers."), (lens, "What each layer would say next.")):
        sub = subcommand(commands, function, help, runs=True)
        sub.add_argument("--source", metavar="TEXT", help="what an encoder-decoder reads; the text is then its target")
        text = sub.add_mutually_exclusive_group(required=True)
        text.add_argument("--text", metavar="TEXT")
        text.add_argument("--ids", metavar="IDS", help='token ids, taken as they are: "1 2 3"')
        add_adapters(sub)
        if function is attend:
            sub.add_argument("--layers", metavar="N,N", help="these layers alone")
            sub.add_argument("--heads", metavar="N,N", help="these heads alone")
        else:
            sub.add_argument("--first", type=int, default=0, metavar="N", help="the position to begin with")
            sub.add_argument("--best", type=int, default=5, metavar="N", help="tokens to name for each layer")


def attend(arguments: argparse.Namespace) -> int:
    """All attention of a reading, or that of some layers and heads; a few megabytes of numbers soon."""
    wanted = numbers(arguments.layers, "--layers")
    heads = numbers(arguments.heads, "--heads")
    layer = (
        {"attention": "layer", "layer": wanted[0]} if wanted is not None and len(wanted) == 1 else {"attention": "all"}
    )
    maps: dict[str, list[Any]] = {}
    started = None
    with Client() as client:
        load_model(client, arguments)
        capture = CaptureParams(candidates=0, budget_mb=1024, exact=True, **layer)
        for event in client.run(Attend(prompt_of(arguments), capture, adapters=adapters_from(arguments))):
            if isinstance(event, Started):
                started = event
            elif isinstance(event, AttentionRows):
                for name, rows in zip(event.layers, event.weights):
                    if wanted is None or int(name.split(".")[1]) in wanted:
                        chosen = rows if heads is None else rows[[head for head in heads if head < len(rows)]]
                        maps.setdefault(name, []).append(chosen)
        if started is None:
            raise EngineError("Reading was cancelled.")
        tokens = pieces(client, started.prompt_ids)
        source = pieces(client, started.source_ids, source=True)
    joined = {name: _joined(parts) for name, parts in maps.items()}
    if arguments.json:
        print_json(tokens=tokens, source_tokens=source, maps={name: rows.tolist() for name, rows in joined.items()})
    else:
        for name, rows in joined.items():
            print(f"{name}: {' × '.join(map(str, rows.shape))} (heads, rows, columns)")
    return 0


def lens(arguments: argparse.Namespace) -> int:
    adapters = adapters_from(arguments)
    command = Lens(prompt_of(arguments), arguments.first, arguments.best, adapters=adapters)
    with Client() as client:
        load_model(client, arguments)
        seen = next((event for event in list(client.run(command)) if isinstance(event, LensRows)), None)
        if seen is None:
            raise EngineError("Reading was cancelled.")
        tokens = pieces(client, seen.ids[seen.first :])
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
        print_json(tokens=tokens, layers=with_pieces)
    else:
        for layer in with_pieces:
            best = layer["top"][-1][0]
            print(f"{layer['name']:12} {best['probability']:7.2%} {best['text']!r}")
    return 0


def _joined(parts: Sequence[Any]) -> Any:
    """Rows that came in several passes, one under the other; what a later pass sees more is 0 before."""
    import numpy as np

    width = max(part.shape[-1] for part in parts)
    wide = [np.pad(part.astype(np.float32), ((0, 0), (0, 0), (0, width - part.shape[-1]))) for part in parts]
    return np.concatenate(wide, axis=1)
