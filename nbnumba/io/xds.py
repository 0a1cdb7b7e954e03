"""XDS' geometry: ``XPARM.XDS`` and ``GXPARM.XDS`` (both their layouts), and ``XDS.INP``.

Formulas are those of XDS' page on coordinate systems: with the axes ED of the detector, pixel (x, y), counted from 1 at
the first pixel's centre, lies at (x - ORGX) QX ED1 + (y - ORGY) QY ED2 + F ED3, so that the corner of the first pixel
is at x = y = 0.5. A segment's axes EDS are given in the detector's system, its pixels lie at
ORG + ED [(x - ORGXS) QX EDS1 + (y - ORGYS) QY EDS2 + FS EDS3] with ORG = -ORGX QX ED1 - ORGY QY ED2 + F ED3. Rotations
about the spindle are right-handed; a, b, c are those at spindle angle 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nbnumba.errors import FileError
from nbnumba.io.files import read_text
from nbnumba.io.geometry import (
    LARGEST,
    FileGeometry,
    Numbers,
    make_panel,
    pixel_sizes,
    polarization,
    reciprocal_of,
    vector,
)
from nbnumba.io.matrix import number
from nbnumba.io.unused import unused_note
from nbnumba.model.config import Panel

_KEYWORD = re.compile(r"(?<!\S)([A-Z][A-Z0-9_'()/.-]*)\s*=")
#: Keywords of XDS.INP that are used here, and how many numbers they take.
_COUNTS = {
    "ORGX": 1,
    "ORGY": 1,
    "DETECTOR_DISTANCE": 1,
    "OSCILLATION_RANGE": 1,
    "STARTING_ANGLE": 1,
    "STARTING_FRAME": 1,
    "DATA_RANGE": 2,
    "X-RAY_WAVELENGTH": 1,
    "NX": 1,
    "NY": 1,
    "QX": 1,
    "QY": 1,
    "DIRECTION_OF_DETECTOR_X-AXIS": 3,
    "DIRECTION_OF_DETECTOR_Y-AXIS": 3,
    "ROTATION_AXIS": 3,
    "INCIDENT_BEAM_DIRECTION": 3,
    "FRACTION_OF_POLARIZATION": 1,
    "POLARIZATION_PLANE_NORMAL": 3,
    "SENSOR_THICKNESS": 1,
    "SILICON": 1,
    "UNIT_CELL_CONSTANTS": 6,
    "UNIT_CELL_A-AXIS": 3,
    "UNIT_CELL_B-AXIS": 3,
    "UNIT_CELL_C-AXIS": 3,
    "SEGMENT": 4,
    "DIRECTION_OF_SEGMENT_X-AXIS": 3,
    "DIRECTION_OF_SEGMENT_Y-AXIS": 3,
    "SEGMENT_DISTANCE": 1,
    "SEGMENT_ORGX": 1,
    "SEGMENT_ORGY": 1,
}


#: Keywords that would change the geometry, the beam or which pixels count, and are only named.
_UNUSED = re.compile(r"[XY]-GEO_CORR|UNTRUSTED_(RECTANGLE|ELLIPSE|QUADRILATERAL)|BEAM_DIVERGENCE.*|REFLECTING_RANGE.*")


@dataclass
class _Segment:
    """Pixels x1 to x2, y1 to y2, counted from 1, both ends included; origin in pixels, distance in mm."""

    x1: int
    x2: int
    y1: int
    y2: int
    orgx: float = 0.0
    orgy: float = 0.0
    distance: float = 0.0
    x_axis: Numbers = (1.0, 0.0, 0.0)
    y_axis: Numbers = (0.0, 1.0, 0.0)


@dataclass
class _Plane:
    """The detector in the terms of XDS: NX, NY, QX, QY, ORGX, ORGY, distance and axes."""

    nx: float
    ny: float
    qx: float
    qy: float
    orgx: float
    orgy: float
    distance: float
    x_axis: Numbers
    y_axis: Numbers
    segments: list[_Segment] = field(default_factory=list)

    def panels(self, where: str) -> tuple[Panel, ...]:
        """Panels of the segments; one panel where there are none."""
        ED = _axes(where, "DIRECTION_OF_DETECTOR", self.x_axis, self.y_axis)
        ORG = ED @ [-self.orgx * self.qx, -self.orgy * self.qy, self.distance]
        panels = []
        for i, segment in enumerate(self.segments or [_Segment(1, int(self.nx), 1, int(self.ny))], 1):
            place = f"{where}: segment {i}" if self.segments else where
            EDS = ED @ _axes(place, "DIRECTION_OF_SEGMENT", segment.x_axis, segment.y_axis)
            # the corner of its first pixel is half a pixel before that pixel's number
            across = [(segment.x1 - 0.5 - segment.orgx) * self.qx, (segment.y1 - 0.5 - segment.orgy) * self.qy]
            panels.append(
                make_panel(
                    place,
                    pix0_mm=vector(ORG + EDS @ [*across, segment.distance]),
                    fast_axis=vector(EDS[:, 0]),
                    slow_axis=vector(EDS[:, 1]),
                    fpixels=segment.x2 - segment.x1 + 1,
                    spixels=segment.y2 - segment.y1 + 1,
                    **pixel_sizes(self.qx, self.qy),
                    name=str(i) if self.segments else "",
                    offset=(segment.x1 - 1, segment.y1 - 1),
                )
            )
        return tuple(panels)


def _axes(where: str, what: str, x_axis: Numbers, y_axis: Numbers) -> np.ndarray:
    """Columns x, y, x cross y."""
    lengths = [float(np.linalg.norm(axis)) for axis in (x_axis, y_axis)]
    if not all(lengths):
        raise FileError(f"{where}: {what}_X-AXIS and _Y-AXIS must not be 0 0 0")
    x, y = np.array(x_axis) / lengths[0], np.array(y_axis) / lengths[1]
    if abs(x @ y) > 1e-3:
        raise FileError(f"{where}: {what}_X-AXIS and _Y-AXIS must be at right angles, their cosine is {x @ y:.4g}")
    return np.column_stack([x, y, np.cross(x, y)])


def _unit(where: str, what: str, values: Numbers) -> np.ndarray:
    length = float(np.linalg.norm(values))
    if length == 0:
        raise FileError(f"{where}: the {what} must not be 0 0 0")
    return np.array(values) / length


def _horizontal(beam: np.ndarray) -> np.ndarray:
    """Direction of the E vector where the file gives none, for XDS' default: the normal of the plane is 0 1 0."""
    side = np.cross((0, 1, 0), beam)
    return side / np.linalg.norm(side) if np.linalg.norm(side) > 1e-6 else np.array([1.0, 0.0, 0.0])


