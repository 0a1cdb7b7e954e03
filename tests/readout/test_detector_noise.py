"""Point spread, gain, noise, saturation and dead pixels against their definitions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import fabio
import h5py
import hdf5plugin  # noqa: F401  (h5py needs it to read what is compressed)
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.errors import ConfigError
from nbnumba.io.npy import read_npy
from nbnumba.model.config import Beam, Crystal, Detector, Panel, Sampling, Simulation, StructureFactors
from nbnumba.model.outputs import MAX_COUNT, Outputs, Readout
from nbnumba.output.writing import Written, write_outputs
from nbnumba.readout.detector_noise import (
    Frame,
    dead_pixels,
    fiber_weights,
    gauss_weights,
    read_out,
    sensitivity,
    spread,
)
from nbnumba.readout.noise import noise_image
from nbnumba.render.simulate import Result, simulate

FLAT = np.full((300, 400), 100.0, np.float32)


def frame(image: np.ndarray = FLAT, seed: int | None = 7, offset: float = 40, **model: Any) -> Frame:
    return read_out(image, Readout(**model), pixel_um=100, offset=offset, seed=seed)


# --- noise -------------------------------------------------------------------------------------------------------


def test_photons_are_those_of_the_fast_generator() -> None:
    image = np.random.default_rng(3).uniform(0, 300, (40, 50)).astype(np.float32)
    plain = noise_image(image, (0, 40, 0, 50), 11, 40.0, "philox")
    mine = frame(image, seed=11)
    assert np.array_equal(mine.counts, plain.counts)
    assert mine.photons == plain.photons


@pytest.mark.parametrize(
    ("model", "variance"),
    [
        ({}, 100.0),
        ({"gain": 3.0}, 900.0),
        ({"read_noise": 8.0}, 100 + 64 + 1 / 12),  # rounding adds 1/12
        ({"flicker_percent": 10.0}, 100 + 100),  # (0.1 * 100)^2
        ({"calibration_percent": 5.0}, 100 + 25),
    ],
)
def test_variance_is_the_sum_of_its_sources(model: dict[str, Any], variance: float) -> None:
    counts = frame(**model).counts.astype(float)
    gain = model.get("gain", 1.0)
    n = counts.size
    # five standard errors of mean and variance of n normal-like numbers
    assert counts.mean() == pytest.approx(100 * gain + 40, abs=5 * math.sqrt(variance / n))
    assert counts.var() == pytest.approx(variance, rel=5 * math.sqrt(2.1 / n))


def test_without_noise_counts_are_rounded_photons() -> None:
    image = np.array([[0.0, 0.4, 0.5, 7.2, -3.0]], np.float32)
    assert frame(image, seed=None, offset=10).counts.tolist() == [[10, 10, 11, 17, 10]]
    assert frame(image, seed=None, offset=10, gain=10.0, flicker_percent=50.0).counts.tolist() == [[10, 14, 15, 82, 10]]


def test_saturated_pixels_are_counted_and_cut() -> None:
    image = np.array([[90.0, 100.0, 110.0, 1e30]], np.float32)
    cut = frame(image, seed=None, offset=0, saturation=100)
    assert cut.counts.tolist() == [[90, 100, 100, 100]] and cut.overloads == 2
    assert frame(image, seed=None, saturation=MAX_COUNT).counts[0, 3] == MAX_COUNT


def test_very_bright_pixels_keep_poisson_statistics() -> None:
    image = np.full((100, 100), 4e6, np.float32)
    counts = frame(image, offset=0, saturation=MAX_COUNT).counts
    assert counts.var() == pytest.approx(4e6, rel=5 * math.sqrt(2 / counts.size))


def test_seeds_decide_everything() -> None:
    model: dict[str, Any] = {"read_noise": 3.0, "flicker_percent": 2.0, "calibration_percent": 2.0}
    assert np.array_equal(frame(**model).counts, frame(**model).counts)
    assert not np.array_equal(frame(**model).counts, frame(seed=8, **model).counts)
    first, second = (read_out(FLAT, Readout(), pixel_um=100, offset=0, seed=1, panel_index=i).counts for i in (0, 1))
    assert not np.array_equal(first, second)


def test_calibration_is_the_same_for_every_image() -> None:
    readout = Readout(calibration_percent=10.0)
    means = np.mean([frame(seed=seed, offset=0, calibration_percent=10.0).counts for seed in range(30)], axis=0)
    expected = 100 * sensitivity(FLAT.shape, readout)
    # the mean of 30 images scatters by sqrt(100/30) = 1.8 around a pattern that scatters by 10
    assert np.corrcoef(means.ravel(), np.ravel(expected))[0, 1] > 0.97


def test_one_effect_leaves_the_numbers_of_others_alone() -> None:
    with_noise, without = frame(read_noise=5.0).counts, frame().counts
    assert np.abs(with_noise - without).max() < 5 * 6
    assert (with_noise - without).std() == pytest.approx(5, rel=0.02)


def test_dead_pixels_are_a_share_and_stay() -> None:
    readout = Readout(dead_percent=3.0)
    dead = dead_pixels((500, 500), readout)
    assert dead.mean() == pytest.approx(0.03, abs=5 * math.sqrt(0.03 / dead.size))
    assert np.array_equal(dead, dead_pixels((500, 500), readout))
    assert not np.array_equal(dead, dead_pixels((500, 500), readout, panel_index=1))


# --- point spread ------------------------------------------------------------------------------------------------


def direct(photons: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Sum over all pixels, one by one."""
    S, F = photons.shape
    cs, cf = kernel.shape[0] // 2, kernel.shape[1] // 2
    out = np.zeros_like(photons)
    for s in range(S):
        for f in range(F):
            for t in range(S):
                for g in range(F):
                    if abs(t - s) <= cs and abs(g - f) <= cf:
                        out[t, g] += photons[s, f] * kernel[cs + t - s, cf + g - f]
    return out


