"""Pixels that are oblique or not square: every kernel against plain NumPy, and their edges and areas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nbnumba.errors import ConfigError
from nbnumba.io.nexus import ValidCounts, write_nexus
from nbnumba.model.config import Beam, Crystal, Detector, Panel, Sampling, Simulation, StructureFactors
from nbnumba.model.experiment import resolve
from nbnumba.model.frames import image_geometry
from nbnumba.model.geometry_files import read_geometry
from nbnumba.render.simulate import simulate
from tests.kernels.naive import naive_image

#: Long, flat, oblique, and a hexagonal grid's 236 x 204 um.
SHAPES = {
    "long": {"pixel_mm": 0.3, "slow_pixel_mm": 0.6},
    "flat": {"pixel_mm": 0.5, "slow_pixel_mm": 0.35},
    "oblique": {"pixel_mm": 0.4, "slow_axis": (0.3, -1, 0)},
    "both": {"pixel_mm": 0.4, "slow_pixel_mm": 0.3, "slow_axis": (-0.2, -1, 0.1)},
    "hexagonal": {"pixel_mm": 0.236, "slow_pixel_mm": 0.204},
}


def panel(name: str, **more) -> Panel:
    usual = {
        "pix0_mm": (-6.0, 5.0, -60.0),
        "fast_axis": (1, 0, 0.1),
        "slow_axis": (0, -1, 0),
        "fpixels": 30,
        "spixels": 24,
    }
    return Panel(**(usual | SHAPES[name] | more))


def simulation(name: str, **crystal) -> Simulation:
    return Simulation(
        crystal=Crystal(
            **({"cell": (30, 40, 50, 80, 95, 100), "misset_deg": (10, 20, 30), "Na": 4, "Nb": 3, "Nc": 5} | crystal)
        ),
        detector=Detector(convention="CUSTOM", panels=(panel(name),), beam_vector=(0, 0, -1), polar_vector=(1, 0, 0)),
        beam=Beam(wavelength_A=1.2, kahn_factor=0.6),
        structure_factors=StructureFactors(default_F=100, interpolate=False),
        sampling=Sampling(oversample=2),
        physics="correct",
    )


@pytest.mark.parametrize("name", SHAPES)
def test_edges_of_pixels_and_their_area(name):
    given = panel(name)
    found = resolve(simulation(name)).panel
    fast, slow = (np.array(axis) / np.linalg.norm(axis) for axis in (given.fast_axis, given.slow_axis))
    edges = given.pixel_mm * fast, (given.slow_pixel_mm or given.pixel_mm) * slow
    np.testing.assert_allclose(1000 * found.pixel_size * found.fdet, edges[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(1000 * found.pixel_size * found.sdet, edges[1], rtol=1e-12, atol=1e-12)
    assert 1e6 * found.pixel_size**2 == pytest.approx(np.linalg.norm(np.cross(*edges)))
    # the beam centre in pixels leads to the point on the beam
    place = found.pix0 + found.Fbeam * found.fdet + found.Sbeam * found.sdet
    np.testing.assert_allclose(place, [0, 0, -found.distance], atol=1e-12)


@pytest.mark.parametrize("kernel", ["general", "fast64", "fast32"])
@pytest.mark.parametrize("name", SHAPES)
def test_kernels_against_numpy(name, kernel):
    wanted = simulation(name)
    image = simulate(wanted, kernel=kernel).image
    reference = naive_image(resolve(wanted))
    np.testing.assert_allclose(image, reference, atol=2e-6 * reference.max())


@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_compact_spots_against_numpy(shape):
    wanted = simulation("long", shape=shape)
    reference = naive_image(resolve(wanted))
    assert reference.max() > 0
    np.testing.assert_allclose(simulate(wanted).image, reference, atol=2e-6 * reference.max())


def test_a_long_pixel_counts_the_photons_of_the_two_that_it_covers():
    """A lattice of one cell has no fine structure: 2 square pixels one above the other hold what a long one does."""
    long = simulation("long", cell=(4, 4, 4), Na=1, Nb=1, Nc=1)
    pair = replace(panel("long"), slow_pixel_mm=None, spixels=48)
    square = replace(long, detector=replace(long.detector, panels=(pair,)))
    fine = simulate(replace(square, sampling=Sampling(oversample=6))).image
    whole = simulate(replace(long, sampling=Sampling(oversample=6))).image
    np.testing.assert_allclose(whole, fine[::2] + fine[1::2], rtol=2e-4)


def test_nexus_keeps_both_sizes(tmp_path):
    geometry = image_geometry(resolve(simulation("both")))
    pixels = np.zeros((24, 30), np.int32)
    write_nexus(tmp_path / "a.nxs", pixels, geometry, ValidCounts(saturation=65000))
    (found,) = read_geometry(tmp_path / "a.nxs").panels
    (said,) = geometry.panels
    assert (found.pixel_mm, found.slow_pixel_mm) == pytest.approx((0.4, 0.3))
    mcstas = np.diag([-1, 1, -1])
    np.testing.assert_allclose(mcstas @ found.pix0_mm, said.origin_mm, atol=1e-9)
    for axis, wanted in ((found.fast_axis, said.fast), (found.slow_axis, said.slow)):
        np.testing.assert_allclose(mcstas @ axis, wanted, atol=1e-12)


def test_user_is_told_once():
    notes = [note for note in resolve(simulation("long")).warnings if "not square" in note]
    assert len(notes) == 1
    assert "0.3 x 0.6 mm" in notes[0]
    assert not any("not square" in note for note in resolve(simulation("oblique")).warnings)
    with pytest.raises(ConfigError, match="between 1/100 and 100 of pixel_mm"):
        panel("long", slow_pixel_mm=40)
