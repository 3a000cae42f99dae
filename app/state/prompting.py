"""Ways to put a task to a model, as plain text: as it stands, with examples, or asked for step by step.

Pure functions. Examples make a base model see what is wanted (few-shot: Brown et al. 2020); a model that is asked to
think step by step often reasons better (Kojima et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

STEP_BY_STEP = "Let's think step by step."
KINDS = ("As it stands", "With examples", "Step by step")


def prompt(kind: str, task: str, question: str, examples: Sequence[tuple[str, str]] = ()) -> str:
    """The text of a prompt. An example counts once either side says something; what is empty leaves no gap."""
    task, question = task.strip(), question.strip()
    if kind == "With examples":
        shown = [f"Input: {given}\nOutput: {wanted}" for given, wanted in map(_trimmed, examples) if given or wanted]
        return _joined(task, *shown, f"Input: {question}\nOutput:")
    return _joined(task, question, STEP_BY_STEP if kind == "Step by step" else "")


def _trimmed(example: tuple[str, str]) -> tuple[str, str]:
    return example[0].strip(), example[1].strip()


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
