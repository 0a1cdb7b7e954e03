"""Derivatives on a GPU: a panel's pixels in pieces, whose sums are in the memory of the device."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from nbnumba.derive.engine import GRADIENT, NORMAL, VALUES, Goal, PanelPass
from nbnumba.errors import DeviceError
from nbnumba.kernels.formulas.blocks import MetricBlock
from nbnumba.kernels.formulas.sums import SPINS, SUMS
from nbnumba.kernels.gpu.deliver import GROUP, chain_sums, weigh_sums, weigh_values
from nbnumba.kernels.gpu.deliver import THREADS as DELIVERERS
from nbnumba.kernels.gpu.derivatives import THREADS, pixel_kernel
from nbnumba.kernels.jit.cuda import cuda
from nbnumba.render.devices import Device
from nbnumba.render.gpu.launch import Starter
from nbnumba.render.gpu.memory import Lane, lanes_of, release, resident, stay_current
from nbnumba.render.gpu.renderer import SHARE, on_device
from nbnumba.render.gpu.state import wait_for
from nbnumba.render.inputs import KernelInputs

#: Most pixels of a piece, and most terms: some tenths of a second on a large GPU, after which Ctrl-C is noticed.
PIECE, MOST_TERMS = 1 << 18, 1 << 34
#: Metric of a square crystal, which no kernel reads.
_NO_METRIC = MetricBlock(*[0.0] * len(MetricBlock._fields))


def entries_of(rows: int) -> np.ndarray:
    """Pairs of rows in the order of the totals of ``NORMAL``, (n, 2) int32: see :func:`nbnumba.kernels.gpu.deliver.weigh_values`."""
    return np.array([(k, j) for k in range(1, rows) for j in range(k + 1)], np.int32).reshape(-1, 2)


class CudaPass(PanelPass):
    """Every flag, on one GPU: pixel by pixel, all terms; the constructor copies the tables and compiles the kernel.

    Raises
    ------
    DeviceError
        The device fails, or has too little memory.
    """

    most = PIECE

    def __init__(self, inputs: KernelInputs, spins: np.ndarray | None, mask: np.ndarray, device: Device) -> None:
        self._on, self._held = device, dict[str, Any]()
        super().__init__(inputs, spins, mask)
        self.device = f"cuda:{device.index}"
        weakref.finalize(self, release, device.index, self._held).atexit = False
        with on_device(device):
            stay_current(device.index)
            with cuda.gpus[device.index]:
                self._prepare()

    def _find_pixels(self) -> np.ndarray:
        return np.argwhere(self.mask).astype(np.int32)

    def _prepare(self) -> None:
        """Copy the tables, and make the starters of the kernels."""
        x, held = self.inputs, self._held
        smooth = int(bool(x.cell.interpolate))
        if smooth:
            held["F"] = resident(self._on, ("F",), x.Fhkl, lambda: np.ascontiguousarray(x.Fhkl))
        else:
            tag = ("F2 row float64", x.cell.default_F, x.cell.has_hkl)
            held["F"] = resident(self._on, tag, x.Fhkl, lambda: self.F2)
        spins = self._spins if self._spinning else np.zeros((1, 3 * SPINS))
        held.update(
            sources=cuda.to_device(np.ascontiguousarray(self.sources)),
            cells=cuda.to_device(np.ascontiguousarray(x.cells)),
        )
        held.update(spins=cuda.to_device(np.ascontiguousarray(spins)))
        shape, curved = x.crystal.shape, int(bool(x.panel.curved))
        held["sum"] = Starter(pixel_kernel(shape, curved, smooth, int(bool(self._spinning))), THREADS)
        held.update(chain=Starter(chain_sums, DELIVERERS), sums=Starter(weigh_sums, DELIVERERS))
        held.update(values=Starter(weigh_values, DELIVERERS))

    def _piece(self, rows: int) -> int:
        """Pixels of a piece: whole groups."""
        free = cuda.current_context().get_memory_info()[0] * SHARE
        fitting = int(min(free / (8 * (SUMS + rows + 4)), self.most))
        most = min(fitting, MOST_TERMS // max(self.inputs.steps_per_pixel, 1), len(self.pixels) + GROUP - 1)
        if fitting < GROUP:
            raise DeviceError(f"not enough memory on {self._on} for the sums of {GROUP} pixels")
        return max(most // GROUP, 1) * GROUP

    def run(self, goal: Goal) -> np.ndarray:
        """Values (pixels, rows), or totals (n,)."""
        rows, n = len(goal.chain), len(self.pixels)
        given = [None if image is None else self.gather(image) for image in (goal.weights, goal.rights)]
        out = np.empty((n, rows)) if goal.kind == VALUES else np.zeros((-(-n // GROUP), goal.totals))
        if n and out.size:
            with on_device(self._on), cuda.gpus[self._on.index], lanes_of(self._on.index).lend() as lane:
                self._run_pieces(goal, given, out, lane)
        return out if goal.kind == VALUES else out.sum(axis=0)

    def _run_pieces(self, goal: Goal, given: list[Any], out: np.ndarray, lane: Lane) -> None:
        """Write values, or a row of totals for each group, into ``out``."""
        size, rows = self._piece(len(goal.chain)), len(goal.chain)
        sums = cuda.device_array((SUMS, size), np.float64)
        values = None if goal.kind == GRADIENT else cuda.device_array((size, rows), np.float64)
        tables = (cuda.to_device(goal.chain), cuda.to_device(entries_of(rows)) if goal.kind == NORMAL else None)
        for first in range(0, len(self.pixels), size):
            part = slice(first, min(first + size, len(self.pixels)))
            n = part.stop - first
            self._sum(lane, sums, np.ascontiguousarray(self.pixels[part]))
            weights = [cuda.to_device(np.ascontiguousarray(x[part])) for x in given if x is not None]
            if goal.kind == VALUES:
                found, at = self._chain(lane, values, sums, tables[0], n), part
            else:
                at = slice(first // GROUP, -(-part.stop // GROUP))
                found = cuda.device_array((at.stop - at.start, out.shape[1]), np.float64)
                if goal.kind == GRADIENT:
                    self._held["sums"]((len(found), SUMS), lane.stream, found, sums, *weights)
                else:
                    chained = self._chain(lane, values, sums, tables[0], n)
                    grid = (len(found), -(-out.shape[1] // DELIVERERS))
                    self._held["values"](grid, lane.stream, found, chained, *weights, tables[1])
            lane.event.record(lane.stream)
            wait_for(lane, 1, None)
            out[at] = found.copy_to_host()

    def _sum(self, lane: Lane, sums: Any, pixels: np.ndarray) -> None:
        """Start the sums of a piece."""
        held = self._held
        panel, crystal, cell, beam, metric = self.blocks
        peak, end, first_out = self.ends
        held["sum"](
            (-(-len(pixels) // THREADS),), lane.stream, sums, cuda.to_device(pixels), panel, crystal, cell, beam,
            _NO_METRIC if metric is None else metric, held["sources"], held["cells"], held["F"], held["spins"],
            float(peak), float(end), int(first_out),
        )  # fmt: skip

    def _chain(self, lane: Lane, values: Any, sums: Any, chain: Any, n: int) -> Any:
        """Start image and derivatives of a piece; (n, rows) on the device."""
        part = values if n == len(values) else values[:n]
        self._held["chain"]((-(-n // DELIVERERS),), lane.stream, part, sums, chain)
        return part