def read_xparm(path: Path | str, image: int | None = None) -> FileGeometry:
    """Geometry and crystal of an ``XPARM.XDS`` or ``GXPARM.XDS`` file, of today's layout or that of before 2012.

    Parameters
    ----------
    image : int, optional
        Number of the image; by default the one that the file names as its first.

    Raises
    ------
    FileError
        The file cannot be read, or its numbers are not those of an XPARM file.
    """
    what = "XPARM file"
    where = f"the {what} {path}"
    values: list[float] = []
    today = False
    for line, text in enumerate(read_text(path, what).split("\n"), 1):
        words = text.split()
        if not values and words and words[0].startswith("XPARM"):
            today = True
            continue
        values += [number(word, path, line, what) for word in words]
    if len(values) < (41 if today else 42):
        raise FileError(f"{where} holds {len(values)} numbers: it is cut off")
    if max(map(abs, values)) > LARGEST:
        raise FileError(f"{where} holds {max(values, key=abs):g}, which is no length, angle or count")
    start, phi0, osc = values[:3]
    if today:
        direct, rest = np.reshape(values[17:26], (3, 3)), values[26:]
        plane = _plane(rest[1:8], rest[8:11], rest[11:14])
        plane.segments = _xparm_segments(where, int(rest[0]), rest[17:])
    else:
        direct, rest = np.reshape(values[33:42], (3, 3)), values[10:33]
        plane = _plane([*rest[:4], rest[5], rest[6], rest[4]], rest[7:10], rest[10:13])
    beam = _unit(where, "incident beam direction", values[7:10])
    number_ = int(start) if image is None else image
    if values[6] <= 0:
        raise FileError(f"{where}: the wavelength must be > 0, got {values[6]:g}")
    return FileGeometry(
        path=Path(path),
        format="xparm",
        beam=vector(beam),
        wavelength_A=values[6],
        polar=vector(_horizontal(beam)),
        spindle=vector(_unit(where, "rotation axis", values[3:6])),
        panels=plane.panels(where),
        reciprocal=reciprocal_of(where, *direct),
        phi_deg=phi0 + osc * (number_ - int(start)),
        osc_deg=osc,
    )


