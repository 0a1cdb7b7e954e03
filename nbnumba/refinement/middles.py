"""The middles of spots as a target: it leads to the right model from farther away than pixels do.

Problem: pixels know the way only as long as predicted spots overlap with those of the image; beyond, making spots weak is the
nearest way down.

Choice: the distance of the middle of the light in a shoebox from that of the prediction is nearly linear in the parameters, as
far as the box reaches. Its derivatives come from those of the pixels. Each distance has the variance of its photons, and no less
than that of a twentieth of a pixel; large ones count less (Huber).
"""

from __future__ import annotations

import numpy as np

from nbnumba.refinement.free import prior
from nbnumba.refinement.spots import CLEAR
from nbnumba.refinement.target import Point, Target

#: Smallest standard deviation of a middle, pixels; and standard deviations from which on a distance counts less.
LEAST_PX, HUBER = 0.05, 3.0
#: Spots with less than this share of the brightest ones' light, where a search begins, are not predicted clearly.
LEAST_SHARE = 0.01


class Middles:
    """The middles of the clear spots of a target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        boxes, noise = target.boxes, target.noise
        self._places = np.stack([boxes.slow, boxes.fast], axis=1).astype(np.float64)
        net = boxes.photons - target.background(target.planes)
        variance = np.maximum(boxes.photons, 1.0) + noise
        total, spread = boxes.sums(net), np.sqrt(boxes.sums(variance))
        self._clear = total > CLEAR * spread
        self._chosen = False
        safe = np.where(self._clear, total, 1.0)
        self._observed = np.stack([boxes.sums(net * v) / safe for v in self._places.T], axis=1)
        off = self._places - self._observed[boxes.owner]
        self._variance = np.stack([boxes.sums(variance * v**2) / safe**2 for v in off.T], axis=1) + LEAST_PX**2

    def at(self, x: np.ndarray) -> Point:
        """The target at a point."""
        target, boxes = self._target, self._target.boxes
        table = target.table(x)[boxes.order]
        target.evaluations += 1
        light = boxes.sums(table[:, 0])
        if not self._chosen:  # the same spots at all points
            self._clear &= light > LEAST_SHARE * np.percentile(light, 90)
            self._chosen = True
        clear = self._clear & (light > 0)
        safe = np.where(clear, light, 1.0)
        held = prior(target.free, x)
        value, gradient, information = held.value, held.gradient, np.diag(held.information)
        for axis in range(2):
            place = self._places[:, axis]
            middle = boxes.sums(table[:, 0] * place) / safe
            away = place - middle[boxes.owner]
            moves = np.add.reduceat(table[:, 1:] * away[:, None], boxes.starts[:-1], axis=0) / safe[:, None]
            moves = np.where(clear[:, None], moves, 0.0) * held.slopes
            z = np.where(clear, self._observed[:, axis] - middle, 0.0) / np.sqrt(self._variance[:, axis])
            far = np.maximum(np.abs(z), HUBER)
            value += float(np.where(np.abs(z) > HUBER, HUBER * (far - HUBER / 2), z**2 / 2).sum())
            weights = HUBER / far / self._variance[:, axis]
            # einsum adds in one order, whatever the number of threads of the linear algebra
            gradient -= np.einsum("bi,b->i", moves, weights * z * np.sqrt(self._variance[:, axis]))
            information += np.einsum("bi,bj->ij", moves, weights[:, None] * moves)
        return Point(x, value, gradient, information, table[:, 0], target.planes)
