"""Lists of the footprints of compact spots on CUDA, tile by tile: the first half of :mod:`nbnumba.kernels.gpu.spots`."""

from __future__ import annotations

from nbnumba.kernels.formulas.spots_shell import (
    F0,
    F1,
    PAIR,
    S0,
    S1,
    footprint,
    indices,
    line_axes,
    line_ends,
    line_start,
    list_spot,
    shell_lines,
)
from nbnumba.kernels.gpu.fast import TILE
from nbnumba.kernels.gpu.ops import quotient, remainder
from nbnumba.kernels.jit.cuda import cuda, cuda_device, cuda_kernel, int32, int64

#: Threads of a block that finds and fills.
FINDERS = 128
#: Threads of the one block that places the tiles' lists, and tiles that each has at a time.
PLACERS, EACH = 256, 16
#: Threads of a group, whose sum the others take as one; as many as there are groups.
GROUP = 16
#: Entries of the array ``word``: rows that a thread needs, if more than it has; length of the lists of all tiles.
MOST, TOTAL = 0, 1


@cuda_device
def walk_line(listed, n, u, w, shell, panel, cell, F2):
    """Footprints on line (u, w) of a pair: ``n`` and their number; up to ``room`` of all are written from ``at`` on.

    ``listed``: the list, ``at``, ``room`` and the number of the pair; ``shell``: lines and axes, from
    ``spots_shell.shell_lines`` and ``line_axes``, the source's unit vector and wavelength, and the radius.
    """
    found, at, room, pair = listed
    lines, axes, source, radius = shell
    start, v = line_start(source, axes, u, w), axes[2]
    ends = line_ends(source, axes, u, w, lines[4], lines[5], radius)
    for side in range(2):
        for t in range(int32(ends[2 * side]), int32(ends[2 * side + 1]) + 1):
            x, y, z = start[0] + t * v[0], start[1] + t * v[1], start[2] + t * v[2]
            box = footprint(panel, x, y, z, source[3], radius)
            n = list_spot(found, at, n, room, pair, indices(lines, u, w, t), box, cell, F2)
    return n


@cuda_device
def first_tile(panel, still):
    """Number of tiles along f, and that of a still's first tile."""
    tiles_f, tiles_s = (panel.f1 - panel.f0 + TILE - 1) // TILE, (panel.s1 - panel.s0 + TILE - 1) // TILE
    return tiles_f, still * tiles_f * tiles_s


