"""The truth of a series: one HDF5 file with every shot's crystal, and every spot's indices and photons.

The photons of a pixel are assigned to the reflection nearest to the pixel's middle. Where h, k or l changes during the
exposure by more than a quarter, several orientations and wavelengths are tried and the nearest reflection of all is
used. The photons of a spot are the sum over its pixels in this panel, without noise and background: the result of a
perfect integration of this image.

While a series runs, the rows of each shot are kept in a file of their own, so that a shot is either complete or absent.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import nbnumba
from nbnumba.errors import FileError, first_line
from nbnumba.io.files import atomic_write, read_bytes
from nbnumba.io.npy import parse_npy
from nbnumba.model.config import Background
from nbnumba.model.crystal import RTD
from nbnumba.model.experiment import Experiment
from nbnumba.model.vectors import rotate_axis
from nbnumba.render.inputs import orientations
from nbnumba.render.simulate import Result, simulate

#: A pixel with fewer expected photons belongs to no spot.
LEAST_PHOTONS = 0.01
#: Change of an index during the exposure from which on another orientation or wavelength is tried.
_INDEX_STEP = 0.25
#: Most orientations, and most wavelengths, that are tried.
_MOST_TRIED = 24
#: Columns of a table of spots, with their types.
SPOT_COLUMNS: dict[str, Any] = {
    "hkl": np.int16,
    "panel": np.int16,
    "fast": np.float32,
    "slow": np.float32,
    "photons": np.float32,
    "peak": np.float32,
    "F": np.float32,
    "d_A": np.float32,
    "phi_deg": np.float32,
    "wavelength_A": np.float32,
}
_MEANING = {
    "hkl": "Miller indices",
    "panel": "panel of the detector, from 0",
    "fast": "centre of the spot, pixels from the outer edge of the first",
    "slow": "centre of the spot, pixels from the outer edge of the first",
    "photons": "expected photons of the spot in this image, without background and noise",
    "peak": "expected photons of its brightest pixel",
    "F": "structure factor, electrons",
    "d_A": "resolution",
    "phi_deg": "mean spindle angle of the light; the shot's start where it makes no difference",
    "wavelength_A": "mean wavelength of the light",
    "shot": "number of the shot, from 1",
    "reciprocal": "a*, b*, c* as rows, 1/A, laboratory axes, spindle at 0",
    "direct": "a, b, c as rows, A, laboratory axes, spindle at 0",
    "beam": "direction of the beam, laboratory axes",
    "spindle": "axis of rotation, laboratory axes",
}
#: Number of shots whose spots are written together.
_PORTION = 256
#: Thumbnails for the contact sheet: longest side in pixels, and their number.
THUMBNAIL, THUMBNAILS = 96, 48


def spot_table(experiment: Experiment, images: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Spots of one shot, column by column (:data:`SPOT_COLUMNS`), by panel and then by h, k, l.

    Parameters
    ----------
    images : iterable of (spixels, fpixels) float32
        Expected Bragg photons, panel by panel.
    """
    tables = []
    for index, image in enumerate(images):
        slow, fast = np.nonzero(image >= LEAST_PHOTONS)
        if len(slow):
            tables.append(_panel_spots(experiment, index, slow, fast, image[slow, fast].astype(np.float64)))
    if not tables:
        return {key: np.zeros((0, 3) if key == "hkl" else 0, kind) for key, kind in SPOT_COLUMNS.items()}
    return {key: np.concatenate([table[key] for table in tables]).astype(SPOT_COLUMNS[key]) for key in tables[0]}


