"""How well an image determines parameters, under photon noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nbnumba.derive.derivatives import Derivatives
from nbnumba.derive.pixels import per_panel
from nbnumba.errors import ConfigError

#: Smallest eigenvalue of the correlations of the information that can be told from 0.
LEAST = 1e-12


@dataclass(frozen=True)
class Information:
    """Fisher information of an image about parameters.

    Attributes
    ----------
    names : tuple of str
    matrix : (n, n) float64
        Of the parameters in their units: the sum over all pixels of the product of two derivatives over the variance of a
        pixel, which is the number of its photons, background and readout noise included.
    photons : float
        In the chosen pixels, background included.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    photons: float

    @cached_property
    def covariance(self) -> np.ndarray:
        """Least covariance of estimates without bias (Cramér and Rao), (n, n): the inverse of the information.

        Raises
        ------
        ConfigError
            The image tells nothing about a parameter, or two of them change it alike.
        """
        sizes = np.sqrt(np.diag(self.matrix))
        for name, size in zip(self.names, sizes, strict=True):
            if not size > 0:
                raise ConfigError(f"the image does not depend on {name}: leave it out")
        alike = self.matrix / np.outer(sizes, sizes)
        values, vectors = np.linalg.eigh(alike)
        if values[0] < LEAST:
            together = [n for n, share in zip(self.names, vectors[:, 0], strict=True) if abs(share) > 0.1]
            raise ConfigError(f"{' and '.join(together)} change the image alike: leave one of them out")
        inverse = (vectors / values) @ vectors.T
        found: np.ndarray = inverse / np.outer(sizes, sizes)
        return found

    @property
    def errors(self) -> np.ndarray:
        """Standard errors of the parameters if all are refined together, in their units, (n,)."""
        found: np.ndarray = np.sqrt(np.diag(self.covariance))
        return found

    @property
    def errors_alone(self) -> np.ndarray:
        """Standard errors of each parameter if all others are known, (n,)."""
        found: np.ndarray = 1 / np.sqrt(np.diag(self.matrix))
        return found

    @property
    def correlations(self) -> np.ndarray:
        """Correlations of the estimates, (n, n)."""
        found: np.ndarray = self.covariance / np.outer(self.errors, self.errors)
        return found


def information(derivatives: Derivatives, *, background: object = 0.0, readout: float = 0.0) -> Information:
    """Fisher information of an image with photon noise about the parameters of its derivatives.

    Parameters
    ----------
    derivatives : Derivatives
    background : float, or (spixels, fpixels) float64 or one for each panel
        Photons of each pixel that the simulation does not have.
    readout : float
        Standard deviation of the readout noise of a pixel, photons.

    Raises
    ------
    ConfigError
        Background or noise are negative, or no pixel has a photon.
    """
    if not (readout >= 0 and np.isfinite(readout)):
        raise ConfigError(f"readout must be a number of photons, 0 or more, got {readout}")
    if isinstance(background, int | float):
        background = [np.full(mask.shape, float(background)) for mask in derivatives.masks]
    given = per_panel(background, derivatives.setting, "background") or []
    weights, photons = [], 0.0
    for image, mask, light in zip(derivatives.images, derivatives.masks, given, strict=True):
        expected = np.where(mask, image + light, 0.0)
        if expected.min(initial=0.0) < 0:
            raise ConfigError("background must not be negative")
        photons += float(expected.sum())
        variance = expected + readout**2
        weights.append(np.divide(1.0, variance, out=np.zeros_like(variance), where=mask & (variance > 0)))
    if photons == 0:
        raise ConfigError("no pixel has a photon: check crystal, structure factors and fluence")
    matrix, _ = derivatives.normal(weights)
    return Information(derivatives.names, matrix, photons)
