"""The public function ``simulate``: from a simulation to its image, statistics and record."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nbnumba.model.config import Simulation
from nbnumba.model.editions import edition_of
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.odd_rules import INTERPOLATION_ENDED
from nbnumba.model.plausible import image_doubts
from nbnumba.render.backend import Plan, Progress
from nbnumba.render.inputs import beam_block, mask_bytes, panel_block
from nbnumba.render.renderer import Renderer
from nbnumba.render.statistics import Statistics, image_statistics
from nbnumba.render.threads import thread_safe


@dataclass(frozen=True, repr=False)
class Result:
    """Result of a simulation.

    Attributes
    ----------
    images : tuple of (spixels, fpixels) float32
        Photons, one image per panel.
    background, bragg : tuple of (spixels, fpixels) float32, or None
        The photons that amorphous material scattered, and the others; None where there is no such material.
    statistics : Statistics
        Of the first panel.
    warnings : tuple of str
        The experiment's, and those about the rendering.
    plan : Plan
        Device, kernel and precision, with the reason.
    timings : dict
        Seconds, by phase: resolve, prepare (tables; compiling where no kernel is cached), render, statistics.
    """

    experiment: Experiment
    images: tuple[np.ndarray, ...]
    statistics: Statistics
    warnings: tuple[str, ...]
    plan: Plan
    threads: int
    timings: dict[str, float]
    interpolation_ended: bool
    background: tuple[np.ndarray, ...] | None = None
    bragg: tuple[np.ndarray, ...] | None = None

    def __repr__(self) -> str:
        """One line without the arrays, for notebooks."""
        slow, fast = self.image.shape
        first = "" if len(self.images) == 1 else f", first of {len(self.images)} panels"
        brightest = f"brightest {self.statistics.max:.4g} photons"
        return f"<Result: {slow} x {fast} pixels (slow x fast){first}, {brightest}, by {self.device}>"

    @cached_property
    def solid_angle(self) -> float:
        """Solid angle of the detector (sr) as the reference prints it; computed at the first access."""
        from nbnumba.kernels.cpu.general import solid_angle_rows

        experiment = self.experiment
        every_subpixel = bool(beam_block(experiment).oversample_omega)
        total = 0.0
        for index in range(len(experiment.detector.panels)):
            panel = panel_block(experiment, index)
            rows = np.zeros(panel.s1)
            solid_angle_rows(rows, panel, mask_bytes(experiment), every_subpixel)
            total += float(rows.sum())
        return total / experiment.steps

    @property
    def image(self) -> np.ndarray:
        """Image of the first panel."""
        return self.images[0]

    @property
    def device(self) -> str:
        """Device that rendered the image."""
        return self.plan.device

    @property
    def precision(self) -> str:
        """``double`` or ``mixed``."""
        return self.plan.precision

    def facts(self) -> dict[str, Any]:
        """The experiment's facts with those of the rendering."""
        panel = self.experiment.panel
        last = self.experiment.sampling.oversample
        subpixel = panel.pixel_size / last
        facts = self.experiment.facts()
        facts |= {
            "solid_angle_printed": self.solid_angle,
            "interpolation_fell_out_of_range": self.interpolation_ended,
            "max": self.statistics.max,
            # the reference remembers the last sub-pixel of the brightest pixel
            "max_I_fast_m": subpixel * (self.statistics.max_fast * last + last - 1) + subpixel / 2,
            "max_I_slow_m": subpixel * (self.statistics.max_slow * last + last - 1) + subpixel / 2,
            "mean": self.statistics.mean,
            "rms": self.statistics.rms,
            "rmsd": self.statistics.rmsd,
            "sum": self.statistics.sum,
        }
        return facts


@thread_safe
def simulate(
    simulation: Simulation | Experiment,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
    kernel: str | None = None,
) -> Result:
    """Render the image of a simulation.

    Parameters
    ----------
    simulation : Simulation or Experiment
        What to render; an experiment is a resolved simulation.
    device : {"auto", "cpu", "cuda", "cuda:N", "cuda:N,M", "cuda:all"}
    precision : {"auto", "double", "mixed"}
        ``double`` sums in float64 throughout; ``mixed`` always takes a float32 kernel where one exists; ``auto`` takes
        the fastest whose error bound holds.
    threads : int, optional
        CPU threads; by default as many as the process may run on.
    progress : callable, optional
        Called with the rendered share, 0 to 1; may raise to stop.
    kernel : str, optional
        Row of the plan table to use (docs/design.md); by default the fastest one within its error bound.

    Returns
    -------
    Result

    Raises
    ------
    ConfigError, FileError, ResourceError, DeviceError
        See :mod:`nbnumba.errors`.
    """
    start = time.perf_counter()
    experiment = simulation if isinstance(simulation, Experiment) else resolve(simulation)
    resolved = time.perf_counter()
    renderer = Renderer(experiment, device=device, precision=precision, threads=threads, kernel=kernel)
    prepared = time.perf_counter()
    result = render_result(renderer, progress)
    timings = {"resolve": resolved - start, "prepare": prepared - resolved, **result.timings}
    return replace(result, timings=timings)


@thread_safe
def render_result(renderer: Renderer, progress: Progress | None = None) -> Result:
    """Render the image of a renderer, with its record; ``timings`` are those of rendering and statistics."""
    start, experiment = time.perf_counter(), renderer.experiment
    images, background = renderer.render_apart(progress)
    bragg = None
    if background is not None:
        bragg = tuple(images)
        images = [image + light for image, light in zip(images, background, strict=True)]
    rendered = time.perf_counter()
    statistics = image_statistics(images[0], experiment.sampling.slices[0], experiment.simulation.mask)
    finished = time.perf_counter()
    return Result(
        experiment=experiment,
        images=tuple(images),
        statistics=statistics,
        warnings=(*renderer.warnings, *_late_warnings(experiment, images, renderer.interpolation_ended)),
        plan=renderer.plan,
        threads=renderer.threads,
        timings={"render": rendered - start, "statistics": finished - rendered},
        interpolation_ended=renderer.interpolation_ended,
        background=background,
        bragg=bragg,
    )


def _late_warnings(experiment: Experiment, images: list[np.ndarray], ended: bool) -> list[str]:
    late = []
    if ended and edition_of(experiment.simulation.physics).ends_interpolation:
        late.append(INTERPOLATION_ENDED)
    if not all(np.isfinite(image.max(initial=0.0)) for image in images):
        late.append("some pixels are too bright for float32: give a smaller -fluence or structure factors")
    return late + image_doubts(experiment, images)
