"""Where a chat template comes from: the checkpoint's files, or a published format that its special tokens are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFWriter

from engine.loading.catalog import inspect
from engine.text.chat_formats import FORMATS, Found, fallback, of_folder
from engine.text.render_worker import answer
from engine.text.tokenizer import Tokenizer

BY_NAME = {known.name: known for known in FORMATS}
PUBLISHED = {
    "ChatML": ("chujiezheng/chatml.jinja", {}),
    "Llama 3": ("chujiezheng/llama-3-instruct.jinja", {"bos_token": "<|begin_of_text|>"}),
    "Gemma": ("llamacpp/google-gemma-2-2b-it.jinja", {"bos_token": "<bos>"}),
    "Phi-3": ("chujiezheng/phi-3.jinja", {}),
}
TURNS = [("user", "Hi"), ("assistant", "Hello\nthere"), ("user", "Bye")]
SYSTEM = ("system", "Be kind.")


def rendered(source: str, turns: list[tuple[str, str]], generation: bool, variables: dict[str, Any]) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    request = {"template": source, "messages": messages, "generation": generation, "variables": variables}
    reply = answer({**request, "now": "2025-01-01T00:00:00"})
    return str(reply["text"])


@pytest.mark.parity
@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("generation", [False, True])
def test_a_fallback_writes_what_the_published_template_writes(references: Path, name: str, generation: bool) -> None:
    file, variables = PUBLISHED[name]
    source = (references / "tokenizers" / "chat-templates" / file).read_text("utf-8")
    # Written over several lines; the files are meant to be stripped of what makes them readable.
    source = source.replace("    ", "").replace("\n", "") if file.startswith("chujiezheng") else source
    for turns in (TURNS, TURNS[:1], *([[SYSTEM, *TURNS]] if name != "Gemma" else [])):
        expected = rendered(source, turns, generation, variables)
        assert rendered(BY_NAME[name].template, turns, generation, variables) == expected


def test_formats_without_a_published_file_write_their_models_prompts() -> None:
    gemma = rendered(BY_NAME["Gemma"].template, [SYSTEM, *TURNS], True, {"bos_token": "<bos>"})
    assert gemma == (
        "<bos><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello\nthere<end_of_turn>\n"
        "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
    )
    phi = rendered(BY_NAME["Phi-4"].template, [SYSTEM, ("user", "Hi")], True, {})
    assert phi == (
        "<|im_start|>system<|im_sep|>Be kind.<|im_end|><|im_start|>user<|im_sep|>Hi<|im_end|>"
        "<|im_start|>assistant<|im_sep|>"
    )


@pytest.mark.parametrize("name", BY_NAME)
def test_marks_alone_are_a_base_models_and_an_answers_end_makes_a_chat(name: str) -> None:
    known = BY_NAME[name]
    assert fallback("llama", known.marks, {"</s>"}) == Found(None)
    assert fallback("llama", known.marks, {"</s>", known.end}) == Found(known.template, name)
    assert fallback("llama", known.marks, {"</s>"}, tuned=True).format == name
    assert fallback("llama", known.marks[1:], {known.end}).format != name


def test_a_family_that_is_always_tuned_needs_its_marks_only() -> None:
    assert fallback("phi3", BY_NAME["Phi-3"].marks, {"<|endoftext|>"}).format == "Phi-3"
    assert fallback("phi3", ("<|user|>", "<|assistant|>", "<|end|>"), {"<|endoftext|>"}) == Found(None)


def write(folder: Path, end: str, **settings: Any) -> Path:
    """A tokenizer that holds ChatML's marks, and the end of its answers in generation_config.json."""
    names = ["a", "</s>", "<|im_start|>", "<|im_end|>", "\n"]
    added = [{"id": id, "content": text, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False} for id, text in enumerate(names[1:4], 1)]  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False},
        "post_processor": None, "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": {name: id for id, name in enumerate(names)}, "unk_token": "a"},
    }  # fmt: skip
    files = {
        "tokenizer": tokenizer,
        "tokenizer_config": settings,
        "config": {"model_type": "llama", "eos_token_id": 1},
        "generation_config": {"eos_token_id": [1, names.index(end)]},
    }
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values), "utf-8")
    return folder


def test_the_card_and_the_tokenizer_name_the_same_template(tmp_path: Path) -> None:
    for end, expected in (("<|im_end|>", "ChatML"), ("</s>", "")):
        folder = str(write(tmp_path, end))
        tokenizer, card = Tokenizer.load(folder), inspect(folder)
        assert tokenizer.chat_format == card.chat_format == expected
        assert card.chat_template is (tokenizer.chat_template is not None) is bool(expected)


def test_a_models_own_template_is_never_replaced(tmp_path: Path) -> None:
    folder = write(tmp_path, "<|im_end|>", chat_template="own")
    assert of_folder(folder) == Found("own")


@pytest.mark.parametrize("as_list", [True, False])
def test_of_templates_with_names_the_default_counts(tmp_path: Path, as_list: bool) -> None:
    named = {"tool_use": "tools", "default": "usual"}
    value = [{"name": name, "template": text} for name, text in named.items()] if as_list else named
    assert of_folder(write(tmp_path, "</s>", chat_template=value)) == Found("usual")
    only = value[:1] if isinstance(value, list) else {"rag": "tools"}
    assert of_folder(write(tmp_path, "</s>", chat_template=only)) == Found("tools")


def test_blenderbots_join_turns_where_their_tokenizer_does(tmp_path: Path) -> None:
    config = {"model_type": "blenderbot-small"}
    for settings, chats in (({}, True), ({"tokenizer_class": "PreTrainedTokenizerFast"}, False)):
        (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
        assert (inspect(str(tmp_path)).chat_template, of_folder(tmp_path)) == (chats, Found(None))


@pytest.mark.parametrize(("finetune", "expected"), [("Instruct", "Llama 3"), ("", ""), ("Base", "")])
def test_a_gguf_says_itself_that_it_was_tuned(tmp_path: Path, finetune: str, expected: str) -> None:
    path = tmp_path / "model.gguf"
    marks = list(BY_NAME["Llama 3"].marks)
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(["a", "b", "ab", "<|end_of_text|>", *marks])
    writer.add_token_types([1, 1, 1, *[3] * (1 + len(marks))])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(3)
    if finetune:
        writer.add_finetune(finetune)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    tokenizer, card = Tokenizer.load(str(path)), inspect(str(path))
    assert tokenizer.chat_format == card.chat_format == expected
    assert (tokenizer.chat_template is not None) is card.chat_template is bool(expected)
