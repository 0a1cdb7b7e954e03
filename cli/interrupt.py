"""Ctrl-C and SIGTERM: remembered as well as raised, because an exception can be lost inside a compiler's callback."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Signals that have come since the command began.
received: list[int] = []


def _stop(number: int, frame: FrameType | None) -> None:
    received.append(number)
    raise KeyboardInterrupt


@contextmanager
def handled() -> Iterator[None]:
    """Turn both signals into KeyboardInterrupt while the block runs."""
    received.clear()
    # only the main thread may set handlers; elsewhere Python's own stay
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, _stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check() -> None:
    """Raise KeyboardInterrupt if a signal has come, also if its exception was lost."""
    if received:
        raise KeyboardInterrupt
