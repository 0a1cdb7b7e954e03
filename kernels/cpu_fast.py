"""The fast CPU kernels: reference semantics without ``-oversample_*`` and without interpolation, or correct physics.

Problem: the sum over sub-pixels, sources and orientations is nearly all of a run, and its phases pi N h need more digits
than float32 has.

Choice: a row of pixels is cut into tiles of ``width`` neighbours. For a tile, a source and an orientation the indices h,
k, l are computed at the tile's middle in float64 and split into whole number and fraction; each pixel adds a . (d - d
of the middle) / lambda. In :func:`render_fast32` that is float32, and its error is the one of the tile's extent in h,
not of h (:func:`anchored_error`); in :func:`render_fast64` it is float64 until the fractions of h and of N h are formed.
The loops over a tile are plain, without branches or calls, and LLVM makes vector code of them. Sums over orientations
run in float32 over 32 terms and in float64 beyond.

Tiles begin at whole multiples of ``width`` and are always rendered to their end, so that a pixel's bits depend neither
on the region of interest nor on the number of threads. Shapes other than SQUARE are float64 in both kernels; tiles that
lie outside all spots of an orientation are passed over for GAUSS and TOPHAT, which favours small ones.

Cost: scratch arrays of a tile's size, once per row. Misuse: ``render_fast32`` where :func:`choose_variant` says 64, and a
box of more than 2^31 structure factors.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from nbnumba.kernels._jit import device, kernel
from nbnumba.kernels.absorption import capture_fraction
from nbnumba.kernels.blocks import GAUSS, ROUND, SQUARE, TOPHAT
from nbnumba.kernels.fast_math import SMALLEST_SQR, sinc2, sinc3_sqr
from nbnumba.kernels.geometry import bend, pixel_position, subpixel_coordinate
from nbnumba.kernels.lattice import GAUSS_WIDTH, SPHERE, TOPHAT_EDGE
from nbnumba.kernels.polarization import beam_frame, polarization_factor
from nbnumba.kernels.solid_angle import omega_pixel
from nbnumba.kernels.vec import dot, norm

#: orientations whose terms are added in float32 before the float64 sum takes them
CHUNK = 32
#: Gaussian spots end where the intensity is exp(-110) of the peak: nothing that a float32 image could hold is dropped
GAUSS_END = 110.0

#: pixels of the widest tile. Scratch arrays are flat, of rows this long: at constant distances LLVM sees that the rows
#: do not overlap, and vectorizes without checking at run time.
LANES = 64
# rows of the float64 scratch array, of the phases' and of the float32 one
X, Y, Z, R, OMEGA, CAPTURE, POLAR, WEIGHT, TOTAL, DX, DY, DZ = range(0, 12 * LANES, LANES)
PX, PY, PZ = range(0, 3 * LANES, LANES)
LATT, SUM, CELL = range(0, 3 * LANES, LANES)


def tile_extent(cells, sources, panel, width):
    """Largest change of h, k and l over a tile of ``width`` pixels, (3,) float64."""
    along, across = (np.array(panel[i : i + 3]) for i in (3, 6))
    corner = np.array(panel[:3])
    if panel.curved:
        nearest = panel.distance
    else:  # the panel's point nearest to the crystal
        f = np.clip(-corner @ along, panel.f0 * panel.pixel_size, panel.f1 * panel.pixel_size)
        s = np.clip(-corner @ across, panel.s0 * panel.pixel_size, panel.s1 * panel.pixel_size)
        nearest = np.linalg.norm(corner + f * along + s * across)
    lengths = np.linalg.norm(cells.reshape(-1, 3, 3), axis=2).max(axis=0)
    return lengths / sources[:, 3].min() * width * panel.pixel_size / nearest


def anchored_error(cells, sources, panel, crystal, width) -> float:
    """Bound of the phase error of :func:`render_fast32`, in N h: rounding over a tile and of the fraction itself.

    The largest of N (extent of the tile in h + 1/2) 2^-24 over the three axes. Next to a zero of the grating function,
    at a distance y in N h, a term is wrong by 2 / y times that, relative to itself.
    """
    N = np.array((crystal.Na, crystal.Nb, crystal.Nc))
    return float((N * (tile_extent(cells, sources, panel, width) + 0.5)).max() * 2.0**-24)


#: float32 phases are taken below this :func:`anchored_error` ...
LARGEST_ERROR = 2e-5
#: ... for pixels with at least this many terms, which blur the zeros of the grating function, ...
FEWEST_TERMS = 8
#: ... and for images with at least this many terms in all: below, float64 takes a few milliseconds
FEWEST_STEPS = 1e7


def choose_variant(inputs, precision="auto"):
    """Kernel, tile width and reason for one panel.

    Parameters
    ----------
    inputs : nbnumba.inputs.KernelInputs
    precision : str
        ``auto``: every pixel but 1 in 100 within 1e-4 of its own value and all within 2e-6 of the maximum; ``mixed``:
        float32 phases for every square crystal.

    Returns
    -------
    kernel : str
        ``fast32``, ``fast64``, or ``general`` where the box of structure factors is too large for the fast kernels.
    width : int
    reason : str
    """
    panel, crystal, cell = inputs.panel, inputs.crystal, inputs.cell
    if crystal.shape in (GAUSS, TOPHAT):
        return "fast64", 16, "spots without tails: float64 phases, small tiles"
    width = LANES
    while width > 8 and _box_overflows(inputs, width):
        width //= 2
    if _box_overflows(inputs, width) or cell.h_range * cell.k_range * cell.l_range >= 2**31:
        return "general", 0, "more structure factors than the fast kernels can number"
    if crystal.shape == ROUND:
        return "fast64", width, "round crystals need float64 phases"
    if precision == "mixed":
        return "fast32", width, "float32 phases asked for"
    error = anchored_error(inputs.cells, inputs.sources, panel, crystal, width)
    terms = inputs.steps_per_pixel
    if terms < FEWEST_TERMS or terms * (panel.s1 - panel.s0) * (panel.f1 - panel.f0) < FEWEST_STEPS:
        return "fast64", width, "float64 phases: few terms"
    if error > LARGEST_ERROR:
        return "fast64", width, f"float64 phases: float32 would be wrong by up to {error:.1e} in N h"
    return "fast32", width, f"float32 phases relative to tiles of {width} pixels, wrong by less than {error:.1e} in N h"


def _box_overflows(inputs, width):
    """Whether an index relative to a tile's middle, times the size of a plane of the box, is beyond exact float32."""
    extent = tile_extent(inputs.cells, inputs.sources, inputs.panel, width)[0]
    return (extent + 2) * inputs.cell.k_range * inputs.cell.l_range >= 2**24


