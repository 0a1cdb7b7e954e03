"""Derivatives of the corrections with respect to the ray: of polarization and absorption, as logarithmic derivatives."""

from __future__ import annotations

from nbnumba.kernels.formulas.polarization import polarization_factor
from nbnumba.kernels.formulas.slopes import exponential
from nbnumba.kernels.formulas.vec import dot
from nbnumba.kernels.jit.cpu import device


@device(forceinline=True)
def inverse_of(value):
    """1 over a factor, for logarithmic derivatives; 0 where it is 0."""
    return 1.0 / (value if value != 0.0 else 1.0) if value != 0.0 else 0.0


@device(forceinline=True)
def polarization_slopes(kahn_factor, incident, diffracted, E_in, B_in):
    """Polarization factor, and its logarithmic derivatives.

    Returns
    -------
    factor : float
        As of :func:`nbnumba.kernels.formulas.polarization.polarization_factor`.
    with_ray : (3,) float
        With respect to the diffracted ray; components along the ray mean nothing.
    with_kahn : float
        With respect to the Kahn factor.
    """
    factor = polarization_factor(kahn_factor, incident, diffracted, E_in, B_in)
    cos_2theta = dot(incident, diffracted)
    along_E, along_B = dot(diffracted, E_in), dot(diffracted, B_in)
    no_axis = (E_in[0] == 0.0) & (E_in[1] == 0.0) & (E_in[2] == 0.0)
    anisotropy = 1.0 - cos_2theta * cos_2theta if no_axis else along_E * along_E - along_B * along_B
    s = cos_2theta * (1.0 + kahn_factor) if no_axis else cos_2theta
    e, b = (0.0 if no_axis else -kahn_factor * along_E), (0.0 if no_axis else kahn_factor * along_B)
    inverse = inverse_of(factor)
    with_ray = (
        inverse * (s * incident[0] + e * E_in[0] + b * B_in[0]),
        inverse * (s * incident[1] + e * E_in[1] + b * B_in[1]),
        inverse * (s * incident[2] + e * E_in[2] + b * B_in[2]),
    )
    return factor, with_ray, -0.5 * anisotropy * inverse


@device(forceinline=True)
def capture_slope(panel, layer, parallax, vector):
    """Share that a sensor layer absorbs (:func:`nbnumba.kernels.formulas.absorption.capture_fraction`), and its logarithmic derivative.

    The latter with respect to ``parallax``, the cosine of the angle of incidence.
    """
    front, back = -layer * panel.layer_step * panel.mu, -(layer + 1) * panel.layer_step * panel.mu
    cosine = parallax if parallax > 0.0 else 1.0
    above, below = exponential(front / cosine, vector), exponential(back / cosine, vector)
    captured = above - below if parallax > 0.0 else 0.0
    return captured, (back * below - front * above) / (cosine * cosine) * inverse_of(captured)
