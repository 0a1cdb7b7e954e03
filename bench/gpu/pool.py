"""Child processes: workers that run the cases of a step side by side, and programs with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from bench.gpu.record import Recorder
from bench.gpu.setting import ROOT, Deadline, Record, Setting
from bench.gpu.steps import Step
from bench.gpu.worker import describe, run_case

#: Seconds that a case in progress may exceed the deadline; seconds that a worker has to end by itself.
GRACE, FAREWELL = 3.0, 2.0
#: Characters of a child's stderr that are kept.
KEPT = 1500

_running: set[subprocess.Popen[Any]] = set()
_stopping = threading.Event()


def start(command: list[str], **more: Any) -> subprocess.Popen[Any]:
    """Start a program as the leader of a process group, so that its children can be ended with it."""
    if _stopping.is_set():
        raise RuntimeError("the run is being stopped")
    child = subprocess.Popen(command, start_new_session=True, **more)
    _running.add(child)
    return child


def end(child: subprocess.Popen[Any]) -> None:
    """End a child and its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the driver: the run continues without it
        child.wait(FAREWELL)
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # flushing the pipe to a process that has ended
                pipe.close()
    _running.discard(child)


def stop_all() -> None:
    """End every child; no further one can be started."""
    _stopping.set()
    for child in list(_running):
        end(child)


def environment(setting: Setting, **more: str) -> dict[str, str]:
    """Variables of a child that imports this checkout."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    package = {"NBNUMBA_CUDA": setting.package} if setting.package else {}
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **package, **more}


def run_program(
    command: list[str],
    limit: float,
    setting: Setting,
    expected: Callable[[int], bool] = lambda code: code == 0,
    **more: str,
) -> tuple[str, str]:
    """Stdout and stderr of a program run in the scratch folder; ``more``: variables of its environment.

    Raises
    ------
    RuntimeError
        It took longer than ``limit`` seconds, or its exit status was not as ``expected``.
    """
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child = start(command, cwd=setting.scratch, env=environment(setting, **more), text=True, errors="replace", **pipes)
    try:
        out, told = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{Path(command[0]).name} took longer than {limit:.0f} s") from None
    finally:
        end(child)
    if not expected(child.returncode):
        raise RuntimeError(f"{Path(command[0]).name} {how_it_ended(child.returncode)}: {(told or out)[-KEPT:].strip()}")
    return out, told


def how_it_ended(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"ended with exit status {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


class Worker:
    """A process that runs cases, one after another; ``usable``: whether it can run a further one."""

    def __init__(self, setting: Setting, **variables: str) -> None:
        self.told = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by close()
        command = [sys.executable, "-m", "bench.gpu.worker", setting.to_json()]
        pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.told)
        self.child = start(command, cwd=setting.scratch, env=environment(setting, **variables), **pipes)
        self.usable = True
        self._left = b""

    def ask(self, target: str, case: str, limit: float) -> Iterator[Record]:
        """Records of a case; the last one says so if the process died or took longer than ``limit`` seconds."""
        until = time.monotonic() + limit
        stdin: IO[bytes] | None = self.child.stdin
        try:
            assert stdin is not None
            stdin.write(json.dumps({"target": target, "case": case}).encode() + b"\n")
            stdin.flush()
        except OSError:
            yield self._lost("ended before the case")
            return
        while True:
            line = self._line(until)
            if line is None:
                yield self._lost(f"gave no result within {limit:.0f} s")
                return
            if not line:
                yield self._lost("")
                return
            answer = json.loads(line)
            if "record" in answer:
                yield answer["record"]
            else:
                self.usable = answer["healthy"]
                return

    def _line(self, until: float) -> bytes | None:
        """The next line of its output; empty at the end of the output, None if there is none before ``until``."""
        assert self.child.stdout is not None
        while b"\n" not in self._left:
            ready = select.select([self.child.stdout], [], [], max(0.0, until - time.monotonic()))[0]
            if not ready:
                return None
            part = os.read(self.child.stdout.fileno(), 1 << 16)
            if not part:
                return b""
            self._left += part
        line, _, self._left = self._left.partition(b"\n")
        return line

    def _lost(self, why: str) -> Record:
        self.usable = False
        if not why:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(FAREWELL)
            why = how_it_ended(self.child.returncode) if self.child.returncode is not None else "closed its output"
        self.told.seek(0)
        told = self.told.read()[-KEPT:].decode(errors="replace").strip()
        return {"error": f"the process {why}"} | ({"stderr": told} if told else {})

    def close(self) -> None:
        """Close its input and wait for its end; kill it if it does not end in time."""
        with contextlib.suppress(OSError):
            if self.child.stdin is not None:
                self.child.stdin.close()
        if self.usable:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(FAREWELL)
        end(self.child)
        self.told.close()


class StepRun:
    """Runs the cases of one step, each on the next free process."""

    def __init__(self, step: Step, setting: Setting, deadline: Deadline, recorder: Recorder, pattern: str = "") -> None:
        self.step, self.setting, self.deadline, self.recorder = step, setting, deadline, recorder
        self.cases = deque(step.matching(setting, pattern))
        self.processes = max(1, min(step.processes(setting), len(self.cases)))
        self.seconds = step.seconds / max(1, len(step.cases(setting))) * self.processes  # of a case
        self.dropped: list[str] = []
        self.failure: BaseException | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Run the cases that time allows, and record those that it does not."""
        threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(self.processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # signals are handled between two waits
                thread.join(0.1)
        if self.failure is not None:
            raise self.failure
        if self.dropped:
            record = {"dropped": self.dropped, "seconds_left": round(self.deadline.left, 1)}
            self.recorder.write(self.step.name, "no time for", record, self.setting.package)

    def _next(self) -> str | None:
        with self._lock:
            while self.cases:
                case = self.cases.popleft()
                if self.deadline.left >= self.seconds:
                    return case
                self.dropped.append(case)
        return None

    def _serve(self) -> None:
        worker: Worker | None = None
        try:
            while (case := self._next()) is not None and not _stopping.is_set():
                limit = min(self.step.limit, self.deadline.left + GRACE)
                if self.step.here:
                    self._record(case, self._run_here(case, limit))
                elif self.step.fresh:
                    with tempfile.TemporaryDirectory(dir=self.setting.scratch) as cache:
                        worker = Worker(self.setting, NUMBA_CACHE_DIR=cache)
                        self._record(case, worker.ask(self.step.target, case, limit))
                        worker.close()
                        worker = None
                else:
                    worker = worker or Worker(self.setting)
                    self._record(case, worker.ask(self.step.target, case, limit))
                    if not worker.usable:
                        worker.close()
                        worker = None
        except BaseException as error:  # raised again in the main thread
            if not _stopping.is_set():
                self.failure = error
        finally:
            if worker is not None:
                worker.close()

    def _run_here(self, case: str, limit: float) -> Iterator[Record]:
        try:
            yield from run_case(self.step.target, case, replace(self.setting, limit=limit))
        except Exception as error:  # recorded, and the run continues
            yield describe(error)

    def _record(self, case: str, records: Iterator[Record]) -> None:
        for record in records:
            if not _stopping.is_set():
                self.recorder.write(self.step.name, case, record, self.setting.package)
