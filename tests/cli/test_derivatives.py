"""``nbnumba derivatives``: tables, files, exit codes and refusals, as a user meets them."""

from __future__ import annotations

import json
import shlex

import h5py
import numpy as np
import pytest

import nbnumba as nb
from nbnumba.cli.derivatives_flags import CELL_SYSTEMS, parse_derivatives
from nbnumba.cli.main import main
from nbnumba.derive import catalog

FLAGS = shlex.split(
    "-cell 60 60 80 90 90 90 -misset 10 20 30 -N 20 -gauss_xtal --physics correct -default_F 100 -flux 1e12 -beamsize 0.001 "
    "-distance 100 -pixel 0.3 -detpixels 70 -oversample 1 --device cpu"
)


def test_tables_and_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "--of",
        "misset_x_deg,cell_a,F[1, -2, 3],distance_mm",
        "--cell-system",
        "tetragonal",
        "--check",
        "--information",
    ]
    words = [word.replace("F[1, -2, 3],", "") for word in words]  # there is no list of reflections here
    files = ["--out", "d.h5", "--picture", "d.png", "--json", "d.json"]
    assert main(["derivatives", *FLAGS, *words, *files]) == 0
    shown = capsys.readouterr().out
    for text in ("photons per unit, over 4900 pixels", "beside central differences", "standard errors from"):
        assert text in shown
    record = json.loads((tmp_path / "d.json").read_text())["derivatives"]
    assert record["names"] == ["misset_x_deg", "cell_a", "distance_mm"] and record["pixels"] == 4900
    assert all(row["relative"] < 1e-6 for row in record["check"]) and len(record["check"]) == 3
    assert np.shape(record["information"]["correlations"]) == (3, 3)
    with h5py.File(tmp_path / "d.h5") as file:
        image, slopes = file["image"][()], file["derivatives/cell_a"]
        assert slopes.attrs["units"] == "photons/Å" and file["mask"][()].all()
        assert image.shape == slopes.shape == (70, 70) and image.dtype == np.float64
        assert "--cell-system tetragonal" in file.attrs["command"]
        assert list(file["derivatives"]) == record["names"]
        total = slopes[()].sum()
    simulation = nb.Simulation(
        crystal=nb.Crystal(cell=(60, 60, 80, 90, 90, 90), misset_deg=(10, 20, 30), Na=20, Nb=20, Nc=20, shape="gauss"),
        beam=nb.Beam(flux=1e12, beamsize_mm=0.001),
        detector=nb.Detector(distance_mm=100, pixel_mm=0.3, fpixels=70, spixels=70),
        structure_factors=nb.StructureFactors(default_F=100),
        physics="correct",
        sampling=nb.Sampling(oversample=1),
    )
    expected = nb.derivatives(simulation, "cell_a", cell_system="tetragonal", device="cpu")
    assert total == pytest.approx(expected["cell_a"].sum(), rel=1e-12)
    assert (tmp_path / "d.png").read_bytes()[:4] == b"\x89PNG"


def test_a_dry_run_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["derivatives", *FLAGS, "--of", "scale", "--out", "d.h5", "--dry-run"]) == 0
    assert not list(tmp_path.iterdir()) and "nothing was simulated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "derivatives needs parameters: give --of NAMES"),
        (["--of", "scale", "--cell-system", "cubical"], 2, "--cell-system must be one of triclinic"),
        (["--of", "scale", "--readout", "-3"], 2, "--readout needs a number of photons"),
        (["--of", "mistet_x_deg"], 1, "no parameter mistet_x_deg: do you mean misset_x_deg?"),
        (["--of", "scale,phi_deg", "--information", "-fluence", "0", "-flux", "0"], 1, "no pixel has a photon"),
        (["--of", "scale", "--out", "missing/d.h5"], 1, "missing/d.h5"),
        (["--of", "cell_a,wavelength_stretch,scale,cell_b,cell_c", "--information"], 1, "change the image alike"),
    ],
)
def test_refused(words, code, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["derivatives", *FLAGS, *words]) == code
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_crystal_systems_are_those_of_the_catalog():
    assert tuple(catalog.CELL_SYSTEMS) == CELL_SYSTEMS
    for name in CELL_SYSTEMS:
        assert parse_derivatives([*FLAGS, "--of", "cell_a", "--cell-system", name]).cell_system == name
