"""Random numbers: against textbook formulas, published values, and numbers of the reference program."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from nbnumba.kernels.cpu import rng
from tests.compiled import from_python
from tests.conftest import GOLDEN

M = 2**31 - 1
CASES = GOLDEN / "cases.json"
advance, log_gamma = from_python(rng._advance), from_python(rng.gammln)


def textbook_uniforms(seed: int, n: int) -> list[np.float32]:
    """Shuffled congruential generator in Python's exact integers."""
    number = max(seed, 1)
    drawn = []
    for _ in range(40):
        number = number * 16807 % M
        drawn.append(number)
    table = drawn[8:][::-1]
    last = table[0]
    result = []
    for _ in range(n):
        number = number * 16807 % M
        slot = last // (1 + (M - 1) // 32)
        last, table[slot] = table[slot], number
        result.append(min(np.float32(last / M), np.float32(1 - 1.2e-7)))
    return result


@njit
def uniforms(seed, out):
    """The first deviates of a seed."""
    state = np.empty(rng.STATE_SIZE, np.int64)
    rng.seed_state(seed, state)
    for i in range(len(out)):
        out[i] = rng.ran1(state)


@settings(max_examples=40)
@given(st.integers(0, M - 1))
def test_uniforms_are_those_of_the_textbook(seed):
    out = np.empty(200, np.float32)
    uniforms(seed, out)
    assert out.tolist() == [float(v) for v in textbook_uniforms(seed, 200)]


def test_congruence_reaches_the_published_number():
    # Park & Miller, CACM 31 (1988) 1195: starting with 1, the 10 000th number is 1043618065
    number = 1
    for _ in range(10_000):
        number = int(advance(number))
    assert number == 1043618065


def test_every_seed_gives_a_moving_generator():
    out = np.empty(50, np.float32)
    for seed in (0, M - 1, M, 2**40):
        uniforms(seed, out)
        assert len(set(out.tolist())) == 50 and out.min() > 0 and out.max() < 1


def test_log_gamma():
    # the approximation is good to 2e-10, its result a float32: half a last place, 6e-8; around its zeros absolute
    for x in (1.0, 1.5, 2.0, 3.25, 20.0, 1000.0, 1.5e6):
        assert log_gamma(np.float32(x)) == pytest.approx(math.lgamma(x), rel=7e-8, abs=1e-9)


@njit
def normal_deviates(seed, n):
    state, spare = np.empty(rng.STATE_SIZE, np.int64), np.zeros(2, np.float32)
    rng.seed_state(seed, state)
    return np.array([rng.gaussdev(state, spare) for _ in range(n)])


def test_gauss_moments():
    drawn = normal_deviates(3, 100_000).astype(float)
    # standard errors: 1/sqrt(n) = 0.0032, sqrt(2/n) = 0.0045, sqrt(96/n) = 0.031; four of each
    assert abs(drawn.mean()) < 0.013
    assert abs(drawn.var() - 1) < 0.018
    assert abs((drawn**4).mean() - 3) < 0.124


@pytest.mark.parametrize("mean", [0.001, 0.7, 11.99, 12.0, 20.0, 4000.0, 9e5, 2e6])
def test_poisson_mean_and_variance(mean):
    n = 40_000
    counts = np.zeros((1, n), np.uint16)
    image = np.full((1, n), mean, np.float32)
    offset = 30_000.0 - mean if mean > 30_000 else 0.0  # keeps the counts inside 16 bits
    photons, overloads = rng.poisson_image(image, 0, 1, 0, n, 1, offset, counts)
    drawn = counts[0].astype(float) - offset
    assert overloads == 0
    error = math.sqrt(mean / n)
    assert abs(photons / n - mean) < 4 * error
    assert abs(drawn.mean() - mean) < 4 * error + 1  # truncation of the offset sum
    # variance of a Poisson sample variance: (mean + 2 mean^2) / n
    assert abs(drawn.var() - mean) < 4 * math.sqrt((mean + 2 * mean**2) / n)


