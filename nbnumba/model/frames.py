"""Geometry in the frame that image files use: that of imgCIF, as in DIALS; NeXus turns it by 180 degrees about y.

Each convention of nbnumba has laboratory axes of its own; this module transforms all of them to one frame: z points
from the crystal to the source, x is the fast axis of the first panel without its part along the beam, and y completes a
right-handed set. The change is a rotation: it keeps the handedness of the image and the sense of the spindle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nbnumba.model.crystal import RTD
from nbnumba.model.data_layout import Layout, layout_of
from nbnumba.model.detector import ResolvedPanel
from nbnumba.model.experiment import Experiment
from nbnumba.model.vectors import unit

#: From imgCIF to McStas, the frame of NeXus: x and z change their signs. The same matrix leads back.
MCSTAS = np.diag([-1.0, 1.0, -1.0])
_ALIGNED = 1e-9


@dataclass(frozen=True, eq=False)
class PanelGeometry:
    """A panel in the frame of imgCIF, or one that is asked for: corner of pixel (0, 0) in mm, unit axes (3,), size in pixels.

    ``pixel_mm`` is the size of a pixel along fast, ``slow_mm`` that along slow.
    """

    origin_mm: np.ndarray
    fast: np.ndarray
    slow: np.ndarray
    spixels: int
    fpixels: int
    pixel_mm: float
    name: str = ""
    slow_pixel_mm: float | None = None

    @property
    def slow_mm(self) -> float:
        """Size of a pixel along slow (mm)."""
        return self.pixel_mm if self.slow_pixel_mm is None else self.slow_pixel_mm


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageGeometry:
    """Geometry of the experiment as image files record it.

    Attributes
    ----------
    panels : tuple of PanelGeometry
    layout : Layout
        Places of the panels in arrays of all of them.
    distance_mm : float
        From the crystal to the first panel, along the beam.
    beam_fast_mm, beam_slow_mm : float
        Where the beam hits the first panel, from the corner of pixel (0, 0).
    spindle : (3,) float64
        Right-handed axis of the rotation, unit vector.
    phi_deg, osc_deg : float
        Start and range of the rotation.
    thickness_mm : float
        Thickness of the sensor; 0 where there is none.
    flux : float
        Photons per second in the beam, 0 if unknown.
    polarization_normal : (3,) float64 or None
        Unit normal of the plane of polarization, its sign arbitrary; None where the beam has no such plane.
    """

    panels: tuple[PanelGeometry, ...]
    layout: Layout
    wavelength_A: float
    distance_mm: float
    beam_fast_mm: float
    beam_slow_mm: float
    spindle: np.ndarray
    phi_deg: float
    osc_deg: float
    exposure_s: float
    thickness_mm: float
    flux: float = 0.0
    polarization_normal: np.ndarray | None = None

    @property
    def panel(self) -> PanelGeometry:
        """The first panel."""
        return self.panels[0]

    @property
    def is_upright(self) -> bool:
        """Whether the first panel is perpendicular to the beam, with slow along -y."""
        aligned = abs(self.panel.fast - [1, 0, 0]).max(), abs(self.panel.slow - [0, -1, 0]).max()
        return max(aligned) < _ALIGNED


def to_imgcif(experiment: Experiment) -> np.ndarray:
    """Rotation (3, 3) from the laboratory axes of the experiment's convention to those of imgCIF."""
    z = -experiment.detector.frame.beam
    fast = experiment.panel.fdet - (experiment.panel.fdet @ z) * z
    if fast @ fast < _ALIGNED:  # the fast axis lies along the beam: use the slow axis
        fast = np.cross(z, experiment.panel.sdet)
    x = unit(fast)
    return np.array([x, np.cross(z, x), z])


