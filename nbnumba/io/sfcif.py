"""Reflections in CIF files, through gemmi: structure-factor mmCIF, and the hkl and fcf files of small molecules.

A file can hold several data sets: as blocks, as values of ``wavelength_id``, ``crystal_id`` or ``scale_group_code`` in
one loop. ``dataset`` names a block (or its number from 1), a value as ``wavelength_id=2``, or both with a comma between.
"""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from nbnumba.errors import FileError, first_line
from nbnumba.io.choice import Choice
from nbnumba.io.packed import read_unpacked
from nbnumba.io.reflection_table import Table
from nbnumba.io.symmetry import Group, group_in_block, preferred, useless_operations

_WHAT = "the structure-factor CIF file"
_COLUMNS = {
    "G": ("pdbx_F",),
    "F": ("F_meas_au", "F_meas", "F_calc_au", "F_calc", "pdbx_F_calc_with_solvent"),
    "K": ("pdbx_I",),
    "J": (
        *("intensity_meas", "intensity_net", "intensity_calc", "F_squared_meas", "F_squared_calc"),
        *("intensity_meas_au", "F_squared_meas_au"),
    ),
}
#: What tells data sets in one loop apart.
_PARTS = ("wavelength_id", "crystal_id", "scale_group_code")
#: Values of a status that mean that a row is not data: unreliable, and not used; systematically absent.
_UNRELIABLE, _ABSENT = "x", "-"
_STATUS = ("status", "observed_status", "include_status")


def read_sfcif(path: Path, wanted: Choice) -> Table:
    """Reflections of a CIF file.

    Raises
    ------
    FileError
        The file cannot be read, holds no such block or data set, several data sets in one loop, or no reflections.
    """
    text = read_unpacked(path, "CIF file").decode("latin-1")
    try:
        blocks = _blocks(gemmi.cif.read_string(text))
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{_WHAT} {path} is broken: {first_line(error)}") from error
    useful = [block for block in blocks if block.default_loop is not None]
    merged = [block for block in useful if block.is_merged()]
    if not merged and not (wanted.average and useful):
        hint = "none"
        if any(block.is_unmerged() for block in blocks):
            hint = "only unmerged ones: merge them first, or give --average"
        elif "_shelx_hkl_file" in text:
            hint = "none but the SHELX list in _shelx_hkl_file: take that out of it (shredcif), and give --symmetry"
        elif "_atom_site" in text:
            hint = "none but atoms: give it as --model"
        raise FileError(f"{_WHAT} {path} must hold merged reflections (_refln.index_h ...), it has {hint}")
    block, part, notes = _chosen_block(merged or useful, wanted, f"{_WHAT} {path}", path)
    return cif_table(block, _WHAT, path, part, tuple(notes))


def cif_table(
    block: gemmi.ReflnBlock, what: str, path: Path | str, part: str | None = None, notes: tuple[str, ...] = ()
) -> Table:
    """Reflections of an object of gemmi.

    Parameters
    ----------
    part : str, optional
        Data set of the loop, as ``wavelength_id=2``.

    Raises
    ------
    FileError
        As :func:`read_sfcif`.
    """
    where = f"{what} {path}"
    labels = _labels(block, where)
    try:
        miller = np.array(block.make_miller_array())
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{where} has no whole numbers h k l: {first_line(error)}") from error
    keep, more = _kept_rows(block, labels, where, path, part)
    absent = keep & _has_status(block, labels, _ABSENT)

    def column(name: str) -> np.ndarray:
        found = np.array(block.make_float_array(name, np.nan), dtype=np.float64)
        found[absent & np.isfinite(found)] = 0
        return found[keep]

    def sigma(name: str) -> np.ndarray | None:
        tags = [f"{name}_sigma", f"{name.removesuffix('_au')}_sigma_au", name.replace("_meas", "_sigma")]
        tag = next((tag for tag in tags if tag in labels and tag != name), None)
        return None if tag is None else np.array(block.make_float_array(tag, np.nan), dtype=np.float64)[keep]

    group, said = _group(block, path)
    return Table(
        path,
        what,
        miller[keep],
        _types(labels),
        column,
        block.cell,
        group,
        sigma=sigma,
        unmerged="" if block.is_merged() else " (_diffrn_refln)",
        notes=(*notes, *more, *said),
    )


def _blocks(document: gemmi.cif.Document) -> list[gemmi.ReflnBlock]:
    """Blocks of reflections, of mmCIF or of small molecules."""
    small = [block.find_values("_refln_index_h") for block in document]
    if not any(map(len, small)):
        return list(gemmi.as_refln_blocks(document))
    return [gemmi.hkl_cif_as_refln_block(block) for block, found in zip(document, small, strict=True) if len(found)]


