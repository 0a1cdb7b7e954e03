"""Derivatives of compact spots on a GPU, footprint by footprint."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbnumba.derive.gpu_engine import CudaPass
from nbnumba.kernels.formulas.spots_shell import SPOT_END
from nbnumba.kernels.gpu.derivatives import THREADS
from nbnumba.kernels.gpu.spot_derivatives import close_slopes, slope_kernel
from nbnumba.kernels.gpu.spots import PAINTERS, sort_lists
from nbnumba.kernels.gpu.table import find_grid
from nbnumba.kernels.jit.cuda import cuda
from nbnumba.render.gpu.launch import Starter
from nbnumba.render.gpu.memory import Lane, resident
from nbnumba.render.gpu.spots import SpotsPainter
from nbnumba.render.gpu.state import wait_for


class SlopesPainter(SpotsPainter):
    """The painter of an image, with kernels that add up the sums of chosen pixels in place of its own.

    Attributes
    ----------
    tables : dict
        Tables of :class:`nbnumba.derive.gpu_engine.CudaPass`.
    ends : tuple of float
        As of :func:`nbnumba.kernels.cpu.spot_derivatives.derive_spots`.
    target : tuple
        Sums, slots and pixels on the device, as the kernels take them.
    """

    def use(self, tables: dict[str, Any], spinning: bool, peak: float) -> None:
        """Take the kernels of derivatives."""
        panel = self.inputs.panel
        self.tables, self.ends = tables, (float(peak), float(SPOT_END))
        self.target: tuple[Any, Any, Any] = (None, None, None)
        self.alone = int(panel.layers * panel.oversample == 1 and len(self.inputs.sources) == 1)
        self._sort = Starter(sort_lists, PAINTERS)
        self._slopes, self._end = (
            Starter(slope_kernel(self.alone, int(spinning)), PAINTERS),
            Starter(close_slopes, THREADS),
        )
        self.paint, self.close = self._paint_slopes, self._close_slopes

    def _paint_slopes(self, grid: tuple[int, ...], stream: Any, _: Any, *arguments: Any) -> None:
        """In place of the kernel of ``kernels.gpu.spots.paint_kernel``: the same arguments."""
        lists, places, found, per_pair, panel, crystal, cell, beam, metric, sources, cells, _, _, first = arguments
        sums, slots, _ = self.target
        self._sort(grid[:2], stream, lists, places, found, per_pair)
        self._slopes(
            grid[:2], stream, sums, slots, lists, places, found, panel, crystal, cell, beam, metric, sources,
            cells, self.tables["F"], self.tables["spins"], *self.ends, first,
        )  # fmt: skip

    def _close_slopes(self, grid: tuple[int, ...], stream: Any, *arguments: Any) -> None:
        """In place of ``kernels.gpu.spots.close_pixels``: the same arguments."""
        sums, _, pixels = self.target
        panel, beam, sources = arguments[2:5]
        self._end((-(-len(pixels) // THREADS),), stream, sums, pixels, panel, beam, sources, self.alone)


class CudaSpotPass(CudaPass):
    """Compact spots on one GPU, footprint by footprint.

    Raises
    ------
    DeviceError
        The device fails, or has too little memory.
    """

    most = 1 << 21  # each piece looks for the spots of all orientations

    def _prepare(self) -> None:
        super()._prepare()
        x, held = self.inputs, self._held
        table = resident(self._on, ("F2 row", x.cell.default_F, x.cell.has_hkl), x.Fhkl, x.F2_table)
        painter = SlopesPainter(x, self._on, held["sources"], held["cells"], table)
        painter.use(held, bool(self._spinning), self.ends[0])
        held["painter"] = painter

    def _sum(self, lane: Lane, sums: Any, pixels: np.ndarray) -> None:
        """Sums of a piece; they are complete when this returns."""
        panel, painter = self.inputs.panel, self._held["painter"]
        window = (int(pixels[0, 0]), int(pixels[-1, 0]) + 1, panel.f0, panel.f1)
        slots = np.full((window[1] - window[0], panel.f1 - panel.f0), -1, np.int32)
        slots[pixels[:, 0] - window[0], pixels[:, 1] - panel.f0] = np.arange(len(pixels))
        painter.target = (sums, cuda.to_device(slots), cuda.to_device(pixels))
        painter.render(find_grid("spots", window), lane, None, self.inputs.cell, None, window)
        lane.event.record(lane.stream)
        wait_for(lane, 1, None)
        while painter.again(lane):
            lane.event.record(lane.stream)
            wait_for(lane, 1, None)
