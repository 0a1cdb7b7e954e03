"""The terms of the fast CUDA kernels: anchoring one at a tile's middle, and evaluating it for a pixel.

See :mod:`nbnumba.kernels.gpu_fast` for what is anchored and why.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nbnumba.kernels._cuda import cuda_device, float32, float64, int32, read_only, reciprocal, uint32
from nbnumba.kernels.blocks import GAUSS
from nbnumba.kernels.fast_math import SMALLEST_SQR
from nbnumba.kernels.gpu_ops import (
    MAGIC,
    MAGIC_BITS,
    clamped,
    clamped_index,
    fused,
    nearest32,
    place,
    quotient,
    remainder,
)
from nbnumba.kernels.lattice import GAUSS_WIDTH, SPHERE, sinc3, spot_radius_sqr

#: What a fast kernel is compiled for: lattice transform and type of the phases.
SQUARE32, SQUARE64, ROUND64, COMPACT64 = range(4)

#: Columns of a staged term. Unsigned like its row: a signed index could be one from the end, which costs a test, and
#: one signed index makes all of them signed.
COLUMN = tuple(np.uint32(i) for i in range(12))

_ONE = np.float32(1)
_TINY = np.float32(SMALLEST_SQR)


class SquareUnits(NamedTuple):
    """Constants of the grating functions, float32, and of the padded box, int32.

    ``a1 .. a4`` and so on: coefficients of :data:`SINC` divided by N^2, N^4, N^6, N^8 of that axis.
    """

    Na: float
    Nb: float
    Nc: float
    inverse_Na: float
    inverse_Nb: float
    inverse_Nc: float
    a1: float
    a2: float
    a3: float
    a4: float
    b1: float
    b2: float
    b3: float
    b4: float
    c1: float
    c2: float
    c3: float
    c4: float
    nh: int  # entries of the box along each axis, and the number of the plane of defaults
    nk: int
    nl: int
    wide_k: int  # the same with that plane
    wide_l: int
    least_a: float  # gauss and tophat, float64: squared radius of a spot that an offset of 1 along h leaves at least
    least_b: float
    least_c: float
    end: float  # squared radius at which spots end


#: sin(pi x) / (pi x) = 1 + t (S1 + t (S2 + t (S3 + t S4))), t = x^2 <= 1/4: minimax fit, relative error 1.1e-8. One
#: coefficient fewer in the denominators saves 1.5 instructions and is wrong by 1.1e-6, 6e-6 in the product of the squares
SINC = (-1.6449333429336548, 0.8117162585258484, -0.1904463917016983, 0.024722760543227196)
_S1, _S2, _S3, _S4 = (np.float32(c) for c in SINC)


@cuda_device
def sinc(t):
    """sin(pi x) / (pi x) of float32 t = x^2 <= 1/4."""
    return _ONE + t * (_S1 + t * (_S2 + t * (_S3 + t * _S4)))


@cuda_device
def sinc_over(t, c1, c2, c3, c4):
    """As :func:`sinc`, of t = (N x)^2 with the coefficients of N."""
    return _ONE + t * (c1 + t * (c2 + t * (c3 + t * c4)))


@cuda_device
def grating(uh, uk, ul, yh, yk, yl, units):
    """Product of sin(pi N d)^2 / (N sin(pi d))^2 over the axes, float32.

    ``u`` = N d for the offset d from the nearest whole index, ``y`` = u less the nearest whole number. The small summand
    makes the 0 / 0 of a peak 1.
    """
    sh, sk, sl = yh * yh + _TINY, yk * yk + _TINY, yl * yl + _TINY
    wh, wk, wl = uh * uh + _TINY, uk * uk + _TINY, ul * ul + _TINY
    above = sinc(sh) * sinc(sk) * sinc(sl)
    below = sinc_over(wh, units.a1, units.a2, units.a3, units.a4) * sinc_over(
        wk, units.b1, units.b2, units.b3, units.b4
    )
    below *= sinc_over(wl, units.c1, units.c2, units.c3, units.c4)
    return (sh * sk * sl) * (above * above) * reciprocal((wh * wk * wl) * (below * below))


@cuda_device
def index32(start, v, d):
    """start + v . d in float32, rounded once after each product."""
    return fused(v[2], d[2], fused(v[1], d[1], fused(v[0], d[0], start)))


@cuda_device
def square32_term(a, b, c, start, whole, d, units, F2):
    """F_cell^2 F_latt^2 / (Na Nb Nc)^2 of a square crystal for one term and pixel, phases in float32.

    ``a``, ``b``, ``c``: the vectors over lambda, ``start``: the anchor's fractions, all multiplied by N; ``whole``: the
    anchor's indices in the box less :data:`MAGIC_BITS`; ``d``: direction relative to the anchor's.
    """
    h, k, l = index32(start[0], a, d), index32(start[1], b, d), index32(start[2], c, d)
    th, tk, tl = fused(h, units.inverse_Na, MAGIC), fused(k, units.inverse_Nb, MAGIC), fused(l, units.inverse_Nc, MAGIC)
    uh = fused(MAGIC - th, units.Na, h)
    uk = fused(MAGIC - tk, units.Nb, k)
    ul = fused(MAGIC - tl, units.Nc, l)
    latt = grating(uh, uk, ul, uh - nearest32(uh), uk - nearest32(uk), ul - nearest32(ul), units)
    i, j, m = clamped(th, whole[0], units.nh), clamped(tk, whole[1], units.nk), clamped(tl, whole[2], units.nl)
    return latt * read_only(F2, place(i, j, m, units.wide_k, units.wide_l))


@cuda_device
def staged_term(real, whole, j):
    """The staged term ``j``, an unsigned number: a, b and c, the anchor's fractions, its whole indices."""
    n = COLUMN
    a = (real[j, n[0]], real[j, n[1]], real[j, n[2]])
    b = (real[j, n[3]], real[j, n[4]], real[j, n[5]])
    c = (real[j, n[6]], real[j, n[7]], real[j, n[8]])
    return a, b, c, (real[j, n[9]], real[j, n[10]], real[j, n[11]]), (whole[j, n[0]], whole[j, n[1]], whole[j, n[2]])


