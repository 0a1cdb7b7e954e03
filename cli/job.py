"""What a command line asks for, once it is read, and records of it and of a finished run as data for JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import typer

import nbnumba
from nbnumba.cli import report
from nbnumba.cli.build import RunOptions, build
from nbnumba.cli.parse import Invocation
from nbnumba.io.json_file import json_text, write_json
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.outputs import Outputs
from nbnumba.origin import commit
from nbnumba.output.writing import Written
from nbnumba.render.simulate import Result


@dataclass(frozen=True)
class Job:
    """A command line that has been read.

    Attributes
    ----------
    command : tuple of str
        The words, program and command first; a seed that was drawn from the time is appended.
    experiment, outputs, options
        What it describes, the files it asks for, and how it is done.
    """

    command: tuple[str, ...]
    invocation: Invocation
    experiment: Experiment
    outputs: Outputs
    options: RunOptions

    def configuration(self) -> dict[str, Any]:
        """Every field of the configuration, defaults included, and the facts that follow from it."""
        return {
            **_begin(self.command),
            "configuration": {
                **_fields(self.experiment.simulation),
                "outputs": _fields(self.outputs),
                "run": _fields(self.options),
            },
            "facts": self.experiment.facts(),
            "warnings": [*self.invocation.warnings, *self.experiment.warnings],
        }

    def end_dry(self) -> None:
        """End a dry run: write the configuration if ``--json`` names a file, and say what was done."""
        if self.outputs.json is None:
            report.say([report.plain_line("dry run", "nothing was simulated and no file was written")])
            return
        write_json(self.outputs.json, self.configuration())
        lines = report.file_lines([self.outputs.json])
        report.say([report.plain_line("dry run", "nothing was simulated"), *lines])


def read_job(command: Sequence[str], invocation: Invocation) -> Job:
    """Set up the log, build and resolve what a command line describes, and print it if ``--show-config`` is given.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    report.begin(invocation)
    simulation, outputs, options = build(invocation)
    experiment = resolve(simulation)
    report.warn(experiment.warnings)
    seed = experiment.crystal.misset_seed
    drawn = [] if seed is None or "crystal.misset_seed" in invocation.values else ["-misset_seed", str(seed)]
    job = Job((*command, *drawn), invocation, experiment, outputs, options)
    if options.show_config:
        typer.echo(json_text(job.configuration()))
    return job


def record(job: Job, result: Result, written: Written) -> dict[str, Any]:
    """Record of a finished run; running its ``command`` again gives the same image.

    Seeds that came from the time are appended to the command.
    """
    drawn = "outputs.seed" not in job.invocation.values and written.noise_seed is not None
    return {
        **_begin([*job.command, *(("-seed", str(written.noise_seed)) if drawn else ())]),
        "device": result.device,
        "precision": result.precision,
        "kernel": result.plan.kernel,
        "chosen_because": result.plan.reason,
        "threads": result.threads,
        "facts": result.facts(),
        "statistics": asdict(result.statistics),
        "timings_s": dict(result.timings),
        "warnings": [*job.invocation.warnings, *result.warnings, *written.notes],
        "written": {key: value for key, value in vars(written).items() if key != "noise"},
    }


def _begin(command: Sequence[str]) -> dict[str, Any]:
    return {
        "version": nbnumba.__version__,
        "commit": commit(),
        "command": list(command),
        "directory": os.getcwd(),
    }


def _fields(part: Any) -> Any:
    """A dataclass as a dict; an array, which may be as large as an image, by its type and shape."""
    if is_dataclass(part):
        return {entry.name: _fields(getattr(part, entry.name)) for entry in fields(part)}
    if isinstance(part, np.ndarray):
        return f"{part.dtype} array of {' x '.join(map(str, part.shape))}"
    if isinstance(part, (list, tuple)):
        return [_fields(entry) for entry in part]
    return part
