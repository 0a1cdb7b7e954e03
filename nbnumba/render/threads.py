"""Parallel kernels in Python threads, and Ctrl-C while a kernel runs.

Numba runs parallel kernels on one of three thread pools. OpenMP's and TBB's can be used from several Python threads at
once; Numba's ("workqueue", used if the other two are unavailable) then ends the process. With it, public functions wait
for one another.

While a kernel runs, Python handles no signal. A call that may take long runs in a separate thread (:func:`answering`)
while the main thread waits and handles Ctrl-C at once.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_one_at_a_time = threading.RLock()
#: Threads of :func:`answering`; after an exception in the main thread one may still be running.
_workers: list[threading.Thread] = []
#: Seconds between two checks for signals.
_LOOK_S = 0.1


def usable_cores() -> int:
    """Number of cores that this process may use, if the system reports it; else that of the machine."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux has it
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def layer_is_thread_safe() -> bool:
    """Whether parallel kernels may be called from two Python threads at once."""
    import numba

    numba.get_num_threads()  # chooses the pool, if that has not been done
    return numba.threading_layer() != "workqueue"


@contextmanager
def kernels() -> Iterator[None]:
    """Block that calls parallel kernels; where the thread pool requires it, one such block runs at a time."""
    if layer_is_thread_safe():
        yield
        return
    with _one_at_a_time:
        for worker in _workers:
            if worker is not threading.current_thread():
                worker.join()
        yield


def answering(call: Callable[[], None]) -> None:
    """Call a function that runs kernels in a separate thread, while this one handles signals.

    If a signal handler raises an exception, the kernel continues in its thread until it or the process ends.
    """
    import numba

    number = numba.get_num_threads()  # each Python thread has its own
    failed: list[BaseException] = []

    def work() -> None:
        numba.set_num_threads(number)
        try:
            call()
        except BaseException as error:  # raised again in the caller's thread
            failed.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    _workers[:] = [*(other for other in _workers if other.is_alive()), worker]
    while worker.is_alive():
        worker.join(_LOOK_S)
    if failed:
        raise failed[0]


def is_left_running() -> bool:
    """Whether a kernel is still running after an exception: the process then cannot end in the usual way."""
    return any(worker.is_alive() for worker in _workers)


def thread_safe(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: the function may be called from several Python threads at once."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        with kernels():
            return function(*args, **kwargs)

    return guarded
