"""Kernels against plain NumPy (tests/kernels/naive.py), in both ``--physics`` modes, and the laws they obey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbnumba.model.config import (
    Background,
    Beam,
    Crystal,
    Detector,
    Panel,
    Sampling,
    Scan,
    Simulation,
    StructureFactors,
)
from nbnumba.model.experiment import resolve
from nbnumba.render.simulate import simulate
from tests.conftest import GOLDEN
from tests.kernels.naive import directions, naive_image, solid_angle

HKL = StructureFactors(hkl=GOLDEN / "inputs" / "tri.hkl", interpolate=False)
CELL = (36.4, 41.7, 47.3, 82.1, 75.4, 68.9)
CRYSTAL = Crystal(cell=CELL, misset_deg=(10, 20, 30), Na=4, Nb=3, Nc=5)
DETECTOR = Detector(fpixels=26, spixels=22, pixel_mm=0.9, distance_mm=60, roty_deg=11, rotz_deg=-7)
BASE = Simulation(
    crystal=CRYSTAL,
    detector=DETECTOR,
    beam=Beam(wavelength_A=0.98, kahn_factor=0.7),
    structure_factors=HKL,
    sampling=Sampling(oversample=1),
)

SOURCES = "-10 0.2 0.1 1.0 0.98e-10\n-10 -0.1 0.3 3.0 1.00e-10\n-10 0.1 -0.2 0.5 0.97e-10\n"


@pytest.fixture(scope="session")
def sourcefile(tmp_path_factory):
    """Three sources of different weight."""
    path = tmp_path_factory.mktemp("sources") / "sources.txt"
    path.write_text(SOURCES)
    return path


def thick(**more) -> Detector:
    """A detector with a thick, tilted sensor."""
    return replace(DETECTOR, thickness_um=450, attenuation_um=260, thicksteps=3, **more)


def variants(sourcefile) -> dict[str, Simulation]:
    """One experiment for every row of the table of corrections, and for what they can meet."""
    box = StructureFactors(hkl=GOLDEN / "inputs" / "mono_box.hkl", interpolate=True, default_F=20)
    small = Crystal(cell=(22.3, 27.8, 31.1, 90, 104.2, 90), misset_deg=(10, 20, 30), Na=2, Nb=1, Nc=1)
    every = replace(
        BASE,
        beam=Beam(kahn_factor=0.9, sourcefile=sourcefile),
        detector=thick(point_pixel=True),
        scan=Scan(phi_deg=3, osc_deg=1, phisteps=2),
        crystal=replace(CRYSTAL, mosaic_spread_deg=0.4, mosaic_domains=2),
        background=Background(water_um=0.1),
        sampling=Sampling(oversample=2, dmin_A=2.5),
    )
    return {
        "plain": BASE,
        "oversample": replace(BASE, sampling=Sampling(oversample=3)),
        "layers": replace(BASE, detector=thick()),
        "layers_oversample": replace(BASE, detector=thick(), sampling=Sampling(oversample=2)),
        "cell": replace(BASE, crystal=replace(CRYSTAL, cell=(40, 50, 60, 100, 75, 115))),
        "water": replace(BASE, background=Background(water_um=0.2), sampling=Sampling(oversample=2)),
        "water_dmin": replace(BASE, background=Background(water_um=0.2), sampling=Sampling(oversample=2, dmin_A=3)),
        "weights": replace(BASE, beam=Beam(kahn_factor=0.5, sourcefile=sourcefile)),
        "phi": replace(BASE, scan=Scan(phi_deg=-1, osc_deg=4, phisteps=3)),
        "mosaic": replace(BASE, crystal=replace(CRYSTAL, mosaic_spread_deg=0.6, mosaic_domains=4)),
        "round": replace(BASE, crystal=replace(CRYSTAL, shape="round", fudge=0.8)),
        "gauss": replace(BASE, crystal=replace(CRYSTAL, shape="gauss", fudge=0.7, Na=2, Nb=2, Nc=1)),
        "tophat": replace(BASE, crystal=replace(CRYSTAL, shape="tophat", fudge=0.2, Na=2, Nb=1, Nc=2)),
        "interpolation": replace(
            BASE, crystal=small, structure_factors=box, detector=replace(DETECTOR, distance_mm=22, rotz_deg=0)
        ),
        "curved": replace(BASE, detector=replace(DETECTOR, curved=True)),
        "point_pixel": replace(BASE, detector=replace(DETECTOR, point_pixel=True)),
        "nopolar": replace(BASE, beam=Beam(nopolar=True), sampling=Sampling(oversample=2, dmin_A=3)),
        "every": every,
    }


NAMES = list(variants(None))


def against_naive(simulation: Simulation, precision: str) -> None:
    """Hold the pipeline against the plain computation."""
    result = simulate(simulation, precision=precision)
    wanted = naive_image(result.experiment)
    off = np.abs(result.image - wanted)
    # float32 storage is 6e-8; the mixed kernels add their polynomials
    assert wanted.max() > 0
    assert off.max() <= (1e-7 if precision == "double" else 3e-7) * wanted.max()
    lit = wanted > 0
    assert np.percentile(off[lit] / wanted[lit], 99) <= (2e-7 if precision == "double" else 2e-6)


@pytest.mark.parametrize("precision", ["double", "auto"])
@pytest.mark.parametrize("name", NAMES)
def test_correct_physics(sourcefile, name, precision):
    against_naive(replace(variants(sourcefile)[name], physics="correct"), precision)


@pytest.mark.parametrize("precision", ["double", "auto"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "interpolation"])
def test_reference_physics(sourcefile, name, precision):
    """Interpolation in the reference's order is held against its own images (tests/cli/test_golden.py)."""
    against_naive(variants(sourcefile)[name], precision)