@device(inline="always")
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


@device(inline="always")
def square_chunk(single, number, phases, width, vectors, first, last, fraction, whole, N, box, reach, F2):
    """Sum of F_cell^2 F_latt^2 / (Na Nb Nc)^2 over up to 32 orientations of a square crystal, for each pixel of a tile.

    ``phases``: rows PX, PY, PZ, the scattering vector relative to the tile's middle; ``reach``: how far the nearest
    whole indices of the tile can be from those of its middle. Into row SUM of ``single``.
    """
    real, f4 = vectors.dtype.type, np.float32
    zero, tiny = f4(0.0), f4(SMALLEST_SQR)
    Na, Nb, Nc = real(N[0]), real(N[1]), real(N[2])
    ta, tb, tc = f4(N[0] ** -2), f4(N[1] ** -2), f4(N[2] ** -2)
    nh, nk, nl = f4(box[0]), f4(box[1]), f4(box[2])
    eh, ek, el = f4(reach[0]), f4(reach[1]), f4(reach[2])
    for p in range(width):
        single[SUM + p] = zero
    for i in range(last - first):
        m = first + i
        a0, a1, a2 = vectors[m, 0], vectors[m, 1], vectors[m, 2]
        b0, b1, b2 = vectors[m, 3], vectors[m, 4], vectors[m, 5]
        c0, c1, c2 = vectors[m, 6], vectors[m, 7], vectors[m, 8]
        fh, fk, fl = fraction[0, i], fraction[1, i], fraction[2, i]
        ih, ik, il = whole[0, i], whole[1, i], whole[2, i]
        all_inside = ih >= eh and ih + eh < nh and ik >= ek and ik + ek < nk and il >= el and il + el < nl
        none_inside = ih + eh < zero or ih - eh >= nh or ik + ek < zero or ik - ek >= nk or il + el < zero or il - el >= nl
        if none_inside and F2[0] == zero:
            continue
        base = np.int32((int(ih) * box[1] + int(ik)) * box[2] + int(il) + 1)
        for p in range(width):
            x, y, z = phases[PX + p], phases[PY + p], phases[PZ + p]
            h = fh + a0 * x + a1 * y + a2 * z
            k = fk + b0 * x + b1 * y + b2 * z
            l = fl + c0 * x + c1 * y + c2 * z
            h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
            uh, uk, ul = Na * (h - h0), Nb * (k - k0), Nc * (l - l0)
            yh, yk, yl = f4(uh - np.rint(uh)), f4(uk - np.rint(uk)), f4(ul - np.rint(ul))
            vh, vk, vl = f4(uh), f4(uk), f4(ul)
            yh, yk, yl = yh * yh + tiny, yk * yk + tiny, yl * yl + tiny
            vh, vk, vl = vh * vh + tiny, vk * vk + tiny, vl * vl + tiny
            above = yh * sinc2(yh) * (yk * sinc2(yk)) * (yl * sinc2(yl))
            below = vh * sinc2(vh * ta) * (vk * sinc2(vk * tb)) * (vl * sinc2(vl * tc))
            single[LATT + p] = above / below
            number[p] = np.uint32(np.int32((f4(h0) * nk + f4(k0)) * nl + f4(l0)) + base)
        if not all_inside:
            for p in range(width):
                x, y, z = phases[PX + p], phases[PY + p], phases[PZ + p]
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
def squared_offset(work, p):
    """Squared distance (1/m^2) of a pixel's scattering vector from the one at the tile's middle."""
    return work[DX + p] * work[DX + p] + work[DY + p] * work[DY + p] + work[DZ + p] * work[DZ + p]


