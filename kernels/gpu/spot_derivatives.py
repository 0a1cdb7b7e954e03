"""Derivatives of compact spots on CUDA, footprint by footprint: GAUSS on flat panels.

The search and the lists of tiles are those of :mod:`nbnumba.kernels.gpu.spots`, whose kernel that paints is replaced: a thread
adds to the sums of its pixel all footprints of the tile's list that hold it, in the order of the list. The sums of chosen
pixels stay in memory between batches. Where each pixel has one ray of one source, what is made of the sums over orientations
waits until the end, as on the CPU (:mod:`nbnumba.kernels.cpu.spot_derivatives`).

Cost: a block of threads for each tile, with all the registers of a multiprocessor. Misuse: as of ``cpu.derivatives``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from nbnumba.kernels.formulas.scattering import cell_axes
from nbnumba.kernels.formulas.spots_shell import F0, F1, PAIR, S0, S1, H, K, L
from nbnumba.kernels.formulas.structure import F2_at
from nbnumba.kernels.formulas.sums import (
    BRAGG,
    CELL,
    FAST,
    LIT,
    ROWS,
    SLOW,
    SUMS,
    add_spins,
    add_terms,
    clear,
    close_pixel,
    close_source,
)
from nbnumba.kernels.gpu.derivatives import BLOCKS, THREADS, aim_flat
from nbnumba.kernels.gpu.fast import TILE
from nbnumba.kernels.gpu.ops import quotient, remainder
from nbnumba.kernels.gpu.spots import PAINTERS, part_of
from nbnumba.kernels.jit.cuda import cuda, cuda_device, cuda_kernel, float64, int32


@cuda_device
def slot_of(slots, s, f):
    """Number of a pixel, by row and column of the region; -1 if it is not chosen."""
    if s >= slots.shape[0] or f >= slots.shape[1]:
        return int32(-1)
    return slots[s, f]


@cuda_device
def add_spot(work, spot, m, crystal, cell, metric, orientations, F2, end):
    """Add the terms of the footprint ``spot`` (8,), of orientation ``m``, for the ray in the table."""
    h, k, l = spot[H], spot[K], spot[L]
    work[CELL] = F2_at(F2, cell, h - cell.h_min, k - cell.k_min, l - cell.l_min)
    origin = (float64(h), float64(k), float64(l))
    add_terms(work, 1, cell_axes(orientations, m), origin, crystal, metric, end, None, None, None)


@cache
def slope_kernel(alone: int, spinning: int) -> Any:
    """The kernel that adds footprints to the sums of pixels.

    ``alone``: each pixel has one ray of one source; ``spinning``: orientations have rotations.

    The kernel's arguments::

        sums : (SUMS, n or more) float64; begun with the first batch
        slots : (s1 - s0, f1 - f0) int32; numbers of the chosen pixels, -1 for others
        lists, places, found : as of gpu.spots.paint_kernel, sorted by gpu.spots.sort_lists
        panel, crystal, cell, beam, metric : parameter blocks; the panel's rows and columns are the region
        sources, orientations, F2, spins, peak, end : as of gpu.derivatives.pixel_kernel
        first : int; whether this is the first batch

    Blocks of PAINTERS threads, one for each tile.
    """
    kept = BRAGG if alone else SUMS

    @cuda_kernel(threads=PAINTERS, blocks=1)
    def paint_slopes(
        sums, slots, lists, places, found, panel, crystal, cell, beam, metric, sources, orientations, F2,
        spins, peak, end, first,
    ):  # fmt: skip
        tid = int32(cuda.threadIdx.x)
        tile = int32(cuda.blockIdx.y * cuda.gridDim.x + cuda.blockIdx.x)
        row, column = int32(cuda.blockIdx.y * TILE + (tid >> 4)), int32(cuda.blockIdx.x * TILE + (tid & 15))
        s, f = int32(panel.s0 + row), int32(panel.f0 + column)
        begin, last = part_of(places, tile)
        slot = slot_of(slots, row, column)
        if slot < 0 or (begin == last and not first):
            return
        work = cuda.local.array(ROWS, float64)
        clear(work, 1, 0, SUMS)
        if not first:
            for j in range(kept):
                work[j] = sums[j, slot]
        work[SLOW], work[FAST] = float64(s), float64(f)
        n, origin = int32(panel.oversample), (int32(0), int32(0), int32(0))
        if alone:
            aim_flat(work, panel, beam, sources, int32(0), origin, peak)
        for place in range(begin, last):
            spot = found[lists[place]]
            if f < spot[F0] or f >= spot[F1] or s < spot[S0] or s >= spot[S1]:
                continue
            i, m = quotient(spot[PAIR], orientations.shape[0]), remainder(spot[PAIR], orientations.shape[0])
            for step in range(int32(1) if alone else int32(panel.layers * n * n)):
                if not alone:
                    sub = (quotient(step, n * n), remainder(quotient(step, n), n), remainder(step, n))
                    aim_flat(work, panel, beam, sources, i, sub, peak)
                add_spot(work, spot, m, crystal, cell, metric, orientations, F2, end)
                if spinning:
                    add_spins(work, 1, spins, m)
                if not alone:
                    close_source(work, 1, panel, beam, sources, i, 0.0)
        for j in range(kept):
            sums[j, slot] = work[j]

    return paint_slopes


@cuda_kernel(threads=THREADS, blocks=BLOCKS)
def close_slopes(sums, pixels, panel, beam, sources, alone):
    """Make the results of the pixels of a list, (n, 2) int32, of their sums.

    ``alone``: whether rays are closed here, as :func:`slope_kernel` does not close them.
    """
    number = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
    if number >= pixels.shape[0]:
        return
    work = cuda.local.array(ROWS, float64)
    clear(work, 1, 0, SUMS)
    work[SLOW], work[FAST] = float64(pixels[number, 0]), float64(pixels[number, 1])
    for row in range(LIT, BRAGG):
        work[row] = sums[row, number]
    if not alone:
        for row in range(BRAGG, SUMS):
            work[row] = sums[row, number]
    n, I_bg = int32(panel.oversample), beam.I_bg if beam.per_term else 0.0
    if alone or I_bg != 0.0:
        for step in range(int32(panel.layers * panel.oversample * panel.oversample)):
            sub = (quotient(step, n * n), remainder(quotient(step, n), n), remainder(step, n))
            for i in range(sources.shape[0]):
                aim_flat(work, panel, beam, sources, i, sub, 0.0)
                close_source(work, 1, panel, beam, sources, i, I_bg)
    work[0] = 1.0
    close_pixel(work, 1, panel, beam, sources, None)
    for row in range(LIT):
        sums[row, number] *= work[0]
    for row in range(LIT, SUMS):
        sums[row, number] = work[row]
