"""The truth behind a series: tables, models, and the data set of NXmx."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nbnumba.io.expt import read_expt
from nbnumba.model.config import Background, Detector, Panel, Scan
from nbnumba.model.experiment import resolve
from nbnumba.model.frames import to_imgcif
from nbnumba.output.truth import find_truth
from nbnumba.render.simulate import simulate
from nbnumba.series.run import run_series
from nbnumba.series.shots import NOWHERE, series_outputs
from nbnumba.series.truth import LEAST_PHOTONS, read_truth, spot_table
from nbnumba.series.variation import make_variations
from tests.series.inputs import SIMULATION, series


def test_truth_adds_up_to_the_image() -> None:
    result = simulate(SIMULATION, device="cpu")
    spots = spot_table(result.experiment, result.images)
    counted = result.image[result.image >= LEAST_PHOTONS].sum(dtype=float)
    assert len(spots["hkl"]) > 3
    # float32 columns: 6e-8 each
    assert spots["photons"].sum(dtype=float) == pytest.approx(counted, rel=1e-6)
    # each spot lies where Bragg's law has its reflection: within half an index along the shortest edge, 40 A
    panel = result.experiment.panel
    place = panel.pix0 + np.outer(spots["slow"], panel.sdet * panel.pixel_size)
    place += np.outer(spots["fast"], panel.fdet * panel.pixel_size)
    d = place / np.linalg.norm(place, axis=1)[:, None] - result.experiment.detector.frame.beam
    assert np.abs(np.linalg.norm(d, axis=1) - 1 / spots["d_A"]).max() < 0.5 / 40
    bright = np.argmax(spots["peak"])
    s, f = np.unravel_index(np.argmax(result.image), result.image.shape)
    assert spots["peak"][bright] == result.image.max()
    assert abs(spots["slow"][bright] - s - 0.5) < 1.5 and abs(spots["fast"][bright] - f - 0.5) < 1.5
    assert (spots["F"] == 100).all()


@pytest.mark.parametrize(("curved", "share"), [(False, 0.02), (True, 0.05)])  # more spots touch on the curved one
def test_truth_agrees_with_the_strongest_term_of_every_pixel(curved: bool, share: float) -> None:
    """The list of one image looks at every term of the sum, the series' table at the nearest index only."""
    # curved about the crystal with a beam along x only, as in the reference
    detector = replace(SIMULATION.detector, curved=curved, convention="MOSFLM" if curved else "XDS")
    result = simulate(replace(SIMULATION, scan=Scan(osc_deg=3.0, phisteps=6), detector=detector), device="cpu")
    table = spot_table(result.experiment, result.images)
    ours = {tuple(hkl): photons for hkl, photons in zip(table["hkl"].tolist(), table["photons"].tolist(), strict=True)}
    spots = find_truth(result)[0].spots
    strong = spots[spots["photons"] > spots["photons"].max() / 100]
    assert len(strong) > 20
    for spot in strong:  # they part where two spots touch, in tails
        assert ours[(spot["h"], spot["k"], spot["l"])] == pytest.approx(spot["photons"], rel=share)


def test_truth_knows_bragg_from_background(tmp_path: Path) -> None:
    wet = replace(SIMULATION, background=Background(water_um=5.0))
    for name, simulation in (("dry", SIMULATION), ("wet", wet)):
        run_series(series(simulation=simulation, images=1), tmp_path / name, workers=1, contact_sheet=False)
    dry, wet_truth = (read_truth(tmp_path / name / "image_truth.h5") for name in ("dry", "wet"))
    assert wet_truth["shots"]["photons"][0] > 1.01 * dry["shots"]["photons"][0]
    for key, values in dry["spots"].items():
        assert np.array_equal(values, wet_truth["spots"][key]), key


def test_truth_of_a_pink_still_takes_the_right_wavelength() -> None:
    pink = replace(
        SIMULATION,
        beam=replace(SIMULATION.beam, dispersion_percent=10.0, dispsteps=20),
        scan=Scan(),
        crystal=replace(SIMULATION.crystal, Na=30, Nb=30, Nc=30),
    )
    result = simulate(pink, device="cpu")
    spots = spot_table(result.experiment, result.images)
    # Laue: the wavelength of a spot is 2 d sin(theta) of its reflection, known to the 0.5 % between two wavelengths
    s, f = spots["slow"] * 0.4e-3, spots["fast"] * 0.4e-3
    panel = result.experiment.panel
    place = panel.pix0 + np.outer(s, panel.sdet) + np.outer(f, panel.fdet)
    along = place @ result.experiment.detector.frame.beam / np.linalg.norm(place, axis=1)
    bright = spots["photons"] > spots["photons"].max() / 100
    found = (2 * spots["d_A"] * np.sqrt((1 - along) / 2))[bright]
    assert bright.sum() > 3
    # a pixel of 0.4 mm at 60 mm covers up to 3 % of 2 theta near the beam, 1 % farther out
    assert np.abs(found / spots["wavelength_A"][bright] - 1).max() < 0.03


