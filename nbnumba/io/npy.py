"""Counts as a NumPy array file."""

from __future__ import annotations

import io
import math
import tokenize
import warnings
from pathlib import Path

import numpy as np

from nbnumba.errors import FileError, first_line
from nbnumba.io.files import atomic_write, read_bytes

#: Exceptions that parsing the header, a Python literal, can raise.
_HEADER_ERRORS = (
    *(ValueError, TypeError, SyntaxError, tokenize.TokenError, AttributeError),
    *(OverflowError, RecursionError, MemoryError),
)


def write_npy(path: Path | str, array: np.ndarray) -> None:
    """Write an array; no ending is appended to the name.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    with atomic_write(path) as file:
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read_npy(path: Path | str, what: str = "NumPy array") -> np.ndarray:
    """Read the array of a file; pickled objects are refused. ``what``: the kind of file, for messages.

    Raises
    ------
    FileError
        The file cannot be read, or holds no array of numbers or text.
    """
    return parse_npy(read_bytes(path, what), f"the {what} {path}")


def parse_npy(content: bytes, where: str) -> np.ndarray:
    """Array of numbers or text that a file of the ``.npy`` format holds; a header that claims more is refused.

    Raises
    ------
    FileError
        The content is broken, cut off, or neither numbers nor text; the message begins with ``where``.
    """
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote
            shape, fortran, dtype = read_header[version](file)
    except KeyError:
        raise FileError(f"{where} has an unsupported version of the format: it must be 1.0 or 2.0") from None
    except _HEADER_ERRORS as error:
        raise FileError(f"cannot read {where}: its header is broken: {first_line(error)}") from error
    if dtype.kind not in "biufcSU" or dtype.itemsize == 0:
        raise FileError(f"{where} holds no numbers, but {dtype}")
    start, needed = file.tell(), dtype.itemsize * math.prod(shape)
    possible = all(type(n) is int and 0 <= n <= len(content) for n in shape)
    if not possible or len(content) - start < needed:
        raise FileError(f"{where} is cut off: {shape} of {dtype} need {needed} bytes, found {len(content) - start}")
    flat = np.frombuffer(content, dtype, math.prod(shape), start)
    return flat.reshape(shape, order="F" if fortran else "C").copy(order="K")
