"""Refinement of many shots, on this machine or on a Dask cluster, and the files that come of it.

A task is a shot. It is here and not beside the refinement itself, because files are written, and processes made, on this
level of the program.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbnumba.errors import first_line
from nbnumba.io.files import together
from nbnumba.io.json_file import write_json
from nbnumba.output.refine_table import write_rows
from nbnumba.output.refined_files import write_amplitudes, write_refined_expt
from nbnumba.refinement.minimizer import STOPPED
from nbnumba.refinement.options import RefineOptions
from nbnumba.refinement.refine import make_options
from nbnumba.refinement.refined import Refined
from nbnumba.refinement.shots import ShotFile, check_names, refine_shot
from nbnumba.series.folder import claimed
from nbnumba.series.parcels import Packer, Parcel, Stock, Unpacker, image_digest
from nbnumba.series.pool import count_workers, pixels_of, run_here, run_in_pool
from nbnumba.series.refine_folder import RESERVED, RefineFolder, describe
from nbnumba.series.shot_table import failed_row, flag_outliers, model_of, row_of, write_shot_table

Progress = Callable[[int, int], None]
#: Memory (bytes) of a process for each pixel of an image: counts, photons, mask, boxes and predictions.
_PIXEL_BYTES = 100


@dataclass(frozen=True)
class ShotsReport:
    """Result of the refinement of many shots.

    Attributes
    ----------
    folder, table : Path
        Folder of all files, and ``shots.csv``.
    rows : tuple of dict
        One for each shot, in their order, as in ``shots.csv``: ``state`` is ``refined``, ``not converged`` or ``failed``,
        ``reason`` says why, ``outlier`` has the columns that make a shot one with their robust z-scores.
    made : int
        Number of shots that this run did; the others had been done before.
    seconds : float
    workers : int
        Number of processes; 0 for a cluster.
    """

    folder: Path
    table: Path
    rows: tuple[dict[str, Any], ...]
    made: int
    seconds: float
    workers: int

    def count(self, state: str) -> int:
        """Number of the shots in a state."""
        return sum(row["state"] == state for row in self.rows)

    @property
    def outliers(self) -> tuple[dict[str, Any], ...]:
        """Rows of the shots that are unlike the others."""
        return tuple(row for row in self.rows if row["outlier"])


@dataclass(frozen=True, eq=False)
class RefineRecipe:
    """What a process needs to refine shots."""

    options: RefineOptions
    folder: Path
    stock: Stock
    mask: Any
    device: str
    threads: int | None

    def maker(self) -> ShotRefiner:
        """What refines shots in a process."""
        return ShotRefiner(self)


class ShotRefiner:
    """Refines shots, one after another; what they have in common is read and resolved once."""

    def __init__(self, recipe: RefineRecipe) -> None:
        self.recipe, self._unpacker = recipe, Unpacker(recipe.stock)

    def make(self, parcel: Parcel) -> dict[str, Any]:
        """Refine a shot and write its files; returns its row."""
        recipe, shot = self.recipe, parcel.shot
        try:
            digest = image_digest(shot.image, shot.number is not None)
            experiments = self._unpacker.experiments(parcel)
            refined = refine_shot(shot, experiments, recipe.options, recipe.mask, recipe.device, recipe.threads)
        except Exception as error:  # whatever is wrong with a shot, the others go on
            return failed_row(shot.name, image_name(shot), first_line(error))
        if refined.reason == STOPPED:  # by Ctrl-C: what came of it so far is not the result
            raise KeyboardInterrupt
        record = record_of(refined, shot, parcel.inputs, digest)
        write_shot(recipe.folder, refined, shot, record)
        return row_of(record)


def image_name(shot: ShotFile) -> str:
    """Name of the file of a shot's image; empty if it is in memory."""
    return os.fspath(shot.image) if isinstance(shot.image, str | os.PathLike) else ""


def record_of(refined: Refined, shot: ShotFile, inputs: str, digest: str) -> dict[str, Any]:
    """Record of a refined shot: what the table needs, and digests of what it was made from."""
    return {
        "shot": shot.name,
        "image": image_name(shot),
        **refined.data(),
        "lattices": model_of(refined),
        "inputs": inputs,
        "image_digest": digest,
    }


