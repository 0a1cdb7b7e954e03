"""Rows of MTZ and CIF files that are no merged data: refused with the name of a program, averaged on request, or left out."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.errors import ConfigError, FileError
from nbnumba.io.reflections import read_cell, read_reflections
from nbnumba.io.symmetry import averaged, conflicts, group_of_operations, named_group, same_reflection
from nbnumba.model.config import StructureFactors
from nbnumba.model.structure_factors import resolve_structure_factors
from tests.io.reflection_inputs import CELLS, as_table, make_cif, make_mtz

NAME = "P 1 21 1"


def table(found) -> dict[tuple[int, ...], float]:
    return as_table(found.indices, found.F)


def mtz_of(path: Path, columns: list[tuple[str, str, int]], rows: list[list[float]], valm: float | None = None) -> Path:
    """An MTZ file with all columns as given: label, type, number of the data set (0 to 2, each with a cell of its own)."""
    mtz = gemmi.Mtz()
    mtz.spacegroup = gemmi.SpaceGroup(NAME)
    for name, edge in (("HKL_base", 0.0), ("native", 1.0), ("derivative", 2.0)):
        mtz.add_dataset(name).cell = gemmi.UnitCell(CELLS[NAME][0] + edge, *CELLS[NAME][1:])
    mtz.cell = gemmi.UnitCell(*CELLS[NAME])
    for label, kind, dataset in columns:
        mtz.add_column(label, kind, dataset)
    mtz.set_data(np.array(rows, np.float32))
    if valm is not None:
        mtz.valm = valm
    mtz.write_to_file(str(path))
    return path


H, K, L = (("H", "H", 0), ("K", "H", 0), ("L", "H", 0))


@pytest.mark.parametrize("mark", [("BATCH", "B", 0), ("M_ISYM", "Y", 0), ("M/ISYM", "Y", 0)])
def test_columns_of_unmerged_files(mark, tmp_path):
    """Batch numbers or M/ISYM without batch headers, whether a reflection is repeated or not."""
    rows = [[1, 2, 3, 1, 100], [1, 2, 3, 2, 300], [2, 3, 4, 1, 400]]
    path = mtz_of(tmp_path / "u.mtz", [H, K, L, mark, ("I", "J", 1)], rows)
    with pytest.raises(FileError, match=r"unmerged reflections \(it has .*merge them first \(AIMLESS.*--average"):
        read_reflections(path)
    F = table(read_reflections(path, average=True))
    assert F[1, 2, 3] == pytest.approx(200**0.5) and F[2, 3, 4] == 20
    once = mtz_of(tmp_path / "o.mtz", [H, K, L, mark, ("I", "J", 1)], rows[1:])
    with pytest.raises(FileError, match="unmerged"):
        read_reflections(once)


def test_batch_headers_are_averaged_on_request(tmp_path):
    mtz = gemmi.read_mtz_file(str(mtz_of(tmp_path / "b.mtz", [H, K, L, ("I", "J", 1)], [[1, 2, 3, 4], [1, 2, 3, 14]])))
    mtz.batches.append(gemmi.Mtz.Batch())
    mtz.write_to_file(str(tmp_path / "b.mtz"))
    with pytest.raises(FileError, match="it has batches"):
        read_reflections(tmp_path / "b.mtz")
    assert table(read_reflections(tmp_path / "b.mtz", average=True))[1, 2, 3] == 3


REPEATS = {
    "the same index": ([1, 2, 3], [1, 2, 3], True),
    "a mate by the 2-fold axis": ([1, 2, 3], [-1, 2, -3], True),
    "Friedel mates": ([1, 2, 3], [-1, -2, -3], False),
    "mates of a centric reflection": ([1, 0, 3], [-1, 0, -3], False),
}


@pytest.mark.parametrize("repeat", REPEATS)
def test_rows_of_one_reflection_with_different_values(repeat, tmp_path):
    one, two, refused = REPEATS[repeat]
    path = mtz_of(tmp_path / "r.mtz", [H, K, L, ("FP", "F", 1)], [[*one, 10], [*two, 30], [2, 3, 4, 5]])
    cif = make_cif(tmp_path / "r.cif", NAME, ["F_meas_au"], [[*one, 10], [*two, 30], [2, 3, 4, 5]])
    for file in (path, cif):
        if not refused:
            assert table(read_reflections(file))[tuple(one)] == 10
            continue
        with pytest.raises(FileError, match=r"gives 1 reflections more than once.*10 and 30.*--average"):
            read_reflections(file)
        assert table(read_reflections(file, average=True))[1, 2, 3] == 20
    same = mtz_of(tmp_path / "s.mtz", [H, K, L, ("FP", "F", 1)], [[*one, 10], [*two, 10.01], [2, 3, 4, 5]])
    assert table(read_reflections(same))[tuple(one)] == 10


def test_average_is_the_mean_of_the_rows_by_definition():
    """Of random rows, the mean of those that the group maps onto one another; missing values do not count."""
    random = np.random.default_rng(8)
    group = gemmi.SpaceGroup("P 43 21 2")
    miller = random.integers(-3, 4, (400, 3))
    values = np.where(random.random(400) < 0.1, np.nan, random.random(400))
    for friedel in (False, True):
        rows, (means,) = averaged(miller, [values], group, friedel)
        for row, mean in zip(rows, means, strict=True):
            ops = group.operations()
            mates = {tuple(op.apply_to_hkl(row.tolist())) for op in ops}
            mates |= {tuple(-i for i in mate) for mate in mates} if friedel else set()
            own = [v for m, v in zip(miller.tolist(), values, strict=True) if tuple(m) in mates and np.isfinite(v)]
            assert mean == pytest.approx(np.mean(own)) if own else np.isnan(mean)
        assert same_reflection(miller, group, friedel)[1] == len(rows)
    assert conflicts(miller, np.ones(400), group) == []


@pytest.mark.parametrize("order", ["HKL first", "F first", "L H K", "spread"])
def test_indices_stand_anywhere(order, tmp_path):
    F, S = ("FP", "F", 1), ("SIGFP", "Q", 1)
    orders = {
        "HKL first": [H, K, L, F, S],
        "F first": [F, S, H, K, L],
        "L H K": [L, H, K, F, S],
        "spread": [S, H, F, K, L],
    }
    values = {"H": 1, "K": 2, "L": 3, "FP": 25, "SIGFP": 2}
    columns = orders[order]
    path = mtz_of(tmp_path / "a.mtz", columns, [[values[column[0]] for column in columns]])
    assert table(read_reflections(path)) == dict.fromkeys([(1, 2, 3), (-1, 2, -3), (-1, -2, -3), (1, -2, 3)], 25.0)


def test_every_column_has_its_own_data_set_and_cell(tmp_path):
    columns = [H, K, L, ("FP", "F", 1), ("SIGFP", "Q", 1), ("FP", "F", 2), ("IMEAN", "J", 2)]
    path = mtz_of(tmp_path / "d.mtz", columns, [[1, 2, 3, 10, 1, 20, 900]])
    a = CELLS[NAME][0]
    first = read_reflections(path)
    assert first.label == "native/FP" and table(first)[1, 2, 3] == 10
    assert "others: derivative/FP, IMEAN" in first.notes[0]
    for options, F, edge in (
        ({"label": "native/FP"}, 10, a + 1),
        ({"label": "derivative/FP"}, 20, a + 2),
        ({"dataset": "derivative"}, 20, a + 2),
        ({"dataset": "2", "label": "IMEAN"}, 30, a + 2),
    ):
        found = read_reflections(path, **options)
        assert table(found)[1, 2, 3] == F
        assert found.cell[0] == read_cell(path, **options)[0] == pytest.approx(edge, rel=1e-6)
    with pytest.raises(FileError, match=r"has no data set peak .*it has: .*derivative"):
        read_reflections(path, dataset="peak")


def with_symm(path: Path, *ops: str) -> Path:
    """The MTZ file with other SYMM records."""
    data = path.read_bytes()
    start = data.index(b"SYMM")
    end = data.index(b"RESO")
    records = b"".join(f"SYMM {op}".ljust(80).encode() for op in ops)
    path.write_bytes(data[:start] + records + data[end:])
    return path


def test_symmetry_is_that_of_the_symm_records(tmp_path):
    """A file named P 1 21 1 whose operations are those of P 21 21 21, of P 2 1 1 (a unique), and of no known setting."""
    make = lambda: mtz_of(tmp_path / "s.mtz", [H, K, L, ("FP", "F", 1)], [[1, 2, 3, 10], [0, 3, 0, 5]])  # noqa: E731
    assert read_reflections(make()).spacegroup.hm == NAME
    ops = ("X,  Y,  Z", "1/2-X,-Y,1/2+Z", "X+1/2,-Y+1/2,-Z", "-X,Y+1/2,-Z+1/2")
    found = read_reflections(with_symm(make(), *ops))
    assert found.spacegroup.hm == "P 21 21 21" and len(found.F) == 8 + 2
    assert any("its SYMM records are those of P 21 21 21" in note for note in found.notes)
    assert (1, -2, -3) in table(read_reflections(with_symm(make(), "X,Y,Z", "X,-Y,-Z")))
    strange = read_reflections(with_symm(make(), "X,Y,Z", "X,Z,Y"))  # a mirror that no table has in this setting
    assert table(strange)[1, 3, 2] == 10
    with pytest.raises(FileError, match="broken"):
        read_reflections(with_symm(make(), "X,Y,Z", "X,Y,Q"))


def test_operations_of_no_known_group_extinguish_too(tmp_path):
    """I centering along with a diagonal mirror: h + k + l odd is absent, whatever default_F says."""
    path = mtz_of(tmp_path / "s.mtz", [H, K, L, ("FP", "F", 1)], [[2, 2, 2, 10], [-4, 3, 1, 10]])
    with_symm(path, "X,Y,Z", "X,Z,Y", "X+1/2,Y+1/2,Z+1/2", "X+1/2,Z+1/2,Y+1/2")
    box, _ = resolve_structure_factors(StructureFactors(hkl=path, default_F=7.0))
    assert isinstance(group_of_operations(["X,Y,Z", "X,Z,Y"]), gemmi.GroupOps)
    assert box.grid[0 - box.h_min, 0 - box.k_min, 1 - box.l_min] == 0
    assert box.grid[0 - box.h_min, 1 - box.k_min, 1 - box.l_min] == 7


MISSING = {
    "VALM": (-777.0, [[1, 2, 3, -777, 1], [2, 3, 4, 5, 1]], -777.0),
    "-999": (None, [[1, 2, 3, -999, -999], [2, 3, 4, 5, 1]], None),
    "-99999": (None, [[1, 2, 3, -99999, 0], [2, 3, 4, 5, 1]], None),
    "-1e10": (None, [[1, 2, 3, -1e10, 1], [2, 3, 4, 5, 1]], None),
    "0 with sigma 0": (None, [[1, 2, 3, 0, 0], [2, 3, 4, 5, 1]], None),
    "NaN": (None, [[1, 2, 3, np.nan, np.nan], [2, 3, 4, 5, 1]], None),
}


@pytest.mark.parametrize("kind", ["F", "J"])
@pytest.mark.parametrize("name", MISSING)
def test_numbers_that_stand_for_a_missing_value(name, kind, tmp_path):
    valm, rows, _ = MISSING[name]
    path = mtz_of(tmp_path / "m.mtz", [H, K, L, ("X", kind, 1), ("SIGX", "Q", 1)], rows, valm)
    F = table(read_reflections(path))
    assert (1, 2, 3) not in F
    assert F[2, 3, 4] == pytest.approx(5 if kind == "F" else 5**0.5)


def test_zeros_of_a_calculation_count(tmp_path):
    """0 without sigmas, or where all sigmas are 0, is a value."""
    rows = [[1, 2, 3, 0, 0], [2, 3, 4, 5, 0]]
    path = mtz_of(tmp_path / "z.mtz", [H, K, L, ("FC", "F", 1), ("SIGFC", "Q", 1)], rows)
    assert table(read_reflections(path))[1, 2, 3] == 0


def test_free_flags_switch_no_row_off(tmp_path):
    rows = [[1, 2, 3, 10, 1, flag] for flag in (0,)] + [[2, 3, 4, 20, 1, 1], [1, 1, 4, 30, 1, -1]]
    path = mtz_of(tmp_path / "f.mtz", [H, K, L, ("FP", "F", 1), ("SIGFP", "Q", 1), ("FreeR_flag", "I", 1)], rows)
    F = table(read_reflections(path))
    assert (F[1, 2, 3], F[2, 3, 4], F[1, 1, 4]) == (10, 20, 30)


STATUS = {"o": 50.0, "<": 50.0, "f": 50.0, "h": 50.0, "l": 50.0, "'o'": 50.0, "x": None, "'x'": None, "-": 0.0}


@pytest.mark.parametrize("status", STATUS)
@pytest.mark.parametrize("column", ["F_meas_au", "intensity_meas"])
def test_status_of_a_row(status, column, tmp_path):
    value = 50 if column == "F_meas_au" else 2500
    rows = [[1, 2, 3, status, value], [2, 3, 4, "o", value]]
    found = read_reflections(make_cif(tmp_path / "s.cif", NAME, ["status", column], rows))
    F = table(found)
    assert F.get((1, 2, 3)) == STATUS[status]
    assert F[2, 3, 4] == 50
    said = {"x": "1 rows of", "-": "1 rows of"}.get(status.strip("'"))
    assert any("have status" in note for note in found.notes) is (said is not None)


@pytest.mark.parametrize("tag", ["wavelength_id", "crystal_id", "scale_group_code"])
def test_several_data_sets_in_one_loop(tag, tmp_path):
    rows = [[1, 2, 3, i, 10 * i] for i in (1, 2)] + [[2, 3, 4, 2, 70]]
    path = make_cif(tmp_path / "w.cif", NAME, [tag, "F_meas_au"], rows)
    with pytest.raises(
        FileError, match=rf"holds 2 data sets in one loop \({tag} 1, 2\): choose one with --dataset {tag}=1"
    ):
        read_reflections(path)
    assert table(read_reflections(path, dataset=f"{tag}=2"))[1, 2, 3] == 20
    assert (2, 3, 4) not in table(read_reflections(path, dataset=f"{tag}=1"))
    with pytest.raises(FileError, match=rf"no rows of {tag}=3; it has: 1, 2"):
        read_reflections(path, dataset=f"{tag}=3")
    apart = make_cif(tmp_path / "a.cif", NAME, [tag, "F_meas_au"], [[1, 2, 3, 1, 10], [2, 3, 4, 2, 70]])
    assert len(read_reflections(apart).F) == 8  # scale groups of one data set


def blocks_of(folder: Path) -> Path:
    """A file of three blocks, each with one column; the second has no reflections."""
    one = make_cif(folder / "1.cif", NAME, ["F_meas_au"], [[1, 2, 3, 10]]).read_text()
    two = make_cif(folder / "2.cif", NAME, ["intensity_meas"], [[1, 2, 3, 400]]).read_text()
    path = folder / "blocks.cif"
    path.write_text(one + "data_notes\n_exptl.method X-ray\n" + two.replace("data_r1abcsf", "data_r1abcAsf"))
    return path


def test_blocks_of_a_cif_file(tmp_path):
    path = blocks_of(tmp_path)
    first = read_reflections(path)
    assert table(first)[1, 2, 3] == 10
    assert (
        "holds 2 data blocks (r1abcsf, r1abcAsf): r1abcsf, the first, is used; choose another with --dataset"
        in first.notes[0]
    )
    for options in ({"dataset": "r1abcAsf"}, {"dataset": "2"}, {"label": "intensity_meas"}, {"label": "J"}):
        assert table(read_reflections(path, **options))[1, 2, 3] == 20
    with pytest.raises(FileError, match=r"has no block r9; .* it has: r1abcsf, r1abcAsf|has no block r9 of"):
        read_reflections(path, dataset="r9")


FCF = """data_mol
_shelx_refln_list_code {code}
loop_
 _space_group_symop_operation_xyz
 {ops}
