"""Structure factors of the asymmetric unit from MTZ and structure-factor mmCIF files, expanded to P1.

A reflection h of the file stands for h R of every rotation R of the space group, with the same amplitude, and for its
Friedel mates. Where a file gives F(+) and F(-), the mates -h R carry F(-); where one of the two is missing the other is
used, and centric reflections, for which the two are equal, get their mean. A row that names an index, directly or
through symmetry, takes precedence over one that reaches it only as a Friedel mate: a file that lists h k l and
-h -k -l in separate rows keeps the pair apart.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from nbnumba.errors import FileError, first_line
from nbnumba.io.files import read_bytes
from nbnumba.io.values import MAX_INDEX, Reflections

#: A gzipped file may unpack to this multiple of its size and so many bytes more. Text grows some ten times; a file that
#: grows far more is damaged, or made to fill the memory.
UNPACKED_LIMIT, UNPACKED_FLOOR = 50, 1 << 20
#: Column types by MTZ's letters, in the order in which they are tried where no label is given.
COLUMN_TYPES = {
    "G": "anomalous amplitudes F(+) F(-)",
    "F": "amplitudes",
    "K": "anomalous intensities I(+) I(-)",
    "J": "intensities",
}
_CIF_COLUMNS = {
    "G": ("pdbx_F",),
    "F": ("F_meas_au", "F_meas", "F_calc_au", "F_calc", "pdbx_F_calc_with_solvent"),
    "K": ("pdbx_I",),
    "J": ("intensity_meas", "intensity_calc", "F_squared_meas", "F_squared_calc"),
}


@dataclass(frozen=True, eq=False)
class _Table:
    """Reflections as the file lists them; ``types``: name to type of each column; ``column``: returns one by name."""

    path: Path | str
    what: str
    miller: np.ndarray
    types: dict[str, str]
    column: Callable[[str], np.ndarray]
    cell: gemmi.UnitCell
    spacegroup: gemmi.SpaceGroup


def content_kind(path: Path | str) -> str:
    """Format of a file of structure factors, by its first bytes: ``mtz``, ``cif`` or ``text``.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    head = _content(Path(path), "HKL file", 4096)
    if head.startswith(b"MTZ "):
        return "mtz"
    lines = (line.strip().lower() for line in head.removeprefix(b"\xef\xbb\xbf").splitlines())
    first = next((line for line in lines if line and not line.startswith(b"#")), b"")
    return "cif" if first.startswith(b"data_") else "text"


def read_reflections(path: Path | str, label: str | None = None) -> Reflections:
    """Amplitudes of an MTZ or a structure-factor mmCIF file, expanded to P1 with Friedel mates.

    Parameters
    ----------
    label : str, optional
        Which column: its label (``FP``; of a pair any of ``F(+)``, ``F(-)`` or ``F(+),F(-)``), or a type as MTZ counts
        them: ``G`` pairs of amplitudes, ``F`` amplitudes, ``K`` pairs of intensities, ``J`` intensities. By default
        the first column of the first of these types that the file has. Intensities become ``sqrt(max(I, 0))``.

    Raises
    ------
    FileError
        The file cannot be read, is neither MTZ nor mmCIF, has no such column, cell or space group, or is not merged.
    """
    path = Path(path)
    return _whole_sphere(_read_mtz(path) if content_kind(path) == "mtz" else _read_cif(path), label)


def reflections_of(value: gemmi.Mtz | gemmi.ReflnBlock, label: str | None = None) -> Reflections:
    """Amplitudes of an object of gemmi, expanded to P1 with Friedel mates.

    Parameters
    ----------
    label : str, optional
        As in :func:`read_reflections`.

    Raises
    ------
    FileError
        The reflections are not merged, or have no such column, no cell or no space group.
    """
    if isinstance(value, gemmi.Mtz):
        return _whole_sphere(_mtz_table(value, "the", "gemmi.Mtz"), label)
    if not value.is_merged() or value.default_loop is None:
        raise FileError("the gemmi.ReflnBlock holds no merged reflections: merge them first")
    return _whole_sphere(_cif_table(value, "the", "gemmi.ReflnBlock"), label)


def _whole_sphere(table: _Table, label: str | None) -> Reflections:
    """Amplitudes of one column, or of a pair, expanded to P1."""
    path = table.path
    chosen, others = _choose(table, label)
    values = [table.column(name) for name in chosen]
    notes = []
    if label is None:
        besides = f" (others: {', '.join(others)}; choose with --label)" if others else ""
        notes.append(f"structure factors are taken from {','.join(chosen)} of {path}{besides}")
    if _is_intensity(table, chosen[0]):
        negative = sum(int((v < 0).sum()) for v in values)
        values = [np.sqrt(np.maximum(v, 0)) for v in values]
        zeroed = f"; {negative} negative ones became 0" if negative else ""
        notes.append(f"{','.join(chosen)} of {path} are intensities: F is their square root{zeroed}")
    negative = sum(int((v < 0).sum()) for v in values)
    if negative:
        raise FileError(f"{table.what} {path}: column {','.join(chosen)} holds {negative} negative amplitudes")
    plus, minus = (values[0], values[1]) if len(values) == 2 else (values[0], None)
    indices, F = expand_to_p1(table.miller, plus, minus, table.spacegroup)
    if len(F) == 0:
        raise FileError(f"{table.what} {path}: column {','.join(chosen)} holds no values")
    cell = tuple(float(x) for x in table.cell.parameters)
    return Reflections(indices, F, cell, table.spacegroup, ",".join(chosen), tuple(notes))


