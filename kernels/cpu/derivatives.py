"""Derivatives on the CPU: every flag but ``-oversample_*``, for a list of pixels, eight at a time.

Problem: with every parameter that is refined another image would have to be rendered, twice for a central difference.

Choice: for each pixel the sums of :mod:`nbnumba.kernels.formulas.sums` are added up beside the image, and are converted to
what is wanted while they are in the cache (:func:`deliver`): rows of the Jacobian, the normal equations, or the gradient
of a number. No array holds the sums of all pixels. Totals are added up by groups of pixels, in the order of the list: the
number of threads changes no bit.

Cost: three to six times a rendering in float64. Misuse: :mod:`nbnumba.kernels.cpu.spot_derivatives` is far faster for
compact spots.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from nbnumba.kernels.formulas.blocks import ROUND, SQUARE
from nbnumba.kernels.formulas.lattice import SPHERE
from nbnumba.kernels.formulas.scattering import cell_axes
from nbnumba.kernels.formulas.smooth_cells import smooth_cells, start_smooth
from nbnumba.kernels.formulas.sums import (
    CELL,
    EIGHT,
    FAST,
    ROWS,
    SLOW,
    SUMS,
    add_spins,
    add_terms,
    aim,
    clear,
    close_pixel,
    close_source,
    nearest_cells,
)
from nbnumba.kernels.jit.cpu import device, kernel

#: pixels whose totals are added up together
GROUP = 1024
#: pixels whose sums are delivered together
LONG = 64
#: what is delivered
VALUES, NORMAL, GRADIENT = range(3)


@device(forceinline=True)
def any_in(work, row):
    """Whether a row has any number but 0."""
    total = 0.0
    for p in range(EIGHT):
        total += abs(work[row * EIGHT + p])
    return total != 0.0


@device(forceinline=True)
def place_pixels(work, pixels, first, end):
    """Rows SLOW and FAST: the eight pixels from ``first`` on of a list; the last one again where it ends before."""
    for p in range(EIGHT):
        number = min(first + p, end - 1)
        work[SLOW * EIGHT + p], work[FAST * EIGHT + p] = pixels[number, 0], pixels[number, 1]


@device(forceinline=True)
def find_cells(work, axes, crystal, cell, tables, smooth):
    """Structure factors of an orientation."""
    if smooth is None:
        nearest_cells(work, EIGHT, axes, cell, tables[2])
    else:
        smooth_cells(work, EIGHT, axes, cell, crystal, tables[7])


@device
def sum_eight(work, panel, crystal, cell, beam, metric, tables, ends, round_, smooth, spinning):
    """Sums of eight pixels."""
    sources, orientations, spins = tables[0], tables[1], tables[3]
    (peak, end, first_out), n = ends, panel.oversample
    clear(work, EIGHT, 0, SUMS)
    if smooth is not None:
        start_smooth(work, EIGHT, panel, cell, first_out)
    for step in range(panel.layers * n * n):
        sub = (step // (n * n), step // n % n, step % n)
        for i in range(sources.shape[0]):
            aim(work, EIGHT, panel, beam, sources, i, sub, peak, 1)
            for m in range(orientations.shape[0]):
                find_cells(work, cell_axes(orientations, m), crystal, cell, tables, smooth)
                if not any_in(work, CELL):
                    continue
                add_terms(work, EIGHT, cell_axes(orientations, m), None, crystal, metric, end, round_, smooth, 1)
                if spinning is not None:
                    add_spins(work, EIGHT, spins, m)
            close_source(work, EIGHT, panel, beam, sources, i, beam.I_bg if beam.per_term else 0.0)
    close_pixel(work, EIGHT, panel, beam, sources, 1)


def squared_peak(shape, cells):
    """Squared lattice factor at a lattice point of a crystal of so many cells, less what the profile holds."""
    if shape == SQUARE:
        return 1.0
    return float((cells * SPHERE if shape == ROUND else cells) ** 2)


@device(forceinline=True)
def stage(strip, work, place):
    """Put the sums of eight pixels into a strip of sums, from ``place`` on."""
    for row in range(SUMS):
        for p in range(EIGHT):
            strip[row * LONG + place + p] = work[row * EIGHT + p]


@device
def deliver(goal, group, first, n, strip, values):
    """Convert the sums of ``n`` pixels of the list, from ``first`` on, to what is wanted.

    Parameters
    ----------
    goal : tuple
        What is wanted (:data:`VALUES`, ...); weights and right sides of the pixels; results: (pixels, rows) values, and
        (groups, totals). Of the entries that are not 0 of the matrix from sums to values: rows and columns, int64, and
        numbers.
    group : int
        Row of the totals.
    strip : (SUMS * LONG,) float64
        Sums of at most :data:`LONG` pixels, row by row.
    values : (rows * LONG,) float64
        Scratch, for the image and the derivatives with respect to the parameters.
    """
    wanted, weights, rights, out, totals, rows, columns, numbers = goal
    if wanted == GRADIENT:
        for row in range(SUMS):
            total = 0.0
            for p in range(n):
                total += weights[first + p] * strip[row * LONG + p]
            totals[group, row] += total
        return
    count = values.shape[0] // LONG
    values[:] = 0.0
    for entry in range(rows.shape[0]):
        row, column, factor = rows[entry] * LONG, columns[entry] * LONG, numbers[entry]
        for p in range(n):
            values[row + p] += factor * strip[column + p]
    if wanted == VALUES:
        for p in range(n):
            for row in range(count):
                out[first + p, row] = values[row * LONG + p]
        return
    place = 0
    for k in range(1, count):
        right = 0.0
        for p in range(n):
            right += rights[first + p] * values[k * LONG + p]
        totals[group, place] += right
        for p in range(n):
            strip[p] = weights[first + p] * values[k * LONG + p]
        for j in range(1, k + 1):
            product = 0.0
            for p in range(n):
                product += strip[p] * values[j * LONG + p]
            totals[group, place + j] += product
        place += k + 1


@kernel()
def derive_pixels(goal, pixels, panel, crystal, cell, beam, metric, tables, ends, round_, smooth, spinning):
    """Derivatives of the pixels of a list, eight at a time.

    Parameters
    ----------
    goal
        As of :func:`deliver`; a row of totals for each :data:`GROUP` pixels.
    pixels : (n, 2) int32
        Slow and fast index.
    panel, crystal, cell, beam : PanelBlock, CrystalBlock, CellBlock, BeamBlock
    metric : MetricBlock, or None for square crystals
    tables : tuple of arrays
        Sources of ``render.inputs.framed_sources``; orientations as of :func:`nbnumba.kernels.formulas.pixel.pixel_value`;
        F^2 as of ``structure.F2_at``, float64; rotations of the orientations (M, 3 SPINS), or (0, 0); scratch of
        :func:`make_scratch`; F as of ``pixel_value``.
    ends : tuple
        Squared lattice factor at a lattice point as of :func:`squared_peak`; squared radius at which compact spots end; the
        first pixel (slow times columns and fast) with an evaluation out of range, where that ends interpolation.
    round_, smooth, spinning : 1 or None
        Whether the crystal is round; whether F is interpolated; whether orientations have rotations.
    """
    for group in prange((pixels.shape[0] + GROUP - 1) // GROUP):
        thread = get_thread_id()
        work, strip, values = tables[4][thread], tables[5][thread], tables[6][thread]
        begin, end = group * GROUP, min((group + 1) * GROUP, pixels.shape[0])
        for first in range(begin, end, LONG):
            last = min(first + LONG, end)
            for number in range(first, last, EIGHT):
                place_pixels(work, pixels, number, last)
                sum_eight(work, panel, crystal, cell, beam, metric, tables, ends, round_, smooth, spinning)
                stage(strip, work, number - first)
            deliver(goal, group, first, last - first, strip, values)


def make_scratch(threads, rows):
    """Scratch for each thread: the table of :mod:`nbnumba.kernels.formulas.sums`, a strip of sums, and one of ``rows`` values."""
    return tuple(np.empty((threads, size)) for size in (ROWS * EIGHT, SUMS * LONG, rows * LONG))