_cell_length_a 7.1
_cell_length_b 8.2
_cell_length_c 9.3
_cell_angle_alpha 90
_cell_angle_beta 92
_cell_angle_gamma 90
loop_
{tags}
{rows}
"""
SMALL = {
    "LIST 4": (4, "F_squared_calc F_squared_meas F_squared_sigma observed_status", "100.0 121.0 1.0 o", 11),
    "LIST 3": (3, "F_meas F_sigma A_calc B_calc", "11.0 1.0 9.0 2.0", 11),
    "LIST 5": (5, "F_meas F_calc phase_calc", "11.0 12.0 30.0", 11),
    "LIST 6": (6, "F_squared_meas F_squared_sigma F_calc phase_calc", "121.0 1.0 12.0 30.0", 11),
    "LIST 8": (8, "F_squared_meas F_squared_sigma F_calc phase_calc hall", "121.0 1.0 12.0 30.0 3", 11),
    "hkl CIF": (0, "intensity_meas intensity_sigma include_status", "121.0 1.0 o", 11),
    "unreliable": (4, "F_squared_calc F_squared_meas F_squared_sigma observed_status", "100.0 121.0 1.0 x", None),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_molecules(name, tmp_path):
    """fcf files of SHELXL's LIST, with the operations of P 21/c (b unique) and no name of the group."""
    code, tags, row, F = SMALL[name]
    ops = "'x, y, z'\n '-x, -y, -z'\n '-x, y+1/2, -z+1/2'\n 'x, -y+1/2, z+1/2'"
    listed = "\n".join(f" _refln_{tag}" for tag in ("index_h", "index_k", "index_l", *tags.split()))
    filler = " ".join("o" if "status" in tag else "1.0" for tag in tags.split())
    path = tmp_path / "x.fcf"
    path.write_text(FCF.format(code=code, ops=ops, tags=listed, rows=f"1 2 3 {row}\n2 0 2 {filler}"))
    found = read_reflections(path)
    assert table(found).get((1, 2, 3)) == table(found).get((-1, 2, -3)) == F
    assert found.cell == (7.1, 8.2, 9.3, 90, 92, 90)
    assert found.spacegroup.xhm() == "P 1 21/c 1"


