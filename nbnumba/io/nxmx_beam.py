"""Wavelength of an image in an NXmx file: one for all, one for each image, or the mean of a spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.spectrum import EV_A

if TYPE_CHECKING:
    from nbnumba.io.nxmx_geometry import Nexus

#: Units of wavelengths (Å) and of energies (eV), in small letters; files with others mean Å and eV.
_LENGTHS = {"nm": 10.0, "nanometer": 10.0, "nanometre": 10.0, "m": 1e10, "metre": 1e10, "meter": 1e10, "pm": 0.01}
_ENERGIES = {"kev": 1e3, "j": 1 / 1.602176634e-19}
#: Names of the numbers of a spectrum: some files have the second one.
_WEIGHTS = ("incident_wavelength_weights", "incident_wavelength_weight")


def wavelength(file: Nexus, entry: Any, instrument: Any, index: int) -> float:
    """Wavelength (Å) of an image, by its number from 0, in the first beam that has one.

    Raises
    ------
    FileError
        There is none, or it is not a positive number.
    """
    beams = file.all(instrument, "NXbeam") + [
        beam for sample in file.all(entry, "NXsample") for beam in file.all(sample, "NXbeam")
    ]
    for beam in beams:
        if file.has(beam, "incident_wavelength"):
            return _of_image(file, beam, index)
    for beam in beams:
        if file.has(beam, "incident_energy"):
            data = beam["incident_energy"]
            energy = _chosen(file, data, index) * _unit(file, data, _ENERGIES)
            return EV_A / _positive(file, data, energy)
    raise FileError(f"{file.what} has no incident_wavelength")


def _of_image(file: Nexus, beam: Any, index: int) -> float:
    """Wavelength (Å) of a beam at an image."""
    data = beam["incident_wavelength"]
    size = _unit(file, data, _LENGTHS)
    name = next((name for name in _WEIGHTS if file.has(beam, name)), None)
    if name is None:
        return _positive(file, data, _chosen(file, data, index)) * size
    lengths, weights = _row(file, data, index) * size, _row(file, beam[name], index)
    if len(lengths) != len(weights) or min(lengths) <= 0 or min(weights) < 0 or sum(weights) <= 0:
        raise FileError(f"{file.what}: {data.name} and {name} must be as many numbers > 0 and weights")
    # the mean energy, as DIALS has it
    mean = EV_A / (float(np.average(EV_A / lengths, weights=weights)))
    if len(lengths) > 1:
        file.notes.append(
            f"{file.what} has a spectrum of {len(lengths)} wavelengths: their mean, {mean:.6g} A, is taken; give "
            "--spectrum FILE for all of them"
        )
    return mean


def _chosen(file: Nexus, data: Any, index: int) -> float:
    """The number for an image, where there may be one for all, or one for each."""
    values = file.numbers(data)
    if len(set(values.tolist())) > 1:
        file.notes.append(
            f"{file.what} has {len(values)} wavelengths, for as many images: that of image {index + 1} is taken"
        )
    return float(values[min(max(index, 0), len(values) - 1)])


def _row(file: Nexus, data: Any, index: int) -> np.ndarray:
    """Numbers of a spectrum, where there may be one spectrum for all images, or one for each."""
    values = file.numbers(data)
    if len(data.shape) < 2:
        return values
    rows = values.reshape(data.shape[0], -1)
    return rows[min(max(index, 0), len(rows) - 1)]


def _unit(file: Nexus, data: Any, units: dict[str, float]) -> float:
    return units.get(file.text(data.attrs.get("units", "")).strip().lower(), 1.0)


def _positive(file: Nexus, data: Any, value: float) -> float:
    if value <= 0:
        raise FileError(f"{file.what}: {data.name} must be > 0, got {value:g}")
    return value
