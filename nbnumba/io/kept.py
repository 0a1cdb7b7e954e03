"""Values read from files, kept for later calls as long as the file has the same size and time of change."""

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

#: Most values that are kept, and most memory (bytes) of their arrays; the latest value is kept whatever its size.
MOST, MOST_BYTES = 16, 1 << 30

#: Longest interval between two ticks of a file system's clock (ns): of most file systems, and of those that count seconds.
TICK_NS, COARSE_NS = 20_000_000, 2_000_000_000

_values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
_lock = threading.Lock()


def stamp(path: Path | str) -> tuple[str, int, int, int] | None:
    """Name, size, time of change (ns) and inode, which differ if a file has changed; None if it is no regular file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return os.path.abspath(path), found.st_size, found.st_mtime_ns, found.st_ino


def kept(path: Path | str, tag: Hashable, read: Callable[[], T]) -> T:
    """Result of ``read``, or of an earlier call if the file has not changed since.

    The value is shared: it must not be changed.

    Parameters
    ----------
    path : Path
        For pipes and missing files ``read`` is called each time.
    tag : hashable
        Kind of the value, and options of the reader.
    read : callable
        Reader of the file, without arguments; may raise.
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


def value_of(given: Path | T, tag: Hashable, read: Callable[[Path], T]) -> T:
    """A value that is given in place of a file, or the kept result of ``read`` for a file."""
    return kept(given, tag, lambda: read(given)) if isinstance(given, Path) else given


def is_fresh(where: tuple[str, int, int, int]) -> bool:
    """Whether a file was changed so recently that its time of change may stay the same if it is changed again."""
    changed = where[2]
    tick = TICK_NS if changed % 1_000_000_000 else COARSE_NS
    return time.time_ns() - changed < tick


def array_bytes(value: Any) -> int:
    """Memory (bytes) of the arrays in a value: in an array, in the items of a tuple or list, in the attributes of an object."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, tuple | list):
        return sum(map(array_bytes, value))
    return sum(map(array_bytes, vars(value).values())) if hasattr(value, "__dict__") else 0


def forget() -> None:
    """Drop all values that are kept."""
    with _lock:
        _values.clear()
