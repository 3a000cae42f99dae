"""4 and 8 bits on real weights: nearer to the full model than llama.cpp's formats, on text apart from any choice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bench.quantised_quality import Weights, fill, measured, of_llama_cpp, ours, texts, theirs
from checkpoints import loaded

from engine.quantize.scheme import schemes

pytestmark = pytest.mark.parity
TOKENS = 2500


class Measured:
    """A model and how far a format takes it from its own answers."""

    def __init__(self, folder: Path, corpora: Path) -> None:
        self.folder = folder
        self.model = loaded(folder, precision="fp32")
        self.vocabularies = {self.model.config.vocabulary}
        self.plan = schemes(self.model.model, "int4", self.vocabularies)
        self.ids = texts(folder, self.model.config.context, TOKENS, corpora)
        self.matrices = {name: w.clone() for name, w in self.model.model.named_parameters() if name in self.plan}
        self.full: list[torch.Tensor] = []
        self.perplexity, _ = measured(self.model, self.ids, self.full)

    def of(self, weights: Weights) -> tuple[float, float]:
        """Perplexity and KL."""
        fill(self.model, self.matrices, weights)
        return measured(self.model, self.ids, self.full)


@pytest.fixture(scope="module", params=["babyllama-361", "companion"])
def real(request: pytest.FixtureRequest, assets: Path, references: Path) -> Measured:
    return Measured(assets / "models" / request.param, references / "corpora")


def test_4_bits_are_nearer_than_q4_0_and_q4_1(real: Measured) -> None:
    perplexity, kl = real.of(ours(real.plan))
    for kind in ("Q4_0", "Q4_1"):
        other_perplexity, other_kl = real.of(theirs(kind))
        assert kl < other_kl
        assert perplexity <= other_perplexity


def test_4_bits_are_nearer_than_q4_k_and_in_kl_with_the_vocabulary_in_4_bits_too(real: Measured) -> None:
    if real.model.config.width % 256:
        pytest.skip("Q4_K wants rows of 256")
    weights = of_llama_cpp(real.folder, "Q4_K")
    if weights is None:
        pytest.skip("llama-cpp-python is not installed")
    other_perplexity, other_kl = real.of(weights)
    perplexity, kl = real.of(ours(real.plan))
    assert kl < other_kl
    assert perplexity <= other_perplexity
    assert real.of(ours(real.plan, head=4))[1] < other_kl


def test_8_bits_are_as_good_as_the_full_numbers(real: Measured) -> None:
    perplexity, kl = real.of(ours(schemes(real.model.model, "int8", real.vocabularies)))
    assert kl < 1e-3
    assert abs(perplexity / real.perplexity - 1) < 2e-3