@device(inline="always")
def add_square(work, width, vectors, columns, longest, middle, crystal, cell, F2, scratch, fraction, whole):
    """Add one source's orientations to the tile's sums: SQUARE."""
    phases, single, number = scratch
    N = (max(crystal.Na, 1.0), max(crystal.Nb, 1.0), max(crystal.Nc, 1.0))
    box = (cell.h_range, cell.k_range, cell.l_range) if cell.has_hkl else (0, 0, 0)
    peak = (N[0] * N[1] * N[2]) ** 2
    chord = math.sqrt(max(squared_offset(work, 0), squared_offset(work, width - 1)))  # it grows towards both ends
    reach = (1.0 + 1.001 * chord * longest[0], 1.0 + 1.001 * chord * longest[1], 1.0 + 1.001 * chord * longest[2])
    for p in range(width):
        phases[PX + p], phases[PY + p], phases[PZ + p] = work[DX + p], work[DY + p], work[DZ + p]
    for first in range(0, columns.shape[1], CHUNK):
        last = min(first + CHUNK, columns.shape[1])
        anchor_chunk(columns, first, last, middle, cell, fraction, whole)
        square_chunk(single, number, phases, width, vectors, first, last, fraction, whole, N, box, reach, F2)
        for p in range(width):
            work[TOTAL + p] += work[WEIGHT + p] * peak * single[SUM + p]


@device
def F2_at(F2, cell, h0, k0, l0):
    """Squared structure factor, the indices being counted from the corner of the box."""
    inside = h0 >= 0 and h0 < cell.h_range and k0 >= 0 and k0 < cell.k_range and l0 >= 0 and l0 < cell.l_range
    if cell.has_hkl and inside:
        return F2[1 + (int(h0) * cell.k_range + int(k0)) * cell.l_range + int(l0)]
    return F2[0]


@device
def indices(work, cells, m, p, fraction, whole, i):
    """Offset of a pixel's h, k, l from the nearest whole ones, and those, counted from the corner of the box."""
    dx, dy, dz = work[DX + p], work[DY + p], work[DZ + p]
    h = fraction[0, i] + (cells[m, 0] * dx + cells[m, 1] * dy + cells[m, 2] * dz)
    k = fraction[1, i] + (cells[m, 3] * dx + cells[m, 4] * dy + cells[m, 5] * dz)
    l = fraction[2, i] + (cells[m, 6] * dx + cells[m, 7] * dy + cells[m, 8] * dz)
    h0, k0, l0 = np.ceil(h - 0.5), np.ceil(k - 0.5), np.ceil(l - 0.5)
    return h - h0, k - k0, l - l0, h0 + whole[0, i], k0 + whole[1, i], l0 + whole[2, i]


