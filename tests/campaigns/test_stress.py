"""Whole experiments at random: laws that every image obeys, and what ``python -m tests.campaigns.stress`` has found.

The draws are those of ``tests/campaigns/stress/draw.py``, every third number by number from hypothesis, which likes
extremes and looks for the smallest experiment that fails, the others from a seed. They are the same in every run;
another ``--seed`` goes farther.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.errors import NbnumbaError
from nbnumba.io.fdump import write_fdump
from nbnumba.model.experiment import resolve
from nbnumba.render.dispatch import make_plan
from nbnumba.render.inputs import KernelInputs, build_inputs
from tests.campaigns.stress import draw as drawing
from tests.campaigns.stress.check import FAINTEST, define, is_beyond, judge, prepare, render
from tests.campaigns.stress.dice import Dice, Generator
from tests.campaigns.stress.draw import draw
from tests.kernels.test_cuda_simulator import Job, cut, make_gpu_plan, render_simulated

#: float32 storage of two images, each rounded to within 6e-8
STORED = 1.3e-7


class Drawn:
    """Numbers of hypothesis, for :class:`Dice`."""

    def __init__(self, make: Callable) -> None:
        self.make = make

    def real(self, low: float, high: float) -> float:
        return self.make(st.floats(low, high, allow_nan=False))

    def whole(self, low: int, high: int) -> int:
        return self.make(st.integers(low, high))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the files of experiments lie; each one writes over those of the last."""
    return tmp_path_factory.mktemp("stress")


@pytest.fixture(autouse=True, scope="module")
def small():
    """Smaller images than the runner's."""
    before, drawing.BUDGET = drawing.BUDGET, 15_000
    yield
    drawing.BUDGET = before


laws = partial(
    settings,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def dice_of(data) -> Dice:
    """Dice whose numbers hypothesis draws, or seeds."""
    if data.draw(st.integers(0, 2)) == 0:
        return Dice(Drawn(data.draw))
    return Dice(Generator(data.draw(st.integers(0, 2**32))))


def drawn(data, folder: Path, *more: str) -> KernelInputs:
    """An experiment that is not refused; ``more`` words overrule those drawn."""
    words = draw(dice_of(data), folder)
    try:
        return prepare([*words, *more])
    except NbnumbaError:
        reject()


def double(inputs: KernelInputs) -> np.ndarray:
    """Image of the general kernel, float64."""
    return render(inputs, make_plan(inputs, "cpu", "double"), np.float64)


def scaled(inputs: KernelInputs, factor: float) -> KernelInputs:
    """All structure factors times a number."""
    cell = inputs.cell._replace(default_F=factor * inputs.cell.default_F)
    return replace(inputs, cell=cell, Fhkl=factor * inputs.Fhkl)


@laws(max_examples=60)
@given(st.data())
@pytest.mark.slow
def test_every_kernel_is_within_its_limit_and_finite(folder, data):
    inputs = drawn(data, folder)
    verdict = judge(inputs, np.random.default_rng(0))
    assert not verdict.problems
    assert not [f"{kernel}: {e:.1e}" for kernel, e in verdict.errors.items() if is_beyond(verdict, kernel)]


@laws(max_examples=20)
@given(st.data(), st.sampled_from([2.0, 0.125, 1024.0]))
def test_intensity_scales_with_the_square_of_F(folder, data, factor):
    """By powers of two, so that not one bit may differ; water's scattering is not F's."""
    inputs = drawn(data, folder, "-water", "0", "-fluence", "1e28")
    exact, more = double(inputs), double(scaled(inputs, factor))
    if exact.max() < FAINTEST:
        return
    # where a product falls below the smallest normal number it loses digits
    np.testing.assert_allclose(more, factor**2 * exact, rtol=1e-14, atol=1e-280)
    plan = make_plan(inputs, "cpu")
    one, other = render(inputs, plan), render(scaled(inputs, factor), plan)
    assert np.abs(other - factor**2 * one.astype(float)).max() <= STORED * factor**2 * max(one.max(), FAINTEST)


@laws(max_examples=20)
@given(st.data(), st.floats(1e-3, 1e3))
def test_intensity_scales_with_fluence(folder, data, factor):
    inputs = drawn(data, folder, "-water", "0", "-fluence", "1e28", "-flux", "0")
    brighter = replace(inputs, beam=inputs.beam._replace(scale=factor * inputs.beam.scale))
    np.testing.assert_allclose(double(brighter), factor * double(inputs), rtol=1e-14, atol=1e-280)
    plan = make_plan(inputs, "cpu")
    one, other = render(inputs, plan), render(brighter, plan)
    assert np.abs(other - factor * one.astype(float)).max() <= STORED * factor * max(one.max(), FAINTEST)


def rotation(data) -> np.ndarray:
    """A rotation, (3, 3)."""
    matrix = np.linalg.qr(np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(3, 3)))[0]
    return matrix * np.sign(np.linalg.det(matrix))


