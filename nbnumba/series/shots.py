"""A data set as a list of shots: a rotation series, or stills of many crystals.

A :class:`Series` is a recipe. Shot ``n`` depends on nothing else, so that shots can be made in any order, by any
process or machine, and be repeated: seeds are derived from the series' seed and the shot's number.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.model.checked import Checked, check
from nbnumba.model.config import Simulation, Vector
from nbnumba.model.field_types import hints_of
from nbnumba.model.outputs import FILES, IMAGES, NOWHERE, Outputs
from nbnumba.series.variation import Variation, stream, vary

Kind = Literal["rotation", "stills"]
Orientations = Literal["random", "fixed"]
#: Fields of the simulation (``part.field``) and their values in one image.
Changes = tuple[tuple[str, Any], ...]

#: Number of different seeds of the reference's generator.
SEEDS = 2**31 - 2


def _switched_off() -> dict[str, Any]:
    """Fields of the files that a run writes by default, switched off, except the image with noise."""
    hints = hints_of(Outputs)
    by_default = (name for name in FILES if getattr(Outputs, name) is not None and name != "noisefile")
    return {name: NOWHERE if hints[name] is Path else None for name in by_default}


#: Defaults of the outputs of a series that differ from those of a run. Data processing programs misplace images with the
#: reference's header; the reference has no such image to equal, and its noise would take half the time; one scale for all
#: images: a count is a photon.
SERIES_DEFAULTS: dict[str, Any] = {**_switched_off(), "smv": "adsc", "rng": "philox", "scale": 1.0}


def series_outputs(**given: object) -> Outputs:
    """Default outputs of a series, changed by ``given``: one image with noise for each shot, one count per photon."""
    return Outputs(**{**SERIES_DEFAULTS, "noisefile": Path("image.img"), **given})


@dataclass(frozen=True)
class Shot(Checked):
    """One image of a series.

    Attributes
    ----------
    number : int
        From 1.
    simulation : Simulation
    outputs : Outputs
        File names without a folder.
    """

    number: int
    simulation: Simulation
    outputs: Outputs

    @property
    def files(self) -> tuple[Path, ...]:
        """Names of all files that the shot writes; the image that data processing reads comes first."""
        main = main_image(self.outputs)
        written = {name: path for name, path in self.outputs.files.items() if not FILES[name].by_command}
        return (main, *(path for path in written.values() if path != main))

    def outputs_in(self, folder: Path) -> Outputs:
        """Outputs with ``folder`` in front of each file name."""
        return _renamed(self.outputs, lambda path: folder / path)


@dataclass(frozen=True, kw_only=True)
class Series(Checked):
    """A recipe for a data set.

    Attributes
    ----------
    simulation : Simulation
        Simulation of all shots; a rotation series starts at its ``scan.phi_deg`` and turns by ``scan.osc_deg`` an
        image.
    images : int
        Number of shots.
    kind : {"rotation", "stills"}
        Each still has an orientation, mosaic blocks and values drawn from ``variations`` of its own.
    orientations : {"random", "fixed"}
        Orientations of stills: uniform over all rotations, or the simulation's.
    variations : tuple of Variation
        Fields that differ from shot to shot (:mod:`nbnumba.series.variation`).
    by_image : tuple of Changes
        Fields of the simulation that differ from image to image of a rotation series, such as the matrix of a crystal
        that was refined along its scan; empty, or one item for each image. Variations come after them.
    outputs : Outputs
        Names get the number of the shot: ``lysozyme.img`` becomes ``lysozyme_0001.img``.
    seed : int
        Seed of all random numbers of the series.
    device, precision : str
        As :func:`nbnumba.render.simulate.simulate` takes them.
    """

    simulation: Simulation
    images: int
    kind: Kind = "rotation"
    orientations: Orientations = "random"
    variations: tuple[Variation, ...] = ()
    by_image: tuple[Any, ...] = ()
    outputs: Outputs = field(default_factory=series_outputs)
    seed: int = 1
    device: str = "auto"
    precision: str = "auto"

    def _validate(self) -> None:
        check(self, "images", "at least 1", self.images >= 1)
        self._not_negative("seed")
        if self.kind == "rotation" and not (self.simulation.scan.osc_deg or 0) > 0:
            raise ConfigError("a rotation series needs the width of an image: give -osc DEG (scan.osc_deg)")
        main_image(self.outputs)
        good = len(self.by_image) in ((0, self.images) if self.kind == "rotation" else (0,))
        good = good and all(isinstance(one, tuple) and all(map(_is_change, one)) for one in self.by_image)
        check(self, "by_image", "empty, or fields and values for each image of a rotation series", good)

    def shot(self, number: int) -> Shot:
        """The shot of this number, from 1.

        Raises
        ------
        ConfigError
            There is no such number, or a value drawn for it is not allowed.
        """
        if not 1 <= number <= self.images:
            raise ConfigError(f"the series has shots 1 to {self.images}, got {number}")
        simulation = self.simulation
        if self.by_image:
            simulation = _changed(simulation, self.by_image[number - 1])
        simulation = vary(simulation, self.variations, self.seed, number)
        scan, crystal = simulation.scan, simulation.crystal
        if self.kind == "rotation":
            start = scan.phi_deg + (number - 1) * (self.simulation.scan.osc_deg or 0.0)
            scan = replace(scan, phi_deg=start)
            if crystal.misset_deg == "random" and crystal.misset_seed is None:  # one crystal for all images
                crystal = replace(crystal, misset_seed=derived_seed(self.seed, 0, "misset"))
        else:
            crystal = replace(crystal, mosaic_seed=derived_seed(self.seed, number, "mosaic"))
            if self.orientations == "random":
                angles = random_misset(stream(self.seed, number, "orientation"))
                crystal = replace(crystal, misset_deg=angles, misset_seed=None)
            elif crystal.misset_deg == "random" and crystal.misset_seed is None:
                crystal = replace(crystal, misset_seed=derived_seed(self.seed, 0, "misset"))
        factors = replace(simulation.structure_factors, write_dump=False)
        simulation = replace(simulation, scan=scan, crystal=crystal, structure_factors=factors)
        digits = max(4, len(str(self.images)))
        outputs = _renamed(self.outputs, lambda path: Path(numbered(path.name, f"{number:0{digits}d}")))
        outputs = replace(outputs, seed=derived_seed(self.seed, number, "noise"))
        return Shot(number, simulation, outputs)

    @property
    def template(self) -> str:
        """Name of the images with ``#`` for digits, for data processing programs; of a joined file that file's name."""
        if self.has_master:
            return main_image(self.outputs).name
        return numbered(main_image(self.outputs).name, "#" * max(4, len(str(self.images))))

    @property
    def has_master(self) -> bool:
        """Whether the series has one file that presents all images, and data processing programs read it."""
        return self.joined is not None and main_image(self.outputs) == self.outputs.files[self.joined]

    @property
    def joined(self) -> str | None:
        """Field of the outputs whose files a rotation series also presents as one file; None: there is none."""
        files = self.outputs.files if self.kind == "rotation" else {}
        return next((name for name in files if FILES[name].joined), None)

    @property
    def name(self) -> str:
        """Stem of the files of the whole series: the image's name without its ending."""
        return _split(main_image(self.outputs).name)[0]


