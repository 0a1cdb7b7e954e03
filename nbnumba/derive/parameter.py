"""What a parameter is: how a value that people name changes the inputs of the kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from nbnumba.kernels.formulas.sums import SUMS
from nbnumba.model.experiment import Experiment
from nbnumba.render.inputs import KernelInputs

#: Elements of a symmetric matrix in the order of a MetricBlock.
ELEMENTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
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
