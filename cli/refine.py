"""``nbnumba refine``: refine the model of images against their pixels, and write what came of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from nbnumba.cli import report
from nbnumba.cli.build import build
from nbnumba.cli.job import Job, read_job
from nbnumba.cli.parse import Invocation
from nbnumba.cli.refine_flags import RefineRequest
from nbnumba.errors import ConfigError, FileError
from nbnumba.io.files import together
from nbnumba.io.json_file import write_json
from nbnumba.io.kept import kept
from nbnumba.io.stream import read_chunk
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.geometry_files import geometry_kind
from nbnumba.model.outputs import Outputs
from nbnumba.output.refine_table import write_rows
from nbnumba.output.refined_files import write_amplitudes, write_refined_expt
from nbnumba.refinement.minimizer import Step
from nbnumba.refinement.refine import refine
from nbnumba.refinement.refined import Refined

if TYPE_CHECKING:
    from nbnumba.output.crystfel import SolEntry

log = logging.getLogger("nbnumba")

#: Counts that SMV files of the reference, of nbnumba and of ADSC's detectors hold without any photon.
SMV_OFFSET = 40.0


def refine_images(request: RefineRequest) -> bool:
    """Refine what a command line asks for, print a table and write files; returns whether all is well.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    if request.self_test:
        from nbnumba.cli.refine_self_test import run_self_test

        return run_self_test(request)
    if request.list_file is not None:
        from nbnumba.cli.refine_shots import refine_list

        return refine_list(request)
    first = request.invocation if not request.lattices else of_experiment(request.invocation, request.lattices[0])
    job = read_job(["nbnumba", "refine", *request.words], first)
    lattices = _lattices(request, job)
    listed = listed_reflections(request.refl, request.lattices)
    if job.options.dry_run:
        job.end_dry()
        return True
    fine = True
    for number, image in enumerate(request.images, 1):
        prefix = request.out if len(request.images) == 1 else f"{request.out}-{number}"
        refined = refine(
            image,
            lattices,
            request.parameters,
            stages=request.stages,
            restraints=request.restraints,
            number=request.number,
            reflections=listed,
            device=job.options.device,
            threads=job.options.threads,
            on_step=None if job.options.quiet else say_step,
            **(readout(job.outputs, "outputs.adc_offset" in request.invocation.values, image) | request.options),
        )
        show(refined)
        write(refined, Path(prefix), image, job, request)
        fine = fine and refined.converged
    return fine


def _lattices(request: RefineRequest, job: Job) -> list[Experiment]:
    """The experiments of all lattices, which share the image."""
    if not request.lattices:
        return [job.experiment]
    found = []
    for number in request.lattices:
        simulation, _, _ = build(of_experiment(request.invocation, number))
        found.append(resolve(simulation, like=job.experiment))
    return found


def of_experiment(invocation: Invocation, number: int) -> Invocation:
    """The command line with one experiment of its geometry file."""
    values = invocation.values | {"input.experiment": number}
    return replace(invocation, values=values, spelled=invocation.spelled | {"input.experiment": "--lattices"})


def listed_reflections(refl: str, lattices: Sequence[int]) -> list[np.ndarray] | None:
    """The indexed reflections of the table of ``--refl`` of each lattice; None without it."""
    if not refl:
        return None
    from nbnumba.io.refl import read_refl

    table = kept(Path(refl), "reflection table", lambda: read_refl(refl))
    if "miller_index" not in table:
        raise FileError(f"{refl} has no indices: its spots are not indexed")
    hkl = table["miller_index"]
    indexed = hkl.any(axis=1)
    numbers = table.get("id", np.zeros(len(hkl), int))
    if not lattices:
        return [hkl[indexed]]
    return [hkl[indexed & (numbers == number)] for number in lattices]


def readout(outputs: Outputs, given: bool, image: str) -> dict[str, Any]:
    """What is known of the counts of an image, as arguments of :func:`nbnumba.refinement.refine.refine`.

    ``given``: whether the offset is given; else it is 0, and :data:`SMV_OFFSET` for SMV files.
    """
    offset = outputs.adc_offset if given else SMV_OFFSET if is_smv(image) else 0.0
    return {
        "gain": outputs.gain,
        "offset": offset,
        "readout": outputs.read_noise,
        "saturation": None if outputs.saturation is None else float(outputs.saturation),
    }


def is_smv(path: str) -> bool:
    """Whether a file begins as SMV files do; a file that cannot be read does not."""
    from nbnumba.io.smv import MAGIC

    try:
        with open(path, "rb") as handle:
            return handle.read(32).startswith(MAGIC)
    except OSError:
        return False


