"""How well a model explains the photons of a pixel: minus the logarithm of the likelihood, and its derivatives.

- ``GAUSSIAN``: 1/2 ln V + (d - m)^2 / (2 V) with the variance V = m + r^2 of d photons with readout noise r, of which m are
  expected. The variance depends on the model, so that bright and dark pixels are not pulled to one side.
- ``POISSON``: m - d ln m, exact for detectors that count.

Constants that depend on the data alone are left out. The information, the expected second derivative, is 1/V + 1/(2 V^2)
or 1/m.
"""

from __future__ import annotations

import math

from nbnumba.kernels.jit.cpu import device

GAUSSIAN, POISSON = range(2)
#: Fewest photons that a model can expect in a pixel. Planes of background may go below, on the way.
LEAST = 1e-3


@device(forceinline=True)
def photon_terms(kind, data, model, noise):
    """Terms of a pixel.

    Parameters
    ----------
    kind : int
        ``GAUSSIAN`` or ``POISSON``.
    data, model, noise : float
        Photons measured, photons expected, and the squared readout noise.

    Returns
    -------
    tuple of 3 float
        Minus log likelihood; its negative derivative with respect to the model; the information about the model.
    """
    m = max(model, LEAST)
    below = model - m
    if kind == POISSON:
        value, slope, weight = m - data * math.log(m), data / m - 1.0, 1.0 / m
    else:
        inverse, off = 1.0 / (m + noise), data - m
        square = off * off * inverse
        value = 0.5 * (square - math.log(inverse))
        slope = inverse * (off + 0.5 * (square - 1.0))
        weight = inverse * (1.0 + 0.5 * inverse)
    # a parabola goes on where no photons are expected: its slope leads back, which a constant's would not
    return value - below * (slope - 0.5 * weight * below), slope - weight * below, weight
