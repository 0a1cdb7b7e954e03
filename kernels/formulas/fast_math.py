"""Arithmetic of the fast kernels: squared sines and an exponential as polynomials, for CPU and CUDA alike.

Problem: sin(pi N d)^2 / sin(pi d)^2, the squared grating function, is the innermost expression of a simulation. Library
sines cost most of the time and keep a loop from being vectorized; in float32 they lose the phase.

Choice: callers reduce the index to its fraction ``d`` and ``N d`` to its fraction ``y`` (in float64, or in float32 where
the error allows), and then only sinc2(t) = (sin(pi x) / (pi x))^2 with t = x^2 <= 1/4 is left: a polynomial with
constant term 1. The grating function divided by N^2 is ``y^2 sinc2(y^2) / (u^2 sinc2(d^2))`` with ``u = N d``: near a
Bragg peak y and u are the same number and the ratio is exactly 1, and near a zero it keeps the relative accuracy of y.

Cost: a relative error of about 3e-7 (rounding), and 0/0 at a whole index, which :data:`SMALLEST_SQR`, added to both
squares, removes: a zero of the grating function becomes 1e-12 of its peak at most. Misuse: an argument beyond |x| = 1/2
is not reduced here, and gives a wrong value.
"""

from __future__ import annotations

import math

import numpy as np

from nbnumba.kernels.jit.cpu import ORDERED, device

#: added to both squares, so that a peak is 1 and not 0/0; the product of three is still a normal float32
SMALLEST_SQR = np.float32(3e-13)

# weighted minimax fits of (sin(pi x) / (pi x))^2 in t = x^2 on 0 <= t <= 1/4 with constant term 1
_A1, _A2, _A3, _A4, _A5 = (
    np.float32(c)
    for c in (-3.289865677710272, 4.329165235425976, -3.049816301591518, 1.3216870897799282, -0.33908734738747626)
)
_ONE = np.float32(1.0)
_LOG2E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 0.693145751953125, 1.42860682030941723212e-6


@device
def sinc2(t):
    """(sin(pi x) / (pi x))^2 for float32 t = x^2 <= 1/4; relative error of the polynomial 1.6e-8."""
    return _ONE + t * (_A1 + t * (_A2 + t * (_A3 + t * (_A4 + t * _A5))))


@device(fastmath=ORDERED)
def grating(f, change, N, inverse_sqr):
    """Nearest whole number of an index, numerator and denominator of the squared grating function over N^2; float32.

    The index is ``f + change``; these and ``N`` are all float32 or all float64, and with them the accuracy of the
    phase. Near a peak the whole number cancels against ``f`` without rounding. ``inverse_sqr`` is 1 / N^2 in float32.
    """
    nearest = np.rint(f + change)
    u = N * ((f - nearest) + change)
    y, v = np.float32(u - np.rint(u)), np.float32(u)
    y, v = y * y + SMALLEST_SQR, v * v + SMALLEST_SQR
    return np.float32(nearest), y * sinc2(y), v * sinc2(v * inverse_sqr)


@device
def exp64(x):
    """exp(x) for float64 -700 <= x <= 700 (clipped beyond); relative error 3e-16 times a few. Loops with it vectorize.

    x = k ln 2 + f; exp(f) by its Taylor series, 2^k from the bits of the exponent.
    """
    x = min(max(x, -700.0), 700.0)
    k = np.rint(x * _LOG2E)
    f = (x - k * _LN2_HIGH) - k * _LN2_LOW
    series = 1 / 5040 + f * (1 / 40320 + f * (1 / 362880 + f * (1 / 3628800 + f * (1 / 39916800 + f / 479001600))))
    series = 1.0 + f * (1.0 + f * (0.5 + f * (1 / 6 + f * (1 / 24 + f * (1 / 120 + f * (1 / 720 + f * series))))))
    bits = np.int64((np.int64(k) + 1023) << 52)
    return series * bits.view(np.float64)


@device
def sinc3_sqr(x):
    """Square of 3 (sin X / X - cos X) / X^2 with X = pi x, for float64 x >= 0.

    The bracket cancels: around its zeros the relative error of the result is the absolute one of the sine and cosine,
    here 1e-11, and below X = 1/2 a power series replaces it.
    """
    half = np.rint(x)
    f = (x - half) * math.pi
    t = f * f
    # sin and cos on |f| <= pi/2 (Taylor); (-1)^half is common to both and drops out of the square
    sine = 1.0 + t * (-1 / 6 + t * (1 / 120 + t * (-1 / 5040 + t * (1 / 362880 + t * (-1 / 39916800)))))
    sine = f * (sine + t**6 * (1 / 6227020800 + t * (-1 / 1307674368000)))
    cosine = 1.0 + t * (-1 / 2 + t * (1 / 24 + t * (-1 / 720 + t * (1 / 40320 + t * (-1 / 3628800)))))
    cosine += t**6 * (1 / 479001600 + t * (-1 / 87178291200 + t * (1 / 20922789888000)))
    X = math.pi * x
    square = X * X
    series = 1.0 + square * (-1 / 10 + square * (1 / 280 + square * (-1 / 15120 + square * (1 / 1330560))))
    safe = max(X, 0.5)
    value = series if X < 0.5 else 3.0 * (sine / safe - cosine) / (safe * safe)
    return value * value
