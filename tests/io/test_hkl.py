"""HKL text: golden inputs, malformed files, and one answer from both readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba.errors import FileError
from nbnumba.io import hkl
from nbnumba.io.hkl import read_hkl
from tests.conftest import CASES, GOLDEN

INPUTS = GOLDEN / "inputs"


def read(tmp_path: Path, content: str | bytes) -> list[tuple[float, ...]]:
    path = tmp_path / "x.hkl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("latin-1"))
    indices, F = read_hkl(path)
    assert indices.dtype == np.int32 and F.dtype == np.float64
    return [(*map(int, row), float(f)) for row, f in zip(indices, F, strict=True)]


def scanf_fours(text: str) -> np.ndarray:
    """All numbers of a file without extra columns, four by four."""
    return np.array([word for line in text.split("\n") for word in line.split("#")[0].split()], float).reshape(-1, 4)


@pytest.mark.parametrize("name", ["messy", "sparse", "tri", "hex", "mono_box"])
def test_golden_inputs_are_complete(name):
    indices, F = read_hkl(INPUTS / f"{name}.hkl")
    expected = scanf_fours((INPUTS / f"{name}.hkl").read_text())
    np.testing.assert_array_equal(indices, expected[:, :3])
    np.testing.assert_array_equal(F, expected[:, 3])
    counts = {c["expect"]["hkls"] for c in CASES.values() if f"inputs/{name}.hkl" in c["args"]}
    assert counts == {len(F)}


def test_comment_in_the_middle_does_not_end_the_file():
    lines = (INPUTS / "comment_mid.hkl").read_text().split("\n")
    indices, F = read_hkl(INPUTS / "comment_mid.hkl")
    assert len(F) == sum(bool(line.split("#")[0].strip()) for line in lines)
    assert len(F) > CASES["quirk_hkl_comment_mid"]["expect"]["hkls"]
    np.testing.assert_array_equal(indices[-1], [int(v) for v in lines[-2].split()[:3]])


def test_columns_after_the_fourth_are_ignored():
    indices, F = read_hkl(INPUTS / "six_columns.hkl")
    expected = np.loadtxt(INPUTS / "six_columns.hkl")
    np.testing.assert_array_equal(np.column_stack((indices, F)), expected[:, :4])


@pytest.mark.parametrize(
    "text",
    [
        "1 -2 3 4.5",
        "1,-2,3,4.5\n",
        "\t1\t-2\t+3\t45e-1\n",
        "1.0 -2. 3e0 .45E+1\r\n\r\n",
        "1 -2\r3 4.5\r",
        "1\n-2\n\n3\n4.5",
        "# h k l F \xe9\xff\n! more\n1 -2 3 4.5 # here! too",
        "1 -2 3 4.5 0.1 free words",
        "1-2+3 4.5",
        b"\xef\xbb\xbf1 -2 3 4.5\n\x1a",
        "1 -2 # begun\n3 4.5",
    ],
)
def test_spellings_of_one_reflection(tmp_path, text):
    assert read(tmp_path, text) == [(1, -2, 3, 4.5)]


GOOD = "1 2 3 4\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no reflections"),
        ("# nothing\n\n", "holds no reflections"),
        (GOOD + "\n1 2.5 3 4\n", r"line 3 of .*x\.hkl: h, k and l must be whole numbers, got 2\.5"),
        (GOOD + "1 2 nan 4\n", "line 2 of .*expected a number, got 'nan'"),
        (GOOD + "1 2 3 inf\n", "line 2 of .*expected a number, got 'inf'"),
        (GOOD + "1 2 3 1e999\n", "line 2 of .*expected a number, got '1e999'"),
        ("H K L F\n" + GOOD, "line 1 of .*expected a number, got 'H'"),
        (GOOD + "1 2 3 4_0\n", "line 2 of .*got '4_0'"),
        (GOOD + "1 2 3 0x10\n", "line 2 of .*got '0x10'"),
        (GOOD + "1 2 3 \xb2\n", "line 2 of .*expected a number"),
        (GOOD + "1 2 3\n", "line 2 of .*the file ends with 3 of the 4 numbers"),
        (GOOD + "1 2\n" + GOOD, "line 2 of .*only 2 numbers before line 3 begins another"),
        (GOOD + "1 1000001 3 4\n", "line 2 of .*index 1000001 is beyond 1000000"),
        (GOOD + "1 2 3 4;\n", "line 2 of .*got '4;'"),
        (b"1 2 3 4\n\x00\x01", "not a text file: byte 8 is 0x00"),
        (b"\x1f\x8b\x08\x00", "is a gzip file that cannot be unpacked"),
    ],
)
def test_malformed(tmp_path, text, message):
    with pytest.raises(FileError, match=message):
        read(tmp_path, text)


def test_missing_file(tmp_path):
    with pytest.raises(FileError, match=r"cannot read the HKL file .*: no such file"):
        read_hkl(tmp_path / "none.hkl")


indices = st.integers(-1_000_000, 1_000_000)
reflections = st.lists(
    st.tuples(indices, indices, indices, st.floats(allow_nan=False, allow_infinity=False)), min_size=1
)


@given(reflections)
def test_written_numbers_come_back_exactly(tmp_path_factory, rows):
    text = "".join(f"{h} {k} {l} {F!r}\n" for h, k, l, F in rows)
    assert read(tmp_path_factory.getbasetemp(), text) == rows


alphabet = st.text("0123456789+-.eE \t\n", max_size=60)
words = st.sampled_from(["1", "-2", "+3", "4.5", "1e3", "1.0", ".", "-", "e", "1-2", "5.", "1e", "9999999", "0.5"])
lines = st.lists(st.lists(words, max_size=6).map(" ".join), max_size=6).map("\n".join)


@given(st.one_of(alphabet, lines))
def test_quick_reader_never_disagrees_with_the_careful_one(text):
    quick = hkl._read_tidy(text)
    if quick is not None:
        np.testing.assert_array_equal(quick, hkl._read_careful(text, "x"))


def test_quick_reader_takes_tidy_files():
    for name in ("tri.hkl", "hex.hkl", "six_columns.hkl"):
        assert hkl._read_tidy((INPUTS / name).read_text()) is not None
