"""What was read from files, kept for the next time: by the file's name, size and time of change."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

#: Values that are kept, and the memory (bytes) of their arrays; the latest one is kept whatever its size.
MOST, MOST_BYTES = 16, 1 << 30

#: Between two ticks of a file system's clock, at most (ns): of most, and of those that count seconds.
TICK_NS, COARSE_NS = 20_000_000, 2_000_000_000

_values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
_lock = threading.Lock()


def stamp(path: Path | str) -> tuple[str, int, int, int] | None:
    """What tells a file's content from an earlier one: name, size, time of change (ns), inode; None if it is no plain file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return os.path.abspath(path), found.st_size, found.st_mtime_ns, found.st_ino


def kept(path: Path | str, tag: Hashable, read: Callable[[], T]) -> T:
    """What ``read`` makes of a file; the value of an earlier call where the file is the same.

    The value is shared: it must not be changed.

    Parameters
    ----------
    path : Path
        Pipes and what is missing are read, or refused, anew each time.
    tag : hashable
        What is read, and with which options.
    read : callable
        Without arguments; may raise.
    """
    where = stamp(path)
    if where is None:
        return read()
    key = (tag, where)
    with _lock:
        if key in _values:
            _values.move_to_end(key)
            found: T = _values[key][0]
            return found
    value = read()
    if stamp(path) != where or is_fresh(where):
        return value
    with _lock:
        _values[key] = value, array_bytes(value)
        while len(_values) > MOST or (len(_values) > 1 and sum(size for _, size in _values.values()) > MOST_BYTES):
            _values.popitem(last=False)
    return value


def is_fresh(where: tuple[str, int, int, int]) -> bool:
    """Whether a file may still be changed without its time showing it: clocks of file systems tick, some in whole seconds."""
    changed = where[2]
    tick = TICK_NS if changed % 1_000_000_000 else COARSE_NS
    return time.time_ns() - changed < tick


def array_bytes(value: Any) -> int:
    """Memory of the arrays in a value: of an array, of what a tuple or list holds, of an object's attributes."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, tuple | list):
        return sum(map(array_bytes, value))
    return sum(map(array_bytes, vars(value).values())) if hasattr(value, "__dict__") else 0


def forget() -> None:
    """Keep nothing of what was read so far."""
    with _lock:
        _values.clear()
