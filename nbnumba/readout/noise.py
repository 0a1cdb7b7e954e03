"""Photon counts drawn from an image of expected photons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.kernels.cpu.rng import MODULUS, poisson_image

_PHILOX_GAUSS_ABOVE = 1e6
_BAND_PIXELS = 1 << 20


@dataclass(frozen=True)
class NoiseResult:
    """Counts of a noisy image.

    Attributes
    ----------
    counts : (slow, fast) uint16
        Photons plus offset, at most 65535; 0 outside the region of interest.
    photons : float
        Sum of all photons drawn, before offset and clipping.
    overloads : int
        Number of pixels clipped to 65535.
    """

    counts: np.ndarray
    photons: float
    overloads: int


def noise_image(
    image: np.ndarray,
    roi_slices: tuple[int, int, int, int],
    seed: int,
    adc_offset: float = 40.0,
    rng: Literal["reference", "philox"] = "reference",
) -> NoiseResult:
    """Poisson deviates of every pixel of ``image`` inside ``roi_slices``; normal ones for means above 1e6.

    Parameters
    ----------
    image : (slow, fast) float32
        Expected photons per pixel.
    roi_slices : (4,) int
        Half-open ``s0, s1, f0, f1``.
    seed : int
        At least 0; the same seed gives the same counts. The reference's generator has 2^31 - 2 different seeds, 0 and 1
        being the same.
    adc_offset : float
        Added before counts are clipped and truncated.
    rng : str
        ``reference``: the sequence of the reference program, where a negative result loses all but its lowest 16 bits.
        ``philox``: NumPy's counter-based generator, where it becomes 0.

    Raises
    ------
    ConfigError
        If the seed is negative or too large for the reference's generator, or ``rng`` has no such name.
    """
    if rng not in ("reference", "philox"):
        raise ConfigError(f"rng must be reference or philox, got {rng!r}")
    if seed < 0:
        raise ConfigError(f"seed must be >= 0, got {seed}")
    image = np.ascontiguousarray(image, dtype=np.float32)
    counts = np.zeros(image.shape, dtype=np.uint16)
    if rng == "philox":
        return _philox(image, roi_slices, seed, adc_offset, counts)
    if seed >= MODULUS:
        raise ConfigError(f"seed must be less than {MODULUS} for the reference's generator, got {seed}; or use philox")
    photons, overloads = poisson_image(image, *roi_slices, seed, float(adc_offset), counts)
    return NoiseResult(counts, float(photons), int(overloads))


def _philox(
    image: np.ndarray, roi_slices: tuple[int, int, int, int], seed: int, adc_offset: float, counts: np.ndarray
) -> NoiseResult:
    s0, s1, f0, f1 = roi_slices
    generator = np.random.Generator(np.random.Philox(seed))
    rows = max(_BAND_PIXELS // max(f1 - f0, 1), 1)
    photons, overloads = 0.0, 0
    for first in range(s0, s1, rows):
        band = slice(first, min(first + rows, s1)), slice(f0, f1)
        mean = np.maximum(image[band].astype(np.float64), 0.0)
        drawn = generator.poisson(np.minimum(mean, _PHILOX_GAUSS_ABOVE)).astype(np.float64)
        bright = mean > _PHILOX_GAUSS_ABOVE
        drawn[bright] = np.rint(generator.normal(mean[bright], np.sqrt(mean[bright])))
        photons += float(drawn.sum())
        drawn += adc_offset
        overloads += int(np.count_nonzero(drawn > 65535))
        counts[band] = np.clip(drawn, 0.0, 65535.0).astype(np.uint16)
    return NoiseResult(counts, photons, overloads)
