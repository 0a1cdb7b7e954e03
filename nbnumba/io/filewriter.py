"""Master files of DECTRIS' filewriter, which have the numbers of NXmx but no modules and no axes.

The detector is taken to be perpendicular to the beam, upright, and seen from the crystal: fast along -x, slow along -y of
McStas' frame; the spindle along -x, as at most beamlines.
"""

from __future__ import annotations

from typing import Any

from nbnumba.errors import FileError
from nbnumba.io.geometry import make_panel, pixel_sizes
from nbnumba.io.nxmx_geometry import ANGLES, LENGTHS, Nexus
from nbnumba.io.unused import unused_note
from nbnumba.model.config import Panel

_HINT = "a .expt that dials.import makes of it has all of its geometry"


def panel(file: Nexus, entry: Any, detector: Any) -> Panel:
    """The detector of a file without modules.

    Raises
    ------
    FileError
        The file lacks a number for it.
    """

    def value(name: str, units: dict[str, float] | None = None) -> float:
        if not file.has(detector, name):
            raise FileError(f"{file.what} has neither a detector module nor {name}: {_HINT}")
        number = float(file.numbers(detector[name])[0])
        return number if units is None else number * file.unit(detector[name], units, "m")

    sizes = [value(f"{axis}_pixel_size", LENGTHS) for axis in "xy"]
    distance = value("detector_distance" if file.has(detector, "detector_distance") else "distance", LENGTHS)
    if distance <= 0 or min(sizes) <= 0:
        raise FileError(f"{file.what}: its detector_distance and pixel sizes must be > 0: {_HINT}")
    center = [value(f"beam_center_{axis}") for axis in "xy"]
    fpixels, spixels = _size(file, entry, detector)
    file.notes.append(
        f"{file.what} has no detector module: an upright detector perpendicular to the beam and a spindle along -x are "
        f"taken; {_HINT}"
    )
    file.notes.extend(unused_note(file.what.removeprefix("the "), _turned(file, entry, detector)))
    return make_panel(
        file.what,
        pix0_mm=(center[0] * sizes[0], center[1] * sizes[1], distance),
        fast_axis=(-1.0, 0.0, 0.0),
        slow_axis=(0.0, -1.0, 0.0),
        fpixels=fpixels,
        spixels=spixels,
        **pixel_sizes(*sizes),
        offset=(0, 0),
    )


def _size(file: Nexus, entry: Any, detector: Any) -> tuple[int, int]:
    """Columns and rows of the detector."""
    for group, names in (
        ("detectorSpecific", ("x_pixels_in_detector", "y_pixels_in_detector")),
        (None, ("x_pixels_in_detector", "y_pixels_in_detector")),
    ):
        if group is not None and not file.has(detector, group):
            continue
        place = detector if group is None else detector[group]
        if all(file.has(place, name) for name in names):
            fast, slow = (int(file.numbers(place[name])[0]) for name in names)
            return fast, slow
    shape = file.data_shape(entry, detector)
    if shape is None:
        raise FileError(f"{file.what} has no x_pixels_in_detector, and none of its images is at hand: {_HINT}")
    return shape[1], shape[0]


def _turned(file: Nexus, entry: Any, detector: Any) -> list[str]:
    """Angles other than 0 that the file gives without an axis."""
    found = []
    groups: list[tuple[Any, tuple[str, ...]]] = [(detector, ("goniometer/two_theta",))]
    groups += [
        (sample, tuple(f"goniometer/{name}" for name in ("chi", "kappa", "phi"))) for sample in _samples(file, entry)
    ]
    for group, names in groups:
        for name in names:
            if file.has(group, name) and (angle := float(file.numbers(group[name])[0])) != 0:
                found.append(f"{name.rpartition('/')[2]} {angle:g} deg")
    return found


def _samples(file: Nexus, entry: Any) -> list[Any]:
    return file.all(entry, "NXsample")


def scan(file: Nexus, samples: list[Any], index: int) -> tuple[Any, float | None, float | None, int | None]:
    """Spindle, angle and width of an image, number of images, of ``omega`` in the sample's goniometer."""
    for sample in samples:
        if not file.has(sample, "goniometer/omega"):
            continue
        data = sample["goniometer/omega"]
        omega = file.numbers(data) * file.unit(data, ANGLES, "deg")
        start = float(omega[min(max(index, 0), len(omega) - 1)])
        width = float(omega[1] - omega[0]) if len(omega) > 1 else 0.0
        for name in ("goniometer/omega_range_average", "goniometer/omega_increment"):
            if not width and file.has(sample, name):
                width = float(file.numbers(sample[name])[0]) * file.unit(sample[name], ANGLES, "deg")
        sense = -1.0 if width < 0 else 1.0
        return (-sense, 0.0, 0.0), sense * start, abs(width) or None, len(omega)
    return None, None, None, None
