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

Cost: scratch arrays of a tile's size, once per row. Misuse: ``render_fast32`` where :func:`choose_kernel` says 64, and a
box of more than 2^31 structure factors.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from nbnumba.kernels._jit import device, kernel
from nbnumba.kernels.absorption import capture_fraction
from nbnumba.kernels.blocks import GAUSS, ROUND, SQUARE
from nbnumba.kernels.fast_math import SMALLEST, sinc2, sinc3_sqr
from nbnumba.kernels.geometry import bend, pixel_position, subpixel_coordinate
from nbnumba.kernels.lattice import GAUSS_WIDTH, SPHERE, TOPHAT_EDGE
from nbnumba.kernels.polarization import beam_frame, polarization_factor
from nbnumba.kernels.solid_angle import omega_pixel
from nbnumba.kernels.vec import dot

#: orientations whose terms are added in float32 before the float64 sum takes them
CHUNK = 32
#: Gaussian spots end where the intensity is exp(-110) of the peak: nothing that a float32 image could hold is dropped
GAUSS_END = 110.0

# rows of the float64 scratch array
X, Y, Z, R, OMEGA, CAPTURE, POLAR, WEIGHT, TOTAL, DX, DY, DZ = range(12)
SCRATCH_ROWS = 12


@device
def anchor_chunk(cells, first, last, middle, cell, fraction, whole):
    """Fraction of h, k, l at the tile's middle, and their whole part counted from the corner of the box.

    ``middle`` is the scattering vector there (1/m); ``fraction`` (32, 3) real and ``whole`` (32, 3) float32 are filled.
    """
    low = (cell.h_min, cell.k_min, cell.l_min)
    for m in range(first, last):
        for axis in range(3):
            index = cells[m, 3 * axis] * middle[0] + cells[m, 3 * axis + 1] * middle[1]
            index += cells[m, 3 * axis + 2] * middle[2]
            nearest = np.rint(index)
            fraction[m - first, axis] = index - nearest
            whole[m - first, axis] = nearest - low[axis]


@device
def square_terms(latt, number, dx, dy, dz, vectors, m, fraction, whole, i, N, box):
    """Squared lattice factor over (Na Nb Nc)^2 of a square crystal, and place in F2, of a tile and one orientation."""
    real = vectors.dtype.type
    half, small, one, zero = real(0.5), real(SMALLEST), np.float32(1.0), np.float32(0.0)
    Na, Nb, Nc = real(N[0]), real(N[1]), real(N[2])
    ta, tb, tc = np.float32(N[0] ** -2), np.float32(N[1] ** -2), np.float32(N[2] ** -2)
    nh, nk, nl = np.float32(box[0]), np.float32(box[1]), np.float32(box[2])
    a0, a1, a2 = vectors[m, 0], vectors[m, 1], vectors[m, 2]
    b0, b1, b2 = vectors[m, 3], vectors[m, 4], vectors[m, 5]
    c0, c1, c2 = vectors[m, 6], vectors[m, 7], vectors[m, 8]
    fh, fk, fl = fraction[i, 0], fraction[i, 1], fraction[i, 2]
    ih, ik, il = whole[i, 0], whole[i, 1], whole[i, 2]
    for p in range(dx.shape[0]):
        h = fh + a0 * dx[p] + a1 * dy[p] + a2 * dz[p]
        k = fk + b0 * dx[p] + b1 * dy[p] + b2 * dz[p]
        l = fl + c0 * dx[p] + c1 * dy[p] + c2 * dz[p]
        h0, k0, l0 = np.ceil(h - half), np.ceil(k - half), np.ceil(l - half)
        uh, uk, ul = max(abs(Na * (h - h0)), small), max(abs(Nb * (k - k0)), small), max(abs(Nc * (l - l0)), small)
        yh, yk, yl = np.float32(uh - np.rint(uh)), np.float32(uk - np.rint(uk)), np.float32(ul - np.rint(ul))
        vh, vk, vl = np.float32(uh), np.float32(uk), np.float32(ul)
        yh, yk, yl, vh, vk, vl = yh * yh, yk * yk, yl * yl, vh * vh, vk * vk, vl * vl
        above = yh * sinc2(yh) * (yk * sinc2(yk)) * (yl * sinc2(yl))
        below = vh * sinc2(vh * ta) * (vk * sinc2(vk * tb)) * (vl * sinc2(vl * tc))
        latt[p] = above / below
        hi, ki, li = np.float32(h0) + ih, np.float32(k0) + ik, np.float32(l0) + il
        inside = (hi >= zero) & (hi < nh) & (ki >= zero) & (ki < nk) & (li >= zero) & (li < nl)
        number[p] = np.uint32((hi * nk + ki) * nl + li + one if inside else zero)