def rotated(inputs: KernelInputs, R: np.ndarray) -> KernelInputs:
    """Crystal, sources, polarization axis and detector turned together."""
    panel = inputs.panel._replace(
        **dict(zip(inputs.panel._fields[:15], (np.array(inputs.panel[:15]).reshape(5, 3) @ R.T).ravel(), strict=True))
    )
    beam = inputs.beam._replace(**dict(zip(("polar_x", "polar_y", "polar_z"), R @ inputs.beam[:3], strict=True)))
    sources = np.column_stack([inputs.sources[:, :3] @ R.T, inputs.sources[:, 3:]])
    cells = (inputs.cells.reshape(-1, 3, 3) @ R.T).reshape(-1, 9)
    return replace(inputs, panel=panel, beam=beam, sources=sources, cells=cells)


@laws(max_examples=25)
@given(st.data())
def test_turning_everything_together_leaves_the_image(folder, data):
    """But for the curved detector, whose formula is made for a beam along x (docs/quirks.md)."""
    inputs = drawn(data, folder, "-nointerpolate")
    if inputs.panel.curved or inputs.crystal.shape == 3 or inputs.beam.dmin > 0:
        reject()  # a tophat's edge and a resolution limit are steps: the last bit decides
    exact, turned = double(inputs), double(rotated(inputs, rotation(data)))
    if exact.max() < FAINTEST:
        return
    _, uncertain = define(inputs, exact, np.random.default_rng(0))
    # nearest reflections change at half indices, where a last bit decides: of few pixels
    off = np.abs(turned - exact) > (1e-10 + 50 * uncertain) * exact.max()
    assert off.sum() <= (0.02 * off.size if inputs.cell.has_hkl else 0)


@laws(max_examples=25)
@given(st.data())
def test_one_cell_has_no_lattice_factor(folder, data):
    """N = 1: every pixel is F^2 and the corrections, whatever cell and orientation are."""
    inputs = drawn(data, folder, "-square_xtal", "-N", "1", "-dump", str(folder / "none.bin"), "-default_F", "7")
    elsewhere = replace(inputs, cells=inputs.cells[::-1] @ np.diag(np.linspace(1.0, 3.0, 9)))
    exact = double(inputs)
    np.testing.assert_allclose(double(elsewhere), exact, rtol=1e-13, atol=0)
    if exact.max() < FAINTEST or inputs.beam.oversample_thick + inputs.beam.oversample_polar:
        return
    for other in (inputs, elsewhere):
        image = render(other, make_plan(other, "cpu"))
        # a mixed kernel's grating function of one cell is the ratio of two equal polynomials
        assert np.abs(image - exact).max() <= 1e-6 * exact.max()


@laws(max_examples=15)
@given(st.data())
def test_oversampling_converges(folder, data):
    """With correct physics, fringes wider than a pixel and equal F: halving sub-pixels takes the error to a fourth."""
    dice = dice_of(data)
    N, cell = [dice.count(1, 40) for _ in "abc"], [dice.spread(30.0, 120.0) for _ in "abc"]
    pixel = 100.0 * 0.4 / max(n * a for n, a in zip(N, cell, strict=True))  # mm, at 100 mm and 1 A
    words = ["--physics", "correct", "-default_F", "10", "-dump", str(folder / "none.bin"), "-nointerpolate"]
    words += ["-cell", *(f"{x:.6g}" for x in cell), "-distance", "100", "-pixel", f"{pixel:.6g}", "-detpixels", "9"]
    words += ["-misset", *(f"{dice.real(-90.0, 90.0):.6g}" for _ in "xyz"), "-lambda", "1"]
    words += [word for axis, n in zip("abc", N, strict=True) for word in (f"-N{axis}", str(n))]
    words += ["-Xbeam", f"{dice.real(-60.0, 60.0):.6g}", "-Ybeam", f"{dice.real(-60.0, 60.0):.6g}"]
    images = [double(prepare([*words, "-oversample", str(n)])) for n in (2, 4, 8)]
    coarse, fine = (np.abs(a - b).max() for a, b in itertools.pairwise(images))
    assert fine <= 0.35 * coarse + 1e-10 * images[-1].max()


