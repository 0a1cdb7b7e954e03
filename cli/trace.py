"""What ``nbnumba trace`` does, and what ``nbnumba run`` does for ``-trace_pixel`` and ``-printout_pixel``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import typer

from nbnumba.cli import report
from nbnumba.cli.build import build
from nbnumba.cli.parse import Invocation
from nbnumba.cli.run import run, write_json
from nbnumba.cli.trace_flags import TraceRequest
from nbnumba.dispatch import make_plan
from nbnumba.experiment import resolve
from nbnumba.inputs import build_inputs
from nbnumba.trace import environment, trace
from nbnumba.trace_text import trace_data, trace_lines, trace_table


def trace_pixels(request: TraceRequest) -> None:
    """Print the traces that a command line asks for, and write them as JSON where it says so.

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
    how = {"device": options.device, "precision": options.precision}
    traces = trace(experiment, request.pixels, threads=options.threads, **how)
    for entry in traces:
        report.warn(f"pixel {entry.slow} {entry.fast}: {note}" for note in entry.notes)
    if request.table:
        lines = [line for entry in traces for line in [*trace_table(entry, request.per_phi), ""]][:-1]
    else:
        lines = trace_lines(traces, request.per_phi)
    typer.echo("\n".join(lines))
    if outputs.json is not None:
        plan = make_plan(replace(build_inputs(experiment), max_error=0.0), **how)
        command = ["nbnumba", "trace", *request.words]
        if "crystal.misset_seed" not in invocation.values and experiment.crystal.misset_seed is not None:
            command += ["-misset_seed", str(experiment.crystal.misset_seed)]
        write_json(Path(outputs.json), trace_data(traces, environment(plan, command)))


def run_and_trace(invocation: Invocation) -> None:
    """Simulate what a command line describes, then print the trace of its ``-trace_pixel``.

    The experiment is resolved once for each of the two: a seed that would come from the time is fixed before.
    """
    values = invocation.values
    if values.get("crystal.misset_deg") == "random":
        values.setdefault("crystal.misset_seed", int(time.time()))
        invocation.spelled.setdefault("crystal.misset_seed", "-misset random")
    run(invocation)
    if values.get("run.dry_run"):
        return
    simulation, _, options = build(invocation)
    how = {"device": options.device, "precision": options.precision}
    traces = trace(resolve(simulation), [values["trace.pixel"]], threads=options.threads, **how)
    for entry in traces:
        report.warn(f"pixel {entry.slow} {entry.fast}: {note}" for note in entry.notes)
    typer.echo("\n".join(trace_lines(traces)))
