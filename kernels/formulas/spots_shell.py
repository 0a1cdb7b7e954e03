"""Reflections near the Ewald sphere and their footprints on a flat panel: formulas of compact spots for CPU and CUDA.

A pair is a source and an orientation. The lattice points within the spot's radius of the sphere are found line by line:
two indices number the lines, and the third one is solved for (:func:`shell_lines`, :func:`line_ends`). Each point has a
footprint on the panel, a box of pixels around the point where its ray meets the panel (:func:`footprint`). No ray within the
radius is lost: the box contains the cone of all such rays.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nbnumba.kernels.formulas.blocks import GAUSS, TOPHAT
from nbnumba.kernels.formulas.lattice import GAUSS_WIDTH, NO_COUPLING, TOPHAT_EDGE, metric_sqr, spot_metric
from nbnumba.kernels.formulas.scattering import cell_axes, fractional_indices
from nbnumba.kernels.formulas.structure import F2_at
from nbnumba.kernels.formulas.vec import dot, norm, row_vector
from nbnumba.kernels.jit.cpu import device

#: largest radius of a spot, in h, k or l: beyond, tiles are as fast, and at 1/2 neighbours meet
WIDEST = 0.3
#: Gaussian spots end where the intensity is exp(-28) = 7e-13 of the peak, at this squared radius
SPOT_END = 14.0 * GAUSS_WIDTH
# columns of the list of footprints
PAIR, H, K, L, F0, F1, S0, S1 = range(8)


class Shell(NamedTuple):
    """Arguments of the search for reflections besides the parameter blocks.

    Attributes
    ----------
    reciprocal : (M, 9) float64
        Reciprocal vectors (1/m) of every orientation.
    cone : (4,) float64
        Middle direction and cosine of the half angle of a cone that holds the panel.
    radius : float
        Of the spots in reciprocal space (1/m), a little more than needed.
    points : float
        Expected number of lattice points near the sphere for a pair.
    """

    reciprocal: Any
    cone: Any
    radius: float
    points: float


def prepare_shell(panel, crystal, sources, orientations, coupling=NO_COUPLING):
    """The :class:`Shell` of the rendered part of a panel."""
    reciprocal = np.ascontiguousarray(np.linalg.inv(orientations.reshape(-1, 3, 3)).transpose(0, 2, 1).reshape(-1, 9))
    radius = 1.000001 * spot_radius(crystal, orientations, coupling)[0]
    cone = viewing_cone(panel)
    # volume of the shell seen over that of a reciprocal cell
    points = 4 * math.pi * radius / sources[:, 3].min() ** 2 * (1 - cone[3])
    return Shell(reciprocal, cone, radius, points * abs(np.linalg.det(orientations[0].reshape(3, 3))))


def spot_radius(crystal, orientations, coupling=NO_COUPLING):
    """Radius in reciprocal space (1/m) within which a spot is rendered, and the largest of it in h, k, l.

    ``coupling``: as of ``lattice.size_matrix``.
    """
    metric = spot_metric(crystal, coupling)
    form = np.diag(metric[:3])
    form[[0, 0, 1], [1, 2, 2]] = form[[1, 2, 2], [0, 0, 1]] = np.array(metric[3:6]) / 2
    orientations = orientations[0].reshape(3, 3)
    least = np.linalg.eigvalsh(orientations.T @ form @ orientations)[0]
    end = SPOT_END if crystal.shape == GAUSS else TOPHAT_EDGE
    radius = math.sqrt(end / least) if least > 0 else math.inf
    return radius, radius * float(np.linalg.norm(orientations, axis=1).max())


def is_for(inputs) -> bool:
    """Whether a panel can be rendered reflection by reflection, and is faster that way."""
    panel = inputs.panel
    if inputs.crystal.shape not in (GAUSS, TOPHAT) or panel.curved:
        return False
    axes = np.array(panel[3:12]).reshape(3, 3)
    if np.abs(axes @ axes.T - np.eye(3)).max() >= 1e-9:
        return False
    return spot_radius(inputs.crystal, inputs.cells, inputs.coupling)[1] <= WIDEST


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


@device
def index_range(axis, middle, cosine, incident, inverse, margin):
    """Lowest and highest index along ``axis`` (m) among the rays of a cone about ``middle``, ``margin`` included."""
    length = norm(axis)
    angle = math.acos(min(max(dot(axis, middle) / length, -1.0), 1.0))
    half = math.acos(cosine)
    low = (length * math.cos(min(angle + half, math.pi)) - dot(axis, incident)) * inverse - margin * length
    high = (length * math.cos(max(angle - half, 0.0)) - dot(axis, incident)) * inverse + margin * length
    return int(math.ceil(low)), int(math.floor(high))


@device(forceinline=True)
def footprint(panel, x, y, z, wavelength, radius):
    """Box of pixels (f0, f1, s0, s1), ends excluded, that can be within ``radius`` of a lattice point; empty if none.

    (x, y, z): the lattice point seen from the sphere's middle (1/m). A ray at the angle g from it is the farther away
    from the lattice point the larger g is; the rays within ``radius`` are a cone, and the cone meets the plane
    at most D sin g / (cos t cos(t + g)) from its middle ray, t being that ray's angle to the normal.

    There is no branch, so that loops over lattice points vectorize.
    """
    length = norm((x, y, z)) * wavelength
    near = (wavelength * radius) ** 2 - (length - 1.0) ** 2
    sine_half = math.sqrt(max(near, 0.0) / (4.0 * length))
    scale = wavelength / length
    x, y, z = x * scale, y * scale, z * scale
    sin_g = 2.0 * sine_half * math.sqrt(max(1.0 - sine_half * sine_half, 0.0))
    cos_g = 1.0 - 2.0 * sine_half * sine_half
    cos_t = x * panel.odet_x + y * panel.odet_y + z * panel.odet_z
    sin_t = math.sqrt(max(1.0 - cos_t * cos_t, 0.0))
    cos_far, cos_near = cos_t * cos_g - sin_t * sin_g, cos_t * cos_g + sin_t * sin_g
    empty = (near <= 0.0) | ((cos_t <= 0.0) & (cos_near <= 0.0))
    grazing = cos_far < 0.01  # the whole panel
    to_corner = (panel.pix0_x, panel.pix0_y, panel.pix0_z)
    front = dot(to_corner, (panel.odet_x, panel.odet_y, panel.odet_z)) + panel.first_depth
    back = front + (panel.layers - 1) * panel.layer_step
    cosine = 1.0 if grazing else cos_t
    reach = back * sin_g / (cosine * (1.0 if grazing else cos_far)) / panel.pixel_size + 1e-6
    along_f = (x * panel.fdet_x + y * panel.fdet_y + z * panel.fdet_z) / cosine
    along_s = (x * panel.sdet_x + y * panel.sdet_y + z * panel.sdet_z) / cosine
    corner_f = dot(to_corner, (panel.fdet_x, panel.fdet_y, panel.fdet_z))
    corner_s = dot(to_corner, (panel.sdet_x, panel.sdet_y, panel.sdet_z))
    f_front, f_back = along_f * front - corner_f, along_f * back - corner_f
    s_front, s_back = along_s * front - corner_s, along_s * back - corner_s
    f0 = max(math.floor(min(f_front, f_back) / panel.pixel_size - reach), float(panel.f0))
    f1 = min(math.floor(max(f_front, f_back) / panel.pixel_size + reach) + 1.0, float(panel.f1))
    s0 = max(math.floor(min(s_front, s_back) / panel.pixel_size - reach), float(panel.s0))
    s1 = min(math.floor(max(s_front, s_back) / panel.pixel_size + reach) + 1.0, float(panel.s1))
    f0, f1 = float(panel.f0) if grazing else f0, float(panel.f1) if grazing else f1
    s0, s1 = float(panel.s0) if grazing else s0, float(panel.s1) if grazing else s1
    missed = empty | (f0 >= f1) | (s0 >= s1)
    f0, f1 = 0.0 if missed else f0, 0.0 if missed else f1
    return np.int32(f0), np.int32(f1), np.int32(s0), np.int32(s1)


@device(forceinline=True)
def list_spot(found, at, n, room, pair, index, box, cell, F2):
    """Add a footprint to a list, unless it is empty or its reflection has no structure factor.

    ``n`` of a pair were added before, from row ``at`` on; their number now is returned. Beyond ``room`` they are
    counted only.
    """
    h, k, l = index
    if box[0] >= box[1] or F2_at(F2, cell, h - cell.h_min, k - cell.k_min, l - cell.l_min) == 0.0:
        return n
    if n < room:
        row = at + n
        found[row, PAIR], found[row, H], found[row, K], found[row, L] = pair, h, k, l
        found[row, F0], found[row, F1], found[row, S0], found[row, S1] = box
    return n + 1


@device
def shell_lines(source, orientations, m, cone, radius):
    """Lattice lines of an orientation that can come near the sphere.

    Returns
    -------
    tuple of int
        Lowest and highest index o, p that number the lines, and q that runs along them; first columns of the vectors
        that o, p and q belong to. Lines go along the axis with the widest range, for then they are fewest.
    """
    R, incident = 1.0 / source[3], (source[0], source[1], source[2])
    middle, cosine = (cone[0], cone[1], cone[2]), cone[3]
    a, b, c = cell_axes(orientations, m)
    low_h, high_h = index_range(a, middle, cosine, incident, R, radius)
    low_k, high_k = index_range(b, middle, cosine, incident, R, radius)
    low_l, high_l = index_range(c, middle, cosine, incident, R, radius)
    if high_h - low_h > max(high_k - low_k, high_l - low_l):
        return low_l, high_l, low_k, high_k, low_h, high_h, 6, 3, 0
    if high_k - low_k > high_l - low_l:
        return low_h, high_h, low_l, high_l, low_k, high_k, 0, 6, 3
    return low_h, high_h, low_k, high_k, low_l, high_l, 0, 3, 6


@device(forceinline=True)
def line_axes(reciprocal, m, lines):
    """Reciprocal vectors of o, p and q; read once for a pair, as a compiler cannot know that they do not change."""
    return row_vector(reciprocal, m, lines[6]), row_vector(reciprocal, m, lines[7]), row_vector(reciprocal, m, lines[8])


@device(forceinline=True)
def line_start(source, axes, u, w):
    """The point of line (u, w) whose index along the line is 0, seen from the sphere's middle (1/m)."""
    R = 1.0 / source[3]
    along_o, along_p, _ = axes
    return (
        source[0] * R + u * along_o[0] + w * along_p[0],
        source[1] * R + u * along_o[1] + w * along_p[1],
        source[2] * R + u * along_o[2] + w * along_p[2],
    )


