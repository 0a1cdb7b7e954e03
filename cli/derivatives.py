"""``nbnumba derivatives``: derivatives of the image, their check, and what the image tells about parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from nbnumba.cli import report
from nbnumba.cli.derivatives_flags import DerivativesRequest
from nbnumba.cli.job import Job, read_job
from nbnumba.derive.check import Checked, check
from nbnumba.derive.derivatives import Derivatives, derivatives
from nbnumba.derive.information import Information, information
from nbnumba.io.derivatives_file import write_derivatives
from nbnumba.io.files import together
from nbnumba.io.json_file import write_json

#: Largest relative difference from central differences.
TOLERANCE = 1e-6


def show_derivatives(request: DerivativesRequest) -> bool:
    """Compute what a command line asks for, print tables and write files; returns whether all checks passed.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    job = read_job(["nbnumba", "derivatives", *request.words], request.invocation)
    found = derivatives(
        job.experiment,
        request.names,
        device=job.options.device,
        threads=job.options.threads,
        cell_system=request.cell_system or None,
    )
    if job.options.dry_run:
        job.end_dry()
        return True
    facts: dict[str, Any] = {"names": list(found.names), "pixels": found.pixels}
    _say(_table(found))
    checked = check(found) if request.check else []
    if request.check:
        _say(_check_lines(checked))
        facts["check"] = [vars(row) | {"relative": row.relative} for row in checked]
    if request.information:
        told = information(found, background=request.background, readout=request.readout)
        _say(_information_lines(told))
        facts["information"] = {
            "photons": told.photons,
            "errors": told.errors.tolist(),
            "errors_alone": told.errors_alone.tolist(),
            "correlations": told.correlations.tolist(),
        }
    _write(request, job, found, facts)
    return all(row.relative <= TOLERANCE for row in checked)


def _say(lines: list[str]) -> None:
    typer.echo("\n".join(lines))


def _write(request: DerivativesRequest, job: Job, found: Derivatives, facts: dict[str, Any]) -> None:
    """Write all files, or none."""
    paths = []
    with together():
        if request.out:
            images = {name: found.of(name) for name in found.names}
            write_derivatives(Path(request.out), found.images, images, found.masks, " ".join(job.command))
            paths.append(Path(request.out))
        if request.picture:
            from nbnumba.output.derivatives_picture import save_derivatives  # slow to load

            save_derivatives(Path(request.picture), found.image, {name: found[name] for name in found.names})
            paths.append(Path(request.picture))
        if job.outputs.json is not None:
            write_json(job.outputs.json, job.configuration() | {"derivatives": facts, "seconds": found.seconds})
            paths.append(job.outputs.json)
    if paths:
        report.say(report.file_lines(paths))


def _table(found: Derivatives) -> list[str]:
    """Lines about each derivative: its extremes, and what a unit of the parameter adds to the whole image."""
    width = max(9, *map(len, found.names))
    lines = [
        f"{'parameter':<{width}}  {'lowest':>11}  {'highest':>11}  {'sum':>11}   photons per unit, over {found.pixels} pixels"
    ]
    for name in found.names:
        images = found.of(name)
        low, high = min(i.min(initial=0.0) for i in images), max(i.max(initial=0.0) for i in images)
        lines.append(f"{name:<{width}}  {low:11.4g}  {high:11.4g}  {sum(i.sum() for i in images):11.4g}")
    return lines


def _check_lines(rows: list[Checked]) -> list[str]:
    width = max(9, *(len(row.name) for row in rows))
    lines = [
        "",
        f"{'parameter':<{width}}  {'step':>10}  {'difference':>10}  jumps   beside central differences, relative",
    ]
    for row in rows:
        told = row.note or f"{row.step:10.3g}  {row.relative:10.2e}  {row.jumps:5d}"
        lines.append(f"{row.name:<{width}}  {told}{'' if row.relative <= TOLERANCE else '   differs'}")
    return lines


def _information_lines(told: Information) -> list[str]:
    width = max(9, *map(len, told.names))
    lines = [
        "",
        f"{'parameter':<{width}}  {'error':>10}  {'alone':>10}   standard errors from {told.photons:.4g} photons",
    ]
    for name, error, alone in zip(told.names, told.errors, told.errors_alone, strict=True):
        lines.append(f"{name:<{width}}  {error:10.3g}  {alone:10.3g}")
    pairs = [
        (abs(told.correlations[i, j]), told.names[i], told.names[j], told.correlations[i, j])
        for i in range(len(told.names))
        for j in range(i)
    ]
    lines += [
        f"correlation of {a} and {b}: {value:+.3f}"
        for size, a, b, value in sorted(pairs, reverse=True)[:5]
        if size > 0.5
    ]
    return lines
