"""Compact spots on CUDA, in numba's simulator: against the CPU's kernels, and bit by bit against themselves."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

import numpy as np
import pytest
from numba import cuda

from nbnumba.kernels.formulas.blocks import CellBlock
from nbnumba.kernels.formulas.spots_shell import PAIR, H, L, spot_radius
from nbnumba.render.backend import Plan
from nbnumba.render.cpu.case import CpuCase
from nbnumba.render.dispatch import make_plan, renderer_of
from nbnumba.render.gpu.case import CudaCase
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.kernel_table import SPOTS, choose
from tests.kernels.test_fast import LAYERS, Case
from tests.kernels.test_spots import PER_AXIS

ROOT = Path(__file__).parents[2]
SHAPES = ["gauss", "tophat"]
#: Processes that share the comparison with the CPU.
PARTS = 3
SIZE = (24, 20)
#: Spots nearly as wide as they may be: a few dozen pixels of the small images have some.
WIDE = {"gauss": dict(N=(3, 2, 4), fudge=800.0), "tophat": dict(N=(3, 2, 4), fudge=35.0)}
#: A resolution limit (m) that leaves about two thirds of them.
LIMIT = 2.3e-10
#: Lengths of lists that are sorted: none, one, around powers of two, more than a block has threads.
LENGTHS = (0, 1, 2, 3, 7, 8, 9, 100, 300)
#: Numbers of tiles: one, around those of a thread, and more than a block takes at a time.
TILES = (1, 15, 16, 17, 4500)


class Job(NamedTuple):
    """What the simulator is to render.

    ``slots``, ``entries``, ``spare``, ``threads``: as in ``nbnumba.render.gpu.spots``, 0: as usual; ``limit``: pixels of a window; ``fill``: of
    the image before; ``devices``: that share it.
    """

    inputs: KernelInputs
    slots: int = 0
    entries: int = 0
    spare: float = 0.0
    limit: int = 0
    fill: float = 0.0
    devices: int = 1
    threads: int = 0


def make_inputs(mask=None, **fields) -> KernelInputs:
    """Arguments of the kernels for a few large pixels of a :class:`tests.kernels.test_fast.Case`."""
    case = Case(**({"size": SIZE, "pixel_size": 2e-4} | fields))
    grid = np.sqrt(case.F2[1:].astype(float)).reshape(case.cell.h_range, case.cell.k_range, case.cell.l_range)
    mask = np.zeros((0, 0), np.uint8) if mask is None else mask
    return KernelInputs(case.panel, case.crystal, case.cell, case.beam, case.sources, case.cells, grid, mask)


@cache
def make_jobs() -> dict[str, Job]:
    """Jobs that are held against the CPU, by name."""
    jobs = {}
    for shape in SHAPES:
        many = dict(oversample=2, first_depth=5e-5, dmin=LIMIT, I_bg=50.0, n_sources=3, orientations=2)
        for per_term in (0, 1):
            inputs = make_inputs(shape=shape, per_term=per_term, **many, **LAYERS, **WIDE[shape])
            jobs[f"{shape}, sub-pixels, layers, limit, background, {per_term}"] = Job(inputs)
        jobs[f"{shape}, one sub-pixel, term by term"] = Job(make_inputs(shape=shape, per_term=1, **WIDE[shape]))
        jobs[f"{shape}, an axis at a time"] = Job(make_inputs(shape=shape, n_sources=2, **PER_AXIS[shape]))
        jobs[f"{shape}, limit"] = Job(make_inputs(shape=shape, dmin=LIMIT, orientations=4, **WIDE[shape]))
    for number, options in enumerate((dict(point_pixel=1), dict(nopolar=1), dict(kahn_factor=0.0))):
        jobs[f"options {number}"] = Job(make_inputs(shape="gauss", orientations=3, **options, **WIDE["gauss"]))
    whole = make_inputs(shape="gauss", orientations=3, **WIDE["gauss"])
    h, k, l = (n // 2 for n in whole.Fhkl.shape)
    cell = whole.cell._replace(h_min=2, h_range=3, k_range=k, l_range=4)
    jobs["default_F outside the box"] = Job(replace(whole, cell=cell, Fhkl=whole.Fhkl[h : h + 3, :k, l : l + 4].copy()))
    none = CellBlock(0, 0, 0, 1, 1, 1, 4.0, interpolate=0, fallback_each=0, has_hkl=0)
    jobs["no list"] = Job(replace(whole, cell=none, Fhkl=np.zeros((1, 1, 1))))
    jobs["no spot"] = Job(make_inputs(shape="tophat", N=(400, 400, 400), I_bg=3.0))
    rng = np.random.default_rng(20261121)
    for number in range(8):
        jobs[f"random {number}"] = Job(random_inputs(rng))
    return jobs


def random_inputs(rng: np.random.Generator) -> KernelInputs:
    """A random experiment with a spot in it: width, pixels, wavelength, sub-pixels, layers, sources, region, mask."""
    shape = SHAPES[rng.integers(2)]
    fields = dict(shape=shape, N=tuple(rng.integers(2, 6, 3)), wavelength=rng.uniform(0.8e-10, 1.6e-10))
    fields |= dict(pixel_size=10 ** rng.uniform(-4, -3.3), orientations=int(rng.integers(1, 4)))
    fields |= dict(n_sources=int(rng.integers(1, 3)), oversample=int(rng.integers(1, 3)), I_bg=rng.choice([0.0, 9.0]))
    fields |= LAYERS if rng.random() < 0.3 else {}
    fields |= dict(dmin=rng.uniform(1.6e-10, 2.5e-10)) if rng.random() < 0.3 else {}
    fields |= dict(per_term=int(rng.integers(2)), per_axis=int(rng.integers(2)))
    fields |= dict(s0=int(rng.integers(6)), f0=int(rng.integers(6)))
    inputs = make_inputs(**fields)
    fudge = (spot_radius(inputs.crystal, inputs.cells)[1] / rng.uniform(0.1, 0.29)) ** 2
    inputs = replace(inputs, crystal=inputs.crystal._replace(fudge=fudge))
    if rng.random() < 0.3:
        inputs = replace(inputs, mask=(rng.random(SIZE) < 0.8).astype(np.uint8))
    return inputs if has_spots(on_cpu(inputs, "double")) else random_inputs(rng)


def has_spots(image: np.ndarray) -> bool:
    """Whether an image is more than its background."""
    return bool(image.max() > 20 * np.median(image))


def on_cpu(inputs: KernelInputs, precision: str, fill: float = 0.0) -> np.ndarray:
    """The CPU's image."""
    image = np.full(SIZE, fill, np.float32)
    plan = make_plan(inputs, "cpu", precision)
    assert plan.kernel == ("general" if precision == "double" else "spots")
    renderer_of(inputs, plan).render(image)
    return image


