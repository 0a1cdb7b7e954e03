"""The sums over a pixel's terms from which every derivative of the image follows, for CPU and CUDA alike.

A term is T = W F^2 L, W being its weight (corrections and source), L the squared lattice factor at the fractional indices
h = A q of the orientation's cell vectors A (rows a, b, c), and q = (d - s) / lambda. With g = dT/dh:

==========  ==================================  ===========================================================
``BRAGG``   sum of T                            scale
``GROUND``  sum of the weights times ``I_bg``   water
``TURNED``  sum of g_i h_j                      a change D A of all cell vectors changes the image by D : TURNED
``MOVED``   sum of dT/dx                        a shift of the panel, x being the place of the sub-pixel
``SWUNG``   sum of x cross dT/dx, and so on     a rotation of the panel about the crystal
``FORM``    sum of dT/dQ                        Q: metric of the spot (hh, kk, ll, hk, hl, kl); of a square crystal dT/dN
``KAHN``    sum of dT/dK                        Kahn factor
``SHIFTED``  sum of dT/dlambda                  a shift of all wavelengths
``TILTED``  sum of s cross dT/ds, and so on     a rotation of the beams, with their polarization, about the crystal
``DEBYE``   sum of T |h0|^2                     B factor
``SPUN``    sum of w_m . (a cross q) g          rotations w_m of each orientation: mosaic spread, range of phi
==========  ==================================  ===========================================================

The weight does not depend on the orientation. So the sums over orientations are made first, of T (``LIT``) and of
A^T g (``PULL``), for a ray and a source; :func:`close_source` makes the other sums of them.

Sums and intermediate results are in one flat table, of rows of ``width`` pixels: 8 on the CPU, where loops over them
vectorize as LLVM sees that rows do not overlap, and 1 on CUDA, where the rows are registers.
"""

from __future__ import annotations

import math

import numpy as np

from nbnumba.kernels.formulas.absorption import parallax_of
from nbnumba.kernels.formulas.blocks import GAUSS
from nbnumba.kernels.formulas.geometry import bend, ray_to, subpixel_position
from nbnumba.kernels.formulas.lattice import metric_sqr
from nbnumba.kernels.formulas.resolution import cut_limit, is_cut, is_cut_by_length
from nbnumba.kernels.formulas.scattering import fractional_indices
from nbnumba.kernels.formulas.slopes import gauss_slope, grating_slope, round_slope
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.formulas.vec import cross, difference, dot, norm, row_vector, scaled
from nbnumba.kernels.formulas.weight_slopes import capture_slope, polarization_slopes
from nbnumba.kernels.jit.cpu import device

#: pixels that the CPU processes together
EIGHT = 8
#: rotations of the orientations that can be asked for together
SPINS = 4
# rows of the table: sums over orientations, those whose ray and source are fixed, and what is made of them
TURNED, FORM, DEBYE, SPUN = 0, 9, 15, 16
LIT, PULL = SPUN + SPINS, SPUN + SPINS + 1
BRAGG, GROUND, MOVED, SWUNG, KAHN, SHIFTED, TILTED = (PULL + i for i in (3, 4, 5, 8, 11, 12, 13))
#: number of sums
SUMS = TILTED + 3
# of a ray: direction, 1/distance, solid angle, absorbed share; logarithmic derivatives of the absorption with respect to
# the cosine of incidence, of the polarization with respect to ray and Kahn factor; scattering vector; weight of a term, and
# that times the squared peak unless the ray is cut
D, INVERSE, OMEGA, CAPTURE, CAPTURE_LOG, POLAR_LOG, KAHN_LOG, Q, WEIGHT, VALUE = (
    SUMS + i for i in (0, 3, 4, 5, 6, 7, 10, 11, 14, 15)
)
# of an orientation: squared structure factor; half the derivatives of it with respect to h, k, l, and its product with
# the squared lengths of the reflections, where it is interpolated; A^T g; whether it is still interpolated
CELL, CELL_SLOPE, CELL_LENGTH, G, SMOOTH = (VALUE + i for i in (1, 2, 5, 6, 9))
# of a pixel: slow and fast index
SLOW, FAST = SMOOTH + 1, SMOOTH + 2
#: rows of the table
ROWS = FAST + 1