@cuda_device
def square32_pair(real, whole, j, da, db, units, F2):
    """The staged term ``j`` for both pixels of a thread."""
    a, b, c, start, nearest = staged_term(real, whole, j)
    return (
        square32_term(a, b, c, start, nearest, da, units, F2),
        square32_term(a, b, c, start, nearest, db, units, F2),
    )


@cuda_device
def add_square32(real, whole, low, high, da, db, units, F2):
    """Sums over the staged terms ``low`` to ``high`` for both pixels of a thread: square crystals, float32.

    Two terms in a turn: while the structure factors of one are on their way, the other one is computed.
    """
    sum_a, sum_b = float32(0), float32(0)
    j, one = uint32(low), uint32(1)
    last = uint32(high - 1)
    while j < last:
        a, b = square32_pair(real, whole, j, da, db, units, F2)
        next_a, next_b = square32_pair(real, whole, uint32(j + one), da, db, units, F2)
        sum_a += a
        sum_b += b
        sum_a += next_a
        sum_b += next_b
        j = uint32(j + one + one)
    if j == last:
        a, b = square32_pair(real, whole, j, da, db, units, F2)
        sum_a += a
        sum_b += b
    return sum_a, sum_b


@cuda_device
def indices(real, j, d):
    """h, k, l of a staged term for a pixel, float64, less the whole indices of the anchor."""
    return (
        real[j, 9] + real[j, 0] * d[0] + real[j, 1] * d[1] + real[j, 2] * d[2],
        real[j, 10] + real[j, 3] * d[0] + real[j, 4] * d[1] + real[j, 5] * d[2],
        real[j, 11] + real[j, 6] * d[0] + real[j, 7] * d[1] + real[j, 8] * d[2],
    )


@cuda_device
def F2_of(F2, whole, j, h0, k0, l0, units):
    """F^2 of the reflection at whole indices relative to the anchor's."""
    i = clamped_index(whole[j, 0] + int32(h0), units.nh)
    k = clamped_index(whole[j, 1] + int32(k0), units.nk)
    l = clamped_index(whole[j, 2] + int32(l0), units.nl)
    return read_only(F2, place(i, k, l, units.wide_k, units.wide_l))


@cuda_device
def whole_below(x):
    """Nearest whole number, a half belonging to the lower one."""
    return math.ceil(x - 0.5)


@cuda_device
def square64_term(real, whole, j, d, N, units, F2):
    """As :func:`square32_term`, phases in float64."""
    h, k, l = indices(real, j, d)
    h0, k0, l0 = float64(whole_below(h)), float64(whole_below(k)), float64(whole_below(l))
    uh, uk, ul = N[0] * (h - h0), N[1] * (k - k0), N[2] * (l - l0)
    yh, yk, yl = uh - math.floor(uh + 0.5), uk - math.floor(uk + 0.5), ul - math.floor(ul + 0.5)
    latt = grating(float32(uh), float32(uk), float32(ul), float32(yh), float32(yk), float32(yl), units)
    return float64(latt * F2_of(F2, whole, j, h0, k0, l0, units))


