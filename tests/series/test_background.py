"""Background that varies from shot to shot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nbnumba.errors import ConfigError
from nbnumba.model.config import Background, Beam, Crystal, Detector, Sampling, Simulation, StructureFactors
from nbnumba.render.simulate import simulate
from nbnumba.series.shots import Series
from nbnumba.series.variation import make_variations

SIMULATION = Simulation(
    crystal=Crystal(cell=(40.0, 50.0, 60.0), Na=8, Nb=8, Nc=8, shape="gauss"),
    beam=Beam(fluence=1e24),
    detector=Detector(distance_mm=60, fpixels=16, spixels=16, pixel_mm=1.6),
    # so weak that all light is the background's
    structure_factors=StructureFactors(default_F=1e-6, dump=Path("no such dump")),
    sampling=Sampling(oversample=1),
    physics="correct",
)


def series(content: dict[str, object], background: Background) -> Series:
    simulation = replace(SIMULATION, background=background)
    return Series(simulation=simulation, images=4, kind="stills", variations=make_variations({"background": content}))


@pytest.mark.parametrize(
    ("field", "background"),
    [("water_um", Background(water_um=2.0)), ("air_mm", Background(air_mm=2.0))],
)
def test_light_follows_the_drawn_size(field: str, background: Background) -> None:
    drawn = series({field: {"distribution": "uniform", "low": 0.5, "high": 2.0, "times": True}}, background)
    sizes, photons = [], []
    for number in range(1, 5):
        simulation = drawn.shot(number).simulation
        sizes.append(getattr(simulation.background, field))
        photons.append(simulate(simulation, device="cpu").image.sum(dtype=float))
    assert len(set(sizes)) == 4 and 1.0 <= min(sizes) < max(sizes) <= 4.0
    power = 3 if field == "water_um" else 1  # the edge of a cube, a length along the beam
    per_size = [light / size**power for light, size in zip(photons, sizes, strict=True)]
    assert per_size == pytest.approx([per_size[0]] * 4, rel=1e-5)  # float32 pixels


def test_a_size_that_cannot_be_is_refused() -> None:
    bad = series({"water_um": {"distribution": "uniform", "low": -2.0, "high": -1.0}}, Background())
    with pytest.raises(ConfigError, match=r"background\.water_um must be >= 0.*drawn for shot 1"):
        bad.shot(1)
