"""Numba's simulator, which runs kernels as plain Python: see :mod:`nbnumba.kernels.jit.cuda`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda, float32, float64, int32, int64, uint32

__all__ = ["Launch", "compile_device", "compile_kernel", "cuda", "float32", "float64", "int32", "int64", "libdevice"]
__all__ += ["add_wide", "funnel", "is_done", "read_anew", "read_only", "reciprocal", "shifted_down", "sign_bit"]
__all__ += ["uint32"]

libdevice = None


def reciprocal(x: Any) -> Any:
    """1 / x for a normal float32."""
    return np.float32(1) / x


def add_wide(a: Any, b: Any, c: Any) -> Any:
    """a b + c of int32 a, b and int64 c."""
    return np.int64(int(a) * int(b) + int(c))


def funnel(low: Any, high: Any, bits: Any) -> Any:
    """Upper half of 64 bits, given as two int32, shifted up by ``bits`` below 32."""
    both = int(high) << 32 | int(low) & 0xFFFFFFFF
    return np.array(both << int(bits) >> 32 & 0xFFFFFFFF, np.uint32).view(np.int32)[()]


def shifted_down(x: Any, bits: Any) -> Any:
    """x >> bits of int32, a sign kept."""
    return np.int32(int(x) >> int(bits))


def sign_bit(x: Any) -> Any:
    """1 for a negative int32, else 0."""
    return np.int32(x < 0)


def read_only(array: Any, index: Any) -> Any:
    """``array[index]``, for an array that no kernel writes meanwhile."""
    return array[index]


def read_anew(array: Any, index: Any) -> Any:
    """``array[index]``, which others may write meanwhile."""
    return array[index]


def is_done(event: Any) -> bool:
    """Whether the recorded work has finished: always, as the simulator runs it at once."""
    return True


def compile_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself."""
    return function


def compile_kernel(function: Callable[..., Any], threads: int, blocks: int) -> Any:
    """A simulated kernel."""
    return cuda.jit(function)


class Launch:
    """A kernel with its arguments, as :class:`nbnumba.kernels.jit.cuda_numba.Launch`."""

    def __init__(self, kernel: Any, threads: int, arguments: tuple[Any, ...]) -> None:
        self.kernel, self.threads, self.arguments = kernel, threads, list(arguments)

    def change(self, index: int, value: Any) -> None:
        """Put another value into the place of an argument."""
        self.arguments[index] = value

    def start(self, grid: tuple[int, ...], stream: Any) -> None:
        """Run the kernel on a grid of blocks."""
        self.kernel[grid, self.threads, stream](*self.arguments)
