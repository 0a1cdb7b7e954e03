"""The vector code of the general kernel against its definition, ``pixel_value``, one pixel after the other."""

from __future__ import annotations

import numpy as np
import pytest

from nbnumba.kernels.cpu.general import render_general
from nbnumba.kernels.cpu.trace import record_pixel
from nbnumba.kernels.formulas.blocks import ON_SUM, ON_TERM
from nbnumba.kernels.formulas.pixel import COLUMNS
from tests.kernels.test_fast import LAYERS, NO_MASK, SHAPES, Case

FLAGS = ("oversample_thick", "oversample_polar", "oversample_omega")


def table(case):
    """The box of structure factors, in float64; along k perhaps a part of it."""
    F = np.sqrt(case.F2[1:].astype(float)).reshape(case.cell.h_range, -1, case.cell.l_range)
    return np.ascontiguousarray(F[:, : case.cell.k_range])


def render(case, mask=NO_MASK, fill=0.0):
    image = np.full((case.spixels, case.fpixels), fill, np.float32)
    fell_out = np.zeros(case.spixels, np.uint8)
    blocks = (case.panel, case.crystal, case.cell, case.beam)
    render_general(image, *blocks, case.sources, case.cells, table(case), mask, 0, case.spixels, fell_out)
    return image, fell_out


def define(case):
    """Every row pixel by pixel, as if it were the first of the image."""
    image = np.zeros((case.spixels, case.fpixels), np.float32)
    fell_out = np.zeros(case.spixels, np.uint8)
    record, F = np.zeros((1, COLUMNS)), table(case)
    blocks = (case.panel, case.crystal, case.cell, case.beam)
    for s in range(case.spixels):
        interpolating = case.cell.interpolate
        for f in range(case.fpixels):
            value, interpolating = record_pixel(
                record, s, f, *blocks, case.sources, case.cells, F, interpolating, case.cells
            )
            image[s, f] = value
        fell_out[s] = interpolating != case.cell.interpolate
    return image, fell_out


def check(case):
    (image, fell_out), (expected, expected_out) = render(case), define(case)
    assert expected.max() > 0
    np.testing.assert_allclose(image, expected, rtol=3e-7, atol=1e-13 * expected.max())  # float32 storage; rounding
    np.testing.assert_array_equal(fell_out, expected_out)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("per_term", [0, 1])
def test_everything_at_once(shape, per_term):
    flags = {} if per_term else dict.fromkeys(FLAGS, 1)
    many = dict(orientations=3, n_sources=2, size=(5, 150), oversample=2, first_depth=5e-5, dmin=1.9e-10, I_bg=50.0)
    check(Case(shape=shape, N=(3, 2, 4), per_term=per_term, **flags, **many, **LAYERS))


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("nopolar", [0, 1])
@pytest.mark.parametrize("has_water", [0, 1])
@pytest.mark.parametrize("where", [ON_SUM, ON_TERM])
def test_factors_on_the_running_sum_or_on_each_term(flag, nopolar, has_water, where):
    options = {flag: where, "nopolar": nopolar, "has_water": has_water, "I_bg": 9.0 * has_water}
    check(Case(orientations=3, n_sources=2, size=(3, 70), oversample=2, dmin=1.5e-10, **options, **LAYERS))


@pytest.mark.parametrize("options", [dict(curved=1), dict(point_pixel=1), dict(N=(1, 1, 1)), dict(N=(1000, 1, 2))])
def test_options(options):
    check(Case(size=(4, 70), orientations=2, **options))


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 3)])
def test_interpolation_in_range_throughout(size):
    case = Case(N=size, orientations=3, interpolate=1, size=(20, 150))
    check(case)
    assert not render(case)[1].any()


@pytest.mark.parametrize("fallback_each", [0, 1])
def test_interpolation_out_of_range_somewhere(fallback_each):
    # k reaches 13.5 in the first row and 10.8 in the last, and must be below 12
    options = dict(interpolate=1, fallback_each=fallback_each, k_range=62)
    case = Case(N=(1, 1, 1), orientations=3, size=(40, 150), **options)
    check(case)
    out = render(case)[1].astype(bool)
    assert not out.any() if fallback_each else out.any() and not out.all()


def test_columns_and_mask_change_nothing_else():
    case = Case(size=(6, 200), orientations=2, oversample_omega=1)
    whole, _ = render(case)
    mask = (np.random.default_rng(1).random(whole.shape) < 0.7).astype(np.uint8)
    case.panel = case.panel._replace(s0=1, s1=5, f0=7, f1=171)
    chosen = np.zeros(whole.shape, bool)
    chosen[1:5, 7:171] = True
    chosen &= mask > 0
    np.testing.assert_array_equal(render(case, mask, fill=-7.0)[0], np.where(chosen, whole, np.float32(-7.0)))
