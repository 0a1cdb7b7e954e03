"""General CPU kernels: loops around :mod:`nbnumba.kernels.cpu.strips` and :mod:`nbnumba.kernels.formulas.pixel`."""

from __future__ import annotations

import numba
import numpy as np
from numba import get_thread_id, prange

from nbnumba.kernels.cpu.strips import ROWS, TOTAL, WIDTH, strip_values
from nbnumba.kernels.formulas.geometry import subpixel_ray
from nbnumba.kernels.formulas.pixel import pixel_value
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.jit.cpu import STRICT, device, kernel


def render_general(image, panel, crystal, cell, beam, sources, orientations, Fhkl, mask, row0, row1, fell_out):
    """Render rows ``row0 <= s < row1`` of one panel; see :func:`render_strips`."""
    works = np.zeros((numba.config.NUMBA_NUM_THREADS, ROWS))  # type: ignore[attr-defined]
    render_strips(image, panel, crystal, cell, beam, sources, orientations, Fhkl, mask, (row0, row1), fell_out, works)


@device(fastmath=STRICT)
def is_masked(mask, s, f):
    """Whether the mask, if there is one, leaves out a pixel."""
    return mask.shape[0] > 0 and mask[s, f] == 0


@device(fastmath=STRICT)
def render_defined(image, place, panel, crystal, cell, beam, sources, orientations, Fhkl, mask, interpolating):
    """Render a strip by the definition; returns whether the run still interpolates after it."""
    s, start, end = place
    for f in range(start, end):
        if not is_masked(mask, s, f):
            value, interpolating = pixel_value(
                s, f, panel, crystal, cell, beam, sources, orientations, Fhkl, interpolating
            )
            image[s, f] = value
    return interpolating


@kernel(fastmath=STRICT)
def render_strips(image, panel, crystal, cell, beam, sources, orientations, Fhkl, mask, rows, fell_out, works):
    """Render rows ``rows[0] <= s < rows[1]`` of one panel.

    Parameters
    ----------
    image : (spixels, fpixels) float32, photons
        Pixels outside the region of interest, or 0 in ``mask``, are left as they are.
    panel, crystal, cell, beam, sources, orientations, Fhkl
        As :func:`nbnumba.kernels.formulas.pixel.pixel_value` takes them.
    mask : (spixels, fpixels) or (0, 0) uint8
    fell_out : (spixels,) uint8
        Set to 1 for rows in which interpolation ended. Each row is rendered as if interpolation were still on when it
        begins; the caller renders again what comes after the first such row (``nbnumba.render.dispatch``).
    works : (threads, ROWS) float64
        Scratch.
    """
    flat = Fhkl.reshape(-1)
    row0, row1 = rows
    for s in prange(max(row0, panel.s0), min(row1, panel.s1)):
        interpolating = cell.interpolate
        work = works[get_thread_id()]
        for start in range(panel.f0, panel.f1, WIDTH):
            end = min(start + WIDTH, panel.f1)
            place, last = (s, start, end), end - start
            if not strip_values(
                work, s, start, last, panel, crystal, cell, beam, sources, orientations, flat, interpolating
            ):
                interpolating = render_defined(
                    image, place, panel, crystal, cell, beam, sources, orientations, Fhkl, mask, interpolating
                )
                continue
            for f in range(start, end):
                if not is_masked(mask, s, f):
                    image[s, f] = work[TOTAL + f - start]
        if interpolating != cell.interpolate:
            fell_out[s] = 1


@device(forceinline=True)
def add_omegas(row, panel, s, f):
    """Add the solid angles of a pixel's sub-pixels and layers to the sum of a row."""
    n = panel.oversample
    for layer in range(panel.layers):
        for sub in range(n * n):
            airpath, _ = subpixel_ray(panel, panel.curved, s, f, layer, sub // n, sub % n)
            row += omega_pixel(panel, airpath)
    return row


@kernel()
def solid_angle_rows(total, panel, mask, every_subpixel):
    """Sum of the solid angles (sr) over each row's rendered pixels, into ``total`` (spixels,) float64.

    As the reference counts: once per sub-pixel and sensor layer, with the value it holds there, which is the first
    sub-pixel's unless ``every_subpixel``.
    """
    n = panel.oversample
    for s in prange(panel.s0, panel.s1):
        row = 0.0
        for f in range(panel.f0, panel.f1):
            if is_masked(mask, s, f):
                continue
            if every_subpixel:
                row = add_omegas(row, panel, s, f)
            else:
                airpath, _ = subpixel_ray(panel, panel.curved, s, f, 0, 0, 0)
                omega = omega_pixel(panel, airpath)
                row += omega * panel.layers * n * n
        total[s] = row


@kernel()
def fill_rows(rows):
    """Write each place's number into ``rows`` (n,) float64: shows that parallel kernels compile and run."""
    for s in prange(rows.shape[0]):
        rows[s] = s
