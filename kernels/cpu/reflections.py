"""Derivatives with respect to structure factors, pixel by pixel: few reflections contribute to a pixel, so they are lists.

Every flag but ``-oversample_*`` and interpolation. A pixel's list is searched for each term, which costs little as long
as it is short.
"""

from __future__ import annotations

from numba import get_thread_id, prange

from nbnumba.kernels.cpu.derivatives import place_pixels
from nbnumba.kernels.formulas.scattering import cell_axes, fractional_indices
from nbnumba.kernels.formulas.sums import (
    BRAGG,
    CELL,
    EIGHT,
    LIT,
    SUMS,
    Q,
    add_terms,
    aim,
    clear,
    close_pixel,
    nearest_whole,
    rows_of,
)
from nbnumba.kernels.jit.cpu import device, kernel


@device(forceinline=True)
def remember(numbers, values, counts, pixel, number, value):
    """Add ``value`` to a reflection of a pixel's list; reflections beyond the last place are only counted."""
    n = min(counts[pixel], numbers.shape[1])
    for j in range(n):
        if numbers[pixel, j] == number:
            values[pixel, j] += value
            return
    if n < numbers.shape[1]:
        numbers[pixel, n], values[pixel, n] = number, value
    counts[pixel] += 1


@device(forceinline=True)
def box_number(cell, index):
    """Number of a reflection in the table of F^2, or 0 outside the box."""
    h, k, l = index[0] - cell.h_min, index[1] - cell.k_min, index[2] - cell.l_min
    inside = h >= 0 and h < cell.h_range and k >= 0 and k < cell.k_range and l >= 0 and l < cell.l_range
    return 1 + (int(h) * cell.k_range + int(k)) * cell.l_range + int(l) if inside and cell.has_hkl else 0


@device(forceinline=True)
def note_eight(lists, work, first, last, axes, cell, F):
    """Add the terms of an orientation to the lists of eight pixels, twice over F: its structure factor has been taken as 1."""
    numbers, values, counts = lists
    for p in range(min(EIGHT, last - first)):
        value = work[LIT * EIGHT + p]
        if value != 0.0:
            number = box_number(cell, nearest_whole(fractional_indices(axes, rows_of(work, Q, EIGHT, p))))
            remember(numbers, values, counts, first + p, number, 2.0 * F[number] * value)


@kernel()
def derive_reflections(numbers, values, counts, pixels, panel, crystal, cell, beam, metric, tables, ends, round_):
    """Derivatives of the pixels of a list with respect to the F of each reflection.

    Parameters
    ----------
    numbers : (n, room) int64
        Set to the numbers of the reflections in the table of F, for each pixel; 0 stands for ``default_F``.
    values : (n, room) float64
        Set to the derivatives.
    counts : (n,) int64
        0; set to the number of reflections of each pixel, which may be more than there is room for.
    pixels, panel, crystal, cell, beam, metric, ends, round_
        As of :func:`nbnumba.kernels.cpu.derivatives.derive_pixels`.
    tables : tuple of arrays
        Sources, orientations and F (1 + h_range * k_range * l_range,) in the order of the table of F^2; scratch of
        ``derivatives.make_scratch``.
    """
    sources, orientations, F = tables[0], tables[1], tables[2]
    n, lists = panel.oversample, (numbers, values, counts)
    for eight in prange((pixels.shape[0] + EIGHT - 1) // EIGHT):
        work = tables[3][get_thread_id()]
        first, last = eight * EIGHT, min((eight + 1) * EIGHT, pixels.shape[0])
        place_pixels(work, pixels, first, last)
        for step in range(panel.layers * n * n * sources.shape[0]):
            i, sub = step % sources.shape[0], step // sources.shape[0]
            aim(work, EIGHT, panel, beam, sources, i, (sub // (n * n), sub // n % n, sub % n), ends[0], 1)
            for m in range(orientations.shape[0]):
                clear(work, EIGHT, 0, SUMS)
                for p in range(EIGHT):
                    work[CELL * EIGHT + p] = 1.0
                axes = cell_axes(orientations, m)
                add_terms(work, EIGHT, axes, None, crystal, metric, ends[1], round_, None, 1)
                note_eight(lists, work, first, last, axes, cell, F)
        clear(work, EIGHT, 0, SUMS)
        for p in range(EIGHT):
            work[BRAGG * EIGHT + p] = 1.0
        close_pixel(work, EIGHT, panel, beam, sources, 1)
        for p in range(last - first):
            for j in range(min(counts[first + p], numbers.shape[1])):
                values[first + p, j] *= work[BRAGG * EIGHT + p]
