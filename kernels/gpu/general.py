"""The general CUDA kernel: one thread per pixel around :func:`nbnumba.kernels.formulas.pixel.pixel_value`, every flag, float64."""

from __future__ import annotations

from functools import cache
from typing import Any

from nbnumba.kernels.formulas.pixel import pixel_value
from nbnumba.kernels.gpu.fast import TILE, is_rendered
from nbnumba.kernels.gpu.ops import is_stopped, tell_progress
from nbnumba.kernels.jit.cuda import cuda, cuda_kernel

#: Threads of a block, which share a tile of TILE columns and 8 rows.
THREADS = 128
ROWS = THREADS // TILE
#: Blocks that a multiprocessor should hold: as many as leave enough registers, 128 without and 168 with the tricubic.
BLOCKS, BLOCKS_INTERPOLATING = 4, 3


@cache
def general_kernel(interpolate: int) -> Any:
    """The general kernel, for runs that may interpolate or for those that never do, which needs fewer registers.

    The kernel's arguments::

        image : (row1 - row0, f1 - f0) float32, photons; masked pixels are left as they are
        window : tuple of 4 int; row0, row1, f0, f1: the rendered rows and columns
        panel, crystal, cell, beam, sources, orientations, Fhkl : as nbnumba.kernels.formulas.pixel.pixel_value takes them
        mask : (row1 - row0, f1 - f0) or (0, 0) uint8
        fell_out : (1,) int64; lowered to the number s * fpixels + f of the first pixel in which interpolation ended. Each
            pixel is rendered as if interpolation were still on when it begins; the caller renders again what comes after
            that pixel
        halt, done : (1,) or (0,) int32, as of gpu.ops.is_stopped, which is asked before each pixel, and gpu.ops.tell_progress
    """

    @cuda_kernel(threads=THREADS, blocks=BLOCKS_INTERPOLATING if interpolate else BLOCKS)
    def render_general(
        image, window, panel, crystal, cell, beam, sources, orientations, Fhkl, mask, fell_out, halt, done
    ):
        tid = cuda.threadIdx.x
        row0, f0 = window[0], window[2]
        s = row0 + cuda.blockIdx.y * ROWS + tid // TILE
        f = f0 + cuda.blockIdx.x * TILE + tid % TILE
        begin = cell.interpolate if interpolate else 0
        if is_rendered(window, mask, s, f) and not is_stopped(halt):
            value, interpolating = pixel_value(s, f, panel, crystal, cell, beam, sources, orientations, Fhkl, begin)
            image[s - row0, f - f0] = value
            if interpolating != begin:
                cuda.atomic.min(fell_out, 0, s * panel.fpixels + f)
        if tid == 0:
            tell_progress(done, cuda.blockIdx.y * cuda.gridDim.x + cuda.blockIdx.x)

    return render_general
