"""Counts as a NumPy array file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.files import atomic_write, cause


def write_npy(path: Path | str, array: np.ndarray) -> None:
    """Write an array under exactly this name, its type and shape kept.

    Raises
    ------
    FileError
        It cannot be written.
    """
    with atomic_write(path) as file:
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read_npy(path: Path | str) -> np.ndarray:
    """Array of a file; pickled objects are refused.

    Raises
    ------
    FileError
        It cannot be read or is no array of numbers.
    """
    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read the NumPy array {path}: {cause(error)}") from error
