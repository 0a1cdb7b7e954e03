"""nbnumba: X-ray diffraction images of nanocrystals, as explicit Numba kernels.

::

    import nbnumba as nb

    simulation = nb.Simulation(
        crystal=nb.Crystal(cell=(79.1, 79.1, 37.9), Na=20, Nb=20, Nc=20),
        detector=nb.Detector(distance_mm=150, fpixels=512, spixels=512),
        structure_factors=nb.StructureFactors(default_F=100),
    )
    image = nb.simulate(simulation).image  # photons, (slow, fast) float32

The names in ``__all__`` are the public interface; docs/python.md is a tour of it. They are loaded when first used, so
that ``import nbnumba`` costs nothing. :func:`simulate` and :func:`write_outputs` may be called from several threads.
"""

from __future__ import annotations

import sys as _sys
from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING
from typing import Any as _Any

_here = _Path(__file__).resolve().parent  # a checkout: kernels/, cli/, data/ lie beside this folder
if not (_here / "kernels").is_dir():  # a wheel: they lie inside it
    __path__ = [str(_here), str(_here.parent)]

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from nbnumba.errors import (
        ConfigError,
        DeviceError,
        FileError,
        NbnumbaError,
        ResourceError,
        UsageError,
    )
    from nbnumba.model.config import (
        Background,
        Beam,
        Crystal,
        Detector,
        Panel,
        Sampling,
        Scan,
        Simulation,
        StructureFactors,
    )
    from nbnumba.model.experiment import Experiment, resolve
    from nbnumba.model.outputs import Outputs
    from nbnumba.output.writing import Written, write_outputs
    from nbnumba.render.simulate import Result, simulate
    from nbnumba.series.run import SeriesReport, run_series
    from nbnumba.series.shots import Series, Shot, series_outputs
    from nbnumba.series.truth import read_truth
    from nbnumba.series.variation import Variation, read_variations

_PLACES = {
    "errors": "ConfigError DeviceError FileError NbnumbaError ResourceError UsageError",
    "model.config": "Background Beam Crystal Detector Panel Sampling Scan Simulation StructureFactors",
    "model.experiment": "Experiment resolve",
    "model.outputs": "Outputs",
    "output.writing": "Written write_outputs",
    "render.simulate": "Result simulate",
    "series.run": "SeriesReport run_series",
    "series.shots": "Series Shot series_outputs",
    "series.truth": "read_truth",
    "series.variation": "Variation read_variations",
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names.split()}
_CALL_KERNELS = {"simulate", "write_outputs"}

__all__ = [
    "Background",
    "Beam",
    "ConfigError",
    "Crystal",
    "Detector",
    "DeviceError",
    "Experiment",
    "FileError",
    "NbnumbaError",
    "Outputs",
    "Panel",
    "ResourceError",
    "Result",
    "Sampling",
    "Scan",
    "Series",
    "SeriesReport",
    "Shot",
    "Simulation",
    "StructureFactors",
    "UsageError",
    "Variation",
    "Written",
    "read_truth",
    "read_variations",
    "resolve",
    "run_series",
    "series_outputs",
    "simulate",
    "write_outputs",
]


def _load(name: str) -> _Any:
    value = getattr(_import_module(f"nbnumba.{_MODULE_OF[name]}"), name)
    if name in _CALL_KERNELS:
        from nbnumba.render.threads import thread_safe

        value = thread_safe(value)
    return value


def __getattr__(name: str) -> _Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'nbnumba' has no attribute {name!r}")
    value = _load(name)
    setattr(_sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
