"""Panels of an HDF5 file as CrystFEL finds them: by the lines of a geometry file, and by nothing else.

Written from the manual page of geometry files (crystfel_geometry), section "Panel data locations": a line without a panel's
name is the default of the panels that are first named after it; ``data`` is ``/data/data``, and ``dim0`` ``ss``, ``dim1`` ``fs``,
unless lines say otherwise; the data set has as many dimensions as are defined.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (h5py needs it to read what is compressed)
import numpy as np

_START = {"data": "/data/data", "dim0": "ss", "dim1": "fs"}


def settings(geom: str) -> dict[str, dict[str, str]]:
    """Settings of every panel."""
    defaults, panels = dict(_START), {}
    for line in geom.splitlines():
        key, equals, value = (part.strip() for part in line.split(";")[0].partition("="))
        name, slash, own = key.rpartition("/")
        if equals and slash and not name.startswith("bad"):
            panels.setdefault(name, dict(defaults))[own] = value
        elif equals:
            defaults[key] = value
    return panels


def read_panels(geom: str, path: Path, event: str = "1", image: int = 0) -> dict[str, np.ndarray]:
    """Counts of every panel in one image; ``event`` stands for ``%`` in names, ``image`` for it among dimensions."""
    with h5py.File(path) as file:
        return {name: _part(file, own, own["data"], event, image) for name, own in settings(geom).items()}


def read_good(geom: str, path: Path, mask: str = "mask") -> dict[str, np.ndarray]:
    """Which pixels of every panel the mask calls good: all good bits, and no bad one."""
    good = {}
    with h5py.File(path) as file:
        for name, own in settings(geom).items():
            bits = _part(file, own, own[f"{mask}"], "1", 0, static=True)
            wanted, bad = (int(own.get(f"{mask}_{key}", "0"), 0) for key in ("good", "bad"))
            good[name] = ((bits & wanted) == wanted) & ((bits & bad) == 0)
    return good


def _part(file: h5py.File, own: dict[str, str], name: str, event: str, image: int, static: bool = False) -> np.ndarray:
    dims = [own[f"dim{number}"] for number in range(8) if f"dim{number}" in own]
    data = file[name.replace("%", event)]
    if static and data.ndim < len(dims):
        dims = [dim for dim in dims if dim != "%"]
    assert data.ndim == len(dims), f"{name} has {data.ndim} dimensions, the geometry {len(dims)}"
    low = {dim: int(own[f"min_{dim}"]) for dim in ("ss", "fs")}
    high = {dim: int(own[f"max_{dim}"]) + 1 for dim in ("ss", "fs")}
    index: list[int | slice] = []
    for dim, size in zip(dims, data.shape, strict=True):
        if dim in low:
            assert high[dim] <= size
            index.append(slice(low[dim], high[dim]))
        else:
            index.append(image if dim == "%" else int(dim))
    found = data[tuple(index)]
    assert found.shape == (high["ss"] - low["ss"], high["fs"] - low["fs"])
    return np.asarray(found)


def read_number(geom: str, path: Path, key: str, event: str = "1", image: int = 0) -> float:
    """A length (m), wavelength (m), energy (eV) or voltage (V), from the geometry or from the data set that it names.

    Of a data set one number is that of all images; a ``clen`` without a unit is in mm there, and in m in the geometry.
    """
    lines = dict([part.strip() for part in line.partition("=")[::2]] for line in geom.splitlines() if "=" in line)
    word, _, unit = lines[key].partition(" ")
    size = {"m": 1.0, "mm": 1e-3, "A": 1e-10, "eV": 1.0, "keV": 1e3, "V": 1.0, "kV": 1e3}
    scale = size[unit] if unit else 1e-3 if key == "clen" and word.startswith("/") else 1.0
    if not word.startswith("/"):
        return float(word) * scale
    with h5py.File(path) as file:
        found = np.ravel(file[word.replace("%", event)][()])
    return float(found[image if found.size > 1 else 0]) * scale
