"""Sums over the orientations of a crystal for the pixels of a tile: the inner loops of the fast CPU kernels.

``rows`` are the scratch arrays of a thread, (work, phases, single, number): float64, of the type of the phases, float32
and int32, with the rows that are named here and in :mod:`nbnumba.kernels.cpu.rays`. ``pairs`` are (vectors, columns,
longest), ``sample`` (crystal, cell, F2, metric).

``vectors`` (P, 9) holds a, b, c of every orientation, in the type of the phases, and ``columns`` (12, P) float64 the
same, transposed, with what is to be added to h, k, l; both may have been divided by the wavelength of a source, for all
pairs of a source and an orientation (:mod:`nbnumba.kernels.cpu.fast` makes them, and its docstring tells how and why).
Indices are unsigned where a loop does not begin at 0: Numba tests signed ones for being negative, and a loop with such
a test becomes a gather.
"""

from __future__ import annotations

import numpy as np

from nbnumba.kernels.cpu.rays import CHUNK, FRACTION, LARGEST, QX, QY, QZ, RADIUS, REST, TOTAL, WEIGHT
from nbnumba.kernels.formulas.blocks import GAUSS
from nbnumba.kernels.formulas.lattice import GAUSS_WIDTH, SPHERE, TOPHAT_EDGE, axes_sqr, metric_sqr
from nbnumba.kernels.formulas.profiles import compact_profile, round_profile_vector, square_profile
from nbnumba.kernels.formulas.scattering import cell_axes, fractional_indices
from nbnumba.kernels.formulas.structure import F2_at
from nbnumba.kernels.formulas.vec import norm, row_vector
from nbnumba.kernels.jit.cpu import ORDERED, device

#: Gaussian spots end where the intensity is exp(-110) of the peak, below the range of a float32 image
GAUSS_END = 110.0
#: farthest that h, k, l may be from those of the tile's middle if only two whole numbers can be nearest, each way
NEAR = 0.5
#: added to the number of a structure factor for an index outside the box, so that it becomes negative
OUTSIDE = np.int32(-(2**29))

# rows of the float32 array: sums and structure factors of the pixels; of up to 32 orientations whole indices, and the
# eight structure factors of each
SUM, CELL, WHOLE, CORNERS, SINGLES = 0, LARGEST, 2 * LARGEST, 2 * LARGEST + 3 * CHUNK, 2 * LARGEST + 11 * CHUNK
# rows of the int32 array: numbers of the pixels' structure factors; contributions to the numbers of the eight
NUMBER, NEAREST, SECOND, NUMBERS = 0, LARGEST, LARGEST + 3 * CHUNK, LARGEST + 6 * CHUNK


@device(forceinline=True)
def hold_index(phases, single, place, index, low):
    """Put an index into rows FRACTION, REST and WHOLE: its fraction in two parts, and its whole part from ``low`` on."""
    nearest = np.rint(index)
    fraction = index - nearest
    held = phases.dtype.type(fraction)
    phases[FRACTION + place] = held
    phases[REST + place] = fraction - held
    single[WHOLE + place] = nearest - low


@device(forceinline=True)
def anchor(phases, single, columns, first, last, middle, cell):
    """Fraction of h, k, l at the tile's middle, and their whole part counted from the corner of the box.

    ``middle``: the scattering vector (1/m). Into rows FRACTION and REST of ``phases`` and WHOLE of ``single``.
    """
    low = (float(cell.h_min), float(cell.k_min), float(cell.l_min))
    x, y, z = middle
    for axis in range(3):
        for i in range(last - first):
            m = np.uint64(first) + np.uint64(i)
            index = columns[3 * axis, m] * x + columns[3 * axis + 1, m] * y + columns[3 * axis + 2, m] * z
            index += columns[9 + axis, m]
            hold_index(phases, single, axis * CHUNK + i, index, low[axis])


@device(forceinline=True)
def number_axis(phases, single, number, count, size, stride, axis):
    """Contribution of an axis to the number of a structure factor, for the nearest index and for the second nearest."""
    for i in range(count):
        here = single[WHOLE + axis * CHUNK + i]
        there = here + (np.float32(1.0) if phases[FRACTION + axis * CHUNK + i] > 0 else np.float32(-1.0))
        number[NEAREST + axis * CHUNK + i] = np.int32(here) * stride if here >= 0 and here < size else OUTSIDE
        number[SECOND + axis * CHUNK + i] = np.int32(there) * stride if there >= 0 and there < size else OUTSIDE


