"""What is known of the machine's memory, where the system tells less."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from nbnumba import memory
from nbnumba.errors import ResourceError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def meminfo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that sets what /proc/meminfo holds; None: there is none."""

    def hold(text: str | None) -> None:
        def opened(path: str) -> StringIO:
            if text is None:
                raise FileNotFoundError(2, "No such file or directory", path)
            return StringIO(text)

        monkeypatch.setattr(builtins, "open", opened)

    # a limit that holds for the tests would be the least of all amounts
    resource = pytest.importorskip("resource", reason="no limits on this system")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    yield hold
    monkeypatch.undo()


def test_what_the_kernel_says_is_available_counts(meminfo: Any) -> None:
    meminfo("MemTotal:       16000000 kB\nMemFree:    10 kB\nMemAvailable:    3000 kB\n")
    assert memory.available_bytes() == 3000 * 1024


def test_else_all_of_it(meminfo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    for text in (None, "MemTotal:       16000000 kB\n"):
        meminfo(text)
        assert memory.available_bytes() == 4096 * 1000


def test_else_what_any_machine_has(meminfo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo(None)
    monkeypatch.delattr(os, "sysconf")
    assert memory.available_bytes() == 8 << 30


def test_systems_without_limits_have_none(meminfo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo("MemAvailable:    3000 kB\n")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory.available_bytes() == 3000 * 1024


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
def test_a_limit_of_the_shell_counts() -> None:
    code = (
        "import resource; from nbnumba import memory; resource.setrlimit(resource.RLIMIT_AS, (5 << 28, 5 << 28))\n"
        "print(memory.available_bytes() <= 5 << 28)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 << 30)
    memory.require(3 << 30, "the image", "use fewer pixels")
    with pytest.raises(
        ResourceError, match=r"^the image needs 4\.0 GiB .* only 3\.0 GiB are available: use fewer pixels$"
    ):
        memory.require(4 << 30, "the image", "use fewer pixels")