CHANGED = {
    "layers",
    "layers_oversample",
    "cell",
    "water",
    "weights",
    "phi",
    "gauss",
    "tophat",
    "interpolation",
    "every",
}


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_corrections_change_the_image_and_warn(sourcefile, name):
    """Each row of the table bites, and the reference mode says so."""
    simulation = variants(sourcefile)[name]
    reference = simulate(simulation)
    correct = simulate(replace(simulation, physics="correct"))
    scale = reference.image.max()
    assert np.abs(reference.image - correct.image).max() > 1e-4 * scale
    assert any("--physics correct" in warning for warning in reference.warnings)
    assert not any("--physics correct" in warning and "no effect" not in warning for warning in correct.warnings)


def test_correct_cell_is_the_one_given():
    cell = (40, 50, 60, 100, 75, 115)
    simulation = replace(BASE, crystal=replace(CRYSTAL, cell=cell), physics="correct")
    np.testing.assert_allclose(resolve(simulation).crystal.unit_cell, cell, rtol=1e-12)


def test_phi_midpoints():
    scan = Scan(phi_deg=10, osc_deg=3, phisteps=3)
    correct = resolve(replace(BASE, scan=scan, physics="correct"))
    np.testing.assert_allclose(np.rad2deg(correct.scan.phi), [10.5, 11.5, 12.5])
    np.testing.assert_allclose(np.rad2deg(resolve(replace(BASE, scan=scan)).scan.phi), [10, 11, 12])


# properties, on random experiments

angles = st.floats(-180, 180)
experiments = st.builds(
    lambda misset, N, shape, phi, tilt, wavelength, oversample, physics: replace(
        BASE,
        crystal=replace(CRYSTAL, misset_deg=misset, Na=N[0], Nb=N[1], Nc=N[2], shape=shape),
        beam=Beam(wavelength_A=wavelength, kahn_factor=0.3),
        scan=Scan(phi_deg=phi),
        detector=replace(DETECTOR, fpixels=9, spixels=8, pixel_mm=2, rotx_deg=tilt[0], roty_deg=tilt[1]),
        sampling=Sampling(oversample=oversample),
        physics=physics,
    ),
    st.tuples(angles, angles, angles),
    st.tuples(*[st.integers(1, 40)] * 3),
    st.sampled_from(["square", "round"]),
    angles,
    st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
    st.floats(0.5, 2),
    st.integers(1, 3),
    st.sampled_from(["reference", "correct"]),
)
many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(experiments)
def test_fast_equals_general(simulation):
    general = simulate(simulation, precision="double").image
    fast = simulate(simulation, precision="auto").image
    assert np.abs(fast - general).max() <= 2e-6 * general.max()


@many
@given(experiments, st.floats(1e-3, 1e3))
def test_intensity_scales_with_fluence(simulation, factor):
    one = simulate(replace(simulation, beam=replace(simulation.beam, fluence=1e29))).image
    other = simulate(replace(simulation, beam=replace(simulation.beam, fluence=1e29 * factor))).image
    np.testing.assert_allclose(other, one * factor, rtol=3e-7)


