"""From the user's detector to panels in the laboratory frame: conventions, pivots, rotations, default centres.

The rules and their order are those of nanoBragg.c; docs/physics.md has them as formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.model.config import Convention, Detector, Panel, Pivot
from nbnumba.model.conventions import CONVENTIONS
from nbnumba.model.editions import edition_of
from nbnumba.model.vectors import rotate_axis, rotate_xyz, unit

DEG = math.pi / 180
#: Cosine of the angle between a panel's axes from which on its pixels are oblique.
OBLIQUE = 1e-4
#: Relative difference of the sides of a pixel from which on the user is told.
NOT_SQUARE = 1e-3
Array = np.ndarray


@dataclass(frozen=True)
class Frame:
    """Axes that all panels share: beam, polarization (E vector side) and spindle, unit vectors (3,)."""

    beam: Array
    polar: Array
    spindle: Array


@dataclass(frozen=True)
class ResolvedPanel:
    """One panel in the laboratory frame; lengths in metres.

    Pixel (s, f) begins at ``pix0 + pixel_size * (f * fdet + s * sdet)``. The axes are unit vectors at right angles; where
    pixels are oblique or not square, they are the edges of a pixel over ``pixel_size``, the square root of its area.
    ``Fbeam, Sbeam`` are where the beam hits the plane and ``Fclose, Sclose`` the point nearest to the crystal, from
    the corner of pixel (0, 0). ``Xbeam, Ybeam`` is the beam centre of the header, as the convention counts it.
    """

    pix0: Array
    fdet: Array
    sdet: Array
    odet: Array
    pixel_size: float
    spixels: int
    fpixels: int
    detsize_f: float
    detsize_s: float
    distance: float
    close_distance: float
    Xbeam: float
    Ybeam: float
    Xclose: float
    Yclose: float
    Fbeam: float
    Sbeam: float
    Fclose: float
    Sclose: float

    @property
    def shape(self) -> tuple[int, int]:
        """(spixels, fpixels)."""
        return self.spixels, self.fpixels

    @property
    def ORGX(self) -> float:
        """Fast coordinate of the near point as XDS counts: pixels, 0.5 at the first pixel's outer edge."""
        return self.Fclose / self.pixel_size + 0.5

    @property
    def ORGY(self) -> float:
        """Slow coordinate of the near point as XDS counts."""
        return self.Sclose / self.pixel_size + 0.5

    @property
    def dials_origin_mm(self) -> tuple[float, float, float]:
        """pix0 (mm) in the frame of the header's DIALS_ORIGIN."""
        return 1000 * float(self.pix0[2]), 1000 * float(self.pix0[1]), -1000 * float(self.pix0[0])


@dataclass(frozen=True)
class ResolvedDetector:
    """Panels, and the convention, pivot and sensor layers that they share."""

    convention: Convention
    pivot: Pivot
    frame: Frame
    panels: tuple[ResolvedPanel, ...]
    curved: bool
    point_pixel: bool
    thickness: float
    layer_step: float
    layers: int
    mu: float
    twotheta_deg: float
    notes: tuple[str, ...]


