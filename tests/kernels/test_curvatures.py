"""Second derivatives of the squared profiles of spots, against decimal numbers of 120 digits."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbnumba.kernels.formulas.curvatures import gauss_curvature, grating_curvature, round_curvature
from nbnumba.kernels.formulas.lattice import GAUSS_WIDTH
from nbnumba.kernels.formulas.slopes import SERIES_BELOW
from tests.compiled import from_python

DIGITS = 120
PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651328230664"
    "709384460955"
)
GRATING, ROUND, GAUSS = (from_python(f) for f in (grating_curvature, round_curvature, gauss_curvature))


def series(first: Decimal, ratio: Any) -> Decimal:
    """Sum of terms, each the one before times ``ratio(k)``."""
    total, term, k = Decimal(0), first, 0
    while abs(term) > Decimal(10) ** -(DIGITS + 20):
        total += term
        k += 1
        term *= ratio(k)
    return total


def sine(x: Decimal) -> Decimal:
    x = x % (2 * PI)
    return series(x, lambda k: -x * x / (2 * k * (2 * k + 1)))


def cosine(x: Decimal) -> Decimal:
    return sine(x + PI / 2)


def grating(d: float, N: float) -> tuple[float, ...]:
    """sin^2(pi N d) / sin^2(pi d), its second derivatives with respect to d and to N, and the largest that could be here."""
    with localcontext() as context:
        context.prec = DIGITS
        x, n = PI * Decimal(d), Decimal(N)
        s, c, S, C = sine(x), cosine(x), sine(n * x), cosine(n * x)
        f, slope = S / s, n * C / s - S * c / s**2
        bend = -(n * n - 1) * f - 2 * slope * c / s
        with_N = 2 * (x * x) * (C * C - S * S) / s**2
        scale = 2 * PI**2 * n * n * min(n * n, 1 / s**2)
        return tuple(float(v) for v in (f * f, 2 * PI**2 * (slope**2 + f * bend), with_N, scale))


sizes = st.one_of(st.integers(1, 10000).map(float), st.floats(1.0, 10000.0))


@settings(max_examples=300, deadline=None)
@given(N=sizes, place=st.floats(0, 1), away=st.one_of(st.just(0.0), st.floats(-12, 0)), half=st.booleans())
@example(N=20.0, place=0.0, away=-12.0, half=False)
@example(N=1.0, place=0.3, away=-1.0, half=True)
def test_grating(N, place, away, half):
    """Near a zero (or halfway between two), by 10^away of their distance; the phase pi N d is good to some bits of N d."""
    d = (round(place * N / 2) + 0.5 * half + (10.0**away if away else 0.0)) / N
    d = min(max(d, 1e-15), 0.5)
    squared, _, bend, with_N = GRATING(d, N)
    expected, expected_bend, expected_N, scale = grating(d, N)
    limit = 1e-14 + 2e-15 * N * d
    assert abs(bend - expected_bend) <= limit * scale
    assert abs(with_N - expected_N) <= limit * max(1.0, scale / N**2)
    assert abs(squared - expected) <= limit * scale / N**2
    assert GRATING(-d, N)[2] == pytest.approx(bend, rel=1e-12, abs=limit * scale)


@pytest.mark.parametrize("N", [1.0, 2.0, 7.0, 20.5, 1000.0])
def test_grating_at_the_peak(N):
    """S^2 = N^2 (1 - (N^2 - 1) (pi d)^2 / 3 + ...)."""
    assert GRATING(0.0, N) == pytest.approx((N * N, 0.0, -2 / 3 * np.pi**2 * N**2 * (N**2 - 1), 2.0), rel=1e-13)


@cache
def bessel(n: int, square: float) -> Decimal:
    """j_n(x) / x^n for x^2."""
    with localcontext() as context:
        context.prec = DIGITS
        first = Decimal(1)
        for odd in range(3, 2 * n + 2, 2):
            first /= odd
        return series(first, lambda k: -Decimal(square) / (2 * k * (2 * n + 2 * k + 1)))


@pytest.mark.parametrize(
    "X", [0.0, 1e-8, 0.1, 1.0, SERIES_BELOW - 1e-9, SERIES_BELOW + 1e-9, 2.0, 4.4934, 7.0, 12.0, 40.0]
)
def test_round(X):
    """4.4934 is near the first zero; there the second derivative is that of a square."""
    radius_sqr = (X / np.pi) ** 2
    square = float(PI**2 * Decimal(radius_sqr))
    one, two, three = (float(bessel(n, square)) for n in (1, 2, 3))
    p, p1, p2 = 3 * one, -1.5 * two, 0.75 * three
    expected = (p * p, 2 * np.pi**2 * p * p1, 2 * np.pi**4 * (p1 * p1 + p * p2))
    # the envelopes fall as X^-4, X^-5 and X^-6; above the series' end two and three digits are lost of the derivatives
    for value, right, power, limit in zip(
        ROUND(radius_sqr), expected, (2.0, 2.5, 3.0), (3e-14, 1e-13, 3e-12), strict=True
    ):
        assert abs(value - right) <= limit / (1 + square) ** power


def test_gauss():
    for r in (0.0, 0.3, 5.0):
        value, steep = np.exp(-2 / GAUSS_WIDTH * r), -2 / GAUSS_WIDTH
        assert GAUSS(r, 1) == pytest.approx((value, steep * value, steep**2 * value), rel=1e-14)
