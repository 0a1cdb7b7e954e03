"""Squared profiles of the spots: F_latt^2 over its value at a lattice point, for each shape.

Compact and round spots take the squared radius of an offset from the lattice point (``lattice.metric_sqr``, with
``fudge``), square ones the indices themselves. The squared peak, (Na Nb Nc)^2 and for round crystals ``SPHERE``^2 times
that, is the caller's. ``lattice.F_latt`` is the amplitude: signed, in the reference's order of operations, and the
definition that these are held against.
"""

from __future__ import annotations

import math

from nbnumba.kernels.formulas.fast_math import exp64, grating, sinc3_sqr
from nbnumba.kernels.formulas.lattice import GAUSS_WIDTH, sinc3
from nbnumba.kernels.jit.cpu import ORDERED, device


@device(forceinline=True)
def gauss_profile(radius_sqr):
    """Gaussian spot."""
    return math.exp(-2.0 / GAUSS_WIDTH * radius_sqr)


@device(forceinline=True)
def gauss_profile_vector(radius_sqr):
    """As :func:`gauss_profile`, by a polynomial: loops with it vectorize on the CPU. The last bits differ."""
    return exp64(-2.0 / GAUSS_WIDTH * radius_sqr)


@device(forceinline=True)
def compact_profile(gauss, radius_sqr):
    """Gaussian or top-hat spot, within the radius at which the caller has it end."""
    return gauss_profile(radius_sqr) if gauss else 1.0


@device(forceinline=True)
def round_profile(radius_sqr):
    """Spot of a round crystal: squared Fourier transform of a sphere."""
    transform = sinc3(math.pi * math.sqrt(radius_sqr))
    return transform * transform


@device(forceinline=True)
def round_profile_vector(radius_sqr):
    """As :func:`round_profile`, by polynomials: loops with it vectorize on the CPU, to 1e-11. CUDA has no ``np.rint``."""
    return sinc3_sqr(math.sqrt(radius_sqr))


@device(fastmath=ORDERED, forceinline=True)
def square_profile(fractions, changes, N, inverse_sqr):
    """Spot of a square crystal, float32, and the nearest whole numbers of h, k, l.

    The indices are ``fractions + changes``; all arguments are one number for each axis, as of ``fast_math.grating``.
    """
    h, above_h, below_h = grating(fractions[0], changes[0], N[0], inverse_sqr[0])
    k, above_k, below_k = grating(fractions[1], changes[1], N[1], inverse_sqr[1])
    l, above_l, below_l = grating(fractions[2], changes[2], N[2], inverse_sqr[2])
    return (h, k, l), above_h * above_k * above_l / (below_h * below_k * below_l)
