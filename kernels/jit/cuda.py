"""The CUDA compiler: one interface for numba-cuda, numba-cuda-mlir and numba's simulator.

The kernels name neither package, but take from here ``cuda`` (the module with its threads, shared memory and atomics),
the number types, ``libdevice``, and the decorators. The adapters are ``cuda_numba``, ``cuda_mlir`` and
``cuda_simulator``; :mod:`nbnumba.kernels.jit.cuda_choice` chooses. Importing this imports the package and touches no device.

An adapter has

========================  ==========================================================================================
``cuda``                  the package's module of that name
``float32`` and so on     its number types, which are also casts inside kernels
``libdevice``             its module of NVIDIA's functions; None in the simulator
``reciprocal``            1 / x of a normal float32, wrong by one unit in the last place at most
``read_only``             ``array[index]`` of a float32 array through the read-only cache
``read_anew``             ``array[index]`` of an int32 array that others write meanwhile: from memory, each time
``is_done(event)``        whether all work queued before the event has finished
``add_wide``              a b + c of int32 a, b and int64 c; LLVM multiplies all 64 bits where it meets such a sum
``funnel``                upper half of 64 bits, given as lower and upper int32, shifted up by less than 32 bits
``shifted_down``          x >> n of int32 in 32 bits, which the packages shift in 64
``sign_bit``              1 for a negative int32, else 0
``compile_device(f)``     the function as a device function
``compile_kernel(f, t, b)``  the function as a kernel for blocks of t threads, b of them a multiprocessor
``Launch``                a kernel with its arguments in place, to be started many times
========================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from nbnumba.kernels.jit.cuda_choice import SIMULATOR, find_package

__all__ = [
    "PACKAGE",
    "SIMULATED",
    "Launch",
    "add_wide",
    "cuda",
    "cuda_device",
    "cuda_kernel",
    "float32",
    "float64",
    "funnel",
    "int32",
    "int64",
    "is_done",
    "libdevice",
    "read_anew",
    "read_only",
    "reciprocal",
    "shifted_down",
    "sign_bit",
    "uint32",
]

F = TypeVar("F", bound=Callable[..., Any])

_found = find_package()
if _found is None:
    raise ImportError("neither numba-cuda nor numba-cuda-mlir is installed")
#: The package in use.
PACKAGE = _found
#: Whether kernels run in numba's simulator, as plain Python.
SIMULATED = PACKAGE is SIMULATOR

_adapter: Any = import_module(f"nbnumba.kernels.jit.{PACKAGE.adapter}")
cuda: Any = _adapter.cuda
libdevice: Any = _adapter.libdevice
float32, float64 = _adapter.float32, _adapter.float64
int32, int64, uint32 = _adapter.int32, _adapter.int64, _adapter.uint32
reciprocal, read_only, read_anew = _adapter.reciprocal, _adapter.read_only, _adapter.read_anew
is_done: Any = _adapter.is_done
add_wide, funnel = _adapter.add_wide, _adapter.funnel
shifted_down, sign_bit = _adapter.shifted_down, _adapter.sign_bit
Launch: Any = _adapter.Launch


def cuda_device(function: F) -> Any:
    """Compile a function that only CUDA kernels call, into each of them.

    No fastmath: its reassociation would undo the rounding of ``gpu.ops.MAGIC``; products and sums are contracted anyway.
    """
    return _adapter.compile_device(function)


def cuda_kernel(*, threads: int, blocks: int) -> Callable[[F], Any]:
    """Compile a CUDA kernel for blocks of ``threads``, ``blocks`` of them a multiprocessor; kept on disk."""

    def wrap(function: F) -> Any:
        return _adapter.compile_kernel(function, threads, blocks)

    return wrap
