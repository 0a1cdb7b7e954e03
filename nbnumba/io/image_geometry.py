"""Geometry from the header of a miniCBF image (:mod:`nbnumba.io.nxmx_geometry` has NXmx, ``-img`` reads SMV).

The frame is that of dxtbx: beam along -z, fast along x, slow along -y, spindle along x; the header has no tilt.
"""

from __future__ import annotations

import re
from pathlib import Path

from nbnumba.errors import FileError
from nbnumba.io.geometry import LARGEST, FileGeometry, make_panel, pixel_sizes
from nbnumba.io.matrix import NUMBER
from nbnumba.io.packed import read_unpacked
from nbnumba.io.unused import unused_note

_BINARY = b"\x0c\x1a\x04\xd5"
#: Angles of detectors and goniometers: the header does not say about which axes they turn.
_ANGLES = ("Detector_2theta", "Kappa", "Phi", "Chi", "Omega")


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
    header = read_unpacked(path, "CBF image").split(_BINARY)[0].decode("latin-1")
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

    sizes = [1000 * size for size in numbers("Pixel_size", 2)]
    distance, beam_xy = 1000 * numbers("Detector_distance", 1)[0], numbers("Beam_xy", 2)
    (wavelength,) = numbers("Wavelength", 1)
    if wavelength <= 0:
        raise FileError(f"{what}: Wavelength must be > 0, got {wavelength:g}")
    fpixels, spixels = (int(numbers(f"X-Binary-Size-{axis}-Dimension", 1, "")[0]) for axis in ("Fastest", "Second"))
    polarized = numbers("Polarization", 1)[0] if re.search(r"^#\s*Polarization\b", header, re.MULTILINE) else None
    notes = [f"{what}: its sensor is left out; give -detector_thick and -detector_abs"]
    notes = notes if "sensor, thickness" in header else []
    start, width = numbers("Start_angle", 1)[0], numbers("Angle_increment", 1)[0]
    unused = _angles(header, start)
    panel = make_panel(
        what,
        pix0_mm=(-beam_xy[0] * sizes[0], beam_xy[1] * sizes[1], -distance),
        fast_axis=(1.0, 0.0, 0.0),
        slow_axis=(0.0, -1.0, 0.0),
        fpixels=fpixels,
        spixels=spixels,
        **pixel_sizes(*sizes),
        offset=(0, 0),
    )
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
        notes=(*notes, *unused_note(what.removeprefix("the "), unused)),
    )


def _angles(header: str, start: float) -> list[str]:
    """Angles other than 0 that turn the detector or the crystal, but for the one that is scanned."""
    lines = {
        key: (float(value), unit)
        for key, value, unit in re.findall(
            rf"^#\s*({'|'.join(_ANGLES)})\b[ \t:=]*({NUMBER.pattern})[ \t]*(\w*)", header, re.MULTILINE | re.ASCII
        )
    }
    scanned = re.search(r"^#\s*Oscillation_axis\b[ \t:=]*(\w+)", header, re.MULTILINE)
    axis = scanned[1].lower() if scanned else "omega"
    found = [
        f"{key} {value:g} {unit}".strip() + (" (see -twotheta)" if key == "Detector_2theta" else "")
        for key, (value, unit) in lines.items()
        if value != 0 and not (key.lower() == axis and value == start)
    ]
    if axis not in ("x", "omega"):
        found.append(f"Oscillation_axis {axis}")
    return found
