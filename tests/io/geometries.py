"""Detectors in every convention, for tests of the files that describe them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nbnumba.model.config import Beam, Convention, Crystal, Detector, Panel, Scan, Simulation, StructureFactors
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.frames import ImageGeometry

_SIZE: dict[str, Any] = {"fpixels": 33, "spixels": 26, "pixel_mm": 0.173123456, "distance_mm": 123.456789}
_TILTED = Panel(
    pix0_mm=(-3.0, 2.0, 90.0),
    fast_axis=(1, 0.1, 0.2),
    slow_axis=(0.1, -1, 0),
    spixels=12,
    fpixels=20,
    pixel_mm=0.1,
    name="tilted",
)
_PLAIN = Panel(pix0_mm=(1, 2, 95.5), fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), spixels=9, fpixels=33, pixel_mm=0.1)

#: Panels of one width, as arrays of their own (dxtbx' raw_image_offset 0 0), and in one picture with gaps.
_EVEN = (replace(_PLAIN, offset=(0, 0), name="a"), replace(_TILTED, fpixels=33, spixels=7, offset=(0, 0), name="b"))
_CUT = (replace(_EVEN[0], offset=(2, 15)), replace(_EVEN[1], offset=(40, 4)))

_BEAM: tuple[Convention, ...] = ("MOSFLM", "DENZO", "ADXV")
_NEAR: tuple[Convention, ...] = ("XDS", "DIALS")

DETECTORS: dict[str, Detector] = {
    **{name: Detector(convention=name, **_SIZE, Xbeam_mm=2.22, Ybeam_mm=1.77) for name in _BEAM},
    **{name: Detector(convention=name, **_SIZE, ORGX=-12.3, ORGY=20.9) for name in _NEAR},
    "tilted": Detector(
        convention="CUSTOM",
        pivot="SAMPLE",
        **_SIZE,
        Xbeam_mm=1,
        Ybeam_mm=8,
        rotx_deg=3,
        roty_deg=-5,
        rotz_deg=12,
        twotheta_deg=7,
        spindle_axis=(0, 1, 1),
    ),
    **{
        name: Detector(convention="CUSTOM", panels=panels, beam_vector=(0, 0, 1), spindle_axis=(1, 0, 0))
        for name, panels in (("panels", (_TILTED, _PLAIN)), ("stack", _EVEN), ("slab", _CUT))
    },
}
#: Those whose geometry a header of distance and beam centre can tell.
PLAIN = ("MOSFLM", "DENZO", "XDS")


def experiment(name: str, osc_deg: float = 0.5) -> Experiment:
    """A resolved experiment with one of the detectors."""
    return resolve(
        Simulation(
            crystal=Crystal(cell=(50,)),
            structure_factors=StructureFactors(default_F=1),
            detector=DETECTORS[name],
            beam=Beam(wavelength_A=0.9768123, exposure_s=0.25),
            scan=Scan(phi_deg=10, osc_deg=osc_deg),
        )
    )


def counts(geometry: ImageGeometry, seed: int = 1) -> list[np.ndarray]:
    """Counts of each panel, all different, with the extremes."""
    rng = np.random.default_rng(seed)
    panels = [rng.integers(0, 200_000, (p.spixels, p.fpixels)).astype(np.int32) for p in geometry.panels]
    panels[0][0, :3] = 0, 2**31 - 4, 40
    return panels


def in_place(geometry: ImageGeometry, panel: int, fast: float, slow: float) -> np.ndarray:
    """Position (mm) of a point of a panel in the frame of imgCIF, (3,); coordinates in pixels from the corner."""
    p = geometry.panels[panel]
    return p.origin_mm + p.pixel_mm * (fast * p.fast + slow * p.slow)