@laws(max_examples=20)
@given(st.data())
def test_the_sum_over_sources_and_orientations_is_linear(folder, data):
    """Each source alone, each half of the orientations alone, added up."""
    inputs = drawn(data, folder, "-nointerpolate", "-water", "0")
    spread = np.concatenate([inputs.sources, inputs.sources * (1, 1, 1, 1.01, 0.5)])
    inputs = replace(inputs, sources=spread)
    beam = inputs.beam
    if beam.oversample_thick + beam.oversample_polar + beam.oversample_omega:
        reject()  # these multiply the running sum: not linear, by the reference's definition
    if not beam.per_term and not beam.nopolar:
        inputs = replace(inputs, beam=beam._replace(nopolar=1))  # the reference takes the first source's polarization
    whole = double(inputs)
    parts = [replace(inputs, sources=inputs.sources[i : i + 1]) for i in range(len(inputs.sources))]
    np.testing.assert_allclose(sum(double(part) for part in parts), whole, rtol=1e-12, atol=1e-290)
    half = len(inputs.cells) // 2
    if half:
        parts = [replace(inputs, cells=inputs.cells[:half]), replace(inputs, cells=inputs.cells[half:])]
        np.testing.assert_allclose(sum(double(part) for part in parts), whole, rtol=1e-12, atol=1e-290)


@laws(max_examples=30)
@given(st.data())
def test_a_region_is_a_cut_and_a_mask_zeroes(folder, data):
    """Bit for bit, in the kernel and the tiles that the whole image takes; within 1e-6 in the part's own."""
    inputs = drawn(data, folder)
    panel = inputs.panel
    if inputs.cell.interpolate and not inputs.cell.fallback_each:
        reject()  # the first pixel out of range ends interpolation for those that follow: a part is another run
    s0 = data.draw(st.integers(panel.s0, panel.s1 - 1))
    f0 = data.draw(st.integers(panel.f0, panel.f1 - 1))
    s1, f1 = data.draw(st.integers(s0 + 1, panel.s1)), data.draw(st.integers(f0 + 1, panel.f1))
    part = replace(inputs, panel=panel._replace(s0=s0, s1=s1, f0=f0, f1=f1))
    masked = replace(inputs, mask=(np.random.default_rng(1).random((panel.s1, panel.fpixels)) < 0.7).astype(np.uint8))
    for precision in ("auto", "double"):
        plan = make_plan(inputs, "cpu", precision)
        whole = render(inputs, plan)
        cropped = np.zeros_like(whole)
        cropped[s0:s1, f0:f1] = whole[s0:s1, f0:f1]
        got = render(part, plan)
        np.testing.assert_array_equal(got, cropped[: len(got)])
        if not inputs.mask.size:
            np.testing.assert_array_equal(render(masked, plan), whole * masked.mask)
        own = render(part, make_plan(part, "cpu", precision))
        assert np.abs(own - got).max() <= 1e-6 * max(got.max(), FAINTEST)


