"""CrystFEL's ``.geom`` files: a detector of panels, and the photon energy.

CrystFEL's frame: z along the beam, y up, x completing the right-handed system. A panel's corner lies at
(corner_x, corner_y) pixels and at clen + coffset along z; fast and slow are ``fs`` and ``ss``, a pixel is 1/res metres.
A value without a panel's name holds for the panels that are first named after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.crystfel_data import data_place
from nbnumba.io.files import read_text
from nbnumba.io.geometry import LARGEST, FileGeometry, make_panel, vector
from nbnumba.io.matrix import NUMBER
from nbnumba.io.spectrum import EV_A
from nbnumba.model.config import Panel

_WHAT = "CrystFEL geometry file"
_TERM = re.compile(r"([+-]?)\s*((?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)?\s*\*?\s*([xyz])")
_LENGTHS = {"": 1.0, "m": 1.0, "mm": 1e-3, "cm": 1e-2, "um": 1e-6}


@dataclass
class _Panel:
    """Settings of a panel as text, each with its line number."""

    name: str
    line: int
    values: dict[str, tuple[str, int]] = field(default_factory=dict)


def read_geom(path: Path | str, *, distance_mm: float | None = None, wavelength_A: float | None = None) -> FileGeometry:
    """Beam and panels of a CrystFEL geometry file; panels with ``no_index = 1`` are kept, bad regions are not read.

    Parameters
    ----------
    distance_mm : float, optional
        Camera length instead of the file's ``clen``, which may be a path inside an HDF5 file.
    wavelength_A : float, optional
        Wavelength instead of the file's ``photon_energy`` or ``wavelength``, for the same reason.

    Raises
    ------
    FileError
        The file cannot be read, a panel is incomplete, or a required value is only in the data file.
    """
    panels, beam = _settings(path)
    notes: list[str] = []
    made = []
    for panel in panels:
        made.append(_panel(path, panel, distance_mm, notes))
    if wavelength_A is None:
        wavelength_A = _wavelength(path, beam)
    return FileGeometry(
        path=Path(path),
        format="crystfel",
        beam=(0.0, 0.0, 1.0),
        wavelength_A=wavelength_A,
        # horizontal, as at nearly all sources of X-rays
        polar=(1.0, 0.0, 0.0),
        panels=tuple(made),
        distance_taken=distance_mm is not None,
        notes=tuple(dict.fromkeys(notes)),
    )


def _settings(path: Path | str) -> tuple[list[_Panel], dict[str, tuple[str, int]]]:
    """Panels in the order of the file, and the settings of the beam."""
    defaults: dict[str, tuple[str, int]] = {}
    beam: dict[str, tuple[str, int]] = {}
    panels: dict[str, _Panel] = {}
    for line, text in enumerate(read_text(path, _WHAT).split("\n"), 1):
        bare = text.split(";")[0].strip()
        if not bare:
            continue
        key, equals, value = (part.strip() for part in bare.partition("="))
        if not equals:
            raise FileError(f"line {line} of the {_WHAT} {path}: expected 'key = value', got {bare[:40]!r}")
        name, slash, own = key.partition("/")
        if not slash:
            if key in ("photon_energy", "wavelength"):
                beam[key] = value, line
            else:
                defaults[key] = value, line
            continue
        # bad regions look like panels, and groups have no slash
        if name.startswith("bad"):
            continue
        panel = panels.setdefault(name, _Panel(name, line, dict(defaults)))
        panel.values[own] = value, line
    if not panels:
        raise FileError(f"the {_WHAT} {path} has no panel (lines 'panel/min_fs = 0' and so on)")
    return list(panels.values()), beam


def _quantity(path: Path | str, key: str, found: tuple[str, int], units: dict[str, float]) -> float | None:
    """A number with its unit; None where the value is a path inside the data file."""
    text, line = found
    match = re.fullmatch(rf"({NUMBER.pattern})\s*([A-Za-z]*)", text)
    if match is None and text.startswith("/"):
        return None
    if match is None or match[2] not in units:
        known = ", ".join(unit for unit in units if unit)
        raise FileError(f"line {line} of the {_WHAT} {path}: {key} must be a number in {known}, got {text[:40]!r}")
    number = float(match[1]) * units[match[2]]
    if not abs(number) < LARGEST:
        raise FileError(f"line {line} of the {_WHAT} {path}: {key} = {text[:40]} is out of range")
    return number


def _wavelength(path: Path | str, beam: dict[str, tuple[str, int]]) -> float | None:
    """Wavelength (Å); None where the file gives none."""
    value: float | None
    for key, units in (
        ("wavelength", {"": 1e10, "m": 1e10, "A": 1.0}),
        ("photon_energy", {"": 1, "eV": 1, "keV": 1e3}),
    ):
        if key not in beam:
            continue
        value = _quantity(path, key, beam[key], units)
        where = f"line {beam[key][1]} of the {_WHAT} {path}"
        if value is None:
            raise FileError(f"{where}: {key} is kept in the data file ({beam[key][0]}): give -lambda or -energy")
        if value <= 0:
            raise FileError(f"{where}: {key} must be > 0, got {value:g}")
        return value if key == "wavelength" else EV_A / value
    return None


def _direction(path: Path | str, key: str, found: tuple[str, int]) -> np.ndarray:
    """``-0.003x +0.999y`` as a vector."""
    text, line = found
    vector_ = np.zeros(3)
    for match in _TERM.finditer(text):
        size = float(match[2]) if match[2] else 1.0
        vector_["xyz".index(match[3])] += -size if match[1] == "-" else size
    if _TERM.sub("", text).strip() or not vector_.any() or not np.abs(vector_).max() < LARGEST:
        raise FileError(f"line {line} of the {_WHAT} {path}: {key} must be like '+1.0x -0.002y', got {text[:40]!r}")
    return vector_


def _panel(path: Path | str, panel: _Panel, distance_mm: float | None, notes: list[str]) -> Panel:
    where = f"line {panel.line} of the {_WHAT} {path}: panel {panel.name}"

    def get(key: str, default: float | None = None, units: dict[str, float] | None = None) -> float:
        if key not in panel.values:
            if default is None:
                raise FileError(f"{where} has no {key}")
            return default
        value = _quantity(path, f"{panel.name}/{key}", panel.values[key], units or {"": 1.0})
        if value is None:
            raise FileError(
                f"line {panel.values[key][1]} of the {_WHAT} {path}: {key} is kept in the data file "
                f"({panel.values[key][0]})" + (": give -distance" if key == "clen" else "")
            )
        return value

    res = get("res")
    if res <= 0:
        raise FileError(f"{where}: res must be > 0 pixels per metre, got {res:g}")
    pixel = 1000 / res
    distance = distance_mm if distance_mm is not None else 1000 * get("clen", units=_LENGTHS)
    z = distance + 1000 * get("coffset", 0.0, _LENGTHS)
    axes = [
        _direction(path, f"{panel.name}/{key}", panel.values.get(key, (default, panel.line)))
        for key, default in (("fs", "x"), ("ss", "y"))
    ]
    if any(abs(np.linalg.norm(axis) - 1) > 2e-3 for axis in axes):
        notes.append(
            f"the {_WHAT} {path}: fs or ss of panel {panel.name} is not of length 1: only its direction is used"
        )
    corner = [get("min_fs"), get("min_ss")]
    counts = [int(get(f"max_{key}")) - int(low) + 1 for key, low in zip(("fs", "ss"), corner, strict=True)]
    return make_panel(
        where,
        pix0_mm=vector([get("corner_x") * pixel, get("corner_y") * pixel, z]),
        fast_axis=vector(axes[0]),
        slow_axis=vector(axes[1]),
        fpixels=counts[0],
        spixels=counts[1],
        pixel_mm=pixel,
        name=panel.name,
        offset=(int(corner[0]), int(corner[1])),
        place=data_place(panel.values),
    )