def image_geometry(experiment: Experiment) -> ImageGeometry:
    """Geometry of an experiment in the frame of imgCIF."""
    turn = to_imgcif(experiment)
    simulation = experiment.simulation
    panels = panels_in(experiment, turn)
    distance, fast, slow = _where_beam_hits(panels[0])
    return ImageGeometry(
        panels=panels,
        layout=layout(experiment),
        wavelength_A=simulation.beam.wavelength_A,
        distance_mm=distance,
        beam_fast_mm=fast,
        beam_slow_mm=slow,
        spindle=turn @ experiment.detector.frame.spindle,
        phi_deg=experiment.scan.start * RTD,
        osc_deg=experiment.scan.osc * RTD,
        exposure_s=simulation.beam.exposure_s,
        thickness_mm=experiment.detector.thickness * 1000,
        flux=simulation.beam.flux,
        polarization_normal=_normal(turn @ np.cross(experiment.detector.frame.beam, experiment.detector.frame.polar)),
    )


def panels_in(experiment: Experiment, turn: np.ndarray) -> tuple[PanelGeometry, ...]:
    """Panels of an experiment in a frame of which ``turn`` (3, 3) is the rotation from the laboratory axes."""
    names = [panel.name for panel in experiment.simulation.detector.panels] or [""]
    return tuple(
        _panel_geometry(panel, turn, name) for panel, name in zip(experiment.detector.panels, names, strict=True)
    )


def _panel_geometry(panel: ResolvedPanel, turn: np.ndarray, name: str) -> PanelGeometry:
    sizes = [panel.pixel_size * 1000 * float(np.linalg.norm(axis)) for axis in (panel.fdet, panel.sdet)]
    axes = panel.fdet, panel.sdet
    is_square = max(abs(size / (panel.pixel_size * 1000) - 1) for size in sizes) < _ALIGNED
    if not is_square:
        axes = unit(panel.fdet), unit(panel.sdet)
    return PanelGeometry(
        origin_mm=turn @ panel.pix0 * 1000,
        fast=turn @ axes[0],
        slow=turn @ axes[1],
        spixels=panel.spixels,
        fpixels=panel.fpixels,
        pixel_mm=panel.pixel_size * 1000 if is_square else sizes[0],
        slow_pixel_mm=None if is_square else sizes[1],
        name=name,
    )


def layout(experiment: Experiment) -> Layout:
    """Places of the panels of an experiment in an array of all of them."""
    if experiment.simulation.detector.panels:
        return layout_of(experiment.simulation.detector.panels)
    return Layout.single(experiment.panel.spixels, experiment.panel.fpixels)


def _normal(across: np.ndarray) -> np.ndarray | None:
    """Direction of a vector with its largest component positive; None of one that is zero."""
    if across @ across < _ALIGNED:
        return None
    return unit(across * np.sign(across[np.abs(across).argmax()]))


def _where_beam_hits(panel: PanelGeometry) -> tuple[float, float, float]:
    """Distance along the beam, fast and slow coordinate (mm); of the nearest point where the beam misses the plane.

    The numbers of :class:`nbnumba.model.detector.ResolvedPanel` differ: they leave out the two-theta swing.
    """
    across = np.cross(panel.fast, panel.slow)
    towards = np.array([0.0, 0.0, -1.0]) if abs(across[2]) > _ALIGNED else across * np.sign(panel.origin_mm @ across)
    distance, fast, slow = np.linalg.solve(np.column_stack([towards, -panel.fast, -panel.slow]), panel.origin_mm)
    return float(distance), float(fast), float(slow)


def dials_import_words(geometry: ImageGeometry) -> list[str]:
    """Options for ``dials.import`` that give what a header of distance and beam centre cannot; often none.

    DIALS assumes a beam that is polarized in the plane of x and z, with the normal y.
    """
    words = []
    if not geometry.is_upright:
        for key, vector in (
            ("fast_axis", geometry.panel.fast),
            ("slow_axis", geometry.panel.slow),
            ("origin", geometry.panel.origin_mm),
        ):
            words.append(f"geometry.detector.panel.{key}={_comma(vector)}")
    if abs(geometry.spindle - [1, 0, 0]).max() >= _ALIGNED:
        words.append(f"geometry.goniometer.axes={_comma(geometry.spindle)}")
    normal = geometry.polarization_normal
    if normal is not None and abs(normal - [0, 1, 0]).max() >= _ALIGNED:
        words.append(f"geometry.beam.polarization_normal={_comma(normal)}")
    return words


def _comma(vector: np.ndarray) -> str:
    return ",".join(f"{0.0 if abs(x) < 1e-15 else x:.12g}" for x in vector)