@pytest.mark.slow
def test_cuda_simulator(tmp_path):
    """A few tiny experiments by the CUDA kernels, run by numba's simulator."""
    jobs, exact, i = {}, {}, 0
    while len(jobs) < 5:
        i += 1
        (tmp_path / str(i)).mkdir()
        try:
            inputs = prepare(draw(Dice(Generator(7, i)), tmp_path / str(i)))
        except NbnumbaError:
            continue
        inputs = cut(inputs, (inputs.panel.s1 // 2, inputs.panel.f1 // 2))
        image = double(inputs)
        if inputs.steps_per_pixel <= 60 and FAINTEST < image.max() < 1e38 and not inputs.mask.size:
            kernel = make_gpu_plan(inputs).kernel
            jobs[f"{i}, {kernel}"] = Job(inputs, kernel, image.shape)
            exact[f"{i}, {kernel}"] = image
    for name, image in render_simulated(jobs, tmp_path).items():
        expected = exact[name]
        assert np.abs(image - expected).max() <= 2e-6 * expected.max(), name


# what the runner found


def command(line: str, folder: Path, **files: str) -> KernelInputs:
    """Arguments of the kernels for a command line; keywords are texts of files."""
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    words = [word.replace("FOLDER", str(folder)) for word in shlex.split(line)]
    return build_inputs(resolve(build(parse(["-dump", str(folder / "none.bin"), *words]))[0]))


def check(inputs: KernelInputs) -> None:
    """Hold every kernel against its limit."""
    verdict = judge(inputs, np.random.default_rng(0))
    assert not verdict.problems
    assert not [f"{kernel}: {e:.1e}" for kernel, e in verdict.errors.items() if is_beyond(verdict, kernel)]


def test_round_crystal_next_to_its_peak(tmp_path):
    """sin x / x - cos x cancels for small x: a pixel in the direct beam was black."""
    check(
        command(
            "-lambda 0.805904 -cell 112.184 43.0541 40.7168 52.8243 56.3441 26.5128 -round_xtal -Na 2 -Nb 185 -Nc 32 "
            "-distance 38.5826 -pixel 0.0163714 -adxv -twotheta -79.1182 -Xclose 24.6556 -Yclose 7.03098 -oversample 1 "
            "-nointerpolate -detpixels_f 12 -detpixels_s 10 -default_F 0.029146",
            tmp_path,
        )
    )


@pytest.mark.parametrize("physics", ["reference", "correct"])
def test_sensor_of_a_curved_detector_seen_from_behind(tmp_path, physics):
    """exp(-t / parallax) grows without limit where a ray comes from behind the flat panel: infinite, negative photons."""
    check(
        command(
            f"--physics {physics} -lambda 1 -cell 20 30 40 -N 5 -default_F 100 -curved_det -detector_thick 10 "
            "-detector_abs 1 -distance 2 -pixel 0.2 -oversample 1 -nointerpolate -detpixels_f 41 -detpixels_s 40",
            tmp_path,
        )
    )


@pytest.mark.parametrize("misset", ["90 63 30", "110 77 30", "120 84 30"])
def test_float32_phases_at_half_indices(tmp_path, misset):
    """Of 1e7 terms some lie within 3e-8 of a half index, and took the neighbour's F: with N = 1 a pixel was 1e-3 off."""
    write_fdump(tmp_path / "F.bin", np.random.default_rng(1).uniform(100, 300, (9, 9, 9)), (-4, -4, -4))
    check(
        command(
            f"-lambda 1 -cell 10 12 14 80 95 100 -misset {misset} -N 1 -mosaic 2 -mosaic_domains 300 -distance 100 "
            "-pixel 0.5 -Xbeam 60 -Ybeam 0 -detpixels 190 -oversample 1 -nointerpolate -dump FOLDER/F.bin -default_F 1",
            tmp_path,
        )
    )


def test_float32_phases_far_from_every_peak(tmp_path):
    """N times the rounding of an index far from a whole one: 5e-6 of the maximum of an image without a peak."""
    check(
        command(
            "--physics correct -lambda 0.584965 --spectrum FOLDER/spectrum.txt -cell 3.94063 34.8191 81.377 90 90 90 "
            "-misset -156.638 -96.3395 160.903 -Na 501 -Nb 580 -Nc 1 -mosaic 0.0108508 -mosaic_domains 205 -mosaic_seed "
            "397779 -close_distance 42.3758 -pixel 0.000427137 -fdet_vector 0.652958 -0.597608 3.38728 -sdet_vector "
            "0.103357 -4.68913 0.238661 -odet_vector 4.08854 0.327805 -0.215123 -spindle_axis -0.475225 0.26939 -0.228391 "
            "-pivot sample -ORGX -2934.73 -ORGY 2598.4 -oversample 1 -nointerpolate -detpixels_f 135 -detpixels_s 76 "
            "-default_F 20",
            tmp_path,
            spectrum="0.584965 0.2\n0.590815 0.3\n0.596664 0.4\n0.602514 0.1\n0.608364 0.2\n",
        )
    )


def test_float32_phases_where_a_few_orientations_outshine_hundreds(tmp_path):
    """Between reflections the errors of 2144 terms average out no better than those of a dozen: 3e-6 of the maximum."""
    check(
        command(
            "-lambda 0.852911 -polar 1 -cell 15.9932 5.20045 6.14671 53.1717 85.4977 107.237 -misset -61.1814 123.049 "
            "150.891 -Na 40 -Nb 142 -Nc 4 -mosaic 5.557 -mosaic_domains 268 -mosaic_seed 254288 -phi -94.4396 -osc "
            "0.0343319 -phisteps 2 -distance 113.366 -pixel 0.0137759 -xds -detector_rotx 23.171 -detector_roty -11.508 "
            "-detector_rotz 30.146 -oversample 2 -nointerpolate -detpixels_f 71 -detpixels_s 69 -default_F 20",
            tmp_path,
        )
    )