@device
def add_round(work, width, cells, columns, middle, crystal, cell, F2, fraction, whole):
    """Add one source's orientations to the tile's sums: ROUND."""
    aa, bb, cc = crystal.Na**2 * crystal.fudge, crystal.Nb**2 * crystal.fudge, crystal.Nc**2 * crystal.fudge
    peak = (crystal.Na * crystal.Nb * crystal.Nc * SPHERE) ** 2
    for first in range(0, cells.shape[0], CHUNK):
        last = min(first + CHUNK, cells.shape[0])
        anchor_chunk(columns, first, last, middle, cell, fraction, whole)
        for m in range(first, last):
            for p in range(width):
                h, k, l, _, _, _ = indices(work, cells, m, p, fraction, whole, m - first)
                work[R + p] = sinc3_sqr(math.sqrt(aa * h * h + bb * k * k + cc * l * l))
            for p in range(width):
                _, _, _, h0, k0, l0 = indices(work, cells, m, p, fraction, whole, m - first)
                work[TOTAL + p] += work[WEIGHT + p] * peak * work[R + p] * F2_at(F2, cell, h0, k0, l0)


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
def outside(cells, m, fraction, i, extent, least, end):
    """Whether no pixel of a tile can be within the squared radius ``end`` of a spot."""
    for axis in range(3):
        reach = abs(cells[m, 3 * axis]) * extent[0] + abs(cells[m, 3 * axis + 1]) * extent[1]
        reach += abs(cells[m, 3 * axis + 2]) * extent[2]
        off = abs(fraction[axis, i]) - reach
        if off > 0.0 and off * off * least[axis] > end:
            return True
    return False


@device
def add_compact(work, width, cells, columns, middle, crystal, cell, F2, fraction, whole):
    """Add one source's orientations to the tile's sums: GAUSS and TOPHAT."""
    squares, products, least = spot_metric(crystal)
    peak = (crystal.Na * crystal.Nb * crystal.Nc) ** 2
    gauss = crystal.shape == GAUSS
    end = 0.5 * GAUSS_END * GAUSS_WIDTH if gauss else TOPHAT_EDGE
    ex, ey, ez = 0.0, 0.0, 0.0
    for p in range(width):
        ex, ey, ez = max(ex, abs(work[DX + p])), max(ey, abs(work[DY + p])), max(ez, abs(work[DZ + p]))
    extent = (ex, ey, ez)
    for first in range(0, cells.shape[0], CHUNK):
        last = min(first + CHUNK, cells.shape[0])
        anchor_chunk(columns, first, last, middle, cell, fraction, whole)
        for m in range(first, last):
            if outside(cells, m, fraction, m - first, extent, least, end):
                continue
            near = 0
            for p in range(width):
                h, k, l, _, _, _ = indices(work, cells, m, p, fraction, whole, m - first)
                r = squares[0] * h * h + squares[1] * k * k + squares[2] * l * l
                r += products[0] * h * k + products[1] * h * l + products[2] * k * l
                work[R + p] = r
                near += r < end
            if near == 0:
                continue
            for p in range(width):
                if work[R + p] < end:
                    _, _, _, h0, k0, l0 = indices(work, cells, m, p, fraction, whole, m - first)
                    value = math.exp(-2.0 / GAUSS_WIDTH * work[R + p]) if gauss else 1.0
                    work[TOTAL + p] += work[WEIGHT + p] * peak * value * F2_at(F2, cell, h0, k0, l0)


@device
def place(panel, s, f, layer, subS, subF):
    """Position (m) from the crystal of a sub-pixel in a sensor layer."""
    Fdet = subpixel_coordinate(f, subF, panel.oversample, panel.pixel_size)
    Sdet = subpixel_coordinate(s, subS, panel.oversample, panel.pixel_size)
    return pixel_position(panel, Fdet, Sdet, panel.first_depth + layer * panel.layer_step)


@device(inline="always")
def trace_tile(work, width, panel, per_term, s, start, layer, subS, subF):
    """Directions (X, Y, Z) of a tile's sub-pixels; solid angles and capture fractions where due."""
    first_sub = subS == 0 and subF == 0
    if panel.curved:
        for p in range(width):
            work[X + p], work[Y + p], work[Z + p] = bend(panel, place(panel, s, start + p, layer, subS, subF))
    else:
        for p in range(width):
            work[X + p], work[Y + p], work[Z + p] = place(panel, s, start + p, layer, subS, subF)
    with_omega = per_term or (layer == 0 and first_sub)
    for p in range(width):
        x, y, z = work[X + p], work[Y + p], work[Z + p]
        airpath = math.sqrt(x * x + y * y + z * z)
        inverse = 1.0 / airpath
        work[X + p], work[Y + p], work[Z + p] = x * inverse, y * inverse, z * inverse
        omega = omega_pixel(panel.pixel_size, airpath, panel.close_distance, panel.point_pixel)
        work[OMEGA + p] = omega if with_omega else work[OMEGA + p]
    if panel.has_thickness and (per_term or (layer == panel.layers - 1 and first_sub)):
        odet = (panel.odet_x, panel.odet_y, panel.odet_z)
        for p in range(width):
            parallax = dot((work[X + p], work[Y + p], work[Z + p]), odet)
            work[CAPTURE + p] = capture_fraction(layer, panel.layer_step, panel.mu, parallax)


