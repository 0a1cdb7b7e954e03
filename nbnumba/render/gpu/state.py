"""Rendering of one panel on one GPU: tables, the kernel with its arguments, and windows of pixels.

A window is rendered by one launch and then copied to the host, on one of the lanes of :mod:`nbnumba.render.gpu.memory`.
A kernel that may take long writes its progress to memory of the host, and reads from memory of the device whether it has to
stop. Otherwise Ctrl-C would wait for the end of the kernel.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nbnumba.kernels.formulas.blocks import CellBlock
from nbnumba.kernels.gpu.place import THREADS as PLACERS
from nbnumba.kernels.gpu.place import place_band
from nbnumba.kernels.jit.cuda import cuda, is_done
from nbnumba.render.devices import Device
from nbnumba.render.gpu.launch import Starter
from nbnumba.render.gpu.launchers import Job, Tell, Window, make_launcher
from nbnumba.render.gpu.memory import Lane, lanes_of, release, stay_current
from nbnumba.render.gpu.targets import DeviceTarget, Target
from nbnumba.render.inputs import KernelInputs

Done = Callable[[Window, float], None]
Finished = Callable[[Window], None]

#: Seconds in which the host polls without sleeping; afterwards it sleeps this fraction of the elapsed time, at most so long.
EAGER, NAP, LONGEST_NAP = 5e-4, 0.05, 0.02
#: Seconds within which a kernel has to stop.
PATIENCE = 0.2

#: Memory to which kernels that did not stop in time may still write.
_abandoned: list[Any] = []


class Task(NamedTuple):
    """A window that is being rendered: its lane, band and mask on the device, and the argument of :meth:`Target.finish`."""

    lane: Lane
    window: Window
    band: Any
    mask: Any
    fetched: Any


class DeviceState:
    """Tables and kernel of one device for one panel, or for ``stills`` images of it with the kernel ``spots``."""

    def __init__(self, device: Device, inputs: KernelInputs, kernel: str, stills: int = 1) -> None:
        self.device, self.inputs, self.stills = device, inputs, stills
        self.lanes = lanes_of(device.index)
        stay_current(device.index)
        with cuda.gpus[device.index]:
            self.no_mask = cuda.to_device(np.zeros((1, 0), np.uint8)[:0])
            self._place: Starter | None = (
                None  # made for the first image on the device, with an array for no background
            )
            self._no_light: Any = None
            weakref.finalize(self, release, device.index, vars(self)).atexit = False
            self.launcher = make_launcher(kernel, inputs, device, stills)
            self._compile()

    @property
    def name(self) -> str:
        """Row of the plan table."""
        return self.launcher.kernel.name

    def update(self, inputs: KernelInputs) -> None:
        """Use other inputs that the same compiled kernel renders."""
        self.inputs = inputs
        with cuda.gpus[self.device.index]:
            self.launcher.update(inputs)

    def _compile(self) -> None:
        """Compile the kernels, or load them from the disk, by rendering no row."""
        if self.launcher.is_compiled():
            return
        s0, f0 = self.inputs.panel.s0, self.inputs.panel.f0
        with self.lanes.lend() as lane:
            nothing = (s0, s0, f0, f0)
            self.start((1, 1), lane, nothing, self.inputs.cell, self.no_mask, portions=1)
            panel = self.inputs.panel
            if (portions := self.launcher.portions((panel.s0, panel.s1, panel.f0, panel.f1))) > 1:
                self.start((1, 1), lane, nothing, self.inputs.cell, self.no_mask, portions=portions)
            lane.stream.synchronize()

    def grid(self, window: Window) -> tuple[int, int]:
        """Blocks along f and s for a window."""
        return self.launcher.grid(window)

    def start(
        self,
        grid: tuple[int, int],
        lane: Lane,
        window: Window,
        cell: CellBlock,
        mask: Any,
        tell: Tell | None = None,
        portions: int | None = None,
    ) -> Any:
        """Start the kernel on a window, without waiting for it; ``spots`` waits for all batches but the last.

        ``tell`` is called with the finished fraction by kernels that report it. ``portions`` replaces those of the launcher.
        Returns the band on the device, (rows, columns), for ``spots`` (stills, rows, columns).
        """
        return self.launcher.start(Job(grid, lane, window, cell, mask, tell, portions))

    def first_fallen(self) -> int:
        """Number of the first pixel in which interpolation ended; :data:`NEVER` if there is none."""
        with cuda.gpus[self.device.index]:
            return self.launcher.first_fallen()

    def device_target(self, image: Any, light: np.ndarray | None) -> DeviceTarget:
        """A target for an image on the device; ``light`` (spixels, fpixels) float32 is added. The device must be current."""
        if self._place is None:
            self._place = Starter(place_band, PLACERS)
            self._no_light = cuda.to_device(np.zeros((1, 0), np.float32)[:0])
        return DeviceTarget(image, self._no_light if light is None else cuda.to_device(light), self._place)

    def _begin(self, lane: Lane, window: Window, cell: CellBlock, target: Target, tell: Tell) -> Task:
        """Start rendering and copying a window."""
        row0, row1, f0, f1 = window
        mask = self.no_mask
        if self.inputs.mask.size:
            part = np.ascontiguousarray(self.inputs.mask[row0:row1, f0:f1])
            mask = cuda.to_device(part, stream=lane.stream)
        lane.reset()
        band = self.start(self.grid(window), lane, window, cell, mask, tell)
        return Task(lane, window, band, mask, target.fetch(lane, band, window, mask))

    def _finish(self, task: Task, target: Target, tell: Tell) -> None:
        """Wait for a window, and put its pixels into the image."""
        lane, window, band, mask, fetched = task
        grid = self.grid(window)
        blocks = grid[0] * grid[1] * self.launcher.portions(window)
        wait_for(lane, blocks, tell if self.launcher.is_long(window) else None)
        self.settle(lane, lambda: target.fetch(lane, band, window, mask), tell)
        target.finish(fetched, window)

    def settle(self, lane: Lane, fetch_again: Callable[[], Any], tell: Tell | None = None) -> None:
        """Render and copy a finished window again as long as the lists of its ``spots`` were too small."""
        while self.launcher.again(lane, tell):
            fetch_again()
            wait_for(lane, 1, None)

    def work(self, windows: Iterator[Window], cell: CellBlock, target: Target, done: Done, finished: Finished) -> None:
        """Render windows until there are no more.

        ``done`` is called with a window and its finished fraction, ``finished`` with a window whose pixels are in the image.

        With two lanes, one window is copied while the next one is computed.
        """
        with cuda.gpus[self.device.index], ExitStack() as lent:
            lanes: list[Lane] = []
            pending: list[Task] = []

            def finish() -> None:
                task = pending[0]
                self._finish(task, target, partial(done, task.window))
                del pending[0]
                finished(task.window)

            try:
                for number, window in enumerate(windows):
                    if len(pending) == 2:
                        finish()
                    if len(lanes) <= number % 2:
                        lanes.append(lent.enter_context(self.lanes.lend()))
                    pending.append(self._begin(lanes[number % 2], window, cell, target, partial(done, window)))
                while pending:
                    finish()
            except BaseException:
                for task in pending:
                    stop(task.lane, (target, task, self))
                raise


def wait_for(lane: Lane, blocks: int, tell: Tell | None) -> None:
    """Wait for a lane's event and report about how many blocks are finished; Ctrl-C is handled meanwhile."""
    start, most = time.perf_counter(), 0
    while not is_done(lane.event):
        gone = time.perf_counter() - start
        if gone > EAGER:
            time.sleep(min(NAP * gone, LONGEST_NAP))
            if tell is not None and (number := int(lane.done[0])) > most:
                most = number
                tell(min(most / blocks, 1.0))


def stop(lane: Lane, used: Any) -> None:
    """Tell a lane's kernel to stop; if it does not stop in time, the memory that it uses is never freed."""
    end = time.perf_counter() + PATIENCE
    try:
        lane.stop()
        while not is_done(lane.event):
            if time.perf_counter() > end:
                _abandoned.append((lane, used))
                return
            time.sleep(1e-3)
    except Exception:  # the device was lost: nothing runs there any more
        return
