"""The fast CUDA kernels, for the same runs as the fast CPU kernels: a tile of 16 x 16 pixels per block, two a thread.

Problem: the phases pi N h of the grating function need more digits than float32 has, and float64 is slow on most GPUs.

Choice: the terms of the sum (a source and an orientation each) are taken in portions of :data:`STAGED`. For each term one
thread computes h, k, l at the tile's middle in float64 and leaves the whole number and the fraction of it in shared
memory, with the cell vectors over lambda; then all threads go through the portion, each adding a . (d - d of the
middle) / lambda for its own two pixels. For square crystals with :data:`SQUARE32` all of that is float32 on indices
multiplied by N, and wrong by rounding over the tile's extent only (``nbnumba.render.kernel_table.Case.anchored_error`` with
the tile's diagonal). :data:`FIXED` has indices in fixed point (:mod:`nbnumba.kernels.gpu.fixed`) and takes no float64
either; the other kinds are float64 until fractions are left. Sums of square crystals are float32 within a portion,
float64 beyond, chapter by chapter: where tiles are few, several blocks share the terms of one
(:mod:`nbnumba.render.gpu.split`). With n sub-pixels a side the anchors stay where all terms fit into one portion.

The box of structure factors has one plane more along each axis, filled with the value for everything outside
(:func:`nbnumba.render.gpu.inputs.padded_F2`): a clamped unsigned index needs no test. Tiles begin at whole multiples of 16, so that a
pixel's bits do not depend on the region that is rendered.

Cost: a thread without a pixel idles, so that a tile at the edge costs as much as one inside. Misuse: SQUARE32
or FIXED where the error bound is large.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from nbnumba.kernels.formulas.corrections import last_capture, last_polarization, source_polarization, term_weight
from nbnumba.kernels.formulas.geometry import bend, pixel_position, ray_to, subpixel_ray
from nbnumba.kernels.formulas.resolution import cut_limit, is_cut
from nbnumba.kernels.formulas.solid_angle import omega_pixel
from nbnumba.kernels.formulas.vec import difference, dot, row_vector
from nbnumba.kernels.gpu.fixed import add_fixed, to_fixed
from nbnumba.kernels.gpu.ops import is_stopped, quotient, remainder, tell_progress
from nbnumba.kernels.gpu.stage import stage_term
from nbnumba.kernels.gpu.terms import FIXED, SQUARE32, SQUARE64, add_square32, peak_of, terms64
from nbnumba.kernels.jit.cuda import SIMULATED, cuda, cuda_device, cuda_kernel, float32, float64, int32

#: Pixels of a tile along both axes; threads of a block, two pixels each.
TILE, THREADS = 16, 128
#: Blocks that a multiprocessor should hold: as many as leave enough registers (bench.cuda_resources); others 4. Of curved
#: detectors 7 at most, and 4 where pixels weigh sources.
BLOCKS = {SQUARE32: 8, SQUARE64: 6, FIXED: 7}
#: Terms in shared memory at a time, and the alignment (bytes) that lets a thread load four numbers at once.
STAGED, ALIGNMENT = 64, 16
#: Portions after which a block reads the stop flag; if all terms are in one portion, the same number of sub-pixels.
LOOK = 256


@cuda_device
def offset(panel, curved, s, f, layer, subS, subF, origin):
    """Direction of a sub-pixel relative to the tile's middle."""
    _, d = subpixel_ray(panel, curved, s, f, layer, subS, subF)
    return difference(d, origin)


@cuda_device
def as_float32(d, units):
    """A difference of direction for float32 phases."""
    return float32(d[0]), float32(d[1]), float32(d[2])


@cuda_device
def as_float64(d, units):
    """The same for float64 phases."""
    return d


@cuda_device
def as_fixed(d, units):
    """The same for phases in fixed point."""
    scale = units.direction_scale
    return to_fixed(d[0], scale), to_fixed(d[1], scale), to_fixed(d[2], scale)


@cuda_device
def middle(panel, curved, s, f, origin):
    """Direction of the corner of pixel (s, f), a tile's middle, and how far other directions in the tile may be off it.

    Into ``origin`` (4,).
    """
    position = pixel_position(panel, f * panel.pixel_size, s * panel.pixel_size, panel.first_depth)
    # half a tile's diagonal, rounded up
    radius = 0.75 * TILE * panel.pixel_size
    if curved:  # both arcs, one after the other
        position = bend(panel, position)
        radius *= 1.5
    radius += panel.layers * panel.layer_step
    airpath, direction = ray_to(position)
    origin[0], origin[1], origin[2] = direction
    origin[3] = radius / max(airpath - radius, 1e-3 * radius)


