"""List of X-ray sources as text: X Y Z weight wavelength, one source per line."""

from __future__ import annotations

import re
from pathlib import Path

from nbnumba.errors import FileError
from nbnumba.io.files import read_text
from nbnumba.io.matrix import number

SourceRow = tuple[float | None, float | None, float | None, float | None, float | None]


def read_sources(path: Path | str) -> list[SourceRow]:
    """Rows of a source file.

    Columns are separated by blanks, tabs, commas, colons or semicolons; those after the fifth are ignored. Blank lines
    and comments (from ``#`` or ``!`` on) are skipped.

    Returns
    -------
    list of (X, Y, Z, weight, wavelength)
        X, Y, Z and the wavelength in metres. None where a column is missing or, as in nanoBragg.c, ``nan``.

    Raises
    ------
    FileError
        The file cannot be read, holds no source, or holds a word that is not a number.
    """
    rows: list[SourceRow] = []
    for line, text in enumerate(read_text(path, "source file").split("\n"), 1):
        words = re.sub("[,;:]", " ", re.split("[#!]", text, maxsplit=1)[0]).split()[:5]
        if not words:
            continue
        values = [None if word.lower() == "nan" else number(word, path, line, "source file") for word in words]
        x, y, z, weight, wavelength = values + [None] * (5 - len(values))
        rows.append((x, y, z, weight, wavelength))
    if not rows:
        raise FileError(f"the source file {path} holds no source: give X Y Z weight wavelength(m) per line")
    return rows
