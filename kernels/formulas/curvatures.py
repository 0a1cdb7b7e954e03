"""Second derivatives of a term with respect to a parameter, float64, for CPU and CUDA alike.

A term is T = s P(dh), s being its weight, F^2 and squared peak, and dh = h - h0 with h = A q. A parameter changes the
indices as h' = D h and h'' = E h, the metric Q of the spot (r = dh Q dh) as Q' and Q'', and the squared peak relatively by
u and w. Then, with g and H the gradient and the Hessian of T with respect to h,

    T'' = g . E h + Dh . H Dh                                                                    all shapes
        + s P''(r) (2 a b + b^2) + s P'(r) (4 dh Q' Dh + dh Q'' dh + 2 u (a + b)) + w T          those with a metric,

a = 2 dh Q Dh and b = dh Q' dh being the parts of r'. Of a square crystal the size has H of its own. The weight does not
depend on these parameters. The rows of the table continue those of :mod:`nbnumba.kernels.formulas.sums`.
"""

from __future__ import annotations

import math

from nbnumba.kernels.formulas.blocks import GAUSS
from nbnumba.kernels.formulas.lattice import GAUSS_WIDTH, metric_sqr
from nbnumba.kernels.formulas.scattering import fractional_indices
from nbnumba.kernels.formulas.slopes import (
    SERIES_BELOW,
    exponential,
    grating_slope,
    sine_ratio,
    sphere_change,
    sphere_ratio,
)
from nbnumba.kernels.formulas.sums import CELL, ROWS, VALUE, Q, nearest_whole, put, rows_of
from nbnumba.kernels.formulas.vec import difference, dot, scaled
from nbnumba.kernels.jit.cpu import device

# rows of a term: whether it can have any derivative, and the contribution of a parameter; h, gradient, and Hessian (hh, kk,
# ll, hk, hl, kl) with respect to h
STRENGTH, BENT, INDEX, GRADIENT, HESSIAN = (ROWS + i for i in (0, 1, 2, 5, 8))
# with a metric: dh and 2 Q dh; T, s P', s P''. Without: second derivatives with respect to Na, Nb, Nc
OFFSET, ALONG, TERM, ONCE, TWICE = (HESSIAN + i for i in (6, 9, 12, 13, 14))
SIZED = OFFSET
#: rows of the table
CURVED_ROWS = TWICE + 1
#: numbers of a parameter for all orientations: Q' (of a square crystal N'), Q'', u, w; whether any of these is not 0;
#: whether D is per reciprocal wavelength (and E per its square)
FORM_ONCE, FORM_TWICE, PEAK, FORMED, SHIFTING, NUMBERS = 0, 6, 12, 14, 15, 16


@device(forceinline=True)
def gauss_curvature(radius_sqr, vector):
    """Profile of a Gaussian spot, and its derivatives with respect to the squared radius."""
    profile, steep = exponential(-2.0 / GAUSS_WIDTH * radius_sqr, vector), -2.0 / GAUSS_WIDTH
    return profile, steep * profile, steep * steep * profile


@device(forceinline=True)
def sphere_bend(t):
    """j3(x) / x^3 = (-5 sphere_change - sphere_ratio / 3) / x^2 for t = x^2 <= (pi/2)^2, to 2e-16 (Taylor)."""
    high = 1 / 30169915776000.0 + t * (-1 / 8869955238144000.0 + t / 3264143527636992000.0)
    high = -1 / 6486480 + t * (1 / 778377600 + t * (-1 / 132324192000.0 + t * high))
    return 1 / 105 + t * (-1 / 1890 + t * (1 / 83160 + t * high))


@device(forceinline=True)
def round_curvature(radius_sqr):
    """As :func:`gauss_curvature`, of a round crystal; see :func:`nbnumba.kernels.formulas.slopes.round_slope`.

    With X^2 = pi^2 radius^2, p = 3 j1(X) / X has the derivatives -3/2 j2(X) / X^2 and 3/4 j3(X) / X^3 with respect to X^2 (spherical Bessel functions).
    """
    square = math.pi**2 * radius_sqr
    small = square < SERIES_BELOW * SERIES_BELOW
    few = square if small else 0.0
    many = 1.0 if small else square
    X = math.sqrt(many)
    x = X / math.pi
    half = math.floor(x + 0.5)
    f = math.pi * (x - half)  # a sign (-1)^half of sine and cosine drops out of all products
    ratio = sine_ratio(f * f)
    sine, cosine = f * ratio / X, ratio - f * f * sphere_ratio(f * f) / 3.0
    transform = 3.0 * (sine - cosine) / many
    change = (sine - transform) / many
    bend = (-5.0 * change - transform / 3.0) / many
    transform, change = sphere_ratio(few) if small else transform, sphere_change(few) if small else change
    bend = sphere_bend(few) if small else bend
    twice = math.pi**4 * (4.5 * change * change + 1.5 * transform * bend)
    return transform * transform, 3.0 * math.pi**2 * transform * change, twice


