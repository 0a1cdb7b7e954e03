"""The box of structure factors and where it comes from."""

from __future__ import annotations

import os

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba import memory
from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.errors import ConfigError, FileError, ResourceError
from nbnumba.io.values import Reflections
from nbnumba.model.config import Beam, Crystal, Simulation, StructureFactors
from nbnumba.model.experiment import resolve
from nbnumba.model.structure_factors import build_grid, resolve_structure_factors
from tests.conftest import CASES, GOLDEN
from tests.geometry_inputs import INP
from tests.io.reflection_inputs import make_mtz

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


OTHER_CELLS = {
    "another crystal": ((50, 60, 70, 90, 90, 90), (79, 79, 38, 90, 90, 90), True),
    "another setting": ((50, 60, 70, 90, 90, 90), (60, 50, 70, 90, 90, 90), True),
    "an angle": ((50, 60, 70, 90, 104, 90), (50, 60, 70, 90, 90, 90), True),
    "one edge of three": ((50, 60, 70, 90, 90, 90), (50, 60, 73, 90, 90, 90), True),
    "A for nm": ((50, 60, 70, 90, 90, 90), (5, 6, 7, 90, 90, 90), True),
    "of one kind": ((50, 60, 70, 90, 90, 90), (50.4, 59.5, 70.6, 90.5, 89.5, 90), False),
    "the same": ((50, 60, 70, 90, 90, 90), (50, 60, 70, 90, 90, 90), False),
}


@pytest.mark.parametrize("name", OTHER_CELLS)
def test_cell_of_the_structure_factors_against_the_crystals(name):
    """One warning with both cells, whether the crystal's comes from a cell or from a matrix."""
    own, crystals, said = OTHER_CELLS[name]
    found = Reflections(np.array([[1, 2, 3], [-1, -2, -3]]), np.ones(2), cell=own)
    vectors = np.array(gemmi.UnitCell(*crystals).frac.mat.tolist()).T  # columns a*, b*, c*
    for crystal in (Crystal(cell=crystals), Crystal(A_matrix=tuple((vectors * 1.3).ravel().tolist()))):
        wanted = StructureFactors(hkl=found, write_dump=False)
        simulation = Simulation(crystal=crystal, beam=Beam(wavelength_A=1.3), structure_factors=wanted)
        notes = [note for note in resolve(simulation).warnings if "structure factors of" in note]
        assert len(notes) == said
        numbers = [" ".join(f"{value:.4g}" for value in cell) for cell in (own, crystals)]
        assert all(all(text in note for text in numbers) for note in notes)


def test_cell_of_a_file_against_that_of_a_geometry_file(tmp_path):
    """The crystal of --geometry, of -mat and of -cell; also where the list cannot be used."""
    good = make_mtz(tmp_path / "a.mtz", "P 43 21 2", {"FP": ("F", np.array([5.0]))}, np.array([[1, 2, 3]]))
    vectors = np.eye(3) / 78
    (tmp_path / "cubic.mat").write_text("\n".join(" ".join(f"{x:.8f}" for x in row) for row in vectors.tolist()))
    (tmp_path / "XDS.INP").write_text(INP)
    for words in (["-mat", str(tmp_path / "cubic.mat")], ["-cell", "50"], ["--geometry", str(tmp_path / "XDS.INP")]):
        simulation = build(parse(["-hkl", str(good), *words]))[0]
        (note,) = [note for note in resolve(simulation).warnings if "structure factors of" in note]
        assert "are of a cell of 33.3 33.3 26.1 90 90 90, the crystal's is" in note


def test_a_list_that_is_refused_names_the_other_crystal_too(tmp_path):
    rows = np.array([[1, 2, 3], [1, 2, 3]])
    path = make_mtz(tmp_path / "a.mtz", "P 43 21 2", {"FP": ("F", np.array([5.0, 9.0]))}, rows)
    listed = StructureFactors(hkl=path)
    with pytest.raises(
        FileError, match=r"more than once.*; besides, the structure factors of .*, the crystal's is 50 "
    ):
        resolve(Simulation(crystal=Crystal(cell=(50,)), structure_factors=listed))
    own = 33.3, 33.3, 26.1
    with pytest.raises(FileError, match=r"more than once(?!.*besides)"):
        resolve(Simulation(crystal=Crystal(cell=own), structure_factors=listed))


@pytest.mark.parametrize("words", [["--symmetry", "P43212"], ["--symmetry", "96"], ["--symmetry", "422"]])
def test_asymmetric_unit_is_expanded_by_a_flag(words, tmp_path):
    """Without it one warning; with a space group its absences are 0, with a point group there are none."""
    path = tmp_path / "asu.hkl"
    path.write_text("4 1 2 100\n4 2 3 120\n5 1 1 80\n6 2 2 90\n7 3 1 60\n0 0 4 10\n0 0 8 20\n")
    plain = build(parse(["-hkl", str(path), "-cell", "79.1", "79.1", "37.9", "-default_F", "3"]))[0]
    (note,) = resolve_structure_factors(plain.structure_factors)[1]
    assert "none of its 7 reflections has the Friedel mate" in note and "--symmetry GROUP" in note
    box, notes = resolve_structure_factors(
        build(parse(["-hkl", str(path), "-cell", "79.1", "-default_F", "3", *words]))[0].structure_factors
    )
    F = {
        index: box.grid[index[0] - box.h_min, index[1] - box.k_min, index[2] - box.l_min]
        for index in [(1, 4, -2), (-7, -3, -1)]
    }
    assert F == {(1, 4, -2): 100, (-7, -3, -1): 60}
    assert box.grid[-box.h_min, -box.k_min, 2 - box.l_min] == (3 if words[1] == "422" else 0)
    assert len(notes) == 1 and "is expanded by" in notes[0]
