"""The GGUF header's reader: what it reads, and that nothing a file claims is believed before it is checked."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from engine.errors import BadModelFiles, UnsupportedModel
from engine.gguf import GGUF, Strings

resource = pytest.importorskip("resource")

HEAD = b"GGUF" + struct.pack("<I", 3)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def file_of(path: Path, tensors: int, keys: int, body: bytes, version: int = 3) -> Path:
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + body)
    return path


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def test_everything_is_as_the_library_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "all.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_uint8("a.u8", 200)
    writer.add_int16("a.i16", -300)
    writer.add_uint64("a.u64", 2**50)
    writer.add_float64("a.f64", 0.1)
    writer.add_bool("a.flag", True)
    writer.add_string("a.text", "zwölf €")
    writer.add_array("a.texts", ["", "α", "line\nbreak"])
    writer.add_array("a.numbers", [1.5, -2.5])
    writer.add_array("a.flags", [True, False])
    writer.add_tensor("t.weight", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.add_tensor("t.bias", np.arange(4, dtype=np.float16))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    file = GGUF(path)
    values = {key: value for key, value in file.metadata.items() if key.startswith("a.")}
    assert values.pop("a.texts").texts() == ["", "α", "line\nbreak"]
    assert values.pop("a.numbers").tolist() == [1.5, -2.5] and values.pop("a.flags").tolist() == [1, 0]
    assert values == {"a.u8": 200, "a.i16": -300, "a.u64": 2**50, "a.f64": 0.1, "a.flag": True, "a.text": "zwölf €"}
    expected = {
        t.name: (tuple(t.shape[::-1]), t.tensor_type.name, t.data_offset, t.n_bytes) for t in GGUFReader(path).tensors
    }
    assert {i.name: (i.shape, i.kind, i.offset, i.nbytes) for i in file.tensors.values()} == expected
    assert file.floats("t.weight").tolist() == np.arange(12).reshape(3, 4).tolist()
    assert file.floats("t.bias").tolist() == [0, 1, 2, 3]


def test_version_2_is_read_and_others_are_named(tmp_path: Path) -> None:
    body = text("k") + struct.pack("<II", 4, 7)
    assert GGUF(file_of(tmp_path / "2.gguf", 0, 1, body, version=2)).metadata == {"k": 7}
    for version in (1, 4, 3 << 24):
        with pytest.raises(UnsupportedModel, match=f"version {version}"):
            GGUF(file_of(tmp_path / "x.gguf", 0, 1, body, version=version))


HUGE: dict[str, Callable[[Path], Path]] = {
    "keys": lambda path: file_of(path, 0, 2**40, b"\0" * 76),
    "tensors": lambda path: file_of(path, 2**40, 0, b"\0" * 76),
    "keys, nearly": lambda path: file_of(path, 0, 2**16, b"\0" * 76),
    "a name": lambda path: file_of(path, 0, 1, struct.pack("<Q", 2**40) + b"\0" * 76),
    "a text": lambda path: file_of(path, 0, 1, text("k") + struct.pack("<IQ", 8, 2**63) + b"\0" * 76),
    "numbers": lambda path: file_of(path, 0, 1, text("k") + struct.pack("<IIQ", 9, 12, 2**40) + b"\0" * 76),
    "numbers, nearly": lambda path: file_of(path, 0, 1, text("k") + struct.pack("<IIQ", 9, 12, 2**22) + b"\0" * 9),
    "texts": lambda path: file_of(path, 0, 1, text("k") + struct.pack("<IIQ", 9, 8, 2**40) + b"\0" * 76),
    "texts, nearly": lambda path: file_of(path, 0, 1, text("k") + struct.pack("<IIQ", 9, 8, 2**22) + b"\0" * 76),
    "a text in texts": lambda path: file_of(path, 0, 1, text("k") + struct.pack("<IIQQ", 9, 8, 2, 2**63) + b"\0" * 76),
    "arrays in arrays": lambda path: file_of(path, 0, 1, text("k") + struct.pack("<IIQ", 9, 9, 2) + b"\0" * 76),
    "a dimension": lambda path: file_of(path, 1, 0, tensor("t", (2**40,)) + b"\0" * 76),
    "dimensions": lambda path: file_of(path, 1, 0, tensor("t", (2**32,) * 4) + b"\0" * 76),
    "too many dimensions": lambda path: file_of(path, 1, 0, text("t") + struct.pack("<I", 2**31) + b"\0" * 76),
    "no dimension": lambda path: file_of(path, 1, 0, tensor("t", ()) + b"\0" * 76),
    "nothing": lambda path: file_of(path, 1, 0, tensor("t", (0,)) + b"\0" * 76),
    "an offset": lambda path: file_of(path, 1, 0, tensor("t", (2,), offset=2**63) + b"\0" * 76),
    "an offset between": lambda path: file_of(path, 1, 0, tensor("t", (2,), offset=1) + b"\0" * 76),
    "half a block": lambda path: file_of(path, 1, 0, tensor("t", (33,), kind=8) + b"\0" * 76),
    "a value's type": lambda path: file_of(path, 0, 1, text("k") + struct.pack("<I", 13) + b"\0" * 76),
    "an alignment": lambda path: file_of(path, 0, 1, text("general.alignment") + struct.pack("<II", 4, 0) + b"\0" * 76),
    "a key twice": lambda path: file_of(path, 0, 2, 2 * (text("k") + struct.pack("<II", 4, 7))),
    "a tensor twice": lambda path: file_of(path, 2, 0, 2 * tensor("t", (8,)) + b"\0" * 200),
    "one place twice": lambda path: file_of(path, 2, 0, tensor("t", (8,)) + tensor("u", (8,)) + b"\0" * 200),
}  # fmt: skip


@pytest.mark.parametrize("claim", HUGE)
def test_a_false_claim_is_one_sentence_at_once_and_takes_no_memory(tmp_path: Path, claim: str) -> None:
    path = HUGE[claim](tmp_path / "x.gguf")
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(BadModelFiles, match=r"^x\.gguf is damaged") as caught:
        GGUF(path)
    assert time.perf_counter() - begun < 1.0 and "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


def test_a_file_cut_off_anywhere_is_refused(references: Path, tmp_path: Path) -> None:
    whole = (references / "models" / "babyllama-361" / "gguf" / "babyllama-361-q8_0.gguf").read_bytes()
    path = tmp_path / "x.gguf"
    for end in (0, 3, 23, 24, 100, 1000, 9000, 12_000, 100_000, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(BadModelFiles):
            GGUF(path)


def test_what_is_no_gguf_or_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\3\4" + b"\0" * 96)
    with pytest.raises(BadModelFiles, match="not a GGUF"):
        GGUF(tmp_path / "x.gguf")
    with pytest.raises(BadModelFiles, match="cannot be read"):
        GGUF(tmp_path / "y.gguf")


def test_an_unknown_number_format_is_named(tmp_path: Path) -> None:
    path = file_of(tmp_path / "x.gguf", 1, 0, tensor("t", (32,), kind=999) + b"\0" * 200)
    with pytest.raises(UnsupportedModel, match="999"):
        GGUF(path)


def test_values_are_of_the_type_that_is_asked_for_or_refused(tmp_path: Path) -> None:
    body = text("n") + struct.pack("<II", 4, 7) + text("t") + struct.pack("<I", 8) + text("x")
    file = GGUF(file_of(tmp_path / "x.gguf", 0, 2, body))
    assert file.take("n", int, 0) == 7 and file.take("n", float, 0.0) == 7.0 and file.take("m", int, 5) == 5
    for key, kind in (("n", str), ("t", int), ("n", bool)):
        with pytest.raises(BadModelFiles, match=f"its {key} is"):
            file.take(key, kind, kind())
    with pytest.raises(BadModelFiles, match="no t"):
        file.texts("t")
    with pytest.raises(BadModelFiles, match="its n is"):
        file.numbers("n")


def test_texts_that_are_no_utf8_keep_their_places() -> None:
    packed = struct.pack("<Q", 1) + b"\xff" + text("a")
    assert Strings(packed, 2).texts() == ["\ufffd", "a"]
