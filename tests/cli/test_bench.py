"""``nbnumba bench``: its command line, the figures that it prints and records, and what they are made of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba.cli.bench import _numbers_of_threads
from nbnumba.cli.bench_flags import KERNELS, parse_bench
from nbnumba.cli.main import main
from nbnumba.errors import UsageError
from nbnumba.render.dispatch import make_renderer
from nbnumba.render.inputs import build_inputs
from nbnumba.render.kernel_table import TABLE
from nbnumba.render.timing import Timing, count_steps, time_images
from tests.kernels.test_physics import BASE, resolve

ROOT = Path(__file__).parents[2]
WORDS = "-cell 50 60 70 90 90 90 -default_F 10 -N 5 -detpixels 40 -distance 50 -oversample 2 -mosaic 1".split()
WORDS += "-mosaic_domains 3 -phi 1 -osc 1 -phisteps 2 --device cpu --quiet".split()
#: 40 x 40 pixels, 4 sub-pixels, 3 domains, 2 phi steps
STEPS = 40 * 40 * 4 * 3 * 2


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """What ``nbnumba bench`` prints, by label."""
    assert main(["bench", *words]) == 0
    return dict(re.split(r": +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())


def test_figures_agree_with_one_another(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = bench(capsys, *WORDS, "--repeat", "3", "--threads", "1", "--json", "b.json")
    assert shown["work"] == f"1600 pixels, {STEPS} steps"
    assert shown["kernel"].startswith("fast64, tiles ") and " on cpu " in shown["kernel"]
    assert "median of 3" in shown["image"] and "1 thread" in shown["speed"]
    record = json.loads(Path("b.json").read_text())
    image = record["image"]
    assert len(image["seconds"]) == 3 and image["median_s"] == sorted(image["seconds"])[1]
    assert image["fastest_s"] == min(image["seconds"])
    assert image["ns_per_step_and_core"] == pytest.approx(image["median_s"] / STEPS * 1e9)
    assert image["steps_per_s"] == pytest.approx(STEPS / image["median_s"])
    assert image["pixels_per_s"] == pytest.approx(1600 / image["median_s"])
    assert record["steps"] == STEPS and record["command"] == ["nbnumba", "bench", *record["command"][2:]]
    assert os.listdir() == ["b.json"], "no file of a run is written"


def test_scaling_ends_with_all_threads(capsys, tmp_path) -> None:
    shown = bench(capsys, *WORDS, "--scaling", "--repeat", "2", "--threads", "1", "--json", str(tmp_path / "b.json"))
    assert shown["1 thread"].endswith("1.00 times the speed of one")
    assert [row["threads"] for row in json.loads((tmp_path / "b.json").read_text())["scaling"]] == [1]


@given(st.integers(1, 4096))
def test_numbers_of_threads(most: int) -> None:
    numbers = _numbers_of_threads(most)
    assert numbers[0] == 1 and numbers[-1] == most
    assert all(a < b <= 2 * a for a, b in pairwise(numbers))


def test_the_demo_is_taken_without_a_crystal_and_changed_by_flags(capsys) -> None:
    shown = bench(capsys, "-roi", "0", "31", "0", "15", "-mosaic_domains", "2", "--repeat", "1", "-q")
    assert shown["experiment"].startswith("that of 'nbnumba demo'")
    assert shown["work"] == f"512 pixels, {512 * 3 * 2} steps"


def test_interpolation_is_timed_with_the_general_kernel(capsys) -> None:
    shown = bench(capsys, *WORDS, "-oversample_omega", "--repeat", "1")
    assert shown["kernel"].startswith("general, double precision")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--repeat", "0"), "--repeat needs a whole number above 0, got '0'"),
        (("--repeat=two",), "--repeat needs a whole number above 0, got 'two'"),
        (("--repeat",), "--repeat needs a value, but the command line ends there"),
        (("-cell", "50", "-trace_pixel", "1", "1"), "pixels are traced in a single run"),
        (("-hdivr", "1"), "unknown option -hdivr"),
    ],
)
def test_refused_words(words: tuple[str, ...], message: str, capsys) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_bench(words)
    assert main(["bench", *words]) == 2
    assert message in capsys.readouterr().err


def test_every_panel_is_timed() -> None:
    """Steps and pixels of two panels are counted together, and both images are rendered."""
    inputs = [build_inputs(resolve(BASE)) for _ in range(2)]
    renderers = [make_renderer(x, "cpu") for x in inputs]
    shares: list[float] = []
    panel = inputs[0].panel
    images = [np.zeros((panel.s1, panel.fpixels), np.float32) for _ in inputs]
    timing = time_images(renderers, images, 2, 2, shares.append)
    assert timing.steps == 2 * count_steps(inputs[0]) and len(timing.seconds) == 2
    assert shares.count(1.0) == 2 * 3, "two panels, one rendering to warm up and two by the clock"
    assert all(image.any() for image in images)


def test_spread_and_an_image_without_pixels() -> None:
    assert Timing((2.0, 1.0, 4.0), 10, 5, 2).spread == 1.5
    assert Timing((1.0,), 0, 0, 2).ns_per_step_and_core is None
    assert Timing((1.0,), 8, 4, 0).ns_per_step_and_core is None, "a GPU has no such cores"


def test_gpu_figures_in_the_simulator(tmp_path) -> None:
    """Kernel and copy by the device's events, beside the whole; the simulator's have no clock, so that the numbers mean nothing."""
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    words = "-cell 50 60 70 -default_F 10 -N 5 -detpixels 4 -pixel 1 -distance 50 -oversample 1 --device cuda".split()
    done = subprocess.run(
        [sys.executable, "-m", "nbnumba", "bench", *words, "--repeat", "2", "--json", "b.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"(?m)^kernel alone: .*\(median of 2", done.stdout), done.stdout
    assert re.search(r"(?m)^copy: ", done.stdout)
    assert re.search(r"(?m)^clock: .*\(rated value; the clock could not be read", done.stdout)
    clock = json.loads((tmp_path / "b.json").read_text())["device_clock"]
    assert {"kernel", "copy", "launch", "held", "clock", "of_issue_limit"} == set(clock)
    assert clock["kernel"]["threads"] == 0 and len(clock["launch"]["seconds"]) == 2


def test_kernels_that_can_be_named_are_the_rows_of_the_plan_table() -> None:
    assert tuple(TABLE) == KERNELS
