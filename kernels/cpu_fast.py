"""The fast CPU kernels: reference semantics without ``-oversample_*`` and without interpolation, or correct physics.

Problem: the sum over sub-pixels, sources and orientations is nearly all of a run, and its phases pi N h need more digits
than float32 has.

Choice: the detector is cut into tiles of ``width`` x ``tile_height(width)`` pixels. For a tile and an orientation the
indices h, k, l are computed at the tile's middle in float64 and split into whole number and fraction; each pixel adds
a . (d - d of the middle) / lambda. In :func:`render_fast32` that is float32, and its error is the one of the tile's
extent in h, not of h (:func:`anchored_error`); in :func:`render_fast64` it is float64 until the fractions of h and of
N h are formed. In a tile so small that h, k, l have one of two nearest whole numbers each, eight structure factors are
fetched per orientation and chosen between without a gather. The loops over a tile are plain, without branches or calls,
and LLVM makes vector code of them. Sums over orientations run in float32 over 32 terms and in float64 beyond.

With few orientations all pairs of a source and an orientation are one list, with a / lambda for a and -a . s / lambda
to be added to h: a source then costs as little as an orientation.

Tiles begin at whole multiples of their size and are always rendered to their end, so that a pixel's bits depend neither
on the region of interest nor on the number of threads. Shapes other than SQUARE are float64 in both kernels; tiles that
lie outside all spots of an orientation are passed over for GAUSS and TOPHAT.

Cost: some 60 kB of scratch arrays, made once per row of tiles. Misuse: ``render_fast32`` where :func:`choose_variant`
says 64, and a box of more than 2^29 structure factors.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import get_thread_id, prange

from nbnumba.kernels import cpu_spots
from nbnumba.kernels._jit import device, kernel
from nbnumba.kernels.blocks import GAUSS, ROUND, SQUARE, TOPHAT
from nbnumba.kernels.fast_rays import (
    DOUBLES,
    REALS,
    TOTAL,
    close_tile,
    find_capture,
    find_omega,
    half_chord,
    number_pixels,
    open_tile,
    scale_phases,
    trace_tile,
    weigh,
)
from nbnumba.kernels.fast_tiles import NEAR, NUMBERS, SINGLES, add_compact, add_round, add_square, flush

#: With fewer orientations than this, pairs of sources and orientations are one list
PAIRED_BELOW = 32
#: columns of a tile
WIDTHS = (64, 32, 16, 8, 4)


def tile_height(width: int) -> int:
    """Rows of a tile of ``width`` columns."""
    return min(width, 8)


def _grid(panel):
    """Positions (m) of a grid of points over the rendered part of a flat panel, (81, 3)."""
    corner, along, across = (np.array(panel[i : i + 3]) for i in (0, 3, 6))
    f, s = np.meshgrid(np.linspace(panel.f0, panel.f1, 9), np.linspace(panel.s0, panel.s1, 9))
    return corner + panel.pixel_size * (f[..., None] * along + s[..., None] * across).reshape(-1, 3)


def tile_extent(cells, sources, panel, width):
    """Largest change of h, k and l across a tile, (3,) float64, from a grid of points of the panel.

    Of many orientations 500 are looked at. On a curved detector the bound is |a| / lambda times the angle of a tile.
    """
    vectors = cells[:: -(-len(cells) // 500)].reshape(-1, 3, 3)
    wavelength, height = sources[:, 3].min(), tile_height(width)
    if panel.curved:
        angle = (width + height) * panel.pixel_size / panel.distance
        return np.linalg.norm(vectors, axis=2).max(axis=0) / wavelength * angle
    place = _grid(panel)
    r = np.linalg.norm(place, axis=1)[:, None]
    change = np.zeros(1)
    for axis, pixels in ((panel[3:6], width), (panel[6:9], height)):
        turn = (np.array(axis) - place * (place @ axis)[:, None] / r**2) / r  # change of the direction per metre
        change = change + np.abs(vectors @ turn.T) * pixels
    return change.max(axis=(0, 2)) / wavelength * panel.pixel_size


def tile_reach(cells, sources, panel, width):
    """Largest distance of h, k or l from those of a tile's middle, as the kernel bounds it, at the nearest point."""
    longest = np.linalg.norm(cells.reshape(-1, 3), axis=1).max() / sources[:, 3].min()
    nearest = panel.distance if panel.curved else np.linalg.norm(_grid(panel), axis=1).min()
    return longest * 0.5 * np.hypot(width, tile_height(width)) * panel.pixel_size / nearest


def anchored_error(cells, sources, panel, crystal, width) -> float:
    """Bound of the phase error of :func:`render_fast32`, in N h: rounding over a tile.

    The largest of N (extent of the tile in h) 2^-24 over the three axes. Next to a zero of the grating function, at a
    distance y in N h, a term is wrong by 2 / y times that, relative to itself.
    """
    N = np.array((crystal.Na, crystal.Nb, crystal.Nc))
    return float((N * tile_extent(cells, sources, panel, width)).max() * 2.0**-24)


