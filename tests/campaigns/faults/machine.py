"""What is done to a process before it starts: fewer rights, less memory, smaller files."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable

_PR_CAPBSET_DROP = 24
#: chown, dac_override, dac_read_search, fowner: what lets root write where nobody may.
_CAPABILITIES = (0, 1, 2, 3)


def drop_privileges() -> None:
    """Make permissions hold for root, too, from the next program on."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None, use_errno=True)
        for number in _CAPABILITIES:
            library.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)


def limit(what: int, size: int) -> Callable[[], None]:
    """A function that sets a limit; files that grow beyond theirs give an error, no signal."""

    def apply() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(what, (size, size))

    return apply


def close(numbers: tuple[int, ...]) -> None:
    """Close standard streams."""
    for number in numbers:
        os.close(number)
