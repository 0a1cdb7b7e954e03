"""Second derivatives on the CPU, one for each parameter, of a list of pixels, eight at a time.

Problem: Newton steps, and errors of what least squares finds, need the curvature of the image along each parameter.

Choice: the terms' gradients and Hessians with respect to h, k, l are made once for an orientation, and then taken along the
change of each parameter (:mod:`nbnumba.kernels.formulas.curvatures`): exact, and nothing is stored but the results.

Cost: a search for each orientation and pixel, and, where there is a term, some 50 operations for each parameter. Misuse:
all pixels of a detector with many orientations; those that are near spots are enough.
"""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from nbnumba.kernels.cpu.derivatives import any_in, place_pixels
from nbnumba.kernels.formulas.curvatures import BENT, CURVED_ROWS, STRENGTH, bend_terms, put_terms
from nbnumba.kernels.formulas.scattering import cell_axes
from nbnumba.kernels.formulas.sums import BRAGG, CELL, EIGHT, SUMS, aim, clear, close_pixel, nearest_cells
from nbnumba.kernels.jit.cpu import device, kernel

#: pixels of a thread's turn
TURN = 64


@device(forceinline=True)
def add_bends(work, bends, metric, inverse, m):
    """Add the second derivatives of the terms of orientation ``m`` to ``sums``, the last of ``bends``."""
    changes, numbers, sums = bends
    for j in range(numbers.shape[0]):
        change = changes[j, m if changes.shape[1] > 1 else 0]
        bend_terms(work, EIGHT, change, numbers[j], metric, inverse)
        for p in range(EIGHT):
            sums[j * EIGHT + p] += work[BENT * EIGHT + p]


@device
def curve_eight(work, bends, panel, crystal, cell, beam, metric, tables, ends, round_):
    """Second derivatives of eight pixels, and the factors by which they are still to be multiplied in row BRAGG."""
    sources, orientations, F2 = tables[0], tables[1], tables[2]
    n = panel.oversample
    bends[2][:] = 0.0
    for step in range(panel.layers * n * n):
        sub = (step // (n * n), step // n % n, step % n)
        for i in range(sources.shape[0]):
            aim(work, EIGHT, panel, beam, sources, i, sub, ends[0], 1)
            for m in range(orientations.shape[0]):
                axes = cell_axes(orientations, m)
                nearest_cells(work, EIGHT, axes, cell, F2)
                if not any_in(work, CELL):
                    continue
                put_terms(work, EIGHT, axes, crystal, metric, ends[1], round_, 1)
                if any_in(work, STRENGTH):
                    add_bends(work, bends, metric, 1.0 / sources[i, 3], m)
    clear(work, EIGHT, 0, SUMS)
    for p in range(EIGHT):
        work[BRAGG * EIGHT + p] = 1.0
    close_pixel(work, EIGHT, panel, beam, sources, 1)


@kernel()
def curve_pixels(out, pixels, bends, panel, crystal, cell, beam, metric, tables, ends, round_):
    """Second derivatives of the pixels of a list, photons.

    Parameters
    ----------
    out : (n, P) float64
        Set to the second derivative of each pixel with respect to each parameter.
    pixels : (n, 2) int32
        Slow and fast index.
    bends : tuple of arrays
        D and E of each parameter, row by row, (P, M, 18) or where all orientations have the same (P, 1, 18); its numbers
        (P, NUMBERS), as of :mod:`nbnumba.kernels.formulas.curvatures`.
    panel, crystal, cell, beam, metric, round_
        As of :func:`nbnumba.kernels.cpu.derivatives.derive_pixels`; F is not interpolated.
    tables : tuple of arrays
        Sources, orientations and F^2 as there; scratch of :func:`make_curved_scratch`.
    ends : tuple of float
        Squared lattice factor at a lattice point, and squared radius at which spots end.
    """
    for turn in prange((pixels.shape[0] + TURN - 1) // TURN):
        thread = get_thread_id()
        work, sums = tables[3][thread], tables[4][thread]
        end = min((turn + 1) * TURN, pixels.shape[0])
        for first in range(turn * TURN, end, EIGHT):
            place_pixels(work, pixels, first, end)
            local = (bends[0], bends[1], sums)
            curve_eight(work, local, panel, crystal, cell, beam, metric, tables, ends, round_)
            for p in range(min(EIGHT, end - first)):
                for j in range(out.shape[1]):
                    out[first + p, j] = sums[j * EIGHT + p] * work[BRAGG * EIGHT + p]


def make_curved_scratch(threads, parameters):
    """Scratch for each thread: the table of rows, and a row for each parameter."""
    return np.empty((threads, CURVED_ROWS * EIGHT)), np.empty((threads, parameters * EIGHT))
