"""Sums over the orientations of a crystal, for the tiles of a strip of pixels: the inner loops of the fast CPU kernels.

One function per shape, with the same arguments: it adds one source's terms to row TOTAL of the strip's scratch array
``work``, weighted by row WEIGHT. ``columns`` is the transpose of ``cells``, ``incident`` the beam's direction and
``inverse`` 1 / wavelength; the other arrays are scratch, made once per row by :mod:`nbnumba.kernels.cpu_fast`, whose
docstring tells how and why. Indices into ``work`` are unsigned where the loop does not begin at 0: Numba tests signed
ones for being negative, and a loop with such a test becomes a gather.
"""

from __future__ import annotations

import math

import numpy as np

from nbnumba.kernels._jit import device
from nbnumba.kernels.blocks import GAUSS
from nbnumba.kernels.fast_math import grating, sinc3_sqr
from nbnumba.kernels.lattice import GAUSS_WIDTH, SPHERE, TOPHAT_EDGE
from nbnumba.kernels.vec import dot, norm

#: orientations whose terms are added in float32 before the float64 sum takes them
CHUNK = 32
#: Gaussian spots end where the intensity is exp(-110) of the peak: nothing that a float32 image could hold is dropped
GAUSS_END = 110.0

#: pixels of the widest tile
LANES = 64
#: pixels whose rays are computed together: whole tiles, so many that calls cost nothing, so few that they stay in L1
STRIP = 256
# Scratch arrays are flat, of rows of constant length: LLVM sees that the rows do not overlap, and vectorizes without
# checking at run time. Rows of the float64 array, of the phases' and of the float32 one:
X, Y, Z, OMEGA, CAPTURE, POLAR, WEIGHT, TOTAL = range(0, 8 * STRIP, STRIP)
DX, DY, DZ, R = range(0, 4 * LANES, LANES)
LATT, SUM, CELL = range(0, 3 * LANES, LANES)


@device
def anchor_chunk(columns, first, last, middle, cell, fraction, whole):
    """Fraction of h, k, l at the tile's middle, and their whole part counted from the corner of the box.

    ``columns`` (9, M) is the transpose of ``cells``, ``middle`` the scattering vector (1/m); ``fraction`` (3, 32) real
    and ``whole`` (3, 32) float32 are filled.
    """
    low = (float(cell.h_min), float(cell.k_min), float(cell.l_min))
    x, y, z = middle
    for axis in range(3):
        for i in range(last - first):
            m = np.uint64(first) + np.uint64(i)  # unsigned: no test for negative indices, which would need a gather
            index = columns[3 * axis, m] * x + columns[3 * axis + 1, m] * y + columns[3 * axis + 2, m] * z
            nearest = np.rint(index)
            fraction[axis, i] = index - nearest
            whole[axis, i] = nearest - low[axis]


@device
def middle_of(work, p, incident, inverse):
    """Direction to pixel ``p`` of the strip, and the scattering vector (1/m) there."""
    x, y, z = work[X + p], work[Y + p], work[Z + p]
    return (x, y, z), ((x - incident[0]) * inverse, (y - incident[1]) * inverse, (z - incident[2]) * inverse)


