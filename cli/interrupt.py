"""Ctrl-C and SIGTERM: recorded as well as raised, because an exception can be lost inside a compiler's callback."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from nbnumba.io import files

#: Signals received since the command began.
received: list[int] = []
#: Files that the command has completed.
completed: list[Path] = []
#: Seconds after a signal in which further ones raise nothing, so that cleaning up is not interrupted.
PATIENCE_S = 2.0
#: Seconds until a signal that was received during an import, or in LLVM, is raised again.
RETRY_S = 0.02
_LLVM = os.path.join("llvmlite", "binding", "")
_last = -PATIENCE_S
_has_timer = hasattr(signal, "setitimer")


def _stop(number: int, frame: FrameType | None) -> None:
    received.append(number)
    _raise_or_wait(frame)


def _try_again(number: int, frame: FrameType | None) -> None:
    if received:
        _raise_or_wait(frame)


def _raise_or_wait(frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt now, or later where it would do harm.

    Code in C that is run during an import loses or prints the exception; in LLVM objects would be freed twice.
    """
    global _last
    if _has_timer and _is_delicate(frame):
        signal.setitimer(signal.ITIMER_REAL, RETRY_S)
        return
    now = time.monotonic()
    if now - _last >= PATIENCE_S:
        _last = now
        raise KeyboardInterrupt


def _is_delicate(frame: FrameType | None) -> bool:
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") or _LLVM in file:
            return True
        frame = frame.f_back
    return False


@contextmanager
def handled() -> Iterator[None]:
    """Turn both signals into KeyboardInterrupt while the block runs; an ignored signal stays ignored."""
    global _last
    received.clear()
    completed.clear()
    files.completed.clear()
    _last = -PATIENCE_S
    # only the main thread may set handlers; in other threads nothing is changed
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    timer = signal.getsignal(signal.SIGALRM) if before and _has_timer else None
    hook = sys.unraisablehook
    sys.unraisablehook = _keep_quiet(hook)
    try:
        if timer is not None:
            signal.signal(signal.SIGALRM, _try_again)
        for number in before:
            signal.signal(number, _stop)
        yield
    finally:
        if timer is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, timer)
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _keep_quiet(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A hook that does not print a lost KeyboardInterrupt: :func:`check` raises it again."""

    def quiet(lost: Any) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            hook(lost)

    return quiet


def check() -> None:
    """Raise KeyboardInterrupt if a signal was received, even if its exception was lost."""
    if received:
        raise KeyboardInterrupt


def complete_files() -> list[Path]:
    """Files that the command has completed: those it lists itself, else all that were renamed to their final names."""
    return completed or list(files.completed)
