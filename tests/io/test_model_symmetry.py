"""Models whose symmetry is a list of operations, also of a setting that no table has."""

from __future__ import annotations

import math

import gemmi
import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.io import model
from nbnumba.io.model import calculate_reflections, read_model_cell
from tests.io.model_inputs import ATOMS, CRYST, SYMOPS, F_of, atom, f0, pdb, small, write
from tests.io.reflection_inputs import as_table

#: Operations that no table has: an origin or axes of another choice than those of any setting.
STRANGE = {
    "screw axis beside the origin": ["x,y,z", "-x+1/8,y+1/2,-z+1/3"],
    "doubled cell": ["x,y,z", "x+1/2,y,z", "-x,-y,-z", "-x+1/2,-y,-z"],
    "third of a cell": ["x,y,z", "x+1/3,y,z+1/3", "x+2/3,y,z+2/3"],
    "P 21/c moved": ["x,y,z", "-x+1/8,y+1/2,-z+3/4", "-x+1/8,-y+1/3,-z+1/4", "x,-y+5/6,z+1/2"],
    "fourfold in sixths": ["x,y,z", "-y+1/6,x,z+1/4", "-x+1/6,-y+1/6,z+1/2", "y,-x+1/6,z+3/4"],
    "F centred, moved": ["x,y,z", "-x+1/8,-y,-z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z"],
}
SITES = [
    ("C1", "C", (0.11, 0.23, 0.31), 0.02),
    ("O1", "O", (0.37, 0.05, 0.42), 0.03),
    ("S1", "S", (0.21, 0.45, 0.09), 0.01),
]
OBLIQUE = "8 8 11 90 90 90"


def summed(triplets: list[str], hkl: tuple[int, ...], cell: gemmi.UnitCell) -> float:
    """|sum over all images of f exp(2 pi i h x)|, images of one place once."""
    group = gemmi.GroupOps([gemmi.Op(text) for text in triplets])
    group.add_missing_elements()
    total, d = 0j, cell.calculate_d(hkl)
    for _, element, place, U in SITES:
        images = {tuple(np.round(np.mod(op.apply_to_xyz(list(place)), 1), 6)) for op in group}
        phases = [np.exp(2j * np.pi * np.dot(hkl, image)) for image in images]
        total += f0(element, d, 8 * math.pi**2 * U) * sum(phases)
    return abs(total)


@pytest.mark.parametrize("limit", [1e12, 0])
@pytest.mark.parametrize("name", STRANGE)
def test_operations_of_no_table_are_applied(name, limit, tmp_path, monkeypatch):
    """The sum over the images by the operations, by its definition, of all reflections; absences are absent."""
    monkeypatch.setattr(model, "DIRECT_LIMIT", limit)
    triplets = STRANGE[name]
    text = small(
        "\n".join(f"{label} {e} {' '.join(map(str, x))} {U}" for label, e, x, U in SITES),
        OBLIQUE,
        SYMOPS.format("\n".join(f"'{text}'" for text in triplets)),
    )
    path = write(tmp_path, text)
    found = calculate_reflections(path, 1.5, None, 0.0)
    assert sum("those of no space group in the tables" in note for note in found.notes) == 1
    F, cell = as_table(found.indices, found.F), gemmi.UnitCell(*map(float, OBLIQUE.split()))
    group = gemmi.GroupOps([gemmi.Op(text) for text in triplets])
    group.add_missing_elements()
    every = gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 1"), 1.5).tolist()
    assert len(every) > 400
    scale = max(F.values())
    for hkl in map(tuple, every):
        if group.is_systematically_absent(hkl):
            assert hkl not in F and summed(triplets, hkl, cell) < 1e-4 * scale
        else:
            assert F[hkl] == pytest.approx(summed(triplets, hkl, cell), abs=2e-4 * scale)
    assert not np.setdiff1d(
        [tuple(h) for h in (-found.indices).tolist()], [tuple(h) for h in found.indices.tolist()]
    ).size


def test_special_positions_of_operations_of_no_table(tmp_path):
    """An atom on a centre of inversion at 1/16 0 0 counts once, one beside it twice."""
    symmetry = SYMOPS.format("'x,y,z'\n'-x+1/8,-y,-z'")
    sites = "C1 C 0.0625 0 0 0\nO1 O 0.1625 0.3 0.2 0"
    F = F_of(write(tmp_path, small(sites, "6 7 8 90 90 90", symmetry)), 1.0)
    # about the centre: f_C + 2 f_O cos(2 pi h 0.1)
    assert F[2, 0, 0] == pytest.approx(f0("C", 3) + 2 * f0("O", 3) * math.cos(0.4 * math.pi), rel=1e-4)


