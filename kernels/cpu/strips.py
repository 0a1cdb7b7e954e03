"""The general sum for a strip of pixels side by side: :func:`nbnumba.kernels.formulas.pixel.pixel_value` in vector code.

Problem: computed pixel by pixel, with library sines and exponentials, no part of the general sum is vectorized.

Choice: the same loops in the same order, with a loop over the strip's pixels innermost, so that each pixel's running sum
sees the same terms and factors one after the other. Sines and exponentials are polynomials on reduced arguments (float64,
2e-16), and a tricubic is computed for eight pixels at once. What a pixel skips (a cut ray, a term without lattice factor) is a
selection. Where interpolation goes out of range, and so changes the rest of the image, the caller takes
``pixel_value``, the definition, for the strip. The two agree to some 1e-12, the effect of the library's rounding of
pi N h.

All functions are inlined: as calls, their products and sums would be fused in one way where a process compiles them and in
another way where it loads them from the cache.

Misuse: the functions ignore the mask and the region of interest; a strip is always rendered whole.
"""

from __future__ import annotations

import math

import numpy as np

from nbnumba.kernels.formulas.absorption import capture_fraction_vector, parallax_of
from nbnumba.kernels.formulas.blocks import SQUARE
from nbnumba.kernels.formulas.corrections import photons, source_frame, takes_polarization, weight_and_factor
from nbnumba.kernels.formulas.geometry import bend, ray_to, subpixel_position
from nbnumba.kernels.formulas.lattice import F_latt
from nbnumba.kernels.formulas.polarization import polarization_factor
from nbnumba.kernels.formulas.resolution import is_cut_by_length
from nbnumba.kernels.formulas.scattering import cell_axes, fractional_indices, scattering_vector
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.formulas.structure import cubic_weights, in_range
from nbnumba.kernels.formulas.vec import difference, norm, row_vector
from nbnumba.kernels.jit.cpu import ORDERED, device

#: pixels of a strip
WIDTH = 64
# rows of the scratch array
X, Y, Z, AIRPATH, OMEGA, CAPTURE, POLAR, CUT, WEIGHT, FACTOR, H, K, L, LATT, CELL, TOTAL, NUMBER, ROWS = range(
    0, 18 * WIDTH, WIDTH
)

_C = tuple((-1.0) ** k * math.pi ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(11))
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10 = _C


@device(fastmath=ORDERED, forceinline=True)
def sin_pi(y):
    """sin(pi y) for float64 |y| <= 1/2, relative error 3e-16; Taylor's series."""
    t = y * y
    series = _C5 + t * (_C6 + t * (_C7 + t * (_C8 + t * (_C9 + t * _C10))))
    return y * (_C0 + t * (_C1 + t * (_C2 + t * (_C3 + t * (_C4 + t * series)))))


@device(fastmath=ORDERED, forceinline=True)
def sincg_size(h, N):
    """Grating function sin(pi N h) / sin(pi h) but for its sign."""
    d = h - np.rint(h)
    u = N * d
    y = u - np.rint(u)
    # where N h is whole, the library's sine of pi N h is not quite 0: the term counts as one
    above = sin_pi(1e-17 if y == 0.0 else y)
    return N if d == 0.0 else above / sin_pi(d)


@device(fastmath=ORDERED, forceinline=True)
def trace_strip(work, panel, s, f, layer, subS, subF):
    """Rows X, Y, Z, AIRPATH: directions and distances of the strip's sub-pixels."""
    for p in range(WIDTH):
        work[X + p], work[Y + p], work[Z + p] = subpixel_position(panel, s, f + p, layer, subS, subF)
    if panel.curved:
        for p in range(WIDTH):
            work[X + p], work[Y + p], work[Z + p] = bend(panel, (work[X + p], work[Y + p], work[Z + p]))
    for p in range(WIDTH):
        work[AIRPATH + p], direction = ray_to((work[X + p], work[Y + p], work[Z + p]))
        work[X + p], work[Y + p], work[Z + p] = direction


@device(fastmath=ORDERED, forceinline=True)
def correct_strip(work, panel, layer, with_omega, with_capture):
    """Rows OMEGA and CAPTURE, where due."""
    if with_omega:
        for p in range(WIDTH):
            work[OMEGA + p] = omega_pixel(panel, work[AIRPATH + p])
    if with_capture:
        front, back = -layer * panel.layer_step * panel.mu, -(layer + 1) * panel.layer_step * panel.mu
        for p in range(WIDTH):
            parallax = parallax_of(panel, (work[X + p], work[Y + p], work[Z + p]))
            work[CAPTURE + p] = capture_fraction_vector(front, back, parallax)