@cuda_device
def is_beyond(beam, sources, i, diffracted):
    """Whether the resolution limit leaves out source ``i`` for a ray; without a limit nothing is computed."""
    if beam.dmin == 0.0:
        return False
    change = difference(diffracted, row_vector(sources, i, 0))
    return is_cut(dot(change, change), cut_limit(sources[i, 3], beam.dmin))


@cuda_device
def weigh(panel, curved, beam, sources, i, s, f, layer, subS, subF):
    """Weight of a source's terms and of its share of the background for one pixel, where either is its own."""
    airpath, diffracted = subpixel_ray(panel, curved, s, f, layer, subS, subF)
    kept = 0.0 if is_beyond(beam, sources, i, diffracted) else 1.0
    if beam.per_term == 0:
        return kept, 0.0
    weight = term_weight(panel, beam, sources, i, 1, layer, airpath, diffracted)
    return kept * weight, weight


@cuda_device
def correction(panel, curved, separate, beam, sources, s, f):
    """The three factors of a pixel that are applied after the sum, with the reference's values at the end of its loops.

    Solid angle of the first sub-pixel, capture fraction of the first sub-pixel of the last layer, polarization of the
    first source that is not cut, at the first sub-pixel where there is one.
    """
    if beam.per_term:
        return 1.0
    factor = last_capture(panel, curved, s, f)
    airpath, diffracted = subpixel_ray(panel, curved, s, f, int32(0), int32(0), int32(0))
    factor *= omega_pixel(panel, airpath)
    if beam.nopolar:
        return factor
    if separate:
        return factor * last_polarization(panel, curved, beam, sources, 1, s, f)
    return factor * source_polarization(beam, sources, 0, 1, diffracted)


@cuda_device
def first_pixel(corner, tid):
    """Row and column of a thread's first pixel; the second one is half a tile further on.

    Computed again where it is needed, so that it takes no register in the inner loop.
    """
    return int32(corner[0] + (tid >> 3)), int32(corner[1] + (tid & 7))


@cuda_device
def finished(kind, panel, curved, separate, crystal, beam, sources, s, f, total):
    """Photons of a pixel, of the sum of its terms."""
    background = 0.0 if beam.per_term else beam.I_bg
    value = beam.scale * (total * peak_of(kind, crystal) + background)
    return value * correction(panel, curved, separate, beam, sources, s, f)


@cuda_device
def is_rendered(window, mask, s, f):
    """Whether a pixel lies in the window (row0, row1, f0, f1) and is not masked."""
    row0, row1, f0, f1 = window
    if s < row0 or s >= row1 or f < f0 or f >= f1:
        return int32(0)
    return int32(1) if mask.shape[0] == 0 or mask[s - row0, f - f0] != 0 else int32(0)