def test_displacements_turn_with_the_operations(tmp_path):
    """U of an image by a fourfold axis has x and y exchanged: F(h k l) of both atoms by the definition."""
    symmetry = SYMOPS.format("'x,y,z'\n'-y+1/6,x,z+1/4'\n'-x+1/6,-y+1/6,z+1/2'\n'y,-x+1/6,z+3/4'")
    loop = "loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\n_atom_site_aniso_U_22\n_atom_site_aniso_U_33\n"
    loop += "_atom_site_aniso_U_12\n_atom_site_aniso_U_13\n_atom_site_aniso_U_23\nC1 0.08 0.01 0.02 0 0 0"
    F = F_of(write(tmp_path, small("C1 C .1 .2 .3 0.02", "8 8 11 90 90 90", symmetry, more=loop)), 1.5)
    images = [((0.1, 0.2, 0.3), (0.08, 0.01)), ((1 / 6 - 0.2, 0.1, 0.55), (0.01, 0.08))]
    images += [((1 / 6 - 0.1, 1 / 6 - 0.2, 0.8), (0.08, 0.01)), ((0.2, 1 / 6 - 0.1, 1.05), (0.01, 0.08))]
    for h, k, l in ((3, 0, 1), (1, 2, 4), (0, 4, 2)):
        total = 0j
        for place, (Ux, Uy) in images:
            damped = math.exp(-2 * math.pi**2 * ((h / 8) ** 2 * Ux + (k / 8) ** 2 * Uy + (l / 11) ** 2 * 0.02))
            total += damped * np.exp(2j * np.pi * np.dot((h, k, l), place))
        d = gemmi.UnitCell(8, 8, 11, 90, 90, 90).calculate_d((h, k, l))
        assert F[h, k, l] == pytest.approx(f0("C", d) * abs(total), rel=1e-4)


REMARK_290 = "REMARK 290       1555   X,Y,Z\nREMARK 290       2555   {}\n"


@pytest.mark.parametrize("kind", ["pdb", "mmcif"])
def test_operations_of_macromolecules(kind, tmp_path):
    """A name of no setting, and operations that say what is meant: of a table, and of none."""
    lines = "".join(atom(i, *a) for i, a in enumerate(ATOMS, 1))
    wanted = {"-x,y+1/2,-z": "P 1 21 1", "x+1/2,-y,-z": "P 21 1 1", "-x+1/8,y+1/2,-z+1/3": ""}
    for triplet, name in wanted.items():
        head = CRYST.replace("P 21 21 21 ", "X 99       ")
        text = pdb(lines, REMARK_290.format(triplet.upper()) + head)
        if kind == "mmcif":
            block = gemmi.read_pdb_string(text).make_mmcif_document()[0]
            loop = block.init_loop("_space_group_symop.", ["id", "operation_xyz"])
            loop.add_row(["1", "x,y,z"])
            loop.add_row(["2", gemmi.cif.quote(triplet)])
            text = f"data_x\n{block.as_string().partition(chr(10))[2]}"
        found = calculate_reflections(write(tmp_path, text), 4.0, None, 0.0)
        F = as_table(found.indices, found.F)
        if name:
            plain = F_of(write(tmp_path, pdb(lines, head.replace("X 99    ", f"{name:8}")), "plain"), 4.0)
        else:
            op = gemmi.Op(triplet).float_seitz()
            edges = np.array([30.0, 40.0, 50.0])
            copy = ""
            for i, (e, *place) in enumerate(ATOMS, 1):
                moved_to = (np.array(op)[:3, :3] @ (np.array(place) / edges) + np.array(op)[:3, 3]) * edges
                copy += atom(i, e, *moved_to, chain="B")
            plain = F_of(write(tmp_path, pdb(lines + copy, head.replace("X 99    ", "P 1     ")), "plain"), 4.0)
        scale = max(plain.values())
        assert max(abs(F.get(hkl, 0.0) - value) for hkl, value in plain.items()) < 0.01 * scale
        assert any("those of no space group" in note for note in found.notes) == (not name)


