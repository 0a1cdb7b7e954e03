"""``--max-error``: no pixel loses more than was allowed, work is saved, and the rest is the ordinary image."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nbnumba.cli.main import main
from nbnumba.config import Background, Sampling, StructureFactors
from nbnumba.dispatch import make_plan
from nbnumba.errors import ConfigError, DeviceError
from nbnumba.inputs import build_inputs
from nbnumba.kernels.bounded import make_tables, render_bounded
from nbnumba.kernels.bounds import BOUND, LEVELS, TERMS, choose_terms, corner_maxima, level_of, sphere_bound
from nbnumba.kernels.cpu_fast import render_fast64
from nbnumba.kernels.fast_math import sinc3_sqr
from nbnumba.simulate import simulate
from tests.compiled import from_python
from tests.test_kernel_fast import NO_MASK, Case
from tests.test_physics import BASE, CRYSTAL, resolve, thick

#: Terms are summed in float32, 32 at a time, and leaving some out groups the others anew: 32 roundings of 6e-8.
ROUNDING = 2e-6
#: So small a budget that only terms of nothing are left out.
NOTHING = 1e-300
transform, transform_bound = from_python(sinc3_sqr), from_python(sphere_bound)
choose, level = from_python(choose_terms), from_python(level_of)
FLAT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def bounded(case: Case, max_error: float, real: type = np.float64, **region: int) -> tuple[np.ndarray, float]:
    """Image, and the share of terms that was left out."""
    panel = case.panel._replace(**region)
    image = np.zeros((case.spixels, case.fpixels), np.float32)
    counts = np.zeros(2, np.int64)
    tables = make_tables(case.F2, case.cell)
    blocks = (panel, case.crystal, case.cell, case.beam, case.sources, case.cells)
    render_bounded(image, *blocks, tables, NO_MASK, panel.s0, panel.s1, real, max_error, counts)
    return image, 1 - counts[0] / counts[1]


def check_loss(case: Case, max_error: float, real: type) -> float:
    """No pixel lost more than ``max_error``, or won anything; returns the share that was left out."""
    whole, _ = bounded(case, NOTHING, real)
    part, left_out = bounded(case, max_error, real)
    loss = whole.astype(float) - part
    assert (loss <= max_error + ROUNDING * whole).all(), (loss - max_error).max()
    assert (loss >= -ROUNDING * whole).all()
    return left_out


EXPERIMENTS = st.fixed_dictionaries(
    {
        "shape": st.sampled_from(["square", "square", "round"]),
        "N": st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60)),
        "wavelength": st.floats(0.6e-10, 3e-10),
        "orientations": st.sampled_from([1, 1, 2, 5, 40]),
        "n_sources": st.sampled_from([1, 1, 3]),
        "fudge": st.floats(0.3, 2.0),
        "per_term": st.sampled_from([0, 0, 1]),
        "dmin": st.sampled_from([0.0, 2e-10]),
        "curved": st.sampled_from([0, 0, 1]),
        "oversample": st.sampled_from([1, 1, 2]),
        "has_hkl": st.sampled_from([1, 1, 0]),
        "nopolar": st.sampled_from([0, 1]),
    }
)


@FLAT
@given(EXPERIMENTS, st.floats(0, 100), st.sampled_from([np.float32, np.float64]))
def test_no_pixel_loses_more_than_allowed(fields: dict, percentile: float, real: type) -> None:
    """With a single term the bound is tested at its sharpest: a tile as bright as the allowance must not be dropped."""
    case = Case(size=(16, 24), **fields)
    real = np.float64 if fields["shape"] == "round" else real
    bright = np.percentile(bounded(case, NOTHING, real)[0], percentile)
    check_loss(case, max(float(bright), 1e-30), real)


@FLAT
@given(st.floats(0, 100), st.integers(1, 3), st.integers(1, 3))
def test_layers_and_subpixels_share_the_allowance(percentile: float, layers: int, oversample: int) -> None:
    fields = {"has_thickness": 1, "layers": layers, "layer_step": 1e-4, "mu": 3000.0, "oversample": oversample}
    case = Case(N=(9, 7, 12), orientations=3, size=(16, 24), **fields)
    bright = np.percentile(bounded(case, NOTHING)[0], percentile)
    check_loss(case, max(float(bright), 1e-30), np.float64)


@pytest.mark.parametrize(("shape", "saved"), [("square", 0.8), ("round", 0.35)])
def test_work_is_saved(shape: str, saved: float) -> None:
    """Most terms are tails: a hundredth of the brightest pixel is allowance enough to leave them out."""
    case = Case(shape=shape, N=(40, 40, 40), orientations=40, wavelength=6e-10)
    peak = float(bounded(case, NOTHING)[0].max())
    shares = [check_loss(case, share * peak, np.float64) for share in (1e-6, 1e-4, 1e-2, 1e3)]
    assert shares == sorted(shares)
    assert shares[2] > saved and shares[3] == 1.0, shares


@pytest.mark.parametrize("shape", ["square", "round"])
def test_without_an_allowance_it_is_the_ordinary_image(shape: str) -> None:
    """Against the tile kernel: float32 sums in another order, and tiles of another size: float64 phases."""
    case = Case(shape=shape, N=(5, 17, 30), orientations=3, n_sources=2)
    ordinary = np.zeros((case.spixels, case.fpixels), np.float32)
    blocks = (case.panel, case.crystal, case.cell, case.beam, case.sources, case.cells)
    render_fast64(ordinary, *blocks, case.F2, NO_MASK, 0, case.spixels, (16, 8))
    image, left_out = bounded(case, NOTHING)
    assert left_out == 0.0
    np.testing.assert_allclose(image, ordinary, rtol=2e-6, atol=2e-7 * ordinary.max())


def test_threads_and_regions_do_not_change_a_bit() -> None:
    case = Case(N=(20, 20, 20), orientations=40, wavelength=6e-10)
    max_error = float(np.median(bounded(case, NOTHING)[0]))
    whole, left_out = bounded(case, max_error)
    assert 0.05 < left_out < 0.95
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = bounded(case, max_error)[0]
    finally:
        numba.set_num_threads(threads)
    assert np.array_equal(alone, whole)
    part = bounded(case, max_error, s0=5, s1=21, f0=13, f1=50)[0]
    assert np.array_equal(part[5:21, 13:50], whole[5:21, 13:50]) and part[:5].max() == 0


def test_many_terms_are_taken_in_groups() -> None:
    """More pairs than fit into one group; an allowance beyond every bound leaves out all of them."""
    case = Case(N=(3, 3, 3), orientations=2100, size=(8, 8))
    assert check_loss(case, 1e20, np.float64) == 1.0
    assert 0 < check_loss(case, float(bounded(case, NOTHING)[0].min()) / 10, np.float64) < 1


# --- the parts of the bound ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(0, 10))
def test_bound_of_the_sphere(radius: float, further: float) -> None:
    """At and beyond a radius the transform stays below the bound; 1e-9 covers the polynomials of the sines."""
    x = radius + further
    assert transform(min(x, 1e4)) <= transform_bound(min(radius, 1e4) ** 2) * (1 + 1e-9) + 1e-30


@settings(deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=100), st.floats(1e-3, 100))
@example([1.9, 1.0], 1.9)
def test_what_is_left_out_fits_the_budget_and_nothing_small_is_kept(bounds: list[float], budget: float) -> None:
    terms, chosen = np.zeros(TERMS), np.zeros(len(bounds), np.int64)
    terms[BOUND : BOUND + len(bounds)] = bounds
    count = choose(terms, len(bounds), budget, np.zeros(LEVELS), chosen)
    kept = set(chosen[:count].tolist())
    assert chosen[:count].tolist() == sorted(kept)
    left_out = [bound for i, bound in enumerate(bounds) if i not in kept]
    assert sum(left_out) <= budget * (1 + 1e-12)
    # a kernel may divide by the budget or multiply by its inverse: at a power of two below it both levels are right
    levels = {i: level(bound * (1 + 1e-12), budget) if bound <= budget else LEVELS for i, bound in enumerate(bounds)}
    lowest = min((levels[i] for i in kept), default=LEVELS)
    assert all(level(bounds[i] * (1 - 1e-12), budget) <= lowest for i in levels.keys() - kept)
    spare = budget - sum(left_out)
    assert all(bounds[i] > spare - 1e-9 * budget for i in kept if levels[i] == lowest), "one more would have fitted"


@settings(deadline=None)
@given(st.data())
def test_maxima_of_neighbours(data: st.DataObject) -> None:
    """Each entry is the largest of the reflections it stands for, default_F beyond the box."""
    case = Case()
    F2, cell = case.F2, case.cell
    maxima, most = corner_maxima(F2, cell)
    ranges = (cell.h_range, cell.k_range, cell.l_range)
    at = [data.draw(st.integers(-2, size)) for size in ranges]
    mask = data.draw(st.integers(0, 7))
    box = F2[1:].reshape(ranges)
    found = []
    for corner in range(8):
        if corner & ~mask:
            continue
        where = tuple(i + (corner >> axis & 1) for axis, i in enumerate(at))
        inside = all(0 <= i < size for i, size in zip(where, ranges, strict=True))
        found.append(box[where] if inside else F2[0])
    place = ((at[0] + 2) * (ranges[1] + 4) + at[1] + 2) * (ranges[2] + 4) + at[2] + 2
    assert maxima[mask, place] == max(found) and most == F2.max()


# --- as a user runs it --------------------------------------------------------------------------------------------

WORDS = "run -cell 50 60 70 90 90 90 -default_F 100 -N 30 -detpixels 64 -distance 400 -oversample 1 -nonoise".split()
WORDS += "-mosaic 1 -mosaic_domains 20 -fluence 1e27".split()


def test_a_run_says_what_it_left_out(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(WORDS) == 0
    capsys.readouterr()
    whole = np.fromfile("floatimage.bin", "<f4")
    assert main([*WORDS, "--max-error", "0.5", "--json", "r.json"]) == 0
    log = capsys.readouterr().err
    line = re.search(r"(?m)^left out: +([\d.]+) % of the terms; no pixel lost more than 0.5 photons$", log)
    assert line is not None, log
    record = json.loads(Path("r.json").read_text())
    assert float(line[1]) == pytest.approx(record["facts"]["left_out_percent"], rel=1e-5)
    assert record["facts"]["left_out_percent"] > 20 and record["facts"]["max_error"] == 0.5
    assert "--max-error needs the CPU" in record["chosen_because"]
    loss = whole.astype(float) - np.fromfile("floatimage.bin", "<f4")
    # the two tile kernels differ by float32 phases, 5e-6 of the maximum at most
    assert loss.max() <= 0.5 + 5e-6 * whole.max() and loss.max() > 0.001


def test_a_run_says_that_it_did_not_pay(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, "--max-error", "1e-9", "--quiet"]) == 0
    assert "--max-error left out only 0 % of the terms: without it this run is faster" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-error", "-1"), "sampling.max_error must be >= 0, got -1.0 (from --max-error)"),
        (("--max-error", "1", "--precision", "double"), "not for this run (double precision)"),
        (("--max-error", "1", "-oversample_omega"), "not for this run (-oversample_* needs the general kernel)"),
        (("--max-error", "1", "--device", "cuda"), "--max-error works on the CPU only, not on cuda: leave it out"),
    ],
)
def test_refused(words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, *words]) == 1
    assert message in capsys.readouterr().err


def test_compact_shapes_are_rendered_whole() -> None:
    crystal = replace(CRYSTAL, shape="gauss", fudge=0.01)
    plain = simulate(replace(BASE, crystal=crystal), device="cpu")
    allowed = simulate(replace(BASE, crystal=crystal, sampling=Sampling(oversample=1, max_error=1e9)), device="cpu")
    assert "no effect" in allowed.plan.reason and allowed.left_out is None
    assert np.array_equal(allowed.image, plain.image)


@pytest.mark.parametrize("physics", ["reference", "correct"])
def test_water_stays_when_every_term_is_left_out(physics: str, tmp_path: Path) -> None:
    """An allowance beyond the image leaves the background, with its corrections."""
    simulation = replace(
        BASE, detector=thick(), background=Background(water_um=0.2), sampling=Sampling(oversample=2), physics=physics
    )
    dark = replace(simulation, structure_factors=StructureFactors(default_F=1e-9, dump=tmp_path / "none"))
    allowed = replace(simulation, sampling=Sampling(oversample=2, max_error=1e30))
    result = simulate(allowed, device="cpu")
    assert result.left_out == 1.0
    np.testing.assert_allclose(result.image, simulate(dark, device="cpu").image, rtol=1e-6)


def test_plan_of_a_gpu_machine_is_the_cpu() -> None:
    inputs = build_inputs(resolve(replace(BASE, sampling=Sampling(oversample=1, max_error=1.0))))
    plan = make_plan(inputs, "auto")
    assert plan.device == "cpu" and plan.max_error == 1.0
    with pytest.raises((ConfigError, DeviceError), match="--max-error works on the CPU only"):
        make_plan(inputs, "cuda:0")
