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
lie outside all spots of an orientation are passed over for GAUSS and TOPHAT, which favours small ones. Rays, solid
angles and polarization are computed for a strip of tiles together: a call costs as much as ten pixels.

Cost: some 30 kB of scratch arrays, made once per row. Misuse: ``render_fast32`` where :func:`choose_variant` says 64,
and a box of more than 2^31 structure factors.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from nbnumba.kernels._jit import device, kernel
from nbnumba.kernels.absorption import capture_fraction
from nbnumba.kernels.blocks import GAUSS, ROUND, SQUARE, TOPHAT
from nbnumba.kernels.fast_tiles import (
    CAPTURE,
    CHUNK,
    LANES,
    OMEGA,
    POLAR,
    STRIP,
    TOTAL,
    WEIGHT,
    X,
    Y,
    Z,
    add_compact,
    add_round,
    add_square,
)
from nbnumba.kernels.geometry import bend, pixel_position, subpixel_coordinate
from nbnumba.kernels.polarization import beam_frame, polarization_factor
from nbnumba.kernels.solid_angle import omega_pixel
from nbnumba.kernels.vec import dot, norm


def tile_extent(cells, sources, panel, width):
    """Largest change of h, k and l over a tile of ``width`` pixels, (3,) float64, from a grid of points of the panel.

    Of many orientations 500 are looked at. On a curved detector the bound is |a| / lambda times the angle of a tile.
    """
    vectors = cells[:: -(-len(cells) // 500)].reshape(-1, 3, 3)
    wavelength = sources[:, 3].min()
    if panel.curved:
        return np.linalg.norm(vectors, axis=2).max(axis=0) / wavelength * width * panel.pixel_size / panel.distance
    corner, along, across = (np.array(panel[i : i + 3]) for i in (0, 3, 6))
    f, s = np.meshgrid(np.linspace(panel.f0, panel.f1, 9), np.linspace(panel.s0, panel.s1, 9))
    place = corner + panel.pixel_size * (f[..., None] * along + s[..., None] * across).reshape(-1, 3)
    r = np.linalg.norm(place, axis=1)[:, None]
    turn = (along - place * (place @ along)[:, None] / r**2) / r  # change of the direction per metre
    return np.abs(vectors @ turn.T).max(axis=(0, 2)) / wavelength * width * panel.pixel_size


def anchored_error(cells, sources, panel, crystal, width) -> float:
    """Bound of the phase error of :func:`render_fast32`, in N h: rounding over a tile and of the fraction itself.

    The largest of N (extent of the tile in h + 1/2) 2^-24 over the three axes. Next to a zero of the grating function,
    at a distance y in N h, a term is wrong by 2 / y times that, relative to itself.
    """
    N = np.array((crystal.Na, crystal.Nb, crystal.Nc))
    return float((N * (tile_extent(cells, sources, panel, width) + 0.5)).max() * 2.0**-24)


#: float32 phases are taken up to this :func:`anchored_error` (measured: the image is then wrong by up to 0.6 of it,
#: relative to its maximum) ...
LARGEST_ERROR = 4e-6
#: ... for pixels with at least this many terms, which blur the zeros of the grating function (measured: the 99th
#: percentile of the relative error is up to 80 errors over the root of the number of terms), ...
FEWEST_TERMS = 10
#: ... and for images with at least this many terms in all: below, float64 takes a few milliseconds
FEWEST_STEPS = 1e7


def choose_variant(inputs, precision="auto"):
    """Kernel, tile width and reason for one panel.

    Parameters
    ----------
    inputs : nbnumba.inputs.KernelInputs
    precision : str
        ``auto``: float32 phases where 99 of 100 pixels stay within 1e-4 of their own value and all within 2.5e-6 of
        the maximum; ``mixed``: for every square crystal.

    Returns
    -------
    kernel : str
        ``fast32``, ``fast64``, or ``general`` where the box of structure factors is too large for the fast kernels.
    width : int
    reason : str
    """
    panel, crystal, cell = inputs.panel, inputs.crystal, inputs.cell
    if crystal.shape in (GAUSS, TOPHAT):
        return "fast64", 32, "spots without tails: float64 phases, small tiles"
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


@device
def place(panel, s, f, layer, subS, subF):
    """Position (m) from the crystal of a sub-pixel in a sensor layer."""
    Fdet = subpixel_coordinate(f, subF, panel.oversample, panel.pixel_size)
    Sdet = subpixel_coordinate(s, subS, panel.oversample, panel.pixel_size)
    return pixel_position(panel, Fdet, Sdet, panel.first_depth + layer * panel.layer_step)


@device
def trace_strip(work, n, panel, per_term, s, start, layer, subS, subF):
    """Directions (X, Y, Z) of a strip's sub-pixels; solid angles and capture fractions where due."""
    first_sub = subS == 0 and subF == 0
    if panel.curved:
        for p in range(n):
            work[X + p], work[Y + p], work[Z + p] = bend(panel, place(panel, s, start + p, layer, subS, subF))
    else:
        for p in range(n):
            work[X + p], work[Y + p], work[Z + p] = place(panel, s, start + p, layer, subS, subF)
    with_omega = per_term or (layer == 0 and first_sub)
    for p in range(n):
        x, y, z = work[X + p], work[Y + p], work[Z + p]
        airpath = math.sqrt(x * x + y * y + z * z)
        inverse = 1.0 / airpath
        work[X + p], work[Y + p], work[Z + p] = x * inverse, y * inverse, z * inverse
        omega = omega_pixel(panel.pixel_size, airpath, panel.close_distance, panel.point_pixel)
        work[OMEGA + p] = omega if with_omega else work[OMEGA + p]
    if panel.has_thickness and (per_term or (layer == panel.layers - 1 and first_sub)):
        odet = (panel.odet_x, panel.odet_y, panel.odet_z)
        for p in range(n):
            parallax = dot((work[X + p], work[Y + p], work[Z + p]), odet)
            work[CAPTURE + p] = capture_fraction(layer, panel.layer_step, panel.mu, parallax)


@device
def weigh_strip(work, n, beam, incident, wavelength, source_weight, fresh):
    """Weights of a source's terms, 0 beyond the resolution limit, and the polarization.

    Without ``per_term`` the polarization of a pixel stays the first that is not cut; ``fresh``: there is none yet.
    """
    if beam.dmin > 0.0:
        limit = (wavelength / beam.dmin) ** 2
        for p in range(n):
            dx, dy, dz = work[X + p] - incident[0], work[Y + p] - incident[1], work[Z + p] - incident[2]
            work[WEIGHT + p] = 0.0 if dx * dx + dy * dy + dz * dz > limit else 1.0
    else:
        for p in range(n):
            work[WEIGHT + p] = 1.0
    if not beam.nopolar and (fresh or beam.per_term or beam.dmin > 0.0):
        E_in, B_in = beam_frame(incident, (beam.polar_x, beam.polar_y, beam.polar_z))
        for p in range(n):
            diffracted = (work[X + p], work[Y + p], work[Z + p])
            polar = polarization_factor(beam.kahn_factor, incident, diffracted, E_in, B_in)
            keep = not beam.per_term and (work[POLAR + p] != 0.0 or work[WEIGHT + p] == 0.0)
            work[POLAR + p] = work[POLAR + p] if keep else polar
    if beam.per_term:
        for p in range(n):
            factor = work[CAPTURE + p] * work[POLAR + p] * work[OMEGA + p] * source_weight
            work[TOTAL + p] += beam.I_bg * factor
            work[WEIGHT + p] *= factor


@device
def render_strip(
    work, n, width, panel, crystal, cell, beam, sources, vectors, cells, columns, longest, F2, s, start, scratch
):
    """Sums of the ``n`` pixels of row ``s`` from column ``start`` on, in row TOTAL of ``work``."""
    phases, anchors, phases64, anchors64 = scratch
    for p in range(n):
        work[TOTAL + p] = 0.0 if beam.per_term else beam.I_bg
        work[POLAR + p] = 1.0 if beam.nopolar else 0.0
        work[CAPTURE + p] = 1.0
    for step in range(panel.layers * panel.oversample * panel.oversample):
        subF, subS = step % panel.oversample, step // panel.oversample % panel.oversample
        layer = step // (panel.oversample * panel.oversample)
        trace_strip(work, n, panel, beam.per_term, s, start, layer, subS, subF)
        for i in range(sources.shape[0]):
            incident, inverse = (sources[i, 0], sources[i, 1], sources[i, 2]), 1.0 / sources[i, 3]
            weigh_strip(work, n, beam, incident, sources[i, 3], sources[i, 4], step == 0 and i == 0)
            if crystal.shape == SQUARE:
                add_square(
                    work, n, width, vectors, columns, longest, incident, inverse, crystal, cell, F2, phases, anchors
                )
            elif crystal.shape == ROUND:
                add_round(work, n, width, cells, columns, incident, inverse, crystal, cell, F2, phases64, anchors64)
            else:
                add_compact(work, n, width, cells, columns, incident, inverse, crystal, cell, F2, phases64, anchors64)
    if not beam.per_term:
        for p in range(n):
            work[TOTAL + p] *= work[CAPTURE + p] * work[POLAR + p] * work[OMEGA + p]


@device
def render_row(image, panel, crystal, cell, beam, sources, vectors, cells, columns, longest, F2, mask, s, width):
    """Render row ``s``; the type of ``vectors``, a copy of ``cells``, is the one of the phases."""
    work = np.empty(8 * STRIP, np.float64)
    phases = (np.empty(4 * LANES, vectors.dtype), np.empty(3 * LANES, np.float32), np.empty(LANES, np.uint32))
    whole = np.empty((3, CHUNK), np.float32)
    anchors = (np.empty((3, CHUNK), vectors.dtype), whole)
    scratch = (phases, anchors, np.empty(4 * LANES, np.float64), (np.empty((3, CHUNK), np.float64), whole))
    width = min(width, LANES)
    strip = STRIP // width * width
    row = np.uint64(s)
    masked = mask.shape[0] > 0
    for start in range(panel.f0 // width * width, panel.f1, strip):
        n = min(strip, (panel.f1 - start + width - 1) // width * width)
        render_strip(
            work, n, width, panel, crystal, cell, beam, sources, vectors, cells, columns, longest, F2, s, start, scratch
        )
        for p in range(max(panel.f0 - start, 0), min(panel.f1 - start, n)):
            f = np.uint64(start) + np.uint64(p)
            if not masked or mask[row, f] != 0:
                image[row, f] = beam.scale * work[np.uint64(TOTAL) + np.uint64(p)]


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
