"""The general CUDA kernel: one thread per pixel around :func:`nbnumba.kernels.pixel.pixel_value`, every flag, float64."""

from __future__ import annotations

from nbnumba.kernels._cuda import cuda, cuda_kernel
from nbnumba.kernels.gpu_fast import TILE, is_rendered
from nbnumba.kernels.pixel import pixel_value

#: Threads of a block, which share a tile of TILE columns and 8 rows; blocks that a multiprocessor should hold.
THREADS, BLOCKS = 128, 4
ROWS = THREADS // TILE


@cuda_kernel(threads=THREADS, blocks=BLOCKS)
def render_general(image, panel, crystal, cell, beam, sources, cells, Fhkl, mask, row0, row1, fell_out):
    """Render rows ``row0 <= s < row1`` of one panel.

    Parameters
    ----------
    image : (row1 - row0, f1 - f0) float32, photons
        Masked pixels are left as they are.
    panel, crystal, cell, beam, sources, cells, Fhkl
        As :func:`nbnumba.kernels.pixel.pixel_value` takes them.
    mask : (row1 - row0, f1 - f0) or (0, 0) uint8
    fell_out : (1,) int64
        Lowered to the number ``s * fpixels + f`` of the first pixel in which interpolation ended. Each pixel is rendered
        as if interpolation were still on when it begins; the caller renders again what comes after that pixel.
    """
    tid = cuda.threadIdx.x
    s = row0 + cuda.blockIdx.y * ROWS + tid // TILE
    f = panel.f0 + cuda.blockIdx.x * TILE + tid % TILE
    if is_rendered(panel, mask, row0, row1, s, f):
        value, interpolating = pixel_value(s, f, panel, crystal, cell, beam, sources, cells, Fhkl, cell.interpolate)
        image[s - row0, f - panel.f0] = value
        if interpolating != cell.interpolate:
            cuda.atomic.min(fell_out, 0, s * panel.fpixels + f)
