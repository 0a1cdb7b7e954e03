"""Derivatives on CUDA: every flag but ``-oversample_*``, for a list of pixels, one thread for each.

Problem: a Jacobian of all pixels is larger than the memory, and totals that threads add to the same number in any order
have other bits every time.

Choice: the sums of :mod:`nbnumba.kernels.formulas.sums` of a piece of the list go to memory, row by row, so that each
thread has them in registers until then and no thread waits for another; :mod:`nbnumba.kernels.gpu.deliver` then makes of them
what is wanted. The host chooses the size of a piece.

Cost: 300 bytes of memory for a pixel of a piece, written and read once: a tenth of a millisecond for a million pixels on a
GPU that has 4 TB/s. Misuse: as of :mod:`nbnumba.kernels.cpu.derivatives`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from nbnumba.kernels.formulas.blocks import ROUND, SQUARE
from nbnumba.kernels.formulas.geometry import bend, subpixel_position
from nbnumba.kernels.formulas.scattering import cell_axes
from nbnumba.kernels.formulas.smooth_cells import smooth_cells, start_smooth
from nbnumba.kernels.formulas.sums import (
    BRAGG,
    CELL,
    FAST,
    ROWS,
    SLOW,
    SUMS,
    D,
    Q,
    add_spins,
    add_terms,
    clear,
    close_pixel,
    close_source,
    nearest_cells,
    put_ray,
    ray_source,
)
from nbnumba.kernels.gpu.ops import quotient, remainder
from nbnumba.kernels.jit.cuda import cuda, cuda_device, cuda_kernel, float64, int32

#: Threads of a block, a pixel each.
THREADS = 64
#: Blocks that a multiprocessor should hold: each thread then has all the registers that it can have.
BLOCKS = 4
#: Rows of the table that are in shared memory while terms are added, so that all others are registers: first and number of
#: the sums of rays and sources, and of what a ray has beside its scattering vector.
CLOSED_ROWS, CLOSED = BRAGG, SUMS - BRAGG
RAY_ROWS, RAY = D, Q - D
#: Rows of the shared memory.
ASIDE = CLOSED + RAY


@cuda_device
def put_aside(work, first, n, aside, place):
    """Copy ``n`` rows of the table, from ``first`` on, to rows of shared memory (ASIDE, THREADS), from ``place`` on."""
    for row in range(n):
        aside[place + row, cuda.threadIdx.x] = work[first + row]


@cuda_device
def take_up(work, first, n, aside, place):
    """Copy what :func:`put_aside` has put aside back."""
    for row in range(n):
        work[first + row] = aside[place + row, cuda.threadIdx.x]


@cuda_device
def aim_flat(work, panel, beam, sources, i, sub, peak):
    """As :func:`nbnumba.kernels.formulas.sums.aim`, of a flat panel: the numbers of both kinds need too many registers."""
    position = subpixel_position(panel, work[SLOW], work[FAST], sub[0], sub[1], sub[2])
    source, frame = ray_source(beam, sources, i)
    put_ray(work, 1, 0, panel, beam, source, frame, position, sub[0], peak, None)


@cuda_device
def aim_curved(work, panel, beam, sources, i, sub, peak):
    """As :func:`nbnumba.kernels.formulas.sums.aim`, of a curved panel."""
    position = bend(panel, subpixel_position(panel, work[SLOW], work[FAST], sub[0], sub[1], sub[2]))
    source, frame = ray_source(beam, sources, i)
    put_ray(work, 1, 0, panel, beam, source, frame, position, sub[0], peak, None)


@cuda_device
def find_nearest(work, axes, crystal, cell, F):
    """Structure factors of an orientation: of the nearest reflections."""
    nearest_cells(work, 1, axes, cell, F)


@cuda_device
def find_smooth(work, axes, crystal, cell, F):
    """Structure factors of an orientation: interpolated."""
    smooth_cells(work, 1, axes, cell, crystal, F)


@cache
def term_function(square: int, round_: int, smooth: int) -> Any:
    """The device function that adds the terms of an orientation: a switch that is None chooses the formulas' other half."""
    is_round, is_smooth = 1 if round_ else None, 1 if smooth else None

    @cuda_device
    def add_square(work, axes, crystal, metric, end):
        add_terms(work, 1, axes, None, crystal, None, end, None, is_smooth, None)

    @cuda_device
    def add_radial(work, axes, crystal, metric, end):
        add_terms(work, 1, axes, None, crystal, metric, end, is_round, is_smooth, None)

    return add_square if square else add_radial


@cache
def pixel_kernel(shape: int, curved: int, smooth: int, spinning: int) -> Any:
    """The kernel of a shape of the crystal, with interpolated F or without, and with rotations of the orientations or without.

    The kernel's arguments::

        sums : (SUMS, n or more) float64
        pixels : (n, 2) int32; slow and fast index
        panel, crystal, cell, beam : parameter blocks
        metric : MetricBlock; square crystals do not read it
        sources : (S, 11) float64, of render.inputs.framed_sources
        orientations : (M, 9) float64, m
        F : F^2 as of structure.F2_at, or for interpolation F as of formulas.pixel.pixel_value, float64
        spins : (M, 3 SPINS) float64, rotations of the orientations; (0, 0) without
        peak, end, first_out : as ``ends`` of kernels.cpu.derivatives.derive_pixels

    Blocks of THREADS threads in one row.
    """
    aim, find = aim_curved if curved else aim_flat, find_smooth if smooth else find_nearest
    add = term_function(int(shape == SQUARE), int(shape == ROUND), smooth)

    @cuda_kernel(threads=THREADS, blocks=BLOCKS)
    def sum_pixels(
        sums, pixels, panel, crystal, cell, beam, metric, sources, orientations, F, spins, peak, end, first_out
    ):
        number = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if number >= pixels.shape[0]:
            return
        work, aside = cuda.local.array(ROWS, float64), cuda.shared.array((ASIDE, THREADS), float64)
        clear(work, 1, 0, SUMS)
        put_aside(work, CLOSED_ROWS, CLOSED, aside, 0)
        work[SLOW], work[FAST] = float64(pixels[number, 0]), float64(pixels[number, 1])
        if smooth:
            start_smooth(work, 1, panel, cell, first_out)
        n = int32(panel.oversample)
        for step in range(int32(panel.layers * panel.oversample * panel.oversample)):
            sub = (quotient(step, n * n), remainder(quotient(step, n), n), remainder(step, n))
            for i in range(sources.shape[0]):
                aim(work, panel, beam, sources, i, sub, peak)
                put_aside(work, RAY_ROWS, RAY, aside, CLOSED)
                for m in range(orientations.shape[0]):
                    axes = cell_axes(orientations, m)
                    find(work, axes, crystal, cell, F)
                    if work[CELL] == 0.0:
                        continue
                    add(work, axes, crystal, metric, end)
                    if spinning:
                        add_spins(work, 1, spins, m)
                take_up(work, RAY_ROWS, RAY, aside, CLOSED)
                take_up(work, CLOSED_ROWS, CLOSED, aside, 0)
                close_source(work, 1, panel, beam, sources, i, beam.I_bg if beam.per_term else 0.0)
                put_aside(work, CLOSED_ROWS, CLOSED, aside, 0)
        for row in range(BRAGG):  # closing only multiplies these, all by the same factor
            sums[row, number] = work[row]
        work[0] = 1.0
        close_pixel(work, 1, panel, beam, sources, None)
        for row in range(BRAGG):
            sums[row, number] *= work[0]
        for row in range(BRAGG, SUMS):
            sums[row, number] = work[row]

    return sum_pixels
