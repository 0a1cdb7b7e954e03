"""Shots that stay where they are and are asked again and again: in this process, in others over pipes, or on Dask actors.

Only questions and answers travel. The shots of a process are always the same; so each keeps what it has read and computed.
"""

from __future__ import annotations

import multiprocessing
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from nbnumba.errors import ConfigError, ResourceError, first_line
from nbnumba.render.threads import kernels
from nbnumba.series.pool import plain_libraries, prepare_worker, shared_threads

#: Seconds that a process has to end when it is told to.
_PATIENCE_S = 2.0


class SeatMaker(Protocol):
    """Makes what is asked."""

    def seat(self, task: Any) -> Any:
        """The object of a task; raises an exception where there can be none."""


class Seats:
    """The objects of some tasks, in one process.

    Parameters
    ----------
    recipe : dataclass
        Its ``maker()`` is a :class:`SeatMaker`.
    """

    def __init__(self, recipe: Any, tasks: Sequence[Any]) -> None:
        self._recipe, self._tasks = recipe, list(tasks)
        self._seats: list[Any] = []

    def begin(self) -> list[str]:
        """Make all objects; returns why one cannot be, or nothing, for each task."""
        maker: SeatMaker = self._recipe.maker()
        reasons = []
        for task in self._tasks:
            try:
                with kernels():
                    self._seats.append(maker.seat(task))
                reasons.append("")
            except Exception as error:  # whatever is wrong with one, the others go on
                reasons.append(first_line(error))
        return reasons

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """Result of a method of each object."""
        with kernels():
            return [getattr(seat, method)(*arguments) for seat in self._seats]


class Crew(ABC):
    """All objects, in groups that are asked at the same time.

    Parameters
    ----------
    groups : int
        Tasks are dealt out to so many groups in turn.
    tasks : int
        Number of tasks.
    """

    def __init__(self, groups: int, tasks: int) -> None:
        self._members = [list(range(first, tasks, groups)) for first in range(groups)]

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(kind is not None)

    def begin(self) -> list[str]:
        """Make all objects; returns why one cannot be, or nothing, for each task. The others are not asked."""
        reasons = [""] * sum(map(len, self._members))
        for members, found in zip(self._members, self._all("begin"), strict=True):
            for number, reason in zip(members, found, strict=True):
                reasons[number] = reason
        self._members = [[n for n in members if not reasons[n]] for members in self._members]
        return reasons

    @property
    def numbers(self) -> list[int]:
        """Numbers of the tasks that are asked, in the order of the answers."""
        return sorted(n for members in self._members for n in members)

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """Result of a method of each object, in the order of the tasks."""
        found: dict[int, Any] = {}
        for members, results in zip(self._members, self._all("ask", method, *arguments), strict=True):
            found |= dict(zip(members, results, strict=True))
        return [found[number] for number in self.numbers]

    @abstractmethod
    def _all(self, method: str, *arguments: Any) -> list[list[Any]]:
        """Result of a method of the :class:`Seats` of each group."""

    @abstractmethod
    def close(self, failed: bool = False) -> None:
        """End what was started; ``failed``: without waiting for answers."""


class LocalCrew(Crew):
    """All objects in this process."""

    def __init__(self, recipe: Any, tasks: Sequence[Any]) -> None:
        super().__init__(1, len(tasks))
        self._seats = Seats(recipe, tasks)

    def _all(self, method: str, *arguments: Any) -> list[list[Any]]:
        return [getattr(self._seats, method)(*arguments)]

    def close(self, failed: bool = False) -> None:
        """See :class:`Crew`."""
        self._seats = Seats(None, ())


