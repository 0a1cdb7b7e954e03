"""Spectra and the weights of sources."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.errors import ConfigError, FileError
from nbnumba.io.spectrum import EV_A, Spectrum, read_spectrum
from nbnumba.model.config import Beam, Crystal, Detector, Sampling, Simulation, StructureFactors
from nbnumba.model.experiment import resolve
from nbnumba.render.simulate import simulate

DATA = Path(__file__).resolve().parents[2] / "data" / "spectra"
BASE = Simulation(
    crystal=Crystal(cell=(36.4, 41.7, 47.3, 82.1, 75.4, 68.9), misset_deg=(10, 20, 30), Na=4, Nb=3, Nc=5),
    detector=Detector(fpixels=26, spixels=22, pixel_mm=0.9, distance_mm=60),
    structure_factors=StructureFactors(default_F=100.0, dump=Path("/nonexistent/none.bin"), interpolate=False),
    # one phase of the weights is enough: the reference's polarization is that of the first source
    beam=Beam(wavelength_A=0.98, nopolar=True, fluence=1e28),
    sampling=Sampling(oversample=1),
)


def with_beam(**changes) -> Simulation:
    return replace(BASE, beam=replace(BASE.beam, **changes))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_wavelengths_and_energies_are_one_spectrum(tmp_path):
    wavelengths = write(tmp_path / "a.txt", "# wavelength weight\n0.98, 1\n\n1.00; 3 ignored\n0.99 0\n")
    energies = write(tmp_path / "b.txt", f"{EV_A / 0.98!r} 2 ! eV\n{EV_A / 1.00!r}\t6\n")
    one, two = read_spectrum(wavelengths), read_spectrum(energies)
    np.testing.assert_array_equal(one.wavelengths_A, [0.98, 1.0])
    np.testing.assert_allclose(two.wavelengths_A, [0.98, 1.0], rtol=1e-15)
    np.testing.assert_array_equal(one.weights, [0.25, 0.75])
    np.testing.assert_array_equal(two.weights, one.weights)
    assert one.mean_A == pytest.approx(0.995)


ERRORS = {
    "0.98 1\nx 2\n": "line 2 of the spectrum file .* expected a number, got 'x'",
    "0.98 1\n12000 2\n": "line 2 of .*: 12000 is an energy, unlike the lines above",
    "0.98 -1\n": "line 1 of .*weight >= 0, got 0.98 -1",
    "-0.98 1\n": "must be > 0",
    "0.98\n": "line 1 of .*got only 0.98",
    "# nothing\n0.98 0\n": "holds no point with a weight",
}


@pytest.mark.parametrize("text", ERRORS)
def test_errors_name_file_and_line(tmp_path, text):
    with pytest.raises(FileError, match=ERRORS[text]) as caught:
        read_spectrum(write(tmp_path / "bad.txt", text))
    assert "bad.txt" in str(caught.value)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0.5, 2), st.floats(1e-3, 10)), min_size=1, max_size=40), st.integers(1, 50))
def test_gathering_keeps_sum_and_mean(points, steps):
    wavelengths, weights = np.array(points).T
    whole = Spectrum(wavelengths, weights / weights.sum())
    few = whole.gathered(steps)
    assert len(few.weights) <= max(steps, 1) or len(few.weights) == len(weights) <= steps or np.ptp(wavelengths) == 0
    assert few.weights.sum() == pytest.approx(1)
    assert few.mean_A == pytest.approx(whole.mean_A)
    assert wavelengths.min() - 1e-12 <= few.wavelengths_A.min() <= few.wavelengths_A.max() <= wavelengths.max() + 1e-12


@pytest.mark.parametrize("precision", ["double", "auto"])
@pytest.mark.parametrize("physics", ["reference", "correct"])
def test_a_spectrum_is_the_weighted_sum_of_its_wavelengths(tmp_path, physics, precision):
    """By the definition: each wavelength's image, times its share."""
    path = write(tmp_path / "s.txt", "0.96 1\n0.98 5\n1.01 2\n")
    got = simulate(replace(with_beam(spectrum=path), physics=physics), precision=precision).image
    wanted = np.zeros(got.shape)
    for wavelength, share in ((0.96, 0.125), (0.98, 0.625), (1.01, 0.25)):
        one = simulate(replace(with_beam(wavelength_A=wavelength), physics=physics), precision=precision)
        wanted += share * one.image.astype(float)
    # float32 images: 6e-8 each; the mixed kernels' polynomials add theirs
    assert np.abs(got - wanted).max() <= 5e-7 * wanted.max()
    flat = simulate(replace(with_beam(spectrum=path, source_weights=False), physics=physics), precision=precision).image
    assert np.abs(got - flat).max() > 0.01 * got.max()