def _changed(simulation: Simulation, changes: Changes) -> Simulation:
    """The simulation with these fields."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in changes:
        part, _, entry = name.partition(".")
        parts.setdefault(part, {})[entry] = value
    changed: dict[str, Any] = {part: replace(getattr(simulation, part), **values) for part, values in parts.items()}
    return replace(simulation, **changed)


def main_image(outputs: Outputs) -> Path:
    """The image that data processing reads: the one with noise where there is one.

    Raises
    ------
    ConfigError
        No image is written.
    """
    files = outputs.files
    for name in IMAGES:
        if name in files:
            return files[name]
    raise ConfigError("the series writes no image: name one, for example with -noisefile NAME.img")


def numbered(name: str, number: str) -> str:
    """File name with the number before its ending: ``a.cbf.gz`` becomes ``a_0001.cbf.gz``."""
    stem, ending = _split(name)
    return f"{stem}_{number}{ending}"


def _split(name: str) -> tuple[str, str]:
    base = name.removesuffix(".gz").removesuffix(".bz2")
    stem, ending = os.path.splitext(base)
    return stem, ending + name[len(base) :]


def _renamed(outputs: Outputs, rename: Callable[[Path], Path]) -> Outputs:
    renamed: dict[str, Any] = {name: rename(path) for name, path in outputs.files.items()}
    return replace(outputs, **renamed)


def derived_seed(seed: int, number: int, purpose: str) -> int:
    """A seed for the reference's generator, 1 to 2^31 - 2, of one purpose in one shot."""
    return 1 + int(stream(seed, number, purpose).integers(SEEDS))


def random_misset(random: np.random.Generator) -> Vector:
    """Angles (deg) about x, then y, then z, of a rotation drawn uniformly from all rotations.

    Four normal deviates, normalized, are a uniform quaternion (Marsaglia 1972); its matrix Rz Ry Rx is taken apart.
    """
    w, x, y, z = (v := random.normal(size=4)) / np.linalg.norm(v)
    about_x = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    about_y = math.asin(min(1.0, max(-1.0, 2 * (w * y - z * x))))
    about_z = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return math.degrees(about_x), math.degrees(about_y), math.degrees(about_z)


def _is_change(item: Any) -> bool:
    """Whether an item is the name of a field and its value."""
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