def say_step(stage: str, step: Step) -> None:
    """One line for an iteration."""
    log.info(
        f"stage {stage}, iteration {step.iteration}: log-likelihood +{step.gain:.4g}, "
        f"{step.expected:.3g} more to be had, damping {step.damping:.0e}"
    )


def show(refined: Refined) -> None:
    """Print the parameters, and how well the model explains the pixels; warn if it is not to be trusted."""
    typer.echo("\n".join(table_lines(refined)))
    if refined.reason:
        log.warning(f"not to be trusted: {refined.reason}")


def table_lines(refined: Refined) -> list[str]:
    """Lines of the table of parameters."""
    width = max(9, *map(len, refined.names))
    lines = [f"{'parameter':<{width}}  {'start':>12}  {'refined':>12}  {'error':>9}"]
    for name, start, value, error in zip(refined.names, refined.start, refined.values, refined.errors, strict=True):
        lines.append(f"{name:<{width}}  {start:12.6g}  {value:12.6g}  {error:9.2g}")
    before, after = refined.offsets_px
    lines += [
        "",
        f"{refined.pixels} pixels of {len(refined.boxes)} spots, {refined.rejected} left out; chi^2 per degree of freedom "
        f"{refined.chi2:.4f}, sigma of Z {refined.sigma_Z:.4f}",
        f"median distance of spots from their prediction {before:.3f} pixels before, {after:.3f} after",
        f"{refined.evaluations} evaluations, {refined.seconds:.2f} s",
    ]
    if refined.amplitudes is not None:
        rows = refined.amplitudes
        change = abs(rows["F"] - rows["F_start"]).sum() / max(rows["F_start"].sum(), 1e-300)
        lines.append(f"{len(rows)} structure factors refined, changed by {100 * change:.2f} % of their sum")
    return lines


def write(refined: Refined, prefix: Path, image: str, job: Job, request: RefineRequest) -> None:
    """Write all files, or none: the model, the record, the tables and the picture."""
    json = job.outputs.json or with_ending(prefix, ".json")
    paths = [json, with_ending(prefix, ".csv")]
    with together():
        write_json(json, job.configuration() | {"image": image, "refinement": refined.data()})
        write_rows(paths[1], refined.spots)
        paths += write_models(refined, prefix, image, request)
        if refined.amplitudes is not None:
            paths.append(with_ending(prefix, ".hkl"))
            write_amplitudes(paths[-1], refined)
        if request.picture:
            from nbnumba.output.refine_picture import save_refinement  # slow to load

            paths.append(with_ending(prefix, ".png"))
            save_refinement(paths[-1], refined, Path(image).name)
    report.say(report.file_lines(paths))


def write_models(refined: Refined, prefix: Path, image: str, request: RefineRequest) -> list[Path]:
    """Write the refined model for DIALS, and for CrystFEL where its files were the start; returns their names."""
    begun, paths = refined.settings[0].experiment, [with_ending(prefix, ".expt")]
    experiments = write_refined_expt(paths[0], refined, image, request.number)
    start = request.invocation.values.get("input.geometry")
    if start is not None and geometry_kind(Path(start)) in ("crystfel", "stream"):
        from nbnumba.output.crystfel import write_sol
        from nbnumba.output.geom import write_geom

        paths += [with_ending(prefix, ".geom"), with_ending(prefix, ".sol")]
        write_geom(paths[1], experiments[0], start, begun)
        write_sol(paths[2], solutions(experiments, image, Path(start), request))
    return paths


def solutions(experiments: list[Experiment], image: str, start: Path, request: RefineRequest) -> list[SolEntry]:
    """Crystals for CrystFEL, which finds an image by its name and event: those of the stream, if the start was one."""
    from nbnumba.output.crystfel import SolEntry, crystfel_reciprocal

    found = []
    for number, experiment in enumerate(experiments):
        words: dict[str, Any] = {"image": image}
        if geometry_kind(start) == "stream":
            given = request.invocation.values
            wanted = request.lattices[number] if request.lattices else given.get("input.experiment")
            chunk, place = read_chunk(start, given.get("input.geometry_image"), wanted)
            words = {"image": chunk.image, "event": chunk.event or "//"}
            if place is not None:
                words["lattice"] = chunk.lattices[place]
        found.append(SolEntry(reciprocal=crystfel_reciprocal(experiment), **words))
    return found


def with_ending(prefix: Path, ending: str) -> Path:
    """The prefix with an ending; dots of the prefix stay."""
    if not prefix.name:
        raise ConfigError(f"--out needs the begin of names of files, got {str(prefix)!r}")
    return prefix.with_name(prefix.name + ending)
