"""Detector model: point spread, gain, offset, noise, saturation, dead pixels.

The order is noisify.c's: flicker and calibration error change the expected photons, photons are drawn, the point
spread distributes them among pixels, the gain converts them to counts, read noise and the offset are added. Without
noise only the point spread, the gain and the offset are applied. Everything is drawn from NumPy's Philox generator, one stream
for each effect, so that switching one on leaves the others as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbnumba.model.outputs import Readout

#: Above this mean, photons are drawn from a normal distribution.
_GAUSS_ABOVE = 1e6
_PHOTONS, _FLICKER, _READ, _CALIBRATION, _DEAD = range(5)
#: Moffat width g of the fiber point spread per full width at half maximum: 1 / (2 sqrt(2^(2/3) - 1)).
_FIBER_G = 0.5 / math.sqrt(2 ** (2 / 3) - 1)


@dataclass(frozen=True, eq=False)
class Frame:
    """A panel as read out.

    Attributes
    ----------
    counts : (slow, fast) int32
        Between 0 and the saturation, the offset included.
    photons : float
        Sum of all photons, before the point spread.
    overloads : int
        Number of saturated pixels.
    """

    counts: np.ndarray
    photons: float
    overloads: int


def read_out(
    image: np.ndarray,
    readout: Readout,
    *,
    pixel_um: float,
    offset: float,
    seed: int | None,
    panel_index: int = 0,
    largest: int | None = None,
) -> Frame:
    """Counts of a panel.

    Parameters
    ----------
    image : (slow, fast) float32
        Expected photons.
    pixel_um : float
        Size of a pixel, for the point spread.
    offset : float
        Added to every pixel, in counts.
    seed : int or None
        Seed of photons, flicker and read noise; None: no noise.
    panel_index : int
        Panels of one detector draw different numbers.
    largest : int, optional
        Largest count; default: the saturation.
    """
    photons = np.maximum(image.astype(np.float64), 0.0)
    if seed is not None:
        key = seed, panel_index
        photons *= 1 + readout.flicker_percent / 100 * _normal(photons, readout.flicker_percent, *key, _FLICKER)
        photons *= sensitivity(photons.shape, readout, panel_index)
        draw_photons(photons, _generator(*key, _PHOTONS))
    total = float(photons.sum())
    if readout.psf_fwhm_um > 0:
        photons = spread(photons, readout.psf, readout.psf_fwhm_um / pixel_um)
    photons *= readout.gain
    photons += offset
    if seed is not None:
        photons += readout.read_noise * _normal(photons, readout.read_noise, *key, _READ)
    largest = readout.saturation_counts if largest is None else largest
    counts = np.floor(photons + 0.5)
    overloads = int(np.count_nonzero(counts > largest))
    return Frame(np.clip(counts, 0, largest).astype(np.int32), total, overloads)


def sensitivity(shape: tuple[int, int], readout: Readout, panel_index: int = 0) -> np.ndarray | float:
    """Sensitivity of every pixel, (slow, fast) around 1 and never negative; 1 where there is no calibration error."""
    if readout.calibration_percent == 0:
        return 1.0
    drawn = _generator(readout.calibration_seed, panel_index, _CALIBRATION).standard_normal(shape)
    return np.maximum(1 + readout.calibration_percent / 100 * drawn, 0.0)


def dead_pixels(shape: tuple[int, int], readout: Readout, panel_index: int = 0) -> np.ndarray:
    """Which pixels are dead, (slow, fast) bool."""
    if readout.dead_percent == 0:
        return np.zeros(shape, bool)
    drawn = _generator(readout.calibration_seed, panel_index, _DEAD).random(shape)
    return drawn < readout.dead_percent / 100


def draw_photons(mean: np.ndarray, generator: np.random.Generator) -> None:
    """Replace expected photons (float64) by drawn ones, in place; above 1e6, by rounded normal deviates."""
    np.maximum(mean, 0.0, out=mean)
    bright = mean > _GAUSS_ABOVE
    many = mean[bright]
    mean[...] = generator.poisson(np.minimum(mean, _GAUSS_ABOVE))
    mean[bright] = np.rint(generator.normal(many, np.sqrt(many)))


def _generator(*seed: int) -> np.random.Generator:
    # trailing zeros change nothing: photons of the first panel are those of Philox(seed)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))


def _normal(like: np.ndarray, size: float, *seed: int) -> np.ndarray | float:
    return _generator(*seed).standard_normal(like.shape) if size > 0 else 0.0


def spread(photons: np.ndarray, psf: str, fwhm: float) -> np.ndarray:
    """Distribute the photons of every pixel among its neighbours; those that leave the panel are lost.

    The point spread is integrated over each pixel, so that a narrow one changes nothing.

    Parameters
    ----------
    photons : (slow, fast) float64
    psf : str
        ``gauss`` or ``fiber``.
    fwhm : float
        In pixels.
    """
    return _spread_gauss(photons, fwhm) if psf == "gauss" else _spread_fiber(photons, fwhm)


def gauss_weights(fwhm: float) -> np.ndarray:
    """Fraction of a pixel's photons in the pixels along one axis, (2 r + 1,), sum 1; 1e-11 lies beyond r."""
    radius = 1 + math.ceil(3 * fwhm)
    edges = (np.arange(-radius, radius + 2) - 0.5) / fwhm * math.sqrt(math.log(16))
    weights = np.diff([math.erf(edge) for edge in edges])
    return weights / weights.sum()


def _spread_gauss(photons: np.ndarray, fwhm: float) -> np.ndarray:
    weights = gauss_weights(fwhm)
    radius = len(weights) // 2
    for axis in (0, 1):
        source, photons = np.moveaxis(photons, axis, 0), np.zeros_like(photons)
        target = np.moveaxis(photons, axis, 0)
        n = len(source)
        for shift in range(-min(radius, n - 1), min(radius, n - 1) + 1):
            first, last = max(shift, 0), n + min(shift, 0)
            target[first:last] += weights[radius + shift] * source[first - shift : last - shift]
    return photons


def fiber_weights(shape: Sequence[int], fwhm: float) -> np.ndarray:
    """Fraction of a pixel's photons at every distance that occurs on the panel, (2 slow - 1, 2 fast - 1).

    The antiderivative of g / (2 pi) (g^2 + x^2 + y^2)^(-3/2) is atan(x y / (g sqrt(g^2 + x^2 + y^2))) / (2 pi).
    """
    g = fwhm * _FIBER_G
    x, y = (np.arange(-n + 1, n + 1) - 0.5 for n in shape)
    corner = np.arctan2(x[:, None] * y, g * np.sqrt(g * g + x[:, None] ** 2 + y * y)) / (2 * math.pi)
    return np.diff(np.diff(corner, axis=0), axis=1)


def _spread_fiber(photons: np.ndarray, fwhm: float) -> np.ndarray:
    # long tails reach every pixel: by Fourier transform, in a box wide enough to keep opposite edges apart
    from scipy.fft import next_fast_len  # 0.1 s that few runs need

    size = tuple(next_fast_len(3 * n - 2, real=True) for n in photons.shape)
    product = np.fft.rfft2(photons, size)
    product *= np.fft.rfft2(fiber_weights(photons.shape, fwhm), size)
    s, f = photons.shape
    return np.maximum(np.fft.irfft2(product, size)[s - 1 : 2 * s - 1, f - 1 : 2 * f - 1], 0.0)
