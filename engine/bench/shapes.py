"""The shapes that are measured: Llamas of known widths, whose weights are random numbers.

Speed does not depend on what a model knows, so no file has to be downloaded to compare two machines or two programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """Layers L, heads H and kv heads K, model width C, feed-forward width, vocabulary V; tied: head and embedding."""

    name: str
    layers: int
    heads: int
    kv_heads: int
    width: int
    hidden: int
    vocabulary: int
    tied: bool
    context: int = 8192
    epsilon: float = 1e-5
    theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def parameters(self) -> int:
        """Weights of all matrices and norms."""
        C, D = self.width, self.head_dim
        attention = 2 * C * self.heads * D + 2 * C * self.kv_heads * D
        block = attention + 3 * C * self.hidden + 2 * C
        return self.layers * block + self.vocabulary * C * (1 if self.tied else 2) + C

    def config(self) -> dict[str, Any]:
        """What its config.json would say."""
        return {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": self.width,
            "intermediate_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context,
            "rms_norm_eps": self.epsilon,
            "rope_theta": self.theta,
            "hidden_act": "silu",
            "tie_word_embeddings": self.tied,
        }


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("1b", 22, 32, 4, 2048, 5632, 32000, tied=False),  # TinyLlama 1.1 B
        Shape("135m", 30, 9, 3, 576, 1536, 49152, tied=True),  # SmolLM 135 M
        Shape("tiny", 2, 4, 2, 64, 128, 320, tied=True),  # for trying out the benchmark itself
    )
}
