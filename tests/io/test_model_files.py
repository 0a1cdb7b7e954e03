"""Models known by content: PDB of any age, mmCIF, mmJSON, small molecules; copies by NCS and ensembles."""

from __future__ import annotations

import math

import gemmi
import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.io import model
from nbnumba.io.model import calculate_reflections, read_model_cell
from tests.io.model_inputs import ATOMS, CRYST, SYMOPS, F_of, atom, f0, pdb, small, write
from tests.io.reflection_inputs import CELLS, as_table, make_model, make_mtz


@pytest.mark.parametrize(
    "name", ["model", "model.txt", "model.pdb1", "x.cif", "x.mtz", "x.ent", "x.json", "pdb1abc.gz"]
)
def test_content_decides(name, tmp_path):
    """mmCIF, PDB and mmJSON of one structure under any name."""
    plain = make_model(tmp_path / "a.cif", "P 43 21 2", 6)
    structure = gemmi.read_structure(str(plain))
    texts = [
        plain.read_text(),
        "# comment\n\n" + plain.read_text(),
        structure.make_mmcif_document().as_json(mmjson=True),
    ]
    wanted = F_of(plain)
    for text in texts:
        found = F_of(write(tmp_path, text, name))
        assert found.keys() == wanted.keys()
        np.testing.assert_allclose(list(found.values()), list(wanted.values()), rtol=1e-6, atol=1e-3)
    from_pdb = F_of(write(tmp_path, structure.make_pdb_string(), name))
    np.testing.assert_allclose(
        list(from_pdb.values()), list(wanted.values()), rtol=0.02, atol=2
    )  # coordinates to 1e-3 A


