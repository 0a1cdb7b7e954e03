"""Kernels of the trace: the general sum of one pixel with a record of its factors, and lattice factors alone.

Both call the functions that render an image, so that a trace has the formulas of the image.
"""

from __future__ import annotations

from nbnumba.kernels.formulas.geometry import subpixel_ray
from nbnumba.kernels.formulas.lattice import F_latt
from nbnumba.kernels.formulas.pixel import pixel_value
from nbnumba.kernels.formulas.resolution import is_cut_by_length
from nbnumba.kernels.formulas.scattering import scattering_vector
from nbnumba.kernels.formulas.vec import norm, row_vector
from nbnumba.kernels.jit.cpu import STRICT, device, kernel


@kernel(parallel=False, fastmath=STRICT)
def record_pixel(record, s, f, panel, crystal, cell, beam, sources, orientations, Fhkl, interpolating, first):
    """Photons in pixel (s, f) and whether the run still interpolates after it; factors go into ``record``.

    Arguments are those of :func:`nbnumba.kernels.formulas.pixel.pixel_value`; ``record`` is (n + 1, COLUMNS) float64, and
    ``first`` (M, 9) are the ``orientations`` unless an image begins with this pixel.
    """
    return pixel_value(s, f, panel, crystal, cell, beam, sources, orientations, Fhkl, interpolating, record, first)


@device(fastmath=STRICT)
def has_terms(panel, beam, sources, s, f):
    """Whether the resolution limit leaves a source for one of a pixel's rays."""
    n = panel.oversample
    for step in range(panel.layers * n * n):
        _, d = subpixel_ray(panel, panel.curved, s, f, step // (n * n), step // n % n, step % n)
        for i in range(sources.shape[0]):
            q = norm(scattering_vector(d, row_vector(sources, i, 0), 1.0 / sources[i, 3]))
            if not is_cut_by_length(q, beam.dmin):
                return True
    return False


@kernel(parallel=False, fastmath=STRICT)
def find_first(panel, beam, sources, mask):
    """The first pixel, in raster order, with a ray that the resolution limit does not cut for every source.

    Parameters
    ----------
    panel, beam : PanelBlock, BeamBlock
    sources : (S, 5) float64
    mask : (spixels, fpixels) or (0, 0) uint8

    Returns
    -------
    s, f : int
        -1, -1 if there is none.
    """
    for s in range(panel.s0, panel.s1):
        for f in range(panel.f0, panel.f1):
            masked = mask.shape[0] > 0 and mask[s, f] == 0
            if not masked and has_terms(panel, beam, sources, s, f):
                return s, f
    return -1, -1


@kernel(parallel=False, fastmath=STRICT)
def lattice_factors(crystal, hkl, out):
    """Lattice factor at each of the fractional indices ``hkl`` (n, 3), into ``out`` (n,) float64.

    With two of Na, Nb, Nc set to 1 the third axis's own factor comes out, for shapes that are such a product.
    """
    for i in range(hkl.shape[0]):
        out[i] = F_latt(crystal, hkl[i, 0], hkl[i, 1], hkl[i, 2])
