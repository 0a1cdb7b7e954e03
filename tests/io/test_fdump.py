"""Binary dump of structure factors: the reference's bytes, exactly read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nbnumba.errors import FileError
from nbnumba.io.fdump import read_fdump, write_fdump
from nbnumba.io.hkl import read_hkl
from nbnumba.model.structure_factors import build_grid
from tests.conftest import GOLDEN

DUMP = GOLDEN / "inputs" / "sparse_Fdump.bin"


def test_bytes_are_the_references(tmp_path):
    box = build_grid(*read_hkl(GOLDEN / "inputs" / "sparse.hkl"), 25.0)
    write_fdump(tmp_path / "Fdump.bin", box.grid, (box.h_min, box.k_min, box.l_min))
    assert (tmp_path / "Fdump.bin").read_bytes() == DUMP.read_bytes()


def test_reads_the_references_dump():
    box = build_grid(*read_hkl(GOLDEN / "inputs" / "sparse.hkl"), 25.0)
    grid, mins = read_fdump(DUMP)
    assert mins == (box.h_min, box.k_min, box.l_min)
    np.testing.assert_array_equal(grid, box.grid)
    assert grid.flags.c_contiguous


boxes = arrays(
    np.float64,
    array_shapes(min_dims=3, max_dims=3, max_side=4),
    elements=st.floats(allow_nan=False, allow_infinity=False),
)


@given(boxes, st.tuples(*[st.integers(-999_000, 999_000)] * 3))
def test_write_read_is_identity(tmp_path_factory, grid, mins):
    path = tmp_path_factory.getbasetemp() / "identity.bin"
    write_fdump(path, grid, mins)
    again, first = read_fdump(path)
    assert first == mins
    assert again.tobytes() == grid.tobytes()


@pytest.mark.parametrize("blank", [b"\n", b"\x0c", b" ", b"\t", b"\r", b"\x0b"])
def test_data_that_look_like_blanks_stay_data(tmp_path, blank):
    grid = np.frombuffer(blank * 8, "<f8").reshape(1, 1, 1).copy()
    write_fdump(tmp_path / "d", grid, (0, 0, 0))
    assert read_fdump(tmp_path / "d")[0].tobytes() == blank * 8


def bad(content: bytes, tmp_path, message: str) -> None:
    (tmp_path / "bad.bin").write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_fdump(tmp_path / "bad.bin")


@pytest.mark.parametrize("cut", [0, 5, 17, 18, 100, -1])
def test_truncated_at_any_place(tmp_path, cut):
    bad(DUMP.read_bytes()[:cut], tmp_path, r"does not start with six index limits|has \d+ bytes, but its limits")


def test_malformed(tmp_path):
    whole = DUMP.read_bytes()
    bad(whole + b"\0", tmp_path, r"has 18497 bytes, but its limits \(-4, 0, -10\) to \(8, 9, 3\) need 18496")
    bad(b"4 -8 0 9 -10 3\n\f", tmp_path, "impossible index limits: h 4 to -8")
    bad(b"0 999999999 0 999999999 0 999999999\n\f", tmp_path, "impossible index limits")
    bad(b"0 999999 0 999999 0 999999\n\f" + bytes(64), tmp_path, "has 92 bytes, but its limits")
    bad(b"0 0 0 0 0 0\n" + bytes(64), tmp_path, "does not start with six index limits")
    bad(b"1 2 3 4\n5 6 7 8\n", tmp_path, "does not start with six index limits")
    grid = np.zeros((2, 2, 2))
    grid[1, 0, 1] = np.nan
    write_fdump(tmp_path / "nan.bin", grid, (-1, 5, 7))
    with pytest.raises(FileError, match="not a finite number, at reflection 0 5 8"):
        read_fdump(tmp_path / "nan.bin")
    with pytest.raises(FileError, match=r"cannot read the dump file .*: no such file"):
        read_fdump(tmp_path / "none.bin")
    with pytest.raises(FileError, match=r"cannot read the dump file .*: it is a folder"):
        read_fdump(tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device that can be read without end")
def test_what_has_no_end_is_not_read():
    with pytest.raises(FileError, match="cannot read the dump file /dev/zero: it is not a regular file"):
        read_fdump("/dev/zero")
