"""Python threads and parallel kernels.

Numba runs parallel kernels on one of three thread pools. OpenMP's and TBB's can be used from several Python threads at
once; Numba's own ("workqueue", what is left where neither is to be had) ends the process when they are. With that one,
public functions wait for one another.

While a kernel runs, Python answers no signal. A call that may take long goes into a thread of its own
(:func:`answering`), and the main thread waits for it as Python can: Ctrl-C is felt at once.
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
#: Threads of :func:`answering`; one that has been left alone may still be at work.
_workers: list[threading.Thread] = []
#: Seconds between looks at the signals that have come.
_LOOK_S = 0.1


def usable_cores() -> int:
    """Cores that this process may run on, where the system tells; else those of the machine."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux has it
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def layer_is_thread_safe() -> bool:
    """Whether parallel kernels may be called from two Python threads at once."""
    import numba

    numba.get_num_threads()  # chooses the pool, if that has not been done
    return numba.threading_layer() != "workqueue"


@contextmanager
def kernels() -> Iterator[None]:
    """A block that calls parallel kernels."""
    if layer_is_thread_safe():
        yield
        return
    with _one_at_a_time:
        for worker in _workers:
            if worker is not threading.current_thread():
                worker.join()
        yield


def answering(call: Callable[[], None]) -> None:
    """Call a function that runs kernels, in a thread of its own; signals are answered meanwhile.

    If one raises an exception, the kernel goes on, with nobody to wait for it, until it or the process ends.
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
    """Whether a kernel is at work for which nobody waits any more: the process cannot end in the usual way."""
    return any(worker.is_alive() for worker in _workers)


def thread_safe(function: Callable[P, R]) -> Callable[P, R]:
    """The function, fit to be called from several Python threads at once."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        with kernels():
            return function(*args, **kwargs)

    return guarded
