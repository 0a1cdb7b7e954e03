"""Files packed by gzip, bzip2, xz or zstd, known by their first bytes and unpacked in memory.

A packed file may unpack to a multiple of its size and so many bytes more; one that grows further is damaged, or made to
fill the memory. Text grows some ten times.
"""

from __future__ import annotations

import importlib
import io
import zlib
from pathlib import Path
from typing import Any

from nbnumba.errors import FileError, first_line
from nbnumba.io.files import read_bytes

UNPACKED_LIMIT, UNPACKED_FLOOR = 50, 1 << 20
#: Bytes that are read of a file to know its format.
HEAD = 4096


#: First bytes of each packer, its name, the modules of Python that unpack it, and the cure where all are missing: the standard
#: library has zstd from 3.14 on, and bz2 and lzma only where they were there when Python was built.
_PACKERS: tuple[tuple[bytes, str, tuple[str, ...], str], ...] = (
    (b"\x1f\x8b", "gzip", ("gzip",), "gzip -d"),
    (b"BZh", "bzip2", ("bz2",), "bzip2 -d"),
    (b"\xfd7zXZ\x00", "xz", ("lzma",), "xz -d"),
    (
        b"\x28\xb5\x2f\xfd",
        "zstd",
        ("compression.zstd", "backports.zstd"),
        "zstd -d, or: python -m pip install backports.zstd",
    ),
)


def _module(modules: tuple[str, ...]) -> Any:
    """The first of these modules that is there; None if there is none."""
    for name in modules:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def packer_of(data: bytes) -> str | None:
    """Name of the packer of which these are the first bytes; None for a file that is not packed."""
    return next((name for mark, name, *_ in _PACKERS if data.startswith(mark)), None)


def read_unpacked(path: Path | str, what: str, limit: int | None = None) -> bytes:
    """Content of a file, unpacked if it is packed.

    Parameters
    ----------
    what : str
        Kind of file, for the message: "HKL file".
    limit : int, optional
        Bytes that are enough.

    Raises
    ------
    FileError
        The file cannot be read or unpacked, or unpacks to far more than its size.
    """
    return unpacked(read_bytes(path, what), path, what, limit)


def unpacked(data: bytes, path: Path | str, what: str, limit: int | None = None) -> bytes:
    """The bytes of a file as :func:`read_unpacked` returns them.

    Raises
    ------
    FileError
        As there.
    """
    found = next((row for row in _PACKERS if data.startswith(row[0])), None)
    if found is None:
        return data[:limit]
    _, name, modules, cure = found
    module = _module(modules)
    if module is None:
        raise FileError(f"the {what} {path} is packed by {name}: unpack it with {cure}")
    # each module has an error of its own, which is no OSError in all of them
    broken = tuple(getattr(module, each) for each in ("LZMAError", "ZstdError") if hasattr(module, each))
    most = UNPACKED_FLOOR + UNPACKED_LIMIT * len(data)
    try:
        with module.open(io.BytesIO(data)) as file:
            content: bytes = file.read(most + 1 if limit is None else limit)
    except (OSError, EOFError, zlib.error, ValueError, MemoryError, *broken) as error:
        raise FileError(f"the {what} {path} is a {name} file that cannot be unpacked: {first_line(error)}") from error
    if len(content) > most:
        raise FileError(f"the {what} {path} unpacks to more than {UNPACKED_LIMIT} times its size: unpack it yourself")
    return content
