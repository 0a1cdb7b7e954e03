"""Whole files: read in one go, written to a temporary name and renamed when complete.

A reader sees the old file or the new one, never half of it, also when two runs write the same name at once, the disk
fills up or the user interrupts. A hard link to the old file therefore keeps the old content. A process that is killed
(SIGKILL) leaves its temporary files, ``.nbnumba-*.tmp``, in the folder of the output.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import stat
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from nbnumba.errors import FileError

_CAUSES = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.EISDIR: "it is a folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "no space left in the disk quota",
    errno.EFBIG: "it grows beyond the file size limit",
    errno.EPIPE: "the program that reads it has stopped",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.EIO: "the device fails to read or write",
    errno.ESTALE: "the file server has lost it (stale file handle)",
    errno.ENAMETOOLONG: "the name is too long",
}
#: The files that this process completed last, under their final names.
completed: deque[Path] = deque(maxlen=1000)
#: Temporary files that this process has made and neither renamed nor removed.
temporaries: set[Path] = set()
_TEXT = bytes(range(32, 256)) + b"\t\n\v\f\r\x1a"  # 0x1a ends text files of old DOS programs


def cause(error: OSError | ValueError) -> str:
    """Cause of a file error in a few words."""
    if isinstance(error, OSError) and error.errno is not None:
        return _CAUSES.get(error.errno, os.strerror(error.errno).lower())
    return str(error)


def read_bytes(path: Path | str, what: str) -> bytes:
    """Content of a file.

    Parameters
    ----------
    what : str
        Kind of file, for the message: "HKL file".

    Raises
    ------
    FileError
        The file cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise FileError(f"cannot read the {what} {path}: {cause(error)}") from error


def read_text(path: Path | str, what: str) -> str:
    """Content of a text file in any encoding that contains ASCII, line ends as ``\\n``.

    Bytes above 127 become Latin-1 letters: numbers do not need them, and comments may hold anything. Packed files are
    unpacked.

    Raises
    ------
    FileError
        The file cannot be read, or holds control characters.
    """
    from nbnumba.io.packed import read_unpacked

    return as_text(read_unpacked(path, what), path, what)


def as_text(data: bytes, path: Path | str, what: str) -> str:
    """The bytes of a text file as :func:`read_text` returns them.

    Raises
    ------
    FileError
        They hold control characters.
    """
    if strange := data.translate(None, _TEXT):
        where = data.index(strange[:1])
        raise FileError(f"the {what} {path} is not a text file: byte {where} is 0x{data[where]:02x}")
    text = data.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\x1a").decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """Temporary file to write to, renamed to ``path`` when the block ends without an exception.

    A new file has the permissions that ``open()`` would give, an old one keeps its own; a symbolic link stays one.
    Pipes and devices cannot be renamed and are written directly.

    Raises
    ------
    FileError
        The folder is missing or not writable, the target is a folder or write-protected, or the disk is full.
    """
    try:
        old = _status(path)
        if old is not None and not stat.S_ISREG(old.st_mode):
            with open(path, "wb") as handle:  # a folder fails here
                yield handle
            return
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            state = "is not a folder" if target.parent.exists() else "does not exist"
            raise FileError(f"cannot write {path}: the folder {target.parent} {state}")
        if old is not None and not os.access(target, os.W_OK):
            raise FileError(f"cannot write {path}: it is write-protected")
        with _replacement(target, old) as handle:
            yield handle
    except FileError:
        raise
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and "null" not in str(error):
            raise
        raise FileError(f"cannot write {path}: {cause(error)}") from error


_held: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("held", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Rename the files written with :func:`atomic_write` in this block at its end: all of them, or none.

    Of nested blocks the outermost one renames them.

    Raises
    ------
    FileError
        A file cannot be renamed.
    """
    if _held.get() is not None:
        yield
        return
    held: list[tuple[Path, Path]] = []
    token = _held.set(held)
    try:
        yield
        with _signals_wait():
            _check_places(held)
            while held:
                temporary, target = held[0]
                _rename(temporary, target)
                held.pop(0)
    finally:
        _held.reset(token)
        _discard(temporary for temporary, _ in held)


def _check_places(held: list[tuple[Path, Path]]) -> None:
    """Check that all temporary files and folders still exist, before the first file is renamed."""
    for temporary, target in held:
        if not temporary.exists():
            gone = "its temporary file" if target.parent.is_dir() else f"the folder {target.parent}"
            raise FileError(f"cannot write {target}: {gone} was removed meanwhile")
        if target.is_dir():
            raise FileError(f"cannot write {target}: {_CAUSES[errno.EISDIR]}")


def _rename(temporary: Path, target: Path) -> None:
    try:
        os.replace(temporary, target)
    except OSError as error:
        raise FileError(f"cannot write {target}: {cause(error)}") from error
    completed.append(target)
    temporaries.discard(temporary)


def _discard(paths: Iterable[Path]) -> None:
    with _signals_wait():
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink()
            temporaries.discard(path)


def discard_left() -> None:
    """Remove the temporary files that are left.

    An exception that is raised by a signal between two instructions may leave them: at the beginning of the block that removes
    them.
    """
    _discard(list(temporaries))


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM to the end of this block.

    A signal mask is not enough: the system delivers the signal to another thread, and Python runs its handler in this
    one.
    """
    if threading.current_thread() is not threading.main_thread():  # Python runs no handler here
        yield
        return
    came: list[int] = []
    # SIGALRM repeats a signal that the command line has deferred (nbnumba.cli.interrupt)
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]

    def remember(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if handler is not None:  # None: installed by a C library
                signal.signal(number, remember)
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)


def _status(path: Path | str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def _replacement(target: Path, old: os.stat_result | None) -> Iterator[BinaryIO]:
    temporary = target.parent / f".nbnumba-{secrets.token_hex(8)}.tmp"
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    try:
        try:
            # open() applies umask and default ACLs, which the tempfile module does not
            descriptor = os.open(temporary, flags, 0o666)
        except PermissionError as error:
            raise FileError(f"cannot write {target}: no permission to create files in {target.parent}") from error
        temporaries.add(temporary)
        with os.fdopen(descriptor, "wb") as handle:
            if old is not None:
                with contextlib.suppress(OSError, AttributeError):
                    os.chown(temporary, old.st_uid, old.st_gid)
                os.chmod(temporary, stat.S_IMODE(old.st_mode))
            yield handle
        held = _held.get()
        if held is None:
            with _signals_wait():
                _rename(temporary, target)
        else:
            held.append((temporary, target))
    except BaseException:
        _discard([temporary])
        raise