@device
def square_chunk(phases, single, number, width, vectors, first, last, fraction, whole, N, box, reach, F2):
    """Sum of F_cell^2 F_latt^2 / (Na Nb Nc)^2 over up to 32 orientations of a square crystal, for each pixel of a tile.

    ``phases``: rows DX, DY, DZ, the scattering vector relative to the tile's middle; ``reach``: how far the nearest
    whole indices of the tile can be from those of its middle. Into row SUM of ``single``.
    """
    f4 = np.float32
    zero = f4(0.0)
    Na, Nb, Nc = vectors.dtype.type(N[0]), vectors.dtype.type(N[1]), vectors.dtype.type(N[2])
    ta, tb, tc = f4(N[0] ** -2), f4(N[1] ** -2), f4(N[2] ** -2)
    nh, nk, nl = f4(box[0]), f4(box[1]), f4(box[2])
    eh, ek, el = f4(reach[0]), f4(reach[1]), f4(reach[2])
    for p in range(width):
        single[SUM + p] = zero
    for i in range(last - first):
        m = np.uint64(first) + np.uint64(i)
        ih, ik, il = whole[0, i], whole[1, i], whole[2, i]
        all_inside = ih >= eh and ih + eh < nh and ik >= ek and ik + ek < nk and il >= el and il + el < nl
        none_inside = (
            ih + eh < zero or ih - eh >= nh or ik + ek < zero or ik - ek >= nk or il + el < zero or il - el >= nl
        )
        if none_inside and F2[0] == zero:
            continue
        a0, a1, a2 = vectors[m, 0], vectors[m, 1], vectors[m, 2]
        b0, b1, b2 = vectors[m, 3], vectors[m, 4], vectors[m, 5]
        c0, c1, c2 = vectors[m, 6], vectors[m, 7], vectors[m, 8]
        fh, fk, fl = fraction[0, i], fraction[1, i], fraction[2, i]
        base = np.int32((int(ih) * box[1] + int(ik)) * box[2] + int(il) + 1)
        for p in range(width):
            x, y, z = phases[DX + p], phases[DY + p], phases[DZ + p]
            h, above_h, below_h = grating(fh + a0 * x + a1 * y + a2 * z, Na, ta)
            k, above_k, below_k = grating(fk + b0 * x + b1 * y + b2 * z, Nb, tb)
            l, above_l, below_l = grating(fl + c0 * x + c1 * y + c2 * z, Nc, tc)
            single[LATT + p] = above_h * above_k * above_l / (below_h * below_k * below_l)
            number[p] = np.uint32(np.int32((h * nk + k) * nl + l) + base)
        if not all_inside:
            for p in range(width):
                x, y, z = phases[DX + p], phases[DY + p], phases[DZ + p]
                h = ih + f4(np.rint(fh + a0 * x + a1 * y + a2 * z))
                k = ik + f4(np.rint(fk + b0 * x + b1 * y + b2 * z))
                l = il + f4(np.rint(fl + c0 * x + c1 * y + c2 * z))
                inside = (h >= zero) & (h < nh) & (k >= zero) & (k < nk) & (l >= zero) & (l < nl)
                number[p] = number[p] if inside else np.uint32(0)
        for p in range(width):
            single[CELL + p] = F2[number[p]]
        for p in range(width):
            single[SUM + p] += single[LATT + p] * single[CELL + p]


@device
def offset_of(phases, p):
    """Scattering vector (1/m) of a tile's pixel relative to the tile's middle."""
    return phases[DX + p], phases[DY + p], phases[DZ + p]


@device
def open_tile(work, phases, start, width, incident, inverse):
    """Fill ``phases``; the scattering vector (1/m) at the tile's middle, and the largest distance (1/m) from it.

    That grows towards both ends of a tile. It is negative where all weights are 0: such a tile is passed over.
    """
    at, c = np.uint64(start), start + width // 2
    weight = 0.0
    ox, oy, oz = work[X + c], work[Y + c], work[Z + c]
    for i in range(width):
        p = at + np.uint64(i)
        weight += abs(work[np.uint64(WEIGHT) + p])
        phases[DX + i] = (work[np.uint64(X) + p] - ox) * inverse
        phases[DY + i] = (work[np.uint64(Y) + p] - oy) * inverse
        phases[DZ + i] = (work[np.uint64(Z) + p] - oz) * inverse
    middle = ((ox - incident[0]) * inverse, (oy - incident[1]) * inverse, (oz - incident[2]) * inverse)
    chord = max(norm(offset_of(phases, 0)), norm(offset_of(phases, width - 1)))
    return middle, chord if weight > 0.0 else -1.0


