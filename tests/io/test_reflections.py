"""MTZ and structure-factor mmCIF: what is chosen, expanded to P1, and refused."""

from __future__ import annotations

import gzip

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.errors import ConfigError, FileError
from nbnumba.io.reflections import absent, content_kind, expand_to_p1, read_cell, read_reflections
from nbnumba.model.config import StructureFactors
from nbnumba.model.structure_factors import resolve_structure_factors
from tests.io.reflection_inputs import CELLS, amplitudes, as_table, make_asu, make_cif, make_mtz


@pytest.mark.parametrize("name", CELLS)
def test_mtz_expands_as_gemmi_does(tmp_path, name):
    """The sphere is complete, and every index carries the F of its representative in gemmi's asymmetric unit."""
    miller = make_asu(name)
    F = amplitudes(miller)
    found = read_reflections(make_mtz(tmp_path / "a.mtz", name, {"FP": ("F", F), "SIGFP": ("Q", F)}, miller))
    table, given_F = as_table(found.indices, found.F), as_table(miller, F)
    asu, group = gemmi.ReciprocalAsu(gemmi.SpaceGroup(name)), gemmi.SpaceGroup(name).operations()
    assert all(value == given_F[tuple(asu.to_asu(index, group)[0])] for index, value in table.items())
    p1 = gemmi.make_miller_array(gemmi.UnitCell(*CELLS[name]), gemmi.SpaceGroup("P 1"), 4.0)
    whole = {tuple(map(int, sign * index)) for index in np.array(p1) for sign in (1, -1)}
    kept = {index for index in whole if not group.is_systematically_absent(index)}
    # reflections at exactly dmin may fall on either side in the two lists
    edge = {index for index in kept ^ set(table) if abs(gemmi.UnitCell(*CELLS[name]).calculate_d(index) - 4) > 1e-6}
    assert not edge
    assert found.label == "FP"
    assert found.cell == pytest.approx(CELLS[name], rel=1e-6)
    assert read_cell(tmp_path / "a.mtz") == found.cell


@pytest.mark.parametrize("name", CELLS)
def test_anomalous_pairs_stay_apart(tmp_path, name):
    """h R carries F(+) and -h R carries F(-), for every operation; centric reflections carry their mean."""
    miller = make_asu(name)
    plus, minus = amplitudes(miller), amplitudes(miller, 2)
    columns = {"F": ("F", plus), "F(+)": ("G", plus), "F(-)": ("G", minus)}
    table = read_reflections(make_mtz(tmp_path / "a.mtz", name, columns, miller))
    assert table.label == "F(+),F(-)"
    F = as_table(table.indices, table.F)
    group = gemmi.SpaceGroup(name).operations()
    split = 0
    for index, high, low in zip(miller, plus, minus, strict=True):
        if group.is_reflection_centric(list(index)):
            high = low = (high + low) / 2
        split += high != low
        for op in group.sym_ops:
            mate = op.apply_to_hkl(list(index))
            assert F[tuple(mate)] == high
            assert F[tuple(-m for m in mate)] == low
    assert split > 20


def test_missing_mates_are_filled_from_each_other(tmp_path):
    miller = np.array([[1, 2, 3], [2, 2, 3], [3, 1, 4], [1, 1, 1]])
    plus, minus = np.array([10, np.nan, 30, np.nan]), np.array([np.nan, 20, 31, np.nan])
    path = make_mtz(tmp_path / "a.mtz", "P 1 21 1", {"I(+)": ("K", plus**2), "I(-)": ("K", minus**2)}, miller)
    F = as_table(*_pair(read_reflections(path)))
    assert F[1, 2, 3] == F[-1, -2, -3] == F[-1, 2, -3] == F[1, -2, 3] == 10
    assert F[2, 2, 3] == F[-2, -2, -3] == 20
    assert (F[3, 1, 4], F[-3, 1, -4], F[-3, -1, -4], F[3, -1, 4]) == (30, 30, 31, 31)
    assert (1, 1, 1) not in F


def _pair(found):
    return found.indices, found.F


LABELS = {
    None: ("F(+),F(-)", 40),
    "F": ("F", 20),
    "F(-)": ("F(+),F(-)", 40),
    "F(+), F(-)": ("F(+),F(-)", 40),
    "G": ("F(+),F(-)", 40),
    "J": ("IMEAN", 5),
    "K": ("I(+),I(-)", 6),
    "FC": ("FC", 80),
}


