"""DIALS' reflection tables (``.refl``): MessagePack, columns as blocks of bytes.

The file is an array of three: the name ``dials::af::reflection_table``, a version (1 or 2), and a map of ``nrows``,
``identifiers`` (number of an experiment: its identifier) and ``data``. A column is an array of its type's name and an array
of two, the number of elements and their bytes in the order of the machine, little-endian on all that DIALS runs on (dials,
``reflection_table_msgpack_adapter.h``).

A damaged file can announce arrays of any length in a few bytes. Problem: msgpack allocates an array before it has seen its
elements, and arrays in arrays multiply. Choice: only the arrays and maps that the format has are opened, one level at a time;
others are passed over, and nothing is unpacked but numbers, texts and bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from nbnumba.errors import FileError, first_line
from nbnumba.io.packed import read_unpacked
from nbnumba.io.unused import unused_note

#: An array of three that begins with a text of 27 letters.
_BEGINNING = b"\x93\xbbdials::af::reflection_table"
_VERSIONS = (1, 2)
#: Bytes of an element, and its shape, by the name of a column's type.
_TYPES: dict[str, tuple[str, tuple[int, ...]]] = {
    "bool": ("u1", ()),
    "int": ("<i4", ()),
    "std::size_t": ("<u8", ()),
    "double": ("<f8", ()),
    "vec2<double>": ("<f8", (2,)),
    "vec3<double>": ("<f8", (3,)),
    "mat3<double>": ("<f8", (3, 3)),
    "int6": ("<i4", (6,)),
    "cctbx::miller::index<>": ("<i4", (3,)),
}
#: First bytes of arrays and of maps: with fewer than 16 items, and with up to 2^16 and 2^32.
_ARRAYS, _MAPS = {*range(0x90, 0xA0), 0xDC, 0xDD}, {*range(0x80, 0x90), 0xDE, 0xDF}
_MOST_NAME = 1 << 16
#: First bytes of what DIALS can be told to write instead.
_OTHERS = ((b"\x89HDF\r\n\x1a\n", "an HDF5 file"), (b"\x80", "a pickle"))


class ReflectionTable(dict[str, np.ndarray]):
    """Columns by name, each with a row for every reflection.

    Attributes
    ----------
    n_rows : int
    identifiers : dict of int to str
        Identifier of the experiment that a number in the column ``id`` stands for.
    notes : tuple of str
        What the file has besides, in one sentence.
    """

    def __init__(
        self, columns: dict[str, np.ndarray], n_rows: int, identifiers: dict[int, str], notes: tuple[str, ...]
    ):
        super().__init__(columns)
        self.n_rows, self.identifiers, self.notes = n_rows, identifiers, notes


def read_refl(path: Path | str) -> ReflectionTable:
    """Columns of a reflection table of DIALS.

    Indices are (n, 3) int32, vectors (n, 2) or (n, 3) float64, matrices (n, 3, 3), boxes (n, 6) int32, numbers (n,): int32,
    uint64 or float64; texts are objects. Shoeboxes and columns of unknown types are left out and named in ``notes``.

    Raises
    ------
    FileError
        The file cannot be read, is damaged, or is no such table.
    """
    data = read_unpacked(path, "reflection table")
    for mark, other in _OTHERS:
        if data.startswith(mark):
            raise FileError(
                f"the reflection table {path} is {other}: write it again with DIALS without DIALS_USE_H5 and "
                "DIALS_USE_PICKLE"
            )
    reader = _Reader(f"the reflection table {path}", data)
    try:
        return reader.read()
    except msgpack.OutOfData:
        raise FileError(f"{reader.what} is cut off: it ends {reader.place}") from None
    # the package has errors of many classes; ValueError is the one that most of them are, and bytes that are not UTF-8
    except (msgpack.UnpackException, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise FileError(f"{reader.what} is damaged {reader.place}: {first_line(error)}") from error


class _Reader:
    """Reader of one file; ``place`` says in words how far it is."""

    def __init__(self, what: str, data: bytes) -> None:
        self.what, self.data, self.place = what, data, "at its beginning"
        self.unpacker = msgpack.Unpacker(
            max_buffer_size=max(len(data), 1),
            max_ext_len=0,
            strict_map_key=False,
        )
        self.unpacker.feed(data)
        self.unused: list[str] = []

    def read(self) -> ReflectionTable:
        if not self.data.startswith(_BEGINNING):
            raise FileError(f"{self.what} is none of DIALS: it begins with {self.data[:16]!r}")
        self.array_of(3, "array of a name, a version and a table")
        self.text("a name")
        version = self.scalar()
        if version not in _VERSIONS or isinstance(version, bool):
            raise FileError(f"{self.what} has the version {_shown(version)}: known are 1 and 2")
        n_rows: int | None = None
        identifiers: dict[int, str] = {}
        columns: dict[str, np.ndarray] | None = None
        for _ in range(self.unpacker.read_map_header()):
            key = self.text("a key")
            self.place = f"in {key[:40]!r}"
            if key == "nrows":
                n_rows = self.count("nrows")
            elif key == "identifiers":
                identifiers = self.identifiers()
            elif key == "data":
                columns = self.columns()
            else:
                self.unpacker.skip()
                self.unused.append(_plain(key))
        if n_rows is None or columns is None:
            raise FileError(f"{self.what} has no {'nrows' if n_rows is None else 'data'}")
        for name, column in columns.items():
            if len(column) != n_rows:
                raise FileError(f"{self.what}: column {name[:40]!r} has {len(column)} rows instead of {n_rows}")
        notes = unused_note(self.what.removeprefix("the "), self.unused)
        return ReflectionTable(columns, n_rows, identifiers, notes)

    def array_of(self, count: int, what: str) -> None:
        """Open an array of this many items."""
        if (found := self.unpacker.read_array_header()) != count:
            raise ValueError(f"expected an {what}, got one of {found}")

    def first_byte(self) -> int | None:
        """The first byte of what comes next."""
        at = self.unpacker.tell()
        return self.data[at] if at < len(self.data) else None

    def scalar(self) -> Any:
        """What comes next, which must be neither an array nor a map."""
        if (first := self.first_byte()) in _ARRAYS or first in _MAPS:
            raise ValueError(f"expected a number, a text or bytes, got {'an array' if first in _ARRAYS else 'a map'}")
        return self.unpacker.unpack()

    def text(self, what: str) -> str:
        value = self.scalar()
        if not isinstance(value, str) or len(value) > _MOST_NAME:
            raise ValueError(f"{what} must be a text, got {_shown(value)}")
        return value

    def count(self, what: str) -> int:
        value = self.scalar()
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise ValueError(f"{what} must be a number from 0, got {_shown(value)}")
        return value

    def identifiers(self) -> dict[int, str]:
        count = self.unpacker.read_map_header()
        return {self.count("the number of an experiment"): self.text("an identifier") for _ in range(count)}

    def columns(self) -> dict[str, np.ndarray]:
        columns = {}
        for _ in range(self.unpacker.read_map_header()):
            name = self.text("the name of a column")
            self.place = f"in column {name[:40]!r}"
            self.array_of(2, "array of a type and its data")
            kind = self.text("a type")
            if kind in _TYPES:
                columns[name] = self.numbers(kind)
            elif kind == "std::string" and (texts := self.texts()) is not None:
                columns[name] = texts
            else:
                if kind != "std::string":
                    self.unpacker.skip()
                self.unused.append(f"{_plain(name)} ({_plain(kind)})")
        return columns

    def numbers(self, kind: str) -> np.ndarray:
        """A column of numbers."""
        self.array_of(2, "array of a count and bytes")
        count, (code, shape) = self.count("the number of rows"), _TYPES[kind]
        dtype = np.dtype((code, shape))
        data = self.scalar()
        if not isinstance(data, bytes) or len(data) != count * dtype.itemsize:
            size = f"{len(data)} bytes" if isinstance(data, bytes) else _shown(data)
            raise ValueError(f"{count} rows of {kind} are {count * dtype.itemsize} bytes, got {size}")
        column = np.frombuffer(data, np.dtype(code)).reshape(count, *shape)
        return column != 0 if kind == "bool" else column.astype(column.dtype.newbyteorder("="))

    def texts(self) -> np.ndarray | None:
        """A column of texts; None of what DIALS' own writer makes of one, which are addresses in its memory."""
        self.array_of(2, "array of a count and texts")
        count = self.count("the number of rows")
        if self.first_byte() not in _ARRAYS:
            self.unpacker.skip()
            return None
        self.array_of(count, f"array of {count} texts")
        return np.array([self.text("a text") for _ in range(count)], dtype=object)


def _shown(value: Any) -> str:
    """A value in few letters, however large it is."""
    if isinstance(value, str | bytes):
        return repr(value[:20])
    return f"{value!r:.40}" if isinstance(value, int | float | None) else f"a {type(value).__name__}"


def _plain(name: str) -> str:
    """A name on one line."""
    return name[:40] if name.isprintable() else repr(name[:40])
