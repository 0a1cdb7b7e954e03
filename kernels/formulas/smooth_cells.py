"""Interpolated structure factors with their derivatives: rows of :mod:`nbnumba.kernels.formulas.sums`."""

from __future__ import annotations

import math

from nbnumba.kernels.formulas.scattering import fractional_indices
from nbnumba.kernels.formulas.structure import cubic_weights, in_range, nearest
from nbnumba.kernels.formulas.sums import (
    CELL,
    CELL_LENGTH,
    CELL_SLOPE,
    FAST,
    SLOW,
    SMOOTH,
    Q,
    nearest_whole,
    put,
    reciprocal_sqr,
    rows_of,
)
from nbnumba.kernels.jit.cpu import device


@device(forceinline=True)
def cubic_slopes(t):
    """Derivatives of :func:`nbnumba.kernels.formulas.structure.cubic_weights`."""
    square = 3.0 * t * t
    return (
        (6.0 * t - square - 2.0) / 6.0,
        (square - 4.0 * t - 1.0) / 2.0,
        (2.0 * t - square + 2.0) / 2.0,
        (square - 1.0) / 6.0,
    )


@device
def tricubic_slopes(F, cell, crystal, index):
    """F at fractional indices, its derivatives with respect to them, and F of the reflections times their squared lengths.

    Needs :func:`nbnumba.kernels.formulas.structure.in_range`.
    """
    h, k, l = index
    i0, j0, m0 = int(math.floor(h)), int(math.floor(k)), int(math.floor(l))
    wh, wk, wl = cubic_weights(h - i0), cubic_weights(k - j0), cubic_weights(l - m0)
    sh, sk, sl = cubic_slopes(h - i0), cubic_slopes(k - j0), cubic_slopes(l - m0)
    value = along_h = along_k = along_l = length = 0.0
    for i in range(4):
        for j in range(4):
            for m in range(4):
                here = F[i0 - cell.h_min - 1 + i, j0 - cell.k_min - 1 + j, m0 - cell.l_min - 1 + m]
                squared = reciprocal_sqr(crystal, (i0 - 1.0 + i, j0 - 1.0 + j, m0 - 1.0 + m))
                value += wh[i] * wk[j] * wl[m] * here
                length += wh[i] * wk[j] * wl[m] * here * squared
                along_h += sh[i] * wk[j] * wl[m] * here
                along_k += wh[i] * sk[j] * wl[m] * here
                along_l += wh[i] * wk[j] * sl[m] * here
    return value, (along_h, along_k, along_l), length


@device(forceinline=True)
def start_smooth(work, width, panel, cell, first_out):
    """Row SMOOTH: whether pixels still interpolate.

    ``first_out``: the first pixel of the panel (slow times columns and fast) with an evaluation out of range; where that
    ends interpolation, earlier pixels have none, and later ones do not interpolate.
    """
    for p in range(width):
        number = work[SLOW * width + p] * panel.fpixels + work[FAST * width + p]
        work[SMOOTH * width + p] = 1.0 if cell.fallback_each or number <= first_out else 0.0


@device
def smooth_cells(work, width, axes, cell, crystal, F):
    """Rows CELL, CELL_SLOPE and CELL_LENGTH: F^2, half its derivatives, and its product with the reflections' lengths."""
    for p in range(width):
        index = fractional_indices(axes, rows_of(work, Q, width, p))
        if not in_range(cell, index[0], index[1], index[2]) and not cell.fallback_each:
            work[SMOOTH * width + p] = 0.0
        if work[SMOOTH * width + p] != 0.0 and in_range(cell, index[0], index[1], index[2]):
            value, slopes, length = tricubic_slopes(F, cell, crystal, index)
            put(work, CELL_SLOPE, width, p, (value * slopes[0], value * slopes[1], value * slopes[2]))
            work[CELL * width + p], work[CELL_LENGTH * width + p] = value * value, value * length
        else:
            value = nearest(F, cell, index[0], index[1], index[2])
            put(work, CELL_SLOPE, width, p, (0.0, 0.0, 0.0))
            work[CELL * width + p] = value * value
            work[CELL_LENGTH * width + p] = value * value * reciprocal_sqr(crystal, nearest_whole(index))
