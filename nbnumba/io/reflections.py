"""Structure factors of the asymmetric unit from MTZ and CIF files, expanded to P1 (:mod:`nbnumba.io.symmetry`)."""

from __future__ import annotations

from pathlib import Path

import gemmi

from nbnumba.errors import FileError
from nbnumba.io.choice import Choice
from nbnumba.io.mtz import mtz_table, read_mtz
from nbnumba.io.packed import HEAD, read_unpacked
from nbnumba.io.reflection_table import COLUMN_TYPES, Table, choose, whole_sphere
from nbnumba.io.sfcif import cif_table, read_sfcif
from nbnumba.io.symmetry import absent, expand_to_p1
from nbnumba.io.values import Reflections

__all__ = [
    "COLUMN_TYPES",
    "absent",
    "content_kind",
    "expand_to_p1",
    "read_cell",
    "read_reflections",
    "reflections_of",
]


def content_kind(path: Path | str) -> str:
    """Format of a file of structure factors, by its first bytes: ``mtz``, ``cif`` or ``text``.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    head = read_unpacked(Path(path), "HKL file", HEAD)
    if head.startswith(b"MTZ "):
        return "mtz"
    lines = (line.strip().lower() for line in head.removeprefix(b"\xef\xbb\xbf").splitlines())
    first = next((line for line in lines if line and not line.startswith(b"#")), b"")
    return "cif" if first.startswith(b"data_") else "text"


def read_reflections(
    path: Path | str, label: str | None = None, *, average: bool = False, dataset: str | None = None
) -> Reflections:
    """Amplitudes of an MTZ or a CIF file, expanded to P1 with Friedel mates.

    Parameters
    ----------
    label : str, optional
        Which column: its label (``FP``; of a pair any of ``F(+)``, ``F(-)`` or ``F(+),F(-)``), or a type as MTZ counts
        them: ``G`` pairs of amplitudes, ``F`` amplitudes, ``K`` pairs of intensities, ``J`` intensities. By default
        the first measured column of the first of these types that the file has. Intensities become ``sqrt(max(I, 0))``.
    average : bool
        Merge rows of one reflection by their mean.
    dataset : str, optional
        Data set of an MTZ file; block of a CIF file, or its number; ``wavelength_id=2`` of a loop with several.

    Raises
    ------
    FileError
        The file cannot be read, is neither MTZ nor CIF, has no such column, data set, cell or space group, or is not
        merged.
    """
    path, wanted = Path(path), Choice(label, average, dataset)
    return whole_sphere(_read(path, wanted, content_kind(path)), wanted)


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
    wanted = Choice(label)
    if isinstance(value, gemmi.Mtz):
        return whole_sphere(mtz_table(value, "the", "gemmi.Mtz", wanted), wanted)
    if not value.is_merged() or value.default_loop is None:
        raise FileError("the gemmi.ReflnBlock holds no merged reflections: merge them first")
    return whole_sphere(cif_table(value, "the", "gemmi.ReflnBlock"), wanted)


def read_cell(path: Path | str, label: str | None = None, dataset: str | None = None) -> tuple[float, ...] | None:
    """Unit cell (Å, degrees) of an MTZ or CIF file: that of the column which is read. None for text.

    Raises
    ------
    FileError
        As :func:`read_reflections`.
    """
    kind = content_kind(path)
    if kind == "text":
        return None
    table = _read(Path(path), Choice(label, average=True, dataset=dataset), kind)
    return table.cell_of(choose(table, label)[0][0])


def _read(path: Path, wanted: Choice, kind: str) -> Table:
    return read_mtz(path, wanted) if kind == "mtz" else read_sfcif(path, wanted)