@device(inline="always")
def weigh_tile(work, width, beam, incident, wavelength, source_weight, fresh):
    """Weights of a source's terms, 0 beyond the resolution limit, and the polarization; whether any term is left.

    Without ``per_term`` the polarization of a pixel stays the first that is not cut; ``fresh``: there is none yet.
    """
    if beam.dmin > 0.0:
        limit = (wavelength / beam.dmin) ** 2
        for p in range(width):
            dx, dy, dz = work[X + p] - incident[0], work[Y + p] - incident[1], work[Z + p] - incident[2]
            work[WEIGHT + p] = 0.0 if dx * dx + dy * dy + dz * dz > limit else 1.0
    else:
        for p in range(width):
            work[WEIGHT + p] = 1.0
    if not beam.nopolar and (fresh or beam.per_term or beam.dmin > 0.0):
        E_in, B_in = beam_frame(incident, (beam.polar_x, beam.polar_y, beam.polar_z))
        for p in range(width):
            diffracted = (work[X + p], work[Y + p], work[Z + p])
            polar = polarization_factor(beam.kahn_factor, incident, diffracted, E_in, B_in)
            keep = not beam.per_term and (work[POLAR + p] != 0.0 or work[WEIGHT + p] == 0.0)
            work[POLAR + p] = work[POLAR + p] if keep else polar
    if beam.per_term:
        for p in range(width):
            factor = work[CAPTURE + p] * work[POLAR + p] * work[OMEGA + p] * source_weight
            work[TOTAL + p] += beam.I_bg * factor
            work[WEIGHT + p] *= factor
    if beam.dmin == 0.0:
        return True
    left = 0.0
    for p in range(width):
        left += abs(work[WEIGHT + p])
    return left > 0.0


@device(inline="always")
def render_tile(
    work, width, panel, crystal, cell, beam, sources, vectors, cells, columns, longest, F2, s, start, scratch, anchors
):
    """Sums of the tile of row ``s`` that begins at column ``start``, in row TOTAL of ``work``."""
    fraction, fraction64, whole = anchors
    c = width // 2
    for p in range(width):
        work[TOTAL + p] = 0.0 if beam.per_term else beam.I_bg
        work[POLAR + p] = 1.0 if beam.nopolar else 0.0
        work[CAPTURE + p] = 1.0
    for step in range(panel.layers * panel.oversample * panel.oversample):
        subF, subS = step % panel.oversample, step // panel.oversample % panel.oversample
        layer = step // (panel.oversample * panel.oversample)
        trace_tile(work, width, panel, beam.per_term, s, start, layer, subS, subF)
        for i in range(sources.shape[0]):
            incident = (sources[i, 0], sources[i, 1], sources[i, 2])
            if not weigh_tile(work, width, beam, incident, sources[i, 3], sources[i, 4], step == 0 and i == 0):
                continue
            inverse = 1.0 / sources[i, 3]
            ox, oy, oz = work[X + c], work[Y + c], work[Z + c]
            middle = ((ox - incident[0]) * inverse, (oy - incident[1]) * inverse, (oz - incident[2]) * inverse)
            for p in range(width):
                work[DX + p] = (work[X + p] - ox) * inverse
                work[DY + p] = (work[Y + p] - oy) * inverse
                work[DZ + p] = (work[Z + p] - oz) * inverse
            if crystal.shape == SQUARE:
                add_square(work, width, vectors, columns, longest, middle, crystal, cell, F2, scratch, fraction, whole)
            elif crystal.shape == ROUND:
                add_round(work, width, cells, columns, middle, crystal, cell, F2, fraction64, whole)
            else:
                add_compact(work, width, cells, columns, middle, crystal, cell, F2, fraction64, whole)


