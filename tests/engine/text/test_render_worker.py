"""The renderer in this process: real templates against their published renderings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.text.render_worker import answer

USER = [{"role": "user", "content": "Hi"}]
# Prints a JavaScript object, which quotes like JSON, where Python prints a dict.
OTHERWISE = {"MadeAgents/Hammer2.1"}
# Made for tools only: transformers chooses it when there are some, and it fails where there are none.
FOR_TOOLS = {
    "CohereForAI-c4ai-command-r-plus-tool_use.jinja",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja",
}
# Adds the prompt for an answer when nobody says whether to; the engine always says.
ASKS = {"ai21labs/AI21-Jamba-Large-1.6"}


def ask(template: str, messages: list[dict[str, Any]], generation: bool = False, **variables: Any) -> dict[str, Any]:
    return answer(
        {
            "template": template,
            "messages": messages,
            "generation": generation,
            "variables": variables,
            "now": "2025-07-10T12:00:00",
        }
    )


@pytest.mark.parity
def test_real_templates_render_what_hugging_face_publishes(references: Path) -> None:
    path = references / "tokenizers" / "chat-templates" / "expected-huggingface-js.json"
    groups = json.loads(path.read_text(encoding="utf-8"))
    checked = 0
    for name, case in ((name, case) for group in groups.values() for name, case in group.items()):
        data = dict(case["data"])
        messages = data.pop("messages")
        generation = data.pop("add_generation_prompt", name in ASKS)
        reply = ask(case["chat_template"], messages, generation, **data)
        assert (reply.get("text") == case["target"]) == (name not in OTHERWISE), name
        for message, place in zip(messages, reply["ranges"]):
            if place and isinstance(message.get("content"), str):
                assert reply["text"][slice(*place)] == message["content"].strip(), name
        checked += 1
    assert checked == 53


@pytest.mark.parity
def test_every_collected_template_renders_and_shows_where_contents_are(references: Path) -> None:
    turns = [*USER, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": " Bye\n"}]
    folder = references / "tokenizers" / "chat-templates"
    sources = sorted(folder.rglob("*.jinja"))
    assert len(sources) > 25
    for source in sources:
        template = source.read_text(encoding="utf-8")
        reply = ask(template, turns, True, bos_token="<s>", eos_token="</s>", functions="", datetime="today")
        assert ("error" in reply) == (source.name in FOR_TOOLS), source.name
        if "error" in reply:
            continue
        assert reply["certain"], source.name
        assert [reply["text"][slice(*place)] for place in reply["ranges"]] == ["Hi", "Hello", "Bye"], source.name
        assert set(reply["tails"]) == {"user", "assistant"}


def test_contents_are_found_exactly_even_where_the_marks_say_the_same() -> None:
    template = "{% for m in messages %}user: {{ m.content | trim }}\n{% endfor %}"
    reply = ask(template, [{"role": "user", "content": " user "}, {"role": "user", "content": "r"}])
    assert reply["text"] == "user: user\nuser: r\n"
    assert reply["ranges"] == [[6, 10], [17, 18]]
    assert reply["tails"] == {"user": "\n"}


def test_contents_are_searched_for_where_marks_change_the_outcome() -> None:
    template = "{% for m in messages %}[{{ m.content | length }} {{ m.content }}]{% endfor %}"
    reply = ask(template, [*USER, {"role": "user", "content": "there"}])
    assert reply["text"] == "[2 Hi][5 there]"
    assert reply["ranges"] == [[3, 5], [9, 14]]
    assert not reply["certain"]


def test_a_rewritten_content_is_found_as_long_as_it_is_whole() -> None:
    turns = [{"role": "user", "content": " hi! "}]
    assert ask("{{ '> ' + messages[0].content.upper() }}", turns)["ranges"] == [[3, 6]]
    assert ask("{{ '> ' + messages[0].content.split('!')[0] }}", turns)["ranges"] == [None]


def test_an_empty_content_has_an_empty_range() -> None:
    reply = ask("{{ '<u>' + messages[0].content + '</u>' }}", [{"role": "user", "content": ""}])
    assert reply["ranges"] == [[3, 3]]


def test_tojson_is_that_of_transformers() -> None:
    reply = ask("{{ x | tojson }}|{{ x | tojson(indent=1) }}", [], x={"b": "<é>'", "a": [1]})
    assert reply["text"] == '{"b": "<é>\'", "a": [1]}|{\n "b": "<é>\'",\n "a": [\n  1\n ]\n}'


def test_the_tags_of_transformers_are_known() -> None:
    body = "{% if x == 2 %}{% break %}{% endif %}{% generation %}{{ x }}{% endgeneration %}"
    assert ask(f"{{% for x in [1, 2, 3] %}}{body}{{% endfor %}}", [])["text"] == "1"
    assert ask("{{ strftime_now('%d %b %Y') }}", [])["text"] == "10 Jul 2025"


@pytest.mark.parametrize(
    ("template", "line", "said"),
    [
        ("a\n{% if %}", 2, "Expected an expression"),
        ("\n\n{{ raise_exception('No system messages') }}", 3, "No system messages"),
        ("{{ messages[0].foo.bar }}", 1, "no attribute 'foo'"),
        ("{{ 1 / 0 }}", 1, "division by zero"),
        ("{{ ''.__class__.__mro__ }}", 1, "unsafe"),
        ("{{ messages.append(1) }}", 1, "unsafe"),
        ("{{ range(1000000) | list }}", 1, "Range too big"),
        ("{% include 'x' %}", 1, "no loader"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", None, "without end"),
        ("{{ 'ab' * 3000000 }}", None, "too much text"),
    ],
)
def test_a_failing_template_says_where_and_why(template: str, line: int | None, said: str) -> None:
    reply = ask(template, USER)
    assert said in reply["error"]
    assert reply["line"] == line
