"""Statistics: the numbers that the reference prints, and what the definitions imply."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from nbnumba.render.statistics import image_statistics
from tests.conftest import CASES, GOLDEN, slices


def mask_of(case: dict) -> np.ndarray | None:
    if "-mask" not in case["args"]:
        return None
    file = GOLDEN / case["args"][case["args"].index("-mask") + 1]
    return np.frombuffer(file.read_bytes()[512:], "<u2").reshape(case["shape"])


@pytest.mark.golden
@pytest.mark.parametrize("name", list(CASES))
def test_numbers_of_the_reference(name, golden_images):
    case = CASES[name]
    found = image_statistics(golden_images[name], slices(case), mask_of(case))
    expect = case["expect"]
    assert found.max == expect["max"]
    for key in ("mean", "rmsd", "sum"):
        assert getattr(found, key) == pytest.approx(expect[key], rel=1e-12)  # order of 10^4 float64 additions
    assert found.rms == pytest.approx(expect["rms"], rel=6e-8)  # the reference squares in float32
    assert golden_images[name][found.max_slow, found.max_fast] == found.max


def test_definitions_by_hand():
    image = np.array([[9.0, 9, 9, 9], [9, 1, 2, 9], [9, 3, 6, 9]], np.float32)
    mask = np.ones(image.shape, np.uint16)
    mask[2, 2] = 0
    found = image_statistics(image, (1, 3, 1, 3), mask)
    assert (found.n, found.sum, found.mean) == (3, 6.0, 2.0)
    assert (found.max, found.max_slow, found.max_fast) == (3.0, 2, 1)
    assert found.rms == math.sqrt((1 + 4 + 9) / 2)
    assert found.rmsd == math.sqrt((1 + 0 + 1 + 16) / 3)  # the masked pixel counts here


def test_first_of_equal_maxima():
    image = np.zeros((5, 7), np.float32)
    image[3, 1] = image[1, 4] = image[1, 6] = 2.5
    found = image_statistics(image, (0, 5, 0, 7))
    assert (found.max, found.max_slow, found.max_fast) == (2.5, 1, 4)


@pytest.mark.parametrize("region", [(2, 2, 0, 4), (1, 3, 3, 3), (0, 1, 0, 1)])
def test_small_regions(region):
    found = image_statistics(np.zeros((4, 4), np.float32), region)
    assert (found.max, found.mean, found.rms, found.rmsd) == (0.0, 0.0, 0.0, 0.0)
    assert (found.max_slow, found.max_fast) == (region[0], region[2])


def test_everything_masked():
    found = image_statistics(np.ones((4, 4), np.float32), (0, 4, 0, 4), np.zeros((4, 4)))
    assert (found.n, found.sum, found.mean, found.max) == (0, 0.0, 0.0, 0.0)
    assert found.rmsd == math.sqrt(16 / 15)


def test_same_bits_for_any_number_of_threads():
    image = np.random.default_rng(1).lognormal(0, 4, (301, 257)).astype(np.float32)
    before = numba.get_num_threads()
    try:
        results = set()
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            numba.set_num_threads(threads)
            results.add(image_statistics(image, (0, 301, 0, 257)))
    finally:
        numba.set_num_threads(before)
    assert len(results) == 1
    only = results.pop()
    # numpy's pairwise sums are good to 1e-15
    assert only.sum == pytest.approx(image.sum(dtype=np.float64), rel=1e-13)
    assert only.rmsd == pytest.approx(image.astype(np.float64).std(ddof=1), rel=1e-13)


def test_infinite_pixels_do_not_stop():
    found = image_statistics(np.array([[1.0, np.inf]], np.float32), (0, 1, 0, 2))
    assert found.max == np.inf and found.sum == np.inf