@pytest.mark.parametrize("psf", ["gauss", "fiber"])
@pytest.mark.parametrize("fwhm", [0.3, 1.7])
def test_point_spread_is_the_plain_sum(psf: str, fwhm: float) -> None:
    photons = np.random.default_rng(5).uniform(0, 100, (7, 12))
    kernel = np.outer(gauss_weights(fwhm), gauss_weights(fwhm)) if psf == "gauss" else fiber_weights((7, 12), fwhm)
    assert np.abs(spread(photons, psf, fwhm) - direct(photons, kernel)).max() < 1e-11  # rounding of sums of 1e3


@pytest.mark.parametrize("psf", ["gauss", "fiber"])
def test_point_spread_has_the_width_that_was_asked_for(psf: str) -> None:
    fwhm = 40.0
    photons = np.zeros((401, 401))
    photons[200, 200] = 1.0
    blurred = spread(photons, psf, fwhm)
    # one pixel of 40 is flat enough: profile at half the width against its middle
    assert blurred[200, 220] / blurred[200, 200] == pytest.approx(0.5, rel=2e-3)
    assert np.allclose(blurred, blurred[::-1], rtol=0, atol=1e-15)


@settings(max_examples=25)
@given(fwhm=st.floats(0.05, 5.0), s=st.integers(0, 39), f=st.integers(0, 29))
def test_gauss_keeps_all_light_that_stays_on_the_panel(fwhm: float, s: int, f: int) -> None:
    photons = np.zeros((40 + 40, 30 + 40))
    photons[s + 20, f + 20] = 1000.0
    blurred = spread(photons, "gauss", fwhm)
    assert blurred.sum() == pytest.approx(1000, rel=1e-12)
    centre = np.array([(blurred.sum(axis=1) @ np.arange(80)), (blurred.sum(axis=0) @ np.arange(70))]) / 1000
    assert centre == pytest.approx([s + 20, f + 20], abs=1e-9)


def test_fiber_tail_falls_with_the_cube_of_the_distance() -> None:
    weights = fiber_weights((200, 200), 0.5)
    assert weights[199, 199 + 160] / weights[199, 199 + 80] == pytest.approx(1 / 8, rel=1e-3)
    assert weights.sum() == pytest.approx(1.0, abs=0.003)  # g/R = 0.33/200 of the light goes further


def test_point_spread_lowers_the_variance_not_the_mean() -> None:
    sharp, blurred = frame(), frame(psf_fwhm_um=200.0)
    inner = (slice(10, -10), slice(10, -10))
    assert blurred.photons == sharp.photons
    assert blurred.counts[inner].mean() == pytest.approx(140, abs=0.2)
    assert blurred.counts[inner].var() < 30


