"""What made each pixel: against a plain search, against the image, and against Bragg's law."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (h5py needs it to read what is compressed)
import numpy as np
import pytest

from nbnumba.kernels.formulas.lattice import F_latt
from nbnumba.model.config import Background, Beam, Crystal, Detector, Sampling, Scan, Simulation, StructureFactors
from nbnumba.model.frames import image_geometry
from nbnumba.model.outputs import Outputs
from nbnumba.output.truth import SPOT_SHARE, find_truth, list_spots, write_truth
from nbnumba.output.writing import write_outputs
from nbnumba.render.background import background_images
from nbnumba.render.inputs import build_inputs
from nbnumba.render.simulate import Result, simulate
from tests.compiled import from_python
from tests.conftest import GOLDEN


def run(**more: Any) -> Result:
    parts: dict[str, Any] = {
        "crystal": Crystal(
            cell=(40, 50, 60, 80, 95, 105),
            misset_deg=(10, 20, 30),
            Na=8,
            Nb=7,
            Nc=6,
            mosaic_spread_deg=2.0,
            mosaic_domains=3,
        ),
        "detector": Detector(fpixels=14, spixels=11, pixel_mm=2, distance_mm=40, Xbeam_mm=5, Ybeam_mm=9),
        "beam": Beam(fluence=1e28, wavelength_A=1.3, dispersion_percent=4.0, dispsteps=2),
        "scan": Scan(phi_deg=5, osc_deg=3, phisteps=2),
        "structure_factors": StructureFactors(default_F=30),
        "sampling": Sampling(oversample=2),
        **more,
    }
    return simulate(Simulation(**parts), device="cpu")


@pytest.mark.parametrize("shape", ["square", "gauss"])
@pytest.mark.parametrize("hkl", [None, GOLDEN / "inputs" / "sparse.hkl"])
def test_every_pixel_has_its_strongest_reflection(shape: Any, hkl: Path | None) -> None:
    factors = StructureFactors(hkl=hkl, default_F=30, write_dump=False, interpolate=False)
    crystal = Crystal(
        cell=(40, 50, 60), Na=8, Nb=7, Nc=6, shape=shape, mosaic_spread_deg=2, mosaic_domains=2, fudge=1e-4
    )
    result = run(crystal=crystal, structure_factors=factors, physics="correct")
    truth = find_truth(result)[0]
    inputs, panel = build_inputs(result.experiment), result.experiment.panel
    grid, lattice = result.experiment.structure_factors, from_python(F_latt)
    for s, f in ((0, 0), (5, 7), (10, 13), (3, 9)):
        best: tuple[float, ...] = (0.0,)
        for sub_s in (0.25, 0.75):
            for sub_f in (0.25, 0.75):
                place = panel.pix0 + panel.pixel_size * ((s + sub_s) * panel.sdet + (f + sub_f) * panel.fdet)
                for row in inputs.sources:
                    q = (place / np.linalg.norm(place) - row[:3]) / row[3]
                    for number, cell in enumerate(inputs.cells):
                        at = cell.reshape(3, 3) @ q
                        whole = np.ceil(at - 0.5).astype(int)
                        F = 30.0
                        if grid is not None:
                            place_in = whole - [grid.h_min, grid.k_min, grid.l_min]
                            if (place_in >= 0).all() and (place_in < grid.grid.shape).all():
                                F = grid.grid[tuple(place_in)]
                        term = F**2 * lattice(inputs.crystal, *at) ** 2
                        if term > best[0]:
                            phi = result.experiment.scan.phi[number // 2]
                            best = (term, *whole, row[3] * 1e10, np.degrees(phi))
        assert best[1:4] == tuple(truth.hkl[s, f])
        assert truth.wavelength_A[s, f] == pytest.approx(best[4], rel=1e-6)
        assert truth.phi_deg[s, f] == pytest.approx(best[5], rel=1e-6)


@pytest.mark.parametrize("water_um", [0.0, 300.0])
@pytest.mark.parametrize("air_mm", [0.0, 1000.0])
def test_bragg_and_background_make_the_image(water_um: float, air_mm: float) -> None:
    result = run(background=Background(water_um=water_um, air_mm=air_mm))
    truth, dry = find_truth(result)[0], run()
    assert np.array_equal(truth.bragg, dry.image)
    assert truth.bragg + truth.background == pytest.approx(result.image, rel=1e-6)
    assert (truth.background > 0).all() == (water_um + air_mm > 0)
    if not water_um and air_mm:
        air = background_images(result.experiment, [build_inputs(result.experiment)])
        assert air is not None
        assert np.abs(truth.background - air[0]).max() < 2e-7 * result.image.max()  # float32 sums


def test_spots_lie_where_bragg_s_law_puts_them() -> None:
    crystal = Crystal(cell=(40, 50, 60), misset_deg=(10, 20, 30), Na=10, Nb=10, Nc=10, shape="gauss")
    detector = Detector(fpixels=400, spixels=400, pixel_mm=0.2, distance_mm=60)
    beam = Beam(fluence=1e28, wavelength_A=1.3)
    result = run(
        crystal=crystal, detector=detector, beam=beam, scan=Scan(), physics="correct", sampling=Sampling(oversample=1)
    )
    spots = find_truth(result)[0].spots
    bright = spots[spots["lattice_share"] > 0.5]
    assert len(bright) > 20
    panel, inputs = result.experiment.panel, build_inputs(result.experiment)
    places = (
        panel.pix0
        + panel.pixel_size * bright["slow_px"][:, None] * panel.sdet
        + panel.pixel_size * bright["fast_px"][:, None] * panel.fdet
    )
    q = places / np.linalg.norm(places, axis=1)[:, None] - inputs.sources[0, :3]
    q /= bright["wavelength_A"][:, None] * 1e-10
    at = q @ inputs.cells[0].reshape(3, 3).T
    indices = np.stack([bright[name] for name in "hkl"], axis=1)
    # spots of 10 cells are 1/10 wide, and at least half as bright as they can be
    assert np.abs(at - indices).max() < 0.05


def test_spots_are_sums_over_their_pixels() -> None:
    truth = find_truth(run())[0]
    spots = truth.spots
    assert len(spots) > 3 and (np.diff(spots["photons"]) <= 0).all() and (spots["lattice_share"] >= SPOT_SHARE).all()
    for spot in spots[:4]:
        own = (truth.hkl == [spot["h"], spot["k"], spot["l"]]).all(axis=-1)
        light = truth.bragg[own].astype(float)
        assert spot["pixels"] == own.sum() and spot["peak_photons"] == light.max()
        assert spot["photons"] == pytest.approx(light.sum(), rel=1e-12)
        s, f = np.nonzero(own)
        assert spot["fast_px"] == pytest.approx(light @ (f + 0.5) / light.sum(), rel=1e-12)
        assert spot["slow_px"] == pytest.approx(light @ (s + 0.5) / light.sum(), rel=1e-12)
        assert spot["phi_deg"] == pytest.approx(light @ truth.phi_deg[own] / light.sum(), rel=1e-6)


def test_dark_panels_have_no_spots() -> None:
    dark = np.zeros((2, 2))
    assert len(list_spots(np.zeros((2, 2, 3), np.int32), dark > 0, dark, dark, dark, dark)) == 0
    truth = find_truth(run(sampling=Sampling(roi=(2, 4, 3, 5), oversample=1)))[0]
    assert np.isnan(truth.wavelength_A[0, 0]) and not truth.hkl[0, 0].any() and truth.lattice_share[0, 0] == 0
    assert np.isfinite(truth.wavelength_A[3:6, 2:5]).all()


def test_truth_is_read_back_from_its_file(tmp_path: Path) -> None:
    result = run()
    names: dict[str, Any] = {"floatfile": tmp_path / "f", "intfile": tmp_path / "i", "noisefile": None, "pgmfile": None}
    written = write_outputs(result, Outputs(**names, truth=tmp_path / "t.h5"))
    assert tmp_path / "t.h5" in written.files
    truth = find_truth(result)
    with h5py.File(tmp_path / "t.h5") as file:
        for name, values in vars(truth[0]).items():
            assert np.array_equal(file["panel_0"][name][()], values) or values.dtype.kind == "f"
        assert np.array_equal(file["panel_0/wavelength_A"], truth[0].wavelength_A, equal_nan=True)
        assert file["panel_0/spots"]["h"][0] == truth[0].spots["h"][0]
    geometry = image_geometry(result.experiment)
    with h5py.File(tmp_path / "t.h5") as file:
        place = file["panel_0"].attrs
        assert np.array_equal(place["origin_mm"], geometry.panel.origin_mm) and tuple(place["slow_fast"]) == (0, 0)
        assert np.array_equal(place["slow_axis"], geometry.panel.slow) and tuple(file.attrs["beam"]) == (0, 0, -1)
    write_truth(tmp_path / "again.h5", truth, geometry)
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "t.h5").read_bytes()