@many
@given(experiments, st.data())
def test_roi_is_a_cut_of_the_whole(simulation, data):
    whole = simulate(simulation).image
    xmin, ymin = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 7))
    xmax, ymax = data.draw(st.integers(xmin, 8)), data.draw(st.integers(ymin, 7))
    sampling = replace(simulation.sampling, roi=(xmin, xmax, ymin, ymax))
    part = simulate(replace(simulation, sampling=sampling)).image
    cut = np.zeros_like(whole)
    cut[ymin : ymax + 1, xmin : xmax + 1] = whole[ymin : ymax + 1, xmin : xmax + 1]
    np.testing.assert_array_equal(part, cut)


@many
@given(experiments, st.data())
def test_mask_zeroes_pixels(simulation, data):
    whole = simulate(simulation).image
    mask = np.array(data.draw(st.lists(st.integers(0, 1), min_size=72, max_size=72)), np.uint16).reshape(8, 9)
    masked = simulate(replace(simulation, mask=mask)).image
    np.testing.assert_array_equal(masked, whole * mask)


@many
@given(experiments)
def test_threads_give_the_same_bits(simulation):
    np.testing.assert_array_equal(simulate(simulation, threads=1).image, simulate(simulation, threads=2).image)


def test_one_cell_has_no_lattice_factor():
    """N = 1: a pixel is F_cell^2 times the constants, whatever the orientation."""
    one = replace(CRYSTAL, Na=1, Nb=1, Nc=1)
    simulation = replace(BASE, crystal=one, structure_factors=StructureFactors(default_F=10.0))
    for precision in ("double", "auto"):
        image = simulate(simulation, precision=precision).image
        turned = simulate(replace(simulation, crystal=replace(one, misset_deg=None)), precision=precision).image
        # a mixed kernel's grating function of one cell is the ratio of two equal polynomials
        np.testing.assert_allclose(image, turned, rtol=1e-7 if precision == "double" else 1e-6)
        np.testing.assert_allclose(image, naive_image(resolve(simulation)), rtol=1e-6)


def test_panels_equal_single_panels():
    """A list of panels renders each as if it were alone, bit for bit."""
    panels = (
        Panel(pix0_mm=(60, 5, -8), fast_axis=(0, 0, 1), slow_axis=(0, -1, 0), spixels=8, fpixels=11, pixel_mm=0.8),
        Panel(pix0_mm=(55, 15, 3), fast_axis=(0.1, 0.2, 1), slow_axis=(0, -1, 0.2), spixels=6, fpixels=7, pixel_mm=0.5),
    )
    together = simulate(replace(BASE, detector=Detector(panels=panels)))
    assert [image.shape for image in together.images] == [(8, 11), (6, 7)]
    for panel, image in zip(panels, together.images, strict=True):
        alone = simulate(replace(BASE, detector=Detector(panels=(panel,)))).image
        assert image.max() > 0
        np.testing.assert_array_equal(image, alone)


def test_a_panel_is_the_detector_it_describes():
    """The same geometry, by beam centre and as a panel."""
    wanted = simulate(BASE)
    place = wanted.experiment.panel
    panel = Panel(
        pix0_mm=tuple(1000 * place.pix0),
        fast_axis=tuple(place.fdet),
        slow_axis=tuple(place.sdet),
        spixels=place.spixels,
        fpixels=place.fpixels,
        pixel_mm=0.9,
    )
    image = simulate(replace(BASE, detector=Detector(panels=(panel,)))).image
    assert np.abs(image - wanted.image).max() <= 1e-6 * wanted.image.max()


@pytest.mark.parametrize("every", [False, True], ids=["first sub-pixel", "every sub-pixel"])
def test_solid_angle_that_a_run_reports(every):
    """Summed over layers and sub-pixels, of the pixels that are rendered, and divided by the steps."""
    mask = np.ones((22, 26))
    mask[3:9, 5:20] = 0
    sampling = Sampling(oversample=2, oversample_omega=every)
    result = simulate(replace(BASE, detector=thick(), sampling=sampling, mask=mask))
    experiment = result.experiment
    places = [(layer, s, f) if every else (0, 0, 0) for layer in range(3) for s in range(2) for f in range(2)]
    omegas = (solid_angle(experiment, directions(experiment, *place, 0.0)[0]) for place in places)
    expected = sum(omega[mask != 0].sum() for omega in omegas) / experiment.steps
    assert result.facts()["solid_angle_printed"] == result.solid_angle == pytest.approx(expected, rel=1e-12)
