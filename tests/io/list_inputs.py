"""Reflection lists in the formats of other programs, made from their definitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Row = tuple[float, ...]  # h, k, l, value, sigma, and what a format has more

XDS_ITEMS = ("H", "K", "L", "IOBS", "SIGMA(IOBS)")


def xds_ascii(
    rows: Iterable[Row],
    number: int = 96,
    merge: bool = False,
    friedel: bool = True,
    items: Sequence[str] = XDS_ITEMS,
    cell: str = "79.10 79.10 37.90 90.000 90.000 90.000",
) -> str:
    """An XDS_ASCII file; rows have h, k, l, I, sigma, which are put where ``items`` says."""
    words = {True: "TRUE", False: "FALSE"}
    head = [f"!FORMAT=XDS_ASCII    MERGE={words[merge]}    FRIEDEL'S_LAW={words[friedel]}"]
    head += [f"!SPACE_GROUP_NUMBER=   {number}", f"!UNIT_CELL_CONSTANTS=   {cell}"]
    head += [f"!NUMBER_OF_ITEMS_IN_EACH_DATA_RECORD={len(items)}"]
    head += [f"!ITEM_{name}={i}" for i, name in enumerate(items, 1)] + ["!END_OF_HEADER"]
    lines = []
    for row in rows:
        values = dict(zip(XDS_ITEMS, row, strict=True))
        lines.append(" ".join(f"{values.get(name, 7.5):g}" for name in items))
    return "\n".join([*head, *lines, "!END_OF_DATA", ""])


def shelx(rows: Iterable[Row], batch: int | None = 1, end: str | None = "   0   0   0    0.00    0.00   0") -> str:
    """A list of SHELX: 3I4, 2F8.2, and I4 unless ``batch`` is None."""
    tail = "" if batch is None else f"{batch:4d}"
    lines = [f"{h:4d}{k:4d}{l:4d}{value:8.2f}{sigma:8.2f}{tail}" for h, k, l, value, sigma in rows]
    return "\n".join([*lines, *([] if end is None else [end]), ""])


def scalepack(rows: Iterable[Row], group: str = "p43212", cell: str = "    79.100    79.100    37.900") -> str:
    """A merged file of SCALEPACK: 3I4, and I, sigma, each F8.1, for one or both Friedel mates."""
    head = ["    1", " -987", f"{cell}    90.000    90.000    90.000 {group}"]
    lines = ["".join(f"{int(i):4d}" for i in row[:3]) + "".join(f"{x:8.1f}" for x in row[3:]) for row in rows]
    return "\n".join([*head, *lines, ""])


def crystfel(rows: Iterable[Row], symmetry: str | None = "422", end: str = "End of reflections") -> str:
    """A reflection list of CrystFEL."""
    head = ["CrystFEL reflection list version 2.0", *([f"Symmetry: {symmetry}"] if symmetry else [])]
    head += ["   h    k    l          I    phase   sigma(I)   nmeas"]
    lines = [f"{h:4d} {k:4d} {l:4d} {value:10.2f}        - {sigma:10.2f} {3:7d}" for h, k, l, value, sigma in rows]
    return "\n".join([*head, *lines, end, ""])
