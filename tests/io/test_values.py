"""Values in memory stand for files: the images are those of the files, and what cannot be meant is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

import nbnumba as nb
from nbnumba.data import lysozyme_text

SIMULATION = nb.Simulation(
    crystal=nb.Crystal(cell=(79.1, 79.1, 37.9), misset_deg=(10.0, 20.0, 30.0), Na=5, Nb=5, Nc=5),
    beam=nb.Beam(wavelength_A=1.0, fluence=1e26),
    detector=nb.Detector(distance_mm=60, fpixels=48, spixels=32, pixel_mm=0.4),
    structure_factors=nb.StructureFactors(default_F=100.0, dump=Path("no such dump")),
    sampling=nb.Sampling(oversample=1),
)


def image(**changes: Any) -> np.ndarray:
    return nb.simulate(SIMULATION.changed(**changes), device="cpu").image


def small_mtz() -> gemmi.Mtz:
    """Reflections of a tetragonal crystal."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 43 21 2")
    mtz.set_cell_for_all(gemmi.UnitCell(79.1, 79.1, 37.9, 90, 90, 90))
    mtz.add_dataset("lysozyme")
    mtz.add_column("FP", "F")
    mtz.add_column("FC", "F")
    rows = np.array(gemmi.make_miller_array(mtz.cell, mtz.spacegroup, 3.0))
    F = 50.0 + np.arange(len(rows)) % 97
    mtz.set_data(np.column_stack([rows, F, 2 * F]).astype(np.float32))
    return mtz


def test_arrays_are_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "a.hkl").write_text(lysozyme_text())
    rows = np.array([line.split()[:4] for line in lysozyme_text().splitlines() if line.strip()], dtype=float)
    from_file = image(hkl=tmp_path / "a.hkl")
    assert from_file.max() > 0
    np.testing.assert_array_equal(image(hkl=(rows[:, :3], rows[:, 3])), from_file)
    np.testing.assert_array_equal(image(hkl=(rows[:, :3].astype(int).tolist(), list(rows[:, 3]))), from_file)
    np.testing.assert_array_equal(image(hkl=nb.Reflections(rows[:, :3], rows[:, 3])), from_file)


def test_what_gemmi_read_is_its_file(tmp_path: Path) -> None:
    mtz = small_mtz()
    mtz.write_to_file(str(tmp_path / "a.mtz"))
    for label in (None, "FC"):
        from_file = image(hkl=tmp_path / "a.mtz", hkl_label=label)
        np.testing.assert_array_equal(image(hkl=mtz, hkl_label=label), from_file)
    value = nb.Reflections.from_gemmi(mtz)
    assert value.spacegroup is not None and value.label == "FP"
    rows = np.array(mtz.make_miller_array())
    again = nb.Reflections.expanded(rows, np.array(mtz.column_with_label("FP").array), "P 43 21 2")
    np.testing.assert_array_equal(image(hkl=again), image(hkl=tmp_path / "a.mtz"))


def test_a_structure_is_its_file(tmp_path: Path) -> None:
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(79.1, 79.1, 37.9, 90, 90, 90), "P 43 21 2"
    model, chain = gemmi.Model("1"), gemmi.Chain("A")
    for number, position in enumerate(((1.0, 2.0, 3.0), (10.0, 21.0, 5.0), (33.0, 2.0, 15.0)), 1):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = "CYS", gemmi.SeqId(str(number))
        atom.name, atom.element, atom.pos = "SG", gemmi.Element("S"), gemmi.Position(*position)
        atom.b_iso = 20.0
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    path = tmp_path / "a.cif"
    structure.make_mmcif_document().write_file(str(path))
    given = gemmi.read_structure(str(path))
    before = given.make_mmcif_document().as_string()
    np.testing.assert_array_equal(
        image(model=given, model_dmin_A=4.0, default_F=0.0), image(model=path, model_dmin_A=4.0, default_F=0.0)
    )
    assert given.make_mmcif_document().as_string() == before


