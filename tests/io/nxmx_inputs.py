"""NXmx files as nexgen and others write them, and master files of DECTRIS' filewriter, for tests."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

DETECTOR = "/entry/instrument/detector"


class Maker:
    """A file that is written step by step, with strings of fixed or of variable length."""

    def __init__(self, path: Path, fixed: bool = False) -> None:
        self.path, self.fixed = path, fixed
        self.file = h5py.File(path, "w")

    def text(self, value: str):
        return np.bytes_(value) if self.fixed else value

    def group(self, name: str, kind: str):
        made = self.file.require_group(name)
        made.attrs["NX_class"] = self.text(kind)
        return made

    def put(self, name: str, value, units: str = "", **attributes) -> None:
        self.file[name] = self.text(value) if isinstance(value, str) else value
        if units:
            attributes["units"] = units
        for key, given in attributes.items():
            self.file[name].attrs[key] = self.text(given) if isinstance(given, str) else given

    def step(self, name: str, value, units: str, kind: str, vector, depends_on: str, **more) -> None:
        more |= {"transformation_type": kind, "vector": np.array(vector, float), "depends_on": depends_on}
        self.put(name, value, units, **more)

    def close(self) -> Path:
        self.file.close()
        return self.path


def one_module(
    path: Path, *, offset=(1.0, (30.0, -20.0, 0.5)), fast=(7.5e-5, (-1, 0, 0)), fixed=False, size=(500, 700)
):
    """A detector 200 mm away; its module is moved by a value times a vector, in mm."""
    made = Maker(path, fixed)
    made.group("entry", "NXentry")
    made.put("entry/definition", "NXmx")
    made.group("entry/instrument", "NXinstrument")
    made.group("entry/instrument/beam", "NXbeam")
    made.put("entry/instrument/beam/incident_wavelength", 0.98, "angstrom")
    made.group(DETECTOR, "NXdetector")
    made.group(f"{DETECTOR}/transformations", "NXtransformations")
    made.step(f"{DETECTOR}/transformations/det_z", [200.0], "mm", "translation", (0, 0, 1), ".")
    made.group(f"{DETECTOR}/module", "NXdetector_module")
    made.put(f"{DETECTOR}/module/data_origin", [0, 0])
    made.put(f"{DETECTOR}/module/data_size", list(size))
    above = f"{DETECTOR}/transformations/det_z"
    made.step(f"{DETECTOR}/module/module_offset", offset[0], "mm", "translation", offset[1], above)
    where = f"{DETECTOR}/module/module_offset"
    made.step(f"{DETECTOR}/module/fast_pixel_direction", fast[0], "m", "translation", fast[1], where)
    made.step(f"{DETECTOR}/module/slow_pixel_direction", 7.5e-5, "m", "translation", (0, -1, 0), where)
    made.group("entry/sample", "NXsample")
    made.put("entry/sample/depends_on", ".")
    return made


def filewriter(path: Path, fixed: bool = False, **changes) -> Maker:
    """A master file of DECTRIS' filewriter for an EIGER of 1030 x 1065 pixels; a change to None leaves a number out."""
    made = Maker(path, fixed)
    made.group("entry", "NXentry")
    made.group("entry/instrument", "NXinstrument")
    made.group("entry/instrument/beam", "NXbeam")
    made.put("entry/instrument/beam/incident_wavelength", 0.98, "angstrom")
    made.group(DETECTOR, "NXdetector")
    numbers = {
        "beam_center_x": (515.0, "pixel"),
        "beam_center_y": (532.0, "pixel"),
        "detector_distance": (0.1, "m"),
        "x_pixel_size": (7.5e-5, "m"),
        "y_pixel_size": (7.5e-5, "m"),
    }
    for name, given in (numbers | changes).items():
        if given is not None:
            made.put(f"{DETECTOR}/{name}", *given)
    made.group(f"{DETECTOR}/detectorSpecific", "NXcollection")
    made.put(f"{DETECTOR}/detectorSpecific/x_pixels_in_detector", 1030)
    made.put(f"{DETECTOR}/detectorSpecific/y_pixels_in_detector", 1065)
    made.group("entry/sample", "NXsample")
    made.group("entry/sample/goniometer", "NXtransformations")
    made.put("entry/sample/goniometer/omega", 20 + 0.1 * np.arange(4), "degree")
    made.group("entry/data", "NXdata")
    made.file["entry/data/data_000001"] = h5py.ExternalLink("gone_data_000001.h5", "/entry/data/data")
    return made


def eiger(
    folder: Path,
    images: np.ndarray,
    per_file: int,
    mask: np.ndarray | None = None,
    *,
    nx_class: bool = True,
    **attributes,
) -> Path:
    """A master file whose images (n, slow, fast) are behind external links, so many in each file, packed as EIGER's are.

    ``attributes``: of the group of the links.
    """
    import hdf5plugin

    made = filewriter(folder / "shot_master.h5", fixed=True)
    group = made.file["entry/data"]
    del group["data_000001"]
    if not nx_class:
        for name in ("entry", "entry/data", "entry/instrument", DETECTOR):
            del made.file[name].attrs["NX_class"]
    for number, first in enumerate(range(0, len(images), per_file), 1):
        name = f"shot_data_{number:06d}.h5"
        with h5py.File(folder / name, "w") as part:
            chunk = (1, *images.shape[1:])
            packed = hdf5plugin.Bitshuffle(cname="lz4") if per_file > 1 else hdf5plugin.LZ4()
            part.create_dataset("entry/data/data", data=images[first : first + per_file], chunks=chunk, **packed)
        group[f"data_{number:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
    for key, value in attributes.items():
        group.attrs[key] = value
    if mask is not None:
        made.put(f"{DETECTOR}/detectorSpecific/pixel_mask", mask)
    return made.close()
