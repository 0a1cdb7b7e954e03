"""From a file with an experiment's geometry to configuration objects: choice of the reader, and flags that override it.

The frame of the file is the laboratory frame of the simulation (convention CUSTOM, all axes given). Explicit settings
override the file. A detector of one panel can be moved by them: it is then described by its beam centre and distance,
or by its near point where they name that. Several panels cannot, because it is not defined how they move together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.files import cause
from nbnumba.io.geometry import FileGeometry
from nbnumba.io.packed import packer_of, read_unpacked
from nbnumba.io.smv import MAGIC
from nbnumba.model.config import Beam, Crystal, Detector, Panel, Scan
from nbnumba.model.vectors import unit

#: Settings that name the near point, so that a detector moved by them turns about the crystal.
_NEAR = ("Xclose_mm", "Yclose_mm", "ORGX", "ORGY", "close_distance_mm")
#: Settings that move or reshape the detector.
MOVES = (
    *("Xbeam_mm", "Ybeam_mm", "distance_mm", "rotx_deg", "roty_deg", "rotz_deg", "twotheta_deg"),
    *("fdet_vector", "sdet_vector", "odet_vector", "twotheta_axis", "pix0_vector_mm", "curved"),
    *("pixel_mm", "fpixels", "spixels", "detsize_f_mm", "detsize_s_mm"),
    *_NEAR,
)
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_geometry(
    path: Path | str,
    *,
    image: int | None = None,
    experiment: int | None = None,
    distance_mm: float | None = None,
    wavelength_A: float | None = None,
) -> FileGeometry:
    """Geometry of a DIALS ``.expt``, XDS ``XPARM.XDS``, ``GXPARM.XDS`` or ``XDS.INP``, CrystFEL ``.geom`` or stream, CBF or NXmx.

    The format is recognized by the content, not by the name.

    Parameters
    ----------
    image : int, optional
        Number of the image, where the file describes a scan, or of the chunk of a stream.
    experiment : int, optional
        Number of the experiment, or of the crystal of a stream, from 0, where the file has several.
    distance_mm, wavelength_A : float, optional
        Values of the user: some files refer to the data file for them.

    Raises
    ------
    FileError
        The file cannot be read, is none of these, or has no wavelength while none is given.
    """
    path = Path(path)
    kind = geometry_kind(path)
    if experiment is not None and kind not in ("expt", "stream"):
        raise FileError(f"{path} is no list of experiments: leave out --experiment")
    if kind == "expt":
        from nbnumba.io.expt import read_expt

        found = read_expt(path, image, experiment)
    elif kind == "stream":
        from nbnumba.io.stream import read_stream_geometry

        found = read_stream_geometry(path, image, experiment, distance_mm=distance_mm, wavelength_A=wavelength_A)
    elif kind == "crystfel":
        from nbnumba.io.crystfel import read_geom

        found = read_geom(path, distance_mm=distance_mm, wavelength_A=wavelength_A)
    elif kind in ("xparm", "xdsinp"):
        from nbnumba.io import xds

        found = (xds.read_xparm if kind == "xparm" else xds.read_xds_inp)(path, image)
    elif kind == "cbf":
        from nbnumba.io.image_geometry import read_cbf_geometry

        found = read_cbf_geometry(path, image)
    else:
        from nbnumba.io.nxmx_geometry import read_nxmx_geometry

        found = read_nxmx_geometry(path, image)
    if found.wavelength_A is None and wavelength_A is None:
        raise FileError(f"{path} gives no wavelength: give -lambda, -energy or --spectrum FILE")
    return found


def geometry_kind(path: Path) -> str:
    """``expt``, ``xparm``, ``xdsinp``, ``crystfel``, ``stream``, ``cbf``, ``nxmx`` or ``smv``, by content.

    Raises
    ------
    FileError
        The file cannot be read, or is none of these.
    """
    try:
        with open(path, "rb") as handle:
            head = handle.read(1 << 16)
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read the geometry file {path}: {cause(error)}") from error
    packer = packer_of(head)
    if packer is not None:
        head = read_unpacked(path, "geometry file", 1 << 16)
    if head.startswith(_HDF5) and packer is not None:
        raise FileError(f"{path} is an HDF5 file packed by {packer}: unpack it first")
    if head.startswith(_HDF5):
        return "nxmx"
    if head.startswith(b"###CBF"):
        return "cbf"
    if head.startswith(MAGIC):
        return "smv"
    text = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    if text.startswith("CrystFEL stream format "):
        return "stream"
    if text.lstrip().startswith("{"):
        return "expt"
    bare = [line.split("!")[0].strip() for line in text.splitlines()]
    bare = [line for line in bare if line]
    if bare and (bare[0].startswith("XPARM") or (len(bare[0].split()) == 6 and "=" not in text)):
        return "xparm"
    if any(f"{key}=" in line.replace(" ", "") for line in bare for key in ("ORGX", "DETECTOR_DISTANCE", "NX")):
        return "xdsinp"
    if any(key in text for key in ("corner_x", "/fs", "clen")):
        return "crystfel"
    raise FileError(
        f"{path} is no known geometry file: give a DIALS .expt, XPARM.XDS, XDS.INP, CrystFEL .geom "
        "or stream, or an SMV, CBF or NXmx image"
    )


def settings(found: FileGeometry, given: Collection[str] = ()) -> dict[str, Any]:
    """The file's settings except the crystal's: ``part.field`` to value.

    Parameters
    ----------
    given : collection of str
        ``part.field`` of the user's settings; these are left out of the result, and the others are adapted to them.

    Raises
    ------
    ConfigError
        The user's settings would move a detector of several panels.
    """
    values: dict[str, Any] = {
        "beam.wavelength_A": found.wavelength_A,
        "beam.kahn_factor": None if "beam.nopolar" in given else found.kahn_factor,
        "detector.convention": "CUSTOM",
        "detector.beam_vector": found.beam,
        "detector.polar_vector": found.polar or _any_side(found.beam),
        "detector.spindle_axis": found.spindle,
        "detector.thickness_um": found.thickness_um,
        "detector.attenuation_um": found.attenuation_um,
    }
    values |= {"scan.phi_deg": found.phi_deg, "scan.osc_deg": found.osc_deg}
    moves = [key for key in MOVES if f"detector.{key}" in given]
    if found.distance_taken:
        moves = [key for key in moves if key != "distance_mm"]
    if found.panels and not moves:
        values["detector.panels"] = found.panels
    elif len(found.panels) > 1:
        raise ConfigError(
            f"detector.{moves[0]} cannot be set: {found.path} has {len(found.panels)} panels; move them in the file"
        )
    elif found.panels and found.panels[0].slow_pixel_mm is not None:
        raise ConfigError(
            f"detector.{moves[0]} cannot be set: the pixels of {found.path} are not square; move the panel in the file"
        )
    elif found.panels:
        values |= _movable(found.panels[0], found.beam, near=any(key in _NEAR for key in moves))
    return {key: value for key, value in values.items() if value is not None and key not in given}


def orientation(
    found: FileGeometry, wavelength_A: float, cell: Sequence[float] | None = None
) -> tuple[float, ...] | None:
    """The file's crystal as ``Crystal.A_matrix``; None where the file has no orientation.

    Parameters
    ----------
    wavelength_A : float
        Wavelength of the beam, by which MOSFLM's A is multiplied.
    cell : 1 to 6 float, optional
        Cell (Å, degrees) to take instead of the file's, in its orientation.
    """
    if found.reciprocal is None:
        return None
    A = found.reciprocal
    if cell is not None:
        lengths = (*cell[:3], *(cell[0],) * (3 - len(cell[:3])))
        wanted = (*lengths, *cell[3:], *(90.0,) * (3 - len(cell[3:])))
        A = A @ np.linalg.inv(_standard(cell_of(A))) @ _standard(wanted)
    return tuple(float(x) for x in (A * wavelength_A).ravel())


def cell_of(reciprocal: np.ndarray) -> tuple[float, ...]:
    """Unit cell (Å, degrees) of the columns a*, b*, c* (1/Å)."""
    direct = np.linalg.inv(reciprocal)
    lengths = np.linalg.norm(direct, axis=1)
    cosines = [direct[i] @ direct[j] / lengths[i] / lengths[j] for i, j in ((1, 2), (0, 2), (0, 1))]
    return (*map(float, lengths), *(float(np.degrees(np.arccos(np.clip(c, -1, 1)))) for c in cosines))


def to_config(found: FileGeometry) -> dict[str, Any]:
    """Keyword arguments for ``Simulation``: beam, detector, scan, and the crystal where the file has one.

    >>> Simulation(**to_config(read_geometry("indexed.expt")), structure_factors=...)  # doctest: +SKIP
    """
    values = settings(found)
    wavelength = values.get("beam.wavelength_A", Beam.wavelength_A)

    def part(name: str) -> dict[str, Any]:
        return {key.partition(".")[2]: value for key, value in values.items() if key.startswith(name + ".")}

    parts: dict[str, Any] = {
        "beam": Beam(**part("beam")),
        "detector": Detector(**part("detector")),
        "scan": Scan(**part("scan")),
    }
    matrix = orientation(found, wavelength)
    if matrix is not None:
        parts["crystal"] = Crystal(A_matrix=matrix)
    elif found.cell is not None:
        parts["crystal"] = Crystal(cell=found.cell)
    return parts


def whole_image(panels: Sequence[Panel], images: Sequence[np.ndarray], gap: float = 0.0) -> np.ndarray:
    """One image of all panels, each at its ``offset``; what no panel covers is ``gap``.

    Panels without an offset are stacked along slow, below all others.

    Raises
    ------
    ConfigError
        Two panels overlap, or there are fewer panels than images.
    """
    if len(panels) != len(images):
        raise ConfigError(f"{len(panels)} panels cannot hold {len(images)} images")
    below = max((panel.offset[1] + panel.spixels for panel in panels if panel.offset is not None), default=0)
    corners = []
    for panel in panels:
        corners.append(panel.offset or (0, below))
        below += 0 if panel.offset else panel.spixels
    fast = max(f + panel.fpixels for (f, _), panel in zip(corners, panels, strict=True))
    slow = max(s + panel.spixels for (_, s), panel in zip(corners, panels, strict=True))
    whole = np.full((slow, fast), gap, dtype=images[0].dtype)
    taken = np.zeros((slow, fast), dtype=bool)
    for (f, s), panel, image in zip(corners, panels, images, strict=True):
        place = (slice(s, s + panel.spixels), slice(f, f + panel.fpixels))
        if taken[place].any():
            raise ConfigError(f"panel {panel.name or (f, s)} overlaps another one in the image: check its offset")
        taken[place] = True
        whole[place] = image
    return whole


def _any_side(beam: Sequence[float]) -> tuple[float, float, float]:
    """Any direction perpendicular to the beam, for a file without polarization."""
    axis = np.eye(3)[int(np.argmin(np.abs(beam)))]
    side = unit(axis - (axis @ np.array(beam)) * np.array(beam))
    return float(side[0]), float(side[1]), float(side[2])


def _standard(cell: Sequence[float]) -> np.ndarray:
    """a*, b*, c* as columns (1/Å), a along x and b in the xy plane."""
    a, b, c = cell[:3]
    ca, cb, cg = np.cos(np.radians(cell[3:]))
    sg = np.sin(np.radians(cell[5]))
    with np.errstate(all="ignore"):  # flat cells give infinities, which are checked below
        x, y = c * cb, c * (ca - cb * cg) / sg
        direct = np.array([[a, 0, 0], [b * cg, b * sg, 0], [x, y, np.sqrt(np.maximum(c * c - x * x - y * y, 0.0))]])
    if not (direct[2, 2] > 0 and np.isfinite(direct).all()):
        raise ConfigError(f"crystal.cell: no cell has the angles {' '.join(f'{v:g}' for v in cell[3:])}")
    return np.linalg.inv(direct)


def _movable(panel: Panel, beam: Sequence[float], *, near: bool) -> dict[str, Any]:
    """Settings that describe one panel by its beam centre and distance, or by its near point."""
    fast, slow, pix0 = unit(panel.fast_axis), unit(panel.slow_axis), np.array(panel.pix0_mm)
    normal = unit(np.cross(fast, slow))
    normal = -normal if pix0 @ normal < 0 else normal
    close, ratio = float(pix0 @ normal), float(np.array(beam) @ normal)
    if abs(ratio) < 1e-9:
        raise ConfigError("the panel of the geometry file is parallel to the beam: it cannot be moved by flags")
    values: dict[str, Any] = {
        "fdet_vector": tuple(map(float, fast)),
        "sdet_vector": tuple(map(float, slow)),
        "odet_vector": tuple(map(float, normal)),
        "pixel_mm": panel.pixel_mm,
        "fpixels": panel.fpixels,
        "spixels": panel.spixels,
    }
    if near:
        ORGX, ORGY = (0.5 - float(pix0 @ axis) / panel.pixel_mm for axis in (fast, slow))
        values |= {"ORGX": ORGX, "ORGY": ORGY, "close_distance_mm": close, "pivot": "SAMPLE"}
    else:
        spot = close / ratio * np.array(beam) - pix0
        Fbeam, Sbeam = float(spot @ fast), float(spot @ slow)
        values |= {"Xbeam_mm": Fbeam, "Ybeam_mm": Sbeam, "distance_mm": close / ratio, "pivot": "BEAM"}
    return {f"detector.{key}": value for key, value in values.items()}
