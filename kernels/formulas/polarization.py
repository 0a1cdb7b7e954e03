"""Polarization factor."""

from __future__ import annotations

from nbnumba.kernels.formulas.vec import cross, dot, unit
from nbnumba.kernels.jit.cpu import device


@device
def beam_frame(incident, axis):
    """Directions of the E and B vector of a beam: E is the part of ``axis`` perpendicular to ``incident``."""
    B_in = unit(cross(axis, incident))
    return unit(cross(incident, B_in)), B_in


@device
def polarization_factor(kahn_factor, incident, diffracted, E_in, B_in):
    """Polarization factor on the intensity (Kahn et al. 1982, J. Appl. Cryst. 15, 330).

    Parameters
    ----------
    kahn_factor : float
        Degree of polarization along ``E_in``, -1 to 1.
    incident, diffracted : (3,) float
        Unit vectors.
    E_in, B_in : (3,) float
        From :func:`beam_frame`.

    Notes
    -----
    The textbook form is (1 + cos^2 2theta - K cos 2psi sin^2 2theta) / 2, psi being the azimuth of the diffracted ray
    from E. As E, B and the beam are orthonormal, sin^2 2theta cos 2psi is the difference of two squared projections:
    no arc tangent is needed. Where ``axis`` lies along the beam there is no E vector; psi is 0, as in nanoBragg.c.
    """
    cos_2theta = dot(incident, diffracted)
    squared = cos_2theta * cos_2theta
    along_E = dot(diffracted, E_in)
    along_B = dot(diffracted, B_in)
    anisotropy = along_E * along_E - along_B * along_B
    if E_in[0] == 0.0 and E_in[1] == 0.0 and E_in[2] == 0.0:
        anisotropy = 1.0 - squared
    return 0.5 * (1.0 + squared - kahn_factor * anisotropy)
