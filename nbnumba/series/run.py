"""Making a series, on this machine or on a Dask cluster.

A task is one shot, or a few on a cluster. Small images are fastest with one process per core, each with one thread:
noise, compression and Python code do not use several threads. Structure factors are read once, and mapped into every
process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.io.files import together
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.frames import image_geometry, layout
from nbnumba.model.structure_factors import resolve_structure_factors
from nbnumba.output.sinks.table import BY_FIELD
from nbnumba.output.writing import write_outputs
from nbnumba.render.renderer import Renderer
from nbnumba.render.simulate import render_result
from nbnumba.render.threads import kernels
from nbnumba.series.folder import PARTS, Folder, claimed
from nbnumba.series.models import write_models
from nbnumba.series.pool import count_workers, pixels_of, run_here, run_in_pool
from nbnumba.series.shots import Series
from nbnumba.series.tables import TableFile, with_list, with_whole_paths, without_list
from nbnumba.series.truth import (
    THUMBNAILS,
    bragg_images,
    gather,
    read_truth,
    shot_record,
    spot_table,
    thumbnail,
    write_part,
)

Progress = Callable[[int, int], None]
#: Number of a finished shot, and notes for the user about its files.
Made = tuple[int, tuple[str, ...]]


@dataclass(frozen=True)
class SeriesReport:
    """Result of a run of a series.

    Attributes
    ----------
    folder, truth, models, sheet, master : Path
        Folder of the images, and the files of the whole series; ``sheet`` and ``master`` (NXmx) are None where they
        were not requested.
    images, made : int
        Number of shots in the series, and of those made by this run.
    seconds : float
        Seconds from the start of the first task to the end of the last.
    workers : int
        Number of processes; 0 for a cluster.
    notes : tuple of str
        Notes for readers of the images that their headers cannot hold.
    """

    folder: Path
    truth: Path
    models: Path
    sheet: Path | None
    images: int
    made: int
    seconds: float
    workers: int
    notes: tuple[str, ...]
    master: Path | None = None


@dataclass(frozen=True)
class Recipe:
    """What a process needs to make shots.

    Attributes
    ----------
    table : TableFile or None
        Structure factors; None: every reflection has ``default_F``.
    threads : int or None
        CPU threads of each process.
    """

    series: Series
    folder: Path
    table: TableFile | None
    threads: int | None

    def maker(self) -> ShotMaker:
        """What makes shots in a process."""
        return ShotMaker(self)


class ShotMaker:
    """Makes shots, one after another, with structure factors that all of them share."""

    def __init__(self, recipe: Recipe) -> None:
        self.series, self.threads = recipe.series, recipe.threads
        self.folder = Folder(recipe.folder, recipe.series)
        self.table = None if recipe.table is None else recipe.table.load()
        self._renderer: Renderer | None = None
        self._latest: Experiment | None = None
        images = recipe.series.images
        self.pictured = set(np.rint(np.linspace(1, images, min(images, THUMBNAILS))).astype(int).tolist())

    def experiment(self, number: int) -> Experiment:
        """The shot's experiment, with the structure factors that are already loaded."""
        simulation = self.series.shot(number).simulation
        if self.table is not None:
            simulation = with_list(simulation, self.table)
        self._latest = resolve(simulation, like=self._latest)
        return self._latest

    def renderer(self, experiment: Experiment) -> Renderer:
        """The renderer of all shots, updated to this experiment."""
        if self._renderer is None:
            series = self.series
            self._renderer = Renderer(
                experiment, device=series.device, precision=series.precision, threads=self.threads
            )
        else:
            self._renderer.update(experiment)
        return self._renderer

    def make(self, number: int) -> Made:
        """Render a shot and write its files."""
        shot = self.series.shot(number)
        with kernels():
            result = render_result(self.renderer(self.experiment(number)))
            spots = spot_table(result.experiment, bragg_images(result, self.threads))
            picture = thumbnail(layout(result.experiment).picture(result.images)) if number in self.pictured else None
            record = shot_record(result, shot.files[0].name, shot.outputs.seed)
            with together():
                write_part(self.folder.part(number), record, spots, picture)
                written = write_outputs(result, shot.outputs_in(self.folder.path))
        return number, written.notes


