"""Master files of DECTRIS' filewriter, which have the numbers of NXmx but no modules and no axes.

The detector has the orientation that the file gives (``geometry/orientation``, in a frame whose z is opposite to that of
McStas), else it is upright and perpendicular to the beam, seen from the crystal: fast along -x, slow along -y of McStas'
frame. The crystal turns about -x, as at most beamlines; those where it does not are known by the detector's number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.geometry import make_panel, pixel_sizes, vector
from nbnumba.io.nxmx_geometry import ANGLES, LENGTHS, Nexus
from nbnumba.io.unused import unused_note
from nbnumba.model.config import Panel, Vector

_HINT = "a .expt that dials.import makes of it has all of its geometry"
#: Axes, in McStas' frame, at beamlines where the crystal does not turn about -x: at MAX IV BioMAX and ESRF ID23-2 it turns
#: about the vertical, at SPring-8 (BL32XU, BL41XU, BL44XU) in the other sense. By the serial numbers of their detectors.
SPINDLES: dict[str, Vector] = {
    **dict.fromkeys(("E-32-0105", "E-18-0133"), (0.0, 1.0, 0.0)),
    **dict.fromkeys(("E-32-0114", "E-32-0112", "E-18-0103"), (1.0, 0.0, 0.0)),
}
#: Those whose files have modules, and an axis that is not theirs.
WRONG_AXES = ("E-18-0133",)
_SPINDLE: Vector = (-1.0, 0.0, 0.0)
_UPRIGHT = np.array([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
#: Difference of a component up to which two directions are one.
_SAME = 1e-5
#: Most images for which angles are made: a false number would fill the memory.
_MOST_IMAGES = 200_000
#: Angles of the sample: the axis that turns is the first that has a width.
_OMEGA, _PHI, _FIXED = "omega", "phi", ("chi", "kappa")


def panel(file: Nexus, entry: Any, detector: Any) -> Panel:
    """The detector of a file without modules.

    Raises
    ------
    FileError
        The file lacks a number for it.
    """
    sizes = [_length(file, detector, f"{axis}_pixel_size") for axis in "xy"]
    distance = _length(file, detector, "detector_distance" if file.has(detector, "detector_distance") else "distance")
    if distance <= 0 or min(sizes) <= 0:
        raise FileError(f"{file.what}: its detector_distance and pixel sizes must be > 0: {_HINT}")
    center = [_center(file, detector, axis, size) for axis, size in zip("xy", sizes, strict=True)]
    axes = _axes(file, detector)
    upright = axes is None or bool(np.abs(axes - _UPRIGHT).max() < _SAME)
    fast, slow = _UPRIGHT if axes is None or upright else axes
    corner = np.array([0.0, 0.0, distance]) - center[0] * fast - center[1] * slow
    corner = _moved(file, detector, corner, upright, max(sizes))
    fpixels, spixels = _size(file, entry, detector)
    lies = "an upright detector perpendicular to the beam" if upright else "the orientation that it gives"
    turns = " ".join(f"{x:g}" for x in _spindle(file, detector))
    file.notes.append(f"{file.what} has no detector module: {lies} and a spindle along ({turns}) are taken; {_HINT}")
    file.notes.extend(unused_note(file.what.removeprefix("the "), _turned(file, entry, detector, upright)))
    return make_panel(
        file.what,
        pix0_mm=vector(corner),
        fast_axis=vector(fast),
        slow_axis=vector(slow),
        fpixels=fpixels,
        spixels=spixels,
        **pixel_sizes(*sizes),
        offset=(0, 0),
    )


def _data(file: Nexus, detector: Any, name: str) -> Any:
    if not file.has(detector, name):
        raise FileError(f"{file.what} has neither a detector module nor {name}: {_HINT}")
    return detector[name]


def _length(file: Nexus, detector: Any, name: str) -> float:
    """A length (mm)."""
    data = _data(file, detector, name)
    return float(file.numbers(data)[0]) * file.unit(data, LENGTHS, "m")


def _center(file: Nexus, detector: Any, axis: str, size_mm: float) -> float:
    """Beam centre (mm) along ``x`` or ``y``, in pixels or a unit of lengths."""
    data = _data(file, detector, f"beam_center_{axis}")
    unit = file.text(data.attrs.get("units", "pixel")).strip().lower()
    return float(file.numbers(data)[0]) * (file.unit(data, LENGTHS, "m") if unit in LENGTHS else size_mm)


def _geometry(file: Nexus, detector: Any, name: str, count: int) -> np.ndarray | None:
    """Numbers of the group ``geometry``, their z along the beam; None where they are not all there."""
    if not file.has(detector, f"geometry/{name}"):
        return None
    data = detector[f"geometry/{name}"]
    if getattr(data, "size", None) != count:
        return None
    return file.numbers(data).reshape(-1, 3) * [1, 1, -1]


def _axes(file: Nexus, detector: Any) -> np.ndarray | None:
    """Directions of fast and slow as rows; None where the file has no two perpendicular directions."""
    axes = _geometry(file, detector, "orientation/value", 6)
    if axes is None:
        return None
    if np.abs(axes @ axes.T - np.eye(2)).max() > 1e-3:
        file.notes.append(f"{file.what}: geometry/orientation has no two perpendicular directions, and is not used")
        return None
    return axes


def _moved(file: Nexus, detector: Any, corner: np.ndarray, upright: bool, pixel_mm: float) -> np.ndarray:
    """The corner of pixel (0, 0) by the beam centre, or by ``geometry/translation`` where the detector is turned.

    The filewriter keeps the two in step; where somebody changed one of them, that is the beam centre.
    """
    found = _geometry(file, detector, "translation/distances", 3)
    if found is None or not found.any():
        return corner
    data = detector["geometry/translation/distances"]
    there = found[0] * file.unit(data, LENGTHS, "m")
    if np.abs(there - corner).max() > pixel_mm:
        said = [" ".join(f"{x:.6g}" for x in place) for place in (corner, there)]
        taken = "the first" if upright else "the second"
        file.notes.append(
            f"{file.what}: beam_center and detector_distance put the corner of the detector at ({said[0]}) mm, "
            f"geometry/translation at ({said[1]}) mm: {taken} is taken"
        )
    return corner if upright else there


def _size(file: Nexus, entry: Any, detector: Any) -> tuple[int, int]:
    """Columns and rows of the detector: those of its images, if they are at hand."""
    shape = file.data_shape(entry, detector)
    if shape is not None:
        return shape[1], shape[0]
    for group in ("detectorSpecific/", ""):
        names = [f"{group}{axis}_pixels_in_detector" for axis in "xy"]
        if all(file.has(detector, name) for name in names):
            fast, slow = (int(file.numbers(detector[name])[0]) for name in names)
            return fast, slow
    raise FileError(f"{file.what} has no x_pixels_in_detector, and none of its images is at hand: {_HINT}")


def _turned(file: Nexus, entry: Any, detector: Any, upright: bool) -> list[str]:
    """Angles other than 0 that the file gives without an axis, and that nothing else of it describes."""
    found = []
    if upright and (angle := _angle(file, detector, "two_theta")):
        found.append(f"two_theta {angle:g} deg")
    for sample in file.all(entry, "NXsample"):
        scanned = _scanned(file, sample, detector)
        for name in (*_FIXED, _PHI, _OMEGA):
            values, width = _angles(file, sample, detector, name)
            if name != scanned and width:
                found.append(f"a scan of {name} by {width:g} deg")
            elif values.size and values[0] and name not in (scanned, _OMEGA):
                found.append(f"{name} {values[0]:g} deg")
    return found


def _angle(file: Nexus, group: Any, name: str) -> float:
    """The first angle (degrees) of a goniometer; 0 if it has none."""
    for key in (f"goniometer/{name}", f"goniometer/{name}_start"):
        if file.has(group, key):
            return float(file.numbers(group[key])[0]) * file.unit(group[key], ANGLES, "deg")
    return 0.0


def _angles(file: Nexus, sample: Any, detector: Any, name: str) -> tuple[np.ndarray, float]:
    """Angles (degrees) of the images, none if the file has none, and by how much one image turns."""
    width = 0.0
    values: np.ndarray = np.zeros(0)
    if file.has(sample, f"goniometer/{name}"):
        data = sample[f"goniometer/{name}"]
        values = file.numbers(data) * file.unit(data, ANGLES, "deg")
        width = float(values[1] - values[0]) if len(values) > 1 else 0.0
    for key in (f"goniometer/{name}_range_average", f"goniometer/{name}_increment"):
        if not width and file.has(sample, key):
            width = float(file.numbers(sample[key])[0]) * file.unit(sample[key], ANGLES, "deg")
    if not values.size and file.has(sample, f"goniometer/{name}_start"):
        values = np.array([_angle(file, sample, f"{name}_start")])
    if len(values) == 1:  # that of the first image
        values = values + width * np.arange(_images(file, detector))
    return values, width


def _images(file: Nexus, detector: Any) -> int:
    """Number of images that the detector was asked for."""
    count = 1
    for name in ("detectorSpecific/nimages", "detectorSpecific/ntrigger"):
        if file.has(detector, name):
            count *= int(min(max(file.numbers(detector[name])[0], 1), _MOST_IMAGES))
    return min(count, _MOST_IMAGES)


def _scanned(file: Nexus, sample: Any, detector: Any) -> str | None:
    """Which angle is scanned about the spindle: omega, or phi, whose axis is that of omega where chi and kappa are 0."""
    widths = {name: _angles(file, sample, detector, name)[1] for name in (_OMEGA, _PHI)}
    straight = not any(_angles(file, sample, detector, name)[0].any() for name in _FIXED)
    if widths[_OMEGA] or not widths[_PHI] or not straight:
        return _OMEGA
    return _PHI


def _spindle(file: Nexus, detector: Any) -> Vector:
    """Axis about which the crystal turns."""
    return known_spindle(file, detector) or _SPINDLE


def known_spindle(file: Nexus, detector: Any, has_axes: bool = False) -> Vector | None:
    """Axis of a beamline that is known by its detector; None of others, and of files that the filewriter did not write.

    Parameters
    ----------
    has_axes : bool
        Whether the file has axes of its own, which are right at most beamlines.
    """
    if not (file.has(detector, "detectorSpecific") and file.has(detector, "detector_number")):
        return None
    number = file.text(detector["detector_number"]).strip()
    return None if has_axes and number not in WRONG_AXES else SPINDLES.get(number)


def scan(
    file: Nexus, samples: list[Any], detector: Any, index: int
) -> tuple[Vector | None, float | None, float | None, int | None]:
    """Spindle, angle and width of an image, number of images, of the sample's goniometer."""
    for sample in samples:
        name = _scanned(file, sample, detector)
        values, width = _angles(file, sample, detector, name or _OMEGA)
        if not values.size:
            continue
        start = float(values[min(max(index, 0), len(values) - 1)])
        sense = -1.0 if width < 0 else 1.0
        axis = vector(sense * np.array(_spindle(file, detector)))
        return axis, sense * start, abs(width) or None, len(values)
    return None, None, None, None
