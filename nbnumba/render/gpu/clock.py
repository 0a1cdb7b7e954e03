"""Clock of a GPU's multiprocessors while it works, read by way of NVIDIA's management library (NVML).

The library comes with the driver; where it is missing, or the device refuses, there are no readings. Nothing here makes a
CUDA context.
"""

from __future__ import annotations

import ctypes
import statistics
import sys
import threading
from functools import cache
from types import TracebackType
from typing import Any

_SM_CLOCK = 1  # NVML_CLOCK_SM
#: Seconds between two readings: the device itself renews the value some hundred times a second.
PERIOD = 0.002


@cache
def _library() -> Any:
    name = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return None
    return library if library.nvmlInit_v2() == 0 else None


def _bus_address(index: int) -> bytes:
    """PCI address of a device as CUDA numbers them, which is not NVML's order; empty if unknown."""
    driver_name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(driver_name)
        ask = driver.cuDeviceGetPCIBusId
    except (OSError, AttributeError):
        return b""
    handle, text = ctypes.c_int(), ctypes.create_string_buffer(32)
    found = driver.cuInit(0) == 0 and driver.cuDeviceGet(ctypes.byref(handle), index) == 0
    return text.value if found and ask(text, len(text), handle) == 0 else b""


@cache
def _handle(index: int) -> ctypes.c_void_p | None:
    library = _library()
    if library is None:
        return None
    handle, address = ctypes.c_void_p(), _bus_address(index)
    if address:
        status = library.nvmlDeviceGetHandleByPciBusId_v2(address, ctypes.byref(handle))
    else:
        status = library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
    return handle if status == 0 else None


def read_clock(index: int) -> float | None:
    """Clock of the multiprocessors (Hz) of device ``index``, as CUDA numbers them, now; None if it cannot be read."""
    handle = _handle(index)
    megahertz = ctypes.c_uint()
    if handle is None or _library().nvmlDeviceGetClockInfo(handle, _SM_CLOCK, ctypes.byref(megahertz)) != 0:
        return None
    return megahertz.value * 1e6


class ClockLog:
    """Reads a device's clock at intervals while the block runs.

    Attributes
    ----------
    readings : list of float
        Hz; empty where the clock cannot be read.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.readings: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD):
            reading = read_clock(self.index)
            if reading is None:
                return
            self.readings.append(reading)

    def __enter__(self) -> ClockLog:
        if read_clock(self.index) is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def note(self) -> None:
        """Read the clock now: for work that is shorter than the time between two readings."""
        reading = read_clock(self.index)
        if reading is not None:
            self.readings.append(reading)

    @property
    def median(self) -> float | None:
        """Median of the readings (Hz), None without any."""
        return statistics.median(self.readings) if self.readings else None

    def record(self) -> dict[str, Any] | None:
        """Median, least and largest reading (Hz) and their number, for JSON."""
        if not self.readings:
            return None
        return {
            "median_Hz": self.median,
            "least_Hz": min(self.readings),
            "most_Hz": max(self.readings),
            "readings": len(self.readings),
        }
