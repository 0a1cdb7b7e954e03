"""The cache of compiled kernels: where it lies, and what happens where it is spoilt, full or open to others."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numba
import pytest

from nbnumba.kernels.jit import cache

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")


def compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small kernel whose cache is in ``folder``, as a new process would make it."""
    monkeypatch.setattr(cache, "CACHE_DIR", folder)

    def twice(x: float) -> float:
        return 2 * x

    function: Any = numba.njit(twice)
    function._cache = cache.KernelCache(function.py_func)
    return function


def hits(function: Any) -> int:
    """Call the kernel, check its answer, and return how often it came from the cache."""
    assert function(21.0) == 42.0
    return sum(function.stats.cache_hits.values())


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_spoilt_kernel_cache_is_compiled_anew(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short, emptied, garbled, or wrong in one bit: machine code would be run."""
    assert hits(compiled(tmp_path, monkeypatch)) == 0
    assert hits(compiled(tmp_path, monkeypatch)) == 1
    (path,) = tmp_path.glob(f"*.{ending}")
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    for spoilt in (good[: len(good) // 2], b"", bytes(len(good)), bytes(flipped), good + b"x"):
        path.write_bytes(spoilt)
        assert hits(compiled(tmp_path, monkeypatch)) == 0
        assert hits(compiled(tmp_path, monkeypatch)) == 1  # and mended


def test_entries_of_two_processes_are_not_mixed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both give their first entry the same name: the index of one may point to the code of the other."""
    one, two = (compiled(tmp_path, monkeypatch)._cache._cache_file for _ in range(2))
    monkeypatch.setattr(two, "_load_index", dict)  # it looked before the other one had written
    one.save("key of one", "code of one")
    two.save("key of two", "code of two")
    assert two._load_index() == {}
    index = one._load_index()
    assert index == {"key of two": next(iter(index.values()))}
    one._save_index({"key of one": index["key of two"]})
    assert one.load("key of one") is None
    one.save("key of one", "code of one")
    assert one.load("key of one") == "code of one"


def test_a_kernel_that_cannot_be_kept_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = compiled(tmp_path / "full", monkeypatch)

    def full(path: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(function._cache._cache_file, "_open_for_write", full)
    assert hits(function) == 0


def test_a_warm_cache_that_cannot_be_written_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache.tempfile, "TemporaryFile", closed)
    assert not cache._usable(tmp_path)
    (tmp_path / "cpu.nbi").touch()
    assert cache._usable(tmp_path)


@POSIX
def test_kernels_are_not_taken_from_a_folder_that_others_can_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = cache._private_folder()
    assert folder is not None and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    assert cache._private_folder() is None
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert cache._private_folder() is None


@pytest.mark.parametrize(
    ("platform", "variables", "place"),
    [
        ("linux", {}, "{home}/.cache/nbnumba"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/nbnumba"),
        ("darwin", {}, "{home}/Library/Caches/nbnumba"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/nbnumba"),
        ("win32", {}, "{home}/nbnumba"),
        ("darwin", {"NUMBA_CACHE_DIR": "/n"}, "/n"),
    ],
)
def test_kernels_are_kept_where_the_system_has_caches(
    platform: str, variables: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache.sys, "platform", platform)
    assert str(cache.cache_root()) == place.format(home=Path.home())


def test_systems_without_user_numbers_have_no_private_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "geteuid", raising=False)
    assert cache._private_folder() is None