@device(forceinline=True)
def fetch_corners(phases, single, number, count, cell, F2):
    """Squared structure factors of the eight reflections that can be nearest to a pixel of the tile, into CORNERS."""
    h_range = cell.h_range if cell.has_hkl else 0
    number_axis(phases, single, number, count, h_range, np.int32(cell.k_range * cell.l_range), 0)
    number_axis(phases, single, number, count, cell.k_range, np.int32(cell.l_range), 1)
    number_axis(phases, single, number, count, cell.l_range, np.int32(1), 2)
    for i in range(count):
        for corner in range(8):
            h = number[(SECOND if corner & 1 else NEAREST) + i]
            k = number[(SECOND if corner & 2 else NEAREST) + CHUNK + i]
            l = number[(SECOND if corner & 4 else NEAREST) + 2 * CHUNK + i]
            single[CORNERS + 8 * i + corner] = F2[np.uint32(max(h + k + l + 1, 0))]


@device(forceinline=True)
def axis_of(phases, vectors, m, i, axis):
    """a, b or c of orientation ``m``, and its index at the tile's middle: the fraction, and what rounding that left."""
    return row_vector(vectors, m, 3 * axis), phases[FRACTION + axis * CHUNK + i], phases[REST + axis * CHUNK + i]


@device(fastmath=ORDERED)
def square_near(phases, single, n, vectors, first, last, N):
    """Add F_cell^2 F_latt^2 / (Na Nb Nc)^2 of up to 32 orientations of a square crystal to row SUM.

    For tiles so small that an index has one of two nearest whole numbers.
    """
    f4 = np.float32
    zero = vectors.dtype.type(0.0)
    Na, Nb, Nc = vectors.dtype.type(N[0]), vectors.dtype.type(N[1]), vectors.dtype.type(N[2])
    ta, tb, tc = f4(N[0] ** -2), f4(N[1] ** -2), f4(N[2] ** -2)
    for i in range(last - first):
        m = np.uint64(first) + np.uint64(i)
        c = CORNERS + 8 * i
        F0, F1, F2, F3 = single[c], single[c + 1], single[c + 2], single[c + 3]
        F4, F5, F6, F7 = single[c + 4], single[c + 5], single[c + 6], single[c + 7]
        if f4(0.0) == F0 + F1 + F2 + F3 + F4 + F5 + F6 + F7:
            continue
        (a0, a1, a2), fh, rh = axis_of(phases, vectors, m, i, 0)
        (b0, b1, b2), fk, rk = axis_of(phases, vectors, m, i, 1)
        (c0, c1, c2), fl, rl = axis_of(phases, vectors, m, i, 2)
        for p in range(n):
            x, y, z = phases[QX + p], phases[QY + p], phases[QZ + p]
            changes = (rh + a0 * x + a1 * y + a2 * z, rk + b0 * x + b1 * y + b2 * z, rl + c0 * x + c1 * y + c2 * z)
            (h, k, l), latt = square_profile((fh, fk, fl), changes, (Na, Nb, Nc), (ta, tb, tc))
            low = (F0 if h == zero else F1) if k == zero else (F2 if h == zero else F3)
            high = (F4 if h == zero else F5) if k == zero else (F6 if h == zero else F7)
            single[SUM + p] += latt * (low if l == zero else high)


