"""The fast CPU kernels: reference semantics without ``-oversample_*`` and without interpolation, or correct physics.

Problem: the sum over sub-pixels, sources and orientations is nearly all of a run, and its phases pi N h need more digits
than float32 has.

Choice: the detector is cut into tiles of some 300 pixels (``render.cpu.case.TILES``). For a tile and an orientation the
indices h, k, l are computed at the tile's middle in float64 and split into whole number and fraction; each pixel adds
a . (d - d of the middle) / lambda. In :func:`render_fast32` that is float32, and its error is the one of the tile's
extent in h, not of h (:attr:`nbnumba.render.kernel_table.Case.anchored_error`); in :func:`render_fast64` it is float64 until the fractions of h and of
N h are formed. In a tile so small that h, k, l have one of two nearest whole numbers each, eight structure factors are
fetched per orientation and chosen between without a gather. The loops over a tile are plain, without branches or calls,
and LLVM makes vector code of them. Sums over orientations run in float32 over 32 terms and in float64 beyond.

With few orientations all pairs of a source and an orientation are one list, with a / lambda for a and -a . s / lambda
to be added to h: a source then costs as little as an orientation.

Tiles begin at whole multiples of their size and are always rendered to their end, so that a pixel's bits depend neither
on the region of interest nor on the number of threads. Shapes other than SQUARE are float64 in both kernels; tiles that
lie outside all spots of an orientation are passed over for GAUSS and TOPHAT.

Cost: some 60 kB of scratch arrays, made once per row of tiles. Misuse: ``render_fast32`` where the plan table
says 64, and a box of more than 2^29 structure factors.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import get_thread_id, prange

from nbnumba.kernels.cpu.rays import (
    DOUBLES,
    REALS,
    TOTAL,
    begin_source,
    begin_step,
    close_tile,
    half_chord,
    number_pixels,
    open_tile,
)
from nbnumba.kernels.cpu.tiles import NUMBERS, SINGLES, add_compact, add_round, add_square, flush
from nbnumba.kernels.formulas.blocks import GAUSS, ROUND, SQUARE, TOPHAT
from nbnumba.kernels.formulas.lattice import spot_metric
from nbnumba.kernels.jit.cpu import device, kernel

#: With fewer orientations than this, pairs of sources and orientations are one list
PAIRED_BELOW = 32
#: columns and rows of the tiles around the direct beam
FINE = 4
#: bytes
CACHE_LINE = 64


def pair_up(sources, orientations, separate, real):
    """Vectors of all pairs of a source and an orientation, or of the orientations alone if sources are ``separate``.

    Returns
    -------
    vectors : (P, 9) of type ``real``
        a, b, c over the wavelength, or alone.
    columns : (12, P) float64
        The same, transposed, and what has to be added to h, k, l: minus the product with the incident beam.
    longest : (3,) float64
        Largest lengths.
    """
    if separate:
        vectors, offsets = orientations, np.zeros((len(orientations), 3))
    else:
        vectors = (orientations[None] / sources[:, 3, None, None]).reshape(-1, 9)
        incident = np.repeat(sources[:, :3], len(orientations), axis=0)
        offsets = -np.einsum("pij,pj->pi", vectors.reshape(-1, 3, 3), incident)
    longest = np.linalg.norm(vectors.reshape(-1, 3, 3), axis=2).max(axis=0)
    columns = np.ascontiguousarray(np.concatenate([vectors, offsets], axis=1).T)
    return np.ascontiguousarray(vectors, dtype=real), columns, longest


def render_fast32(image, panel, crystal, cell, beam, sources, orientations, F2, mask, row0, row1, tile):
    """As :func:`render_fast64`, with the phases of square crystals in float32, relative to the middle of a tile."""
    real = np.float32 if crystal.shape == SQUARE else np.float64
    _render(real, image, (panel, crystal, cell, beam), sources, orientations, F2, mask, (row0, row1), tile)


def render_fast64(image, panel, crystal, cell, beam, sources, orientations, F2, mask, row0, row1, tile):
    """Render rows ``row0 <= s < row1`` of one panel, in photons.

    Parameters
    ----------
    image : (spixels, fpixels) float32
        Pixels outside the region of interest, or 0 in ``mask``, are left as they are.
    panel, crystal, cell, beam : PanelBlock, CrystalBlock, CellBlock, BeamBlock
    sources : (S, 5) float64
        Incident unit vector, wavelength (m), relative weight (used with ``per_term``).
    orientations : (M, 9) float64
        a, b, c (m) of every orientation, phi step by phi step, domains within.
    F2 : (1 + h_range * k_range * l_range,) float32
        Squared structure factors, electrons^2: of everything outside the box, then the box, l fastest.
    mask : (spixels, fpixels) or (0, 0) uint8
    tile : tuple of int
        Columns and rows of a tile: of ``render.cpu.case.TILES``.

    Notes
    -----
    Against a float64 sum: 3e-7 of the image's maximum; 99 of 100 pixels within 2e-6 of their own value.
    """
    _render(np.float64, image, (panel, crystal, cell, beam), sources, orientations, F2, mask, (row0, row1), tile)


def scratch(real):
    """Scratch arrays, a row for each thread.

    Made here and not in the kernel, where they would have reference counts: to count them takes longer than to add an
    orientation to a tile.
    """
    threads = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    sizes = ((DOUBLES, np.float64), (REALS, real), (SINGLES, np.float32), (NUMBERS, np.int32))
    return tuple(_aligned(threads, size, kind) for size, kind in sizes)


def _aligned(rows, size, kind):
    """Zeros, (rows, size), that begin at a cache line: vectors that lie across two cost the inner loop 3 %."""
    count = rows * size * np.dtype(kind).itemsize
    held = np.zeros(count + CACHE_LINE, np.uint8)
    begin = -held.ctypes.data % CACHE_LINE
    return held[begin : begin + count].view(kind).reshape(rows, size)


def beam_box(orientations, sources, panel):
    """Pixels (f0, f1, s0, s1) around the direct beam of a flat panel: h, k and l below 1 there, for all orientations."""
    corner, fdet, sdet, odet = np.array(panel[:12]).reshape(4, 3)
    directions, wavelength = sources[:, :3], sources[:, 3]
    toward = directions @ odet
    if panel.curved or (toward <= 0.01).any():
        return 0, 0, 0, 0
    distance = (corner @ odet + panel.first_depth) / toward
    longest = np.linalg.norm(orientations.reshape(-1, 3), axis=1).max()
    radius = distance / toward * wavelength / longest / panel.pixel_size
    place = directions * distance[:, None] - corner
    wide_f = wide_s = 1.0
    if np.abs(np.array([fdet @ fdet - 1.0, sdet @ sdet - 1.0, fdet @ sdet])).max() > 1e-6:  # oblique or not square
        fdet, sdet = np.linalg.pinv(np.array([fdet, sdet])).T
        wide_f, wide_s = float(np.linalg.norm(fdet)), float(np.linalg.norm(sdet))
    f, s = place @ fdet / panel.pixel_size, place @ sdet / panel.pixel_size
    radius_f, radius_s = radius * wide_f, radius * wide_s
    box = ((f - radius_f).min(), (f + radius_f).max(), (s - radius_s).min(), (s + radius_s).max())
    low_f, high_f, low_s, high_s = (int(x) for x in np.clip(np.floor(box), -1e9, 1e9))
    return low_f, high_f + 1, low_s, high_s + 1


def _render(real, image, blocks, sources, orientations, F2, mask, rows, tile):
    panel, crystal, cell, beam = blocks
    separate = len(orientations) >= PAIRED_BELOW or beam.per_term != 0 or beam.dmin > 0.0
    pairs = pair_up(sources, orientations, separate, real)
    # None is a type of its own: only the loops of this shape are compiled
    loops = (1 if crystal.shape in shapes else None for shapes in ((SQUARE,), (ROUND,), (GAUSS, TOPHAT)))
    fine = beam_box(orientations, sources, panel) if real is np.float32 else (0, 0, 0, 0)
    numbers = (*rows, *tile, int(separate), *fine)
    blocks, tables = (panel, crystal, cell, beam, spot_metric(crystal)), (sources, *pairs, F2, mask)
    render_tiles(image, *blocks, tables, numbers, scratch(real), *loops)


@device(forceinline=True)
def sum_tile(rows, tile, panel, beam, sources, separate, pairs, sample, square, round_, compact):
    """Sums of the pixels of a tile, in row TOTAL; ``tile``: their number, its width, and its first row and column."""
    work, phases, single, _ = rows
    n, width, corner = tile
    crystal = sample[0]
    open_tile(work, n, beam)
    peak = (max(crystal.Na, 1.0) * max(crystal.Nb, 1.0) * max(crystal.Nc, 1.0)) ** 2
    weighted = beam.per_term or beam.dmin > 0.0
    pending = np.int64(0)  # one type from the beginning: no second specialization
    for step in range(panel.layers * panel.oversample * panel.oversample):
        middle = begin_step(work, phases, n, width, panel, beam, corner, step)
        for i in range(sources.shape[0] if separate else 1):
            q = begin_source(work, phases, n, beam, middle, sources, i, step, separate)
            chord = half_chord(phases, n, width)
            if square is not None:
                pending = add_square(rows, n, chord, pairs, q, pending, sample)
                if weighted:
                    flush(work, single, n, peak)
                    pending = np.int64(0)
            elif round_ is not None:
                add_round(rows, n, pairs[0], pairs[1], q, sample)
            elif compact is not None:
                add_compact(rows, n, chord, pairs, q, sample)
    if square is not None:
        flush(work, single, n, peak)
    close_tile(work, n, beam)


@device
def write_tile(image, mask, work, tile, box, scale):
    """Photons of a tile's pixels in the box of rows and columns, ends excluded."""
    _, width, (top, left) = tile
    masked = mask.shape[0] > 0
    for row in range(box[0], box[1]):
        for column in range(box[2], box[3]):
            if not masked or mask[row, column] != 0:
                image[row, column] = scale * work[TOTAL + (row - top) * width + column - left]