def render_simulated(jobs: dict[str, Job], folder: Path) -> dict[str, np.ndarray]:
    """Images of the jobs, rendered by the simulator in a process of its own; of a job's name with `` shares`` behind it what
    its progress was told."""
    (folder / "jobs.pkl").write_bytes(pickle.dumps({name: tuple(job) for name, job in jobs.items()}))
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    # numba without numba-cuda says of its simulator what goes without saying
    warnings = ["-W", "error", "-W", "ignore:Simulator timings are bogus"]
    command = [sys.executable, *warnings, "-m", "tests.kernels.test_gpu_spots", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "images.npz") as images:
        return {name: images[name] for name in images.files}


@pytest.mark.slow  # a part is a sample of all jobs, and takes half a minute
@pytest.mark.parametrize("part", range(PARTS))
def test_same_image_as_the_cpu(part, tmp_path):
    """max|d| / max: 2e-7 for storage in float32; the general kernel sees of Gaussian spots 1e-12 of a peak that end here."""
    jobs = dict(list(make_jobs().items())[part::PARTS])
    images = render_simulated(jobs, tmp_path)
    wrong, with_spots = {}, 0
    for name, job in jobs.items():
        for precision, bar in (("auto", 2e-7), ("double", 1e-6)):
            expected = on_cpu(job.inputs, precision)
            assert expected.max() > 0, name
            largest = np.abs(images[name] - expected).max() / expected.max()
            if not largest <= bar:
                wrong[name, precision] = largest
        with_spots += has_spots(expected)
    assert not wrong
    assert with_spots == len(jobs) - ("no spot" in jobs)


def test_resolution_limit_leaves_a_part():
    """The jobs with a limit see both sides of it."""
    inputs = make_jobs()["gauss, limit"].inputs
    cut, uncut = (on_cpu(replace(inputs, beam=inputs.beam._replace(dmin=d)), "double") for d in (LIMIT, 0.0))
    assert 0 < np.count_nonzero(cut > 1e-3 * uncut.max()) < np.count_nonzero(uncut > 1e-3 * uncut.max())


