"""Reflection tables of DIALS."""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc

import msgpack
import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.io.refl import read_refl
from tests.io.refl_inputs import column, refl, some_columns, write_refl
from tests.io.test_dials import dials_python, run

SHAPES = {
    "miller_index": (3,),
    "mosflm": (2,),
    "covariance": (3, 3),
    "bbox": (6,),
    "xyzobs.px.value": (3,),
    "xyzcal.mm": (3,),
}


@pytest.mark.parametrize("n", [0, 1, 5, 1000])
def test_columns_of_all_types(tmp_path, n):
    found = read_refl(write_refl(tmp_path / "a.refl", n, identifiers={0: "one", 2: "zwei ü"}))
    wanted = some_columns(n)
    assert list(found) == list(wanted)
    for name, (_, values) in wanted.items():
        assert found[name].shape == (n, *SHAPES.get(name, ()))
        np.testing.assert_array_equal(found[name], values)
    kinds = {name: array.dtype for name, array in found.items()}
    assert kinds["entering"] == np.bool_ and kinds["flags"] == np.uint64 and kinds["id"] == np.int32
    assert kinds["miller_index"] == np.int32 and kinds["intensity.sum.value"] == np.float64
    assert found.n_rows == n and found.identifiers == {0: "one", 2: "zwei ü"} and found.notes == ()
    found["id"][:] = 7  # not the file's own memory


def test_bytes_are_those_of_the_format(tmp_path):
    """A file written byte by byte: arrays 0x9n, texts 0xan, maps 0x8n, bytes 0xc4, small numbers as themselves."""

    def text(word: str) -> bytes:
        return bytes([0xA0 | len(word)]) + word.encode()

    hkl = struct.pack("<6i", 1, -2, 3, 40, 50, -60)
    data = b"\x93\xbbdials::af::reflection_table\x02\x83"
    data += text("identifiers") + b"\x81\x00" + text("abc") + text("nrows") + b"\x02" + text("data") + b"\x81"
    data += text("miller_index") + b"\x92" + text("cctbx::miller::index<>") + b"\x92\x02\xc4\x18" + hkl
    (tmp_path / "a.refl").write_bytes(data)
    found = read_refl(tmp_path / "a.refl")
    np.testing.assert_array_equal(found["miller_index"], [[1, -2, 3], [40, 50, -60]])
    assert found.identifiers == {0: "abc"}
    columns = {"miller_index": column("cctbx::miller::index<>", [[1, -2, 3], [40, 50, -60]])}
    assert refl(columns, 2, {0: "abc"}) == data


def test_what_is_not_read_is_named(tmp_path):
    """Shoeboxes, types that no version has, and the addresses that DIALS writes for texts."""
    columns = {
        "shoebox": ["Shoebox<>", [2, b"\0" * 58]],
        "id": column("int", [0, 1]),
        "odd": ["vec4<float>", [2, [1, [2, [3] * 20]]]],
        "names": ["std::string", [2, b"\x10" * 64]],
    }
    (tmp_path / "a.refl").write_bytes(refl(columns, 2, version=1, history=["x"] * 9))
    found = read_refl(tmp_path / "a.refl")
    assert list(found) == ["id"]
    named = "shoebox (Shoebox<>), odd (vec4<float>), names (std::string) and history"
    assert found.notes == (f"reflection table {tmp_path / 'a.refl'} also has {named}, not used",)


def test_texts_of_other_writers(tmp_path):
    names = ["", "a b", "ü"] * 7
    (tmp_path / "a.refl").write_bytes(refl({"names": ["std::string", [21, names]]}, 21))
    assert read_refl(tmp_path / "a.refl")["names"].tolist() == names


@pytest.mark.parametrize("packer", [None, gzip.compress])
def test_packed_files(tmp_path, packer):
    path = write_refl(tmp_path / "a.refl")
    if packer:
        path.write_bytes(packer(path.read_bytes()))
    assert len(read_refl(path)) == len(some_columns())


def nested(depth: int) -> bytes:
    """Arrays in arrays, each of which announces as many items as the file has bytes."""
    return b"".join(b"\xdd" + struct.pack(">I", 60_000) for _ in range(depth))


