"""Where derivatives are taken: an experiment, what parameters have changed since, and the kernels' arguments."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from nbnumba.derive.state import State, first_state, inverse, rotations
from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.blocks import GAUSS, TOPHAT, BeamBlock, CellBlock, CrystalBlock, PanelBlock
from nbnumba.model.experiment import Experiment
from nbnumba.render.inputs import KernelInputs, build_all_inputs

DEGREE = np.pi / 180
#: Kernel arguments of all panels.
Panels = tuple[KernelInputs, ...]
#: Elements of a symmetric matrix in the order of a MetricBlock; fields of a CrystalBlock with the diagonal of N, and the metric.
ELEMENTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
SIZES = ("Na", "Nb", "Nc")
METRIC = tuple(f"G{i + 1}{j + 1}" for i, j in ELEMENTS)
AXES = ("fdet", "sdet", "odet")


class Setting:
    """An experiment after changes of its parameters, with the kernels' arguments for its panels.

    Parameters
    ----------
    experiment : Experiment
    start : sequence of KernelInputs
        Arguments of the experiment as it is.
    state : State, optional
        By default that of the experiment as it is.
    """

    def __init__(self, experiment: Experiment, start: Panels, state: State | None = None) -> None:
        self.experiment, self.start, self._state = experiment, start, state

    @cached_property
    def _first_state(self) -> State:
        return first_state(self.experiment, self.start[0])

    @property
    def state(self) -> State:
        """What parameters have changed."""
        return self._first_state if self._state is None else self._state

    @cached_property
    def back(self) -> np.ndarray:
        """Inverse of the cell vectors, (3, 3)."""
        return inverse(self.state.direct)

    @property
    def first(self) -> KernelInputs:
        """Arguments of the first panel: crystal, beam and tables are those of all."""
        return self.panels[0]

    @property
    def rendered(self) -> list[np.ndarray]:
        """Pixels that are rendered of every panel, (spixels, fpixels) bool."""
        found = []
        for resolved, inputs in zip(self.experiment.detector.panels, self.start, strict=True):
            panel, mask = inputs.panel, np.zeros(resolved.shape, bool)
            mask[panel.s0 : panel.s1, panel.f0 : panel.f1] = True
            found.append(mask & (inputs.mask != 0) if inputs.mask.size else mask)
        return found

    @property
    def has_product_form(self) -> bool:
        """Whether the size of a spot depends on the cell, as in the reference."""
        crystal = self.start[0].crystal
        return crystal.shape in (GAUSS, TOPHAT) and not crystal.per_axis

    @cached_property
    def panels(self) -> Panels:
        """The kernels' arguments.

        Raises
        ------
        ConfigError
            The changes have no effect that kernels could render.
        """
        if self._state is None:
            return self.start
        first = self.start[0]
        common: dict[str, Any] = {
            "crystal": self._crystal(first.crystal),
            "beam": self._beam(first.beam),
            "sources": self._sources(first.sources),
            "cells": self._cells(first.cells),
            "Fhkl": self._Fhkl(first.cell, first.Fhkl),
            "coupling": tuple(float(self.state.size[place]) for place in ELEMENTS[3:]),
        }
        return tuple(replace(x, panel=self._panel(i, x.panel), **common) for i, x in enumerate(self.start))

    @cached_property
    def metric(self) -> np.ndarray:
        """Reciprocal metric tensor (1/Å^2), (3, 3): of the cell where it decides the size of spots, else of the first one.

        ``B_factor`` refers to it.
        """
        found, before = metric_of(self.start[0].crystal), self._first_state
        if not self.has_product_form or self.state.direct is before.direct:
            return found
        change = inverse(self.state.direct @ inverse(before.direct))
        return change.T @ found @ change

    @property
    def product_form(self) -> np.ndarray:
        """The symmetric matrix of the squared radius of a spot where :attr:`has_product_form`, (3, 3)."""
        crystal = self.first.crystal
        return (crystal.Na * crystal.Nb * crystal.Nc) ** 2 * crystal.fudge * self.metric

    def _crystal(self, block: CrystalBlock) -> CrystalBlock:
        numbers: dict[str, Any] = {"fudge": float(self.state.fudge)}
        for names, matrix in ((SIZES, self.state.size), (METRIC, self.metric)):
            numbers |= {name: float(matrix[place]) for name, place in zip(names, ELEMENTS, strict=False)}
        return block._replace(**numbers)

    def _beam(self, block: BeamBlock) -> BeamBlock:
        before, now = self._first_state.water_um, self.state.water_um
        if now != before and before <= 0:
            raise ConfigError("the derivative with respect to water_um is 0 without water: give -water UM")
        x, y, z = map(float, self.state.tilt @ axis_of(block, "polar"))
        return block._replace(
            polar_x=x,
            polar_y=y,
            polar_z=z,
            kahn_factor=float(self.state.kahn_factor),
            scale=block.scale * float(self.state.scale),
            I_bg=block.I_bg * (now / before) ** 3 if now != before else block.I_bg,
        )

    def _sources(self, sources: np.ndarray) -> np.ndarray:
        found = sources.copy()
        found[:, :3] = sources[:, :3] @ self.state.tilt.T
        found[:, 3] = sources[:, 3] * self.state.stretch + self.state.shift
        return found

    def _Fhkl(self, cell: CellBlock, Fhkl: np.ndarray) -> np.ndarray:
        """F outside the box is left as it is."""
        low = np.array([cell.h_min, cell.k_min, cell.l_min])
        if len(self.state.F):
            Fhkl = Fhkl.copy()
            Fhkl[tuple((self.state.F[:, :3].astype(int) - low).T)] += self.state.F[:, 3]
        if self.state.B_factor == 0.0:
            return Fhkl
        if not cell.has_hkl:
            raise ConfigError("B_factor cannot be changed where all reflections have the same F: give -hkl FILE")
        indices = np.indices(Fhkl.shape).reshape(3, -1).T + low
        return Fhkl * self.weakened(indices).reshape(Fhkl.shape)

    def weakened(self, hkl: np.ndarray) -> np.ndarray:
        """What the B factor leaves of the structure factors of reflections (n, 3), (n,)."""
        found: np.ndarray = np.exp(-self.state.B_factor / 4 * ((hkl @ self.metric) * hkl).sum(axis=1))
        return found

    def _panel(self, index: int, block: PanelBlock) -> PanelBlock:
        """``close_distance`` follows the plane."""
        turn, before = self.state.turns[index], self._first_state
        if np.array_equal(turn, before.turns[index]) and np.array_equal(self.state.shifts[index], before.shifts[index]):
            return block
        vectors = {name: turn @ axis_of(block, name) for name in AXES}
        vectors["pix0"] = turn @ axis_of(block, "pix0") + self.state.shifts[index]
        numbers: dict[str, Any] = {
            f"{name}_{x}": float(v) for name, vector in vectors.items() for x, v in zip("xyz", vector, strict=True)
        }
        away = float(vectors["pix0"] @ vectors["odet"]) - float(axis_of(block, "pix0") @ axis_of(block, "odet"))
        return block._replace(close_distance=block.close_distance + away, **numbers)

    def _cells(self, cells: np.ndarray) -> np.ndarray:
        found, before = cells.reshape(-1, 3, 3), self._first_state
        if self.state.spins[1]:
            found = found @ rotations(self.state.spins[1] * self.swing(before)).swapaxes(-1, -2)
        if self.state.spins[0]:
            found = found @ rotations(self.state.spins[0] * self.spread()).swapaxes(-1, -2)
        if self.state.direct is not before.direct:
            found = self.state.direct @ inverse(before.direct) @ found
        return np.ascontiguousarray(found.reshape(-1, 9))

    def spread(self) -> np.ndarray:
        """Rotation (rad) of each orientation per degree of mosaic spread, (M, 3): the domains' angles are proportional to it."""
        crystal = self.experiment.crystal
        vectors = np.array([rotation_vector(U) for U in crystal.umats]) / crystal.mosaic_spread_deg
        return np.tile(vectors, (len(self.start[0].cells) // len(vectors), 1))

    def swing(self, state: State | None = None) -> np.ndarray:
        """Rotation (rad) of each orientation per degree of the range of phi, (M, 3).

        About the spindle as each domain has it, since mosaic rotations come last.
        """
        crystal, scan = self.experiment.crystal, self.experiment.scan
        state = self.state if state is None else state
        axes = np.tile(crystal.umats @ self.experiment.detector.frame.spindle, (scan.phisteps, 1))
        if state.spins[0]:
            axes = np.einsum("mij,mj->mi", rotations(state.spins[0] * self.spread()), axes)
        shares = np.repeat((scan.cell_phi - scan.start) / scan.osc, len(crystal.umats))
        return DEGREE * shares[:, None] * axes


def setting_of(experiment: Experiment) -> Setting:
    """An experiment as it is."""
    return Setting(experiment, tuple(build_all_inputs(experiment)))


def metric_of(crystal: CrystalBlock) -> np.ndarray:
    """Reciprocal metric tensor of a parameter block, (3, 3)."""
    found = np.zeros((3, 3))
    for name, (i, j) in zip(METRIC, ELEMENTS, strict=True):
        found[i, j] = found[j, i] = getattr(crystal, name)
    return found


def axis_of(panel: PanelBlock | BeamBlock, name: str) -> np.ndarray:
    """A vector of a parameter block, (3,)."""
    return np.array([getattr(panel, f"{name}_{x}") for x in "xyz"])


def rotation_vector(U: np.ndarray) -> np.ndarray:
    """Axis times angle (rad) of a rotation matrix, accurate for small angles."""
    twice = np.array([U[2, 1] - U[1, 2], U[0, 2] - U[2, 0], U[1, 0] - U[0, 1]])
    sine = float(np.linalg.norm(twice)) / 2
    if sine == 0.0:
        return np.zeros(3)
    return twice / (2 * sine) * np.arctan2(sine, (np.trace(U) - 1) / 2)