@device(forceinline=True)
def clear(work, width, first, end):
    """Set rows to 0."""
    for row in range(first, end):
        for p in range(width):
            work[row * width + p] = 0.0


@device(forceinline=True)
def rows_of(table, row, width, p):
    """Three rows of a table, beginning with ``row``, at pixel ``p``: a vector."""
    return table[row * width + p], table[(row + 1) * width + p], table[(row + 2) * width + p]


@device(forceinline=True)
def put(table, row, width, p, vector):
    """Write a vector to three rows."""
    table[row * width + p], table[(row + 1) * width + p], table[(row + 2) * width + p] = vector


@device(forceinline=True)
def add(table, row, width, p, vector):
    """Add a vector to three rows."""
    table[row * width + p] += vector[0]
    table[(row + 1) * width + p] += vector[1]
    table[(row + 2) * width + p] += vector[2]


@device(forceinline=True)
def plus(u, factor, v):
    """u + factor v, for 3-tuples."""
    return u[0] + factor * v[0], u[1] + factor * v[1], u[2] + factor * v[2]


@device(forceinline=True)
def aim(work, width, panel, beam, sources, i, sub, peak, vector):
    """Rays of source ``i`` to a sub-pixel of each pixel, and the weights of their terms.

    ``sub``: layer, subS, subF; ``peak``: of the squared lattice factor. Without ``per_term`` the weights are 1, and nothing
    depends on the ray: :func:`close_pixel` applies the corrections.
    """
    source, frame = ray_source(beam, sources, i)
    if panel.curved:
        for p in range(width):
            s, f = work[SLOW * width + p], work[FAST * width + p]
            position = bend(panel, subpixel_position(panel, s, f, sub[0], sub[1], sub[2]))
            put_ray(work, width, p, panel, beam, source, frame, position, sub[0], peak, vector)
    else:  # apart: with both in it the loop would not be vectorized
        for p in range(width):
            s, f = work[SLOW * width + p], work[FAST * width + p]
            position = subpixel_position(panel, s, f, sub[0], sub[1], sub[2])
            put_ray(work, width, p, panel, beam, source, frame, position, sub[0], peak, vector)


@device(forceinline=True)
def ray_source(beam, sources, i):
    """A source, as :func:`put_ray` takes it: direction, 1/wavelength, share and limit of the resolution; its frame."""
    source = (row_vector(sources, i, 0), 1.0 / sources[i, 3], sources[i, 4], cut_limit(sources[i, 3], beam.dmin))
    return source, (row_vector(sources, i, 5), row_vector(sources, i, 8))


@device(forceinline=True)
def put_ray(work, width, p, panel, beam, source, frame, position, layer, peak, vector):
    """Write the rows of one ray, all in one loop: short loops are unrolled before they can be vectorized.

    ``source``, ``frame``: of :func:`ray_source`; the frame is the directions of E and B.
    """
    incident, inverse, share, limit = source
    airpath, d = ray_to(position)
    put(work, D, width, p, d)
    work[INVERSE * width + p] = 1.0 / airpath
    omega = omega_pixel(panel, airpath)
    captured, slope = 1.0, 0.0
    if panel.has_thickness:
        captured, slope = capture_slope(panel, layer, parallax_of(panel, d), vector)
    work[OMEGA * width + p] = omega
    work[CAPTURE * width + p], work[CAPTURE_LOG * width + p] = captured, slope
    change = difference(d, incident)
    put(work, Q, width, p, scaled(change, inverse))
    polarized = 1.0 if beam.per_term and not beam.nopolar else 0.0
    polar, with_ray, with_kahn = polarization_slopes(beam.kahn_factor, incident, d, frame[0], frame[1])
    put(work, POLAR_LOG, width, p, scaled(with_ray, polarized))
    work[KAHN_LOG * width + p] = with_kahn * polarized
    weight = omega * captured * share if beam.per_term else 1.0
    weight *= polar if polarized else 1.0
    work[WEIGHT * width + p] = weight
    work[VALUE * width + p] = 0.0 if is_cut(dot(change, change), limit) else peak * weight


