"""Times of kernels: warm renderings, and the time per step, core and pixel.

A step is one term of a pixel's sum: a sub-pixel of a sensor layer, a source and an orientation. Only the kernel is timed:
before, its inputs are made, it is compiled, and its memory is used once.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbnumba.kernels.jit.cuda_choice import find_package, is_simulated
from nbnumba.render.gpu.clock import ClockLog
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.kernel_table import SPOTS, TABLE


def count_pixels(inputs: KernelInputs) -> int:
    """Pixels of the region of interest of a panel; masked ones are rendered, too."""
    panel = inputs.panel
    return max(0, panel.s1 - panel.s0) * max(0, panel.f1 - panel.f0)


def count_steps(inputs: KernelInputs) -> int:
    """Inner steps of a panel's image."""
    return count_pixels(inputs) * inputs.steps_per_pixel


def render_seconds(renderer: Any, image: np.ndarray, progress: Callable[[float], None] | None = None) -> float:
    """Seconds from the start of one rendering to the finished image on the host.

    Parameters
    ----------
    renderer : nbnumba.render.dispatch.Renderer or nbnumba.render.gpu.renderer.GpuRenderer
    image : (spixels, fpixels) float32
        Overwritten; for a GPU preferably from the renderer's ``new_image``.
    progress : callable, optional
        Called with the rendered share; may raise to stop.
    """
    start = time.perf_counter()
    renderer.render(image, progress)
    return time.perf_counter() - start


@dataclass(frozen=True)
class Timing:
    """Several renderings of the same image.

    Attributes
    ----------
    seconds : tuple of float
        One for each rendering.
    steps, pixels : int
        Of one rendering.
    threads : int
        CPU threads; 0 if the time is that of a GPU.
    """

    seconds: tuple[float, ...]
    steps: int
    pixels: int
    threads: int

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def fastest(self) -> float:
        """Least of the seconds."""
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """Slowest less fastest, as a share of the median."""
        return self._per_second(max(self.seconds) - min(self.seconds))

    @property
    def steps_per_second(self) -> float:
        """Inner steps per second, by the median."""
        return self._per_second(self.steps)

    @property
    def pixels_per_second(self) -> float:
        """Finished pixels per second, by the median."""
        return self._per_second(self.pixels)

    @property
    def ns_per_step_and_core(self) -> float | None:
        """Nanoseconds that one core spends on a step; None for a GPU or an image without pixels."""
        return self.median * self.threads / self.steps * 1e9 if self.threads and self.steps else None

    def _per_second(self, amount: float) -> float:
        return amount / self.median if self.median else math.inf  # a GPU's clock has steps of half a microsecond

    def record(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "seconds": list(self.seconds),
            "median_s": self.median,
            "fastest_s": self.fastest,
            "spread": self.spread,
            "steps_per_s": self.steps_per_second,
            "pixels_per_s": self.pixels_per_second,
            "ns_per_step_and_core": self.ns_per_step_and_core,
            "threads": self.threads,
        }


def time_images(
    renderers: Sequence[Any],
    images: Sequence[np.ndarray],
    repeat: int,
    threads: int,
    progress: Callable[[float], None] | None = None,
) -> Timing:
    """Render all panels once to warm up, then ``repeat`` times by the clock.

    Parameters
    ----------
    renderers, images
        One of each per panel.
    threads : int
        CPU threads that share the work; 0 for GPUs.
    progress : callable, optional
        Called now and then while rendering; may raise to stop.
    """
    pairs = list(zip(renderers, images, strict=True))
    runs = [sum(render_seconds(*pair, progress) for pair in pairs) for _ in range(repeat + 1)][1:]
    steps, pixels = (sum(count(x.inputs) for x in renderers) for count in (count_steps, count_pixels))
    return Timing(tuple(runs), steps, pixels, threads)


@dataclass(frozen=True)
class DeviceTiming:
    """Times of one panel between events of a GPU.

    Attributes
    ----------
    device : nbnumba.render.devices.Device
    name : str
        Kernel: ``fast32``, ``fixed``, ``fast64``, ``general`` or ``spots``.
    kernel, copy : Timing
        The kernel over the panel's region; the copy of its pixels to pinned memory.
    launch : Timing
        Host time of a launch; the device works meanwhile.
    held : bool
        Whether all work was queued before the device began: only then the time of a kernel shorter than a launch is that
        of the kernel. Always false for ``spots``, whose host side waits for counts.
    clock : ClockLog
        Readings of the multiprocessors' clock meanwhile.
    """

    device: Any
    name: str
    kernel: Timing
    copy: Timing
    launch: Timing
    held: bool
    clock: ClockLog

    @property
    def clock_hz(self) -> float:
        """Median of the readings, else the rated clock of the driver."""
        return self.clock.median or float(self.device.clock)

    def of_issue_limit(self, instructions: float | None = None) -> float | None:
        """Speed as a share of the issue limit at the measured clock; None for kernels without a count.

        Parameters
        ----------
        instructions : float, optional
            For each step and pixel; default: those of the plan table.
        """
        package = find_package()
        count = instructions or TABLE[self.name].cost.instructions.get(package.name if package else "")
        if count is None:
            return None
        return self.kernel.steps_per_second / issue_limit(self.device.processors, self.clock_hz, count)

    def record(self) -> dict[str, Any]:
        """All figures, for JSON."""
        parts = {part: getattr(self, part).record() for part in ("kernel", "copy", "launch")}
        return parts | {"held": self.held, "clock": self.clock.record(), "of_issue_limit": self.of_issue_limit()}


