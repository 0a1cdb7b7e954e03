"""``nbnumba run``: build the configuration, resolve it, render, write the files, and log the facts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nbnumba.cli import interrupt, report
from nbnumba.cli.job import Job, read_job, record
from nbnumba.cli.parse import Invocation
from nbnumba.errors import FileError
from nbnumba.io.files import together
from nbnumba.io.json_file import write_json
from nbnumba.model.outputs import Outputs
from nbnumba.output.writing import write_outputs
from nbnumba.render.simulate import Result, simulate


def run(invocation: Invocation) -> Job:
    """Simulate what a command line describes and write its files.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    job = read_job(["nbnumba", "run", *invocation.argv], invocation)
    experiment, outputs, options = job.experiment, job.outputs, job.options
    report.say(report.experiment_lines(experiment.facts()))
    if options.dry_run:
        job.end_dry()
        return job
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
    report.say(report.result_lines(result.facts()))
    with together():
        written = write_outputs(result, outputs)
        files = list(written.files)
        if outputs.json is not None:
            write_json(outputs.json, record(job, result, written))
            files.append(outputs.json)
        interrupt.check()
    interrupt.completed.extend(files)
    report.warn(written.notes)
    if written.noise_seed is not None:
        counted = {"photons": written.noise_photons, "overloads": written.noise_overloads}
        report.say(report.noise_lines({"seed": written.noise_seed, "rng": outputs.rng, **counted}))
    report.say(report.file_lines(files))
    report.say([report.plain_line("done", _how(result))])
    return job


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


def _check_folders(outputs: Outputs) -> None:
    """Raise FileError before rendering if the folder of an output file does not exist."""
    for path in outputs.files.values():
        if not path.parent.is_dir():
            raise FileError(f"cannot write {path}: the folder {path.parent} does not exist")


def _how(result: Result) -> str:
    seconds = sum(result.timings.values())
    threads = f", {result.threads} threads" if result.device == "cpu" else ""
    return f"{seconds:.3g} s on {result.device}{threads}, {result.precision} precision ({result.plan.reason})"