@device
def add_square(work, vectors, cells, middle, crystal, cell, F2, real3, single, number, fraction, whole):
    """Add one source's orientations to the tile's sums: SQUARE."""
    dx, dy, dz = real3[0], real3[1], real3[2]
    latt, chunk = single[0], single[1]
    weight, total = work[WEIGHT], work[TOTAL]
    width = dx.shape[0]
    N = (max(crystal.Na, 1.0), max(crystal.Nb, 1.0), max(crystal.Nc, 1.0))
    box = (cell.h_range, cell.k_range, cell.l_range) if cell.has_hkl else (0, 0, 0)
    peak = (N[0] * N[1] * N[2]) ** 2
    for p in range(width):
        dx[p], dy[p], dz[p] = work[DX, p], work[DY, p], work[DZ, p]
    for first in range(0, cells.shape[0], CHUNK):
        last = min(first + CHUNK, cells.shape[0])
        anchor_chunk(cells, first, last, middle, cell, fraction, whole)
        for p in range(width):
            chunk[p] = 0.0
        for m in range(first, last):
            square_terms(latt, number, dx, dy, dz, vectors, m, fraction, whole, m - first, N, box)
            for p in range(width):
                chunk[p] += latt[p] * F2[number[p]]
        for p in range(width):
            total[p] += weight[p] * peak * chunk[p]


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
    dx, dy, dz = work[DX, p], work[DY, p], work[DZ, p]
    h = fraction[i, 0] + (cells[m, 0] * dx + cells[m, 1] * dy + cells[m, 2] * dz)
    k = fraction[i, 1] + (cells[m, 3] * dx + cells[m, 4] * dy + cells[m, 5] * dz)
    l = fraction[i, 2] + (cells[m, 6] * dx + cells[m, 7] * dy + cells[m, 8] * dz)
    h0, k0, l0 = np.ceil(h - 0.5), np.ceil(k - 0.5), np.ceil(l - 0.5)
    return h - h0, k - k0, l - l0, h0 + whole[i, 0], k0 + whole[i, 1], l0 + whole[i, 2]


@device
def add_round(work, cells, middle, crystal, cell, F2, fraction, whole):
    """Add one source's orientations to the tile's sums: ROUND."""
    radius = work[R]
    aa, bb, cc = crystal.Na**2 * crystal.fudge, crystal.Nb**2 * crystal.fudge, crystal.Nc**2 * crystal.fudge
    peak = (crystal.Na * crystal.Nb * crystal.Nc * SPHERE) ** 2
    for first in range(0, cells.shape[0], CHUNK):
        last = min(first + CHUNK, cells.shape[0])
        anchor_chunk(cells, first, last, middle, cell, fraction, whole)
        for m in range(first, last):
            for p in range(work.shape[1]):
                h, k, l, _, _, _ = indices(work, cells, m, p, fraction, whole, m - first)
                radius[p] = sinc3_sqr(math.sqrt(aa * h * h + bb * k * k + cc * l * l))
            for p in range(work.shape[1]):
                _, _, _, h0, k0, l0 = indices(work, cells, m, p, fraction, whole, m - first)
                work[TOTAL, p] += work[WEIGHT, p] * peak * radius[p] * F2_at(F2, cell, h0, k0, l0)


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
        off = abs(fraction[i, axis]) - reach
        if off > 0.0 and off * off * least[axis] > end:
            return True
    return False


