"""Shots of a series on a Dask cluster: Dask distributes the tasks and repeats those of workers that die."""

from __future__ import annotations

import ctypes
import os
import threading as python_threads
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nbnumba.errors import ResourceError
from nbnumba.series.run import Made, Recipe, ShotMaker

#: Most shots of a Dask task, and fewest tasks for each thread: a task costs Dask some milliseconds.
_BATCH, _ROUNDS = 8, 32
#: Parameters of mallopt(), from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_makers: dict[str, ShotMaker] = {}
_makers_lock = python_threads.Lock()


def make_on_dask(client: Any, recipe: Recipe, missing: list[int]) -> Iterator[Made]:
    """Numbers of the shots in the order in which they finish; Dask moves the shots of a worker that dies to others."""
    from distributed import as_completed as completed
    from distributed.scheduler import KilledWorker

    token = f"{recipe.folder}-{os.getpid()}-{time.time_ns()}"
    if recipe.threads is None:
        recipe = replace(recipe, threads=1)  # the cluster decides how many tasks a worker has at once
    # a task and not scattered data: Dask repeats it if the worker that holds its result dies
    shared = client.submit(_same, recipe, pure=False)
    size = min(_BATCH, max(1, len(missing) // (_ROUNDS * max(1, sum(client.nthreads().values())))))
    batches = [missing[first : first + size] for first in range(0, len(missing), size)]
    futures = client.map(_make_batch, batches, recipe=shared, token=token, pure=False, retries=1)
    try:
        for future in completed(futures):
            made = future.result()
            future.release()
            yield from made
    except KilledWorker as error:
        message = f"Dask gave up: workers died while they made an image; they may have too little memory ({error})"
        raise ResourceError(message) from error
    finally:
        client.cancel(futures)


def _same(recipe: Recipe) -> Recipe:
    return recipe


def _make_batch(numbers: list[int], recipe: Recipe, token: str) -> list[Made]:
    with _makers_lock:
        if token not in _makers:
            _keep_freed_memory()
            _makers.clear()
            _makers[token] = ShotMaker(recipe)
        maker = _makers[token]
    return [maker.make(number) for number in numbers]


def _keep_freed_memory() -> None:
    """Undo Dask's malloc setting, which returns the memory of every array to the system at once.

    Its nanny sets MALLOC_TRIM_THRESHOLD_ for tasks that hold data; here that triples the time of small images.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    for parameter, value in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 256 << 20)):
        mallopt(parameter, value)
