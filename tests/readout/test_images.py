"""Integer and grey images: the reference's numbers from its own float images, and the rules at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.readout.images import integer_image, pgm_image
from tests.conftest import CASES, slices


def value(case: dict, flag: str, default: float) -> float:
    return float(case["args"][case["args"].index(flag) + 1]) if flag in case["args"] else default


@pytest.mark.golden
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "int" in case["outputs"]])
def test_integers_of_the_reference(name, golden_images):
    case = CASES[name]
    counts, scale = integer_image(
        golden_images[name], slices(case), value(case, "-scale", 0.0), value(case, "-adc", 40.0)
    )
    assert np.array_equal(counts, golden_images[name + "__int"])
    assert scale == case["expect"]["intfile_scale"]


@pytest.mark.golden
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "pgm" in case["outputs"]])
def test_grey_levels_of_the_reference(name, golden_images):
    case = CASES[name]
    levels, scale = pgm_image(
        golden_images[name], slices(case), value(case, "-pgmscale", 0.0), rmsd=case["expect"]["rmsd"], int_scale=1.0
    )
    assert np.array_equal(levels, golden_images[name + "__pgm"])
    assert scale == pytest.approx(case["expect"]["pgm_scale"], rel=1e-15)  # the division rounds once more


def test_region_and_offset():
    image = np.full((6, 8), 2.0, np.float32)
    counts, _ = integer_image(image, (1, 4, 2, 7), 10.0, 40.0)
    levels, _ = pgm_image(image, (1, 4, 2, 7), 10.0, rmsd=1.0, int_scale=1.0)
    inside = np.zeros(image.shape, bool)
    inside[1:4, 2:7] = True
    assert (counts[inside] == 60).all() and not counts[~inside].any()
    assert (levels[inside] == 20).all() and not levels[~inside].any()


def test_automatic_scales():
    image = np.array([[0.0, 4.0], [9.0, 1.0]], np.float32)
    assert integer_image(image, (0, 2, 0, 2))[1] == 55000.0 / 9
    assert integer_image(image, (0, 1, 0, 2))[1] == 55000.0 / 4  # only the region counts
    assert integer_image(image * 0, (0, 2, 0, 2))[1] == 1.0
    assert pgm_image(image, (0, 2, 0, 2), rmsd=2.5, int_scale=7.0)[1] == 20.0
    assert pgm_image(image, (0, 2, 0, 2), rmsd=0.0, int_scale=7.0)[1] == 7.0


def test_rounding_is_that_of_a_float():
    # 40000.4985 + 0.5 is 40000.9985 in double and 41001 only after the rounding to a multiple of 2^-8
    image = np.array([[40000.4985, 0.5, 1.4999]], np.float64)
    counts, _ = integer_image(image.astype(np.float32), (0, 1, 0, 3), 1.0, 0.0)
    expected = np.floor((image.astype(np.float32).astype(float) + 0.5).astype(np.float32))
    assert counts.tolist() == expected.tolist() and counts[0, 1] == 1


@settings(max_examples=50)
@given(st.floats(-10, 1e6, width=32), st.floats(0.001, 100), st.floats(-100, 100))
def test_clipping_and_rounding(photons, scale, offset):
    image = np.full((1, 1), photons, np.float32)
    exact = min(max(float(image[0, 0]) * scale + offset, 0.0), 65535.0)
    counts, used = integer_image(image, (0, 1, 0, 1), scale, offset)
    assert used == scale
    assert counts[0, 0] == int(np.floor(np.float32(exact + 0.5)))
    level = pgm_image(image, (0, 1, 0, 1), scale, rmsd=0.0, int_scale=1.0)[0][0, 0]
    assert level == int(min(max(float(image[0, 0]) * scale, 0.0), 255.0))


def test_views_and_other_types():
    image = np.arange(48, dtype=np.float64).reshape(6, 8)
    plain = integer_image(image.astype(np.float32), (0, 6, 0, 8), 1.0, 0.0)[0]
    assert np.array_equal(integer_image(image.T.copy().T, (0, 6, 0, 8), 1.0, 0.0)[0], plain)
