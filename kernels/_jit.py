"""The only place that names jit options and the cache.

Problem: Numba keys a cached function by the text of its own file only. A kernel in ``cpu.py`` that calls a function of
``lattice.py`` keeps answering with the old formula after ``lattice.py`` was edited or upgraded.

Choice: the cache lives in a folder named by a digest of all files of this package and of the versions that compile
them, so that any change starts a fresh folder. Cost: one hash of some ten small files at import. Misuse: a function
decorated with ``numba.njit(cache=True)`` elsewhere would fall back into the trap; use the decorators below.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

#: Relaxations that let LLVM vectorize sums; NaN and infinity keep their meaning.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
#: The same without changes of the order in which terms are added: where float32 must cancel exactly.
ORDERED = {"contract", "nsz", "arcp"}
#: Whether CUDA kernels run in the simulator, as plain Python.
SIMULATED = bool(numba.config.ENABLE_CUDASIM)  # type: ignore[attr-defined]
#: For results that must not depend on how the compiler groups a sum (the reference's order, exact noise).
STRICT: set[str] = set()


def cache_root() -> Path:
    """Folder below which compiled kernels are kept: ``NUMBA_CACHE_DIR``, else the user's cache folder."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "nbnumba"


def _digest() -> str:
    text = hashlib.sha256(f"{numba.__version__} {np.__version__} {sys.version_info[:2]}".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        text.update(file.name.encode() + b"\0" + file.read_bytes())
    return text.hexdigest()[:16]


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _find_cache() -> Path | None:
    try:
        folder = cache_root() / _digest()
    except (OSError, RuntimeError):  # no home folder, unreadable package
        return None
    return folder if _usable(folder) else None


#: Where compiled kernels are kept, or None when no folder can be written: then every process compiles anew.
CACHE_DIR: Path | None = _find_cache()


def is_cold() -> bool:
    """Whether this process has to compile its kernels: nothing is cached yet for this version."""
    return CACHE_DIR is None or not any(CACHE_DIR.rglob("*.nbi"))


def device(
    function: F | None = None, *, fastmath: set[str] = FASTMATH, inline: str = "never", forceinline: bool = False
) -> Any:
    """Compile scalar physics that CPU and CUDA kernels both call.

    ``forceinline`` has LLVM put the function into its callers: a call copies each parameter block, field by field.
    """

    def wrap(f: F) -> Any:
        return njit(  # type: ignore[call-overload]
            fastmath=fastmath, error_model="numpy", inline=inline, forceinline=forceinline
        )(f)

    return wrap if function is None else wrap(function)


def kernel(*, parallel: bool = True, fastmath: set[str] | bool = FASTMATH) -> Callable[[F], Any]:
    """Compile a CPU kernel, kept on disk between processes."""

    def wrap(f: F) -> Any:
        compiled = njit(parallel=parallel, fastmath=fastmath, error_model="numpy", nogil=True)(f)
        if CACHE_DIR is not None and hasattr(compiled, "enable_caching"):
            previous = numba.config.CACHE_DIR  # type: ignore[attr-defined]
            numba.config.CACHE_DIR = str(CACHE_DIR)  # type: ignore[attr-defined]
            try:
                compiled.enable_caching()
            finally:
                numba.config.CACHE_DIR = previous  # type: ignore[attr-defined]
        return compiled

    return wrap


def cuda_device(function: F) -> Any:
    """Compile a function that only CUDA kernels call, into each of them.

    No fastmath: its reassociation would undo the rounding of ``gpu_ops.MAGIC``; products and sums are contracted anyway.
    """
    if SIMULATED:
        return function
    from numba import cuda

    return cuda.jit(device=True, forceinline=True)(function)


def cuda_kernel(*, threads: int, blocks: int) -> Callable[[F], Any]:
    """Compile a CUDA kernel for blocks of ``threads``, ``blocks`` of them a multiprocessor; kept on disk."""

    def wrap(f: F) -> Any:
        from numba import cuda

        if SIMULATED:
            return cuda.jit(f)
        from numba.cuda.core import config  # numba-cuda has its own

        config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # small images have small grids; nothing that users could change
        compiled = cuda.jit(launch_bounds=(threads, blocks))(f)
        if CACHE_DIR is not None and hasattr(compiled, "enable_caching"):
            previous, config.CACHE_DIR = config.CACHE_DIR, str(CACHE_DIR)
            try:
                compiled.enable_caching()
            finally:
                config.CACHE_DIR = previous
        return compiled

    return wrap
