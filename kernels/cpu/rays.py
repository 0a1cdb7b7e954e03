"""Rays to the pixels of a tile, and the factors computed once for a ray: solid angle, absorption, polarization, weight.

A tile is a block of ``width`` columns and ``height`` rows. The direction of a ray is kept relative to the one to the
tile's middle, formed without cancellation. With P = P0 + r0 (e + t d0), e perpendicular to the direction d0 of P0:
r^2 = r0^2 (1 + w), w = 2 t + t^2 + e^2, s = sqrt(1 + w), and d - d0 = e - e w / (s (1 + s)) - d0 e^2 / (s (1 + t + s)).
Only e itself is not small against d - d0, so that this may be float32: its error is some 5e-8 of the tile's extent, not
of the direction.

Scratch arrays are flat, of rows of constant length: LLVM sees that the rows do not overlap, and vectorizes without
checking at run time.
"""

from __future__ import annotations

import math

import numpy as np

from nbnumba.kernels.formulas.absorption import capture_fraction_vector, parallax_of
from nbnumba.kernels.formulas.corrections import source_frame
from nbnumba.kernels.formulas.geometry import bend, fractional_position
from nbnumba.kernels.formulas.polarization import polarization_factor
from nbnumba.kernels.formulas.resolution import cut_limit, is_cut
from nbnumba.kernels.formulas.scattering import scattering_vector
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.formulas.vec import difference, dot, norm, row_vector
from nbnumba.kernels.jit.cpu import ORDERED, device

#: pixels of the largest tile
LARGEST = 512
#: orientations whose terms are added in float32 before the float64 sum takes them
CHUNK = 32
# rows of the array of real phases: column and row from the tile's middle, direction from it, that over the wavelength;
# fractions of h, k, l of up to 32 orientations, and their rounding errors in float32
COLUMN, ROW, DX, DY, DZ, QX, QY, QZ, PATH, FRACTION = range(0, 10 * LARGEST, LARGEST)
REST = FRACTION + 3 * CHUNK
REALS = REST + 3 * CHUNK
# rows of the float64 array
TOTAL, WEIGHT, OMEGA, CAPTURE, POLAR, RADIUS, DOUBLES = range(0, 7 * LARGEST, LARGEST)


@device
def number_pixels(phases, width, height):
    """Write columns and rows of a tile's pixels relative to its middle."""
    for s in range(height):
        for f in range(width):
            phases[COLUMN + s * width + f] = f - 0.5 * (width - 1)
            phases[ROW + s * width + f] = s - 0.5 * (height - 1)


@device(fastmath=ORDERED, forceinline=True)
def trace_tile(phases, n, width, panel, s, f, layer, subS, subF):
    """Directions to a tile's sub-pixels relative to that to its middle, in rows DX, DY, DZ, and PATH: (r / r0)^2 - 1.

    Returns the direction to the middle and its distance r0 (m); s and f are the tile's first row and column.
    """
    real = phases.dtype.type
    height = n // width
    mid_s, mid_f = s + 0.5 * (height - 1), f + 0.5 * (width - 1)
    x, y, z = fractional_position(panel, mid_s, mid_f, layer, subS, subF)
    if panel.curved:
        x, y, z = bend(panel, (x, y, z))
        inverse = 1.0 / norm((x, y, z))
        for p in range(n):
            at_s, at_f = mid_s + phases[ROW + p], mid_f + phases[COLUMN + p]
            bx, by, bz = bend(panel, fractional_position(panel, at_s, at_f, layer, subS, subF))
            own = 1.0 / norm((bx, by, bz))
            phases[DX + p] = bx * own - x * inverse
            phases[DY + p] = by * own - y * inverse
            phases[DZ + p] = bz * own - z * inverse
            phases[PATH + p] = 0.0
        return (x * inverse, y * inverse, z * inverse), norm((x, y, z))
    r0 = norm((x, y, z))
    x, y, z, step = x / r0, y / r0, z / r0, panel.pixel_size / r0
    fdet, sdet = (panel.fdet_x, panel.fdet_y, panel.fdet_z), (panel.sdet_x, panel.sdet_y, panel.sdet_z)
    along_f, along_s = dot((x, y, z), fdet), dot((x, y, z), sdet)
    ux, uy, uz = (
        real(step * (fdet[0] - along_f * x)),
        real(step * (fdet[1] - along_f * y)),
        real(step * (fdet[2] - along_f * z)),
    )
    vx, vy, vz = (
        real(step * (sdet[0] - along_s * x)),
        real(step * (sdet[1] - along_s * y)),
        real(step * (sdet[2] - along_s * z)),
    )
    x0, y0, z0, one, tu, tv = real(x), real(y), real(z), real(1.0), real(step * along_f), real(step * along_s)
    for p in range(n):
        column, row = phases[COLUMN + p], phases[ROW + p]
        ex, ey, ez = column * ux + row * vx, column * uy + row * vy, column * uz + row * vz
        t = column * tu + row * tv
        square = ex * ex + ey * ey + ez * ez
        w = t * (t + one + one) + square
        root = np.sqrt(one + w)
        above, sum_ = one + root, one + t + root
        scale = one / (root * above * sum_)
        shrink, back = w * sum_ * scale, square * above * scale
        phases[DX + p] = ex - (ex * shrink + x0 * back)
        phases[DY + p] = ey - (ey * shrink + y0 * back)
        phases[DZ + p] = ez - (ez * shrink + z0 * back)
        phases[PATH + p] = w
    return (x, y, z), r0


