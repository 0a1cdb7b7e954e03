"""The numbers that parameters change, and their derivatives by a complex step.

A parameter changes one or more of them, each by a function that is analytic in its change and in the numbers before. So a
step of 1e-20i carries the derivative in the imaginary parts, exactly, through any number of changes that follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nbnumba.kernels.formulas.lattice import size_matrix
from nbnumba.kernels.formulas.sums import SPINS
from nbnumba.model.experiment import Experiment
from nbnumba.model.vectors import cross
from nbnumba.render.inputs import KernelInputs

STEP = 1e-20
#: float, or complex where it carries a derivative
Number = Any


class State(NamedTuple):
    """Present values.

    Attributes
    ----------
    direct : (3, 3) float64
        Cell vectors a, b, c as rows (Å), before any phi and mosaic rotation.
    size : (3, 3) float64
        The symmetric matrix N.
    fudge : Number
    spins : (SPINS,) float64
        Changes since the start that turn orientations by different angles: 0 of the mosaic spread, 1 of the range of phi (deg).
    turns, shifts : (panels, 3, 3), (panels, 3) float64
        Motion of each panel since the start: from x to ``turn`` x + ``shift`` (m).
    tilt : (3, 3) float64
        Rotation of all beams since the start.
    stretch, shift : Number
        Wavelengths since the start: times ``stretch``, plus ``shift`` (m).
    scale, kahn_factor, water_um, B_factor : Number
        ``scale`` and ``B_factor`` are 1 and 0 at the start.
    F : (n, 4) float64
        h, k, l of reflections, and changes of their structure factors since the start, before the B factor.
    """

    direct: np.ndarray
    size: np.ndarray
    fudge: Number
    spins: np.ndarray
    turns: np.ndarray
    shifts: np.ndarray
    tilt: np.ndarray
    stretch: Number
    shift: Number
    scale: Number
    kahn_factor: Number
    water_um: Number
    B_factor: Number
    F: np.ndarray


def first_state(experiment: Experiment, inputs: KernelInputs) -> State:
    """Values of an experiment as it is."""
    panels = len(experiment.detector.panels)
    return State(
        direct=experiment.crystal.direct,
        size=size_matrix(inputs.crystal, inputs.coupling),
        fudge=inputs.crystal.fudge,
        spins=np.zeros(SPINS),
        turns=np.tile(np.eye(3), (panels, 1, 1)),
        shifts=np.zeros((panels, 3)),
        tilt=np.eye(3),
        stretch=1.0,
        shift=0.0,
        scale=1.0,
        kahn_factor=inputs.beam.kahn_factor,
        water_um=experiment.simulation.background.water_um,
        B_factor=0.0,
        F=np.zeros((0, 4)),
    )


def slope_of(changed: Callable[[complex], State]) -> State:
    """Derivative of a state with respect to the change that ``changed`` takes, where that is 0."""
    return State(*(np.imag(value) / STEP for value in changed(complex(0.0, STEP))))


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a (3, 3) matrix by cross products, also complex: imaginary parts of 1e-20 keep all their digits."""
    a, b, c = matrix
    columns = np.array([cross(b, c), cross(c, a), cross(a, b)]).T
    return columns / (a @ columns[:, 0])


def rotations(vectors: np.ndarray) -> np.ndarray:
    """Right-handed rotations about axes by their lengths (rad), (..., 3) to (..., 3, 3), also complex."""
    x, y, z = np.moveaxis(np.asarray(vectors), -1, 0)
    zero = 0.0 * x
    K = np.moveaxis(np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]), (0, 1), (-2, -1))
    angle = np.sqrt(x * x + y * y + z * z)[..., None, None]
    return np.eye(3) + np.sinc(angle / np.pi) * K + np.sinc(angle / (2 * np.pi)) ** 2 / 2 * (K @ K)


def axis_of_slope(slope: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Rotation (rad per unit), (..., 3), of the derivative of rotations, (..., 3, 3)."""
    K = slope @ np.swapaxes(turn, -1, -2)
    return np.stack([K[..., 2, 1], K[..., 0, 2], K[..., 1, 0]], axis=-1)
