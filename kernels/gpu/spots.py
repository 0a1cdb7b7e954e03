"""Compact spots on CUDA, reflection by reflection: :mod:`nbnumba.kernels.cpu.spots` with tiles in place of bands.

Pairs of a source and an orientation are taken in batches. For each batch

1. :func:`~nbnumba.kernels.gpu.spots_lists.find_spots` lists the footprints and counts those that touch each tile of 16 x 16 pixels; some threads share the
   lattice lines of a pair;
2. :func:`~nbnumba.kernels.gpu.spots_lists.place_tiles` adds up the counts, so that every tile has its part of one list;
3. :func:`~nbnumba.kernels.gpu.spots_lists.fill_lists` writes the list, in no particular order;
4. the kernel of :func:`paint_kernel` sorts each tile's part by pair, h, k and l, and adds its footprints to the sums of the
   pixels, which stay in memory between batches.

In the end :func:`close_pixels` turns sums into photons.

How much there is to list is not known beforehand, and the host does not wait to learn it. Where something does not fit into
the memory that there is, ``place_tiles`` tells the host what would do and leaves all tiles empty; the host, which waits
for the image in any case, then has the window rendered again (:mod:`nbnumba.render.gpu.spots`).

Small stills leave most of a GPU idle, and each launch costs its time. So all kernels take any number of stills at once, which
differ in their orientations only: those of the first still come first, ``domains`` of them each. A still has tiles, sums and an
image of its own, the grid's z; its bits are those of a launch of its own.

The order of a pixel's terms is that of pair, h, k, l and sub-pixel, whatever the region, the batches and the number of
threads: no bit of a pixel depends on them. Formulas are those of the CPU: :mod:`nbnumba.kernels.formulas.spots_shell`.

Cost: a float64 sum for every pixel of the region, and a block of threads for each tile, so that the time is that of the
fullest tile where all footprints fall into a few. Misuse: as of ``cpu.spots``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from nbnumba.kernels.formulas.blocks import GAUSS
from nbnumba.kernels.formulas.corrections import background
from nbnumba.kernels.formulas.geometry import subpixel_ray
from nbnumba.kernels.formulas.lattice import TOPHAT_EDGE
from nbnumba.kernels.formulas.profiles import compact_profile
from nbnumba.kernels.formulas.resolution import cut_limit, is_cut
from nbnumba.kernels.formulas.scattering import cell_axes
from nbnumba.kernels.formulas.spots_shell import (
    F0,
    F1,
    PAIR,
    S0,
    S1,
    SPOT_END,
    H,
    K,
    L,
    radius_sqr,
)
from nbnumba.kernels.formulas.structure import F2_at
from nbnumba.kernels.formulas.vec import difference, dot, row_vector
from nbnumba.kernels.gpu.fast import TILE, correction, is_rendered, weigh
from nbnumba.kernels.gpu.ops import quotient, remainder
from nbnumba.kernels.jit.cuda import cuda, cuda_device, cuda_kernel, float64, int32

#: Threads of a block that paints and closes, a pixel each.
PAINTERS = TILE * TILE
#: Footprints in shared memory at a time.
STAGED = 64
# columns of the staged numbers: cell vectors over the wavelength, incident beam, indices, F^2 and resolution limit
INCIDENT, INDEX, VALUE, LIMIT, NUMBERS = 9, 12, 15, 16, 17


@cuda_device
def comes_later(found, one, other, per_pair):
    """Whether row ``one`` of ``found`` is added after row ``other``; each pair has ``per_pair`` rows."""
    if quotient(one, per_pair) != quotient(other, per_pair):
        return one > other
    if found[one, H] != found[other, H]:
        return found[one, H] > found[other, H]
    if found[one, K] != found[other, K]:
        return found[one, K] > found[other, K]
    return found[one, L] > found[other, L]


@cuda_device
def exchange(lists, one, other, found, per_pair):
    """Put two rows of the list into the order in which they are added."""
    a, b = lists[one], lists[other]
    if comes_later(found, a, b, per_pair):
        lists[one], lists[other] = b, a


@cuda_device
def sort_rows(lists, begin, n, found, per_pair, tid):
    """Sort ``n`` rows of the list from ``begin`` on, by all threads of a block.

    A bitonic network in which the smaller row always goes first: rows beyond the end count as larger than any, and stay.
    """
    size = int32(2)
    while size < 2 * n:
        step = size >> 1
        while step > 0:
            flip = size - 1 if step == size >> 1 else step
            i = tid
            while i < n:
                j = i ^ flip
                if i < j and j < n:
                    exchange(lists, begin + i, begin + j, found, per_pair)
                i = int32(i + PAINTERS)
            cuda.syncthreads()
            step >>= 1
        size <<= 1


@cuda_device
def part_of(places, tile):
    """First and end of a tile's part of the list."""
    return int32(places[tile - 1]) if tile > 0 else int32(0), int32(places[tile])


