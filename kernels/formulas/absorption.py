"""Absorption in the sensor."""

from __future__ import annotations

import math

from nbnumba.kernels.jit.cpu import device


@device
def capture_fraction(layer, layer_step, mu, parallax):
    """Share of the photons that a layer of the sensor absorbs.

    Beer's law over the slanted path: the layer lies between the depths ``layer * layer_step`` and one ``layer_step``
    (m) below, ``mu`` (1/m) is the absorption coefficient and ``parallax`` the cosine of the angle of incidence. Of a
    ray that does not fall on the front, ``parallax`` <= 0, nothing is absorbed.
    """
    if parallax <= 0.0:
        return 0.0
    return math.exp(-layer * layer_step * mu / parallax) - math.exp(-(layer + 1) * layer_step * mu / parallax)
