"""Compile the driver, once for each state of its sources."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent / "driver"
FLAGS = ("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden", "-pthread")
#: The names under which CUDA packages look for a driver; the first is the file, the others lead to it.
NAMES = ("libcuda.so.1", "libcuda.so")
#: Values of ``NBNUMBA_CUDA``, and the modules that have to be there.
PACKAGES = {"numba-cuda": "numba_cuda", "mlir": "numba_cuda_mlir"}


def missing(package: str = "numba-cuda") -> str:
    """What is needed and not there, for one of :data:`PACKAGES`; empty if all is."""
    if not sys.platform.startswith("linux"):
        return "the null driver is for Linux"
    if shutil.which("gcc") is None:
        return "the null driver needs gcc"
    if importlib.util.find_spec(PACKAGES[package]) is None:
        return f"{PACKAGES[package].replace('_', '-')} is not installed"
    return ""


@cache
def build() -> Path:
    """Folder with the driver, for ``LD_LIBRARY_PATH``.

    Processes that build it at the same time do not disturb each other: each renames a whole folder into place.
    """
    sources = sorted(SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for file in sources:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    root = Path(tempfile.gettempdir(), f"nbnumba-null-driver-{os.geteuid()}")
    root.mkdir(mode=0o700, exist_ok=True)
    if root.stat().st_uid != os.geteuid():
        raise PermissionError(f"{root} belongs to somebody else")
    folder = root / digest.hexdigest()[:16]
    if not (folder / NAMES[0]).exists():
        fresh = Path(tempfile.mkdtemp(dir=root))
        compile_driver(fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
    return folder


def compile_driver(folder: Path) -> str:
    """Compile the driver into a folder; returns what the compiler had to say."""
    files = [str(file) for file in sorted(SOURCES.glob("*.c"))]
    command = ["gcc", *FLAGS, f"-Wl,-soname,{NAMES[0]}", "-o", str(folder / NAMES[0]), *files]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"gcc cannot compile the null driver: {done.stderr}")
    for name in NAMES[1:]:
        (folder / name).symlink_to(NAMES[0])
    return done.stderr