@cuda_kernel(threads=PAINTERS, blocks=4)
def sort_lists(lists, places, found, per_pair):
    """Sort each tile's part of the list as :func:`paint_kernel` does, for kernels that do not; a block for each tile."""
    begin, end = part_of(places, int32(cuda.blockIdx.y * cuda.gridDim.x + cuda.blockIdx.x))
    sort_rows(lists, begin, end - begin, found, per_pair, int32(cuda.threadIdx.x))


@cuda_device
def stage_spot(real, whole, j, row, found, crystal, cell, beam, sources, orientations, F2):
    """Copy the values of a footprint to shared memory: row ``j`` of ``real`` (STAGED, NUMBERS) and ``whole`` (STAGED, 5)."""
    pair, h, k, l = found[row, PAIR], found[row, H], found[row, K], found[row, L]
    i, m = quotient(pair, orientations.shape[0]), remainder(pair, orientations.shape[0])
    inverse = 1.0 / sources[i, 3]
    for n in range(9):
        real[j, n] = orientations[m, n] * inverse
    for n in range(3):
        real[j, INCIDENT + n] = sources[i, n]
    real[j, INDEX], real[j, INDEX + 1], real[j, INDEX + 2] = float64(h), float64(k), float64(l)
    peak = crystal.Na * crystal.Nb * crystal.Nc
    real[j, VALUE] = peak * peak * F2_at(F2, cell, h - cell.h_min, k - cell.k_min, l - cell.l_min)
    real[j, LIMIT] = cut_limit(sources[i, 3], beam.dmin)
    whole[j, 0], whole[j, 1] = found[row, F0], found[row, F1]
    whole[j, 2], whole[j, 3], whole[j, 4] = found[row, S0], found[row, S1], i


@cuda_device
def spot_term(real, j, d, metric, gauss):
    """Term of a staged footprint for a ray, without weights."""
    q = difference(d, row_vector(real, j, INCIDENT))
    r = radius_sqr(cell_axes(real, j), row_vector(real, j, INDEX), q, metric)
    if r >= (SPOT_END if gauss else TOPHAT_EDGE) or is_cut(dot(q, q), real[j, LIMIT]):
        return 0.0
    return real[j, VALUE] * compact_profile(gauss, r)