def read_cell(path: Path | str) -> tuple[float, ...] | None:
    """Unit cell (Å, degrees) of an MTZ or structure-factor mmCIF file; None for text, which has none.

    Raises
    ------
    FileError
        As :func:`read_reflections`.
    """
    kind = content_kind(path)
    if kind == "text":
        return None
    table = _read_mtz(Path(path)) if kind == "mtz" else _read_cif(Path(path))
    return tuple(float(x) for x in table.cell.parameters)


def expand_to_p1(
    miller: np.ndarray, plus: np.ndarray, minus: np.ndarray | None, spacegroup: gemmi.SpaceGroup
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of all symmetry mates and Friedel mates.

    Parameters
    ----------
    miller : (n, 3) int
        h, k, l of an asymmetric unit (any choice of it) or of more.
    plus, minus : (n,) float, minus may be None
        F of h k l and of -h -k -l; NaN where there is none; None: the same.

    Returns
    -------
    indices : (m, 3) int32
        Each index once, sorted.
    F : (m,) float64
        As given.
    """
    miller = np.asarray(miller, dtype=np.int64).reshape(-1, 3)
    plus = np.asarray(plus, dtype=np.float64)
    rotations = _rotations(spacegroup)
    if minus is None:
        minus = np.full_like(plus, np.nan)
    else:
        minus = np.asarray(minus, dtype=np.float64)
        centric = np.any([(miller @ R == -miller).all(axis=1) for R in rotations], axis=0)
        both = centric & np.isfinite(plus) & np.isfinite(minus)
        plus = np.where(both, (plus + minus) / 2, plus)
        minus = np.where(both, np.nan, minus)
    rows, values = [], []
    # direct mentions first, Friedel mates of the same rows after them: the first of an index counts
    for sign in (1, -1):
        for F, hand in ((plus, 1), (minus, -1)):
            known = np.isfinite(F)
            for R in rotations:
                rows.append(sign * hand * (miller[known] @ R))
                values.append(F[known])
    everything, F = np.concatenate(rows), np.concatenate(values)
    if len(F) == 0:
        return np.zeros((0, 3), np.int32), F
    indices, first = np.unique(everything, axis=0, return_index=True)
    return indices.astype(np.int32), F[first]


def absent(indices: np.ndarray, spacegroup: gemmi.SpaceGroup) -> np.ndarray:
    """Which of the indices (n, 3) the space group extinguishes, (n,) bool."""
    group = spacegroup.operations()
    return np.asarray(group.systematic_absences(np.ascontiguousarray(indices, dtype=np.int32)), dtype=bool)


def _rotations(spacegroup: gemmi.SpaceGroup) -> list[np.ndarray]:
    """Rotation parts, (3, 3) whole numbers, each once; h R are the mates of the row vector h."""
    parts = {tuple(np.ravel(op.rot)) for op in spacegroup.operations().sym_ops}
    return [np.reshape(part, (3, 3)) // gemmi.Op.DEN for part in sorted(parts, reverse=True)]


def _content(path: Path, what: str, limit: int | None = None) -> bytes:
    """Bytes of a file, unpacked if it is gzipped; at most ``limit``."""
    data = read_bytes(path, what)
    if not data.startswith(b"\x1f\x8b"):
        return data[:limit]
    most = UNPACKED_FLOOR + UNPACKED_LIMIT * len(data)
    try:
        with gzip.open(io.BytesIO(data)) as file:
            unpacked = file.read(most + 1 if limit is None else limit)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"the {what} {path} is a gzip file that cannot be unpacked: {error}") from error
    if len(unpacked) > most:
        raise FileError(f"the {what} {path} unpacks to more than {UNPACKED_LIMIT} times its size: unpack it yourself")
    return unpacked


def _checked(table: _Table) -> _Table:
    """The table itself; raises FileError if its reflections cannot be expanded to P1."""
    where = f"{table.what} {table.path}"
    if table.spacegroup is None:
        raise FileError(f"{where} names no space group that is known: without it F cannot be expanded to P1")
    if not table.cell.is_crystal():
        raise FileError(f"{where} gives no unit cell")
    if len(table.miller) == 0:
        raise FileError(f"{where} holds no reflections")
    if np.abs(table.miller).max() > MAX_INDEX:
        raise FileError(f"{where} holds an index beyond {MAX_INDEX}")
    return table


def _read_mtz(path: Path) -> _Table:
    what = "the MTZ file"
    data = _content(path, "MTZ file")
    try:
        mtz = _load_mtz(path, data)
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        raise FileError(f"{what} {path} is broken: {first_line(error)}") from error
    return _mtz_table(mtz, what, path)


def _mtz_table(mtz: gemmi.Mtz, what: str, path: Path | str) -> _Table:
    if len(mtz.batches):
        raise FileError(f"{what} {path} holds unmerged reflections: merge them first (dials.merge, AIMLESS)")
    try:
        types = {column.label: column.type for column in mtz.columns}
    except UnicodeDecodeError as error:
        raise FileError(f"{what} {path} is broken: a column's label is no text") from error

    def column(name: str) -> np.ndarray:
        return np.array(mtz.column_with_label(name).array, dtype=np.float64)

    return _checked(_Table(path, what, np.array(mtz.make_miller_array()), types, column, mtz.cell, mtz.spacegroup))


def _load_mtz(path: Path, data: bytes) -> gemmi.Mtz:
    # gemmi reads MTZ from named files only, unpacks those ending in .gz, and allocates what the header claims
    mtz = gemmi.read_mtz_file(str(path), with_data=False)
    if mtz.nreflections < 0 or len(mtz.columns) < 3:
        raise ValueError("it has no columns h k l")
    if 4 * mtz.nreflections * len(mtz.columns) > len(data):
        raise ValueError("it is cut off")
    return gemmi.read_mtz_file(str(path))


def _read_cif(path: Path) -> _Table:
    what = "the structure-factor mmCIF file"
    text = _content(path, "mmCIF file").decode("latin-1")
    try:
        document = gemmi.cif.read_string(text)
        blocks = gemmi.as_refln_blocks(document)
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{what} {path} is broken: {first_line(error)}") from error
    merged = [block for block in blocks if block.is_merged() and block.default_loop is not None]
    if not merged:
        hint = "only unmerged ones: merge them first" if any(block.is_unmerged() for block in blocks) else "none"
        raise FileError(f"{what} {path} must hold merged reflections (_refln.index_h ...), it has {hint}")
    return _cif_table(merged[0], what, path)


def _cif_table(block: gemmi.ReflnBlock, what: str, path: Path | str) -> _Table:
    try:
        labels = block.column_labels()
    except (LookupError, ValueError) as error:  # the columns of the loop have different categories
        raise FileError(f"{what} {path} is broken: its columns are not all named _refln. something") from error
    types: dict[str, str] = {}
    for letter, names in _CIF_COLUMNS.items():
        for name in names:
            pair = (f"{name}_plus", f"{name}_minus")
            present = pair if letter in "GK" and all(p in labels for p in pair) else (name,) if name in labels else ()
            types.update(dict.fromkeys(present, "J" if "squared" in name else letter))

    def column(name: str) -> np.ndarray:
        return np.array(block.make_float_array(name, np.nan), dtype=np.float64)

    try:
        miller = np.array(block.make_miller_array())
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{what} {path} has no whole numbers h k l: {first_line(error)}") from error
    return _checked(_Table(path, what, miller, types, column, block.cell, block.spacegroup))


def _is_intensity(table: _Table, name: str) -> bool:
    return table.types.get(name) in ("J", "K")


def _partner(name: str, names: Sequence[str]) -> tuple[str, str] | None:
    """The pair (plus, minus) that a label belongs to; None unless both exist."""
    for plus, minus in (("(+)", "(-)"), ("_plus", "_minus"), ("plus", "minus"), ("+", "-")):
        for own, other in ((plus, minus), (minus, plus)):
            if own in name and name.replace(own, other) in names:
                return name.replace(own, plus), name.replace(own, minus)
    return None


def _choose(table: _Table, label: str | None) -> tuple[tuple[str, ...], list[str]]:
    """Names of the one or two columns to read, and of the others that could be read instead."""
    candidates: list[tuple[str, ...]] = []
    for letter in COLUMN_TYPES:
        of_type = [name for name, its in table.types.items() if its == letter]
        for name in of_type:
            pair = _partner(name, of_type) if letter in "GK" else None
            if (pair or (name,)) not in candidates:
                candidates.append(pair or (name,))
    listed = ", ".join(",".join(names) for names in candidates) or "none"
    if not candidates:
        raise FileError(f"{table.what} {table.path} has no column of amplitudes or intensities")
    if label is None:
        return candidates[0], [",".join(names) for names in candidates[1:]]
    wanted = label.replace(" ", "")
    for names in candidates:
        if wanted in (*names, ",".join(names), ",".join(reversed(names))):
            return names, []
    if wanted in COLUMN_TYPES:
        for names in candidates:
            if table.types[names[0]] == wanted:
                return names, []
    raise FileError(f"{table.what} {table.path} has no column {label} of amplitudes or intensities; it has: {listed}")
