"""Images as they were measured: photons of every panel, which pixels are good, and readout noise."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.image import read_image, read_mask
from nbnumba.model.experiment import Experiment
from nbnumba.model.frames import layout
from nbnumba.refinement.options import RefineOptions


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured.

    Attributes
    ----------
    photons : tuple of (spixels, fpixels) float64
        Of every panel; 0 where a pixel is not good.
    good : tuple of (spixels, fpixels) bool
    noise : float
        Squared readout noise, photons^2.
    name : str
        Of the file, for messages; may be empty.
    """

    photons: tuple[np.ndarray, ...]
    good: tuple[np.ndarray, ...]
    noise: float
    name: str = ""


def take_image(
    image: Any, experiment: Experiment, options: RefineOptions, mask: Any = None, number: int | None = None
) -> Measured:
    """Photons of an image.

    Parameters
    ----------
    image : path, (slow, fast) array, or sequence of such arrays, one for each panel
        Counts; one array of all panels has them where the data layout of the detector places them.
    mask : (slow, fast) array, or sequence of such arrays, optional
        0 for pixels that are not to be used.
    number : int, optional
        Which image of a file that has several, from 1.

    Raises
    ------
    ConfigError
        The image has another size than the detector, or no good pixel.
    FileError
        The file cannot be read.
    """
    name = os.fspath(image) if isinstance(image, str | os.PathLike) else ""
    known = None
    if name:
        image = read_image(name, layout(experiment).shape, number, panels=True)
        known = read_mask(name, number, panels=True)
    arrays = _per_panel(image, experiment, name or "the image")
    photons, good = [], []
    for counts in arrays:
        fine = good_pixels(counts, options.saturation)
        values = (np.where(fine, counts, options.offset).astype(np.float64) - options.offset) / options.gain
        photons.append(values)
        good.append(fine)
    for given, what in ((known, f"the pixel mask of {name}"), (mask, "the mask")):
        if given is not None:
            good = [g & (m != 0) for g, m in zip(good, _per_panel(given, experiment, what), strict=True)]
    if experiment.simulation.mask is not None:
        good[0] = good[0] & (experiment.simulation.mask != 0)
    if not any(g.any() for g in good):
        raise ConfigError(f"{name or 'the image'} has no good pixel: all are masked, saturated or not finite")
    return Measured(tuple(photons), tuple(good), (options.readout / options.gain) ** 2, name)


def good_pixels(counts: np.ndarray, saturation: float | None) -> np.ndarray:
    """Pixels that measured something: finite, below saturation, and none of the values that formats have for masked ones.

    Those are, of whole numbers, negative ones and the largest one of the type.
    """
    if np.issubdtype(counts.dtype, np.integer):
        found = (counts >= 0) & (counts < np.iinfo(counts.dtype).max)
    else:
        found = np.isfinite(counts)
    if saturation is not None:
        found &= np.where(found, counts, 0) < saturation
    return found


def _per_panel(value: Any, experiment: Experiment, what: str) -> list[np.ndarray]:
    """One array for each panel, from a sequence of them or from the array of all.

    Raises
    ------
    ConfigError
        They have other sizes.
    """
    shapes = [panel.shape for panel in experiment.detector.panels]
    if isinstance(value, Sequence) or (isinstance(value, np.ndarray) and value.ndim == 3):
        arrays = [np.asarray(one) for one in value]
        if len(arrays) != len(shapes):
            raise ConfigError(f"{what} has {len(arrays)} panels, the detector {len(shapes)}")
        for number, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
            _check_shape(array.shape, shape, f"{what}, panel {number}" if len(shapes) > 1 else what)
        return arrays
    array = np.asarray(value)
    found = layout(experiment)
    _check_shape(array.shape, found.shape, what)
    if len(shapes) == 1:
        return [array]
    places = zip(found.corners, shapes, strict=True)
    return [array[s : s + shape[0], f : f + shape[1]] for (s, f), shape in places]


def _check_shape(found: tuple[int, ...], wanted: tuple[int, int], what: str) -> None:
    if len(found) != 2 or tuple(found) != wanted:
        size = " x ".join(map(str, reversed(found))) or "no"
        raise ConfigError(
            f"{what} has {size} pixels, the detector {wanted[1]} x {wanted[0]} (fast x slow): check -detpixels or --geometry"
        )
