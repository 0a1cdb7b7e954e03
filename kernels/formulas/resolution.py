"""The resolution limit: which rays a source leaves out.

Two forms of one rule, |d - s| > lambda / dmin. They differ by rounding, for rays that lie on the limit to 1e-16.
"""

from __future__ import annotations

import math

from nbnumba.kernels.jit.cpu import STRICT, device


@device(forceinline=True)
def cut_limit(wavelength, dmin):
    """Largest squared difference of directions within the resolution ``dmin`` (m); infinite without a limit."""
    return (wavelength / dmin) ** 2 if dmin > 0.0 else math.inf


@device(forceinline=True)
def is_cut(change_sqr, limit):
    """Whether a ray is beyond the limit; ``change_sqr``: squared difference of its direction from the beam's."""
    return change_sqr > limit


@device(fastmath=STRICT, forceinline=True)
def is_cut_by_length(q, dmin):
    """As :func:`is_cut`, for the length ``q`` (1/m) of a scattering vector, compared as nanoBragg.c does.

    The form of the definition, and of what has to agree with it ray by ray.
    """
    return dmin > 0.0 and q > 0.0 and dmin > 1.0 / q
