"""The number of sub-pixels that is chosen where the crystal is a whole number of pixels wide, in reciprocal space."""

from __future__ import annotations

import pytest

from nbnumba.model.config import Beam, Crystal, Detector, Simulation, StructureFactors
from nbnumba.model.experiment import resolve


@pytest.mark.parametrize(
    ("N", "distance", "pixel", "wavelength", "chosen"),
    [(5, 50, 0.1, 1.5, 2), (5, 100, 0.1, 1.5, 1), (20, 300, 0.2, 2.0, 2), (5, 50, 0.1, 1.0, 3), (5, 50, 0.1, 2.0, 2)],
)
def test_the_last_bit_is_the_c_programs(N: int, distance: float, pixel: float, wavelength: float, chosen: int) -> None:
    """``chosen`` is what the C program prints; of the first three, one more came of another order of products."""
    simulation = Simulation(
        crystal=Crystal(cell=(100, 100, 100, 90, 90, 90), Na=N, Nb=N, Nc=N),
        beam=Beam(wavelength_A=wavelength),
        detector=Detector(distance_mm=distance, pixel_mm=pixel, fpixels=2, spixels=2),
        structure_factors=StructureFactors(default_F=100),
    )
    assert resolve(simulation).sampling.oversample == chosen
