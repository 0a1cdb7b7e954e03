"""Phases in fixed point: the terms of a square crystal without float64, for the fast CUDA kernels.

Problem: where the error of float32 phases is too large (few terms in a pixel, many cells), phases need more digits. float64
has half the speed of float32 on the GPUs of data centres only; on others a 32nd or a 64th.

Choice: an index relative to the anchor's whole number is a 64-bit number; ``whole_bits`` of them stand before the fraction.
Differences of direction and cell vectors over lambda are 32-bit numbers whose units have the product 2^-(64 - whole_bits);
the scales are the host's (:func:`nbnumba.render.gpu.inputs.fixed_point`), such that the largest of both in an image take the same
share of 32 bits. A product and its addition are one instruction, ``mad.wide.s32``. The nearest whole index takes an
addition and a shift; the offset from it is 32 bits from the middle of the sum; N times the offset is a 64-bit product, whose
lower half is the phase and whose upper half the whole number before it, both exact.

Error: of an index at most sqrt(3 e 2^-(64 - whole_bits)), for e the largest change of an index over half a tile, by the
rounding of directions and vectors (root mean square a quarter of it), and 2^-33 by the offset's 32 bits; of a phase N times
as much (:func:`nbnumba.render.gpu.inputs.fixed_error`). Against 80-bit floats, in 560 random tiles of 4096 pixels with 1 to 10 terms
within the bound that is allowed (1.5e-7): 6e-7 of the tile's maximum, as float64 phases, whose rest is float32 too; 1.3e-6
in tiles that lie between peaks altogether; 3e-5 of a pixel's own value for 99 of 100 pixels.

Cost: 107 instructions for a step and pixel on 9.0, 100 on 12.0, none of them float64; float64 phases take 101.5, 32 of them
float64. Misuse: an index that changes by 2^(whole_bits - 2) over half a tile does not fit into the 32-bit factors and makes a
wrong image; nothing in the kernel tests for it. The host takes float64 phases where no number of bits serves
(:func:`nbnumba.render.kernel_table.choose`).
"""

from __future__ import annotations

import numpy as np

from nbnumba.kernels.gpu.ops import MAGIC64, clamped_index, entry_of, joined, lower_word, rounded64, upper_word
from nbnumba.kernels.gpu.terms import COLUMN, grating, in_twos, staged_term
from nbnumba.kernels.jit.cuda import (
    add_wide,
    cuda_device,
    float32,
    funnel,
    int32,
    int64,
    read_only,
    shifted_down,
    sign_bit,
)

#: First column of the anchors, each in a lower and an upper word; a row has 16 columns.
ANCHORS = 10

_UNIT = np.float32(2.0**-32)


@cuda_device
def to_fixed(x, scale):
    """x times a scale as int32, rounded; below 2^31 by the choice of the scale."""
    return int32(rounded64(x * scale + MAGIC64))


@cuda_device
def write_anchor(real, j, axis, fraction, units):
    """Write the fraction of an anchor, plus half of the last bit of an offset, for rounding."""
    start = int64(fraction * units.anchor_scale + units.last_half)
    real[j, ANCHORS + 2 * axis], real[j, ANCHORS + 2 * axis + 1] = lower_word(start), upper_word(start)


@cuda_device
def axis_of(start, v, d, N, units):
    """Of start + v . d: the nearest whole number, N times the offset from it, and the latter less its whole part."""
    index = add_wide(v[2], d[2], add_wide(v[1], d[1], add_wide(v[0], d[0], start)))
    offset = funnel(lower_word(index), upper_word(index), units.whole_bits)  # in units of 2^-32, what is whole lost
    phase = add_wide(offset, N, int64(0))
    y = float32(lower_word(phase)) * _UNIT
    turns = int32(upper_word(phase) + sign_bit(lower_word(phase)))  # the nearest whole number
    return shifted_down(int32(upper_word(index) + units.half), units.upper_bits), y + float32(turns), y


@cuda_device
def fixed_term(a, b, c, start, whole, d, units, F2):
    """As ``gpu.terms.square32_term``; ``start`` in 64 bits, ``whole`` the anchor's indices in the box themselves."""
    i, uh, yh = axis_of(start[0], a, d, units.count_a, units)
    j, uk, yk = axis_of(start[1], b, d, units.count_b, units)
    m, ul, yl = axis_of(start[2], c, d, units.count_c, units)
    i, j, m = (
        clamped_index(whole[0] + i, units.nh),
        clamped_index(whole[1] + j, units.nk),
        clamped_index(whole[2] + m, units.nl),
    )
    return grating(uh, uk, ul, yh, yk, yl, units) * read_only(F2, entry_of(i, j, m, units.wide_k, units.wide_l))


@cuda_device
def fixed_pair(real, whole, j, da, db, units, F2):
    """The staged term ``j`` for both pixels of a thread."""
    n = COLUMN
    a, b, c, _, nearest = staged_term(real, whole, j)
    start = (
        joined(real[j, n[11]], real[j, n[10]]),
        joined(real[j, n[13]], real[j, n[12]]),
        joined(real[j, n[15]], real[j, n[14]]),
    )
    return (
        fixed_term(a, b, c, start, nearest, da, units, F2),
        fixed_term(a, b, c, start, nearest, db, units, F2),
    )


add_fixed = in_twos(fixed_pair)