@device(forceinline=True)
def nearest_cells(work, width, axes, cell, F2):
    """Row CELL: F^2 of the reflections nearest to the rays. ``F2``: as of ``structure.F2_at``."""
    low = (float(cell.h_min), float(cell.k_min), float(cell.l_min))
    sizes = (float(cell.h_range), float(cell.k_range), float(cell.l_range))
    for p in range(width):
        h, k, l = fractional_indices(axes, rows_of(work, Q, width, p))
        h, k, l = math.ceil(h - 0.5) - low[0], math.ceil(k - 0.5) - low[1], math.ceil(l - 0.5) - low[2]
        inside = (h >= 0.0) & (h < sizes[0]) & (k >= 0.0) & (k < sizes[1]) & (l >= 0.0) & (l < sizes[2])
        number = 1.0 + (h * sizes[1] + k) * sizes[2] + l
        work[CELL * width + p] = number if inside & (cell.has_hkl != 0) else 0.0
    for p in range(width):
        work[CELL * width + p] = F2[np.uint32(work[CELL * width + p])]


@device(forceinline=True)
def add_terms(work, width, axes, origin, crystal, metric, end, round_, smooth, vector):
    """Add the terms of an orientation.

    ``axes``: a, b, c (m). ``origin``: the reflection, or None for the nearest one. ``metric``: None for square crystals.
    ``end``: squared radius at which compact spots end. ``round_``, ``smooth``, ``vector``: 1, or None; of the shape,
    whether F is interpolated, and as in :mod:`nbnumba.kernels.formulas.slopes`.
    """
    for p in range(width):
        q, value = rows_of(work, Q, width, p), work[VALUE * width + p]
        index = fractional_indices(axes, q)
        whole = nearest_whole(index) if origin is None else origin
        d = difference(index, whole)
        if metric is not None:
            profile, g, form = radial_term(d, metric, crystal.shape == GAUSS, end, round_, vector)
            for j in range(6):
                work[(FORM + j) * width + p] += value * work[CELL * width + p] * form[j]
        else:
            profile, g, form = square_term(d, (crystal.Na, crystal.Nb, crystal.Nc))
            for j in range(3):
                work[(FORM + j) * width + p] += value * work[CELL * width + p] * form[j]
        term, slope = value * work[CELL * width + p] * profile, value * work[CELL * width + p]
        g = (slope * g[0], slope * g[1], slope * g[2])
        if smooth is not None:
            g = plus(g, 2.0 * value * profile, rows_of(work, CELL_SLOPE, width, p))
            work[DEBYE * width + p] += value * profile * work[CELL_LENGTH * width + p]
        else:
            work[DEBYE * width + p] += term * reciprocal_sqr(crystal, whole)
        for i in range(3):
            add(work, TURNED + 3 * i, width, p, (g[i] * index[0], g[i] * index[1], g[i] * index[2]))
        pull = lab_vector(axes, g)
        work[LIT * width + p] += term
        add(work, PULL, width, p, pull)
        put(work, G, width, p, pull)


@device(forceinline=True)
def nearest_whole(index):
    """The reflection nearest to the indices; a half belongs to the lower one."""
    return math.ceil(index[0] - 0.5), math.ceil(index[1] - 0.5), math.ceil(index[2] - 0.5)


@device(forceinline=True)
def lab_vector(axes, g):
    """A^T g."""
    a, b, c = axes
    return (
        g[0] * a[0] + g[1] * b[0] + g[2] * c[0],
        g[0] * a[1] + g[1] * b[1] + g[2] * c[1],
        g[0] * a[2] + g[1] * b[2] + g[2] * c[2],
    )


@device(forceinline=True)
def reciprocal_sqr(crystal, index):
    """Squared length of a reflection's reciprocal vector, 1/A^2."""
    h, k, l = index
    squared = crystal.G11 * h * h + crystal.G22 * k * k + crystal.G33 * l * l
    return squared + 2.0 * (crystal.G12 * h * k + crystal.G13 * h * l + crystal.G23 * k * l)