@device(inline="always")
def write_tile(image, work, f0, f1, start, beam, mask, s):
    """Write the pixels ``f0 <= f < f1`` of a tile, the three corrections applied where each term has not had its own."""
    if not beam.per_term:
        for p in range(LANES):
            work[TOTAL + p] *= work[CAPTURE + p] * work[POLAR + p] * work[OMEGA + p]
    row, skip = np.uint64(s), np.uint64(f0 - start)
    masked = mask.shape[0] > 0
    for i in range(f1 - f0):
        p = skip + np.uint64(i)
        f = np.uint64(start) + p
        if not masked or mask[row, f] != 0:
            image[row, f] = beam.scale * work[np.uint64(TOTAL) + p]


@device
def render_row(image, panel, crystal, cell, beam, sources, vectors, cells, columns, longest, F2, mask, s, width):
    """Render row ``s``; the type of ``vectors``, a copy of ``cells``, is the one of the phases."""
    work = np.zeros(12 * LANES, np.float64)
    scratch = (np.empty(3 * LANES, vectors.dtype), np.empty(3 * LANES, np.float32), np.empty(LANES, np.uint32))
    anchors = (np.empty((3, CHUNK), vectors.dtype), np.empty((3, CHUNK), np.float64), np.empty((3, CHUNK), np.float32))
    width = min(width, LANES)
    for start in range(panel.f0 // width * width, panel.f1, width):
        render_tile(
            work, width, panel, crystal, cell, beam, sources, vectors, cells, columns, longest, F2, s, start, scratch, anchors
        )
        write_tile(image, work, max(start, panel.f0), min(start + width, panel.f1), start, beam, mask, s)


@device
def as_float32(cells):
    """A copy of the cells in float32."""
    vectors = np.empty(cells.shape, np.float32)
    for m in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            vectors[m, j] = cells[m, j]
    return vectors


@device
def transposed(cells):
    """A copy of the cells with one component of all orientations after the other."""
    columns = np.empty((9, cells.shape[0]), np.float64)
    for m in range(cells.shape[0]):
        for j in range(9):
            columns[j, m] = cells[m, j]
    return columns


@device
def longest_axes(cells):
    """Largest lengths (m) of a, b and c among the orientations."""
    a, b, c = 0.0, 0.0, 0.0
    for m in range(cells.shape[0]):
        a = max(a, norm((cells[m, 0], cells[m, 1], cells[m, 2])))
        b = max(b, norm((cells[m, 3], cells[m, 4], cells[m, 5])))
        c = max(c, norm((cells[m, 6], cells[m, 7], cells[m, 8])))
    return a, b, c


@kernel()
def render_fast32(image, panel, crystal, cell, beam, sources, cells, F2, mask, row0, row1, width):
    """As :func:`render_fast64`, with the phases of square crystals in float32, relative to the middle of a tile."""
    vectors, columns, longest = as_float32(cells), transposed(cells), longest_axes(cells)
    for s in prange(max(row0, panel.s0), min(row1, panel.s1)):
        render_row(image, panel, crystal, cell, beam, sources, vectors, cells, columns, longest, F2, mask, s, width)


@kernel()
def render_fast64(image, panel, crystal, cell, beam, sources, cells, F2, mask, row0, row1, width):
    """Render rows ``row0 <= s < row1`` of one panel, in photons.

    Parameters
    ----------
    image : (spixels, fpixels) float32
        Pixels outside the region of interest, or 0 in ``mask``, are left as they are.
    panel, crystal, cell, beam : PanelBlock, CrystalBlock, CellBlock, BeamBlock
    sources : (S, 5) float64
        Incident unit vector, wavelength (m), relative weight (used with ``per_term``).
    cells : (M, 9) float64
        a, b, c (m) of every orientation, phi step by phi step, domains within.
    F2 : (1 + h_range * k_range * l_range,) float32
        Squared structure factors, electrons^2: of everything outside the box, then the box, l fastest.
    mask : (spixels, fpixels) or (0, 0) uint8
    width : int
        Pixels per tile.

    Notes
    -----
    Against a float64 sum: 3e-7 of the image's maximum; 99 of 100 pixels within 2e-6 of their own value.
    """
    columns, longest = transposed(cells), longest_axes(cells)
    for s in prange(max(row0, panel.s0), min(row1, panel.s1)):
        render_row(image, panel, crystal, cell, beam, sources, cells, cells, columns, longest, F2, mask, s, width)
