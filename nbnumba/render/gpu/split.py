"""Sharing of the terms of a pixel by several blocks of a GPU: when, and in which portions.

Problem: a block renders a tile of 16 x 16 pixels, all terms of it. An image of 64 x 64 pixels is 16 blocks, whatever the
number of terms; a GPU has a hundred multiprocessors, each of which needs several blocks.

Choice: terms are always added in chapters, whose length depends on their number alone, and chapters in the order of
steps (sub-pixels of layers) and terms. Where tiles are few, each block adds one chapter at one step, and another kernel adds
the partial sums in that order. So the sums do not depend on the region that is rendered, on the GPU or on the
splitting. Cost: a float64 for each pixel and portion, 256 MiB at most (more
portions than that are not split), and a second launch.
"""

from __future__ import annotations

#: Most chapters of a pixel's terms, and their least length, a multiple of ``kernels.gpu.fast.STAGED``.
MOST_CHAPTERS, SHORTEST, STAGED = 128, 512, 64
#: Memory (bytes) for the sums up to which tiles are split; terms of a pixel from which that is worth a second launch.
MOST_MEMORY, WORTH_SPLITTING = 256 << 20, 2048
#: Bytes of a tile's sums of one portion; blocks along z at most.
TILE_BYTES, MOST_BLOCKS = 16 * 16 * 8, 65535
#: Blocks that a multiprocessor is to have at least.
BLOCKS_WANTED = 2


def chapter_of(terms: int) -> int:
    """Terms of a chapter, for a number of sources times orientations."""
    length = -(-terms // MOST_CHAPTERS)
    return max(SHORTEST, -(-length // STAGED) * STAGED)


def portions_of(tiles: int, steps: int, terms: int, processors: int) -> int:
    """Portions into which the terms of each tile are split: one for each chapter and step, or 1.

    Parameters
    ----------
    tiles : int
        Tiles of a launch.
    steps : int
        Sub-pixels times sensor layers.
    terms : int
        Sources times orientations.
    processors : int
        Multiprocessors of the GPU.
    """
    portions = steps * -(-terms // chapter_of(terms))
    if tiles >= BLOCKS_WANTED * processors or steps * terms < WORTH_SPLITTING:
        return 1
    if portions * tiles * TILE_BYTES > MOST_MEMORY or portions > MOST_BLOCKS:
        return 1
    return portions
