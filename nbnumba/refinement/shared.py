"""Parameters that many shots have in common, refined together with those that each shot has of its own.

Problem: a hundred shots have a thousand parameters of their own and fifty in common, as the motions of panels; and each shot's
pixels are in another process.

Choice: the parameters of a shot have to do with its own pixels only. So each shot eliminates them from its normal equations
(Schur's complement), and sends what is left: a matrix of the shared parameters. Their sum is solved for a step, from which each
shot finds the step of its own parameters. A step is Levenberg's and Marquardt's, the same damping for all, and counts if
the sum of all shots falls. A restraint of a shared parameter counts once, not once for each shot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.refinement.free import Free, prior
from nbnumba.refinement.middles import Middles
from nbnumba.refinement.minimizer import (
    DAMPING,
    ENOUGH,
    LESS,
    MORE,
    MOST,
    NOTHING_GAINED,
    STOPPED,
    Step,
    minimize,
    movable,
    solve,
)
from nbnumba.refinement.refine import Refinement, refuse_blind
from nbnumba.refinement.refined import Refined
from nbnumba.refinement.target import Point

#: Damping of a whole step; and what is left of a damping after a step with this share of the gain that a whole one promised:
#: combinations that nothing but restraints decides are held by any damping.
WHOLE, GOOD, LEAST = 1e-12, 0.5, 1e-3
#: What is added to the information about shared parameters in the errors of a shot, relative to its diagonal: combinations
#: that nothing but restraints decides are determined by it in spite of rounding.
RIDGE = 4e-12


@dataclass(frozen=True, eq=False)
class Part:
    """What a shot tells about the shared parameters.

    Attributes
    ----------
    value : float
        Minus log likelihood.
    direct, taken : (k, k) float64
        Information about them, and what the shot's own parameters take of it.
    slope, taken_slope : (k,) float64
        Gradient, and what own parameters take of it.
    gain : float
        By how much the shot's own parameters alone would lower the value.
    """

    value: float
    direct: np.ndarray
    taken: np.ndarray
    slope: np.ndarray
    taken_slope: np.ndarray
    gain: float


class SharedShot(Refinement):
    """A shot of which some parameters are shared.

    Parameters
    ----------
    shared : sequence of str
        Names of the shared parameters; they are among those that are refined, and have no restraint here.
    others
        As of :class:`nbnumba.refinement.refine.Refinement`.

    Attributes
    ----------
    point : Point
        Where the shot is.
    """

    def __init__(self, shared: Sequence[str], *others: Any, **more: Any) -> None:
        self._shared_names = tuple(shared)
        super().__init__(*others, **more)
        names = [one.parameter for one in self.free]
        for name in shared:
            if names.count(name) > 1:
                raise ConfigError(f"--share {name}: a shot of several lattices has one of each of them")
        self.shared = np.array([names.index(name) for name in shared], dtype=int)
        self._at: Callable[[np.ndarray], Point] = self.target.at
        self._spoiled = ""
        self.point = self._scaled(self.first)
        self._trial: Point | None = None

    def _refuse_blind(self) -> None:
        """Only of the shot's own parameters: it may have no spot on a panel."""
        own = [i for i, one in enumerate(self.free) if one.parameter not in self._shared_names]
        refuse_blind(self.first, own, self.free)

    def facts(self) -> dict[str, Any]:
        """The shared parameters, which of them each stage has, geometry of the detector, and number of pixels."""
        panels = self.experiments[0].detector.panels
        return {
            "free": [self.free[i] for i in self.shared],
            "stages": [[j for j, i in enumerate(self.shared) if i in stage] for stage in self.stages],
            "detector": np.array([(p.pix0, p.fdet * p.pixel_size, p.sdet * p.pixel_size) for p in panels]),
            "pixels": len(self.target.boxes.photons),
        }

    def _own(self, stage: int) -> np.ndarray:
        """Numbers of the shot's own parameters that change in a stage."""
        own = [i for i in self.stages[stage] if i not in self.shared]
        return movable(self.point.x, self.point.gradient, own, self.bounds)

    def look_at_middles(self, wanted: bool) -> None:
        """Whether the target is the middles of spots from now on, and not the pixels."""
        at = Middles(self.target).at if wanted else self.target.at
        self._at, self.point = at, at(self.point.x)
        if not wanted:
            self.point = self._scaled(self.point)
        self.target.forget()

    def settle(self, stage: int, iterations: int) -> None:
        """Refine the shot's own parameters alone."""
        own = [i for i in self.stages[stage] if i not in self.shared]
        found = minimize(self._at, self.point, own, self.bounds, iterations)
        if found.reason == STOPPED:
            raise KeyboardInterrupt
        self.point = found.point
        self.target.forget()

    def part(self, stage: int, damping: float) -> Part:
        """What the shot tells about the shared parameters where it is."""
        own, shared, point = self._own(stage), self.shared, self.point
        mixed, slope = point.information[np.ix_(own, shared)], point.gradient[own]
        solved = solve(point.information[np.ix_(own, own)], np.column_stack([mixed, slope]), damping)
        taken = mixed.T @ solved[:, :-1]
        return Part(
            value=point.value,
            direct=point.information[np.ix_(shared, shared)],
            taken=(taken + taken.T) / 2,
            slope=point.gradient[shared],
            taken_slope=mixed.T @ solved[:, -1],
            gain=float(0.5 * slope @ solved[:, -1]),
        )

    def tried(self, stage: int, shared: np.ndarray, damping: float) -> float:
        """The value after a step of the shared parameters to ``shared``, and that of the own ones which goes with it.

        Infinite where there is no such experiment.
        """
        own, point = self._own(stage), self.point
        step = shared - point.x[self.shared]
        right = -point.gradient[own] - point.information[np.ix_(own, self.shared)] @ step
        x = point.x.copy()
        x[own] += solve(point.information[np.ix_(own, own)], right, damping)
        x = np.clip(x, self.bounds[:, 0], self.bounds[:, 1])
        x[self.shared] = shared
        try:
            self._trial = self._at(x)
        except ConfigError:
            self._trial = None
            return float("inf")
        self.target.forget()
        return self._trial.value if np.isfinite(self._trial.value) else float("inf")

    def where(self) -> np.ndarray:
        """Values of the shared parameters."""
        return self.point.x[self.shared]

    def accept(self) -> None:
        """Go where the last step led."""
        assert self._trial is not None
        self.point, self._trial = self._trial, None

    def drop_outliers(self) -> int:
        """Leave out pixels that do not fit; returns their number."""
        count, self._spoiled = self.reject(self.point)
        if count:
            self.look_at_middles(False)
        return count

    def outcome(self, total: np.ndarray, reason: str, steps: Sequence[tuple[str, Step]]) -> Refined:
        """The result; its errors include those of the shared parameters.

        Parameters
        ----------
        total : (k, k) float64
            What all shots and restraints together tell about the shared parameters.
        """
        part = self.part(len(self.stages) - 1, WHOLE)
        # what the other shots tell is a restraint of this one
        others = total - (part.direct - part.taken)
        information = self.point.information.copy()
        information[np.ix_(self.shared, self.shared)] += others + RIDGE * np.diag(np.diag(part.direct + others))
        point = replace(self.point, information=information)
        return self._result(point, list(steps), reason or self._spoiled)


