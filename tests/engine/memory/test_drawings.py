"""What a message was drawn with is kept beside its records, and files from before it was are brought up to it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.memory.database import open_database
from engine.memory.records import pack_drawing, unpack_drawing
from engine.memory.schema import RECORDS
from engine.memory.store import Store
from engine.messages import Chat, Drawing, StoredMessage
from engine.params import SamplingParams

DRAWING = Drawing(7, (5, 6, 7), 2, 4096, SamplingParams(temperature=1.3, stop=("END",)), (3,))


@given(st.lists(st.integers(0, 2**31 - 1)), st.integers(0, 2**31), st.integers(0, 2**31))
def test_a_drawing_comes_back_as_it_was(ids: list[int], seed: int, vocabulary: int) -> None:
    drawing = Drawing(seed, tuple(ids), len(ids) // 2, vocabulary, DRAWING.sampling, (1, 2), 3)
    assert unpack_drawing(pack_drawing(drawing)) == drawing


def test_a_drawing_that_is_cut_is_refused_in_a_sentence() -> None:
    blob = pack_drawing(DRAWING)
    for end in (0, 3, len(blob) // 2, len(blob) - 5):
        with pytest.raises(EngineError, match="cannot be read"):
            unpack_drawing(blob[:end])


def test_the_drawings_of_a_message_are_kept_in_the_order_of_their_runs(tmp_path: Path) -> None:
    later = Drawing(8, (5, 6, 7, 8), 2, 4096)
    message = StoredMessage("m", "c", "", "assistant", "text")
    with contextlib.closing(Store(tmp_path / "vitrine.db")) as store:
        store.save_chat(Chat("c", "c"))
        store.save_message(message, drawings=(DRAWING,))
        store.save_message(message)
        store.save_message(message, drawings=(later,))
    with contextlib.closing(Store(tmp_path / "vitrine.db")) as store:
        assert store.drawings("m") == (DRAWING, later)
        assert store.drawings("n") == ()


def test_records_from_before_there_were_drawings_stay_and_the_old_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "vitrine-records.db"
    with contextlib.closing(open_database(path, RECORDS[:1])) as old:
        old.execute("INSERT INTO records (message, position, data) VALUES ('m', 0, x'00')")
    with contextlib.closing(Store(tmp_path / "vitrine.db")) as store:
        assert store.drawings("m") == ()
    with contextlib.closing(sqlite3.connect(path)) as now:
        assert now.execute("SELECT count(*) FROM records").fetchone() == (1,)
    assert (tmp_path / "vitrine-records-schema-1.db").exists()
