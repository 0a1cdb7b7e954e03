"""XDS_ASCII.HKL of XDS and XSCALE: intensities, with cell and space group in a header of lines that begin with ``!``.

The items of a row are named by ``!ITEM_...=`` lines. A negative sigma marks a misfit, which XDS leaves out. Rows are
averaged where the header says that they are to be merged (``FRIEDEL'S_LAW=TRUE``, Friedel mates included, or
``MERGE=TRUE``), else only where the user asks for it.
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

WHAT = "XDS_ASCII file"
_ITEMS = ("H", "K", "L", "IOBS", "SIGMA(IOBS)")


def recognizes(head: str) -> bool:
    """Whether the first lines of a file are those of an XDS_ASCII file."""
    return re.match(r"!FORMAT=XDS_ASCII\b", head) is not None


def read_cell(text: str) -> tuple[float, ...] | None:
    """Unit cell (Å, degrees) of the header."""
    return six(_header(text).get("UNIT_CELL_CONSTANTS", "").split())


def read(text: str, path: Path | str, wanted: Choice) -> Table:
    """Reflections of an XDS_ASCII file.

    Raises
    ------
    FileError
        An item is missing, a line has no such numbers, or the space group is unknown.
    """
    import gemmi

    from nbnumba.io.reflection_table import Table

    header, where = _header(text), f"the {WHAT} {path}"
    places = [_place(header, item, where) for item in _ITEMS]
    source = Rows(path, WHAT)
    rows = []
    for line, content in enumerate(text.split("\n"), 1):
        if content.startswith("!END_OF_DATA"):
            break
        if content.startswith("!") or not content.strip():
            continue
        words = content.split()
        if len(words) <= max(places):
            raise FileError(
                f"line {line} of {where} has {len(words)} numbers, {max(places) + 1} are needed: it is cut off"
            )
        rows.append(source.numbers(line, [words[place] for place in places]))
    found = source.array(rows, len(_ITEMS))
    misfits = found[:, 4] < 0
    notes = []
    if misfits.any():
        notes.append(f"{int(misfits.sum())} rows of {path} are misfits (negative sigma) and do not count")
        found = found[~misfits]
    name = header.get("SPACE_GROUP_NUMBER", "").strip()
    group = gemmi.find_spacegroup_by_number(int(name)) if re.fullmatch("[0-9]{1,3}", name) else None
    cell, friedel = read_cell(text), _flag(header, "FRIEDEL'S_LAW")
    merged = _flag(header, "MERGE")
    return Table(
        path,
        f"the {WHAT}",
        found[:, :3].astype(np.int64),
        {"IOBS": "J"},
        lambda name: found[:, 3],
        None if cell is None else gemmi.UnitCell(*cell),
        group,
        unmerged="" if merged else " and FRIEDEL'S_LAW=FALSE",
        merger="XSCALE with MERGE=TRUE, POINTLESS and AIMLESS",
        averaged=merged or friedel,
        friedel=friedel,
        notes=tuple(notes),
    )


def _header(text: str) -> dict[str, str]:
    """Keywords of the header and their values."""
    head = text.partition("!END_OF_HEADER")[0]
    found = {}
    for line in head.split("\n"):
        if line.startswith("!"):
            # one line may hold several: MERGE=FALSE    FRIEDEL'S_LAW=TRUE
            for key, value in re.findall(
                r"([A-Z][A-Z0-9_'()/.-]*)=[ \t]*([^=]*?)(?=[ \t]+[A-Z][A-Z0-9_'()/.-]*=|$)", line
            ):
                found[key] = value.strip()
    return found


def _place(header: dict[str, str], item: str, where: str) -> int:
    value = header.get(f"ITEM_{item}", "")
    if not re.fullmatch("[0-9]{1,3}", value) or int(value) < 1:
        raise FileError(f"{where} does not say where {item} stands: its header has no line !ITEM_{item}=")
    return int(value) - 1


def _flag(header: dict[str, str], key: str) -> bool:
    return header.get(key, "").upper().startswith("TRUE")
