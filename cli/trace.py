"""``nbnumba trace``, and ``nbnumba run`` with ``-trace_pixel`` or ``-printout_pixel``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from nbnumba.cli import report
from nbnumba.cli.job import Job, read_job
from nbnumba.cli.parse import Invocation
from nbnumba.cli.run import run
from nbnumba.cli.trace_flags import TraceRequest
from nbnumba.inspect.trace import PixelTrace, environment, trace
from nbnumba.inspect.trace_c import c_lines
from nbnumba.inspect.trace_text import trace_data, trace_lines, trace_table
from nbnumba.io.files import atomic_write
from nbnumba.io.json_file import write_json
from nbnumba.render.dispatch import make_plan
from nbnumba.render.inputs import build_inputs


def trace_pixels(request: TraceRequest) -> None:
    """Print the traces of the pixels of a command line, and write them as JSON if ``--json`` is given.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    job = read_job(["nbnumba", "trace", *request.words], request.invocation)
    if job.options.dry_run:
        job.end_dry()
        return
    traces = _follow(job, request.pixels)
    if request.table:
        lines = [line for entry in traces for line in [*trace_table(entry, request.per_phi), ""]][:-1]
    elif request.order == "c":
        lines = c_lines(traces)
    else:
        lines = trace_lines(traces, request.per_phi)
    text = "\n".join(lines) + "\n"
    if request.out:
        with atomic_write(Path(request.out)) as handle:
            handle.write(text.encode())
    else:
        typer.echo(text, nl=False)
    if job.outputs.json is not None:
        plan = make_plan(build_inputs(job.experiment), job.options.device, job.options.precision)
        content = trace_data(traces, environment(plan, job.command), job.configuration())
        write_json(job.outputs.json, content)


def run_and_trace(invocation: Invocation) -> None:
    """Simulate what a command line describes, then print the trace of its ``-trace_pixel``."""
    job = run(invocation)
    if not job.options.dry_run:
        typer.echo("\n".join(trace_lines(_follow(job, [invocation.values["trace.pixel"]]))))


def _follow(job: Job, pixels: Sequence[tuple[int, int]]) -> list[PixelTrace]:
    """Traces of pixels; their notes are logged as warnings."""
    options = job.options
    how = {"device": options.device, "precision": options.precision}
    traces = trace(job.experiment, pixels, threads=options.threads, **how)
    for entry in traces:
        report.warn(f"pixel {entry.slow} {entry.fast}: {note}" for note in entry.notes)
    return traces
