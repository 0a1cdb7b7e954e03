"""Parameters of beam and detector, of the scale and of structure factors."""

from __future__ import annotations

import numpy as np

from nbnumba.derive.parameter import Curvature, Parameter
from nbnumba.derive.setting import Setting
from nbnumba.derive.state import State, rotations
from nbnumba.errors import ConfigError


class Motion(Parameter):
    """A rigid motion of some panels: a shift ``t`` (m), and a rotation ``w`` (rad) about a point, per unit.

    Parameters
    ----------
    name : str
    shift, turn, pivot : (3,) float64
        ``shift`` is along ``turn``, or one of them is 0.
    members : sequence of int
        Numbers of the panels.
    """

    adds = False

    def __init__(
        self, name: str, shift: np.ndarray, turn: np.ndarray, pivot: np.ndarray, members: tuple[int, ...]
    ) -> None:
        super().__init__(name)
        self._shift, self._turn, self._pivot, self._members = shift, turn, pivot, list(members)

    def check(self, at: Setting) -> None:
        """See :class:`Parameter`."""
        if at.start[0].panel.curved:
            raise ConfigError(f"{self.name}: a curved detector is bent about the crystal, and has no panel to move")

    def is_apart(self, other: Parameter) -> bool:
        """See :class:`Parameter`: motions of other panels are."""
        return isinstance(other, Motion) and not set(self._members) & set(other._members)

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        turn, kind = rotations(change * self._turn), np.result_type(state.turns, state.shifts, change)
        turns, shifts = state.turns.astype(kind), state.shifts.astype(kind)
        turns[self._members] = turn @ turns[self._members]
        moved = (shifts[self._members] - self._pivot) @ turn.T + self._pivot + change * self._shift
        shifts[self._members] = moved
        return state._replace(turns=turns, shifts=shifts)


class Scale(Parameter):
    """``scale``: a factor of the whole image, 1 at present."""

    smooth = True

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        return state._replace(scale=state.scale + change)

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`: the image is proportional to it."""
        return Curvature()


class Kahn(Parameter):
    """``kahn_factor``: the degree of polarization."""

    smooth = True

    def check(self, at: Setting) -> None:
        """See :class:`Parameter`."""
        if at.start[0].beam.nopolar:
            raise ConfigError("kahn_factor does not change an image without polarization: leave out -nopolar")

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        return state._replace(kahn_factor=state.kahn_factor + change)


class Water(Parameter):
    """``water_um``: edge of the cube of water, to whose volume its scattering is proportional."""

    smooth = True

    def reach(self, at: Setting) -> float:
        """See :class:`Parameter`."""
        return float(at.state.water_um) / 10

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        return state._replace(water_um=state.water_um + change)


class Wavelength(Parameter):
    """``wavelength_stretch``: relative change of all wavelengths; ``wavelength_shift_A``: the same change of all (Å).

    Both together: the shift comes after the stretch.
    """

    def __init__(self, name: str, stretches: bool) -> None:
        super().__init__(name)
        self._stretches = stretches

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        if self._stretches:
            return state._replace(stretch=state.stretch + change)
        return state._replace(shift=state.shift + 1e-10 * change)

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`."""
        if self._stretches and at.state.shift:
            raise ConfigError(f"no second derivative with respect to {self.name} where wavelengths have been shifted")
        unit = 1.0 / at.state.stretch if self._stretches else 1e-10
        every = np.eye(3)[None]
        return Curvature(-unit * every, 2 * unit**2 * every, per_wavelength=not self._stretches)


class Tilt(Parameter):
    """``beam_tilt_x_mrad``, ``_y_``: a rotation of all beams, with their polarization, about the crystal.

    The beam goes towards x, the direction of ``polar_vector``, or towards y, beam cross x.
    """

    adds = False

    def __init__(self, name: str, turn: np.ndarray) -> None:
        super().__init__(name)
        self._turn = turn * 1e-3

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        return state._replace(tilt=rotations(change * self._turn) @ state.tilt)


class BFactor(Parameter):
    """``B_factor`` (Å^2): F times exp(-B |h|^2 / 4), |h| being the length of the reflection's reciprocal vector; 0 at present.

    Of the cell at the start, which no derivative with respect to the cell then need to know.
    """

    smooth = True

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        return state._replace(B_factor=state.B_factor + change)
