"""Mean, spread and maximum of an image, by the reference's definitions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbnumba.kernels.cpu.quantize import row_deviations, row_sums


@dataclass(frozen=True)
class Statistics:
    """Statistics of the region of interest of an image, in photons per pixel.

    Attributes
    ----------
    max : float
        Largest unmasked pixel, at least 0.
    max_slow, max_fast : int
        The first such pixel in raster order; the corner of the region if no pixel is above 0.
    mean : float
        Of the unmasked pixels.
    rms : float
        ``sqrt(sum of squares / (n - 1))`` of the unmasked pixels.
    rmsd : float
        ``sqrt(sum of (pixel - mean)^2 / (N - 1))`` over *all* N pixels, masked ones included.
    sum : float
        Of the unmasked pixels.
    n : int
        Number of unmasked pixels.
    """

    max: float
    max_slow: int
    max_fast: int
    mean: float
    rms: float
    rmsd: float
    sum: float
    n: int


def _total(rows: np.ndarray) -> float:
    # fsum is exact, so the order of the rows does not matter
    return math.fsum(rows) if np.isfinite(rows).all() else float(rows.sum())


def image_statistics(
    image: np.ndarray, roi_slices: tuple[int, int, int, int], mask: np.ndarray | None = None
) -> Statistics:
    """Statistics of the pixels inside ``roi_slices``; the same bits for any number of threads.

    Parameters
    ----------
    image : (slow, fast) float32
        Photons per pixel.
    roi_slices : (4,) int
        Half-open ``s0, s1, f0, f1``.
    mask : (slow, fast) array or None
        Pixels that are 0 here are left out of all but ``rmsd``.
    """
    s0, s1, f0, f1 = roi_slices
    rows = max(s1 - s0, 0)
    if rows == 0 or f1 <= f0:
        return Statistics(max=0.0, max_slow=s0, max_fast=f0, mean=0.0, rms=0.0, rmsd=0.0, sum=0.0, n=0)
    image = np.ascontiguousarray(image, dtype=np.float32)
    used = np.zeros((0, 0), dtype=np.bool_) if mask is None else np.ascontiguousarray(mask, dtype=np.bool_)
    sums, maxima, deviations = np.empty((rows, 3)), np.empty((rows, 2)), np.empty(rows)

    row_sums(image, used, s0, s1, f0, f1, sums, maxima)
    n = int(sums[:, 2].sum())
    total = _total(sums[:, 0])
    mean = total / max(n, 1)
    row_deviations(image, mean, s0, s1, f0, f1, deviations)

    row = int(maxima[:, 0].argmax())
    largest, column = maxima[row]
    return Statistics(
        max=float(largest),
        max_slow=s0 + row if column >= 0 else s0,
        max_fast=int(column) if column >= 0 else f0,
        mean=mean,
        rms=math.sqrt(_total(sums[:, 1]) / max(n - 1, 1)),
        rmsd=math.sqrt(_total(deviations) / max(rows * (f1 - f0) - 1, 1)),
        sum=total,
        n=n,
    )
