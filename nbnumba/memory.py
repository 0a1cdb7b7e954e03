"""Check, before an allocation, that it fits in memory."""

from __future__ import annotations

import os

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
