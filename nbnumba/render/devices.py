"""CUDA devices: the usable ones, or what is missing and how to get it, without importing a CUDA package.

The driver library is called through ctypes: without an NVIDIA GPU that costs one failed look-up of a library. No function
here makes a context or allocates memory on a device.
"""

from __future__ import annotations

import ctypes
import re
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from nbnumba.errors import ConfigError, DeviceError, first_line
from nbnumba.kernels.jit.cuda_choice import find_package, is_simulated

#: Oldest CUDA version (as the driver counts) that the CUDA packages run on, and compute capability of the kernels.
OLDEST_DRIVER = 12000
OLDEST_CAPABILITY = (7, 5)
INSTALL = "python -m pip install 'nbnumba[cuda]'"

_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_MAJOR, _MINOR, _PROCESSORS, _CLOCK = 75, 76, 16, 13  # CUdevice_attribute


@dataclass(frozen=True)
class Device:
    """A GPU: number, name, compute capability, memory (bytes), multiprocessors, clock (Hz)."""

    index: int
    name: str
    capability: tuple[int, int]
    memory: int
    processors: int
    clock: float

    def __str__(self) -> str:
        return f"cuda:{self.index} ({self.name})"


@dataclass(frozen=True)
class Survey:
    """Usable devices, else the problem and its cure; CUDA versions of the driver and of the packages."""

    devices: tuple[Device, ...] = ()
    problem: str = ""
    cure: str = ""
    driver: str = ""
    toolkit: str = ""


def _load_driver() -> ctypes.CDLL | None:
    names = ["nvcuda.dll"] if sys.platform == "win32" else ["libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except (OSError, UnicodeDecodeError):  # the linker's message may be in another encoding than Python's
            continue
    return None


def toolkit_version() -> str:
    """Version of the installed CUDA packages that kernels are compiled with; empty if there are none."""
    for package in ("cuda-toolkit", "nvidia-cuda-nvcc-cu12", "cuda-bindings"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""


def _described(driver: ctypes.CDLL, index: int) -> Device:
    handle, number = ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    driver.cuDeviceGet(ctypes.byref(handle), index)
    driver.cuDeviceGetName(name, len(name), handle)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    found = []
    for attribute in (_MAJOR, _MINOR, _PROCESSORS, _CLOCK):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, handle)
        found.append(number.value)
    return Device(index, name.value.decode(), (found[0], found[1]), memory.value, found[2], found[3] * 1e3)


@cache
def survey() -> Survey:
    """Look for usable GPUs; the driver is queried once in a process."""
    if is_simulated():
        return Survey((Device(0, "simulator", (0, 0), 1 << 34, 1, 1.0),))
    driver = _load_driver()
    if driver is None:
        return Survey(problem="no NVIDIA driver was found", cure=f"install NVIDIA's driver, then {INSTALL}")
    status = driver.cuInit(0)
    number = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(number))
    supported, toolkit = f"{number.value // 1000}.{number.value % 1000 // 10}", toolkit_version()
    if status == 0:
        count = ctypes.c_int()
        status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status == _NO_DEVICE or (status == 0 and count.value == 0):
        return Survey(
            problem="no NVIDIA GPU was found",
            cure="check that one is installed, and that CUDA_VISIBLE_DEVICES does not hide it",
        )
    if status != 0:
        return Survey(
            problem=f"the NVIDIA driver does not start (error {status})",
            cure="run nvidia-smi for the reason",
            driver=supported,
        )
    if number.value < OLDEST_DRIVER:
        problem = f"the NVIDIA driver is too old: it supports CUDA {supported}, 12.0 is needed"
        return Survey(problem=problem, cure="install driver 525 or newer", driver=supported)
    try:
        package = find_package()
    except ValueError as error:
        problem, _, cure = str(error).partition(": ")
        return Survey(problem=problem, cure=cure or "name one of the two, or unset it", driver=supported)
    if package is None:
        return Survey(problem="the package numba-cuda is not installed", cure=INSTALL, driver=supported)
    if toolkit and int(toolkit.split(".")[0]) > number.value // 1000:
        problem = f"the NVIDIA driver supports CUDA {supported} only, but the installed CUDA packages are {toolkit}"
        cure = "python -m pip install 'nbnumba[cuda12]', or install a newer driver"
        return Survey(problem=problem, cure=cure, driver=supported, toolkit=toolkit)
    devices = [_described(driver, index) for index in range(count.value)]
    usable = tuple(device for device in devices if device.capability >= OLDEST_CAPABILITY)
    if not usable:
        best = max(devices, key=lambda device: device.capability)
        problem = f"{best.name} has compute capability {best.capability[0]}.{best.capability[1]}, 7.5 is needed"
        return Survey(problem=problem, cure="use --device cpu", driver=supported, toolkit=toolkit)
    return Survey(usable, driver=supported, toolkit=toolkit)


def choose_devices(wanted: str) -> tuple[Device, ...]:
    """The devices that ``cuda``, ``cuda:N``, ``cuda:N,M`` or ``cuda:all`` mean.

    Raises
    ------
    ConfigError
        No such name.
    DeviceError
        The device does not exist, or none does; the message says what is missing and how to get it.
    """
    name = re.fullmatch(r"cuda(?::(\d+(?:,\d+)*|all))?", wanted, re.ASCII)
    if name is None:
        raise ConfigError(f"--device must be auto, cpu, cuda, cuda:N or cuda:all, got {wanted}")
    found = survey()
    if not found.devices:
        raise DeviceError(f"device {wanted} is unavailable: {found.problem}; {found.cure}")
    if name[1] == "all":
        return found.devices
    numbers = [int(n) for n in (name[1] or str(found.devices[0].index)).split(",")]
    by_number = {device.index: device for device in found.devices}
    if not set(numbers) <= set(by_number):
        have = ", ".join(str(device) for device in found.devices)
        raise DeviceError(f"device {wanted} is unavailable: this machine has {have}")
    return tuple(by_number[number] for number in dict.fromkeys(numbers))


def try_kernel(device: Device) -> str:
    """Compile and run a tiny kernel on a device; returns the outcome as text."""
    import numpy as np

    try:
        from nbnumba.kernels.jit.cuda import cuda

        with cuda.gpus[device.index], warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numba warns about a grid of a single block

            @cuda.jit
            def fill(numbers):
                i = cuda.grid(1)
                if i < numbers.size:
                    numbers[i] = i

            numbers = cuda.to_device(np.zeros(32, np.int32))
            fill[1, 32](numbers)
            good = np.array_equal(numbers.copy_to_host(), np.arange(32))
    except Exception as error:  # reported as text, whatever is wrong with compiler or driver
        from nbnumba.render.gpu.failures import explained

        told = explained(error, "it")
        return str(told) if told else f"fails: {type(error).__name__}: {first_line(error)}"
    return "compiles and runs" if good else "gives wrong numbers"
