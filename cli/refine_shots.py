"""``nbnumba refine --list``: many shots, by themselves or with the geometry that they share."""

from __future__ import annotations

import logging
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from nbnumba.cli import interrupt, report
from nbnumba.cli.build import RunOptions, build
from nbnumba.cli.parse import Invocation, parse, take_options, with_files
from nbnumba.cli.refine import listed_reflections, of_experiment, readout, say_step
from nbnumba.cli.refine_flags import REFINE_OPTIONS, RefineRequest, image_number, lattices_of
from nbnumba.cli.series import Count, cluster, progress_bar
from nbnumba.errors import NbnumbaError, UsageError
from nbnumba.io.files import read_text
from nbnumba.model.config import Simulation
from nbnumba.refinement.shared_result import SharedRefined
from nbnumba.refinement.shots import ShotFile
from nbnumba.series.refine_folder import RESERVED
from nbnumba.series.refine_shared import refine_shared
from nbnumba.series.refine_shots import ShotsReport, refine_shots

log = logging.getLogger("nbnumba")

#: Shots that are named one by one in the log.
MOST_NAMED = 10
#: Endings of packed files.
PACKED = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Line:
    """A line of a list: number, image, and further words."""

    number: int
    image: str
    words: tuple[str, ...]


def refine_list(request: RefineRequest) -> bool:
    """Refine all shots of a list; returns whether a shot was refined, or with --share whether all is well.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    assert request.list_file is not None
    report.begin(request.invocation)
    lines = read_list(request.list_file)
    shots, options = read_shots(request, lines)
    if options.dry_run:
        report.say([report.plain_line("dry run", f"{len(shots)} shots were read, and none was refined")])
        return True
    common: dict[str, Any] = {
        "stages": request.stages,
        "restraints": request.restraints,
        "device": options.device,
        "workers": request.workers,
        "threads": options.threads,
        **request.options,
    }
    with cluster(request) as client:
        if request.share:
            told = _told(None if options.quiet else say_step)
            shared = refine_shared(
                shots, request.parameters, request.share, folder=request.out, client=client, on_step=told, **common
            )
            return show_shared(shared, Path(request.out))
        with progress_bar(options.progress and not options.quiet) as bar:
            done = Count(bar)
            try:
                found = refine_shots(shots, request.out, request.parameters, client=client, progress=done, **common)
            except KeyboardInterrupt:
                if done.complete:
                    interrupt.completed[:] = [Path(request.out)]
                    report.say([f"{done.complete} of {len(shots)} shots are done: the same command continues"])
                raise
    return show_shots(found)


def _told(say: Any) -> Any:
    def told(stage: str, step: Any) -> None:
        interrupt.check()
        if say is not None:
            say(stage, step)

    return told


def read_list(name: str) -> list[Line]:
    """Lines of a list of shots: an image, and flags of that shot, as a shell would read them; ``#`` begins a comment.

    Raises
    ------
    FileError
        The list cannot be read.
    UsageError
        A line cannot be, or there is none.
    """
    found = []
    for number, text in enumerate(read_text(Path(name), "list of shots").splitlines(), 1):
        with _of_line(name, number):
            try:
                words = shlex.split(text, comments=True)
            except ValueError as error:
                raise UsageError(f"{str(error).lower()}: {text.strip()}") from None
            if not words:
                continue
            if words[0].startswith("-"):
                raise UsageError(f"the image comes first, got {words[0]}")
            found.append(Line(number, words[0], tuple(with_files(words[1:]))))
    if not found:
        raise UsageError(f"{name} names no image: each line has one, and may have flags after it")
    return found


@contextmanager
def _of_line(name: str, number: int) -> Iterator[None]:
    """Have errors name the line."""
    try:
        yield
    except NbnumbaError as error:
        raise type(error)(f"{name}, line {number}: {error}") from None


def read_shots(request: RefineRequest, lines: Sequence[Line]) -> tuple[list[ShotFile], RunOptions]:
    """Shots of a list: the flags of the command line, then those of each line, and how the run is done."""
    assert request.list_file is not None
    parsed = []
    for line in lines:
        with _of_line(request.list_file, line.number):
            given, rest = take_options(line.words, REFINE_OPTIONS)
            if alien := sorted(given.keys() - {"--lattices", "--image", "--refl"}):
                raise UsageError(f"{alien[0]} is the same for all shots: give it on the command line")
            number = image_number(given["--image"]) if "--image" in given else request.number
            lattices = lattices_of(given.get("--lattices", "")) or request.lattices
            parsed.append((number, lattices, given.get("--refl", request.refl), rest))
    names = names_of([line.image for line in lines], [number for number, *_ in parsed])
    shots: list[ShotFile] = []
    options, masks = RunOptions(), list[np.ndarray]()
    with _warned_once():
        for line, name, (number, lattices, refl, rest) in zip(lines, names, parsed, strict=True):
            with _of_line(request.list_file, line.number):
                invocation = parse([*request.invocation.argv, *rest], REFINE_OPTIONS)
                report.warn(invocation.warnings)
                starts, outputs, run = starts_of(invocation, lattices)
                starts = [_with_same_mask(one, masks) for one in starts]
                counts = readout(outputs, "outputs.adc_offset" in invocation.values, line.image)
                own = {key: value for key, value in counts.items() if key not in request.options}
                listed = listed_reflections(refl, lattices)
                shots.append(ShotFile(name, line.image, starts, own, number, listed))
                options = options if len(shots) > 1 else run
    return shots, options


def starts_of(invocation: Invocation, lattices: Sequence[int]) -> tuple[list[Simulation], Any, RunOptions]:
    """The simulations of all lattices that a command line describes, its outputs and options."""
    simulation, outputs, options = build(invocation if not lattices else of_experiment(invocation, lattices[0]))
    more = [build(of_experiment(invocation, number))[0] for number in lattices[1:]]
    return [simulation, *more], outputs, options


def _with_same_mask(simulation: Simulation, masks: list[np.ndarray]) -> Simulation:
    """The simulation with an earlier mask that is equal to its own: a hundred of them would fill the memory."""
    if simulation.mask is None:
        return simulation
    for mask in masks:
        if np.array_equal(mask, simulation.mask):
            return replace(simulation, mask=mask)
    masks.append(simulation.mask)
    return simulation


@contextmanager
def _warned_once() -> Iterator[None]:
    """Log each warning once, though a hundred shots have it."""
    known: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        new = text not in known
        known.add(text)
        return new

    log.addFilter(is_new)
    try:
        yield
    finally:
        log.removeFilter(is_new)


def names_of(images: Sequence[str], numbers: Sequence[int | None]) -> list[str]:
    """Names of shots from those of their images, without folder and ending, and the number of each in its file.

    The folder is added where two are alike, and a number where that does not help.
    """
    found = [_stem(Path(image)) for image in images]
    found = [name if n is None else f"{name}-{n:06d}" for name, n in zip(found, numbers, strict=True)]
    often = Counter(found)
    for place, image in enumerate(images):
        if often[found[place]] > 1 and Path(image).parent.name not in ("", ".", ".."):
            found[place] = f"{Path(image).parent.name}-{found[place]}"
    taken, often, names = set(found) | set(RESERVED), Counter(), []
    for name in found:
        often[name] += 1
        unique = name if often[name] == 1 and name not in RESERVED else f"{name}-{max(2, often[name])}"
        while unique != name and unique in taken:
            often[name] += 1
            unique = f"{name}-{often[name]}"
        taken.add(unique)
        names.append(unique)
    return names


def _stem(path: Path) -> str:
    name = path.name
    for ending in PACKED:
        name = name.removesuffix(ending)
    return (name.rpartition(".")[0] or name).lstrip(".") or "shot"


def show_shots(found: ShotsReport) -> bool:
    """Say how many shots are refined, and name those that are not, and outliers."""
    counts = {state: found.count(state) for state in ("refined", "not converged", "failed")}
    shown = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    typer.echo(f"{len(found.rows)} shots: {shown}; {len(found.outliers)} outliers")
    _name_others(found.rows)
    if found.made:
        rate = found.made / found.seconds if found.seconds > 0 else 0.0
        how = f"{found.workers} processes" if found.workers > 1 else "one process" if found.workers else "the cluster"
        text = f"{found.made} shots in {found.seconds:.3g} s ({rate:.3g}/s) by {how}"
        report.say([report.plain_line("done", text)])
    interrupt.completed[:] = [found.table]
    report.say(report.file_lines([found.table]))
    return counts["refined"] > 0


def _name_others(rows: Sequence[dict[str, Any]]) -> None:
    """Warnings about the first of the shots that are not refined, or are outliers."""
    others = [f"{row['shot']}: {row['state']}, {row['reason']}" for row in rows if row["state"] != "refined"]
    for row in rows:
        if row["state"] == "refined" and row["outlier"]:
            columns = ", ".join(f"{name} by {z:+.1f}" for name, z in row["outlier"].items())
            others.append(f"{row['shot']}: an outlier in {columns} robust standard deviations")
    report.warn(others[:MOST_NAMED])
    if len(others) > MOST_NAMED:
        report.warn([f"and {len(others) - MOST_NAMED} more: see the columns state, reason and outlier of shots.csv"])


def show_shared(found: SharedRefined, folder: Path) -> bool:
    """Print the shared parameters, and name the shots that are left out."""
    width = max(9, *map(len, found.names))
    typer.echo(f"{'parameter':<{width}}  {'start':>12}  {'refined':>12}  {'error':>9}")
    for name, start, value, error in zip(found.names, found.start, found.values, found.errors, strict=True):
        typer.echo(f"{name:<{width}}  {start:12.6g}  {value:12.6g}  {error:9.2g}")
    used = sum(1 for one in found.simulations if one)
    typer.echo(f"\n{used} of {len(found.rows)} shots, {found.seconds:.2f} s")
    _name_others(found.rows)
    if found.reason:
        log.warning(f"not to be trusted: {found.reason}")
    paths = [folder / "geometry.json", *([folder / "geometry.csv"] if len(found.panels) else []), folder / "shots.csv"]
    interrupt.completed[:] = paths
    report.say(report.file_lines(paths))
    return found.converged
