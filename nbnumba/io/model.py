"""Structure factors of an atomic model (:mod:`nbnumba.io.model_files`), through gemmi.

F(h) = sum over the atoms of the cell of occ (f0 + f' + i f'') T exp(2 pi i h x) + F_solvent. Atoms have the form
factors of the International Tables (1992, as gemmi holds them), f' and f'' come from gemmi's Cromer-Liberman tables.
Let A be the sum with f0 + f' and B the sum with f'' in place of the factor in brackets, both complex. Then F(+) is
A + i B, and F(-) has the modulus of A - i B. gemmi adds only real numbers to f0, so B is the difference of two sums,
one with f' + f'' and one with f'.

Small models are summed directly; for others the density is put on a grid and transformed, with a blurring that keeps
the grid's error small (compare ``FFT_RATE``). The solvent is flat: density ``k`` outside a mask around the atoms
(probe radius and shrinkage of gemmi's ``Refmac`` set), smoothed by exp(-B stol^2); k = 0.35 e/Å^3 and B = 46 Å^2 are
the usual means over protein crystals (Fokine and Urzhumtsev, 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from nbnumba.errors import ConfigError, FileError, first_line
from nbnumba.io.model_files import WHAT as _WHAT
from nbnumba.io.model_files import Contents, apply_operations, assemble, read_structure
from nbnumba.io.spectrum import EV_A
from nbnumba.io.symmetry import Group, absent, expand_to_p1
from nbnumba.io.values import Reflections

#: Atoms times symmetry operations times reflections up to which the sum is done directly (a second).
DIRECT_LIMIT = 1e7
#: Grid points per ``dmin``: with these two the transform agrees with the direct sum to 1e-5 of the rms F.
FFT_RATE = 4.0
#: The density of an atom is cut off where it falls below this (electrons per Å^3).
FFT_CUTOFF = 1e-7
#: Grid points per ``dmin`` of the solvent's mask, and its coarsest spacing (Å).
MASK_RATE, MASK_SPACING = 4.0, 0.6
#: Most indices (P1, with mates) that are calculated: more follow from a mistake in the cell or the resolution.
LARGEST = 3e8


@dataclass(frozen=True, eq=False)
class _Model:
    """All atoms of a structure as one model, with the cell, the space group, and what is to be said about them.

    ``spacegroup`` makes the cell of the atoms; ``group`` is the symmetry that they have, also where no table has it.
    """

    path: Path | str
    structure: gemmi.Structure
    model: gemmi.Model
    spacegroup: gemmi.SpaceGroup
    group: Group
    notes: tuple[str, ...] = ()

    @property
    def cell(self) -> gemmi.UnitCell:
        return self.structure.cell


def read_model_cell(path: Path | str) -> tuple[float, ...]:
    """Unit cell (Å, degrees) of a model.

    Raises
    ------
    FileError
        As :func:`calculate_reflections`.
    """
    return tuple(float(x) for x in _read(Path(path)).cell.parameters)


def calculate_reflections(
    model: Path | str | gemmi.Structure,
    dmin_A: float | None,
    wavelength_A: float | None = None,
    solvent_k: float = 0.35,
    solvent_B: float = 46.0,
) -> Reflections:
    """Amplitudes of a model, expanded to P1 with Friedel mates.

    Parameters
    ----------
    model : Path or gemmi.Structure
    dmin_A : float
        Resolution.
    wavelength_A : float, optional
        Wavelength of the anomalous scattering; None: none.
    solvent_k, solvent_B : float
        Density (e/Å^3; 0: no solvent) and B (Å^2) of the bulk solvent.

    Raises
    ------
    ConfigError
        No resolution is given, or it leaves no reflection or too many.
    FileError
        The file cannot be read, or has no atoms, cell or space group.
    """
    found = (
        _of_structure(Contents(model.clone()), "gemmi.Structure")
        if isinstance(model, gemmi.Structure)
        else _read(Path(model))
    )
    path = found.path
    if not dmin_A:
        raise ConfigError(f"--model {path} needs a resolution: give --dmin in A")
    # indices within the sphere of radius 1/dmin: its volume times that of the cell
    expected = 4 / 3 * np.pi * found.cell.volume / dmin_A / dmin_A / dmin_A  # dmin_A**3 may leave the range of a float
    if not expected < LARGEST:
        raise ConfigError(f"--model {path} has some {expected:.1g} reflections to {dmin_A:g} A: give a larger --dmin")
    miller = np.array(gemmi.make_miller_array(found.cell, found.spacegroup, dmin_A))
    if found.group is not found.spacegroup and len(miller):
        miller = miller[~absent(miller, found.group)]
    if len(miller) == 0:
        raise ConfigError(f"--model {path}: the cell has no reflection to {dmin_A:g} A; give a smaller --dmin")
    try:
        with np.errstate(all="ignore"):  # atoms may have impossible numbers
            real, anomalous = calculate_parts(found, miller, dmin_A, wavelength_A)
            if solvent_k > 0:
                real = real + _solvent(found, miller, dmin_A, solvent_k, solvent_B)
    except RuntimeError as error:  # an element without form factors
        raise FileError(f"no F can be calculated from the {_WHAT} {path}: {first_line(error)}") from error
    if not np.isfinite(real + anomalous).all():
        raise FileError(f"the {_WHAT} {path} gives no finite F: check the B factors and occupancies of its atoms")
    plus = np.abs(real + 1j * anomalous)
    minus = np.abs(real - 1j * anomalous) if anomalous.any() else None
    indices, F = expand_to_p1(miller, plus, minus, found.spacegroup)
    solvent = f"bulk solvent of {solvent_k:g} e/A^3, B {solvent_B:g} A^2" if solvent_k > 0 else "no bulk solvent"
    resonance = f"anomalous scattering at {wavelength_A:g} A" if wavelength_A else "no anomalous scattering"
    note = f"structure factors are calculated from {path} to {dmin_A:g} A, with {resonance} and {solvent}"
    cell = tuple(float(x) for x in found.cell.parameters)
    return Reflections(indices, F, cell, found.group, "F_model", (note, *found.notes))


def calculate_parts(
    found: _Model, miller: np.ndarray, dmin_A: float, wavelength_A: float | None, direct: bool | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Sums A of f0 + f' and B of f'' over all atoms of the cell, (n,) complex, without solvent.

    Parameters
    ----------
    miller : (n, 3) int
        h, k, l.
    direct : bool, optional
        Whether to sum directly; by default where that is quick.
    """
    if direct is None:
        n_atoms = found.model.count_atom_sites() * len(found.spacegroup.operations())
        direct = n_atoms * len(miller) <= DIRECT_LIMIT
    elements = {atom.element.atomic_number: atom.element for chain in found.model for res in chain for atom in res}
    corrections = {}
    if wavelength_A is not None:
        corrections = {z: gemmi.cromer_liberman(z, EV_A / wavelength_A) for z in elements if z > 0}
    runs = []
    for with_second in (False, True) if corrections else (False,):
        sums = gemmi.StructureFactorCalculatorX(found.cell) if direct else None
        density = gemmi.DensityCalculatorX()
        addends = density.addends if sums is None else sums.addends
        for z, (first, second) in corrections.items():
            addends.set(elements[z], first + (second if with_second else 0.0))
        if sums is None:
            runs.append(_transformed(found, density, miller, dmin_A))
        else:
            runs.append(np.array([sums.calculate_sf_from_model(found.model, hkl) for hkl in miller.tolist()]))
    return runs[0], runs[1] - runs[0] if corrections else np.zeros_like(runs[0])


