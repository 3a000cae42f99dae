"""The tiny pictures of the sampling steps against the steps themselves: what is drawn is what is done."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.widgets.step_picture import EXAMPLES, LOGITS, REPEATED, after
from engine import SamplingParams
from engine.sampling import chain

VALUES = {  # away from the borders where rounding decides
    "temperature": (0.3, 0.5, 1.5, 2.0),
    "top_k": (1, 3, 5, 12, 40),
    "top_p": (0.1, 0.4, 0.8, 0.97),
    "min_p": (0.05, 0.1, 0.3, 0.9),
    "typical_p": (0.05, 0.2, 0.6, 0.95),
    "top_n_sigma": (0.3, 1.0, 2.5),
    "tail_free": (0.3, 0.6, 0.9),
    "top_a": (0.1, 0.3, 0.6),
    "smoothing": (0.1, 0.8, 5.0),
    "repetition_penalty": (0.5, 1.2, 1.4, 2.0),
    "frequency_penalty": (-2.0, 0.6, 2.0),
    "presence_penalty": (-2.0, 1.0, 2.0),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_shows_what_the_engines_step_does(name: str) -> None:
    logits = torch.tensor(LOGITS, dtype=torch.float32).reshape(1, -1)
    history = torch.tensor(np.repeat(np.arange(len(REPEATED)), REPEATED)).reshape(1, -1)
    for value in VALUES[name]:
        done = chain.apply(logits, history, SamplingParams.neutral(**{name: value}))
        assert np.allclose(after(name, value), torch.softmax(done, -1).numpy()[0], atol=1e-5), value


def test_temperature_0_leaves_the_best_token_alone() -> None:
    assert after("temperature", 0.0)[0] == 1.0
