"""Python threads and parallel kernels.

Numba runs parallel kernels on one of three thread pools. OpenMP's and TBB's can be used from several Python threads at
once; Numba's own ("workqueue", what is left where neither is to be had) ends the process when they are. With that one,
public functions wait for one another.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_one_at_a_time = threading.RLock()


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
        yield


def thread_safe(function: Callable[P, R]) -> Callable[P, R]:
    """The function, fit to be called from several Python threads at once."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        with kernels():
            return function(*args, **kwargs)

    return guarded