@cuda_device
def round64_term(real, whole, j, d, crystal, units, F2):
    """F_cell^2 times the squared transform of an ellipsoid, 1 at its peak, for one term and pixel."""
    h, k, l = indices(real, j, d)
    h0, k0, l0 = float64(whole_below(h)), float64(whole_below(k)), float64(whole_below(l))
    dh, dk, dl = crystal.Na * (h - h0), crystal.Nb * (k - k0), crystal.Nc * (l - l0)
    radius = math.sqrt((dh * dh + dk * dk + dl * dl) * crystal.fudge)
    factor = sinc3(math.pi * radius)
    return factor * factor * F2_of(F2, whole, j, h0, k0, l0, units)


@cuda_device
def compact64_term(real, whole, j, d, crystal, units, F2):
    """F_cell^2 times a gauss or tophat spot, 1 at its peak, for one term and pixel."""
    h, k, l = indices(real, j, d)
    h0, k0, l0 = float64(whole_below(h)), float64(whole_below(k)), float64(whole_below(l))
    radius_sqr = spot_radius_sqr(crystal, h - h0, k - k0, l - l0) * crystal.fudge
    if radius_sqr >= units.end:
        return 0.0
    value = math.exp(-2.0 / GAUSS_WIDTH * radius_sqr) if crystal.shape == GAUSS else 1.0
    return value * F2_of(F2, whole, j, h0, k0, l0, units)


@cuda_device
def add_terms64(kind, real, whole, low, high, da, db, crystal, units, F2):
    """As :func:`add_square32` for the other kinds, in float64; terms without a spot near the tile are passed over."""
    sum_a, sum_b = 0.0, 0.0
    N = (max(crystal.Na, 1.0), max(crystal.Nb, 1.0), max(crystal.Nc, 1.0))
    for j in range(low, high):
        if kind == SQUARE64:
            sum_a += square64_term(real, whole, j, da, N, units, F2)
            sum_b += square64_term(real, whole, j, db, N, units, F2)
        elif kind == ROUND64:
            sum_a += round64_term(real, whole, j, da, crystal, units, F2)
            sum_b += round64_term(real, whole, j, db, crystal, units, F2)
        elif whole[j, 3] == 0:
            sum_a += compact64_term(real, whole, j, da, crystal, units, F2)
            sum_b += compact64_term(real, whole, j, db, crystal, units, F2)
    return sum_a, sum_b


@cuda_device
def anchor(index, low):
    """Fraction of an index at the tile's middle, and its whole part counted from the corner of the box."""
    nearest = math.floor(index + 0.5)
    return index - nearest, int32(nearest - low)


@cuda_device
def stage(kind, real, whole, j, term, origin, crystal, cell, sources, cells, units):
    """Anchor one term: into row ``j`` of ``real`` (STAGED, 12) and ``whole`` (STAGED, 4).

    ``origin`` (4,): direction of the tile's middle, and the largest difference of another one in the tile; a term whose
    spots are all further away is marked.
    """
    i, m = quotient(term, cells.shape[0]), remainder(term, cells.shape[0])
    inverse = 1.0 / sources[i, 3]
    x, y, z = origin[0] - sources[i, 0], origin[1] - sources[i, 1], origin[2] - sources[i, 2]
    outside = 0
    for axis in range(3):
        a, b, c = cells[m, 3 * axis] * inverse, cells[m, 3 * axis + 1] * inverse, cells[m, 3 * axis + 2] * inverse
        low = cell.h_min if axis == 0 else (cell.k_min if axis == 1 else cell.l_min)
        N = crystal.Na if axis == 0 else (crystal.Nb if axis == 1 else crystal.Nc)
        fraction, nearest = anchor(a * x + b * y + c * z, low)
        scale = max(N, 1.0) if kind == SQUARE32 else 1.0
        real[j, 3 * axis], real[j, 3 * axis + 1], real[j, 3 * axis + 2] = a * scale, b * scale, c * scale
        real[j, 9 + axis] = fraction * scale
        whole[j, axis] = nearest - MAGIC_BITS if kind == SQUARE32 else nearest
        if kind == COMPACT64:
            off = abs(fraction) - origin[3] * math.sqrt(a * a + b * b + c * c)
            least = units.least_a if axis == 0 else (units.least_b if axis == 1 else units.least_c)
            if off > 0.0 and off * off * least > units.end:
                outside = 1
    whole[j, 3] = outside


@cuda_device
def peak_of(kind, crystal):
    """Square of the lattice factor at the peak, by which all terms are divided until the end."""
    if kind in (SQUARE32, SQUARE64):
        peak = max(crystal.Na, 1.0) * max(crystal.Nb, 1.0) * max(crystal.Nc, 1.0)
    else:
        peak = crystal.Na * crystal.Nb * crystal.Nc
    if kind == ROUND64:
        peak *= SPHERE
    return peak * peak
