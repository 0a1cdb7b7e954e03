"""The CUDA kernels in numba's simulator against the general CPU kernel, on small windows of the golden cases.

The simulator is chosen when numba is first imported: the kernels run in a process of their own, as plain Python.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from nbnumba.cli.build import build
from nbnumba.cli.parse import is_flag, parse
from nbnumba.model.experiment import resolve
from nbnumba.render.backend import Plan
from nbnumba.render.dispatch import make_plan, renderer_of
from nbnumba.render.gpu.case import CudaCase
from nbnumba.render.inputs import KernelInputs, build_inputs
from nbnumba.render.kernel_table import choose
from tests.conftest import CASES, GOLDEN

ROOT = Path(__file__).parents[2]
#: Terms times pixels that one window may have: some seconds of the simulator.
BUDGET = 400
#: Processes that share the work, and random experiments in it.
PARTS, SWEEP = 6, 12
#: Golden cases rendered by the general kernel and with float64 phases too, and by correct physics with more flags.
TWICE = ("det_curved", "shape_tophat", "det_thick_abs_steps", "sourcefile_full", "water_background", "mask")
CORRECT = {
    "det_thick_abs_steps": ("--physics", "correct"),
    "sourcefile_full": ("--physics", "correct", "-dmin", "2.0"),
    "shape_gauss_fudge": ("--physics", "correct", "-water", "1"),
    "interp_forced_N5": ("--physics", "correct"),
}
#: Cases of other editions (tests/golden/editions.json).
EDITED = ("released_mosaic", "released_gauss", "upstream_all", "upstream_water", "upstream_curved_last")
#: Golden cases whose commands hold every flag between them. The first one is rendered whole: interpolation ends in it.
CHOSEN = """
quirk_interp_falls_out interp_in_range interp_forced_N5 quirk_xtalsize_auto_interpolation
oversample_all quirk_nopolar_oversample_polar det_thick_oversample_thick oversample_auto oversample_4_dmin
det_curved quirk_curved_xds_frame det_thick_abs_steps det_detsize_point_pixel custom_all_beam_pivot custom_sample_close
custom_pivot_beam_flag conv_mosflm_beam_tilt conv_adxv_tilt conv_denzo_twotheta conv_dials_phi quirk_pix0_vector_ignored
shape_square_even_odd shape_round_fudge shape_gauss_fudge shape_tophat stress_N1000_short_wave stress_N600_phi_osc
cell_one_length_default_F xtalsize_beam_clip misset_random_seed fdump_reuse phi_step_only mosaic_seed_phi
sourcefile_full div_round div_square_disp quirk_div_range_step beam_energy_flux polar_kahn nopolar
water_background quirk_water_dmin roi mask img_header out_int_scale_pgmscale combo_tilt_phi_mosaic_div_thick
""".split()


class Job(NamedTuple):
    """What the simulator is to render; ``limit``: pixels of a band, ``fill``: of a plain image that is rendered into."""

    inputs: KernelInputs
    kernel: str
    shape: tuple[int, int]
    limit: int = 0
    fill: float = 0.0


def golden_inputs(name: str, *more: str) -> KernelInputs:
    """Arguments of the kernels for a golden case."""
    return inputs_of([*CASES[name]["args"], *more])


def inputs_of(words: list[str]) -> KernelInputs:
    """Arguments of the kernels for a command line about the golden cases' files."""
    previous = os.getcwd()
    os.chdir(GOLDEN)
    try:
        return build_inputs(resolve(build(parse(words))[0]))
    finally:
        os.chdir(previous)


