"""The public names, and where they are: lazy_loader reads this file at run time, type checkers read it, too."""

from .derive.derivatives import (
    Derivatives,
    derivatives,
    gradient,
)
from .derive.information import (
    Information,
    information,
)
from .derive.model import (
    ParameterModel,
)
from .errors import (
    ConfigError,
    DeviceError,
    ExtraError,
    FileError,
    NbnumbaError,
    ResourceError,
    UsageError,
)
from .io.spectrum import (
    Spectrum,
)
from .io.values import (
    AtomicModel,
    FTable,
    Reflections,
    SourceTable,
    StolTable,
)
from .model.config import (
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
from .model.experiment import (
    Experiment,
    resolve,
)
from .model.outputs import (
    Outputs,
)
from .output.writing import (
    Written,
    write_outputs,
)
from .refinement.options import (
    RefineOptions,
)
from .refinement.refine import (
    refine,
)
from .refinement.refined import (
    Refined,
)
from .refinement.shared_result import (
    SharedRefined,
)
from .refinement.shots import (
    ShotFile,
)
from .render.renderer import (
    Renderer,
)
from .render.simulate import (
    Result,
    simulate,
)
from .series.refine_shared import (
    refine_shared,
)
from .series.refine_shots import (
    ShotsReport,
    refine_shots,
)
from .series.run import (
    SeriesReport,
    run_series,
)
from .series.shots import (
    Series,
    Shot,
    series_outputs,
)
from .series.truth import (
    read_truth,
)
from .series.variation import (
    Variation,
    read_variations,
)

__version__: str

__all__ = [
    "AtomicModel",
    "Background",
    "Beam",
    "ConfigError",
    "Crystal",
    "Derivatives",
    "Detector",
    "DeviceError",
    "Experiment",
    "ExtraError",
    "FTable",
    "FileError",
    "Information",
    "NbnumbaError",
    "Outputs",
    "Panel",
    "ParameterModel",
    "RefineOptions",
    "Refined",
    "Reflections",
    "Renderer",
    "ResourceError",
    "Result",
    "Sampling",
    "Scan",
    "Series",
    "SeriesReport",
    "SharedRefined",
    "Shot",
    "ShotFile",
    "ShotsReport",
    "Simulation",
    "SourceTable",
    "Spectrum",
    "StolTable",
    "StructureFactors",
    "UsageError",
    "Variation",
    "Written",
    "derivatives",
    "gradient",
    "information",
    "read_truth",
    "read_variations",
    "refine",
    "refine_shared",
    "refine_shots",
    "resolve",
    "run_series",
    "series_outputs",
    "simulate",
    "write_outputs",
]
