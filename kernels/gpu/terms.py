"""The terms of the fast CUDA kernels, evaluated for a pixel: float32 and float64.

:mod:`nbnumba.kernels.gpu.fast` explains the anchors, :mod:`nbnumba.kernels.gpu.fixed` fixed point.

Float64 phases: nearest whole numbers come from adding :data:`nbnumba.kernels.gpu.ops.MAGIC64`, not from conversions, which
run at an eighth of the speed; 8 are left for two steps. Wrong where an index is 2^31 away from its anchor or N above 2^23;
a NaN stays one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nbnumba.kernels.formulas.blocks import GAUSS
from nbnumba.kernels.formulas.fast_math import SMALLEST_SQR
from nbnumba.kernels.formulas.lattice import SPHERE, axes_sqr, metric_sqr
from nbnumba.kernels.formulas.profiles import compact_profile, round_profile
from nbnumba.kernels.gpu.ops import (
    MAGIC,
    MAGIC64,
    clamped,
    clamped_index,
    entry_of,
    fused,
    nearest32,
    rounded64,
    small_float,
)
from nbnumba.kernels.jit.cuda import cuda_device, float32, float64, read_only, reciprocal, uint32

#: What a fast kernel is compiled for: lattice transform and type of the phases.
SQUARE32, SQUARE64, ROUND64, COMPACT64, FIXED = range(5)

#: Columns of a staged term. Unsigned like its row: a signed index could be one from the end, which costs a test, and
#: one signed index makes all of them signed.
COLUMN = tuple(np.uint32(i) for i in range(16))

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
    count_a: int  # fixed point: N,
    count_b: int
    count_c: int
    whole_bits: int  # bits of an index before its fraction,
    upper_bits: int  # of its fraction in the upper word,
    half: int  # added to round that word
    nh: int  # entries of the box along each axis, and the number of the plane of defaults
    nk: int
    nl: int
    wide_k: int  # the same with that plane
    wide_l: int
    hh: float  # all but square, float64: the fields of a MetricBlock
    kk: float
    ll: float
    hk: float
    hl: float
    kl: float
    least_h: float
    least_k: float
    least_l: float
    end: float  # squared radius at which spots end
    vector_scale: float  # fixed point, float64: units in 1 of cell vectors over lambda,
    direction_scale: float  # of differences of direction,
    anchor_scale: float  # and of an index,
    last_half: float  # half of the last bit that an offset keeps


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
    anchor's indices in the box less ``MAGIC_BITS``; ``d``: direction relative to the anchor's.
    """
    h, k, l = index32(start[0], a, d), index32(start[1], b, d), index32(start[2], c, d)
    th, tk, tl = fused(h, units.inverse_Na, MAGIC), fused(k, units.inverse_Nb, MAGIC), fused(l, units.inverse_Nc, MAGIC)
    uh = fused(MAGIC - th, units.Na, h)
    uk = fused(MAGIC - tk, units.Nb, k)
    ul = fused(MAGIC - tl, units.Nc, l)
    latt = grating(uh, uk, ul, uh - nearest32(uh), uk - nearest32(uk), ul - nearest32(ul), units)
    i, j, m = clamped(th, whole[0], units.nh), clamped(tk, whole[1], units.nk), clamped(tl, whole[2], units.nl)
    return latt * read_only(F2, entry_of(i, j, m, units.wide_k, units.wide_l))


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


def in_twos(pair):
    """A function that adds up the staged terms ``low`` to ``high`` for both pixels of a thread, float32.

    ``pair``: the function that gives one of them, such as :func:`square32_pair`. Two terms in a turn: while the
    structure factors of one are on their way, the other one is computed.
    """

    @cuda_device
    def add(real, whole, low, high, da, db, crystal, units, F2):
        sum_a, sum_b = float32(0), float32(0)
        j, one = uint32(low), uint32(1)
        last = uint32(high - 1)
        while j < last:
            a, b = pair(real, whole, j, da, db, units, F2)
            next_a, next_b = pair(real, whole, uint32(j + one), da, db, units, F2)
            sum_a += a
            sum_b += b
            sum_a += next_a
            sum_b += next_b
            j = uint32(j + one + one)
        if j == last:
            a, b = pair(real, whole, j, da, db, units, F2)
            sum_a += a
            sum_b += b
        return sum_a, sum_b

    return add


