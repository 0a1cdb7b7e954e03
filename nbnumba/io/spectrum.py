"""A beam's spectrum as text: wavelength or energy, and weight, one point per line.

The points are used as given, each as a source of its own: a weight is the photons of that point, not a density, so
points should be evenly spaced in the quantity that the spectrometer measured.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.files import read_text
from nbnumba.io.matrix import number
from nbnumba.io.values import Given, columns

#: Photon energy times wavelength, eV Å, as the reference has it.
EV_A = 12398.42
#: First column: below, a wavelength in Å; from here on, an energy in eV. 100 Å are 124 eV.
UNIT_LIMIT = 100.0
#: Largest weight: sums of larger ones could overflow.
LARGEST = 1e100
#: Largest deviation of a sum of weights from 1.
ROUNDING = 1e-9
_WHAT = "spectrum file"


@dataclass(frozen=True, eq=False)
class Spectrum(Given):
    """Points of a spectrum.

    Attributes
    ----------
    wavelengths_A : (n,) float64
    weights : (n,) float64
        Photons of each point, divided by their sum; points of weight 0 are left out.

    Raises
    ------
    ConfigError
        A wavelength that is not positive, a weight that is negative or too large, or no weight at all.
    """

    described = "arrays (wavelengths in Å, weights)"
    widths = (1, 1)

    wavelengths_A: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        found = columns((self.wavelengths_A, self.weights), self.widths)
        good = found is not None and np.isfinite(found).all() and (found[0] > 0).all() and (found[1] >= 0).all()
        if found is None or not good or not 0 < found[1].max() <= LARGEST:
            raise ConfigError("a spectrum needs wavelengths > 0 (Å) and as many weights >= 0, not all of them 0")
        wavelengths, weights = found
        if abs(weights.sum() - 1) > ROUNDING:  # another division would change last bits
            lit = weights > 0
            wavelengths, weights = wavelengths[lit], weights[lit] / weights[lit].sum()
        object.__setattr__(self, "wavelengths_A", wavelengths)
        object.__setattr__(self, "weights", weights)

    @property
    def mean_A(self) -> float:
        """Weighted mean wavelength."""
        return float(self.weights @ self.wavelengths_A)

    def gathered(self, steps: int) -> Spectrum:
        """The spectrum in at most ``steps`` wavelengths.

        Its range of wavelengths is cut into bins of the same width; each becomes its centroid with its whole weight,
        so that sum and mean stay. Empty bins are left out.
        """
        low, high = self.wavelengths_A.min(), self.wavelengths_A.max()
        if steps >= len(self.weights) or high == low:
            return self
        place = np.minimum(((self.wavelengths_A - low) / (high - low) * steps).astype(int), steps - 1)
        weights = np.bincount(place, self.weights, steps)
        centroids = np.bincount(place, self.weights * self.wavelengths_A, steps)
        filled = weights > 0
        return Spectrum(centroids[filled] / weights[filled], weights[filled])


def read_spectrum(path: Path | str, steps: int | None = None) -> Spectrum:
    """Points of a spectrum file.

    Columns are separated by blanks, tabs, commas or semicolons; those after the second are ignored. Blank lines and
    comments (from ``#`` or ``!`` on) are skipped. Numbers below 100 in the first column are wavelengths in Å, others
    energies in eV. Points of weight 0 are left out.

    Parameters
    ----------
    steps : int, optional
        Gather the points in this many wavelengths.

    Raises
    ------
    FileError
        The file cannot be read, holds no point, holds a word that is no number, mixes both units, or has a negative
        weight.
    """
    rows: list[tuple[float, float]] = []
    in_eV: bool | None = None
    for line, text in enumerate(read_text(path, _WHAT).split("\n"), 1):
        words = re.sub("[,;]", " ", re.split("[#!]", text, maxsplit=1)[0]).split()
        if not words:
            continue
        where = f"line {line} of the {_WHAT} {path}"
        if len(words) < 2:
            raise FileError(f"{where}: give a wavelength (A) or an energy (eV) and a weight, got only {words[0][:40]}")
        place, weight = (number(word, path, line, _WHAT) for word in words[:2])
        if place <= 0 or weight < 0:
            raise FileError(f"{where}: wavelength or energy must be > 0 and the weight >= 0, got {place:g} {weight:g}")
        if in_eV is None:
            in_eV = place >= UNIT_LIMIT
        if in_eV != (place >= UNIT_LIMIT):
            raise FileError(f"{where}: {place:g} is {'a wavelength' if in_eV else 'an energy'}, unlike the lines above")
        rows.append((EV_A / place if in_eV else place, weight))
    points = np.array([row for row in rows if row[1] > 0]).reshape(-1, 2)
    if len(points) == 0:
        raise FileError(f"the {_WHAT} {path} holds no point with a weight: give wavelength (A) or energy (eV), weight")
    if points[:, 1].max() > LARGEST:
        raise FileError(f"the {_WHAT} {path} holds a weight of {points[:, 1].max():g}: give weights below {LARGEST:g}")
    spectrum = Spectrum(points[:, 0].copy(), points[:, 1] / points[:, 1].sum())
    return spectrum if steps is None else spectrum.gathered(steps)
