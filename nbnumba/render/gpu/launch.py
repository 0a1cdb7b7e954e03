"""Starting a kernel again and again: what stays the same is handed over once."""

from __future__ import annotations

import threading
from typing import Any

from nbnumba.kernels.jit.cuda import Launch


class Starter:
    """A kernel for one device, called with a grid, a stream and all its arguments; none of which may change its type.

    The first call compiles the kernel, or fetches it from the disk. Later ones hand over those arguments only that differ
    from the last call's: by value if they are numbers or tuples of numbers, by identity if they are arrays.
    """

    def __init__(self, kernel: Any, threads: int) -> None:
        self._kernel, self._threads = kernel, threads
        self._lock = threading.Lock()
        self._launch: Any = None
        self._held: list[Any] = []

    def __call__(self, grid: tuple[int, ...], stream: Any, *arguments: Any) -> None:
        with self._lock:
            if self._launch is None:
                self._launch = Launch(self._kernel, self._threads, arguments)
                self._held = [*arguments]
            held = self._held
            for place, value in enumerate(arguments):
                if held[place] is value:
                    continue
                if not (isinstance(value, int | float | tuple) and held[place] == value):
                    self._launch.change(place, value)
                held[place] = value  # so that the next comparison ends at the first line
            self._launch.start(grid, stream)
