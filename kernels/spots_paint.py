"""Footprints of reflections painted into sums, and sums turned into photons: second half of ``cpu_spots``."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from nbnumba.kernels._jit import device, kernel
from nbnumba.kernels.absorption import capture_fraction
from nbnumba.kernels.blocks import GAUSS
from nbnumba.kernels.fast_math import exp64
from nbnumba.kernels.fast_tiles import F2_at, spot_metric
from nbnumba.kernels.geometry import pixel_position, subpixel_coordinate
from nbnumba.kernels.lattice import GAUSS_WIDTH, TOPHAT_EDGE
from nbnumba.kernels.pixel import subpixel_ray
from nbnumba.kernels.polarization import beam_frame, polarization_factor
from nbnumba.kernels.solid_angle import omega_pixel
from nbnumba.kernels.vec import dot, norm

#: rows of a band
BAND = 16
#: Gaussian spots end where the intensity is exp(-64) = 1.6e-28 of the peak, at this squared radius
SPOT_END = 32.0 * GAUSS_WIDTH
# columns of the list of footprints
PAIR, H, K, L, F0, F1, S0, S1 = range(8)


@device
def term_weight(panel, beam, sources, i, layer, airpath, d):
    """Capture fraction, polarization, solid angle and source weight of a term, for ``per_term``."""
    weight = omega_pixel(panel.pixel_size, airpath, panel.close_distance, panel.point_pixel) * sources[i, 4]
    if panel.has_thickness:
        parallax = dot(d, (panel.odet_x, panel.odet_y, panel.odet_z))
        weight *= capture_fraction(layer, panel.layer_step, panel.mu, parallax)
    if not beam.nopolar:
        incident = (sources[i, 0], sources[i, 1], sources[i, 2])
        E_in, B_in = beam_frame(incident, (beam.polar_x, beam.polar_y, beam.polar_z))
        weight *= polarization_factor(beam.kahn_factor, incident, d, E_in, B_in)
    return weight


@device
def is_cut(beam, sources, i, d):
    """Whether a ray is beyond the resolution limit."""
    if beam.dmin <= 0.0:
        return False
    q = norm((d[0] - sources[i, 0], d[1] - sources[i, 1], d[2] - sources[i, 2])) / sources[i, 3]
    return q > 0.0 and beam.dmin > 1.0 / q


@device(forceinline=True)
def paint_row(total, s, f0, f1, panel, beam, sources, i, vectors, m, form, h0, k0, l0, value, gauss, layer, subS, subF):
    """Add a reflection to the sub-pixels of a part of a row, eight at a time and some beyond its end."""
    inverse, end = 1.0 / sources[i, 3], SPOT_END if gauss else TOPHAT_EDGE
    limit = (sources[i, 3] / beam.dmin) ** 2 if beam.dmin > 0.0 else math.inf
    incident = (sources[i, 0], sources[i, 1], sources[i, 2])
    a = (vectors[m, 0] * inverse, vectors[m, 1] * inverse, vectors[m, 2] * inverse)
    b = (vectors[m, 3] * inverse, vectors[m, 4] * inverse, vectors[m, 5] * inverse)
    c = (vectors[m, 6] * inverse, vectors[m, 7] * inverse, vectors[m, 8] * inverse)
    Sdet = subpixel_coordinate(s, subS, panel.oversample, panel.pixel_size)
    depth = panel.first_depth + layer * panel.layer_step
    row = np.uint64(s - panel.s0)
    for start in range(f0, f1, 8):
        for j in range(8):
            Fdet = subpixel_coordinate(start + j, subF, panel.oversample, panel.pixel_size)
            x, y, z = pixel_position(panel, Fdet, Sdet, depth)
            airpath = math.sqrt(x * x + y * y + z * z)
            scale = 1.0 / airpath
            d = (x * scale, y * scale, z * scale)
            q = (d[0] - incident[0], d[1] - incident[1], d[2] - incident[2])
            dh, dk, dl = dot(a, q) - h0, dot(b, q) - k0, dot(c, q) - l0
            r = form[0] * dh * dh + form[1] * dk * dk + form[2] * dl * dl
            r += form[3] * dh * dk + form[4] * dh * dl + form[5] * dk * dl
            inside = (r < end) & (dot(q, q) <= limit)
            term = value * exp64(-2.0 / GAUSS_WIDTH * r) if gauss else value
            total[row, np.uint64(start - panel.f0) + np.uint64(j)] += term if inside else 0.0


@device
def paint_weighted(
    total, s, f0, f1, panel, beam, sources, i, vectors, m, form, h0, k0, l0, value, gauss, layer, subS, subF
):
    """As :func:`paint_row`, every term with its own weight."""
    inverse, end = 1.0 / sources[i, 3], SPOT_END if gauss else TOPHAT_EDGE
    for f in range(f0, f1):
        airpath, d = subpixel_ray(panel, s, f, layer, subS, subF)
        q = (d[0] - sources[i, 0], d[1] - sources[i, 1], d[2] - sources[i, 2])
        dh = dot((vectors[m, 0], vectors[m, 1], vectors[m, 2]), q) * inverse - h0
        dk = dot((vectors[m, 3], vectors[m, 4], vectors[m, 5]), q) * inverse - k0
        dl = dot((vectors[m, 6], vectors[m, 7], vectors[m, 8]), q) * inverse - l0
        r = form[0] * dh * dh + form[1] * dk * dk + form[2] * dl * dl
        r += form[3] * dh * dk + form[4] * dh * dl + form[5] * dk * dl
        if r < end and not is_cut(beam, sources, i, d):
            term = value * math.exp(-2.0 / GAUSS_WIDTH * r) if gauss else value
            total[s - panel.s0, f - panel.f0] += term * term_weight(panel, beam, sources, i, layer, airpath, d)


@kernel()
def paint_spots(total, found, starts, sorted_, panel, crystal, cell, beam, sources, vectors, F2):
    """Add all footprints to ``total`` (rows, columns of the region) float64, in parallel over bands of rows."""
    squares, products, _ = spot_metric(crystal)
    form = (squares[0], squares[1], squares[2], products[0], products[1], products[2])
    peak, gauss, n = (crystal.Na * crystal.Nb * crystal.Nc) ** 2, crystal.shape == GAUSS, panel.oversample
    for band in prange(starts.shape[0] - 1):
        top = panel.s0 + band * BAND
        for place in range(starts[band], starts[band + 1]):
            row = sorted_[place]
            h, k, l, f0, f1 = found[row, H], found[row, K], found[row, L], found[row, F0], found[row, F1]
            value = peak * F2_at(F2, cell, h - cell.h_min, k - cell.k_min, l - cell.l_min)
            i, m = found[row, PAIR] // vectors.shape[0], found[row, PAIR] % vectors.shape[0]
            for s in range(max(found[row, S0], top), min(found[row, S1], top + BAND)):
                for step in range(panel.layers * n * n):
                    layer, subS, subF = step // (n * n), step // n % n, step % n
                    if beam.per_term:
                        paint_weighted(
                            total,
                            s,
                            f0,
                            f1,
                            panel,
                            beam,
                            sources,
                            i,
                            vectors,
                            m,
                            form,
                            float(h),
                            float(k),
                            float(l),
                            value,
                            gauss,
                            layer,
                            subS,
                            subF,
                        )
                    else:
                        paint_row(
                            total,
                            s,
                            f0,
                            f1,
                            panel,
                            beam,
                            sources,
                            i,
                            vectors,
                            m,
                            form,
                            float(h),
                            float(k),
                            float(l),
                            value,
                            gauss,
                            layer,
                            subS,
                            subF,
                        )


@device
def last_factors(panel, beam, sources, s, f):
    """Solid angle, capture fraction and polarization that the reference applies to a finished sum."""
    airpath, d = subpixel_ray(panel, s, f, 0, 0, 0)
    factor = omega_pixel(panel.pixel_size, airpath, panel.close_distance, panel.point_pixel)
    if panel.has_thickness:
        _, last = subpixel_ray(panel, s, f, panel.layers - 1, 0, 0)
        parallax = dot(last, (panel.odet_x, panel.odet_y, panel.odet_z))
        factor *= capture_fraction(panel.layers - 1, panel.layer_step, panel.mu, parallax)
    if beam.nopolar:
        return factor
    n = panel.oversample
    for step in range(panel.layers * n * n):
        _, d = subpixel_ray(panel, s, f, step // (n * n), step // n % n, step % n)
        for i in range(sources.shape[0]):
            if not is_cut(beam, sources, i, d):
                incident = (sources[i, 0], sources[i, 1], sources[i, 2])
                E_in, B_in = beam_frame(incident, (beam.polar_x, beam.polar_y, beam.polar_z))
                return factor * polarization_factor(beam.kahn_factor, incident, d, E_in, B_in)
    return 0.0


@device
def background(panel, beam, sources, s, f):
    """Sum of the weights of all terms of a pixel, for ``per_term``."""
    n, total = panel.oversample, 0.0
    for step in range(panel.layers * n * n):
        layer = step // (n * n)
        airpath, d = subpixel_ray(panel, s, f, layer, step // n % n, step % n)
        for i in range(sources.shape[0]):
            total += term_weight(panel, beam, sources, i, layer, airpath, d)
    return total * beam.I_bg


@kernel()
def finish(image, total, panel, beam, sources, mask):
    """Turn the sums into photons."""
    masked = mask.shape[0] > 0
    for s in prange(panel.s0, panel.s1):
        for f in range(panel.f0, panel.f1):
            if masked and mask[s, f] == 0:
                continue
            value = total[s - panel.s0, f - panel.f0]
            if beam.per_term:
                value += background(panel, beam, sources, s, f) if beam.I_bg != 0.0 else 0.0
            else:
                value += beam.I_bg
                value *= last_factors(panel, beam, sources, s, f) if value != 0.0 else 0.0
            image[s, f] = beam.scale * value