def _chosen_block(
    blocks: list[gemmi.ReflnBlock], wanted: Choice, where: str, path: Path | str
) -> tuple[gemmi.ReflnBlock, str | None, list[str]]:
    """The block of the data set that is wanted, else the first that has the column; the part of its loop; notes."""
    words = [word.strip() for word in (wanted.dataset or "").split(",") if word.strip()]
    parts, names = [word for word in words if "=" in word], [word for word in words if "=" not in word]
    known = [block.block.name for block in blocks]
    part = ",".join(parts) or None
    if names:
        name = names[0]
        for number, block in enumerate(blocks, 1):
            if name in (block.block.name, str(number)):
                return block, part, []
        raise FileError(f"{where} has no block {name} of merged reflections; it has: {', '.join(known)}")
    label = (wanted.label or "").replace(" ", "")
    found = next((block for block in blocks if label and _has(block, label, where)), blocks[0])
    if len(blocks) == 1:
        return found, part, []
    which = "the first" if found is blocks[0] else "the first that has this column"
    listed = ", ".join(known[:8]) + (" ..." if len(known) > 8 else "")
    note = (
        f"{path} holds {len(blocks)} data blocks ({listed}): {found.block.name}, {which}, is used; "
        "choose another with --dataset NAME"
    )
    return found, part, [note]


def _has(block: gemmi.ReflnBlock, label: str, where: str) -> bool:
    types = _types(_labels(block, where))
    return label in types.values() or all(name in types for name in label.split(","))


def _labels(block: gemmi.ReflnBlock, where: str) -> list[str]:
    try:
        return list(block.column_labels())
    except (LookupError, ValueError) as error:  # the columns of the loop have different categories
        raise FileError(f"{where} is broken: its columns are not all named _refln. something") from error


def _types(labels: list[str]) -> dict[str, str]:
    """Name to type of the columns of F and I."""
    types: dict[str, str] = {}
    for letter, names in _COLUMNS.items():
        for name in names:
            pair = (f"{name}_plus", f"{name}_minus")
            present = pair if letter in "GK" and all(p in labels for p in pair) else (name,) if name in labels else ()
            types.update(dict.fromkeys(present, letter))
    return types


def _kept_rows(
    block: gemmi.ReflnBlock, labels: list[str], where: str, path: Path | str, part: str | None
) -> tuple[np.ndarray, list[str]]:
    """Rows of the data set that is wanted whose status allows their use, (n,) bool, and notes about the others.

    Raises
    ------
    FileError
        There is no such data set, or the loop holds several and none is chosen.
    """
    n = block.default_loop.length()
    keep = np.ones(n, dtype=bool)
    for word in (part or "").split(",") if part else ():
        tag, _, value = word.partition("=")
        if tag not in labels:
            raise FileError(f"{where} has no column {tag}, which --dataset {word} asks for")
        texts = _texts(block, tag)
        keep &= texts == value
        if not keep.any():
            raise FileError(f"{where} has no rows of {word}; it has: {', '.join(sorted(set(texts.tolist()))[:8])}")
    for tag in _PARTS:
        values = sorted(set(_texts(block, tag)[keep].tolist())) if tag in labels else []
        if len(values) > 1 and _overlap(block, tag, keep):
            raise FileError(
                f"{where} holds {len(values)} data sets in one loop ({tag} {', '.join(values[:8])}): "
                f"choose one with --dataset {tag}={values[0]}"
            )
    notes = []
    unreliable, absent = (keep & _has_status(block, labels, status) for status in (_UNRELIABLE, _ABSENT))
    if unreliable.any():
        notes.append(f"{int(unreliable.sum())} rows of {path} have status x (unreliable, not used) and do not count")
    if absent.any():
        notes.append(f"{int(absent.sum())} rows of {path} have status - (systematically absent): their F is 0")
    return keep & ~unreliable, notes


def _overlap(block: gemmi.ReflnBlock, tag: str, keep: np.ndarray) -> bool:
    """Whether data sets of a loop have reflections in common: groups of scales of one data set do not."""
    miller, values = np.array(block.make_miller_array())[keep], _texts(block, tag)[keep]
    _, number = np.unique(miller, axis=0, return_inverse=True)
    _, which = np.unique(values, return_inverse=True)
    pairs = np.unique(np.column_stack([number.ravel(), which.ravel()]), axis=0)
    return len(pairs) > len(np.unique(pairs[:, 0]))


def _texts(block: gemmi.ReflnBlock, tag: str) -> np.ndarray:
    """A column as text, (n,)."""
    name = block.default_loop.tags[block.column_labels().index(tag)]
    return np.array([gemmi.cif.as_string(value) for value in block.block.find_values(name)], dtype=object)


def _has_status(block: gemmi.ReflnBlock, labels: list[str], status: str) -> np.ndarray:
    """Rows with this status, (n,) bool."""
    tag = next((tag for tag in _STATUS if tag in labels), None)
    if tag is None:
        return np.zeros(block.default_loop.length(), dtype=bool)
    found: np.ndarray = _texts(block, tag) == status
    return found


def _group(block: gemmi.ReflnBlock, path: Path | str) -> tuple[Group | None, list[str]]:
    """The group of the block's operations, else the one that it names; a note if the two differ."""
    found, numbered = group_in_block(block.block)
    group, notes = preferred(found, block.spacegroup, path)
    return group or numbered, notes + useless_operations(block.block, path)
