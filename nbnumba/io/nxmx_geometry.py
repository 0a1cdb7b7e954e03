"""Geometry of NXmx files, in the frame of McStas: beam along z, y up.

Positions are chains of transformations, each in the frame of the one it depends on: a translation by ``value * vector``,
whatever the vector's length, or a right-handed rotation about ``vector``, then ``offset``. Master files of DECTRIS'
filewriter without modules are read by :mod:`nbnumba.io.filewriter`.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io import nxmx_beam
from nbnumba.io.files import cause
from nbnumba.io.geometry import LARGEST, FileGeometry, make_panel, pixel_sizes, rotation, vector
from nbnumba.io.unused import unused_note
from nbnumba.model.config import Panel, Vector

#: Most images of a scan, or wavelengths of a spectrum, that a file may list.
MOST_VALUES = 1_000_000
#: Endings of names that belong to an axis.
_NO_AXES = ("_end", "_increment_set", "_set", "_range_average", "_range_total", "_increment", "_start")
#: Cosine of the angle below which two axes differ.
_PARALLEL = 0.99
LENGTHS = {"m": 1000.0, "mm": 1.0, "cm": 10.0, "um": 1e-3, "micron": 1e-3, "nm": 1e-6}
ANGLES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180 / np.pi, "radian": 180 / np.pi, "radians": 180 / np.pi}
_NAMES = {
    **{"metre": "m", "metres": "m", "meter": "m", "meters": "m", "millimetre": "mm", "millimeter": "mm"},
    **{"millimetres": "mm", "millimeters": "mm", "micrometre": "um", "micrometer": "um", "microns": "um", "µm": "um"},
    **{"centimetre": "cm", "centimeter": "cm", "°": "deg"},
}


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
            return Nexus(Path(path), file).read(image)
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


class Nexus:
    """An open NXmx file; ``notes`` are about what was chosen or left out."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file = path, file
        self.what = f"the NXmx file {path}"
        self.notes: list[str] = []
        self.used: set[Any] = set()

    def read(self, image: int | None) -> FileGeometry:
        entry = self.one(self.file, "NXentry")
        instrument = self.one(entry, "NXinstrument")
        index = 0 if image is None else image - 1
        wavelength = nxmx_beam.wavelength(self, entry, instrument, index)
        detectors = self.all(instrument, "NXdetector")
        panels: list[Panel] = []
        for detector in detectors:
            modules = self.all(detector, "NXdetector_module")
            shape = self.data_shape(entry, detector)
            panels += [self.panel(module, detector, shape, index) for module in modules]
        samples = self.all(entry, "NXsample")
        spindle, phi, osc, count = (None, None, None, None)
        known = None
        if detectors:
            from nbnumba.io import filewriter

            known = filewriter.known_spindle(self, detectors[0], has_axes=bool(panels))
            if not panels:
                panels = [filewriter.panel(self, entry, detectors[0])]
                spindle, phi, osc, count = filewriter.scan(self, samples, detectors[0], index)
        if count is None and samples and self.has(samples[0], "depends_on"):
            spindle, phi, osc, count = self.scan(samples[0], index, known)
        if self.used:  # else the file has no axes
            unused = [thing for group in (*detectors, *samples) for thing in self.unused_angles(group)]
            self.notes.extend(unused_note(self.what.removeprefix("the "), unused))
        if not panels:
            raise FileError(f"{self.what} has no detector")
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
                *self.notes,
            ),
        )

    @staticmethod
    def has(group: Any, name: str) -> bool:
        """Whether a group has a member; a link to nothing is none."""
        try:
            return group.get(name) is not None
        except (OSError, LookupError, ValueError, RuntimeError):
            return False

    @staticmethod
    def text(value: Any) -> str:
        """A string of an HDF5 file, of fixed or variable length."""
        if hasattr(value, "shape") and not isinstance(value, bytes | str):
            value = value[()]
            value = np.ravel(value)[0] if isinstance(value, np.ndarray) and value.size else value
        return value.decode("utf-8", "replace").rstrip("\0 ") if isinstance(value, bytes) else str(value)

    def unit(self, data: Any, units: dict[str, float], default: str, key: str = "units") -> float:
        """The unit of a data set in mm or degrees."""
        name = self.text(data.attrs.get(key, default)).strip()
        factor = units.get(_NAMES.get(name.lower(), name), units.get(name.lower()))
        if factor is None:
            raise FileError(f"{self.what}: the unit of {data.name} must be one of {', '.join(units)}, got {name!r}")
        return factor

    def data_shape(self, entry: Any, detector: Any) -> tuple[int, int] | None:
        """Rows and columns of the images of a detector; None where they are not at hand."""
        places = [(detector, "data")]
        places += [(group, name) for group in self.all(entry, "NXdata") for name in ("data", "data_000001")]
        for group, name in places:
            shape = getattr(group.get(name), "shape", None) if self.has(group, name) else None
            if shape is not None and len(shape) >= 2:
                return int(shape[-2]), int(shape[-1])
        return None

    def numbers(self, data: Any) -> np.ndarray:
        """Values of a data set, (n,), at least one."""
        if not hasattr(data, "size") or data.size is None:
            raise FileError(f"{self.what}: {data.name} holds no numbers")
        if not 1 <= data.size <= MOST_VALUES:
            raise FileError(f"{self.what}: {data.name} must hold 1 to {MOST_VALUES} numbers, it claims {data.size}")
        values = np.ravel(data[()]).astype(float)
        if not (np.abs(values) < LARGEST).all():
            raise FileError(f"{self.what}: {data.name} holds a number that is out of range")
        return values

    def all(self, group: Any, kind: str) -> list[Any]:
        """Groups of a class, in the order of their names; those without a class by their usual name."""
        links = [name for name in group if self.has(group, name)]
        found = [(name, group[name]) for name in links if group.get(name, getclass=True) is type(self.file["/"])]
        return [item for name, item in found if self.text(item.attrs.get("NX_class", f"NX{name}")) == kind]

    def one(self, group: Any, kind: str) -> Any:
        found = self.all(group, kind)
        if not found:
            raise FileError(f"{self.what} has no {kind} in {group.name}")
        return found[0]

    def chain(self, start: str, group: Any) -> list[_Step]:
        """Transformations from the one named ``start`` outwards."""
        steps: list[_Step] = []
        while start not in (".", ""):
            place = posixpath.normpath(posixpath.join(group.name, start))
            if not self.has(self.file, place):  # a path from the root that lacks its slash
                place = f"/{start}" if self.has(self.file, f"/{start.lstrip('/')}") else place
            if not self.has(self.file, place) or len(steps) > 100:
                raise FileError(f"{self.what}: {place}, which a position depends on, is missing or depends on itself")
            data = self.file[place]
            self.used.add(data)
            steps.append(self.step(place, data))
            start, group = self.text(data.attrs.get("depends_on", ".")), data.parent
        return steps

    def unused_angles(self, group: Any) -> list[str]:
        """Angles other than 0 among the transformations of a detector or sample that no position depends on."""
        found = []
        for axes in self.all(group, "NXtransformations"):
            for name in axes:
                data: Any = axes.get(name) if self.has(axes, name) else None
                is_number = hasattr(data, "dtype") and data.dtype.kind in "iuf" and 1 <= (data.size or 0) <= MOST_VALUES
                if not is_number or data in self.used:
                    continue
                unit = self.text(data.attrs.get("units", "")).strip().lower()
                if unit not in ANGLES or name.endswith(_NO_AXES) or not (values := np.ravel(data[()])).any():
                    continue
                scanned = f" to {values[-1]:g}" if len(values) > 1 and np.ptp(values) > 0 else ""
                found.append(f"{name} {values[0]:g}{scanned} {unit}")
        return found

    def step(self, place: str, data: Any) -> _Step:
        rotates = self.text(data.attrs.get("transformation_type", "translation")) == "rotation"
        unit = self.unit(data, ANGLES if rotates else LENGTHS, "deg" if rotates else "mm")
        if "vector" not in data.attrs:
            raise FileError(f"{self.what}: {place} has no vector")
        axis = np.array(data.attrs["vector"], dtype=float).ravel()
        if len(axis) != 3 or not (np.abs(axis) < LARGEST).all() or (rotates and not axis.any()):
            raise FileError(f"{self.what}: the vector of {place} has no length")
        offset = np.array(data.attrs.get("offset", (0, 0, 0)), dtype=float)
        moved = self.unit(data, LENGTHS, "mm" if rotates else self.text(data.attrs.get("units", "mm")), "offset_units")
        if rotates:
            axis = axis / np.linalg.norm(axis)
        return _Step(place, rotates, self.numbers(data) * unit, axis, offset * moved, unit)

    def panel(self, module: Any, detector: Any, shape: tuple[int, int] | None, index: int) -> Panel:
        """A module of a detector; ``shape``: of the images."""
        where = f"{self.what}: {module.name}"
        axes, sizes, starts, offsets = [], [], [], []
        for name in ("fast_pixel_direction", "slow_pixel_direction"):
            if not self.has(module, name):
                raise FileError(f"{where} has no {name}")
            data = module[name]
            starts.append(self.depends_on(data, module, detector))
            own = self.step(data.name, data)
            size = float(own.values[0]) * float(np.linalg.norm(own.axis))
            if size == 0:
                raise FileError(f"{self.what}: the vector of {data.name} has no length, or its value is 0")
            sizes.append(abs(size))
            axis = own.axis * np.sign(own.values[0]) / np.linalg.norm(own.axis)
            for step in self.chain(starts[-1], module):
                axis = step.at(_of(step, index), axis, direction=True)
            axes.append(axis)
            offsets.append(own.offset)
        origin = offsets[0] if offsets[0].any() else offsets[1]
        start = f"{module.name}/module_offset" if self.has(module, "module_offset") else starts[0]
        for step in self.chain(start, module):
            origin = step.at(_of(step, index), origin)
        sole = len(self.all(detector, "NXdetector_module")) == 1
        if sole and not origin[:2].any():
            origin = self.beam_center(detector, origin, axes, sizes)
        (slow, fast), (spixels, fpixels) = self.place(module, shape, sole)
        return make_panel(
            where,
            pix0_mm=vector(origin),
            fast_axis=vector(axes[0]),
            slow_axis=vector(axes[1]),
            fpixels=fpixels,
            spixels=spixels,
            **pixel_sizes(*sizes),
            name=module.name.rsplit("/", 1)[-1],
            offset=(fast, slow),
        )

    def beam_center(self, detector: Any, origin: np.ndarray, axes: list[np.ndarray], sizes: list[float]) -> np.ndarray:
        """The corner of a module that stands on the beam: old filewriters leave its place to the beam centre."""
        names = [f"beam_center_{axis}" for axis in "xy"]
        if not all(self.has(detector, name) for name in names):
            return origin
        center = [float(self.numbers(detector[name])[0]) for name in names]
        if not all(center):
            return origin
        self.notes.append(
            f"{self.what} puts the corner of its detector on the beam: the beam centre of {center[0]:g} {center[1]:g} pixels "
            "is taken"
        )
        return origin - center[0] * sizes[0] * axes[0] - center[1] * sizes[1] * axes[1]

    def depends_on(self, data: Any, module: Any, detector: Any) -> str:
        """What a pixel direction depends on: its own attribute, else the module's offset, else the detector's."""
        if "depends_on" in data.attrs:
            start = self.text(data.attrs["depends_on"])
            if start not in (".", "") or not self.has(module, "module_offset"):
                return start
        if self.has(module, "module_offset"):
            return f"{module.name}/module_offset"
        if not self.has(detector, "depends_on"):
            return "."
        start = self.text(detector["depends_on"])
        return start if start == "." or start.startswith("/") else f"{detector.name}/{start}"

    def place(self, module: Any, shape: tuple[int, int] | None, sole: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        """Origin and size of a module in its images, rows before columns.

        Several modules need not share the images whose shape is known.
        """
        if not self.has(module, "data_size"):
            if shape is None:
                raise FileError(f"{self.what}: {module.name} has no data_size")
            return (0, 0), shape
        size = [int(v) for v in self.numbers(module["data_size"])[-2:]]
        origin = [0, 0]
        if self.has(module, "data_origin"):
            origin = [int(v) for v in self.numbers(module["data_origin"])[-2:]]
        if len(size) != 2 or len(origin) != 2:
            raise FileError(f"{self.what}: {module.name} needs a data_size and a data_origin of two numbers")

        def fits(order: int) -> bool:
            return shape is None or all(
                o + n <= m for o, n, m in zip(origin[::order], size[::order], shape, strict=True)
            )

        if not fits(1):
            assert shape is not None
            if not fits(-1) and not sole:
                return (origin[0], origin[1]), (size[0], size[1])
            if not fits(-1):
                raise FileError(
                    f"{self.what}: {module.name} has {size[0]} rows and {size[1]} columns, more than its images of "
                    f"{shape[0]} x {shape[1]}"
                )
            self.notes.append(
                f"{self.what}: data_size of {module.name} lists columns before rows, as its images of {shape[0]} x "
                f"{shape[1]} show; it is taken so"
            )
            size, origin = size[::-1], origin[::-1]
        return (origin[0], origin[1]), (size[0], size[1])

    def scan(
        self, sample: Any, index: int, known: Vector | None = None
    ) -> tuple[Any, float | None, float | None, int | None]:
        """Spindle in the laboratory, angle and width of the image, number of images; ``known``: axis of the beamline."""
        steps = self.chain(self.text(sample["depends_on"]), sample)
        rotations = [step for step in steps if step.rotates]
        turning = [step for step in rotations if len(step.values) > 1 and np.ptp(step.values) > 0]
        named = [step for step in rotations if self.has(self.file, f"{step.place}_end")]
        scanned = (turning or named or rotations)[:1]
        if not scanned:
            return None, None, None, None
        (scan,) = scanned
        axis = scan.axis
        for step in steps[steps.index(scan) + 1 :]:
            axis = step.at(_of(step, index), axis, direction=True)
        if known is not None and np.dot(axis, known) < _PARALLEL:
            self.notes.append(
                f"{self.what}: its detector is one of a beamline whose spindle is ({' '.join(f'{x:g}' for x in known)}), not "
                f"({' '.join(f'{x:.4g}' for x in axis)}), which it gives: the former is taken"
            )
            axis = np.array(known)
        start = _of(scan, index)
        width = 0.0
        if self.has(self.file, f"{scan.place}_end"):
            ends = self.numbers(self.file[f"{scan.place}_end"])
            width = float(ends[min(index, len(ends) - 1)]) * scan.unit - start
        elif len(scan.values) > 1:
            width = float(scan.values[1] - scan.values[0])
        sense = -1.0 if width < 0 else 1.0
        return vector(sense * axis), sense * start, abs(width) or None, len(scan.values)


def _of(step: _Step, index: int) -> float:
    """Value for an image; the last value where there are fewer values than images."""
    return float(step.values[min(max(index, 0), len(step.values) - 1)])
