"""Structure factors as nanoBragg.c dumps them: a line of index limits, then the box as float64.

The C program allocates one plane more along each axis than it fills, and writes it too: a box of (nh, nk, nl) indices
takes (nh + 1)(nk + 1)(nl + 1) numbers, the last of each axis zero. Unlike its scanf, this reader matches the header
byte by byte: data that begin with bytes that look like blanks are not read as a part of the header.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nbnumba import memory
from nbnumba.errors import FileError
from nbnumba.io.files import atomic_write, cause
from nbnumba.io.values import MAX_INDEX

_HEADER = re.compile(rb"(-?\d{1,10}) (-?\d{1,10}) (-?\d{1,10}) (-?\d{1,10}) (-?\d{1,10}) (-?\d{1,10})\n\f")
_HEADER_MAX = 70


def write_fdump(path: Path | str, grid: np.ndarray, mins: tuple[int, int, int]) -> None:
    """Write a box of structure factors.

    Parameters
    ----------
    grid : (nh, nk, nl) float64
        F in electrons.
    mins : (h_min, k_min, l_min)
        Indices of ``grid[0, 0, 0]``.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    limits = [f"{first} {first + n - 1}" for first, n in zip(mins, grid.shape, strict=True)]
    plane = np.zeros((grid.shape[1] + 1, grid.shape[2] + 1), "<f8")
    with atomic_write(path) as file:
        file.write(" ".join(limits).encode("ascii") + b"\n\f")
        for layer in grid:
            plane[:-1, :-1] = layer
            file.write(plane.data)
        plane[:] = 0
        file.write(plane.data)


def read_fdump(path: Path | str) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Box of structure factors.

    Returns
    -------
    grid : (nh, nk, nl) float64, C-contiguous
        F in electrons.
    mins : (h_min, k_min, l_min)
        Indices of ``grid[0, 0, 0]``.

    Raises
    ------
    FileError
        The file cannot be read, its index limits are impossible or do not fit its size, or an F is not finite.
    ResourceError
        The box does not fit in memory.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileError(f"cannot read the dump file {path}: it is not a regular file")
            mins, shape, start = _read_limits(path, file.read(_HEADER_MAX))
            padded = tuple(n + 1 for n in shape)
            expected = start + 8 * padded[0] * padded[1] * padded[2]
            if status.st_size != expected:
                raise FileError(
                    f"the dump file {path} has {status.st_size} bytes, but its limits {mins} to "
                    f"{tuple(first + n - 1 for first, n in zip(mins, shape, strict=True))} need {expected}"
                )
            memory.require(expected, f"the dump file {path}", "free memory, or give -hkl with fewer reflections")
            grid = _read_box(file, start, padded)
    except FileError:
        raise
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read the dump file {path}: {cause(error)}") from error
    wrong = ~np.isfinite(grid)
    if wrong.any():
        h, k, l = (int(i) + first for i, first in zip(np.argwhere(wrong)[0], mins, strict=True))
        raise FileError(f"the dump file {path} holds an F that is not a finite number, at reflection {h} {k} {l}")
    return grid, mins


def _read_limits(path: Path | str, head: bytes) -> tuple[tuple[int, int, int], tuple[int, int, int], int]:
    match = _HEADER.match(head)
    if match is None:
        raise FileError(f"the dump file {path} does not start with six index limits: remove it, or give -hkl FILE")
    h_min, h_max, k_min, k_max, l_min, l_max = limits = [int(group) for group in match.groups()]
    if h_max < h_min or k_max < k_min or l_max < l_min or max(map(abs, limits)) > MAX_INDEX:
        raise FileError(
            f"the dump file {path} has impossible index limits: "
            f"h {h_min} to {h_max}, k {k_min} to {k_max}, l {l_min} to {l_max}"
        )
    return (h_min, k_min, l_min), (h_max - h_min + 1, k_max - k_min + 1, l_max - l_min + 1), match.end()


def _read_box(file: BinaryIO, start: int, padded: tuple[int, ...]) -> np.ndarray:
    """The box without its padding, layer by layer so that it is never in memory twice."""
    grid = np.empty([n - 1 for n in padded])
    file.seek(start)
    size = 8 * padded[1] * padded[2]
    for layer in grid:
        data = file.read(size)
        if len(data) != size:
            raise OSError("it was cut short while being read")
        layer[:] = np.frombuffer(data, "<f8").reshape(padded[1:])[:-1, :-1]
    return grid