# --- configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        {"gain": 0.0},
        {"read_noise": -1.0},
        {"saturation": 0},
        {"saturation": MAX_COUNT + 1},
        {"dead_percent": 101.0},
        {"psf": "round"},
        {"flicker_percent": math.nan},
    ],
)
def test_impossible_detectors_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"readout\.{next(iter(bad))} must be"):
        Readout(**bad)


def test_only_the_default_is_ideal() -> None:
    assert Readout().is_ideal and Readout(dead_percent=1.0).is_ideal
    changes: tuple[dict[str, Any], ...] = (
        {"gain": 2.0},
        {"saturation": 65535},
        {"read_noise": 1.0},
        {"psf_fwhm_um": 1.0},
    )
    assert not any(Readout(**change).is_ideal for change in changes)


# --- files of a run ----------------------------------------------------------------------------------------------

PANELS = tuple(
    Panel(pix0_mm=(x, 2, 50), fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), spixels=20, fpixels=20, pixel_mm=0.2)
    for x in (-5, 1)
)


def result(fluence: float = 3e28, mask: np.ndarray | None = None, **more: Any) -> Result:
    detector = Detector(fpixels=40, spixels=30, pixel_mm=0.2, distance_mm=50)
    return simulate(
        Simulation(
            crystal=Crystal(cell=(30, 40, 50), Na=5, Nb=5, Nc=5),
            structure_factors=StructureFactors(default_F=50),
            beam=Beam(fluence=fluence),
            mask=mask,
            **{"detector": detector, **more},
        ),
        device="cpu",
    )


def write(folder: Path, made: Result, noise: bool = True, **more: Any) -> Written:
    names: dict[str, Any] = {
        "cbf": folder / "a_1.cbf",
        "nexus": folder / "a.nxs",
        "npy": folder / "a.npy",
        "pgmfile": None,
    }
    names |= {"floatfile": folder / "f.bin", "intfile": folder / "i_1.img"}
    return write_outputs(made, Outputs(noisefile=folder / "n_1.img" if noise else None, seed=3, **names, **more))