@device(fastmath=ORDERED, forceinline=True)
def weigh_strip(work, beam, sources, i):
    """Rows CUT, POLAR, WEIGHT, FACTOR of a source; its background."""
    incident, inverse = row_vector(sources, i, 0), 1.0 / sources[i, 3]
    E_in, B_in = source_frame(beam, sources, i)
    for p in range(WIDTH):
        d = (work[X + p], work[Y + p], work[Z + p])
        cut = is_cut_by_length(inverse * norm(difference(d, incident)), beam.dmin)
        polar = polarization_factor(beam.kahn_factor, incident, d, E_in, B_in)
        skipped = cut and beam.per_term == 0
        work[POLAR + p] = polar if takes_polarization(beam, work[POLAR + p]) and not skipped else work[POLAR + p]
        work[CUT + p] = 1.0 if cut else 0.0
    for p in range(WIDTH):
        weight, factor = weight_and_factor(beam, work[CAPTURE + p], work[POLAR + p], work[OMEGA + p], sources[i, 4])
        if beam.per_term:
            work[TOTAL + p] += beam.I_bg * weight
        work[WEIGHT + p], work[FACTOR + p] = weight, factor


@device(fastmath=ORDERED, forceinline=True)
def index_strip(work, crystal, orientations, m, sources, i):
    """Rows H, K, L and the size of the lattice factor, LATT, of an orientation."""
    incident, inverse, axes = row_vector(sources, i, 0), 1.0 / sources[i, 3], cell_axes(orientations, m)
    for p in range(WIDTH):
        q = scattering_vector((work[X + p], work[Y + p], work[Z + p]), incident, inverse)
        work[H + p], work[K + p], work[L + p] = fractional_indices(axes, q)
        work[LATT + p] = 1.0
    if crystal.shape != SQUARE:
        for p in range(WIDTH):
            work[LATT + p] = F_latt(crystal, work[H + p], work[K + p], work[L + p])
        return
    if crystal.Na > 1.0:
        for p in range(WIDTH):
            work[LATT + p] = sincg_size(work[H + p], crystal.Na)
    if crystal.Nb > 1.0:
        for p in range(WIDTH):
            work[LATT + p] *= sincg_size(work[K + p], crystal.Nb)
    if crystal.Nc > 1.0:
        for p in range(WIDTH):
            work[LATT + p] *= sincg_size(work[L + p], crystal.Nc)


@device(fastmath=ORDERED, forceinline=True)
def nearest_strip(work, flat, cell):
    """Row CELL: F of the nearest reflections."""
    for p in range(WIDTH):
        i = np.ceil(work[H + p] - 0.5) - cell.h_min
        j = np.ceil(work[K + p] - 0.5) - cell.k_min
        m = np.ceil(work[L + p] - 0.5) - cell.l_min
        inside = (i >= 0.0) & (i < cell.h_range) & (j >= 0.0) & (j < cell.k_range) & (m >= 0.0) & (m < cell.l_range)
        inside = inside & (cell.has_hkl != 0)
        number = (i * cell.k_range + j) * cell.l_range + m
        F = flat[np.uint64(number if inside else 0.0)]
        work[CELL + p] = F if inside else cell.default_F


@device(fastmath=ORDERED, forceinline=True)
def four(flat, at):
    """Four reflections, one after the other along l."""
    return flat[at], flat[at + np.uint64(1)], flat[at + np.uint64(2)], flat[at + np.uint64(3)]


@device(fastmath=ORDERED, forceinline=True)
def sheet(flat, at, row):
    """Sixteen reflections of one h: rows along l, ``row`` numbers apart."""
    return four(flat, at), four(flat, at + row), four(flat, at + row + row), four(flat, at + row + row + row)


@device(fastmath=ORDERED, forceinline=True)
def cubic(w, F):
    """Cubic through four values."""
    return w[0] * F[0] + w[1] * F[1] + w[2] * F[2] + w[3] * F[3]


@device(fastmath=ORDERED, forceinline=True)
def bicubic(wk, wl, F):
    """Cubics along l, and one along k through them."""
    return wk[0] * cubic(wl, F[0]) + wk[1] * cubic(wl, F[1]) + wk[2] * cubic(wl, F[2]) + wk[3] * cubic(wl, F[3])


