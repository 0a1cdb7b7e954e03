"""Planted causes of the difference of two images are named; differences without a known cause are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.inspect.causes import Cause
from nbnumba.inspect.compare import Comparison, compare_images
from nbnumba.inspect.model_causes import explain_by_model
from nbnumba.model.experiment import resolve

RNG = np.random.default_rng(4)
HKL = np.array([(h, k, l) for h in range(-12, 13) for k in range(-12, 13) for l in range(-12, 13)])
F = RNG.gamma(2.0, 60.0, len(HKL))
SIMULATION = nb.Simulation(
    crystal=nb.Crystal(cell=(22.0, 25.0, 29.0, 90, 101, 90), misset_deg=(10.0, 20.0, 30.0), Na=6, Nb=5, Nc=4),
    beam=nb.Beam(wavelength_A=1.0, fluence=1e26),
    detector=nb.Detector(distance_mm=60, fpixels=90, spixels=80, pixel_mm=0.5, convention="XDS"),
    structure_factors=nb.StructureFactors(hkl=(HKL, F), write_dump=False),
    scan=nb.Scan(phi_deg=0.0, osc_deg=1.0, phisteps=5),
    sampling=nb.Sampling(oversample=1),
)


def image(**changes: Any) -> np.ndarray:
    """Image of the simulation with other values."""
    return nb.simulate(SIMULATION.changed(**changes), device="cpu", precision="double").image


def by_images(a: np.ndarray, b: np.ndarray) -> Cause:
    """Cause that the images alone show."""
    return compare_images(a, b).cause


def by_model(a: np.ndarray, b: np.ndarray, simulation: nb.Simulation = SIMULATION) -> Cause:
    """Cause that needs the experiment, which the images alone must not show."""
    comparison: Comparison = compare_images(a, b)
    assert not comparison.explained, comparison.cause
    return explain_by_model(comparison.a, comparison.b, comparison.valid, resolve(simulation))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda x: x * 1.37, "factor"),
        (lambda x: x + 40, "pedestal"),
        (lambda x: x[::-1], "axes"),
        (lambda x: x[:, ::-1], "axes"),
        (lambda x: x[::-1, ::-1], "axes"),
        (lambda x: np.roll(x, (2, -1), (0, 1)), "shift"),
        (lambda x: x.astype(np.float32).byteswap(), "byte order"),
        (lambda x: x * (1 + 2e-7 * RNG.standard_normal(x.shape)), "rounding"),
        (lambda x: x.copy(), "identical"),
    ],
)
def test_changes_of_an_image_are_named(change: Any, cause: str) -> None:
    a = image(phisteps=1)
    a[70:, :] = 0
    a[:5, :] = 0
    found = by_images(a, np.ascontiguousarray(change(a)))
    assert (found.name, found.explains) == (cause, True), found


def test_byte_order_of_counts() -> None:
    counts = RNG.poisson(30, (50, 60)).astype(np.uint16)
    assert by_images(counts, counts.byteswap()).name == "byte order"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"physics": "released"}, "phi 0"),
        ({"phi_deg": 0.1}, "half a phi step"),
        ({"phi_deg": -0.1}, "half a phi step"),
        ({"nopolar": True}, "polarization"),
        ({"ORGX": 45.5, "ORGY": 40.0}, "shift"),
        ({"hkl": (HKL[:, ::-1], F)}, "exchanged indices"),
        ({"hkl": (HKL[:, [1, 0, 2]], F)}, "exchanged indices"),
        ({"hkl": (-HKL, F)}, "Friedel mates"),
        ({"hkl": (HKL[HKL @ (400, 20, 1) >= 0], F[HKL @ (400, 20, 1) >= 0])}, "Friedel mates"),
        ({"hkl": (HKL[HKL @ (20, 1, 400) >= 0], F[HKL @ (20, 1, 400) >= 0])}, "Friedel mates"),
    ],
)
def test_planted_causes_are_named(changes: dict[str, Any], cause: str) -> None:
    at = {"ORGX": 45.0, "ORGY": 40.0}
    base = SIMULATION.changed(**at)
    found = by_model(image(**at | changes), image(**at), base)
    assert (found.name, found.explains) == (cause, True), found
    assert "A is explained by" in found.text
    # and with the images the other way round
    found = by_model(image(**at), image(**at | changes), base)
    assert (found.name, found.explains) == (cause, True) and "B is explained by" in found.text


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_water_counted_otherwise(factor: float) -> None:
    water = {"water_um": 1.0, "phisteps": 2}
    dry, wet = image(**{**water, "water_um": 0.0}), image(**water)
    other = dry + factor * (wet - dry)
    assert by_model(other, wet, SIMULATION.changed(**water)).name in ("water", "")
    assert (
        explain_by_model(
            other.astype(float), wet.astype(float), np.ones(wet.shape, bool), resolve(SIMULATION.changed(**water))
        ).name
        == "water"
    )


def test_the_rule_of_oversample_flags() -> None:
    flags = {"oversample": 2, "oversample_omega": True, "oversample_polar": True}
    ours, theirs = image(**flags), image(**flags, physics="upstream")
    assert by_model(theirs, ours, SIMULATION.changed(**flags)).name == "oversample rule"
    assert by_model(ours, theirs, SIMULATION.changed(**flags, physics="upstream")).name == "oversample rule"


def test_mates_that_were_left_out() -> None:
    half = HKL @ (400, 20, 1) >= 0
    symmetric = F.copy()
    symmetric[::-1][half] = F[half]  # the list is symmetric about 0 0 0: the mate of the n-th is the n-th last
    ours, theirs = image(hkl=(HKL[half], F[half])), image(hkl=(HKL, symmetric))
    found = by_model(theirs, ours, SIMULATION.changed(hkl=(HKL[half], F[half])))
    assert found.name == "Friedel mates" and "leaves out" in found.text


def test_no_known_cause() -> None:
    """Another cell: the three largest differences, with indices."""
    ours, theirs = image(), image(cell=(22.4, 25.0, 29.0, 90, 101, 90), Na=7)
    found = by_model(theirs, ours)
    assert found.name == "" and not found.explains
    assert found.text.startswith("no known cause; the largest differences: slow ")
    assert found.text.count("hkl") == 3


def test_flags_of_another_image() -> None:
    found = by_model(image(phi_deg=20.0), image(phi_deg=30.0))
    assert not found.explains and "neither image is that of the flags" in found.text


def test_single_pixels_are_not_rounding() -> None:
    a = image(phisteps=1)
    b = a.copy()
    b[10, 20] += 0.01 * a.max()
    assert by_images(a, b).text.startswith("a single pixel differs: slow 10, fast 20")
    b[10, 20] = a[10, 20] + 2e-6 * a.max()
    assert by_images(a, b).name == "rounding"


def test_the_sentence_is_in_the_data(tmp_path: Path) -> None:
    a = image(phisteps=1)
    comparison = compare_images(a, 2 * a)
    data = replace(comparison).data()
    assert data["cause"] == "factor" and data["explained"] and not data["passed"]
