"""``nbnumba bench``: time the kernel that ``nbnumba run`` would use for a command line."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from nbnumba.cli import interrupt, report
from nbnumba.cli.bench_flags import BenchRequest
from nbnumba.cli.build import RunOptions, build
from nbnumba.cli.demo import FLAGS as DEMO_FLAGS
from nbnumba.cli.info import facts as installation
from nbnumba.cli.parse import parse
from nbnumba.data import lysozyme_text
from nbnumba.io.json_file import write_json
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.render.backend import Plan
from nbnumba.render.dispatch import make_renderer, set_threads
from nbnumba.render.inputs import build_all_inputs
from nbnumba.render.timing import DeviceTiming, Timing, time_images, time_on_device


@dataclass(frozen=True)
class Measured:
    """Times of a bench.

    Attributes
    ----------
    plan : Plan
        Plan of the first panel.
    inputs_s, prepare_s : float
        Seconds to make the kernels' arguments; to compile the kernels, or to load them from the disk.
    whole : Timing
        From the call to the image on the host.
    scaling : tuple of Timing
        The same with other numbers of threads.
    parts : DeviceTiming or None
        Kernel and copy of the first panel, timed by events of the GPU.
    """

    experiment: Experiment
    plan: Plan
    inputs_s: float
    prepare_s: float
    whole: Timing
    scaling: tuple[Timing, ...] = ()
    parts: DeviceTiming | None = None


def bench(request: BenchRequest) -> None:
    """Time the kernel of a command line, print the figures, and write them as JSON if ``--json`` is given.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    invocation = request.invocation
    report.begin(invocation)
    experiment, options, json = _experiment(request)
    report.warn(experiment.warnings)
    measured = measure(experiment, options, request.repeat, request.scaling, request.kernel)
    typer.echo("\n".join(report.plain_line(label, text) for label, text in figures(measured, request.is_demo)))
    if json is not None:
        write_json(json, record(request, measured))
        report.say(report.file_lines([json]))


def _experiment(request: BenchRequest) -> tuple[Experiment, RunOptions, Path | None]:
    """The experiment, the options of the run, and the file for the figures."""
    if not request.is_demo:
        simulation, outputs, options = build(request.invocation)
        return resolve(simulation), options, outputs.json
    with tempfile.TemporaryDirectory() as folder:
        hkl = Path(folder, "lysozyme.hkl")
        hkl.write_text(lysozyme_text())
        # the user's flags come last and override the demo's
        simulation, outputs, options = build(parse(["-hkl", str(hkl), *DEMO_FLAGS, *request.invocation.argv]))
        return resolve(simulation), options, outputs.json


def measure(
    experiment: Experiment, options: RunOptions, repeat: int, scaling: bool, kernel: str | None = None
) -> Measured:
    """Render every panel once to warm up and ``repeat`` times by the clock.

    Raises
    ------
    ConfigError, DeviceError
        See ``nbnumba.render.dispatch``.
    """

    def watch(share: float) -> None:
        interrupt.check()

    threads = set_threads(options.threads)
    start = time.perf_counter()
    inputs = build_all_inputs(experiment)
    made = time.perf_counter()
    renderers = [make_renderer(x, options.device, options.precision, kernel) for x in inputs]
    ready = time.perf_counter()
    images = [r.new_image(p.shape) for r, p in zip(renderers, experiment.detector.panels, strict=True)]
    plan = renderers[0].plan
    on_cpu = plan.device == "cpu"
    whole = time_images(renderers, images, repeat, threads if on_cpu else 0, watch)
    others = []
    for number in _numbers_of_threads(threads) if scaling and on_cpu else ():
        set_threads(number)
        others.append(time_images(renderers, images, repeat, number, watch))
    set_threads(threads)
    parts = None if on_cpu else time_on_device(renderers[0], repeat)
    return Measured(experiment, plan, made - start, ready - made, whole, tuple(others), parts)


def _numbers_of_threads(most: int) -> list[int]:
    """1, 2, 4 ... and ``most``."""
    return sorted({*(2**n for n in range(most.bit_length()) if 2**n <= most), most})


def figures(measured: Measured, is_demo: bool) -> list[tuple[str, str]]:
    """Lines of the report: labels and texts."""
    experiment, plan, whole = measured.experiment, measured.plan, measured.whole
    panels = len(experiment.detector.panels)
    tiles = f", tiles of {plan.tile[0]} x {plan.tile[1]} pixels" if plan.tile[0] else ""
    rows = [
        ("experiment", "that of 'nbnumba demo', as no crystal was given" if is_demo else "as the flags give it"),
        ("kernel", f"{plan.kernel}{tiles}, {plan.precision} precision on {plan.device} ({plan.reason})"),
        ("work", f"{whole.pixels} pixels, {whole.steps:.6g} steps" + (f" in {panels} panels" if panels > 1 else "")),
        (
            "preparation",
            f"{measured.inputs_s:.3g} s for tables, {measured.prepare_s:.3g} s to compile or load the kernel",
        ),
        ("image", _seconds(whole)),
        ("speed", _speed(whole)),
    ]
    if measured.parts is not None:
        rows += _device_figures(measured.parts)
    for other in measured.scaling:
        times = f"{measured.scaling[0].median / other.median:.2f} times the speed of one"
        rows.append((_threads(other.threads), f"{_seconds(other)}; {times}"))
    return rows


def _device_figures(parts: DeviceTiming) -> list[tuple[str, str]]:
    """Lines about kernel and copy, timed by events of the GPU."""
    alone = "" if parts.held else "; includes host time"
    rows = [("kernel alone", _seconds(parts.kernel) + alone), ("its speed", _speed(parts.kernel))]
    readings = len(parts.clock.readings)
    source = f"median of {readings} readings" if readings else "rated value; the clock could not be read"
    rows.append(("clock", f"{parts.clock_hz / 1e6:.0f} MHz ({source})"))
    share = parts.of_issue_limit()
    if share is not None:
        rows.append(("issue limit", f"{100 * share:.0f} % of it, at that clock"))
    return [*rows, ("launch", f"{_seconds(parts.launch)} of the host's time"), ("copy", _seconds(parts.copy))]


def _seconds(timing: Timing) -> str:
    text = f"{timing.median:.4g} s (median of {len(timing.seconds)}; fastest {timing.fastest:.4g} s"
    return f"{text}, spread {100 * timing.spread:.0f} %)"


def _speed(timing: Timing) -> str:
    text = f"{timing.steps_per_second:.3g} steps/s, {timing.pixels_per_second:.3g} pixels/s"
    if timing.ns_per_step_and_core is None:
        return text
    return f"{text}, {timing.ns_per_step_and_core:.3g} ns per step and core, {_threads(timing.threads)}"


def _threads(number: int) -> str:
    return f"{number} thread{'s' * (number > 1)}"


def record(request: BenchRequest, measured: Measured) -> dict[str, Any]:
    """All figures as data, with the command and the versions."""
    plan, whole = measured.plan, measured.whole
    return {
        "command": ["nbnumba", "bench", *request.words],
        "installation": installation(),
        "device": plan.device,
        "kernel": plan.kernel,
        "tile": list(plan.tile),
        "precision": plan.precision,
        "chosen_because": plan.reason,
        "pixels": whole.pixels,
        "steps": whole.steps,
        "inputs_s": measured.inputs_s,
        "prepare_s": measured.prepare_s,
        "image": whole.record(),
        "device_clock": measured.parts.record() if measured.parts is not None else {},
        "scaling": [other.record() for other in measured.scaling],
    }
