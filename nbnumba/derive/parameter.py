"""What a parameter is: how a value that people name changes the inputs of the kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from nbnumba.derive.chain import chain_of
from nbnumba.derive.setting import Setting
from nbnumba.derive.state import State, slope_of
from nbnumba.errors import ConfigError

#: Parameters that have second derivatives, as messages name them.
SECOND = (
    "misset_x_deg (y, z), cell_a ... cell_gamma, A_matrix, Na, Nb, Nc, N_ab, N_ac, N_bc, fudge, mosaic_spread_deg, "
    "phi_deg, osc_deg, wavelength_stretch, wavelength_shift_A and scale"
)


@dataclass(frozen=True)
class Curvature:
    """How a parameter changes the kernels' inputs to second order, per unit and per unit^2.

    Attributes
    ----------
    once, twice : (1 or M, 3, 3) float64
        First and second derivative of the cell vectors, each times their inverse: of all orientations or of each.
    form_once, form_twice : (6,) float64
        Derivatives of the numbers of a MetricBlock; of a square crystal, the first three of ``form_once`` are those of N.
    peak_once, peak_twice : float
        Derivatives of the squared peak over its value.
    per_wavelength : bool
        Whether ``once`` (``twice``) is still to be divided by the (squared) wavelength in m of each source.
    """

    once: np.ndarray = field(default_factory=lambda: np.zeros((1, 3, 3)))
    twice: np.ndarray = field(default_factory=lambda: np.zeros((1, 3, 3)))
    form_once: np.ndarray = field(default_factory=lambda: np.zeros(6))
    form_twice: np.ndarray = field(default_factory=lambda: np.zeros(6))
    peak_once: float = 0.0
    peak_twice: float = 0.0
    per_wavelength: bool = False


class Parameter(ABC):
    """A number on which the image depends, in the unit in which people write it.

    Attributes
    ----------
    name : str
    place : int
        Which of the kernel's rotations it has, if its :meth:`spins` are not None.
    adds : bool
        Whether its change is added to a number that no other parameter changes or needs.
    smooth : bool
        Whether the image has a derivative with respect to it where spots have edges (tophat): it moves no spot.
    """

    adds = True
    smooth = False
    place = 0

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def applied(self, state: State, change: complex) -> State:
        """The state after a finite change of the parameter, in its unit: analytic in the change, and in the state.

        Two changes one after the other are their sum.
        """

    def is_apart(self, other: Parameter) -> bool:
        """Whether neither of the two needs what the other one changes."""
        return False

    def check(self, at: Setting) -> None:
        """Refuse an experiment without the parameter.

        Raises
        ------
        ConfigError
            The image does not depend on it.
        """
        return

    def tangent(self, at: Setting) -> State:
        """Derivative of the state."""
        return slope_of(lambda change: self.applied(at.state, change))

    def chain(self, at: Setting) -> np.ndarray:
        """Derivative of the image as a sum over the kernel's sums: their factors, (panels, SUMS) float64.

        Raises
        ------
        ConfigError
            The image has no such derivative.
        """
        self.check(at)
        return chain_of(at, self.tangent(at))

    def moved(self, at: Setting, change: float) -> Setting:
        """The setting after a finite change of the parameter, in its unit.

        Raises
        ------
        ConfigError
            The image does not depend on it.
        """
        self.check(at)
        return Setting(at.experiment, at.start, self.applied(at.state, change))

    def spins(self, at: Setting) -> np.ndarray | None:
        """Rotations (rad per unit) of the orientations in the laboratory, (M, 3), if they do not turn alike."""
        return None

    def reach(self, at: Setting) -> float:
        """Largest sensible change, in its unit."""
        return np.inf

    def curvature(self, at: Setting) -> Curvature:
        """What the second derivative of the image needs.

        Raises
        ------
        ConfigError
            It is not computed for this parameter.
        """
        raise ConfigError(f"no second derivative with respect to {self.name}: {SECOND} have one")
