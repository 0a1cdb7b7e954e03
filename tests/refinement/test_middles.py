"""Middles of spots as a target: its derivatives, and from how far away it leads to the right model."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.refinement.measured import take_image
from nbnumba.refinement.middles import HUBER, Middles
from nbnumba.refinement.minimizer import minimize
from nbnumba.refinement.refine import Refinement, make_options, prepare
from nbnumba.refinement.self_test import disturbed, make_truth, noisy


@cache
def image() -> tuple[nb.Simulation, np.ndarray]:
    truth = make_truth(fpixels=256, spixels=256)
    return truth, noisy(nb.simulate(truth, device="cpu").images[0].astype(np.float64), 1)


def refinement(start: nb.Simulation, names: str, **options: object) -> Refinement:
    wanted = make_options(names, (), None, options)
    experiment = prepare(start, wanted)
    return Refinement([experiment], take_image(image()[1], experiment, wanted), wanted, "cpu")


@pytest.mark.parametrize("turn", [0.02, 0.15])
def test_gradient_is_that_of_the_value(turn):
    """Also where distances are so large that they count less."""
    found = refinement(disturbed(image()[0], turn, (0.05, 0.0, -0.1, 0, 0.02, 0)), "misset, cell, N, distance, scale")
    middles = Middles(found.target)
    x = np.zeros(len(found.free))
    point = middles.at(x)
    for i in range(len(x)):
        step = 1e-4
        for _ in range(2):
            ahead, behind = (middles.at(x + sign * step * np.eye(len(x))[i]).value for sign in (1, -1))
            slope = (ahead - behind) / (2 * step)
            step /= 4
        assert slope == pytest.approx(point.gradient[i], rel=2e-3, abs=2e-3 * np.abs(point.gradient).max() / 100), i
    assert np.linalg.eigvalsh(point.information).min() > -1e-9 * np.trace(point.information)
    assert HUBER > 0


def test_the_way_from_far_away():
    """A detector that is off by three widths of a spot: pixels do not find it, middles do."""
    truth = image()[0]
    panel = nb.resolve(truth).panel
    start = truth.changed(Xbeam_mm=panel.Xbeam * 1000 + 0.6, Ybeam_mm=panel.Ybeam * 1000 - 0.5)
    far = refinement(start, "panel_fast_mm, panel_slow_mm, scale", reach_deg=0.5)
    pixels = minimize(far.target.at, far.first, [0, 1, 2], far.bounds, 50).point
    middles = Middles(far.target)
    near = minimize(middles.at, middles.at(far.first.x), [0, 1], far.bounds, 30).point
    last = minimize(far.target.at, far.target.at(near.x), [0, 1, 2], far.bounds, 50).point
    assert last.value < pixels.value - 1000
    assert sorted(np.abs(last.x[:2])) == pytest.approx([0.5, 0.6], abs=0.003)
    assert np.abs(near.x[:2] - last.x[:2]).max() < 0.03, "middles alone come within a fifth of a pixel"


def test_dim_spots_have_no_middle():
    truth = image()[0]
    start = refinement(truth, "misset, scale")
    middles = Middles(start.target)
    boxes = start.target.boxes
    light = boxes.sums(start.first.light)
    dim = light < 0.01 * np.percentile(light, 90)
    point = middles.at(np.zeros(4))
    assert np.isfinite(point.value) and np.isfinite(point.information).all()
    assert dim.sum() > 5 and not (middles._clear & dim).any()
    assert middles._clear.sum() > 30
    assert point.information[3, 3] == pytest.approx(0.0, abs=1e-12), "no scale moves a middle"
