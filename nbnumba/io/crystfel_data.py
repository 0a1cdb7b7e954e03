"""What data files keep for a CrystFEL geometry file: a panel (``data``, ``dimN``, ``mask``), wavelength and distance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbnumba.errors import ConfigError
from nbnumba.io.geometry import LARGEST
from nbnumba.io.matrix import NUMBER
from nbnumba.model.config import DataPlace, DataValue

#: Most dimensions, and most masks, that CrystFEL has.
_MOST = 8
#: Largest index along an axis.
_MOST_INDEX = 1 << 20


def data_place(values: Mapping[str, tuple[str, int]], numbers: Sequence[DataValue] = ()) -> DataPlace | None:
    """Data set of a panel; None where the lines describe none that CrystFEL could read.

    Parameters
    ----------
    values : mapping of str to (str, int)
        Settings of the panel, as text and line.
    numbers : sequence of DataValue
        Wavelength and distance.
    """
    # CrystFEL's defaults, of which a line changes one only
    dims: dict[int, str] = {0: "ss", 1: "fs"}
    for number in range(_MOST):
        if f"dim{number}" in values:
            dims[number] = values[f"dim{number}"][0]
    if sorted(dims) != list(range(len(dims))):
        return None
    axes = [int(text) if re.fullmatch("[0-9]{1,7}", text) else text for _, text in sorted(dims.items())]
    if any(axis > _MOST_INDEX if isinstance(axis, int) else axis not in ("%", "ss", "fs") for axis in axes):
        return None
    data = values.get("data", (DataPlace.data, 0))[0]
    if not _is_name(data):
        return None
    try:
        return DataPlace(data=data, dims=tuple(axes), masks=_masks(values), values=tuple(numbers))
    except ConfigError:
        return None


def data_value(key: Any, text: str, units: Mapping[str, float], offset_mm: float = 0.0) -> DataValue | None:
    """A number with its unit, or the data set that has it; None where CrystFEL could read neither.

    Parameters
    ----------
    units : mapping of str to float
        Sizes of the units; that of a data set without a unit is the one named "".
    """
    word, _, unit = text.partition(" ")
    if unit not in units:
        return None
    common = {"key": key, "unit": unit, "size": units[unit], "offset_mm": offset_mm}
    if _is_name(word):
        return DataValue(**common, name=word)
    if NUMBER.fullmatch(word) and abs(float(word)) < LARGEST:
        return DataValue(**common, number=float(word))
    return None


def _is_name(text: str) -> bool:
    """Whether a text can be the name of a data set; ``%`` must be a whole part of it."""
    parts = text.split("/")[1:]
    return text.startswith("/") and all(
        part not in ("", ".", "..") and ("%" not in part or part == "%") for part in parts
    )


def _masks(values: Mapping[str, tuple[str, int]]) -> tuple[tuple[str, int, int], ...]:
    """Masks that are in the file of the data."""
    found = []
    for number in range(_MOST):
        old = ("mask", "mask_file", "mask_good", "mask_bad") if number == 0 else (None,) * 4
        new = (f"mask{number}_{key}" for key in ("data", "file", "goodbits", "badbits"))
        data, file, good, bad = (values.get(key, values.get(other or "")) for key, other in zip(new, old, strict=True))
        if data is not None and file is None and _is_name(data[0]):
            found.append((data[0], _bits(good), _bits(bad)))
    return tuple(found)


def _bits(found: tuple[str, int] | None) -> int:
    """Bits of a mask, written as a hexadecimal or a decimal number."""
    text = "0" if found is None else found[0].lower()
    if re.fullmatch("0x[0-9a-f]{1,8}", text):
        return int(text, 16)
    return int(text) & 0xFFFFFFFF if re.fullmatch("[0-9]{1,10}", text) else 0
