"""Anchors of the fast CUDA kernels: a term at a tile's middle, stored in shared memory for all pixels of the tile.

:mod:`nbnumba.kernels.gpu.fast` explains the anchors.
"""

from __future__ import annotations

import math

from nbnumba.kernels.formulas.vec import difference, dot, norm, row_vector
from nbnumba.kernels.gpu.fixed import to_fixed, write_anchor
from nbnumba.kernels.gpu.ops import MAGIC_BITS, quotient, remainder
from nbnumba.kernels.gpu.terms import COMPACT64, FIXED, SQUARE32
from nbnumba.kernels.jit.cuda import cuda_device, int32

#: Subtracted from float64 anchors, so that an index of exactly a half is rounded down in spite of rounding errors of 1e-13.
#: A phase is wrong by N times as much, 1e-9 for 1000 cells.
LOWER_HALF = 2.0**-40


@cuda_device
def anchor(index, low):
    """Fraction of an index at the tile's middle, and its whole part counted from the corner of the box."""
    nearest = math.floor(index + 0.5)
    return index - nearest, int32(nearest - low)


@cuda_device
def stage_term(kind, real, whole, j, term, origin, crystal, cell, sources, orientations, units):
    """Anchor one term: into row ``j`` of ``real`` (STAGED, 12 or 16) and ``whole`` (STAGED, 4).

    ``origin`` (4,): direction of the tile's middle, and the largest difference of another one in the tile; a term whose
    spots are all further away is marked.
    """
    i, m = quotient(term, orientations.shape[0]), remainder(term, orientations.shape[0])
    inverse = 1.0 / sources[i, 3]
    change = difference(origin, row_vector(sources, i, 0))
    outside = 0
    for axis in range(3):
        a, b, c = (
            orientations[m, 3 * axis] * inverse,
            orientations[m, 3 * axis + 1] * inverse,
            orientations[m, 3 * axis + 2] * inverse,
        )
        low = cell.h_min if axis == 0 else (cell.k_min if axis == 1 else cell.l_min)
        fraction, nearest = anchor(dot((a, b, c), change), low)
        if kind == SQUARE32:
            N = crystal.Na if axis == 0 else (crystal.Nb if axis == 1 else crystal.Nc)
            scale = max(N, 1.0)
            real[j, 3 * axis], real[j, 3 * axis + 1], real[j, 3 * axis + 2] = a * scale, b * scale, c * scale
            real[j, 9 + axis] = fraction * scale
            whole[j, axis] = nearest - MAGIC_BITS
            continue
        whole[j, axis] = nearest
        if kind == FIXED:
            scale = units.vector_scale
            real[j, 3 * axis], real[j, 3 * axis + 1] = to_fixed(a, scale), to_fixed(b, scale)
            real[j, 3 * axis + 2] = to_fixed(c, scale)
            write_anchor(real, j, axis, fraction, units)
            continue
        real[j, 3 * axis], real[j, 3 * axis + 1], real[j, 3 * axis + 2] = a, b, c
        real[j, 9 + axis] = fraction - LOWER_HALF
        if kind == COMPACT64:
            off = abs(fraction) - origin[3] * norm((a, b, c))
            least = units.least_h if axis == 0 else (units.least_k if axis == 1 else units.least_l)
            if off > 0.0 and off * off * least > units.end:
                outside = 1
    whole[j, 3] = outside