@device(fastmath=ORDERED)
def number_pixels_far(phases, single, number, n, vectors, m, i, box, reach):
    """Numbers of the structure factors nearest to the pixels of a tile of any size; 0 outside the box.

    ``reach``: how far the nearest whole indices of the tile can be from those of its middle.
    """
    f4 = np.float32
    zero = f4(0.0)
    nh, nk, nl = f4(box[0]), f4(box[1]), f4(box[2])
    eh, ek, el = f4(reach[0]), f4(reach[1]), f4(reach[2])
    ih, ik, il = single[WHOLE + i], single[WHOLE + CHUNK + i], single[WHOLE + 2 * CHUNK + i]
    all_inside = ih >= eh and ih + eh < nh and ik >= ek and ik + ek < nk and il >= el and il + el < nl
    none_inside = ih + eh < zero or ih - eh >= nh or ik + ek < zero or ik - ek >= nk or il + el < zero or il - el >= nl
    if none_inside:
        for p in range(n):
            number[NUMBER + p] = np.int32(0)
        return
    (a0, a1, a2), fh, rh = axis_of(phases, vectors, m, i, 0)
    (b0, b1, b2), fk, rk = axis_of(phases, vectors, m, i, 1)
    (c0, c1, c2), fl, rl = axis_of(phases, vectors, m, i, 2)
    for p in range(n):
        x, y, z = phases[QX + p], phases[QY + p], phases[QZ + p]
        h = ih + f4(np.rint(fh + (rh + a0 * x + a1 * y + a2 * z)))
        k = ik + f4(np.rint(fk + (rk + b0 * x + b1 * y + b2 * z)))
        l = il + f4(np.rint(fl + (rl + c0 * x + c1 * y + c2 * z)))
        inside = (h >= zero) & (h < nh) & (k >= zero) & (k < nk) & (l >= zero) & (l < nl)
        at = (np.int32(h) * np.int32(box[1]) + np.int32(k)) * np.int32(box[2]) + np.int32(l) + np.int32(1)
        number[NUMBER + p] = at if all_inside or inside else np.int32(0)


@device(fastmath=ORDERED)
def square_far(phases, single, number, n, vectors, first, last, N, box, reach, F2):
    """As :func:`square_near`, for tiles of any size: structure factors pixel by pixel."""
    f4 = np.float32
    Na, Nb, Nc = vectors.dtype.type(N[0]), vectors.dtype.type(N[1]), vectors.dtype.type(N[2])
    ta, tb, tc = f4(N[0] ** -2), f4(N[1] ** -2), f4(N[2] ** -2)
    for i in range(last - first):
        m = np.uint64(first) + np.uint64(i)
        number_pixels_far(phases, single, number, n, vectors, m, i, box, reach)
        for p in range(n):
            single[CELL + p] = F2[np.uint32(number[NUMBER + p])]
        (a0, a1, a2), fh, rh = axis_of(phases, vectors, m, i, 0)
        (b0, b1, b2), fk, rk = axis_of(phases, vectors, m, i, 1)
        (c0, c1, c2), fl, rl = axis_of(phases, vectors, m, i, 2)
        for p in range(n):
            x, y, z = phases[QX + p], phases[QY + p], phases[QZ + p]
            changes = (rh + a0 * x + a1 * y + a2 * z, rk + b0 * x + b1 * y + b2 * z, rl + c0 * x + c1 * y + c2 * z)
            _, latt = square_profile((fh, fk, fl), changes, (Na, Nb, Nc), (ta, tb, tc))
            single[SUM + p] += latt * single[CELL + p]


@device(forceinline=True)
def flush(work, single, n, peak):
    """Add the float32 sums to the float64 ones."""
    for p in range(n):
        work[TOTAL + p] += work[WEIGHT + p] * peak * single[SUM + p]
        single[SUM + p] = np.float32(0.0)


@device(forceinline=True)
def add_square(rows, n, chord, pairs, middle, pending, sample):
    """Add all pairs of one scattering vector to row SUM, which is emptied after 32 terms: SQUARE.

    ``pending``: terms that row SUM holds; returned.
    """
    work, phases, single, number = rows
    vectors, columns, longest = pairs
    crystal, cell, F2, _ = sample
    N = (max(crystal.Na, 1.0), max(crystal.Nb, 1.0), max(crystal.Nc, 1.0))
    peak = (N[0] * N[1] * N[2]) ** 2
    reach = (chord * longest[0], chord * longest[1], chord * longest[2])
    close = max(reach[0], reach[1], reach[2]) <= NEAR
    box = (cell.h_range, cell.k_range, cell.l_range) if cell.has_hkl else (0, 0, 0)
    rim = (1.0 + reach[0], 1.0 + reach[1], 1.0 + reach[2])
    for first in range(0, columns.shape[1], CHUNK):
        last = min(first + CHUNK, columns.shape[1])
        if pending + last - first > CHUNK:
            flush(work, single, n, peak)
            pending = 0
        pending += last - first
        anchor(phases, single, columns, first, last, middle, cell)
        if close:
            fetch_corners(phases, single, number, last - first, cell, F2)
            square_near(phases, single, n, vectors, first, last, N)
        else:
            square_far(phases, single, number, n, vectors, first, last, N, box, rim, F2)
    return pending