@device(forceinline=True)
def scale_phases(phases, n, inverse):
    """Rows QX, QY, QZ: the scattering vector relative to the tile's middle (1/m, or 1 with ``inverse`` 1)."""
    scale = phases.dtype.type(inverse)
    for p in range(n):
        phases[QX + p] = phases[DX + p] * scale
        phases[QY + p] = phases[DY + p] * scale
        phases[QZ + p] = phases[DZ + p] * scale


@device(forceinline=True)
def half_chord(phases, n, width):
    """Largest length of (QX, QY, QZ) in a tile: at one of its corners, with a margin for rounding."""
    longest = 0.0
    for p in (0, width - 1, n - width, n - 1):
        longest = max(longest, norm((phases[QX + p], phases[QY + p], phases[QZ + p])))
    return 1.001 * longest


@device
def ray(phases, p, middle):
    """Direction to a pixel of the tile, unit float64."""
    return middle[0] + phases[DX + p], middle[1] + phases[DY + p], middle[2] + phases[DZ + p]


@device(forceinline=True)
def find_omega(work, phases, n, panel, r0):
    """Row OMEGA: solid angles."""
    for p in range(n):
        airpath = r0 * math.sqrt(1.0 + phases[PATH + p])
        work[OMEGA + p] = omega_pixel(panel, airpath)


@device(forceinline=True)
def find_capture(work, phases, n, panel, middle, layer):
    """Row CAPTURE: absorbed shares."""
    depth, step = -layer * panel.layer_step * panel.mu, -panel.layer_step * panel.mu
    for p in range(n):
        work[CAPTURE + p] = capture_fraction_vector(depth, depth + step, parallax_of(panel, ray(phases, p, middle)))


@device(forceinline=True)
def find_polar(work, phases, n, beam, middle, sources, i):
    """Row POLAR: without ``per_term`` it keeps the first value of a ray that is not cut."""
    incident, (E_in, B_in) = row_vector(sources, i, 0), source_frame(beam, sources, i)
    for p in range(n):
        polar = polarization_factor(beam.kahn_factor, incident, ray(phases, p, middle), E_in, B_in)
        keep = not beam.per_term and (work[POLAR + p] != 0.0 or work[WEIGHT + p] == 0.0)
        work[POLAR + p] = work[POLAR + p] if keep else polar


@device(forceinline=True)
def weigh(work, phases, n, beam, middle, sources, i, fresh):
    """Weights of the terms of source ``i``, 0 beyond the resolution limit, and polarization; ``fresh``: the tile's first source."""
    incident = row_vector(sources, i, 0)
    limit = cut_limit(sources[i, 3], beam.dmin)
    if fresh or beam.per_term or beam.dmin > 0.0:
        for p in range(n):
            change = difference(ray(phases, p, middle), incident)
            work[WEIGHT + p] = 0.0 if is_cut(dot(change, change), limit) else 1.0
        if not beam.nopolar:
            find_polar(work, phases, n, beam, middle, sources, i)
    if beam.per_term:
        for p in range(n):
            factor = work[CAPTURE + p] * work[POLAR + p] * work[OMEGA + p] * sources[i, 4]
            work[TOTAL + p] += beam.I_bg * factor
            work[WEIGHT + p] *= factor


@device(forceinline=True)
def open_tile(work, n, beam):
    """Start the sums of a tile."""
    for p in range(n):
        work[TOTAL + p] = 0.0 if beam.per_term else beam.I_bg
        work[POLAR + p] = 1.0 if beam.nopolar else 0.0
        work[CAPTURE + p] = 1.0


@device(forceinline=True)
def begin_step(work, phases, n, width, panel, beam, corner, step):
    """Trace the rays of one sub-pixel and sensor layer, and compute the factors fixed at this step.

    ``corner``: first row and column of the tile. Returns the direction to its middle.
    """
    subF, subS = step % panel.oversample, step // panel.oversample % panel.oversample
    layer = step // (panel.oversample * panel.oversample)
    middle, r0 = trace_tile(phases, n, width, panel, corner[0], corner[1], layer, subS, subF)
    if beam.per_term or step == 0:
        find_omega(work, phases, n, panel, r0)
    last = subS == 0 and subF == 0 and layer == panel.layers - 1
    if panel.has_thickness and (beam.per_term or last):
        find_capture(work, phases, n, panel, middle, layer)
    return middle


@device(forceinline=True)
def begin_source(work, phases, n, beam, middle, sources, i, step, separate):
    """Weights and phases of the terms of source ``i``, or of all at once unless ``separate``.

    Returns the scattering vector of the tile's middle (1/m), or the direction to it unless ``separate``.
    """
    q, inverse = middle, 1.0
    if separate or step == 0:
        weigh(work, phases, n, beam, middle, sources, i, step == 0 and i == 0)
    if separate:
        inverse = 1.0 / sources[i, 3]
        q = scattering_vector(middle, row_vector(sources, i, 0), inverse)
    scale_phases(phases, n, inverse)
    return q


@device(forceinline=True)
def close_tile(work, n, beam):
    """Apply the corrections that are made after all loops."""
    if not beam.per_term:
        for p in range(n):
            work[TOTAL + p] *= work[CAPTURE + p] * work[POLAR + p] * work[OMEGA + p]
