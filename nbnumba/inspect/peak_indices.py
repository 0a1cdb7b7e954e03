"""How far matched peaks of two images lie apart in reciprocal space, in fractional indices."""

from __future__ import annotations

import numpy as np

from nbnumba.inspect.metrics import find_peaks, matched_pairs
from nbnumba.model.experiment import Experiment
from nbnumba.render.inputs import build_inputs


def index_shift(
    a: np.ndarray, b: np.ndarray, valid: np.ndarray, radius: float, experiment: Experiment
) -> tuple[float, float, float] | None:
    """Mean |dh|, |dk|, |dl| between matched peaks, at the first source, phi step and mosaic domain.

    Parameters
    ----------
    a, b : (slow, fast) array
    valid : (slow, fast) bool
        Pixels that count.
    radius : float
        Largest distance of two matched peaks, pixels.

    Returns
    -------
    (3,) float or None
        None without a pair, and for a curved detector, on which peaks have no place in a plane.
    """
    one, two = find_peaks(a, valid), find_peaks(b, valid)
    first, second = matched_pairs(one, two, radius)
    if len(first) == 0 or experiment.detector.curved:
        return None
    h, k, l = np.abs(_indices(two[second], experiment) - _indices(one[first], experiment)).mean(axis=0).tolist()
    return h, k, l


def _indices(places: np.ndarray, experiment: Experiment) -> np.ndarray:
    """Fractional indices (n, 3) of the rays to places (n, 2), slow and fast, in pixels."""
    panel, inputs = experiment.panel, build_inputs(experiment)
    slow, fast = (panel.pixel_size * (places[:, [axis]] + 0.5) for axis in (0, 1))
    rays = panel.pix0 + slow * panel.sdet + fast * panel.fdet
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    source = inputs.sources[0]
    return (rays - source[:3]) / source[3] @ inputs.cells[0].reshape(3, 3).T
