"""Metrics of two images, by their properties and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbnumba.inspect.causes import find_cause
from nbnumba.inspect.compare import compare_images
from nbnumba.inspect.metrics import Metrics, correlation, find_peaks, fit_scale, match_peaks, measure, valid_pixels


def measured(a: np.ndarray, b: np.ndarray, **more) -> Metrics:
    return measure(a, b, valid_pixels(a, b), **more)


shapes = st.tuples(st.integers(2, 9), st.integers(2, 9))
#: Pixels as detectors have them; no subnormal numbers, whose squares vanish.
pixels = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))


@st.composite
def two_images(draw) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(shapes)
    return draw(hnp.arrays(np.float64, shape, elements=pixels)), draw(hnp.arrays(np.float64, shape, elements=pixels))


@settings(max_examples=80)
@given(two_images())
def test_identity(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, _ = images
    m = measured(a, a)
    assert m.correlation == pytest.approx(1.0, abs=1e-12)
    assert (m.rmse, m.max_abs, m.max_rel, m.p99_rel, m.sum_ratio, m.within) == (0, 0, 0, 0, 1, 1)
    assert m.worst is None
    assert m.peaks.n_a == m.peaks.n_b == m.peaks.n_matched
    assert compare_images(a, a).passed
    assert find_cause(a, a, np.ones(a.shape, bool)).text == "the images are identical"


@settings(max_examples=80)
@given(two_images())
def test_symmetry(images: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = images
    m, n = measured(a, b), measured(b, a)
    for key in ("rmse", "max_abs", "max_rel", "p99_rel", "within", "pixels"):
        assert getattr(m, key) == getattr(n, key), key
    assert m.correlation == pytest.approx(n.correlation, abs=1e-12, nan_ok=True)
    assert (m.sum_a, m.sum_b) == (n.sum_b, n.sum_a)
    if m.sum_a and m.sum_b:
        assert m.sum_ratio * n.sum_ratio == pytest.approx(1.0, rel=1e-12)
    assert m.peaks.n_matched == n.peaks.n_matched
    assert m.peaks.mean_distance == pytest.approx(n.peaks.mean_distance, rel=1e-9, nan_ok=True)
    assert math.isnan(m.correlation) or -1 <= m.correlation <= 1


@settings(max_examples=80)
@given(two_images(), st.floats(0.1, 10))
def test_scale(images: tuple[np.ndarray, np.ndarray], factor: float) -> None:
    """Ratios and shares stay when both images are scaled, differences scale with them."""
    a, b = images
    m, n = measured(a, b), measured(a * factor, b * factor)
    assert n.rmse == pytest.approx(m.rmse * factor, rel=1e-9)
    assert n.max_abs == pytest.approx(m.max_abs * factor, rel=1e-9)
    for key in ("max_rel", "sum_ratio", "mean_ratio", "p99_rel"):
        assert getattr(n, key) == pytest.approx(getattr(m, key), rel=1e-7, abs=1e-12, nan_ok=True), key
    alone = measured(a, a * factor)
    if a.any():
        assert alone.sum_ratio == pytest.approx(factor, rel=1e-9)
        assert alone.median_ratio == pytest.approx(factor, rel=1e-9)
        assert fit_scale(a.ravel(), (a * factor).ravel()) == pytest.approx(factor, rel=1e-9)


def test_metrics_of_numbers_that_can_be_checked_by_hand() -> None:
    a = np.array([[1.0, 2.0], [4.0, 0.0]])
    b = np.array([[1.0, 3.0], [2.0, 0.0]])
    m = measured(a, b, rtol=0.4)
    assert m.rmse == pytest.approx(math.sqrt((0 + 1 + 4 + 0) / 4))
    assert (m.max_abs, m.max_rel) == (2.0, 0.5)
    assert m.worst is not None and (m.worst.slow, m.worst.fast, m.worst.a, m.worst.b) == (1, 0, 4.0, 2.0)
    assert (m.sum_a, m.sum_b, m.sum_ratio) == (7.0, 6.0, 6 / 7)
    assert m.mean_ratio == pytest.approx((1 + 1.5 + 0.5) / 3)
    assert m.median_ratio == 1.0
    assert m.within == 0.75
    assert m.correlation == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-12)
    assert measured(a, 2 * b, scale=2.0).rmse == m.rmse


def test_constant_images() -> None:
    flat = np.full(9, 0.1)
    assert correlation(flat, flat) == 1.0
    assert math.isnan(correlation(flat, 2 * flat))
    assert math.isnan(correlation(flat, np.arange(9.0)))
    assert not compare_images(np.full((3, 3), 1.0), np.arange(9.0).reshape(3, 3)).passed


def test_peaks_of_a_made_image() -> None:
    """Gaussian spots come back to 0.05 pixels: what a 3 x 3 centre of gravity of a spot of width 1 can do."""
    rng = np.random.default_rng(3)
    places = np.array([[i, j] for i in range(8, 60, 12) for j in range(8, 60, 12)]) + rng.uniform(-0.3, 0.3, (25, 2))
    slow, fast = np.mgrid[:64, :64]
    squared = (slow - places[:, 0, None, None]) ** 2 + (fast - places[:, 1, None, None]) ** 2
    image = (np.exp(-squared / 2 / 0.6**2) * rng.uniform(50, 100, 25)[:, None, None]).sum(axis=0)
    found = find_peaks(image, np.ones(image.shape, bool))
    match = match_peaks(places, found, radius=1.0)
    assert match.n_a == match.n_b == match.n_matched == 25
    assert match.max_distance < 0.05
    assert len(find_peaks(image, slow < 20)) < 25
    assert len(find_peaks(np.ones((5, 5)), np.ones((5, 5), bool))) == 0


def test_plateau_counts_once() -> None:
    image = np.zeros((9, 9))
    image[3:5, 3:5] = 7.0
    assert len(find_peaks(image, np.ones(image.shape, bool))) == 1


def test_rounding_does_not_move_a_symmetric_peak() -> None:
    """Four pixels are the highest: whichever is by its last bit, the peak is in the middle."""
    s, f = np.indices((9, 9))
    image = np.exp(-((s - 3.5) ** 2 + (f - 4.5) ** 2) / 4)
    for highest in np.argwhere(image == image.max()):
        rounded = image.copy()
        rounded[tuple(highest)] *= 1 + 1e-7
        (place,) = find_peaks(rounded, np.ones(image.shape, bool))
        assert place == pytest.approx([3.5, 4.5], abs=1e-6)


# hundredths of a pixel: distances whose squares underflow are not what this is about
coordinate = st.integers(0, 2000).map(lambda x: x / 100)
point = st.tuples(coordinate, coordinate)


@settings(max_examples=60)
@given(st.lists(point, max_size=5), st.lists(point, max_size=5), st.floats(0, 8))
def test_matching_is_the_best_of_all(a: list, b: list, radius: float) -> None:
    """As many pairs as any one-to-one matching has, and no larger sum of distances: by trying all of them."""
    x, y = np.array(a).reshape(-1, 2), np.array(b).reshape(-1, 2)
    best = (0, 0.0)

    def search(i: int, free: frozenset[int], n: int, total: float) -> None:
        nonlocal best
        if i == len(x):
            best = max(best, (n, -total))
            return
        search(i + 1, free, n, total)
        for j in free:
            distance = float(np.hypot(*(x[i] - y[j])))
            if distance <= radius:
                search(i + 1, free - {j}, n + 1, total + distance)

    search(0, frozenset(range(len(y))), 0, 0.0)
    match = match_peaks(x, y, radius)
    assert match.n_matched == best[0]
    if match.n_matched:
        assert match.mean_distance * match.n_matched == pytest.approx(-best[1], abs=1e-9)
        assert match.max_distance <= radius