def test_spectra_are_their_files(tmp_path: Path) -> None:
    wavelengths, weights = np.array([0.99, 1.0, 1.02, 1.05]), np.array([1.0, 3.0, 0.0, 2.0])
    path = tmp_path / "s.txt"
    path.write_text("".join(f"{a!r} {b!r}\n" for a, b in zip(wavelengths.tolist(), weights.tolist(), strict=True)))
    for steps in (None, 2):
        from_file = image(spectrum=path, spectrum_steps=steps)
        np.testing.assert_array_equal(image(spectrum=(wavelengths, weights), spectrum_steps=steps), from_file)


def test_sources_are_their_file(tmp_path: Path) -> None:
    rows = np.array([[-10.0, 0.0, 0.0, 1.0, 1e-10], [-10.0, 0.01, np.nan, np.nan, 1.01e-10]])
    path = tmp_path / "s.txt"
    path.write_text("".join(" ".join(map(repr, row)) + "\n" for row in rows.tolist()))
    np.testing.assert_array_equal(image(sourcefile=rows), image(sourcefile=path))


def test_background_tables_are_their_file(tmp_path: Path) -> None:
    stol, F = np.linspace(0, 0.6, 20), 10 * np.exp(-np.linspace(0, 3, 20))
    path = tmp_path / "a.stol"
    path.write_text("".join(f"{a!r} {b!r}\n" for a, b in zip(stol.tolist(), F.tolist(), strict=True)))
    from_file = image(stol=path, thickness_mm=0.1)
    assert from_file.min() > 0
    np.testing.assert_array_equal(image(stol=(stol, F), thickness_mm=0.1), from_file)
    assert image(stol=(stol, 2 * F), thickness_mm=0.1).min() > from_file.min()


def test_mosaic_rotations_are_those_that_are_drawn() -> None:
    drawn = SIMULATION.changed(mosaic_spread_deg=0.4, mosaic_domains=15)
    rotations = nb.resolve(drawn).crystal.umats
    np.testing.assert_array_equal(image(mosaic_rotations=rotations), nb.simulate(drawn, device="cpu").image)
    np.testing.assert_array_equal(image(mosaic_rotations=np.eye(3)[None]), image())


def test_a_table_is_taken_as_it_is() -> None:
    rows = np.array([[0, 0, 1], [2, 3, -4]])
    table = nb.resolve(SIMULATION.changed(hkl=(rows, [30.0, 40.0]))).structure_factors
    assert nb.resolve(SIMULATION.changed(hkl=table)).structure_factors is table


def test_one_value_makes_one_table() -> None:
    value = nb.Reflections([[0, 0, 1], [2, 3, -4]], [30.0, 40.0])
    tables = [nb.resolve(SIMULATION.changed(hkl=value, misset_deg=(0, 0, n))).structure_factors for n in range(3)]
    assert tables[0] is tables[1] is tables[2]


