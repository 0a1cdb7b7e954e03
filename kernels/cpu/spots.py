"""Compact spots on the CPU, reflection by reflection: GAUSS and TOPHAT crystals on flat panels.

Problem: such spots are zero in float32 except for a few pixels each, and a kernel that evaluates every pixel for every
orientation evaluates almost only zeros.

Choice: for each pair of a source and an orientation, the reflections within the spot's radius of the Ewald sphere are found
and given a box of pixels each (:mod:`nbnumba.kernels.formulas.spots_shell`); only these pixels are evaluated, with the formula and
the test for the nearest lattice point of any other kernel (:func:`nbnumba.kernels.cpu.paint.paint_row`).

Footprints are sorted into bands of rows. A thread owns a band and adds its footprints in the order of source,
orientation and index, so that neither the number of threads nor the region of interest changes a bit of a pixel. Pairs
are taken in batches, so that the list of footprints stays small. Gaussian spots end at 7e-13 of their peak.

Cost: a float64 sum for every pixel of the region, and 70 bytes for each of up to a million footprints. Misuse: a curved
panel, axes that are not at right angles, or spots wider than :data:`nbnumba.kernels.formulas.spots_shell.WIDEST`; the plan table takes the tiles
of :mod:`nbnumba.kernels.cpu.tiles` for those.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import prange

from nbnumba.kernels.cpu.paint import BAND, paint_spots
from nbnumba.kernels.formulas.lattice import spot_metric
from nbnumba.kernels.formulas.spots_shell import (
    S0,
    S1,
    footprint,
    indices,
    line_axes,
    line_ends,
    line_start,
    list_spot,
    prepare_shell,
    shell_lines,
)
from nbnumba.kernels.jit.cpu import device, kernel

#: lattice points near the sphere in a batch, about
BATCH = 1e6
#: lattice points whose footprints are computed together
POINTS = 256
#: parts of the list that are sorted side by side
SHARES = 64


@device(forceinline=True)
def list_points(found, at, n, room, pair, points, boxes, count, shell, panel, cell, F2):
    """Add the footprints of ``count`` lattice points to a list: ``n`` and their number.

    Up to ``room`` footprints of the pair are written, from row ``at`` on. ``points``: two numbers of a line and a number along
    it, as floats; ``boxes``: for the footprints. Both have room for seven points more, which are evaluated with the last
    ones. ``shell``: lines, axes, source and radius.
    """
    lines, axes, source, radius = shell
    v = axes[2]
    for j in range((count + 7) >> 3 << 3):
        x, y, z = line_start(source, axes, points[0, j], points[1, j])
        t = points[2, j]
        f0, f1, s0, s1 = footprint(panel, x + t * v[0], y + t * v[1], z + t * v[2], source[3], radius)
        boxes[0, j], boxes[1, j], boxes[2, j], boxes[3, j] = f0, f1, s0, s1
    for j in range(count):
        index = indices(lines, int(points[0, j]), int(points[1, j]), int(points[2, j]))
        box = (boxes[0, j], boxes[1, j], boxes[2, j], boxes[3, j])
        n = list_spot(found, at, n, room, pair, index, box, cell, F2)
    return n


@device
def walk_shell(found, at, room, pair, panel, cell, sources, orientations, reciprocal, cone, radius, F2):
    """Footprints of a pair: their number; the first ``room`` are written from row ``at`` on.

    Lines are evaluated eight at a time, and points some hundred at a time, in loops that vectorize.
    """
    i, m = pair // orientations.shape[0], pair % orientations.shape[0]
    source = (sources[i, 0], sources[i, 1], sources[i, 2], sources[i, 3])
    lines = shell_lines(source, orientations, m, cone, radius)
    axes, low, high = line_axes(reciprocal, m, lines), float(lines[4]), float(lines[5])
    shell = (lines, axes, source, radius)
    ends, points, boxes = np.empty((4, 8)), np.zeros((3, POINTS + 8)), np.empty((4, POINTS + 8), np.int32)
    n = count = 0
    eights = max(0, lines[3] - lines[2] + 8) >> 3
    for step in range(max(0, lines[1] - lines[0] + 1) * eights):
        u, w = lines[0] + step // eights, lines[2] + step % eights * 8
        for j in range(8):
            first, last, after, end = line_ends(source, axes, float(u), float(w + j), low, high, radius)
            ends[0, j], ends[1, j], ends[2, j], ends[3, j] = first, last, after, end
        for part in range(2 * min(8, lines[3] + 1 - w)):
            j, side = part >> 1, part & 1
            t = ends[2 * side, j]
            while t <= ends[2 * side + 1, j]:
                points[0, count], points[1, count], points[2, count] = u, w + j, t
                t, count = t + 1.0, count + 1
                if count == POINTS:
                    n = list_points(found, at, n, room, pair, points, boxes, count, shell, panel, cell, F2)
                    count = 0
    return list_points(found, at, n, room, pair, points, boxes, count, shell, panel, cell, F2)


@kernel()
def find_spots(found, counts, first, panel, cell, sources, orientations, reciprocal, cone, radius, F2):
    """List the footprints of the pairs from ``first`` on.

    Parameters
    ----------
    found : (pairs * room, 8) int32
        Each pair has the same number of rows; footprints beyond it are counted and not written.
    counts : (pairs,) int64
        Set to the number of footprints of each pair.
    """
    room = found.shape[0] // counts.shape[0]
    for j in prange(counts.shape[0]):
        counts[j] = walk_shell(
            found, j * room, room, first + j, panel, cell, sources, orientations, reciprocal, cone, radius, F2
        )


@kernel()
def sort_spots(found, counts, s0, n_bands):
    """The footprints that touch each band, band by band.

    Returns
    -------
    starts : (n_bands + 1,) int64
    spots : (starts[-1], 8) int32
        Those of band b are ``spots[starts[b] : starts[b + 1]]``, in the order of ``found``.
    """
    n_pairs = counts.shape[0]
    room, parts = found.shape[0] // n_pairs, min(SHARES, n_pairs)
    places, starts = np.zeros((parts, n_bands), np.int64), np.zeros(n_bands + 1, np.int64)
    for part in prange(parts):
        for j in range(part * n_pairs // parts, (part + 1) * n_pairs // parts):
            for row in range(j * room, j * room + counts[j]):
                for band in range((found[row, S0] - s0) // BAND, (found[row, S1] - 1 - s0) // BAND + 1):
                    places[part, band] += 1
    for band in range(n_bands):
        starts[band + 1] = starts[band]
        for part in range(parts):
            count = places[part, band]
            places[part, band] = starts[band + 1]
            starts[band + 1] += count
    spots = np.empty((starts[n_bands], 8), np.int32)
    for part in prange(parts):
        for j in range(part * n_pairs // parts, (part + 1) * n_pairs // parts):
            for row in range(j * room, j * room + counts[j]):
                for band in range((found[row, S0] - s0) // BAND, (found[row, S1] - 1 - s0) // BAND + 1):
                    spots[places[part, band]] = found[row]
                    places[part, band] += 1
    return starts, spots


def first_room(shell):
    """Number of footprints for which a pair has room at first."""
    return int(1.2 * shell.points) + 32


def find_batch(first, n_pairs, room, geometry):
    """Footprints of ``n_pairs`` pairs from ``first`` on and their numbers, as of :func:`find_spots`, and the room that they took.

    ``geometry``: the arguments of :func:`find_spots` from ``panel`` on.
    """
    counts = np.zeros(max(n_pairs, 1), np.int64)
    found = np.empty((n_pairs * room, 8), np.int32)
    if n_pairs:
        find_spots(found, counts, first, *geometry)
        if counts.max() > room:
            room = int(counts.max())
            found = np.empty((n_pairs * room, 8), np.int32)
            find_spots(found, counts, first, *geometry)
    return found, counts, room


def list_footprints(panel, crystal, cell, sources, orientations, F2, coupling):
    """All footprints of a panel at once, as :func:`sort_spots` returns them; ``coupling``: as of ``lattice.size_matrix``."""
    rows, shell = max(panel.s1 - panel.s0, 0), prepare_shell(panel, crystal, sources, orientations, coupling)
    n_pairs = len(orientations) * len(sources) if rows and panel.f1 > panel.f0 else 0
    geometry = (panel, cell, sources, orientations, shell.reciprocal, shell.cone, shell.radius, F2)
    found, counts, _ = find_batch(0, n_pairs, first_room(shell), geometry)
    return sort_spots(found, counts, panel.s0, -(-rows // BAND))


def render_spots(image, panel, crystal, cell, beam, sources, orientations, F2, mask, row0, row1, progress=None):
    """Render rows ``row0 <= s < row1``; arguments as of ``cpu.fast.render_fast64``.

    ``progress`` is called with the share of the pairs that are done.
    """
    panel = panel._replace(s0=max(row0, panel.s0), s1=max(min(row1, panel.s1), max(row0, panel.s0)))
    rows, columns = panel.s1 - panel.s0, max(panel.f1 - panel.f0, 0)
    shell, metric = prepare_shell(panel, crystal, sources, orientations), spot_metric(crystal)
    n_pairs = len(orientations) * len(sources) if rows and columns else 0
    room = first_room(shell)
    batch = int(min(max(BATCH / room, 1.0), max(n_pairs, 1)))
    n_bands = -(-rows // BAND)
    # a band for each thread where one batch is all; a row of eight pixels may reach beyond the region
    alone = n_pairs <= batch
    total = np.empty((numba.config.NUMBA_NUM_THREADS if alone else n_bands, BAND, columns + 8))  # type: ignore[attr-defined]
    tables = (sources, orientations, F2, mask)
    geometry = (panel, cell, sources, orientations, shell.reciprocal, shell.cone, shell.radius, F2)
    for first in range(0, max(n_pairs, 1), batch):
        found, counts, room = find_batch(first, min(batch, n_pairs - first), room, geometry)
        lists = sort_spots(found, counts, panel.s0, n_bands)
        last = first + batch >= n_pairs
        paint_spots(image, total, lists, panel, crystal, cell, beam, metric, tables, (first == 0, last))
        if progress is not None:
            progress(min(1.0, (first + batch) / max(n_pairs, 1)))
