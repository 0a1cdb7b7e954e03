"""Numbers of the lines of a list, with errors that name the line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.matrix import number
from nbnumba.io.values import MAX_INDEX


@dataclass(frozen=True)
class Rows:
    """Where rows come from: lines of a file, counted from 1, and its kind for messages."""

    path: Path | str
    what: str

    def numbers(self, line: int, words: Iterable[str]) -> list[float]:
        """Values of the words of a line.

        Raises
        ------
        FileError
            One of them is not a finite number.
        """
        return [number(word.strip(), self.path, line, self.what) for word in words]

    def array(self, rows: list[list[float]], width: int) -> np.ndarray:
        """Rows as an array (n, width), whose first three columns are indices.

        Raises
        ------
        FileError
            There is no row, or an index is not whole or too large.
        """
        found = np.array(rows, dtype=np.float64).reshape(-1, width)
        if len(found) == 0:
            raise FileError(f"the {self.what} {self.path} holds no reflections")
        indices = found[:, :3]
        wrong = ((indices != np.rint(indices)) | (np.abs(indices) > MAX_INDEX)).any(axis=1)
        if wrong.any():
            h, k, l = indices[int(np.argmax(wrong))]
            raise FileError(f"the {self.what} {self.path} holds impossible indices: {h:g} {k:g} {l:g}")
        return found


def six(words: Iterable[str]) -> tuple[float, ...] | None:
    """A unit cell (Å, degrees) of six positive numbers; None if the words are something else."""
    try:
        values = tuple(float(word) for word in words)
    except ValueError:
        return None
    return values if len(values) == 6 and all(0 < value < 1e6 for value in values) else None