class Crew(Protocol):
    """Shots that can be asked, wherever they are."""

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """Result of a method of each shot, in their order."""


@dataclass(frozen=True, eq=False)
class Total:
    """Sum of the parts of all shots, and the restraints of the shared parameters.

    Attributes
    ----------
    matrix, right : (k, k), (k,) float64
        Equations of a step of the shared parameters.
    gain : float
        By how much the shots' own parameters alone would lower the value.
    """

    value: float
    matrix: np.ndarray
    right: np.ndarray
    gain: float

    @classmethod
    def of(cls, parts: Sequence[Part], free: Sequence[Free], x: np.ndarray, damping: float) -> Total:
        """The total at a point ``x`` of the shared parameters."""
        held = prior(free, x)
        direct = sum((part.direct for part in parts), np.diag(held.information))
        return cls(
            value=sum(part.value for part in parts) + held.value,
            matrix=direct + damping * np.diag(np.diag(direct)) - sum(part.taken for part in parts),
            right=sum(part.taken_slope - part.slope for part in parts) - held.gradient,
            gain=sum(part.gain for part in parts),
        )

    def step(self, active: np.ndarray) -> np.ndarray:
        """Step of the active shared parameters."""
        return solve(self.matrix[np.ix_(active, active)], self.right[active], WHOLE)


@dataclass(frozen=True, eq=False)
class SharedMinimum:
    """Where a minimization ended; ``reason``: why it did not converge, empty where it did."""

    x: np.ndarray
    steps: tuple[Step, ...]
    reason: str


def minimize_shared(
    crew: Crew,
    free: Sequence[Free],
    x: np.ndarray,
    stage: int,
    active: Sequence[int],
    iterations: int,
    on_step: Callable[[Step], None] | None = None,
    enough: float = ENOUGH,
) -> SharedMinimum:
    """Minimize the sum of all shots, from where they are. Ctrl-C ends it at the best point so far.

    It has converged when a whole step would gain too little: of the shared parameters alone, and of each shot on average.

    Parameters
    ----------
    free : sequence of Free
        The shared parameters.
    x : (k,) float64
        Where they are.
    active : sequence of int
        Those that change.
    enough : float
        Gain that is too little.
    """
    steps: list[Step] = []
    try:
        reason = _descend(crew, free, x, stage, active, iterations, on_step, enough, steps)
    except KeyboardInterrupt:
        reason = STOPPED
    return SharedMinimum(crew.ask("where")[0], tuple(steps), reason)


def _descend(
    crew: Crew,
    free: Sequence[Free],
    x: np.ndarray,
    stage: int,
    active: Sequence[int],
    iterations: int,
    on_step: Callable[[Step], None] | None,
    enough: float,
    steps: list[Step],
) -> str:
    """Bring all shots to the minimum, and fill ``steps``; returns why it did not converge."""
    bounds = np.array([one.bounds for one in free]).reshape(-1, 2)
    damping, evaluations = DAMPING, 0
    while True:
        parts = crew.ask("part", stage, WHOLE)
        total = Total.of(parts, free, x, WHOLE)
        moving = movable(x, -total.right, active, bounds)
        shared = float(0.5 * total.step(moving) @ total.right[moving])
        expected = shared + total.gain
        if steps:
            steps[-1] = replace(steps[-1], expected=expected)
            if on_step is not None:
                on_step(steps[-1])
        if shared < enough and total.gain < enough * len(parts):
            return ""
        if len(steps) >= iterations:
            return f"it did not converge within {iterations} iterations"
        while True:
            damped = Total.of(crew.ask("part", stage, damping), free, x, damping)
            following = x.copy()
            following[moving] += damped.step(moving)
            following = np.clip(following, bounds[:, 0], bounds[:, 1])
            value = sum(crew.ask("tried", stage, following, damping)) + prior(free, following).value
            evaluations += 1
            if value < total.value:
                break
            damping *= MORE
            if damping > MOST:
                return NOTHING_GAINED
        crew.ask("accept")
        steps.append(Step(len(steps) + 1, value, total.value - value, np.nan, damping, evaluations))
        good = total.value - value > GOOD * expected
        x, damping = following, max(damping * (LEAST if good else LESS), WHOLE)
