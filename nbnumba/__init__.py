"""nbnumba: X-ray diffraction images of nanocrystals, as explicit Numba kernels."""

from pathlib import Path as _Path

_here = _Path(__file__).resolve().parent  # a checkout: kernels/, cli/, data/ lie beside this folder
if not (_here / "kernels").is_dir():  # a wheel: they lie inside it
    __path__ = [str(_here), str(_here.parent)]

__version__ = "0.1.0"
