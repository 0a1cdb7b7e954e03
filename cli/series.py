"""``nbnumba series``: plan the series, make the images that are missing, and log the facts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbnumba.cli import interrupt, report
from nbnumba.cli.build import RunOptions, build
from nbnumba.cli.refine_flags import RefineRequest
from nbnumba.cli.series_flags import SeriesRequest
from nbnumba.cli.series_geometry import changes_by_image
from nbnumba.errors import ConfigError, UsageError
from nbnumba.model.config import Simulation
from nbnumba.model.experiment import resolve
from nbnumba.model.outputs import FILES, IMAGES, NOWHERE, Outputs
from nbnumba.series.folder import read_manifest
from nbnumba.series.run import SeriesReport, run_series
from nbnumba.series.shots import SERIES_DEFAULTS, Series
from nbnumba.series.variation import read_variations


def make_series(request: SeriesRequest) -> None:
    """Make, or continue, the series that a command line describes.

    Raises
    ------
    NbnumbaError
        See :mod:`nbnumba.errors`.
    """
    invocation = request.invocation
    report.begin(invocation)
    simulation, outputs, options = build(invocation)
    folder = Path(request.out)
    series = plan(request, simulation, outputs, options, _seed(request, folder))
    _tell_first(series)
    with cluster(request) as client, progress_bar(options.progress and not options.quiet) as progress:
        done = Count(progress)
        try:
            finished = run_series(
                series,
                folder,
                workers=request.workers,
                threads=options.threads,
                client=client,
                progress=done,
                contact_sheet=request.contact_sheet,
            )
        except KeyboardInterrupt:
            if done.complete:
                interrupt.completed[:] = [folder]
                report.say([f"{done.complete} of {series.images} images are complete: the same command continues"])
            raise
    _tell_last(finished)


def plan(request: SeriesRequest, simulation: Simulation, outputs: Outputs, options: RunOptions, seed: int) -> Series:
    """The series of a command line.

    Raises
    ------
    ConfigError, FileError
        The command line does not describe a series, or a file of distributions cannot be read.
    """
    given = request.invocation.values
    if request.kind == "rotation" and "scan.osc_deg" not in given and simulation.scan.osc_deg is None:
        raise ConfigError("--images needs the width of an image: give -osc DEG")
    return Series(
        simulation=simulation,
        images=request.images,
        kind=request.kind,  # type: ignore[arg-type]
        orientations=request.orientations,  # type: ignore[arg-type]
        variations=() if request.vary is None else read_variations(request.vary),
        by_image=changes_by_image(request, simulation),
        outputs=_outputs(request, outputs, simulation),
        seed=seed,
        device=options.device,
        precision=options.precision,
    )


def _outputs(request: SeriesRequest, outputs: Outputs, simulation: Simulation) -> Outputs:
    """The requested files; if they include no image, the one with noise, or without noise if ``-nonoise`` is given."""
    given = request.invocation.values
    changes: dict[str, Any] = {key: value for key, value in SERIES_DEFAULTS.items() if f"outputs.{key}" not in given}
    changes["seed"] = None
    named = [key for key in IMAGES if FILES[key].names_images and f"outputs.{key}" in given]
    if request.name is not None and named:
        flag = request.invocation.spelled[f"outputs.{named[0]}"]
        raise UsageError(f"--name and {flag} both name the images: give one of them")
    name = request.name or _default_name(simulation)
    beside_noise = [key for key in named if key != "noisefile"]
    if not outputs.has_noise:
        if not beside_noise:
            changes["intfile"] = Path(f"{name}.img")
    elif "outputs.noisefile" not in given:
        # counts for CBF and other formats are drawn with the noise image, even if that is not written
        changes["noisefile"] = NOWHERE if beside_noise else Path(f"{name}.img")
    wanted = replace(outputs, **changes)
    for path in wanted.files.values():
        if path.name != str(path):
            raise ConfigError(f"files of a series go to the folder of --out: give a name without a folder, got {path}")
    return wanted


def _default_name(simulation: Simulation) -> str:
    factors = simulation.structure_factors
    source = factors.hkl or factors.model
    return source.name.split(".")[0] if isinstance(source, Path) else "image"


def _seed(request: SeriesRequest, folder: Path) -> int:
    """The given seed, else that of the series in the folder, else one from the time."""
    given = request.invocation.values.get("outputs.seed")
    if given is not None:
        return given
    earlier = read_manifest(folder)
    return earlier["seed"] if earlier is not None and isinstance(earlier.get("seed"), int) else int(time.time())


def _tell_first(series: Series) -> None:
    """Log the facts and warnings of the first image."""
    experiment = resolve(series.shot(1).simulation)
    report.warn(experiment.warnings)
    if series.kind == "rotation" and series.simulation.scan.phisteps is None:
        report.warn([f"each image is the sum of {experiment.scan.phisteps} phi steps: -phisteps N makes it smoother"])
    report.say(report.experiment_lines(experiment.facts()))


def _tell_last(done: SeriesReport) -> None:
    report.warn(done.notes)
    if done.made:
        rate = done.made / done.seconds if done.seconds > 0 else 0.0
        how = f"{done.workers} processes" if done.workers > 1 else "one process" if done.workers else "the cluster"
        report.say([report.plain_line("made", f"{done.made} images in {done.seconds:.3g} s ({rate:.3g}/s) by {how}")])
    else:
        report.say([report.plain_line("made", f"nothing: all {done.images} images exist")])
    files = [path for path in (done.master, done.truth, done.models, done.sheet) if path is not None]
    interrupt.completed[:] = files
    report.say(
        [report.plain_line("wrote", f"{done.images} images and {', '.join(p.name for p in files)} in {done.folder}")]
    )


class Count:
    """Passes progress on, and stores the number of complete images."""

    def __init__(self, show: Callable[[int, int], None]) -> None:
        self.complete, self._show = 0, show

    def __call__(self, complete: int, total: int) -> None:
        self.complete = complete
        interrupt.check()
        self._show(complete, total)


@contextmanager
def progress_bar(wanted: bool) -> Iterator[Callable[[int, int], None]]:
    """A function that moves a bar on stderr, if that is a terminal, with images/s and the time left."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda complete, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress("images", *columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("images", total=None, rate="")
        start: list[float] = []

        def move(complete: int, total: int) -> None:
            if not start:
                start[:] = [time.perf_counter(), complete]
                bar.reset(task, total=total, completed=complete)
                return
            seconds = time.perf_counter() - start[0]
            bar.update(task, completed=complete, rate=f"{(complete - start[1]) / max(seconds, 1e-9):.3g} images/s")

        yield move


@contextmanager
def cluster(request: SeriesRequest | RefineRequest) -> Iterator[Any]:
    """The Dask client of the requested cluster; None if none is requested.

    Raises
    ------
    ConfigError
        A package is missing, or no scheduler answers at the address.
    """
    if request.scheduler is None and not request.slurm:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("a cluster needs Dask: pip install 'nbnumba[cluster]'") from None
    if request.slurm:
        try:
            from dask_jobqueue import SLURMCluster
        except ImportError:
            raise ConfigError("--slurm needs dask-jobqueue: pip install dask-jobqueue") from None
        with SLURMCluster() as jobs, Client(jobs) as client:
            jobs.scale(jobs=request.workers or 1)
            yield client
        return
    try:
        client = Client(request.scheduler, timeout="10s")
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {request.scheduler}: {error}") from error
    with client:
        yield client
