"""How long kernels take: warm renderings timed, and what they come to per step, core and pixel.

A step is one term of a pixel's sum: a sub-pixel of a sensor layer, a source and an orientation. What is timed is the
kernel alone: its inputs are made, it is compiled, and its memory has been touched before the clock starts.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbnumba.inputs import KernelInputs


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
    renderer : nbnumba.dispatch.Renderer or nbnumba.gpu_render.GpuRenderer
    image : (spixels, fpixels) float32
        Overwritten; for a GPU best one of the renderer's own (``new_image``).
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
        CPU threads at work; 0 where the time is that of a GPU.
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


def time_on_device(renderer: Any, repeat: int) -> tuple[Timing, Timing]:
    """Time by a GPU's own clock of the kernel over a panel's region, and of the copy of its pixels to the host.

    Parameters
    ----------
    renderer : nbnumba.gpu_render.GpuRenderer
        Of several devices the first one does all of it.
    """
    from nbnumba.kernels._cuda import cuda
    from nbnumba.kernels.gpu import find_grid

    state, inputs = renderer.states[0], renderer.inputs
    panel = inputs.panel
    window = (panel.s0, panel.s1, panel.f0, panel.f1)
    shape = (panel.s1 - panel.s0, panel.f1 - panel.f0)
    kernels, copies = [], []
    with cuda.gpus[state.device.index], state.lanes.lend() as lane:
        host, stream, grid = cuda.pinned_array(shape, np.float32), lane.stream, find_grid(state.name, window)
        marks = [cuda.event() for _ in range(3)]
        for _ in range(repeat + 1):  # the first one warms up
            marks[0].record(stream)
            band = state.start(grid, lane, window, inputs.cell, state.no_mask)
            marks[1].record(stream)
            band.copy_to_host(host, stream=stream)
            marks[2].record(stream)
            marks[2].synchronize()
            kernels.append(marks[0].elapsed_time(marks[1]) / 1e3)
            copies.append(marks[1].elapsed_time(marks[2]) / 1e3)
    work = (count_steps(inputs), count_pixels(inputs), 0)
    return Timing(tuple(kernels[1:]), *work), Timing(tuple(copies[1:]), *work)
