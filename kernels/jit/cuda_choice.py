"""Choice of the package that compiles Numba kernels for CUDA, without importing one.

``numba-cuda`` is the default. ``numba-cuda-mlir``, its successor, is used if it alone is installed, or if the environment
variable ``NBNUMBA_CUDA`` names it. Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``) takes precedence over both.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

#: Environment variable that asks for one of the packages, by :attr:`Package.key`.
VARIABLE = "NBNUMBA_CUDA"


@dataclass(frozen=True)
class Package:
    """A package that compiles kernels for CUDA.

    Attributes
    ----------
    key : str
        Value of ``NBNUMBA_CUDA`` that asks for it.
    name, module : str
        The distribution as pip knows it, and the module whose presence tells that it is installed.
    adapter : str
        Module of ``nbnumba.kernels`` that speaks to it.
    extra : str
        Extra of nbnumba that installs it.
    frames : tuple of str
        Beginnings of the names of the modules in which its errors arise.
    """

    key: str
    name: str
    module: str
    adapter: str
    extra: str
    frames: tuple[str, ...]

    @property
    def version(self) -> str:
        """Installed version; empty if it is not installed."""
        try:
            return version(self.name)
        except PackageNotFoundError:
            return ""

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name}-{self.version}"


#: NVIDIA's own modules, below both packages.
_NVIDIA = ("cuda.", "llvmlite.")
NUMBA_CUDA = Package(
    "numba-cuda", "numba-cuda", "numba_cuda", "cuda_numba", "cuda", ("numba.cuda", "numba_cuda.", *_NVIDIA)
)
MLIR = Package("mlir", "numba-cuda-mlir", "numba_cuda_mlir", "cuda_mlir", "cuda-mlir", ("numba_cuda_mlir", *_NVIDIA))
SIMULATOR = Package("simulator", "numba", "numba", "cuda_simulator", "", ("numba.cuda",))
PACKAGES = (NUMBA_CUDA, MLIR)


def is_simulated() -> bool:
    """Whether numba's simulator takes the place of devices."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


def find_package() -> Package | None:
    """The package to use; None if neither is installed.

    Raises
    ------
    ValueError
        ``NBNUMBA_CUDA`` names no package, or one that is not installed; the message says how to get it.
    """
    if is_simulated():
        return SIMULATOR
    installed = [package for package in PACKAGES if importlib.util.find_spec(package.module) is not None]
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return installed[0] if installed else None
    for package in PACKAGES:
        if wanted == package.key:
            if package not in installed:
                cure = f"python -m pip install 'nbnumba[{package.extra}]', or unset it"
                raise ValueError(
                    f"{VARIABLE}={wanted} asks for the package {package.name}, which is not installed: {cure}"
                )
            return package
    keys = " or ".join(package.key for package in PACKAGES)
    raise ValueError(f"{VARIABLE} must be {keys}, got {wanted}")