@device(forceinline=True)
def radial_term(d, metric, gauss, end, round_, vector):
    """Profile at an offset ``d`` from a reflection, and its derivatives with respect to ``d`` and to the metric."""
    h, k, l = d
    r = metric_sqr(h, k, l, metric)
    if round_ is not None:
        profile, slope = round_slope(r)
    else:
        profile, slope = gauss_slope(r, vector)
        inside = 1.0 if r < end else 0.0
        profile, slope = (profile * inside, slope * inside) if gauss else (inside, 0.0)
    g = (
        slope * (2.0 * metric.hh * h + metric.hk * k + metric.hl * l),
        slope * (2.0 * metric.kk * k + metric.hk * h + metric.kl * l),
        slope * (2.0 * metric.ll * l + metric.hl * h + metric.kl * k),
    )
    return profile, g, (slope * h * h, slope * k * k, slope * l * l, slope * h * k, slope * h * l, slope * k * l)


@device(forceinline=True)
def square_term(d, N):
    """As :func:`radial_term`, of a square crystal; the derivatives of the second kind are those with respect to N."""
    a, along_a, with_Na = grating_slope(d[0], N[0])
    b, along_b, with_Nb = grating_slope(d[1], N[1])
    c, along_c, with_Nc = grating_slope(d[2], N[2])
    return (
        a * b * c,
        (along_a * b * c, a * along_b * c, a * b * along_c),
        (with_Na * b * c, a * with_Nb * c, a * b * with_Nc),
    )


@device(forceinline=True)
def add_spins(work, width, spins, m):
    """Add what the rotations ``spins`` (orientations, 3 SPINS) of orientation ``m`` change, after :func:`add_terms`."""
    first, second = row_vector(spins, m, 0), row_vector(spins, m, 3)
    third, fourth = row_vector(spins, m, 6), row_vector(spins, m, 9)
    for p in range(width):
        moment = cross(rows_of(work, G, width, p), rows_of(work, Q, width, p))
        work[SPUN * width + p] += dot(first, moment)
        work[(SPUN + 1) * width + p] += dot(second, moment)
        work[(SPUN + 2) * width + p] += dot(third, moment)
        work[(SPUN + 3) * width + p] += dot(fourth, moment)


@device(forceinline=True)
def close_source(work, width, panel, beam, sources, i, I_bg):
    """Make the sums that depend on the ray of what the orientations added, and begin again.

    ``I_bg``: background that every term adds, 0 without ``per_term``.
    """
    incident, inverse = row_vector(sources, i, 0), 1.0 / sources[i, 3]
    normal = (panel.odet_x, panel.odet_y, panel.odet_z)
    fall = (2.0 if panel.point_pixel else 3.0) if beam.per_term else 0.0
    absorbing = 1.0 if beam.per_term else 0.0
    for p in range(width):
        lit, ground = work[LIT * width + p], I_bg * work[WEIGHT * width + p]
        work[BRAGG * width + p] += lit
        work[GROUND * width + p] += ground
        d, q, pull = rows_of(work, D, width, p), rows_of(work, Q, width, p), rows_of(work, PULL, width, p)
        turn = (pull[0] * inverse, pull[1] * inverse, pull[2] * inverse)
        work[SHIFTED * width + p] -= dot(turn, q)
        work[KAHN * width + p] += (lit + ground) * work[KAHN_LOG * width + p]
        polar = scaled(rows_of(work, POLAR_LOG, width, p), lit + ground)
        add(work, TILTED, width, p, difference(cross(turn, incident), cross(d, polar)))
        turn = plus(turn, 1.0, polar)
        add(work, SWUNG, width, p, cross(d, turn))
        turn = plus(turn, (lit + ground) * work[CAPTURE_LOG * width + p] * absorbing, normal)
        add(work, MOVED, width, p, moved(d, work[INVERSE * width + p], turn, fall * (lit + ground)))
        work[LIT * width + p] = 0.0
        put(work, PULL, width, p, (0.0, 0.0, 0.0))


