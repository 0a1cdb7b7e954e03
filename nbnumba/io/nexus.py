"""NXmx: images as HDF5 in the NeXus layout for macromolecular crystallography, compressed by bitshuffle and LZ4.

The frame is McStas': z along the beam. One file holds one image or a series; :func:`write_nexus_master` joins files of
the same experiment into one series through a virtual data set. Several panels lie in the data as the file of the geometry
describes (:mod:`nbnumba.model.data_layout`), each a module with its own position. The same content gives the same file,
bit for bit: there are no time stamps.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nbnumba.errors import FileError
from nbnumba.io import geom_values, geom_views
from nbnumba.io.hdf5 import bitshuffle, new_hdf5
from nbnumba.model.frames import MCSTAS, ImageGeometry, PanelGeometry

#: Thickness of the sensor that is written where none is simulated: DIALS needs one, and 1 nm shifts no spot.
NO_SENSOR_MM = 1e-6
#: Name of the counts, and their name where CrystFEL's layout of that data set is another one.
_DATA, _OTHER_DATA = "/entry/data/data", "/entry/data/counts"


@dataclass(frozen=True, eq=False, kw_only=True)
class ValidCounts:
    """Range and mask of the counts, as the file records them.

    Attributes
    ----------
    saturation : int
        Counts from which on a pixel is overloaded.
    underload : int
        Smallest count that is a measurement.
    pixel_mask : (slow, fast) int or None
        0: good, bit 0: no pixel, bit 1: dead; all panels as ``ImageGeometry.layout`` arranges them.
    """

    saturation: int
    underload: int = 0
    pixel_mask: np.ndarray | None = None

    @property
    def gap(self) -> int:
        """Value of pixels that are in no panel: no measurement."""
        return self.underload - 1


def write_nexus(
    path: Path | str,
    counts: np.ndarray,
    geometry: ImageGeometry,
    valid: ValidCounts,
    starts_deg: Sequence[float] | None = None,
) -> tuple[str, ...]:
    """Write an image or a series; returns a sentence if its geometry file says another wavelength or distance.

    Parameters
    ----------
    counts : (n, slow, fast) or (slow, fast) int32
        No pedestal; the panels as ``geometry.layout`` arranges them.
    starts_deg : sequence of n float, optional
        Spindle angle at the start of each image; default: one image after the other from ``phi_deg``.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    counts = counts[None] if counts.ndim == 2 else counts
    _check_shape(counts.shape, geometry)
    if counts.dtype != np.int32:
        raise TypeError(f"an NXmx file holds int32 counts, got {counts.dtype}")
    with new_hdf5(path) as file:
        _describe(file, geometry, valid, len(counts), starts_deg)
        file.create_dataset(
            _data_name(geometry),
            data=counts,
            chunks=(1, *counts.shape[1:]),
            track_times=False,
            **bitshuffle(),
        )
        geom_views.write(file, _data_name(geometry), geometry.layout, valid.gap, valid.pixel_mask)
        geom_values.write(file, geometry, len(counts))
        return geom_values.note(path, geom_values.differing(file, geometry))