def cut(inputs: KernelInputs, around: tuple[int, int]) -> KernelInputs:
    """The inputs with a region of a few pixels around one, across a tile's border where there is one."""
    panel = inputs.panel
    pixels = max(4, min(48, BUDGET // inputs.steps_per_pixel))
    rows = max(2, int(pixels**0.5 * 0.7))
    columns = max(2, pixels // rows)
    s0 = min(max(around[0] - rows // 2, panel.s0), max(panel.s1 - rows, panel.s0))
    f0 = min(max(around[1] - columns // 2, panel.f0), max(panel.f1 - columns, panel.f0))
    window = dict(s0=s0, s1=min(s0 + rows, panel.s1), f0=f0, f1=min(f0 + columns, panel.f1))
    return replace(inputs, panel=panel._replace(**window))


@cache
def make_jobs() -> dict[str, Job]:
    """What the simulator renders, by name."""
    jobs = {}
    with np.load(GOLDEN / "images.npz") as golden:
        for name in CHOSEN:
            image = golden[name]
            inputs = golden_inputs(name)
            if name != CHOSEN[0]:
                inputs = cut(inputs, np.unravel_index(image.argmax(), image.shape))
            kernel = make_gpu_plan(inputs).kernel
            jobs[name] = Job(inputs, kernel, image.shape)
            if kernel != "general" and name in TWICE:
                jobs[f"{name}, general"] = Job(inputs, "general", image.shape)
            if kernel == "fixed" and name in TWICE:
                jobs[f"{name}, fast64"] = Job(inputs, "fast64", image.shape)
        for name, flags in CORRECT.items():
            inputs = cut(golden_inputs(name, *flags), np.unravel_index(golden[name].argmax(), golden[name].shape))
            jobs[f"{name}, correct"] = Job(inputs, make_gpu_plan(inputs).kernel, CASES[name]["shape"])
    editions = {case["name"]: case for case in json.loads((GOLDEN / "editions.json").read_text())}
    with np.load(GOLDEN / "editions.npz") as golden:
        for name in EDITED:
            case, image = editions[name], golden[name]
            whole = inputs_of([*case["args"], "--physics", case["edition"]])
            inputs = cut(whole, np.unravel_index(image.argmax(), image.shape))
            jobs[name] = Job(inputs, make_gpu_plan(inputs).kernel, image.shape)
    rng = np.random.default_rng(20260301)
    for i in range(SWEEP):
        inputs = random_inputs(rng)
        plan = make_gpu_plan(inputs)
        jobs[f"random {i}, {plan.kernel}"] = Job(inputs, plan.kernel, (32, 48))
    return jobs


def make_gpu_plan(inputs: KernelInputs) -> Plan:
    """The plan that a GPU would be given."""
    return Plan("cuda:0", choose(CudaCase(inputs)).kernel.name, (16, 16), "simulated")


def random_inputs(rng: np.random.Generator) -> KernelInputs:
    """A random experiment of a few terms and pixels: every shape, sub-pixels, layers, sources, mask, dmin, physics."""
    words = ["-hkl", "inputs/hex.hkl", "-cell", "52.4", "52.4", "38.7", "90", "90", "120", "-default_F", "11"]
    words += ["-misset", *(f"{x:.3f}" for x in rng.uniform(0, 90, 3)), "-detpixels_x", "48", "-detpixels_y", "32"]
    words += ["-distance", f"{rng.uniform(40, 90):.2f}", "-pixel", "0.4", "-lambda", f"{rng.uniform(0.8, 1.4):.3f}"]
    words += ["-Na", str(rng.integers(1, 30)), "-Nb", str(rng.integers(1, 9)), "-Nc", str(rng.integers(2, 12))]
    words += ["-nointerpolate", "-oversample", str(rng.integers(1, 3)), "-polar", f"{rng.uniform(-1, 1):.2f}"]
    words += rng.choice(["-square_xtal", "-square_xtal", "-round_xtal", "-gauss_xtal", "-tophat_spots"], 1).tolist()
    words += ["-fudge", "0.05"] if words[-1] in ("-gauss_xtal", "-tophat_spots") else []
    words += ["-phi", "3", "-osc", "2", "-phisteps", str(rng.integers(1, 4))]
    words += ["-dispersion", "2", "-dispsteps", str(rng.integers(2, 4))] if rng.random() < 0.5 else []
    words += ["-dmin", f"{rng.uniform(1.5, 4):.2f}"] if rng.random() < 0.4 else []
    words += ["-detector_thick", "400", "-detector_thicksteps", "2"] if rng.random() < 0.4 else []
    words += ["-curved_det"] if rng.random() < 0.3 else []
    words += ["--physics", "correct"] if rng.random() < 0.4 else []
    inputs = inputs_of(words)
    inputs = cut(inputs, (int(rng.integers(0, 32)), int(rng.integers(0, 48))))
    return replace(inputs, mask=(rng.random((32, 48)) < 0.8).astype(np.uint8)) if rng.random() < 0.4 else inputs


def render_simulated(jobs: dict[str, Job], folder: Path) -> dict[str, np.ndarray]:
    """Images of the jobs, rendered by the simulator in a process of its own."""
    (folder / "jobs.pkl").write_bytes(pickle.dumps({name: tuple(job) for name, job in jobs.items()}))
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error", "-m", "tests.kernels.test_cuda_simulator", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "images.npz") as images:
        return {name: images[name] for name in images.files}


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_same_image_as_the_general_cpu_kernel(part, tmp_path):
    """max|d| / max <= 1e-6, the acceptance's bar: float32 polynomials and storage take 3e-7 of it."""
    jobs = dict(list(make_jobs().items())[part::PARTS])
    images = render_simulated(jobs, tmp_path)
    wrong = {}
    for name, job in jobs.items():
        expected = np.zeros(job.shape, np.float32)
        renderer_of(job.inputs, make_plan(job.inputs, "cpu", "double")).render(expected)
        largest = np.abs(images[name].astype(float) - expected).max()
        if not largest <= 1e-6 * expected.max():
            wrong[name] = largest / expected.max()
        # the general kernels are one function: float64 sums in the same order
        if job.kernel == "general" and not np.array_equal(images[name], expected):
            wrong[f"{name}, bits"] = largest / expected.max()
    assert not wrong


def test_every_flag_that_changes_the_image_is_covered():
    """Each flag of the golden cases' commands stands in one that the simulator renders."""
    used = {word for name in CHOSEN for word in CASES[name]["args"] if is_flag(word)}
    all_flags = {word for case in CASES.values() for word in case["args"] if is_flag(word)}
    assert len(CHOSEN) >= 25
    assert used == all_flags


@pytest.mark.slow
def test_bands_and_mask_change_no_pixel(tmp_path):
    """Narrow bands, pinned and plain images: the same bits, and nothing written outside region and mask."""
    inputs = cut(golden_inputs("shape_square_even_odd"), (56, 43))
    inputs = replace(inputs, panel=inputs.panel._replace(s0=30, s1=36, f0=29, f1=35))
    mask = (np.random.default_rng(3).random((110, 84)) < 0.7).astype(np.uint8)
    masked = replace(inputs, mask=mask)
    jobs = {
        "whole": Job(inputs, "fast64", (110, 84)),
        "bands": Job(inputs, "fast64", (110, 84), limit=16 * 6, fill=-7.0),
        "masked": Job(masked, "fast64", (110, 84), limit=16 * 6, fill=-7.0),
    }
    images = render_simulated(jobs, tmp_path)
    region = np.zeros((110, 84), bool)
    region[30:36, 29:35] = True
    np.testing.assert_array_equal(images["bands"], np.where(region, images["whole"], np.float32(-7)))
    np.testing.assert_array_equal(images["masked"], np.where(region & (mask != 0), images["whole"], np.float32(-7)))


def _job(folder: Path) -> None:
    """Render the jobs that the parent process left; runs in the simulator."""
    from nbnumba.render.devices import survey
    from nbnumba.render.gpu.renderer import GpuRenderer

    images = {}
    for name, fields in pickle.loads((folder / "jobs.pkl").read_bytes()).items():
        job = Job(*fields)
        renderer = GpuRenderer(job.inputs, Plan("cuda:0", job.kernel, (16, 16), "simulated"), survey().devices)
        image = renderer.new_image(tuple(job.shape))
        if job.fill:
            image = np.full(job.shape, job.fill, np.float32)
        if job.limit:
            renderer.limit = job.limit
        renderer.render(image)
        images[name] = image.copy()
    np.savez(folder / "images.npz", **images)


if __name__ == "__main__":
    _job(Path(sys.argv[1]))
