"""Result of a refinement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nbnumba.derive.information import Information
from nbnumba.derive.setting import Setting
from nbnumba.model.config import Simulation
from nbnumba.refinement.boxes import Boxes
from nbnumba.refinement.free import Free
from nbnumba.refinement.minimizer import Step
from nbnumba.refinement.simulation import simulation_of
from nbnumba.refinement.target import Point, Target


@dataclass(frozen=True, eq=False, kw_only=True)
class Refined:
    """A refined model.

    Attributes
    ----------
    names : tuple of str
        Parameters; ``lattice2.cell_a`` where an image has several lattices.
    start, values : (n,) float64
        Their values before and after, in their units; where only a change has a meaning (misset, panels, wavelength), it is the
        change from the start.
    errors : (n,) float64
        Standard errors from the information of the pixels about all parameters together; infinite where there is none.
    correlations : (n, n) float64
    reason : str
        Why the refinement is not to be trusted; empty where it has converged.
    steps : tuple of (str, Step)
        Stage and figures of every iteration.
    evaluations : int
        Number of renderings with derivatives.
    rejected : int
        Pixels that were left out as they did not fit.
    seconds : float
        Of all but start-up and reading.
    settings : tuple of Setting
        The refined model of every lattice.
    spots : structured array
        One row for each shoebox (:mod:`nbnumba.refinement.spots`).
    first, last : Point
        The target before and after.
    amplitudes : structured array or None
        Refined structure factors (:mod:`nbnumba.refinement.amplitudes`).
    """

    names: tuple[str, ...]
    start: np.ndarray
    values: np.ndarray
    errors: np.ndarray
    correlations: np.ndarray
    reason: str
    steps: tuple[tuple[str, Step], ...]
    evaluations: int
    rejected: int
    seconds: float
    settings: tuple[Setting, ...]
    spots: np.ndarray
    first: Point
    last: Point
    target: Target
    amplitudes: np.ndarray | None = None

    def __repr__(self) -> str:
        """One line, for notebooks."""
        state = "converged" if self.converged else self.reason
        return f"<Refined: {len(self.names)} parameters, {self.pixels} pixels of {len(self.boxes)} spots, {state}>"

    def __getitem__(self, name: str) -> float:
        """Value of a parameter."""
        return float(self.values[self.names.index(name)])

    def error(self, name: str) -> float:
        """Standard error of a parameter."""
        return float(self.errors[self.names.index(name)])

    @property
    def converged(self) -> bool:
        """Whether the refinement converged, and no parameter ended at a bound."""
        return not self.reason

    @property
    def boxes(self) -> Boxes:
        """The shoeboxes."""
        return self.target.boxes

    @property
    def pixels(self) -> int:
        """Number of pixels that were refined against."""
        return len(self.boxes.photons)

    @cached_property
    def residuals(self) -> np.ndarray:
        """Photons measured less expected over the standard deviation, (pixels,), in the order of the boxes."""
        return self.target.residuals(self.last)

    @property
    def degrees_of_freedom(self) -> int:
        """Pixels less parameters, planes of background included."""
        planes = 3 * len(self.boxes) if self.target.options.background == "refined" else 0
        return max(1, self.pixels - len(self.names) - planes)

    @property
    def chi2(self) -> float:
        """Sum of squared residuals over the degrees of freedom."""
        return float((self.residuals**2).sum() / self.degrees_of_freedom)

    @property
    def sigma_Z(self) -> float:
        """Standard deviation of the residuals."""
        return float(self.residuals.std())

    @property
    def offsets_px(self) -> tuple[float, float]:
        """Median distance of observed from predicted spots, before and after, in pixels."""
        found = []
        for name in ("offset_before_px", "offset_px"):
            offsets = self.spots[name][np.isfinite(self.spots[name])]
            found.append(float(np.median(offsets)) if len(offsets) else float("nan"))
        return found[0], found[1]

    @property
    def simulations(self) -> tuple[Simulation, ...]:
        """The refined simulation of every lattice; numbers of cells are rounded, as a simulation has whole ones."""
        return tuple(simulation_of(setting) for setting in self.settings)

    @property
    def simulation(self) -> Simulation:
        """The refined simulation of the first lattice."""
        return self.simulations[0]

    def data(self) -> dict[str, Any]:
        """All figures, for JSON."""
        before, after = self.offsets_px
        return {
            "converged": self.converged,
            "reason": self.reason,
            "parameters": {
                name: {"start": float(a), "value": float(b), "error": float(e) if np.isfinite(e) else None}
                for name, a, b, e in zip(self.names, self.start, self.values, self.errors, strict=True)
            },
            "correlations": np.where(np.isfinite(self.correlations), self.correlations, 0.0).tolist(),
            "pixels": self.pixels,
            "spots": len(self.boxes),
            "rejected_pixels": self.rejected,
            "chi2_per_degree_of_freedom": self.chi2,
            "sigma_Z": self.sigma_Z,
            "offset_before_px": before,
            "offset_after_px": after,
            "iterations": [{"stage": stage} | vars(step) for stage, step in self.steps],
            "evaluations": self.evaluations,
            "seconds": self.seconds,
        }


def standard_errors(point: Point, free: Sequence[Free], used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of the parameters in their units, (n,), and correlations, (n, n).

    ``used``: whether each parameter was refined; the others have no error.

    Raises
    ------
    ConfigError
        Some parameters change the image alike.
    """
    n, numbers = len(free), np.flatnonzero(used).tolist()
    errors, correlations = np.full(n, np.inf), np.eye(n)
    if not len(numbers):
        return errors, correlations
    slopes = np.array([free[i].slope(point.x[i]) for i in numbers])
    told = Information(
        tuple(free[i].name for i in numbers),
        point.information[np.ix_(numbers, numbers)] / np.outer(slopes, slopes),
        0.0,
    )
    errors[numbers] = told.errors
    correlations[np.ix_(numbers, numbers)] = told.correlations
    return errors, correlations
