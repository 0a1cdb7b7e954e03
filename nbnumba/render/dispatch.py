"""Which device, which kernel, which precision; bands of rows for progress and interrupts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nbnumba.errors import ConfigError, DeviceError
from nbnumba.kernels.formulas.blocks import CellBlock
from nbnumba.kernels.jit.cuda_choice import is_simulated
from nbnumba.render.devices import choose_devices, survey
from nbnumba.render.gpu.failures import guarded
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.threads import answering, usable_cores

if TYPE_CHECKING:
    from nbnumba.render.gpu.renderer import GpuRenderer

Kernel = Literal["fast32", "fixed", "fast64", "spots", "general"]
Progress = Callable[[float], None]

#: Inner steps per band: short enough that Ctrl-C and the progress bar feel immediate, long enough to cost nothing.
STEPS_PER_BAND = {"fast32": 1e8, "fast64": 4e7, "general": 2e6}
#: Inner steps from which a call of a kernel takes a second or more: pixels with very many sub-pixels.
LONG_CALL = {"fast32": 2e9, "fast64": 8e8, "general": 4e7, "spots": 1e11}


@dataclass(frozen=True)
class Plan:
    """How an image is rendered.

    Attributes
    ----------
    device : str
        ``cpu``, ``cuda:0``, or ``cuda:0,1`` where several share the image.
    kernel : str
        ``fast32`` (anchored float32), ``fast64`` (float64 phases), ``spots`` (reflection by reflection), ``general``
        (every flag, float64 throughout).
    tile : tuple of int
        Columns and rows of a tile of the fast kernels.
    reason : str
        Why, in one line.
    """

    device: str
    kernel: Kernel
    tile: tuple[int, int]
    reason: str

    @property
    def precision(self) -> str:
        """``mixed`` where any part of the sum is float32, else ``double``."""
        return "double" if self.kernel == "general" else "mixed"


def choose_device(device: str) -> tuple[str, str]:
    """Check a device by name; returns the one to take and the reason.

    Raises
    ------
    ConfigError
        No such device name.
    DeviceError
        The device was asked for by name and is unavailable; the message says what is missing.
    """
    if device == "cpu":
        return "cpu", "asked for"
    if device == "auto":
        if is_simulated():  # for tests only: no image would ever be finished
            return "cpu", "the CUDA simulator is taken only when asked for"
        found = survey()
        return (f"cuda:{found.devices[0].index}", found.devices[0].name) if found.devices else ("cpu", found.problem)
    devices = choose_devices(device)
    return f"cuda:{','.join(str(d.index) for d in devices)}", " and ".join(d.name for d in devices)


def make_plan(inputs: KernelInputs, device: str = "auto", precision: str = "auto") -> Plan:
    """Choose the kernel for one panel.

    The fast kernels know neither interpolation nor the ``-oversample_*`` flags; ``precision="double"`` takes the
    float64 sums of the general kernel.

    Raises
    ------
    ConfigError
        No such precision or device.
    DeviceError
        The device was asked for by name and is unavailable.
    """
    if precision not in ("auto", "double", "mixed"):
        raise ConfigError(f"--precision must be auto, double or mixed, got {precision}")
    chosen, reason = choose_device(device)
    beam = inputs.beam
    if inputs.cell.interpolate:
        return Plan(chosen, "general", (0, 0), f"{reason}; interpolation needs the general kernel")
    if beam.oversample_thick or beam.oversample_polar or beam.oversample_omega:
        return Plan(chosen, "general", (0, 0), f"{reason}; -oversample_* needs the general kernel")
    if precision == "double":
        return Plan(chosen, "general", (0, 0), f"{reason}; double precision")

    if chosen != "cpu":
        from nbnumba.render.gpu import inputs as gpu_inputs

        cuda_kernel, why = gpu_inputs.choose_variant(inputs, precision)
        return Plan(chosen, cuda_kernel, (gpu_inputs.TILE, gpu_inputs.TILE), f"{reason}; {why}")
    from nbnumba.render.variants import choose_variant

    kernel, tile, why = choose_variant(inputs, precision)
    return Plan(chosen, kernel, tile, f"{reason}; {why}")


def make_renderer(inputs: KernelInputs, device: str = "auto", precision: str = "auto") -> Renderer | GpuRenderer:
    """The renderer of one panel: its kernel is compiled and its tables are in place.

    Raises
    ------
    DeviceError
        The device was asked for by name and is unavailable, or has too little memory.
    """
    plan = make_plan(inputs, device, precision)
    if plan.device == "cpu":
        return Renderer(inputs, plan)
    try:
        return make_gpu_renderer(inputs, plan)
    except DeviceError as error:
        if device != "auto":
            raise
        return fall_back(inputs, precision, error)


def make_gpu_renderer(inputs: KernelInputs, plan: Plan) -> GpuRenderer:
    """The renderer of one panel on the plan's devices.

    Raises
    ------
    DeviceError
        A device fails, or has too little memory.
    """
    with guarded(plan.device):
        from nbnumba.render.gpu.renderer import GpuRenderer

        return GpuRenderer(inputs, plan, choose_devices(plan.device))


def fall_back(inputs: KernelInputs, precision: str, error: DeviceError) -> Renderer:
    """The CPU's renderer, in place of a GPU that failed; its plan says why."""
    plan = make_plan(inputs, "cpu", precision)
    return Renderer(inputs, replace(plan, reason=f"{error}; {plan.reason.removeprefix('asked for; ')}"))


