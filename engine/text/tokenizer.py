"""A checkpoint's tokenizer: text to ids, ids to text, whole or as it streams.

It wraps the `tokenizers` library, into whose terms engine/text/formats.py brings every kind of file. It knows no model:
ids beyond the vocabulary are let through, because real models pad theirs. Text is what the model wrote: nothing is
tidied up afterwards (clean_up_tokenization_spaces is not followed), so that encoding it again means the same.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import tokenizers

from engine.text import formats
from engine.text.files import Files

NAMED_SPECIALS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
# Decoders look at most one token back (a space that is dropped at the start); two more cost nothing.
WINDOW = 3


def _byte_alphabet() -> dict[str, int]:
    """The printable character that stands for each byte in byte-level vocabularies. Source: GPT-2's encoder.py."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


BYTE_ALPHABET = _byte_alphabet()


def _as_hex(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"<0x{byte:02X}>" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("vitrine-hex", _as_hex)


class Tokenizer:
    """One model's tokenizer. Safe to read from several threads.

    kind: the library's model ("BPE", "Unigram", "WordPiece"). special_tokens: name to text, for chat templates.
    bos_id, eos_id: None where the checkpoint names none. chat_format: the fallback's name where chat_template is one,
    else "". target: the tokenizer of what the model writes: this one, but for translators with two vocabularies.
    """

    def __init__(self, files: Files, name: str) -> None:
        backend, settings = files.backend, files.settings
        self._backend = backend
        self.name = name
        self.chat_template = files.template
        self.chat_format = files.chat_format
        self.kind = type(backend.model).__name__
        self.vocabulary_size: int = files.tokens or backend.get_vocab_size(with_added_tokens=True)
        self.special_tokens = _special_tokens(settings)
        # A special token that the vocabulary holds as an ordinary piece is special all the same, as in transformers.
        known = [text for text in self.special_tokens.values() if backend.token_to_id(text) is not None]
        backend.add_special_tokens([tokenizers.AddedToken(text, normalized=False, special=True) for text in known])
        added = backend.get_added_tokens_decoder()
        self._specials = {id: token.content for id, token in added.items() if token.special}
        self.special_ids = frozenset(self._specials)
        self._tokens = files.tokens or 2**32
        self._unknown: int = backend.token_to_id(self.special_tokens.get("unk_token", "")) or 0
        self.target: Tokenizer = Tokenizer(files.target, name) if files.target else self
        self.bos_id = self._id_of("bos_token")
        self.eos_id = self._id_of("eos_token")
        adds_none = backend.num_special_tokens_to_add(False) == 0
        self._before = [self.bos_id] if adds_none and settings.get("add_bos_token") and self.bos_id is not None else []
        self._after = [self.eos_id] if adds_none and settings.get("add_eos_token") and self.eos_id is not None else []
        decoder = repr(backend.decoder)
        self._word_end = getattr(backend.model, "end_of_word_suffix", None)
        self._byte_level = "ByteLevel" in decoder
        self._byte_fallback = "ByteFallback" in decoder
        likely = [*backend.encode("a", add_special_tokens=False).ids[-1:], *range(backend.get_vocab_size())]
        self._anchor = next(([id] for id in likely if backend.decode([id])), [])
        self._pieces: dict[int, str] = {}
        self._plain: tokenizers.Tokenizer | None = None  # a copy that reads no special tokens, made when needed

    @classmethod
    def load(cls, path: str) -> Tokenizer:
        """Read the tokenizer of a model folder or a GGUF file. Raises BadModelFiles or UnsupportedModel."""
        place = Path(path).expanduser()
        name = place.resolve().stem if place.is_file() else place.resolve().name
        return cls(formats.read(place), name)

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Ids of a text; special adds what the tokenizer's post-processor adds.

        tokenizer_config's add_bos_token and add_eos_token count only where the post-processor adds nothing. Special
        tokens written out in the text are read as such.
        """
        ids = self._known(self._backend.encode(_whole(text), add_special_tokens=special).ids)
        return [*self._before, *ids, *self._after] if special else ids

    def encode_after(self, before: Sequence[int], text: str) -> list[int]:
        """Ids that read as text after the ids before it, none added.

        Many tokenizers put a blank before a text of its own, or take one away; behind a letter or a line's end,
        whichever gives the text back, they do not.
        """
        for lead in ("", "a", "\n"):
            first = self.encode(lead, special=False)
            ids = self.encode(lead + text, special=False)
            if ids[: len(first)] == first:
                stream = Detokenizer(self, before)
                if "".join([stream.push(id) for id in ids[len(first) :]]) + stream.flush() == text:
                    return ids[len(first) :]
        return self.encode(text, special=False)

    def encode_pair(self, text: str, pair: str) -> tuple[list[int], list[int]]:
        """Ids of two texts as the post-processor joins them, and of which each id is, 0 or 1."""
        found = self._backend.encode(_whole(text), _whole(pair))
        before, after = self._before, self._after
        segments = [*(0 for _ in before), *found.type_ids, *(found.type_ids[-1:] * len(after))]
        return [*before, *self._known(found.ids), *after], segments

    def encode_with_offsets(
        self, text: str, literal: Iterable[Sequence[int]] = ()
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of a text, none added, with the characters each covers.

        Special tokens written out in the text are read as such, except within the literal ranges (first and
        past-last character), where they are ordinary text: what a person types there cannot end its own message.
        """
        text = _whole(text)
        literal = [(first, past) for first, past in literal]
        found = self._backend.encode(text, add_special_tokens=False)
        genuine, forged = [], False
        for id, (start, end) in zip(found.ids, found.offsets):
            if id in self._specials:
                core = text.find(self._specials[id], start, end)  # the offsets may take in blanks around it
                if any(core < past and first < core + len(self._specials[id]) for first, past in literal):
                    forged = True
                else:
                    genuine.append((id, start, end))
        if not forged:
            return self._known(found.ids), found.offsets
        return self._encode_between(text, genuine)

    def _encode_between(
        self, text: str, specials: list[tuple[int, int, int]]
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Encode around the given special tokens, reading no other; as the library does once it has found them."""
        if self._plain is None:
            self._plain = tokenizers.Tokenizer.from_str(self._backend.to_str())
            self._plain.encode_special_tokens = True
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        done = 0
        for id, start, end in [*specials, (-1, len(text), len(text))]:
            part = self._plain.encode(text[done:start], add_special_tokens=False)
            ids += self._known(part.ids)
            offsets += [(first + done, past + done) for first, past in part.offsets]
            if id >= 0:
                ids.append(id)
                offsets.append((start, end))
            done = end
        return ids, offsets

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of ids; those without a piece leave nothing.

        Bytes that make no character become U+FFFD. Where SentencePiece's byte pieces are broken only the broken
        ones do, unlike in the library, which gives up the whole run: text that was shown does not change later.
        """
        ids = [id for id in ids if 0 <= id < self._tokens]
        text: str = self._backend.decode(ids, skip_special_tokens=skip_special)
        if self._byte_fallback and "\ufffd" in text:
            stream = Detokenizer(self, skip_special=skip_special)
            return "".join([stream.push(id) for id in ids]) + stream.flush()
        return text

    def piece(self, id: int) -> str:
        """What one token looks like by itself: its text, blanks as they are, and `<0xE2>` for half a character.

        A special token gives its name, an id without a piece `<id 261>`.
        """
        known = self._pieces.get(id)
        if known is None:
            known = self._pieces[id] = self._describe(id)
        return known

    def _describe(self, id: int) -> str:
        if id in self._specials:
            return self._specials[id]
        name = self.token(id)
        if name is None:
            return f"<id {id}>"
        raw = self.raw_bytes(id)
        if raw is not None:
            return raw.decode("utf-8", "vitrine-hex")
        if self._word_end:
            return name.removesuffix(self._word_end) + " " * name.endswith(self._word_end)
        # After another token, so that a space at its start is kept.
        before = self._backend.decode(self._anchor)
        both: str = self._backend.decode([*self._anchor, id])
        return both[len(before) :] if both.startswith(before) else name

    def token(self, id: int) -> str | None:
        """The vocabulary's own name of an id, None where it has none."""
        name: str | None = self._backend.id_to_token(id) if 0 <= id < self._tokens else None
        return name

    def raw_bytes(self, id: int) -> bytes | None:
        """The bytes that a byte-level or byte-fallback token stands for, None for a token that is text."""
        name = self.token(id) or ""
        if self._byte_level:
            # A token with a character outside the alphabet is text, as in the library (added tokens with spaces).
            if all(character in BYTE_ALPHABET for character in name):
                return bytes(BYTE_ALPHABET[character] for character in name)
            return name.encode()
        if self._byte_fallback and (match := BYTE_PIECE.fullmatch(name)):
            return bytes([int(match[1], 16)])
        return None

    def _known(self, ids: list[int]) -> list[int]:
        """The ids, those that only the tokenizer itself knows as the unknown token's."""
        return ids if self._tokens == 2**32 else [id if id < self._tokens else self._unknown for id in ids]

    def _id_of(self, name: str) -> int | None:
        text = self.special_tokens.get(name)
        id: int | None = self._backend.token_to_id(text) if text is not None else None
        return id


class Detokenizer:
    """Ids to text one at a time: never half a character, never a space too many or too few.

    What the pushes and the final flush give, joined, is what decode gives for context_ids and the pushed ids beyond
    the text of the context. The cost of a push does not grow with the text: byte tokens go through an incremental
    UTF-8 decoder, the others are decoded together with the few tokens before them.
    """

    def __init__(self, tokenizer: Tokenizer, context_ids: Sequence[int] = (), skip_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_ids if skip_special else frozenset()
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._window: list[int] = []
        seen = (id for id in reversed(context_ids) if self._shows(id))
        for id in reversed(list(islice(seen, WINDOW + 1))):  # half a character is at most three tokens
            self.push(id)

    def push(self, id: int) -> str:
        """The text that this token completes; "" for half a character and for special tokens."""
        if not self._shows(id):
            return ""
        raw = self._tokenizer.raw_bytes(id)
        first = not self._window
        before = self._window
        self._window = [*before[-WINDOW + 1 :], id]
        decode = self._tokenizer._backend.decode
        if raw is not None and not (first and raw < b"\x80" and self._tokenizer._byte_fallback):
            return self._utf8.decode(raw)
        both: str = decode([*before, id], skip_special_tokens=False)
        known = len(decode(before, skip_special_tokens=False)) if before else 0
        return self.flush() + both[known:]

    def flush(self) -> str:
        """What is left when no token follows: U+FFFD where a character stayed incomplete, else ""."""
        text = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return text

    def _shows(self, id: int) -> bool:
        return id not in self._skipped and self._tokenizer.token(id) is not None


def _whole(text: str) -> str:
    """The text with every lone surrogate, which UTF-8 cannot hold, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _special_tokens(settings: dict[str, Any]) -> dict[str, str]:
    """Name to text of the special tokens that a checkpoint names, as plain strings or as {"content": ...}."""
    extra = settings.get("extra_special_tokens")
    named = {name: settings.get(name) for name in NAMED_SPECIALS} | (extra if isinstance(extra, dict) else {})
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str) and text}