class ProcessCrew(Crew):
    """Objects in processes of this machine, which end with this one and leave Ctrl-C to it."""

    def __init__(self, recipe: Any, tasks: Sequence[Any], workers: int) -> None:
        super().__init__(workers, len(tasks))
        recipe = replace(recipe, threads=shared_threads(recipe.threads, workers))
        # spawn, because neither OpenMP's threads nor CUDA survive a fork
        context = multiprocessing.get_context("spawn")
        self._connections: list[Connection] = []
        self._processes = []
        try:
            for members in self._members:
                ours, theirs = context.Pipe()
                mine = [tasks[number] for number in members]
                process = context.Process(target=_serve, args=(theirs, recipe, mine), daemon=True)
                with plain_libraries():
                    process.start()
                theirs.close()
                self._connections.append(ours)
                self._processes.append(process)
        except BaseException:
            self.close(True)
            raise

    def _all(self, method: str, *arguments: Any) -> list[list[Any]]:
        left: list[Connection] = []
        try:
            try:
                for connection in self._connections:
                    left.append(connection)
                    connection.send((method, arguments))
                answers = [_next_answer(left) for _ in self._connections]
            except KeyboardInterrupt:
                # what was asked is answered before anything else can be asked
                while left:
                    _next_answer(left)
                raise
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise ResourceError(
                "a worker process died, and its shots with it; it may have too little memory: "
                f"try --workers {max(1, len(self._processes) // 2)}, or fewer shots"
            ) from error
        for good, answer in answers:
            if not good:
                raise answer
        return [answer for _, answer in answers]

    def close(self, failed: bool = False) -> None:
        """See :class:`Crew`."""
        for connection in self._connections:
            connection.close()  # a process that waits for questions ends then
        for process in self._processes:
            if failed:
                process.terminate()
            process.join(_PATIENCE_S)
            if process.is_alive():
                process.kill()
                process.join()


def _next_answer(left: list[Connection]) -> tuple[bool, Any]:
    """Answer of the first of some processes, which is no longer among them then."""
    wait(left[:1])  # most of the time is spent here, where Ctrl-C breaks no message
    answer: tuple[bool, Any] = left[0].recv()
    left.pop(0)
    return answer


def _serve(connection: Connection, recipe: Any, tasks: Sequence[Any]) -> None:
    """Answer questions until there are no more."""
    prepare_worker()
    seats = Seats(recipe, tasks)
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        connection.send(answer_of(seats, method, arguments))


def answer_of(seats: Seats, method: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """Whether a method of the seats succeeded, and its result or exception."""
    try:
        return True, getattr(seats, method)(*arguments)
    except Exception as error:
        return False, error


class DaskSeats(Seats):
    """Seats as an actor: exceptions are answers."""

    def answer(self, method: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
        """See :func:`answer_of`."""
        return answer_of(self, method, arguments)


class DaskCrew(Crew):
    """Objects on the workers of a Dask cluster, an actor for each of their threads."""

    def __init__(self, recipe: Any, tasks: Sequence[Any], client: Any) -> None:
        places = [address for address, threads in client.nthreads().items() for _ in range(threads)][: len(tasks)]
        if not places:
            raise ConfigError("the Dask cluster has no worker")
        super().__init__(len(places), len(tasks))
        if recipe.threads is None:
            recipe = replace(recipe, threads=1)
        dealt = zip(places, self._members, strict=True)
        self._futures = [
            client.submit(DaskSeats, recipe, [tasks[n] for n in members], actor=True, workers=[place], pure=False)
            for place, members in dealt
        ]
        self._actors = [future.result() for future in self._futures]

    def _all(self, method: str, *arguments: Any) -> list[list[Any]]:
        pending = [actor.answer(method, arguments) for actor in self._actors]
        found = []
        for one in pending:
            try:
                good, answer = one.result()
            except Exception as error:  # Dask's own: the worker is gone
                raise ResourceError(f"a worker of the Dask cluster died, and its shots with it ({error})") from error
            if not good:
                raise answer
            found.append(answer)
        return found

    def close(self, failed: bool = False) -> None:
        """See :class:`Crew`."""
        self._actors = []
        for future in self._futures:
            future.release()