def test_truth_of_a_series(tmp_path: Path) -> None:
    variations = make_variations({"crystal": {"cell": {"distribution": "normal", "mean": 1.0, "sigma": 0.02}}})
    recipe = series(kind="stills", images=4, variations=variations)
    run_series(recipe, tmp_path, workers=1)
    truth = read_truth(tmp_path / "image_truth.h5")
    shots, spots = truth["shots"], truth["spots"]
    assert shots["file"].tolist() == [b"image_%04d.img" % n for n in range(1, 5)]
    assert shots["n_spots"].sum() == len(spots["hkl"]) and shots["first_spot"][0] == 0
    for number in range(1, 5):
        experiment = resolve(recipe.shot(number).simulation)
        assert np.array_equal(shots["reciprocal"][number - 1], experiment.crystal.reciprocal)
        assert shots["unit_cell"][number - 1] == pytest.approx(experiment.crystal.unit_cell, rel=1e-12)
        rows = slice(shots["first_spot"][number - 1], shots["first_spot"][number - 1] + shots["n_spots"][number - 1])
        assert (spots["shot"][rows] == number).all()
    assert truth["thumbnails"]["photons"].shape[0] == 4


def test_panels(tmp_path: Path) -> None:
    panels = tuple(
        Panel(pix0_mm=(x, -8.0, 60.0), fast_axis=(1, 0, 0), slow_axis=(0, 1, 0), fpixels=30, spixels=40, pixel_mm=0.4)
        for x in (-13.0, 1.0)
    )
    split = replace(SIMULATION, detector=Detector(convention="XDS", panels=panels))
    run_series(series(simulation=split, images=1, outputs=series_outputs(nexus=Path("a.nxs"))), tmp_path, workers=1)
    truth = read_truth(tmp_path / "image_truth.h5")
    assert set(truth["spots"]["panel"]) == {0, 1}
    assert truth["thumbnails"]["photons"].shape == (1, 80, 30)
    assert len(json.loads((tmp_path / "image.expt").read_text())["detector"][0]["panels"]) == 2
    # both panels show the same crystal: photons of the one and the other make up the whole
    images = simulate(split, device="cpu").images
    for panel in (0, 1):
        found = truth["spots"]["photons"][truth["spots"]["panel"] == panel].sum(dtype=float)
        image = images[panel]
        assert found == pytest.approx(image[image >= LEAST_PHOTONS].sum(dtype=float), rel=1e-6)


@pytest.mark.parametrize("kind", ["rotation", "stills"])
def test_true_models_are_those_of_the_images(tmp_path: Path, kind: Any) -> None:
    recipe = series(kind=kind, images=2)
    run_series(recipe, tmp_path, workers=1, contact_sheet=False)
    content = json.loads((tmp_path / "image.expt").read_text())
    assert len(content["experiment"]) == (1 if kind == "rotation" else 2)
    if kind == "rotation":
        assert content["imageset"][0]["template"] == "image_####.img"
        assert content["scan"][0]["oscillation"] == pytest.approx([5.0, 1.0], rel=1e-12)
        assert content["scan"][0]["image_range"] == [1, 2]
    for index in range(len(content["experiment"])):
        found = read_expt(tmp_path / "image.expt", index=index)
        experiment = resolve(recipe.shot(index + 1).simulation)
        turn = to_imgcif(experiment)
        assert np.linalg.det(turn) == pytest.approx(1.0, rel=1e-12)
        # vectors of order 1, in double precision
        assert found.reciprocal == pytest.approx(turn @ experiment.crystal.reciprocal.T, abs=1e-12)
        assert found.panels[0].pix0_mm == pytest.approx(turn @ experiment.panel.pix0 * 1000, abs=1e-9)
        assert (found.panels[0].fpixels, found.panels[0].spixels) == (64, 48)
        if kind == "rotation":
            assert found.spindle == pytest.approx(turn @ experiment.detector.frame.spindle, abs=1e-12)


def test_a_rotation_series_in_nxmx_is_one_data_set(tmp_path: Path) -> None:
    outputs = series_outputs(nexus=Path("a.nxs"), noisefile=NOWHERE)
    run_series(series(images=3, outputs=outputs), tmp_path, workers=1, contact_sheet=False)
    with h5py.File(tmp_path / "a.nxs") as whole:
        assert whole["entry/data/data"].shape == (3, 48, 64)
        assert whole["entry/sample/transformations/omega"][()] == pytest.approx([5, 6, 7], abs=1e-12)
        for number in (1, 2, 3):
            with h5py.File(tmp_path / f"a_{number:04d}.nxs") as part:
                assert np.array_equal(whole["entry/data/data"][number - 1], part["entry/data/data"][0])
                assert part["entry/data/data"][0].max() > 0
    images = json.loads((tmp_path / "a.expt").read_text())["imageset"][0]
    assert images["template"] == "a.nxs" and images["single_file_indices"] == [0, 1, 2]
    run_series(series(kind="stills", images=2, outputs=outputs), tmp_path / "s", workers=1, contact_sheet=False)
    assert not (tmp_path / "s" / "a.nxs").exists()
