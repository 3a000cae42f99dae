"""How the next token is chosen: the order of the steps and their knobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.errors import InvalidValue
from engine.params.knobs import Params, param, words

STEPS = (
    "penalties", "stay_in_prompt", "dry", "no_repeat_ngram", "top_n_sigma", "top_k", "typical_p", "tail_free", "top_a",
    "epsilon_cutoff", "eta_cutoff", "top_p", "min_p", "xtc", "smoothing", "temperature",
)  # fmt: skip
"""The sampling steps that can be moved, in llama.cpp's order, which is the default: cutoffs read the untempered
distribution. Steps that llama.cpp has not stand beside their like."""

TRANSFORMERS_ORDER = (
    "stay_in_prompt", "penalties", "dry", "no_repeat_ngram", "smoothing", "temperature", "top_n_sigma", "top_k",
    "top_p", "min_p", "typical_p", "tail_free", "top_a", "epsilon_cutoff", "eta_cutoff", "xtc",
)  # fmt: skip

FIRST = ("guidance", "grammar", "ends", "bans", "logit_bias")
"""The steps that always come first, in this order: what the text has to be goes before what is likely."""

CUTOFFS = (
    "top_n_sigma", "top_k", "typical_p", "tail_free", "top_a", "epsilon_cutoff", "eta_cutoff", "top_p", "min_p",
    "xtc_probability", "xtc_threshold",
)  # fmt: skip
"""The knobs of the steps that cut."""


@dataclass(frozen=True, slots=True)
class SamplingParams(Params):
    """How the next token is chosen. Formulas and sources stand with the steps in engine/sampling."""

    # A table, laid out by hand: two lines a knob.
    # fmt: off
    temperature: float = param(0.7, 0.0, 2.0, 0.01, off=1.0, label="Temperature", group="Shape",
        help="Divides the logits. Low values make the likeliest tokens likelier; 0 always takes the best one.")
    dynamic_range: float = param(0.0, 0.0, 2.0, 0.01, off=0.0, label="Dynamic range", group="More shape",
        help="Lets the temperature go this far down when the model is sure, and this far up when it is not.")
    dynamic_exponent: float = param(1.0, 0.1, 5.0, 0.1, label="Dynamic exponent", group="More shape",
        help="How the temperature follows the model's doubt within the dynamic range: above 1 it stays low longer.")
    smoothing: float = param(0.0, 0.0, 10.0, 0.05, off=0.0, label="Smoothing", group="More shape",
        help="Draws the likely tokens together and pushes the unlikely ones away, by the square of their distance.")
    smoothing_curve: float = param(1.0, 1.0, 10.0, 0.1, label="Smoothing curve", group="More shape",
        help="Above 1 smoothing turns from a parabola to a steeper curve, which cuts the unlikely tokens harder.")
    top_k: int = param(40, 0, 200, 1, off=0, label="Top-k", group="Cutoffs",
        help="Keeps the k likeliest tokens and drops the rest.")
    top_p: float = param(0.95, 0.0, 1.0, 0.01, off=1.0, label="Top-p", group="Cutoffs",
        help="Keeps the fewest likeliest tokens whose probabilities add up to p.")
    min_p: float = param(0.05, 0.0, 1.0, 0.005, off=0.0, label="Min-p", group="Cutoffs",
        help="Drops tokens less likely than this share of the likeliest one.")
    typical_p: float = param(1.0, 0.05, 1.0, 0.01, off=1.0, label="Typical", group="Cutoffs",
        help="Keeps the tokens whose surprise is nearest to what the model expects, up to this mass.")
    top_n_sigma: float = param(0.0, 0.0, 5.0, 0.05, off=0.0, label="Top-n-sigma", group="More cutoffs",
        help="Keeps the tokens whose logit is within this many standard deviations of the best one.")
    tail_free: float = param(1.0, 0.1, 1.0, 0.01, off=1.0, label="Tail-free", group="More cutoffs",
        help="Cuts where the sorted probabilities have become flat. Lower values cut more.")
    top_a: float = param(0.0, 0.0, 1.0, 0.01, off=0.0, label="Top-a", group="More cutoffs",
        help="Drops tokens less likely than this share of the square of the likeliest one's probability.")
    epsilon_cutoff: float = param(0.0, 0.0, 9.0, 0.05, off=0.0, label="Epsilon cutoff", group="More cutoffs",
        help="Drops tokens less likely than this many ten-thousandths.")
    eta_cutoff: float = param(0.0, 0.0, 20.0, 0.05, off=0.0, label="Eta cutoff", group="More cutoffs",
        help="Like epsilon, in ten-thousandths, but lower where the model is in doubt.")
    xtc_probability: float = param(0.0, 0.0, 1.0, 0.01, off=0.0, label="XTC probability", group="More cutoffs",
        help="How often the top choices are excluded: all but the least likely of those above the XTC threshold.")
    xtc_threshold: float = param(0.1, 0.0, 0.5, 0.005, label="XTC threshold", group="More cutoffs",
        help="Which tokens count as top choices: those at least this likely.")
    repetition_penalty: float = param(1.0, 0.5, 2.0, 0.01, off=1.0, label="Repetition penalty", group="Repetition",
        help="Makes recent tokens less likely: positive logits are divided by it, negative ones multiplied.")
    frequency_penalty: float = param(0.0, -2.0, 2.0, 0.01, off=0.0, label="Frequency penalty", group="Repetition",
        help="Lowers a token's logit by this much for each time it appeared recently.")
    presence_penalty: float = param(0.0, -2.0, 2.0, 0.01, off=0.0, label="Presence penalty", group="Repetition",
        help="Lowers a token's logit by this much once if it appeared recently.")
    penalty_window: int = param(256, 1, 4096, 1, label="Penalty window", group="Repetition",
        help="How many of the latest tokens the three penalties look at.")
    penalty_scope: str = param("all", choices=("all", "answer"), label="Penalties look at", group="Repetition",
        help="All: the whole text, your words too. Answer: only what this answer has written so far.")
    stay_in_prompt: float = param(1.0, 0.8, 1.5, 0.01, off=1.0, label="Stay in the prompt", group="Repetition",
        help="Above 1, tokens that stand in the prompt become likelier: good for summaries.")
    no_repeat_ngram: int = param(0, 0, 20, 1, off=0, label="No repeated run", group="Repetition",
        help="Forbids any run of this many tokens that the text already has. Small values break names and code.")
    dry_multiplier: float = param(0.0, 0.0, 5.0, 0.05, off=0.0, label="DRY", group="Repetition",
        help="Makes the token that would carry on a repetition less likely, the more the longer it is. 0.8 is usual.")
    dry_base: float = param(1.75, 1.0, 4.0, 0.05, label="DRY base", group="Repetition",
        help="How fast the DRY penalty grows with each repeated token.")
    dry_allowed_length: int = param(2, 1, 20, 1, label="DRY allowed length", group="Repetition",
        help="Repetitions shorter than this many tokens cost nothing.")
    dry_window: int = param(1024, 0, 4096, 1, label="DRY window", group="Repetition",
        help="How many of the latest tokens DRY searches for repetitions.")
    mirostat: str = param("off", choices=("off", "v1", "v2"), label="Mirostat", group="Steering",
        help="Holds the surprise of the text near a target instead of cutting at fixed places.")
    mirostat_tau: float = param(5.0, 0.0, 10.0, 0.1, label="Mirostat target", group="Steering",
        help="The surprise to hold, in bits for each token: low is plain, high is wild.")
    mirostat_eta: float = param(0.1, 0.0, 1.0, 0.01, label="Mirostat rate", group="Steering",
        help="How fast Mirostat corrects itself after each token.")
    adaptive_target: float = param(0.0, 0.0, 1.0, 0.01, off=0.0, label="Adaptive target", group="Steering",
        help="Favours tokens whose probability is near this target, and corrects itself by what was drawn.")
    adaptive_decay: float = param(0.9, 0.0, 0.99, 0.01, label="Adaptive memory", group="Steering",
        help="How long the adaptive target remembers what was drawn.")
    contrast: float = param(0.0, 0.0, 1.0, 0.05, off=0.0, label="Contrast", group="Contrastive search",
        help="Takes a likely token whose meaning is unlike what stands before. 0.6 is usual; it draws nothing.")
    contrast_candidates: int = param(4, 2, 10, 1, label="Candidates compared", group="Contrastive search",
        help="How many of the likeliest tokens are tried. Each is read by the model, so a token takes as much longer.")
    guidance: float = param(1.0, -0.5, 2.5, 0.05, off=1.0, label="Guidance", group="Guidance",
        help="Above 1 the answer keeps away from what would follow the negative prompt, or nothing but the last token "
        "where there is none. Each token takes twice as long.")
    min_new_tokens: int = param(0, 0, 4096, 1, off=0, label="Shortest answer", group="Length",
        help="The answer cannot end before it has this many tokens.")
    end_token: str = param("allowed", choices=("allowed", "never"), label="End of the answer", group="Length",
        help="Never: the model cannot end the answer itself, so it goes on to the longest answer or a stop string.")
    max_new_tokens: int = param(512, 1, 32768, 1, label="Longest answer", group="Length", scale="log",
        help="The answer stops after this many tokens; Continue goes on from there.")
    beams: int = param(1, 1, 16, 1, off=1, label="Beams", group="Beam search",
        help="Keeps this many answers side by side and ends with the likeliest. It draws nothing, so the cutoffs rest.")
    length_penalty: float = param(1.0, 0.0, 2.0, 0.05, label="Length penalty", group="Beam search",
        help="Beams are compared by their log-probability over length to this power: more favours longer answers.")
    speculation: str = param(
        "auto", choices=("auto", "prompt lookup", "draft model", "off"), label="Speculation", group="Other",
        help="Drafts what may follow and checks it all at once: faster where it is right, and the answer is the same. "
        "Auto asks the draft model where one is loaded, else looks up what followed before.")
    seed: int = param(-1, -1, 2**31 - 1, 1, label="Seed", group="Other", lowest="random",
        help="The same seed, prompt and settings give the same answer. -1 takes a new seed each time.")
    stop: tuple[str, ...] = words((), label="Stop strings",
        help="The answer ends where one of these appears; it is not part of the answer.")
    dry_breakers: tuple[str, ...] = words(("\n", ":", '"', "*"), label="DRY breakers",
        help="DRY does not look across these, so that lists and names are not taken for repetitions.")
    banned_words: tuple[str, ...] = words((), label="Banned words",
        help="Their tokens never follow each other as in these words. #123 is the token with that id.")
    banned_phrases: tuple[str, ...] = words((), label="Banned phrases",
        help="Where one of these appears the answer goes back to its start and takes another way.")
    logit_bias: tuple[tuple[str, float], ...] = words((), weighed=True, label="Logit bias",
        help="Adds a number from -100 to 100 to the logit of each token of a text. #123 is the token with that id.")
    negative_prompt: str = words("", label="Negative prompt",
        help="What guidance keeps away from: in a chat it stands in the system prompt's place.")
    schema: str = words("", file=True, label="JSON schema",
        help="The answer is JSON as this schema describes it.")
    regex: str = words("", label="Regular expression",
        help="The whole answer matches this regular expression.")
    grammar: str = words("", file=True, label="Grammar",
        help="The answer is a sentence of this Lark grammar.")
    # fmt: on
    order: tuple[str, ...] = STEPS

    def __post_init__(self) -> None:
        # A dataclass with slots is a new class, so the two-argument super() is needed here.
        Params.__post_init__(self)
        for name in ("stop", "dry_breakers", "banned_words", "banned_phrases", "order"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or any(not isinstance(text, str) or not text for text in value):
                raise InvalidValue(f"{name} is {value!r}, which is not a list of texts.", "Leave no text empty.")
            object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "logit_bias", _biases(self.logit_bias))
        for name in ("negative_prompt", "schema", "regex", "grammar"):
            if not isinstance(getattr(self, name), str):
                raise InvalidValue(f"{name} is {getattr(self, name)!r}, which is not a text.", "Write a text.")
        if sum(map(bool, (self.schema, self.regex, self.grammar))) > 1:
            raise InvalidValue("The answer cannot have two forms.", "Use one of schema, regex and grammar.")
        if sorted(self.order) != sorted(STEPS):
            raise InvalidValue(
                f"order is {', '.join(map(str, self.order))}, which is not an order of {', '.join(STEPS)}.",
                "Name every step once.",
            )

    @property
    def resting(self) -> dict[str, str]:
        """The knobs that do nothing now, and why, in a sentence: another setting takes their place, or is off.

        Adaptive-p leaves the cutoffs of the far tail alone, as its authors advise: its curve does not reach there.
        """
        why = "Guidance is off at 1, so the negative prompt rests."
        return {**({"negative_prompt": why} if self.guidance == 1 else {}), **self._replaced}

    @property
    def _replaced(self) -> dict[str, str]:
        bends = ("smoothing", "smoothing_curve", "dynamic_range", "dynamic_exponent")
        steers = ("mirostat_tau", "mirostat_eta", "adaptive_target", "adaptive_decay")
        if self.beams > 1:
            why = "Beam search draws nothing, so what is grey rests."
            more = ("temperature", "mirostat", "guidance", "contrast", "contrast_candidates", "speculation", "seed")
            return dict.fromkeys((*CUTOFFS, *bends, *steers, *more, "negative_prompt"), why)
        if self.contrast > 0:
            why = "Contrastive search draws nothing, so what is grey rests."
            return dict.fromkeys((*CUTOFFS, *bends, *steers, "temperature", "mirostat", "speculation", "seed"), why)
        if self.temperature == 0:
            why = "Temperature 0 takes the best token, so what is grey rests."
            return dict.fromkeys((*CUTOFFS, *bends, "mirostat", *steers), why)
        if self.mirostat != "off":
            why = "Mirostat cuts in its own way, so what is grey rests."
            return dict.fromkeys((*CUTOFFS, *bends[2:], *steers[2:]), why)
        if self.adaptive_target > 0:
            why = "The adaptive target shapes the choice itself, so what is grey rests."
            return dict.fromkeys((knob for knob in CUTOFFS if knob not in ("top_n_sigma", "top_k", "min_p")), why)
        return {}

    @classmethod
    def neutral(cls, **changes: Any) -> SamplingParams:
        """Every step off; with temperature=0, the argmax of the raw logits."""
        off = {knob.name: knob.off for knob in cls.table() if knob.off is not None}
        return cls(**{**off, **changes})


def _biases(value: Any) -> tuple[tuple[str, float], ...]:
    """Pairs of a text and a number, as tuples whatever JSON made of them."""
    pairs = value if isinstance(value, list | tuple) else [value]
    for pair in pairs:
        if not (
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and isinstance(pair[0], str)
            and pair[0]
            and isinstance(pair[1], int | float)
            and abs(pair[1]) <= 100
        ):
            raise InvalidValue(f"logit_bias has {pair!r}, which is no text and a number.", "Numbers: -100 to 100.")
    return tuple((text, float(number)) for text, number in pairs)