def resolve_detector(detector: Detector, physics: str) -> ResolvedDetector:
    """Panels in the laboratory frame, with the sensor layers.

    Raises
    ------
    ConfigError
        A panel has no pixels, or its plane is parallel to the beam or lies behind the crystal.
    """
    notes: list[str] = []
    rule = CONVENTIONS[detector.convention]
    custom = detector.convention == "CUSTOM"
    axes = rule.axes
    beam, polar, spindle = (
        unit((given if custom else None) or default)
        for given, default in (
            (detector.beam_vector, axes.beam),
            (detector.polar_vector, axes.polar),
            (detector.spindle_axis, axes.spindle),
        )
    )
    frame = Frame(beam=beam, polar=polar, spindle=spindle)
    pivot: Pivot = rule.pivot or detector.pivot
    if detector.panels:
        if detector.curved:
            raise ConfigError("detector.curved cannot be used with a list of panels")
        panels = tuple(_explicit_panel(panel, beam) for panel in detector.panels)
        notes += _odd_pixels(detector.panels)
    else:
        panels = (_single_panel(detector, frame, pivot, notes),)
    thickness, layer_step, layers, mu = _resolve_sensor(detector, physics, notes)
    return ResolvedDetector(
        convention=detector.convention,
        pivot=pivot,
        frame=frame,
        panels=panels,
        curved=detector.curved,
        point_pixel=detector.point_pixel,
        thickness=thickness,
        layer_step=layer_step,
        layers=layers,
        mu=mu,
        twotheta_deg=detector.twotheta_deg,
        notes=tuple(notes),
    )


def _odd_pixels(panels: Sequence[Panel]) -> list[str]:
    """A sentence about panels whose pixels are clearly not square; empty if there are none."""
    odd = [p for p in panels if p.slow_pixel_mm is not None and abs(p.slow_pixel_mm / p.pixel_mm - 1) > NOT_SQUARE]
    if not odd:
        return []
    more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
    return [
        f"pixels of panel {odd[0].name or 1}{more} are not square, {odd[0].pixel_mm:.6g} x {odd[0].slow_pixel_mm:.6g} mm: "
        "the image, --nexus and --cbf have both sizes, files with one size for a pixel the root of its area"
    ]


def _pixels(count: int | None, size_mm: float, pixel_mm: float, axis: str) -> tuple[int, float]:
    """Number of pixels and size (m) along one axis; the size stays unrounded where it is what the user gave."""
    pixel, size = pixel_mm / 1000, size_mm / 1000
    if count:
        size = pixel * count
    number = math.ceil(size / pixel - 0.5)
    if number < 1:
        raise ConfigError(f"the detector has no pixel along its {axis} axis: {size_mm:g} mm of {pixel_mm:g} mm pixels")
    return number, size


def _detector_axes(detector: Detector, notes: list[str]) -> tuple[Array, Array, Array, Array]:
    """Unrotated fdet, sdet, odet and the two-theta axis, unit vectors."""
    axes = CONVENTIONS[detector.convention].axes
    if detector.convention != "CUSTOM":
        return tuple(np.array(v) for v in (axes.fdet, axes.sdet, axes.odet, axes.twotheta))  # type: ignore[return-value]
    fdet, sdet = unit(detector.fdet_vector or axes.fdet), unit(detector.sdet_vector or axes.sdet)
    given = np.array(detector.odet_vector or axes.odet)
    length = math.sqrt(given[0] * given[0] + given[1] * given[1] + given[2] * given[2])
    odet, normal = given / length, np.cross(fdet, sdet)
    if np.abs(normal).max() < 1e-9:
        raise ConfigError("-fdet_vector and -sdet_vector are parallel: give two different axes")
    if length != 1.0:  # the reference compares exactly, too
        odet = unit(normal)
        if detector.odet_vector is not None and np.abs(odet - given / length).max() > 1e-6:
            notes.append("-odet_vector is not of length 1: replaced by fdet x sdet")
    return fdet, sdet, odet, unit(detector.twotheta_axis or axes.twotheta)