@device
def add_square(work, n, width, vectors, columns, longest, incident, inverse, crystal, cell, F2, scratch, anchors):
    """Add one source's orientations to the sums of a strip of ``n`` pixels: SQUARE."""
    phases, single, number = scratch
    fraction, whole = anchors
    N = (max(crystal.Na, 1.0), max(crystal.Nb, 1.0), max(crystal.Nc, 1.0))
    box = (cell.h_range, cell.k_range, cell.l_range) if cell.has_hkl else (0, 0, 0)
    peak = (N[0] * N[1] * N[2]) ** 2
    for start in range(0, n, width):
        middle, chord = open_tile(work, phases, start, width, incident, inverse)
        if chord < 0.0:
            continue
        chord *= 1.001  # float32
        reach = (1.0 + chord * longest[0], 1.0 + chord * longest[1], 1.0 + chord * longest[2])
        for first in range(0, columns.shape[1], CHUNK):
            last = min(first + CHUNK, columns.shape[1])
            anchor_chunk(columns, first, last, middle, cell, fraction, whole)
            square_chunk(phases, single, number, width, vectors, first, last, fraction, whole, N, box, reach, F2)
            for i in range(width):
                p = np.uint64(start) + np.uint64(i)
                work[np.uint64(TOTAL) + p] += work[np.uint64(WEIGHT) + p] * peak * single[SUM + i]


@device
def F2_at(F2, cell, h0, k0, l0):
    """Squared structure factor, the indices being counted from the corner of the box."""
    inside = h0 >= 0 and h0 < cell.h_range and k0 >= 0 and k0 < cell.k_range and l0 >= 0 and l0 < cell.l_range
    if cell.has_hkl and inside:
        return F2[1 + (int(h0) * cell.k_range + int(k0)) * cell.l_range + int(l0)]
    return F2[0]


@device
def indices(phases, cells, m, p, fraction, whole, i):
    """Offset of a pixel's h, k, l from the nearest whole ones, and those, counted from the corner of the box."""
    offset = offset_of(phases, p)
    h = fraction[0, i] + dot((cells[m, 0], cells[m, 1], cells[m, 2]), offset)
    k = fraction[1, i] + dot((cells[m, 3], cells[m, 4], cells[m, 5]), offset)
    l = fraction[2, i] + dot((cells[m, 6], cells[m, 7], cells[m, 8]), offset)
    h0, k0, l0 = np.ceil(h - 0.5), np.ceil(k - 0.5), np.ceil(l - 0.5)
    return h - h0, k - k0, l - l0, h0 + whole[0, i], k0 + whole[1, i], l0 + whole[2, i]


@device
def add_round(work, n, width, cells, columns, incident, inverse, crystal, cell, F2, phases, anchors):
    """Add one source's orientations to the sums of a strip: ROUND."""
    fraction, whole = anchors
    aa, bb, cc = crystal.Na**2 * crystal.fudge, crystal.Nb**2 * crystal.fudge, crystal.Nc**2 * crystal.fudge
    peak = (crystal.Na * crystal.Nb * crystal.Nc * SPHERE) ** 2
    for start in range(0, n, width):
        middle, chord = open_tile(work, phases, start, width, incident, inverse)
        if chord < 0.0:
            continue
        for first in range(0, cells.shape[0], CHUNK):
            last = min(first + CHUNK, cells.shape[0])
            anchor_chunk(columns, first, last, middle, cell, fraction, whole)
            for m in range(first, last):
                for p in range(width):
                    h, k, l, _, _, _ = indices(phases, cells, m, p, fraction, whole, m - first)
                    phases[R + p] = sinc3_sqr(math.sqrt(aa * h * h + bb * k * k + cc * l * l))
                for p in range(width):
                    _, _, _, h0, k0, l0 = indices(phases, cells, m, p, fraction, whole, m - first)
                    term = work[WEIGHT + start + p] * peak * phases[R + p]
                    work[TOTAL + start + p] += term * F2_at(F2, cell, h0, k0, l0)