def read(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with h5py.File(folder / "a.nxs") as file:
        return fabio.open(str(folder / "a_1.cbf")).data, file["entry/data/data"][0], read_npy(folder / "a.npy")


@pytest.mark.parametrize("model", [{}, {"gain": 2.5, "psf_fwhm_um": 150.0, "flicker_percent": 3.0}])
@pytest.mark.parametrize("adc_offset", [40.0, 10.4])
def test_all_files_hold_the_same_counts(tmp_path: Path, model: dict[str, Any], adc_offset: float) -> None:
    write(tmp_path, result(), adc_offset=adc_offset, smv="adsc", **model)
    smv = fabio.open(str(tmp_path / "n_1.img"))
    cbf, nexus, npy = read(tmp_path)
    assert smv.data.max() > 60 and np.array_equal(cbf, smv.data.astype(int) - int(adc_offset))
    assert np.array_equal(cbf, nexus) and np.array_equal(cbf, npy)
    assert float(smv.header["GAIN"]) == model.get("gain", 1) and float(smv.header["IMAGE_PEDESTAL"]) == adc_offset


def test_without_noise_counts_are_expected_photons_on_the_absolute_scale(tmp_path: Path) -> None:
    made = result(fluence=3e33)
    written = write(tmp_path, made, noise=False, gain=2.0)
    cbf, nexus, _ = read(tmp_path)
    assert written.noise_seed is None and cbf.max() > 1e6
    assert np.array_equal(cbf, np.floor(made.image.astype(float) * 2 + 0.5)) and np.array_equal(cbf, nexus)


def test_pixels_without_a_measurement_are_marked(tmp_path: Path) -> None:
    mask = np.ones((30, 40), np.uint16)
    mask[3, 4] = 0
    made = result(mask=mask, sampling=Sampling(roi=(5, 39, 0, 28)))
    write(tmp_path, made, dead_percent=10.0)
    dead = dead_pixels((30, 40), Readout(dead_percent=10.0))
    outside = np.ones((30, 40), bool)
    outside[:29, 5:] = mask[:29, 5:] == 0
    cbf, nexus, npy = read(tmp_path)
    assert dead.any() and np.array_equal(cbf == -1, dead | outside) and np.array_equal(cbf, npy)
    with h5py.File(tmp_path / "a.nxs") as file:
        assert np.array_equal(file["entry/instrument/detector/pixel_mask"], 2 * dead + outside)
    assert not nexus[dead | outside].any()


def test_saturation_goes_to_every_header(tmp_path: Path) -> None:
    write(tmp_path, result(fluence=1e32), saturation=100_000)
    cbf, nexus, _ = read(tmp_path)
    assert cbf.max() == nexus.max() == 100_000 - 40
    assert "Count_cutoff 99960 counts" in fabio.open(str(tmp_path / "a_1.cbf")).header["_array_data.header_contents"]
    with h5py.File(tmp_path / "a.nxs") as file:
        assert file["entry/instrument/detector/saturation_value"][()] == 99960
    assert fabio.open(str(tmp_path / "n_1.img")).data.max() == 65535


def test_read_noise_goes_below_zero_where_the_format_can_say_it(tmp_path: Path) -> None:
    write(tmp_path, result(fluence=1e20), read_noise=4.0)
    cbf, nexus, npy = read(tmp_path)
    assert nexus.min() < -5 and nexus.std() == pytest.approx(4.0, rel=0.1)
    assert cbf.min() == npy.min() == 0
    with h5py.File(tmp_path / "a.nxs") as file:
        assert file["entry/instrument/detector/underload_value"][()] == -40


def test_negative_offsets_do_not_spoil_counts(tmp_path: Path) -> None:
    write(tmp_path, result(), adc_offset=-5.0)
    plain = noise_image(result().image, (0, 30, 0, 40), 3, 0.0)
    assert np.array_equal(read(tmp_path)[0], plain.counts)


def test_every_panel_is_in_the_files_that_can_hold_it(tmp_path: Path) -> None:
    made = result(detector=Detector(convention="CUSTOM", panels=PANELS, beam_vector=(0, 0, 1)))
    written = write(tmp_path, made)
    cbf, nexus, npy = read(tmp_path)
    assert npy.shape == (2, 20, 20) and np.array_equal(nexus.reshape(2, 20, 20), npy) and np.array_equal(cbf, npy[0])
    assert npy[1].max() > 10 and not np.array_equal(npy[0], npy[1])
    assert any("hold the first of 2 panels: --nexus FILE" in note for note in written.notes)


def test_what_headers_cannot_say_is_said(tmp_path: Path) -> None:
    assert not write(tmp_path, result(), smv="adsc").notes
    dials = Detector(convention="DIALS", fpixels=40, spixels=30, pixel_mm=0.2, distance_mm=50)
    notes = write(tmp_path, result(detector=dials), smv="adsc").notes
    words = "geometry.goniometer.axes=0,-1,0 geometry.beam.polarization_normal=1,0,0"
    assert len(notes) == 1 and notes[0].endswith(f"dials.import {words}")
    names: dict[str, Any] = {key: tmp_path / key for key in ("floatfile", "intfile", "noisefile", "pgmfile")}
    outputs = Outputs(**names, smv="adsc")
    assert "image_0001" in write_outputs(result(), outputs).notes[0]


def test_panels_of_different_width_stand_below_one_another(tmp_path: Path) -> None:
    """Beside the narrower one nothing is measured: -1, as everywhere."""
    axes = {"fast_axis": (1.0, 0.0, 0.0), "slow_axis": (0.0, -1.0, 0.0), "pixel_mm": 0.4}
    panels = tuple(
        Panel(pix0_mm=(-2.0, y, 50.0), fpixels=fpixels, spixels=spixels, **axes)
        for y, fpixels, spixels in ((4.0, 9, 6), (1.0, 7, 5))
    )
    write(tmp_path, result(detector=Detector(convention="XDS", panels=panels)))
    counts = read_npy(tmp_path / "a.npy")
    assert counts.shape == (11, 9)
    assert (counts[6:, 7:] == -1).all()
    assert counts[:6].min() >= 0 and counts[6:, :7].min() >= 0
