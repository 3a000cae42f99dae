"""Tokens in words: a line for the token in focus, a small table of its candidates, lines to copy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from app.widgets.pieces import percent, visible, worded
from app.widgets.token_scales import surprise
from engine import TokenRecord

MARKS = str.maketrans({"\n": "↵\n", "\t": "⇥\t"})
UNFINISHED = "◌"  # a token that is only a part of a character
TIPPED = 10  # candidates in the tip of a token
HEAD = ("token", "probability", "rank", "surprise, bits", "entropy, nats", "position", "id")


def shown(record: TokenRecord) -> str:
    """A token as the strip shows it: its text, line breaks marked; its piece where it adds no text (an end mark)."""
    piece = record.pieces[record.chosen] if record.chosen >= 0 else UNFINISHED
    return record.text.translate(MARKS) or piece or UNFINISHED


def describe(record: TokenRecord) -> str:
    """A token in words: what it is, how likely, which rank."""
    piece = shown(record).replace("\n", "").replace(" ", "␣")
    bits = f"surprise {surprise(record):.2f} bits"
    likely = percent(math.exp(record.logprob))
    return f"{piece}   {likely} · rank {record.rank + 1:,} · {bits} · entropy {record.entropy:.2f} nats"


def tip(record: TokenRecord) -> str:
    """The likeliest candidates as a small table: rank, token, probability before the sampling and after."""
    lines = [f"<b>{escape(worded(shown(record)))}</b> {escape(describe(record).partition('   ')[2])}"]
    lines.append("<table cellspacing=0 cellpadding=2><tr><td></td><td></td><td align=right>before</td>")
    lines.append("<td align=right>after</td></tr>")
    for index in range(min(TIPPED, len(record.candidate_ids))):
        after = percent(float(record.after[index])) if record.cut[index] < 0 else "cut"
        piece = escape(worded(record.pieces[index]))
        piece = f"<b>{piece}</b> ✓" if index == record.chosen else piece
        lines.append(
            f"<tr><td align=right>{index + 1}</td><td>{piece}</td>"
            f"<td align=right>{escape(percent(float(record.before[index])))}</td>"
            f"<td align=right>{escape(after)}</td></tr>"
        )
    return "".join(lines) + "</table>"


def cells(record: TokenRecord) -> tuple[str, ...]:
    """A token as a row of a table under HEAD."""
    numbers = (
        f"{math.exp(record.logprob):.6f}",
        f"{record.rank + 1}",
        f"{surprise(record):.2f}",
        f"{record.entropy:.2f}",
    )
    return visible(shown(record).removesuffix("\n"), 16), *numbers, f"{record.position}", f"{record.id}"


def table(records: Sequence[TokenRecord]) -> str:
    """Records as tab-separated lines with a head."""
    lines = ["position\tid\ttext\tprobability\trank\tentropy (nats)"]
    lines += [
        f"{r.position}\t{r.id}\t{r.text!r}\t{math.exp(r.logprob):.6f}\t{r.rank + 1}\t{r.entropy:.4f}" for r in records
    ]
    return "\n".join(lines)
