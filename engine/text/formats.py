"""The files that a tokenizer may come in, each read into the `tokenizers` library's terms.

In this order: tokenizer.json, which says everything itself; a GGUF file; and the older files, of which each says less
(engine/text/older.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken

from engine.errors import BadModelFiles, EngineError
from engine.gguf_parts import wholes
from engine.text.chat_formats import of_folder, of_gguf
from engine.text.files import AGAIN, Files, first_line, read_json, read_text
from engine.text.older import builder


def read(place: Path) -> Files:
    """The tokenizer of a model folder or GGUF file. Raises BadModelFiles or UnsupportedModel."""
    if place.is_file():
        return _guarded(place.name, lambda: _of_gguf(place))
    settings = read_json(place / "special_tokens_map.json") | read_json(place / "tokenizer_config.json")
    template, chat_format = of_folder(place)
    path = place / "tokenizer.json"
    if path.is_file():
        backend = _guarded(f"tokenizer.json in {place}", lambda: tokenizers.Tokenizer.from_str(read_text(path)))
        backend.no_truncation()
        backend.no_padding()
        return Files(backend, settings, template, chat_format)
    found = builder(place, settings)
    if found:
        files: Files = _guarded(f"{found[0]} in {place}", found[1])
        _add_listed(files.backend, settings, place)
        return replace(files, template=template, chat_format=chat_format)
    models = wholes(place.glob("*.gguf"))
    if len(models) == 1:
        return read(models[0])
    raise BadModelFiles(f"tokenizer.json is missing in {place}.", AGAIN)


def _guarded(name: str, build: Callable[[], Any]) -> Any:
    """What build gives; whatever the library throws at a broken file, as BadModelFiles."""
    try:
        return build()
    except (EngineError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are no Exceptions
        raise BadModelFiles(f"{name} cannot be read: {first_line(error)}.", AGAIN) from error


def _of_gguf(path: Path) -> Files:
    from engine.gguf import GGUF
    from engine.text.gguf_vocabulary import vocabulary

    file = GGUF(path)
    return Files(*vocabulary(file), *of_gguf(file))


def _add_listed(backend: tokenizers.Tokenizer, settings: dict[str, Any], place: Path) -> None:
    """The tokens that added_tokens_decoder or the older added_tokens.json list beyond the vocabulary."""
    listed: dict[int, dict[str, Any]] = {}
    for text, id in read_json(place / "added_tokens.json").items():
        if type(id) is int:
            listed[id] = {"content": text, "special": True}
    decoder = settings.get("added_tokens_decoder")
    for key, token in (decoder if isinstance(decoder, dict) else {}).items():
        if str(key).isdecimal() and isinstance(token, dict) and isinstance(token.get("content"), str):
            listed[int(key)] = token
    for id, token in sorted(listed.items()):
        flags = {name: token.get(name) is True for name in ("single_word", "lstrip", "rstrip", "normalized")}
        added = AddedToken(token["content"], special=token.get("special") is True, **flags)
        (backend.add_special_tokens if added.special else backend.add_tokens)([added])
        if backend.token_to_id(token["content"]) != id:
            raise BadModelFiles(f"The added token {token['content']!r:.60} in {place} does not get its id {id}.", AGAIN)
