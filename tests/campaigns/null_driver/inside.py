"""For programs that run under the driver: its figures, and faults that begin while they run."""

from __future__ import annotations

import ctypes
import gc

NAMES = ("device", "device_bytes", "pinned", "pinned_bytes", "streams", "events", "modules")


def driver() -> ctypes.CDLL:
    """The driver that this process has loaded.

    Raises
    ------
    RuntimeError
        It is another one than the null driver.
    """
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "null_driver_figure"):
        raise RuntimeError("this process does not run under the null driver")
    library.null_driver_figure.restype = ctypes.c_long
    library.null_driver_last_failed.restype = ctypes.c_char_p
    return library


def figure(name: str) -> int:
    """One of the driver's figures: ``pinned``, ``device_bytes.peak``, ``streams.made``, ``launches``, ``cuMemAlloc``,
    ``calls.copy``.
    """
    value = driver().null_driver_figure(name.encode())
    if value < 0:
        raise KeyError(name)
    return int(value)


def stay_current() -> None:
    """Make the first device's context current in this thread for good, as a program does that uses CUDA by itself."""
    context = ctypes.c_void_p()
    if driver().cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) or driver().cuCtxSetCurrent(context):
        raise RuntimeError("the driver gives no context")


def flush(devices: int = 1) -> None:
    """Let the CUDA package free now what it keeps, to free it in batches."""
    from nbnumba.kernels.jit.cuda import cuda

    gc.collect()
    for index in range(devices):
        with cuda.gpus[index]:
            context = cuda.current_context()
            context.deallocations.clear()
            context.memory_manager.deallocations.clear()


def live() -> dict[str, int]:
    """What is allocated now, after a collection of garbage."""
    gc.collect()
    return {name: figure(name) for name in NAMES}


def reset() -> None:
    """Forget counts, peaks and faults, and find lost devices again; what is allocated stays."""
    driver().null_driver_reset()


def fail(faults: str) -> None:
    """Let calls fail from now on, as ``NULL_DRIVER_FAIL`` does."""
    if driver().null_driver_fail(faults.encode()) != 0:
        raise ValueError(f"the faults {faults} cannot be read")


def last_failed() -> str:
    """Name of the call in which the last fault came; empty if none did."""
    return str(driver().null_driver_last_failed().decode())
