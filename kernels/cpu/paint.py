"""Second half of ``cpu.spots``: add footprints of reflections to sums, and convert sums to photons."""

from __future__ import annotations

import math

import numpy as np
from numba import get_thread_id, prange

from nbnumba.kernels.formulas.blocks import GAUSS
from nbnumba.kernels.formulas.corrections import background, last_capture, last_polarization, source_frame, term_weight
from nbnumba.kernels.formulas.geometry import pixel_position, subpixel_coordinate, subpixel_ray
from nbnumba.kernels.formulas.lattice import TOPHAT_EDGE, metric_sqr
from nbnumba.kernels.formulas.polarization import polarization_factor
from nbnumba.kernels.formulas.profiles import compact_profile, gauss_profile_vector
from nbnumba.kernels.formulas.resolution import cut_limit, is_cut, is_cut_by_length
from nbnumba.kernels.formulas.scattering import cell_axes, fractional_indices
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.formulas.spots_shell import F0, F1, PAIR, S0, S1, SPOT_END, H, K, L, radius_sqr
from nbnumba.kernels.formulas.structure import F2_at
from nbnumba.kernels.formulas.vec import difference, dot, norm, row_vector, scaled
from nbnumba.kernels.jit.cpu import device, kernel

#: rows of a band
BAND = 16
#: pixels of a row that are processed together
STRETCH = 64


@device(forceinline=True)
def over_wavelength(orientations, m, inverse):
    """a, b and c of orientation ``m``, times one over the wavelength."""
    a, b, c = cell_axes(orientations, m)
    return scaled(a, inverse), scaled(b, inverse), scaled(c, inverse)


@device(forceinline=True)
def paint_box(sums, top, box, panel, beam, source, orientations, m, metric, spot, sub):
    """Add a reflection to one sub-pixel of every pixel of a box, eight at a time and up to seven beyond the end of a row.

    Positions are linear along a row, and so are the indices of the ray times its length: only the square root for the
    length has to be computed for each pixel.

    ``spot``: h, k, l as floats, F^2 times the peak, and whether the crystal is a Gaussian one.
    """
    f0, f1, s0, s1 = box
    layer, subS, subF = sub
    depth = panel.first_depth + layer * panel.layer_step
    index, value, gauss = spot
    inverse, end = 1.0 / source[3], SPOT_END if gauss else TOPHAT_EDGE
    limit = cut_limit(source[3], beam.dmin)
    incident, along = (source[0], source[1], source[2]), (panel.fdet_x, panel.fdet_y, panel.fdet_z)
    axes = over_wavelength(orientations, m, inverse)
    ha, hb, hc = fractional_indices(axes, incident)
    ha, hb, hc = ha + index[0], hb + index[1], hc + index[2]
    fa, fb, fc = fractional_indices(axes, along)
    fi, ff = dot(incident, along), dot(along, along)
    for s in range(s0, s1):
        Sdet = subpixel_coordinate(s, subS, panel.oversample, panel.pixel_size)
        edge = pixel_position(panel, 0.0, Sdet, depth)
        ea, eb, ec = fractional_indices(axes, edge)
        ei, ee, ef = dot(incident, edge), dot(edge, edge), 2.0 * dot(edge, along)
        row = sums[s - top]
        for j in range((f1 - f0 + 7) >> 3 << 3):
            Fdet = subpixel_coordinate(f0 + j, subF, panel.oversample, panel.pixel_size)
            scale = 1.0 / math.sqrt(ee + Fdet * (ef + Fdet * ff))
            dh = (ea + Fdet * fa) * scale - ha
            dk = (eb + Fdet * fb) * scale - hb
            dl = (ec + Fdet * fc) * scale - hc
            r = metric_sqr(dh, dk, dl, metric)
            inside = (r < end) & (not is_cut(2.0 - 2.0 * (ei + Fdet * fi) * scale, limit))
            term = value * gauss_profile_vector(r) if gauss else value
            row[np.uint64(f0 - panel.f0) + np.uint64(j)] += term if inside else 0.0


@device
def paint_weighted(sums, place, panel, beam, sources, i, orientations, m, metric, spot, sub):
    """As :func:`paint_box`, for a part of a row, every term with its own weight; ``place``: row, first column, end."""
    s, f0, f1 = place
    layer, subS, subF = sub
    index, value, gauss = spot
    inverse, end = 1.0 / sources[i, 3], SPOT_END if gauss else TOPHAT_EDGE
    axes, incident = over_wavelength(orientations, m, inverse), row_vector(sources, i, 0)
    for f in range(f0, f1):
        airpath, d = subpixel_ray(panel, 0, s, f, layer, subS, subF)
        change = difference(d, incident)
        r = radius_sqr(axes, index, change, metric)
        if r < end and not is_cut_by_length(norm(change) / sources[i, 3], beam.dmin):
            term = value * compact_profile(gauss, r)
            sums[f - panel.f0] += term * term_weight(panel, beam, sources, i, 0, layer, airpath, d)


