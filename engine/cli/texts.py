"""Subcommands on a given text: how likely it is, its tokens, and what a chat template makes of it."""

from __future__ import annotations

import argparse
import contextlib

from engine.cli.arguments import Commands, add_adapters, messages_of, print_json, prompt_of, subcommand, text_of
from engine.cli.client import Client, adapters_from, load_model
from engine.errors import EngineError
from engine.messages import Score, Scored


def add(commands: Commands) -> None:
    """Declare them."""
    sub = subcommand(commands, score, "How likely the model finds a text.", runs=True)
    sub.add_argument("--source", metavar="TEXT", help="what an encoder-decoder reads; the text is then its target")
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="TEXT")
    source.add_argument("--file", metavar="FILE")
    source.add_argument("--ids", metavar="IDS")
    add_adapters(sub)

    sub = subcommand(commands, tokenize, "A text as token ids and pieces.")
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="TEXT")
    source.add_argument("--file", metavar="FILE")
    sub.add_argument("--plain", action="store_true", help="without the special tokens that the tokenizer adds")

    sub = subcommand(commands, template, "Messages as the model reads them.")
    sub.add_argument("--messages", required=True, metavar="FILE.json")
    sub.add_argument("--add-generation-prompt", action="store_true")


def score(arguments: argparse.Namespace) -> int:
    command = Score(prompt_of(arguments), adapters=adapters_from(arguments))
    with Client() as client:
        load_model(client, arguments)
        scored = next((e for e in list(client.run(command)) if isinstance(e, Scored)), None)
    if scored is None:
        raise EngineError("Scoring was cancelled.")
    if arguments.json:
        print_json(
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


def tokenize(arguments: argparse.Namespace) -> int:
    from engine.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(arguments.model)
    ids = tokenizer.encode(text_of(arguments), special=not arguments.plain)
    pieces = [tokenizer.piece(i) for i in ids]
    if arguments.json:
        print_json(ids=ids, pieces=pieces)
    else:
        for i, piece in zip(ids, pieces):
            print(f"{i}\t{piece!r}")
    return 0


def template(arguments: argparse.Namespace) -> int:
    from engine.text.templates import ChatTemplate
    from engine.text.tokenizer import Tokenizer

    messages = messages_of(arguments.messages)
    tokenizer = Tokenizer.load(arguments.model)
    if tokenizer.chat_template is None:
        raise EngineError("This model has no chat template.", "It is a base model: use generate.")
    with contextlib.closing(ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens, tokenizer)) as chat:
        rendered = chat.render(messages, arguments.add_generation_prompt)
    if arguments.json:
        print_json(text=rendered.text, ids=list(rendered.ids), spans=[list(span) for span in rendered.spans])
    else:
        print(rendered.text)
    return 0
