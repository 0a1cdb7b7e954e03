"""Compact spots on the CPU, reflection by reflection: GAUSS and TOPHAT crystals on flat panels.

Problem: such spots are zero to float32 but for a few pixels each, and a kernel that asks every pixel for every
orientation spends its time on nothing.

Choice: for each pair of a source and an orientation, the lattice points within the spot's radius of the Ewald sphere are
found by solving for the third index (:func:`walk_shell`); each has a footprint on the panel, a box of pixels around the
place where its ray meets it (:func:`footprint`); and only these pixels are evaluated, with the formula and the test for
the nearest lattice point of any other kernel (:func:`nbnumba.kernels.spots_paint.paint_row`). Nothing is dropped that lies within the radius: the
box holds the cone of all rays that come so close.

Footprints are sorted into bands of rows. A thread owns a band and adds its footprints in the order of source,
orientation and index, so that neither the number of threads nor the region of interest changes a bit of a pixel. Pairs
are taken in batches, so that the list of footprints stays small. Gaussian spots end at 7e-13 of their peak.

Cost: a float64 sum for every pixel of the region, and 40 bytes for each of up to a million footprints. Misuse: a curved
panel, axes that are not at right angles, or spots wider than :data:`WIDEST`; ``variants.choose_variant`` takes the tiles
of :mod:`nbnumba.kernels.fast_tiles` for those.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import prange

from nbnumba.kernels._jit import device, kernel, plain
from nbnumba.kernels.blocks import GAUSS, TOPHAT
from nbnumba.kernels.fast_tiles import F2_at, spot_metric
from nbnumba.kernels.lattice import TOPHAT_EDGE
from nbnumba.kernels.spots_paint import BAND, F0, F1, PAIR, S0, S1, SPOT_END, H, K, L, paint_spots
from nbnumba.kernels.vec import dot, norm

#: largest radius of a spot, in h, k or l: beyond, tiles are as fast, and at 1/2 neighbours meet
WIDEST = 0.3
#: lattice points near the sphere in a batch, about
BATCH = 1e6


def spot_radius(crystal, cells):
    """Radius in reciprocal space (1/m) within which a spot is rendered, and the largest of it in h, k, l."""
    with np.errstate(all="ignore"):  # as compiled: cells and sizes beyond all measure make infinities
        squares, products, _ = map(np.array, plain(spot_metric)(crystal._make(map(np.float64, crystal))))
    form = np.diag(squares)
    form[[0, 0, 1], [1, 2, 2]] = form[[1, 2, 2], [0, 0, 1]] = products / 2
    vectors = cells[0].reshape(3, 3)
    least = np.linalg.eigvalsh(vectors.T @ form @ vectors)[0]
    end = SPOT_END if crystal.shape == GAUSS else TOPHAT_EDGE
    radius = math.sqrt(end / least) if least > 0 else math.inf
    return radius, radius * float(np.linalg.norm(vectors, axis=1).max())


def is_for(inputs) -> bool:
    """Whether this kernel can render a panel, and is the faster one."""
    panel = inputs.panel
    if inputs.crystal.shape not in (GAUSS, TOPHAT) or panel.curved:
        return False
    axes = np.array(panel[3:12]).reshape(3, 3)
    return np.abs(axes @ axes.T - np.eye(3)).max() < 1e-9 and spot_radius(inputs.crystal, inputs.cells)[1] <= WIDEST


@device
def shell_roots(cc, cv, vv, R):
    """Where the line c + t v enters and leaves a sphere of radius R about 0; the first beyond the second if nowhere."""
    square = cv * cv - vv * (cc - R * R)
    if square < 0.0:
        return 1.0, 0.0
    root = math.sqrt(square)
    return (-cv - root) / vv, (-cv + root) / vv


@device
def index_range(axis, middle, cosine, incident, inverse, margin):
    """Lowest and highest index along ``axis`` (m) among the rays of a cone about ``middle``, ``margin`` included."""
    length = norm(axis)
    angle = math.acos(min(max(dot(axis, middle) / length, -1.0), 1.0))
    half = math.acos(cosine)
    low = (length * math.cos(min(angle + half, math.pi)) - dot(axis, incident)) * inverse - margin * length
    high = (length * math.cos(max(angle - half, 0.0)) - dot(axis, incident)) * inverse + margin * length
    return int(math.ceil(low)), int(math.floor(high))


@device
def footprint(panel, x, y, z, wavelength, radius):
    """Box of pixels (f0, f1, s0, s1), ends excluded, that can be within ``radius`` of a lattice point; empty if none.

    (x, y, z): the lattice point seen from the sphere's middle (1/m). A ray at the angle g from it is the farther away
    from the lattice point the larger g is; the rays within ``radius`` are a cone, and the cone meets the plane
    at most D sin g / (cos t cos(t + g)) from its middle ray, t being that ray's angle to the normal.
    """
    length = norm((x, y, z)) * wavelength
    near = (wavelength * radius) ** 2 - (length - 1.0) ** 2
    if near <= 0.0:
        return 0, 0, 0, 0
    sine_half = math.sqrt(near / (4.0 * length))
    scale = wavelength / length
    x, y, z = x * scale, y * scale, z * scale
    sin_g = 2.0 * sine_half * math.sqrt(max(1.0 - sine_half * sine_half, 0.0))
    cos_g = 1.0 - 2.0 * sine_half * sine_half
    cos_t = x * panel.odet_x + y * panel.odet_y + z * panel.odet_z
    sin_t = math.sqrt(max(1.0 - cos_t * cos_t, 0.0))
    cos_far = cos_t * cos_g - sin_t * sin_g
    if cos_t <= 0.0 and cos_t * cos_g + sin_t * sin_g <= 0.0:
        return 0, 0, 0, 0
    if cos_far < 0.01:  # grazing rays: the whole panel
        return panel.f0, panel.f1, panel.s0, panel.s1
    to_corner = (panel.pix0_x, panel.pix0_y, panel.pix0_z)
    front = dot(to_corner, (panel.odet_x, panel.odet_y, panel.odet_z)) + panel.first_depth
    back = front + (panel.layers - 1) * panel.layer_step
    reach = back * sin_g / (cos_t * cos_far) / panel.pixel_size + 1e-6
    along_f = x * panel.fdet_x + y * panel.fdet_y + z * panel.fdet_z
    along_s = x * panel.sdet_x + y * panel.sdet_y + z * panel.sdet_z
    corner_f = dot(to_corner, (panel.fdet_x, panel.fdet_y, panel.fdet_z))
    corner_s = dot(to_corner, (panel.sdet_x, panel.sdet_y, panel.sdet_z))
    f_front, f_back = along_f / cos_t * front - corner_f, along_f / cos_t * back - corner_f
    s_front, s_back = along_s / cos_t * front - corner_s, along_s / cos_t * back - corner_s
    f0 = max(math.floor(min(f_front, f_back) / panel.pixel_size - reach), float(panel.f0))
    f1 = min(math.floor(max(f_front, f_back) / panel.pixel_size + reach) + 1.0, float(panel.f1))
    s0 = max(math.floor(min(s_front, s_back) / panel.pixel_size - reach), float(panel.s0))
    s1 = min(math.floor(max(s_front, s_back) / panel.pixel_size + reach) + 1.0, float(panel.s1))
    return int(f0), int(f1), int(s0), int(s1)


@device
def is_bright(F2, cell, h, k, l):
    """Whether a reflection has a structure factor at all."""
    return F2_at(F2, cell, h - cell.h_min, k - cell.k_min, l - cell.l_min) != 0.0


@device
def walk_shell(found, at, room, pair, panel, cell, sources, i, vectors, stars, m, cone, radius, F2):
    """Footprints of one source and orientation: their number; the first ``room`` are written from row ``at`` on.

    ``cone``: middle and cosine of the half angle of a cone that holds the panel.
    """
    wavelength = sources[i, 3]
    R = 1.0 / wavelength
    incident = (sources[i, 0], sources[i, 1], sources[i, 2])
    middle, cosine = (cone[0], cone[1], cone[2]), cone[3]
    low_h, high_h = index_range((vectors[m, 0], vectors[m, 1], vectors[m, 2]), middle, cosine, incident, R, radius)
    low_k, high_k = index_range((vectors[m, 3], vectors[m, 4], vectors[m, 5]), middle, cosine, incident, R, radius)
    low_l, high_l = index_range((vectors[m, 6], vectors[m, 7], vectors[m, 8]), middle, cosine, incident, R, radius)
    # lines along the axis with the widest range, for then they are fewest: o and p number them, q runs along them
    low_o, high_o, low_p, high_p, low_q, high_q, o, p, q = low_h, high_h, low_k, high_k, low_l, high_l, 0, 3, 6
    if high_h - low_h > max(high_k - low_k, high_l - low_l):
        low_o, high_o, low_q, high_q, o, q = low_l, high_l, low_h, high_h, 6, 0
    elif high_k - low_k > high_l - low_l:
        low_p, high_p, low_q, high_q, p, q = low_l, high_l, low_k, high_k, 6, 3
    v = (stars[m, q], stars[m, q + 1], stars[m, q + 2])
    vv = dot(v, v)
    n = 0
    for u in range(low_o, high_o + 1):
        for w in range(low_p, high_p + 1):
            x = incident[0] * R + u * stars[m, o] + w * stars[m, p]
            y = incident[1] * R + u * stars[m, o + 1] + w * stars[m, p + 1]
            z = incident[2] * R + u * stars[m, o + 2] + w * stars[m, p + 2]
            cc, cv = x * x + y * y + z * z, x * v[0] + y * v[1] + z * v[2]
            enter, leave = shell_roots(cc, cv, vv, R + radius)
            if enter > leave:
                continue
            inner_enter, inner_leave = shell_roots(cc, cv, vv, R - radius)
            if inner_enter > inner_leave:
                inner_enter = inner_leave = leave
            for side in range(2):
                first = max(int(math.ceil(enter if side == 0 else inner_leave)), low_q)
                last = min(int(math.floor(inner_enter if side == 0 else leave)), high_q)
                if side == 1 and inner_leave >= leave:
                    break
                for t in range(first, last + 1):
                    f0, f1, s0, s1 = footprint(panel, x + t * v[0], y + t * v[1], z + t * v[2], wavelength, radius)
                    if f0 >= f1 or s0 >= s1:
                        continue
                    h = u if o == 0 else (w if p == 0 else t)
                    k = u if o == 3 else (w if p == 3 else t)
                    l = u if o == 6 else (w if p == 6 else t)
                    if not is_bright(F2, cell, h, k, l):
                        continue
                    if n < room:
                        row = at + n
                        found[row, PAIR], found[row, H], found[row, K], found[row, L] = pair, h, k, l
                        found[row, F0], found[row, F1], found[row, S0], found[row, S1] = f0, f1, s0, s1
                    n += 1
    return n


@kernel()
def find_spots(found, counts, first, panel, cell, sources, vectors, stars, cone, radius, F2):
    """List the footprints of the pairs from ``first`` on.

    Parameters
    ----------
    found : (pairs * room, 8) int32
        Each pair has the same number of rows; what does not fit is counted and not written.
    counts : (pairs,) int64
        Set to the number of footprints of each pair.
    """
    room = found.shape[0] // counts.shape[0]
    for j in prange(counts.shape[0]):
        pair = first + j
        i, m = pair // vectors.shape[0], pair % vectors.shape[0]
        counts[j] = walk_shell(
            found, j * room, room, pair, panel, cell, sources, i, vectors, stars, m, cone, radius, F2
        )


@kernel(parallel=False)
def sort_spots(found, counts, s0, n_bands):
    """Rows of ``found`` that touch each band, band by band.

    Returns
    -------
    starts : (n_bands + 1,) int64
    sorted_ : (starts[-1],) int64
        Those of band b are ``sorted_[starts[b] : starts[b + 1]]``, in the order of ``found``.
    """
    room = found.shape[0] // counts.shape[0]
    starts = np.zeros(n_bands + 1, np.int64)
    for j in range(counts.shape[0]):
        for row in range(j * room, j * room + counts[j]):
            for band in range((found[row, S0] - s0) // BAND, (found[row, S1] - 1 - s0) // BAND + 1):
                starts[band + 1] += 1
    for band in range(n_bands):
        starts[band + 1] += starts[band]
    sorted_, place = np.empty(starts[-1], np.int64), starts.copy()
    for j in range(counts.shape[0]):
        for row in range(j * room, j * room + counts[j]):
            for band in range((found[row, S0] - s0) // BAND, (found[row, S1] - 1 - s0) // BAND + 1):
                sorted_[place[band]] = row
                place[band] += 1
    return starts, sorted_


def viewing_cone(panel):
    """Middle direction and cosine of the half angle of a cone that holds the rendered part of a flat panel, (4,)."""
    axes = np.array(panel[:12]).reshape(4, 3)
    depth = panel.first_depth + (panel.layers - 1) * panel.layer_step
    f, s, z = np.meshgrid((panel.f0, panel.f1), (panel.s0, panel.s1), (0.0, depth / panel.pixel_size))
    shifts = np.stack([f.ravel(), s.ravel(), z.ravel()], axis=1) * panel.pixel_size
    places = axes[0] + shifts @ axes[1:]
    rays = places / np.linalg.norm(places, axis=1)[:, None]
    middle = rays.mean(axis=0)
    middle /= np.linalg.norm(middle)
    return np.array([*middle, max(-1.0, float((rays @ middle).min()) - 1e-9)])


def render_spots(image, panel, crystal, cell, beam, sources, cells, F2, mask, row0, row1, progress=None):
    """Render rows ``row0 <= s < row1``; arguments as of ``cpu_fast.render_fast64``.

    ``progress`` is called with the share of the pairs that are done.
    """
    panel = panel._replace(s0=max(row0, panel.s0), s1=max(min(row1, panel.s1), max(row0, panel.s0)))
    rows, columns = panel.s1 - panel.s0, max(panel.f1 - panel.f0, 0)
    stars = np.ascontiguousarray(np.linalg.inv(cells.reshape(-1, 3, 3)).transpose(0, 2, 1).reshape(-1, 9))
    radius = 1.000001 * spot_radius(crystal, cells)[0]
    cone = viewing_cone(panel)
    n_pairs = len(cells) * len(sources) if rows and columns else 0
    # lattice points near the sphere, for a pair: volume of the shell seen over that of a reciprocal cell
    shell = 4 * math.pi * radius / sources[:, 3].min() ** 2 * (1 - cone[3]) * abs(np.linalg.det(cells[0].reshape(3, 3)))
    room = int(1.2 * shell) + 32
    batch = int(min(max(BATCH / room, 1.0), max(n_pairs, 1)))
    n_bands = -(-rows // BAND)
    # a band for each thread where one batch is all; a row of eight pixels may reach beyond the region
    alone = n_pairs <= batch
    total = np.empty((numba.config.NUMBA_NUM_THREADS if alone else n_bands, BAND, columns + 8))  # type: ignore[attr-defined]
    geometry = (panel, cell, sources, cells, stars, cone, radius, F2)
    for first in range(0, max(n_pairs, 1), batch):
        counts = np.zeros(max(min(batch, n_pairs - first), 1), np.int64)
        found = np.empty((len(counts) * (room if n_pairs else 0), 8), np.int32)
        if n_pairs:
            find_spots(found, counts, first, *geometry)
            if counts.max() > room:
                room = int(counts.max())
                found = np.empty((len(counts) * room, 8), np.int32)
                find_spots(found, counts, first, *geometry)
        lists = sort_spots(found, counts, panel.s0, n_bands)
        last = first + batch >= n_pairs
        paint_spots(image, total, found, *lists, panel, crystal, cell, beam, sources, cells, F2, mask, first == 0, last)
        if progress is not None:
            progress(min(1.0, (first + batch) / max(n_pairs, 1)))
