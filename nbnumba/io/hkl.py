"""Structure factors as text: h k l F, one reflection per line.

Two readers give the same result: NumPy's for tidy files (five times faster), and one that reads word by word for all
other files and for error messages. The fast one is used only where the file holds nothing but digits, signs, exponents
and separators and every line has four numbers; for such files the two cannot differ.
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.matrix import number, split_numbers
from nbnumba.io.values import MAX_INDEX

_WHAT = "HKL file"
#: A fourth word with a comma inside, where blanks, semicolons, or commas and blanks separate the first three.
_COMMA = re.compile(
    r"^[ \t]*[+-]?\d{1,7}(?:,?[ \t]+|;)[ \t]*[+-]?\d{1,7}(?:,?[ \t]+|;)[ \t]*[+-]?\d{1,7}(?:,?[ \t]+|;)[ \t]*([+-]?\d{0,15},\d[\d.,]{0,20})",
    re.MULTILINE | re.ASCII,
)
_TIDY = b"0123456789+-.eE \t\n"


def read_hkl(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Reflections of an HKL file, in its order; of another program's list (``nbnumba.io.lists``) the whole sphere.

    Returns
    -------
    indices : (n, 3) int32
        h, k, l.
    F : (n,) float64
        Electrons.

    Raises
    ------
    FileError
        As :func:`nbnumba.io.lists.table.read_list` and :func:`parse_hkl`.
    """
    from nbnumba.io.lists.table import read_list

    found = read_list(path)
    return found.indices, found.F


def parse_hkl(text: str, path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Reflections of the text of an HKL file, in its order, as :func:`read_hkl` returns them.

    Numbers are separated by blanks, tabs or commas. Columns after the fourth, blank lines and comments (from ``#`` or
    ``!`` on) are ignored. A line with fewer than four numbers continues on the next ones.

    Raises
    ------
    FileError
        The text holds no reflection, or a word, a decimal comma, an index that is not whole or beyond 10^6, an F that is not
        finite, or an incomplete reflection.
    """
    if "#" in text or "!" in text:
        text = re.sub("[#!][^\n]*", "", text)
    if "," in text:
        _check_commas(text, path)
    text = text.replace(",", " ")
    rows = _read_tidy(text)
    if rows is None:
        rows = _read_careful(text, path)
    if len(rows) == 0:
        raise FileError(f"the {_WHAT} {path} holds no reflections: give h k l F per line")
    return rows[:, :3].astype(np.int32), np.ascontiguousarray(rows[:, 3])


def _read_tidy(text: str) -> np.ndarray | None:
    """Rows (n, 4) of a file that the fast reader can read, else None."""
    if not text.isascii() or text.encode("ascii").translate(None, _TIDY) or not text.strip():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows = np.loadtxt(io.StringIO(text), usecols=(0, 1, 2, 3), comments=None, ndmin=2)
    except (ValueError, OverflowError, UserWarning):
        return None
    indices = rows[:, :3]
    if not np.isfinite(rows).all() or (indices != np.rint(indices)).any() or np.abs(indices).max() > MAX_INDEX:
        return None
    return rows


def _read_careful(text: str, path: Path | str) -> np.ndarray:
    """Rows (n, 4), word by word."""
    rows: list[list[float]] = []
    pending: list[float] = []
    begun = line = 0
    for line, content in enumerate(text.split("\n"), 1):
        words = split_numbers(content)
        if not words:
            continue
        if pending and len(words) >= 4:
            raise FileError(
                f"line {begun} of the {_WHAT} {path}: the reflection that begins here has only {len(pending)} numbers "
                f"before line {line} begins another"
            )
        if not pending:
            begun = line
        for word in words[: 4 - len(pending)]:
            value = number(word, path, line, _WHAT)
            if len(pending) < 3:
                _check_index(value, word, path, line)
            pending.append(value)
        if len(pending) == 4:
            rows.append(pending)
            pending = []
    if pending:
        raise FileError(
            f"line {begun} of the {_WHAT} {path}: the file ends with {len(pending)} of the 4 numbers of a reflection"
        )
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _check_commas(text: str, path: Path | str) -> None:
    """Raise FileError if F has a comma in a row whose words are separated by blanks: a decimal comma, or thousands."""
    found = _COMMA.search(text)
    if found:
        line = text.count("\n", 0, found.start(1)) + 1
        raise FileError(
            f"line {line} of the {_WHAT} {path}: {found[1][:40]} has a comma inside the number: write decimal points"
        )


def _check_index(value: float, word: str, path: Path | str, line: int) -> None:
    if value != round(value):
        raise FileError(f"line {line} of the {_WHAT} {path}: h, k and l must be whole numbers, got {word[:40]}")
    if abs(value) > MAX_INDEX:
        raise FileError(f"line {line} of the {_WHAT} {path}: the index {word[:40]} is beyond {MAX_INDEX}")
