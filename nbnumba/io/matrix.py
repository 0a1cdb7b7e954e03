"""MOSFLM's orientation matrix as text: nine numbers, row by row.

MOSFLM writes more after them: three missetting angles, the nine numbers of U, and on line 8 the cell.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from nbnumba.errors import FileError
from nbnumba.io.files import read_text

#: Each number matches in one way only: an ambiguous pattern would take quadratic time on a long word of digits.
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
#: Where numbers of a fixed-width table touch: a sign straight after a digit or a decimal point.
_TOUCHING = re.compile(r"(?<=[0-9.])(?=[+-])")


def split_numbers(line: str) -> list[str]:
    """Words of a line; commas separate too, and ``-0.12345678-0.5`` is two numbers, as for C's scanf."""
    return _TOUCHING.sub(" ", line.replace(",", " ")).split()


def number(word: str, path: Path | str, line: int, what: str) -> float:
    """Value of one word.

    Raises
    ------
    FileError
        The word is not a finite number.
    """
    value = float(word) if NUMBER.fullmatch(word) else math.nan
    if not math.isfinite(value):
        raise FileError(f"line {line} of the {what} {path}: expected a number, got {word[:40]!r}")
    return value


def read_matrix(path: Path | str) -> tuple[float, ...]:
    """First nine numbers of a MOSFLM matrix file: the columns are a*, b*, c*, multiplied by the wavelength.

    Blank lines and comments (from ``#`` or ``!`` on) are skipped, all after the ninth number is ignored.

    Returns
    -------
    (9,) tuple of float
        Row by row, dimensionless (1/Å times Å).

    Raises
    ------
    FileError
        The file cannot be read, holds fewer than nine numbers, or holds a word before the ninth.
    """
    values: list[float] = []
    line = 0
    for line, text in enumerate(read_text(path, "matrix file").split("\n"), 1):
        for word in split_numbers(re.split("[#!]", text, maxsplit=1)[0]):
            values.append(number(word, path, line, "matrix file"))
            if len(values) == 9:
                return tuple(values)
    raise FileError(f"the matrix file {path} ends at line {line} with {len(values)} numbers, 9 are needed")


def read_matrix_cell(path: Path | str) -> tuple[float, ...] | None:
    """Unit cell (Å, degrees) on line 8 of a MOSFLM matrix file; None where there is no such line.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    words: list[str] = []
    for text in read_text(path, "matrix file").split("\n"):
        words += split_numbers(re.split("[#!]", text, maxsplit=1)[0])
    # A, missetting angles, U, cell
    cell = words[21:27]
    if len(cell) < 6 or not all(NUMBER.fullmatch(word) for word in words[:27]):
        return None
    values = tuple(map(float, cell))
    return values if all(0.1 < value < 1e5 for value in values) and max(values[3:]) < 180 else None
