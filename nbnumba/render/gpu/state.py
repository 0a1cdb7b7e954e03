"""One GPU's part in rendering one panel: its tables, its kernel with the arguments in place, and windows of pixels.

A window is rendered by one launch, and copied to the host behind it, on one of the lanes of :mod:`nbnumba.render.gpu.memory`.
Where a launch may take long the kernel tells the host how far it is, in memory of the host, and finds in memory of the
device that it is to stop. Without that word Ctrl-C would wait for the kernel's end.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from nbnumba.kernels.formulas.blocks import CellBlock
from nbnumba.kernels.gpu.close import THREADS as CLOSERS
from nbnumba.kernels.gpu.table import find_end, find_grid, find_kernel, threads_of
from nbnumba.kernels.jit.cuda import cuda, is_done
from nbnumba.render.devices import Device
from nbnumba.render.gpu.inputs import framed_sources, padded_F2, square_units
from nbnumba.render.gpu.launch import Starter
from nbnumba.render.gpu.memory import Lane, lanes_of, release, resident, stay_current
from nbnumba.render.gpu.split import chapter_of, portions_of
from nbnumba.render.gpu.spots import SpotsPainter
from nbnumba.render.inputs import KernelInputs

Window = tuple[int, int, int, int]
Tell = Callable[[float], None]
Done = Callable[[Window, float], None]

#: Inner steps from which a launch may take some ten milliseconds: it then tells how far it is.
LONG = {"fast32": 4e9, "fixed": 3e9, "fast64": 4e8, "general": 1e8}
NEVER = np.iinfo(np.int64).max
#: Seconds in which the host only asks for the end; share of the time gone by, and seconds, that it sleeps afterwards.
EAGER, NAP, LONGEST_NAP = 5e-4, 0.05, 0.02
#: Seconds that a kernel has to stop in when it is told so.
PATIENCE = 0.2

#: What kernels that did not stop in time may still write to.
_abandoned: list[Any] = []


class DeviceState:
    """One device's tables and kernel for one panel; of ``stills`` images of it, with the kernel ``spots``."""

    def __init__(self, device: Device, inputs: KernelInputs, kernel: str, stills: int = 1) -> None:
        self.device, self.inputs, self.name, self.stills = device, inputs, kernel, stills
        self.lanes = lanes_of(device.index)
        self.spots: SpotsPainter | None = None
        stay_current(device.index)
        with cuda.gpus[device.index]:
            self.no_mask = cuda.to_device(np.zeros((1, 0), np.uint8)[:0])
            self._silence = cuda.to_device(np.zeros(1, np.int32))[:0]
            self.cells = cuda.to_device(inputs.cells)
            self.sources = cuda.to_device(inputs.sources if kernel == "general" else framed_sources(inputs))
            weakref.finalize(self, release, device.index, vars(self)).atexit = False
            self._prepare()
            self._compile()

    def _prepare(self) -> None:
        """Tables and kernel."""
        x = self.inputs
        tag = (x.cell.default_F, x.cell.has_hkl)
        if self.name == "spots":
            table = resident(self.device, ("F2 row", *tag), x.Fhkl, x.F2_table)
            self.spots = SpotsPainter(x, self.device, self.sources, self.cells, table, self.stills)
            return
        if self.name == "general":
            self.table = resident(self.device, ("F",), x.Fhkl, lambda: np.ascontiguousarray(x.Fhkl))
            self.last = cuda.to_device(np.array([NEVER]))
        else:
            self.table = resident(self.device, ("F2", *tag), x.Fhkl, lambda: padded_F2(x))
            self.last = square_units(x)
        separate = int(x.beam.per_term or x.beam.dmin > 0)
        variant = (self.name, x.crystal.shape, x.panel.curved, separate)
        self.kernel = Starter(find_kernel(*variant, interpolate=x.cell.interpolate), threads_of(self.name))
        if self.name != "general":
            self.splitting = Starter(find_kernel(*variant, split=1), threads_of(self.name))
            self.ending = Starter(find_end(*variant), CLOSERS)
            self.chapter = np.int32(chapter_of(len(x.sources) * len(x.cells)))

    def _compile(self) -> None:
        """Compile the kernels, or fetch them from the disk, by rendering no row."""
        if self.spots is not None and self.spots.is_compiled():
            return
        s0, f0 = self.inputs.panel.s0, self.inputs.panel.f0
        with self.lanes.lend() as lane:
            nothing = (s0, s0, f0, f0)
            self.start((1, 1), lane, nothing, self.inputs.cell, self.no_mask, portions=1)
            panel = self.inputs.panel
            if (portions := self.portions((panel.s0, panel.s1, panel.f0, panel.f1))) > 1:
                self.start((1, 1), lane, nothing, self.inputs.cell, self.no_mask, portions=portions)
            lane.stream.synchronize()

    def portions(self, window: Window) -> int:
        """Portions into which the terms of each tile of a window are split."""
        if self.name in ("general", "spots"):
            return 1
        x, (across, down) = self.inputs, find_grid(self.name, window)
        steps = x.panel.layers * x.panel.oversample**2
        return portions_of(across * down, steps, len(x.sources) * len(x.cells), self.device.processors)

    def is_long(self, window: Window) -> bool:
        """Whether rendering a window may take long enough for progress and Ctrl-C to matter."""
        steps = (window[1] - window[0]) * (window[3] - window[2]) * self.inputs.steps_per_pixel
        return steps > LONG.get(self.name, np.inf)

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
        """Start the kernel on a window, without waiting for it; ``spots`` waits for all but its end if it has batches.

        ``tell`` is called with the share that is done, by kernels that know of one. ``portions``: instead of
        :meth:`portions`. Returns the band on the device, (rows, columns), of ``spots`` (stills, rows, columns).
        """
        shape = (window[1] - window[0], window[3] - window[2])
        if self.spots is not None:
            band = lane.band((self.stills, *shape))
            self.spots.render(grid, lane, band, cell, mask, window, tell)
            return band
        band = lane.band(shape)
        words = (lane.halt, lane.done) if self.is_long(window) else (self._silence, self._silence)
        x = self.inputs
        blocks = (x.panel, x.crystal, cell, x.beam, self.sources, self.cells, self.table)
        if self.name == "general":
            self.kernel(grid, lane.stream, band, window, *blocks, mask, self.last, *words)
            return band
        rest = (window, *blocks, mask, self.last, self.chapter, *words)
        portions = self.portions(window) if portions is None else portions
        if portions == 1:
            self.kernel(grid, lane.stream, band, *rest)
            return band
        sums = lane.sums((portions, *band.shape))
        self.splitting((*grid, portions), lane.stream, sums, *rest)
        end = (window, x.panel, x.crystal, x.beam, self.sources, mask, sums)
        self.ending(find_grid("general", window), lane.stream, band, *end)
        return band

    def first_fallen(self) -> int:
        """Number of the first pixel in which interpolation ended; :data:`NEVER` if there is none."""
        with cuda.gpus[self.device.index]:
            return int(self.last.copy_to_host()[0])

    def _begin(
        self, lane: Lane, window: Window, cell: CellBlock, image: np.ndarray, direct: bool, tell: Tell
    ) -> np.ndarray:
        """Start rendering a window and copying it; returns the host array in which it will be."""
        row0, row1, f0, f1 = window
        mask = self.no_mask
        if self.inputs.mask.size:
            part = np.ascontiguousarray(self.inputs.mask[row0:row1, f0:f1])
            mask = cuda.to_device(part, stream=lane.stream)
        lane.reset()
        band = self.start(find_grid(self.name, window), lane, window, cell, mask, tell)
        target = image[row0:row1] if direct else lane.staging((row1 - row0, f1 - f0))
        fetch(lane, band, target)
        return target

    def _finish(self, lane: Lane, window: Window, image: np.ndarray, target: np.ndarray, tell: Tell) -> None:
        """Wait for a window, and put its pixels into the image."""
        grid = find_grid(self.name, window)
        wait_for(lane, grid[0] * grid[1] * self.portions(window), tell if self.is_long(window) else None)
        row0, row1, f0, f1 = window
        self.settle(lane, target, (row1 - row0, f1 - f0), tell)
        place = image[row0:row1, f0:f1]
        if np.may_share_memory(place, target):
            return
        if self.inputs.mask.size:
            np.copyto(place, target, where=self.inputs.mask[row0:row1, f0:f1] != 0)
        else:
            place[:] = target

    def settle(self, lane: Lane, target: np.ndarray, shape: tuple[int, int], tell: Tell | None = None) -> None:
        """Render a window again that is done, and fetch it, as long as memory was laid out too small for its ``spots``."""
        while self.spots is not None and self.spots.again(lane, tell):
            fetch(lane, lane.band((self.stills, *shape)), target)
            wait_for(lane, 1, None)

    def work(self, windows: Iterator[Window], cell: CellBlock, image: np.ndarray, direct: bool, done: Done) -> None:
        """Render windows until there are no more; ``done`` is called with a window and the share of it that is done.

        With two lanes, one window is copied while the next one is computed.
        """
        with cuda.gpus[self.device.index], ExitStack() as lent:
            lanes: list[Lane] = []
            pending: list[tuple[Lane, Window, np.ndarray]] = []

            def finish() -> None:
                lane, window, target = pending[0]
                self._finish(lane, window, image, target, partial(done, window))
                del pending[0]
                done(window, 1.0)

            try:
                for number, window in enumerate(windows):
                    if len(pending) == 2:
                        finish()
                    if len(lanes) <= number % 2:
                        lanes.append(lent.enter_context(self.lanes.lend()))
                    lane = lanes[number % 2]
                    pending.append(
                        (lane, window, self._begin(lane, window, cell, image, direct, partial(done, window)))
                    )
                while pending:
                    finish()
            except BaseException:
                for lane, _, target in pending:
                    stop(lane, (image, target, self))
                raise


def fetch(lane: Lane, band: Any, target: np.ndarray) -> None:
    """Copy a band to the host behind what its lane does, and record the lane's event."""
    band.copy_to_host(target.reshape(band.shape), stream=lane.stream)
    lane.event.record(lane.stream)


def wait_for(lane: Lane, blocks: int, tell: Tell | None) -> None:
    """Wait until a lane's event is reached, and tell how many of the blocks are done, about; Ctrl-C is heard."""
    start, most = time.perf_counter(), 0
    while not is_done(lane.event):
        gone = time.perf_counter() - start
        if gone > EAGER:
            time.sleep(min(NAP * gone, LONGEST_NAP))
            if tell is not None and (number := int(lane.done[0])) > most:
                most = number
                tell(min(most / blocks, 1.0))


def stop(lane: Lane, used: Any) -> None:
    """Have a lane's kernel stop; what it uses is kept for good if it does not do so in time."""
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
