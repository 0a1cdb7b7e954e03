"""Texts of atomic models, and the F of single atoms, for tests."""

from __future__ import annotations

import math
from pathlib import Path

import gemmi

from nbnumba.io.model import calculate_reflections
from tests.io.reflection_inputs import as_table

CRYST = "CRYST1   30.000   40.000   50.000  90.00  90.00  90.00 P 21 21 21    4\n"
ATOMS = [("N", 3.1, 4.2, 5.3), ("C", 4.4, 4.9, 5.9), ("C", 5.1, 5.8, 4.7), ("O", 5.6, 7.0, 4.1), ("S", 9.3, 11.0, 2.2)]


def atom(
    i: int, element: str, x: float, y: float, z: float, occ: float = 1.0, chain: str = "A", tail: str | None = None
) -> str:
    """A line ATOM of a PDB file; ``tail`` replaces its columns 73 to 80."""
    end = f"          {element:>2}" if tail is None else f"      {tail}"
    return f"ATOM  {i:5d}  {element:<3} UNL {chain}{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}{occ:6.2f} 20.00{end}\n"


def pdb(lines: str, head: str = CRYST) -> str:
    return head + lines + "END\n"


def F_of(path: Path | str, dmin: float = 5.0, k: float = 0.0) -> dict[tuple[int, ...], float]:
    found = calculate_reflections(path, dmin, None, k)
    return as_table(found.indices, found.F)


def write(folder: Path, text: str, name: str = "model") -> Path:
    path = folder / name
    path.write_text(text)
    return path


SYMOPS = "loop_\n_symmetry_equiv_pos_as_xyz\n{}"


def small(
    sites: str,
    cell: str = "5.64 5.64 5.64 90 90 90",
    symmetry: str = "_symmetry_space_group_name_H-M 'F m -3 m'",
    tags: str = "U_iso_or_equiv",
    more: str = "",
) -> str:
    """A CIF file of a small molecule; a site has label, type, x, y, z and the ``tags``."""
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [
        "data_x",
        *(f"_cell_{key} {value}" for key, value in zip(keys, cell.split(), strict=True)),
        symmetry,
        "loop_",
    ]
    lines += [f"_atom_site_{tag}" for tag in ("label", "type_symbol", "fract_x", "fract_y", "fract_z", *tags.split())]
    return "\n".join([*lines, sites, more, ""])


def f0(element: str, d: float, B: float = 0.0) -> float:
    return gemmi.Element(element).it92.calculate_sf(0.25 / d**2) * math.exp(-B * 0.25 / d**2)
