"""Which code this is: the commit that it was made from, and the versions and the machine around it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nbnumba

HERE = Path(__file__).resolve().parent


def commit() -> str | None:
    """Commit of the checkout that this package runs from, or that it was built from; None where neither is known.

    A build records it in a file (setup.py). ``-dirty`` follows it if files differed from the commit.
    """
    if not (HERE.parent / ".git").exists():
        try:
            return (HERE / "COMMIT").read_text(encoding="ascii").strip() or None
        except (OSError, ValueError):
            return None
    describe = ["git", "-C", str(HERE.parent), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        answer = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of these packages; ``not installed`` where one is missing."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def surroundings() -> dict[str, Any]:
    """Versions, commit, system, time, folder and interpreter of this process, for records."""
    return {
        "versions": {"nbnumba": nbnumba.__version__, **versions("numba", "numpy")},
        "commit": commit(),
        "system": platform.platform(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "directory": os.getcwd(),
        "executable": sys.executable,
    }