def run_series(
    series: Series,
    folder: Path | str,
    *,
    workers: int | None = None,
    threads: int | None = None,
    client: Any = None,
    progress: Progress | None = None,
    contact_sheet: bool = True,
) -> SeriesReport:
    """Make the shots that are missing in a folder, and the tables of the whole series.

    Parameters
    ----------
    folder : Path
        Created if it does not exist; a folder with a part of the same series is continued.
    workers : int, optional
        Processes on this machine; by default one per core as far as shots and memory allow, and one with a GPU.
    threads : int, optional
        Threads of each process; by default the cores are divided among them.
    client : dask.distributed.Client, optional
        Cluster that makes the shots instead; its workers must see ``folder`` under the same name.
    progress : callable, optional
        Called with the number of complete shots and of all shots; may raise to stop.
    contact_sheet : bool
        Whether to draw the contact sheet.

    Raises
    ------
    ConfigError
        The folder holds another series, or a value is not allowed.
    FileError
        A file cannot be read or written, or another process works in the folder.
    ResourceError
        Worker processes die again and again.
    """
    place = Folder(folder, series)
    with claimed(place.path):
        place.prepare()
        missing = place.missing()
        recipe = _recipe(series, place, threads)
        start, used = time.perf_counter(), 0
        notes: tuple[str, ...] = ()
        done = series.images - len(missing)
        tell = progress or (lambda complete, total: None)
        tell(done, series.images)
        if missing:
            if client is not None:
                from nbnumba.series.cluster import make_on_dask

                whole = replace(series, simulation=with_whole_paths(recipe.series.simulation))
                finished = make_on_dask(client, replace(recipe, series=whole), missing)
            else:
                used = count_workers(workers, len(missing), pixels_of(series.simulation.detector), series.device)
                finished = run_in_pool(recipe, missing, used) if used > 1 else run_here(recipe, missing)
            for _, (_, said) in finished:
                done += 1
                notes = notes or said  # the notes of all shots are alike
                tell(done, series.images)
        notes += _master_notes(series, place)
        seconds = time.perf_counter() - start
        _finish(ShotMaker(recipe), contact_sheet)
    sheet = place.sheet if contact_sheet else None
    files = place.path, place.truth, place.models, sheet
    return SeriesReport(*files, series.images, len(missing), seconds, used, notes, place.master)


def _recipe(series: Series, folder: Folder, threads: int | None) -> Recipe:
    grid, _ = resolve_structure_factors(series.simulation.structure_factors)
    if grid is None:
        return Recipe(series, folder.path, None, threads)
    table = TableFile.of(grid, folder.path / PARTS / "F.npy")
    return Recipe(replace(series, simulation=without_list(series.simulation)), folder.path, table, threads)


def _master_notes(series: Series, folder: Folder) -> tuple[str, ...]:
    """Note about what changes from image to image and is the same for all images in a file that joins them."""
    named = {name for changes in series.by_image for name, _ in changes} - {"crystal.A_matrix"}
    if folder.master is None or not named:
        return ()
    return (f"{folder.master.name} has beam and spindle of the first image: those of each are in its own file",)


def _finish(maker: ShotMaker, contact_sheet: bool) -> None:
    """Write the files of the whole series that do not exist yet."""
    series, folder = maker.series, maker.folder
    if not folder.truth.exists():
        parts = [folder.part(number) for number in range(1, series.images + 1)]
        attributes = {"kind": series.kind, "images": series.images, "seed": series.seed}
        gather(folder.truth, parts, attributes)
    if not folder.models.exists():
        experiments = ((number, maker.experiment(number)) for number in range(1, series.images + 1))
        write_models(folder.models, series, experiments)
    if series.joined is not None and folder.master is not None and not folder.master.exists():
        shots = (series.shot(number) for number in range(1, series.images + 1))
        parts = [folder.path / shot.outputs.files[series.joined] for shot in shots]
        BY_FIELD[series.joined].join(folder.master, parts, image_geometry(maker.experiment(1)))
    if contact_sheet and not folder.sheet.exists():
        from nbnumba.series.contact_sheet import save_contact_sheet

        shown = read_truth(folder.truth)["thumbnails"]
        title = f"{series.name}: {series.images} {'images' if series.kind == 'rotation' else 'stills'}"
        save_contact_sheet(folder.sheet, shown["photons"], shown["shot"], title)
    folder.tidy()
