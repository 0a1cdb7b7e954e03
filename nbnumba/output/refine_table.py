"""CSV: the spots of a refinement, and motions of panels, one row each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nbnumba.io.files import atomic_write


def write_rows(path: Path, table: np.ndarray) -> None:
    """Write a table with a line of column names; what is not known is empty.

    Numbers have eight digits.

    Parameters
    ----------
    table : (n,) structured array
        Of numbers, as :data:`nbnumba.refinement.spots.SPOT`.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    names = table.dtype.names or ()
    columns = [_texts(table[name]) for name in names]
    lines = [",".join(names), *map(",".join, zip(*columns, strict=True))]
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode("ascii"))


def _texts(column: np.ndarray) -> list[str]:
    """Numbers as text; nothing for those that are not finite."""
    if column.dtype.kind in "iu":
        return [str(value) for value in column.tolist()]
    return [f"{value:.8g}" if np.isfinite(value) else "" for value in column.tolist()]