@kernel()
def render_tiles(image, panel, crystal, cell, beam, metric, tables, numbers, scratch, square, round_, compact):
    """The loop over rows of tiles; see :func:`render_fast64`, :func:`pair_up` and :func:`_render`."""
    sources, vectors, columns, longest, F2, mask = tables
    row0, row1, width, height, separate, box_f0, box_f1, box_s0, box_s1 = numbers
    begin, end = max(row0, panel.s0), min(row1, panel.s1)
    works, reals, singles, integers = scratch
    first_band = begin // height
    n_bands = max(0, (end - 1) // height + 1 - first_band)
    for i in prange(n_bands):
        band = first_band + i
        thread = get_thread_id()
        work, phases = works[thread], reals[thread]
        rows, sample = (work, phases, singles[thread], integers[thread]), (crystal, cell, F2, metric)
        pairs = (vectors, columns, longest)
        s, numbered = band * height, 0
        for f in range(panel.f0 // width * width, panel.f1, width):
            # around the direct beam smaller tiles: there the rounding of all orientations adds up
            far = f >= box_f1 or f + width <= box_f0 or s >= box_s1 or s + height <= box_s0
            w, h = (width, height) if far else (FINE, FINE)
            if w != numbered:
                number_pixels(phases, w, h)
                numbered = w
            for part in range((width // w) * (height // h)):
                top, left = s + part // (width // w) * h, f + part % (width // w) * w
                tile = (w * h, w, (top, left))
                sum_tile(rows, tile, panel, beam, sources, separate, pairs, sample, square, round_, compact)
                box = (max(top, begin), min(top + h, end), max(left, panel.f0), min(left + w, panel.f1))
                write_tile(image, mask, work, tile, box, beam.scale)
