"""Files that other people wrote, each with a fault that was reported: what a command says of them, and the values.

The derivation of each value is in the line beside it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from nbnumba.cli.main import main
from nbnumba.io.hkl import read_hkl
from nbnumba.io.model import calculate_reflections
from nbnumba.io.reflections import read_reflections

CASES = Path(__file__).parent / "cases"
#: What most commands end with.
DRY = "-N 5 --threads 1 -detpixels 32 --dry-run"
#: The same, where the file has the detector.
FILE = "-default_F 1 -N 5 --threads 1 --dry-run"
CELL = "-cell 50 60 70 90 90 90"
LYSOZYME = "-cell 79.1 79.1 37.9"


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of a case, where commands run."""
    shutil.copytree(CASES / request.param, tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    return tmp_path / "case"


def in_folder(name: str):
    return pytest.mark.parametrize("case", [name], indirect=True)


#: Folder, command, exit code, words of the log (or of the error), in one line each.
SAID: list[tuple[str, str, int, tuple[str, ...]]] = [
    # copies of MTRIX records
    ("ncs_mtrix", f"--model ncs.pdb --dmin 3 --solvent-k 0 {DRY}", 0, ("1 copies by the MTRIX or NCS operators",)),
    ("model_ensemble", f"--model ensemble.pdb --dmin 5 {DRY}", 0, ("2 models whose occupancies add up to one",)),
    ("xds_ascii", f"-hkl XDS_ASCII.HKL {LYSOZYME} {DRY}", 0, ("are intensities: F is their square root", "F: 24 reflections")),
    ("shelx_hklf4", f"-hkl shelx.hkl {LYSOZYME} {DRY}", 0, ("is a SHELX HKLF list", "are intensities")),
    # det_z 200 mm, then 1 mm times (30 -20 0.5)
    ("nxmx_translation_vector", f"--geometry nexgen.nxs {CELL} {FILE}", 0, ("first pixel: (30 -20 200.5) mm",)),
    # as with strings of variable length
    ("nxmx_fixed_length_strings", f"--geometry fixed.nxs {CELL} {FILE}", 0, ("first pixel: (30 20 200) mm",)),
    # mean of s0 at points 1 and 2, 1 and 2 degrees from (0 0 -1): sin and cos of 1.5 degrees times cos 0.5 degrees
    ("expt_scan_varying_beam", f"--geometry svbeam.expt --geometry-image 2 {FILE}", 0, ("beam (-0.0261769 0 -0.999657)",)),
    ("cbf_two_theta", f"--geometry tth.cbf {CELL} {FILE}", 0, ("also has Detector_2theta 20 deg (see -twotheta), not used",)),
    ("cbf_two_theta", f"--geometry kappa.cbf {CELL} {FILE}", 0, ("also has Kappa 30 deg and Phi 20 deg, not used",)),
    # h / sqrt(2 m e U (1 + e U / 2 m c^2)) of 200 kV
    ("geom_no_wavelength", f"--geometry electrons.geom {CELL} {FILE}", 0, ("around 0.0250793", "is about electrons")),
    ("geom_no_wavelength", f"--geometry nothing.geom {CELL} {FILE}", 1, ("has no wavelength", "give -lambda or -energy")),
    # the distance that was asked for; coffset is 580 mm
    ("geom_distance_and_coffset", f"--geometry encoder.geom -distance 100 {CELL} {FILE}", 0,
     ("distance: 100 mm along the beam", "adds a coffset of 580 mm")),
    ("mtz_unmerged_without_batches", f"-hkl unmerged.mtz {DRY}", 1, ("holds unmerged reflections", "AIMLESS", "--average")),
    ("cif_status", f"-hkl status.cif {DRY}", 0, ("2 rows of status.cif have status x", "1 rows of status.cif have status -")),
    ("cif_blocks", f"-hkl blocks.cif {DRY}", 0, ("holds 2 data blocks (r0abcsf, r0abcAsf): r0abcsf, the first, is used",)),
    ("cif_blocks", f"-hkl blocks.cif --label F_calc_au {DRY}", 0, ("r0abcAsf, the first that has this column, is used",)),
    # 60 / 66.667 A
    ("mat_wavelength", f"-mat A.mat -default_F 1 {DRY}", 0, ("has the cell 60 70 80 90 90 90", "give -lambda 0.9")),
    ("cell_mismatch", f"-hkl f.mtz -cell 79 79 38 90 90 90 --average {DRY}", 0, ("of a cell of 50 60 70", "the crystal's is 79 79 38")),
    ("cell_mismatch", f"-hkl f.mtz -cell 79 79 38 90 90 90 {DRY}", 1, ("more than once", "of a cell of 50 60 70")),
    ("cell_mismatch", f"-hkl f.mtz --geometry cubic.expt --average {FILE}", 0, ("of a cell of 50 60 70", "the crystal's is 78 78 78")),
    # the two reflections and their Friedel mates
    ("small_molecule_fcf", f"-hkl lab.fcf {DRY}", 0, ("F: 4 reflections",)),
    ("small_molecule_model", f"--model nacl.cif --dmin 1 --solvent-k 0 {DRY}", 0, ("F: 168 reflections",)),
    *[("model_known_by_name", f"--model {name} --dmin 5 {DRY}", 0, ("F: 1958 reflections",))
      for name in ("model", "model.txt", "model.pdb1", "mmcif.pdb", "packed.pdb")],
    ("model_known_by_name", f"-hkl packed.mtz {DRY}", 0, ("F: 16 reflections",)),
    ("old_pdb_columns", f"--model old.pdb --dmin 5 {DRY}", 0, ("columns 73 to 80 of old.pdb are not used",)),
    ("expt_several_experiments", f"--geometry two.expt {FILE}", 0, ("number 0 is taken; --experiment N", "cell: (50 50 50")),
    ("expt_several_experiments", f"--geometry two.expt --experiment 1 {FILE}", 0, ("cell: (60 60 60",)),
    # 515 x 532 pixels of 0.075 mm, 100 mm
    ("eiger_filewriter_master", f"--geometry master.h5 {CELL} {FILE}", 0, ("first pixel: (38.625 39.9 100) mm", "1030 x 1065 pixels")),
    ("crlf_smv", f"--geometry crlf.img {CELL} {FILE}", 0, ("distance: 100 mm", "32 x 32 pixels")),
    # 1 2 3 and 4 4 4 in 422, 16 and 8 mates
    ("other_lists", f"-hkl lyso.sca {LYSOZYME} {DRY}", 0, ("F: 24 reflections",)),
    ("other_lists", f"-hkl crystfel.hkl {LYSOZYME} {DRY}", 0, ("F: 24 reflections",)),
    ("kev_for_ev", f"-default_F 100 -cell 79 79 38 -energy 12.4 {DRY}", 0, ("12.4 keV are 12400",)),
    ("kev_for_ev", f"-default_F 100 -cell 79 79 38 --spectrum kev.txt {DRY}", 0, ("9.48 keV are 9480 eV",)),
    ("kev_for_ev", f"-default_F 100 -cell 79 79 38 -sourcefile metres.txt {DRY}", 0, ("takes metres, 1 A are 1e-10",)),
    ("expt_electrons", f"--geometry electrons.expt {FILE}", 0, ("is electron: it is simulated as X-rays", "distance: 100 mm")),
    ("hkl_asymmetric_unit", f"-hkl asu.hkl {LYSOZYME} {DRY}", 0, ("none of its 5 reflections has the Friedel mate",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "command", "code", "words"),
    SAID,
    indirect=["case"],
    ids=[f"{name}-{n}" for n, (name, *_) in enumerate(SAID)],
)
def test_what_is_said(
    case: Path, command: str, code: int, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *command.split()]) == code
    shown = capsys.readouterr()
    text = " ".join((shown.out + shown.err).split())
    for phrase in words:
        assert phrase in text
    assert "Traceback" not in text


def F_of(path: str, dmin: float, k: float = 0.0) -> dict[tuple[int, ...], float]:
    found = calculate_reflections(path, dmin, None, k, 46.0)
    return dict(zip(map(tuple, found.indices.tolist()), found.F.tolist(), strict=True))


@in_folder("ncs_mtrix")
@pytest.mark.parametrize("dmin", [3.0, 12.0])
def test_ncs_copies(case: Path, dmin: float) -> None:
    """The sum over the atoms of ncs_by_hand.pdb and the four operators of its group, form factors of IT92."""
    wanted = {(1, 2, 3): 348.790, (7, 4, -11): 138.966, (20, 15, 3): 26.078}
    for path in ("ncs.pdb", "ncs_by_hand.pdb"):
        found = F_of(path, dmin)
        assert [found[h] for h in wanted if h in found] == pytest.approx(
            [wanted[h] for h in wanted if h in found], abs=2e-3
        )
        assert (1, 2, 3) in found and ((20, 15, 3) in found) == (dmin == 3)
    solvent = F_of("ncs.pdb", 3.0, 0.35)
    assert [solvent[h] for h in wanted] == pytest.approx([169.562, 118.434, 36.968], abs=2e-3)


@in_folder("model_ensemble")
def test_ensemble(case: Path) -> None:
    """The sum over the atoms of both models, which by_hand.pdb has as two chains."""
    for path in ("ensemble.pdb", "by_hand.pdb"):
        found = F_of(path, 5.0)
        wanted = [23.965, 47.418, 55.448, 72.170]
        assert [found[h] for h in ((1, 2, 3), (2, 3, 4), (3, 1, 2), (2, 0, 5))] == pytest.approx(wanted, abs=1e-3)


@in_folder("small_molecule_model")
def test_rock_salt(case: Path) -> None:
    """4 (f_Na + f_Cl) at d = 2.82 A."""
    assert F_of("nacl.cif", 1.0)[2, 0, 0] == pytest.approx(85.386, abs=1e-3)


#: Folder, file, options, and F of some reflections.
LISTED = [
    # sqrt(10000); the observation with a negative sigma does not count; -100 is no intensity
    ("xds_ascii", "XDS_ASCII.HKL", {}, {(1, 2, 3): 100.0, (-2, 1, 3): 100.0, (4, 4, 4): 0.0}),
    # I4, I4, I4, F8.2 of line 1
    ("shelx_hklf4", "shelx.hkl", {}, {(1, 2, 3): 100.0, (4, 4, 4): 0.0}),
    ("other_lists", "lyso.sca", {}, {(1, 2, 3): 100.0, (2, 1, 3): 100.0, (4, 4, 4): 0.0}),
    ("other_lists", "crystfel.hkl", {}, {(1, 2, 3): 100.0, (2, 1, 3): 100.0, (4, 4, 4): 0.0}),
    # sqrt((100 + 300 + 500) / 3)
    ("mtz_unmerged_without_batches", "unmerged.mtz", {"average": True}, {(1, 2, 3): 300**0.5}),
    # status o as they are, x as if they were not there, - as 0
    ("cif_status", "status.cif", {}, {(1, 2, 3): 100.0, (2, 3, 4): 200.0, (2, 3, 6): 30.0, (0, 0, 3): 0.0, (2, 3, 5): None,
                                      (3, 4, 5): None}),
    # roots of 121 and 441, and their Friedel mates
    ("small_molecule_fcf", "lab.fcf", {}, {(1, 0, 0): 11.0, (-1, 0, 0): 11.0, (0, 1, 2): 21.0, (0, -1, -2): 21.0}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "name", "options", "wanted"), LISTED, indirect=["case"], ids=[entry[1] for entry in LISTED]
)
def test_values_of_lists(
    case: Path, name: str, options: dict[str, bool], wanted: dict[tuple[int, ...], float | None]
) -> None:
    if name.endswith((".HKL", ".hkl", ".sca")):
        indices, F = read_hkl(name)
    else:
        found = read_reflections(name, **options)  # type: ignore[arg-type]
        indices, F = found.indices, found.F
    table = dict(zip(map(tuple, indices.tolist()), F.tolist(), strict=True))
    for hkl, value in wanted.items():
        assert table.get(hkl) == (None if value is None else pytest.approx(value, rel=1e-6))


@in_folder("series_scan_varying_crystal")
def test_series_follows_a_crystal(case: Path) -> None:
    """The crystal turns about z by 1 degree an image: a* is at 0.5, 1.5 and 2.5 degrees."""
    words = "series --images 3 --geometry svcrystal.expt -default_F 100 -N 3 --out out --seed 1 --threads 1 --workers 1"
    assert main([*words.split(), "--no-contact-sheet", "-q"]) == 0
    with h5py.File("out/image_truth.h5") as file:
        found = file["shots/reciprocal"][:, 0]
    angles = np.radians([0.5, 1.5, 2.5])
    np.testing.assert_allclose(found, 0.02 * np.transpose([np.cos(angles), np.sin(angles), 0 * angles]), atol=2e-7)


@in_folder("series_panels_without_offsets")
@pytest.mark.parametrize("geometry", ["stills.expt", "dim.geom -lambda 1 -cell 50"])
def test_series_of_panels_that_are_arrays(case: Path, geometry: str) -> None:
    """Two panels, one below the other in the data."""
    words = f"series --stills 2 --geometry {geometry} -default_F 100 -N 3 --out out --nexus s.nxs --seed 1 --threads 1"
    assert main([*words.split(), "--no-contact-sheet", "--workers", "1", "-q"]) == 0
    with h5py.File("out/s_0002.nxs") as file:
        detector, data = file["entry/instrument/detector"], file["entry/data"]
        origins = [detector[name]["data_origin"][()].tolist() for name in sorted(detector) if name.startswith("module")]
        sizes = [detector[name]["data_size"][()].tolist() for name in sorted(detector) if name.startswith("module")]
        assert len(origins) == 2 and origins == [[0, 0], [sizes[0][0], 0]]
        assert data[data.attrs["signal"]].shape == (1, sizes[0][0] + sizes[1][0], sizes[0][1])
