"""Tasks on a Dask cluster: Dask distributes them and repeats those of workers that die."""

from __future__ import annotations

import ctypes
import os
import threading as python_threads
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from nbnumba.errors import ResourceError
from nbnumba.series.pool import Maker, Recipe

#: Most tasks of a task of Dask, and fewest of those for each thread: a task costs Dask some milliseconds.
_BATCH, _ROUNDS = 8, 32
#: Parameters of mallopt(), from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_makers: dict[str, Maker] = {}
_makers_lock = python_threads.Lock()


def make_on_dask(client: Any, recipe: Any, tasks: Sequence[Any], what: str = "an image") -> Iterator[tuple[int, Any]]:
    """Number and result of each task, in the order in which they finish; Dask moves those of a worker that dies to others.

    Raises
    ------
    ResourceError
        Workers die again and again.
    """
    from distributed import as_completed as completed
    from distributed.scheduler import KilledWorker

    token = f"{os.getpid()}-{time.time_ns()}"
    if recipe.threads is None:
        recipe = replace(recipe, threads=1)  # the cluster decides how many tasks a worker has at once
    # a task and not scattered data: Dask repeats it if the worker that holds its result dies
    shared = client.submit(_same, recipe, pure=False)
    size = min(_BATCH, max(1, len(tasks) // (_ROUNDS * max(1, sum(client.nthreads().values())))))
    numbered = list(enumerate(tasks))
    batches = [numbered[first : first + size] for first in range(0, len(tasks), size)]
    futures = client.map(_make_batch, batches, recipe=shared, token=token, pure=False, retries=1)
    try:
        for future in completed(futures):
            made = future.result()
            future.release()
            yield from made
    except KilledWorker as error:
        message = f"Dask gave up: workers died while they made {what}; they may have too little memory ({error})"
        raise ResourceError(message) from error
    finally:
        client.cancel(futures)


def _same(recipe: Recipe) -> Recipe:
    return recipe


def _make_batch(tasks: list[tuple[int, Any]], recipe: Recipe, token: str) -> list[tuple[int, Any]]:
    with _makers_lock:
        if token not in _makers:
            keep_freed_memory()
            _makers.clear()
            _makers[token] = recipe.maker()
        maker = _makers[token]
    return [(number, maker.make(task)) for number, task in tasks]


def keep_freed_memory() -> None:
    """Undo Dask's malloc setting, which returns the memory of every array to the system at once.

    Its nanny sets MALLOC_TRIM_THRESHOLD_ for tasks that hold data; here that triples the time of small images.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    for parameter, value in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 256 << 20)):
        mallopt(parameter, value)
