"""The function that a refinement minimizes: minus the log likelihood of the pixels, of the parameters that are free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbnumba.derive.derivatives import Derivatives
from nbnumba.derive.model import ParameterModel
from nbnumba.kernels.formulas.likelihood import GAUSSIAN, LEAST, POISSON
from nbnumba.model.experiment import Experiment
from nbnumba.refinement.boxes import Boxes
from nbnumba.refinement.free import Free, cell_system_of, prior
from nbnumba.refinement.options import RefineOptions
from nbnumba.refinement.planes import first_planes


@dataclass(frozen=True, eq=False)
class Point:
    """The target at a point.

    Attributes
    ----------
    x : (n,) float64
        What is refined (:class:`nbnumba.refinement.free.Free`).
    value : float
        Minus log likelihood, without constants that depend on the data alone, and the restraints.
    gradient : (n,) float64
    information : (n, n) float64
        Expected second derivatives; planes of background, which are the best ones for this point, are eliminated.
    light : (pixels,) float64
        Photons expected in spots, in the order of the boxes.
    planes : (boxes, 3) float64
    """

    x: np.ndarray
    value: float
    gradient: np.ndarray
    information: np.ndarray
    light: np.ndarray
    planes: np.ndarray


class Target:
    """Minus the log likelihood of the pixels of shoeboxes.

    Parameters
    ----------
    experiments : sequence of Experiment
        Lattices of the image.
    free : sequence of Free
    boxes : Boxes
    noise : float
        Squared readout noise, photons^2.

    Attributes
    ----------
    evaluations : int
        Number of points so far.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        free: Sequence[Free],
        boxes: Boxes,
        noise: float,
        options: RefineOptions,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.free, self.boxes, self.options, self.evaluations = tuple(free), boxes, options, 0
        self.noise = np.full(len(boxes.photons), noise)
        self.kind = POISSON if options.counts_photons else GAUSSIAN
        self._columns = [
            [i for i, one in enumerate(free) if lattice in one.lattices] for lattice in range(len(experiments))
        ]
        self.models = [
            ParameterModel(
                experiment,
                [free[i].parameter for i in columns],
                pixels=list(boxes.masks),
                device=device,
                threads=threads,
                cell_system=options.cell_system or cell_system_of(experiment.crystal.unit_cell),
            )
            for experiment, columns in zip(experiments, self._columns, strict=True)
        ]
        self.planes = np.zeros((len(boxes), 3)) if options.background == "none" else first_planes(boxes, noise)
        self._latest = self.planes

    def derivatives(self, x: np.ndarray) -> list[Derivatives]:
        """Derivatives of every lattice at a point."""
        return [
            model.at([self.free[i].change(x[i]) for i in columns])
            for model, columns in zip(self.models, self._columns, strict=True)
        ]

    def forget(self) -> None:
        """Free the memory of the last point's derivatives; what follows is computed again."""
        for model in self.models:
            model.forget()

    def at(self, x: np.ndarray) -> Point:
        """The target at a point."""
        return self._point(x, self.table(x))

    def rescaled(self, point: Point, x: np.ndarray) -> Point:
        """The target at a point that differs from another one, the last one, in the scales alone: nothing is rendered."""
        table = self.table(point.x).copy()
        for i, one in enumerate(self.free):
            if one.parameter == "scale":
                factor = np.exp(x[i] - point.x[i])
                own = [1 + j for j, other in enumerate(self.free) if other.lattices == one.lattices and j != i]
                table[:, own] *= factor
                table[:, 0] += (factor - 1) * one.slope(point.x[i]) * table[:, 1 + i]
        return self._point(x, table)

    def table(self, x: np.ndarray) -> np.ndarray:
        """Photons of spots and their derivatives by the parameters, (pixels, 1 + n), in the order of panels, rows, columns."""
        found = [one.table() for one in self.derivatives(x)]
        if len(found) == 1:
            return found[0]
        table = np.zeros((len(found[0]), 1 + len(self.free)))
        for part, columns in zip(found, self._columns, strict=True):
            table[:, 0] += part[:, 0]
            for at, i in enumerate(columns, 1):
                table[:, 1 + i] += part[:, at]
        return table

    def _point(self, x: np.ndarray, table: np.ndarray) -> Point:
        from nbnumba.kernels.cpu.shoeboxes import GROUP, sum_boxes

        self.evaluations += 1
        # planes of the last point are near those of this one; fits go on until nothing is gained, wherever they begin
        boxes, n, planes = self.boxes, len(self.free), self._latest.copy()
        totals = np.zeros((-(-len(boxes) // GROUP), 1 + n + n * (n + 1) // 2))
        pixels = (boxes.photons, table, boxes.order, boxes.places, self.noise)
        sum_boxes(totals, planes, boxes.starts, pixels, self.kind, int(self.options.background == "refined"))
        self._latest, total = planes, totals.sum(axis=0)
        held = prior(self.free, x)
        information = np.zeros((n, n))
        information[np.tril_indices(n)] = total[1 + n :]
        information += np.tril(information, -1).T
        information *= np.outer(held.slopes, held.slopes)
        information[np.diag_indices(n)] += held.information
        gradient = held.gradient - total[1 : 1 + n] * held.slopes
        return Point(x, float(total[0]) + held.value, gradient, information, table[boxes.order, 0], planes)

    def background(self, planes: np.ndarray) -> np.ndarray:
        """Photons of background of planes (boxes, 3), (pixels,), in the order of the boxes."""
        own = planes[self.boxes.owner]
        found: np.ndarray = own[:, 0] + (own[:, 1:] * self.boxes.places).sum(axis=1)
        return found

    def residuals(self, point: Point, least: float = LEAST) -> np.ndarray:
        """Photons measured less expected over the standard deviation, (pixels,).

        ``least``: smallest variance of the photons of a pixel; where fewer than one is expected, one is no surprise.
        """
        model = np.maximum(point.light + self.background(point.planes), LEAST)
        found: np.ndarray = (self.boxes.photons - model) / np.sqrt(np.maximum(model, least) + self.noise)
        return found
