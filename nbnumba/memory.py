"""Check, before an allocation, that it fits in memory; keep what is derived from a value as long as the value lives."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Hashable
from typing import Any

from nbnumba.errors import ResourceError


def available_bytes() -> int:
    """Memory (bytes) that this process can still allocate, as the system reports it, within ``ulimit -v``."""
    amounts = []
    try:
        with open("/proc/meminfo") as meminfo:
            amounts += [int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemAvailable:")]
    except OSError:
        pass
    if not amounts:
        try:
            amounts.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        except (AttributeError, ValueError, OSError):
            amounts.append(8 << 30)
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            amounts.append(soft)
    except ImportError:
        pass
    return min(amounts)


def require(n_bytes: int, what: str, cure: str) -> None:
    """Raise ResourceError when ``n_bytes`` for ``what`` are unavailable."""
    available = available_bytes()
    if n_bytes > available:
        raise ResourceError(
            f"{what} needs {n_bytes / 2**30:.1f} GiB of memory, only {available / 2**30:.1f} GiB are available: {cure}"
        )


_derived: dict[tuple[int, Hashable], tuple[weakref.ref[Any], list[Any]]] = {}


def derived(
    source: Any, tag: Hashable, build: Callable[[], Any], release: Callable[[list[Any]], None] | None = None
) -> Any:
    """Result of ``build`` for ``source``; made once and kept as long as ``source`` exists.

    Parameters
    ----------
    source : object
        An array or another value, which must not be changed.
    tag : hashable
        Kind of the result.
    release : callable, optional
        Called when ``source`` is deleted, with the list that has the only reference to the result.
    """
    key = (id(source), tag)
    held = _derived.get(key)
    if held is None or held[0]() is not source:
        held = _derived[key] = (weakref.ref(source), [build()])
        # a finalizer and not the reference's own callback, which would also run while the interpreter ends
        weakref.finalize(source, _forget, key, held[0], release).atexit = False
    return held[1][0]


def _forget(
    key: tuple[int, Hashable], reference: weakref.ref[Any], release: Callable[[list[Any]], None] | None
) -> None:
    """Give up what was derived from a value that is gone, unless another one has its place by now."""
    held = _derived.get(key)
    if held is not None and held[0] is reference:
        del _derived[key]
        if release is not None:
            release(held[1])
