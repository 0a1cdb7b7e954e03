"""Configuration of a simulation: frozen dataclasses in the units people write (mm, Å, degrees), checked on creation.

Defaults are the reference program's. ``None`` means "not given": the rules that fill the gaps (default beam centre,
automatic number of steps, ...) are in the module of each part, because they depend on one another.

The parts are defined in ``instrument`` and ``sample``; this module exports all of their names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.model.checked import Checked, check
from nbnumba.model.editions import Physics
from nbnumba.model.instrument import Beam, Convention, DataPlace, DataValue, Detector, Panel, Pivot, Scan, Vector
from nbnumba.model.sample import Background, Crystal, Shape, StructureFactors

__all__ = [
    "Background",
    "Beam",
    "Convention",
    "Crystal",
    "DataPlace",
    "DataValue",
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
        Edition: ``released``, the C program to the letter; ``reference``, with the cell at phi = 0 mended; ``upstream``,
        with all of its proposed corrections; ``correct``, what a physicist expects (docs/quirks.md).
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

    def changed(self, **changes: Any) -> Simulation:
        """Return the simulation with other values.

        Parameters
        ----------
        changes
            By name, whole parts (``crystal=...``, ``mask=...``) or fields of any part (``misset_deg=(0, 0, 5)``,
            ``wavelength_A=1.1``): a name occurs in one part only.

        Raises
        ------
        ConfigError
            There is no such part or field, or a value is refused.
        """
        own = {entry.name for entry in fields(self)}
        parts: dict[str, dict[str, Any]] = {}
        whole: dict[str, Any] = {}
        for name, value in changes.items():
            if name in own:
                whole[name] = value
                continue
            if name not in _OWNERS:
                raise ConfigError(f"a simulation has no field {name!r}: give a part such as crystal, or a field of one")
            parts.setdefault(_OWNERS[name], {})[name] = value
        for part, values in parts.items():
            whole[part] = replace(whole.get(part, getattr(self, part)), **values)
        return replace(self, **whole)

    def _validate(self) -> None:
        check(self, "mask", "an array (slow, fast)", self.mask is None or self.mask.ndim == 2)


#: Part of the simulation that each field belongs to.
_OWNERS: dict[str, str] = {
    entry.name: part
    for part, kind in {
        "crystal": Crystal,
        "beam": Beam,
        "detector": Detector,
        "scan": Scan,
        "structure_factors": StructureFactors,
        "sampling": Sampling,
        "background": Background,
    }.items()
    for entry in fields(kind)
}