@device(fastmath=ORDERED, forceinline=True)
def tricubic_eight(work, flat, cell, p, corner):
    """Row CELL of those of eight pixels from ``p`` on whose first reflection has the number ``corner``."""
    row, step = np.uint64(cell.l_range), np.uint64(cell.k_range * cell.l_range)
    at, base = np.uint64(corner), np.uint64(p)
    # all loads come before the loop: LLVM does not know that writing to ``work`` does not change ``flat``
    F0, F1 = sheet(flat, at, row), sheet(flat, at + step, row)
    F2, F3 = sheet(flat, at + step + step, row), sheet(flat, at + step + step + step, row)
    for j in range(8):
        i = base + np.uint64(j)
        h, k, l = work[np.uint64(H) + i], work[np.uint64(K) + i], work[np.uint64(L) + i]
        wh, wk, wl = cubic_weights(h - np.floor(h)), cubic_weights(k - np.floor(k)), cubic_weights(l - np.floor(l))
        value = wh[0] * bicubic(wk, wl, F0) + wh[1] * bicubic(wk, wl, F1)
        value += wh[2] * bicubic(wk, wl, F2) + wh[3] * bicubic(wk, wl, F3)
        same = work[np.uint64(NUMBER) + i] == corner
        work[np.uint64(CELL) + i] = value if same else work[np.uint64(CELL) + i]


@device(fastmath=ORDERED, forceinline=True)
def interpolate_strip(work, flat, cell, beam, last):
    """Row CELL: F between the reflections; returns whether a term of the first ``last`` pixels was out of range.

    Neighbouring pixels mostly lie between the same 64 reflections: eight are computed together for each set that one
    of them needs.
    """
    beyond = 0
    for p in range(WIDTH):
        h, k, l = work[H + p], work[K + p], work[L + p]
        inside = in_range(cell, h, k, l)
        number = (np.floor(h) - cell.h_min - 1.0) * cell.k_range + (np.floor(k) - cell.k_min - 1.0)
        number = number * cell.l_range + (np.floor(l) - cell.l_min - 1.0)
        work[NUMBER + p] = number if inside else -1.0
        beyond += 0 if inside else 1
    out = False
    if beyond > 0:
        nearest_strip(work, flat, cell)
        for p in range(last):
            needed = work[CUT + p] == 0.0 and (beam.has_water or work[LATT + p] != 0.0)
            out = out or (needed and work[NUMBER + p] < 0.0)
    for p in range(0, WIDTH, 8):
        j = 0
        while j < 8:
            corner = work[NUMBER + p + j]
            if corner >= 0.0:
                tricubic_eight(work, flat, cell, p, corner)
            while j < 8 and work[NUMBER + p + j] == corner:
                j += 1
    return out


@device(fastmath=ORDERED, forceinline=True)
def add_strip(work, beam):
    """Add a term to the sums, and multiply these by the factors."""
    for p in range(WIDTH):
        latt, F, total = work[LATT + p], work[CELL + p], work[TOTAL + p]
        skip = (work[CUT + p] != 0.0) | ((latt == 0.0) & (beam.has_water == 0))
        # the order of the reference's product matters where a term underflows
        value = (total + F * F * latt * latt * work[WEIGHT + p]) * work[FACTOR + p]
        work[TOTAL + p] = total if skip else value


@device(fastmath=ORDERED, forceinline=True)
def strip_values(work, s, f, last, panel, crystal, cell, beam, sources, orientations, flat, interpolating):
    """Photons of the strip that begins at pixel (s, f), into row TOTAL.

    Returns False, with nothing of use, where one of its first ``last`` pixels ends interpolation for the run.
    """
    for p in range(WIDTH):
        work[TOTAL + p] = 0.0 if beam.per_term else beam.I_bg
        work[POLAR + p] = 1.0 if beam.nopolar else 0.0
        work[CAPTURE + p] = 1.0
    n = panel.oversample
    for step in range(panel.layers * n * n):
        layer, sub = step // (n * n), step % (n * n)
        trace_strip(work, panel, s, f, layer, sub // n, sub % n)
        with_omega = step == 0 or beam.oversample_omega or beam.per_term
        with_capture = panel.has_thickness and (sub == 0 or beam.oversample_thick or beam.per_term)
        correct_strip(work, panel, layer, with_omega, with_capture)
        for i in range(sources.shape[0]):
            weigh_strip(work, beam, sources, i)
            for m in range(orientations.shape[0]):
                index_strip(work, crystal, orientations, m, sources, i)
                if not interpolating:
                    nearest_strip(work, flat, cell)
                elif interpolate_strip(work, flat, cell, beam, last) and not cell.fallback_each:
                    return False
                add_strip(work, beam)
    for p in range(WIDTH):
        work[TOTAL + p] = photons(beam, work[TOTAL + p], work[CAPTURE + p], work[POLAR + p], work[OMEGA + p])
    return True
