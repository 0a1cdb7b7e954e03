"""Lattice transforms: how much the whole cells of a crystal scatter together."""

from __future__ import annotations

import math

import numpy as np

from nbnumba.kernels.formulas.blocks import GAUSS, ROUND, SQUARE, MetricBlock
from nbnumba.kernels.jit.cpu import device

#: sqrt of the volume ratio of a sphere and its cube, to which the ellipsoidal transform is scaled (nanoBragg.c)
SPHERE = 0.723601254558268
#: squared radius in 1/N^2 that gives Gaussian spots the width and volume of square ones; 0.3969 = 0.63^2 (nanoBragg.c)
GAUSS_WIDTH = 0.63
TOPHAT_EDGE = 0.3969
#: Elements ab, ac, bc of the matrix N of most crystals.
NO_COUPLING = (0.0, 0.0, 0.0)


@device
def sincg(h, N):
    """Grating function sin(pi N h) / sin(pi h) of N whole cells.

    Evaluated on the fraction d = h - round(h), which leaves the sign (-1)^((N - 1) round(h)) to be put back: relative
    error 1e-12 for |h| <= 1e3 and N <= 1e5 away from the zeros, and N (no 0/0) at whole h.
    """
    whole = math.floor(h + 0.5)
    d = h - whole
    sign = -1.0 if ((N - 1.0) * whole) % 2.0 != 0.0 else 1.0
    if d == 0.0:
        return sign * N
    return sign * math.sin(math.pi * N * d) / math.sin(math.pi * d)


@device
def sinc3(x):
    """Fourier transform of a unit sphere, 3 (sin x / x - cos x) / x^2; 1 at x = 0.

    The bracket cancels for small x, where a power series takes its place: relative error 4e-17 at x = 1/2.
    """
    if x < 0.5:
        t = x * x
        return 1.0 - t / 10.0 * (1.0 - t / 28.0 * (1.0 - t / 54.0 * (1.0 - t / 88.0 * (1.0 - t / 130.0))))
    return 3.0 * (math.sin(x) / x - math.cos(x)) / (x * x)


@device
def axis_radius_sqr(crystal, dh, dk, dl):
    """Squared distance from a lattice point with each index counted in its own spot widths, 1/N."""
    x, y, z = crystal.Na * dh, crystal.Nb * dk, crystal.Nc * dl
    return x * x + y * y + z * z


@device
def spot_radius_sqr(crystal, dh, dk, dl):
    """Squared distance that decides gauss and tophat spots.

    The reference scales the distance in 1/Å by the product Na Nb Nc (nanoBragg.c, ``rad_star_sqr``); with ``per_axis``
    each axis has its own width.
    """
    if crystal.per_axis:
        return axis_radius_sqr(crystal, dh, dk, dl)
    squared = crystal.G11 * dh * dh + crystal.G22 * dk * dk + crystal.G33 * dl * dl
    squared += 2.0 * (crystal.G12 * dh * dk + crystal.G13 * dh * dl + crystal.G23 * dk * dl)
    cells = crystal.Na * crystal.Nb * crystal.Nc
    return squared * cells * cells


@device
def F_latt(crystal, h, k, l):
    """Lattice factor at the fractional indices h, k, l for the crystal's shape (signed, dimensionless)."""
    if crystal.shape == SQUARE:
        product = 1.0
        if crystal.Na > 1.0:
            product *= sincg(h, crystal.Na)
        if crystal.Nb > 1.0:
            product *= sincg(k, crystal.Nb)
        if crystal.Nc > 1.0:
            product *= sincg(l, crystal.Nc)
        return product
    dh, dk, dl = h - math.ceil(h - 0.5), k - math.ceil(k - 0.5), l - math.ceil(l - 0.5)
    cells = crystal.Na * crystal.Nb * crystal.Nc
    if crystal.shape == ROUND:
        return cells * SPHERE * sinc3(math.pi * math.sqrt(axis_radius_sqr(crystal, dh, dk, dl) * crystal.fudge))
    radius_sqr = spot_radius_sqr(crystal, dh, dk, dl)
    if crystal.shape == GAUSS:
        return cells * math.exp(-(radius_sqr / GAUSS_WIDTH * crystal.fudge))
    return cells if radius_sqr * crystal.fudge < TOPHAT_EDGE else 0.0


def size_matrix(crystal, coupling):
    """The symmetric matrix N of a crystal, (3, 3) float64: a spot ends at a length of N times the offset from its lattice point.

    ``coupling``: its elements ab, ac, bc. No kernel takes them: what depends on them is computed on the host.
    """
    (Na, Nb, Nc), (ab, ac, bc) = (float(n) for n in (crystal.Na, crystal.Nb, crystal.Nc)), map(float, coupling)
    return np.array([[Na, ab, ac], [ab, Nb, bc], [ac, bc, Nc]])


def _metric_of(form):
    """The MetricBlock of a symmetric matrix: an offset in one index leaves at least 1 over the inverse's diagonal element."""
    products = (2.0 * form[0, 1], 2.0 * form[0, 2], 2.0 * form[1, 2])
    return MetricBlock(*map(float, (*np.diag(form), *products, *(1.0 / np.diag(np.linalg.inv(form))))))


def spot_metric(crystal, coupling=NO_COUPLING):
    """The :class:`~nbnumba.kernels.formulas.blocks.MetricBlock` of a crystal, computed once on the host for all kernels.

    ``coupling``: as of :func:`size_matrix`; where spots have the product form of the reference it has no effect.

    As :func:`spot_radius_sqr`, which the definition keeps for its order of operations. An offset d_i from a lattice plane
    i is at least the distance d_i / a_i away in reciprocal space.
    """
    G11, G22, G33, G12, G13, G23 = (np.float64(x) for x in crystal[5:11])
    N = [np.float64(x) for x in (crystal.Na, crystal.Nb, crystal.Nc)]
    with np.errstate(all="ignore"):  # cells and sizes beyond all measure make infinities, as in compiled code
        if (crystal.per_axis or crystal.shape == ROUND) and not any(coupling):
            h, k, l = (float(n**2 * crystal.fudge) for n in N)
            return MetricBlock(h, k, l, 0.0, 0.0, 0.0, h, k, l)
        if crystal.per_axis or crystal.shape == ROUND:
            N = size_matrix(crystal, coupling)
            return _metric_of(N @ N * crystal.fudge)
        s = (N[0] * N[1] * N[2]) ** 2 * crystal.fudge
        c11, c22, c33 = G22 * G33 - G23 * G23, G11 * G33 - G13 * G13, G11 * G22 - G12 * G12
        determinant = G11 * c11 - G12 * (G12 * G33 - G23 * G13) + G13 * (G12 * G23 - G22 * G13)
        squares, products = (s * G11, s * G22, s * G33), (2 * s * G12, 2 * s * G13, 2 * s * G23)
        least = (s * determinant / c11, s * determinant / c22, s * determinant / c33)
        return MetricBlock(*map(float, (*squares, *products, *least)))


@device(forceinline=True)
def axes_sqr(dh, dk, dl, metric):
    """As :func:`metric_sqr`, where no product of two offsets contributes: round crystals."""
    return metric.hh * dh * dh + metric.kk * dk * dk + metric.ll * dl * dl


@device(forceinline=True)
def metric_sqr(dh, dk, dl, metric):
    """Squared distance from a lattice point, in the units in which spots end.

    ``metric``: a ``MetricBlock``, or another tuple with its fields hh to kl.
    """
    return axes_sqr(dh, dk, dl, metric) + (metric.hk * dh * dk + metric.hl * dh * dl + metric.kl * dk * dl)