#: Tiles are made so small, within reason, that :func:`anchored_error` is below this: measured, an image is wrong by up
#: to 1.3 of it, relative to its maximum, where the spots of all orientations coincide (the direct beam), else by 0.5
WANTED_ERROR = 1.2e-6
#: float32 phases are taken up to this :func:`anchored_error` ...
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
        ``auto``: float32 phases where 99 of 100 pixels stay within 1e-4 of their own value and all within 5e-6 of the
        maximum (within 1e-6 for ordinary crystals); ``mixed``: for every square crystal.

    Returns
    -------
    kernel : str
        ``fast32``, ``fast64``, ``spots`` (:mod:`nbnumba.kernels.cpu_spots`), or ``general`` where the box of
        structure factors is too large for the fast kernels.
    width : int
    reason : str
    """
    panel, crystal, cell = inputs.panel, inputs.crystal, inputs.cell
    if cell.h_range * cell.k_range * cell.l_range >= 2**29:
        return "general", 0, "more structure factors than the fast kernels can number"
    if cpu_spots.is_for(inputs):
        return "spots", 0, "spots without tails: reflection by reflection"
    if crystal.shape in (GAUSS, TOPHAT):
        return "fast64", 8, "wide spots without tails: float64 phases, small tiles"
    # the largest tile in which two whole numbers can be nearest to an index; where none is, of medium size
    small = [w for w in WIDTHS if tile_reach(inputs.cells, inputs.sources, panel, w) <= NEAR]
    width = small[0] if small else 16
    if crystal.shape == ROUND:
        return "fast64", width, "round crystals need float64 phases"
    error = anchored_error(inputs.cells, inputs.sources, panel, crystal, width)
    while error > WANTED_ERROR and width > 8:
        width //= 2
        error = anchored_error(inputs.cells, inputs.sources, panel, crystal, width)
    if precision == "mixed":
        return "fast32", width, "float32 phases asked for"
    terms = inputs.steps_per_pixel
    if terms < FEWEST_TERMS or terms * (panel.s1 - panel.s0) * (panel.f1 - panel.f0) < FEWEST_STEPS:
        return "fast64", small[0] if small else 16, "float64 phases: few terms"
    if error > LARGEST_ERROR:
        return "fast64", width, f"float64 phases: float32 would be wrong by up to {error:.1e} in N h"
    return (
        "fast32",
        width,
        f"float32 phases relative to tiles of {width} x {tile_height(width)} pixels, wrong by less than {error:.1e} in N h",
    )


def pair_up(sources, cells, separate, real):
    """Vectors of all pairs of a source and an orientation, or of the orientations alone if sources are ``separate``.

    Returns
    -------
    vectors : (P, 9) of type ``real``
        a, b, c over the wavelength, or alone.
    columns : (12, P) float64
        The same, transposed, and what has to be added to h, k, l: minus the product with the incident beam.
    longest : (3,) float
        Largest lengths.
    """
    if separate:
        vectors, offsets = cells, np.zeros((len(cells), 3))
    else:
        vectors = (cells[None] / sources[:, 3, None, None]).reshape(-1, 9)
        incident = np.repeat(sources[:, :3], len(cells), axis=0)
        offsets = -np.einsum("pij,pj->pi", vectors.reshape(-1, 3, 3), incident)
    longest = np.linalg.norm(vectors.reshape(-1, 3, 3), axis=2).max(axis=0)
    columns = np.ascontiguousarray(np.concatenate([vectors, offsets], axis=1).T)
    return np.ascontiguousarray(vectors, dtype=real), columns, tuple(float(x) for x in longest)


def render_fast32(image, panel, crystal, cell, beam, sources, cells, F2, mask, row0, row1, width):
    """As :func:`render_fast64`, with the phases of square crystals in float32, relative to the middle of a tile."""
    real = np.float32 if crystal.shape == SQUARE else np.float64
    _render(real, image, panel, crystal, cell, beam, sources, cells, F2, mask, row0, row1, width)


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
        Columns of a tile, at most 64.

    Notes
    -----
    Against a float64 sum: 3e-7 of the image's maximum; 99 of 100 pixels within 2e-6 of their own value.
    """
    _render(np.float64, image, panel, crystal, cell, beam, sources, cells, F2, mask, row0, row1, width)


def scratch(real):
    """Scratch arrays, a row for each thread.

    Made here and not in the kernel, where they would have reference counts: to count them takes longer than to add an
    orientation to a tile.
    """
    threads = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return (
        np.empty((threads, DOUBLES)),
        np.empty((threads, REALS), real),
        np.zeros((threads, SINGLES), np.float32),
        np.empty((threads, NUMBERS), np.int32),
    )


