"""How a byte-level vocabulary's texts are cut into words before its merges run, by the name a GGUF file gives to it.

The patterns are those of the models' own tokenizer.json files, where llama.cpp had to write its own for lack of a
regular expression engine. Source: llama.cpp's llama-vocab.cpp, which lists the names and, in comments, the originals.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import UnsupportedModel

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
SIGNS = r" ?[^\s\p{L}\p{N}]+"
GPT2 = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+|{SIGNS}|\s+(?!\S)"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = rf"{SIGNS}[\r\n]*|{BLANKS}"
LLAMA3 = rf"{CONTRACTIONS}|{WORD}|\p{{N}}{{1,3}}|{REST}"
QWEN2 = rf"{CONTRACTIONS}|{WORD}|\p{{N}}|{REST}"
QWEN35 = (
    rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{BLANKS}"
)
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*")
SLASHED = rf"{SIGNS}[\r\n/]*|{BLANKS}"
TEKKEN = rf"{CASED[0]}|{CASED[1]}|\p{{N}}|{SLASHED}"
GPT4O = rf"{CASED[0]}{CONTRACTIONS}?|{CASED[1]}{CONTRACTIONS}?|\p{{N}}{{1,3}}|{SLASHED}"
NO_HAN = (UPPER.replace("]", r"&&[^\p{Han}]]"), LOWER.replace("]", r"&&[^\p{Han}]]"))
KIMI = (
    rf"\p{{Han}}+|[^\r\n\p{{L}}\p{{N}}]?{NO_HAN[0]}*{NO_HAN[1]}+{CONTRACTIONS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{NO_HAN[0]}+{NO_HAN[1]}*{CONTRACTIONS}?|\p{{N}}{{1,3}}|{REST}"
)
YOUTU = (
    "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
    rf"{CASED[0]}{CONTRACTIONS}?|{CASED[1]}{CONTRACTIONS}?|\p{{N}}|{SLASHED}",
)
BLOOM = " ?[^(\\s|.,!?…。，、।۔،)]+"
ASIAN = "[一-龥ࠀ-一가-퟿]+"
KANJI = "[一-龥぀-ゟ゠-ヿ]+"
PUNCTUATED = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"""
DEEPSEEK3 = (r"\p{N}{1,3}", KANJI, rf"{PUNCTUATED}[\r\n]*|{BLANKS}")
CASED_SCRIPTS = (  # the letters of Latin, Greek, Cyrillic and others that have cases; escaped where Unicode has twins
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3"
    "ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
# Scripts that put no space between words. llama.cpp's copy begins the compatibility ideographs at U+8C48, which is what
# U+F900 turns into where a text is normalised.
WITHOUT_SPACES = "[一-鿿㐀-䶿\uf900-\ufaff぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+"
LONG_BLANKS = "|".join([*(rf"\s{{{2**n}}}(?!\S)" for n in range(9, 1, -1)), r"\s{1,2}(?!\S)", r"\s"])
LINES = r"[^\n]+|\n+"


@dataclass(frozen=True, slots=True)
class Splitting:
    """patterns: applied in turn. whole_words: a word that is a piece skips its merges. bos: texts begin with one.

    raw: the pieces are text, with SentencePiece's sign for a space, and no bytes; whole_words then means line ends.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    bos: bool = False
    raw: bool = False


DIGIT_BY_DIGIT = Splitting((r"\p{N}", GPT2))
SPLITTINGS: dict[str, Splitting] = {
    "default": Splitting((r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    **dict.fromkeys(
        ("gpt-2", "phi-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code",
         "roberta-bpe", "modern-bert", "gigachat", "a.x-4.0", "mellum", "mpt", "olmo", "jais", "trillion",
         "granite-docling", "exaone4"),
        Splitting((GPT2,)),
    ),
    **dict.fromkeys(
        ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"),
        Splitting((LLAMA3,), whole_words=True, bos=True),
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), Splitting((LLAMA3,))),
    "jais-2": Splitting((LLAMA3.replace(r"\s+(?!\S)|\s+", LONG_BLANKS),)),
    "minicpm5": Splitting((r"\p{N}{1,3}", rf"{CONTRACTIONS}|{WORD}|\p{{N}}+|{REST}"), whole_words=True),
    **dict.fromkeys(
        ("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "hunyuan", "megrez", "grok-2", "solar-open"),
        Splitting((QWEN2,)),
    ),
    "qwen35": Splitting((QWEN35,)),
    "ufakzeka": Splitting((rf"{WORD}|\p{{N}}|{REST}",)),  # Turkish suffixes stay at their apostrophes
    "laguna": Splitting((LINES, QWEN2)),
    "exaone-moe": Splitting(
        (
            rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
            rf"|{SIGNS}[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        )
    ),
    **dict.fromkeys(
        ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"), DIGIT_BY_DIGIT
    ),
    "falcon": Splitting((r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]")),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), Splitting((BLOOM,))),
    "viking": Splitting((BLOOM, r"\p{N}")),
    "tekken": Splitting((TEKKEN,), whole_words=True, bos=True),
    **dict.fromkeys(("gpt-4o", "llama4", "minimax-m2", "kanana2", "talkie"), Splitting((GPT4O,))),
    "granite-embed-multi-97m": Splitting((GPT4O,), whole_words=True),
    **dict.fromkeys(("tiny_aya", "cohere2moe"), Splitting((r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O))),
    "kimi-k2": Splitting((KIMI,)),
    "youtu": Splitting(YOUTU, whole_words=True),
    "superbpe": Splitting((r"\p{N}+", r"(?=(\d{3})+(?!\d))")),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"), Splitting(DEEPSEEK3)),
    "spark2_5": Splitting((*DEEPSEEK3[:2], rf"{PUNCTUATED}|[\r\n]|\s+(?!\S)|\s+", r"\p{N}")),
    "afmoe": Splitting((r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", WITHOUT_SPACES, DEEPSEEK3[2])),
    "deepseek-llm": Splitting(
        (r"[\r\n]", rf"\s?[{CASED_SCRIPTS}]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", ASIAN, r"\p{N}+")
    ),
    "deepseek-coder": Splitting((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", ASIAN, r"\p{N}")),
    "chameleon": Splitting(
        ("<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"[\t\n]|    |  ", r"\p{N}",
         r"[\p{P}!-/:-@\[-`{-~]", GPT2),
        bos=True,
    ),
    "seed-coder": Splitting(
        (rf"{CONTRACTIONS}|{WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{BLANKS}",)
    ),
    **dict.fromkeys(
        ("bailingmoe", "bailingmoe2", "llada-moe"),
        Splitting(
            (
                r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
                r"|\s+(?!\S)|\s+",
            )
        ),
    ),
    **dict.fromkeys(("gemma4", "granite-embed-multi-311m"), Splitting((LINES,), whole_words=True, bos=True, raw=True)),
    "sarvam-moe": Splitting((LINES,), raw=True),
}  # fmt: skip


def splitting(name: str, source: str) -> Splitting:
    """The splitting of that name; UnsupportedModel names one that is not known, for a near one would be wrong."""
    found = SPLITTINGS.get(name)
    if found is None:
        raise UnsupportedModel(
            f"{source} cuts texts in a way called {name!r}, which Vitrine does not know.",
            "Use the model's safetensors version with its tokenizer.json.",
        )
    return found
