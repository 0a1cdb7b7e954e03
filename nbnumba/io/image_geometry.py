"""Geometry from the headers of CBF and NXmx images (that of SMV images is read by ``-img``).

miniCBF: the frame of dxtbx, beam along -z, fast along x, slow along -y, spindle along x; the header has no tilt.
NXmx: McStas' frame, beam along z and y up. Positions are chains of transformations, each in the frame of the one it
depends on: a translation by ``value * vector``, or a right-handed rotation about ``vector``, then ``offset``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.files import cause, read_bytes
from nbnumba.io.geometry import LARGEST, FileGeometry, make_panel, rotation, square_pixel, vector
from nbnumba.io.matrix import NUMBER
from nbnumba.model.config import Panel

#: Most images of a scan, or wavelengths of a spectrum, that a file may list.
MOST_VALUES = 1_000_000
_BINARY = b"\x0c\x1a\x04\xd5"
_LENGTHS = {"m": 1000.0, "mm": 1.0, "cm": 10.0, "um": 1e-3, "micron": 1e-3}
_ANGLES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180 / np.pi, "radian": 180 / np.pi}


def read_cbf_geometry(path: Path | str, image: int | None = None) -> FileGeometry:
    """Geometry of a miniCBF image, as DECTRIS' and other detectors write it.

    Raises
    ------
    FileError
        The file cannot be read, its header is full imgCIF or lacks a number, or ``image`` is given.
    """
    what = f"the CBF image {path}"
    if image not in (None, 1):
        raise FileError(f"{what} holds one image: leave out --geometry-image")
    header = read_bytes(path, "CBF image").split(_BINARY)[0].decode("latin-1")
    if "_array_data.header_contents" not in header and "# Detector_distance" not in header:
        raise FileError(f"{what} has no miniCBF header ('# Detector_distance ...'), the only one that is read")

    def numbers(key: str, count: int, mark: str = r"#\s*") -> list[float]:
        line = re.search(rf"^{mark}{key}\b[ \t:=]*(.*)$", header, re.MULTILINE)
        if line is None:
            raise FileError(f"{what} has no {key} in its header")
        # units as in '172e-6 m x 172e-6 m' are separated from the numbers by blanks
        found = re.findall(NUMBER.pattern, line[1])
        if len(found) < count:
            raise FileError(f"{what}: {key} needs {count} numbers, got {line[1][:40]!r}")
        values = [float(word) for word in found[:count]]
        if not all(abs(value) < LARGEST for value in values):
            raise FileError(f"{what}: {key} is out of range: {line[1][:40]!r}")
        return values

    pixel = square_pixel(what, *(1000 * size for size in numbers("Pixel_size", 2)))
    distance, beam_xy = 1000 * numbers("Detector_distance", 1)[0], numbers("Beam_xy", 2)
    (wavelength,) = numbers("Wavelength", 1)
    if wavelength <= 0:
        raise FileError(f"{what}: Wavelength must be > 0, got {wavelength:g}")
    fpixels, spixels = (int(numbers(f"X-Binary-Size-{axis}-Dimension", 1, "")[0]) for axis in ("Fastest", "Second"))
    polarized = numbers("Polarization", 1)[0] if re.search(r"^#\s*Polarization\b", header, re.MULTILINE) else None
    notes = ["its sensor is left out: give -detector_thick and -detector_abs"] if "sensor, thickness" in header else []
    panel = make_panel(
        what,
        pix0_mm=(-beam_xy[0] * pixel, beam_xy[1] * pixel, -distance),
        fast_axis=(1.0, 0.0, 0.0),
        slow_axis=(0.0, -1.0, 0.0),
        fpixels=fpixels,
        spixels=spixels,
        pixel_mm=pixel,
        offset=(0, 0),
    )
    start, width = numbers("Start_angle", 1)[0], numbers("Angle_increment", 1)[0]
    return FileGeometry(
        path=Path(path),
        format="cbf",
        beam=(0.0, 0.0, -1.0),
        wavelength_A=wavelength,
        polar=(1.0, 0.0, 0.0),
        kahn_factor=None if polarized is None or not 0 <= polarized <= 1 else 2 * polarized - 1,
        spindle=(1.0, 0.0, 0.0) if width >= 0 else (-1.0, 0.0, 0.0),
        panels=(panel,),
        phi_deg=start if width >= 0 else -start,
        osc_deg=abs(width) or None,
        notes=tuple(f"{what}: {note}" for note in notes),
    )


def read_nxmx_geometry(path: Path | str, image: int | None = None) -> FileGeometry:
    """Geometry of an NXmx master file.

    Parameters
    ----------
    image : int, optional
        Number of the image, from 1; by default the first.

    Raises
    ------
    FileError
        The file cannot be read, or is no NXmx file with a beam and a detector.
    """
    try:
        import h5py
    except ImportError as error:
        raise FileError(f"reading {path} needs h5py: pip install h5py") from error
    try:
        with h5py.File(path, "r") as file:
            return _Nexus(Path(path), file).read(image)
    except FileError:
        raise
    # h5py raises another class for each kind of damage
    except (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, ArithmeticError) as error:
        reason = cause(error) if isinstance(error, OSError) else str(error)
        reason = next(iter(reason.splitlines()), "") or type(error).__name__
        raise FileError(f"the NXmx file {path} cannot be read: {reason}") from error


@dataclass(frozen=True)
class _Step:
    """One transformation: ``values`` of all images, in mm or degrees; ``unit``: the file's unit in mm or degrees."""

    place: str
    rotates: bool
    values: np.ndarray
    axis: np.ndarray
    offset: np.ndarray
    unit: float

    def at(self, value: float, point: np.ndarray, *, direction: bool = False) -> np.ndarray:
        """A point, or a direction, transformed to the frame that this transformation depends on."""
        if self.rotates:
            point = rotation(self.axis, value) @ point
        elif not direction:
            point = point + value * self.axis
        return point if direction else point + self.offset


