"""Joint refinement of many shots: geometry that all have in common, with what each shot has of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.files import together
from nbnumba.io.json_file import write_json
from nbnumba.model.config import Simulation
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.output.refine_table import write_rows
from nbnumba.refinement.free import Free, expand_all, restraints_of
from nbnumba.refinement.minimizer import ENOUGH, NOTHING_GAINED, STOPPED, Step
from nbnumba.refinement.options import RefineOptions, split_names
from nbnumba.refinement.panel_motions import PANEL, panel_table
from nbnumba.refinement.refine import REJECTIONS, make_options, read
from nbnumba.refinement.shared import WHOLE, SharedShot, Total, minimize_shared
from nbnumba.refinement.shared_result import SharedRefined, shared_covariance
from nbnumba.refinement.shots import ShotFile, check_names
from nbnumba.series.crew import Crew, DaskCrew, LocalCrew, ProcessCrew
from nbnumba.series.folder import claimed
from nbnumba.series.parcels import Packer, Parcel, Stock, Unpacker, image_digest, without_stock
from nbnumba.series.pool import count_workers, pixels_of
from nbnumba.series.refine_folder import RESERVED, RefineFolder, describe
from nbnumba.series.refine_shots import image_name, record_of, write_shot
from nbnumba.series.shot_table import failed_row, flag_outliers, row_of, write_shot_table

OnStep = Callable[[str, Step], None]
#: Standard deviations of motions of panels, mm and degrees, where no restraint is given.
PANEL_SIGMA = 0.5
#: Memory (bytes) of a process for each pixel of an image, and fewest shots of a process.
_PIXEL_BYTES, _SHOTS = 200, 4
#: Gain of a step below which middles of spots are near enough.
NEAR = 0.5
#: Detectors differ by less than this, m.
_ALIKE_M = 1e-9


@dataclass(frozen=True, eq=False)
class SharedRecipe:
    """What a process needs to refine shots together with others.

    Attributes
    ----------
    options : RefineOptions
        Without restraints of the shared parameters.
    shared : tuple of str
        Names of the shared parameters.
    folder : Path or None
        Where files of shots go.
    """

    options: RefineOptions
    shared: tuple[str, ...]
    folder: Path | None
    stock: Stock
    mask: Any
    device: str
    threads: int | None

    def maker(self) -> SharedMaker:
        """What makes the shots of a process."""
        return SharedMaker(self)


class SharedMaker:
    """Makes shots; what they have in common is read and resolved once."""

    def __init__(self, recipe: SharedRecipe) -> None:
        self._recipe, self._unpacker = recipe, Unpacker(recipe.stock)

    def seat(self, parcel: Parcel) -> Seat:
        """A shot.

        Raises
        ------
        ConfigError, FileError, ResourceError
            It cannot be refined.
        """
        recipe, shot = self._recipe, parcel.shot
        digest = image_digest(shot.image, shot.number is not None)
        starts = self._unpacker.experiments(parcel)
        options = shot.options_of(recipe.options)
        found = read(shot.image, starts, options, recipe.mask, shot.number, shot.reflections)
        seat = Seat(recipe.shared, *found[:2], options, recipe.device, recipe.threads, reflections=found[2])
        seat.parcel, seat.digest, seat.folder = parcel, digest, recipe.folder
        return seat


class Seat(SharedShot):
    """A shot that knows its files."""

    parcel: Parcel
    digest: str
    folder: Path | None

    def finish(self, total: np.ndarray, reason: str, steps: Sequence[tuple[str, Step]]) -> tuple[Any, Any]:
        """Write the files of the shot; returns its row, and the refined models without what shots share."""
        refined = self.outcome(total, reason, steps)
        record = record_of(refined, self.parcel.shot, self.parcel.inputs, self.digest)
        if self.folder is not None:
            write_shot(self.folder, refined, self.parcel.shot, record)
        starts = (one.simulation for one in self.experiments)
        pairs = zip(refined.simulations, starts, self.parcel.shot.starts, strict=True)
        return row_of(record), tuple(without_stock(*one) for one in pairs)


def refine_shared(
    shots: Sequence[ShotFile],
    parameters: str | Sequence[str] = "misset, scale",
    share: str | Sequence[str] = "distance, panels",
    *,
    folder: Path | str | None = None,
    stages: str | Sequence[Sequence[str]] = (),
    restraints: Mapping[str, float] | None = None,
    mask: Any = None,
    device: str = "auto",
    workers: int | None = None,
    threads: int | None = None,
    client: Any = None,
    on_step: OnStep | None = None,
    **options: Any,
) -> SharedRefined:
    """Refine parameters that all shots have in common, together with those that each shot has of its own.

    ::

        refined = nb.refine_shared(shots, "misset, cell, N, scale", "distance, panels[0:4], panels[4:8], panels")
        refined.panels["relative_fast_mm"], refined.panels["relative_fast_mm_error"]

    By default the middles of spots are brought to where they are observed first; then the shots' own parameters are refined
    against the pixels, and then all. Shots that cannot be refined are left out.

    Parameters
    ----------
    shots : sequence of ShotFile
        Their starts have the same geometry.
    parameters : str, or sequence of str
        The shots' own parameters.
    share : str, or sequence of str
        The shared ones. Motions of panels have a restraint of 0.5 mm and 0.5 degrees, unless another one is given.
    folder : Path, optional
        Where NAME.json, NAME.csv and NAME.expt of every shot, shots.csv, shots.json, geometry.json and geometry.csv go; without
        it no file is written.
    workers, threads, client
        As of :func:`nbnumba.series.refine_shots.refine_shots`; shots stay in their process or on their worker.
    on_step : callable, optional
        Called with the stage and a ``Step`` after each iteration of all shots together; may raise to stop.
    stages, restraints, mask, device, options
        As of :func:`nbnumba.refinement.refine.refine`.

    Raises
    ------
    ConfigError
        A parameter cannot be shared, no shot is left, or a value is not allowed.
    FileError
        A file cannot be written.
    ResourceError
        A worker process dies.
    """
    own = split_names(parameters) if isinstance(parameters, str) else tuple(parameters)
    common = split_names(share) if isinstance(share, str) else tuple(share)
    wanted = make_options((*own, *(one for one in common if one not in own)), stages, restraints, options)
    check_names(shots, RESERVED)
    begin = time.perf_counter()
    first = resolve(shots[0].starts[0])
    names, sigmas, single = _split(wanted, common, first)
    with ExitStack() as stack:
        place = None if folder is None else RefineFolder(folder)
        if place is None:
            parts = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            stack.enter_context(claimed(place.path))
            place.prepare(describe(wanted, device, mask, {"share": list(common)}), [shot.name for shot in shots])
            parts = place.parts
        packer = Packer(parts, wanted.symmetry is None)
        parcels = [packer.pack(shot) for shot in shots]
        target = None if place is None else place.path
        recipe = SharedRecipe(single, names, target, packer.stock, mask, device, threads)
        with _crew(recipe, parcels, workers, client) as crew:
            found = _refine(crew, [shot.name for shot in shots], sigmas, single, on_step)
            rows, simulations = _finish(crew, shots, found)
        flag_outliers(rows)
        refined = _result(found, names, first, rows, simulations, time.perf_counter() - begin)
        if place is not None:
            write_geometry(place, refined)
            place.tidy()
    return refined


def write_geometry(place: RefineFolder, refined: SharedRefined) -> None:
    """Write the files of all shots, or none: the table of the shots, what they share, and the table of the panels.

    Raises
    ------
    FileError
        A file cannot be written.
    """
    with together():
        write_shot_table(place.table, place.records, refined.rows)
        write_json(place.geometry, refined.data())
        if len(refined.panels):
            write_rows(place.geometry.with_suffix(".csv"), refined.panels)


def _result(
    found: Found,
    names: tuple[str, ...],
    first: Experiment,
    rows: Sequence[dict[str, Any]],
    simulations: Sequence[tuple[Simulation, ...]],
    seconds: float,
) -> SharedRefined:
    """The result; ``first``: an experiment of the start."""
    covariance = shared_covariance(found.total, found.free, found.x)
    changes = np.array([one.change(v) for one, v in zip(found.free, found.x, strict=True)])
    moves = any(name.startswith("panel_") for name in names)
    return SharedRefined(
        names=names,
        start=np.array([one.start for one in found.free]),
        values=np.array([one.value(v) for one, v in zip(found.free, found.x, strict=True)]),
        covariance=covariance,
        panels=panel_table(first, names, changes, covariance) if moves else np.zeros(0, PANEL),
        reason=found.reason,
        steps=tuple(found.steps),
        rows=tuple(rows),
        simulations=tuple(simulations),
        seconds=seconds,
    )


def _split(
    wanted: RefineOptions, share: Sequence[str], experiment: Experiment
) -> tuple[tuple[str, ...], dict[str, float], RefineOptions]:
    """Names of the shared parameters, their restraints, and the options of a shot, which has none of those.

    Raises
    ------
    ConfigError
        Structure factors are among the parameters, or nothing is shared.
    """
    if wanted.amplitudes:
        raise ConfigError("structure factors cannot be refined with --share: refine them shot by shot")
    if not share:
        raise ConfigError("--share needs the names of parameters, as distance,panels")
    names = expand_all(share, experiment, wanted.cell_system)
    every = expand_all(wanted.parameters, experiment, wanted.cell_system)
    given = restraints_of(wanted, experiment, every)
    sigmas = {name: given.get(name, PANEL_SIGMA if name.startswith("panel_") else np.inf) for name in names}
    rest = tuple((name, sigma) for name, sigma in given.items() if name not in names)
    return names, sigmas, replace(wanted, parameters=every, restraints=rest)


def _crew(recipe: SharedRecipe, parcels: Sequence[Parcel], workers: int | None, client: Any) -> Crew:
    """The shots, where they are refined."""
    if client is not None:
        if recipe.folder is None and (recipe.stock.tables or recipe.stock.masks):
            raise ConfigError("on a cluster give a folder that all workers see: structure factors are read from it")
        return DaskCrew(recipe, parcels, client)
    pixels = pixels_of(parcels[0].shot.starts[0].detector)
    used = count_workers(workers, len(parcels), pixels, recipe.device, _PIXEL_BYTES, _SHOTS)
    return ProcessCrew(recipe, parcels, used) if used > 1 else LocalCrew(recipe, parcels)


@dataclass(frozen=True, eq=False)
class Found:
    """What the shots found: why some are left out, shared parameters, information about them, and how it ended."""

    failures: list[str]
    free: tuple[Free, ...]
    x: np.ndarray
    total: np.ndarray
    reason: str
    steps: list[tuple[str, Step]]


def _refine(
    crew: Crew, names: Sequence[str], sigmas: Mapping[str, float], options: RefineOptions, on_step: OnStep | None
) -> Found:
    """All stages, and once more without the pixels that do not fit."""
    failures = crew.begin()
    if not crew.numbers:
        raise ConfigError(f"no shot can be refined; {names[0]}: {failures[0]}")
    facts = crew.ask("facts")
    free = tuple(replace(one, sigma=sigmas[one.parameter]) for one in facts[0]["free"])
    _check_alike([names[number] for number in crew.numbers], facts)
    x, reason = np.zeros(len(free)), ""
    steps: list[tuple[str, Step]] = []

    def run(stage: int, name: str, enough: float = ENOUGH) -> None:
        nonlocal x, reason
        told = None if on_step is None else (lambda step: on_step(name, step))
        found = minimize_shared(crew, free, x, stage, facts[0]["stages"][stage], options.iterations, told, enough)
        x, reason = found.x, found.reason
        steps.extend((name, step) for step in found.steps)

    if not options.stages:
        # spots that are off by more than their width are brought near by their middles first
        crew.ask("look_at_middles", True)
        run(0, "middles of spots", NEAR)
        crew.ask("look_at_middles", False)
        if reason != STOPPED:
            crew.ask("settle", 0, options.iterations)
    last = len(facts[0]["stages"]) - 1
    for stage in range(last + 1):
        if reason != STOPPED:
            run(stage, str(stage + 1))
    for _ in range(REJECTIONS if options.reject else 0):
        if reason not in ("", NOTHING_GAINED) or not sum(crew.ask("drop_outliers")):
            break
        run(last, "without outliers")
    total = Total.of(crew.ask("part", last, WHOLE), free, x, 0.0).matrix
    for one, v in zip(free, x, strict=True):
        reason = reason or one.at_bound(v)
    return Found(failures, free, x, total, reason, steps)


def _check_alike(names: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> None:
    """Raise ConfigError if shots begin with different values of shared parameters, or with different detectors."""
    first = facts[0]
    for name, fact in zip(names, facts, strict=True):
        here, there = fact["detector"], first["detector"]
        if here.shape != there.shape or np.abs(here - there).max() > _ALIKE_M:
            raise ConfigError(f"--share: {name} starts with another geometry of the detector than {names[0]}")
        for a, b in zip(fact["free"], first["free"], strict=True):
            if abs(a.start - b.start) > 1e-9 * max(abs(a.start), abs(b.start)):
                raise ConfigError(
                    f"--share {a.parameter}: {name} starts with {a.start:g}, and {names[0]} with {b.start:g}; "
                    "start all shots with the same value"
                )


def _finish(
    crew: Crew, shots: Sequence[ShotFile], found: Found
) -> tuple[list[dict[str, Any]], list[tuple[Simulation, ...]]]:
    """Rows and refined models of all shots."""
    done = dict(zip(crew.numbers, crew.ask("finish", found.total, found.reason, found.steps), strict=True))
    rows: list[dict[str, Any]] = []
    simulations: list[tuple[Simulation, ...]] = []
    for number, (shot, failure) in enumerate(zip(shots, found.failures, strict=True)):
        if number not in done:
            rows.append(failed_row(shot.name, image_name(shot), failure))
            simulations.append(())
            continue
        row, models = done[number]
        rows.append(row)
        simulations.append(tuple(_whole(*one) for one in zip(models, shot.starts, strict=True)))
    return rows, simulations


def _whole(light: Simulation, start: Simulation) -> Simulation:
    """A refined model with what it left behind to be sent."""
    refined = light.structure_factors.hkl is not None
    return replace(
        light, mask=start.mask, structure_factors=light.structure_factors if refined else start.structure_factors
    )
