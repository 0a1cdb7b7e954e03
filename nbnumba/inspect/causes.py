"""Causes of the difference of two images that the images alone show: a factor, a shift, axes, the order of bytes, rounding.

:mod:`nbnumba.inspect.model_causes` has those that need the experiment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nbnumba.inspect.metrics import correlation, fit_scale

#: Largest remaining difference, relative to B, for a change of A to count as the cause of the difference.
EXPLAINED = 1e-3
#: Largest difference over the brightest pixel that float32 phases may cause (docs/stress.md), and of all pixels together.
ROUNDING, ALL_ROUNDING = 4e-6, 1e-5
#: Share of pixels from which on their bytes count as exchanged.
SWAPPED = 0.99
#: Largest shift that is tried, in pixels each way, and side (pixels) of the square around the brightest pixel.
MAX_SHIFT, SHIFT_WINDOW = 5, 256


class Cause(NamedTuple):
    """A cause of a difference.

    Attributes
    ----------
    name : str
        Short name; empty where none is known.
    text : str
        A sentence.
    explains : bool
        Whether it turns one image into the other.
    """

    name: str
    text: str
    explains: bool


def find_cause(a: np.ndarray, b: np.ndarray, valid: np.ndarray) -> Cause:
    """The simple change that turns A into B, or what the difference is like if there is none.

    Parameters
    ----------
    a, b : (slow, fast) float64
    valid : (slow, fast) bool
        Pixels that count.
    """
    x, y = a[valid], b[valid]
    if np.array_equal(x, y):
        return Cause("identical", "the images are identical", True)
    if not x.any() or not y.any():
        return Cause("zero", f"{'A' if not x.any() else 'B'} is zero everywhere", False)
    off, size = np.abs(y - x), float(np.linalg.norm(y))
    largest = float(np.abs(x).max(initial=0.0))
    if off.max() <= ROUNDING * largest and float(np.linalg.norm(off)) <= ALL_ROUNDING * size:
        text = f"the images agree to {float(off.max()) / (largest or 1.0):.2g} of the maximum: rounding"
        return Cause("rounding", text, True)
    few = np.flatnonzero(off > ROUNDING * largest)
    if len(few) <= max(1, min(20, x.size // 1000)):
        return _single_pixels(x, y, valid, few)
    found = next(_changes(a, b, valid), None)
    return found if found is not None else Cause("", _best_guess(x, y, size), False)


def _single_pixels(x: np.ndarray, y: np.ndarray, valid: np.ndarray, few: np.ndarray) -> Cause:
    slow, fast = np.nonzero(valid)
    named = [f"slow {slow[i]}, fast {fast[i]} ({x[i]:.6g} in A, {y[i]:.6g} in B)" for i in few[:5]]
    what = "a single pixel differs" if len(few) == 1 else f"{len(few)} single pixels differ"
    return Cause("single pixels", f"{what}: {'; '.join(named)}{' ...' if len(few) > 5 else ''}", False)


def _changes(a: np.ndarray, b: np.ndarray, valid: np.ndarray) -> Iterator[Cause]:
    """Simple changes that turn A into B."""
    if _has_other_order(a, b):
        yield Cause("byte order", "B is A with its bytes in the opposite order", True)
    x, y = a[valid], b[valid]
    size = float(np.linalg.norm(y))
    factor = fit_scale(x, y)
    if float(np.linalg.norm(y - factor * x)) <= EXPLAINED * size:
        yield Cause("factor", f"B is A times {factor:.6g}: another fluence, or another number of steps", True)
    pedestal = float(np.median(y - x))
    if float(np.linalg.norm(y - x - pedestal)) <= EXPLAINED * size:
        yield Cause("pedestal", f"B is A plus {pedestal:.6g} in every pixel (a pedestal, ADC_OFFSET?)", True)
    for what, turned in _mirrored(a).items():
        if turned.shape == b.shape and float(np.linalg.norm(y - turned[valid])) <= EXPLAINED * size:
            yield Cause("axes", f"B is A {what}", True)
    ds, df = _likely_shift(a, b, valid)
    if (ds, df) != (0, 0) and _residual(a, b, valid, ds, df) <= EXPLAINED:
        yield Cause("shift", f"B is A shifted by {ds:+d} pixels along slow and {df:+d} along fast", True)


def _has_other_order(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the pixels of one image are those of the other with their bytes exchanged, as float32, uint16 or int32."""
    for kind, bits in ((np.float32, np.uint32), (np.uint16, np.uint16), (np.int32, np.uint32)):
        with np.errstate(all="ignore"):
            one, two = a.astype(kind), b.astype(kind)
        if not all(np.array_equal(x.astype(np.float64), y, equal_nan=True) for x, y in ((one, a), (two, b))):
            continue
        # nearly all: bits of a NaN may change as it is read
        if float(np.mean(one.byteswap().view(bits) == two.view(bits))) > SWAPPED:
            return True
    return False


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
