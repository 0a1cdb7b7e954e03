"""The backend of the CPU, which renders bands of rows for progress and interrupts."""

from __future__ import annotations

from functools import partial

import numpy as np

from nbnumba.kernels.formulas.blocks import CellBlock
from nbnumba.render.backend import Backend, OnRows, PanelRenderer, Plan, Progress
from nbnumba.render.cpu.case import CpuCase
from nbnumba.render.cpu.launchers import LAUNCHERS, Rows
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.threads import answering


class CpuBackend(Backend):
    """The CPU."""

    def __init__(self, reason: str) -> None:
        super().__init__("cpu", reason)

    def case(self, inputs: KernelInputs) -> CpuCase:
        """Properties of a panel for the CPU's kernels."""
        return CpuCase(inputs)

    def make(self, inputs: KernelInputs, plan: Plan) -> CpuRenderer:
        """The renderer of one panel."""
        return CpuRenderer(inputs, plan)


class CpuRenderer(PanelRenderer):
    """Renders one panel on the CPU; the constructor compiles the kernel, or loads it from the disk."""

    def __init__(self, inputs: KernelInputs, plan: Plan) -> None:
        self._launcher = LAUNCHERS[plan.kernel]()
        self.update(inputs, plan)
        # Numba compiles for the types of the arguments: no row is rendered here
        self._run(np.zeros((1, inputs.panel.fpixels), np.float32), inputs.cell, 0, 0, np.zeros(1, np.uint8))

    def update(self, inputs: KernelInputs, plan: Plan) -> None:
        """Use other inputs."""
        self.inputs, self.plan = inputs, plan
        self._table = self._launcher.table(inputs)

    def new_image(self, shape: tuple[int, int]) -> np.ndarray:
        """An image of zeros, float32."""
        return np.zeros(shape, np.float32)

    def _run(
        self,
        image: np.ndarray,
        cell: CellBlock,
        row0: int,
        row1: int,
        fell_out: np.ndarray,
        progress: Progress | None = None,
    ) -> None:
        x = self.inputs
        rows = Rows(image, cell, row0, row1, self.plan.tile, fell_out, progress)
        call = partial(self._launcher.run, x, self._table, rows)
        if (row1 - row0) * (x.panel.f1 - x.panel.f0) * x.steps_per_pixel > self.plan.row.cost.long_call:
            answering(call)
        else:
            call()

    def render(self, image: np.ndarray, progress: Progress | None = None, on_rows: OnRows | None = None) -> bool:
        """Render into ``image`` (spixels, fpixels) float32; returns whether interpolation ended.

        Rows are rendered in parallel as if each were the first; the rows after the first one in which interpolation ended are
        rendered again without it, so that the image is that of one thread.
        """
        fell_out = np.zeros(image.shape[0], np.uint8)
        cell, panel = self.inputs.cell, self.inputs.panel
        for row0, row1 in self._bands():
            self._run(image, cell, row0, row1, fell_out, progress)
            if cell.interpolate and not cell.fallback_each and fell_out[row0:row1].any():
                first = row0 + int(np.argmax(fell_out[row0:row1]))
                cell = cell._replace(interpolate=0)
                self._run(image, cell, first + 1, row1, fell_out)
            if on_rows is not None:
                on_rows(row0, row1)
            if progress is not None and not self._launcher.tells_progress:
                progress((row1 - panel.s0) / max(1, panel.s1 - panel.s0))
        return bool(fell_out.any())

    def _bands(self) -> list[tuple[int, int]]:
        """Bands of rows; in each, every thread gets the same number of rows."""
        import numba

        panel, together = self.inputs.panel, self._launcher.rows_together
        if not together:
            return [(panel.s0, panel.s1)]
        per_row = max(1, panel.f1 - panel.f0) * self.inputs.steps_per_pixel
        round_of_all = numba.get_num_threads() * together
        rows = round_of_all * max(1, int(self.plan.row.cost.band / per_row / round_of_all))
        first = panel.s0 // together * together
        return [(max(row, panel.s0), min(row + rows, panel.s1)) for row in range(first, panel.s1, rows)]