def _render(real, image, panel, crystal, cell, beam, sources, cells, F2, mask, row0, row1, width):
    separate = len(cells) >= PAIRED_BELOW or beam.per_term != 0 or beam.dmin > 0.0
    pairs = pair_up(sources, cells, separate, real)
    # None is a type of its own: only the loops of this shape are compiled
    square, round_ = (1 if crystal.shape == shape else None for shape in (SQUARE, ROUND))
    numbers = (row0, row1, width, tile_height(width), int(separate))
    render_tiles(image, panel, crystal, cell, beam, sources, *pairs, F2, mask, numbers, scratch(real), square, round_)


@device(forceinline=True)
def add_source(
    work,
    phases,
    single,
    number,
    n,
    width,
    vectors,
    columns,
    longest,
    middle,
    pending,
    crystal,
    cell,
    F2,
    square,
    round_,
):
    """Add all pairs of one scattering vector to the sums of a tile of ``n`` pixels; returns what row SUM holds."""
    chord = half_chord(phases, n, width)
    if square is not None:
        pending = add_square(
            work, phases, single, number, n, chord, vectors, columns, longest, middle, pending, crystal, cell, F2
        )
    elif round_ is not None:
        add_round(work, phases, single, n, vectors, columns, middle, crystal, cell, F2)
    else:
        add_compact(work, phases, single, n, chord, vectors, columns, middle, crystal, cell, F2)
    return pending


@device(forceinline=True)
def sum_tile(
    work,
    phases,
    single,
    number,
    n,
    width,
    panel,
    crystal,
    cell,
    beam,
    sources,
    vectors,
    columns,
    longest,
    separate,
    F2,
    s,
    f,
    square,
    round_,
):
    """Sums of the ``n`` pixels of the tile that begins at row ``s`` and column ``f``, in row TOTAL of ``work``."""
    open_tile(work, n, beam)
    peak = (max(crystal.Na, 1.0) * max(crystal.Nb, 1.0) * max(crystal.Nc, 1.0)) ** 2
    weighted = beam.per_term or beam.dmin > 0.0
    pending = 0
    for step in range(panel.layers * panel.oversample * panel.oversample):
        subF, subS = step % panel.oversample, step // panel.oversample % panel.oversample
        layer = step // (panel.oversample * panel.oversample)
        middle, r0 = trace_tile(phases, n, width, panel, s, f, layer, subS, subF)
        first = subS == 0 and subF == 0
        if beam.per_term or step == 0:
            find_omega(work, phases, n, panel, r0)
        if panel.has_thickness and (beam.per_term or (first and layer == panel.layers - 1)):
            find_capture(work, phases, n, panel, middle, layer)
        for i in range(sources.shape[0] if separate else 1):
            q, inverse = middle, 1.0
            if separate or step == 0:
                weigh(work, phases, n, beam, middle, sources, i, step == 0 and i == 0)
            if separate:
                inverse = 1.0 / sources[i, 3]
                q = (
                    (middle[0] - sources[i, 0]) * inverse,
                    (middle[1] - sources[i, 1]) * inverse,
                    (middle[2] - sources[i, 2]) * inverse,
                )
            scale_phases(phases, n, inverse)
            pending = add_source(
                work,
                phases,
                single,
                number,
                n,
                width,
                vectors,
                columns,
                longest,
                q,
                pending,
                crystal,
                cell,
                F2,
                square,
                round_,
            )
            if square is not None and weighted:
                flush(work, single, n, peak)
                pending = 0
    if square is not None:
        flush(work, single, n, peak)
    close_tile(work, n, beam)


@kernel()
def render_tiles(
    image, panel, crystal, cell, beam, sources, vectors, columns, longest, F2, mask, numbers, scratch, square, round_
):
    """The loop over rows of tiles; see :func:`render_fast64`, :func:`pair_up` and :func:`_render`."""
    row0, row1, width, height, separate = numbers
    begin, end = max(row0, panel.s0), min(row1, panel.s1)
    masked = mask.shape[0] > 0
    works, reals, singles, integers = scratch
    first_band = begin // height
    n_bands = max(0, (end - 1) // height + 1 - first_band)
    for i in prange(n_bands):
        band = first_band + i
        thread = get_thread_id()
        work, phases, single, number = works[thread], reals[thread], singles[thread], integers[thread]
        number_pixels(phases, width, height)
        n = width * height
        for f in range(panel.f0 // width * width, panel.f1, width):
            s = band * height
            sum_tile(
                work,
                phases,
                single,
                number,
                n,
                width,
                panel,
                crystal,
                cell,
                beam,
                sources,
                vectors,
                columns,
                longest,
                separate,
                F2,
                s,
                f,
                square,
                round_,
            )
            for row in range(max(s, begin), min(s + height, end)):
                for column in range(max(f, panel.f0), min(f + width, panel.f1)):
                    if not masked or mask[row, column] != 0:
                        p = (row - s) * width + column - f
                        image[row, column] = beam.scale * work[TOTAL + p]