def _single_panel(detector: Detector, frame: Frame, pivot: Pivot, notes: list[str]) -> ResolvedPanel:
    pixel = detector.pixel_mm / 1000
    fpixels, detsize_f = _pixels(detector.fpixels, detector.detsize_f_mm, detector.pixel_mm, "fast")
    spixels, detsize_s = _pixels(detector.spixels, detector.detsize_s_mm, detector.pixel_mm, "slow")
    centre = _centre(detector, detsize_f, detsize_s, pixel)
    Xbeam, Ybeam, Xclose, Yclose, Fbeam, Sbeam, Fclose, Sclose = centre

    fdet, sdet, odet, twotheta_axis = _detector_axes(detector, notes)
    beam = frame.beam
    tilt = (detector.rotx_deg * DEG, detector.roty_deg * DEG, detector.rotz_deg * DEG)
    swing = detector.twotheta_deg * DEG
    # distances are those before the two-theta swing, as the reference has them
    ratio = float(beam @ rotate_xyz(odet, tilt))
    if abs(ratio) < 1e-9:
        raise ConfigError("the detector plane is parallel to the beam: change its rotations or -odet_vector")
    close_distance = abs(ratio * detector.distance_mm / 1000)
    if detector.close_distance_mm is not None:
        close_distance = detector.close_distance_mm / 1000
    distance = close_distance / ratio

    near_corner = -Fclose * fdet - Sclose * sdet + close_distance * odet
    fdet, sdet, odet = (rotate_axis(rotate_xyz(v, tilt), twotheta_axis, swing) for v in (fdet, sdet, odet))
    if pivot == "SAMPLE":
        pix0 = rotate_axis(rotate_xyz(near_corner, tilt), twotheta_axis, swing)
    else:
        pix0 = -Fbeam * fdet - Sbeam * sdet + distance * beam
    pix0 = _given_pix0(detector, pix0, notes)

    close_distance = float(pix0 @ odet)
    if close_distance <= 0:
        raise ConfigError(
            f"the detector plane lies {-1000 * close_distance:g} mm behind the crystal as seen along its odet axis: "
            "turn -odet_vector round, or check -pix0_vector and the detector's rotations"
        )
    spot = close_distance / ratio * beam - pix0
    return ResolvedPanel(
        pix0=pix0,
        fdet=fdet,
        sdet=sdet,
        odet=odet,
        pixel_size=pixel,
        spixels=spixels,
        fpixels=fpixels,
        detsize_f=detsize_f,
        detsize_s=detsize_s,
        distance=close_distance / ratio,
        close_distance=close_distance,
        Xbeam=Xbeam,
        Ybeam=Ybeam,
        Xclose=Xclose,
        Yclose=Yclose,
        Fbeam=float(fdet @ spot),
        Sbeam=float(sdet @ spot),
        Fclose=-float(pix0 @ fdet),
        Sclose=-float(pix0 @ sdet),
    )


def _centre(detector: Detector, detsize_f: float, detsize_s: float, pixel: float) -> tuple[float, ...]:
    """Beam centre and near point: Xbeam, Ybeam, Xclose, Yclose, Fbeam, Sbeam, Fclose, Sclose (m)."""

    def metres(value: float | None, default: float) -> float:
        return default if value is None else value / 1000

    rule = CONVENTIONS[detector.convention]
    Fclose = detsize_f / 2 if detector.ORGX is None else (detector.ORGX - 0.5) * pixel
    Sclose = detsize_s / 2 if detector.ORGY is None else (detector.ORGY - 0.5) * pixel
    Xclose, Yclose = metres(detector.Xclose_mm, Fclose), metres(detector.Yclose_mm, Sclose)
    default = rule.default_center(detsize_f, detsize_s, pixel) if rule.default_center else (Xclose, Yclose)
    Xbeam, Ybeam = metres(detector.Xbeam_mm, default[0]), metres(detector.Ybeam_mm, default[1])
    Fbeam, Sbeam = rule.beam_on_axes(Xbeam, Ybeam, detsize_s, pixel)
    if detector.convention == "CUSTOM":
        Fclose, Sclose = Xbeam, Ybeam
    return Xbeam, Ybeam, Xclose, Yclose, Fbeam, Sbeam, Fclose, Sclose


