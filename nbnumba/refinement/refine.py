"""Refinement of the model of an image against its pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nbnumba.derive.setting import setting_of
from nbnumba.errors import ConfigError
from nbnumba.io.symmetry import wanted_group
from nbnumba.model.config import Background, Simulation
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.refinement.boxes import Boxes, find_boxes
from nbnumba.refinement.free import Free, free_parameters, stages_of
from nbnumba.refinement.measured import Measured, take_image
from nbnumba.refinement.minimizer import NOTHING_GAINED, STOPPED, Step, minimize
from nbnumba.refinement.options import AMPLITUDES, RefineOptions, split_names, split_stages
from nbnumba.refinement.refined import Refined, standard_errors
from nbnumba.refinement.spots import spot_table
from nbnumba.refinement.target import Point, Target
from nbnumba.render.dispatch import set_threads
from nbnumba.render.threads import thread_safe

#: Rounds of rejection; share of the largest residual of its box that an outlier has; largest share of all pixels.
REJECTIONS, WORST, MOST_REJECTED = 5, 0.5, 0.05
#: Most turns of structure factors and all else.
TURNS = 6
#: Told of each iteration: the stage and its figures.
OnStep = Callable[[str, Step], None]


@thread_safe
def refine(
    image: Any,
    start: Simulation | Experiment | Sequence[Simulation | Experiment],
    parameters: str | Sequence[str] = "misset, cell, N, scale",
    *,
    stages: str | Sequence[Sequence[str]] = (),
    restraints: Mapping[str, float] | None = None,
    mask: Any = None,
    number: int | None = None,
    reflections: Any = None,
    device: str = "auto",
    threads: int | None = None,
    on_step: OnStep | None = None,
    **options: Any,
) -> Refined:
    """Refine the model of an image against its pixels.

    ::

        refined = nb.refine("shot.cbf", simulation, "misset, cell, N, scale")
        refined["cell_a"], refined.error("cell_a"), refined.converged

    Parameters
    ----------
    image : path, (slow, fast) array, or sequence of such arrays, one for each panel
        Counts.
    start : Simulation or Experiment, or a sequence of them
        The model to start from; several: lattices of the same image, with the same instrument.
    parameters : str, or sequence of str
        Parameters (docs/derivatives.md) or groups of them (docs/refine.md).
    stages : str, or sequence of sequences of str
        Parameters of each stage, as ``"scale; misset scale; cell N misset scale"``; by default all at once.
    restraints : mapping of str to float, optional
        Standard deviations of values at the start.
    mask : (slow, fast) array, or sequence of such arrays, optional
        0 for pixels that are not to be used.
    number : int, optional
        Which image of a file that has several, from 1.
    reflections : (n, 3) int, or a sequence of such arrays, one for each lattice, optional
        h, k, l of the reflections whose spots are refined against; by default all that are predicted.
    device : {"auto", "cpu", "cuda", "cuda:N"}
    threads : int, optional
        CPU threads; by default as many as the process may run on.
    on_step : callable, optional
        Called with the stage and a ``Step`` after each iteration.
    options
        Fields of :class:`RefineOptions`.

    Returns
    -------
    Refined

    Raises
    ------
    ConfigError, FileError, ResourceError, DeviceError
        See :mod:`nbnumba.errors`.
    """
    wanted = make_options(parameters, stages, restraints, options)
    set_threads(threads)
    found = read(image, start, wanted, mask, number, reflections)
    return Refinement(*found[:2], wanted, device, threads, on_step, found[2]).run()


def read(
    image: Any,
    start: Simulation | Experiment | Sequence[Simulation | Experiment],
    options: RefineOptions,
    mask: Any = None,
    number: int | None = None,
    reflections: Any = None,
) -> tuple[list[Experiment], Measured, list[np.ndarray] | None]:
    """Experiments of all lattices, what was measured, and the listed reflections: arguments as of :func:`refine`."""
    simulations = [start] if isinstance(start, Simulation | Experiment) else list(start)
    if not simulations:
        raise ConfigError("refine needs a model to start from")
    experiments = [prepare(one, options) for one in simulations]
    measured = take_image(image, experiments[0], options, mask, number)
    listed = None if reflections is None else take_reflections(reflections, len(experiments))
    return experiments, measured, listed


def take_reflections(reflections: Any, lattices: int) -> list[np.ndarray]:
    """One array of h, k, l (n, 3) for each lattice.

    Raises
    ------
    ConfigError
        They have another shape, or there is none.
    """
    given = [reflections] if isinstance(reflections, np.ndarray) else list(reflections)
    found = [np.asarray(one) for one in given]
    if len(found) != lattices or any(one.ndim != 2 or one.shape[1] != 3 for one in found):
        raise ConfigError(
            f"reflections must be an array (n, 3) of h, k, l for each lattice, of which there are {lattices}"
        )
    if not sum(map(len, found)):
        raise ConfigError("the list of reflections is empty")
    return found


def make_options(
    parameters: str | Sequence[str],
    stages: str | Sequence[Sequence[str]],
    restraints: Mapping[str, float] | None,
    others: Mapping[str, Any],
) -> RefineOptions:
    """Options from the arguments of :func:`refine`.

    Raises
    ------
    ConfigError
        There is no such option, or a value is refused.
    """
    unknown = sorted(set(others) - set(RefineOptions.__dataclass_fields__))
    if unknown:
        raise ConfigError(f"refine has no option {unknown[0]}: {', '.join(RefineOptions.__dataclass_fields__)}")
    return RefineOptions(
        parameters=split_names(parameters) if isinstance(parameters, str) else tuple(parameters),
        stages=split_stages(stages) if isinstance(stages, str) else tuple(tuple(one) for one in stages),
        restraints=tuple((restraints or {}).items()),
        **others,
    )


def prepare(start: Simulation | Experiment, options: RefineOptions) -> Experiment:
    """The experiment without what the planes of background stand for."""
    simulation = start.simulation if isinstance(start, Experiment) else start
    like = start if isinstance(start, Experiment) else None
    if options.background == "none" or "water_um" in options.parameters:
        return resolve(simulation, like)
    return resolve(replace(simulation, background=Background()), like)


class Refinement:
    """One image, from its start to its result.

    Attributes
    ----------
    target : Target
    first : Point
        The target at the start.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        measured: Measured,
        options: RefineOptions,
        device: str = "auto",
        threads: int | None = None,
        on_step: OnStep | None = None,
        reflections: Sequence[np.ndarray] | None = None,
    ) -> None:
        self._begin = time.perf_counter()
        if options.search_deg:
            from nbnumba.refinement.search import search

            experiments = search(experiments, measured, options, device)
        self.experiments, self.measured, self.options = tuple(experiments), measured, options
        self._device, self._threads, self._on_step = device, threads, on_step
        self.free = free_parameters(experiments, options)
        self.stages = stages_of(options, experiments[0], self.free)
        self._evaluations = self._rejected = 0
        self._amplitudes: np.ndarray | None = None
        # of the start: a refined table no longer says which group its list has
        self._table = experiments[0].structure_factors
        self._symmetry = options.symmetry or experiments[0].simulation.structure_factors.hkl_symmetry or "P1"
        if options.amplitudes and self._table is None:
            raise ConfigError("structure factors are refined where they come from a list: give -hkl FILE")
        boxes = find_boxes([setting_of(one) for one in experiments], measured, options, reflections)
        self.target = self._target(boxes)
        self.first = self.target.at(np.zeros(len(self.free)))
        self._refuse_blind()

    def _refuse_blind(self) -> None:
        """Refuse parameters on which no pixel depends."""
        refuse_blind(self.first, range(len(self.free)), self.free)

    def _target(self, boxes: Boxes) -> Target:
        return Target(
            self.experiments, self.free, boxes, self.measured.noise, self.options, self._device, self._threads
        )

    @property
    def bounds(self) -> np.ndarray:
        """Bounds of what is refined, (n, 2)."""
        return np.array([one.bounds for one in self.free])

    def run(self) -> Refined:
        """All stages."""
        point, steps, reason = self._scaled(self.first), [], ""
        for number, stage in enumerate(self.stages, 1):
            point, found, reason = self._stage(number, stage, point)
            steps += found
            if reason == STOPPED:
                break
        for _ in range(REJECTIONS if self.options.reject else 0):
            # a model that is not refined yet has residuals that are no outliers
            if reason not in ("", NOTHING_GAINED):
                break
            count, too_many = self.reject(point)
            if not count:
                reason = too_many or reason
                break
            point, found, reason = self._minimize(self.target.at(point.x), self.stages[-1], "without outliers")
            steps += found
        return self._result(point, steps, reason)

    def reject(self, point: Point) -> tuple[int, str]:
        """Leave out the pixels that do not fit at a point; returns their number, or 0 and why they are too many."""
        outliers = self._outliers(point)
        count = int(outliers.sum())
        if count and self._rejected + count > MOST_REJECTED * len(outliers):
            return 0, f"too many pixels do not fit, {self._rejected + count}: check the start model"
        if count:
            self._rejected += count
            self._replace(self.target.boxes.kept(~outliers, self.measured))
        return count, ""

    def _replace(self, boxes: Boxes) -> None:
        """Another target, for other pixels or other experiments."""
        self._evaluations += self.target.evaluations
        self.target = self._target(boxes)

    def _stage(self, number: int, stage: Sequence[int], point: Point) -> tuple[Point, list[tuple[str, Step]], str]:
        """A stage, in which structure factors and all else are refined in turn where both are free."""
        groups = self.options.stages[number - 1] if self.options.stages else self.options.parameters
        point, steps, reason = self._minimize(point, stage, str(number))
        for _ in range(TURNS if AMPLITUDES in groups else 0):
            before = point.value
            self._refine_amplitudes(point)
            point, found, reason = self._minimize(self.target.at(point.x), stage, f"{number}, F")
            steps += found
            if not stage or reason == STOPPED or before - point.value < 1.0:
                break
        return point, steps, reason

    def _refine_amplitudes(self, point: Point) -> None:
        """Structure factors that fit best at a point, and the experiments that have them."""
        from nbnumba.refinement.amplitudes import HELD, amplitudes_of, refine_amplitudes, with_amplitudes

        assert self._table is not None
        group = wanted_group(self._symmetry)
        sigma = dict(self.options.restraints).get(AMPLITUDES, HELD)
        table = self.experiments[0].structure_factors
        assert table is not None  # __init__ refuses experiments without a list
        found = refine_amplitudes(self.target, point.x, table, group, sigma)
        self.experiments = tuple(with_amplitudes(one, found, group) for one in self.experiments)
        rows = found.rows
        rows["F_start"] = amplitudes_of(self._table, np.stack([rows[name] for name in "hkl"], axis=1))
        self._amplitudes = rows
        self._replace(self.target.boxes)

    def _minimize(self, point: Point, stage: Sequence[int], name: str) -> tuple[Point, list[tuple[str, Step]], str]:
        told = None if self._on_step is None else (lambda step: self._on_step(name, step))  # type: ignore[misc]
        found = minimize(self.target.at, point, stage, self.bounds, self.options.iterations, told)
        return found.point, [(name, step) for step in found.steps], found.reason

    def _scaled(self, point: Point) -> Point:
        """A point, the last one of the target, with the scale that fits the pixels best, where it is refined."""
        refined = {i for stage in self.stages for i in stage}
        places = [i for i, one in enumerate(self.free) if one.parameter == "scale" and i in refined]
        boxes = self.target.boxes
        if not places or not point.light.any():
            return point
        # the best planes for a wrong scale have taken up the spots: those that were fitted without a model have not
        net = boxes.photons - self.target.background(self.target.planes)
        weighted = point.light / np.maximum(boxes.photons, 1.0)
        scale = weighted @ net / (weighted @ point.light)
        if not scale > 0:
            return point
        x = point.x.copy()
        for i in places:
            x[i] = np.clip(point.x[i] + np.log(scale), *self.free[i].bounds)
        better = self.target.rescaled(point, x)
        return better if better.value < point.value else point

    def _outliers(self, point: Point) -> np.ndarray:
        """Pixels that are off by too many standard deviations, or by that many times their usual size if that is larger."""
        boxes, z = self.target.boxes, np.abs(self.target.residuals(point, 1.0))
        usual = 1.4826 * float(np.median(z))
        # one bad pixel spoils the plane of its box, and so the residuals of the others
        worst = np.maximum.reduceat(z, boxes.starts[:-1])[boxes.owner]
        found: np.ndarray = (z > self.options.reject * max(1.0, usual)) & (z >= WORST * worst)
        return found

    def _result(self, point: Point, steps: list[tuple[str, Step]], reason: str) -> Refined:
        used = np.isin(np.arange(len(self.free)), [i for stage in self.stages for i in stage])
        try:
            errors, correlations = standard_errors(point, self.free, used)
        except ConfigError as alike:
            errors, correlations = np.full(len(self.free), np.inf), np.eye(len(self.free))
            reason = reason or str(alike)
        for i in np.flatnonzero(used).tolist():
            reason = reason or self.free[i].at_bound(point.x[i])
        evaluations = self._evaluations + self.target.evaluations
        first = self.first if not self._rejected else self.target.at(self.first.x)
        settings = tuple(found.setting for found in self.target.derivatives(point.x))
        return Refined(
            names=tuple(one.name for one in self.free),
            start=np.array([one.start for one in self.free]),
            values=np.array([one.value(v) for one, v in zip(self.free, point.x, strict=True)]),
            errors=errors,
            correlations=correlations,
            reason=reason,
            steps=tuple(steps),
            evaluations=evaluations,
            rejected=self._rejected,
            settings=settings,
            spots=spot_table(self.target, first, point),
            first=first,
            last=point,
            target=self.target,
            amplitudes=self._amplitudes,
            seconds=time.perf_counter() - self._begin,
        )


def refuse_blind(point: Point, numbers: Iterable[int], free: Sequence[Free]) -> None:
    """Refuse parameters, of these numbers, on which no pixel depends.

    Raises
    ------
    ConfigError
        The sentence names the parameter.
    """
    if not np.isfinite(point.value):
        raise ConfigError("the start model does not explain the image: a pixel has no finite likelihood")
    for number in numbers:
        if not point.information[number, number] > 0:
            raise ConfigError(f"no pixel depends on {free[number].name}: do not refine it")
