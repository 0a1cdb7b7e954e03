"""Formats that are known by name and not read: each has a sentence with the program that converts it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from nbnumba.errors import FileError

if TYPE_CHECKING:
    from nbnumba.io.choice import Choice

_MTZ = "convert it to MTZ"
#: Pattern at the beginning of a file, its name, and the cure.
_TEXTS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern), name, cure)
    for pattern, name, cure in (
        (
            r"!OUTPUT_FILE=INTEGRATE\.HKL",
            "INTEGRATE.HKL, unscaled and unmerged intensities of XDS",
            "scale them first (CORRECT writes XDS_ASCII.HKL)",
        ),
        (
            r"(?i)\s*(?:\{[^}]*\}\s*)*(?:NREF(?:LECTIONS?)?\s*=|ANOMALOUS\s*=|DECLARE\s+NAME|INDEX?\s+-?\d)",
            "a CNS or X-PLOR list",
            f"{_MTZ} (convert2mtz of CCP4, phenix.reflection_file_converter)",
        ),
        (r"HKL\s+-?\d+\s+-?\d+\s+-?\d+\s", "a TNT list", f"{_MTZ} (f2mtz of CCP4)"),
        (
            r"[ \t]*\d+[ \t]+\d+[ \t]+\d+(?:[ \t]+\d+)*[ \t]*\n(?:[^\n]*\n)?[ \t]*nH\b",
            "a d*TREK list",
            f"{_MTZ} (dtrek2scala, POINTLESS)",
        ),
        (r"(?:TITL|CELL|ZERR)\b", "a SHELX instruction file", "give its .hkl as -hkl, its .cif as --model"),
        (r"(?:HEADER|TITLE |CRYST1|REMARK|ATOM  |HETATM|MODEL )", "a PDB file of atoms", "give it as --model"),
    )
)
_BINARY: tuple[tuple[bytes, str, str], ...] = (
    (b"\x93\xbbdials::af::reflection_table", "a reflection table of DIALS", f"{_MTZ} (dials.merge, or dials.export)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"{_MTZ} (dials.merge)"),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
)


def recognizes(text: str) -> bool:
    """Whether the beginning of a file is that of a format which is not read."""
    return _found(text) is not None


def read_cell(text: str) -> None:
    """None: :func:`read` raises."""


def read(text: str, path: Path | str, wanted: Choice) -> NoReturn:
    """Raise FileError, with the name of the format and the cure.

    Raises
    ------
    FileError
        Always.
    """
    found = _found(text)
    assert found is not None
    raise FileError(f"{path} is {found[0]}, which -hkl does not read: {found[1]}")


def check_binary(data: bytes, path: Path | str) -> None:
    """Raise FileError if these are the first bytes of a binary format that is known by name.

    Raises
    ------
    FileError
        They are.
    """
    for mark, name, cure in _BINARY:
        if data.startswith(mark) or (mark[2:] in data[:64] and len(mark) > 16):
            raise FileError(f"{path} is {name}, which -hkl does not read: {cure}")


def _found(text: str) -> tuple[str, str] | None:
    return next(((name, cure) for pattern, name, cure in _TEXTS if pattern.match(text)), None)