def write_shot(folder: Path, refined: Refined, shot: ShotFile, record: Mapping[str, Any]) -> None:
    """Write all files of a shot, or none: record, spots, model, and structure factors where they were refined.

    Raises
    ------
    FileError
        A file cannot be written.
    """
    with together():
        write_refined_expt(folder / f"{shot.name}.expt", refined, image_name(shot) or shot.name, shot.number)
        write_rows(folder / f"{shot.name}.csv", refined.spots)
        if refined.amplitudes is not None:
            write_amplitudes(folder / f"{shot.name}.hkl", refined)
        write_json(folder / f"{shot.name}.json", record)


def refine_shots(
    shots: Sequence[ShotFile],
    folder: Path | str,
    parameters: str | Sequence[str] = "misset, cell, N, scale",
    *,
    stages: str | Sequence[Sequence[str]] = (),
    restraints: Mapping[str, float] | None = None,
    mask: Any = None,
    device: str = "auto",
    workers: int | None = None,
    threads: int | None = None,
    client: Any = None,
    progress: Progress | None = None,
    **options: Any,
) -> ShotsReport:
    """Refine the models of many shots, each by itself; a folder with some of them is continued.

    ::

        shots = [nb.ShotFile(path.stem, path, simulation) for path in sorted(Path("run7").glob("*.cbf"))]
        report = nb.refine_shots(shots, "refined", "misset, cell, N, scale")
        [row["shot"] for row in report.outliers]

    A shot that cannot be refined is a row with its reason.

    Parameters
    ----------
    shots : sequence of ShotFile
    folder : Path
        Created if it does not exist; NAME.json, NAME.csv and NAME.expt of every shot, shots.csv and shots.json.
    workers : int, optional
        Processes on this machine; by default one per core as far as shots and memory allow, and one with a GPU.
    threads : int, optional
        Threads of each process; by default the cores are divided among them.
    client : dask.distributed.Client, optional
        Cluster that does the shots instead; its workers must see images and ``folder`` under the same names.
    progress : callable, optional
        Called with the number of complete shots and of all shots; may raise to stop.
    parameters, stages, restraints, mask, device, options
        As of :func:`nbnumba.refinement.refine.refine`; a shot may have options of its own.

    Raises
    ------
    ConfigError
        The folder holds the refinement of other shots, or a value is not allowed.
    FileError
        A file cannot be written, or another process works in the folder.
    ResourceError
        Worker processes die again and again.
    """
    wanted = make_options(parameters, stages, restraints, options)
    check_names(shots, RESERVED)
    place = RefineFolder(folder)
    with claimed(place.path):
        place.prepare(describe(wanted, device, mask), [shot.name for shot in shots])
        packer = Packer(place.parts, wanted.symmetry is None)
        parcels = [packer.pack(shot) for shot in shots]
        recipe = RefineRecipe(wanted, place.path, packer.stock, mask, device, threads)
        rows = {number: row_of(record) for number, record in place.done(parcels).items()}
        made, begin = len(shots) - len(rows), time.perf_counter()
        used = _refine_missing(recipe, parcels, rows, workers, client, progress)
        seconds = time.perf_counter() - begin
        found = [rows[number] for number in range(len(shots))]
        flag_outliers(found)
        with together():
            write_shot_table(place.table, place.records, found)
        place.tidy()
    return ShotsReport(place.path, place.table, tuple(found), made, seconds, used)


def _refine_missing(
    recipe: RefineRecipe,
    parcels: Sequence[Parcel],
    rows: dict[int, dict[str, Any]],
    workers: int | None,
    client: Any,
    progress: Progress | None,
) -> int:
    """Refine the shots that have no row yet, and add theirs; returns the number of processes, 0 for a cluster."""
    missing = [number for number in range(len(parcels)) if number not in rows]
    tell = progress or (lambda complete, total: None)
    tell(len(rows), len(parcels))
    if not missing:
        return 0
    left, used = [parcels[number] for number in missing], 0
    if client is not None:
        from nbnumba.series.cluster import make_on_dask

        finished = make_on_dask(client, recipe, left, "a shot")
    else:
        pixels = pixels_of(left[0].shot.starts[0].detector)
        used = count_workers(workers, len(left), pixels, recipe.device, _PIXEL_BYTES)
        finished = run_in_pool(recipe, left, used, "a shot") if used > 1 else run_here(recipe, left)
    for number, row in finished:
        rows[missing[number]] = row
        tell(len(rows), len(parcels))
    return used