@device(forceinline=True)
def moved(d, inverse, turn, fall):
    """Derivative with respect to the place of a sub-pixel, of one with respect to its direction and a power of distance.

    ``turn``: derivative with respect to the direction ``d``; ``fall``: minus that with respect to the logarithm of the distance.
    """
    along = dot(turn, d) + fall
    return (turn[0] - along * d[0]) * inverse, (turn[1] - along * d[1]) * inverse, (turn[2] - along * d[2]) * inverse


@device(forceinline=True)
def scale_all(work, width, p, factor):
    """Multiply all results of a pixel."""
    for row in range(SUMS):
        work[row * width + p] *= factor


@device(forceinline=True)
def last_polarization_slopes(panel, beam, sources, s, f):
    """Polarization that the reference applies last, its logarithmic derivatives, and its ray's direction and 1/distance.

    Of the first source and sub-pixel that the resolution limit leaves; 0 where there is none.
    """
    for step in range(panel.layers * panel.oversample * panel.oversample):
        layer, sub = step // (panel.oversample * panel.oversample), step % (panel.oversample * panel.oversample)
        position = subpixel_position(panel, s, f, layer, sub // panel.oversample, sub % panel.oversample)
        airpath, d = ray_to(bend(panel, position) if panel.curved else position)
        for i in range(sources.shape[0]):
            incident = row_vector(sources, i, 0)
            if not is_cut_by_length(norm(difference(d, incident)) / sources[i, 3], beam.dmin):
                E_in, B_in = row_vector(sources, i, 5), row_vector(sources, i, 8)
                polar, with_ray, with_kahn = polarization_slopes(beam.kahn_factor, incident, d, E_in, B_in)
                if polar != 0.0:
                    return polar, with_ray, with_kahn, d, 1.0 / airpath
    return 0.0, (0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 1.0), 1.0


@device
def close_pixel(work, width, panel, beam, sources, vector):
    """Scale the sums to photons, and apply what the reference applies last to a pixel: solid angle, absorption, polarization."""
    if not beam.per_term:
        for p in range(width):
            work[GROUND * width + p] = beam.I_bg
        fall = 2.0 if panel.point_pixel else 3.0
        aim(work, width, panel, beam, sources, 0, (0, 0, 0), 0.0, vector)
        for p in range(width):
            scale_all(work, width, p, work[OMEGA * width + p])
            total = work[BRAGG * width + p] + work[GROUND * width + p]
            d = rows_of(work, D, width, p)
            add(work, MOVED, width, p, moved(d, work[INVERSE * width + p], (0.0, 0.0, 0.0), fall * total))
        if panel.has_thickness:
            aim(work, width, panel, beam, sources, 0, (panel.layers - 1, 0, 0), 0.0, vector)
            for p in range(width):
                scale_all(work, width, p, work[CAPTURE * width + p])
                total = work[BRAGG * width + p] + work[GROUND * width + p]
                d, slope = rows_of(work, D, width, p), total * work[CAPTURE_LOG * width + p]
                normal = (panel.odet_x * slope, panel.odet_y * slope, panel.odet_z * slope)
                add(work, MOVED, width, p, moved(d, work[INVERSE * width + p], normal, 0.0))
        if not beam.nopolar:
            for p in range(width):
                close_polarization(work, width, p, panel, beam, sources)
    for p in range(width):
        scale_all(work, width, p, beam.scale)


@device(forceinline=True)
def close_polarization(work, width, p, panel, beam, sources):
    """Apply the polarization that the reference applies last."""
    s, f = work[SLOW * width + p], work[FAST * width + p]
    polar, with_ray, with_kahn, d, inverse = last_polarization_slopes(panel, beam, sources, s, f)
    scale_all(work, width, p, polar)
    total = work[BRAGG * width + p] + work[GROUND * width + p]
    slope = scaled(with_ray, total)
    work[KAHN * width + p] += total * with_kahn
    add(work, MOVED, width, p, moved(d, inverse, slope, 0.0))
    add(work, SWUNG, width, p, cross(d, slope))
    add(work, TILTED, width, p, cross(slope, d))
