"""Corrections of single terms: solid angle, absorption and polarization of a sub-pixel, a layer and a source."""

from __future__ import annotations

from nbnumba.kernels.formulas.absorption import capture_fraction
from nbnumba.kernels.formulas.geometry import subpixel_ray
from nbnumba.kernels.formulas.polarization import beam_frame, polarization_factor
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.formulas.vec import dot, row_vector
from nbnumba.kernels.jit.cpu import device


@device
def term_weight(panel, beam, sources, i, layer, airpath, d):
    """Capture fraction, polarization, solid angle and source weight of a term, for ``per_term``."""
    weight = omega_pixel(panel.pixel_size, airpath, panel.close_distance, panel.point_pixel) * sources[i, 4]
    if panel.has_thickness:
        parallax = dot(d, (panel.odet_x, panel.odet_y, panel.odet_z))
        weight *= capture_fraction(layer, panel.layer_step, panel.mu, parallax)
    if not beam.nopolar:
        incident = row_vector(sources, i, 0)
        E_in, B_in = beam_frame(incident, (beam.polar_x, beam.polar_y, beam.polar_z))
        weight *= polarization_factor(beam.kahn_factor, incident, d, E_in, B_in)
    return weight


@device
def background(panel, beam, sources, s, f):
    """Sum of the weights of all terms of a pixel, for ``per_term``."""
    n, total = panel.oversample, 0.0
    for step in range(panel.layers * n * n):
        layer = step // (n * n)
        airpath, d = subpixel_ray(panel, panel.curved, s, f, layer, step // n % n, step % n)
        for i in range(sources.shape[0]):
            total += term_weight(panel, beam, sources, i, layer, airpath, d)
    return total * beam.I_bg