def set_threads(threads: int | None) -> int:
    """Use this many threads (None: as many as the process may run on); returns the number."""
    import numba

    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    wanted = threads if threads is not None else min(most, usable_cores())
    if not 1 <= wanted <= most:
        raise ConfigError(f"--threads must be between 1 and {most} on this machine, got {wanted}")
    numba.set_num_threads(wanted)
    return wanted


class Renderer:
    """Renders one panel on the CPU: the kernel is compiled, or fetched from the disk, when this is made."""

    def __init__(self, inputs: KernelInputs, plan: Plan) -> None:
        self.inputs, self.plan = inputs, plan
        self._kernel: Callable[..., Any]
        if plan.kernel == "general":
            from nbnumba.kernels.cpu.general import render_general

            self._kernel, self._table = render_general, inputs.Fhkl
        elif plan.kernel == "spots":
            from nbnumba.kernels.cpu.spots import render_spots

            self._kernel, self._table = render_spots, inputs.F2_table()
        else:
            from nbnumba.kernels.cpu import fast as cpu_fast

            self._kernel, self._table = getattr(cpu_fast, f"render_{plan.kernel}"), inputs.F2_table()
        panel = inputs.panel
        # Numba compiles for the types of the arguments: no row is rendered here
        self._run(np.zeros((1, panel.fpixels), np.float32), inputs.cell, 0, 0, np.zeros(1, np.uint8))

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
        last: tuple[object, ...] = (self.plan.tile,)
        if self.plan.kernel in ("general", "spots"):
            last = (fell_out if self.plan.kernel == "general" else progress,)
        blocks = (x.panel, x.crystal, cell, x.beam, x.sources, x.cells)
        call = partial(self._kernel, image, *blocks, self._table, x.mask, row0, row1, *last)
        if (row1 - row0) * (x.panel.f1 - x.panel.f0) * x.steps_per_pixel > LONG_CALL[self.plan.kernel]:
            answering(call)
        else:
            call()

    def render(self, image: np.ndarray, progress: Progress | None = None) -> bool:
        """Render into ``image`` (spixels, fpixels) float32; returns whether interpolation ended on the way.

        In the reference the first evaluation out of range, in raster order, ends interpolation for the rest of the
        run. Rows are rendered side by side as if each were the first; what comes after the first row in which
        interpolation ended is rendered again without it, so that the outcome is that of one thread.
        """
        fell_out = np.zeros(image.shape[0], np.uint8)
        cell, panel = self.inputs.cell, self.inputs.panel
        if self.plan.kernel == "spots":  # takes one orientation after the other, not rows
            self._run(image, cell, panel.s0, panel.s1, fell_out, progress)
            return False
        for row0, row1 in _bands(self.inputs, self.plan.kernel):
            self._run(image, cell, row0, row1, fell_out)
            if cell.interpolate and not cell.fallback_each and fell_out[row0:row1].any():
                first = row0 + int(np.argmax(fell_out[row0:row1]))
                cell = cell._replace(interpolate=0)
                self._run(image, cell, first + 1, row1, fell_out)
            if progress is not None:
                progress((row1 - panel.s0) / max(1, panel.s1 - panel.s0))
        return bool(fell_out.any())


def _bands(inputs: KernelInputs, kernel: Kernel) -> list[tuple[int, int]]:
    """Bands of rows, each a whole number of rounds for all threads."""
    import numba

    from nbnumba.render.variants import ROWS_TOGETHER

    panel = inputs.panel
    per_row = max(1, panel.f1 - panel.f0) * inputs.steps_per_pixel
    together = 1 if kernel == "general" else ROWS_TOGETHER
    round_of_all = numba.get_num_threads() * together
    rows = round_of_all * max(1, int(STEPS_PER_BAND[kernel] / per_row / round_of_all))
    first = panel.s0 // together * together
    return [(max(row, panel.s0), min(row + rows, panel.s1)) for row in range(first, panel.s1, rows)]
