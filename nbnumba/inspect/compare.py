"""Comparison of two images: metrics of their difference, limits on it, and a guess at its cause."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.inspect.metrics import Metrics, correlation, fit_scale, measure, valid_pixels
from nbnumba.io.cbf import read_cbf
from nbnumba.io.files import read_bytes
from nbnumba.io.foreign import read_foreign
from nbnumba.io.npy import read_npy
from nbnumba.io.pgm import read_pgm
from nbnumba.io.raw import read_float_image
from nbnumba.io.smv import read_smv

#: Largest remaining difference, relative to B, for a change of A to count as the explanation of the difference.
EXPLAINED = 1e-3
#: Largest shift that is tried, in pixels each way, and side (pixels) of the square around the brightest pixel.
MAX_SHIFT, SHIFT_WINDOW = 5, 256
#: Endings of files that hold float32 pixels and nothing else.
BARE_SUFFIXES = (".bin", ".raw", ".float")


@dataclass(frozen=True)
class Limits:
    """Limits within which two images count as the same; None: no limit."""

    min_correlation: float | None = 0.999
    sum_ratio: tuple[float, float] | None = (0.99, 1.01)
    max_rel: float | None = 0.01

    def failures(self, metrics: Metrics) -> list[str]:
        """One sentence for each limit that is exceeded."""
        failed = []
        if self.min_correlation is not None and not metrics.correlation >= self.min_correlation:
            failed.append(f"correlation {metrics.correlation:.6g} is below {self.min_correlation:g}")
        if self.sum_ratio is not None and not self.sum_ratio[0] <= metrics.sum_ratio <= self.sum_ratio[1]:
            low, high = self.sum_ratio
            failed.append(f"sum(B) / sum(A) is {metrics.sum_ratio:.6g}, not between {low:g} and {high:g}")
        if self.max_rel is not None and not metrics.max_rel <= self.max_rel:
            failed.append(f"the largest difference is {metrics.max_rel:.3g} of the maximum, above {self.max_rel:g}")
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
    explanation : str
        Probable cause of the difference: a shift, a factor, single pixels, ...
    failures : tuple of str
        Limits that are exceeded; empty: the images are the same.
    """

    a: np.ndarray
    b: np.ndarray
    valid: np.ndarray
    metrics: Metrics
    explanation: str
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all limits hold."""
        return not self.failures

    def data(self) -> dict[str, Any]:
        """All fields except the images, for JSON."""
        return {
            "passed": self.passed,
            "failures": list(self.failures),
            "explanation": self.explanation,
            "shape": list(self.a.shape),
            "metrics": asdict(self.metrics),
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
    x, y = a[valid].astype(np.float64), b[valid].astype(np.float64)
    scale = fit_scale(x, y) if fit else 1.0
    metrics = measure(a, b, valid, rtol=rtol, atol=atol, radius=radius, scale=scale)
    scaled = b.astype(np.float64) / scale
    a = a.astype(np.float64)
    return Comparison(
        a, scaled, valid, metrics, explain(a, scaled, valid), tuple((limits or Limits()).failures(metrics))
    )


def explain(a: np.ndarray, b: np.ndarray, valid: np.ndarray) -> str:
    """Sentence about the simple change that turns A into B, or about the difference where there is none."""
    x, y = a[valid], b[valid]
    if np.array_equal(x, y):
        return "the images are identical"
    if not x.any() or not y.any():
        return f"{'A' if not x.any() else 'B'} is zero everywhere"
    size = float(np.linalg.norm(y))
    off = np.abs(y - x)
    largest = float(np.abs(x).max(initial=0.0))
    few = np.flatnonzero(off > 1e-6 * largest)
    if float(np.linalg.norm(off)) <= 1e-5 * size and len(few) == 0:
        return f"the images agree to {float(off.max()) / (largest or 1.0):.2g} of the maximum: rounding"
    if 0 < len(few) <= max(1, min(20, x.size // 1000)):
        slow, fast = np.nonzero(valid)
        named = [f"slow {slow[i]}, fast {fast[i]} ({x[i]:.6g} in A, {y[i]:.6g} in B)" for i in few[:5]]
        what = "a single pixel differs" if len(few) == 1 else f"{len(few)} single pixels differ"
        return f"{what}: {'; '.join(named)}{' ...' if len(few) > 5 else ''}"
    return _changed_whole(a, b, valid, x, y, size) or _best_guess(x, y, size)


def _changed_whole(
    a: np.ndarray, b: np.ndarray, valid: np.ndarray, x: np.ndarray, y: np.ndarray, size: float
) -> str | None:
    """Sentence about a factor, a pedestal, a shift or a mirror image that turns A into B; None if none does."""
    factor = fit_scale(x, y)
    if float(np.linalg.norm(y - factor * x)) <= EXPLAINED * size:
        return f"B is A times {factor:.6g}"
    pedestal = float(np.median(y - x))
    if float(np.linalg.norm(y - x - pedestal)) <= EXPLAINED * size:
        return f"B is A plus {pedestal:.6g} in every pixel (a pedestal, ADC_OFFSET?)"
    for what, turned in _mirrored(a).items():
        if turned.shape == b.shape and float(np.linalg.norm(y - turned[valid])) <= EXPLAINED * size:
            return f"B is A {what}"
    ds, df = _likely_shift(a, b, valid)
    if (ds, df) != (0, 0) and _residual(a, b, valid, ds, df) <= EXPLAINED:
        return f"B is A shifted by {ds:+d} pixels along slow and {df:+d} along fast"
    return None


def _likely_shift(a: np.ndarray, b: np.ndarray, valid: np.ndarray) -> tuple[int, int]:
    """Shift (slow, fast) that brings A nearest to B around A's brightest pixel."""
    middle = np.unravel_index(int(np.where(valid, a, -np.inf).argmax()), a.shape)
    window = tuple(slice(max(int(m) - SHIFT_WINDOW // 2, 0), int(m) + SHIFT_WINDOW // 2) for m in middle)
    steps = range(-MAX_SHIFT, MAX_SHIFT + 1)
    tried = [(_residual(a[window], b[window], valid[window], ds, df), ds, df) for ds in steps for df in steps]
    _, ds, df = min(tried)
    return ds, df


def _mirrored(a: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "mirrored along slow": a[::-1],
        "mirrored along fast": a[:, ::-1],
        "turned by 180 degrees": a[::-1, ::-1],
        "with slow and fast exchanged": a.T,
    }


def _residual(a: np.ndarray, b: np.ndarray, valid: np.ndarray, ds: int, df: int) -> float:
    """|B - shifted A| / |B| over the pixels that both have; infinite where these are a small part of the image."""
    n_slow, n_fast = a.shape
    if abs(ds) >= n_slow or abs(df) >= n_fast:
        return math.inf
    to = (slice(max(ds, 0), n_slow + min(ds, 0)), slice(max(df, 0), n_fast + min(df, 0)))
    source = (slice(max(-ds, 0), n_slow + min(-ds, 0)), slice(max(-df, 0), n_fast + min(-df, 0)))
    both = valid[to] & valid[source]
    y = b[to][both]
    size = float(np.linalg.norm(y))
    if size == 0 or 2 * both.sum() < valid.sum():
        return math.inf
    return float(np.linalg.norm(y - a[source][both])) / size


def _best_guess(x: np.ndarray, y: np.ndarray, size: float) -> str:
    factor = fit_scale(x, y)
    match = correlation(x, y)
    if match > 0.99 and abs(factor - 1) > 0.01:
        return f"B is about A times {factor:.4g}; the rest differs by {np.linalg.norm(y - factor * x) / size:.2g} of B"
    return f"no single change makes B of A; they differ by {np.linalg.norm(y - x) / size:.2g} of B (root of squares)"


def read_image(path: Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image (slow, fast); the format is recognized by the ending and the content.

    ``.npy`` by its ending; ``.bin``, ``.raw`` and ``.float``, which have no header, as little-endian float32 of
    ``shape``; all others (SMV, CBF, PGM, and TIFF and more through fabio) by their first bytes.

    Raises
    ------
    FileError
        The file cannot be read, or does not hold one image.
    ConfigError
        The file has no header, and no shape is given.
    """
    if path.suffix.lower() == ".npy":
        return _two_dimensional(read_npy(path, "image"), path)
    if path.suffix.lower() in BARE_SUFFIXES:
        if shape is None:
            raise ConfigError(f"{path} has no header: give its size with --shape SLOW FAST")
        return read_float_image(path, shape)
    return _two_dimensional(_by_content(path), path)


def _by_content(path: Path) -> np.ndarray:
    head = read_bytes(path, "image")[:15]
    if head.startswith(b"###CBF"):
        return read_cbf(path)
    if head.startswith(b"P5"):
        return read_pgm(path)[0]
    if head.startswith(b"{\nHEADER_BYTES="):
        with suppress(FileError):  # an SMV file may have another pixel type, which fabio reads
            return read_smv(path).data
    return read_foreign(path)


def _two_dimensional(data: np.ndarray, path: Path) -> np.ndarray:
    if data.ndim != 2 or data.size == 0 or not np.issubdtype(data.dtype, np.number) or np.iscomplexobj(data):
        raise FileError(f"{path} holds no image: its shape is {data.shape}, its type {data.dtype}")
    return data
