"""Layers with a window keep only that and a little more, and texts are read as if they kept all."""

from __future__ import annotations

import pytest
import torch
import transformers
from decoders import TOLERANCE, Everything, Pair, greedy, greedy_of, ids_of, in_chunks, written

from engine.decoding import cache as module
from engine.decoding.cache import FIRST, SPARE, KVCache
from engine.decoding.contexts import Context, Contexts
from engine.params import CaptureParams

BARE = CaptureParams(candidates=0)
SIZES = {
    "vocab_size": 101, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 12, "max_position_embeddings": 4096,
}  # fmt: skip
WINDOW = 24


@pytest.fixture(scope="module", params=["mistral", "gemma3"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Mistral's layers all have the window; of this Gemma's three the middle one sees everything."""
    if request.param == "mistral":
        config = transformers.MistralConfig(**SIZES, sliding_window=WINDOW)
    else:
        kinds = ["sliding_attention", "full_attention", "sliding_attention"]
        config = transformers.Gemma3TextConfig(**SIZES, sliding_window=WINDOW, layer_types=kinds)
    return written(tmp_path_factory.mktemp(request.param), config)


def rooms(cache: KVCache) -> list[int]:
    return [layer.keys.room for layer in cache._layers]


@pytest.mark.parametrize("size", [1, 5, 40, 512, 1500])
@pytest.mark.parametrize("spare", [4, SPARE])
def test_a_text_far_longer_than_the_window_is_read_as_transformers_does(
    pair: Pair, size: int, spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE", spare)
    count = 150 if size == 1 else 1500
    ids = ids_of(pair.ours, count)
    with torch.inference_mode():
        torch.testing.assert_close(in_chunks(pair.ours, ids, size), pair.theirs(ids).logits, **TOLERANCE)


def test_the_answer_after_a_long_text_is_transformers_own(pair: Pair) -> None:
    prompt = ids_of(pair.ours, 700)
    with torch.inference_mode():
        assert greedy(pair.ours, prompt, 400) == greedy_of(pair.theirs, prompt, 400)


def test_memory_stays_that_of_the_window(pair: Pair) -> None:
    context = Context.fresh(pair.ours, BARE)
    ids = ids_of(pair.ours, 4000)[0].tolist()
    for start in range(0, 4000, 400):
        context.feed(ids[start : start + 400], lambda: None)
    windows = [pair.ours.window(layer) for layer in range(3)]
    for room, window in zip(rooms(context.cache), windows):
        assert room == 4096 if window is None else room <= WINDOW - 1 + 2 * SPARE
    plain = KVCache(3, 1, 12, torch.float32, "cpu", limit=4096)
    for layer in range(3):
        plain.update(layer, torch.zeros(1, 1, 4000, 12), torch.zeros(1, 1, 4000, 12))
    expected = sum(rooms(context.cache)) / (3 * 4096)
    assert context.cache.nbytes == expected * plain.nbytes < 0.6 * plain.nbytes


def test_what_is_shown_of_attention_is_as_wide_as_the_text(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARE", 4)
    ids = ids_of(pair.ours, 90)
    whole, parts = Everything(), Everything()
    with torch.inference_mode():
        pair.ours(ids, None, whole)
        in_chunks(pair.ours, ids, 30, parts)
    for layer in range(3):
        for number in range(3):
            got, rows = parts.shown[3 * number + layer], slice(30 * number, 30 * number + 30)
            torch.testing.assert_close(got, whole.shown[layer][:, :, rows, : 30 * number + 30], **TOLERANCE)


@pytest.mark.parametrize("cut", [1199, 1100, 1200 - SPARE, 900 - SPARE, 30, 10, 1, 0])
def test_cutting_the_end_off_and_going_on_is_reading_afresh(pair: Pair, cut: int) -> None:
    ids = ids_of(pair.ours, 1200)[0].tolist()
    context = Context.fresh(pair.ours, BARE)
    for start in range(0, 1200, 300):
        context.feed(ids[start : start + 300], lambda: None)
    edited = [*ids[:cut], 99, 98]
    left = context.keep(edited)
    assert left in (cut, 0) and (left == cut or cut < 1200 - SPARE)
    logits = context.feed(edited[left:], lambda: None)
    torch.testing.assert_close(logits, pair.ours(torch.tensor([edited]))[0, -1].detach(), **TOLERANCE)


def test_a_chat_is_gone_on_with_and_copied_where_its_windows_allow(pair: Pair) -> None:
    shelf = Contexts(lambda: 2**40)
    ids = ids_of(pair.ours, 1300)[0].tolist()
    context = shelf.take(pair.ours, ids, BARE)
    for start in range(0, 1300, 400):
        context.feed(ids[start : start + 400], lambda: None)
    shelf.put(context)
    late, early = [*ids[:1250], 3, 4], [*ids[:100], 3, 4]
    other = shelf.take(pair.ours, early, BARE)
    assert other is not context and other.keep(early) == 0
    again = shelf.take(pair.ours, late, BARE)
    assert again is context and again.keep(late) == 1250
    fork = again.fork(1240)
    assert fork.cache.nbytes < again.cache.nbytes + FIRST
    for each, count in ((again, 1250), (fork, 1240)):
        logits = each.feed([5, 6], lambda: None)
        expected = pair.ours(torch.tensor([[*ids[:count], 5, 6]]))[0, -1].detach()
        torch.testing.assert_close(logits, expected, **TOLERANCE)


def test_a_pass_broken_off_after_rows_were_moved_leaves_no_trace(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARE", 4)
    ids = ids_of(pair.ours, 120)[0].tolist()
    context, calls = Context.fresh(pair.ours, BARE), []

    def stop_in_the_third_layer() -> None:
        calls.append(1)
        if len(calls) % 3 == 0:
            raise InterruptedError

    for start in range(0, 120, 3):
        with pytest.raises(InterruptedError):
            context.feed(ids[start : start + 3], stop_in_the_third_layer)
        logits = context.feed(ids[start : start + 3], lambda: None)
    torch.testing.assert_close(logits, pair.ours(torch.tensor([ids]))[0, -1].detach(), **TOLERANCE)
