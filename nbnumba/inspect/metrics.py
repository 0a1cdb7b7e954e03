"""Metrics of the difference between two images, of whatever program.

All sums are float64. Pixels that are not finite in either image, masked, or outside the region are left out everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nbnumba.errors import ConfigError

#: Most peaks that are matched, the strongest ones: the time of the assignment grows as their number cubed.
MAX_PEAKS = 400
#: Share of its height by which a pixel may be below a neighbour and count as equal: float32 kernels are 2.5e-6 off.
PLATEAU = 4e-6


@dataclass(frozen=True)
class Place:
    """A pixel with its value in both images."""

    slow: int
    fast: int
    a: float
    b: float


@dataclass(frozen=True)
class PeakMatch:
    """Peaks of two images, matched one to one.

    Attributes
    ----------
    n_a, n_b, n_matched : int
        Peaks found, and pairs within the radius.
    mean_distance, max_distance : float
        Pixels; NaN without a pair.
    offset_slow, offset_fast : float
        Mean of B minus A over the pairs, pixels; NaN without a pair.
    """

    n_a: int
    n_b: int
    n_matched: int
    mean_distance: float
    max_distance: float
    offset_slow: float
    offset_fast: float
    radius: float


@dataclass(frozen=True)
class Metrics:
    """Two images, A and B, in numbers.

    Attributes
    ----------
    pixels : int
        Pixels that are compared.
    correlation : float
        Pearson's correlation; 1 for two equal constant images, NaN where only one image is constant.
    rmse, max_abs : float
        Root mean square and largest |B - A|, in the images' unit; ``worst`` is where.
    max_rel : float
        ``max_abs`` relative to the largest absolute value of both images; 0 for two images of zeros.
    p99_rel : float
        99th percentile of |B - A| / max(|A|, |B|) over pixels that are not 0 in both.
    sum_ratio : float
        sum(B) / sum(A); 1 where both are 0.
    mean_ratio, median_ratio : float
        Mean and median of B / A over pixels that are positive in both; NaN if there are none.
    within : float
        Share of pixels with |B - A| <= atol + rtol * max(|A|, |B|).
    scale : float
        Factor by which B was divided before the comparison (``--scale fit``), else 1.
    """

    pixels: int
    correlation: float
    rmse: float
    max_abs: float
    worst: Place | None
    max_rel: float
    p99_rel: float
    sum_a: float
    sum_b: float
    sum_ratio: float
    mean_ratio: float
    median_ratio: float
    within: float
    rtol: float
    atol: float
    scale: float
    peaks: PeakMatch


def valid_pixels(
    a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None, roi: tuple[int, int, int, int] | None = None
) -> np.ndarray:
    """Pixels to compare, (slow, fast) bool.

    Parameters
    ----------
    a, b : (slow, fast) array
    mask : (slow, fast) array or None
        Pixels that are 0 here are left out.
    roi : (4,) int or None
        ``xmin xmax ymin ymax``, inclusive, x along the fast axis.

    Raises
    ------
    ConfigError
        Shapes differ, the region is outside the image, or no pixel is left.
    """
    if a.shape != b.shape:
        raise ConfigError(
            f"the images have different shapes: A {a.shape[0]} x {a.shape[1]}, B {b.shape[0]} x {b.shape[1]} "
            "(slow x fast)"
        )
    valid = np.isfinite(a) & np.isfinite(b)
    if mask is not None:
        if mask.shape != a.shape:
            raise ConfigError(
                f"the mask has {mask.shape[0]} x {mask.shape[1]} pixels, the images {a.shape[0]} x {a.shape[1]} "
                "(slow x fast)"
            )
        valid &= mask != 0
    if roi is not None:
        xmin, xmax, ymin, ymax = roi
        if not (0 <= xmin <= xmax < a.shape[1] and 0 <= ymin <= ymax < a.shape[0]):
            raise ConfigError(
                f"--roi {xmin} {xmax} {ymin} {ymax} does not lie in the image of {a.shape[1]} x {a.shape[0]} pixels "
                "(give xmin xmax ymin ymax, x along the fast axis, counted from 0)"
            )
        inside = np.zeros_like(valid)
        inside[ymin : ymax + 1, xmin : xmax + 1] = True
        valid &= inside
    if not valid.any():
        raise ConfigError("no pixel is left to compare: check --mask, --roi, and that the images hold numbers")
    return valid


def fit_scale(a: np.ndarray, b: np.ndarray) -> float:
    """Factor s that minimizes |b - s a|^2, for pixels (n,) float64; 1 where ``a`` is 0."""
    squares = float(np.dot(a, a))
    return float(np.dot(a, b)) / squares if squares else 1.0


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of pixels (n,) float64; 1 for equal constants, NaN where only one is constant."""
    da, db = a - a.mean(), b - b.mean()
    # deviations of a constant image are rounding errors, not variation
    tiny = 1e-14 * math.sqrt(a.size)
    flat_a = np.linalg.norm(da) <= tiny * np.abs(a).max(initial=0.0)
    flat_b = np.linalg.norm(db) <= tiny * np.abs(b).max(initial=0.0)
    if flat_a or flat_b:
        return 1.0 if flat_a and flat_b and a[0] == b[0] else math.nan
    da, db = da / np.linalg.norm(da), db / np.linalg.norm(db)
    return float(min(1.0, max(-1.0, np.dot(da, db))))


def ratio(a: float, b: float) -> float:
    """b / a; 1 for 0 / 0, infinite for b / 0."""
    if a == 0:
        return 1.0 if b == 0 else math.copysign(math.inf, b)
    return b / a


