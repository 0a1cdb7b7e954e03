"""``nbnumba trace``, and ``nbnumba run`` with ``-trace_pixel`` or ``-printout_pixel``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from nbnumba.cli import report
from nbnumba.cli.build import RunOptions, build
from nbnumba.cli.parse import Invocation
from nbnumba.cli.run import run, write_json
from nbnumba.cli.trace_flags import TraceRequest
from nbnumba.inspect.trace import PixelTrace, environment, trace
from nbnumba.inspect.trace_c import c_lines
from nbnumba.inspect.trace_text import trace_data, trace_lines, trace_table
from nbnumba.io.files import atomic_write
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.render.dispatch import make_plan
from nbnumba.render.inputs import build_inputs


def trace_pixels(request: TraceRequest) -> None:
    """Print the traces of the pixels of a command line, and write them as JSON if ``--json`` is given.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    invocation = request.invocation
    report.begin(invocation)
    simulation, outputs, options = build(invocation)
    experiment = resolve(simulation)
    report.warn(experiment.warnings)
    traces = _follow(experiment, request.pixels, options)
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
    if outputs.json is not None:
        plan = make_plan(build_inputs(experiment), options.device, options.precision)
        command = ["nbnumba", "trace", *request.words]
        if "crystal.misset_seed" not in invocation.values and experiment.crystal.misset_seed is not None:
            command += ["-misset_seed", str(experiment.crystal.misset_seed)]
        write_json(Path(outputs.json), trace_data(traces, environment(plan, command)))


def run_and_trace(invocation: Invocation) -> None:
    """Simulate what a command line describes, then print the trace of its ``-trace_pixel``."""
    experiment, options = run(invocation)
    if not options.dry_run:
        traces = _follow(experiment, [invocation.values["trace.pixel"]], options)
        typer.echo("\n".join(trace_lines(traces)))


def _follow(experiment: Experiment, pixels: Sequence[tuple[int, int]], options: RunOptions) -> list[PixelTrace]:
    """Traces of pixels; their notes are logged as warnings."""
    how = {"device": options.device, "precision": options.precision}
    traces = trace(experiment, pixels, threads=options.threads, **how)
    for entry in traces:
        report.warn(f"pixel {entry.slow} {entry.fast}: {note}" for note in entry.notes)
    return traces
