"""Kernels of the trace: the general sum of one pixel with a record of its factors, and lattice factors alone.

Both call the functions that render an image, so that a trace has the formulas of the image.
"""

from __future__ import annotations

from nbnumba.kernels.formulas.lattice import F_latt
from nbnumba.kernels.formulas.pixel import pixel_value
from nbnumba.kernels.jit.cpu import STRICT, kernel


@kernel(parallel=False, fastmath=STRICT)
def record_pixel(record, s, f, panel, crystal, cell, beam, sources, orientations, Fhkl, interpolating):
    """Photons in pixel (s, f) and whether the run still interpolates after it; factors go into ``record``.

    Arguments are those of :func:`nbnumba.kernels.formulas.pixel.pixel_value`; ``record`` is (n + 1, COLUMNS) float64.
    """
    return pixel_value(s, f, panel, crystal, cell, beam, sources, orientations, Fhkl, interpolating, record)


@kernel(parallel=False, fastmath=STRICT)
def lattice_factors(crystal, hkl, out):
    """Lattice factor at each of the fractional indices ``hkl`` (n, 3), into ``out`` (n,) float64.

    With two of Na, Nb, Nc set to 1 the third axis's own factor comes out, for shapes that are such a product.
    """
    for i in range(hkl.shape[0]):
        out[i] = F_latt(crystal, hkl[i, 0], hkl[i, 1], hkl[i, 2])
