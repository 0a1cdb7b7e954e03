"""A finished band put into an image on the device."""

from __future__ import annotations

from nbnumba.kernels.gpu.fast import TILE, is_rendered
from nbnumba.kernels.jit.cuda import cuda, cuda_kernel

#: Threads of a block, which share a tile of TILE columns and 8 rows.
THREADS = 128
ROWS = THREADS // TILE


@cuda_kernel(threads=THREADS, blocks=4)
def place_band(image, band, light, window, mask):
    """Copy a band into its window of an image, and add light that was there before.

    Parameters
    ----------
    image : (spixels, fpixels) float32
        Pixels outside the window, or 0 in ``mask``, are left as they are.
    band : (row1 - row0, f1 - f0) float32
    light : (spixels, fpixels) or (0, 0) float32
        Amorphous background.
    window : tuple of 4 int
        row0, row1, f0, f1.
    mask : (row1 - row0, f1 - f0) or (0, 0) uint8
    """
    tid = cuda.threadIdx.x
    row0, f0 = window[0], window[2]
    s = row0 + cuda.blockIdx.y * ROWS + tid // TILE
    f = f0 + cuda.blockIdx.x * TILE + tid % TILE
    if is_rendered(window, mask, s, f):
        value = band[s - row0, f - f0]
        image[s, f] = value + light[s, f] if light.shape[0] > 0 else value
