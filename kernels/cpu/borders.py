"""Where an image jumps: pixels in which a ray has another nearest reflection, or another side of the resolution limit."""

from __future__ import annotations

import math

from numba import prange

from nbnumba.kernels.formulas.geometry import subpixel_ray
from nbnumba.kernels.formulas.resolution import cut_limit, is_cut
from nbnumba.kernels.formulas.scattering import cell_axes, fractional_indices, scattering_vector
from nbnumba.kernels.formulas.structure import in_range
from nbnumba.kernels.formulas.sums import nearest_whole
from nbnumba.kernels.formulas.vec import difference, dot, row_vector
from nbnumba.kernels.jit.cpu import device, kernel


@device(forceinline=True)
def is_beyond(sources, i, d, dmin):
    """Whether the resolution limit cuts a ray."""
    change = difference(d, row_vector(sources, i, 0))
    return is_cut(dot(change, change), cut_limit(sources[i, 3], dmin))


@device(forceinline=True)
def differs(u, v):
    """Whether two triples of whole numbers differ."""
    return u[0] != v[0] or u[1] != v[1] or u[2] != v[2]


@device(forceinline=True)
def corner(index):
    """The reflections below and above which F is interpolated: where they change, the image has a kink."""
    return math.floor(index[0]), math.floor(index[1]), math.floor(index[2])


@device
def jumps(before, after, sources, new_sources, cells, new_cells, i, cell):
    """Whether any orientation has another nearest reflection for source ``i`` and the rays ``before`` and ``after``.

    Or, where F is interpolated, other reflections around it, or another side of the range in which it is.
    """
    q = scattering_vector(before, row_vector(sources, i, 0), 1.0 / sources[i, 3])
    new_q = scattering_vector(after, row_vector(new_sources, i, 0), 1.0 / new_sources[i, 3])
    for m in range(cells.shape[0]):
        index = fractional_indices(cell_axes(cells, m), q)
        new = fractional_indices(cell_axes(new_cells, m), new_q)
        if differs(nearest_whole(index), nearest_whole(new)):
            return True
        if cell.interpolate and (
            differs(corner(index), corner(new))
            or in_range(cell, index[0], index[1], index[2]) != in_range(cell, new[0], new[1], new[2])
        ):
            return True
    return False


@kernel()
def mark_jumps(found, pixels, panel, new_panel, sources, new_sources, cells, new_cells, cell, dmin):
    """Set ``found`` (n,) uint8 to 1 for pixels between whose images, before and after a change, lies a jump.

    Parameters
    ----------
    pixels : (n, 2) int32
        Slow and fast index.
    panel, sources, cells, cell
        As of :func:`nbnumba.kernels.formulas.pixel.pixel_value`; ``new_``: after the change.
    dmin : float
        Resolution limit (m).
    """
    n = panel.oversample
    for number in prange(pixels.shape[0]):
        s, f = pixels[number, 0], pixels[number, 1]
        for step in range(panel.layers * n * n * sources.shape[0]):
            i, sub = step % sources.shape[0], step // sources.shape[0]
            layer, subS, subF = sub // (n * n), sub // n % n, sub % n
            _, before = subpixel_ray(panel, panel.curved, s, f, layer, subS, subF)
            _, after = subpixel_ray(new_panel, new_panel.curved, s, f, layer, subS, subF)
            if is_beyond(sources, i, before, dmin) != is_beyond(new_sources, i, after, dmin) or (
                found[number] == 0 and jumps(before, after, sources, new_sources, cells, new_cells, i, cell)
            ):
                found[number] = 1
