"""Bounds of the terms of a tile of pixels, and which of them may be left out: see :mod:`nbnumba.kernels.bounded`."""

from __future__ import annotations

import math

import numpy as np

from nbnumba.kernels._jit import device
from nbnumba.kernels.fast_math import sinc2
from nbnumba.kernels.fast_rays import QX, QY, QZ
from nbnumba.kernels.lattice import SPHERE
from nbnumba.kernels.vec import norm

#: terms that share a budget
GROUP = 2048
# rows of the scratch array, for the terms of a group: h, k, l at the tile's middle; what the bound is divided by (SQUARE)
# or the squared radius (ROUND), then the bound; place in the table of maxima; which axes have two nearest whole numbers
INDEX, BOUND, PLACE, SPLIT, TERMS = 0, 3 * GROUP, 4 * GROUP, 5 * GROUP, 6 * GROUP
#: tables larger than this (entries) are kept once, not eight times
LARGEST_TABLE = 1 << 22
#: powers of two by which bounds are sorted
LEVELS = 64


def corner_maxima(F2, cell):
    """Largest squared structure factors of neighbours in the box, which has two more layers of default_F on each side.

    Returns
    -------
    maxima : (8, n) or (1, n) float32
        Entry (mask, place): the largest of the reflections at ``place`` and one further along the axes of ``mask``
        (bits 1, 2, 4 for h, k, l). With one row, of all eight.
    most : float
        The largest of all.
    """
    shape = (cell.h_range, cell.k_range, cell.l_range) if cell.has_hkl else (0, 0, 0)
    box = np.full([size + 4 for size in shape], F2[0])
    if cell.has_hkl:
        box[2:-2, 2:-2, 2:-2] = F2[1:].reshape(shape)
    wanted = range(8) if box.size <= LARGEST_TABLE else (7,)
    rows = []
    for mask in wanted:
        row = box
        for axis in range(3):
            if mask >> axis & 1:
                row = np.maximum(row, np.roll(row, -1, axis))  # the last layer is never asked for its neighbour
        rows.append(row.ravel())
    return np.array(rows), float(F2.max())


@device
def half_change(phases, row, n, width):
    """Half of how much one row of ``phases`` changes across a tile, along its columns and along its rows."""
    a, b, c, d = phases[row], phases[row + width - 1], phases[row + n - width], phases[row + n - 1]
    return 0.25 * (b + d - a - c), 0.25 * (c + d - a - b)