@device
def spot_metric(crystal):
    """Coefficients of the squared radius of gauss and tophat spots in dh, dk, dl (``lattice.spot_radius_sqr``), with
    ``fudge``: of the squares, of the products hk, hl, kl, and the least that each squared offset contributes alone.

    An offset d_i from a lattice plane i is at least the distance d_i / a_i away in reciprocal space.
    """
    if crystal.per_axis:
        aa, bb, cc = crystal.Na**2 * crystal.fudge, crystal.Nb**2 * crystal.fudge, crystal.Nc**2 * crystal.fudge
        return (aa, bb, cc), (0.0, 0.0, 0.0), (aa, bb, cc)
    G11, G22, G33, G12, G13, G23 = crystal.G11, crystal.G22, crystal.G33, crystal.G12, crystal.G13, crystal.G23
    s = (crystal.Na * crystal.Nb * crystal.Nc) ** 2 * crystal.fudge
    c11, c22, c33 = G22 * G33 - G23 * G23, G11 * G33 - G13 * G13, G11 * G22 - G12 * G12
    determinant = G11 * c11 - G12 * (G12 * G33 - G23 * G13) + G13 * (G12 * G23 - G22 * G13)
    least = (s * determinant / c11, s * determinant / c22, s * determinant / c33)
    return (s * G11, s * G22, s * G33), (2 * s * G12, 2 * s * G13, 2 * s * G23), least


@device
def outside(phases, width, cells, m, fraction, i, bend, least, end):
    """Whether no pixel of a tile can be within the squared radius ``end`` of a spot.

    Along a tile h, k, l change almost linearly: they stay within their values at the ends, but for ``bend``.
    """
    head, tail = offset_of(phases, 0), offset_of(phases, width - 1)
    for axis in range(3):
        v = (cells[m, 3 * axis], cells[m, 3 * axis + 1], cells[m, 3 * axis + 2])
        off = abs(fraction[axis, i]) - max(abs(dot(v, head)), abs(dot(v, tail))) - bend * norm(v)
        if off > 0.0 and off * off * least[axis] > end:
            return True
    return False


@device
def add_compact(work, n, width, cells, columns, incident, inverse, crystal, cell, F2, phases, anchors):
    """Add one source's orientations to the sums of a strip: GAUSS and TOPHAT."""
    fraction, whole = anchors
    squares, products, least = spot_metric(crystal)
    peak = (crystal.Na * crystal.Nb * crystal.Nc) ** 2
    gauss = crystal.shape == GAUSS
    end = 0.5 * GAUSS_END * GAUSS_WIDTH if gauss else TOPHAT_EDGE
    for start in range(0, n, width):
        middle, chord = open_tile(work, phases, start, width, incident, inverse)
        if chord < 0.0:
            continue
        bend = 2.0 * chord * chord / inverse  # twice what an arc of the unit sphere departs from its tangent
        for first in range(0, cells.shape[0], CHUNK):
            last = min(first + CHUNK, cells.shape[0])
            anchor_chunk(columns, first, last, middle, cell, fraction, whole)
            for m in range(first, last):
                if outside(phases, width, cells, m, fraction, m - first, bend, least, end):
                    continue
                for p in range(width):
                    h, k, l, _, _, _ = indices(phases, cells, m, p, fraction, whole, m - first)
                    r = squares[0] * h * h + squares[1] * k * k + squares[2] * l * l
                    phases[R + p] = r + products[0] * h * k + products[1] * h * l + products[2] * k * l
                for p in range(width):
                    if phases[R + p] < end:
                        _, _, _, h0, k0, l0 = indices(phases, cells, m, p, fraction, whole, m - first)
                        value = math.exp(-2.0 / GAUSS_WIDTH * phases[R + p]) if gauss else 1.0
                        term = work[WEIGHT + start + p] * peak * value
                        work[TOTAL + start + p] += term * F2_at(F2, cell, h0, k0, l0)
