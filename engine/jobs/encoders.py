"""Jobs that only encoders can do, and the neighbours of a word among any model's embeddings."""

from __future__ import annotations

from pathlib import Path

from engine import encoding
from engine.jobs.models import Models, check_of
from engine.lanes import Job
from engine.messages import Classify, Embed, Fill, NearestWords, Run


def fill(models: Models, command: Fill, run: Run) -> Job:
    bench = models.require()
    check = check_of(run)
    yield encoding.fill(run.id, bench.encoder, bench.tokenizer, command.text, command.candidates, check)
    return None


def classify(models: Models, command: Classify, run: Run) -> Job:
    bench = models.require()
    check = check_of(run)
    yield encoding.classify(run.id, bench.encoder, bench.tokenizer, command.text, check, command.pair)
    return None


def embed(models: Models, command: Embed, run: Run) -> Job:
    bench = models.require()
    pooling = encoding.Pooling.read(Path(bench.loaded.path))
    check = check_of(run)
    yield from encoding.embed(run.id, bench.encoder, bench.tokenizer, command.texts, pooling, check)
    return None


def nearest(models: Models, command: NearestWords, run: Run) -> Job:
    bench = models.require()
    yield encoding.nearest(run.id, bench.loaded.model, bench.tokenizer, command.plus, command.minus, command.count)
    return None