@device
def add_compact(work, cells, middle, crystal, cell, F2, fraction, whole):
    """Add one source's orientations to the tile's sums: GAUSS and TOPHAT."""
    squares, products, least = spot_metric(crystal)
    radius = work[R]
    peak = (crystal.Na * crystal.Nb * crystal.Nc) ** 2
    gauss = crystal.shape == GAUSS
    end = 0.5 * GAUSS_END * GAUSS_WIDTH if gauss else TOPHAT_EDGE
    ex, ey, ez = 0.0, 0.0, 0.0
    for p in range(work.shape[1]):
        ex, ey, ez = max(ex, abs(work[DX, p])), max(ey, abs(work[DY, p])), max(ez, abs(work[DZ, p]))
    extent = (ex, ey, ez)
    for first in range(0, cells.shape[0], CHUNK):
        last = min(first + CHUNK, cells.shape[0])
        anchor_chunk(cells, first, last, middle, cell, fraction, whole)
        for m in range(first, last):
            if outside(cells, m, fraction, m - first, extent, least, end):
                continue
            nearest = 2.0 * end
            for p in range(work.shape[1]):
                h, k, l, _, _, _ = indices(work, cells, m, p, fraction, whole, m - first)
                r = squares[0] * h * h + squares[1] * k * k + squares[2] * l * l
                r += products[0] * h * k + products[1] * h * l + products[2] * k * l
                radius[p] = r
                nearest = min(nearest, r)
            if nearest >= end:
                continue
            for p in range(work.shape[1]):
                if radius[p] < end:
                    _, _, _, h0, k0, l0 = indices(work, cells, m, p, fraction, whole, m - first)
                    value = math.exp(-2.0 / GAUSS_WIDTH * radius[p]) if gauss else 1.0
                    work[TOTAL, p] += work[WEIGHT, p] * peak * value * F2_at(F2, cell, h0, k0, l0)


@device
def place(panel, s, f, layer, subS, subF):
    """Position (m) from the crystal of a sub-pixel in a sensor layer."""
    Fdet = subpixel_coordinate(f, subF, panel.oversample, panel.pixel_size)
    Sdet = subpixel_coordinate(s, subS, panel.oversample, panel.pixel_size)
    return pixel_position(panel, Fdet, Sdet, panel.first_depth + layer * panel.layer_step)


@device
def trace_tile(work, panel, per_term, s, start, layer, subS, subF):
    """Directions (X, Y, Z) and distances (R) of a tile's sub-pixels; solid angles and capture fractions where due."""
    width = work.shape[1]
    first_sub = subS == 0 and subF == 0
    for p in range(width):
        x, y, z = place(panel, s, start + p, layer, subS, subF)
        work[X, p], work[Y, p], work[Z, p] = x, y, z
    if panel.curved:
        for p in range(width):
            work[X, p], work[Y, p], work[Z, p] = bend(panel, (work[X, p], work[Y, p], work[Z, p]))
    for p in range(width):
        x, y, z = work[X, p], work[Y, p], work[Z, p]
        airpath = math.sqrt(x * x + y * y + z * z)
        inverse = 1.0 / airpath
        work[X, p], work[Y, p], work[Z, p], work[R, p] = x * inverse, y * inverse, z * inverse, airpath
    if per_term or (layer == 0 and first_sub):
        for p in range(width):
            work[OMEGA, p] = omega_pixel(panel.pixel_size, work[R, p], panel.close_distance, panel.point_pixel)
    if panel.has_thickness and (per_term or (layer == panel.layers - 1 and first_sub)):
        odet = (panel.odet_x, panel.odet_y, panel.odet_z)
        for p in range(width):
            parallax = dot((work[X, p], work[Y, p], work[Z, p]), odet)
            work[CAPTURE, p] = capture_fraction(layer, panel.layer_step, panel.mu, parallax)


@device
def weigh_tile(work, beam, incident, wavelength, source_weight, fresh):
    """Weights of a source's terms, 0 beyond the resolution limit, and the polarization; whether any term is left.

    Without ``per_term`` the polarization of a pixel stays the first that is not cut; ``fresh``: there is none yet.
    """
    E_in, B_in = beam_frame(incident, (beam.polar_x, beam.polar_y, beam.polar_z))
    limit = (wavelength / beam.dmin) ** 2 if beam.dmin > 0.0 else math.inf
    for p in range(work.shape[1]):
        dx, dy, dz = work[X, p] - incident[0], work[Y, p] - incident[1], work[Z, p] - incident[2]
        work[WEIGHT, p] = 0.0 if dx * dx + dy * dy + dz * dz > limit else 1.0
    if not beam.nopolar and (fresh or beam.per_term or beam.dmin > 0.0):
        for p in range(work.shape[1]):
            diffracted = (work[X, p], work[Y, p], work[Z, p])
            polar = polarization_factor(beam.kahn_factor, incident, diffracted, E_in, B_in)
            keep = not beam.per_term and (work[POLAR, p] != 0.0 or work[WEIGHT, p] == 0.0)
            work[POLAR, p] = work[POLAR, p] if keep else polar
    if beam.per_term:
        for p in range(work.shape[1]):
            factor = work[CAPTURE, p] * work[POLAR, p] * work[OMEGA, p] * source_weight
            work[TOTAL, p] += beam.I_bg * factor
            work[WEIGHT, p] *= factor
    left = 0.0
    for p in range(work.shape[1]):
        left = max(left, abs(work[WEIGHT, p]))
    return left > 0.0