@device
def indices(phases, single, vectors, m, p, i):
    """Offset of a pixel's h, k, l from the nearest whole ones, and those, counted from the corner of the box."""
    offset = (phases[QX + p], phases[QY + p], phases[QZ + p])
    h, k, l = fractional_indices(cell_axes(vectors, m), offset)
    h, k, l = phases[FRACTION + i] + h, phases[FRACTION + CHUNK + i] + k, phases[FRACTION + 2 * CHUNK + i] + l
    h0, k0, l0 = np.ceil(h - 0.5), np.ceil(k - 0.5), np.ceil(l - 0.5)
    return (
        h - h0,
        k - k0,
        l - l0,
        h0 + single[WHOLE + i],
        k0 + single[WHOLE + CHUNK + i],
        l0 + single[WHOLE + 2 * CHUNK + i],
    )


@device
def add_round(rows, n, vectors, columns, middle, sample):
    """Add all pairs of one scattering vector to row TOTAL: ROUND."""
    work, phases, single, _ = rows
    crystal, cell, F2, metric = sample
    peak = (crystal.Na * crystal.Nb * crystal.Nc * SPHERE) ** 2
    for first in range(0, columns.shape[1], CHUNK):
        last = min(first + CHUNK, columns.shape[1])
        anchor(phases, single, columns, first, last, middle, cell)
        for m in range(first, last):
            for p in range(n):
                h, k, l, _, _, _ = indices(phases, single, vectors, m, p, m - first)
                work[RADIUS + p] = round_profile_vector(axes_sqr(h, k, l, metric))
            for p in range(n):
                _, _, _, h0, k0, l0 = indices(phases, single, vectors, m, p, m - first)
                work[TOTAL + p] += work[WEIGHT + p] * peak * work[RADIUS + p] * F2_at(F2, cell, h0, k0, l0)


@device
def outside(phases, chord, vectors, m, i, least, end):
    """Whether no pixel of a tile can be within the squared radius ``end`` of a spot."""
    for axis in range(3):
        off = abs(phases[FRACTION + axis * CHUNK + i]) - chord * norm(row_vector(vectors, m, 3 * axis))
        if off > 0.0 and off * off * least[axis] > end:
            return True
    return False


@device
def add_compact(rows, n, chord, pairs, middle, sample):
    """Add all pairs of one scattering vector to row TOTAL: GAUSS and TOPHAT."""
    work, phases, single, _ = rows
    vectors, columns, _ = pairs
    crystal, cell, F2, metric = sample
    least = (metric.least_h, metric.least_k, metric.least_l)
    peak = (crystal.Na * crystal.Nb * crystal.Nc) ** 2
    gauss = crystal.shape == GAUSS
    end = 0.5 * GAUSS_END * GAUSS_WIDTH if gauss else TOPHAT_EDGE
    for first in range(0, columns.shape[1], CHUNK):
        last = min(first + CHUNK, columns.shape[1])
        anchor(phases, single, columns, first, last, middle, cell)
        for m in range(first, last):
            if outside(phases, chord, vectors, m, m - first, least, end):
                continue
            for p in range(n):
                h, k, l, _, _, _ = indices(phases, single, vectors, m, p, m - first)
                work[RADIUS + p] = metric_sqr(h, k, l, metric)
            for p in range(n):
                if work[RADIUS + p] < end:
                    _, _, _, h0, k0, l0 = indices(phases, single, vectors, m, p, m - first)
                    value = compact_profile(gauss, work[RADIUS + p])
                    work[TOTAL + p] += work[WEIGHT + p] * peak * value * F2_at(F2, cell, h0, k0, l0)
