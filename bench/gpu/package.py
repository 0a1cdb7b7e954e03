"""The CUDA package in use, whichever of the two it is, and the programs of the CUDA toolkit."""

from __future__ import annotations

import importlib.util
import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: Value of NBNUMBA_CUDA -> name of the package, name of its module.
PACKAGES = {"numba-cuda": ("numba-cuda", "numba_cuda"), "mlir": ("numba-cuda-mlir", "numba_cuda_mlir")}


def cuda_module() -> Any:
    """What ``from numba import cuda`` gives, of the package that the kernels take."""
    from numba import cuda

    return cuda


def is_installed(name: str) -> bool:
    """Whether one of :data:`PACKAGES` is there."""
    return importlib.util.find_spec(PACKAGES[name][1]) is not None


def version_of(package: str) -> str:
    """Version of an installed package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def package_facts() -> dict[str, str]:
    """Name and version of the CUDA package that this process has loaded, for records."""
    from nbnumba.timing import package_in_use

    name = package_in_use()
    return {"cuda_package": name, "cuda_package_version": version_of(name)}


def find_tool(name: str) -> str | None:
    """Path of a program of the CUDA toolkit: on the PATH, in CUDA_HOME, in the usual folder."""
    homes = [os.environ.get("CUDA_HOME", ""), os.environ.get("CUDA_PATH", ""), "/usr/local/cuda"]
    folders = [str(Path(home, "bin")) for home in homes if home]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