REFUSED = {
    "reflections": (
        lambda folder: make_mtz(folder / "r", "P 1 21 1", {"F": ("F", np.ones(1))}, np.array([[1, 2, 3]])),
        "-hkl",
    ),
    "SHELX": (
        lambda folder: write(folder, "TITL salt\nCELL 0.71073 5.64 5.64 5.64 90 90 90\nLATT 1\n"),
        "SHELX instruction",
    ),
    "hkl": (lambda folder: write(folder, "1 2 3 4\n"), "neither mmCIF nor PDB"),
    "structure factors": (
        lambda folder: write(folder, "data_x\n_refln.index_h 1\n"),
        "holds reflections, give it as -hkl",
    ),
    "nothing": (lambda folder: write(folder, ""), "neither mmCIF nor PDB"),
    "no group": (lambda folder: write(folder, small("C1 C 0 0 0 0", symmetry="")), "names no space group"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_is_refused_by_name(name, tmp_path):
    make, message = REFUSED[name]
    with pytest.raises(FileError, match=message):
        read_model_cell(make(tmp_path))


@pytest.mark.parametrize("tail", ["1ABC{:4d}", "1ABC{:<4d}", "    {:4d}", "2XYZ 9{:02d}"])
def test_old_columns_73_to_80(tail, tmp_path):
    """Before 1996 they hold the entry's name and the line's number: the element follows from the atom's name."""
    new = F_of(write(tmp_path, pdb("".join(atom(i, *a) for i, a in enumerate(ATOMS, 1)))))
    lines = "".join(atom(i, *a, tail=tail.format(i + 10)) for i, a in enumerate(ATOMS, 1))
    old = write(tmp_path, pdb(lines, CRYST.rstrip("\n").ljust(72) + "1ABC  10\n"), "old")
    assert F_of(old) == new
    assert any("columns 73 to 80 of" in note for note in calculate_reflections(old, 5.0).notes)


def test_charges_and_segments_are_no_old_columns(tmp_path):
    """Element and charge of today's columns 77 to 80, with a segment in 73 to 76."""
    lines = "".join(atom(i, *a, tail=f"SEG1{a[0]:>2}2+") for i, a in enumerate(ATOMS, 1))
    found = calculate_reflections(write(tmp_path, pdb(lines)), 5.0, None, 0.0)
    assert not any("columns 73" in note for note in found.notes)
    broken = lines.replace("2+\n", "11\n", 1)  # a charge that cannot be read: only the columns of all versions count
    assert any("columns 73" in note for note in calculate_reflections(write(tmp_path, pdb(broken)), 5.0).notes)


def operator(number: int, angle_deg: float, shift: tuple[float, float, float], given: bool = False) -> str:
    """MTRIX records of a rotation about z and a translation (A)."""
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    rows = ((c, -s, 0), (s, c, 0), (0, 0, 1))
    return "".join(
        f"MTRIX{i}{number:4d}{r[0]:10.6f}{r[1]:10.6f}{r[2]:10.6f}     {t:10.5f}{'    1' if given else ''}\n"
        for i, (r, t) in enumerate(zip(rows, shift, strict=True), 1)
    )


def moved(angle_deg: float, shift: tuple[float, float, float], chain: str) -> str:
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return "".join(
        atom(i, e, c * x - s * y + shift[0], s * x + c * y + shift[1], z + shift[2], chain=chain)
        for i, (e, x, y, z) in enumerate(ATOMS, 1)
    )


@pytest.mark.parametrize("dmin", [3.0, 8.0])
@pytest.mark.parametrize("k", [0.0, 0.35])
@pytest.mark.parametrize("copies", [1, 3])
def test_ncs_copies_that_are_not_given_are_made(copies, k, dmin, tmp_path, monkeypatch):
    """As the same atoms written out, summed directly and on a grid, with and without solvent."""
    ops = [(37.0 * i, (11.0 + i, -4.0, 3.0 * i)) for i in range(1, copies + 1)]
    identity = operator(1, 0, (0, 0, 0), given=True)
    short = pdb(
        "".join(atom(i, *a) for i, a in enumerate(ATOMS, 1)),
        CRYST + identity + "".join(operator(i + 2, *op) for i, op in enumerate(ops)),
    )
    long = pdb(
        "".join(atom(i, *a) for i, a in enumerate(ATOMS, 1)) + "".join(moved(*op, "BCD"[i]) for i, op in enumerate(ops))
    )
    short_path, long_path = write(tmp_path, short, "short"), write(tmp_path, long, "long")
    for limit in (1e12, 0):
        monkeypatch.setattr(model, "DIRECT_LIMIT", limit)
        found, wanted = F_of(short_path, dmin, k), F_of(long_path, dmin, k)
        scale = np.sqrt(np.mean(np.square(list(wanted.values()))))
        # coordinates of the file have three digits, and of a mask on a grid single points may change sides
        off = max(abs(found[hkl] - wanted[hkl]) for hkl in wanted) / scale
        assert off < (0.03 if k else 5e-3)
    notes = calculate_reflections(short_path, 8.0).notes
    assert any(f"{copies} copies by the MTRIX or NCS operators" in note for note in notes)


def test_given_copies_are_not_made_again(tmp_path):
    lines = "".join(atom(i, *a) for i, a in enumerate(ATOMS, 1))
    plain = write(tmp_path, pdb(lines), "plain")
    given = write(
        tmp_path, pdb(lines, CRYST + operator(1, 0, (0, 0, 0), True) + operator(2, 90, (7, 8, 9), True)), "given"
    )
    assert F_of(given) == F_of(plain)
    assert len(calculate_reflections(given, 8.0).notes) == 1


def test_ncs_of_mmcif(tmp_path):
    """_struct_ncs_oper with the code ``generate``, as gemmi writes it from MTRIX."""
    lines = "".join(atom(i, *a) for i, a in enumerate(ATOMS, 1))
    text = pdb(lines, CRYST + operator(1, 0, (0, 0, 0), True) + operator(2, 90, (7, 8, 9)))
    structure = gemmi.read_pdb_string(text)
    cif = write(tmp_path, structure.make_mmcif_document().as_string(), "m")
    found, wanted = F_of(cif), F_of(write(tmp_path, text, "p"))
    np.testing.assert_allclose([found[h] for h in wanted], list(wanted.values()), rtol=1e-3, atol=1e-2)


def ensemble(n: int, occ: float, chains: str = "A") -> str:
    """A file of n models, each shifted by 0.3 A against the one before."""
    models = []
    for m in range(n):
        lines = "".join(
            atom(i, e, x + 0.3 * m, y, z, occ, chains[m % len(chains)]) for i, (e, x, y, z) in enumerate(ATOMS, 1)
        )
        models.append(f"MODEL     {m + 1:4d}\n{lines}ENDMDL\n")
    return pdb("".join(models))


@pytest.mark.parametrize(("n", "occ"), [(2, 0.5), (3, 0.33), (4, 0.25), (10, 0.1)])
@pytest.mark.parametrize("limit", [1e12, 0])
def test_models_whose_occupancies_add_up_are_all_used(n, occ, limit, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "DIRECT_LIMIT", limit)
    lines = "".join(
        atom(i, e, x + 0.3 * m, y, z, occ, "ABCDEFGHIJ"[m]) for m in range(n) for i, (e, x, y, z) in enumerate(ATOMS, 1)
    )
    path = write(tmp_path, ensemble(n, occ))
    found, wanted = F_of(path), F_of(write(tmp_path, pdb(lines), "one"))
    np.testing.assert_allclose([found[h] for h in wanted], list(wanted.values()), rtol=1e-4, atol=1e-3)
    assert any(f"holds {n} models whose occupancies add up" in note for note in calculate_reflections(path, 5.0).notes)


def test_models_of_whole_atoms_are_named(tmp_path):
    """An ensemble of NMR: the first is used, with a warning; disjoint chains are parts of one structure."""
    path = write(tmp_path, ensemble(5, 1.0))
    assert F_of(path) == F_of(write(tmp_path, pdb("".join(atom(i, *a) for i, a in enumerate(ATOMS, 1))), "first"))
    assert any(
        "holds 5 models of full occupancy: the first is used" in note for note in calculate_reflections(path, 5.0).notes
    )
    split = write(tmp_path, ensemble(2, 1.0, "AB"), "split")
    assert any("all are used" in note for note in calculate_reflections(split, 5.0).notes)


def test_rock_salt(tmp_path):
    """All even: 4 (f_Na + f_Cl), all odd: 4 (f_Na - f_Cl); mixed: absent. Special positions count once."""
    F = F_of(write(tmp_path, small("Na1 Na 0 0 0 0.0\nCl1 Cl 0.5 0.5 0.5 0.0")), 1.0)
    assert F[2, 0, 0] == pytest.approx(4 * (f0("Na", 2.82) + f0("Cl", 2.82)), rel=1e-5)
    d = 5.64 / math.sqrt(3)
    assert F[1, 1, 1] == pytest.approx(4 * abs(f0("Na", d) - f0("Cl", d)), rel=1e-4)
    assert F[2, 0, 0] == pytest.approx(85.386, abs=1e-3)
    assert (1, 0, 0) not in F


@pytest.mark.parametrize(
    ("name", "text", "hkl", "wanted"),
    [
        # caesium chloride: primitive, f_Cs + f_Cl where h + k + l is even, f_Cs - f_Cl where it is odd
        ("CsCl", small("Cs Cs 0 0 0 0\nCl Cl .5 .5 .5 0", "4.12 4.12 4.12 90 90 90", "_space_group_IT_number 221"), (1, 1, 0),
         f0("Cs", 4.12 / 2**0.5) + f0("Cl", 4.12 / 2**0.5)),
        # copper, B from U: 8 pi^2 0.01
        ("Cu", small("Cu1 Cu 0 0 0 0.01", "3.61 3.61 3.61 90 90 90"), (2, 0, 0), 4 * f0("Cu", 1.805, 8 * math.pi**2 * 0.01)),
        # copper, B itself
        ("Cu, B", small("Cu1 Cu 0 0 0 0.7", "3.61 3.61 3.61 90 90 90", tags="B_iso_or_equiv"), (2, 0, 0), 4 * f0("Cu", 1.805, 0.7)),
        # diamond by operations of a symmetry loop of P -1 with two atoms: F(1 0 0) = 2 f cos(2 pi x)
        ("pair", small("C1 C .1 .2 .3 0", "5 6 7 80 95 100", SYMOPS.format("'x,y,z'\n'-x,-y,-z'")), (1, 0, 0),
         2 * f0("C", 1 / gemmi.UnitCell(5, 6, 7, 80, 95, 100).reciprocal().a) * math.cos(0.2 * math.pi)),
        # half occupied
        ("half", small("C1 C .1 .2 .3 0 0.5", "5 6 7 90 90 90", SYMOPS.format("'x,y,z'"), "U_iso_or_equiv occupancy"), (1, 0, 0),
         0.5 * f0("C", 5.0)),
        # charged type symbols with the element first
        ("ions", small("Na1 Na1+ 0 0 0 0.0\nCl1 Cl1- 0.5 0.5 0.5 0.0"), (2, 0, 0), 4 * (f0("Na", 2.82) + f0("Cl", 2.82))),
    ],
)  # fmt: skip
def test_small_molecules(name, text, hkl, wanted, tmp_path):
    assert F_of(write(tmp_path, text), 1.0)[hkl] == pytest.approx(wanted, rel=1e-4)


def test_anisotropic_displacements(tmp_path):
    """exp(-2 pi^2 sum_ij U_ij h_i h_j a*_i a*_j), of one atom in an oblique cell, by its definition."""
    cell = gemmi.UnitCell(5, 6, 7, 80, 95, 100)
    U = {"11": 0.02, "22": 0.03, "33": 0.01, "12": 0.005, "13": -0.004, "23": 0.002}
    loop = "loop_\n_atom_site_aniso_label\n" + "\n".join(f"_atom_site_aniso_U_{key}" for key in U)
    more = f"{loop}\nC1 " + " ".join(map(str, U.values()))
    text = small("C1 C .1 .2 .3 0.02", "5 6 7 80 95 100", SYMOPS.format("'x,y,z'"), more=more)
    F = F_of(write(tmp_path, text), 1.0)
    edges = cell.reciprocal().parameters[:3]
    matrix = np.array([[U["11"], U["12"], U["13"]], [U["12"], U["22"], U["23"]], [U["13"], U["23"], U["33"]]])
    for hkl in ((1, 0, 0), (0, 2, 1), (-1, 2, 3), (3, -1, 2)):
        q = np.array(hkl) * edges
        wanted = f0("C", cell.calculate_d(hkl)) * math.exp(-2 * math.pi**2 * q @ matrix @ q)
        assert F[hkl] == pytest.approx(wanted, rel=1e-4)


def test_blocks_of_a_model_file(tmp_path):
    """The first block with atoms; further ones are named."""
    path = write(
        tmp_path,
        "data_global\n_journal_year 2026\n"
        + small("Cu1 Cu 0 0 0 0")
        + small("Na1 Na 0 0 0 0").replace("data_x", "data_y"),
    )
    found = calculate_reflections(path, 1.5, None, 0.0)
    assert as_table(found.indices, found.F)[2, 0, 0] == pytest.approx(4 * f0("Cu", 2.82), rel=1e-4)
    assert any("also has the atoms of data_y, not used" in note for note in found.notes)


@pytest.mark.parametrize("name", ["P 43 21 2", "R 3 :R"])
def test_plain_models_have_no_new_note(name, tmp_path):
    for suffix in ("pdb", "cif"):
        assert len(calculate_reflections(make_model(tmp_path / f"m.{suffix}", name), 6.0).notes) == 1
    assert read_model_cell(tmp_path / "m.cif") == pytest.approx(CELLS[name])