add_square32 = in_twos(square32_pair)


@cuda_device
def index64(start, v, d):
    """start + v . d in float64: an index for a pixel, less the anchor's whole number."""
    return start + v[0] * d[0] + v[1] * d[1] + v[2] * d[2]


@cuda_device
def nearest_of(real, whole, j, d, units):
    """Offsets of a staged term's h, k, l from the nearest whole indices, float64, and the place of the latter in the box.

    A half belongs to the lower number, as in the reference: anchors are lower by ``gpu.stage.LOWER_HALF``.
    """
    a, b, c, start, base = staged_term(real, whole, j)
    h, k, l = index64(start[0], a, d), index64(start[1], b, d), index64(start[2], c, d)
    th, tk, tl = h + MAGIC64, k + MAGIC64, l + MAGIC64
    i = clamped_index(base[0] + rounded64(th), units.nh)
    m = clamped_index(base[1] + rounded64(tk), units.nk)
    n = clamped_index(base[2] + rounded64(tl), units.nl)
    offset = (h - (th - MAGIC64), k - (tk - MAGIC64), l - (tl - MAGIC64))
    return offset, entry_of(i, m, n, units.wide_k, units.wide_l)


@cuda_device
def split64(u):
    """A float64 less the nearest whole number, and itself, float32."""
    t = u + MAGIC64
    y = float32(u - (t - MAGIC64))
    return y, y + small_float(rounded64(t))


@cuda_device
def square64_term(real, whole, j, d, units, F2):
    """As :func:`square32_term`, phases in float64."""
    (h, k, l), entry = nearest_of(real, whole, j, d, units)
    yh, uh = split64(units.Na * h)
    yk, uk = split64(units.Nb * k)
    yl, ul = split64(units.Nc * l)
    return float64(grating(uh, uk, ul, yh, yk, yl, units) * read_only(F2, entry))


@cuda_device
def round64_term(real, whole, j, d, units, F2):
    """F_cell^2 times the squared transform of an ellipsoid, 1 at its peak, for one term and pixel."""
    (h, k, l), entry = nearest_of(real, whole, j, d, units)
    return round_profile(axes_sqr(h, k, l, units)) * read_only(F2, entry)


@cuda_device
def compact64_term(real, whole, j, d, crystal, units, F2):
    """F_cell^2 times a gauss or tophat spot, 1 at its peak, for one term and pixel."""
    (h, k, l), entry = nearest_of(real, whole, j, d, units)
    radius_sqr = metric_sqr(h, k, l, units)
    if radius_sqr >= units.end:
        return 0.0
    return compact_profile(crystal.shape == GAUSS, radius_sqr) * read_only(F2, entry)


def terms64(kind):
    """As :func:`in_twos` for terms of the other kinds, in float64; terms without a spot near the tile are passed over."""

    @cuda_device
    def add(real, whole, low, high, da, db, crystal, units, F2):
        sum_a, sum_b = 0.0, 0.0
        j, last = uint32(low), uint32(high)
        while j < last:
            if kind == SQUARE64:
                sum_a += square64_term(real, whole, j, da, units, F2)
                sum_b += square64_term(real, whole, j, db, units, F2)
            elif kind == ROUND64:
                sum_a += round64_term(real, whole, j, da, units, F2)
                sum_b += round64_term(real, whole, j, db, units, F2)
            elif whole[j, COLUMN[3]] == 0:
                sum_a += compact64_term(real, whole, j, da, crystal, units, F2)
                sum_b += compact64_term(real, whole, j, db, crystal, units, F2)
            j = uint32(j + uint32(1))
        return sum_a, sum_b

    return add


@cuda_device
def peak_of(kind, crystal):
    """Square of the lattice factor at the peak, by which all terms are divided until the end."""
    if kind in (SQUARE32, SQUARE64, FIXED):
        peak = max(crystal.Na, 1.0) * max(crystal.Nb, 1.0) * max(crystal.Nc, 1.0)
    else:
        peak = crystal.Na * crystal.Nb * crystal.Nc
    if kind == ROUND64:
        peak *= SPHERE
    return peak * peak
