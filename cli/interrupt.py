"""Ctrl-C and SIGTERM: remembered as well as raised, because an exception can be lost inside a compiler's callback."""

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

#: Signals that have come since the command began.
received: list[int] = []
#: Files that the command has completed.
completed: list[Path] = []
#: Seconds after a signal in which further ones raise nothing: cleaning up is not to be interrupted.
PATIENCE_S = 2.0
#: Seconds until a signal that came in the middle of an import, or of LLVM, is tried again.
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
    """Raise KeyboardInterrupt, but not where it does harm.

    What libraries load from C while they are imported loses it, or prints it; LLVM's objects would be freed twice.
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
    """Turn both signals into KeyboardInterrupt while the block runs; one that is ignored stays so."""
    global _last
    received.clear()
    completed.clear()
    files.completed.clear()
    _last = -PATIENCE_S
    # only the main thread may set handlers; elsewhere Python's own stay
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
    """A hook that says nothing of a lost KeyboardInterrupt: :func:`check` finds it."""

    def quiet(lost: Any) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            hook(lost)

    return quiet


def check() -> None:
    """Raise KeyboardInterrupt if a signal has come, also if its exception was lost."""
    if received:
        raise KeyboardInterrupt


def complete_files() -> list[Path]:
    """Files that the command has completed: those it says, else those that have taken their names."""
    return completed or list(files.completed)
