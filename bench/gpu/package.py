"""The CUDA package in use, numba-cuda or numba-cuda-mlir, and the programs of the CUDA toolkit."""

from __future__ import annotations

import importlib.util
import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nbnumba.kernels.jit import cuda_choice

#: Value of NBNUMBA_CUDA -> the package.
PACKAGES = {package.key: package for package in cuda_choice.PACKAGES}


def cuda_module() -> Any:
    """The module ``cuda`` of the package that the kernels use."""
    from nbnumba.kernels.jit.cuda import cuda

    return cuda


def is_installed(key: str) -> bool:
    """Whether one of :data:`PACKAGES` is installed."""
    return importlib.util.find_spec(PACKAGES[key].module) is not None


def version_of(package: str) -> str:
    """Version of an installed package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def package_facts() -> dict[str, str]:
    """Name and version of the CUDA package of this process, for records."""
    package = cuda_choice.find_package()
    return {"cuda_package": package.name, "cuda_package_version": package.version} if package is not None else {}


def find_tool(name: str) -> str | None:
    """Path of a program of the CUDA toolkit: on the PATH, in CUDA_HOME, in the usual folder."""
    homes = [os.environ.get("CUDA_HOME", ""), os.environ.get("CUDA_PATH", ""), "/usr/local/cuda"]
    folders = [str(Path(home, "bin")) for home in homes if home]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