@device(forceinline=True)
def line_ends(source, axes, u, w, low, high, radius):
    """First and last index on line (u, w) where it goes into the shell, and where it comes out of it, as floats.

    For a line that misses the inner sphere both are the same. A last index below the first: no point. ``low``, ``high``:
    limits of the indices. There is no branch, so that loops over lines vectorize.
    """
    R = 1.0 / source[3]
    start, v = line_start(source, axes, u, w), axes[2]
    inverse, cc, cv = 1.0 / dot(v, v), dot(start, start), dot(start, v)
    outer = cv * cv - dot(v, v) * (cc - (R + radius) * (R + radius))
    inner = cv * cv - dot(v, v) * (cc - (R - radius) * (R - radius))
    half_outer, half_inner = math.sqrt(max(outer, 0.0)) * inverse, math.sqrt(max(inner, 0.0)) * inverse
    middle = -cv * inverse
    leave = middle + half_outer
    low, high = float(low), float(high)  # one type, whether ceil() gives whole numbers or floats
    first = max(math.ceil(middle - half_outer), low)
    last = min(math.floor(middle - half_inner if inner >= 0.0 else leave), high)
    after = max(math.ceil(middle + half_inner), low)
    end = min(math.floor(leave), high)
    return (
        first,
        last if outer >= 0.0 else low - 1.0,
        max(after, last + 1.0),
        end if (outer >= 0.0) & (inner >= 0.0) else low - 1.0,
    )


@device(forceinline=True)
def indices(lines, u, w, t):
    """h, k, l of point t of line (u, w)."""
    o, p = lines[6], lines[7]
    h = u if o == 0 else (w if p == 0 else t)
    k = u if o == 3 else (w if p == 3 else t)
    l = u if o == 6 else (w if p == 6 else t)
    return h, k, l


@device(forceinline=True)
def radius_sqr(axes, index, q, metric):
    """Squared distance of a ray from a reflection, in the units in which spots end.

    ``axes``: cell vectors over the wavelength; ``q``: direction of the ray less that of the beam; ``index``:
    h, k, l of the reflection.
    """
    h, k, l = fractional_indices(axes, q)
    return metric_sqr(h - index[0], k - index[1], l - index[2], metric)
