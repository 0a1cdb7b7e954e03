"""Orientation matrices and source lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba.errors import FileError
from nbnumba.io.matrix import read_matrix
from nbnumba.io.sourcefile import read_sources
from tests.conftest import GOLDEN

INPUTS = GOLDEN / "inputs"
finite = st.floats(allow_nan=False, allow_infinity=False)


def test_golden_matrices():
    tri = read_matrix(INPUTS / "tri_A.mat")
    assert tri[:3] == (-0.02412425, 0.01958416, -0.00236541)
    assert tri[6:] == (-0.00350915, 0.00641923, 0.01990724)
    assert read_matrix(INPUTS / "orth_A.mat")[8] == 0.00128758


@given(st.lists(finite, min_size=9, max_size=12), st.sampled_from([" ", "\n", ",", " \t", "\r\n"]))
def test_first_nine_numbers_come_back_exactly(tmp_path_factory, values, separator):
    path = tmp_path_factory.getbasetemp() / "m.mat"
    path.write_bytes(separator.join(map(repr, values)).encode())
    assert read_matrix(path) == tuple(values[:9])


def test_matrix_spellings(tmp_path):
    path = tmp_path / "m.mat"
    path.write_text("# made by hand\n-1.0-2.0-3e-1\n\n4 5 6 ! second row\n7 8 9 words\nmore")
    assert read_matrix(path) == (-1, -2, -0.3, 4, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends at line 1 with 0 numbers, 9 are needed"),
        (b"1 2 3\n4 5 6\n7 8", "ends at line 3 with 8 numbers"),
        (b"1 2 3\n4 nan 6\n7 8 9", "line 2 of the matrix file .*got 'nan'"),
        (b"1 2 3\n4 inf 6\n7 8 9", "line 2 .*got 'inf'"),
        (b"1 2 3\n4 1e999 6\n7 8 9", "line 2 .*got '1e999'"),
        (b"A matrix\n", "line 1 .*got 'A'"),
        (b"1 2 3\0", "not a text file"),
    ],
)
def test_malformed_matrix(tmp_path, content, message):
    (tmp_path / "m.mat").write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_matrix(tmp_path / "m.mat")
    with pytest.raises(FileError, match="no such file"):
        read_matrix(tmp_path / "none.mat")


def test_golden_sources():
    full = read_sources(INPUTS / "sources_full.txt")
    assert len(full) == 6
    assert full[0] == (-10, -0.002608, 0.04533, 0.2, 9.9e-11)
    assert read_sources(INPUTS / "sources_partial.txt") == [
        (-10, 0.01, 0.02, 2, 1.01e-10),
        (-10, -0.015, 0.005, 0.5, None),
        (-5, 0.004, -0.012, None, None),
        (-1, 0, 0, 1, 0.985e-10),
    ]


@given(
    st.lists(st.lists(finite, min_size=1, max_size=7), min_size=1, max_size=5),
    st.sampled_from([" ", ", ", ";", ":", "\t"]),
)
def test_source_numbers_come_back_exactly(tmp_path_factory, rows, separator):
    path = tmp_path_factory.getbasetemp() / "s.txt"
    path.write_text("\n".join(separator.join(map(repr, row)) for row in rows))
    assert read_sources(path) == [tuple((row + [None] * 5)[:5]) for row in rows]


def test_source_spellings(tmp_path):
    path = tmp_path / "s.txt"
    path.write_bytes(b"# X Y Z \xe9\r\n! more\r\n\r\n ,,1;2:3\r\n4 # only X\r\nnan nan NaN 2")
    assert read_sources(path) == [(1, 2, 3, None, None), (4, None, None, None, None), (None, None, None, 2, None)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n# none\n", "holds no source"),
        (b"1 2 3\n\n1 two 3", "line 3 of the source file .*got 'two'"),
        (b"1 2 3 inf", "line 1 .*got 'inf'"),
        (b"1 2 3 1 1A", "line 1 .*got '1A'"),
        (b"\x00\x01", "not a text file"),
    ],
)
def test_malformed_sources(tmp_path, content, message):
    (tmp_path / "s.txt").write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_sources(tmp_path / "s.txt")
    with pytest.raises(FileError, match="no such file"):
        read_sources(tmp_path / "none.txt")