@pytest.mark.slow  # gauss alone: the lists are those of all shapes, and two minutes of the simulator are enough
@pytest.mark.parametrize("shape", ["gauss"])
def test_batches_threads_windows_region_and_mask_change_no_bit(shape, tmp_path):
    """Nor does too little room, at first, for the footprints of a thread or the lists of the tiles."""
    fields = dict(shape=shape, orientations=2, n_sources=2, oversample=2, I_bg=1.0, **WIDE[shape])
    inputs = make_inputs(**fields)
    mask = (np.random.default_rng(3).random(SIZE) < 0.7).astype(np.uint8)
    part = replace(inputs, panel=inputs.panel._replace(s0=3, s1=21, f0=5, f1=18), mask=mask)
    jobs = {
        "whole": Job(inputs),
        "a pair at a time": Job(inputs, slots=1),
        "short lists": Job(inputs, entries=7),
        "little room": Job(inputs, spare=1e-3),
        "windows": Job(inputs, limit=7 * SIZE[1]),
        "little room, two windows at a time": Job(inputs, spare=1e-3, limit=5 * SIZE[1]),
        "short lists, two windows at a time": Job(inputs, entries=7, limit=5 * SIZE[1]),
        "few threads": Job(inputs, threads=1),
        "many threads": Job(inputs, threads=600),
        "two devices": Job(inputs, devices=2),
        "part": Job(part, fill=-7.0),
        "part in windows and batches": Job(part, slots=1, limit=5 * 13, fill=-7.0),
    }
    images = render_simulated(jobs, tmp_path)
    whole, chosen = images["whole"], np.zeros(SIZE, bool)
    assert has_spots(whole)
    chosen[3:21, 5:18] = mask[3:21, 5:18] != 0
    for name in jobs:
        expected = np.where(chosen, whole, np.float32(-7)) if name.startswith("part") else whole
        np.testing.assert_array_equal(images[name], expected, err_msg=name)
        shares = images[f"{name} shares"]
        assert (np.diff(shares) > 0).all() and shares[-1] == 1.0
    assert len(images["whole shares"]) == 1
    assert len(images["a pair at a time shares"]) == 4
    assert len(images["short lists shares"]) > 1
    for name in ("little room", "short lists"):
        assert images[f"{name} repeated"] > 0
        assert images[f"{name}, two windows at a time repeated"] > 0
    assert images["short lists, two windows at a time repeated"] > 1  # the second one had begun as well
    assert images["few threads parts"] < images["many threads parts"]
    assert images["whole repeated"] == 0
    assert len(images["two devices shares"]) == 2
    # of kernels and of the copy; the simulator's clock tells no more
    assert np.isfinite(images["seconds"]).all() and images["seconds"].shape == (2,)


@pytest.mark.slow
def test_lists_are_sorted(tmp_path):
    """By pair, h, k and l, whatever rows a thread wrote them to."""
    images = render_simulated({}, tmp_path)
    for n in LENGTHS:
        found, lists = images[f"found {n}"], images[f"sorted {n}"]
        np.testing.assert_array_equal(np.sort(lists), np.arange(n))
        rows = [tuple(found[row, PAIR : L + 1]) for row in lists]
        assert rows == sorted(rows)


@pytest.mark.slow
def test_places_of_lists(tmp_path):
    """Parts of the list one behind the other; nothing where they, or the rows of a thread, do not fit."""
    images = render_simulated({}, tmp_path)
    for n in TILES:
        counts, places = images[f"counts {n}"], images[f"places {n}"]
        ends = np.cumsum(counts)
        np.testing.assert_array_equal(places[0], [*(ends - counts), 0])
        np.testing.assert_array_equal(places[1:], np.tile([0] * n + [1], (2, 1)))
        np.testing.assert_array_equal(images[f"words {n}"], [[9, ends[-1]], [9, ends[-1]], [11, ends[-1]]])
        assert not images[f"left {n}"].any()


def test_choice_is_the_cpus():
    """Compact spots reflection by reflection, others not: on a GPU as on the CPU."""
    narrow = dict(N=(3, 2, 4), fudge=3000.0)
    for fields in (narrow, dict(N=(3, 2, 4)), narrow | dict(curved=1), narrow | dict(fdet_x=0.1)):
        for shape in ("gauss", "tophat", "square", "round"):
            inputs = make_inputs(**({"shape": shape} | fields))
            on_gpu = choose(CudaCase(inputs))
            assert (on_gpu.kernel is SPOTS) == (choose(CpuCase(inputs)).kernel is SPOTS)
            assert (on_gpu.kernel is SPOTS) == (shape in SHAPES and fields is narrow)
            assert on_gpu.reason
    inputs = make_inputs(shape="gauss", **WIDE["gauss"])
    large = replace(inputs, cell=inputs.cell._replace(h_range=2000, k_range=2000, l_range=2000))
    assert choose(CudaCase(large)).kernel.name == "general"


