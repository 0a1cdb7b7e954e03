"""``nbnumba run``: build the configuration, resolve it, render, write the files, and log the facts."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import nbnumba
from nbnumba.cli import interrupt, report
from nbnumba.cli.build import RunOptions, build
from nbnumba.cli.parse import Invocation
from nbnumba.errors import FileError
from nbnumba.io.files import atomic_write, together
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.outputs import Outputs
from nbnumba.output.writing import Written, write_outputs
from nbnumba.render.simulate import Result, simulate


def run(invocation: Invocation) -> tuple[Experiment, RunOptions]:
    """Simulate what a command line describes and write its files; returns the experiment and the options of the run.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    report.begin(invocation)
    simulation, outputs, options = build(invocation)
    experiment = resolve(simulation)
    report.warn(experiment.warnings)
    report.say(report.experiment_lines(experiment.facts()))
    if options.dry_run:
        report.say([report.plain_line("dry run", "nothing was simulated and no file was written")])
        return experiment, options
    _check_folders(outputs)
    with progress_bar(options.progress and not options.quiet) as progress:
        result = simulate(
            experiment,
            device=options.device,
            precision=options.precision,
            threads=options.threads,
            progress=progress,
        )
    report.warn(message for message in result.warnings if message not in experiment.warnings)
    if result.statistics.max <= 0 and not any(image.any() for image in result.images):
        report.warn(["every pixel is 0: no reflection diffracts in this orientation; turn the crystal (-misset, -osc)"])
    report.say(report.result_lines(result.facts()))
    with together():
        written = write_outputs(result, outputs)
        files = list(written.files)
        if outputs.json is not None:
            write_json(outputs.json, record(invocation, result, written))
            files.append(outputs.json)
        interrupt.check()
    interrupt.completed.extend(files)
    report.warn(written.notes)
    if written.noise_seed is not None:
        counted = {"photons": written.noise_photons, "overloads": written.noise_overloads}
        report.say(report.noise_lines({"seed": written.noise_seed, "rng": outputs.rng, **counted}))
    report.say(report.file_lines(files))
    report.say([report.plain_line("done", _how(result))])
    return experiment, options


@contextmanager
def progress_bar(wanted: bool) -> Iterator[Callable[[float], None]]:
    """A function that moves a bar on stderr, if that is a terminal, to a fraction between 0 and 1.

    It raises KeyboardInterrupt after a signal.
    """
    if not (wanted and sys.stderr.isatty()):
        yield lambda share: interrupt.check()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rendering", total=1.0)

        def move(share: float) -> None:
            interrupt.check()
            bar.update(task, completed=share)

        yield move


def record(invocation: Invocation, result: Result, written: Written) -> dict[str, Any]:
    """Record of a finished run; running its ``command`` again gives the same image.

    Seeds that came from the time are appended to the command.
    """
    facts = result.facts()
    command = ["nbnumba", "run", *invocation.argv]
    if "outputs.seed" not in invocation.values and written.noise_seed is not None:
        command += ["-seed", str(written.noise_seed)]
    if "crystal.misset_seed" not in invocation.values and facts.get("misset_seed") is not None:
        command += ["-misset_seed", str(facts["misset_seed"])]
    return {
        "version": nbnumba.__version__,
        "command": command,
        "directory": os.getcwd(),
        "device": result.device,
        "precision": result.precision,
        "kernel": result.plan.kernel,
        "chosen_because": result.plan.reason,
        "threads": result.threads,
        "facts": facts,
        "statistics": asdict(result.statistics),
        "timings_s": dict(result.timings),
        "warnings": [*invocation.warnings, *result.warnings, *written.notes],
        "written": {key: value for key, value in vars(written).items() if key != "noise"},
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as JSON; NaN and infinity become null. The file gets its name when it is complete.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    text = json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as handle:
        # a name may hold bytes that are not UTF-8: JSON's escapes restore them
        handle.write(f"{text}\n".encode("utf-8", "backslashreplace"))


def _plain(value: Any) -> Any:
    """``value`` in types that JSON has."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def _check_folders(outputs: Outputs) -> None:
    """Raise FileError before rendering if the folder of an output file does not exist."""
    for path in outputs.files.values():
        if not path.parent.is_dir():
            raise FileError(f"cannot write {path}: the folder {path.parent} does not exist")


def _how(result: Result) -> str:
    seconds = sum(result.timings.values())
    threads = f", {result.threads} threads" if result.device == "cpu" else ""
    return f"{seconds:.3g} s on {result.device}{threads}, {result.precision} precision ({result.plan.reason})"
