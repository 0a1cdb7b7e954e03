"""Tasks in processes of this machine: as many as cores and memory allow, replaced if they die, ended with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading as python_threads
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from nbnumba import memory
from nbnumba.errors import ConfigError, ResourceError
from nbnumba.model.config import Detector
from nbnumba.render.dispatch import choose_device
from nbnumba.render.threads import usable_cores

#: Tasks for which another process is started; its start takes two seconds.
TASKS_PER_WORKER = 16
#: Memory (bytes) of a process: its libraries; and for each pixel the copies of rendering, noise and truth.
_PROCESS_BYTES, _PIXEL_BYTES = 300 << 20, 80
#: Deaths of worker processes, without a finished task in between, after which the run ends with an error.
_DEATHS = 3


class Maker(Protocol):
    """Does tasks, one after another."""

    def make(self, task: Any) -> Any:
        """Result of a task."""


class Recipe(Protocol):
    """What a process needs to make a :class:`Maker`: a dataclass that can be sent to it."""

    @property
    def threads(self) -> int | None:
        """CPU threads of each process."""

    def maker(self) -> Maker:
        """The maker of a process."""


def count_workers(
    wanted: int | None,
    tasks: int,
    pixels: int,
    device: str,
    pixel_bytes: int = _PIXEL_BYTES,
    each: int = TASKS_PER_WORKER,
) -> int:
    """How many processes to use: one with a GPU, else one per core as far as tasks and memory allow.

    Parameters
    ----------
    wanted : int or None
        The user's number.
    pixels : int
        Of an image.
    pixel_bytes : int
        Memory that a process has for each of them.
    each : int
        Tasks for which another process is started.

    Raises
    ------
    ConfigError
        The user's number is below 1.
    """
    if wanted is not None:
        if wanted < 1:
            raise ConfigError(f"--workers must be at least 1, got {wanted}")
        return min(wanted, tasks)
    if choose_device(device)[0] != "cpu":
        return 1
    affordable = memory.available_bytes() // (_PROCESS_BYTES + pixel_bytes * pixels)
    return max(1, min(usable_cores(), tasks // each, int(affordable)))


def pixels_of(detector: Detector) -> int:
    """Number of pixels of all panels."""
    if detector.panels:
        return sum(panel.spixels * panel.fpixels for panel in detector.panels)
    fpixels = detector.fpixels or detector.detsize_f_mm / detector.pixel_mm
    return int(fpixels * (detector.spixels or detector.detsize_s_mm / detector.pixel_mm))


def shared_threads(threads: int | None, workers: int) -> int:
    """CPU threads of each process: by default the cores are divided among them."""
    return max(1, usable_cores() // workers) if threads is None else threads


@contextmanager
def plain_libraries() -> Iterator[None]:
    """Block in which processes are started whose linear algebra has one thread: small matrices are no work for more."""
    added = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS") if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def run_here(recipe: Recipe, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Number and result of each task, in this process."""
    maker = recipe.maker()
    for number, task in enumerate(tasks):
        yield number, maker.make(task)


def run_in_pool(recipe: Any, tasks: Sequence[Any], workers: int, what: str = "an image") -> Iterator[tuple[int, Any]]:
    """Number and result of each task, in the order in which they finish; workers that die are replaced, and tasks repeated.

    Raises
    ------
    ResourceError
        Worker processes die again and again.
    """
    recipe = replace(recipe, threads=shared_threads(recipe.threads, workers))
    left, deaths = dict.fromkeys(range(len(tasks))), 0
    while left:
        # spawn, because neither OpenMP's threads nor CUDA survive a fork
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (recipe,))
        try:
            with plain_libraries():  # all processes start with the first task
                futures = [pool.submit(_make, number, tasks[number]) for number in left]
            for future in as_completed(futures):
                number, result = future.result()
                del left[number]
                deaths = 0
                yield number, result
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == _DEATHS:
                raise ResourceError(
                    f"worker processes die before they finish {what}; they may have too little memory: "
                    f"try --workers {max(1, workers // 2)}"
                ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_maker: Maker | None = None


def _start_worker(recipe: Recipe) -> None:
    global _maker
    prepare_worker()
    _maker = recipe.maker()


def _make(number: int, task: Any) -> tuple[int, Any]:
    assert _maker is not None
    return number, _maker.make(task)


def prepare_worker() -> None:
    """Leave Ctrl-C to the parent of this process, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    python_threads.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """Have the system end this worker when its parent is killed; otherwise it would wait for tasks forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
