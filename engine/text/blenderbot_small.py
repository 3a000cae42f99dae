"""Blenderbot-small's tokenizer: words in lower case, cut into pieces of which all but a word's last bear an `@@`.

Line ends become a word of their own, __newln__; signs and apostrophes begin words. What joins two pieces on the way to
a longer one need not be a token itself: it gets an id beyond the vocabulary here, which reads as unknown if it is left.
Source: transformers' tokenization_blenderbot_small.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

WORD_END = "</w>"
GOES_ON = "@@"


def blenderbot_small(
    ids: Mapping[str, int], merges: Sequence[tuple[str, str]], specials: Sequence[str], unknown: str
) -> tokenizers.Tokenizer:
    """The tokenizer; ids from len(ids) on are joins that are no tokens. specials: the texts of special tokens."""
    symbols = {_symbol(text, specials): id for text, id in ids.items()}
    hidden = len(ids)
    for pair in merges:
        for symbol in (*pair, "".join(pair)):
            if symbol not in symbols:
                symbols[symbol] = hidden
                hidden += 1
    backend = tokenizers.Tokenizer(
        models.BPE(symbols, list(merges), unk_token=unknown, end_of_word_suffix=WORD_END, fuse_unk=False)
    )
    backend.normalizer = normalizers.Sequence(
        # A line end after an apostrophe is lost there too.
        [normalizers.Replace(Regex(r"(?<=[^\s'])\n"), " __newln__ "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split("'", "isolated"),
            pre_tokenizers.Split(Regex("[.,!?()]"), "merged_with_next"),
        ]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace(WORD_END, " "),
            *(decoders.Replace(text, f"{text} ") for text in specials),
            decoders.Fuse(),
            decoders.Replace(Regex(r" \z"), ""),  # the library's Strip panics at an empty text
        ]
    )
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in specials if text in ids])
    return backend


def _symbol(text: str, specials: Sequence[str]) -> str:
    if text in specials:
        return text
    return text.removesuffix(GOES_ON) if text.endswith(GOES_ON) else text + WORD_END