#: Schedulers of a multiprocessor (compute capability 7.5 and later), each of which issues for one warp a cycle; threads of a
#: warp.
SCHEDULERS, WARP = 4, 32
#: Turns of the kernel that keeps the device busy, for measuring its speed; margin of its time over that of the queuing.
TRIAL_TURNS, MARGIN = 20_000, 2.0
#: Most seconds that the device is kept busy.
LONGEST_HOLD = 0.5


def issue_limit(processors: int, clock: float, instructions: float) -> float:
    """Steps per second if every scheduler issued an instruction of the inner loop in every cycle of ``clock`` (Hz)."""
    return processors * SCHEDULERS * WARP * clock / instructions


def time_on_device(renderer: Any, repeat: int) -> DeviceTiming:
    """Time kernel and copy of a panel's region by a GPU's events, with the clock read meanwhile.

    A launch takes longer on the host than some kernels run. A kernel that only waits therefore runs first, long enough for
    all launches and copies to be queued behind it; the time between two events is then the device's.

    Parameters
    ----------
    renderer : nbnumba.render.gpu.renderer.GpuRenderer
        Of several devices the first one does all of it.
    """
    from nbnumba.kernels.gpu.hold import hold
    from nbnumba.kernels.jit.cuda import cuda

    state, inputs = renderer.states[0], renderer.inputs
    panel = inputs.panel
    window = (panel.s0, panel.s1, panel.f0, panel.f1)
    shape = (panel.s1 - panel.s0, panel.f1 - panel.f0)
    launches: list[float] = []
    index = state.device.index
    with cuda.gpus[index], state.lanes.lend() as lane, ClockLog(index) as clock:
        host, numbers = cuda.pinned_array(shape, np.float32), cuda.to_device(np.array([0, 0.5, 1], np.float32))
        stream, grid = lane.stream, state.grid(window)
        marks = [cuda.event() for _ in range(2 * repeat + 2)]

        def launch() -> Any:
            start = time.perf_counter()
            band = state.start(grid, lane, window, inputs.cell, state.no_mask)
            launches.append(time.perf_counter() - start)
            return band

        def queue(turns: int, number: int) -> None:
            hold[1, 1, stream](numbers, turns)
            for i in range(number):
                marks[i].record(stream)
                band = launch()
            for i in range(number, 2 * number):
                marks[i].record(stream)
                band.copy_to_host(host.reshape(band.shape), stream=stream)
            marks[2 * number].record(stream)

        queue(1, 1)  # to compile, and to touch all memory
        stream.synchronize()
        can_hold = state.name != SPOTS.name and not is_simulated()
        turns = _turns_to_hold(cuda, stream, lambda n: hold[1, 1, stream](numbers, n), queue, repeat) if can_hold else 1
        launches.clear()
        queue(turns, repeat)
        held = can_hold and not marks[0].query()
        clock.note()
        marks[2 * repeat].synchronize()
    between = [a.elapsed_time(b) / 1e3 for a, b in itertools.pairwise(marks[: 2 * repeat + 1])]
    work = (count_steps(inputs), count_pixels(inputs), 0)
    kernel, copy = (Timing(tuple(part), *work) for part in (between[:repeat], between[repeat:]))
    return DeviceTiming(state.device, state.name, kernel, copy, Timing(tuple(launches), *work), held, clock)


def _turns_to_hold(cuda: Any, stream: Any, hold: Callable[[int], None], queue: Any, repeat: int) -> int:
    """Turns that keep the device busy while ``repeat`` launches and copies are queued."""
    before, after = cuda.event(), cuda.event()
    before.record(stream)
    hold(TRIAL_TURNS)
    after.record(stream)
    after.synchronize()
    per_turn = max(before.elapsed_time(after) / 1e3 / TRIAL_TURNS, 1e-10)
    start = time.perf_counter()
    queue(1, 1)
    queuing = (time.perf_counter() - start) * repeat
    stream.synchronize()
    return int(min(MARGIN * queuing, LONGEST_HOLD) / per_turn)