@cuda_device
def begin_tile(window, panel, curved, corner, origin):
    """Row and column of a block's tile, and the direction of its middle; by one thread."""
    s = int32(int32(window[0] // TILE * TILE) + cuda.blockIdx.y * TILE)
    f = int32(int32(window[2] // TILE * TILE) + cuda.blockIdx.x * TILE)
    corner[0], corner[1] = s, f
    middle(panel, curved, s + TILE // 2, f + TILE // 2, origin)


@cuda_device
def sub_pixel(panel, step):
    """Layer, and row and column in a pixel, of a step."""
    n = int32(panel.oversample)
    return quotient(step, n * n), remainder(quotient(step, n), n), remainder(step, n)


@cuda_device
def extent(split, panel, n_terms, chapter):
    """First and last step of a block, and first and last term of each; with ``split`` one step and one chapter."""
    step, end_step = int32(0), int32(panel.layers * panel.oversample * panel.oversample)
    if not split:
        return step, end_step, int32(0), n_terms
    chapters = quotient(int32(n_terms + chapter - 1), chapter)
    step, first = quotient(cuda.blockIdx.z, chapters), int32(remainder(cuda.blockIdx.z, chapters) * chapter)
    return step, int32(step + 1), first, min(n_terms, int32(first + chapter))


@cuda_device
def weigh_pair(kind, panel, curved, crystal, beam, sources, place, fresh, total, tid):
    """Weights of a source's terms for both pixels of a thread; ``total`` gets its shares of the background.

    ``place``: number of the source, a thread's first pixel and sub-pixel.
    ``fresh``: whether these are its first terms: a source in two chapters adds to the background in the first of them.
    """
    i, s, f, layer, subS, subF = place
    background = beam.I_bg / peak_of(kind, crystal) if fresh else 0.0
    kept_a, share = weigh(panel, curved, beam, sources, i, s, f, layer, subS, subF)
    total[0, tid] += background * share
    kept_b, share = weigh(panel, curved, beam, sources, i, s, int32(f + TILE // 2), layer, subS, subF)
    total[1, tid] += background * share
    return float32(kept_a), float32(kept_b)


@cuda_device
def has_weight(live, weights, tid):
    """Whether a thread has a pixel with a weight: 0 or 1."""
    wanted = (live[0, tid] and weights[0] != float32(0)) or (live[1, tid] and weights[1] != float32(0))
    return int32(1) if wanted else int32(0)


@cuda_device
def is_wanted(live, weights, tid):
    """Whether a thread of the block has a pixel with a weight; all meet here."""
    return cuda.syncthreads_or(has_weight(live, weights, tid)) != 0


@cuda_device
def take_over(total, grand, tid):
    """Add a thread's sums to those of the chapters before, and begin new ones."""
    grand[0, tid] += total[0, tid]
    grand[1, tid] += total[1, tid]
    total[0, tid], total[1, tid] = 0.0, 0.0


@cuda_device
def chapter_end(start, chapter):
    """Number behind the last term of the chapter that term ``start`` is in."""
    return int32((quotient(start, chapter) + 1) * chapter)


@cuda_device
def tell_end(done, tid):
    """Tell the host that a block is done; blocks start in the order of their numbers, about."""
    if tid == 0:
        number = (cuda.blockIdx.z * cuda.gridDim.y + cuda.blockIdx.y) * cuda.gridDim.x + cuda.blockIdx.x
        tell_progress(done, number)


@cuda_device
def reads_stop(halt, tid, due):
    """What the stop flag says, read by one thread of a block if it is ``due``; 0 for the others."""
    if tid != 0 or not due:
        return int32(0)
    return is_stopped(halt)


@cuda_device
def all_stop(halt, tid, due):
    """Whether all threads of a block have to stop; they meet here. One of them reads the flag if it is ``due``.

    Functions at whose end all threads meet have no branches of their own: Python 3.12 and later copy the end of a short
    function into both of its branches, and threads that meet at two copies of a barrier wait for ever.
    """
    return cuda.syncthreads_or(reads_stop(halt, tid, due)) != 0


@cache
def fast_kernel(kind: int, curved: int, separate: int, split: int = 0) -> Any:
    """The fast kernel of a kind.

    ``curved``: for the curved detector. ``separate``: pixels weigh sources differently, by the resolution limit or
    because every term has its own corrections; the terms then come in a group for each source. ``split``: the terms of a
    tile are shared by the blocks along z (:mod:`nbnumba.render.gpu.split`), which leave their sums for ``gpu.close``.

    The kernel's arguments::

        image : (row1 - row0, f1 - f0) float32, photons; masked pixels are left as they are. With ``split``
            (steps * chapters, row1 - row0, f1 - f0) float64; sums for gpu.close
        window : tuple of 4 int; row0, row1, f0, f1: the rendered rows and columns
        panel, crystal, cell, beam : PanelBlock, CrystalBlock, CellBlock, BeamBlock
        sources : (S, 11) float64; incident unit vector, wavelength (m), relative weight, E and B vector of the beam
        orientations : (M, 9) float64; a, b, c (m) of every orientation
        F2 : float32; the padded box of squared structure factors, l fastest
        mask : (row1 - row0, f1 - f0) or (0, 0) uint8
        units : SquareUnits
        chapter : int32; terms that are added up apart, a multiple of STAGED
        halt, done : (1,) or (0,) int32, as of gpu.ops.is_stopped and gpu.ops.tell_progress

    Blocks of :data:`THREADS` threads; the grid covers the tiles from ``f0 // TILE`` and ``row0 // TILE`` on. With ``split``
    each block along z has one chapter of the terms at one step, a sub-pixel of a layer.
    """
    real_type, columns, converted, add_terms = {
        SQUARE32: (float32, 12, as_float32, add_square32),
        FIXED: (int32, 16, as_fixed, add_fixed),
    }.get(kind, (float64, 12, as_float64, terms64(kind)))

    blocks = 4 if separate else min(BLOCKS.get(kind, 4), 7 if curved else 8)

    @cuda_device
    def stage_own(real, whole, origin, tid, first, n, crystal, cell, sources, orientations, units):
        """Stage a thread's term, of ``n`` from ``first`` on."""
        if tid < n:
            stage_term(kind, real, whole, tid, int32(first + tid), origin, crystal, cell, sources, orientations, units)

    @cuda_device
    def load(real, whole, origin, tid, first, n, crystal, cell, sources, orientations, units):
        """Stage ``n`` terms from ``first`` on, by all threads of a block, which meet here."""
        stage_own(real, whole, origin, tid, first, n, crystal, cell, sources, orientations, units)
        cuda.syncthreads()

    @cuda_device
    def write_pixels(image, window, panel, crystal, beam, sources, corner, live, grand, tid):
        """A thread's sums into the image, as photons unless terms are shared by blocks."""
        s, f = first_pixel(corner, tid)
        row0, f0 = window[0], window[2]
        for p in range(2):
            if live[p, tid]:
                if split:
                    image[cuda.blockIdx.z, s - row0, f - f0] = grand[p, tid]
                else:
                    value = finished(kind, panel, curved, separate, crystal, beam, sources, s, f, grand[p, tid])
                    image[s - row0, f - f0] = value
            f = int32(f + TILE // 2)

    @cuda_kernel(threads=THREADS, blocks=blocks)
    def render_fast(
        image, window, panel, crystal, cell, beam, sources, orientations, F2, mask, units, chapter, halt, done
    ):
        if SIMULATED:  # the simulator has no alignment, and identifies arrays by the line that makes them
            real = cuda.shared.array((STAGED, columns), real_type)
            whole = cuda.shared.array((STAGED, 4), int32)
        else:
            real = cuda.shared.array((STAGED, columns), real_type, alignment=ALIGNMENT)
            whole = cuda.shared.array((STAGED, 4), int32, alignment=ALIGNMENT)
        origin = cuda.shared.array(4, float64)
        corner = cuda.shared.array(2, int32)
        # private values of each thread, kept in shared memory as registers are scarce in the inner loop
        live = cuda.shared.array((2, THREADS), int32)
        total = cuda.shared.array((2, THREADS), float64)
        grand = cuda.shared.array((2, THREADS), float64)
        tid = int32(cuda.threadIdx.x)
        if tid == 0:
            begin_tile(window, panel, curved, corner, origin)
        if all_stop(halt, tid, True):
            return
        s, f = first_pixel(corner, tid)
        live[0, tid], live[1, tid] = is_rendered(window, mask, s, f), is_rendered(window, mask, s, f + TILE // 2)
        n_terms, size = int32(sources.shape[0] * orientations.shape[0]), int32(orientations.shape[0])
        if n_terms <= STAGED:
            load(real, whole, origin, tid, int32(0), n_terms, crystal, cell, sources, orientations, units)
        total[0, tid], total[1, tid], grand[0, tid], grand[1, tid] = 0.0, 0.0, 0.0, 0.0
        step, end_step, first, last = extent(split, panel, n_terms, chapter)
        while step < end_step:
            if n_terms <= STAGED and step % LOOK == LOOK - 1 and all_stop(halt, tid, True):
                return
            (s, f), (layer, subS, subF) = first_pixel(corner, tid), sub_pixel(panel, step)
            da = converted(offset(panel, curved, s, f, layer, subS, subF, origin), units)
            db = converted(offset(panel, curved, s, int32(f + TILE // 2), layer, subS, subF, origin), units)
            start = first
            while start < last:
                end = min(last, chapter_end(start, chapter))
                weights = float32(1), float32(1)
                if separate:
                    place = (quotient(start, size), s, f, layer, subS, subF)
                    end, fresh = min(end, int32((place[0] + 1) * size)), start == place[0] * size
                    weights = weigh_pair(kind, panel, curved, crystal, beam, sources, place, fresh, total, tid)
                    start = start if is_wanted(live, weights, tid) else end
                while start < end:
                    low, high = start, end
                    if n_terms > STAGED and all_stop(halt, tid, start % (LOOK * STAGED) == 0):
                        return
                    if n_terms > STAGED:
                        low, high = int32(0), int32(min(STAGED, end - start))
                        load(real, whole, origin, tid, start, high, crystal, cell, sources, orientations, units)
                    if live[0, tid] | live[1, tid]:
                        sum_a, sum_b = add_terms(real, whole, low, high, da, db, crystal, units, F2)
                        total[0, tid] += weights[0] * sum_a
                        total[1, tid] += weights[1] * sum_b
                    start = int32(start + STAGED)
                start = end
                if not separate or start == last or remainder(start, chapter) == 0:
                    take_over(total, grand, tid)
            step = int32(step + 1)
        write_pixels(image, window, panel, crystal, beam, sources, corner, live, grand, tid)
        tell_end(done, tid)

    return render_fast
