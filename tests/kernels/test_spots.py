"""Rendering reflection by reflection against a plain NumPy sum over every pixel and orientation."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from nbnumba.kernels.cpu import spots as cpu_spots
from nbnumba.kernels.formulas import spots_shell
from nbnumba.kernels.formulas.blocks import CellBlock
from tests.kernels.test_fast import LAYERS, NO_MASK, Case, Inputs, naive

SHAPES = ["gauss", "tophat"]
#: spots of some pixels, in the reference's scale (by the product of the cells) and per axis
REFERENCE = dict(N=(3, 2, 4), fudge=3000.0)
WIDE = {"gauss": REFERENCE, "tophat": REFERENCE | {"fudge": 60.0}}
PER_AXIS = {"gauss": dict(N=(20, 19, 25), per_axis=1), "tophat": dict(N=(4, 3, 5), per_axis=1)}


def render(case, mask=NO_MASK, fill=0.0, rows=None, progress=None):
    image = np.full((case.spixels, case.fpixels), fill, np.float32)
    row0, row1 = rows or (0, case.spixels)
    blocks = (case.panel, case.crystal, case.cell, case.beam)
    cpu_spots.render_spots(image, *blocks, case.sources, case.cells, case.F2, mask, row0, row1, progress)
    return image


def check(case):
    assert spots_shell.is_for(Inputs(case, 1))
    image, expected = render(case), naive(case)
    assert expected.max() > 0
    assert np.abs(image - expected).max() <= 2e-7 * expected.max()  # float32 storage
    # of no term more is missing than 1e-12 of the brightest spot's peak, float32 storage apart
    panel, crystal = case.panel, case.crystal
    nearest = 1.0 if panel.point_pixel else panel.pixel_size**2
    peak = case.beam.scale * case.F2.max() * (crystal.Na * crystal.Nb * crystal.Nc) ** 2 * nearest
    peak /= panel.close_distance**2
    terms = len(case.sources) * len(case.cells) * panel.layers * panel.oversample**2
    assert (np.abs(image - expected) <= 2e-6 * expected + 1e-12 * terms * peak).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [WIDE, PER_AXIS])
def test_every_pixel_of_every_spot(shape, size):
    check(Case(shape=shape, orientations=9, n_sources=2, size=(60, 110), **size[shape]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("per_term", [0, 1])
def test_sub_pixels_layers_limit_and_background(shape, per_term):
    many = dict(orientations=20, n_sources=3, size=(30, 70), oversample=2, first_depth=5e-5, dmin=1.9e-10)
    check(Case(shape=shape, per_term=per_term, I_bg=50.0, **many, **LAYERS, **WIDE[shape]))


@pytest.mark.parametrize("options", [dict(point_pixel=1), dict(nopolar=1), dict(kahn_factor=0.0), dict(layers=40)])
def test_options(options):
    sensor = LAYERS | {"mu": 300.0} if "layers" in options else {}
    check(Case(shape="gauss", orientations=9, size=(40, 70), **(sensor | options), **REFERENCE))


def test_structure_factors_outside_the_box_are_default_F():
    case = Case(shape="gauss", orientations=9, size=(60, 110), h_min=2, h_range=3, k_range=17, l_range=4, **REFERENCE)
    check(case)
    case.cell = CellBlock(0, 0, 0, 1, 1, 1, 4.0, 0, 0, 0)
    case.F2 = np.array([16.0], np.float32)
    check(case)


def test_no_spot_at_all_is_the_background():
    case = Case(shape="tophat", N=(400, 400, 400), size=(8, 8), I_bg=3.0, nopolar=1)
    image = render(case)
    np.testing.assert_allclose(image, naive(case), rtol=2e-7)  # float32 storage
    assert image.min() > 0


def test_rows_columns_mask_threads_and_batches_change_no_bit(monkeypatch):
    case = Case(shape="gauss", orientations=40, n_sources=2, size=(60, 110), **REFERENCE)
    whole = render(case)
    shares = []
    monkeypatch.setattr(cpu_spots, "BATCH", 1.0)
    previous = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        np.testing.assert_array_equal(render(case, progress=shares.append), whole)
    finally:
        numba.set_num_threads(previous)
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    mask = (np.random.default_rng(1).random(whole.shape) < 0.7).astype(np.uint8)
    case.panel = case.panel._replace(s0=3, s1=50, f0=37, f1=101)
    part = render(case, mask=mask, fill=-7.0, rows=(5, 60))
    chosen = np.zeros(whole.shape, bool)
    chosen[5:50, 37:101] = True
    chosen &= mask > 0
    assert whole[chosen].max() > 0
    np.testing.assert_array_equal(part, np.where(chosen, whole, np.float32(-7.0)))


def test_what_it_leaves_to_the_tiles():
    assert spots_shell.is_for(Inputs(Case(shape="gauss", **REFERENCE), 1))
    for other in (dict(shape="square"), dict(shape="round"), dict(curved=1), dict(fudge=4.0), dict(fdet_x=0.1)):
        assert not spots_shell.is_for(Inputs(Case(**({"shape": "gauss"} | REFERENCE | other)), 1))
