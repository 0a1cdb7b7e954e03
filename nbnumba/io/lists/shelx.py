"""SHELX' reflection lists, HKLF 3 and 4: fixed columns 3I4, 2F8.2, I4 (h k l, value, sigma, batch), no cell, no symmetry.

Problem: the same columns can hold ``h k l F sigma`` of any program, and nothing in a file tells F^2 (HKLF 4) from F (HKLF 3).
Choice: a list of that layout is SHELX' if it ends with the line ``0 0 0``, if columns touch, if it has batch numbers or
negative values; its values are then F^2, as in almost all such files. Without any of these signs the distribution of the
values decides; if that cannot, the file is refused. ``--label F`` or ``--label J`` says what the values are.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.list_checks import incomplete, looks_like_intensities
from nbnumba.io.lists.rows import Rows

if TYPE_CHECKING:
    from nbnumba.io.choice import Choice
    from nbnumba.io.reflection_table import Table

WHAT = "SHELX HKLF list"
_INT = "[ +0-9-]{3}[0-9]"
_LINE = re.compile(rf"({_INT})({_INT})({_INT})([ +0-9.-]{{8}})([ +0-9.-]{{8}})([ 0-9-]{{0,4}})[ 0-9.+-]*")
_END = re.compile(r"[ ]{0,3}0[ ]{1,3}0[ ]{1,3}0(?:[ ]+[0.]+)*[ ]*")
_INTEGER = re.compile(r"[ ]*[+-]?[0-9]+")
_VALUE = re.compile(r"[ ]*[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)[ ]*")


def recognizes(text: str) -> bool:
    """Whether all lines of a file have SHELX' columns, unless their values are plainly amplitudes of a common list."""
    start = text[:400].split("\n", 1)[0]
    if _fields(start) is None:
        return False
    parsed = _parse(text)
    if parsed is None:
        return False
    values, certain = parsed
    return certain or looks_like_intensities(values[:, :3], values[:, 3]) is not False


def read_cell(text: str) -> None:
    """None: a list has no cell."""


def read(text: str, path: Path | str, wanted: Choice) -> Table:
    """Reflections of a list.

    Raises
    ------
    FileError
        It is of a twin (HKLF 5), or nothing tells whether its values are F or F^2.
    """
    import gemmi

    from nbnumba.io.reflection_table import Table
    from nbnumba.io.symmetry import wanted_group

    parsed = _parse(text)
    assert parsed is not None
    found, certain = parsed
    found = Rows(path, WHAT).array(found.tolist(), 6)
    where = f"the {WHAT} {path}"
    if (found[:, 5] < -1).any():  # -1 marks reflections of the free-R set, which are data like others
        raise FileError(f"{where} is of a twin (HKLF 5: negative batch numbers): detwin it first (SHELXL, LIST 4)")
    kind = wanted.label
    if kind not in ("F", "J"):
        if not certain and looks_like_intensities(found[:, :3], found[:, 3]) is None:
            raise FileError(
                f"{path} has the columns of SHELX HKLF (3I4, 2F8.2), but no line 0 0 0 at its end: say --label J if its "
                "values are intensities (HKLF 4), --label F if they are F"
            )
        kind = "J"
    group = gemmi.SpaceGroup("P 1") if wanted.symmetry is None else wanted_group(wanted.symmetry)
    values = np.abs(found[:, 3]) if kind == "F" else found[:, 3]
    notes = []
    if wanted.label is None:
        notes.append(f"{path} is a {WHAT}: its values are taken as F^2 (HKLF 4); --label F takes them as F (HKLF 3)")
    if wanted.symmetry is None and (lacks := incomplete(found[:, :3], values)):
        notes.append(f"{path}: {lacks}")
    return Table(
        path,
        f"the {WHAT}",
        found[:, :3].astype(np.int64),
        {kind: kind},
        lambda name: values,
        None,
        group,
        merger="SHELXL with LIST 4, XPREP",
        needs_cell=False,
        notes=tuple(notes),
    )


def _fields(line: str) -> tuple[str, ...] | None:
    """The six fields of a line; None if it has other columns."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    fields = match.groups()
    good = all(_INTEGER.fullmatch(field) for field in fields[:3]) and all(map(_VALUE.fullmatch, fields[3:5]))
    return fields if good and re.fullmatch(r"[ ]*(?:-?[0-9]+)?[ ]*", fields[5]) else None


def _parse(text: str) -> tuple[np.ndarray, bool] | None:
    """Rows h, k, l, value, sigma, batch (n, 6), and whether a sign says that they are SHELX'; None: another layout."""
    rows, certain = [], False
    for line in text.split("\n"):
        if not line.strip():
            break
        if _END.fullmatch(line):
            certain = True
            break
        fields = _fields(line)
        if fields is None:
            return None
        row = [float(field) if field.strip() else 0.0 for field in fields]
        certain = certain or row[3] < 0 or bool(fields[5].strip()) or len(line[:28].split()) != 5
        rows.append(row)
    return (np.array(rows), certain) if rows else None
