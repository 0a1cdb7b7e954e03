"""The picture: no spot is lost, the beam stop does not rule the grey levels, rings lie where the formula says."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nbnumba.errors import FileError
from nbnumba.output import preview
from nbnumba.output.preview import SCREEN_DOTS, GreyScale, grey_scale, ring_radii_px, save_preview, shrink


def read_grey(path) -> np.ndarray:
    """Dots of the image area (mean of the colours, 0 black to 1 white) of a written picture."""
    from matplotlib import image

    dots = image.imread(path)[:, :, :3].mean(axis=2)
    return dots[preview._TOP : -preview._BOTTOM, preview._LEFT : -preview._RIGHT]


@settings(max_examples=50)
@given(arrays(np.float32, st.tuples(st.integers(1, 25), st.integers(1, 25)), elements=st.floats(-5, 5, width=32)))
def test_shrinking_keeps_the_largest_of_each_block(image):
    small = shrink(image, 3)
    for s in range(small.shape[0]):
        for f in range(small.shape[1]):
            assert small[s, f] == image[3 * s : 3 * s + 3, 3 * f : 3 * f + 3].max()


@given(st.floats(-100, 1e6), st.floats(1e-3, 1e4), st.floats(0, 1e9))
def test_grey_scale_can_be_inverted(background, scatter, value):
    scale = GreyScale(background, scatter, background, background + 10)
    # sinh of up to 35 loses 35 * 2^-52 relative to the height, the sum 2^-52 of its larger part
    tolerance = 1e-12 * (abs(background) + value + scatter)
    assert abs(scale.inverse(scale.forward(value)) - value) <= tolerance


def test_grey_scale_shows_spots_and_spares_the_background():
    values = np.random.default_rng(1).poisson(20, 100_000).astype(float)
    values[:300] = np.geomspace(60, 20_000, 300)
    scale = grey_scale(values, whole_photons=True)

    def darkness(value: float) -> float:
        return float(
            (scale.forward(value) - scale.forward(scale.low)) / (scale.forward(scale.high) - scale.forward(scale.low))
        )

    assert darkness(20) < 0.2  # mean background
    assert 0.3 < darkness(60) < 0.8  # nine times its scatter above it
    assert darkness(20_000) > 1  # the brightest fifth of the spots is black
    assert darkness(200) > darkness(60) + 0.1


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros(9), np.full(9, -3.0), np.arange(5.0), np.array([-9.0, -8])])
def test_grey_scale_of_odd_images(values):
    scale = grey_scale(values)
    ticks = scale.ticks()
    assert scale.low < scale.high and scale.scatter > 0
    assert ticks[0] == scale.low and all(np.diff(ticks) > 0) and ticks[-1] <= scale.high


def test_every_single_pixel_spot_is_seen(tmp_path):
    rng = np.random.default_rng(2)
    image = rng.poisson(2.0, (1500, 2100)).astype(np.uint16) + 40
    spots = [(3, 4), (700, 1111), (1499, 2099), (200, 1998)]
    for s, f in spots:
        image[s, f] = 400
    save_preview(tmp_path / "x.png", image, pedestal=40)
    grey = read_grey(tmp_path / "x.png")
    assert grey.shape == (750, 1050)  # blocks of 2
    assert np.median(grey) > 0.85
    for s, f in spots:
        assert grey[s // 2, f // 2] < 0.2


def test_beam_stop_hides_the_direct_beam(tmp_path):
    image = np.random.default_rng(3).poisson(5.0, (300, 300)).astype(np.float32)
    image[:10, :10] = 60
    plain, hot = image.copy(), image.copy()
    hot[145:155, 145:155] = 1e12
    geometry = {"beam_center_px": (150, 150), "pixel_mm": 0.1, "beamstop_mm": 2.0}
    save_preview(tmp_path / "plain.png", plain, **geometry)
    save_preview(tmp_path / "hot.png", hot, **geometry)
    assert np.array_equal(read_grey(tmp_path / "plain.png"), read_grey(tmp_path / "hot.png"))


def test_ring_radii():
    # wavelength 1, d = 1: theta 30 degrees, 2 theta 60 degrees; at d = 0.7 2 theta is beyond 90 degrees
    radii = ring_radii_px((2.0, 1.0, 0.7), 100.0, 0.1, 1.0)
    assert radii[1] == pytest.approx(1000 * np.sqrt(3), rel=1e-12)
    assert radii[0] == pytest.approx(1000 * np.tan(2 * np.arcsin(0.25)), rel=1e-12)
    assert np.isnan(radii[2])


def test_chosen_rings_fit_the_image():
    radii = ring_radii_px(preview._RINGS_A, 100.0, 0.1, 1.0)
    rings = preview.choose_rings(radii, 900.0)
    chosen = ring_radii_px(rings, 100.0, 0.1, 1.0)
    assert 3 <= len(rings) <= 5
    assert (chosen < 920).all() and (-np.diff(chosen) > 0.15 * 900).all()


def darkest_blue(path) -> np.ndarray:
    """Positions (slow, fast) of the dots that rings have coloured."""
    from matplotlib import image

    dots = image.imread(path)[preview._TOP : -preview._BOTTOM, preview._LEFT : -preview._RIGHT, :3]
    return np.argwhere(dots[:, :, 2] - dots[:, :, 0] > 0.2)


@pytest.mark.parametrize("by_map", [False, True])
def test_ring_is_drawn_where_the_resolution_is(tmp_path, by_map):
    geometry = (80.0, 0.1, 1.0)
    s, f = np.mgrid[0:1000, 0:1000] + 0.5
    radius = np.hypot(s - 500, f - 500) * 0.1
    d = 0.5 / np.sin(np.arctan(radius / 80.0) / 2)
    options = {"resolution_A": d} if by_map else {"beam_center_px": (500, 500)}
    distance, pixel, wavelength = geometry
    save_preview(
        tmp_path / "x.png",
        np.zeros((1000, 1000), np.float32),
        rings_A=(2.5,),
        distance_mm=distance,
        pixel_mm=pixel,
        wavelength_A=wavelength,
        **options,
    )
    found = np.hypot(*(darkest_blue(tmp_path / "x.png") + 0.5 - 500).T)
    found = found[found > 30]  # without the mark of the beam
    expected = ring_radii_px((2.5,), *geometry)[0]
    # the label is 25 dots wide; the ring itself a line of one dot
    assert len(found) > 500
    assert np.abs(np.median(found) - expected) < 1
    assert np.percentile(np.abs(found - expected), 90) < 2


def test_small_and_long_images(tmp_path):
    for shape in ((1, 1), (3, 2), (20, 3000)):
        save_preview(tmp_path / "x.png", np.ones(shape, np.float32), title="a < b & c", beam_center_px=(1, 1))
        grey = read_grey(tmp_path / "x.png")
        assert min(grey.shape) >= 240 and max(grey.shape) <= SCREEN_DOTS


def test_same_image_same_file(tmp_path):
    image = np.arange(600.0).reshape(20, 30)
    image[0, 0], image[1, 1] = np.nan, np.inf
    for name in ("a", "b"):
        save_preview(tmp_path / name, image, title="same")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileError, match="nowhere"):
        save_preview(tmp_path / "nowhere" / "x.png", np.zeros((4, 4)))


def test_no_matplotlib_before_it_is_needed_and_no_pyplot_at_all(tmp_path):
    code = (
        "import sys, numpy, nbnumba.output.preview as p\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"p.save_preview({str(tmp_path / 'x.png')!r}, numpy.eye(9))\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
