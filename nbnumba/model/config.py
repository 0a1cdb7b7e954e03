"""Configuration of a simulation: frozen dataclasses in the units people write (mm, Å, degrees), checked on creation.

Defaults are the reference program's. ``None`` means "not given": the rules that fill the gaps (default beam centre,
automatic number of steps, ...) are in the module of each part, because they depend on one another.

The parts are defined in ``instrument`` and ``sample``; this module exports all of their names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from nbnumba.model.checked import Checked, check
from nbnumba.model.instrument import Beam, Convention, Detector, Panel, Pivot, Scan, Vector
from nbnumba.model.sample import Background, Crystal, Shape, StructureFactors

__all__ = [
    "Background",
    "Beam",
    "Convention",
    "Crystal",
    "Detector",
    "Panel",
    "Physics",
    "Pivot",
    "Sampling",
    "Scan",
    "Shape",
    "Simulation",
    "StructureFactors",
    "Vector",
]

Physics = Literal["reference", "correct"]


@dataclass(frozen=True, kw_only=True)
class Sampling(Checked):
    """How finely a pixel is sampled, and which pixels.

    Attributes
    ----------
    oversample : int or None
        Sub-pixels a side; None: chosen from the crystal's size.
    oversample_thick, oversample_polar, oversample_omega : bool
        Multiply the running sum by this factor after every term (the reference's rule).
    roi : (4,) int or None
        ``xmin xmax ymin ymax``, inclusive, x along the fast axis.
    dmin_A : float
        Terms beyond this resolution are left out; 0: none.
    """

    oversample: int | None = None
    oversample_thick: bool = False
    oversample_polar: bool = False
    oversample_omega: bool = False
    roi: tuple[int, int, int, int] | None = None
    dmin_A: float = 0.0

    def _validate(self) -> None:
        self._not_negative("oversample", "dmin_A")


@dataclass(frozen=True, kw_only=True)
class Simulation(Checked):
    """Everything that determines an image.

    Attributes
    ----------
    mask : (spixels, fpixels) array or None
        Pixels that are 0 here are skipped.
    physics : str
        ``reference``: the reference program's image; ``correct``: what a physicist expects (docs/quirks.md).
    """

    crystal: Crystal
    beam: Beam = field(default_factory=Beam)
    detector: Detector = field(default_factory=Detector)
    scan: Scan = field(default_factory=Scan)
    structure_factors: StructureFactors = field(default_factory=StructureFactors)
    sampling: Sampling = field(default_factory=Sampling)
    background: Background = field(default_factory=Background)
    mask: np.ndarray | None = None
    physics: Physics = "reference"

    def _validate(self) -> None:
        check(self, "mask", "an array (slow, fast)", self.mask is None or self.mask.ndim == 2)
