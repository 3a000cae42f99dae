"""llama.cpp as a second reader of GGUF files: what it computes for ids, by its C interface.

Through its tokens-only door: the files may hold no vocabulary. Its cache is in float32 and its attention plain, so that
what is left of differences is arithmetic, and its tables (GELU is looked up in float16).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import torch

F32 = 0
said: list[str] = []
"""Its last words, for a failure's message."""


@llama_cpp.llama_log_callback
def _listen(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    said[:] = [*said[-4:], text.decode("utf-8", "replace")]


@contextmanager
def _opened(path: Path, states: bool = False) -> Iterator[tuple[Any, Any]]:
    """The model and a context for it. states: whether the last hidden states are wanted, and no logits."""
    llama_cpp.llama_log_set(_listen, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    settings = llama_cpp.llama_model_default_params()
    settings.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
    assert model, f"llama.cpp does not read {path.name}: {''.join(said)}"
    try:
        wanted = llama_cpp.llama_context_default_params()
        wanted.n_ctx = wanted.n_batch = wanted.n_ubatch = 64
        wanted.n_threads = wanted.n_threads_batch = 1
        wanted.type_k = wanted.type_v = F32
        wanted.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        wanted.embeddings = states
        wanted.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_NONE
        context = llama_cpp.llama_init_from_model(model, wanted)
        assert context, f"llama.cpp makes no context for {path.name}: {''.join(said)}"
        try:
            yield model, context
        finally:
            llama_cpp.llama_free(context)
    finally:
        llama_cpp.llama_model_free(model)


def _read(context: Any, ids: list[int], step: Any) -> None:
    """Give ids to llama_decode or llama_encode, and ask for what they give at every position."""
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    try:
        batch.n_tokens = len(ids)
        for index, id in enumerate(ids):
            batch.token[index], batch.pos[index] = id, index
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
            batch.logits[index] = True
        assert step(context, batch) == 0
    finally:
        llama_cpp.llama_batch_free(batch)


def _rows(pointer_of: Any, context: Any, count: int, width: int) -> torch.Tensor:
    """Count rows of llama.cpp's output as [1, count, width]."""
    rows = [np.ctypeslib.as_array(pointer_of(context, index), (width,)).copy() for index in range(count)]
    return torch.from_numpy(np.stack(rows))[None]


def logits(path: Path, ids: list[int]) -> torch.Tensor:
    """A decoder's logits [1, T, V]."""
    with _opened(path) as (model, context):
        _read(context, ids, llama_cpp.llama_decode)
        width = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        return _rows(llama_cpp.llama_get_logits_ith, context, len(ids), width)


def target_logits(path: Path, source: list[int], target: list[int]) -> torch.Tensor:
    """An encoder-decoder's logits [1, T, V] for the target after the source."""
    with _opened(path) as (model, context):
        _read(context, source, llama_cpp.llama_encode)
        _read(context, target, llama_cpp.llama_decode)
        width = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        return _rows(llama_cpp.llama_get_logits_ith, context, len(target), width)


def states(path: Path, ids: list[int]) -> torch.Tensor:
    """An encoder's last hidden states [1, T, C]."""
    with _opened(path, states=True) as (model, context):
        _read(context, ids, llama_cpp.llama_encode)
        width = llama_cpp.llama_model_n_embd(model)
        return _rows(llama_cpp.llama_get_embeddings_ith, context, len(ids), width)
