"""numba-cuda-mlir: see :mod:`nbnumba.kernels.jit.cuda`.

It cannot call functions that numba compiled for the CPU: those that a kernel calls are compiled again, from the same
Python functions, when the kernel is decorated. Its arguments are flat: :class:`Launch` flattens them once and calls the
launcher below the one that checks all types at each call.

Peculiarities of 0.6.0: ``min`` and ``max`` of unsigned numbers compare them as signed ones, so that kernels write a
conditional; ``math.ceil`` and ``math.floor`` give whole numbers, where numba's give floats; linking with optimization
has to be asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba.core.registry import CPUDispatcher
from numba_cuda_mlir import cuda, types
from numba_cuda_mlir._mlir.dialects import arith, llvm, memref
from numba_cuda_mlir._mlir.extras import types as T
from numba_cuda_mlir.cuda import libdevice
from numba_cuda_mlir.extending import intrinsic
from numba_cuda_mlir.numba_cuda.core import config
from numba_cuda_mlir.types import float32, float64, int32, int64, uint32

from nbnumba.kernels.jit.cache import keep_cuda_kernels
from nbnumba.kernels.jit.compiler import tell_once
from nbnumba.kernels.jit.cuda_choice import MLIR
from nbnumba.kernels.jit.cuda_shared import INSTRUCTIONS, LOADS, is_done, make_instruction, make_load

__all__ = ["Launch", "compile_device", "compile_kernel", "cuda", "float32", "float64", "int32", "int64", "libdevice"]
__all__ += ["add_wide", "funnel", "is_done", "read_anew", "read_only", "reciprocal", "shifted_down", "sign_bit"]
__all__ += ["uint32"]

_jit: Any = cuda.jit  # its own type takes no launch bounds

config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small images have small grids; nothing that users could change

_twins: dict[Any, Any] = {}

_MLIR = {"int32": T.i32, "int64": T.i64, "float32": T.f32}


def _code_of(text: str, constraints: str, out: str, inputs: list[str]) -> Any:
    def codegen(builder, target, args, kwargs):
        values = [builder.load_var(argument) for argument in args]
        builder.store_var(target, llvm.inline_asm(_MLIR[out](), values, text, constraints))

    return codegen


reciprocal, add_wide, funnel, shifted_down, sign_bit = (
    make_instruction(name, types, intrinsic, _code_of) for name in INSTRUCTIONS
)


def _load_of(text: str, constraints: str, kind: str, stays: bool) -> Any:
    def codegen(builder, target, args, kwargs):
        start = arith.index_cast(T.i64(), memref.extract_aligned_pointer_as_index(builder.load_var(args[0])))
        wide = arith.extsi(T.i64(), builder.load_var(args[1]))
        address = arith.addi(start, arith.muli(wide, arith.constant(T.i64(), 4)))
        value = llvm.inline_asm(_MLIR[kind](), [address], text, constraints, has_side_effects=stays)
        builder.store_var(target, value)

    return codegen


read_only, read_anew = (make_load(name, types, intrinsic, _load_of) for name in LOADS)


def twin(value: Any) -> Any:
    """The device function that replaces a CPU function inside a kernel; any other value unchanged."""
    if not isinstance(value, CPUDispatcher):
        return value
    if value not in _twins:
        _twins[value] = compile_device(value.py_func)
    return _twins[value]


def translated(function: Callable[..., Any]) -> Any:
    """The function with its CPU functions replaced by their :func:`twin`."""
    known = function.__globals__  # type: ignore[attr-defined]
    code = function.__code__  # type: ignore[attr-defined]
    called = {name: twin(known[name]) for name in code.co_names if isinstance(known.get(name), CPUDispatcher)}
    if not called:
        return function
    closure = function.__closure__  # type: ignore[attr-defined]
    copy = FunctionType(code, known | called, function.__name__, function.__defaults__, closure)  # type: ignore[attr-defined]
    copy.__module__, copy.__qualname__, copy.__doc__ = function.__module__, function.__qualname__, function.__doc__
    return copy


def compile_device(function: Callable[..., Any]) -> Any:
    """The function as a device function."""
    return _jit(device=True, forceinline=True, lto=True)(translated(function))


def compile_kernel(function: Callable[..., Any], threads: int, blocks: int) -> Any:
    """The function as a kernel, kept on disk."""
    compiled = _jit(launch_bounds=(threads, blocks), lto=True)(translated(function))
    return keep_cuda_kernels(compiled, config, MLIR.label, tell_once)


def flat(value: Any) -> list[Any]:
    """The numbers and arrays of an argument."""
    return [x for item in value for x in flat(item)] if isinstance(value, tuple) else [value]


class Launch:
    """A kernel with its arguments, as :class:`nbnumba.kernels.jit.cuda_numba.Launch`."""

    def __init__(self, kernel: Any, threads: int, arguments: tuple[Any, ...]) -> None:
        self.kernel, self.threads, self.arguments = kernel, threads, list(arguments)
        self._flat: list[list[Any]] = [flat(value) for value in arguments]
        self._launchers: dict[Any, Any] = {}
        kernel.compile_for(*arguments)

    def change(self, index: int, value: Any) -> None:
        """Put another value of the same type into the place of an argument; for all later starts."""
        self.arguments[index], self._flat[index] = value, flat(value)

    def start(self, grid: tuple[int, ...], stream: Any) -> None:
        """Start the kernel on a grid of blocks, without waiting for it."""
        launcher = self._launchers.get((grid, stream))
        if launcher is None:
            configured = self.kernel[grid, self.threads, stream]
            configured(*self.arguments)
            # the one that takes flat arguments, and knows their types from the call just made
            self._launchers[grid, stream] = getattr(configured, "_launcher", lambda *_: configured(*self.arguments))
            return
        launcher(*[x for values in self._flat for x in values])