class _Nexus:
    """An open NXmx file."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file = path, file
        self.what = f"the NXmx file {path}"

    def read(self, image: int | None) -> FileGeometry:
        entry = self.one(self.file, "NXentry")
        instrument = self.one(entry, "NXinstrument")
        beams = self.all(instrument, "NXbeam") + [
            beam for sample in self.all(entry, "NXsample") for beam in self.all(sample, "NXbeam")
        ]
        if not beams or "incident_wavelength" not in beams[0]:
            raise FileError(f"{self.what} has no incident_wavelength")
        wavelengths = self.numbers(beams[0]["incident_wavelength"])
        unit = self.text(beams[0]["incident_wavelength"].attrs.get("units", "angstrom")).lower()
        wavelength = float(wavelengths[0]) * (10 if unit in ("nm", "nanometer") else 1e10 if unit == "m" else 1)
        index = 0 if image is None else image - 1
        panels: list[Panel] = []
        for detector in self.all(instrument, "NXdetector"):
            panels += [self.panel(module, index) for module in self.all(detector, "NXdetector_module")]
        if not panels:
            raise FileError(f"{self.what} has no detector module")
        spindle = phi = osc = count = None
        samples = self.all(entry, "NXsample")
        if samples and "depends_on" in samples[0]:
            spindle, phi, osc, count = self.scan(samples[0], index)
        if count is not None and not 0 <= index < count:
            raise FileError(f"{self.what} holds {count} images: there is no image {image}")
        return FileGeometry(
            path=self.path,
            format="nxmx",
            beam=(0.0, 0.0, 1.0),
            wavelength_A=wavelength,
            polar=(1.0, 0.0, 0.0),
            spindle=spindle,
            panels=tuple(panels),
            phi_deg=phi,
            osc_deg=osc,
            images=None if count is None else (1, count),
            notes=(
                f"{self.what}: its sensor is left out; give -detector_thick and -detector_abs for one",
                *([f"{self.what} has a spectrum: its first wavelength is taken"] if len(set(wavelengths)) > 1 else []),
            ),
        )

    @staticmethod
    def text(value: Any) -> str:
        """A string of an HDF5 file."""
        value = value[()] if hasattr(value, "shape") and value.shape == () else value
        value = np.ravel(value)[0] if isinstance(value, np.ndarray) else value
        return value.decode() if isinstance(value, bytes) else str(value)

    def numbers(self, data: Any) -> np.ndarray:
        """Values of a data set, (n,), at least one."""
        if data.size is None or not 1 <= data.size <= MOST_VALUES:
            raise FileError(f"{self.what}: {data.name} must hold 1 to {MOST_VALUES} numbers, it claims {data.size}")
        values = np.ravel(data[()]).astype(float)
        if not (np.abs(values) < LARGEST).all():
            raise FileError(f"{self.what}: {data.name} holds a number that is out of range")
        return values

    def all(self, group: Any, kind: str) -> list[Any]:
        """Groups of a class, in the order of their names."""
        found = [group[name] for name in group if group.get(name, getclass=True) is type(self.file["/"])]
        return [item for item in found if self.text(item.attrs.get("NX_class", "")) == kind]

    def one(self, group: Any, kind: str) -> Any:
        found = self.all(group, kind)
        if not found:
            raise FileError(f"{self.what} has no {kind} in {group.name}")
        return found[0]

    def chain(self, start: str, group: Any) -> list[_Step]:
        """Transformations from the one named ``start`` outwards."""
        steps: list[_Step] = []
        while start != ".":
            place = start if start.startswith("/") else f"{group.name.rstrip('/')}/{start}"
            if place not in self.file or len(steps) > 100:
                raise FileError(f"{self.what}: {place}, which a position depends on, is missing or depends on itself")
            data = self.file[place]
            steps.append(self.step(place, data))
            start, group = self.text(data.attrs.get("depends_on", ".")), data.parent
        return steps

    def step(self, place: str, data: Any) -> _Step:
        rotates = self.text(data.attrs.get("transformation_type", "translation")) == "rotation"
        units = _ANGLES if rotates else _LENGTHS
        unit = self.text(data.attrs.get("units", "deg" if rotates else "mm"))
        if unit not in units:
            raise FileError(f"{self.what}: the unit of {place} must be one of {', '.join(units)}, got {unit!r}")
        axis = np.array(data.attrs["vector"], dtype=float)
        if np.linalg.norm(axis) == 0:
            raise FileError(f"{self.what}: the vector of {place} has no length")
        offset = np.array(data.attrs.get("offset", (0, 0, 0)), dtype=float)
        offset_unit = self.text(data.attrs.get("offset_units", "mm" if rotates else unit))
        values = self.numbers(data) * units[unit]
        return _Step(
            place, rotates, values, axis / np.linalg.norm(axis), offset * _LENGTHS.get(offset_unit, 1.0), units[unit]
        )

    def panel(self, module: Any, index: int) -> Panel:
        where = f"{self.what}: {module.name}"
        axes, sizes, starts = [], [], []
        for name in ("fast_pixel_direction", "slow_pixel_direction"):
            if name not in module:
                raise FileError(f"{where} has no {name}")
            data = module[name]
            starts.append(self.text(data.attrs.get("depends_on", ".")))
            own = self.step(data.name, data)
            sizes.append(float(own.values[0]))
            axis = own.axis
            for step in self.chain(starts[-1], module):
                axis = step.at(_of(step, index), axis, direction=True)
            axes.append(axis)
        origin = np.zeros(3)
        start = f"{module.name}/module_offset" if "module_offset" in module else starts[0]
        for step in self.chain(start, module):
            origin = step.at(_of(step, index), origin)
        slow, fast = (int(v) for v in self.numbers(module["data_origin"])[-2:])
        spixels, fpixels = (int(v) for v in self.numbers(module["data_size"])[-2:])
        return make_panel(
            where,
            pix0_mm=vector(origin),
            fast_axis=vector(axes[0]),
            slow_axis=vector(axes[1]),
            fpixels=fpixels,
            spixels=spixels,
            pixel_mm=square_pixel(where, *sizes),
            name=module.name.rsplit("/", 1)[-1],
            offset=(fast, slow),
        )

    def scan(self, sample: Any, index: int) -> tuple[Any, float | None, float | None, int | None]:
        """Spindle in the laboratory, angle and width of the image, number of images."""
        steps = self.chain(self.text(sample["depends_on"]), sample)
        rotations = [step for step in steps if step.rotates]
        turning = [step for step in rotations if len(step.values) > 1 and np.ptp(step.values) > 0]
        named = [step for step in rotations if f"{step.place}_end" in self.file]
        scanned = (turning or named or rotations)[:1]
        if not scanned:
            return None, None, None, None
        (scan,) = scanned
        axis = scan.axis
        for step in steps[steps.index(scan) + 1 :]:
            axis = step.at(_of(step, index), axis, direction=True)
        start = _of(scan, index)
        width = 0.0
        if f"{scan.place}_end" in self.file:
            ends = self.numbers(self.file[f"{scan.place}_end"])
            width = float(ends[min(index, len(ends) - 1)]) * scan.unit - start
        elif len(scan.values) > 1:
            width = float(scan.values[1] - scan.values[0])
        sense = -1.0 if width < 0 else 1.0
        return vector(sense * axis), sense * start, abs(width) or None, len(scan.values)


def _of(step: _Step, index: int) -> float:
    """Value for an image; the last value where there are fewer values than images."""
    return float(step.values[min(max(index, 0), len(step.values) - 1)])