def test_operations_win_over_a_name(tmp_path):
    """An mmCIF file whose operations are not those of the group that it names."""
    block = gemmi.read_pdb_string(pdb("".join(atom(i, *a) for i, a in enumerate(ATOMS, 1)))).make_mmcif_document()[0]
    plain = F_of(write(tmp_path, block.as_string(), "plain"))
    for triplets, said in (
        (["x,y,z", "-x,-y,z"], True),
        ([op.triplet() for op in gemmi.SpaceGroup("P 21 21 21").operations()], False),
    ):
        loop = block.init_loop("_symmetry_equiv.", ["id", "pos_as_xyz"])
        for number, triplet in enumerate(triplets, 1):
            loop.add_row([str(number), gemmi.cif.quote(triplet)])
        found = calculate_reflections(write(tmp_path, block.as_string()), 5.0, None, 0.0)
        assert any("names P 21 21 21, but its operations are those of P 1 1 2" in note for note in found.notes) == said
        assert (as_table(found.indices, found.F).keys() == plain.keys()) == (not said)


@pytest.mark.parametrize("more", [SYMOPS, "_symmetry_space_group_name_Hall '-F 4vw 2vw 3'"])
def test_origin_that_a_name_does_not_say_is_no_contradiction(more, tmp_path):
    """Diamond by the second origin choice, in operations or in Hall's symbol, under the name that both choices have."""
    ops = "\n".join(f"'{op.triplet()}'" for op in gemmi.SpaceGroup("F d -3 m :2").operations())
    symmetry = "_symmetry_space_group_name_H-M 'F d -3 m'\n" + more.format(ops)
    path = write(tmp_path, small("C1 C .125 .125 .125 0", "3.567 3.567 3.567 90 90 90", symmetry))
    found = calculate_reflections(path, 0.8, None, 0.0)
    assert len(found.notes) == 1
    # eight atoms: F(2 2 0) = 8 f, F(2 2 2) = 0
    assert as_table(found.indices, found.F)[2, 2, 0] == pytest.approx(8 * f0("C", 3.567 / 8**0.5), rel=1e-4)
    assert as_table(found.indices, found.F).get((2, 2, 2), 0.0) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    "triplets", [["x,y,z", "-x,y+1/2,-z+1/4", "-x+1/8,-y,-z", "x+1/8,-y+1/2,z+1/4"], ["x,y,z", "2x,y,z"], ["x,y"]]
)
def test_operations_that_form_no_group_are_refused(triplets, tmp_path):
    """The third product of the first list has a shift of -1/8, which would make another translation of the lattice."""
    symmetry = SYMOPS.format("\n".join(f"'{text}'" for text in triplets))
    with pytest.raises(FileError, match="has no symmetry operations that form a group"):
        read_model_cell(write(tmp_path, small("C1 C .1 .2 .3 0", "6 7 8 90 90 90", symmetry)))


def test_operations_that_form_no_group_beside_a_name(tmp_path):
    """Fifths are no shifts of a space group: the name counts, and the log says so."""
    symmetry = "_symmetry_space_group_name_H-M 'P 1 2 1'\n"
    odd = small("C1 C .1 .2 .3 0", "6 7 8 90 90 90", symmetry + SYMOPS.format("'x,y,z'\n'-x+1/5,y,-z'"))
    found = calculate_reflections(write(tmp_path, odd), 2.0, None, 0.0)
    assert any(
        "form no group with shifts in 24ths: the space group is what its name says" in note for note in found.notes
    )
    plain = F_of(write(tmp_path, small("C1 C .1 .2 .3 0", "6 7 8 90 90 90", symmetry), "plain"), 2.0)
    assert as_table(found.indices, found.F) == plain


@pytest.mark.parametrize(
    "listed", ["'-x,-y,-z'", "'-x+1/8,-y,-z'", "'X,Y,Z'\n'-X+0.125,-Y,-Z'", "'x,y,z'\n'-x-7/8,1-y,-z'"]
)
def test_operations_in_other_forms(listed, tmp_path):
    """Without the identity, in capitals, with decimal and negative shifts: |F| = 2 f |cos 2 pi h (x - s / 2)|."""
    F = F_of(write(tmp_path, small("C1 C .1 .2 .3 0", "6 7 8 90 90 90", SYMOPS.format(listed))), 1.5)
    shift = 0.0 if listed == "'-x,-y,-z'" else 1 / 16
    for h, k, l in ((1, 0, 0), (2, 1, 3), (-3, 2, 1)):
        f = f0("C", gemmi.UnitCell(6, 7, 8, 90, 90, 90).calculate_d((h, k, l)))
        phase = 2 * math.pi * (h * (0.1 - shift) + k * 0.2 + l * 0.3)
        assert F[h, k, l] == pytest.approx(2 * f * abs(math.cos(phase)), rel=1e-4, abs=1e-3)