def write_nexus_master(
    path: Path | str,
    parts: Sequence[Path],
    geometry: ImageGeometry,
    valid: ValidCounts,
    starts_deg: Sequence[float] | None = None,
    images_per_part: Sequence[int] | None = None,
) -> None:
    """Write a master file that presents the images of other NXmx files, in their order, as one series.

    Parameters
    ----------
    parts : sequence of Path
        Files of :func:`write_nexus`; named relative to the new one. They need not exist yet.
    images_per_part : sequence of int, optional
        Default: one each.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    lengths = list(images_per_part) if images_per_part is not None else [1] * len(parts)
    total = sum(lengths)
    shape, data = geometry.layout.shape, _data_name(geometry)
    layout = h5py.VirtualLayout((total, *shape), dtype=np.int32)
    first = 0
    for part, length in zip(parts, lengths, strict=True):
        name = os.path.relpath(part, Path(path).parent)
        layout[first : first + length] = h5py.VirtualSource(name, data, (length, *shape), dtype=np.int32)
        first += length
    with new_hdf5(path) as file:
        _describe(file, geometry, valid, total, starts_deg)
        file.create_virtual_dataset(data, layout, fillvalue=0)
        geom_views.write(file, data, geometry.layout, valid.gap, valid.pixel_mask)
        geom_values.write(file, geometry, total)


def join_nexus(path: Path | str, parts: Sequence[Path], geometry: ImageGeometry) -> None:
    """Write the master of files of one image each; the detector is read from the first of them.

    Raises
    ------
    FileError
        The first file cannot be read, or the new one cannot be written.
    """
    try:
        with h5py.File(parts[0], "r") as file:
            detector = file["entry/instrument/detector"]
            valid = ValidCounts(
                saturation=int(detector["saturation_value"][()]),
                underload=int(detector["underload_value"][()]),
                pixel_mask=detector["pixel_mask"][()] if "pixel_mask" in detector else None,
            )
    except (OSError, KeyError) as error:
        raise FileError(f"cannot read {parts[0]}: {error}; remove it and run the series again") from error
    write_nexus_master(path, parts, geometry, valid)


def _data_name(geometry: ImageGeometry) -> str:
    """Name of the data set of counts."""
    taken = any(view.path == _DATA and not geom_views.is_whole(view, geometry.layout) for view in geometry.layout.views)
    return _OTHER_DATA if taken else _DATA


def _check_shape(shape: tuple[int, ...], geometry: ImageGeometry) -> None:
    wanted = geometry.layout.shape
    if len(shape) != 3 or shape[1:] != wanted or shape[0] < 1:
        raise TypeError(f"counts must be (n, {wanted[0]}, {wanted[1]}) for this detector, got {shape}")


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name, track_order=True)
    group.attrs["NX_class"] = kind
    return group


def _put(group: h5py.Group, name: str, value: Any, units: str = "", **attributes: Any) -> h5py.Dataset:
    data = group.create_dataset(name, data=value, track_times=False)
    if units:
        data.attrs["units"] = units
    for key, attribute in attributes.items():
        data.attrs[key] = attribute
    return data


def _describe(
    file: h5py.File, geometry: ImageGeometry, valid: ValidCounts, n_images: int, starts_deg: Sequence[float] | None
) -> None:
    """Write all groups except the data set of counts."""
    file.attrs["NX_class"], file.attrs["default"] = "NXroot", "entry"
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "data"
    _put(entry, "definition", "NXmx", version="1.0")
    _group(entry, "data", "NXdata").attrs["signal"] = _data_name(geometry).rsplit("/", 1)[-1]
    _put(_group(entry, "source", "NXsource"), "name", "nbnumba simulation", short_name="nbnumba")
    _describe_sample(entry, geometry, n_images, starts_deg)
    instrument = _group(entry, "instrument", "NXinstrument")
    _put(instrument, "name", "nbnumba simulation", short_name="nbnumba")
    beam = _group(instrument, "beam", "NXbeam")
    _put(beam, "incident_wavelength", geometry.wavelength_A, "angstrom")
    if geometry.flux > 0:
        _put(beam, "total_flux", geometry.flux, "Hz")
    _describe_detector(instrument, geometry, valid)


def _describe_sample(
    entry: h5py.Group, geometry: ImageGeometry, n_images: int, starts_deg: Sequence[float] | None
) -> None:
    if starts_deg is None:
        starts = geometry.phi_deg + geometry.osc_deg * np.arange(n_images)
    else:
        starts = np.asarray(starts_deg, dtype=float)
        if starts.shape != (n_images,):
            raise TypeError(f"{n_images} images need as many start angles, got {len(starts)}")
    sample = _group(entry, "sample", "NXsample")
    _put(sample, "name", "simulated crystal")
    _put(sample, "depends_on", "/entry/sample/transformations/omega")
    axes = _group(sample, "transformations", "NXtransformations")
    vector = MCSTAS @ geometry.spindle
    _put(axes, "omega", starts, "deg", transformation_type="rotation", vector=vector, depends_on=".")
    _put(axes, "omega_end", starts + geometry.osc_deg, "deg")
    _put(axes, "omega_increment_set", geometry.osc_deg, "deg")


def _describe_detector(instrument: h5py.Group, geometry: ImageGeometry, valid: ValidCounts) -> None:
    panel = geometry.panel
    detector = _group(instrument, "detector", "NXdetector")
    _put(detector, "description", "nbnumba simulation")
    _put(detector, "type", "Pixel")
    _put(detector, "sensor_material", "Si")
    _put(detector, "sensor_thickness", (geometry.thickness_mm or NO_SENSOR_MM) * 1e-3, "m")
    _put(detector, "saturation_value", valid.saturation)
    _put(detector, "underload_value", valid.underload)
    _put(detector, "bit_depth_readout", 32)
    for name in ("count_time", "frame_time"):
        _put(detector, name, geometry.exposure_s, "s")
    _put(detector, "distance", geometry.distance_mm * 1e-3, "m")
    _put(detector, "beam_center_x", geometry.beam_fast_mm / panel.pixel_mm, "pixel")
    _put(detector, "beam_center_y", geometry.beam_slow_mm / panel.slow_mm, "pixel")
    for name, size in (("x_pixel_size", panel.pixel_mm), ("y_pixel_size", panel.slow_mm)):
        _put(detector, name, size * 1e-3, "m")
    _put(detector, "depends_on", "/entry/instrument/detector/transformations/distance")
    axes = _group(detector, "transformations", "NXtransformations")
    along = {"transformation_type": "translation", "vector": np.array([0.0, 0.0, 1.0]), "depends_on": "."}
    _put(axes, "distance", np.array([geometry.distance_mm]), "mm", **along)
    if valid.pixel_mask is not None:
        if valid.pixel_mask.shape != geometry.layout.shape:
            raise TypeError(f"the pixel mask must be {geometry.layout.shape}, got {valid.pixel_mask.shape}")
        mask = valid.pixel_mask.astype(np.uint32)
        detector.create_dataset("pixel_mask", data=mask, chunks=mask.shape, track_times=False, **bitshuffle())
        _put(detector, "pixel_mask_applied", 0)
    digits = len(str(len(geometry.panels) - 1))  # readers take modules in the order of their names
    for number, each in enumerate(geometry.panels):
        name = "module" if len(geometry.panels) == 1 else f"module_{number:0{digits}d}"
        _describe_module(detector, name, each, geometry.distance_mm, geometry.layout.corners[number])


def _describe_module(
    detector: h5py.Group, name: str, panel: PanelGeometry, distance_mm: float, corner: tuple[int, int]
) -> None:
    module = _group(detector, name, "NXdetector_module")
    _put(module, "data_origin", np.array(corner))
    _put(module, "data_size", np.array([panel.spixels, panel.fpixels]))
    _put(module, "data_stride", np.array([1, 1]))
    rest = MCSTAS @ panel.origin_mm - [0, 0, distance_mm]
    length = float(np.linalg.norm(rest))
    offset = {"vector": rest / length if length > 0 else np.array([1.0, 0.0, 0.0])}
    common = {"transformation_type": "translation", "offset": np.zeros(3), "offset_units": "mm"}
    _put(
        module,
        "module_offset",
        np.array([length]),
        "mm",
        **offset,
        **common,
        depends_on="/entry/instrument/detector/transformations/distance",
    )
    sides = (("fast_pixel_direction", panel.fast, panel.pixel_mm), ("slow_pixel_direction", panel.slow, panel.slow_mm))
    for key, axis, size in sides:
        where = f"/entry/instrument/detector/{name}/module_offset"
        _put(module, key, np.array([size]), "mm", vector=MCSTAS @ axis, **common, depends_on=where)