@device(forceinline=True)
def grating_curvature(d, N):
    """As :func:`nbnumba.kernels.formulas.slopes.grating_slope`, with second derivatives.

    The grating function S = N factor solves S'' = -pi^2 (N^2 - 1) S - 2 pi cot(pi d) S'; where d is 0, the cotangent's pole
    is divided out of S' = pi N bracket. With respect to N, S'' = -(pi d)^2 S.

    Returns
    -------
    squared, along, along_twice, with_N_twice : float
        S^2, its two derivatives with respect to ``d``, and its second one with respect to ``N``.
    """
    u = N * d
    k = math.floor(u + 0.5)
    y = u - k
    near, far = math.pi**2 * (d * d), math.pi**2 * (y * y)
    below, above = sine_ratio(near), sine_ratio(far)
    near_slope, far_slope = sphere_ratio(near), sphere_ratio(far)
    peak = k == 0.0
    distance = 1.0 if peak else d
    across = 1.0 if peak else u
    ratio, inverse = above / below, 1.0 / distance
    factor = ratio if peak else y * ratio / across
    squared, along, _ = grating_slope(d, N)
    level = math.pi / 3.0 * factor * (near_slope / below - N * N * far_slope / above)  # bracket / d where k is 0
    ramp = math.pi / 3.0 * factor * (d * near_slope / below - N * y * far_slope / above)
    ramp += k * ratio / (math.pi * across) * inverse
    bracket = d * level if peak else ramp
    steep = level if peak else ramp * inverse
    cotangent = (below - near * near_slope / 3.0) / (math.pi * below) * steep
    twice = bracket * bracket - factor * ((N * N - 1.0) * factor + 2.0 * cotangent)
    with_N = (above - far * far_slope / 3.0) / below
    return squared, along, 2.0 * math.pi**2 * N * N * twice, 2.0 * (with_N * with_N - near * squared)


@device(forceinline=True)
def form_slope(form, d):
    """Gradient of the quadratic form (hh, kk, ll, hk, hl, kl; products twice) at ``d``."""
    h, k, l = d
    hh, kk, ll, hk, hl, kl = form
    return 2.0 * hh * h + hk * k + hl * l, 2.0 * kk * k + hk * h + kl * l, 2.0 * ll * l + hl * h + kl * k


@device(forceinline=True)
def form_value(form, d):
    """The quadratic form at ``d``."""
    h, k, l = d
    return form[0] * h * h + form[1] * k * k + form[2] * l * l + form[3] * h * k + form[4] * h * l + form[5] * k * l


@device(forceinline=True)
def put_six(work, row, width, p, six):
    """Write six rows."""
    put(work, row, width, p, (six[0], six[1], six[2]))
    put(work, row + 3, width, p, (six[3], six[4], six[5]))


@device(forceinline=True)
def put_radial(work, width, p, d, metric, strength, gauss, end, round_, vector):
    """Write the rows of a term whose spot has a metric; returns whether it can have derivatives."""
    form = (metric.hh, metric.kk, metric.ll, metric.hk, metric.hl, metric.kl)
    r = metric_sqr(d[0], d[1], d[2], metric)
    if round_ is not None:
        profile, once, twice = round_curvature(r)
    else:
        profile, once, twice = gauss_curvature(r, vector)
        strength *= 1.0 if gauss and r < end else 0.0
    once, twice = strength * once, strength * twice
    a, b, c = form_slope(form, d)
    put(work, OFFSET, width, p, d)
    put(work, ALONG, width, p, (a, b, c))
    put(work, TERM, width, p, (strength * profile, once, twice))
    put(work, GRADIENT, width, p, (once * a, once * b, once * c))
    squares = (2.0 * once * form[0] + twice * a * a, 2.0 * once * form[1] + twice * b * b)
    products = (once * form[3] + twice * a * b, once * form[4] + twice * a * c, once * form[5] + twice * b * c)
    put_six(work, HESSIAN, width, p, (*squares, 2.0 * once * form[2] + twice * c * c, *products))
    return strength


