"""Noise images: the reference's counts, pixel by pixel, and the properties of both generators."""

from __future__ import annotations

import numpy as np
import pytest

from nbnumba.errors import ConfigError
from nbnumba.readout.noise import noise_image
from tests.conftest import CASES, slices

WITH_NOISE = [name for name, case in CASES.items() if "noise" in case["outputs"]]


def numbers(case: dict, flag: str, default: list[float]) -> list[float]:
    args = case["args"]
    if flag not in args:
        return default
    start = args.index(flag) + 1
    return [float(v) for v in args[start : start + len(default)]]


@pytest.mark.golden
@pytest.mark.parametrize("name", WITH_NOISE)
def test_counts_of_the_reference(name, golden_images):
    case = CASES[name]
    seed, offset = numbers(case, "-seed", [0.0])[0], numbers(case, "-adc", [40.0])[0]
    result = noise_image(golden_images[name], slices(case), int(seed), offset)
    assert np.array_equal(result.counts, golden_images[name + "__noise"])
    assert result.photons == case["expect"]["noise_photons"]
    assert result.overloads == case["expect"]["noise_overloads"]


def test_there_are_golden_noise_images():
    assert len(WITH_NOISE) >= 6


@pytest.mark.parametrize("rng", ["reference", "philox"])
def test_same_seed_same_counts(rng):
    image = np.geomspace(0.01, 3e6, 6000, dtype=np.float32).reshape(60, 100)
    first, second, other = (noise_image(image, (0, 60, 0, 100), seed, 0.0, rng) for seed in (4, 4, 5))
    assert np.array_equal(first.counts, second.counts) and first.photons == second.photons
    assert not np.array_equal(first.counts, other.counts)
    # the sum is a Poisson number: six standard deviations
    assert abs(first.photons - image.sum(dtype=float)) < 6 * np.sqrt(image.sum(dtype=float))


@pytest.mark.parametrize("rng", ["reference", "philox"])
def test_only_the_region_is_filled(rng):
    image = np.full((20, 30), 5.0, np.float32)
    counts = noise_image(image, (3, 11, 7, 20), 1, 40.0, rng).counts
    inside = np.zeros(image.shape, bool)
    inside[3:11, 7:20] = True
    assert (counts[inside] >= 40).all() and not counts[~inside].any()


@pytest.mark.parametrize("rng", ["reference", "philox"])
def test_overloads_are_clipped_and_counted(rng):
    image = np.array([[65_000.0, 80_000.0, 1e7]], np.float32)
    result = noise_image(image, (0, 1, 0, 3), 1, 100_000.0, rng)
    assert result.counts.tolist() == [[65535, 65535, 65535]] and result.overloads == 3
    assert result.photons == pytest.approx(1e7 + 145_000, rel=5e-3)  # without the offset; rms is 3e-4 of it


def test_counts_below_zero():
    image = np.zeros((1, 2), np.float32)
    assert noise_image(image, (0, 1, 0, 2), 1, -5.0).counts.tolist() == [[65531, 65531]]
    assert noise_image(image, (0, 1, 0, 2), 1, -5.0, "philox").counts.tolist() == [[0, 0]]


def test_philox_bands_are_one_stream():
    # larger than a band of rows; a band restarted with the same seed would repeat itself
    image = np.full((2100, 1000), 100.0, np.float32)
    counts = noise_image(image, (0, 2100, 0, 1000), 1, 0.0, "philox").counts
    assert not np.array_equal(counts[:1048], counts[1048:2096])


@pytest.mark.parametrize(("mean", "rng"), [(2e6, "philox"), (2e6, "reference"), (300.0, "philox")])
def test_spread_is_the_square_root(mean, rng):
    image = np.full((100, 100), mean, np.float32)
    counts = noise_image(image, (0, 100, 0, 100), 2, 30_000 - mean, rng).counts
    # a sample rms of 10^4 pixels is good to 0.7 %: four of these
    assert counts.std() == pytest.approx(np.sqrt(mean), rel=0.028)


def test_bad_requests():
    image = np.ones((2, 2), np.float32)
    with pytest.raises(ConfigError, match="seed must be >= 0, got -1"):
        noise_image(image, (0, 2, 0, 2), -1)
    with pytest.raises(ConfigError, match="less than 2147483647"):
        noise_image(image, (0, 2, 0, 2), 2**31 - 1)
    with pytest.raises(ConfigError, match="reference or philox, got 'mt'"):
        noise_image(image, (0, 2, 0, 2), 1, 40.0, "mt")  # type: ignore[arg-type]
    noise_image(image, (0, 2, 0, 2), 2**31 - 1, 40.0, "philox")
