"""A still whose orientation is refined."""

from __future__ import annotations

import nbnumba as nb

NAMES = ["misset_x_deg", "misset_y_deg", "misset_z_deg"]
#: 0.05 degrees
START = [0.03, -0.03, 0.0265]


def still() -> nb.Simulation:
    """256 x 256 pixels of Gaussian spots."""
    return nb.Simulation(
        crystal=nb.Crystal(
            cell=(79.1, 79.1, 37.9, 90, 90, 90), misset_deg=(10, 20, 30), Na=20, Nb=20, Nc=20, shape="gauss"
        ),
        beam=nb.Beam(wavelength_A=1.0, fluence=1e24),
        detector=nb.Detector(distance_mm=100, pixel_mm=0.2, fpixels=256, spixels=256),
        structure_factors=nb.StructureFactors(default_F=100),
        sampling=nb.Sampling(oversample=1),
        physics="correct",
    )