@pytest.mark.parametrize("label", LABELS)
def test_mtz_column_by_label_or_type(tmp_path, label):
    one = np.array([[1, 2, 3]])
    columns = {
        "FREE": ("I", [0]),
        "IMEAN": ("J", [25]),
        "F": ("F", [20]),
        "FC": ("F", [80]),
        "PHIC": ("P", [30]),
        "F(+)": ("G", [40]),
        "F(-)": ("G", [41]),
        "I(+)": ("K", [36]),
        "I(-)": ("K", [49]),
    }
    path = make_mtz(tmp_path / "a.mtz", "P 1 21 1", {k: (t, np.array(v)) for k, (t, v) in columns.items()}, one)
    found = read_reflections(path, label)
    name, value = LABELS[label]
    assert found.label == name
    assert as_table(*_pair(found))[1, 2, 3] == value
    if label is None:
        assert "others: F, FC, I(+),I(-), IMEAN; choose with --label" in found.notes[0]


def test_negative_intensities_become_zero_and_are_counted(tmp_path):
    miller = np.array([[1, 2, 3], [2, 2, 3]])
    path = make_mtz(tmp_path / "a.mtz", "P 1 21 1", {"I": ("J", np.array([-3.0, 16.0]))}, miller)
    found = read_reflections(path, "I")
    assert as_table(*_pair(found))[1, 2, 3] == 0
    assert as_table(*_pair(found))[2, 2, 3] == 4
    assert "1 negative ones became 0" in found.notes[0]


def test_mmcif_amplitudes_and_pairs(tmp_path):
    tags = ["F_meas_au", "pdbx_F_plus", "pdbx_F_minus", "status"]
    rows = [[1, 2, 3, 20, 21, 19, "o"], [2, 1, 3, 30, "?", "?", "o"], [3, 1, 1, "?", 5, ".", "f"]]
    path = make_cif(tmp_path / "a.cif", "P 43 21 2", tags, rows)
    assert content_kind(path) == "cif"
    both = as_table(*_pair(read_reflections(path)))
    assert (both[1, 2, 3], both[-1, -2, -3], both[2, 1, -3], both[1, 2, -3]) == (21, 19, 21, 19)
    assert both[3, 1, 1] == both[-3, -1, -1] == 5
    mean = read_reflections(path, "F_meas_au")
    assert as_table(*_pair(mean))[2, 1, 3] in (20, 30)
    assert len(mean.notes) == 0


def test_friedel_mates_in_rows_of_their_own_stay_apart(tmp_path):
    rows = [[1, 2, 3, 20], [-1, -2, -3, 25], [2, 1, 5, 7]]
    F = as_table(*_pair(read_reflections(make_cif(tmp_path / "a.cif", "P 1 21 1", ["F_meas_au"], rows))))
    assert (F[1, 2, 3], F[-1, 2, -3], F[-1, -2, -3], F[1, -2, 3]) == (20, 20, 25, 25)
    assert F[2, 1, 5] == F[-2, -1, -5] == 7


def test_gzipped_mmcif(tmp_path):
    plain = make_cif(tmp_path / "a.cif", "P 1 21 1", ["F_meas_au"], [[1, 2, 3, 20]])
    packed = tmp_path / "a.cif.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read_reflections(packed).F, read_reflections(plain).F)
    packed.write_bytes(packed.read_bytes()[:40])
    with pytest.raises(FileError, match=r"a\.cif\.gz is a gzip file that cannot be unpacked"):
        read_reflections(packed)


def test_grid_is_the_same_as_from_text(tmp_path):
    """-hkl FILE gives the same box, whichever format the file has and whatever it is called."""
    miller = make_asu("P 43 21 2")
    F = amplitudes(miller)
    path = make_mtz(tmp_path / "no_suffix", "P 43 21 2", {"FP": ("F", F)}, miller)
    found = read_reflections(path)
    text = tmp_path / "P1.mtz"
    rows = [f"{h} {k} {l} {f!r}" for (h, k, l), f in zip(found.indices.tolist(), found.F.tolist(), strict=True)]
    text.write_text("\n".join(rows))
    one, notes = resolve_structure_factors(StructureFactors(hkl=path))
    two, _ = resolve_structure_factors(StructureFactors(hkl=text))
    np.testing.assert_array_equal(one.grid, two.grid)
    assert "FP" in notes[0]


def test_default_F_is_not_for_systematic_absences(tmp_path):
    miller = make_asu("P 43 21 2")
    path = make_mtz(tmp_path / "a.mtz", "P 43 21 2", {"FP": ("F", amplitudes(miller))}, miller)
    box, _ = resolve_structure_factors(StructureFactors(hkl=path, default_F=7.0))

    def F(h: int, k: int, l: int) -> float:
        return box.grid[h - box.h_min, k - box.k_min, l - box.l_min]

    assert F(0, 0, 1) == F(0, 0, 2) == F(0, 0, 3) == F(1, 0, 0) == 0
    assert F(0, 0, 4) > 7
    assert box.grid[0, 0, 0] == 7  # the corner of the box, beyond the resolution of the file
    np.testing.assert_array_equal(absent(np.array([[0, 0, 2], [0, 0, 4]]), gemmi.SpaceGroup("P 43 21 2")), [1, 0])


