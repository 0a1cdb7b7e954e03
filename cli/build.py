"""From a parsed command line, headers of images and the matrix file to the configuration.

Values that are not given keep the defaults of the dataclasses of ``nbnumba.model.config``.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nbnumba.cli.contradicted import NEEDED, contradictions
from nbnumba.cli.parse import Invocation
from nbnumba.errors import ConfigError, UsageError
from nbnumba.io.geometry import FileGeometry
from nbnumba.io.matrix import read_matrix
from nbnumba.io.smv import SmvImage, read_smv
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
from nbnumba.model.plausible_flags import SWAPPED, flag_doubts, swapped
from nbnumba.model.structure_factors import cell_of

log = logging.getLogger("nbnumba")

# header keyword -> field; the same numbers for -img and -mask, but for the mirrored BEAM_CENTER_Y of a mask
_HEADER = {
    "PIXEL_SIZE": "detector.pixel_mm",
    "DISTANCE": "detector.distance_mm",
    "CLOSE_DISTANCE": "detector.close_distance_mm",
    "WAVELENGTH": "beam.wavelength_A",
    "BEAM_CENTER_X": "detector.Xbeam_mm",
    "BEAM_CENTER_Y": "detector.Ybeam_mm",
    "ORGX": "detector.ORGX",
    "ORGY": "detector.ORGY",
    "PHI": "scan.phi_deg",
    "OSC_RANGE": "scan.osc_deg",
}
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
    values = _Values()
    mask = _headers(invocation, values)
    geometry = _geometry(invocation, values)
    for dest, value in invocation.values.items():
        values.put(dest, Path(value) if dest in _PATHS else value, invocation.spelled[dest])
    if mask is not None:
        _check_mask(mask.data, values)
    outputs = _outputs(values)
    _spare_inputs(values, outputs)
    if (matrix := invocation.values.get("input.matrix")) is not None:
        values.put("crystal.A_matrix", tuple(read_matrix(Path(matrix))), f"-mat {matrix}")
    _no_sensor_without_absorption(values)
    _wavelength_of_spectrum(invocation, values)
    for note in contradictions(invocation.values, values, geometry):
        log.warning(note)
    if geometry is not None and matrix is None:
        _file_crystal(geometry, values)
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


Part = TypeVar("Part")


@dataclass
class _Values:
    """Values by field (``part.field``), each with the flag or file that it came from."""

    known: dict[str, Any] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    #: Distance and nearest distance (mm) in the header of an image.
    distances: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    #: Keywords that the header of an image lacks, and the header.
    missing: list[tuple[str, str]] = field(default_factory=list)

    def put(self, dest: str, value: Any, source: str) -> None:
        element = re.fullmatch(r"(.*)\[(\d)\]", dest)
        if element:
            dest = element[1]
            whole = list(self.known.get(dest, (0.0, 0.0, 0.0)))
            whole[int(element[2])] = value
            value = tuple(whole)
        self.known[dest] = value
        self.source[dest] = source

    def get(self, dest: str) -> Any:
        return self.known.get(dest)

    def drop(self, dest: str) -> Any:
        return self.known.pop(dest, None)

    def part(self, name: str) -> dict[str, Any]:
        prefix = name + "."
        return {dest.removeprefix(prefix): v for dest, v in self.known.items() if dest.startswith(prefix)}

    def make(self, cls: type[Part], name: str) -> Part:
        try:
            return cls(**self.part(name))
        except ConfigError as error:
            raise self.explained(error) from None

    def explained(self, error: ConfigError) -> ConfigError:
        """The error, with the flag or file of the refused value appended if the message names its field."""
        named = re.match(r"(\w+\.\w+)", str(error))
        source = self.source.get(named[1]) if named else None
        return type(error)(f"{error} (from {source})") if source else error


def _headers(invocation: Invocation, values: _Values) -> SmvImage | None:
    """Set the values of the headers of ``-mask`` and ``-img``; returns the mask."""
    mask = None
    for key in ("mask", "img"):
        name = invocation.values.get(f"input.{key}")
        if name is None:
            continue
        image = read_smv(Path(name), header_only=key == "img")
        _apply_header(image, values, mirrored=key == "mask", source=f"the header of {name}")
        if key == "img":
            _warn_if_swapped(image.data.shape, name, invocation)
        if key == "mask":
            mask = image
    return mask


def _geometry(invocation: Invocation, values: _Values) -> FileGeometry | None:
    """Set the values of the file of ``--geometry`` that no flag gives, except its crystal."""
    name, given = invocation.values.get("input.geometry"), invocation.values
    image, experiment = given.get("input.geometry_image"), given.get("input.experiment")
    if name is None:
        if image is not None:
            raise UsageError("--geometry-image chooses an image of the scan of --geometry: give --geometry FILE")
        if experiment is not None:
            raise UsageError("--experiment chooses an experiment of the list of --geometry: give --geometry FILE")
        return None
    from nbnumba.model import geometry_files

    path = Path(name)
    if geometry_files.geometry_kind(path) == "smv":
        if experiment is not None:
            raise UsageError(f"--experiment chooses an experiment of a .expt, but {name} is an SMV image: leave it out")
        header = read_smv(path, header_only=True)
        _apply_header(header, values, mirrored=False, source=f"the header of {name}")
        _warn_if_swapped(header.data.shape, name, invocation)
        return None
    if given.get("detector.convention", "CUSTOM") != "CUSTOM":
        flag = invocation.spelled["detector.convention"]
        raise UsageError(f"{flag} contradicts --geometry {name}, which gives all axes: leave one of them out")
    found = image_geometry_of(invocation, image)
    assert found is not None
    for note in found.notes:
        log.warning(note)
    if len(found.panels) == 1:
        _warn_if_swapped((found.panels[0].spixels, found.panels[0].fpixels), name, invocation)
    try:
        wanted = geometry_files.settings(found, given)
    except ConfigError as error:
        named = re.match(r"(\w+\.\w+)", str(error))
        flag = invocation.spelled.get(named[1], "") if named else ""
        raise ConfigError(f"{error} (from {flag})" if flag else str(error)) from None
    for dest, value in wanted.items():
        values.put(dest, value, f"--geometry {name}")
    return found


def _warn_if_swapped(shape: tuple[int, ...], name: str, invocation: Invocation) -> None:
    """Warn if the flags give a detector the pixels of a file with fast and slow swapped; shape: (slow, fast)."""
    spixels, fpixels = (invocation.values.get(f"detector.{key}") for key in ("spixels", "fpixels"))
    if spixels is not None and fpixels is not None and swapped(shape, (spixels, fpixels)):
        log.warning(f"{name} has {shape[1]} x {shape[0]} pixels, the flags give {fpixels} x {spixels}{SWAPPED}")


def image_geometry_of(invocation: Invocation, image: int | None) -> FileGeometry | None:
    """Geometry of one image of the file of ``--geometry``; None without a file, or where it is an SMV header.

    Raises
    ------
    FileError
        The file cannot be read, or has no such image.
    """
    from nbnumba.model import geometry_files

    name, given = invocation.values.get("input.geometry"), invocation.values
    if name is None or geometry_files.geometry_kind(Path(name)) == "smv":
        return None
    return geometry_files.read_geometry(
        Path(name),
        image=image,
        experiment=given.get("input.experiment"),
        distance_mm=given.get("detector.distance_mm"),
        wavelength_A=_given_wavelength(invocation),
    )


def _file_crystal(found: FileGeometry, values: _Values) -> None:
    """Set the crystal of the geometry file: its orientation, with the cell of the flags if they give one."""
    from nbnumba.model.geometry_files import orientation

    source = f"--geometry {found.path}"
    wavelength = values.get("beam.wavelength_A") or Beam.wavelength_A
    cell = values.get("crystal.cell")
    matrix = orientation(found, wavelength, cell)
    if matrix is not None:
        values.drop("crystal.cell")
        values.put("crystal.A_matrix", matrix, source)
    elif cell is None and found.cell is not None:
        values.put("crystal.cell", found.cell, source)


def _given_wavelength(invocation: Invocation) -> float | None:
    """Wavelength of a flag, or the mean of the spectrum."""
    path = invocation.values.get("beam.spectrum")
    if path is None or "beam.wavelength_A" in invocation.values:
        return invocation.values.get("beam.wavelength_A")
    from nbnumba.io.spectrum import read_spectrum

    return read_spectrum(path).mean_A


def _wavelength_of_spectrum(invocation: Invocation, values: _Values) -> None:
    """Set the wavelength to the mean of the spectrum, unless a flag gives it; a file's wavelength is not used then."""
    path = values.get("beam.spectrum")
    if path is not None and "beam.wavelength_A" not in invocation.values:
        values.put("beam.wavelength_A", _given_wavelength(invocation), f"--spectrum {path}")