@cuda_kernel(threads=FINDERS, blocks=3)
def find_spots(
    found,
    counts,
    tallies,
    first,
    n_pairs,
    parts,
    room,
    domains,
    panel,
    cell,
    sources,
    orientations,
    reciprocal,
    cone,
    radius,
    F2,
):
    """List the footprints of ``n_pairs`` pairs from ``first`` on, a thread for each of the ``parts`` of a pair.

    Parameters
    ----------
    found : (>= n_pairs * parts * room, 8) int32
        Each thread has ``room`` rows; what does not fit is counted and not written.
    counts : (>= n_pairs * parts,) int32
        Set to the number of footprints of each thread, ``room`` at most.
    tallies : (stills * tiles + 1,) int32
        Zeros before. The number of footprints that touch each tile, tiles along f first, is added; the last one becomes the
        largest number of a thread's footprints, if that is more than ``room``.
    domains : int32
        Orientations of a still.
    panel : PanelBlock
        Its rows and columns are the region.
    sources : (S, >= 4) float64
    cone : tuple of 4 float
    """
    thread = cuda.blockIdx.x * FINDERS + cuda.threadIdx.x
    if thread >= n_pairs * parts:
        return
    pair = int32(first + thread // parts)
    i, m = quotient(pair, orientations.shape[0]), remainder(pair, orientations.shape[0])
    source = (sources[i, 0], sources[i, 1], sources[i, 2], sources[i, 3])
    lines = shell_lines(source, orientations, m, cone, radius)
    axes = line_axes(reciprocal, m, lines)
    wide = int32(max(lines[3] - lines[2] + 1, 0))
    at, n = thread * room, 0
    listed, shell = (found, at, room, pair), (lines, axes, source, radius)
    for number in range(int32(thread % parts), int32(max(lines[1] - lines[0] + 1, 0) * wide), int32(parts)):
        u, w = lines[0] + quotient(number, wide), lines[2] + remainder(number, wide)
        n = walk_line(listed, n, u, w, shell, panel, cell, F2)
    if n > room:
        cuda.atomic.max(tallies, tallies.shape[0] - 1, int32(n))
    counts[thread] = min(n, room)
    tiles_f, start = first_tile(panel, quotient(m, domains))
    for row in range(at, at + min(n, room)):
        for tile_s in range((found[row, S0] - panel.s0) // TILE, (found[row, S1] - 1 - panel.s0) // TILE + 1):
            for tile_f in range((found[row, F0] - panel.f0) // TILE, (found[row, F1] - 1 - panel.f0) // TILE + 1):
                cuda.atomic.add(tallies, start + tile_s * tiles_f + tile_f, 1)


@cuda_device
def sum_up(numbers, begin, end):
    """Sum of int64 numbers."""
    total = int64(0)
    for i in range(begin, end):
        total += numbers[i]
    return total


@cuda_kernel(threads=PLACERS, blocks=1)
def place_tiles(places, tallies, word, room, capacity):
    """Where each tile's part of the list begins, from the counts; of one block.

    Parameters
    ----------
    places : (stills * tiles + 1,) int32
        The last one is set to whether something did not fit; all others are 0 then.
    tallies : (stills * tiles + 1,) int32
        As find_spots leaves them; zeros in the end.
    word : (2,) int64
        Memory of the host that the device sees: :data:`MOST` and :data:`TOTAL` are set. The second one counts only what
        found room.
    room : int
        Of a thread, as of find_spots.
    capacity : int
        Numbers that the list has room for, below 2^31.
    """
    sums = cuda.shared.array(PLACERS, int64)
    groups = cuda.shared.array(GROUP, int64)
    tid, n_tiles = int32(cuda.threadIdx.x), int32(tallies.shape[0] - 1)
    most, total = int64(tallies[n_tiles]), int64(0)
    first = int32(0)
    while first < n_tiles:
        begin = int32(first + tid * EACH)
        end = int32(min(begin + EACH, n_tiles))
        own = int64(0)
        for tile in range(begin, end):
            own += tallies[tile]
        sums[tid] = own
        cuda.syncthreads()
        if tid < GROUP:
            groups[tid] = sum_up(sums, tid * GROUP, (tid + 1) * GROUP)
        cuda.syncthreads()
        group = tid // GROUP
        at = total + sum_up(groups, 0, group) + sum_up(sums, group * GROUP, tid)
        total += sum_up(groups, 0, GROUP)
        for tile in range(begin, end):
            places[tile] = int32(at)
            at += tallies[tile]
            tallies[tile] = 0
        first = int32(first + PLACERS * EACH)
        cuda.syncthreads()
    full = most > room or total > capacity
    if full:
        for tile in range(tid, n_tiles, PLACERS):
            places[tile] = 0
    if tid == 0:
        tallies[n_tiles] = 0
        places[n_tiles] = 1 if full else 0
        word[MOST], word[TOTAL] = most, total


@cuda_kernel(threads=FINDERS, blocks=8)
def fill_lists(lists, places, found, counts, n_threads, room, n_orientations, domains, panel):
    """Write the rows of ``found`` that touch each tile into its part of the list, in any order.

    Parameters
    ----------
    lists : (>= sum of all counts,) int32
    places : (stills * tiles + 1,) int32
        Where each tile's part begins; in the end, where the next one does. The last one: whether nothing is to be done.
    n_orientations, domains : int32
        Of all stills together, and of each.
    """
    thread = cuda.blockIdx.x * FINDERS + cuda.threadIdx.x
    if thread >= n_threads or places[places.shape[0] - 1] != 0:
        return
    for row in range(thread * room, thread * room + counts[thread]):
        tiles_f, start = first_tile(panel, quotient(remainder(found[row, PAIR], n_orientations), domains))
        for tile_s in range((found[row, S0] - panel.s0) // TILE, (found[row, S1] - 1 - panel.s0) // TILE + 1):
            for tile_f in range((found[row, F0] - panel.f0) // TILE, (found[row, F1] - 1 - panel.f0) // TILE + 1):
                lists[cuda.atomic.add(places, start + tile_s * tiles_f + tile_f, 1)] = row