def measure(
    a: np.ndarray,
    b: np.ndarray,
    valid: np.ndarray,
    *,
    rtol: float = 1e-3,
    atol: float = 0.0,
    radius: float = 3.0,
    scale: float = 1.0,
) -> Metrics:
    """Compare B / scale with A over the pixels of ``valid`` (see :func:`valid_pixels`).

    Parameters
    ----------
    rtol, atol : float
        Tolerance of ``within``.
    radius : float
        Largest distance of two matched peaks, pixels.

    Raises
    ------
    ConfigError
        A negative tolerance or radius, a scale that is not a positive number.
    """
    if not (rtol >= 0 and atol >= 0 and radius >= 0):
        raise ConfigError("--rtol, --atol and --radius must not be negative")
    if not (math.isfinite(scale) and scale > 0):
        raise ConfigError(f"B cannot be scaled to A: the factor would be {scale:g}")
    x, y = a[valid].astype(np.float64), b[valid].astype(np.float64) / scale
    off = np.abs(y - x)
    larger = np.maximum(np.abs(x), np.abs(y))
    lit = larger > 0
    both = (x > 0) & (y > 0)
    ratios = y[both] / x[both]
    worst = int(off.argmax())
    slow, fast = (int(indices[worst]) for indices in np.nonzero(valid))
    peak = float(larger.max())
    return Metrics(
        pixels=int(x.size),
        correlation=correlation(x, y),
        rmse=float(np.sqrt(np.mean(off * off))),
        max_abs=float(off[worst]),
        worst=Place(slow, fast, float(x[worst]), float(y[worst])) if off[worst] > 0 else None,
        max_rel=float(off[worst]) / peak if peak else 0.0,
        p99_rel=float(np.percentile(off[lit] / larger[lit], 99)) if lit.any() else 0.0,
        sum_a=float(x.sum()),
        sum_b=float(y.sum()),
        sum_ratio=ratio(float(x.sum()), float(y.sum())),
        mean_ratio=float(ratios.mean()) if ratios.size else math.nan,
        median_ratio=float(np.median(ratios)) if ratios.size else math.nan,
        within=float(np.mean(off <= atol + rtol * larger)),
        rtol=rtol,
        atol=atol,
        scale=scale,
        peaks=match_peaks(find_peaks(a, valid), find_peaks(b, valid), radius),
    )


def find_peaks(image: np.ndarray, valid: np.ndarray, most: int = MAX_PEAKS) -> np.ndarray:
    """Positions (n, 2), slow and fast, of the strongest local maxima among the valid pixels, the strongest first.

    A maximum is a pixel that no neighbour of its eight exceeds, and that stands above the median by a hundredth of the
    highest. Its position is the centre of gravity of the 3 x 3 pixels around it. Maxima side by side, equal to within
    ``PLATEAU``, are one peak at their mean: which pixel of a symmetric spot is the highest is a matter of rounding.
    """
    from scipy import ndimage

    values = np.where(valid, np.asarray(image, np.float64), -np.inf)
    known = values[valid]
    median, highest = float(np.median(known)), float(known.max())
    if highest <= median:
        return np.zeros((0, 2))
    around = np.where(valid, ndimage.maximum_filter(values, size=3, mode="constant", cval=-np.inf), 0.0)
    tops = valid & (values >= around - PLATEAU * np.abs(around - median))
    tops &= values > median + 0.01 * (highest - median)
    labels, n = ndimage.label(tops, structure=np.ones((3, 3)))
    if n == 0:
        return np.zeros((0, 2))
    order = np.argsort(-ndimage.maximum(values, labels, np.arange(1, n + 1)), kind="stable")[:most]
    rank = np.full(n + 1, n)
    rank[order + 1] = np.arange(len(order))
    tops &= rank[labels] < n
    places, peaks = np.argwhere(tops), rank[labels[tops]]
    # weights are heights above the median; outside the image and where invalid there is none
    heights = np.pad(np.where(valid, np.maximum(values - median, 0.0), 0.0), 1)
    steps = np.array([[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    boxes = places[:, None, :] + steps
    weights = heights[boxes[..., 0] + 1, boxes[..., 1] + 1]
    centres = (boxes * weights[..., None]).sum(axis=1) / weights.sum(axis=1)[:, None]
    sums = np.stack([np.bincount(peaks, centre) for centre in centres.T], axis=1)
    return sums / np.bincount(peaks)[:, None]


def matched_pairs(a: np.ndarray, b: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions in A and in B of peaks (n, 2) matched one to one within ``radius``: most pairs, least sum of distances."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    if len(a) == 0 or len(b) == 0:
        return np.zeros(0, int), np.zeros(0, int)
    distances = cdist(a, b)
    # a pair beyond the radius costs more than all pairs within it, so that their number is maximized first
    forbidden = (radius + 1.0) * (min(len(a), len(b)) + 1)
    rows, columns = linear_sum_assignment(np.where(distances <= radius, distances, forbidden))
    near = distances[rows, columns] <= radius
    return rows[near], columns[near]


def match_peaks(a: np.ndarray, b: np.ndarray, radius: float) -> PeakMatch:
    """Match peaks (n, 2) one to one: :func:`matched_pairs` in numbers."""
    rows, columns = matched_pairs(a, b, radius)
    if len(rows) == 0:
        return PeakMatch(len(a), len(b), 0, math.nan, math.nan, math.nan, math.nan, radius)
    steps = b[columns] - a[rows]
    found = np.linalg.norm(steps, axis=1)
    offset = steps.mean(axis=0)
    return PeakMatch(
        n_a=len(a),
        n_b=len(b),
        n_matched=len(found),
        mean_distance=float(found.mean()),
        max_distance=float(found.max()),
        offset_slow=float(offset[0]),
        offset_fast=float(offset[1]),
        radius=radius,
    )