def _model_and_cell(values: _Values) -> None:
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


def _apply_header(image: SmvImage, values: _Values, *, mirrored: bool, source: str) -> None:
    """Set geometry, wavelength and scan from a header, as ``main()`` of nanoBragg.c does.

    The beam centre of a mask is counted from the other end of the slow axis (its y is mirrored), that of an image
    is taken as it stands.
    """
    spixels, fpixels = image.data.shape
    values.put("detector.spixels", int(spixels), source)
    values.put("detector.fpixels", int(fpixels), source)
    values.distances = {source: (image.value("DISTANCE"), image.value("CLOSE_DISTANCE"))}
    for keyword, dest in _HEADER.items():
        number = image.value(keyword)
        if number is None:
            continue
        if keyword == "BEAM_CENTER_Y" and mirrored:
            pixel_mm = values.get("detector.pixel_mm")
            number = (Detector.pixel_mm if pixel_mm is None else pixel_mm) * spixels - number
        if keyword == "OSC_RANGE" and number < 0:
            continue  # the reference treats a negative range as not given
        values.put(dest, float(number), f"{source}: {keyword}")
    if not mirrored:
        values.missing = [(key, source) for key in NEEDED if image.value(key) is None]


def _check_mask(mask: np.ndarray, values: _Values) -> None:
    spixels, fpixels = values.known["detector.spixels"], values.known["detector.fpixels"]
    if mask.shape != (spixels, fpixels):
        source = values.source["detector.fpixels" if mask.shape[1] != fpixels else "detector.spixels"]
        raise ConfigError(
            f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels (fast x slow), "
            f"but the detector has {fpixels} x {spixels} (from {source})"
            f"{SWAPPED if swapped(mask.shape, (spixels, fpixels)) else ''}"
        )


def _spare_inputs(values: _Values, outputs: Outputs) -> None:
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


def _no_sensor_without_absorption(values: _Values) -> None:
    """Remove the sensor if the attenuation depth is infinite, whatever the order of the two flags."""
    if values.get("detector.attenuation_um") == math.inf:
        values.drop("detector.attenuation_um")
        values.put("detector.thickness_um", 0.0, values.source["detector.attenuation_um"])


def _outputs(values: _Values) -> Outputs:
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