WRONG: list[tuple[str, Any, str]] = [
    ("hkl", (np.zeros((3, 2)), np.zeros(3)), "structure_factors.hkl must be the name of a file or Reflections"),
    ("hkl", (np.zeros((3, 3)), np.zeros(2)), "structure_factors.hkl must be"),
    ("hkl", (np.zeros((0, 3)), np.zeros(0)), "structure_factors.hkl must be"),
    ("hkl", (np.full((1, 3), 0.5), [1.0]), "h k l of row 0 must be whole numbers"),
    ("hkl", ([[1, 2, 2e6]], [1.0]), "h k l of row 0 must be whole numbers up to 1000000"),
    ("hkl", ([[1, 2, 3]], [np.nan]), "F of row 0 is not a finite number"),
    ("hkl", 5, "structure_factors.hkl must be"),
    ("hkl", {"h": 1}, "structure_factors.hkl must be"),
    ("model", 5, "structure_factors.model must be the name of a file or a gemmi.Structure"),
    ("spectrum", ([1.0, -1.0], [1.0, 1.0]), "a spectrum needs wavelengths > 0"),
    ("spectrum", ([1.0, 1.1], [0.0, 0.0]), "a spectrum needs"),
    ("spectrum", ([1.0, 1.1], [1.0]), "beam.spectrum must be the name of a file or arrays"),
    ("sourcefile", np.zeros((3, 4)), "beam.sourcefile must be"),
    ("stol", ([0.0, 0.0], [1.0, 1.0]), "stol increasing"),
    ("stol", ([0.0], [1.0]), "at least two points"),
    ("mosaic_rotations", np.eye(3), r"an array \(domains, 3, 3\), got one of shape \(3, 3\)"),
    ("mosaic_rotations", np.ones((2, 3, 3)), "matrix 0 is no rotation"),
    ("mosaic_rotations", -np.eye(3)[None], "matrix 0 is no rotation"),
    ("mosaic_rotations", np.full((1, 3, 3), np.nan), "mosaic_rotations must hold finite numbers"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG, ids=[f"{w[0]}-{n}" for n, w in enumerate(WRONG)])
def test_what_cannot_be_meant_is_refused(field: str, value: Any, words: str) -> None:
    with pytest.raises(nb.ConfigError, match=words):
        SIMULATION.changed(**{field: value})


@pytest.mark.parametrize(
    "make",
    [
        lambda bad: nb.Reflections(bad, bad),
        lambda bad: nb.Spectrum(bad, bad),
        lambda bad: nb.SourceTable(bad),
        lambda bad: nb.StolTable(bad, bad),
        lambda bad: nb.AtomicModel(bad),
        lambda bad: nb.FTable(bad, 0, 0, 0, 1, 0.0, ""),
    ],
)
@pytest.mark.parametrize("bad", [None, 3, "text", [], [[1, 2], [3]], np.zeros((2, 2, 2, 2)), np.array(["x"]), {1: 2}])
def test_values_are_checked_when_they_are_made(make: Any, bad: Any) -> None:
    with pytest.raises(nb.ConfigError):
        make(bad)


def test_rotations_and_a_spread_are_one_too_many() -> None:
    with pytest.raises(nb.ConfigError, match="mosaic_rotations replaces mosaic_spread_deg"):
        SIMULATION.changed(mosaic_rotations=np.eye(3)[None], mosaic_spread_deg=0.1)


def test_unmerged_reflections_of_gemmi_are_refused() -> None:
    mtz = small_mtz()
    mtz.batches.append(gemmi.Mtz.Batch())
    with pytest.raises(nb.FileError, match=r"the gemmi\.Mtz holds unmerged reflections"):
        SIMULATION.changed(hkl=mtz)


def test_a_series_takes_values(tmp_path: Path) -> None:
    """Also in worker processes; the folder belongs to its content."""
    rows = np.array([[h, k, l] for h in range(-3, 4) for k in range(-3, 4) for l in range(-3, 4)])
    F = 10.0 + np.arange(len(rows))

    def recipe(F: np.ndarray) -> nb.Series:
        simulation = SIMULATION.changed(hkl=(rows, F), default_F=0.0, osc_deg=1.0)
        return nb.Series(simulation=simulation, images=2, device="cpu")

    nb.run_series(recipe(F), tmp_path / "two", workers=2, contact_sheet=False)
    nb.run_series(recipe(F), tmp_path / "one", workers=1, contact_sheet=False)
    for name in ("image_0001.img", "image_0002.img"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert nb.run_series(recipe(F.copy()), tmp_path / "one", contact_sheet=False).made == 0
    with pytest.raises(nb.ConfigError, match=r"structure_factors\.hkl was"):
        nb.run_series(recipe(F + 1), tmp_path / "one", contact_sheet=False)
