"""Files of reflections and models, made for tests that read them."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

CELLS = {
    "P 1 21 1": (23.1, 31.7, 27.9, 90, 104.3, 90),
    "C 2 2 21": (31.0, 42.3, 27.7, 90, 90, 90),
    "P 43 21 2": (33.3, 33.3, 26.1, 90, 90, 90),
    "P 31 2 1": (29.1, 29.1, 35.5, 90, 90, 120),
    "R 3 :R": (31.2, 31.2, 31.2, 77, 77, 77),
    "I 21 3": (37.7, 37.7, 37.7, 90, 90, 90),
}


def make_asu(name: str, dmin: float = 4.0) -> np.ndarray:
    """h k l of the asymmetric unit, (n, 3)."""
    return np.array(gemmi.make_miller_array(gemmi.UnitCell(*CELLS[name]), gemmi.SpaceGroup(name), dmin))


def make_mtz(path: Path, name: str, columns: dict[str, tuple[str, np.ndarray]], miller: np.ndarray) -> Path:
    """An MTZ file with these columns: label -> (type, values)."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup(name)
    mtz.set_cell_for_all(gemmi.UnitCell(*CELLS[name]))
    mtz.add_dataset("made")
    for label, (kind, _) in columns.items():
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([miller, *(values for _, values in columns.values())]).astype(np.float32))
    mtz.write_to_file(str(path))
    return path


def make_cif(path: Path, name: str, tags: list[str], rows: list[list[object]]) -> Path:
    """A structure-factor mmCIF file with one loop."""
    sizes = zip(
        ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"), CELLS[name], strict=True
    )
    head = ["# made for a test", "data_r1abcsf", f"_symmetry.space_group_name_H-M '{name}'"]
    head += [f"_cell.{key} {value}" for key, value in sizes]
    head += ["loop_", *(f"_refln.{tag}" for tag in ("index_h", "index_k", "index_l", *tags))]
    path.write_text("\n".join([*head, *(" ".join(map(str, row)) for row in rows), ""]))
    return path


def as_table(indices: np.ndarray, F: np.ndarray) -> dict[tuple[int, ...], float]:
    """F by index."""
    assert len(np.unique(indices, axis=0)) == len(indices)
    return {tuple(map(int, index)): float(value) for index, value in zip(indices, F, strict=True)}


def amplitudes(miller: np.ndarray, seed: int = 1) -> np.ndarray:
    """Random F that float32 holds exactly."""
    return np.round(np.random.default_rng(seed).uniform(10, 500, len(miller)) * 16) / 16


ELEMENTS = ("C", "N", "O", "S", "Se", "Fe")


def make_model(path: Path, name: str, n_atoms: int = 24, seed: int = 3) -> Path:
    """Random atoms at general positions, with isotropic B and some half occupied; mmCIF or PDB by the name."""
    random = np.random.default_rng(seed)
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(*CELLS[name]), gemmi.SpaceGroup(name).xhm()
    chain = gemmi.Chain("A")
    for i in range(n_atoms):
        atom, residue = gemmi.Atom(), gemmi.Residue()
        atom.element = gemmi.Element(ELEMENTS[i % len(ELEMENTS)])
        atom.name = atom.element.name.upper()
        atom.pos = structure.cell.orthogonalize(gemmi.Fractional(*random.random(3)))
        atom.b_iso, atom.occ = random.uniform(8, 40), 0.5 if i % 7 == 0 else 1.0
        residue.name, residue.seqid = "UNL", gemmi.SeqId(i + 1, " ")
        residue.add_atom(atom)
        chain.add_residue(residue)
    model = gemmi.Model(1)
    model.add_chain(chain)
    structure.add_model(model)
    if path.suffix == ".pdb":
        structure.write_pdb(str(path))
    else:
        structure.make_mmcif_document().write_file(str(path))
    return path
