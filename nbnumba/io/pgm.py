"""PGM: 8-bit greyscale pictures, with the scale in a comment as nanoBragg.c writes it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.files import atomic_write, read_bytes

_GAP = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"P5" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,5})(?:#[^\n]*\n|\s)")
_SCALE = re.compile(rb"# pixels scaled by (\S+)\n")


def write_pgm(path: Path | str, data: np.ndarray, scale: float) -> None:
    """Write a picture.

    Parameters
    ----------
    data : (spixels, fpixels) uint8
        Grey levels.
    scale : float
        Grey levels per photon.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    if data.dtype != np.uint8:
        raise TypeError(f"a PGM picture is uint8, got {data.dtype}")
    header = f"P5\n{data.shape[1]} {data.shape[0]}\n# pixels scaled by {scale:g}\n255\n"
    with atomic_write(path) as file:
        file.write(header.encode("ascii"))
        file.write(np.ascontiguousarray(data).data)


def read_pgm(path: Path | str) -> tuple[np.ndarray, float | None]:
    """Picture of shape (spixels, fpixels), uint8, and its scale in grey levels per photon, if noted.

    Raises
    ------
    FileError
        The file cannot be read, is not a binary 8-bit PGM file, or is truncated.
    """
    content = read_bytes(path, "PGM file")
    header = _HEADER.match(content)
    if header is None:
        raise FileError(f"the PGM file {path} does not start with 'P5', width, height and greatest value")
    fpixels, spixels, greatest = (int(group) for group in header.groups())
    if not 0 < greatest < 256 or fpixels == 0 or spixels == 0:
        raise FileError(
            f"the PGM file {path} must hold 8-bit pixels, its header says {fpixels} x {spixels} pixels up to {greatest}"
        )
    found = len(content) - header.end()
    if found < fpixels * spixels:
        raise FileError(
            f"the PGM file {path} is truncated: {fpixels} x {spixels} pixels announced, {found} bytes found"
        )
    data = np.frombuffer(content, np.uint8, fpixels * spixels, header.end()).reshape(spixels, fpixels).copy()
    scale = _SCALE.search(header[0])
    try:
        return data, float(scale[1]) if scale else None
    except ValueError:
        return data, None
