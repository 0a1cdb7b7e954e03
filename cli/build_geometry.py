"""From headers of images, the file of ``--geometry`` and a spectrum to values of the configuration."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from nbnumba.cli.contradicted import NEEDED
from nbnumba.cli.parse import Invocation
from nbnumba.cli.values import Values, explained
from nbnumba.errors import ConfigError, UsageError
from nbnumba.io.geometry import FileGeometry
from nbnumba.io.smv import SmvImage, read_smv
from nbnumba.model.config import Beam, Detector
from nbnumba.model.plausible_flags import SWAPPED, swapped

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


def apply_headers(invocation: Invocation, values: Values) -> SmvImage | None:
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


def apply_geometry(invocation: Invocation, values: Values) -> FileGeometry | None:
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
    found = _read(path, invocation, image)
    for note in found.notes:
        log.warning(note)
    if len(found.panels) == 1:
        _warn_if_swapped((found.panels[0].spixels, found.panels[0].fpixels), name, invocation)
    try:
        wanted = geometry_files.settings(found, given)
    except ConfigError as error:
        raise explained(error, invocation.spelled) from None
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
    from nbnumba.model.geometry_files import geometry_kind

    name = invocation.values.get("input.geometry")
    return None if name is None or geometry_kind(Path(name)) == "smv" else _read(Path(name), invocation, image)


def _read(path: Path, invocation: Invocation, image: int | None) -> FileGeometry:
    """Geometry of one image of a file, with what the flags say about it."""
    from nbnumba.model.geometry_files import read_geometry

    given = invocation.values
    return read_geometry(
        path,
        image=image,
        experiment=given.get("input.experiment"),
        distance_mm=given.get("detector.distance_mm"),
        wavelength_A=_given_wavelength(invocation),
    )


def apply_crystal(found: FileGeometry, values: Values) -> None:
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


def apply_spectrum(invocation: Invocation, values: Values) -> None:
    """Set the wavelength to the mean of the spectrum, unless a flag gives it; a file's wavelength is not used then."""
    path = values.get("beam.spectrum")
    if path is not None and "beam.wavelength_A" not in invocation.values:
        values.put("beam.wavelength_A", _given_wavelength(invocation), f"--spectrum {path}")


def _apply_header(image: SmvImage, values: Values, *, mirrored: bool, source: str) -> None:
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


def check_mask(mask: np.ndarray, values: Values) -> None:
    spixels, fpixels = values.known["detector.spixels"], values.known["detector.fpixels"]
    if mask.shape != (spixels, fpixels):
        source = values.source["detector.fpixels" if mask.shape[1] != fpixels else "detector.spixels"]
        raise ConfigError(
            f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels (fast x slow), "
            f"but the detector has {fpixels} x {spixels} (from {source})"
            f"{SWAPPED if swapped(mask.shape, (spixels, fpixels)) else ''}"
        )
