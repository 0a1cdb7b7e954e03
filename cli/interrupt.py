"""Ctrl-C and SIGTERM: remembered as well as raised, because an exception can be lost inside a compiler's callback."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

#: Signals that have come since the command began.
received: list[int] = []
#: Files that the command has completed.
completed: list[Path] = []


def _stop(number: int, frame: FrameType | None) -> None:
    received.append(number)
    raise KeyboardInterrupt


@contextmanager
def handled() -> Iterator[None]:
    """Turn both signals into KeyboardInterrupt while the block runs."""
    received.clear()
    completed.clear()
    # only the main thread may set handlers; elsewhere Python's own stay
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, _stop) for number in numbers}
    hook = sys.unraisablehook
    sys.unraisablehook = _keep_quiet(hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep_quiet(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A hook that says nothing of a lost KeyboardInterrupt: :func:`check` finds it."""

    def quiet(lost: Any) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            hook(lost)

    return quiet


def check() -> None:
    """Raise KeyboardInterrupt if a signal has come, also if its exception was lost."""
    if received:
        raise KeyboardInterrupt
