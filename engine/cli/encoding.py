"""Subcommands for encoders: masks filled, labels, sentence vectors."""

from __future__ import annotations

import argparse
import dataclasses

from engine.cli.arguments import Commands, add_adapters, print_json, subcommand, text_of
from engine.cli.client import adapters_from, ask
from engine.messages import Classified, Classify, Embed, Embedded, Fill, Filled


def add(commands: Commands) -> None:
    """Declare them."""
    sub = subcommand(commands, fill, "The likeliest tokens for every [MASK] of a text.", runs=True)
    sub.add_argument("--text", metavar="TEXT", required=True)
    sub.add_argument("--candidates", metavar="N", type=int, default=20, help="how many for each mask")
    add_adapters(sub)

    sub = subcommand(commands, classify, "The labels of a text, by a sequence-classification head.", runs=True)
    sub.add_argument("--text", metavar="TEXT", required=True)
    sub.add_argument("--text-pair", dest="pair", metavar="TEXT", help="the second text, where two are compared")
    add_adapters(sub)

    sub = subcommand(commands, embed, "Texts as vectors, and how similar they are.", runs=True)
    sub.add_argument("--text", dest="texts", metavar="TEXT", action="append", required=True, help="repeatable")
    add_adapters(sub)


def fill(arguments: argparse.Namespace) -> int:
    filled = ask(arguments, Fill(text_of(arguments), arguments.candidates, adapters_from(arguments)), Filled)
    if arguments.json:
        masks = [
            {"position": position, "candidates": [dataclasses.asdict(filler) for filler in fillers]}
            for position, fillers in filled.masks
        ]
        print_json(masks=masks)
    else:
        for position, fillers in filled.masks:
            words = ", ".join(f"{filler.token.strip()} {filler.probability:.1%}" for filler in fillers)
            print(f"{position}: {words}")
    return 0


def classify(arguments: argparse.Namespace) -> int:
    classified = ask(arguments, Classify(text_of(arguments), arguments.pair, adapters_from(arguments)), Classified)
    if arguments.json:
        print_json(labels=[{"label": label, "probability": value} for label, value in classified.labels])
    else:
        for label, value in classified.labels:
            print(f"{value:7.2%} {label}")
    return 0


def embed(arguments: argparse.Namespace) -> int:
    embedded = ask(arguments, Embed(tuple(arguments.texts), adapters_from(arguments)), Embedded)
    if arguments.json:
        print_json(vectors=embedded.vectors.tolist(), similarities=embedded.similarities.tolist())
    else:
        for text, row in zip(arguments.texts, embedded.similarities.tolist()):
            print(" ".join(f"{value:6.3f}" for value in row), text)
    return 0