def _plane(seven: list[float], x_axis: Numbers, y_axis: Numbers) -> _Plane:
    """A detector by NX, NY, QX, QY, ORGX, ORGY, F and its axes."""
    nx, ny, qx, qy, orgx, orgy, distance = seven
    return _Plane(nx, ny, qx, qy, orgx, orgy, distance, x_axis, y_axis)


def _segment(ends: Numbers) -> _Segment:
    """A segment by its first and last column and row."""
    x1, x2, y1, y2 = (int(v) for v in ends)
    return _Segment(x1, x2, y1, y2)


def _xparm_segments(where: str, count: int, numbers: list[float]) -> list[_Segment]:
    """Segments, 14 numbers each."""
    if count < 0 or len(numbers) < 14 * count:
        raise FileError(f"{where} announces {count} detector segments, but holds only {len(numbers)} numbers of them")
    rows = np.reshape(numbers[: 14 * count], (count, 14))
    segments = [_segment(row[1:5]) for row in rows]
    for segment, row in zip(segments, rows, strict=True):
        segment.orgx, segment.orgy, segment.distance = (float(v) for v in row[5:8])
        segment.x_axis, segment.y_axis = row[8:11], row[11:14]
    return segments


def read_xds_inp(path: Path | str, image: int | None = None) -> FileGeometry:
    """Geometry of an ``XDS.INP`` file; its unit cell has an orientation only if ``UNIT_CELL_A-AXIS`` ... are given.

    Parameters
    ----------
    image : int, optional
        Number of the image; by default the one that ``STARTING_ANGLE`` belongs to.

    Raises
    ------
    FileError
        The file cannot be read, or a keyword is missing or has wrong numbers.
    """
    unused: list[str] = []
    found, segments = _keywords(path, unused)
    where = f"the XDS.INP file {path}"
    notes = []

    def get(key: str, *default: float) -> list[float]:
        if key not in found and not default:
            raise FileError(f"{where} has no {key}=")
        return found.get(key) or list(default)

    seven = [get(key)[0] for key in ("NX", "NY", "QX", "QY", "ORGX", "ORGY", "DETECTOR_DISTANCE")]
    plane = _plane(seven, get("DIRECTION_OF_DETECTOR_X-AXIS"), get("DIRECTION_OF_DETECTOR_Y-AXIS"))
    plane.segments = segments
    beam = _unit(where, "INCIDENT_BEAM_DIRECTION", get("INCIDENT_BEAM_DIRECTION"))
    polar, kahn = vector(_horizontal(beam)), None
    if "FRACTION_OF_POLARIZATION" in found:
        normal = get("POLARIZATION_PLANE_NORMAL", 0, 1, 0)
        polar, kahn = polarization(where, normal, found["FRACTION_OF_POLARIZATION"][0], beam)
    thickness, mu = get("SENSOR_THICKNESS", 0)[0], get("SILICON", 0)[0]
    if thickness > 0 and mu <= 0:
        notes.append(f"{where} has no SILICON= (absorption of the sensor): the sensor is left out; give -detector_abs")
        thickness = 0.0
    start = int(get("STARTING_FRAME", get("DATA_RANGE", 1, 1)[0])[0])
    osc = get("OSCILLATION_RANGE", 0)[0]
    axes = [found.get(f"UNIT_CELL_{axis}-AXIS") for axis in "ABC"]
    oriented = all(axis is not None for axis in axes)
    wavelength = get("X-RAY_WAVELENGTH")[0]
    if wavelength <= 0:
        raise FileError(f"{where}: X-RAY_WAVELENGTH= must be > 0, got {wavelength:g}")
    cell = found.get("UNIT_CELL_CONSTANTS")
    return FileGeometry(
        path=Path(path),
        format="xds.inp",
        beam=vector(beam),
        wavelength_A=wavelength,
        polar=polar,
        kahn_factor=kahn,
        spindle=vector(_unit(where, "ROTATION_AXIS", get("ROTATION_AXIS"))),
        panels=plane.panels(where),
        thickness_um=1000 * thickness if thickness > 0 else None,
        attenuation_um=1000 / mu if thickness > 0 else None,
        reciprocal=reciprocal_of(where, *(axis for axis in axes if axis is not None)) if oriented else None,
        # a cell of zeros means in XDS that the cell is unknown
        cell=None if oriented or not cell or not all(cell) else tuple(cell),
        phi_deg=get("STARTING_ANGLE", 0)[0] + osc * ((start if image is None else image) - start),
        osc_deg=osc if osc > 0 else None,
        images=None if "DATA_RANGE" not in found else (int(found["DATA_RANGE"][0]), int(found["DATA_RANGE"][1])),
        notes=(*notes, *unused_note(where.removeprefix("the "), unused)),
    )


