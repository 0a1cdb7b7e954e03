"""Derivatives of compact spots on the CPU, footprint by footprint: GAUSS on flat panels.

The search for reflections and the lists of footprints are those of :mod:`nbnumba.kernels.cpu.spots`. Only pixels that a
footprint touches have sums, in a buffer of the thread for each band of rows, which
:func:`nbnumba.kernels.cpu.derivatives.deliver` converts before the next band. Misuse: as of that module.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from nbnumba.kernels.cpu.derivatives import LONG, deliver, place_pixels, stage
from nbnumba.kernels.cpu.paint import BAND
from nbnumba.kernels.formulas.scattering import cell_axes
from nbnumba.kernels.formulas.spots_shell import F0, F1, PAIR, S0, S1, H, K, L
from nbnumba.kernels.formulas.structure import F2_at
from nbnumba.kernels.formulas.sums import (
    BRAGG,
    CELL,
    EIGHT,
    FAST,
    SLOW,
    SUMS,
    add_spins,
    add_terms,
    aim,
    clear,
    close_pixel,
    close_source,
)
from nbnumba.kernels.jit.cpu import device, kernel


@device(forceinline=True)
def touch(slots, rows, first, end):
    """Mark the wanted pixels of a box."""
    for row in range(rows[0], rows[1]):
        for column in range(first, end):
            if slots[row, column] == 0:
                slots[row, column] = 1


@kernel()
def mark_pixels(slots, counts, starts, spots, panel):
    """Number the pixels that have sums.

    Parameters
    ----------
    slots : (rows, columns) int32
        Of the rendered part of the panel; 1 for pixels that are wanted even if no footprint touches them, 0 for those that
        are wanted if one does, and -1 for others. On return the number within the band, or -1.
    counts : (bands,) int64
        Set to the number of pixels of each band.
    starts, spots
        As :func:`nbnumba.kernels.cpu.spots.sort_spots` returns them.
    """
    for band in prange(counts.shape[0]):
        top, end = band * BAND, min((band + 1) * BAND, slots.shape[0])
        for place in range(starts[band], starts[band + 1]):
            rows = (max(spots[place, S0] - panel.s0, top), min(spots[place, S1] - panel.s0, end))
            touch(slots, rows, spots[place, F0] - panel.f0, spots[place, F1] - panel.f0)
        n = 0
        for row in range(top, end):
            for column in range(slots.shape[1]):
                if slots[row, column] == 1:
                    slots[row, column] = n
                    n += 1
                else:
                    slots[row, column] = -1
        counts[band] = n


@device(forceinline=True)
def is_alone(panel, sources):
    """Whether each pixel has one ray of one source: what is made of sums over orientations can then wait for all footprints."""
    return panel.layers * panel.oversample == 1 and sources.shape[0] == 1


@device(forceinline=True)
def add_eight(work, sums, used, numbers, panel, crystal, beam, metric, tables, found, ends, spinning):
    """Add the footprint ``found`` to the sums of ``used`` pixels of the eight; ``numbers``: theirs."""
    sources, spins, n = tables[0], tables[3], panel.oversample
    axes, origin, F_sqr, i, m = found
    alone = is_alone(panel, sources)
    clear(work, EIGHT, 0, SUMS)
    for step in range(panel.layers * n * n):
        sub = (step // (n * n), step // n % n, step % n)
        aim(work, EIGHT, panel, beam, sources, i, sub, ends[0], 1)
        for p in range(EIGHT):
            work[CELL * EIGHT + p] = F_sqr
        add_terms(work, EIGHT, axes, origin, crystal, metric, ends[1], None, None, 1)
        if spinning is not None:
            add_spins(work, EIGHT, spins, m)
        if not alone:
            close_source(work, EIGHT, panel, beam, sources, i, 0.0)
    for p in range(used):
        at = np.uint64(numbers[p]) * np.uint64(SUMS)
        for row in range(BRAGG):
            sums[at + np.uint64(row)] += work[row * EIGHT + p]
        if not alone:
            for row in range(BRAGG, SUMS):
                sums[at + np.uint64(row)] += work[row * EIGHT + p]


@device
def close_rays(work, panel, beam, sources):
    """Close all rays of eight pixels, and add the background of which every term has its own weight."""
    n, I_bg = panel.oversample, beam.I_bg if beam.per_term else 0.0
    for step in range(panel.layers * n * n):
        sub = (step // (n * n), step // n % n, step % n)
        for i in range(sources.shape[0]):
            aim(work, EIGHT, panel, beam, sources, i, sub, 0.0, 1)
            close_source(work, EIGHT, panel, beam, sources, i, I_bg)


@kernel()
def list_pixels(pixels, slots, firsts, panel):
    """List the pixels that :func:`mark_pixels` has numbered: slow and fast index, (n, 2) int32."""
    for band in prange(firsts.shape[0] - 1):
        n = firsts[band]
        for row in range(band * BAND, min((band + 1) * BAND, slots.shape[0])):
            for column in range(slots.shape[1]):
                if slots[row, column] >= 0:
                    pixels[n, 0], pixels[n, 1] = panel.s0 + row, panel.f0 + column
                    n += 1


@device(forceinline=True)
def add_footprint(spot, rows, slots, scratch, panel, crystal, cell, beam, metric, tables, ends, spinning):
    """Add a footprint to the sums of its pixels in the rows ``rows[0] <= s < rows[1]``, eight pixels at a time."""
    orientations, (work, sums, numbers) = tables[1], scratch
    h, k, l = spot[H], spot[K], spot[L]
    i, m = spot[PAIR] // orientations.shape[0], spot[PAIR] % orientations.shape[0]
    F_sqr = F2_at(tables[2], cell, h - cell.h_min, k - cell.k_min, l - cell.l_min)
    found = (cell_axes(orientations, m), (float(h), float(k), float(l)), F_sqr, i, m)
    s, end, f, used = max(spot[S0], rows[0]), min(spot[S1], rows[1]), spot[F0], 0
    while s < end:
        slot = slots[s - panel.s0, f - panel.f0]
        if slot >= 0:
            work[SLOW * EIGHT + used], work[FAST * EIGHT + used], numbers[used] = s, f, slot
            used += 1
        f += 1
        if f == spot[F1]:
            s, f = s + 1, spot[F0]
        if used == EIGHT or (used > 0 and s == end):
            add_eight(work, sums, used, numbers, panel, crystal, beam, metric, tables, found, ends, spinning)
            used = 0


@device(forceinline=True)
def close_eight(work, sums, pixels, number, last, first, panel, beam, sources):
    """Results of the pixels from ``number`` on, at most eight and before ``last``; ``first``: the first pixel of the sums."""
    place_pixels(work, pixels, number, last)
    clear(work, EIGHT, 0, SUMS)
    for p in range(min(EIGHT, last - number)):
        for row in range(SUMS):
            work[row * EIGHT + p] = sums[(number + p - first) * SUMS + row]
    if is_alone(panel, sources) or (beam.per_term and beam.I_bg != 0.0):
        close_rays(work, panel, beam, sources)
    close_pixel(work, EIGHT, panel, beam, sources, 1)


@kernel()
def derive_spots(goal, lists, panel, crystal, cell, beam, metric, tables, ends, spinning):
    """Derivatives of footprints, band by band.

    Parameters
    ----------
    goal
        As of :func:`nbnumba.kernels.cpu.derivatives.deliver`; a row of totals for each band.
    lists : tuple of arrays
        Starts and footprints as :func:`nbnumba.kernels.cpu.spots.sort_spots` returns them; slots as of
        :func:`mark_pixels`; (bands + 1,) int64, the first pixel of each band; (n, 2) int32, the pixels.
    panel, crystal, cell, beam, metric, tables, spinning
        As of :func:`nbnumba.kernels.cpu.derivatives.derive_pixels`; sums (threads, pixels of a band * SUMS), and numbers
        (threads, 8 or more) int64 as further scratch.
    ends : tuple of float
        Squared lattice factor at a lattice point, and squared radius at which spots end.
    """
    starts, spots, slots, firsts, pixels = lists
    for band in prange(firsts.shape[0] - 1):
        thread = get_thread_id()
        work, strip, values = tables[4][thread], tables[5][thread], tables[6][thread]
        sums, numbers = tables[7][thread], tables[8][thread]
        rows = (panel.s0 + band * BAND, min(panel.s0 + (band + 1) * BAND, panel.s1))
        begin, end = firsts[band], firsts[band + 1]
        for j in range((end - begin) * SUMS):
            sums[j] = 0.0
        for place in range(starts[band], starts[band + 1]):
            spot, scratch = spots[place], (work, sums, numbers)
            add_footprint(spot, rows, slots, scratch, panel, crystal, cell, beam, metric, tables, ends, spinning)
        for first in range(begin, end, LONG):
            last = min(first + LONG, end)
            for number in range(first, last, EIGHT):
                close_eight(work, sums, pixels, number, last, begin, panel, beam, tables[0])
                stage(strip, work, number - first)
            deliver(goal, band, first, last - first, strip, values)
