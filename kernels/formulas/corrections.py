"""Corrections by solid angle, absorption and polarization: of a single term, and those that wait for the end of all loops.

``stored``: whether the table of sources has the E and B vector of each beam in columns 5 to 10, as on CUDA; else they
are computed. A constant wherever it is asked for.
"""

from __future__ import annotations

from nbnumba.kernels.formulas.absorption import capture_fraction
from nbnumba.kernels.formulas.blocks import ON_TERM
from nbnumba.kernels.formulas.geometry import subpixel_ray
from nbnumba.kernels.formulas.polarization import beam_frame, polarization_factor
from nbnumba.kernels.formulas.resolution import is_cut_by_length
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.formulas.vec import difference, norm, row_vector
from nbnumba.kernels.jit.cpu import STRICT, device


@device(forceinline=True)
def source_frame(beam, sources, i):
    """Directions of the E and B vector of source ``i``, computed."""
    return beam_frame(row_vector(sources, i, 0), (beam.polar_x, beam.polar_y, beam.polar_z))


@device(forceinline=True)
def source_polarization(beam, sources, i, stored, diffracted):
    """Polarization factor of source ``i``."""
    incident = row_vector(sources, i, 0)
    if stored:
        E_in, B_in = row_vector(sources, i, 5), row_vector(sources, i, 8)
        return polarization_factor(beam.kahn_factor, incident, diffracted, E_in, B_in)
    E_in, B_in = source_frame(beam, sources, i)
    return polarization_factor(beam.kahn_factor, incident, diffracted, E_in, B_in)


@device(forceinline=True)
def term_weight(panel, beam, sources, i, stored, layer, airpath, diffracted):
    """Capture fraction, polarization, solid angle and source weight of a term, for ``per_term``."""
    weight = omega_pixel(panel, airpath) * sources[i, 4]
    weight *= capture_fraction(panel, layer, diffracted)
    if beam.nopolar == 0:
        weight *= source_polarization(beam, sources, i, stored, diffracted)
    return weight


@device
def background(panel, beam, sources, stored, s, f):
    """Sum of the weights of all terms of a pixel, for ``per_term``."""
    n, total = panel.oversample, 0.0
    for step in range(panel.layers * n * n):
        layer = step // (n * n)
        airpath, d = subpixel_ray(panel, panel.curved, s, f, layer, step // n % n, step % n)
        for i in range(sources.shape[0]):
            total += term_weight(panel, beam, sources, i, stored, layer, airpath, d)
    return total * beam.I_bg


@device(forceinline=True)
def last_capture(panel, curved, s, f):
    """Capture fraction that the reference holds when its loops end: of the first sub-pixel of the last layer."""
    last = panel.layers - 1
    _, diffracted = subpixel_ray(panel, curved, s, f, last, 0, 0)
    return capture_fraction(panel, last, diffracted)


@device(forceinline=True)
def uncut_polarization(beam, sources, stored, diffracted):
    """Polarization factor of the first source that the resolution limit leaves; 0 where there is none."""
    for i in range(sources.shape[0]):
        q = norm(difference(diffracted, row_vector(sources, i, 0))) / sources[i, 3]
        if not is_cut_by_length(q, beam.dmin):
            polar = source_polarization(beam, sources, i, stored, diffracted)
            if polar != 0.0:
                return polar
    return 0.0


@device
def last_polarization(panel, curved, beam, sources, stored, s, f):
    """Polarization factor that the reference holds when its loops end: of the first term that is not cut."""
    for layer in range(panel.layers):
        for subS in range(panel.oversample):
            for subF in range(panel.oversample):
                _, diffracted = subpixel_ray(panel, curved, s, f, layer, subS, subF)
                polar = uncut_polarization(beam, sources, stored, diffracted)
                if polar != 0.0:
                    return polar
    return 0.0


@device(fastmath=STRICT, forceinline=True)
def takes_polarization(beam, polar):
    """Whether a term that is not cut computes its polarization factor; else the factor held, ``polar``, is its own."""
    always = beam.per_term != 0 or beam.oversample_polar != 0
    return (polar == 0.0 or always) and not (beam.per_term != 0 and beam.nopolar != 0)


@device(fastmath=STRICT, forceinline=True)
def weight_and_factor(beam, capture, polar, omega, source_weight):
    """What a term is multiplied by, and what the running sum is multiplied by after it (``-oversample_*``, if at all)."""
    if beam.per_term:
        return capture * polar * omega * source_weight, 1.0
    factor = capture if beam.oversample_thick else 1.0
    factor *= polar if beam.oversample_polar else 1.0
    factor *= omega if beam.oversample_omega else 1.0
    # numba-cuda-mlir knows no max of three numbers.
    if max(beam.oversample_thick, max(beam.oversample_polar, beam.oversample_omega)) == ON_TERM:
        return factor, 1.0
    return 1.0, factor


@device(fastmath=STRICT, forceinline=True)
def photons(beam, total, capture, polar, omega):
    """The sum of a pixel's terms as photons, by the factors held when the loops end where terms had none."""
    value = beam.scale * total
    if not beam.per_term:
        value *= 1.0 if beam.oversample_thick else capture
        value *= 1.0 if beam.oversample_polar else polar
        value *= 1.0 if beam.oversample_omega else omega
    return value
