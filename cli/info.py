"""``nbnumba info``: the facts about this installation that matter for speed or for a report of an error."""

from __future__ import annotations

import os
import platform

import numba
import typer
from llvmlite import binding

import nbnumba
from nbnumba.kernels.jit import cache as kernel_cache
from nbnumba.kernels.jit.cuda_choice import find_package
from nbnumba.origin import commit, versions
from nbnumba.render.devices import survey, toolkit_version, try_kernel
from nbnumba.render.dispatch import set_threads

PACKAGES = ("numba", "llvmlite", "numpy", "fabio", "typer", "rich", "matplotlib", "numba-cuda", "numba-cuda-mlir")


def facts() -> dict[str, str]:
    """Versions, threads, vector width, kernel cache and devices, as text."""
    made_from = commit()
    found = {"nbnumba": nbnumba.__version__ + (f" ({made_from})" if made_from else ""), "system": platform.platform()}
    found |= versions(*PACKAGES)
    found["processor"] = f"{_processor()}, {os.cpu_count()} cores, {_vector_width()} bit vectors"
    found["threads"] = f"{set_threads(None)} of {numba.config.NUMBA_NUM_THREADS}"  # type: ignore[attr-defined]
    cache = kernel_cache.CACHE_DIR
    found["kernel cache"] = "none can be written: kernels are compiled in every run" if cache is None else str(cache)
    found["compiled"] = "not yet: the first run compiles the kernels" if kernel_cache.is_cold() else "yes"
    found["cpu kernel"] = _try_kernel()
    found["threading layer"] = numba.threading_layer()
    return found | _gpus()


def info() -> None:
    """Print :func:`facts`, one line each."""
    for label, text in facts().items():
        typer.echo(f"{label + ':':17}{text}")


def _gpus() -> dict[str, str]:
    """Driver and CUDA packages; name, size and test kernel of every GPU, or what is missing."""
    there = survey()
    found = {
        "CUDA driver": f"supports CUDA {there.driver}" if there.driver else "none",
        "CUDA packages": toolkit_version() or "not installed",
        "CUDA compiler": _compiler(),
    }
    for device in there.devices:
        size = f"{device.memory / 2**30:.0f} GiB, {device.processors} multiprocessors"
        capability = ".".join(map(str, device.capability))
        found[f"cuda:{device.index}"] = f"{device.name}, {size}, compute capability {capability}; {try_kernel(device)}"
    if not there.devices:
        found["GPU"] = f"none: {there.problem}; {there.cure}"
    return found


def _compiler() -> str:
    """The package that compiles kernels for CUDA."""
    try:
        package = find_package()
    except ValueError as error:
        return f"none: {error}"
    return f"{package.name} {package.version}" if package else "none"


def _try_kernel() -> str:
    """Compile and run the smallest parallel kernel."""
    import numpy as np

    from nbnumba.kernels.cpu.general import fill_rows

    rows = np.zeros(1000)
    try:
        fill_rows(rows)
    except Exception as error:  # reported as text, whatever is wrong with the compiler
        return f"fails: {type(error).__name__}: {error}"
    return "compiles and runs" if np.array_equal(rows, np.arange(1000)) else "gives wrong numbers"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _vector_width() -> int:
    features = binding.get_host_cpu_features()
    for feature, width in (("avx512f", 512), ("avx2", 256), ("sse2", 128), ("neon", 128)):
        if features.get(feature):
            return width
    return 64
