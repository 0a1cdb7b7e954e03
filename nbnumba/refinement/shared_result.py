"""Result of the joint refinement of many shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbnumba.model.config import Simulation
from nbnumba.refinement.free import Free
from nbnumba.refinement.minimizer import Step


@dataclass(frozen=True, eq=False, kw_only=True)
class SharedRefined:
    """Parameters that many shots have in common, and the shots.

    Attributes
    ----------
    names : tuple of str
        Shared parameters.
    start, values, errors : (n,) float64
        As of :class:`nbnumba.refinement.refined.Refined`; errors are those with all parameters of all shots unknown.
    covariance : (n, n) float64
    panels : structured array
        Motions of every panel from the start, with standard errors, and the same beside the common motion of all panels
        (:data:`nbnumba.refinement.panel_motions.PANEL`); empty if none is refined.
    reason : str
        Why the refinement is not to be trusted; empty where it has converged.
    steps : tuple of (str, Step)
        Stage and figures of every iteration of all shots together.
    rows : tuple of dict
        One for each shot, in their order, as of :class:`nbnumba.series.refine_shots.ShotsReport`.
    simulations : tuple of tuple of Simulation
        The refined model of each shot, lattice by lattice; empty for those that failed.
    seconds : float
    """

    names: tuple[str, ...]
    start: np.ndarray
    values: np.ndarray
    covariance: np.ndarray
    panels: np.ndarray
    reason: str
    steps: tuple[tuple[str, Step], ...]
    rows: tuple[dict[str, Any], ...]
    simulations: tuple[tuple[Simulation, ...], ...]
    seconds: float

    def __repr__(self) -> str:
        """One line, for notebooks."""
        state = "converged" if self.converged else self.reason
        done = sum(1 for one in self.simulations if one)
        return f"<SharedRefined: {len(self.names)} parameters that {done} shots share, {state}>"

    @property
    def errors(self) -> np.ndarray:
        """Standard errors, (n,)."""
        found: np.ndarray = np.sqrt(np.diag(self.covariance))
        return found

    @property
    def correlations(self) -> np.ndarray:
        """Correlations of the shared parameters, (n, n)."""
        found: np.ndarray = self.covariance / np.outer(self.errors, self.errors)
        return found

    @property
    def converged(self) -> bool:
        """Whether all shots together converged, and no shared parameter ended at a bound."""
        return not self.reason

    def __getitem__(self, name: str) -> float:
        """Value of a shared parameter."""
        return float(self.values[self.names.index(name)])

    def error(self, name: str) -> float:
        """Standard error of a shared parameter."""
        return float(self.errors[self.names.index(name)])

    def _detector(self) -> list[dict[str, Any]]:
        """Corner (mm) and axes of every panel, where they are refined."""
        known = next((one[0] for one in self.simulations if one), None)
        panels = () if known is None else known.detector.panels
        keys = ("name", "pix0_mm", "fast_axis", "slow_axis")
        return [{key: getattr(panel, key) for key in keys} for panel in panels]

    def data(self) -> dict[str, Any]:
        """All figures but those of the shots, for JSON."""
        names = self.panels.dtype.names or ()
        return {
            "converged": self.converged,
            "reason": self.reason,
            "parameters": {
                name: {"start": float(a), "value": float(b), "error": float(e)}
                for name, a, b, e in zip(self.names, self.start, self.values, self.errors, strict=True)
            },
            "correlations": self.correlations.tolist(),
            "detector": self._detector(),
            "panels": [dict(zip(names, row, strict=True)) for row in self.panels.tolist()],
            "shots": sum(1 for one in self.simulations if one),
            "iterations": [{"stage": stage} | vars(step) for stage, step in self.steps],
            "seconds": self.seconds,
        }


def shared_covariance(matrix: np.ndarray, free: Sequence[Free], x: np.ndarray) -> np.ndarray:
    """Covariance of shared parameters, in their units, from the information of all shots and restraints.

    Combinations of which that is too little to be told from rounding get errors that say so: large ones.
    """
    sizes = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    values, vectors = np.linalg.eigh(matrix / np.outer(sizes, sizes))
    least = len(matrix) * np.finfo(float).eps * max(values.max(initial=0.0), 1e-300)
    slopes = np.array([one.slope(v) for one, v in zip(free, x, strict=True)]) / sizes
    found: np.ndarray = (vectors / np.maximum(values, least)) @ vectors.T * np.outer(slopes, slopes)
    return found
