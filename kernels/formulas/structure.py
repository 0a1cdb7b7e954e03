"""Structure factor of the cell at a point of reciprocal space."""

from __future__ import annotations

import math

import numpy as np

from nbnumba.kernels.jit.cpu import device


@device
def nearest(Fhkl, cell, h, k, l):
    """F of the reflection nearest to (h, k, l); ``default_F`` outside the box.

    A half index belongs to the lower reflection, ceil(h - 1/2), as in nanoBragg.c.
    """
    i = int(math.ceil(h - 0.5)) - cell.h_min
    j = int(math.ceil(k - 0.5)) - cell.k_min
    m = int(math.ceil(l - 0.5)) - cell.l_min
    inside = i >= 0 and i < cell.h_range and j >= 0 and j < cell.k_range and m >= 0 and m < cell.l_range
    return Fhkl[i, j, m] if cell.has_hkl and inside else cell.default_F


@device
def in_range(cell, h, k, l):
    """Whether the tricubic may be used at (h, k, l): nanoBragg.c asks for a margin wider than the four points need."""
    return (
        h - cell.h_min + 3.0 <= cell.h_range
        and h - 2.0 >= cell.h_min
        and k - cell.k_min + 3.0 <= cell.k_range
        and k - 2.0 >= cell.k_min
        and l - cell.l_min + 3.0 <= cell.l_range
        and l - 2.0 >= cell.l_min
    )


@device
def cubic_weights(t):
    """Weights of the points -1, 0, 1, 2 in the cubic through them, at 0 <= t < 1 (Lagrange)."""
    return (
        -t * (t - 1.0) * (t - 2.0) / 6.0,
        (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
        -(t + 1.0) * t * (t - 2.0) / 2.0,
        (t + 1.0) * t * (t - 1.0) / 6.0,
    )


@device
def tricubic(Fhkl, cell, h, k, l):
    """F at (h, k, l) from the 64 reflections around it: a cubic along l, then k, then h. Needs :func:`in_range`."""
    i0, j0, m0 = int(math.floor(h)), int(math.floor(k)), int(math.floor(l))
    wh, wk, wl = cubic_weights(h - i0), cubic_weights(k - j0), cubic_weights(l - m0)
    # unsigned: what could be an index from the end costs a test, and on GPUs registers
    i1, j1, m1 = np.uint64(i0 - cell.h_min - 1), np.uint64(j0 - cell.k_min - 1), np.uint64(m0 - cell.l_min - 1)
    total = 0.0
    for i in range(4):
        plane = 0.0
        for j in range(4):
            line = 0.0
            for m in range(4):
                line += wl[m] * Fhkl[i1 + np.uint64(i), j1 + np.uint64(j), m1 + np.uint64(m)]
            plane += wk[j] * line
        total += wh[i] * plane
    return total


@device
def F2_at(F2, cell, h0, k0, l0):
    """Squared structure factor, the indices being counted from the corner of the box."""
    inside = h0 >= 0 and h0 < cell.h_range and k0 >= 0 and k0 < cell.k_range and l0 >= 0 and l0 < cell.l_range
    if cell.has_hkl and inside:
        return F2[1 + (int(h0) * cell.k_range + int(k0)) * cell.l_range + int(l0)]
    return F2[0]
