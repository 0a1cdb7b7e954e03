"""A plane of background beside each spot, fitted robustly before there is a model of the spot."""

from __future__ import annotations

import numpy as np

from nbnumba.refinement.boxes import Boxes

#: Rounds of the fit, and standard deviations from which on a pixel counts as part of a spot.
ROUNDS, LIMIT = 4, 2.5
#: What holds slopes of boxes with few pixels of background, in pixels of weight.
RIDGE = 1e-3


def first_planes(boxes: Boxes, noise: float) -> np.ndarray:
    """Level and slopes along the two places of every box, (boxes, 3) float64.

    The pixels outside of spots are fitted; those of them that are brighter than the plane by :data:`LIMIT` standard
    deviations, or darker, are left out in the next round.
    """
    planes = np.zeros((len(boxes), 3))
    owner = boxes.owner
    use = ~boxes.bright
    # a box without a frame: its darkest half
    level = _median(boxes, np.where(use, boxes.photons, np.inf))
    without = ~np.isfinite(level)
    if without.any():
        level = np.where(without, _median(boxes, boxes.photons), level)
        use |= without[owner] & (boxes.photons <= level[owner])
    planes[:, 0] = np.maximum(level, 0.0)
    for _ in range(ROUNDS):
        model = planes[owner, 0] + (planes[owner, 1:] * boxes.places).sum(axis=1)
        variance = np.maximum(model, 0.0) + noise + 0.25
        off = boxes.photons - model
        good = use & (off * off <= LIMIT**2 * variance)
        planes = _solve(boxes, np.where(good, 1.0 / variance, 0.0), planes)
    return planes


def _median(boxes: Boxes, values: np.ndarray) -> np.ndarray:
    """Median over each box of the finite values, infinite where there is none."""
    owner = boxes.owner
    order = np.lexsort((values, owner))
    counts = boxes.sums(np.isfinite(values).astype(np.int64))
    middle = boxes.starts[:-1] + np.maximum(counts - 1, 0) // 2
    after = boxes.starts[:-1] + counts // 2
    found = (values[order[middle]] + values[order[np.minimum(after, boxes.starts[1:] - 1)]]) / 2
    return np.where(counts > 0, found, np.inf)


def _solve(boxes: Boxes, weights: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Weighted least squares of every box; boxes without weight keep their plane."""
    columns = np.column_stack([np.ones(len(weights)), boxes.places])
    matrix = np.empty((len(boxes), 3, 3))
    for i in range(3):
        for j in range(i + 1):
            matrix[:, i, j] = matrix[:, j, i] = boxes.sums(weights * columns[:, i] * columns[:, j])
    right = np.stack([boxes.sums(weights * boxes.photons * columns[:, i]) for i in range(3)], axis=1)
    fine = matrix[:, 0, 0] > 0
    matrix[~fine] = np.eye(3)
    matrix += RIDGE * (matrix[:, 0, 0] / boxes.sums(np.ones(len(weights))))[:, None, None] * np.diag([0.0, 1.0, 1.0])
    found: np.ndarray = np.linalg.solve(matrix, right[..., None])[..., 0]
    return np.where(fine[:, None], found, before)