HEAD = b"\x93\xbbdials::af::reflection_table"
ONE = {"id": column("int", [1, 2])}
DAMAGED = {
    "text": (b"hello there", r"is none of DIALS: it begins with b'hello there'"),
    "empty": (b"", "is none of DIALS"),
    "pickle": (b"\x80\x02cdials_array", "is a pickle: write it again with DIALS without DIALS_USE_H5"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "is an HDF5 file: write it again"),
    "another table": (msgpack.packb(["dials::af::flex", 2, {}]), "is none of DIALS"),
    "version": (refl(ONE, 2, version=3), "has the version 3: known are 1 and 2"),
    "cut off": (refl(ONE, 2)[:-3], "is cut off: it ends in column 'id'"),
    "no rows": (HEAD + b"\x02\x81\xa4data\x80", "has no nrows"),
    "no data": (HEAD + b"\x02\x81\xa5nrows\x02", "has no data"),
    "rows differ": (refl(ONE, 3), "column 'id' has 2 rows instead of 3"),
    "bytes differ": (
        refl({"id": ["int", [2, b"1234567"]]}, 2),
        "damaged in column 'id': 2 rows of int are 8 bytes, got 7",
    ),
    "no bytes": (
        refl({"id": ["int", [1, "abcd"]]}, 1),
        "damaged in column 'id': 1 rows of int are 4 bytes, got 'abcd'",
    ),
    "no type": (refl({"id": [5, [1, b"abcd"]]}, 1), "damaged in column 'id': a type must be a text, got 5"),
    "negative": (refl({"id": ["int", [-1, b""]]}, 1), "the number of rows must be a number from 0, got -1"),
    "huge": (refl({"id": ["mat3<double>", [2**62, b""]]}, 1), "damaged in column 'id'"),
    "three": (refl({"id": ["int", [1, b"abcd"], 7]}, 1), "expected an array of a type and its data, got one of 3"),
    "identifiers": (refl(ONE, 2, {"a": "b"}), "damaged in 'identifiers': the number of an experiment"),
    "arrays in arrays": (HEAD + b"\x02\x81\xa4data\x81" + nested(500) + b"\0" * 60_000, "damaged in 'data'"),
    "arrays in a column": (
        HEAD + b"\x02\x81\xa4data\x81\xa2id\x92" + nested(500) + b"\0" * 60_000,
        "damaged in column 'id'",
    ),
    "maps in maps": (HEAD + b"\x02" + b"\x81\xa4data" * 2000, "damaged"),
    "huge map": (HEAD + b"\x02\xdf\xff\xff\xff\xff\xa4data\xdf\xff\xff\xff\xff", "cut off|damaged"),
    "an array for a name": (HEAD + b"\x02\x81\x91\xa4data\x80", "expected a number, a text or bytes, got an array"),
    "a map for rows": (HEAD + b"\x02\x81\xa5nrows\x80", "damaged in 'nrows': expected .* got a map"),
    "not UTF-8": (HEAD + b"\x02\x81\xa4\xff\xfe\xfd\xfc\x80", "damaged"),
    "extension": (HEAD + b"\x02\x81\xc7\x05\x01abcde\x80", "damaged"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_in_one_sentence(tmp_path, name):
    data, message = DAMAGED[name]
    (tmp_path / "bad.refl").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=message) as caught:
            read_refl(tmp_path / "bad.refl")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert "bad.refl" in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_every_cut_is_refused(tmp_path):
    whole = write_refl(tmp_path / "a.refl", 2).read_bytes()
    for end in range(len(whole)):
        (tmp_path / "a.refl").write_bytes(whole[:end])
        with pytest.raises(FileError):
            read_refl(tmp_path / "a.refl")


def test_missing_file(tmp_path):
    with pytest.raises(FileError, match=r"cannot read the reflection table .*none\.refl: no such file"):
        read_refl(tmp_path / "none.refl")


#: Run by the Python that has DIALS: reads a table, and writes one with a column of each type.
DIALS = """
import json, sys
from dials.array_family import flex
read = flex.reflection_table.from_msgpack_file(sys.argv[1])
seen = {key: [list(v) if hasattr(v, "__len__") else v for v in read[key]] for key in read.keys()}
names = read.experiment_identifiers()
print("FOUND" + json.dumps([seen, dict(zip(names.keys(), names.values()))]))
read["names"] = flex.std_string(["a", "b", "c"])
read["shoebox"] = flex.shoebox(3)
read.as_msgpack_file(sys.argv[2])
"""


@pytest.mark.skipif(dials_python() is None, reason="DIALS is not installed (Debian: apt install dials)")
def test_dials_has_the_same_tables(tmp_path):
    """It reads what the tests write as nbnumba reads it, and nbnumba what it writes. Of 2022 it knows version 1 only."""
    ours = read_refl(write_refl(tmp_path / "ours.refl", 3, identifiers={0: "one", 2: "two"}, version=1))
    text = run(str(dials_python()), "-c", DIALS, "ours.refl", "theirs.refl", cwd=tmp_path).split("FOUND", 1)[1]
    seen, identifiers = json.loads(text)
    theirs = read_refl(tmp_path / "theirs.refl")
    assert set(seen) == set(theirs) == set(ours)
    for name, values in ours.items():
        np.testing.assert_array_equal(np.reshape(np.array(seen[name], values.dtype), values.shape), values)
        np.testing.assert_array_equal(theirs[name], values)
    assert ours.identifiers == theirs.identifiers == {int(key): name for key, name in identifiers.items()}
    assert theirs.notes[0].endswith("also has names (std::string) and shoebox (Shoebox<>), not used")