def _given_pix0(detector: Detector, pix0: Array, notes: list[str]) -> Array:
    """Corner of pixel (0, 0): the user's where no other value places the detector, else the computed one."""
    if detector.pix0_vector_mm is None:
        return pix0
    rivals = {
        "-Xbeam": detector.Xbeam_mm,
        "-Ybeam": detector.Ybeam_mm,
        "-Xclose": detector.Xclose_mm,
        "-Yclose": detector.Yclose_mm,
        "-ORGX": detector.ORGX,
        "-ORGY": detector.ORGY,
    }
    given = [flag for flag, value in rivals.items() if value is not None]
    if given:
        wanted = np.array(detector.pix0_vector_mm) / 1000
        apart = 1000 * float(np.linalg.norm(wanted - pix0))
        notes.append(
            f"-pix0_vector is ignored because {' and '.join(given)} place the detector ({apart:.3g} mm away from it)"
        )
        return pix0
    return np.array(detector.pix0_vector_mm) / 1000


def _explicit_panel(panel: Panel, beam: Array) -> ResolvedPanel:
    fdet, sdet = unit(panel.fast_axis), unit(panel.slow_axis)
    pix0, pixel = np.array(panel.pix0_mm) / 1000, panel.pixel_mm / 1000
    odet = unit(np.cross(fdet, sdet))
    if pix0 @ odet < 0:
        odet = -odet
    towards = fdet, sdet
    if panel.slow_pixel_mm is not None or abs(fdet @ sdet) > OBLIQUE:
        ratio = 1.0 if panel.slow_pixel_mm is None else panel.slow_pixel_mm / panel.pixel_mm
        side = math.sqrt(ratio * float(np.linalg.norm(np.cross(fdet, sdet))))
        pixel, fdet, sdet = side * pixel, fdet / side, ratio * sdet / side
        # coordinates of a point of the plane are its products with these
        towards = tuple(np.linalg.pinv(np.array([fdet, sdet])).T)
    close_distance, ratio = float(pix0 @ odet), float(beam @ odet)
    if close_distance == 0:
        raise ConfigError(f"panel {panel.name or panel.pix0_mm}: its plane goes through the crystal")
    # a panel parallel to the beam is never hit by it: report the near point's distance
    distance = close_distance / ratio if abs(ratio) > 1e-9 else close_distance
    spot = distance * beam - pix0
    Fclose, Sclose = (-float(pix0 @ axis) for axis in towards)
    Fbeam, Sbeam = (float(axis @ spot) for axis in towards)
    return ResolvedPanel(
        pix0=pix0,
        fdet=fdet,
        sdet=sdet,
        odet=odet,
        pixel_size=pixel,
        spixels=panel.spixels,
        fpixels=panel.fpixels,
        detsize_f=pixel * panel.fpixels,
        detsize_s=pixel * panel.spixels,
        distance=distance,
        close_distance=close_distance,
        Xbeam=Fbeam,
        Ybeam=Sbeam,
        Xclose=Fclose,
        Yclose=Sclose,
        Fbeam=Fbeam,
        Sbeam=Sbeam,
        Fclose=Fclose,
        Sclose=Sclose,
    )


def _resolve_sensor(detector: Detector, physics: str, notes: list[str]) -> tuple[float, float, int, float]:
    """Thickness (m), layer step (m), number of layers, absorption coefficient (1/m; 0 where there is no sensor)."""
    thickness = detector.thickness_um * 1e-6
    if thickness <= 0:
        return 0.0, 0.0, 1, 0.0
    layers = detector.thicksteps or 0
    mu = 1 / thickness
    if detector.attenuation_um is None:
        notes.append(f"no -detector_abs: the attenuation depth is taken as the sensor's {detector.thickness_um:g} um")
    else:
        mu = 1 / (detector.attenuation_um * 1e-6)
    if not edition_of(physics).layers_at_fronts:
        layers = layers or 2
        return thickness, thickness / layers, layers, mu
    if layers == 0:
        return thickness, thickness / 2, 2, mu
    layers = max(layers, 2)
    return thickness, thickness / (layers - 1), layers, mu
