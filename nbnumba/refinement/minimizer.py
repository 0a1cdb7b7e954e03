"""Levenberg's and Marquardt's method, with bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.refinement.target import Point

#: A refinement has converged when a whole step would gain less than this in log likelihood: 0.045 standard errors.
ENOUGH = 1e-3
#: Damping at the start, its factors after a step that gains and one that loses, and its largest value.
DAMPING, LESS, MORE, MOST = 1e-3, 0.1, 8.0, 1e10
#: Steps, each with less than this share of that gain, after which there is no hope.
STALLING, STALLED = 4, 0.1
NOTHING_GAINED = "no step lowers the target any more, though its slope is not zero"
#: Why a minimization ended that was interrupted.
STOPPED = "it was stopped by Ctrl-C"


@dataclass(frozen=True)
class Step:
    """One iteration, for reports.

    Attributes
    ----------
    value : float
        Minus log likelihood.
    gain : float
        By how much it fell.
    expected : float
        By how much a whole step would lower it further.
    damping : float
    """

    iteration: int
    value: float
    gain: float
    expected: float
    damping: float
    evaluations: int


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a minimization ended.

    Attributes
    ----------
    reason : str
        Why it did not converge; empty where it did.
    """

    point: Point
    steps: tuple[Step, ...]
    reason: str


def solve(matrix: np.ndarray, right: np.ndarray, damping: float) -> np.ndarray:
    """Solve symmetric equations, each unknown in units of its own diagonal element; unknowns without any stay 0.

    ``right``: (n,), or (n, m) of several equations with the same matrix.
    """
    sizes = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    units = np.where(sizes > 0, 1 / np.where(sizes > 0, sizes, 1.0), 0.0)
    alike = matrix * np.outer(units, units)
    alike[np.diag_indices(len(alike))] += np.where(sizes > 0, damping, 1.0)
    try:
        found = np.linalg.solve(alike, (right.T * units).T)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(alike, (right.T * units).T, rcond=1e-12)[0]
    step: np.ndarray = (found.T * units).T
    return step


def minimize(
    at: Callable[[np.ndarray], Point],
    start: Point,
    active: Sequence[int],
    bounds: np.ndarray,
    iterations: int,
    on_step: Callable[[Step], None] | None = None,
) -> Minimum:
    """Minimize a target. Ctrl-C ends it at the best point so far.

    Parameters
    ----------
    at : callable
        The target; each call is an evaluation.
    active : sequence of int
        Parameters that change; the others stay.
    bounds : (n, 2) float64
    iterations : int
        Most of them.
    """
    state = _State(start)
    try:
        reason = _descend(at, state, active, bounds, iterations, on_step)
    except KeyboardInterrupt:
        reason = STOPPED
    return Minimum(state.point, tuple(state.steps), reason)


class _State:
    """The best point so far, and how it was reached."""

    def __init__(self, point: Point) -> None:
        self.point, self.steps, self.evaluations = point, list[Step](), 0


def _descend(
    at: Callable[[np.ndarray], Point],
    state: _State,
    active: Sequence[int],
    bounds: np.ndarray,
    iterations: int,
    on_step: Callable[[Step], None] | None,
) -> str:
    """Change the state until it has converged; returns why it did not."""
    damping, waiting = DAMPING, None
    while True:
        point = state.point
        free = movable(point.x, point.gradient, active, bounds)
        matrix, right = point.information[np.ix_(free, free)], -point.gradient[free]
        expected = float(0.5 * solve(matrix, right, 1e-12) @ right)
        if waiting is not None:
            state.steps.append(replace(waiting, expected=expected))
            if on_step is not None:
                on_step(state.steps[-1])
        if expected < ENOUGH:
            return ""
        if len(state.steps) >= STALLING and max(step.gain for step in state.steps[-STALLING:]) < STALLED * ENOUGH:
            return NOTHING_GAINED
        if len(state.steps) >= iterations:
            return f"it did not converge within {iterations} iteration{'s' if iterations != 1 else ''}"
        while True:
            x = point.x.copy()
            x[free] += solve(matrix, right, damping)
            following = _tried(at, np.clip(x, bounds[:, 0], bounds[:, 1]))
            state.evaluations += 1
            if following is not None and following.value < point.value:
                break
            damping *= MORE
            if damping > MOST:
                return NOTHING_GAINED
        gain = point.value - following.value
        waiting = Step(len(state.steps) + 1, following.value, gain, np.nan, damping, state.evaluations)
        state.point, damping = following, max(damping * LESS, 1e-12)


def _tried(at: Callable[[np.ndarray], Point], x: np.ndarray) -> Point | None:
    """The target at a point; None where there is no such experiment, as of a cell with impossible angles."""
    try:
        return at(x)
    except ConfigError:
        return None


def movable(x: np.ndarray, gradient: np.ndarray, active: Sequence[int], bounds: np.ndarray) -> np.ndarray:
    """The active parameters that are not held by a bound."""
    numbers = np.array(active, dtype=int)
    low = (x[numbers] <= bounds[numbers, 0]) & (gradient[numbers] > 0)
    high = (x[numbers] >= bounds[numbers, 1]) & (gradient[numbers] < 0)
    return numbers[~(low | high)]
