"""Squared profiles of the spots with their derivatives, float64, for CPU and CUDA alike.

The profiles are those of :mod:`nbnumba.kernels.formulas.profiles`. Nothing branches and sines are polynomials, so that
loops over pixels vectorize on the CPU. ``vector``: 1 on the CPU; None where a function of CUDA's library is the better one.
"""

from __future__ import annotations

import math

from nbnumba.kernels.formulas.fast_math import exp64
from nbnumba.kernels.formulas.lattice import GAUSS_WIDTH
from nbnumba.kernels.jit.cpu import device

#: Below this X = pi times the radius the transform of a sphere is a series, above it sines and cosines that cancel
SERIES_BELOW = 1.5


@device(forceinline=True)
def exponential(x, vector):
    """exp(x): by a polynomial where ``vector`` is not None, for loops that are to vectorize on the CPU."""
    if vector is None:
        return math.exp(x)
    return exp64(x)


@device(forceinline=True)
def sine_ratio(t):
    """sin(x) / x for t = x^2 <= (pi/2)^2, to 2e-16 (Taylor)."""
    high = -1 / 121645100408832000.0 + t * (1 / 51090942171709440000.0 - t * (1 / 25852016738884976640000.0))
    high = 1 / 6227020800 + t * (-1 / 1307674368000 + t * (1 / 355687428096000 + t * high))
    high = -1 / 5040 + t * (1 / 362880 + t * (-1 / 39916800 + t * high))
    return 1.0 + t * (-1 / 6 + t * (1 / 120 + t * high))


@device(forceinline=True)
def sphere_ratio(t):
    """3 (sin(x) / x - cos(x)) / x^2 for t = x^2 <= (pi/2)^2, to 2e-16 (Taylor)."""
    high = -1 / 851515702861824000.0 + t * (1 / 391697223316439040000.0 - t * (1 / 215433472824041472000000.0))
    high = 1 / 31135104000 + t * (-1 / 7410154752000 + t * (1 / 2252687044608000.0 + t * high))
    high = -1 / 15120 + t * (1 / 1330560 + t * (-1 / 172972800 + t * high))
    return 1.0 + t * (-1 / 10 + t * (1 / 280 + t * high))


@device(forceinline=True)
def sphere_change(t):
    """(sin(x) / x - sphere_ratio) / x^2 for t = x^2 <= (pi/2)^2, to 2e-16 (Taylor)."""
    high = -1 / 141919283810304000.0 + t * (1 / 58754583497465856000.0 - t * (1 / 29377291748732928000000.0))
    high = 1 / 7783776000 + t * (-1 / 1587890304000 + t * (1 / 422378820864000 + t * high))
    return -1 / 15 + t * (1 / 210 + t * (-1 / 7560 + t * (1 / 498960 + t * (-1 / 51891840 + t * high))))


@device(forceinline=True)
def gauss_slope(radius_sqr, vector):
    """Profile of a Gaussian spot, and its derivative with respect to the squared radius."""
    profile = exponential(-2.0 / GAUSS_WIDTH * radius_sqr, vector)
    return profile, -2.0 / GAUSS_WIDTH * profile


@device(forceinline=True)
def round_slope(radius_sqr):
    """Profile of the spot of a round crystal, and its derivative with respect to the squared radius.

    The profile is p^2, p = 3 (sin X / X - cos X) / X^2 with X = pi times the radius; the derivative of p with respect to
    X^2 is 3/2 (sin X / X - p) / X^2.
    """
    square = math.pi**2 * radius_sqr
    small = square < SERIES_BELOW * SERIES_BELOW
    few = square if small else 0.0
    many = 1.0 if small else square
    X = math.sqrt(many)
    x = X * (1 / math.pi)
    half = math.floor(x + 0.5)
    f = math.pi * (x - half)  # a sign (-1)^half of sine and cosine drops out of all products
    ratio, inverse = sine_ratio(f * f), 1.0 / many
    sine, cosine = f * ratio * X * inverse, ratio - f * f * sphere_ratio(f * f) * (1 / 3)
    transform = 3.0 * (sine - cosine) * inverse
    change = (sine - transform) * inverse
    transform, change = sphere_ratio(few) if small else transform, sphere_change(few) if small else change
    return transform * transform, 3.0 * math.pi**2 * transform * change


@device(forceinline=True)
def grating_slope(d, N):
    """Squared grating function (sin(pi N d) / sin(pi d))^2, and its derivatives with respect to ``d`` and to ``N``.

    ``d``: distance of an index from the nearest whole number. N need not be whole: the function is then continued from
    ``d``, period by period. With u = N d = k + y, k whole, all is written in sin(pi y) / (pi y) and the like, so that
    nothing cancels at a peak or at a zero.
    """
    u = N * d
    k = math.floor(u + 0.5)
    y = u - k
    near, far = math.pi**2 * (d * d), math.pi**2 * (y * y)
    below, above = sine_ratio(near), sine_ratio(far)
    peak = k == 0.0
    distance = 1.0 if peak else d
    across = 1.0 if peak else u
    inverse = 1.0 / (below * above * (across * distance))  # the only quotient: others are products with it
    of_pair = inverse * below * above
    of_below, of_above = inverse * above * (across * distance), inverse * below * (across * distance)
    ratio = above * of_below  # sin(pi N d) / sin(pi d) over N: this near a peak, else times y / u
    factor = ratio if peak else y * ratio * (of_pair * distance)
    near_slope, far_slope = sphere_ratio(near), sphere_ratio(far)
    bracket = math.pi / 3.0 * factor * (d * near_slope * of_below - N * y * far_slope * of_above)
    bracket += 0.0 if peak else k * ratio * (1 / math.pi) * of_pair
    along = 2.0 * math.pi * N * N * factor * bracket
    cosine = above - far * far_slope * (1 / 3)
    with_N = 2.0 * (N if peak else y * (of_pair * across)) * ratio * cosine * of_below
    return N * N * factor * factor, along, with_N
