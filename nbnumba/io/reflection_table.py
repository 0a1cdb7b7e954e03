"""A list of reflections as a file holds it, and what becomes of it: one column, merged, as amplitudes, expanded to P1.

Every reader of an asymmetric unit makes a :class:`Table`; :func:`whole_sphere` does the rest for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.choice import Choice
from nbnumba.io.symmetry import Group, averaged, conflicts, expand_to_p1
from nbnumba.io.values import MAX_INDEX, Reflections

#: Column types by MTZ's letters, in the order in which they are tried where no label is given.
COLUMN_TYPES = {
    "G": "anomalous amplitudes F(+) F(-)",
    "F": "amplitudes",
    "K": "anomalous intensities I(+) I(-)",
    "J": "intensities",
}
#: Numbers that old programs write for a missing value.
_PLACEHOLDERS = (-999.0, -9999.0, -99999.0, -999999.0, -9999999.0, -1e10, -1e20, -1e30, -1e38)
MERGERS = "AIMLESS, dials.merge"


@dataclass(frozen=True, eq=False)
class Table:
    """Reflections as the file lists them.

    Attributes
    ----------
    types : dict
        Name of each column to its type; ``column`` returns a column by its name, ``sigma`` its standard deviations, if any.
    cells : dict
        Cells of columns that have one of their own; ``cell`` is that of the others.
    unmerged : str
        Why the rows are observations that have to be merged; empty if they are merged.
    merger : str
        Programs that merge such a file.
    averaged : bool
        Whether rows of one reflection are averaged without being asked for; ``friedel``: Friedel mates, too.
    needs_cell : bool
        Whether a file of this kind is expected to give a cell.
    """

    path: Path | str
    what: str
    miller: np.ndarray
    types: dict[str, str]
    column: Callable[[str], np.ndarray]
    cell: gemmi.UnitCell | None
    spacegroup: Group | None
    sigma: Callable[[str], np.ndarray | None] = lambda name: None
    cells: dict[str, gemmi.UnitCell] = field(default_factory=dict)
    unmerged: str = ""
    merger: str = MERGERS
    averaged: bool = False
    friedel: bool = False
    needs_cell: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise FileError if the reflections cannot be expanded to P1."""
        where = f"{self.what} {self.path}"
        if self.spacegroup is None:
            raise FileError(f"{where} names no space group that is known: without it F cannot be expanded to P1")
        if self.needs_cell and (self.cell is None or not self.cell.is_crystal()):
            raise FileError(f"{where} gives no unit cell")
        if len(self.miller) == 0:
            raise FileError(f"{where} holds no reflections")
        if np.abs(self.miller).max() > MAX_INDEX:
            raise FileError(f"{where} holds an index beyond {MAX_INDEX}")

    def is_intensity(self, name: str) -> bool:
        """Whether a column holds intensities."""
        return self.types.get(name) in ("J", "K")

    def cell_of(self, name: str) -> tuple[float, ...] | None:
        """Cell (Å, degrees) of a column."""
        cell = self.cells.get(name, self.cell)
        return None if cell is None else tuple(float(x) for x in cell.parameters)


def whole_sphere(table: Table, wanted: Choice) -> Reflections:
    """Amplitudes of one column, or of a pair, expanded to P1.

    Raises
    ------
    FileError
        There is no such column, it holds no values, or its rows are not merged.
    """
    assert table.spacegroup is not None
    path, where = table.path, f"{table.what} {table.path}"
    chosen, others = choose(table, wanted.label)
    listed = ",".join(chosen)
    notes = list(table.notes)
    if wanted.label is None:
        besides = f" (others: {', '.join(others)}; choose with --label)" if others else ""
        notes.append(f"structure factors are taken from {listed} of {path}{besides}")
    columns = [_without_missing(table, name, notes) for name in chosen]
    miller, columns = _merged(table, columns, wanted.average, notes)
    if table.is_intensity(chosen[0]):
        negative = sum(int((v < 0).sum()) for v in columns)
        columns = [np.sqrt(np.maximum(v, 0)) for v in columns]
        zeroed = f"; {negative} negative ones became 0" if negative else ""
        notes.append(f"{listed} of {path} are intensities: F is their square root{zeroed}")
    negative = sum(int((v < 0).sum()) for v in columns)
    if negative:
        raise FileError(f"{where}: column {listed} holds {negative} negative amplitudes")
    minus = columns[1] if len(columns) == 2 else None
    indices, F = expand_to_p1(miller, columns[0], minus, table.spacegroup)
    if len(F) == 0:
        raise FileError(f"{where}: column {listed} holds no values")
    return Reflections(indices, F, table.cell_of(chosen[0]), table.spacegroup, listed, tuple(notes))


