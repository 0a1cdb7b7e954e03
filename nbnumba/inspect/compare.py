"""Comparison of two images: metrics of their difference, limits on it, and its cause."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nbnumba.inspect.causes import Cause, find_cause
from nbnumba.inspect.metrics import Metrics, fit_scale, measure, valid_pixels

#: Mean |dh|, |dk|, |dl| between matched peaks.
IndexShift = tuple[float, float, float]


@dataclass(frozen=True)
class Limits:
    """Limits within which two images count as the same; None: no limit."""

    min_correlation: float | None = 0.999
    sum_ratio: tuple[float, float] | None = (0.99, 1.01)
    max_rel: float | None = 0.01
    max_peak_distance: float | None = None
    max_dhkl: float | None = None

    def failures(self, metrics: Metrics, index_shift: IndexShift | None = None) -> list[str]:
        """One sentence for each limit that is exceeded."""
        failed = []
        if self.min_correlation is not None and not metrics.correlation >= self.min_correlation:
            failed.append(f"correlation {metrics.correlation:.6g} is below {self.min_correlation:g}")
        if self.sum_ratio is not None and not self.sum_ratio[0] <= metrics.sum_ratio <= self.sum_ratio[1]:
            low, high = self.sum_ratio
            failed.append(f"sum(B) / sum(A) is {metrics.sum_ratio:.6g}, not between {low:g} and {high:g}")
        if self.max_rel is not None and not metrics.max_rel <= self.max_rel:
            failed.append(f"the largest difference is {metrics.max_rel:.3g} of the maximum, above {self.max_rel:g}")
        distance = metrics.peaks.mean_distance
        if self.max_peak_distance is not None and distance > self.max_peak_distance:
            failed.append(f"matched peaks are {distance:.3g} pixels apart, above {self.max_peak_distance:g}")
        if self.max_dhkl is not None and index_shift is not None and not max(index_shift) <= self.max_dhkl:
            said = " ".join(f"{x:.3g}" for x in index_shift)
            failed.append(f"hkl of matched peaks differ by {said}, above {self.max_dhkl:g}")
        return failed


@dataclass(frozen=True)
class Comparison:
    """Two images with their metrics.

    Attributes
    ----------
    a, b : (slow, fast) float64
        The images; B divided by ``metrics.scale``.
    valid : (slow, fast) bool
        Pixels that count.
    cause : Cause
        Known cause of the difference (:mod:`nbnumba.inspect.causes`), or how large it is.
    failures : tuple of str
        Limits that are exceeded; empty: the images are the same.
    index_shift : (3,) float or None
        :func:`nbnumba.inspect.peak_indices.index_shift`, where the experiment is known.
    """

    a: np.ndarray
    b: np.ndarray
    valid: np.ndarray
    metrics: Metrics
    cause: Cause
    failures: tuple[str, ...]
    index_shift: IndexShift | None = None

    @property
    def passed(self) -> bool:
        """Whether all limits hold."""
        return not self.failures

    @property
    def explanation(self) -> str:
        """Sentence about the cause."""
        return self.cause.text

    @property
    def explained(self) -> bool:
        """Whether a known cause turns one image into the other."""
        return self.cause.explains

    def data(self) -> dict[str, Any]:
        """All fields except the images, for JSON."""
        return {
            "passed": self.passed,
            "failures": list(self.failures),
            "cause": self.cause.name,
            "explained": self.explained,
            "explanation": self.explanation,
            "shape": list(self.a.shape),
            "metrics": asdict(self.metrics),
            "index_shift": self.index_shift,
        }


def compare_images(
    a: np.ndarray,
    b: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    roi: tuple[int, int, int, int] | None = None,
    fit: bool = False,
    rtol: float = 1e-3,
    atol: float = 0.0,
    radius: float = 3.0,
    limits: Limits | None = None,
) -> Comparison:
    """Compare two images of the same shape.

    Parameters
    ----------
    a, b : (slow, fast) array
    mask : (slow, fast) array or None
        Pixels that are 0 here are left out.
    roi : (4,) int or None
        Inclusive ``xmin xmax ymin ymax``, x along the fast axis.
    fit : bool
        Divide B by the factor that brings it nearest to A.
    rtol, atol, radius : float
        See :func:`nbnumba.inspect.metrics.measure`.

    Raises
    ------
    ConfigError
        Shapes differ, or a value is not allowed.
    """
    valid = valid_pixels(a, b, mask, roi)
    with np.errstate(invalid="ignore"):  # bytes in the wrong order can be anything, as a number
        a, b = a.astype(np.float64), b.astype(np.float64)
    scale = fit_scale(a[valid], b[valid]) if fit else 1.0
    metrics = measure(a, b, valid, rtol=rtol, atol=atol, radius=radius, scale=scale)
    scaled = b / scale
    return Comparison(
        a, scaled, valid, metrics, find_cause(a, scaled, valid), tuple((limits or Limits()).failures(metrics))
    )


def resampled(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The image in another shape (slow, fast): each pixel has the value of the nearest one of the original."""
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(shape, image.shape, strict=True)
    )
    return image[rows[:, None], columns]
