"""CrystFEL's reflection lists: intensities, and the point group to which they are merged; no cell.

The lines after the title are ``Symmetry: POINT_GROUP``, names of the columns, and ``h k l I phase sigma(I) nmeas``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.lists.rows import Rows

if TYPE_CHECKING:
    from nbnumba.io.choice import Choice
    from nbnumba.io.reflection_table import Table

WHAT = "CrystFEL reflection list"
_OLD = re.compile(r"\s*h\s+k\s+l\s+I\s+(?:phase\s+)?sigma\(I\)")


def recognizes(head: str) -> bool:
    """Whether the first lines of a file are those of a reflection list."""
    return head.startswith("CrystFEL reflection list") or _OLD.match(head) is not None


def read_cell(text: str) -> None:
    """None: a list has no cell."""


def read(text: str, path: Path | str, wanted: Choice) -> Table:
    """Reflections of a list.

    Raises
    ------
    FileError
        It is cut off, has no symmetry or an unknown one, or a line has no such numbers.
    """
    from nbnumba.io.reflection_table import Table
    from nbnumba.io.symmetry import point_group, wanted_group

    where = f"the {WHAT} {path}"
    lines = text.split("\n")
    named = next((line.partition(":")[2].strip() for line in lines[:20] if line.startswith("Symmetry:")), None)
    group = point_group(named) if named else None
    if named and group is None:
        raise FileError(f"{where} has an unknown symmetry: {named[:40]}")
    if group is None and wanted.symmetry:
        group = wanted_group(wanted.symmetry)
    if group is None:
        raise FileError(f"{where} has no line Symmetry: give --symmetry POINT_GROUP")
    start = next((i for i, line in enumerate(lines[:40]) if re.match(r"\s*h\s+k\s+l\s", line)), None)
    if start is None:
        raise FileError(f"{where} has no line with the names of its columns (h k l I ...)")
    names = lines[start].split()
    if "I" not in names:
        raise FileError(f"{where} has no column I")
    rows, source, place = [], Rows(path, WHAT), names.index("I")
    for line, content in enumerate(lines[start + 1 :], start + 2):
        if content.startswith("End of reflections"):
            break
        words = content.split()
        if not words:
            continue
        if len(words) <= place:
            raise FileError(f"line {line} of {where} has {len(words)} columns, its heading has {len(names)}")
        rows.append(source.numbers(line, [*words[:3], words[place]]))
    else:
        raise FileError(f"{where} is cut off: it has no line End of reflections")
    found = source.array(rows, 4)
    return Table(
        path,
        f"the {WHAT}",
        found[:, :3].astype(np.int64),
        {"I": "J"},
        lambda name: found[:, 3],
        None,
        group,
        merger="process_hkl, partialator",
        needs_cell=False,
    )
