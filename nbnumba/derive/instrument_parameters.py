"""Parameters of beam and detector, of the scale and of structure factors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nbnumba.derive.parameter import Curvature, Panels, Parameter, Setting, factors, reciprocal_metric
from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.blocks import BeamBlock, PanelBlock
from nbnumba.kernels.formulas.sums import BRAGG, DEBYE, GROUND, KAHN, MOVED, SHIFTED, SWUNG, TILTED, TURNED
from nbnumba.model.vectors import rotate_axis

AXES = ("fdet", "sdet", "odet")


def axis_of(panel: PanelBlock | BeamBlock, name: str) -> np.ndarray:
    """A vector of a parameter block, (3,)."""
    return np.array([getattr(panel, f"{name}_{x}") for x in "xyz"])


def with_axes(block: PanelBlock, **vectors: np.ndarray) -> PanelBlock:
    """A panel with other vectors; ``close_distance`` follows."""
    numbers: dict[str, Any] = {
        f"{name}_{x}": float(v) for name, vector in vectors.items() for x, v in zip("xyz", vector, strict=True)
    }
    block = block._replace(**numbers)
    close = block.close_distance + float(axis_of(block, "pix0") @ axis_of(block, "odet"))
    return block._replace(close_distance=close)


class Motion(Parameter):
    """A rigid motion of some panels: a shift ``t`` (m), and a rotation ``w`` (rad) about a point, per unit.

    Parameters
    ----------
    name : str
    shift, turn, pivot : (3,) float64
    members : sequence of int
        Numbers of the panels.
    """

    def __init__(
        self, name: str, shift: np.ndarray, turn: np.ndarray, pivot: np.ndarray, members: tuple[int, ...]
    ) -> None:
        super().__init__(name)
        self._shift, self._turn, self._pivot, self._members = shift, turn, pivot, members

    def _check(self, at: Setting) -> None:
        if at.first.panel.curved:
            raise ConfigError(f"{self.name}: a curved detector is bent about the crystal, and has no panel to move")

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`; the solid angle is proportional to the distance of the panel's plane."""
        self._check(at)
        found = factors(at)
        for member in self._members:
            panel = at.panels[member].panel
            away = self._shift - np.cross(self._turn, self._pivot)
            found[member, MOVED : MOVED + 3] = away
            found[member, SWUNG : SWUNG + 3] = self._turn
            if not panel.point_pixel:
                found[member, [BRAGG, GROUND]] = (away @ axis_of(panel, "odet")) / panel.close_distance
        return found

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        self._check(at)
        angle = float(np.linalg.norm(self._turn))
        axis = self._turn / angle if angle else np.array([1.0, 0, 0])
        panels = list(at.panels)
        for member in self._members:
            block = panels[member].panel
            before = {name: axis_of(block, name) for name in AXES}
            turned = {name: rotate_axis(vector, axis, change * angle) for name, vector in before.items()}
            corner = axis_of(block, "pix0")
            turned["pix0"] = (
                rotate_axis(corner - self._pivot, axis, change * angle) + self._pivot + change * self._shift
            )
            away = block._replace(close_distance=block.close_distance - float(corner @ before["odet"]))
            panels[member] = replace(panels[member], panel=with_axes(away, **turned))
        return tuple(panels)


