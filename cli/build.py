"""From a parsed command line, headers of images and the matrix file to the configuration.

Values that are not given keep the defaults of the dataclasses of ``nbnumba.model.config``.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbnumba.cli.build_geometry import apply_crystal, apply_geometry, apply_headers, apply_spectrum, check_mask
from nbnumba.cli.contradicted import contradictions
from nbnumba.cli.parse import Invocation
from nbnumba.cli.values import Values
from nbnumba.errors import ConfigError
from nbnumba.io.matrix import read_matrix
from nbnumba.model.config import (
    Background,
    Beam,
    Crystal,
    Detector,
    Sampling,
    Scan,
    Simulation,
    StructureFactors,
)
from nbnumba.model.outputs import FILES, Outputs
from nbnumba.model.plausible_flags import flag_doubts
from nbnumba.model.structure_factors import cell_of

log = logging.getLogger("nbnumba")

_PATHS = {
    "beam.sourcefile",
    "beam.spectrum",
    "structure_factors.hkl",
    "structure_factors.model",
    "structure_factors.dump",
    "background.stol",
    *(f"outputs.{name}" for name in FILES),
}
#: Files that are read, which no file of the run may replace. Not -img: a header may be taken from an earlier image.
_READ = (
    "structure_factors.hkl",
    "structure_factors.model",
    "beam.sourcefile",
    "beam.spectrum",
    "background.stol",
    "input.matrix",
    "input.mask",
    "input.geometry",
)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is done; nothing here changes what is simulated.

    Attributes
    ----------
    device, precision : str
        As ``nbnumba.render.simulate.simulate`` takes them.
    threads : int or None
        CPU threads; None: one per core.
    progress : bool
        Show a bar on a terminal.
    dry_run, show_config : bool
        Print the resolved experiment only; print the resolved configuration as JSON before simulating.
    lenient, debug, quiet : bool
        Warn about unknown flags; show tracebacks; log warnings and errors only.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    progress: bool = True
    dry_run: bool = False
    show_config: bool = False
    lenient: bool = False
    debug: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {self.threads}")


def build(invocation: Invocation) -> tuple[Simulation, Outputs, RunOptions]:
    """The configuration that a command line describes.

    Files named by ``-mask``, ``-img`` and ``-mat`` are read here: the header of the mask is applied first, then that of
    the image, then the flags, whatever their order on the line.

    Raises
    ------
    ConfigError
        A value is not allowed; the message ends with the flag or file that it came from.
    FileError
        A file cannot be read.
    """
    values = Values()
    mask = apply_headers(invocation, values)
    geometry = apply_geometry(invocation, values)
    for dest, value in invocation.values.items():
        values.put(dest, Path(value) if dest in _PATHS else value, invocation.spelled[dest])
    if mask is not None:
        check_mask(mask.data, values)
    outputs = _outputs(values)
    _spare_inputs(values, outputs)
    if (matrix := invocation.values.get("input.matrix")) is not None:
        values.put("crystal.A_matrix", tuple(read_matrix(Path(matrix))), f"-mat {matrix}")
    _no_sensor_without_absorption(values)
    apply_spectrum(invocation, values)
    for note in contradictions(invocation.values, values, geometry):
        log.warning(note)
    if geometry is not None and matrix is None:
        apply_crystal(geometry, values)
    _model_and_cell(values)
    if values.get("background.stol") is not None and not values.get("background.thickness_mm"):
        log.warning(
            f"{values.source['background.stol']} is used with --background MM only; the reference never uses it"
        )
    for doubt in flag_doubts(values.known, values.source):
        log.warning(doubt)
    simulation = Simulation(
        crystal=values.make(Crystal, "crystal"),
        beam=values.make(Beam, "beam"),
        detector=values.make(Detector, "detector"),
        scan=values.make(Scan, "scan"),
        structure_factors=values.make(StructureFactors, "structure_factors"),
        sampling=values.make(Sampling, "sampling"),
        background=values.make(Background, "background"),
        mask=None if mask is None else mask.data,
        **values.part("simulation"),
    )
    return simulation, outputs, values.make(RunOptions, "run")


def _model_and_cell(values: Values) -> None:
    """Set resolution and wavelength of a model's F, and the cell of the structure factors where no other is given."""
    model, hkl = values.get("structure_factors.model"), values.get("structure_factors.hkl")
    if model is not None:
        source = values.source["structure_factors.model"]
        if dmin := values.get("sampling.dmin_A"):
            values.put("structure_factors.model_dmin_A", dmin, values.source["sampling.dmin_A"])
        values.put("structure_factors.model_wavelength_A", values.get("beam.wavelength_A") or Beam.wavelength_A, source)
    if values.get("crystal.cell") is not None or values.get("crystal.A_matrix") is not None:
        return
    cell = None
    if model is not None:
        from nbnumba.io.model import read_model_cell

        cell = read_model_cell(model)
    elif hkl is not None:
        cell = cell_of(hkl, values.get("structure_factors.hkl_label"), values.get("structure_factors.hkl_dataset"))
    if cell is not None:
        log.warning(f"the unit cell is that of {model or hkl}, its orientation arbitrary; give -mat or --geometry FILE")
        values.put("crystal.cell", cell, f"{model or hkl}")


def _spare_inputs(values: Values, outputs: Outputs) -> None:
    """Raise ConfigError if an output file of the run would replace an input file."""
    inputs = {os.path.abspath(path): key for key in _READ if (path := values.get(key)) is not None}
    written: dict[str, Any] = {f"outputs.{key}": path for key, path in vars(outputs).items()}
    if values.get("structure_factors.hkl") is not None:
        written["structure_factors.dump"] = values.get("structure_factors.dump") or StructureFactors.dump
    for key, path in written.items():
        read = inputs.get(os.path.abspath(path)) if isinstance(path, Path) else None
        if read is not None:
            flag = values.source.get(key) or f"-{key.rpartition('.')[2]}"
            raise ConfigError(f"{flag} would replace {path}, which {values.source[read]} reads: give another name")


def _no_sensor_without_absorption(values: Values) -> None:
    """Remove the sensor if the attenuation depth is infinite, whatever the order of the two flags."""
    if values.get("detector.attenuation_um") == math.inf:
        values.drop("detector.attenuation_um")
        values.put("detector.thickness_um", 0.0, values.source["detector.attenuation_um"])


def _outputs(values: Values) -> Outputs:
    given: Mapping[str, Any] = values.part("outputs")
    kept = {key: value for key, value in given.items() if key not in ("noise", "pgm")}
    if given.get("noise") is False:
        kept["noisefile"] = None
    if given.get("pgm") is False:
        kept["pgmfile"] = None
    try:
        return Outputs(**kept)
    except ConfigError as error:
        raise values.explained(error) from None