def _sort(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Footprints of a few pairs, and their rows sorted by a block of the simulator."""
    from nbnumba.kernels.gpu import spots as gpu_spots

    rng, per_pair = np.random.default_rng(n), 50
    found = np.zeros((n, 8), np.int32)
    found[:, PAIR] = np.arange(n) // per_pair
    found[:, H : L + 1] = rng.permutation(6**3)[np.arange(n) % per_pair, None] // (36, 6, 1) % 6 - 3
    lists = rng.permutation(n).astype(np.int32)

    def run(lists, found, per_pair):
        sort_rows(lists, 0, lists.shape[0], found, per_pair, cuda.threadIdx.x)  # noqa: F821

    # the simulator gives its words to the module of the kernel only
    kernel = cuda.jit(FunctionType(run.__code__, vars(gpu_spots)))
    kernel[1, gpu_spots.PAINTERS](lists, found, per_pair)
    return found, lists


def _place(n: int) -> dict[str, np.ndarray]:
    """What is placed with room enough, with too short a list, and with too few rows for a thread; what the counts become."""
    from nbnumba.kernels.gpu import spots_lists

    counts = np.random.default_rng(n).integers(0, 9, n).astype(np.int32)
    places, words, left = np.full((3, n + 1), -1, np.int32), np.zeros((3, 2), np.int64), []
    total = int(counts.sum())
    for i, (most, capacity) in enumerate(((9, total), (9, total - 1), (11, total))):
        tallies = np.append(counts, np.int32(most))
        spots_lists.place_tiles[1, spots_lists.PLACERS](places[i], tallies, words[i], 10, capacity)
        left.append(tallies)
    return {f"counts {n}": counts, f"places {n}": places, f"words {n}": words, f"left {n}": np.array(left)}


def _job(folder: Path) -> None:
    """Render the jobs that the parent process left; runs in the simulator."""
    from nbnumba.render.devices import survey
    from nbnumba.render.gpu import spots as gpu_spots
    from nbnumba.render.gpu.renderer import GpuRenderer
    from nbnumba.render.timing import time_on_device

    usual = gpu_spots.SLOTS, gpu_spots.ENTRIES, gpu_spots.SPARE, gpu_spots.THREADS
    images: dict[str, np.ndarray] = {}
    repeated = 0

    def fits(painter, *rest):
        nonlocal repeated
        enough = original(painter, *rest)
        repeated += not enough
        return enough

    original, gpu_spots.SpotsPainter._fits = gpu_spots.SpotsPainter._fits, fits
    jobs = pickle.loads((folder / "jobs.pkl").read_bytes())
    for name, fields in jobs.items():
        job = Job(*fields)
        chosen = (job.slots, job.entries, job.spare, job.threads)
        gpu_spots.SLOTS, gpu_spots.ENTRIES, gpu_spots.SPARE, gpu_spots.THREADS = (
            a or b for a, b in zip(chosen, usual, strict=True)
        )
        renderer = GpuRenderer(
            job.inputs, Plan("cuda:0", "spots", (16, 16), "simulated"), survey().devices * job.devices
        )
        renderer.limit = job.limit or renderer.limit
        image, shares, repeated = np.full(SIZE, job.fill, np.float32), [], 0
        renderer.render(image, shares.append)
        images |= {name: image, f"{name} shares": np.array(shares), f"{name} repeated": np.array(repeated)}
        (layout, *_) = renderer.states[0].launcher.painter._layouts.values()
        images[f"{name} parts"] = np.array(layout.parts)
        if name == "whole":
            timing = time_on_device(renderer, 1)
            images["seconds"] = np.array([timing.kernel.median, timing.copy.median])
    for n in LENGTHS if not jobs else ():
        images[f"found {n}"], images[f"sorted {n}"] = _sort(n)
    for n in TILES if not jobs else ():
        images |= _place(n)
    np.savez(folder / "images.npz", **images)


if __name__ == "__main__":
    _job(Path(sys.argv[1]))