def _transformed(found: _Model, calculator: gemmi.DensityCalculatorX, miller: np.ndarray, dmin_A: float) -> np.ndarray:
    """F from the density on a grid."""
    calculator.d_min, calculator.rate, calculator.cutoff = dmin_A, FFT_RATE / 2, FFT_CUTOFF
    calculator.set_grid_cell_and_spacegroup(found.structure)
    calculator.set_refmac_compatible_blur(found.model)
    calculator.put_model_density_on_grid(found.model)
    transform = gemmi.transform_map_to_f_phi(calculator.grid)
    indices = np.ascontiguousarray(miller, dtype=np.int32)
    return np.array(transform.get_value_by_hkl(indices, unblur=calculator.blur), dtype=np.complex128)


def _solvent(found: _Model, miller: np.ndarray, dmin_A: float, k: float, B: float) -> np.ndarray:
    """F of the flat solvent, (n,) complex."""
    masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.Refmac)
    grid = gemmi.FloatGrid()
    grid.setup_from(found.structure, min(dmin_A / MASK_RATE, MASK_SPACING))
    masker.put_mask_on_float_grid(grid, found.model)
    transform = gemmi.transform_map_to_f_phi(grid)
    indices = np.ascontiguousarray(miller, dtype=np.int32)
    stol2 = 0.25 / np.array(found.cell.calculate_d_array(indices)) ** 2
    return k * np.array(transform.get_value_by_hkl(indices), dtype=np.complex128) * np.exp(-B * stol2)


def _read(path: Path) -> _Model:
    return _of_structure(read_structure(path), path)


def _of_structure(contents: Contents, path: Path | str) -> _Model:
    """Check that F can be calculated from a structure, which is changed."""
    what, structure = f"the {_WHAT} {path}", contents.structure
    structure.setup_entities()
    notes = contents.notes + assemble(structure, path)
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise FileError(f"{what} holds no atoms")
    if not structure.cell.is_crystal():
        raise FileError(f"{what} gives no unit cell")
    group = contents.group
    if isinstance(group, gemmi.GroupOps):
        notes += (apply_operations(structure, group, path),)
    elif group is not None:
        structure.spacegroup_hm = group.xhm()
    spacegroup = structure.find_spacegroup()
    if spacegroup is None:
        try:
            named = repr(structure.spacegroup_hm)
        except UnicodeDecodeError:
            named = "one whose name is no text"
        raise FileError(f"{what} names an unknown space group: {named}")
    structure.setup_cell_images()
    strange = (atom for chain in structure[0] for res in chain for atom in res if not atom.element.atomic_number)
    try:
        unknown = sorted({atom.name for atom in strange})
    except UnicodeDecodeError:
        unknown = ["one whose name is no text"]
    if unknown:
        raise FileError(f"{what} has atoms of no known element: {', '.join(unknown[:5])}")
    symmetry = group if isinstance(group, gemmi.GroupOps) else spacegroup
    return _Model(path, structure, structure[0], spacegroup, symmetry, notes)
