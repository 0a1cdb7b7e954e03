"""Starting a kernel again and again: what stays the same is handed over once."""

from __future__ import annotations

import threading
from typing import Any

from nbnumba.kernels._cuda import Launch


class Starter:
    """A kernel for one device, called with a grid, a stream and all its arguments; none of which may change its type.

    The first call compiles the kernel, or fetches it from the disk. Later ones hand over those arguments only that differ
    from the last call's: by value if they are numbers or tuples of numbers, by identity if they are arrays.
    """

    def __init__(self, kernel: Any, threads: int) -> None:
        self._kernel, self._threads = kernel, threads
        self._lock = threading.Lock()
        self._launch: Any = None

    def __call__(self, grid: tuple[int, ...], stream: Any, *arguments: Any) -> None:
        with self._lock:
            if self._launch is None:
                self._launch = Launch(self._kernel, self._threads, arguments)
            for place, (held, value) in enumerate(zip(self._launch.arguments, arguments, strict=True)):
                if held is not value and not (isinstance(value, int | float | tuple) and held == value):
                    self._launch.change(place, value)
            self._launch.start(grid, stream)
