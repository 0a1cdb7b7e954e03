"""Float image: little-endian float32 without a header, slow axis first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.files import atomic_write, read_bytes


def write_float_image(path: Path | str, image: np.ndarray) -> None:
    """Write an image of shape (spixels, fpixels), in photons, rounded to float32.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(np.ascontiguousarray(image, dtype="<f4").data)


def read_float_image(path: Path | str, shape: tuple[int, int]) -> np.ndarray:
    """Image of ``shape`` (spixels, fpixels), float32, in photons.

    Raises
    ------
    FileError
        The file cannot be read, or its size does not fit ``shape``.
    """
    data = read_bytes(path, "float image")
    expected = 4 * shape[0] * shape[1]
    if len(data) != expected:
        raise FileError(
            f"the float image {path} has {len(data)} bytes, but {shape[1]} x {shape[0]} pixels of 4 bytes need {expected}"
        )
    return np.frombuffer(data, dtype="<f4").reshape(shape).astype(np.float32)