def test_cif_without_reflections_says_what_it_holds(tmp_path):
    path = tmp_path / "x.cif"
    path.write_text("data_x\n_shelx_hkl_file\n;\n   1   2   3  100.00    1.00\n;\n")
    with pytest.raises(FileError, match="SHELX list in _shelx_hkl_file"):
        read_reflections(path)
    path.write_text("data_x\nloop_\n_atom_site.id\n_atom_site.Cartn_x\n1 2\n")
    with pytest.raises(FileError, match="none but atoms: give it as --model"):
        read_reflections(path)
    head = make_cif(path, NAME, ["F_meas_au"], [[1, 2, 3, 9]]).read_text().replace("_refln.", "_diffrn_refln.")
    path.write_text(head.replace("F_meas_au", "intensity_net") + "1 2 3 27\n")
    with pytest.raises(FileError, match="only unmerged ones: merge them first, or give --average"):
        read_reflections(path)
    assert table(read_reflections(path, average=True))[1, 2, 3] == pytest.approx(18**0.5)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("P212121", "P 21 21 21"),
        ("p 21 21 21", "P 21 21 21"),
        ("19", "P 21 21 21"),
        ("422", "P 4 2 2"),
        ("mmm", "P m m m"),
        ("2/m_uab", "P 1 2/m 1"),
        ("R 3 2:H", "R 3 2:H"),
        ("P 1 21 1", "P 1 21 1"),
        ("P21", "P 1 21 1"),
    ],
)
def test_names_of_groups(name, wanted):
    """Space groups and point groups; of a point group the rotations alone matter."""
    found, group = named_group(name), gemmi.SpaceGroup(wanted)
    operations = found if isinstance(found, gemmi.GroupOps) else found.operations()
    assert set(map(str, [op.triplet() for op in operations])) == {op.triplet() for op in group.operations()}
    assert named_group("Q" + name) is None


def test_options_from_the_command_line(tmp_path):
    path = make_mtz(tmp_path / "a.mtz", NAME, {"FP": ("F", np.array([10.0, 30.0]))}, np.array([[1, 2, 3], [1, 2, 3]]))
    wanted = build(parse(["-hkl", str(path), "--average", "--dataset", "made"]))[0].structure_factors
    assert wanted.hkl_average and wanted.hkl_dataset == "made"
    box, _ = resolve_structure_factors(wanted)
    assert box.grid.max() == 20
    with pytest.raises(ConfigError, match="names its symmetry itself"):
        resolve_structure_factors(StructureFactors(hkl=path, hkl_symmetry="P 1"))
    for field in ({"hkl_symmetry": "P 1"}, {"hkl_average": True}, {"hkl_dataset": "2"}):
        with pytest.raises(ConfigError, match="give -hkl FILE"):
            StructureFactors(default_F=1.0, **field)