def test_errors_name_the_file_and_the_cure(tmp_path):
    path = make_mtz(tmp_path / "a.mtz", "P 1 21 1", {"FP": ("F", np.array([5.0]))}, np.array([[1, 2, 3]]))
    with pytest.raises(FileError, match=r"a\.mtz has no column FX of .*; it has: FP"):
        read_reflections(path, "FX")
    phases = make_mtz(tmp_path / "p.mtz", "P 1 21 1", {"PHI": ("P", np.array([5.0]))}, np.array([[1, 2, 3]]))
    with pytest.raises(FileError, match="has no column of amplitudes"):
        read_reflections(phases)
    short = tmp_path / "short.mtz"
    short.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match=r"short\.mtz is broken"):
        read_reflections(short)
    below = make_mtz(tmp_path / "n.mtz", "P 1 21 1", {"FP": ("F", np.array([-5.0]))}, np.array([[1, 2, 3]]))
    with pytest.raises(FileError, match="1 negative amplitudes"):
        read_reflections(below)
    nothing = make_mtz(tmp_path / "e.mtz", "P 1 21 1", {"FP": ("F", np.array([np.nan]))}, np.array([[1, 2, 3]]))
    with pytest.raises(FileError, match="holds no values"):
        read_reflections(nothing)
    coordinates = tmp_path / "c.cif"
    coordinates.write_text("data_x\n_cell.length_a 10\n")
    with pytest.raises(FileError, match="must hold merged reflections"):
        read_reflections(coordinates)
    nameless = make_cif(tmp_path / "s.cif", "P 1 21 1", ["F_meas_au"], [[1, 2, 3, 20]])
    nameless.write_text(nameless.read_text().replace("'P 1 21 1'", "?"))
    with pytest.raises(FileError, match="names no space group"):
        read_reflections(nameless)
    whole = make_cif(tmp_path / "w.cif", "P 1 21 1", ["F_meas_au"], [[1, 2, 3, 20]]).read_text()
    changes = {
        "whole numbers h k l": ("1 2 3 20", "1 2 x 20"),
        "gives no unit cell": ("_cell.length_", "_cell.size_"),
        "holds an index beyond": ("1 2 3 20", "1 2 99999999 20"),
    }
    for message, (old, new) in changes.items():
        assert old in whole
        nameless.write_text(whole.replace(old, new))
        with pytest.raises(FileError, match=rf"s\.cif.* {message}"):
            read_reflections(nameless)
    text = tmp_path / "a.hkl"
    text.write_text("1 2 3 4\n")
    with pytest.raises(ConfigError, match="is a text file"):
        resolve_structure_factors(StructureFactors(hkl=text, hkl_label="FP"))
    with pytest.raises(ConfigError, match="give -hkl FILE"):
        StructureFactors(hkl_label="FP")
    assert read_cell(text) is None


def test_unmerged_mtz_is_refused(tmp_path):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 1")
    mtz.set_cell_for_all(gemmi.UnitCell(10, 10, 10, 90, 90, 90))
    mtz.add_dataset("made")
    mtz.add_column("I", "J")
    mtz.set_data(np.array([[1, 2, 3, 4]], np.float32))
    batch = gemmi.Mtz.Batch()
    mtz.batches.append(batch)
    mtz.write_to_file(str(tmp_path / "u.mtz"))
    with pytest.raises(FileError, match="unmerged"):
        read_reflections(tmp_path / "u.mtz")


@settings(max_examples=40)
@given(st.sampled_from(sorted(CELLS)), st.integers(0, 1000), st.data())
def test_expansion_is_closed_under_the_group(name, seed, data):
    """Any subset of the asymmetric unit becomes a set that the group maps onto itself, values included."""
    group = gemmi.SpaceGroup(name)
    miller = make_asu(name, 6.0)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(miller), max_size=len(miller))), dtype=bool)
    indices, F = expand_to_p1(miller[keep], amplitudes(miller, seed)[keep], None, group)
    table = as_table(indices, F)
    for op in group.operations().sym_ops:
        for index, value in table.items():
            mate = op.apply_to_hkl(list(index))
            assert table[tuple(mate)] == table[tuple(-m for m in mate)] == value


def test_cell_of_an_mtz_file_is_the_crystals(tmp_path):
    miller = make_asu("P 43 21 2")
    path = make_mtz(tmp_path / "a.mtz", "P 43 21 2", {"FP": ("F", amplitudes(miller))}, miller)
    assert build(parse(["-hkl", str(path)]))[0].crystal.cell == pytest.approx(CELLS["P 43 21 2"], rel=1e-6)
    assert build(parse(["-hkl", str(path), "-cell", "50"]))[0].crystal.cell == (50,)
