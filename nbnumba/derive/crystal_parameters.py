"""Parameters of the crystal: orientation, cell, size, mosaic spread, rotation."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from nbnumba.derive.chain import metric_change, size_slope
from nbnumba.derive.parameter import Curvature, Parameter
from nbnumba.derive.setting import DEGREE, Setting
from nbnumba.derive.standard_cell import cell_of, standard_change, standard_vectors
from nbnumba.derive.state import State, inverse, rotations
from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.blocks import SQUARE
from nbnumba.kernels.formulas.lattice import size_matrix, spot_metric


class Deformation(Parameter):
    """A change of the cell vectors a, b, c (rows, Å) before any phi or mosaic rotation."""

    adds = False

    @abstractmethod
    def changed(self, direct: np.ndarray, change: complex) -> np.ndarray:
        """Cell vectors after a finite change, also complex."""

    @abstractmethod
    def bend(self, direct: np.ndarray) -> np.ndarray:
        """Second derivative of the cell vectors, (3, 3) per unit^2."""

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        return state._replace(direct=self.changed(state.direct, change))

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`: the reciprocal vectors (columns) are multiplied by 1 - D, to second order by 2 D D - E."""
        back = inverse(at.state.direct)
        D, E = self.tangent(at).direct @ back, self.bend(at.state.direct) @ back
        once = twice = np.zeros((3, 3))
        if at.has_product_form:
            G, second = at.product_form, 2 * D @ D - E
            once = -(D.T @ G + G @ D)
            twice = second.T @ G + 2 * D.T @ G @ D + G @ second
        return Curvature(D[None], E[None], metric_change(once), metric_change(twice))


class Turn(Deformation):
    """A right-handed rotation about a fixed axis (unit vector), in degrees, after the present orientation.

    ``misset_x_deg``, ...: about an axis of the laboratory. ``phi_deg``, the angle with which the rotation begins: about the
    spindle.
    """

    def __init__(self, name: str, axis: np.ndarray) -> None:
        super().__init__(name)
        self._axis = axis

    def changed(self, direct: np.ndarray, change: complex) -> np.ndarray:
        """See :class:`Deformation`."""
        return direct @ rotations(change * DEGREE * self._axis).T

    def bend(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        return DEGREE**2 * np.cross(self._axis, np.cross(self._axis, direct))


class CellLength(Deformation):
    """``cell_a``, ... (Å) and ``cell_alpha``, ... (degrees): the orientation, as MOSFLM and the reference define it, is held.

    ``tied``: numbers of the lengths or angles that change together.
    """

    def __init__(self, name: str, tied: tuple[int, ...]) -> None:
        super().__init__(name)
        self._tied = np.isin(np.arange(6), tied) * np.array([1, 1, 1, DEGREE, DEGREE, DEGREE])

    def changed(self, direct: np.ndarray, change: complex) -> np.ndarray:
        """See :class:`Deformation`."""
        cell = cell_of(direct)
        changed: np.ndarray = standard_vectors(cell + change * self._tied)
        return changed @ inverse(standard_vectors(cell)) @ direct

    def bend(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        cell = cell_of(direct)
        change: np.ndarray = standard_change(cell + 1e-20j * self._tied, self._tied).imag / 1e-20
        return change @ inverse(standard_vectors(cell)) @ direct


class MatrixElement(Deformation):
    """``A_matrix[i]``: an element of ``Crystal.A_matrix``, row by row: a*, b*, c* times the wavelength as columns."""

    def __init__(self, name: str, number: int, wavelength_A: float) -> None:
        super().__init__(name)
        self._change = np.zeros((3, 3))
        self._change.T.flat[number] = 1 / wavelength_A

    def changed(self, direct: np.ndarray, change: complex) -> np.ndarray:
        """See :class:`Deformation`."""
        return inverse(inverse(direct).T + change * self._change).T

    def bend(self, direct: np.ndarray) -> np.ndarray:
        """See :class:`Deformation`."""
        step = direct @ self._change.T
        return 2 * step @ step @ direct


class Spin(Parameter):
    """A parameter that turns the orientations by different angles."""

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        return state._replace(spins=state.spins + change * np.eye(len(state.spins))[self.place])

    @abstractmethod
    def spins(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`."""
        rows = at.first.cells.reshape(-1, 3, 3)
        spins, back = self.spins(at)[:, None], np.linalg.inv(rows)
        once = np.cross(spins, rows)
        return Curvature(once @ back, np.cross(spins, once) @ back)


class MosaicSpread(Spin):
    """``mosaic_spread_deg``: the domains are held, and their angles are proportional to the spread."""

    place = 0

    def check(self, at: Setting) -> None:
        """See :class:`Parameter`."""
        crystal = at.experiment.crystal
        if crystal.mosaic_spread_deg <= 0 or len(crystal.umats) < 2:
            raise ConfigError(f"{self.name} needs a mosaic spread > 0 and two domains or more: give -mosaic DEG")

    def spins(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        self.check(at)
        return at.spread()


class Oscillation(Spin):
    """``osc_deg``: the range of phi, in the same number of steps."""

    place = 1

    def check(self, at: Setting) -> None:
        """See :class:`Parameter`."""
        scan = at.experiment.scan
        if scan.osc == 0.0 or scan.phisteps < 2:
            raise ConfigError(f"{self.name} needs a range of phi in two steps or more: give -osc DEG and -phisteps N")

    def spins(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        self.check(at)
        return at.swing()


class Size(Parameter):
    """``Na``, ..., ``N_ab``, ...: an element of the symmetric matrix N, whose squared product with an offset ends a spot.

    For square crystals N is continued as a real number period by period, from the lattice point that is nearest.
    """

    def __init__(self, name: str, row: int, column: int) -> None:
        super().__init__(name)
        self._change = np.zeros((3, 3))
        self._change[row, column] = self._change[column, row] = 1.0

    def check(self, at: Setting) -> None:
        """See :class:`Parameter`."""
        is_diagonal = self._change.trace() != 0.0
        if not is_diagonal and (at.start[0].crystal.shape == SQUARE or at.has_product_form):
            raise ConfigError(
                f"{self.name}: only round crystals, and others with a width of spots for each axis, have it: "
                "take Na, Nb and Nc, or correct physics"
            )

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        return state._replace(size=state.size + change * self._change)

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`."""
        self.check(at)
        crystal = at.first.crystal
        larger, first = size_slope(at, self._change)
        if crystal.shape == SQUARE:
            return Curvature(form_once=first)
        step = np.linalg.solve(size_matrix(crystal, at.first.coupling), self._change)
        if at.has_product_form:
            second = larger**2 / 2 * np.array(spot_metric(crystal)[:6])
        else:
            second = metric_change(2 * crystal.fudge * self._change @ self._change)
        peak = larger**2 - 2 * float(np.trace(step @ step))  # of det(N)^2
        return Curvature(form_once=first, form_twice=second, peak_once=larger, peak_twice=peak)


class Fudge(Parameter):
    """``fudge``: the factor of the squared radius of spots that are not square."""

    def check(self, at: Setting) -> None:
        """See :class:`Parameter`."""
        if at.start[0].crystal.shape == SQUARE:
            raise ConfigError(
                "fudge does not change spots of square crystals: give -round_xtal, -gauss_xtal or -tophat_spots"
            )

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        return state._replace(fudge=state.fudge + change)

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`: the squared radius is proportional to it."""
        self.check(at)
        return Curvature(form_once=np.array(spot_metric(at.first.crystal, at.first.coupling)[:6]) / at.state.fudge)