@device
def render_tile(work, panel, crystal, cell, beam, sources, vectors, cells, F2, s, start, real3, single, number, fractions):
    """Sums of the tile of row ``s`` that begins at column ``start``, in ``work[TOTAL]``."""
    fraction, fraction64, whole = fractions
    width = work.shape[1]
    work[TOTAL, :] = 0.0 if beam.per_term else beam.I_bg
    work[POLAR, :] = 1.0 if beam.nopolar else 0.0
    work[CAPTURE, :] = 1.0
    for step in range(panel.layers * panel.oversample * panel.oversample):
        subF, subS = step % panel.oversample, step // panel.oversample % panel.oversample
        trace_tile(work, panel, beam.per_term, s, start, step // (panel.oversample * panel.oversample), subS, subF)
        c = width // 2
        for i in range(sources.shape[0]):
            incident = (sources[i, 0], sources[i, 1], sources[i, 2])
            if not weigh_tile(work, beam, incident, sources[i, 3], sources[i, 4], step == 0 and i == 0):
                continue
            inverse = 1.0 / sources[i, 3]
            ox, oy, oz = work[X, c], work[Y, c], work[Z, c]
            middle = ((ox - incident[0]) * inverse, (oy - incident[1]) * inverse, (oz - incident[2]) * inverse)
            for p in range(width):
                work[DX, p] = (work[X, p] - ox) * inverse
                work[DY, p] = (work[Y, p] - oy) * inverse
                work[DZ, p] = (work[Z, p] - oz) * inverse
            if crystal.shape == SQUARE:
                add_square(work, vectors, cells, middle, crystal, cell, F2, real3, single, number, fraction, whole)
            elif crystal.shape == ROUND:
                add_round(work, cells, middle, crystal, cell, F2, fraction64, whole)
            else:
                add_compact(work, cells, middle, crystal, cell, F2, fraction64, whole)


@device
def render_row(image, panel, crystal, cell, beam, sources, vectors, cells, F2, mask, s, width):
    """Render row ``s``; the type of ``vectors``, a copy of ``cells``, is the one of the phases."""
    work = np.empty((SCRATCH_ROWS, width), np.float64)
    real3 = np.empty((3, width), vectors.dtype)
    single = np.empty((2, width), np.float32)
    number = np.empty(width, np.uint32)
    fractions = (np.empty((CHUNK, 3), vectors.dtype), np.empty((CHUNK, 3), np.float64), np.empty((CHUNK, 3), np.float32))
    for start in range(panel.f0 // width * width, panel.f1, width):
        render_tile(
            work, panel, crystal, cell, beam, sources, vectors, cells, F2, s, start, real3, single, number, fractions
        )
        for f in range(max(start, panel.f0), min(start + width, panel.f1)):
            if mask.shape[0] > 0 and mask[s, f] == 0:
                continue
            value = beam.scale * work[TOTAL, f - start]
            if not beam.per_term:
                value *= work[CAPTURE, f - start] * work[POLAR, f - start] * work[OMEGA, f - start]
            image[s, f] = value


@device
def as_float32(cells):
    """A copy of the cells in float32."""
    vectors = np.empty(cells.shape, np.float32)
    for m in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            vectors[m, j] = cells[m, j]
    return vectors


@kernel()
def render_fast32(image, panel, crystal, cell, beam, sources, cells, F2, mask, row0, row1, width):
    """As :func:`render_fast64`, with the phases of square crystals in float32, relative to the middle of a tile."""
    vectors = as_float32(cells)
    for s in prange(max(row0, panel.s0), min(row1, panel.s1)):
        render_row(image, panel, crystal, cell, beam, sources, vectors, cells, F2, mask, s, width)


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
    for s in prange(max(row0, panel.s0), min(row1, panel.s1)):
        render_row(image, panel, crystal, cell, beam, sources, cells, cells, F2, mask, s, width)
