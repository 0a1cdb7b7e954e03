"""Atomic writing and the messages of files that cannot be read or written."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nbnumba.errors import FileError
from nbnumba.io import files
from nbnumba.io.files import atomic_write, read_bytes, read_text


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_new_file_appears_only_when_complete(tmp_path):
    target = tmp_path / "a.bin"
    with atomic_write(target) as file:
        file.write(b"new")
        file.flush()
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ZeroDivisionError, SystemExit])
def test_interrupted_write_keeps_the_old_file(tmp_path, failure):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(failure), atomic_write(target) as file:
        file.write(b"half")
        raise failure
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_own_value_errors_are_not_disguised(tmp_path):
    with pytest.raises(ValueError, match="mine") as caught, atomic_write(tmp_path / "a"):
        raise ValueError("mine")
    assert not isinstance(caught.value, FileError)


def test_disk_full_when_closing(tmp_path, monkeypatch):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    fdopen = os.fdopen

    class Full:
        def __init__(self, *args):
            self.file = fdopen(*args)

        def __enter__(self):
            return self.file

        def __exit__(self, *_):
            self.file.close()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fdopen", Full)
    with pytest.raises(FileError, match=r"a\.bin: no space left on the device"), atomic_write(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the Linux device /dev/full")
def test_full_device_is_written_directly_and_reported():
    with pytest.raises(FileError, match="/dev/full: no space left"), atomic_write("/dev/full") as file:
        file.write(b"x")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
def test_file_size_limit(tmp_path, monkeypatch):
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # its data would not fit under the limit
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    script = (
        "import resource, sys; from nbnumba.io.files import atomic_write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with atomic_write(sys.argv[1]) as file: file.write(bytes(100000))\n"
    )
    root = Path(files.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, str(target)], cwd=root, capture_output=True, text=True, check=False
    )
    assert f"FileError: cannot write {target}: it grows beyond the file size limit" in done.stderr
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_mode_of_a_new_file_follows_the_umask(tmp_path, umask):
    previous = os.umask(umask)
    try:
        with atomic_write(tmp_path / "a"):
            pass
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_mode_of_an_old_file_is_kept(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with atomic_write(target) as file:
        file.write(b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX links")
@pytest.mark.parametrize("exists", [True, False])
def test_symbolic_link_is_followed(tmp_path, exists):
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "a"
    if exists:
        target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(tmp_path / "real") == ["a"]


def test_null_device():
    with atomic_write(os.devnull) as file:
        file.write(b"x")
    assert not stat.S_ISREG(os.stat(os.devnull).st_mode)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_is_written_directly(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    with atomic_write(pipe) as file:
        file.write(b"through")
    reader.join(10)
    assert received == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_unusable_targets(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    for target, message in (
        (tmp_path, "it is a folder"),
        (tmp_path / "missing" / "a", "missing does not exist"),
        (tmp_path / "plain" / "a", "plain is not a folder"),
        ("a\0b", "null"),
        (tmp_path / ("x" * 300), "name is too long"),
    ):
        with pytest.raises(FileError, match=f"cannot write .*{message}"), atomic_write(target):
            pass
    assert names(tmp_path) == ["plain"]


def test_forbidden_folder_and_protected_file(tmp_path, monkeypatch):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "access", lambda *_: False)
        with pytest.raises(FileError, match="write-protected"), atomic_write(target):
            pass

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "open", refuse)
        with pytest.raises(FileError, match=f"no permission to create files in {tmp_path}"), atomic_write(target):
            pass
    assert target.read_bytes() == b"old"


def test_reading(tmp_path):
    with pytest.raises(FileError, match=r"cannot read the HKL file .*x\.hkl: no such file"):
        read_bytes(tmp_path / "x.hkl", "HKL file")
    with pytest.raises(FileError, match=r"cannot read the HKL file .*: it is a folder"):
        read_bytes(tmp_path, "HKL file")
    with pytest.raises(FileError, match="null"):
        read_bytes("a\0b", "HKL file")
    text = tmp_path / "t"
    text.write_bytes(b"\xef\xbb\xbfone\r\ntwo \xe9\rthree\n\x1a")
    assert read_text(text, "file") == "one\ntwo é\nthree\n"
    text.write_bytes(b"abc\0def")
    with pytest.raises(FileError, match=r"the file .* is not a text file: byte 3 is 0x00"):
        read_text(text, "file")


def test_a_name_that_cannot_be_taken_at_the_end(tmp_path, monkeypatch):
    """The old file stays, and nothing else is left."""
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def refuse(source, destination):
        raise PermissionError(13, "Permission denied", destination)

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(FileError, match=r"cannot write .*a\.bin: "), atomic_write(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_what_a_signal_has_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal between two instructions may keep the block's own clean-up from running."""

    def interrupted(paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "_discard", interrupted)
        with pytest.raises(KeyboardInterrupt), files.together():
            with files.atomic_write(tmp_path / "a") as handle:
                handle.write(b"1")
            raise KeyboardInterrupt
    assert len(list(tmp_path.iterdir())) == 1
    files.discard_left()
    assert not list(tmp_path.iterdir()) and not files.temporaries


def test_completed_files_are_not_left(tmp_path: Path) -> None:
    with files.together():
        for name in "ab":
            with files.atomic_write(tmp_path / name) as handle:
                handle.write(b"1")
    with files.atomic_write(tmp_path / "c") as handle:
        handle.write(b"1")
    assert not files.temporaries
    files.discard_left()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