def _panel_spots(experiment: Experiment, index: int, slow, fast, photons) -> dict[str, np.ndarray]:
    panel = experiment.detector.panels[index]
    S, F = (slow + 0.5) * panel.pixel_size, (fast + 0.5) * panel.pixel_size
    place = panel.pix0 + np.multiply.outer(S, panel.sdet) + np.multiply.outer(F, panel.fdet)
    if experiment.detector.curved:  # as in nbnumba.kernels.formulas.geometry.bend
        straight = experiment.detector.frame.beam * panel.distance
        swung = (rotate_axis(straight, panel.sdet, y / panel.distance) for y in place[:, 1])
        turned = zip(swung, place[:, 2], strict=True)
        place = np.array([rotate_axis(v, panel.fdet, z / panel.distance) for v, z in turned])
    diffracted = place / np.linalg.norm(place, axis=1)[:, None]
    nearest = np.full(len(slow), np.inf)
    hkl = np.zeros((len(slow), 3), np.int64)
    phi, wavelength = np.zeros(len(slow)), np.zeros(len(slow))
    for cell, angle, incident, length in _candidates(experiment, diffracted):
        indices = (diffracted - incident) @ (cell.T / length)
        whole = np.rint(indices)
        distance = (np.square((indices - whole) * experiment.crystal.N)).sum(axis=1)
        closer = distance < nearest
        nearest[closer], hkl[closer] = distance[closer], whole[closer]
        phi[closer], wavelength[closer] = angle, length
    return _gathered(experiment, index, hkl, photons, fast, slow, phi, wavelength)


def _gathered(experiment: Experiment, index, hkl, photons, fast, slow, phi, wavelength) -> dict[str, np.ndarray]:
    """Spots, each the sum over the pixels of one reflection."""
    low, span = hkl.min(axis=0), np.ptp(hkl, axis=0) + 1
    keys = ((hkl[:, 0] - low[0]) * span[1] + hkl[:, 1] - low[1]) * span[2] + hkl[:, 2] - low[2]
    _, first, spot = np.unique(keys, return_index=True, return_inverse=True)
    total = np.bincount(spot, photons)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(spot, photons * values) / total

    peak = np.zeros(len(first))
    np.maximum.at(peak, spot, photons)
    indices = hkl[first]
    spacing = np.linalg.norm(indices @ experiment.crystal.reciprocal, axis=1)
    return {
        "hkl": indices,
        "panel": np.full(len(first), index),
        "fast": mean(fast + 0.5),
        "slow": mean(slow + 0.5),
        "photons": total,
        "peak": peak,
        "F": amplitudes(experiment, indices),
        "d_A": np.divide(1.0, spacing, out=np.full(len(first), np.inf), where=spacing > 0),
        "phi_deg": mean(phi) * RTD,
        "wavelength_A": mean(wavelength) * 1e10,
    }


def amplitudes(experiment: Experiment, hkl: np.ndarray) -> np.ndarray:
    """F (n,) of integer indices (n, 3) in the simulation."""
    default, grid = experiment.simulation.structure_factors.default_F, experiment.structure_factors
    F = np.full(len(hkl), float(default))
    if grid is not None:
        place = hkl - (grid.h_min, grid.k_min, grid.l_min)
        inside = ((place >= 0) & (place < grid.grid.shape)).all(axis=1)
        F[inside] = grid.grid[tuple(place[inside].T)]
    return F


def _candidates(
    experiment: Experiment, diffracted: np.ndarray
) -> Iterable[tuple[np.ndarray, float, np.ndarray, float]]:
    """Cell (3, 3) in m, spindle angle, direction of the beam and wavelength (m) to try for every pixel."""
    crystal, scan, sources = experiment.crystal, experiment.scan, experiment.sources
    edges = np.linalg.norm(crystal.direct, axis=1).max() * 1e-10
    sines = np.sqrt((1 - (diffracted @ experiment.detector.frame.beam).min()) / 2)
    largest = edges * 2 * sines / sources.wavelengths.min()  # index of the farthest spot along the longest edge

    def chosen(number: int, change: float) -> np.ndarray:
        wanted = min(number, _MOST_TRIED, 1 + int(np.ceil(largest * change / _INDEX_STEP)))
        return np.unique(np.rint((np.arange(wanted) + 0.5) / wanted * number - 0.5).astype(int))

    cells = orientations(experiment).reshape(scan.phisteps, -1, 3, 3)
    domains = [0]  # the first domain is not rotated
    if largest * crystal.mosaic_spread_deg / RTD > _INDEX_STEP:
        domains = list(chosen(cells.shape[1], crystal.mosaic_spread_deg / RTD))
    by_wavelength = np.argsort(sources.wavelengths, kind="stable")
    incident = sources.incident
    change = np.ptp(sources.wavelengths) / sources.wavelengths.mean() + np.linalg.norm(np.ptp(incident, axis=0))
    for source in by_wavelength[chosen(len(by_wavelength), change)]:
        for step in chosen(scan.phisteps, max(scan.osc, 0.0)):
            for domain in domains:
                yield cells[step, domain], scan.phi[step], incident[source], float(sources.wavelengths[source])


