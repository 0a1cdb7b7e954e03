"""MTZ files, through gemmi: indices by their labels, every column with the cell of its own data set, symmetry by SYMM.

gemmi takes the first three columns for h, k, l, and the space group from its name in SYMINF; CCP4's programs take the
columns by their labels, and the operations of the SYMM records, which are read here.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np

from nbnumba.errors import FileError, first_line
from nbnumba.io.choice import Choice
from nbnumba.io.files import read_bytes
from nbnumba.io.packed import packer_of, unpacked
from nbnumba.io.reflection_table import COLUMN_TYPES, MERGERS, Table
from nbnumba.io.symmetry import Group, group_of_operations, operations

_WHAT = "the MTZ file"
#: Types of columns that only unmerged files have: batch numbers, and which symmetry operation an observation is of.
_UNMERGED_TYPES = {"B": "batch numbers", "Y": "M/ISYM"}
_SIGMA = {"F": "Q", "J": "Q", "G": "L", "K": "M"}


def read_mtz(path: Path, wanted: Choice) -> Table:
    """Reflections of an MTZ file.

    Raises
    ------
    FileError
        The file cannot be read, has no such data set, no cell or no space group.
    """
    packed = read_bytes(path, "MTZ file")
    data = unpacked(packed, path, "MTZ file")
    try:
        mtz = _load(path, data, packer_of(packed) is not None)
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        raise FileError(f"{_WHAT} {path} is broken: {first_line(error)}") from error
    return mtz_table(mtz, _WHAT, path, wanted, _symm_records(data))


def mtz_table(mtz: gemmi.Mtz, what: str, path: Path | str, wanted: Choice, symm: tuple[str, ...] = ()) -> Table:
    """Reflections of an object of gemmi.

    Parameters
    ----------
    symm : tuple of str
        Operations of the file's SYMM records.

    Raises
    ------
    FileError
        As :func:`read_mtz`.
    """
    where = f"{what} {path}"
    try:
        for column in mtz.columns:  # gemmi decodes a label where it is asked for
            column.label.encode()
        columns = _named_columns(mtz, wanted.dataset, where)
    except UnicodeDecodeError as error:
        raise FileError(f"{where} is broken: a column's label is no text") from error
    if len(mtz.columns) and len(mtz.columns[0]) != mtz.nreflections:
        raise FileError(f"{where} is broken: its columns have other lengths than its header says")
    order = {column.idx: name for name, column in columns.items()}

    def values(column: gemmi.Mtz.Column) -> np.ndarray:
        found = _numbers(column)
        if np.isfinite(mtz.valm):
            found[found == np.float64(np.float32(mtz.valm))] = np.nan
        return found

    def sigma(name: str) -> np.ndarray | None:
        column = columns[name]
        if column.idx + 1 >= len(mtz.columns):
            return None
        after = mtz.columns[column.idx + 1]
        return values(after) if after.type == _SIGMA[column.type] else None

    group, notes = _group(mtz, symm, path)
    signs = [_UNMERGED_TYPES[column.type] for column in mtz.columns if column.type in _UNMERGED_TYPES]
    if len(mtz.batches):
        signs.insert(0, "batches")
    return Table(
        path,
        what,
        _indices(mtz, where),
        {name: columns[name].type for name in order.values()},
        lambda name: values(columns[name]),
        mtz.cell,
        group,
        sigma=sigma,
        cells=_cells(mtz, columns),
        unmerged=f" (it has {' and '.join(dict.fromkeys(signs))})" if signs else "",
        merger=MERGERS,
        notes=tuple(notes),
    )


def _load(path: Path, data: bytes, is_packed: bool) -> gemmi.Mtz:
    # gemmi reads MTZ from named files only, unpacks those ending in .gz, and allocates what the header claims
    name = os.fspath(path)
    if not is_packed and not name.endswith(".gz"):
        return _load_named(name, len(data))
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "unpacked.mtz")
        Path(name).write_bytes(data)
        return _load_named(name, len(data))


def _load_named(name: str, size: int) -> gemmi.Mtz:
    mtz = gemmi.read_mtz_file(name, with_data=False)
    if mtz.nreflections < 0 or len(mtz.columns) < 3:
        raise ValueError("it has no columns h k l")
    if 4 * mtz.nreflections * len(mtz.columns) > size:
        raise ValueError("it is cut off")
    return gemmi.read_mtz_file(name)


def _named_columns(mtz: gemmi.Mtz, dataset: str | None, where: str) -> dict[str, gemmi.Mtz.Column]:
    """Columns of F and I by label; by ``data set/label`` where several have one label. Only those of ``dataset``, if given."""
    usable = [column for column in mtz.columns if column.type in COLUMN_TYPES]
    if dataset is not None:
        names = {name for column in mtz.columns for name in _dataset_names(mtz, column)}
        usable = [column for column in usable if dataset in _dataset_names(mtz, column)]
        if not usable:
            raise FileError(f"{where} has no data set {dataset} with F or I; it has: {', '.join(sorted(names))}")
    labels = [column.label for column in usable]
    found: dict[str, gemmi.Mtz.Column] = {}
    for column in usable:
        several = labels.count(column.label) > 1
        name = f"{_dataset_names(mtz, column)[0]}/{column.label}" if several else column.label
        found.setdefault(name if name not in found else f"{name}#{column.idx}", column)
    return found


def _dataset_names(mtz: gemmi.Mtz, column: gemmi.Mtz.Column) -> tuple[str, ...]:
    """Names by which the data set of a column may be chosen; its number alone if the header does not describe it."""
    found = [each for each in mtz.datasets if each.id == column.dataset_id]
    names = [(each.dataset_name, f"{each.crystal_name}/{each.dataset_name}") for each in found[:1]]
    return *(names[0] if names else ()), str(column.dataset_id)


def _cells(mtz: gemmi.Mtz, columns: dict[str, gemmi.Mtz.Column]) -> dict[str, gemmi.UnitCell]:
    """Cell of each column's data set, where it has one; the base data set's is that of the file."""
    cells = {each.id: each.cell for each in mtz.datasets if each.id != 0 and each.cell.is_crystal()}
    return {name: cells[column.dataset_id] for name, column in columns.items() if column.dataset_id in cells}


def _numbers(column: gemmi.Mtz.Column) -> np.ndarray:
    """Values of a column, (n,) float64; NaN of any bits is NaN."""
    with np.errstate(invalid="ignore"):
        return np.array(column.array, dtype=np.float64)


def _indices(mtz: gemmi.Mtz, where: str) -> np.ndarray:
    """h, k, l, (n, 3): the columns H, K, L of type H, wherever they stand; else the first three of that type."""
    of_type = [column for column in mtz.columns if column.type == "H"]
    by_label = {column.label.upper(): column for column in reversed(of_type)}
    found = [by_label[name] for name in "HKL"] if by_label.keys() >= set("HKL") else of_type[:3]
    if len(found) < 3:
        raise FileError(f"{where} is broken: it has no columns h k l")
    rows = np.column_stack([_numbers(column) for column in found])
    if not (rows == np.rint(rows)).all():
        raise FileError(f"{where} has no whole numbers h k l")
    return np.clip(rows, -(2**40), 2**40).astype(np.int64)


def _group(mtz: gemmi.Mtz, symm: tuple[str, ...], path: Path | str) -> tuple[Group | None, list[str]]:
    """The group of the SYMM records, else the one that SYMINF names; a note if the two differ."""
    named, found = mtz.spacegroup, group_of_operations(symm)
    if found is None or (named is not None and operations(named) == operations(found)):
        return named, []
    same = named is not None and set(operations(named)) == set(operations(found))
    if same:
        return named, []
    says = getattr(found, "hm", f"a group of {len(operations(found))} operations")
    name = "no known group" if named is None else named.hm
    return found, [f"{path} names {name}, but its SYMM records are those of {says}, which are used"]


def _symm_records(data: bytes) -> tuple[str, ...]:
    """Operations of the SYMM records in the header of an MTZ file."""
    order: Literal["big", "little"] = "big" if data[8:9] in (b"\x11", b"\x10") else "little"
    words = int.from_bytes(data[4:8], order, signed=True)
    if words == -1:  # of large files
        words = int.from_bytes(data[12:20], order, signed=True)
    header = data[4 * (words - 1) :] if 0 < words <= len(data) else b""
    found = []
    for start in range(0, min(len(header), 80 * 2000), 80):
        record = header[start : start + 80]
        if record.startswith(b"END"):
            break
        if record.startswith(b"SYMM"):
            found.append(record[4:].decode("latin-1").strip())
    return tuple(found)
