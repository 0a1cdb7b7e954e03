"""Terms of a tile that several blocks share: the portions, and the same bits as of one block."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba.render.backend import Plan
from nbnumba.render.devices import Device
from nbnumba.render.gpu import split as gpu_split
from nbnumba.render.gpu.split import MOST_CHAPTERS, MOST_MEMORY, STAGED, chapter_of, portions_of
from tests.campaigns.null_driver.build import missing
from tests.campaigns.null_driver.session import run
from tests.kernels.test_cuda_simulator import cut, golden_inputs
from tests.render.gpu.test_renderer import simulate_check

#: Golden case, further flags, kernel: sources of their own weight, sub-pixels, layers, every shape and kind of phases.
CASES = {
    "phases in fixed point, many orientations": ("mosaic_seed_phi", (), "fixed"),
    "sub-pixels": ("oversample_4_dmin", (), "fixed"),
    "layers": ("det_thick_abs_steps", (), "fast32"),
    "sources and orientations, weighed one by one": (
        "sourcefile_full",
        ("--physics", "correct", "-dmin", "2"),
        "fixed",
    ),
    "tilted, mosaic, thick, divergent": ("combo_tilt_phi_mosaic_div_thick", (), "fast32"),
    "float64": ("stress_N600_phi_osc", (), "fast64"),
    "round": ("shape_round_fudge", (), "fast64"),
    "gauss, correct": ("shape_gauss_fudge", ("--physics", "correct", "-water", "1"), "fast64"),
}


@given(st.integers(1, 10**7))
def test_chapters(terms):
    """Whole portions of what is staged at a time, not too many, and their length a matter of the terms alone."""
    length = chapter_of(terms)
    assert length % STAGED == 0
    assert -(-terms // length) <= MOST_CHAPTERS


@given(st.integers(1, 4000), st.integers(1, 100), st.integers(1, 10**6), st.integers(1, 200))
def test_portions(tiles, steps, terms, processors):
    portions = portions_of(tiles, steps, terms, processors)
    assert 1 <= portions <= 65535
    if tiles >= 2 * processors:
        assert portions == 1
    # the sums of all portions, in float64 for tiles of 16 x 16 pixels
    assert portions == 1 or portions * tiles * 256 * 8 <= MOST_MEMORY


def test_few_tiles_give_every_multiprocessor_its_blocks():
    """64 x 64 pixels with 1e5 phi steps on an H100: two blocks and more for each of 132 multiprocessors."""
    portions = portions_of(16, 1, 100_000, 132)
    assert 16 * portions >= 2 * 132
    assert portions_of(1, 1, 100_000, 132) > 100
    assert portions_of(4096, 1, 100_000, 132) == 1
    assert portions_of(16, 1, 10, 132) == 1  # not worth a second launch


#: In a simulator these take up to half a minute each.
_LONG = (
    "phases in fixed point, many orientations",
    "sources and orientations, weighed one by one",
    "tilted, mosaic, thick, divergent",
    "layers",
    "gauss, correct",
    "sub-pixels",
    "round",
    "float64",
)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in _LONG)) for name in CASES])
def test_same_bits_as_of_one_block(name):
    assert simulate_check(f"simulated_bits({name!r})", __name__) == ""


def simulated_bits(name: str) -> None:
    """An image rendered by few multiprocessors and by many, in chapters of 64 terms."""
    from nbnumba.render.gpu import renderer as gpu_render

    case, flags, kernel = CASES[name]
    inputs = cut(golden_inputs(case, *flags), (40, 40))
    panel = inputs.panel
    s0, f0 = min(panel.s0, panel.s1 - 3), min(panel.f0, panel.f1 - 3)
    few = dict(oversample=min(panel.oversample, 2), layers=min(panel.layers, 2))
    inputs = replace(inputs, panel=panel._replace(s0=s0, s1=s0 + 3, f0=f0, f1=f0 + 3, **few))
    wanted = -(-130 // len(inputs.sources))  # of all sources together more than two chapters
    turned = np.concatenate([inputs.cells * (1 + 1e-3 * i) for i in range(-(-wanted // len(inputs.cells)))])
    inputs = replace(inputs, cells=turned[:wanted])
    gpu_split.SHORTEST, gpu_split.WORTH_SPLITTING = 64, 2
    images, portions = [], []
    for processors in (0, 100):
        device = Device(0, "simulated", (9, 0), 1 << 34, processors, 1.0)
        renderer = gpu_render.GpuRenderer(inputs, Plan("cuda:0", kernel, (16, 16), "simulated"), (device,))
        image = renderer.new_image((panel.s1 + 3, panel.f1 + 3))
        renderer.render(image)
        images.append(image[s0 : s0 + 3, f0 : f0 + 3].copy())
        portions.append(renderer.states[0].launcher.portions((s0, s0 + 3, f0, f0 + 3)))
    assert portions[0] == 1 < portions[1]
    assert images[0].max() > 0
    np.testing.assert_array_equal(images[0], images[1])


@pytest.mark.parametrize("package", ["numba-cuda", "mlir"])
def test_what_a_gpu_is_given(package, tmp_path):
    """64 x 64 pixels with 20 000 terms, on the null driver: sums of all chapters, then their end; 10 terms: one kernel."""
    if reason := missing(package):
        pytest.skip(reason)
    for terms, kernels in ((20_000, ["render_fast", "close_fast"]), (10, ["render_fast"])):
        words = "-cell 50 60 70 90 90 90 -default_F 10 -lambda 1 -distance 100 -detpixels 64 -N 10 -osc 1 -oversample 2"
        words = f"-m nbnumba run {words} -phisteps {terms} --device cuda -floatfile f.bin"
        done = run(words.split(), folder=tmp_path, package=package)
        assert done.code == 0, done.err
        assert not done.report.errors
        if package == "numba-cuda":  # the other one hands arrays over in another way than the report knows
            done.check()
        launches = [launch for launch in done.report.launches if launch.kernel in ("render_fast", "close_fast")]
        last = launches[-len(kernels) :]
        assert [launch.kernel for launch in last] == kernels
        portions = 4 * -(-terms // chapter_of(terms)) if len(kernels) == 2 else 1
        assert last[0].grid == [4, 4, portions]
        assert portions * 16 >= 2 * 132 or terms < 1000
        if len(kernels) == 2:
            assert last[1].grid == [4, 8, 1]
