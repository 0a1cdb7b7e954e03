"""The fast CPU kernels with an error bound: terms that cannot matter are left out. SQUARE and ROUND crystals.

Problem: the tails of these lattice transforms never end, and most of a run's terms are tails that no detector would see.

Choice: for a tile of pixels and a term (a source and an orientation) F_cell^2 F_latt^2 is bounded from above without
evaluating a pixel. Over the tile an index changes by at most ``reach``, which keeps it at least d = |fraction at the
middle| - reach away from the nearest whole number; then

- SQUARE: (sin(pi N h) / sin(pi h))^2 <= min(N^2, 1 / sin(pi d)^2) for each axis,
- ROUND: with X = pi sqrt(fudge (Na^2 dh^2 + Nb^2 dk^2 + Nc^2 dl^2)), |3 (sin X / X - cos X) / X^2| <= min(1, 3 (1 + X) / X^3)
  (and sin X <= X for the first), falling in X,
- F_cell^2 is at most the largest of the reflections nearest to any pixel of the tile
  (:func:`nbnumba.kernels.bounds.corner_maxima`).

The bound times scale and weight is a number of photons. A pixel may lose ``max_error`` of them; every pass over the
terms (a sub-pixel of a sensor layer, or one source of it) has an equal share of that, groups of terms a share by their
size, and the smallest bounds of a tile are left out until their sum reaches the share: by powers of two, in order within
the last one. That depends on nothing but the tile: not on the number of threads nor on the region. What is left is
rendered by the loops of :mod:`nbnumba.kernels.fast_tiles`. No term is negative, so that a pixel never gets brighter.

Cost: some ten nanoseconds for a term of a tile, and up to eight copies of the table of structure factors. Misuse: GAUSS
and TOPHAT, which have no tails; ``beam.kahn_factor`` beyond +-1, where polarization could exceed 1.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import get_thread_id, prange

from nbnumba.kernels._jit import device, kernel
from nbnumba.kernels.blocks import ROUND, SQUARE
from nbnumba.kernels.bounds import (
    GROUP,
    LEVELS,
    TERMS,
    bound_terms,
    choose_terms,
    corner_maxima,
    half_change,
    rest_of_tile,
)
from nbnumba.kernels.cpu_fast import PAIRED_BELOW, pair_up, scratch
from nbnumba.kernels.fast_rays import (
    CHUNK,
    OMEGA,
    QX,
    QY,
    QZ,
    TOTAL,
    WEIGHT,
    begin_source,
    begin_step,
    close_tile,
    half_chord,
    number_pixels,
    open_tile,
)
from nbnumba.kernels.fast_tiles import NEAR, add_round, fetch_corners, flush, hold_index, square_far, square_near

#: columns and rows of a tile: the smaller, the tighter the bound, and the more bounds
WIDTH, HEIGHT = TILE = (8, 8)
#: covers the rounding of a bound and of float32 structure factors
MARGIN = 1.0001


@device(forceinline=True)
def anchor_chosen(phases, single, terms, chosen, first, count, cell):
    """As ``fast_tiles.anchor``, for chosen terms whose indices are known."""
    low = (float(cell.h_min), float(cell.k_min), float(cell.l_min))
    for axis in range(3):
        for i in range(count):
            hold_index(phases, single, axis * CHUNK + i, terms[axis * GROUP + chosen[first + i]], low[axis])


@device(forceinline=True)
def add_chosen(rows, pixels, vectors, columns, longest, own, group, chord, q, kinds, count, pending):
    """Add ``count`` chosen terms of the group that begins at term ``group`` to the sums of a tile.

    Returns what row SUM holds.
    """
    work, phases, single, number = rows
    n, crystal, cell, F2 = pixels
    terms, _, chosen, few_vectors, few_columns = own
    square, round_ = kinds
    N = (max(crystal.Na, 1.0), max(crystal.Nb, 1.0), max(crystal.Nc, 1.0))
    reach = (chord * longest[0], chord * longest[1], chord * longest[2])
    box = (cell.h_range, cell.k_range, cell.l_range) if cell.has_hkl else (0, 0, 0)
    for first in range(0, count, CHUNK):
        size = min(CHUNK, count - first)
        for i in range(size):
            m = np.uint64(group) + np.uint64(chosen[first + i])
            for j in range(9):
                few_vectors[i, j] = vectors[m, j]
            if round_ is not None:
                for j in range(12):
                    few_columns[j * size + i] = columns[j, m]
        if round_ is not None:
            part = few_columns[: 12 * size].reshape((12, size))
            add_round(rows, n, few_vectors, part, q, (crystal, cell, F2))
        if square is not None:
            if pending + size > CHUNK:
                flush(work, single, n, (N[0] * N[1] * N[2]) ** 2)
                pending = 0
            pending += size
            anchor_chosen(phases, single, terms, chosen, first, size, cell)
            if max(reach[0], reach[1], reach[2]) <= NEAR:
                fetch_corners(phases, single, number, size, cell, F2)
                square_near(phases, single, n, few_vectors, 0, size, N)
            else:
                rim = (1.0 + reach[0], 1.0 + reach[1], 1.0 + reach[2])
                square_far(phases, single, number, n, few_vectors, 0, size, N, box, rim, F2)
    return pending


@device(forceinline=True)
def add_terms(rows, pixels, source, table, own, kinds, q, factor, budget, pending):
    """Bound the terms of one scattering vector, and add those that matter to the sums of a tile.

    Returns what row SUM holds, and how many terms were rendered.
    """
    phases = rows[1]
    n, crystal, cell, _ = pixels
    vectors, columns, longest = source
    terms, levels, chosen, _, _ = own
    xu, xv = half_change(phases, QX, n, WIDTH)
    yu, yv = half_change(phases, QY, n, WIDTH)
    zu, zv = half_change(phases, QZ, n, WIDTH)
    u, v = (float(xu), float(yu), float(zu)), (float(xv), float(yv), float(zv))
    rest = rest_of_tile(phases, n, WIDTH, u, v)
    chord = half_chord(phases, n, WIDTH)
    rendered, total = 0, columns.shape[1]
    for group in range(0, total, GROUP):
        size = min(GROUP, total - group)
        bound_terms(terms, columns, group, size, longest, q, u, v, rest, factor, crystal, cell, table, kinds[0])
        count = choose_terms(terms, size, budget * size / total, levels, chosen)
        pending = add_chosen(rows, pixels, vectors, columns, longest, own, group, chord, q, kinds, count, pending)
        rendered += count
    return pending, rendered


@device(forceinline=True)
def sum_bounded(rows, pixels, panel, beam, sources, source, table, own, kinds, separate, max_error, corner):
    """As ``cpu_fast.sum_tile``, without the terms that do not matter; returns how many were rendered."""
    work, phases, single, _ = rows
    n, crystal, _, _ = pixels
    open_tile(work, n, beam)
    peak = (max(crystal.Na, 1.0) * max(crystal.Nb, 1.0) * max(crystal.Nc, 1.0)) ** 2
    weighted = beam.per_term or beam.dmin > 0.0
    passes = sources.shape[0] if separate else 1
    steps = panel.layers * panel.oversample * panel.oversample
    budget = max_error / (steps * passes)
    pending, rendered = 0, 0
    for step in range(steps):
        middle = begin_step(work, phases, n, WIDTH, panel, beam, corner, step)
        for i in range(passes):
            q = begin_source(work, phases, n, beam, middle, sources, i, step, separate)
            heaviest = 0.0
            for p in range(n):
                # without per_term the solid angle comes last; capture fraction and polarization are at most 1
                heaviest = max(heaviest, work[WEIGHT + p] * (1.0 if beam.per_term else work[OMEGA + p]))
            factor = MARGIN * beam.scale * heaviest
            pending, count = add_terms(rows, pixels, source, table, own, kinds, q, factor, budget, pending)
            rendered += count
            if kinds[0] is not None and weighted:
                flush(work, single, n, peak)
                pending = 0
    if kinds[0] is not None:
        flush(work, single, n, peak)
    close_tile(work, n, beam)
    return rendered


@kernel()
def render_tiles_bounded(
    image,
    panel,
    crystal,
    cell,
    beam,
    sources,
    vectors,
    columns,
    longest,
    table,
    mask,
    numbers,
    scratch,
    own,
    counts,
    kinds,
):
    """The loop over rows of tiles; see :func:`render_bounded`. ``counts`` (threads, 2): terms rendered, and in all."""
    row0, row1, separate, max_error = numbers
    F2, maxima, most = table
    begin, end = max(row0, panel.s0), min(row1, panel.s1)
    masked = mask.shape[0] > 0
    works, reals, singles, integers = scratch
    terms, levels, chosen, few_vectors, few_columns = own
    first_band = begin // HEIGHT
    n = WIDTH * HEIGHT
    passes = panel.layers * panel.oversample * panel.oversample * (sources.shape[0] if separate else 1)
    for i in prange(max(0, (end - 1) // HEIGHT + 1 - first_band)):
        s = (first_band + i) * HEIGHT
        t = get_thread_id()
        work, phases = works[t], reals[t]
        rows = (work, phases, singles[t], integers[t])
        mine = (terms[t], levels[t], chosen[t], few_vectors[t], few_columns[t])
        pixels, source = (n, crystal, cell, F2), (vectors, columns, longest)
        number_pixels(phases, WIDTH, HEIGHT)
        for f in range(panel.f0 // WIDTH * WIDTH, panel.f1, WIDTH):
            rendered = sum_bounded(
                rows,
                pixels,
                panel,
                beam,
                sources,
                source,
                (maxima, most),
                mine,
                kinds,
                separate,
                max_error,
                (s, f),
            )
            counts[t, 0] += rendered
            counts[t, 1] += passes * columns.shape[1]
            for row in range(max(s, begin), min(s + HEIGHT, end)):
                for column in range(max(f, panel.f0), min(f + WIDTH, panel.f1)):
                    if not masked or mask[row, column] != 0:
                        image[row, column] = beam.scale * work[TOTAL + (row - s) * WIDTH + column - f]


def make_tables(F2, cell):
    """What :func:`render_bounded` takes for the structure factors: them, and their maxima over neighbours."""
    return (F2, *corner_maxima(F2, cell))


def render_bounded(
    image, panel, crystal, cell, beam, sources, cells, table, mask, row0, row1, real, max_error, counts
) -> None:
    """Render rows ``row0 <= s < row1`` of one panel, in photons, without terms that sum up to ``max_error`` at most.

    Parameters
    ----------
    image, panel, crystal, cell, beam, sources, cells, mask, row0, row1
        As of ``cpu_fast.render_fast64``.
    table : tuple
        From :func:`make_tables`.
    real : type
        ``np.float32`` for phases relative to a tile's middle (SQUARE only), else ``np.float64``.
    max_error : float
        Photons that a pixel may lose, > 0.
    counts : (2,) int64
        Terms that are rendered, and terms that there are, tile by tile, are added to it.

    Notes
    -----
    Of the tile kernel's image of the same terms, a pixel is at most ``max_error`` less, and not more but for rounding
    (float32 sums of 32 terms: 2e-6 of the pixel).
    """
    separate = len(cells) >= PAIRED_BELOW or beam.per_term != 0 or beam.dmin > 0.0
    vectors, columns, longest = pair_up(sources, cells, separate, real)
    threads = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    own = (
        np.empty((threads, TERMS)),
        np.empty((threads, LEVELS)),
        np.empty((threads, GROUP), np.int64),
        np.empty((threads, CHUNK, 9), real),
        np.empty((threads, 12 * CHUNK)),
    )
    own_counts = np.zeros((threads, 2), np.int64)
    kinds = (1 if crystal.shape == SQUARE else None, 1 if crystal.shape == ROUND else None)
    numbers = (row0, row1, int(separate), float(max_error))
    sources_of = (sources, vectors, columns, longest)
    render_tiles_bounded(
        image, panel, crystal, cell, beam, *sources_of, table, mask, numbers, scratch(real), own, own_counts, kinds
    )
    counts += own_counts.sum(axis=0)
