"""The reflection with the strongest term in each pixel."""

from __future__ import annotations

import math

from numba import prange

from nbnumba.kernels.formulas.geometry import subpixel_ray
from nbnumba.kernels.formulas.lattice import F_latt
from nbnumba.kernels.formulas.resolution import is_cut_by_length
from nbnumba.kernels.formulas.scattering import cell_axes, fractional_indices, scattering_vector
from nbnumba.kernels.formulas.structure import nearest
from nbnumba.kernels.formulas.vec import norm, row_vector
from nbnumba.kernels.jit.cpu import STRICT, device, kernel


@device(fastmath=STRICT)
def strongest_term(s, f, panel, crystal, cell, dmin, sources, orientations, Fhkl):
    """The strongest term of a pixel: its value, source and orientation, nearest indices, and lattice factor."""
    best, i_best, m_best, hkl, latt_best = 0.0, 0, 0, (0, 0, 0), 0.0
    for sub in range(panel.oversample * panel.oversample):
        subS, subF = sub // panel.oversample, sub % panel.oversample
        _, diffracted = subpixel_ray(panel, panel.curved, s, f, 0, subS, subF)
        for i in range(sources.shape[0]):
            scattering = scattering_vector(diffracted, row_vector(sources, i, 0), 1.0 / sources[i, 3])
            if is_cut_by_length(norm(scattering), dmin):
                continue
            for m in range(orientations.shape[0]):
                h, k, l = fractional_indices(cell_axes(orientations, m), scattering)
                latt, F = F_latt(crystal, h, k, l), nearest(Fhkl, cell, h, k, l)
                term = F * F * latt * latt * sources[i, 4]
                if term > best:
                    best, i_best, m_best, latt_best = term, i, m, latt
                    hkl = (int(math.ceil(h - 0.5)), int(math.ceil(k - 0.5)), int(math.ceil(l - 0.5)))
    return best, i_best, m_best, hkl, latt_best


@kernel(fastmath=STRICT)
def strongest_rows(hkl, source, orientation, lattice, panel, crystal, cell, dmin, sources, orientations, Fhkl, mask):
    """Find the strongest term of each pixel: largest F_cell^2 F_latt^2 times the source's weight.

    Parameters
    ----------
    hkl : (spixels, fpixels, 3) int32
        Nearest indices; left as they are where no term is above 0, outside the region of interest and under the mask.
    source, orientation : (spixels, fpixels) int32
        Rows of ``sources`` and ``orientations``.
    lattice : (spixels, fpixels) float32
        F_latt^2 of the strongest term, as a share of its value at whole indices.
    panel, crystal, cell, sources, orientations, Fhkl, mask
        As :func:`nbnumba.kernels.cpu.general.render_general` takes them. Only the first sensor layer is used.
    dmin : float
        Terms beyond this resolution (m) do not count; 0: all do.
    """
    peak = F_latt(crystal, 0.0, 0.0, 0.0)
    for s in prange(panel.s0, panel.s1):
        for f in range(panel.f0, panel.f1):
            if mask.shape[0] > 0 and mask[s, f] == 0:
                continue
            best, i, m, nearest_hkl, latt = strongest_term(
                s, f, panel, crystal, cell, dmin, sources, orientations, Fhkl
            )
            if best > 0.0:
                hkl[s, f, 0], hkl[s, f, 1], hkl[s, f, 2] = nearest_hkl
                source[s, f], orientation[s, f] = i, m
                lattice[s, f] = (latt / peak) ** 2
