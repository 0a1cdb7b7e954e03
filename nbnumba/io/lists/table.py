"""Text lists of reflections: known formats by their content, everything else as lines ``h k l F``.

A new format is a module with ``recognizes(text)``, ``read(text, path, wanted)`` and ``read_cell(text)``, and its row in
``FORMATS``. The first module that recognizes a file reads it.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.choice import Choice
from nbnumba.io.files import as_text, read_bytes
from nbnumba.io.hkl import parse_hkl
from nbnumba.io.list_checks import incomplete, looks_like_intensities
from nbnumba.io.lists import crystfel_list, refused, scalepack, shelx, xds_ascii
from nbnumba.io.packed import unpacked
from nbnumba.io.values import Reflections

#: Modules of the formats, in the order in which they are asked.
FORMATS: tuple[ModuleType, ...] = (xds_ascii, crystfel_list, refused, scalepack, shelx)
_WHAT = "HKL file"


def read_text(path: Path | str) -> str:
    """Text of a list, unpacked.

    Raises
    ------
    FileError
        The file cannot be read, or is binary.
    """
    data = unpacked(read_bytes(path, _WHAT), path, _WHAT)
    refused.check_binary(data, path)
    return as_text(data, path, _WHAT)


def find_format(text: str) -> ModuleType | None:
    """The module that reads a list; None for lines ``h k l F``."""
    return next((module for module in FORMATS if module.recognizes(text)), None)


def read_list(
    path: Path | str,
    label: str | None = None,
    average: bool = False,
    dataset: str | None = None,
    symmetry: str | None = None,
) -> Reflections:
    """Reflections of a text list: of a plain one its rows as they stand, of others the whole sphere.

    Parameters
    ----------
    label : str, optional
        ``F`` or ``J``: whether the values are amplitudes or intensities, where the format does not say.
    average, dataset, symmetry
        As in :class:`nbnumba.io.choice.Choice`.

    Raises
    ------
    FileError
        The file cannot be read, is of a format that is not read, is broken, or has to be merged.
    ConfigError
        An option is given that the format does not have.
    """
    wanted = Choice(label, average, dataset, symmetry)
    text = read_text(path)
    module = find_format(text)
    if module is None:
        return _plain(text, path, wanted)
    _check_options(path, wanted, symmetry=module in (shelx, crystfel_list))
    from nbnumba.io.reflection_table import whole_sphere

    return whole_sphere(module.read(text, path, wanted), wanted)


def read_list_cell(path: Path | str) -> tuple[float, ...] | None:
    """Unit cell (Å, degrees) of a text list; None where its format has none.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    text = read_text(path)
    module = find_format(text)
    cell: tuple[float, ...] | None = None if module is None else module.read_cell(text)
    return cell


def _check_options(path: Path | str, wanted: Choice, *, symmetry: bool) -> None:
    if wanted.dataset is not None:
        raise ConfigError(f"--dataset: {path} is a list of one data set")
    if wanted.symmetry is not None and not symmetry:
        raise ConfigError(f"--symmetry: {path} names its symmetry itself, leave --symmetry out")


def _plain(text: str, path: Path | str, wanted: Choice) -> Reflections:
    """Rows of lines ``h k l F``, expanded if a symmetry is given; what is odd about them is noted."""
    _check_options(path, wanted, symmetry=True)
    if wanted.label not in (None, "F", "J"):
        raise ConfigError(
            f"--label: {path} is a text file, which has one column of F; --label J takes it as intensities"
        )
    indices, F = parse_hkl(text, path)
    notes = []
    negative = int(np.count_nonzero(F < 0))
    if wanted.label == "J":
        notes.append(f"{path}: F is the square root of its intensities; {negative} negative ones became 0")
    elif negative:
        notes.append(
            f"{negative} F of {path} are negative, the first at {_named(indices[int(np.argmax(F < 0))])}: F is squared, so "
            "the sign has no effect; --label J takes them as intensities"
        )
    elif wanted.label is None and looks_like_intensities(indices, F):
        notes.append(f"the numbers of {path} vary like intensities, not like F: --label J takes their square root")
    if wanted.symmetry is None and not wanted.average:
        F = np.sqrt(np.maximum(F, 0)) if wanted.label == "J" else F
        if lacks := incomplete(indices, F):
            notes.append(f"{path}: {lacks}")
        return Reflections(indices, F, notes=tuple(notes))
    return _expanded(indices, F, path, wanted, notes)


def _expanded(indices: np.ndarray, F: np.ndarray, path: Path | str, wanted: Choice, notes: list[str]) -> Reflections:
    """Rows of a plain list, averaged, and expanded by the symmetry that is given."""
    from nbnumba.io.reflection_table import Table, whole_sphere
    from nbnumba.io.symmetry import averaged, wanted_group

    group = wanted_group(wanted.symmetry or "P 1")
    if wanted.symmetry is None:
        n = len(indices)
        indices, (F,) = averaged(indices, [F], group)
        F = np.sqrt(np.maximum(F, 0)) if wanted.label == "J" else F
        if len(F) < n:
            notes.append(f"{n} rows of {path} are averaged to {len(F)} reflections")
        if lacks := incomplete(indices, F):
            notes.append(f"{path}: {lacks}")
        return Reflections(indices, F, notes=tuple(notes))
    kind = "J" if wanted.label == "J" else "F"
    values = F if kind == "J" else np.abs(F)
    table = Table(
        path,
        f"the {_WHAT}",
        indices.astype(np.int64),
        {kind: kind},
        lambda name: values,
        None,
        group,
        needs_cell=False,
        notes=tuple(notes[:0] if kind == "J" else notes),
    )
    found = whole_sphere(table, Choice(kind, wanted.average))
    expanded = f"{path} is expanded by {wanted.symmetry}: {len(F)} rows to {len(found.F)} reflections"
    return Reflections(found.indices, found.F, None, group, found.label, (*found.notes, expanded))


def _named(index: np.ndarray) -> str:
    return " ".join(map(str, index.tolist()))
