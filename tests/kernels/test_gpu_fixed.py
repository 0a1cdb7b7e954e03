"""Phases in fixed point: their error against exact arithmetic, and that no index that they meet overflows.

The functions of ``gpu_fixed`` run as plain Python where numba's simulator is on, which is chosen at the first import: each
``simulated_*`` runs in a process of its own, hypothesis and all.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.render.gpu import inputs as gpu_inputs
from nbnumba.render.gpu.case import TILE as HOST_TILE
from nbnumba.render.gpu.case import CudaCase, fixed_error, fixed_point, largest_turn
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.kernel_table import LARGEST_FIXED_ERROR, choose
from tests.kernels.test_cuda_simulator import golden_inputs
from tests.render.gpu.test_renderer import simulate_check

CASES = ("shape_square_even_odd", "det_curved", "det_thick_abs_steps", "conv_denzo_twotheta", "custom_sample_close")


@pytest.mark.parametrize("name", ["errors", "halves", "turns", "huge_numbers"])
def test_arithmetic(name: str) -> None:
    assert simulate_check(f"simulated_{name}", __name__) == ""


def altered(name: str, cell: float, pixel: float, N: int) -> KernelInputs:
    """A golden case with cell vectors and pixels of another size, and N cells along every axis."""
    inputs = golden_inputs(name)
    panel = inputs.panel._replace(pixel_size=inputs.panel.pixel_size * pixel)
    crystal = inputs.crystal._replace(Na=float(N), Nb=float(N), Nc=float(N))
    return replace(inputs, panel=panel, crystal=crystal, cells=inputs.cells * cell)


def vector(rng: np.random.Generator, longest: float) -> np.ndarray:
    """A vector in a random direction, often of the greatest length."""
    v = rng.normal(size=3)
    return v / np.linalg.norm(v) * longest * rng.choice([1.0, rng.random()])


def simulated_errors() -> None:
    """An index and a phase are off by :func:`nbnumba.render.gpu.case.fixed_error` at most, beside float32's own rounding."""
    from nbnumba.kernels.gpu.fast import as_fixed
    from nbnumba.kernels.gpu.fixed import axis_of, joined, to_fixed, write_anchor

    @settings(max_examples=300)
    @given(
        st.integers(0, 2**32),
        st.floats(-6, 6).map(lambda x: 2.0**x),
        st.floats(-4, 2).map(lambda x: 2.0**x),
        st.integers(1, 5000),
    )
    def check(seed: int, cell: float, pixel: float, N: int) -> None:
        rng = np.random.default_rng(seed)
        inputs = altered("shape_square_even_odd", cell, pixel, N)
        fixed, units = fixed_point(inputs), gpu_inputs.square_units(inputs)
        if not fixed.whole_bits:
            assert fixed_error(inputs) == math.inf
            return
        turn = largest_turn(inputs.panel)
        d, v = vector(rng, turn), vector(rng, fixed.change / turn)
        fraction = rng.choice([rng.uniform(-0.5, 0.5), -0.5, 0.5, 0.0])
        row = np.zeros((1, 16), np.int32)
        write_anchor(row, 0, 0, fraction, units)
        numbers = [to_fixed(x, units.vector_scale) for x in v]
        whole, u, y = axis_of(joined(row[0, 11], row[0, 10]), numbers, as_fixed(d, units), units.count_a, units)
        index = Fraction(fraction) + sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(v, d, strict=True))
        bound = Fraction(fixed_error(inputs))
        assert abs(index - int(whole)) <= Fraction(1, 2) + bound / N + Fraction(8, 2**fixed.whole_bits * 2**29)
        # u belongs to the nearest of both numbers, where the index is a half
        off = min(abs(N * (index - int(whole) - turn) - Fraction(float(u))) for turn in (-1, 0, 1))
        assert off <= bound + Fraction(abs(float(u))) / 2**22
        assert abs(y) <= 0.5
        turns = N * index - Fraction(float(y))
        assert abs(turns - round(turns)) <= bound + Fraction(1, 2**25)

    check()


def simulated_halves() -> None:
    """An index of exactly a half belongs to the lower number, whatever the rounding of its parts."""
    from nbnumba.kernels.gpu.fast import as_fixed
    from nbnumba.kernels.gpu.fixed import axis_of, joined, to_fixed, write_anchor

    inputs = altered("shape_square_even_odd", 1.0, 1.0, 7)
    units, change = gpu_inputs.square_units(inputs), fixed_point(inputs).change
    turn = largest_turn(inputs.panel)
    rng = np.random.default_rng(1)
    for _ in range(300):
        v, d = vector(rng, change / turn), vector(rng, turn)
        index = float(v @ d)
        wanted = math.floor(index)  # a fraction makes the index this and a half
        fraction = wanted + 0.5 - index
        whole_part = round(fraction)
        row = np.zeros((1, 16), np.int32)
        write_anchor(row, 0, 0, fraction - whole_part, units)
        numbers = [to_fixed(x, units.vector_scale) for x in v]
        whole, u, y = axis_of(joined(row[0, 11], row[0, 10]), numbers, as_fixed(d, units), units.count_a, units)
        assert whole + whole_part == wanted
        assert abs(abs(u) - 3.5) < 1e-6
        assert abs(abs(y) - 0.5) < 1e-6


