"""Background that does not depend on the crystal's orientation: one ray for each pixel."""

from __future__ import annotations

from numba import prange

from nbnumba.kernels.formulas.absorption import capture_fraction
from nbnumba.kernels.formulas.corrections import source_polarization
from nbnumba.kernels.formulas.geometry import subpixel_ray
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.formulas.vec import difference, norm, row_vector
from nbnumba.kernels.jit.cpu import device, kernel


@device(forceinline=True)
def amorphous_F_sqr(F_sqr, per_stol, sources, i, diffracted):
    """Squared structure factor along a ray of source ``i``, between the points of its table."""
    place = 0.5 * norm(difference(diffracted, row_vector(sources, i, 0))) / sources[i, 3] * per_stol
    below = min(int(place), F_sqr.shape[0] - 2)
    share = place - below
    return F_sqr[below] * (1.0 - share) + F_sqr[below + 1] * share


@kernel()
def amorphous_rows(image, panel, beam, sources, F_sqr, per_stol, scale, mask):
    """Photons that an amorphous sample scatters into each pixel, computed for the ray to its middle.

    Parameters
    ----------
    image : (spixels, fpixels) float32
        Pixels outside the region of interest, or 0 in ``mask``, are left as they are.
    panel, beam : PanelBlock, BeamBlock
        ``panel.oversample`` must be 1.
    sources : (S, 5) float64
        As :func:`nbnumba.kernels.formulas.pixel.pixel_value` takes them.
    F_sqr : (n,) float64
        Squared structure factor of all molecules (electrons^2) at sin(theta)/lambda = i / per_stol.
    per_stol : float
        Points per 1/m.
    scale : float
        r_e^2 times the fluence.
    mask : (spixels, fpixels) or (0, 0) uint8
    """
    for s in prange(panel.s0, panel.s1):
        for f in range(panel.f0, panel.f1):
            if mask.shape[0] > 0 and mask[s, f] == 0:
                continue
            total = 0.0
            for layer in range(panel.layers):
                airpath, diffracted = subpixel_ray(panel, panel.curved, s, f, layer, 0, 0)
                weight = omega_pixel(panel, airpath) * capture_fraction(panel, layer, diffracted)
                for i in range(sources.shape[0]):
                    polar = 1.0 if beam.nopolar else source_polarization(beam, sources, i, 0, diffracted)
                    total += amorphous_F_sqr(F_sqr, per_stol, sources, i, diffracted) * polar * weight * sources[i, 4]
            image[s, f] = total * scale / sources.shape[0]
