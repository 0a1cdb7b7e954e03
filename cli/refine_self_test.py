"""``nbnumba refine --self-test``: a refinement whose outcome is known, on the user's machine."""

from __future__ import annotations

from pathlib import Path

import typer

from nbnumba.cli import report
from nbnumba.cli.build import RunOptions
from nbnumba.cli.refine import say_step, table_lines, with_ending
from nbnumba.cli.refine_flags import RefineRequest
from nbnumba.io.files import together
from nbnumba.io.json_file import write_json
from nbnumba.output.refine_table import write_rows
from nbnumba.refinement.refine import refine
from nbnumba.refinement.refined import Refined
from nbnumba.refinement.self_test import TURN_DEG, judge, make_trial

#: Within what the refined model has to be true: degrees, Å, degrees, cells, standard errors.
LIMITS = {"misset_deg": 0.002, "cell_A": 0.006, "cell_deg": 0.006, "N": 0.05}
PULL = 5.0


def run_self_test(request: RefineRequest) -> bool:
    """Simulate, disturb and refine; returns whether the truth was found."""
    report.begin(request.invocation)
    given = request.invocation.values.items()
    options = RunOptions(**{key.removeprefix("run."): value for key, value in given if key.startswith("run.")})
    trial = make_trial()
    typer.echo(
        f"an image was simulated; its crystal is turned by {TURN_DEG} degrees, and its cell changed, to begin with"
    )
    refined = refine(
        trial.image,
        trial.start,
        request.parameters,
        stages=request.stages,
        restraints=request.restraints,
        device=options.device,
        threads=options.threads,
        on_step=None if options.quiet else say_step,
        **request.options,
    )
    typer.echo("\n".join(table_lines(refined)))
    if request.out:
        write_files(refined, Path(request.out), request.picture)
    verdict = judge(refined, trial.truth)
    good = refined.converged and all(getattr(verdict, name) < limit for name, limit in LIMITS.items())
    good = good and max(map(abs, verdict.pulls.values()), default=0.0) < PULL
    typer.echo(
        f"off the truth by {verdict.misset_deg:.4f} degrees of misset, {verdict.cell_A:.4f} Å and {verdict.cell_deg:.4f} "
        f"degrees of cell, {verdict.N:.3f} cells; largest pull {max(map(abs, verdict.pulls.values()), default=0.0):.1f}"
    )
    typer.echo("passed" if good else "FAILED: the truth was not found")
    return good


def write_files(refined: Refined, prefix: Path, picture: bool) -> None:
    """Write the record, the table of spots and the picture, or nothing."""
    paths = [with_ending(prefix, ending) for ending in (".json", ".csv")]
    with together():
        write_json(paths[0], {"refinement": refined.data()})
        write_rows(paths[1], refined.spots)
        if picture:
            from nbnumba.output.refine_picture import save_refinement  # slow to load

            paths.append(with_ending(prefix, ".png"))
            save_refinement(paths[-1], refined, "the self-test")
    report.say(report.file_lines(paths))
