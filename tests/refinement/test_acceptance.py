"""Refinements whose outcome is known: the set-ups of diffBragg's own tests, with limits on both sides and drawn noise."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.model.experiment import resolve
from nbnumba.refinement.refined import Refined
from nbnumba.refinement.self_test import disturbed, judge, make_truth, misset_between, noisy

#: Seeds of the noise; one of them in the quick tests.
SEEDS = (1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow))


def photons(simulation: nb.Simulation) -> np.ndarray:
    """Expected photons, float64."""
    return nb.simulate(simulation, device="cpu").images[0].astype(np.float64)


@cache
def crystal() -> tuple[nb.Simulation, np.ndarray]:
    """The monoclinic crystal, with water and air beside it, and its image."""
    truth = make_truth()
    return truth, photons(truth)


def check_crystal(refined: Refined, truth: nb.Simulation, scale: float) -> None:
    """Limits of the first test: twice as narrow as what diffBragg reaches."""
    verdict = judge(refined, truth)
    assert refined.converged, refined.reason
    assert verdict.misset_deg < 0.002
    assert verdict.cell_A < 0.006
    assert verdict.cell_deg < 0.006
    assert verdict.N < 0.05
    assert abs(refined["scale"] / scale - 1) < 0.004
    assert all(abs(pull) < 3 for pull in verdict.pulls.values()), verdict.pulls
    assert abs(refined["scale"] - scale) < 3 * refined.error("scale")


@pytest.mark.parametrize("seed", SEEDS)
def test_crystal(seed):
    truth, image = crystal()
    start = disturbed(truth)
    refined = nb.refine(noisy(image, seed), start, "misset, cell, N, scale", device="cpu")
    check_crystal(refined, truth, 1.0)
    assert refined.evaluations <= 12
    assert abs(refined.chi2 - 1) < 0.1
    # the start is off by what it was disturbed by: a refinement that does nothing fails
    assert misset_between(resolve(start).crystal.direct, resolve(truth).crystal.direct) > 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_crystal_with_another_size_and_scale(seed):
    truth, image = crystal()
    start = disturbed(truth).changed(Na=20, Nb=20, Nc=20, fluence=truth.beam.fluence * 10)
    refined = nb.refine(noisy(image, seed), start, "misset, cell, N, scale", device="cpu")
    check_crystal(refined, truth, 0.1)


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson"])
def test_both_likelihoods_agree(likelihood):
    truth, image = crystal()
    refined = nb.refine(noisy(image, 4), disturbed(truth), device="cpu", likelihood=likelihood)
    check_crystal(refined, truth, 1.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_distance(seed):
    truth, image = crystal()
    start = disturbed(truth).changed(distance_mm=truth.detector.distance_mm + 1)
    refined = nb.refine(noisy(image, seed), start, "misset, cell, N, scale, distance", device="cpu")
    assert refined.converged, refined.reason
    assert abs(refined["distance_mm"] - 150) < 0.1
    assert abs(refined["distance_mm"] - 150) < 3 * refined.error("distance_mm")
    verdict = judge(refined, truth)
    assert all(abs(pull) < 3 for pull in verdict.pulls.values()), verdict.pulls


@pytest.mark.parametrize("seed", SEEDS)
def test_spectrum(seed):
    """Energies are stretched by 1 % about a value, and shifted, so that they are off by 11 eV."""
    eV_A = 12398.4198
    energies = np.linspace(9510.0, 9570.0, 31)
    weights = np.exp(-0.5 * ((energies - 9535.0) / 10.0) ** 2) + 0.4 * np.exp(-0.5 * ((energies - 9552.0) / 3.0) ** 2)
    truth = make_truth(spectrum=(eV_A / energies, weights))
    wrong = 9540.0 + (energies - 9540.0) * 1.03 + 11.0
    start = truth.changed(spectrum=(eV_A / wrong, weights))
    refined = nb.refine(noisy(photons(truth), seed), start, "spectrum, scale", device="cpu")
    assert refined.converged, refined.reason
    sources = refined.settings[0].first.sources
    mean = np.average(eV_A / (sources[:, 3] * 1e10), weights=sources[:, 4])
    assert abs(mean - np.average(energies, weights=weights)) < 0.3
    assert abs(np.average(wrong, weights=weights) - np.average(energies, weights=weights)) > 10


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.slow
def test_spread(seed):
    truth = make_truth(mosaic_spread_deg=0.2, mosaic_domains=1000)
    start = truth.changed(mosaic_spread_deg=0.12, mosaic_domains=250, mosaic_seed=seed)
    refined = nb.refine(noisy(photons(truth), seed), start, "spread, scale", device="cpu")
    assert refined.converged, refined.reason
    assert abs(refined["mosaic_spread_deg"] / 0.2 - 1) < 0.08


@pytest.mark.parametrize("seed", SEEDS)
def test_rotation_image(seed):
    truth = make_truth(Na=18, Nb=18, Nc=18, shape="square", osc_deg=0.5, phisteps=10, oversample=3)
    start = disturbed(truth, 0.1, (0.0,) * 6)
    refined = nb.refine(noisy(photons(truth), seed), start, "misset, scale", device="cpu")
    assert refined.converged, refined.reason
    assert judge(refined, truth).misset_deg < 0.005


@pytest.mark.parametrize("seed", SEEDS)
def test_two_lattices(seed):
    first, image = crystal()
    second = first.changed(misset_deg=(30.2, -21.5, 61.0), fluence=first.beam.fluence / 2)
    starts = [disturbed(first, 0.1, (0.0,) * 6), disturbed(second, 0.12, (0.0,) * 6, (-0.3, 0.5, 0.8))]
    refined = nb.refine(noisy(image + photons(second), seed), starts, "misset, scale", device="cpu")
    assert refined.converged, refined.reason
    for setting, truth in zip(refined.settings, (first, second), strict=True):
        assert misset_between(setting.state.direct, resolve(truth).crystal.direct) < 0.01
    assert abs(refined["lattice2.scale"] - 1) < 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_start(seed):
    truth, image = crystal()
    start = disturbed(truth, 0.4)
    refined = nb.refine(noisy(image, seed), start, device="cpu", search_deg=0.5)
    check_crystal(refined, truth, 1.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.slow
def test_structure_factors(seed):
    cell = (80, 80, 120, 90, 90, 120)
    import gemmi

    from nbnumba.io.symmetry import expand_to_p1, wanted_group

    group = wanted_group("P6522")
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.SpaceGroup("P6522"), 2.5)
    rng = np.random.default_rng(100 + seed)
    F = 150 * np.sqrt(rng.exponential(size=len(hkl))) + 20
    wrong = F * np.clip(rng.normal(1.0, 0.2, len(F)), 0.2, None)
    truth = make_truth(
        cell=cell,
        Na=12,
        Nb=12,
        Nc=10,
        hkl=expand_to_p1(hkl, F, None, group),
        fpixels=1000,
        spixels=1000,
        distance_mm=180,
    )
    start = truth.changed(hkl=expand_to_p1(hkl, wrong, None, group))
    refined = nb.refine(noisy(photons(truth), seed), start, "F", device="cpu", symmetry="P6522")
    rows = refined.amplitudes
    true = dict(
        zip(
            map(tuple, expand_to_p1(hkl, F, None, group)[0].tolist()), expand_to_p1(hkl, F, None, group)[1], strict=True
        )
    )
    known = np.array([true[tuple(key)] for key in rows[["h", "k", "l"]].tolist()])
    clear = rows["sigma"] < 0.2 * rows["F"]
    before, after = (np.abs(rows[name] - known)[clear].sum() / known[clear].sum() for name in ("F_start", "F"))
    assert clear.sum() > 300
    assert 0.12 < before < 0.2
    assert after < 0.03
