"""Standard errors are true, and refinements from many starts end at the truth or say that they did not."""

from __future__ import annotations

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.refinement.self_test import disturbed, judge, make_truth, noisy

pytestmark = pytest.mark.slow


def make_image():
    """A smaller image than that of the self-test, and its truth."""
    truth = make_truth(fpixels=300, spixels=300, distance_mm=90)
    return truth, nb.simulate(truth, device="cpu").images[0].astype(np.float64)


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson"])
def test_pulls_of_a_hundred_noise_draws(likelihood):
    truth, image = make_image()
    start = disturbed(truth)
    pulls: dict[str, list[float]] = {"scale": []}
    for seed in range(100):
        refined = nb.refine(noisy(image, 1000 + seed), start, device="cpu", threads=1, likelihood=likelihood)
        assert refined.converged, refined.reason
        pulls["scale"].append((refined["scale"] - 1.0) / refined.error("scale"))
        for name, pull in judge(refined, truth).pulls.items():
            pulls.setdefault(name, []).append(pull)
    assert len(pulls) == 11
    for name, found in pulls.items():
        assert abs(np.mean(found)) < 0.3, name
        assert 0.8 < np.std(found) < 1.25, name


def test_two_hundred_starts():
    truth, image = make_image()
    rng = np.random.default_rng(7)
    reached = 0
    for number in range(200):
        axis = rng.normal(size=3)
        cell = (*rng.uniform(-0.2, 0.2, 3), 0.0, rng.uniform(-0.15, 0.15), 0.0)
        start = disturbed(truth, rng.uniform(0.0, 0.2), cell, tuple(axis / np.linalg.norm(axis)))
        start = start.changed(Na=int(rng.integers(9, 20)), Nb=int(rng.integers(9, 20)), Nc=int(rng.integers(9, 20)))
        start = start.changed(fluence=truth.beam.fluence * float(np.exp(rng.uniform(-2, 2))))
        refined = nb.refine(noisy(image, number), start, device="cpu", threads=1)
        verdict = judge(refined, truth)
        found = verdict.misset_deg < 0.02 and max(map(abs, verdict.pulls.values())) < 5
        assert found or not refined.converged or refined.chi2 > 1.5, number
        reached += found and refined.converged
    assert reached >= 196