@device(forceinline=True)
def correct_eight(sums, panel, beam, sources, s, f):
    """Multiply eight sums from pixel (s, f) on by the factors that the reference applies last: omega, capture, polarization."""
    incident, (E_in, B_in) = row_vector(sources, 0, 0), source_frame(beam, sources, 0)
    place = np.uint64(f - panel.f0)
    for j in range(8):
        airpath, d = subpixel_ray(panel, 0, s, f + j, 0, 0, 0)
        factor = omega_pixel(panel, airpath)
        polar = polarization_factor(beam.kahn_factor, incident, d, E_in, B_in)
        sums[place + np.uint64(j)] *= factor * (1.0 if beam.nopolar or beam.dmin > 0.0 else polar)
    if panel.has_thickness:
        for j in range(8):
            sums[place + np.uint64(j)] *= last_capture(panel, 0, s, f + j)
    if beam.dmin > 0.0 and not beam.nopolar:
        for j in range(8):
            sums[place + np.uint64(j)] *= last_polarization(panel, 0, beam, sources, 0, s, f + j)


@device
def paint(sums, top, rows, found, panel, beam, sources, orientations, metric, value, gauss):
    """Add a footprint to the ``rows`` rows from ``top`` on.

    ``value``: F^2 times the peak; ``gauss``: whether the crystal is a Gaussian one. No array comes in a tuple that is made for
    each footprint: to count its references takes longer than the footprint.
    """
    h, k, l = found[H], found[K], found[L]
    n, spot = panel.oversample, ((float(h), float(k), float(l)), value, gauss)
    i, m = found[PAIR] // orientations.shape[0], found[PAIR] % orientations.shape[0]
    source = (sources[i, 0], sources[i, 1], sources[i, 2], sources[i, 3])
    f0, f1, s0, s1 = found[F0], found[F1], max(found[S0], top), min(found[S1], top + rows)
    for layer in range(panel.layers):
        for subS in range(n):
            for subF in range(n):
                sub = (layer, subS, subF)
                if not beam.per_term:
                    paint_box(sums, top, (f0, f1, s0, s1), panel, beam, source, orientations, m, metric, spot, sub)
                    continue
                for s in range(s0, s1):
                    row, place = sums[s - top], (s, f0, f1)
                    paint_weighted(row, place, panel, beam, sources, i, orientations, m, metric, spot, sub)


@device
def close_row(image, sums, s, panel, beam, sources, mask):
    """Turn the sums of a row into photons."""
    n, first, row = panel.f1 - panel.f0, np.uint64(panel.f0), np.uint64(s)
    if beam.per_term and beam.I_bg != 0.0:
        for f in range(n):
            sums[f] += background(panel, beam, sources, 0, s, panel.f0 + f)
    for start in range(0, n, STRETCH):
        here, there = np.uint64(start), np.uint64(min(start + STRETCH, n))
        lit = 0.0  # sums are not negative, and mostly all 0
        for f in range(here, there):
            lit += sums[f]
        if lit != 0.0 and not beam.per_term:
            for f in range(start, min(start + STRETCH, n), 8):
                correct_eight(sums, panel, beam, sources, s, panel.f0 + f)
        if mask.shape[0] == 0:
            for f in range(here, there):
                image[row, first + f] = beam.scale * sums[f]
        else:
            for f in range(here, there):
                if mask[row, first + f] != 0:
                    image[row, first + f] = beam.scale * sums[f]


@kernel()
def paint_spots(image, total, lists, panel, crystal, cell, beam, metric, tables, ends):
    """Add all footprints to the sums, in parallel over bands of rows.

    Parameters
    ----------
    image : (spixels, fpixels) float32
        Written with the last batch of footprints.
    lists
        As :func:`nbnumba.kernels.cpu.spots.sort_spots` returns them.
    total : (bands or threads, BAND, columns + 8) float64
        Sums, begun with the first batch. Where one batch is first and last, a band for each thread will do.
    tables : tuple of arrays
        Sources, orientations, F2 and mask, as of :func:`nbnumba.kernels.cpu.fast.render_fast64`.
    ends : tuple of bool
        Whether this is the first batch, and whether it is the last.
    """
    starts, spots = lists
    sources, orientations, F2, mask = tables
    first, last = ends
    peak, gauss = (crystal.Na * crystal.Nb * crystal.Nc) ** 2, crystal.shape == GAUSS
    for band in prange(starts.shape[0] - 1):
        top = panel.s0 + band * BAND
        rows = min(BAND, panel.s1 - top)
        sums = total[np.int64(get_thread_id() if first and last else band)]
        if first:
            sums[:rows] = 0.0 if beam.per_term else beam.I_bg
        for place in range(starts[band], starts[band + 1]):
            spot = spots[place]
            F_sqr = F2_at(F2, cell, spot[H] - cell.h_min, spot[K] - cell.k_min, spot[L] - cell.l_min)
            paint(sums, top, rows, spot, panel, beam, sources, orientations, metric, peak * F_sqr, gauss)
        if last:
            for row in range(rows):
                close_row(image, sums[row], top + row, panel, beam, sources, mask)
