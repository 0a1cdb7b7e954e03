"""Files packed by gzip, bzip2, xz or zstd, known by their first bytes and unpacked in memory.

A packed file may unpack to a multiple of its size and so many bytes more; one that grows further is damaged, or made to
fill the memory. Text grows some ten times.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from nbnumba.errors import FileError, first_line
from nbnumba.io.files import read_bytes

UNPACKED_LIMIT, UNPACKED_FLOOR = 50, 1 << 20
#: Bytes that are read of a file to know its format.
HEAD = 4096


def _zstd() -> Any:
    """Python's module for zstd: of the standard library from 3.14 on, else its backport."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise FileError("is packed by zstd: unpack it with zstd -d, or: python -m pip install backports.zstd")


#: First bytes of each packer, its name, and how its content is opened.
_PACKERS: tuple[tuple[bytes, str, Callable[[BinaryIO], Any]], ...] = (
    (b"\x1f\x8b", "gzip", gzip.open),
    (b"BZh", "bzip2", bz2.open),
    (b"\xfd7zXZ\x00", "xz", lzma.open),
    (b"\x28\xb5\x2f\xfd", "zstd", lambda file: _zstd().open(file)),
)


def packer_of(data: bytes) -> str | None:
    """Name of the packer of which these are the first bytes; None for a file that is not packed."""
    return next((name for mark, name, _ in _PACKERS if data.startswith(mark)), None)


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
    found = next(((name, opened) for mark, name, opened in _PACKERS if data.startswith(mark)), None)
    if found is None:
        return data[:limit]
    name, opened = found
    most = UNPACKED_FLOOR + UNPACKED_LIMIT * len(data)
    try:
        with opened(io.BytesIO(data)) as file:
            content: bytes = file.read(most + 1 if limit is None else limit)
    except FileError as error:
        raise FileError(f"the {what} {path} {error}") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, MemoryError) as error:
        raise FileError(f"the {what} {path} is a {name} file that cannot be unpacked: {first_line(error)}") from error
    except Exception as error:  # ZstdError is a class of its own module
        if type(error).__name__ != "ZstdError":
            raise
        raise FileError(f"the {what} {path} is a {name} file that cannot be unpacked: {first_line(error)}") from error
    if len(content) > most:
        raise FileError(f"the {what} {path} unpacks to more than {UNPACKED_LIMIT} times its size: unpack it yourself")
    return content