def test_poisson_does_not_depend_on_the_table_of_log_factorials():
    @njit
    def draw(table, means):
        state, spare = np.empty(rng.STATE_SIZE, np.int64), np.zeros(2, np.float32)
        rng.seed_state(5, state)
        return np.array([rng.poidev(m, state, spare, table) for m in means])

    means = np.geomspace(10, 9000, 3000).astype(np.float32)
    table = np.array([log_gamma(np.float32(k + 1)) for k in range(300)], np.float32)
    assert np.array_equal(draw(table, means), draw(table[:0], means))


def test_poisson_of_impossible_means_ends():
    image = np.array([[0.0, -1.0]], np.float32)
    counts = np.ones((1, 2), np.uint16)
    assert rng.poisson_image(image, 0, 1, 0, 2, 1, 0.0, counts) == (0.0, 0)
    assert counts.tolist() == [[0, 0]]


def test_mosaic_domains_are_the_reference_programs():
    umats = rng.mosaic_umats(0.01, 3)
    # printed with 17 digits by the C function for spread 0.01 and seed 12345678; sin and cos may differ by an ulp
    second = [0.9999552500485517, -0.009138751031075245, 0.0024456348726968288]
    third = [-0.0034281785741972757, -0.006436807971636129, 0.9999734071938112]
    assert np.array_equal(umats[0], np.eye(3))
    np.testing.assert_allclose(umats[1, 0], second, rtol=0, atol=1e-15)
    np.testing.assert_allclose(umats[2, 2], third, rtol=0, atol=1e-15)


def test_mosaic_domains_are_rotations_within_the_spread():
    spread = math.radians(0.7)
    umats = rng.mosaic_umats(spread, 400, 9)
    angles = np.arccos(np.clip((np.trace(umats, axis1=1, axis2=2) - 1) / 2, -1, 1))
    np.testing.assert_allclose(umats @ umats.transpose(0, 2, 1), np.broadcast_to(np.eye(3), umats.shape), atol=1e-14)
    # the angle's float32 rounding; arccos loses 1e-16 / angle
    assert angles.max() <= spread * (1 + 1e-7)
    assert angles.max() > 0.95 * spread  # the share (1 - r^2)^(1/3) is above 0.95 for 38 % of the domains
    assert np.array_equal(umats[:50], rng.mosaic_umats(spread, 50, 9))
    assert not np.array_equal(umats[1], rng.mosaic_umats(spread, 2, 10)[1])


@pytest.mark.golden
def test_random_orientation_is_the_reference_programs():
    found = 0
    for case in json.loads(CASES.read_text()):
        if "misset_random_deg" in case["expect"]:
            seed = int(case["args"][case["args"].index("-misset_seed") + 1])
            angles = np.degrees(rng.umat_to_misset(rng.random_umat(seed)))
            np.testing.assert_allclose(angles, case["expect"]["misset_random_deg"], rtol=0, atol=1e-12)
            found += 1
    assert found


def rotation(axis: int, angle: float) -> np.ndarray:
    i, j = (axis + 1) % 3, (axis + 2) % 3
    umat = np.eye(3)
    umat[i, i] = umat[j, j] = math.cos(angle)
    umat[j, i], umat[i, j] = math.sin(angle), -math.sin(angle)
    return umat


@settings(max_examples=60)
@given(st.integers(0, M - 1))
def test_misset_angles_rebuild_the_orientation(seed):
    umat = rng.random_umat(seed)
    x, y, z = rng.umat_to_misset(umat)
    np.testing.assert_allclose(rotation(2, z) @ rotation(1, y) @ rotation(0, x), umat, atol=1e-13)


def test_misset_of_a_right_angle_about_y():
    umat = rotation(2, 0.4) @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    angles = rng.umat_to_misset(umat)
    assert angles[:2] == (math.pi, math.pi / 2)
    assert math.isfinite(angles[2])