@device
def rest_of_tile(phases, n, width, u, v):
    """Largest length of what is left of the scattering vectors of a tile by a plane with the changes ``u`` and ``v``.

    Found by looking at every pixel; the margin is for float32.
    """
    largest, height = 0.0, n // width
    for p in range(n):
        column, row = 2.0 * (p % width) / (width - 1) - 1.0, 2.0 * (p // width) / (height - 1) - 1.0
        x = phases[QX + p] - column * u[0] - row * v[0]
        y = phases[QY + p] - column * u[1] - row * v[1]
        z = phases[QZ + p] - column * u[2] - row * v[2]
        largest = max(largest, x * x + y * y + z * z)
    return 1.001 * math.sqrt(largest) + 1e-6 * (norm(u) + norm(v))


@device
def bound_axis(terms, columns, first, count, axis, middle, u, v, slack, scale, low, size, square):
    """Take one axis into the rows INDEX, BOUND, PLACE and SPLIT of ``count`` terms.

    ``u``, ``v``: half the change of the scattering vector across the tile, along columns and rows (1/m); ``slack``: what
    that misses, in the index; ``scale``: N^2, times fudge for ROUND.
    """
    x, y, z = middle
    bit = float(1 << axis)
    at = np.uint64(axis * GROUP)
    for j in range(count):
        i = np.uint64(j)
        m = np.uint64(first) + i
        a, b, c = columns[3 * axis, m], columns[3 * axis + 1, m], columns[3 * axis + 2, m]
        index = a * x + b * y + c * z + columns[9 + axis, m]
        terms[at + i] = index
        nearest = np.rint(index)
        fraction = index - nearest
        reach = abs(a * u[0] + b * u[1] + c * u[2]) + abs(a * v[0] + b * v[1] + c * v[2]) + slack
        off = max(abs(fraction) - reach, 0.0)
        square_off = off * off
        if square is not None:
            terms[BOUND + i] *= max(1.0, square_off * scale * (math.pi * math.pi) * sinc2(square_off))
        else:
            terms[BOUND + i] += square_off * scale
        splits = abs(fraction) + reach > 0.5 - 1e-9
        nearest -= 1.0 if splits & (fraction <= 0.0) else 0.0
        place = min(max(nearest - low, -2.0), size) + 2.0
        terms[PLACE + i] = terms[PLACE + i] * (size + 4.0) + place
        terms[SPLIT + i] += bit if splits else 0.0


@device
def sphere_bound(radius_sqr):
    """Bound of the square of 3 (sin X / X - cos X) / X^2 beyond X = pi sqrt(radius_sqr)."""
    X = math.pi * math.sqrt(radius_sqr)
    value = 3.0 * (1.0 + X) / max(X * X * X, 1e-30)
    return min(1.0, value * value)


@device
def bound_terms(terms, columns, first, count, longest, middle, u, v, rest, factor, crystal, cell, table, square):
    """Photons that each term of a group can give to a pixel of the tile at most, into row BOUND."""
    maxima, most = table
    low = (float(cell.h_min), float(cell.k_min), float(cell.l_min))
    size = (float(cell.h_range), float(cell.k_range), float(cell.l_range)) if cell.has_hkl else (0.0, 0.0, 0.0)
    N = (max(crystal.Na, 1.0), max(crystal.Nb, 1.0), max(crystal.Nc, 1.0))
    chord = norm(u) + norm(v) + rest
    near = chord * max(longest[0], longest[1], longest[2]) < 0.5
    peak = factor * (N[0] * N[1] * N[2]) ** 2
    if square is None:
        N = (crystal.Na, crystal.Nb, crystal.Nc)
        peak = factor * (crystal.Na * crystal.Nb * crystal.Nc * SPHERE) ** 2
    for i in range(count):
        terms[BOUND + i] = 1.0 if square is not None else 0.0
        terms[PLACE + i] = 0.0
        terms[SPLIT + i] = 0.0
    for axis in range(3):
        scale = N[axis] * N[axis] * (1.0 if square is not None else crystal.fudge)
        slack = longest[axis] * rest + 1e-9
        bound_axis(terms, columns, first, count, axis, middle, u, v, slack, scale, low[axis], size[axis], square)
    for i in range(count):
        F2 = most
        if near:
            row = int(terms[SPLIT + i]) if maxima.shape[0] == 8 else 0
            F2 = float(maxima[row, int(terms[PLACE + i])])
        share = 1.0 / terms[BOUND + i] if square is not None else sphere_bound(terms[BOUND + i])
        terms[BOUND + i] = peak * share * F2


@device
def level_of(bound, budget):
    """Which power of two below the budget a bound is, 0 to LEVELS - 1."""
    bits = np.float64(bound / budget).view(np.int64) >> 52
    return max(bits - 1023 + LEVELS - 1, 0)


@device
def choose_terms(terms, n, budget, sums, chosen):
    """Numbers of the terms of a group that have to be rendered, into ``chosen``; returns how many.

    The smallest bounds, whose sum is at most ``budget``, are left out.
    """
    sums[:] = 0.0
    for i in range(n):
        bound = terms[BOUND + i]
        if bound <= budget:
            sums[level_of(bound, budget)] += bound
    level, left = 0, budget
    while level < LEVELS and sums[level] <= left:
        left -= sums[level]
        level += 1
    count = 0
    for i in range(n):
        bound = terms[BOUND + i]
        if bound <= budget:
            own = level_of(bound, budget)
            if own < level:
                continue
            if own == level and bound <= left:
                left -= bound
                continue
        chosen[count] = i
        count += 1
    return count