def bragg_images(result: Result, threads: int | None = None) -> tuple[np.ndarray, ...]:
    """Images of a result without background; rendered again where the result includes water."""
    simulation = result.experiment.simulation
    if simulation.background.water_um == 0:
        return result.images if result.bragg is None else result.bragg
    dark = replace(result.experiment, simulation=replace(simulation, background=Background()))
    return simulate(dark, device=result.device, threads=threads).images


def shot_record(result: Result, file: str, seed: int | None) -> dict[str, Any]:
    """Row of a shot in the table of shots."""
    experiment, frame = result.experiment, result.experiment.detector.frame
    crystal, scan, beam = experiment.crystal, experiment.scan, experiment.simulation.beam
    return {
        "file": file,
        "reciprocal": crystal.reciprocal,
        "direct": crystal.direct,
        "unit_cell": np.array(crystal.unit_cell),
        "misset_deg": np.array(crystal.misset_deg or (0.0, 0.0, 0.0)),
        "N": np.array(crystal.N),
        "mosaic_spread_deg": crystal.mosaic_spread_deg,
        "phi_deg": scan.start * RTD,
        "osc_deg": scan.osc * RTD,
        "wavelength_A": beam.wavelength_A,
        "bandwidth_percent": 100 * float(np.ptp(experiment.sources.wavelengths)) / (beam.wavelength_A * 1e-10),
        "fluence": experiment.fluence,
        "beam": frame.beam,
        "spindle": frame.spindle,
        "noise_seed": -1 if seed is None else seed,
        "photons": float(sum(image.sum(dtype=np.float64) for image in result.images)),
    }


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Brightest pixel of each block of a reduced image, float32, at most :data:`THUMBNAIL` pixels a side."""
    step = max(1, -(-max(image.shape) // THUMBNAIL))
    padded = np.pad(image, [(0, -size % step) for size in image.shape])
    return padded.reshape(padded.shape[0] // step, step, -1, step).max(axis=(1, 3)).astype(np.float32)


def write_part(path: Path, record: dict[str, Any], spots: dict[str, np.ndarray], picture: np.ndarray | None) -> None:
    """Write the rows of a shot to a file that is kept until the series is complete."""
    parts = {f"shot.{key}": value for key, value in record.items()}
    parts |= {f"spot.{key}": value for key, value in spots.items()}
    if picture is not None:
        parts["thumbnail"] = picture
    buffer = io.BytesIO()
    np.savez(buffer, **parts)
    with atomic_write(path) as handle:
        handle.write(buffer.getbuffer())


def read_part(path: Path) -> dict[str, np.ndarray]:
    """Read a file of :func:`write_part`.

    Raises
    ------
    FileError
        The file cannot be read, is broken, or lacks a column.
    """
    cure = "remove it and run the series again"
    content = read_bytes(path, "truth of a shot")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            listed = file.infolist()
            if sum(entry.file_size for entry in listed) > len(content):
                raise ValueError("it is packed, which it never is when written")
            entries = {entry.filename.removesuffix(".npy"): file.read(entry) for entry in listed}
    # exceptions of zipfile and its decompressors for damaged archives
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError, struct.error) as error:
        raise FileError(f"cannot read {path}: {error}; {cure}") from error
    loaded = {key: parse_npy(data, f"{path}: {key}") for key, data in entries.items()}
    lacking = [f"spot.{key}" for key in SPOT_COLUMNS if f"spot.{key}" not in loaded]
    if lacking:
        raise FileError(f"{path} lacks {', '.join(lacking)}: {cure}")
    return loaded


def gather(path: Path, parts: list[Path], attributes: dict[str, Any]) -> None:
    """Write one HDF5 file from the parts of all shots; it gets its name when it is complete.

    Raises
    ------
    FileError
        A part cannot be read, or the file cannot be written.
    """
    from nbnumba.io.hdf5 import new_hdf5  # slow to load

    with new_hdf5(path, track_order=False) as file:
        for key, value in attributes.items():
            file.attrs[key] = value
        file.attrs["nbnumba_version"] = nbnumba.__version__
        file.attrs["least_photons"] = LEAST_PHOTONS
        records, counts, pictures, shown = [], [], [], []
        rows = _Rows(file.create_group("spots"))
        for number, part in enumerate(parts, start=1):
            loaded = read_part(part)
            records.append({k.removeprefix("shot."): v for k, v in loaded.items() if k.startswith("shot.")})
            spots = {key: loaded[f"spot.{key}"] for key in SPOT_COLUMNS}
            counts.append(len(spots["hkl"]))
            rows.add(spots | {"shot": np.full(counts[-1], number, np.int32)})
            if "thumbnail" in loaded:
                pictures.append(loaded["thumbnail"])
                shown.append(number)
        rows.write()
        _write_shots(file.create_group("shots"), records, counts)
        if pictures:
            file.create_dataset("thumbnails/photons", data=np.array(pictures), compression="gzip", shuffle=True)
            file.create_dataset("thumbnails/shot", data=np.array(shown, np.int32))


def _write_shots(group: Any, records: list[dict[str, Any]], counts: list[int]) -> None:
    import h5py

    ends = np.cumsum(counts)
    columns: dict[str, Any] = {key: np.array([record[key] for record in records]) for key in records[0]}
    columns["first_spot"], columns["n_spots"] = ends - counts, np.array(counts)
    columns["shot"] = np.arange(1, len(records) + 1, dtype=np.int32)
    for key, values in columns.items():
        data = values
        if values.dtype.kind == "U":  # names of files may hold bytes that are not UTF-8
            data = np.char.encode(values, "utf-8", "surrogateescape")
            data = data.view(h5py.string_dtype("utf-8", data.itemsize))
        group.create_dataset(key, data=data).attrs["meaning"] = _MEANING.get(key, key.replace("_", " "))


class _Rows:
    """Growing data sets, written in portions: many small writes are slow in HDF5."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.waiting: list[dict[str, np.ndarray]] = []

    def add(self, columns: dict[str, np.ndarray]) -> None:
        self.waiting.append(columns)
        if len(self.waiting) >= _PORTION:
            self.write()

    def write(self) -> None:
        if not self.waiting:
            return
        for key in [*SPOT_COLUMNS, "shot"]:
            values = np.concatenate([table[key] for table in self.waiting])
            if key not in self.group:
                form = {"maxshape": (None, *values.shape[1:]), "chunks": (16384, *values.shape[1:])}
                made = self.group.create_dataset(
                    key, (0, *values.shape[1:]), values.dtype, compression="gzip", shuffle=True, **form
                )
                made.attrs["meaning"] = _MEANING[key]
            dataset = self.group[key]
            before = dataset.shape[0]
            dataset.resize(before + len(values), axis=0)
            dataset[before:] = values
        self.waiting.clear()


def read_truth(path: Path | str) -> dict[str, dict[str, np.ndarray]]:
    """The tables of a truth file: ``{"shots": {column: array}, "spots": {column: array}, ...}``.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    import h5py

    try:
        size = os.path.getsize(path)
        with h5py.File(path, "r") as file:
            tables = {group: dict(file[group].items()) for group in file}
            claimed = sum(column.nbytes for table in tables.values() for column in table.values())
            if claimed > (16 << 20) + 100 * size:
                raise FileError(f"the truth {path} claims {claimed} bytes in a file of {size}: it is damaged")
            return {name: {key: column[()] for key, column in table.items()} for name, table in tables.items()}
    except FileError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError(f"cannot read the truth {path}: {first_line(error)}") from error
