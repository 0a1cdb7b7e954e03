"""Targets that break the contract, each in one way, when their input is not ``good``: tests of the runner itself."""

from __future__ import annotations

import ctypes
from pathlib import Path

from nbnumba.errors import FileError
from tests.campaigns.fuzz.targets import Target


def _is_good(path: Path) -> bool:
    return path.read_bytes() == b"good\n"


def _error(path: Path) -> None:
    if not _is_good(path):
        raise KeyError("planted")


def _crash(path: Path) -> None:
    if not _is_good(path):
        ctypes.string_at(0)


def _hang(path: Path) -> None:
    while not _is_good(path):
        pass


def _memory(path: Path) -> None:
    if not _is_good(path):
        bytearray(1 << 30)


def _wordless(path: Path) -> None:
    if not _is_good(path):
        raise FileError("")


def _sound(path: Path) -> None:
    if not _is_good(path):
        raise FileError("it is not good")


PLANTED = {
    f"planted-{name}": Target(f"planted-{name}", ".txt", read)
    for name, read in (
        *(("error", _error), ("crash", _crash), ("hang", _hang)),
        *(("memory", _memory), ("wordless", _wordless), ("sound", _sound)),
    )
}