def simulated_turns() -> None:
    """No direction in a tile differs by more than :func:`nbnumba.render.gpu.case.largest_turn` from that of its middle."""
    from nbnumba.kernels.gpu.fast import TILE, middle, offset

    rng = np.random.default_rng(2)
    assert TILE == HOST_TILE
    closest = 0.0
    for name in CASES:
        panel = golden_inputs(name).panel._replace(f0=5, s0=3)
        most, found = largest_turn(panel), []
        for _ in range(60):
            tile_s, tile_f = rng.integers(0, -(-panel.s1 // TILE)), rng.integers(0, -(-panel.f1 // TILE))
            origin = np.zeros(4)
            middle(panel, panel.curved, tile_s * TILE + TILE // 2, tile_f * TILE + TILE // 2, origin)
            s, f = np.array([tile_s, tile_f]) * TILE + rng.choice([0, TILE - 1, rng.integers(0, TILE)], 2)
            layer, sub = rng.integers(0, panel.layers), rng.integers(0, panel.oversample, 2)
            found.append(np.linalg.norm(offset(panel, panel.curved, s, f, layer, *sub, origin)))
        assert max(found) <= most, name
        closest = max(closest, max(found) / most)
    assert closest > 0.5  # a bound that is worth something


def simulated_huge_numbers() -> None:
    """A number that does not fit, or is none, gives a wrong value and no error."""
    from nbnumba.kernels.gpu.fixed import axis_of, to_fixed

    units = gpu_inputs.square_units(altered("shape_square_even_odd", 1.0, 1.0, 7))
    for x in (1e300, -1e300, math.inf, math.nan):
        number = to_fixed(np.float64(x) if math.isfinite(x) else x, 1.0)
        assert -(2**31) <= number < 2**31
        whole, u, y = axis_of(np.int64(2**62), (number,) * 3, (np.int32(2**31 - 1),) * 3, 7, units)
        assert abs(y) <= 0.5
        assert abs(u) <= 4
        assert abs(int(whole)) < 2**31


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cell", [0.01, 1.0, 7.3, 300.0])
def test_factors_fit_into_32_bits(name, cell):
    inputs = altered(name, cell, 1.0, 5)
    fixed = fixed_point(inputs)
    longest = np.linalg.norm(inputs.cells.reshape(-1, 3), axis=1).max() / inputs.sources[:, 3].min()
    assert longest * fixed.vector_scale < 2**31
    assert largest_turn(inputs.panel) * fixed.direction_scale < 2**31
    assert fixed.vector_scale * fixed.direction_scale == pytest.approx(2.0 ** (64 - fixed.whole_bits), rel=1e-15)
    # an anchor's fraction and the change of an index stay below what the whole bits hold
    assert fixed.change + 0.5 < 2 ** (fixed.whole_bits - 1)


def test_what_does_not_fit_is_rendered_in_float64():
    inputs = altered("shape_square_even_odd", 1.0, 1.0, 5)
    assert choose(CudaCase(inputs), "auto").kernel.name == "fixed"
    assert choose(CudaCase(inputs), "mixed").kernel.name == "fast32"
    # too many cells for the error's bound; cells so large that an index leaves every number of whole bits
    many = altered("shape_square_even_odd", 1.0, 1.0, 3000)
    assert LARGEST_FIXED_ERROR < fixed_error(many) < math.inf
    assert choose(CudaCase(many), "auto").kernel.name == "fast64"
    huge = altered("shape_square_even_odd", 1e7, 1.0, 1)
    assert fixed_error(huge) == math.inf
    assert choose(CudaCase(huge), "auto").kernel.name == "fast64"
    # the crystal inside a tile, and axes for which no bound is known
    near = replace(inputs, panel=inputs.panel._replace(layers=1, layer_step=1.0))
    skew = replace(inputs, panel=inputs.panel._replace(fdet_y=inputs.panel.fdet_y + 0.05))
    for other in (near, skew):
        assert fixed_error(other) == math.inf
        assert choose(CudaCase(other), "auto").kernel.name == "fast64"
    oblique = replace(inputs, panel=inputs.panel._replace(fdet_x=inputs.panel.sdet_x, fdet_y=0.5))
    assert choose(CudaCase(oblique), "auto").kernel.name == "general"
    too_many = altered("shape_square_even_odd", 1.0, 1.0, 2**23 + 1)
    assert choose(CudaCase(too_many), "auto").kernel.name == "general"
