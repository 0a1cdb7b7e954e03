"""Parameters of the crystal: orientation, cell, size, mosaic spread, rotation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np

from nbnumba.derive.parameter import (
    ELEMENTS,
    Curvature,
    Panels,
    Parameter,
    Setting,
    factors,
    reciprocal_metric,
    with_cells,
)
from nbnumba.derive.standard_cell import cell_of, standard_change, standard_vectors
from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.blocks import GAUSS, SQUARE, TOPHAT
from nbnumba.kernels.formulas.lattice import size_matrix, spot_metric
from nbnumba.kernels.formulas.sums import BRAGG, FORM, SPUN, TURNED
from nbnumba.model.vectors import rotate_axis

DEGREE = np.pi / 180


def metric_change(change: np.ndarray) -> np.ndarray:
    """Change of the numbers of a MetricBlock, (6,), by that of the symmetric matrix."""
    return np.array([change[i, j] * (1.0 if i == j else 2.0) for i, j in ELEMENTS])


def has_product_form(at: Setting) -> bool:
    """Whether the size of a spot depends on the cell, as in the reference."""
    crystal = at.first.crystal
    return crystal.shape in (GAUSS, TOPHAT) and not crystal.per_axis


def product_form(at: Setting) -> np.ndarray:
    """The symmetric matrix of the squared radius of a spot where :func:`has_product_form`, (3, 3)."""
    crystal = at.first.crystal
    return (crystal.Na * crystal.Nb * crystal.Nc) ** 2 * crystal.fudge * reciprocal_metric(at)


class Deformation(Parameter):
    """A change of the cell vectors a, b, c (rows, Å) before any phi or mosaic rotation."""

    @abstractmethod
    def slope(self, direct: np.ndarray) -> np.ndarray:
        """Derivative of the cell vectors, (3, 3) per unit."""

    @abstractmethod
    def bend(self, direct: np.ndarray) -> np.ndarray:
        """Second derivative of the cell vectors, (3, 3) per unit^2."""

    @abstractmethod
    def changed(self, direct: np.ndarray, change: float) -> np.ndarray:
        """Cell vectors after a finite change."""

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`: A becomes (1 + D) A in every orientation."""
        direct = at.experiment.crystal.direct
        D = self.slope(direct) @ np.linalg.inv(direct)
        found = factors(at)
        found[:, TURNED : TURNED + 9] = D.ravel()
        if has_product_form(at):
            G = product_form(at)
            found[:, FORM : FORM + 6] = metric_change(-(D.T @ G + G @ D))
        return found

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`: the reciprocal vectors (columns) are multiplied by 1 - D, to second order by 2 D D - E."""
        direct = at.experiment.crystal.direct
        inverse = np.linalg.inv(direct)
        D, E = self.slope(direct) @ inverse, self.bend(direct) @ inverse
        once = twice = np.zeros((3, 3))
        if has_product_form(at):
            G, back = product_form(at), 2 * D @ D - E
            once = -(D.T @ G + G @ D)
            twice = back.T @ G + 2 * D.T @ G @ D + G @ back
        return Curvature(D[None], E[None], metric_change(once), metric_change(twice))

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        direct = at.experiment.crystal.direct
        E = self.changed(direct, change) @ np.linalg.inv(direct)
        cells = E @ at.first.cells.reshape(-1, 3, 3)
        G = np.linalg.inv(E).T @ reciprocal_metric(at) @ np.linalg.inv(E)
        numbers: dict[str, Any] = {f"G{i + 1}{j + 1}": float(G[i, j]) for i, j in ELEMENTS}
        return tuple(replace(x, crystal=x.crystal._replace(**numbers)) for x in with_cells(at, cells))


class Turn(Deformation):
    """``misset_x_deg``, ...: a right-handed rotation about a laboratory axis, after the present orientation."""

    def __init__(self, name: str, axis: int) -> None:
        super().__init__(name)
        self._axis = np.eye(3)[axis]

    def slope(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        return DEGREE * np.cross(self._axis, direct)

    def bend(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        return DEGREE**2 * np.cross(self._axis, np.cross(self._axis, direct))

    def changed(self, direct: np.ndarray, change: float) -> np.ndarray:
        """See :class:`Deformation`."""
        return rotate_axis(direct, self._axis, change * DEGREE)


class CellLength(Deformation):
    """``cell_a``, ... (Å) and ``cell_alpha``, ... (degrees): the orientation, as MOSFLM and the reference define it, is held.

    ``tied``: numbers of the lengths or angles that change together.
    """

    def __init__(self, name: str, tied: tuple[int, ...]) -> None:
        super().__init__(name)
        self._tied = np.isin(np.arange(6), tied) * np.array([1, 1, 1, DEGREE, DEGREE, DEGREE])

    def slope(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        cell = cell_of(direct)
        return standard_change(cell, self._tied) @ np.linalg.inv(standard_vectors(cell)) @ direct

    def bend(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        cell = cell_of(direct)
        change: np.ndarray = standard_change(cell + 1e-20j * self._tied, self._tied).imag / 1e-20
        return change @ np.linalg.inv(standard_vectors(cell)) @ direct

    def changed(self, direct: np.ndarray, change: float) -> np.ndarray:
        """See :class:`Deformation`."""
        cell = cell_of(direct)
        changed: np.ndarray = standard_vectors(cell + change * self._tied)
        return changed @ np.linalg.inv(standard_vectors(cell)) @ direct


class MatrixElement(Deformation):
    """``A_matrix[i]``: an element of ``Crystal.A_matrix``, row by row: a*, b*, c* times the wavelength as columns."""

    def __init__(self, name: str, number: int, wavelength_A: float) -> None:
        super().__init__(name)
        self._change = np.zeros((3, 3))
        self._change.T.flat[number] = 1 / wavelength_A

    def slope(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        return -direct @ self._change.T @ direct

    def bend(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        step = direct @ self._change.T
        return 2 * step @ step @ direct

    def changed(self, direct: np.ndarray, change: float) -> np.ndarray:
        """See :class:`Deformation`."""
        found: np.ndarray = np.linalg.inv(np.linalg.inv(direct).T + change * self._change).T
        return found


class Phi(Deformation):
    """``phi_deg``: the angle about the spindle with which the rotation begins."""

    def __init__(self, name: str, spindle: np.ndarray) -> None:
        super().__init__(name)
        self._spindle = spindle

    def slope(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        return DEGREE * np.cross(self._spindle, direct)

    def bend(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        return DEGREE**2 * np.cross(self._spindle, np.cross(self._spindle, direct))

    def changed(self, direct: np.ndarray, change: float) -> np.ndarray:
        """See :class:`Deformation`."""
        return rotate_axis(direct, self._spindle, change * DEGREE)


class Spin(Parameter):
    """A parameter that turns the orientations by different angles."""

    def __init__(self, name: str, place: int) -> None:
        super().__init__(name)
        self.place = place

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        found = factors(at)
        found[:, SPUN + self.place] = 1.0
        return found

    @abstractmethod
    def spins(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`."""
        rows = at.first.cells.reshape(-1, 3, 3)
        spins, inverse = self.spins(at)[:, None], np.linalg.inv(rows)
        once = np.cross(spins, rows)
        return Curvature(once @ inverse, np.cross(spins, once) @ inverse)


class MosaicSpread(Spin):
    """``mosaic_spread_deg``: the domains are held, and their angles are proportional to the spread."""

    def _domains(self, at: Setting) -> tuple[np.ndarray, np.ndarray]:
        """Axes times angles (rad), and rotations, of all orientations."""
        crystal = at.experiment.crystal
        if crystal.mosaic_spread_deg <= 0 or len(crystal.umats) < 2:
            raise ConfigError(f"{self.name} needs a mosaic spread > 0 and two domains or more: give -mosaic DEG")
        steps = len(at.first.cells) // len(crystal.umats)
        vectors = np.array([rotation_vector(U) for U in crystal.umats])
        return np.tile(vectors, (steps, 1)), np.tile(crystal.umats, (steps, 1, 1))

    def spins(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        return self._domains(at)[0] / at.experiment.crystal.mosaic_spread_deg

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        vectors, _ = self._domains(at)
        cells = at.first.cells.reshape(-1, 3, 3).copy()
        for m, vector in enumerate(vectors * (change / at.experiment.crystal.mosaic_spread_deg)):
            angle = float(np.linalg.norm(vector))
            if angle:
                cells[m] = rotate_axis(cells[m], vector / angle, angle)
        return with_cells(at, cells)


def rotation_vector(U: np.ndarray) -> np.ndarray:
    """Axis times angle (rad) of a rotation matrix, accurate for small angles."""
    twice = np.array([U[2, 1] - U[1, 2], U[0, 2] - U[2, 0], U[1, 0] - U[0, 1]])
    sine = float(np.linalg.norm(twice)) / 2
    if sine == 0.0:
        return np.zeros(3)
    return twice / (2 * sine) * np.arctan2(sine, (np.trace(U) - 1) / 2)


class Oscillation(Spin):
    """``osc_deg``: the range of phi, in the same number of steps."""

    def _shares(self, at: Setting) -> np.ndarray:
        scan = at.experiment.scan
        if scan.osc == 0.0 or scan.phisteps < 2:
            raise ConfigError(f"{self.name} needs a range of phi in two steps or more: give -osc DEG and -phisteps N")
        return np.repeat((scan.cell_phi - scan.start) / scan.osc, len(at.experiment.crystal.umats))

    def _axes(self, at: Setting) -> np.ndarray:
        """The spindle as each domain has it: mosaic rotations come last."""
        turned = at.experiment.crystal.umats @ at.experiment.detector.frame.spindle
        return np.tile(turned, (at.experiment.scan.phisteps, 1))

    def spins(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        return DEGREE * self._shares(at)[:, None] * self._axes(at)

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        cells = at.first.cells.reshape(-1, 3, 3)
        angles = change * DEGREE * self._shares(at)
        turned = [rotate_axis(c, axis, angle) for c, axis, angle in zip(cells, self._axes(at), angles, strict=True)]
        return with_cells(at, np.array(turned))


class Size(Parameter):
    """``Na``, ..., ``N_ab``, ...: an element of the symmetric matrix N, whose squared product with an offset ends a spot.

    For square crystals N is continued as a real number period by period, from the lattice point that is nearest.
    """

    def __init__(self, name: str, row: int, column: int) -> None:
        super().__init__(name)
        self._change = np.zeros((3, 3))
        self._change[row, column] = self._change[column, row] = 1.0
        self._diagonal = row if row == column else None

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        crystal, found = at.first.crystal, factors(at)
        N = size_matrix(crystal)
        if self._diagonal is None and (crystal.shape == SQUARE or has_product_form(at)):
            raise ConfigError(
                f"{self.name}: only round crystals, and others with a width of spots for each axis, have it: "
                "take Na, Nb and Nc, or correct physics"
            )
        if crystal.shape == SQUARE:
            found[:, FORM + (self._diagonal or 0)] = 1.0
            return found
        found[:, BRAGG] = 2 * np.trace(np.linalg.solve(N, self._change))
        if has_product_form(at):
            metric = np.array(spot_metric(crystal)[:6])
            found[:, FORM : FORM + 6] = metric * found[0, BRAGG]
        else:
            found[:, FORM : FORM + 6] = metric_change(crystal.fudge * (self._change @ N + N @ self._change))
        return found

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`."""
        crystal = at.first.crystal
        first, N = self.chain(at)[0, FORM : FORM + 6], size_matrix(crystal)
        if crystal.shape == SQUARE:
            return Curvature(form_once=first)
        step = np.linalg.solve(N, self._change)
        trace, square = float(np.trace(step)), float(np.trace(step @ step))
        if has_product_form(at):
            second = 2 * trace**2 * np.array(spot_metric(crystal)[:6])
        else:
            second = metric_change(2 * crystal.fudge * self._change @ self._change)
        peak = 4 * trace**2 - 2 * square  # of det(N)^2
        return Curvature(form_once=first, form_twice=second, peak_once=2 * trace, peak_twice=peak)

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        N = size_matrix(at.first.crystal) + change * self._change
        numbers: dict[str, Any] = {name: float(N[i, j]) for name, (i, j) in zip(SIZES, ELEMENTS, strict=True)}
        return tuple(replace(x, crystal=x.crystal._replace(**numbers)) for x in at.panels)


#: Fields of a CrystalBlock with the elements of N.
SIZES = ("Na", "Nb", "Nc", "Nab", "Nac", "Nbc")


class Fudge(Parameter):
    """``fudge``: the factor of the squared radius of spots that are not square."""

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        crystal, found = at.first.crystal, factors(at)
        if crystal.shape == SQUARE:
            raise ConfigError(
                "fudge does not change spots of square crystals: give -round_xtal, -gauss_xtal or -tophat_spots"
            )
        found[:, FORM : FORM + 6] = np.array(spot_metric(crystal)[:6]) / crystal.fudge
        return found

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`: the squared radius is proportional to it."""
        return Curvature(form_once=self.chain(at)[0, FORM : FORM + 6])

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        return tuple(replace(x, crystal=x.crystal._replace(fudge=x.crystal.fudge + change)) for x in at.panels)