@device(forceinline=True)
def put_square(work, width, p, d, N, strength):
    """As :func:`put_radial`, of a square crystal."""
    a, a1, a2, aN = grating_curvature(d[0], N[0])
    b, b1, b2, bN = grating_curvature(d[1], N[1])
    c, c1, c2, cN = grating_curvature(d[2], N[2])
    ab, ac, bc = strength * a * b, strength * a * c, strength * b * c
    put(work, GRADIENT, width, p, (a1 * bc, b1 * ac, c1 * ab))
    products = (strength * a1 * b1 * c, strength * a1 * b * c1, strength * a * b1 * c1)
    put_six(work, HESSIAN, width, p, (a2 * bc, b2 * ac, c2 * ab, *products))
    put(work, SIZED, width, p, (aN * bc, bN * ac, cN * ab))
    return strength


@device(forceinline=True)
def put_terms(work, width, axes, crystal, metric, end, round_, vector):
    """Write the rows of an orientation's terms; arguments as of :func:`nbnumba.kernels.formulas.sums.add_terms`."""
    for p in range(width):
        index = fractional_indices(axes, rows_of(work, Q, width, p))
        d = difference(index, nearest_whole(index))
        strength = work[VALUE * width + p] * work[CELL * width + p]
        put(work, INDEX, width, p, index)
        if metric is not None:
            gauss = crystal.shape == GAUSS
            strength = put_radial(work, width, p, d, metric, strength, gauss, end, round_, vector)
        else:
            strength = put_square(work, width, p, d, (crystal.Na, crystal.Nb, crystal.Nc), strength)
        work[STRENGTH * width + p] = strength


@device(forceinline=True)
def times(matrix, v):
    """A matrix, as a tuple of its rows, times a vector."""
    return dot(matrix[0], v), dot(matrix[1], v), dot(matrix[2], v)


@device(forceinline=True)
def rows_from(numbers, first, factor):
    """A 3x3 matrix times a factor, from its nine numbers, of a row."""
    return (
        scaled(tuple_of(numbers, first), factor),
        scaled(tuple_of(numbers, first + 3), factor),
        scaled(tuple_of(numbers, first + 6), factor),
    )


@device(forceinline=True)
def six_of(numbers, first):
    """Six numbers of a row."""
    return tuple_of(numbers, first) + tuple_of(numbers, first + 3)


@device(forceinline=True)
def tuple_of(numbers, first):
    """Three numbers of a row."""
    return numbers[first], numbers[first + 1], numbers[first + 2]


@device(forceinline=True)
def bend_terms(work, width, change, numbers, metric, inverse):
    """Row BENT: second derivatives of the terms with respect to a parameter.

    ``change``: D and E of the orientation, 18 numbers; ``numbers``: as of :data:`NUMBERS`; ``inverse``: 1 / wavelength.
    """
    factor = inverse if numbers[SHIFTING] != 0.0 else 1.0
    D, E = rows_from(change, 0, factor), rows_from(change, 9, factor * factor)
    for p in range(width):
        index = rows_of(work, INDEX, width, p)
        h, k, l = times(D, index)
        bent = dot(rows_of(work, GRADIENT, width, p), times(E, index))
        hh, kk, ll = rows_of(work, HESSIAN, width, p)
        hk, hl, kl = rows_of(work, HESSIAN + 3, width, p)
        bent += hh * h * h + kk * k * k + ll * l * l + 2.0 * (hk * h * k + hl * h * l + kl * k * l)
        work[BENT * width + p] = bent
    if numbers[FORMED] != 0.0:
        if metric is None:
            a, b, c = tuple_of(numbers, FORM_ONCE)
            for p in range(width):
                work[BENT * width + p] += dot((a * a, b * b, c * c), rows_of(work, SIZED, width, p))
        else:
            first, second = six_of(numbers, FORM_ONCE), six_of(numbers, FORM_TWICE)
            form_terms(work, width, D, first, second, (numbers[PEAK], numbers[PEAK + 1]))


@device(forceinline=True)
def form_terms(work, width, D, first, second, peak):
    """Add to row BENT what the changes of the metric (``first``, ``second``) and of the squared peak contribute."""
    for p in range(width):
        d, shift = rows_of(work, OFFSET, width, p), times(D, rows_of(work, INDEX, width, p))
        term, once, twice = rows_of(work, TERM, width, p)
        a, b = dot(rows_of(work, ALONG, width, p), shift), form_value(first, d)
        bent = twice * b * (2.0 * a + b) + peak[1] * term
        bent += once * (2.0 * dot(form_slope(first, d), shift) + form_value(second, d) + 2.0 * peak[0] * (a + b))
        work[BENT * width + p] += bent
