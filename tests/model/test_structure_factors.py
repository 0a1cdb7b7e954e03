"""The box of structure factors and where it comes from."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba import memory
from nbnumba.errors import ConfigError, FileError, ResourceError
from nbnumba.model.config import StructureFactors
from nbnumba.model.structure_factors import build_grid, resolve_structure_factors
from tests.conftest import CASES, GOLDEN

INPUTS = GOLDEN / "inputs"
small = st.integers(-5, 5)


@given(st.lists(st.tuples(small, small, small, st.floats(0, 1e6)), min_size=1, max_size=60), st.floats(0, 100))
def test_box_is_a_dictionary_with_a_default(rows, default_F):
    box = build_grid(np.array([row[:3] for row in rows], np.int32), np.array([row[3] for row in rows]), default_F)
    known = {row[:3]: row[3] for row in rows}  # a later entry replaces an earlier one
    for (i, j, m), F in np.ndenumerate(box.grid):
        assert known.pop((box.h_min + i, box.k_min + j, box.l_min + m), default_F) == F
    assert not known
    assert box.n_reflections == len(rows)
    assert box.grid.flags.c_contiguous and box.grid.dtype == np.float64


def test_stray_index_is_refused_before_allocating(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 << 30)
    indices = np.array([[0, 0, 0], [999999, 100, 100]], np.int32)
    with pytest.raises(ResourceError, match=r"h 0 to 999999, k 0 to 100, l 0 to 100\) needs 76\.0 GiB .*wrong index"):
        build_grid(indices, np.ones(2), 0.0)


def config(tmp_path, **settings) -> StructureFactors:
    return StructureFactors(**{"dump": tmp_path / "Fdump.bin", **settings})


@pytest.mark.parametrize("name", ["sparse_default_F", "hkl_messy_text"])
def test_hkl_file(tmp_path, name):
    args, expect = CASES[name]["args"], CASES[name]["expect"]
    path = GOLDEN / args[args.index("-hkl") + 1]
    box, notes = resolve_structure_factors(config(tmp_path, hkl=path, default_F=expect["default_F"]))
    assert box.n_reflections == expect["hkls"]
    assert box.source == str(path)
    conflicts = 25 if name.startswith("sparse") else 0
    assert len(notes) == (conflicts > 0) and all(f"replaced {conflicts} of" in note for note in notes)
    assert not list(tmp_path.iterdir())  # the dump is written by the caller


def test_hkl_beats_the_dump(tmp_path):
    box, _ = resolve_structure_factors(config(tmp_path, hkl=INPUTS / "tri.hkl", dump=INPUTS / "sparse_Fdump.bin"))
    assert box.source.endswith("tri.hkl")


def test_conflicting_duplicates_are_noted(tmp_path):
    (tmp_path / "d.hkl").write_text("1 2 3 10\n1 2 4 5\n1 2 3 20\n1 2 4 5\n")
    box, notes = resolve_structure_factors(config(tmp_path, hkl=tmp_path / "d.hkl"))
    assert box.grid.tolist() == [[[20, 5]]]
    assert len(notes) == 1 and notes[0].endswith("a later line replaced 1 of them")


def test_dump_is_used_and_said(tmp_path):
    dump = tmp_path / "Fdump.bin"
    dump.write_bytes((INPUTS / "sparse_Fdump.bin").read_bytes())
    os.utime(dump, (0, 86400 * 365))
    text, _ = resolve_structure_factors(config(tmp_path, hkl=INPUTS / "sparse.hkl", default_F=25.0))
    box, notes = resolve_structure_factors(config(tmp_path))
    np.testing.assert_array_equal(box.grid, text.grid)
    assert (box.h_min, box.k_min, box.l_min) == (text.h_min, text.k_min, text.l_min)
    assert box.n_reflections == box.grid.size
    assert len(notes) == 1 and notes[0].startswith(f"reading Fs from {dump}, written 197")
    _, notes = resolve_structure_factors(config(tmp_path, default_F=3.0))
    assert "default_F 3 holds outside" in notes[1]


def test_nothing_to_read(tmp_path):
    assert resolve_structure_factors(config(tmp_path, default_F=1.0)) == (None, [])
    with pytest.raises(ConfigError, match="give -hkl FILE or -default_F"):
        resolve_structure_factors(config(tmp_path))


def test_broken_files_are_not_passed_over(tmp_path):
    (tmp_path / "Fdump.bin").write_bytes(b"half")
    with pytest.raises(FileError, match=r"Fdump\.bin does not start with six index limits"):
        resolve_structure_factors(config(tmp_path, default_F=1.0))
    with pytest.raises(FileError, match="no such file"):
        resolve_structure_factors(config(tmp_path, hkl=tmp_path / "none.hkl", default_F=1.0))