def _keywords(path: Path | str, unused: list[str]) -> tuple[dict[str, list[float]], list[_Segment]]:
    """Numbers of the keywords that are used here, the last of each, and the segments in their order.

    Those that are not used go into ``unused``.
    """
    what = "XDS.INP file"
    found: dict[str, list[float]] = {}
    segments: list[_Segment] = []
    for line, text in enumerate(read_text(path, what).split("\n"), 1):
        bare = text.split("!")[0]
        marks = list(_KEYWORD.finditer(bare))
        ends = [mark.start() for mark in marks[1:]] + [len(bare)]
        for mark, end in zip(marks, ends, strict=False):
            key, words = mark[1], bare[mark.end() : end].split()
            if key not in _COUNTS:
                if _UNUSED.fullmatch(key):
                    unused.append(f"{key}=")
                continue
            if len(words) < _COUNTS[key]:
                raise FileError(
                    f"line {line} of the {what} {path}: {key}= needs {_COUNTS[key]} numbers, has {len(words)}"
                )
            values = [number(word, path, line, what) for word in words[: _COUNTS[key]]]
            if max(map(abs, values)) > LARGEST:
                raise FileError(f"line {line} of the {what} {path}: {key}= {max(values, key=abs):g} is out of range")
            if key == "SEGMENT":
                segments.append(_segment(values))
            elif "SEGMENT" in key:
                if not segments:
                    raise FileError(f"line {line} of the {what} {path}: {key}= stands before any SEGMENT=")
                _set_segment(segments[-1], key, values)
            else:
                found[key] = values
    if not found:
        raise FileError(f"the {what} {path} has no keyword that describes the experiment")
    return found, segments


def _set_segment(segment: _Segment, key: str, values: list[float]) -> None:
    if key == "DIRECTION_OF_SEGMENT_X-AXIS":
        segment.x_axis = values
    elif key == "DIRECTION_OF_SEGMENT_Y-AXIS":
        segment.y_axis = values
    elif key == "SEGMENT_DISTANCE":
        segment.distance = values[0]
    elif key == "SEGMENT_ORGX":
        segment.orgx = values[0]
    else:
        segment.orgy = values[0]
