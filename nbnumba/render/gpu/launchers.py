"""Launches of the CUDA kernels and their tables, a class for each way to launch.

A launcher belongs to one panel on one device, and must be made and used while the device is current. To add a kernel, add a
class here if it needs one, its row in :data:`LAUNCHERS`, and its row in :mod:`nbnumba.render.kernel_table`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from nbnumba.kernels.formulas.blocks import CellBlock
from nbnumba.kernels.gpu.close import THREADS as CLOSERS
from nbnumba.kernels.gpu.table import find_end, find_grid, find_kernel, threads_of
from nbnumba.kernels.jit.cuda import cuda
from nbnumba.render.devices import Device
from nbnumba.render.gpu.inputs import padded_F2, square_units
from nbnumba.render.gpu.launch import Starter
from nbnumba.render.gpu.memory import Lane, replaced, resident
from nbnumba.render.gpu.split import chapter_of, portions_of
from nbnumba.render.gpu.spots import SpotsPainter, batch_bytes
from nbnumba.render.inputs import KernelInputs, framed_sources
from nbnumba.render.kernel_table import FAST32, FAST64, FIXED, GENERAL, SPOTS, TABLE, Kernel

Window = tuple[int, int, int, int]
Tell = Callable[[float], None]

NEVER = np.iinfo(np.int64).max


class Job(NamedTuple):
    """A window that is to be rendered.

    Attributes
    ----------
    grid : tuple of int
        Blocks along f and s.
    lane : Lane
        Stream and memory.
    window : tuple of int
        row0, row1, f0, f1.
    cell : CellBlock
        In place of that of the inputs: with or without interpolation.
    mask
        On the device: (row1 - row0, f1 - f0) or (0, 0) uint8.
    tell : callable, optional
        Called with the share that is done, by kernels that know of one.
    portions : int, optional
        In place of those of the launcher.
    """

    grid: tuple[int, int]
    lane: Lane
    window: Window
    cell: CellBlock
    mask: Any
    tell: Tell | None = None
    portions: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.window[1] - self.window[0], self.window[3] - self.window[2]


class Launcher(ABC):
    """A kernel of one device with its tables, for one panel, or for ``stills`` images of it that are rendered together.

    Parameters
    ----------
    kernel : Kernel
        Row of the plan table.

    Attributes
    ----------
    pixel_bytes, list_bytes : int
        Memory of a pixel in two bands and their masks, sums included; memory of the lists.
    takes_bands : bool
        Whether an image can be cut into bands without additional work.
    """

    pixel_bytes: ClassVar[int] = 10
    list_bytes: ClassVar[int] = 0
    takes_bands: ClassVar[bool] = True

    def __init__(self, kernel: Kernel, inputs: KernelInputs, device: Device, stills: int = 1) -> None:
        self.kernel, self.inputs, self.device, self.stills = kernel, inputs, device, stills
        self._no_flags = cuda.to_device(np.zeros(1, np.int32))[:0]
        self.cells = cuda.to_device(inputs.cells)
        self.sources = cuda.to_device(self._source_rows())
        self._tables()
        self._kernels()

    def update(self, inputs: KernelInputs) -> None:
        """Use other inputs of the same types; unchanged arrays stay on the device."""
        before, self.inputs = self.inputs, inputs
        if not np.array_equal(before.cells, inputs.cells):
            self.cells = replaced(self.cells, inputs.cells)
        if not np.array_equal(before.sources, inputs.sources) or before.beam != inputs.beam:
            self.sources = replaced(self.sources, self._source_rows())
        self._tables()

    def _source_rows(self) -> np.ndarray:
        return framed_sources(self.inputs)

    @abstractmethod
    def _tables(self) -> None:
        """Make the tables on the device."""

    @abstractmethod
    def _kernels(self) -> None:
        """Make the starters of the kernels."""

    @abstractmethod
    def start(self, job: Job) -> Any:
        """Start the kernel on a window, without waiting for it; returns the band on the device, (rows, columns)."""

    def grid(self, window: Window) -> tuple[int, int]:
        """Blocks along f and s."""
        return find_grid(self.kernel.name, window)

    def portions(self, window: Window) -> int:
        """Portions into which the terms of each tile of a window are split."""
        return 1

    def is_long(self, window: Window) -> bool:
        """Whether rendering a window may take long enough for progress and Ctrl-C to matter."""
        steps = (window[1] - window[0]) * (window[3] - window[2]) * self.inputs.steps_per_pixel
        return steps > self.kernel.cost.long_launch

    def _flags(self, job: Job) -> tuple[Any, Any]:
        """Flags for stop and progress that host and kernel share; empty arrays for short launches."""
        return (job.lane.halt, job.lane.done) if self.is_long(job.window) else (self._no_flags, self._no_flags)

    def again(self, lane: Lane, tell: Tell | None = None) -> bool:
        """Whether the lists of a finished window were too small; the window is then rendered again."""
        return False

    def is_compiled(self) -> bool:
        """Whether the kernels are known to be compiled."""
        return False

    def first_fallen(self) -> int:
        """Number of the first pixel in which interpolation ended; :data:`NEVER` if there is none."""
        return NEVER


class GeneralLauncher(Launcher):
    """``general``: every flag, float64 throughout."""

    last: Any = None  # (1,) int64, on the device

    def _source_rows(self) -> np.ndarray:
        return self.inputs.sources

    def _tables(self) -> None:
        x = self.inputs
        self.table = resident(self.device, ("F",), x.Fhkl, lambda: np.ascontiguousarray(x.Fhkl))
        self.last = replaced(self.last, np.array([NEVER]))

    def _kernels(self) -> None:
        kernel = find_kernel(
            self.kernel.name, self.inputs.crystal.shape, 0, 0, interpolate=self.inputs.cell.interpolate
        )
        self.starter = Starter(kernel, threads_of(self.kernel.name))

    def start(self, job: Job) -> Any:
        """Start the kernel on a window, without waiting for it; returns the band, (rows, columns)."""
        x, lane, band = self.inputs, job.lane, job.lane.band(job.shape)
        blocks = (x.panel, x.crystal, job.cell, x.beam, self.sources, self.cells, self.table)
        self.starter(job.grid, lane.stream, band, job.window, *blocks, job.mask, self.last, *self._flags(job))
        return band

    def first_fallen(self) -> int:
        """Number of the first pixel in which interpolation ended; :data:`NEVER` if there is none."""
        return int(self.last.copy_to_host()[0])


class FastLauncher(Launcher):
    """``fast32``, ``fixed`` and ``fast64``: tile by tile."""

    def _tables(self) -> None:
        x = self.inputs
        tag = ("F2", x.cell.default_F, x.cell.has_hkl)
        self.table = resident(self.device, tag, x.Fhkl, lambda: padded_F2(x))
        self.units = square_units(x)
        self.chapter = np.int32(chapter_of(len(x.sources) * len(x.cells)))

    def _kernels(self) -> None:
        x, name = self.inputs, self.kernel.name
        variant = (name, x.crystal.shape, x.panel.curved, int(x.beam.per_term or x.beam.dmin > 0))
        self.starter = Starter(find_kernel(*variant), threads_of(name))
        self.splitting = Starter(find_kernel(*variant, split=1), threads_of(name))
        self.ending = Starter(find_end(*variant), CLOSERS)

    def portions(self, window: Window) -> int:
        """Portions into which the terms of each tile of a window are split."""
        x, (across, down) = self.inputs, self.grid(window)
        steps = x.panel.layers * x.panel.oversample**2
        return portions_of(across * down, steps, len(x.sources) * len(x.cells), self.device.processors)

    def start(self, job: Job) -> Any:
        """Start the kernel on a window, without waiting for it; returns the band, (rows, columns)."""
        x, lane, band = self.inputs, job.lane, job.lane.band(job.shape)
        blocks = (x.panel, x.crystal, job.cell, x.beam, self.sources, self.cells, self.table)
        rest = (job.window, *blocks, job.mask, self.units, self.chapter, *self._flags(job))
        portions = self.portions(job.window) if job.portions is None else job.portions
        if portions == 1:
            self.starter(job.grid, lane.stream, band, *rest)
            return band
        sums = lane.sums((portions, *band.shape))
        self.splitting((*job.grid, portions), lane.stream, sums, *rest)
        end = (job.window, x.panel, x.crystal, x.beam, self.sources, job.mask, sums)
        self.ending(find_grid(GENERAL.name, job.window), lane.stream, band, *end)
        return band


class SpotsLauncher(Launcher):
    """``spots``: reflection by reflection, :class:`nbnumba.render.gpu.spots.SpotsPainter`."""

    pixel_bytes = 18
    list_bytes = batch_bytes()
    takes_bands = False  # every band processes all orientations
    painter: SpotsPainter | None = None

    def _tables(self) -> None:
        x = self.inputs
        table = resident(self.device, ("F2 row", x.cell.default_F, x.cell.has_hkl), x.Fhkl, x.F2_table)
        if self.painter is None:
            self.painter = SpotsPainter(x, self.device, self.sources, self.cells, table, self.stills)
        else:
            self.painter.update(x, self.sources, self.cells, table)

    def _kernels(self) -> None:
        """The painter has them."""

    def start(self, job: Job) -> Any:
        """Start the kernels on a window, waiting for all batches but the last; returns the band, (stills, rows, columns)."""
        assert self.painter is not None
        band = job.lane.band((self.stills, *job.shape))
        self.painter.render(job.grid, job.lane, band, job.cell, job.mask, job.window, job.tell)
        return band

    def again(self, lane: Lane, tell: Tell | None = None) -> bool:
        """Whether the lists of a finished window were too small; the window is then rendered again."""
        return self.painter is not None and self.painter.again(lane, tell)

    def is_compiled(self) -> bool:
        """Whether the kernels are known to be compiled."""
        return self.painter is not None and self.painter.is_compiled()


#: Classes by the names of their rows of the plan table.
LAUNCHERS: dict[str, type[Launcher]] = {
    FAST32.name: FastLauncher,
    FIXED.name: FastLauncher,
    FAST64.name: FastLauncher,
    SPOTS.name: SpotsLauncher,
    GENERAL.name: GeneralLauncher,
}


def make_launcher(name: str, inputs: KernelInputs, device: Device, stills: int = 1) -> Launcher:
    """The launcher of a row of the plan table."""
    return LAUNCHERS[name](TABLE[name], inputs, device, stills)