def test_source_weights_are_used_when_asked_for(tmp_path):
    """In the reference's physics, too, and without a warning; --physics correct can leave them out."""
    path = write(tmp_path / "sources.txt", "-10 0 0 1 0.98e-10\n-10 0.1 0 3 1.00e-10\n")
    plain = simulate(with_beam(sourcefile=path))
    weighted = simulate(with_beam(sourcefile=path, source_weights=True))
    assert any("ignores the weights" in warning for warning in plain.warnings)
    assert not any("ignores the weights" in warning for warning in weighted.warnings)
    parts = []
    for line in path.read_text().splitlines():
        parts.append(simulate(with_beam(sourcefile=write(tmp_path / "one.txt", line))).image.astype(float))
    np.testing.assert_allclose(weighted.image, (parts[0] + 3 * parts[1]) / 4, atol=5e-7 * weighted.image.max())
    np.testing.assert_allclose(plain.image, (parts[0] + parts[1]) / 2, atol=5e-7 * plain.image.max())
    correct = [
        simulate(replace(with_beam(sourcefile=path, source_weights=given), physics="correct")).image
        for given in (None, True, False)
    ]
    np.testing.assert_array_equal(correct[0], correct[1])
    assert np.abs(correct[2] - correct[1]).max() > 0.01 * correct[1].max()


def test_a_spectrum_meets_the_divergence(tmp_path):
    """Every direction has every wavelength; the photons stay the same."""
    path = write(tmp_path / "s.txt", "0.96 1\n0.98 3\n")
    beam = replace(BASE.beam, spectrum=path, hdivrange_mrad=2.0, hdivsteps=3)
    sources = resolve(replace(BASE, beam=beam)).sources
    assert len(sources.wavelengths) == 2 * sources.divsteps == 6
    assert sources.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(sources.wavelengths, np.tile([0.96e-10, 0.98e-10], 3))
    np.testing.assert_allclose(sources.weights, np.tile([0.25, 0.75], 3) / 3)


def test_from_the_command_line(tmp_path):
    path = write(tmp_path / "s.txt", "0.96 1\n0.98 3\n1.02 4\n")
    simulation = build(parse(f"-cell 50 -default_F 1 --spectrum {path} --spectrum-steps 2".split()))[0]
    assert simulation.beam.wavelength_A == pytest.approx(0.9975)
    assert len(resolve(simulation).sources.wavelengths) == 2
    explicit = build(parse(f"-cell 50 -default_F 1 --spectrum {path} -lambda 1.2".split()))[0]
    assert explicit.beam.wavelength_A == 1.2
    weights = build(parse("-cell 50 -default_F 1 -sourcefile x --source-weights".split()))[0]
    assert weights.beam.source_weights is True


def test_spectra_do_not_mix_with_other_wavelengths(tmp_path):
    path = write(tmp_path / "s.txt", "0.96 1\n")
    with pytest.raises(ConfigError, match="both give wavelengths"):
        Beam(spectrum=path, sourcefile=path)
    with pytest.raises(ConfigError, match="leave out -dispersion"):
        Beam(spectrum=path, dispersion_percent=1)
    with pytest.raises(ConfigError, match="give --spectrum FILE"):
        Beam(spectrum_steps=3)


def test_example_spectra_are_what_their_script_makes():
    made = runpy.run_path(str(DATA / "make_spectra.py"))["make_files"]()
    assert set(made) == {path.name for path in DATA.glob("*.txt")}
    for name, text in made.items():
        mine, kept = (np.loadtxt(source) for source in (text.splitlines(), DATA / name))
        # the last digit may round differently with another libm
        np.testing.assert_allclose(mine, kept, atol=1.01e-5)


def test_example_spectra_have_their_shape():
    """Pink: a percent or two wide, its tail towards low energies. SASE: spikes under a mean of 30 eV."""
    pink = read_spectrum(DATA / "pink.txt")
    energies = EV_A / pink.wavelengths_A
    mean = pink.weights @ energies
    deviation = np.sqrt(pink.weights @ (energies - mean) ** 2)
    assert 0.01 < deviation / mean < 0.04
    assert pink.weights @ (energies - mean) ** 3 < 0
    shot, many = (np.loadtxt(DATA / name)[:, 1] for name in ("sase.txt", "sase_mean.txt"))
    peaks = [int(((w[1:-1] > w[:-2]) & (w[1:-1] > w[2:]) & (w[1:-1] > 0.1)).sum()) for w in (shot, many)]
    assert peaks[0] > 10
    assert (many > 0.5).sum() * 0.25 == pytest.approx(30, abs=4)
