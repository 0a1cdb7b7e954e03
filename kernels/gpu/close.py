"""Add the partial sums of several blocks (split tiles), and convert them to photons.

See :mod:`nbnumba.render.gpu.split`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from nbnumba.kernels.gpu.fast import TILE, finished, is_rendered
from nbnumba.kernels.jit.cuda import cuda, cuda_kernel

#: Threads of a block, which share a tile of TILE columns and 8 rows.
THREADS = 128
ROWS = THREADS // TILE


@cache
def close_kernel(kind: int, curved: int, separate: int) -> Any:
    """The kernel that adds the partial sums of :func:`nbnumba.kernels.gpu.fast.fast_kernel` of the same kind.

    Its arguments are named as there; ``partial``: (portions, row1 - row0, f1 - f0) float64. Portions are added in
    their order, as a kernel that has all of them does.
    """

    @cuda_kernel(threads=THREADS, blocks=4)
    def close_fast(image, window, panel, crystal, beam, sources, mask, partial):
        tid = cuda.threadIdx.x
        row0, f0 = window[0], window[2]
        s = row0 + cuda.blockIdx.y * ROWS + tid // TILE
        f = f0 + cuda.blockIdx.x * TILE + tid % TILE
        if is_rendered(window, mask, s, f):
            total = 0.0
            for part in range(partial.shape[0]):
                total += partial[part, s - row0, f - f0]
            image[s - row0, f - f0] = finished(kind, panel, curved, separate, crystal, beam, sources, s, f, total)

    return close_fast
