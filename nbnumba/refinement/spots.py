"""What every spot tells about a model: intensity, correlation, and where it is beside where it should be."""

from __future__ import annotations

import numpy as np

from nbnumba.refinement.boxes import Boxes
from nbnumba.refinement.target import Point, Target

#: Columns: indices, lattice from 1 and panel from 0; expected photons of the spot; intensity by scaling the model to the
#: pixels, and its standard deviation; correlation with the model; middle of the observed spot, pixels from the corner of the
#: panel, and its distance from the predicted one; the same before refinement; sum of squared residuals over pixels.
SPOT = np.dtype(
    [
        *((name, np.int32) for name in ("h", "k", "l", "lattice", "panel", "pixels")),
        *((name, np.float64) for name in ("expected", "intensity", "sigma", "correlation")),
        *((name, np.float64) for name in ("fast_px", "slow_px", "offset_px", "offset_before_px", "chi2")),
    ]
)
#: Intensity over its standard deviation from which on the middle of a spot is measured.
CLEAR = 5.0


def spot_table(target: Target, first: Point, last: Point) -> np.ndarray:
    """Spots of all boxes, (boxes,) of :data:`SPOT`, in their order."""
    boxes, table = target.boxes, np.zeros(len(target.boxes), SPOT)
    owner, count = boxes.owner, np.diff(boxes.starts)
    background = target.background(last.planes)
    net = boxes.photons - background
    variance = np.maximum(last.light + background, 1e-3) + target.noise
    for axis, name in enumerate("hkl"):
        table[name] = boxes.hkl[:, axis]
    table["lattice"], table["panel"], table["pixels"] = boxes.lattice + 1, boxes.panel[boxes.starts[:-1]], count
    table["expected"] = boxes.sums(last.light)
    weight = boxes.sums(last.light**2 / variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = boxes.sums(last.light * net / variance) / weight
        table["intensity"] = share * table["expected"]
        table["sigma"] = table["expected"] / np.sqrt(weight)
        a, b = (v - (boxes.sums(v) / count)[owner] for v in (net, last.light))
        table["correlation"] = boxes.sums(a * b) / np.sqrt(boxes.sums(a * a) * boxes.sums(b * b))
    table["chi2"] = boxes.sums(target.residuals(last) ** 2) / count
    observed, total = _middle(boxes, net)
    clear = (total > CLEAR * np.sqrt(boxes.sums(variance))) & (table["intensity"] > CLEAR * table["sigma"])
    for name, light in (("offset_before_px", first.light), ("offset_px", last.light)):
        predicted, _ = _middle(boxes, light)
        table[name] = np.where(clear, np.hypot(*(observed - predicted).T), np.nan)
    table["slow_px"], table["fast_px"] = np.where(clear[:, None], observed, np.nan).T
    return table


def _middle(boxes: Boxes, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slow and fast middle of light in each box, pixels from the corner of the panel, (boxes, 2), and its sum."""
    total = boxes.sums(light)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.stack([boxes.sums(light * (v + 0.5)) / total for v in (boxes.slow, boxes.fast)], axis=1)
    return found, total
