"""Set-up of Numba before the first kernel: a faster start, and a log line when kernels are compiled.

Numba reports every function that it compiles for the CPU, and not those that it loads from the cache; CUDA kernels are
reported by their caches (:func:`nbnumba.kernels.jit.cache.keep_cuda_kernels`). So the line about compiling is logged only if
kernels are compiled.
"""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

import numba

from nbnumba.kernels.jit.cache import CACHE_DIR, cache_root
from nbnumba.kernels.jit.numba_private import has_cache

log = logging.getLogger("nbnumba")

_told = False


def tell_compiling(event: ModuleType) -> None:
    """Log a line when a kernel is compiled, once in a process.

    Parameters
    ----------
    event : module
        Numba's module of events.
    """
    event.register("numba:compile", type("Teller", (event.Listener,), {"on_start": _tell, "on_end": _ignore})())


def _tell(listener: Any, event: Any) -> None:
    module = getattr(event.data["dispatcher"].py_func, "__module__", None) or ""
    if module.startswith("nbnumba."):
        tell_once()


def tell_once() -> None:
    """Log the line about compiling, once in a process."""
    global _told
    if _told:
        return
    _told = True
    if not has_cache():
        log.info(f"compiling kernels, in every run: nbnumba does not know the cache of Numba {numba.__version__}")
    elif CACHE_DIR is None:
        log.info(f"compiling kernels, in every run: {cache_root()} cannot be written; name a folder in NUMBA_CACHE_DIR")
    else:
        log.info("compiling kernels (once) ...")


def _ignore(listener: Any, event: Any) -> None:
    pass


def postpone_scipy() -> None:
    """Import Numba's array functions without SciPy's linear algebra.

    They ask whether it is there, which takes a tenth of a second, for the sake of what no kernel of this package
    calls; where it is needed Numba asks again. This package depends on SciPy: the answer is yes.
    """
    from numba.np import linalg

    ask = getattr(linalg, "ensure_blas", None)
    if ask is None or "numba.np.arraymath" in sys.modules:
        return
    linalg.ensure_blas = lambda: None
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        linalg.ensure_blas = ask
