"""Merged files of SCALEPACK (``.sca``): intensities in fixed columns, with cell and space group.

Lines: ``1``, ``-987``, the cell (6F10) and the name of the space group; then 3I4 and I, sigma, each F8, twice where
Friedel mates are apart: I(+) and I(-). A sigma of -1 marks a mate that was not measured.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.lists.rows import Rows, six

if TYPE_CHECKING:
    from nbnumba.io.choice import Choice
    from nbnumba.io.reflection_table import Table

WHAT = "SCALEPACK file"
_FIRST, _CELL, _GROUP = 3, slice(0, 60), slice(60, None)
_MERGED = re.compile(r"[ ]*1[ ]*\n[ ]*-?9[0-9]{2}[ ]*\n[^\n]*[A-Za-z]")
_UNMERGED = re.compile(r"[ ]*[0-9]{1,3} +[A-Za-z][A-Za-z0-9/ -]*\n(?:[ ]{0,3}-?[0-9]{1,2}){9}[ ]*\n")


def recognizes(head: str) -> bool:
    """Whether the first lines of a file are those of SCALEPACK, merged or not."""
    return _MERGED.match(head) is not None or _UNMERGED.match(head) is not None


def read_cell(text: str) -> tuple[float, ...] | None:
    """Unit cell (Å, degrees) of the third line."""
    lines = text.split("\n", _FIRST)
    if _MERGED.match(text) is None:
        return None
    fixed = lines[2][_CELL]
    return six(fixed[i : i + 10] for i in range(0, 60, 10)) or six(lines[2].split()[:6])


def read(text: str, path: Path | str, wanted: Choice) -> Table:
    """Reflections of a merged file.

    Raises
    ------
    FileError
        It is not merged, its space group is unknown, or a line has no such numbers.
    """
    import gemmi

    from nbnumba.io.reflection_table import Table
    from nbnumba.io.symmetry import named_group

    where = f"the {WHAT} {path}"
    if _MERGED.match(text) is None:
        raise FileError(f"{where} holds unmerged reflections: merge them first (SCALEPACK, or POINTLESS and AIMLESS)")
    lines = text.split("\n")
    cell = read_cell(text)
    named = " ".join(lines[2].split()[6:]) if six(lines[2].split()[:6]) else lines[2][_GROUP].strip()
    group = named_group(named, cell) if named else None
    source, rows = Rows(path, WHAT), []
    for line, content in enumerate(lines[_FIRST:], _FIRST + 1):
        if not content.strip():
            continue
        fields = [content[0:4], content[4:8], content[8:12]]
        fields += [content[i : i + 8] for i in range(12, max(len(content.rstrip()), 28), 8)][:4]
        values = source.numbers(line, [field if field.strip() else "nothing" for field in fields[:5]])
        more = [field for field in fields[5:] if field.strip()]
        pair = source.numbers(line, more) if len(more) == 2 else [np.nan, -1.0]
        rows.append([*values, *pair])
    found = source.array(rows, 7)
    for value, sigma in ((3, 4), (5, 6)):
        found[found[:, sigma] < 0, value] = np.nan
    anomalous = bool(np.isfinite(found[:, 5]).any())
    columns = {"I(+)": found[:, 3], "I(-)": found[:, 5]} if anomalous else {"I": found[:, 3]}
    return Table(
        path,
        f"the {WHAT}",
        found[:, :3].astype(np.int64),
        dict.fromkeys(columns, "K" if anomalous else "J"),
        lambda name: columns[name],
        None if cell is None else gemmi.UnitCell(*cell),
        group,
        merger="SCALEPACK",
    )
