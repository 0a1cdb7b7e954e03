"""Calls that are wrong, one after the other: what the driver answers is printed as JSON.

The answers that are right are in tests/campaigns/test_null_driver.py. The driver is called through ctypes, as nothing
between would let such calls pass; the machine code is that of a kernel that Numba compiles.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from ctypes import byref, c_float, c_int32, c_size_t, c_uint64, c_void_p
from typing import Any

import numpy as np
from numba import cuda

from tests.campaigns.null_driver.inside import driver, figure

cu = driver()
MISTAKES: dict[str, Callable[[], int]] = {}


def mistake(function: Callable[[], int]) -> Callable[[], int]:
    """Take a function among those that are tried."""
    MISTAKES[function.__name__.replace("_", " ")] = function
    return function


@cuda.jit("void(float32[::1], float32, int32)", launch_bounds=(64, 1))
def scale(numbers, factor, n):
    i = cuda.grid(1)
    if i < n:
        numbers[i] *= factor


def machine_code() -> tuple[bytes, str]:
    """The kernel as an ELF file, and its name."""
    (compiled,) = scale.overloads.values()
    library = compiled._codelibrary
    return bytes(library.get_cubin(cc=(9, 0)).code), compiled.entry_name


def good(status: int) -> None:
    """Check a call that is right."""
    assert status == 0, status


def loaded(code: bytes, name: str) -> c_void_p:
    """The kernel, ready to be launched."""
    library, kernel = c_void_p(), c_void_p()
    good(cu.cuLibraryLoadData(byref(library), code, None, None, 0, None, None, 0))
    good(cu.cuLibraryGetKernel(byref(kernel), library, name.encode()))
    return kernel


def context(index: int) -> c_void_p:
    """The context of a device, which becomes current."""
    handle = c_void_p()
    good(cu.cuDevicePrimaryCtxRetain(byref(handle), index))
    good(cu.cuCtxSetCurrent(handle))
    return handle


def allocated(size: int = 400) -> int:
    """Device memory."""
    address = c_uint64()
    good(cu.cuMemAlloc_v2(byref(address), c_size_t(size)))
    return address.value


def pinned(flags: int, size: int = 400) -> int:
    """Pinned memory."""
    address = c_void_p()
    good(cu.cuMemHostAlloc(byref(address), c_size_t(size), flags))
    return address.value or 0


def stream() -> c_void_p:
    """A stream."""
    handle = c_void_p()
    good(cu.cuStreamCreate(byref(handle), 1))
    return handle


def launch(address: int, *, grid: int = 1, block: int = 64, on: Any = None, table: Any = ...) -> int:
    """Launch the kernel on 100 float32 at an address."""
    array = [
        c_uint64(number) for number in (0, 0, 100, 4, address, 100, 4)
    ]  # owner, owner, items, bytes, address, shape
    values: list[Any] = [*array, c_float(2.0), c_int32(100)]
    pointers = (c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    table = pointers if table is ... else table(pointers)
    return int(cu.cuLaunchKernel(kernel, grid, 1, 1, block, 1, 1, 0, on, table, None))


def copy_back(address: int, size: int = 400) -> int:
    """Copy from the device."""
    target = (ctypes.c_char * 4096)()
    return int(cu.cuMemcpyDtoH_v2(target, c_uint64(address), c_size_t(size)))


@mistake
def freed_memory() -> int:
    address = allocated()
    good(cu.cuMemFree_v2(c_uint64(address)))
    return launch(address)


@mistake
def memory_of_the_host() -> int:
    return launch(np.zeros(100).ctypes.data)


@mistake
def address_behind_an_allocation() -> int:
    return launch(allocated() + 400)


@mistake
def pinned_memory_that_is_not_mapped() -> int:
    return launch(pinned(0))


@mistake
def memory_of_another_device() -> int:
    address = allocated()
    good(cu.cuCtxPushCurrent_v2(second))
    status = launch(address)
    good(cu.cuCtxPopCurrent_v2(None))
    return status


@mistake
def no_arguments() -> int:
    return launch(allocated(), table=lambda pointers: None)


@mistake
def unreadable_argument() -> int:
    def spoilt(pointers: Any) -> Any:
        pointers[4] = 8
        return pointers

    return launch(allocated(), table=spoilt)


@mistake
def misaligned_argument() -> int:
    room = (ctypes.c_char * 64)()

    def spoilt(pointers: Any) -> Any:
        pointers[7] = ctypes.addressof(room) // 16 * 16 + 18  # of a float32
        return pointers

    return launch(allocated(), table=spoilt)


@mistake
def empty_grid() -> int:
    return launch(allocated(), grid=0)


@mistake
def large_block() -> int:
    return launch(allocated(), block=128)


@mistake
def copy_beyond_the_end() -> int:
    return copy_back(allocated() + 40)


@mistake
def copy_of_freed_memory() -> int:
    address = allocated()
    good(cu.cuMemFree_v2(c_uint64(address)))
    return copy_back(address)


@mistake
def memset_beyond_the_end() -> int:
    return int(cu.cuMemsetD8_v2(c_uint64(allocated()), 0, c_size_t(401)))


@mistake
def freed_twice() -> int:
    address = allocated()
    good(cu.cuMemFree_v2(c_uint64(address)))
    return int(cu.cuMemFree_v2(c_uint64(address)))


@mistake
def pinned_freed_twice() -> int:
    address = pinned(0)
    good(cu.cuMemFreeHost(c_void_p(address)))
    return int(cu.cuMemFreeHost(c_void_p(address)))


@mistake
def device_address_of_plain_pinned_memory() -> int:
    return int(cu.cuMemHostGetDevicePointer_v2(byref(c_uint64()), c_void_p(pinned(0)), 0))


@mistake
def destroyed_stream() -> int:
    handle = stream()
    good(cu.cuStreamDestroy_v2(handle))
    return launch(allocated(), on=handle)


@mistake
def stream_of_another_device() -> int:
    good(cu.cuCtxPushCurrent_v2(second))
    handle = stream()
    good(cu.cuCtxPopCurrent_v2(None))
    return launch(allocated(), on=handle)


@mistake
def stream_that_is_none() -> int:
    return launch(allocated(), on=c_void_p(0x1234))


@mistake
def destroyed_event() -> int:
    handle = c_void_p()
    good(cu.cuEventCreate(byref(handle), 0))
    good(cu.cuEventDestroy_v2(handle))
    return int(cu.cuEventRecord(handle, None))


@mistake
def code_that_is_none() -> int:
    return int(cu.cuLibraryLoadData(byref(c_void_p()), b".version 9.0" + b" " * 99, None, None, 0, None, None, 0))


@mistake
def code_for_another_device() -> int:
    other = bytearray(code)
    other[0x31 if code[8] >= 8 else 0x30] = 80  # in e_flags
    return int(cu.cuLibraryLoadData(byref(c_void_p()), bytes(other), None, None, 0, None, None, 0))


@mistake
def no_context() -> int:
    good(cu.cuCtxSetCurrent(None))
    status = int(cu.cuMemAlloc_v2(byref(c_uint64()), c_size_t(4)))
    good(cu.cuCtxSetCurrent(first))
    return status


@mistake
def context_that_was_given_back() -> int:
    good(cu.cuCtxPushCurrent_v2(second))
    good(cu.cuDevicePrimaryCtxRelease_v2(1))
    status = int(cu.cuMemAlloc_v2(byref(c_uint64()), c_size_t(4)))
    good(cu.cuDevicePrimaryCtxRetain(byref(c_void_p()), 1))
    good(cu.cuCtxPopCurrent_v2(None))
    return status


def parameters() -> list[tuple[int, int]]:
    """Offset and size of the kernel's parameters, until there are no more."""
    found: list[tuple[int, int]] = []
    offset, size = c_size_t(), c_size_t()
    while cu.cuKernelGetParamInfo(kernel, c_size_t(len(found)), byref(offset), byref(size)) == 0:
        found.append((offset.value, size.value))
    return found


if __name__ == "__main__":
    code, entry = machine_code()
    first, second = context(0), c_void_p()
    good(cu.cuDevicePrimaryCtxRetain(byref(second), 1))
    kernel = loaded(code, entry)
    good(launch(allocated()))
    mapped = c_uint64()
    host = pinned(2)
    good(cu.cuMemHostGetDevicePointer_v2(byref(mapped), c_void_p(host), 0))
    good(launch(mapped.value))
    good(copy_back(allocated(), 400))
    assert figure("errors") == 0
    answers = {name: act() for name, act in MISTAKES.items()}
    print(json.dumps({"answers": answers, "parameters": parameters(), "launches": figure("launches")}))
