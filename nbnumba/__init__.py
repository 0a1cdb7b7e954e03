"""nbnumba: X-ray diffraction images of nanocrystals, as explicit Numba kernels.

::

    import nbnumba as nb

    simulation = nb.Simulation(
        crystal=nb.Crystal(cell=(79.1, 79.1, 37.9), Na=20, Nb=20, Nc=20),
        detector=nb.Detector(distance_mm=150, fpixels=512, spixels=512),
        structure_factors=nb.StructureFactors(default_F=100),
    )
    image = nb.simulate(simulation).image  # photons, (slow, fast) float32

The names in ``__init__.pyi`` are the public interface; docs/python.md is a tour of it. They are loaded when first used,
so that ``import nbnumba`` loads no other module. :func:`simulate` and :func:`write_outputs` may be called from several
threads.
"""

from __future__ import annotations

from pathlib import Path as _Path

import lazy_loader as _lazy

_here = _Path(__file__).resolve().parent  # a checkout: kernels/, cli/, data/ lie beside this folder
if not (_here / "kernels").is_dir():  # a wheel: they lie inside it
    __path__ = [str(_here), str(_here.parent)]

__version__ = "0.2.0.dev0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
