"""What a parameter is: how a value that people name changes the inputs of the kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.sums import SUMS
from nbnumba.model.experiment import Experiment
from nbnumba.render.inputs import KernelInputs

#: Elements of a symmetric matrix in the order of a MetricBlock.
ELEMENTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
#: Parameters that have second derivatives, as messages name them.
SECOND = (
    "misset_x_deg (y, z), cell_a ... cell_gamma, A_matrix, Na, Nb, Nc, N_ab, N_ac, N_bc, fudge, mosaic_spread_deg, "
    "phi_deg, osc_deg, wavelength_stretch, wavelength_shift_A and scale"
)
#: Kernel arguments of all panels.
Panels = tuple[KernelInputs, ...]


@dataclass(frozen=True)
class Setting:
    """An experiment and the kernels' arguments for its panels, where derivatives are taken."""

    experiment: Experiment
    panels: Panels

    @property
    def first(self) -> KernelInputs:
        """Arguments of the first panel: crystal, beam and tables are those of all."""
        return self.panels[0]

    @property
    def rendered(self) -> list[np.ndarray]:
        """Pixels that are rendered of every panel, (spixels, fpixels) bool."""
        found = []
        for resolved, inputs in zip(self.experiment.detector.panels, self.panels, strict=True):
            panel, mask = inputs.panel, np.zeros(resolved.shape, bool)
            mask[panel.s0 : panel.s1, panel.f0 : panel.f1] = True
            found.append(mask & (inputs.mask != 0) if inputs.mask.size else mask)
        return found


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
    smooth : bool
        Whether the image has a derivative with respect to it where spots have edges (tophat): it moves no spot.
    """

    smooth = False
    place = 0

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def chain(self, at: Setting) -> np.ndarray:
        """Derivative of the image as a sum over the kernel's sums: their factors, (panels, SUMS) float64.

        Raises
        ------
        ConfigError
            The image has no such derivative.
        """

    @abstractmethod
    def moved(self, at: Setting, change: float) -> Panels:
        """The kernels' arguments after a finite change of the parameter, in its unit."""

    def reach(self, at: Setting) -> float:
        """Largest sensible change, in its unit."""
        return np.inf

    def spins(self, at: Setting) -> np.ndarray | None:
        """Rotations (rad per unit) of the orientations in the laboratory, (M, 3), if they do not turn alike."""
        return None

    def curvature(self, at: Setting) -> Curvature:
        """What the second derivative of the image needs.

        Raises
        ------
        ConfigError
            It is not computed for this parameter.
        """
        raise ConfigError(f"no second derivative with respect to {self.name}: {SECOND} have one")


def factors(at: Setting) -> np.ndarray:
    """Zeros, (panels, SUMS)."""
    return np.zeros((len(at.panels), SUMS))


def with_cells(at: Setting, cells: np.ndarray) -> Panels:
    """The arguments with other orientations."""
    cells = np.ascontiguousarray(cells.reshape(-1, 9))
    return tuple(replace(panel, cells=cells) for panel in at.panels)


def reciprocal_metric(at: Setting) -> np.ndarray:
    """Products of the reciprocal vectors (1/Å^2), (3, 3), which the reference does not take from the cell vectors."""
    G = np.zeros((3, 3))
    for i, j in ELEMENTS:
        G[i, j] = G[j, i] = getattr(at.first.crystal, f"G{i + 1}{j + 1}")
    return G