class Scale(Parameter):
    """``scale``: a factor of the whole image, 1 at present."""

    smooth = True

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        found = factors(at)
        found[:, [BRAGG, GROUND]] = 1.0
        return found

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        return with_beam(at, scale=at.first.beam.scale * (1 + change))

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`: the image is proportional to it."""
        return Curvature()


def with_beam(at: Setting, **numbers: Any) -> Panels:
    """The arguments with another beam."""
    return tuple(replace(x, beam=x.beam._replace(**numbers)) for x in at.panels)


class Kahn(Parameter):
    """``kahn_factor``: the degree of polarization."""

    smooth = True

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        if at.first.beam.nopolar:
            raise ConfigError("kahn_factor does not change an image without polarization: leave out -nopolar")
        found = factors(at)
        found[:, KAHN] = 1.0
        return found

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        return with_beam(at, kahn_factor=at.first.beam.kahn_factor + change)


class Water(Parameter):
    """``water_um``: edge of the cube of water, to whose volume its scattering is proportional."""

    smooth = True

    def reach(self, at: Setting) -> float:
        """See :class:`Parameter`."""
        return self._edge(at) / 10

    def _edge(self, at: Setting) -> float:
        return at.experiment.simulation.background.water_um

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        found = factors(at)
        if self._edge(at) > 0:
            found[:, GROUND] = 3 / self._edge(at)
        return found

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        edge = self._edge(at)
        if edge <= 0:
            raise ConfigError("the derivative with respect to water_um is 0 without water: give -water UM")
        return with_beam(at, I_bg=at.first.beam.I_bg * ((edge + change) / edge) ** 3)


class Wavelength(Parameter):
    """``wavelength_stretch``: relative change of all wavelengths; ``wavelength_shift_A``: the same change of all (Å)."""

    def __init__(self, name: str, stretches: bool) -> None:
        super().__init__(name)
        self._stretches = stretches

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`: h is proportional to 1 / wavelength."""
        found = factors(at)
        if self._stretches:
            found[:, TURNED : TURNED + 9 : 4] = -1.0
        else:
            found[:, SHIFTED] = 1e-10
        return found

    def curvature(self, at: Setting) -> Curvature:
        """See :class:`Parameter`."""
        unit = 1.0 if self._stretches else 1e-10
        every = np.eye(3)[None]
        return Curvature(-unit * every, 2 * unit**2 * every, per_wavelength=not self._stretches)

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        sources = at.first.sources.copy()
        sources[:, 3] = sources[:, 3] * (1 + change) if self._stretches else sources[:, 3] + change * 1e-10
        return tuple(replace(x, sources=sources) for x in at.panels)


class Tilt(Parameter):
    """``beam_tilt_x_mrad``, ``_y_``: a rotation of all beams, with their polarization, about the crystal.

    The beam goes towards x, the direction of ``polar_vector``, or towards y, beam cross x.
    """

    def __init__(self, name: str, turn: np.ndarray) -> None:
        super().__init__(name)
        self._turn = turn * 1e-3

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        found = factors(at)
        found[:, TILTED : TILTED + 3] = self._turn
        return found

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`."""
        angle = float(np.linalg.norm(self._turn))
        sources, polar = at.first.sources.copy(), axis_of(at.first.beam, "polar")
        sources[:, :3] = rotate_axis(sources[:, :3], self._turn / angle, change * angle)
        x, y, z = map(float, rotate_axis(polar, self._turn / angle, change * angle))
        return tuple(
            replace(p, sources=sources, beam=p.beam._replace(polar_x=x, polar_y=y, polar_z=z)) for p in at.panels
        )


class BFactor(Parameter):
    """``B_factor`` (Å^2): F times exp(-B |h|^2 / 4), |h| being the length of the reflection's reciprocal vector; 0 at present."""

    smooth = True

    def chain(self, at: Setting) -> np.ndarray:
        """See :class:`Parameter`."""
        found = factors(at)
        found[:, DEBYE] = -0.5
        return found

    def moved(self, at: Setting, change: float) -> Panels:
        """See :class:`Parameter`; F outside the box is left as it is."""
        cell = at.first.cell
        if not cell.has_hkl:
            raise ConfigError("B_factor cannot be checked where all reflections have the same F: give -hkl FILE")
        indices = np.indices(at.first.Fhkl.shape).reshape(3, -1).T + np.array([cell.h_min, cell.k_min, cell.l_min])
        squared = np.einsum("ni,ij,nj->n", indices, reciprocal_metric(at), indices).reshape(at.first.Fhkl.shape)
        table = at.first.Fhkl * np.exp(-change / 4 * squared)
        return tuple(replace(x, Fhkl=table) for x in at.panels)
