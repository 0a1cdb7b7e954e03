"""Amorphous background: its tables, its amount, and each pixel against a plain sum."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.errors import ConfigError, FileError
from nbnumba.model.config import Background, Beam, Crystal, Detector, Sampling, Simulation, StructureFactors
from nbnumba.model.experiment import resolve
from nbnumba.render.background import air_F_sqr, interpolate, molecules, read_stol, total_F_sqr
from nbnumba.render.simulate import Result, simulate

R_E_SQR = 7.94079248018965e-30
TABLE = "# stol F\n0 2.5\n0.1, 3.0 7 8\n\n0.2 5 ! peak\n0.3 nan\n0.4 4\n0.6 3\n1.2 1\n".replace(",", " ")


@pytest.fixture
def stol(tmp_path: Path) -> Path:
    path = tmp_path / "water.stol"
    path.write_text(TABLE)
    return path


def run(background: Background, **more: Any) -> Result:
    parts: dict[str, Any] = {
        "detector": Detector(fpixels=24, spixels=18, pixel_mm=5, distance_mm=60, Xbeam_mm=20, Ybeam_mm=70),
        "beam": Beam(fluence=1e18, wavelength_A=1.1, kahn_factor=0.6, beamsize_mm=0.05),
        "structure_factors": StructureFactors(default_F=1),
        **more,
    }
    return simulate(
        Simulation(crystal=Crystal(cell=(30,), Na=3, Nb=3, Nc=3), background=background, **parts), device="cpu"
    )


# --- tables ------------------------------------------------------------------------------------------------------


def test_tables_are_read_as_they_stand(stol: Path) -> None:
    x, F = read_stol(stol)
    assert x.tolist() == [0, 0.1, 0.2, 0.4, 0.6, 1.2] and F.tolist() == [2.5, 3, 5, 4, 3, 1]
    shuffled = stol.with_name("shuffled.stol")
    shuffled.write_text("\n".join(reversed(TABLE.splitlines())))
    assert all(np.array_equal(a, b) for a, b in zip(read_stol(shuffled), (x, F), strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n0.5 x\n", r"line 2 of the stol file .*: expected a number, got 'x'"),
        ("0 1\n\n0.5\n", r"line 3 of the stol file .* must hold sin\(theta\)/lambda and F, got '0.5'"),
        ("0 1\n", r"must hold at least two points, got 1"),
        ("0 1\n1 2\n0 3\n", r"line 3 .* gives sin\(theta\)/lambda = 0 a second time"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.stol").write_text(text)
    with pytest.raises(FileError, match=message):
        read_stol(tmp_path / "bad.stol")


@settings(max_examples=50)
@given(
    steps=st.lists(st.floats(0.1, 1.0), min_size=3, max_size=8),
    terms=st.tuples(*[st.floats(-2, 2)] * 4),
    at=st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_interpolation_is_exact_for_cubics(steps: list[float], terms: tuple[float, ...], at: list[float]) -> None:
    x = np.concatenate([[0], np.cumsum(steps)])
    cubic = np.polynomial.Polynomial(terms)
    places = np.array(at) * x[-1]
    assert interpolate(x, cubic(x), places) == pytest.approx(cubic(places), abs=1e-9)  # values up to 2 * 8^3


def test_interpolation_keeps_its_points_and_stays_flat_outside() -> None:
    x, y = np.array([0.1, 0.2, 0.4, 0.5, 0.9]), np.array([1.0, 5, 2, 2, 8])
    assert interpolate(x, y, x) == pytest.approx(y, rel=1e-14)
    assert interpolate(x, y, np.array([0.0, 5.0])).tolist() == [1, 8]
    assert interpolate(x[:2], y[:2], np.array([0.15])) == pytest.approx([3])


# --- amounts -----------------------------------------------------------------------------------------------------


def test_molecules_of_a_cubic_millimetre_of_water() -> None:
    water, air = molecules(Background(thickness_mm=1, air_mm=1), 1.0)
    assert water == pytest.approx(6.02214e23 / 18 * 1e-3, rel=1e-5)
    assert air == pytest.approx(101325 * 1e-9 / (1.380649e-23 * 293.15), rel=1e-3)  # ideal gas, 20 C


def test_air_scatters_like_its_molecules() -> None:
    forward = 0.7809 * 14**2 + 0.2095 * 16**2 + 0.0093 * 18**2
    nitrogen, oxygen, argon = (gemmi.Element(name).it92.calculate_sf(4.0) for name in ("N", "O", "Ar"))
    far = 2 * 0.7809 * nitrogen**2 + 2 * 0.2095 * oxygen**2 + 0.0093 * argon**2
    near, wide = air_F_sqr(np.array([0.0, 2.0]))
    assert near == pytest.approx(forward, rel=2e-3)  # form factor tables at 0 are good to 1e-3
    assert wide == pytest.approx(far, rel=0.06)  # sin(q r)/(q r) is below 1/27 there


def test_negative_structure_factors_take_light_away(stol: Path) -> None:
    minus = stol.with_name("minus.stol")
    minus.write_text("0 -2\n1 -2\n")
    setup = {"thickness_mm": 0.1, "density_g_cm3": 0.9, "molar_mass_g": 40.0}
    taken = total_F_sqr(Background(stol=minus, **setup), 0.1, np.array([0.3]))  # type: ignore[arg-type]
    per_mm3 = 6.02214179e23 * 0.9 / 40 / 1000
    assert taken == pytest.approx([-4 * per_mm3 * 0.1 * 0.01])


# --- images ------------------------------------------------------------------------------------------------------


def expected(result: Result, F_sqr: Any) -> np.ndarray:
    """The background of the first panel, pixel by pixel, in NumPy."""
    experiment = result.experiment
    panel, beam = experiment.panel, experiment.simulation.beam
    f = (np.arange(panel.fpixels) + 0.5) * panel.pixel_size
    s = (np.arange(panel.spixels) + 0.5) * panel.pixel_size
    place = panel.pix0 + s[:, None, None] * panel.sdet + f[None, :, None] * panel.fdet
    path = np.linalg.norm(place, axis=-1)
    out = place / path[..., None]
    omega = panel.pixel_size**2 * panel.close_distance / path**3
    total = np.zeros(panel.shape)
    for incident, wavelength in zip(experiment.sources.incident, experiment.sources.wavelengths, strict=True):
        polar_axis = experiment.detector.frame.polar - (experiment.detector.frame.polar @ incident) * incident
        polar_axis /= np.linalg.norm(polar_axis)
        cosine, along = out @ incident, out @ polar_axis
        across = out @ np.cross(incident, polar_axis)
        polar = (1 + cosine**2 - beam.kahn_factor * (along**2 - across**2)) / 2
        total += F_sqr(np.sqrt((1 - cosine) / 2) / (wavelength * 1e10)) * polar
    return R_E_SQR * experiment.fluence * omega * total / len(experiment.sources.wavelengths)


@pytest.mark.parametrize("beam", [{}, {"dispersion_percent": 5.0, "dispsteps": 3}, {"flux": 1e12, "exposure_s": 0.1}])
def test_background_is_the_plain_sum(stol: Path, beam: dict[str, Any]) -> None:
    background = Background(stol=stol, thickness_mm=0.3, density_g_cm3=1.1, molar_mass_g=20, air_mm=30)
    settings_ = {"fluence": 1e18, "wavelength_A": 1.1, "kahn_factor": 0.6, "beamsize_mm": 0.05} | beam
    result = run(background, beam=Beam(**settings_))
    plain = expected(result, lambda x: total_F_sqr(background, 0.05, x.ravel()).reshape(x.shape))
    assert result.background is not None and result.background[0].min() > 0
    # linear between 20001 points of the table: 1e-7; float32: 6e-8
    assert np.abs(result.background[0] / plain - 1).max() < 1e-6


def test_background_is_added_to_the_crystal(stol: Path) -> None:
    alone, both = run(Background()), run(Background(stol=stol, thickness_mm=1))
    assert alone.background is None and both.background is not None
    assert np.array_equal(both.image, alone.image + both.background[0])
    assert both.statistics.sum == pytest.approx(both.image.sum(dtype=float), rel=1e-12)


def test_amounts_count_linearly_and_physics_does_not_matter(stol: Path) -> None:
    thin, thick = (run(Background(stol=stol, thickness_mm=t)).background for t in (0.2, 0.6))
    correct = run(Background(stol=stol, thickness_mm=0.2), physics="correct").background
    assert thin is not None and thick is not None and correct is not None
    assert thick[0] == pytest.approx(3 * thin[0], rel=3e-7) and np.array_equal(correct[0], thin[0])


@pytest.mark.parametrize(("scale", "per_stol"), [(1.0, 1.0), (0.25, 4.0), (0.25 / math.pi, 4 * math.pi)])
def test_other_abscissae_mean_the_same(stol: Path, scale: float, per_stol: float) -> None:
    other = stol.with_name("other.stol")
    x, F = read_stol(stol)
    other.write_text("".join(f"{a * per_stol:.17g} {b}\n" for a, b in zip(x, F, strict=True)))
    image = run(Background(stol=other, stol_scale=scale, thickness_mm=1)).image
    assert image == pytest.approx(run(Background(stol=stol, thickness_mm=1)).image, rel=1e-6)


def test_masked_pixels_and_those_outside_the_region_stay_dark(stol: Path) -> None:
    mask = np.ones((18, 24), np.uint16)
    mask[4, 5] = 0
    result = run(Background(stol=stol, thickness_mm=1), mask=mask, sampling=Sampling(roi=(2, 20, 3, 15)))
    lit = np.zeros((18, 24), bool)
    lit[3:16, 2:21] = True
    lit[4, 5] = False
    assert result.background is not None and np.array_equal(result.background[0] > 0, lit)


def test_sensor_layers_absorb_their_share(stol: Path) -> None:
    geometry: dict[str, Any] = {"fpixels": 24, "spixels": 18, "pixel_mm": 5, "distance_mm": 60}
    bare = run(Background(stol=stol, thickness_mm=1), detector=Detector(**geometry))
    sensor = Detector(**geometry, thickness_um=1, attenuation_um=2, thicksteps=4)
    layered = run(Background(stol=stol, thickness_mm=1), detector=sensor, physics="correct")
    panel = bare.experiment.panel
    place = panel.pix0 + panel.pixel_size * (9.5 * panel.sdet + 3.5 * panel.fdet)
    caught = 1 - math.exp(-0.5 / (panel.close_distance / np.linalg.norm(place)))
    # layers lie up to 1 um of 60 mm deeper
    assert layered.image[9, 3] / bare.image[9, 3] == pytest.approx(caught, rel=1e-4)


# --- what is refused, and the flags -------------------------------------------------------------------------------


def test_a_background_needs_its_table_and_a_beam(stol: Path) -> None:
    with pytest.raises(ConfigError, match="--background needs the structure factor of the material: give -stol FILE"):
        run(Background(thickness_mm=1))
    with pytest.raises(ConfigError, match="give -beamsize MM"):
        run(Background(air_mm=1), beam=Beam(beamsize_mm=0))
    with pytest.raises(ConfigError, match=r"background\.thickness_mm must be >= 0, got -1"):
        Background(thickness_mm=-1)
    with pytest.raises(ConfigError, match=r"background\.molar_mass_g must be > 0, got 0"):
        Background(molar_mass_g=0)


def test_flags_of_the_companion_program(stol: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = ["-cell", "50", "--background", "0.2", "-4stol", str(stol), "-density", "2", "-MW", "60", "--air", "5"]
    with caplog.at_level(logging.WARNING):
        background = build(parse(line))[0].background
    assert background == Background(
        thickness_mm=0.2, stol=stol, stol_scale=0.25, density_g_cm3=2, molar_mass_g=60, air_mm=5
    )
    assert not caplog.records


def test_a_table_without_a_thickness_has_no_effect_as_in_the_reference(caplog: pytest.LogCaptureFixture) -> None:
    simulation = build(parse(["-cell", "50", "-default_F", "1", "-stol", "missing.stol"]))[0]
    assert "-stol is used with --background MM only" in caplog.text
    assert not resolve(simulation).simulation.background.is_amorphous
