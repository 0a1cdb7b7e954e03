"""Absorption in the sensor."""

from __future__ import annotations

import math

from nbnumba.kernels.formulas.fast_math import exp64
from nbnumba.kernels.formulas.vec import dot
from nbnumba.kernels.jit.cpu import device


@device(forceinline=True)
def parallax_of(panel, diffracted):
    """Cosine of a ray's angle of incidence on the panel."""
    return dot(diffracted, (panel.odet_x, panel.odet_y, panel.odet_z))


@device
def capture_fraction(panel, layer, diffracted):
    """Share of the photons that a layer of the sensor absorbs; 1 where the panel has no thickness.

    Beer's law over the slanted path: the layer lies between the depths ``layer * layer_step`` and one ``layer_step``
    (m) below, ``mu`` (1/m) is the absorption coefficient. Of a ray that does not fall on the front nothing is absorbed.
    """
    if panel.has_thickness == 0:
        return 1.0
    parallax = parallax_of(panel, diffracted)
    if parallax <= 0.0:
        return 0.0
    front, back = -layer * panel.layer_step * panel.mu, -(layer + 1) * panel.layer_step * panel.mu
    return math.exp(front / parallax) - math.exp(back / parallax)


@device(forceinline=True)
def capture_fraction_vector(front, back, parallax):
    """As :func:`capture_fraction`, by polynomials: loops with it vectorize on the CPU. The last bits differ.

    ``front``, ``back``: depths of the layer times -mu.
    """
    captured = exp64(front / parallax) - exp64(back / parallax)
    return captured if parallax > 0.0 else 0.0
