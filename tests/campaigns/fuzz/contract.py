"""What every reader promises, and the checks of it.

* No exception but those of :mod:`nbnumba.errors`, whose message is one line; no warning.
* At most ``CPU_SECONDS`` of processor time for a file of up to 64 KiB.
* At most ``MEMORY_FLOOR + MEMORY_MULTIPLE * size`` bytes of memory beyond what the process had before.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import tracemalloc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbnumba.errors import NbnumbaError
from tests.campaigns.fuzz.targets import Target

#: Of processor time, not of the clock: a machine with other things to do is no hang.
CPU_SECONDS = 2.0
#: What a reader may take whatever the file's size, and per byte of the file. JSON and TOML of nothing but brackets
#: and the words of one-letter lines are what the multiple is for: a Python object per byte or two.
MEMORY_FLOOR = 32 << 20
MEMORY_MULTIPLE = 200
#: Longest file that is tried.
MAX_SIZE = 1 << 16


class Broken(AssertionError):
    """A reader that did not keep the contract."""


def read(target: Target, path: Path) -> bool:
    """Let a target read a file; whether it took it (else it refused it properly).

    Raises
    ------
    Broken
        The refusal is not one line of text. Any other exception passes through.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            target.read(path)
        except NbnumbaError as error:
            message = str(error)
            if not message.strip() or len(message.splitlines()) != 1:
                raise Broken(f"the message is not one line: {message!r}") from error
            return False
    return True


def allowance(size: int) -> int:
    """Bytes of memory for a file of this size."""
    return MEMORY_FLOOR + MEMORY_MULTIPLE * size


def read_measured(target: Target, path: Path) -> bool:
    """As :func:`read`, with what Python and NumPy allocate counted.

    Raises
    ------
    Broken
        It took more than :func:`allowance`.
    """
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        taken = read(target, path)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    if peak > allowance(path.stat().st_size):
        raise Broken(f"{peak >> 20} MiB for a file of {path.stat().st_size} bytes")
    return taken


def watch_processor() -> None:
    """Make this process print where it is, and die of SIGPROF, when a reader takes too long."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    faulthandler.register(signal.SIGPROF, file=sys.stderr, chain=True)


@contextmanager
def limits(size: int, seconds: float = CPU_SECONDS) -> Iterator[None]:
    """Limits of the process while a file of ``size`` bytes is read; memory of C libraries counts, too."""
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + allowance(size), hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
