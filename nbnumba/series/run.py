"""Making a series, on this machine or on a Dask cluster.

A task is one shot, or a few on a cluster. Small images are fastest with one process per core, each with one thread:
noise, compression and Python code do not use several threads. Structure factors are read once, and mapped into every
process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading as python_threads
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba import memory
from nbnumba.errors import ConfigError, ResourceError
from nbnumba.io.files import atomic_write, together
from nbnumba.io.values import FTable
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.frames import image_geometry, layout
from nbnumba.model.structure_factors import resolve_structure_factors
from nbnumba.output.sinks.table import BY_FIELD
from nbnumba.output.writing import write_outputs
from nbnumba.render.dispatch import choose_device
from nbnumba.render.renderer import Renderer
from nbnumba.render.simulate import render_result
from nbnumba.render.threads import kernels, usable_cores
from nbnumba.series.folder import PARTS, Folder
from nbnumba.series.models import write_models
from nbnumba.series.shots import Series
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

#: Shots for which another process is started; its start takes two seconds.
SHOTS_PER_WORKER = 16
#: Memory (bytes) of a process: its libraries; and for each pixel the copies of rendering, noise and truth.
_PROCESS_BYTES, _PIXEL_BYTES = 300 << 20, 80
#: Deaths of worker processes, without a finished shot in between, after which the run ends with an error.
_DEATHS = 3


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
    grid_file : Path or None
        Box of structure factors (``.npy``), mapped by all processes; None: every reflection has ``default_F``.
    grid_limits : (4,) int
        h_min, k_min, l_min, and the number of reflections.
    source : str
        File that the structure factors were read from.
    threads : int or None
        CPU threads of each process.
    """

    series: Series
    folder: Path
    grid_file: Path | None
    grid_limits: tuple[int, int, int, int]
    source: str
    threads: int | None

    def table(self) -> FTable | None:
        """The structure factors; None: every reflection has ``default_F``."""
        if self.grid_file is None:
            return None
        # copy-on-write: kernels are compiled for arrays that can be written
        box = np.asarray(np.load(self.grid_file, mmap_mode="c"))
        return FTable(box, *self.grid_limits, self.series.simulation.structure_factors.default_F, self.source)


class ShotMaker:
    """Makes shots, one after another, with structure factors that all of them share."""

    def __init__(self, recipe: Recipe) -> None:
        self.series, self.threads = recipe.series, recipe.threads
        self.folder = Folder(recipe.folder, recipe.series)
        self.table = recipe.table()
        self._renderer: Renderer | None = None
        self._latest: Experiment | None = None
        images = recipe.series.images
        self.pictured = set(np.rint(np.linspace(1, images, min(images, THUMBNAILS))).astype(int).tolist())

    def experiment(self, number: int) -> Experiment:
        """The shot's experiment, with the structure factors that are already loaded."""
        simulation = self.series.shot(number).simulation
        if self.table is not None:
            simulation = simulation.changed(hkl=self.table, hkl_label=None, model=None)
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
    with place.claimed():
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

                finished = make_on_dask(client, replace(recipe, series=_with_whole_paths(recipe.series)), missing)
            else:
                used = _workers(series, missing, workers)
                finished = _in_pool(recipe, missing, used) if used > 1 else _here(recipe, missing)
            for _, said in finished:
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
        return Recipe(series, folder.path, None, (0, 0, 0, 0), "", threads)
    # processes map the table; the values from which it was made may be large, or cannot be sent to a process
    series = replace(series, simulation=series.simulation.changed(hkl=None, hkl_label=None, model=None))
    path = folder.path / PARTS / "F.npy"
    with atomic_write(path) as handle:
        np.save(handle, grid.grid)
    return Recipe(
        series, folder.path, path, (grid.h_min, grid.k_min, grid.l_min, grid.n_reflections), grid.source, threads
    )


def _with_whole_paths(series: Series) -> Series:
    """The series with absolute names of input files, for processes with another working folder."""
    simulation = series.simulation
    parts: dict[str, Any] = {}
    for entry in fields(simulation):
        part: Any = getattr(simulation, entry.name)
        if is_dataclass(part) and not isinstance(part, type):
            named = {field.name: getattr(part, field.name) for field in fields(part)}
            whole = {key: Path(os.path.abspath(path)) for key, path in named.items() if isinstance(path, Path)}
            parts[entry.name] = replace(part, **whole)
    return replace(series, simulation=replace(simulation, **parts))


def _workers(series: Series, missing: list[int], wanted: int | None) -> int:
    """How many processes to use."""
    if wanted is not None:
        if wanted < 1:
            raise ConfigError(f"--workers must be at least 1, got {wanted}")
        return min(wanted, len(missing))
    if choose_device(series.device)[0] != "cpu":
        return 1
    detector = series.simulation.detector
    pixels = sum(panel.spixels * panel.fpixels for panel in detector.panels)
    if not pixels:
        fpixels = detector.fpixels or detector.detsize_f_mm / detector.pixel_mm
        pixels = int(fpixels * (detector.spixels or detector.detsize_s_mm / detector.pixel_mm))
    affordable = memory.available_bytes() // (_PROCESS_BYTES + _PIXEL_BYTES * pixels)
    return max(1, min(usable_cores(), len(missing) // SHOTS_PER_WORKER, int(affordable)))


def _here(recipe: Recipe, missing: list[int]) -> Iterator[Made]:
    maker = ShotMaker(recipe)
    for number in missing:
        yield maker.make(number)


def _in_pool(recipe: Recipe, missing: list[int], workers: int) -> Iterator[Made]:
    """Numbers of the shots in the order in which they finish; workers that die are replaced, and shots repeated."""
    if recipe.threads is None:
        recipe = replace(recipe, threads=max(1, usable_cores() // workers))
    left, deaths = dict.fromkeys(missing), 0
    while left:
        # spawn, because neither OpenMP's threads nor CUDA survive a fork
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (recipe,))
        try:
            for future in as_completed([pool.submit(_make, number) for number in left]):
                made = future.result()
                del left[made[0]]
                deaths = 0
                yield made
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == _DEATHS:
                raise ResourceError(
                    "worker processes die before they finish an image; they may have too little memory: "
                    f"try --workers {max(1, workers // 2)}"
                ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_maker: ShotMaker | None = None


def _start_worker(recipe: Recipe) -> None:
    global _maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    python_threads.Thread(target=_die_with_parent, daemon=True).start()
    _maker = ShotMaker(recipe)


def _die_with_parent() -> None:
    """Have the system end this worker when its parent is killed; otherwise it would wait for tasks forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(number: int) -> Made:
    assert _maker is not None
    return _maker.make(number)


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
