"""Repeated launches of a kernel: arguments that do not change are passed once."""

from __future__ import annotations

import threading
from typing import Any

from nbnumba.kernels.jit.cuda import Launch


class Starter:
    """A kernel for one device, called with a grid, a stream and all its arguments, whose types must not change.

    The first call compiles the kernel, or loads it from the disk. Later calls pass only the arguments that differ from the
    last call's: numbers and tuples of numbers are compared by value, arrays by identity.
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
                held[place] = value  # the next comparison then succeeds by identity
            self._launch.start(grid, stream)
