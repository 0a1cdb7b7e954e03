"""Loops over finished images: whole numbers for files, and sums for statistics.

One pass each, no temporaries. Sums are formed row by row and the rows added up in order, in float64 and without
reordering, so that they do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from nbnumba.kernels.jit.cpu import STRICT, kernel


@kernel(fastmath=STRICT)
def to_uint16(image, s0, s1, f0, f1, scale, offset, out):
    """Round ``image * scale + offset``, clipped to 0..65535, into ``out`` (slow, fast) uint16.

    Halves go up, after the sum with 0.5 was rounded to float32 (``floorf`` in the reference): from 32768 on, numbers
    up to 0.002 below a half go up as well.
    """
    for s in prange(s0, s1):
        for f in range(f0, f1):
            value = np.float64(image[s, f]) * scale + offset
            value = min(max(value, 0.0), 65535.0)
            out[s, f] = np.uint16(np.floor(np.float32(value + 0.5)))


@kernel(fastmath=STRICT)
def to_uint8(image, s0, s1, f0, f1, scale, out):
    """Truncate ``image * scale``, clipped to 0..255, into ``out`` (slow, fast) uint8."""
    for s in prange(s0, s1):
        for f in range(f0, f1):
            value = np.float64(image[s, f]) * scale
            out[s, f] = np.uint8(min(max(value, 0.0), 255.0))


@kernel(fastmath=STRICT)
def row_sums(image, mask, s0, s1, f0, f1, sums, maxima):
    """Sum, sum of squares and number of unmasked pixels of each row, and its largest pixel.

    Parameters
    ----------
    image : (slow, fast) float32
    mask : (slow, fast) bool
        False: left out. An empty array leaves nothing out.
    s0, s1, f0, f1 : int
        Half-open region.
    sums : (s1 - s0, 3) float64
    maxima : (s1 - s0, 2) float64
        Largest value above 0 and its column; 0 and -1 when there is none.
    """
    masked = mask.size > 0
    for s in prange(s0, s1):
        total = 0.0
        squares = 0.0
        n = 0
        largest = np.float32(0)
        column = -1
        for f in range(f0, f1):
            if masked and not mask[s, f]:
                continue
            value = image[s, f]
            if value > largest:
                largest = value
                column = f
            total += np.float64(value)
            squares += np.float64(value) * np.float64(value)
            n += 1
        sums[s - s0, 0] = total
        sums[s - s0, 1] = squares
        sums[s - s0, 2] = n
        maxima[s - s0, 0] = largest
        maxima[s - s0, 1] = column


@kernel(fastmath=STRICT)
def row_deviations(image, mean, s0, s1, f0, f1, sums):
    """Sum of squared differences from ``mean`` of each row, into ``sums`` (s1 - s0) float64."""
    for s in prange(s0, s1):
        squares = 0.0
        for f in range(f0, f1):
            difference = np.float64(image[s, f]) - mean
            squares += difference * difference
        sums[s - s0] = squares
