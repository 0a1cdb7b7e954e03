"""The CUDA kernels by name, and their grids; inputs and results are those of the CPU kernels of the same name.

``fast32``, ``fixed`` and ``fast64`` are made by :mod:`nbnumba.kernels.gpu.fast`, ``general`` is in
:mod:`nbnumba.kernels.gpu.general`. ``spots`` is several kernels, :mod:`nbnumba.kernels.gpu.spots`, which
:mod:`nbnumba.render.gpu.spots` launches. Importing this module imports numba.cuda but touches no device.
"""

from __future__ import annotations

from typing import Any

from nbnumba.kernels.formulas.blocks import ROUND, SQUARE
from nbnumba.kernels.gpu import close as gpu_close
from nbnumba.kernels.gpu import fast as gpu_fast
from nbnumba.kernels.gpu import general as gpu_general
from nbnumba.kernels.gpu import terms as gpu_terms


def fast_kind(shape: int, name: str) -> int:
    """Kind of a fast kernel: the lattice transform, and for square crystals the type of the phases, by its name."""
    if shape == SQUARE:
        return {"fast32": gpu_terms.SQUARE32, "fixed": gpu_terms.FIXED}.get(name, gpu_terms.SQUARE64)
    return gpu_terms.ROUND64 if shape == ROUND else gpu_terms.COMPACT64


def find_kernel(name: str, shape: int, curved: int, separate: int, interpolate: int = 0, split: int = 0) -> Any:
    """The kernel ``fast32``, ``fixed``, ``fast64`` or ``general``; compiled at its first launch."""
    if name == "general":
        return gpu_general.general_kernel(int(interpolate))
    return gpu_fast.fast_kernel(fast_kind(shape, name), int(curved), int(separate), int(split))


def find_end(name: str, shape: int, curved: int, separate: int) -> Any:
    """The kernel that adds the partial sums of ``find_kernel(..., split=1)``."""
    return gpu_close.close_kernel(fast_kind(shape, name), int(curved), int(separate))


def threads_of(name: str) -> int:
    """Threads of a block."""
    return gpu_general.THREADS if name == "general" else gpu_fast.THREADS


def find_grid(name: str, window: tuple[int, int, int, int]) -> tuple[int, int]:
    """Blocks along f and s for the pixels row0, row1, f0, f1."""
    row0, row1, f0, f1 = window
    tile = gpu_fast.TILE
    if name in ("general", "spots"):
        rows = gpu_general.ROWS if name == "general" else tile
        return max(1, -(-(f1 - f0) // tile)), max(1, -(-(row1 - row0) // rows))
    return -(-f1 // tile) - f0 // tile, -(-row1 // tile) - row0 // tile