def _without_missing(table: Table, name: str, notes: list[str]) -> np.ndarray:
    """A column, NaN where a number stands for a missing value: -999 and the like, or 0 with a sigma that is not positive."""
    values = np.array(table.column(name), dtype=np.float64)
    missing = np.isin(values, np.array(_PLACEHOLDERS, dtype=np.float32).astype(np.float64)) | np.isin(
        values, _PLACEHOLDERS
    )
    sigma = table.sigma(name)
    if sigma is not None and (sigma > 0).any():
        missing |= (values == 0) & (sigma <= 0)
    if missing.any():
        values[missing] = np.nan
        notes.append(f"{int(missing.sum())} values of {name} in {table.path} stand for missing ones and do not count")
    return values


def _merged(
    table: Table, columns: list[np.ndarray], average: bool, notes: list[str]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rows and columns with one value for each reflection.

    Raises
    ------
    FileError
        The rows are not merged, and are not to be averaged.
    """
    assert table.spacegroup is not None
    where, group = f"{table.what} {table.path}", table.spacegroup
    cure = f"merge them first ({table.merger}), or give --average for the mean of their rows"
    if average or table.averaged:
        miller, means = averaged(table.miller, columns, group, table.friedel)
        if len(miller) < len(table.miller):
            notes.append(f"{len(table.miller)} rows of {table.path} are averaged to {len(miller)} reflections")
        return miller, means
    if table.unmerged:
        raise FileError(f"{where} holds unmerged reflections{table.unmerged}: {cure}")
    for values in columns:
        found = conflicts(table.miller, values, group)
        if found:
            one, two = found[0]
            named = " ".join(map(str, np.asarray(table.miller[one]).tolist()))
            raise FileError(
                f"{where} gives {len(found)} reflections more than once with different values ({named}: "
                f"{values[one]:g} and {values[two]:g}): {cure}"
            )
    return table.miller, columns


def partner(name: str, names: Sequence[str]) -> tuple[str, str] | None:
    """The pair (plus, minus) that a label belongs to; None unless both exist."""
    for plus, minus in (("(+)", "(-)"), ("_plus", "_minus"), ("plus", "minus"), ("+", "-")):
        for own, other in ((plus, minus), (minus, plus)):
            if own in name and name.replace(own, other) in names:
                return name.replace(own, plus), name.replace(own, minus)
    return None


def candidates(table: Table) -> list[tuple[str, ...]]:
    """Columns and pairs of columns that can be read, best first: measured ones of each type before calculated ones."""
    found: list[tuple[str, ...]] = []
    for letter in COLUMN_TYPES:
        of_type = [name for name, its in table.types.items() if its == letter]
        for name in of_type:
            pair = partner(name, of_type) if letter in "GK" else None
            if (pair or (name,)) not in found:
                found.append(pair or (name,))
    return found


def choose(table: Table, label: str | None) -> tuple[tuple[str, ...], list[str]]:
    """Names of the one or two columns to read, and of the others that could be read instead.

    Raises
    ------
    FileError
        There is none, or none of this label or type.
    """
    found = candidates(table)
    listed = ", ".join(",".join(names) for names in found) or "none"
    if not found:
        raise FileError(f"{table.what} {table.path} has no column of amplitudes or intensities")
    if label is None:
        # a calculated amplitude is not a better answer than a measured intensity
        best = next((names for names in found if "calc" not in names[0].lower()), found[0])
        return best, [",".join(names) for names in found if names != best]
    wanted = label.replace(" ", "")
    for names in found:
        if wanted in (*names, ",".join(names), ",".join(reversed(names))):
            return names, []
    if wanted in COLUMN_TYPES:
        for names in found:
            if table.types[names[0]] == wanted:
                return names, []
    raise FileError(f"{table.what} {table.path} has no column {label} of amplitudes or intensities; it has: {listed}")
