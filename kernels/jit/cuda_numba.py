"""numba-cuda: see :mod:`nbnumba.kernels.jit.cuda`.

numba-cuda up to 0.30 uses NumPy's ``row_stack``, which NumPy 2.5 has removed; it is restored before the first import.

Problem: numba packs all arguments of a kernel at every call, field by field of every parameter block: 650 us for those of
the fast kernels, more than they compute. Choice: :class:`Launch` packs them once, with numba's function, and passes their
addresses to the driver; an argument that changes is packed again in its place. That needs a few private attributes of
numba; if one is missing, the kernel is called in the usual, slower way.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

if not hasattr(np, "row_stack"):
    np.row_stack = np.vstack  # type: ignore[attr-defined]

from llvmlite import ir
from numba import cuda, float32, float64, int32, int64, types, uint32
from numba.cuda import libdevice
from numba.cuda.core import config
from numba.cuda.cudadrv.driver import driver
from numba.cuda.extending import intrinsic

from nbnumba.kernels.jit.cache import keep_cuda_kernels
from nbnumba.kernels.jit.compiler import tell_once
from nbnumba.kernels.jit.cuda_choice import NUMBA_CUDA
from nbnumba.kernels.jit.cuda_shared import INSTRUCTIONS, LOADS, is_done, make_instruction, make_load

__all__ = ["Launch", "compile_device", "compile_kernel", "cuda", "float32", "float64", "int32", "int64", "libdevice"]
__all__ += ["add_wide", "funnel", "is_done", "read_anew", "read_only", "reciprocal", "shifted_down", "sign_bit"]
__all__ += ["uint32"]

config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small images have small grids; nothing that users could change

_LLVM = {"int32": ir.IntType(32), "int64": ir.IntType(64), "float32": ir.FloatType()}


def _code_of(text: str, constraints: str, out: str, inputs: list[str]) -> Any:
    def codegen(context, builder, signature, args):
        function = ir.FunctionType(_LLVM[out], [_LLVM[kind] for kind in inputs])
        return builder.call(ir.InlineAsm(function, text, constraints), args)

    return codegen


reciprocal, add_wide, funnel, shifted_down, sign_bit = (
    make_instruction(name, types, intrinsic, _code_of) for name in INSTRUCTIONS
)


def _load_of(text: str, constraints: str, kind: str, stays: bool) -> Any:
    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        wide = ir.IntType(64)
        address = builder.ptrtoint(builder.gep(data, [builder.sext(args[1], wide)]), wide)
        load = ir.InlineAsm(ir.FunctionType(_LLVM[kind], [wide]), text, constraints, side_effect=stays)
        return builder.call(load, [address])

    return codegen


read_only, read_anew = (make_load(name, types, intrinsic, _load_of) for name in LOADS)


def compile_device(function: Callable[..., Any]) -> Any:
    """The function as a device function."""
    return cuda.jit(device=True, forceinline=True)(function)


def compile_kernel(function: Callable[..., Any], threads: int, blocks: int) -> Any:
    """The function as a kernel, kept on disk."""
    return keep_cuda_kernels(cuda.jit(launch_bounds=(threads, blocks))(function), config, NUMBA_CUDA.label, tell_once)


class Launch:
    """A kernel with its arguments in place, compiled and loaded for the current device.

    Parameters
    ----------
    kernel
        From :func:`compile_kernel`.
    threads : int
        Threads of a block.
    arguments : tuple
        Device arrays, NumPy and Python scalars, tuples of scalars, named or not.
    """

    def __init__(self, kernel: Any, threads: int, arguments: tuple[Any, ...]) -> None:
        self.kernel, self.threads, self.arguments = kernel, threads, list(arguments)
        self._compiled = kernel.compile(tuple(kernel.typeof_pyval(value) for value in arguments))
        self._compiled.bind()
        self._function = 0
        if not hasattr(self._compiled, "_codelibrary") or not hasattr(self._compiled, "_prepare_args"):
            return
        self._function = self._compiled._codelibrary.get_cufunc().kernel.handle
        self._places: list[list[Any]] = [self._pack(i, value) for i, value in enumerate(arguments)]
        addresses = [ctypes.addressof(place) for places in self._places for place in places]
        self._addresses = (ctypes.c_void_p * len(addresses))(*addresses)
        self._start = ctypes.addressof(self._addresses)

    def _pack(self, index: int, value: Any) -> list[Any]:
        """An argument as the kernel takes it: one object of ctypes for each number."""
        packed: list[Any] = []
        self._compiled._prepare_args(self._compiled.argument_types[index], value, 0, [], packed)
        return [ctypes.c_int64(x) if isinstance(x, int) else x for x in packed]

    def change(self, index: int, value: Any) -> None:
        """Put another value of the same type into the place of an argument; for all later starts."""
        self.arguments[index] = value
        if self._function:
            for place, packed in zip(self._places[index], self._pack(index, value), strict=True):
                place.value = packed.value

    def start(self, grid: tuple[int, ...], stream: Any) -> None:
        """Start the kernel on a grid of blocks, without waiting for it."""
        if not self._function:
            self.kernel[grid, self.threads, stream](*self.arguments)
            return
        x, y, z = (*grid, 1, 1)[:3]
        driver.cuLaunchKernel(self._function, x, y, z, self.threads, 1, 1, 0, stream.handle, self._start, 0)
