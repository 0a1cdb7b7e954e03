"""Structure factors of a model: atoms and bulk solvent against direct sums, and what is refused."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.errors import ConfigError, FileError
from nbnumba.io import model
from nbnumba.model.config import StructureFactors
from nbnumba.model.structure_factors import resolve_structure_factors
from tests.io.reflection_inputs import CELLS, as_table, make_model


def direct_sum(path: Path, indices: np.ndarray, wavelength_A: float | None) -> np.ndarray:
    """|F| of any h k l, by its definition: all atoms of the cell, f0 + f' + i f'', in plain NumPy."""
    structure = gemmi.read_structure(str(path))
    cell, group = structure.cell, structure.find_spacegroup().operations()
    d = np.array([cell.calculate_d(list(map(int, index))) for index in indices])
    total = np.zeros(len(indices), dtype=complex)
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                f = np.array([atom.element.it92.calculate_sf(0.25 / x**2) for x in d], dtype=complex)
                if wavelength_A is not None:
                    f += complex(*gemmi.cromer_liberman(atom.element.atomic_number, 12398.42 / wavelength_A))
                f *= atom.occ * np.exp(-atom.b_iso * 0.25 / d**2)
                x = cell.fractionalize(atom.pos).tolist()
                for op in group:
                    total += f * np.exp(2j * np.pi * (indices @ np.array(op.apply_to_xyz(x))))
    return np.abs(total)


MODEL_GROUPS = ["P 1 21 1", "C 2 2 21", "P 43 21 2", "P 31 2 1", "I 21 3", "R 3 :R"]


@pytest.mark.parametrize("wavelength_A", [None, 0.97])
@pytest.mark.parametrize("name", MODEL_GROUPS)
def test_model_equals_the_direct_sum(tmp_path, monkeypatch, name, wavelength_A):
    """Every index of the P1 sphere, Friedel mates apart, to 1e-4; by both ways of summing."""
    path = make_model(tmp_path / "m.cif", name)
    for limit in (1e12, 0):
        monkeypatch.setattr(model, "DIRECT_LIMIT", limit)
        found = model.calculate_reflections(path, 3.0, wavelength_A, solvent_k=0)
        wanted = direct_sum(path, found.indices, wavelength_A)
        rms = np.sqrt(np.mean(wanted**2))
        # weak reflections are differences of large terms: the density on its grid is held against the rms F
        scale = np.maximum(wanted, 0.02 * rms) if limit else np.maximum(wanted, 0.3 * rms)
        assert np.abs((found.F - wanted) / scale).max() < 1e-4
    F = as_table(found.indices, found.F)
    split = max(abs(value - F[tuple(-i for i in index)]) / rms for index, value in F.items())
    assert split > 0.01 if wavelength_A else split == 0


def test_model_equals_gemmis_own_sum_of_every_index(tmp_path):
    """gemmi's direct summation, index by index over the sphere, without our expansion."""
    path = make_model(tmp_path / "m.pdb", "P 43 21 2")
    found = model.calculate_reflections(path, 4.0, None, solvent_k=0)
    structure = gemmi.read_structure(str(path))
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    wanted = [abs(calculator.calculate_sf_from_model(structure[0], index)) for index in found.indices.tolist()]
    np.testing.assert_allclose(found.F, wanted, rtol=1e-5, atol=1e-4 * np.sqrt(np.mean(np.square(wanted))))
    assert len(found.F) > 500


def test_bulk_solvent_is_a_flat_density(tmp_path):
    """F_solvent = k exp(-B stol^2) F_mask; low resolution loses contrast, high resolution does not notice."""
    path = make_model(tmp_path / "m.cif", "P 43 21 2", n_atoms=60)
    bare, weak, wet = (model.calculate_reflections(path, 2.0, None, k, 46.0) for k in (0.0, 0.0035, 0.35))
    d = np.array(gemmi.UnitCell(*bare.cell).calculate_d_array(np.ascontiguousarray(bare.indices)))
    change = np.abs(wet.F - bare.F) / np.sqrt(np.mean(bare.F**2))
    assert change[d > 8].mean() > 0.1
    assert change[d < 2.2].max() < 0.02
    small = np.abs(weak.F - bare.F) / np.sqrt(np.mean(bare.F**2))
    assert small.max() == pytest.approx(0.01 * change.max(), rel=0.5)
    assert "bulk solvent of 0.35 e/A^3, B 46 A^2" in wet.notes[0]


def test_model_from_the_command_line(tmp_path):
    path = make_model(tmp_path / "m.cif", "P 43 21 2")
    simulation = build(parse(f"--model {path} --dmin 4 -lambda 0.97 --solvent-k 0".split()))[0]
    assert simulation.crystal.cell == pytest.approx(CELLS["P 43 21 2"])
    box, notes = resolve_structure_factors(simulation.structure_factors)
    found = model.calculate_reflections(path, 4.0, 0.97, 0.0)
    h, k, l = (found.indices - (box.h_min, box.k_min, box.l_min)).T
    np.testing.assert_array_equal(box.grid[h, k, l], found.F)
    assert "anomalous scattering at 0.97 A" in notes[0]
    with pytest.raises(ConfigError, match="needs a resolution: give --dmin"):
        resolve_structure_factors(StructureFactors(model=path))
    with pytest.raises(ConfigError, match="not both"):
        StructureFactors(model=path, hkl=path)


def test_model_errors_name_the_file(tmp_path):
    path = tmp_path / "bad.cif"
    path.write_text("data_x\nloop_\n_atom_site.id\n")
    with pytest.raises(FileError, match=r"bad\.cif"):
        model.read_model_cell(path)
    path.write_text("data_x\n_cell.length_a 10\n")
    with pytest.raises(FileError, match="holds no atoms"):
        model.read_model_cell(path)
    good = make_model(tmp_path / "m.pdb", "P 43 21 2")
    with pytest.raises(ConfigError, match=r"m\.pdb has some \S+ reflections to 0\.01 A: give a larger --dmin"):
        model.calculate_reflections(good, 0.01)
    with pytest.raises(ConfigError, match=r"m\.pdb: the cell has no reflection to 900 A; give a smaller --dmin"):
        model.calculate_reflections(good, 900.0)
    path = tmp_path / "bad.pdb"
    path.write_text("\n".join(line for line in good.read_text().splitlines() if not line.startswith("CRYST1")))
    with pytest.raises(FileError, match=r"bad\.pdb gives no unit cell"):
        model.read_model_cell(path)
    with pytest.raises(FileError, match="cannot read the model"):
        model.read_model_cell(tmp_path / "none.pdb")
