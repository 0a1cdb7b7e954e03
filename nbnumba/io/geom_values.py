"""Wavelength and distance in an image file, where a CrystFEL geometry file looks for them.

A geometry file may name data sets of the image file instead of numbers: ``clen = /LCLS/detector_1/EncoderValue``. They are
written with what it needs to find the detector and the wavelength of the simulation. Numbers that it has itself are
compared with those.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.electrons import voltage_of
from nbnumba.io.spectrum import EV_A
from nbnumba.model.frames import MCSTAS, ImageGeometry
from nbnumba.model.instrument import DataValue

#: Relative difference from which on two numbers differ: geometry files have some five digits.
_DIFFERENT = 1e-4


def write(file: h5py.File, geometry: ImageGeometry, images: int) -> None:
    """Write the data sets that the geometry file takes numbers from; those that NXmx has already stay as they are.

    Raises
    ------
    FileError
        One cannot have its name.
    """
    for value, amount in _amounts(geometry):
        for name in _names(value, images):
            try:
                if name not in file:
                    file.create_dataset(name, data=amount, track_times=False)
            except (ValueError, TypeError, OSError, KeyError, RuntimeError) as error:
                raise FileError(f"cannot write {name}, the {value.key} of the geometry file: {error}") from error


def differing(file: h5py.File, geometry: ImageGeometry) -> list[str]:
    """Numbers that the geometry file has, or takes from the image file, and that had to be others: a phrase for each."""
    found = []
    for value, amount in _amounts(geometry):
        unit = value.unit or ("mm" if value.name else "m") if value.key == "clen" else value.unit
        names = _names(value, 1)
        has = _number(file, names[0]) if names else value.number
        place = f" ({names[0]})" if names else ""
        if has is None:
            found.append(f"{value.key} {amount:.6g} {unit}".rstrip() + f"{place[:-1]} is no number)")
        elif abs(has - amount) > _DIFFERENT * max(abs(has), abs(amount)):
            found.append(f"{value.key} {amount:.6g} instead of {has:.6g} {unit}".rstrip() + place)
    return found


def _amounts(geometry: ImageGeometry) -> Iterator[tuple[DataValue, float]]:
    """Each number of the geometry file, and what it is in the simulation, in the file's unit."""
    for number, value in geometry.layout.values:
        if value.key == "clen":
            amount = float((MCSTAS @ geometry.panels[number].origin_mm)[2]) - value.offset_mm
        elif value.key == "wavelength":
            amount = geometry.wavelength_A
        elif value.key == "photon_energy":
            amount = EV_A / geometry.wavelength_A
        else:
            amount = voltage_of(geometry.wavelength_A)
        yield value, amount / value.size


def _names(value: DataValue, images: int) -> list[str]:
    """Names of the data sets of a number: one for each image, from 1, if ``%`` is a part of the name."""
    if not value.name:
        return []
    parts = value.name.split("/")
    if "%" not in parts:
        return [value.name]
    return ["/".join(str(image + 1) if part == "%" else part for part in parts) for image in range(images)]


def _number(file: h5py.File, name: str) -> float | None:
    """The number that a data set has; None if it has none, or several."""
    item = file.get(name)
    if not isinstance(item, h5py.Dataset) or item.size != 1 or item.dtype.kind not in "iuf":
        return None
    return float(np.ravel(item[()])[0])


def note(path: Path | str, phrases: list[str]) -> tuple[str, ...]:
    """The sentence about them; none where nothing differs."""
    if not phrases:
        return ()
    return (f"{path} needs other numbers in its geometry file: {' and '.join(phrases)}",)
