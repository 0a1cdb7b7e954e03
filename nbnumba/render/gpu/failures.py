"""Errors of a GPU in one sentence: exceptions of the CUDA packages become :class:`nbnumba.errors.DeviceError`.

An exception belongs to CUDA if it was raised inside the packages that compile for it or call the driver, whatever its
class: an AttributeError of a package with the wrong version explains as little to a user as an error number of the driver.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from nbnumba.errors import DeviceError, first_line
from nbnumba.kernels.jit.cuda_choice import PACKAGES, SIMULATOR

#: Most characters of a foreign message that are quoted.
LONGEST = 300
#: pattern in class and message of an exception -> what it means, and the cure
_KNOWN = (
    (
        r"OUT_OF_MEMORY|MemoryError",
        "the GPU has too little free memory; close other programs that use it, or use --device cpu",
    ),
    (r"libnvvm|NvvmSupport|nvvm\.so|libNVVM", "the CUDA compiler (libnvvm) was not found; pip install 'nbnumba[cuda]'"),
    (r"nvjitlink|nvJitLink", "the CUDA linker (nvjitlink) was not found or fails; pip install 'nbnumba[cuda]'"),
    (
        r"UNSUPPORTED_PTX_VERSION|NO_BINARY_FOR_GPU|INVALID_PTX|INSUFFICIENT_DRIVER|driver version is insufficient",
        "the NVIDIA driver is older than the CUDA packages; pip install 'nbnumba[cuda12]', or install a newer driver",
    ),
    (
        r"ModuleNotFoundError|ImportError|AttributeError|TypeError",
        "the versions of the CUDA packages do not match; pip install --upgrade 'nbnumba[cuda]'",
    ),
    (
        r"ILLEGAL_ADDRESS|LAUNCH_FAILED|ECC_UNCORRECTABLE|DEVICES?_UNAVAILABLE|DEVICE_LOST|NOT_PERMITTED|LAUNCH_TIMEOUT",
        "the GPU was lost; run nvidia-smi for the reason",
    ),
)


def is_of_cuda(error: BaseException) -> bool:
    """Whether an exception was raised in one of the CUDA packages, or is of one of their classes."""
    beginnings = tuple(part for package in (*PACKAGES, SIMULATOR) for part in package.frames)
    places = [kind.__module__ for kind in type(error).__mro__]
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        places.append(str(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    if any(f"{place}.".startswith(beginnings) for place in places):
        return True
    adapters = [place.startswith("nbnumba.kernels.jit.cuda") for place in places]
    # raised by a launcher in C; or a package is installed but cannot be imported, or lacks a dependency
    return adapters[-1] or (isinstance(error, ImportError) and any(adapters))


def explained(error: BaseException, where: object) -> DeviceError | None:
    """A failure of CUDA as an error for the user; None if it is something else."""
    if isinstance(error, DeviceError) or not is_of_cuda(error):
        return None
    # CUDA explains some errors in a paragraph, and quotes names of kernels that hold all their types
    sentence = first_line(error).partition(". ")[0]
    said = f"{type(error).__name__}: {textwrap.shorten(sentence, LONGEST, placeholder=' ...')[:LONGEST]}"
    meaning = next((text for pattern, text in _KNOWN if re.search(pattern, said)), "")
    return DeviceError(f"{where} failed: {meaning} ({said})" if meaning else f"{where} failed: {said}")


@contextmanager
def guarded(where: object) -> Iterator[None]:
    """Convert exceptions of CUDA in the block into a DeviceError that names ``where``."""
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:
        raise explained(error, where) or error from error