@cache
def paint_kernel(per_term: int, single: int) -> Any:
    """The kernel that adds footprints to the pixels' sums.

    ``per_term``: every term has its own weight. ``single``: there is one layer, and one sub-pixel in a pixel.

    The kernel's arguments::

        sums : (stills, s1 - s0, f1 - f0) float64; begun with the first batch
        lists, places : as fill_lists leaves them
        found : (rows, 8) int32; each pair has per_pair of them
        panel, crystal, cell, beam : parameter blocks; the panel's rows and columns are the region
        metric : MetricBlock
        sources : (S, 11) float64, as of gpu.fast
        orientations : (M, 9) float64
        F2 : (n,) float32, KernelInputs.F2_table
        mask : (s1 - s0, f1 - f0) or (0, 0) uint8
        first : int; whether this is the first batch

    Blocks of PAINTERS threads, one for each tile; stills along z.
    """

    @cuda_kernel(threads=PAINTERS, blocks=2 if per_term else (4 if single else 3))
    def paint_spots(
        sums, lists, places, found, per_pair, panel, crystal, cell, beam, metric, sources, orientations, F2, mask, first
    ):
        real = cuda.shared.array((STAGED, NUMBERS), float64)
        whole = cuda.shared.array((STAGED, 5), int32)
        tid, still = int32(cuda.threadIdx.x), int32(cuda.blockIdx.z)
        tile = int32((still * cuda.gridDim.y + cuda.blockIdx.y) * cuda.gridDim.x + cuda.blockIdx.x)
        s = int32(panel.s0 + cuda.blockIdx.y * TILE + (tid >> 4))
        f = int32(panel.f0 + cuda.blockIdx.x * TILE + (tid & 15))
        begin, end = part_of(places, tile)
        if begin == end and not first:
            return
        sort_rows(lists, begin, end - begin, found, per_pair, tid)
        inside = is_rendered((panel.s0, panel.s1, panel.f0, panel.f1), mask, s, f)
        total = 0.0 if per_term else beam.I_bg
        if inside and not first:
            total = sums[still, s - panel.s0, f - panel.f0]
        gauss, n = crystal.shape == GAUSS, int32(panel.oversample)
        steps = int32(1) if single else int32(panel.layers * n * n)
        d = (0.0, 0.0, 0.0)
        if single:
            _, d = subpixel_ray(panel, 0, s, f, int32(0), int32(0), int32(0))
        while begin < end:
            staged = int32(min(STAGED, end - begin))
            cuda.syncthreads()
            if tid < staged:
                stage_spot(real, whole, tid, lists[begin + tid], found, crystal, cell, beam, sources, orientations, F2)
            cuda.syncthreads()
            for j in range(staged if inside else 0):
                if f < whole[j, 0] or f >= whole[j, 1] or s < whole[j, 2] or s >= whole[j, 3]:
                    continue
                for step in range(steps):
                    subF, subS, layer = remainder(step, n), remainder(quotient(step, n), n), quotient(step, n * n)
                    if not single:
                        _, d = subpixel_ray(panel, 0, s, f, layer, subS, subF)
                    term = spot_term(real, j, d, metric, gauss)
                    if per_term and term != 0.0:
                        term *= weigh(panel, 0, beam, sources, whole[j, 4], s, f, layer, subS, subF)[0]
                    total += term
            begin = int32(begin + STAGED)
        if inside:
            sums[still, s - panel.s0, f - panel.f0] = total

    return paint_spots


@cuda_kernel(threads=PAINTERS, blocks=2)
def close_pixels(image, sums, panel, beam, sources, mask):
    """Turn sums into photons: ``image`` (stills, s1 - s0, f1 - f0) float32; masked pixels are left as they are."""
    tid, still = int32(cuda.threadIdx.x), int32(cuda.blockIdx.z)
    s = int32(panel.s0 + cuda.blockIdx.y * TILE + (tid >> 4))
    f = int32(panel.f0 + cuda.blockIdx.x * TILE + (tid & 15))
    if not is_rendered((panel.s0, panel.s1, panel.f0, panel.f1), mask, s, f):
        return
    total = sums[still, s - panel.s0, f - panel.f0]
    if beam.per_term:
        if beam.I_bg != 0.0:
            total += background(panel, beam, sources, 1, s, f)
    elif total != 0.0:
        total *= correction(panel, 0, int32(beam.dmin > 0.0), beam, sources, s, f)
    image[still, s - panel.s0, f - panel.f0] = beam.scale * total
