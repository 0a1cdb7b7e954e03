"""The steps, in the order of importance, and the choice of those that fit a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.gpu.commands import KERNELS, SUBJECTS, timed
from bench.gpu.derivatives import SHAPES
from bench.gpu.package import find_tool
from bench.gpu.setting import GOLDEN, Setting
from bench.gpu.variants import VARIANTS

#: Commands that are compared with the reference's program, all of square crystals and with phi > 0: at a phi of 0 it
#: renders the cell of the step before.
COMPARED = (
    "real command, 10 phi steps",
    "real command, 1000 phi steps",
    "1 Mpixel, 2000 orientations",
    "64 x 64 pixels, 100000 phi steps",
    "1 Mpixel, 45 sources, oversample 2",
    "1 Mpixel, 5 layers, oversample 3",
)
#: Values of the ``-precision`` of that program; editions without the flag ignore it.
PRECISIONS = ("single", "double")
#: Least seconds of a step: a process starts and loads the kernels.
START = 4.0
STILLS = ("batch of 12 stills", "batch of 12 stills, gauss", "batch of 12 small stills, gauss, one launch")


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes
    ----------
    name, what : str
        ``what`` is its line in ``--list``.
    seconds : float
        Estimate for an H100 with 16 cores.
    target : str
        ``module:function``, called with a case and a :class:`Setting`; yields records.
    cases : callable
        Names of its cases.
    limit : float
        Seconds after which a case is ended.
    processes : callable
        Number of cases that run side by side.
    here : bool
        Cases only start programs: they run in threads of the main process, which touches no device.
    fresh : bool
        Each case has a process, and a folder for compiled kernels, of its own.
    per_package : bool
        Run once for each of ``--packages``.
    missing : callable
        Sentence about what this machine lacks for the step; empty: nothing.
    """

    name: str
    what: str
    seconds: float
    target: str
    cases: Callable[[Setting], Sequence[str]]
    limit: float = 60.0
    processes: Callable[[Setting], int] = lambda setting: 1
    here: bool = False
    fresh: bool = False
    per_package: bool = False
    missing: Callable[[Setting], str] = lambda setting: ""

    def matching(self, setting: Setting, pattern: str) -> list[str]:
        """Cases whose name a regular expression matches."""
        return [case for case in self.cases(setting) if re.search(pattern, case)]

    def estimate(self, setting: Setting, pattern: str = "") -> float:
        """Seconds for the cases that match; 0 where the machine lacks something, which is then recorded."""
        cases = [] if self.missing(setting) else self.matching(setting, pattern)
        return max(self.seconds * len(cases) / len(self.cases(setting)), START) if cases else 0.0


def golden_cases() -> list[str]:
    """Golden cases with each precision, such as ``shape_tophat, double``."""
    cases = json.loads((GOLDEN / "cases.json").read_text())
    names = [case["name"] for case in cases if "differs_on_purpose" not in case]
    return [f"{name}, {precision}" for precision in ("auto", "double") for name in names]


def reference_cases(setting: Setting) -> list[str]:
    """Commands for each of the reference's programs, with each precision, such as ``nanoBraggCUDA single: COMMAND``."""
    programs = [f"{Path(program).name} {precision}" for program in setting.programs for precision in PRECISIONS]
    return [f"{program}: {case}" for case in COMPARED for program in programs]


def missing_tool(name: str) -> str:
    """Sentence about a missing program of the CUDA toolkit; empty if it is found."""
    return "" if find_tool(name) else f"{name} was not found on the PATH, in CUDA_HOME or in /usr/local/cuda"


#: All steps, the most important first.
STEPS = (
    Step("environment", "GPU, driver, clocks, versions, tools, commit", 8, "bench.gpu.machine:facts",
         lambda setting: ("code", "packages", "nvidia-smi", "tools"), here=True),
    Step("device", "properties of the device; libnvvm; a tiny kernel", 6, "bench.gpu.machine:device_facts",
         lambda setting: ("driver", "kernel"), per_package=True),
    Step("parity", "every golden image on the device, both precisions", 45, "bench.gpu.parity:check",
         lambda setting: golden_cases(), processes=lambda setting: setting.processes, per_package=True),
    Step("timings", "kernels by events with the clock beside them, copies, images, preparation, deviation", 60,
         "bench.gpu.timings:measure", lambda setting: (*timed(), *STILLS), per_package=True),
    Step("launch cost", "host time of a launch, against an empty kernel; an image of few pixels", 8, "bench.gpu.host:launch_cost",
         lambda setting: ("launch",), per_package=True),
    Step("renderer", "one image after another by nbnumba.Renderer: updates, host and device memory, bits", 15,
         "bench.gpu.updates:measure", lambda setting: KERNELS, per_package=True),
    Step("derivatives", "image and all sums, gradient, normal equations, of each shape; deviation from the CPU's", 25,
         "bench.gpu.derivatives:measure", lambda setting: tuple(SHAPES), per_package=True),
    Step("reference", "the reference's CUDA program (NB_CUDA_BIN) beside it, images compared", 50, "bench.gpu.reference:compare",
         reference_cases, missing=lambda setting: "" if setting.programs else "NB_CUDA_BIN names no program"),
    Step("lifetimes", "memory after 60 renderers, and after 30 images that are held", 10, "bench.gpu.host:lifetimes",
         lambda setting: ("fast32", "spots", "held images")),
    Step("ctrl-c", "seconds from SIGINT to the end of a process that renders", 12, "bench.gpu.host:interrupt",
         lambda setting: ("fast32", "general"), here=True),
    Step("ncu", "Nsight Compute's figures of each kernel", 45, "bench.gpu.tools:profile", lambda setting: KERNELS, here=True,
         limit=90, missing=lambda setting: missing_tool("ncu")),
    Step("sanitizer", "compute-sanitizer on a small image of each kernel", 90, "bench.gpu.tools:sanitize",
         lambda setting: [f"{tool}, {kernel}" for tool in ("memcheck", "racecheck", "synccheck") for kernel in SUBJECTS],
         here=True, limit=120, processes=lambda setting: max(1, setting.processes // 2),
         missing=lambda setting: missing_tool("compute-sanitizer")),
    Step("compile", "first preparation: compiled, and fetched from the disk by the next process", 16, "bench.gpu.host:compile_cost",
         lambda setting: tuple(SUBJECTS), processes=lambda setting: max(1, setting.processes // 2), fresh=True,
         per_package=True),
    Step("variants", "ways to compile a kernel, timed", 60, "bench.gpu.variants:measure", lambda setting: tuple(VARIANTS),
         fresh=True),
)  # fmt: skip


def pick(
    names: Sequence[str], minutes: float | None, setting: Setting, pattern: str = ""
) -> tuple[list[Step], list[Step]]:
    """Steps to run, in order, and those for which the time is too short by their estimates.

    Parameters
    ----------
    names : sequence of str
        Requested steps; empty: all.
    minutes : float or None
        None: without a limit.
    setting, pattern
        As for :meth:`Step.estimate`.

    Raises
    ------
    KeyError
        No step of such a name.
    """
    known = {step.name: step for step in STEPS}
    wanted = {name: known[name] for name in names} or known
    left = float("inf") if minutes is None else 60 * minutes
    taken: list[Step] = []
    short: list[Step] = []
    for step in STEPS:
        if step.name in wanted:
            seconds = step.estimate(setting, pattern)
            fits = seconds <= left
            (taken if fits else short).append(step)
            left -= seconds if fits else 0
    return taken, short
