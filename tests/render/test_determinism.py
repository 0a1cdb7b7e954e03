"""The same command gives the same bits: any number of threads, run after run, with a cold and a warm kernel cache.

Each kernel renders in processes of their own, which share a fresh cache: the first one compiles, the others load.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
THREADS = 3
COMMON = "-lambda 1 -cell 41 52 63 80 95 100 -misset 10 20 30 -distance 80 -pixel 0.3 -detpixels_f 150 -detpixels_s 100"
MORE = "-mosaic 0.4 -mosaic_domains 6 -phi 5 -osc 1 -phisteps 2 -detector_thick 300 -oversample 2 -nointerpolate"
#: Command line and precision that lead to each kernel; the last one's interpolation ends in the middle of the image.
KERNELS = {
    "fast32": (f"{COMMON} {MORE} -N 12", "mixed"),
    "fast64": (f"{COMMON} {MORE} -N 12", "auto"),
    "spots": (f"{COMMON} {MORE} -N 12 -gauss_xtal -fudge 10", "auto"),
    "general": (f"{COMMON} {MORE} -N 12 -oversample_omega -oversample_polar", "auto"),
    "general, interpolating": (f"{COMMON} -N 2 -interpolate -oversample 1 -Xbeam 3 -Ybeam 22", "auto"),
}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def write_factors(folder: Path) -> list[str]:
    """A box of structure factors that the corners of the detector leave; words that name it."""
    from nbnumba.io.fdump import write_fdump

    write_fdump(folder / "F.bin", np.random.default_rng(1).uniform(1, 300, (29, 35, 41)), (-14, -17, -20))
    return ["-dump", str(folder / "F.bin"), "-default_F", "3"]


def render_all(folder: Path) -> dict[str, str]:
    """Digest of every image, by kernel, number of threads and repetition."""
    from nbnumba.cli.build import build
    from nbnumba.cli.parse import parse
    from nbnumba.model.experiment import resolve
    from nbnumba.readout.noise import noise_image
    from nbnumba.render.dispatch import make_plan, renderer_of, set_threads
    from nbnumba.render.inputs import build_inputs

    found, F = {}, write_factors(folder)
    for name, (words, precision) in KERNELS.items():
        inputs = build_inputs(resolve(build(parse([*words.split(), *F]))[0]))
        plan = make_plan(inputs, "cpu", precision)
        assert plan.kernel == name.split(",")[0], plan
        for threads in range(1, THREADS + 1):
            set_threads(threads)
            renderer = renderer_of(inputs, plan)
            for again in range(2):
                image = np.zeros((100, 150), np.float32)
                ended = renderer.render(image)
                assert ended == ("interpolating" in name)
                assert image.max() > 0
                found[f"{name}; {threads}, {again}"] = digest(image.tobytes())
    bright = np.float32(1e3 / image.max()) * image
    for rng in ("reference", "philox"):
        for threads in range(1, THREADS + 1):
            set_threads(threads)
            counts = noise_image(bright, (0, 100, 0, 150), 42, rng=rng).counts
            found[f"noise, {rng}; {threads}"] = digest(counts.tobytes())
    return found


def run_all(folder: Path) -> dict[str, str]:
    """Digest of every file of the whole command, by name and number of threads."""
    from nbnumba.cli.main import main

    found, words = {}, f"{COMMON} {MORE} -N 12 -seed 7 --quiet".split()
    for threads in range(1, THREADS + 1):
        os.chdir(tempfile.mkdtemp(dir=folder))
        F = write_factors(folder)
        assert main(["run", *words, *F, "--threads", str(threads), "--npy", "counts.npy"]) == 0
        for path in sorted(Path.cwd().iterdir()):
            found[f"{path.name}; {threads}"] = digest(path.read_bytes())
    return found


@pytest.fixture(scope="module")
def processes(tmp_path_factory) -> list[dict]:
    """What a process with a cold cache and two with a warm one report."""
    cache = tmp_path_factory.mktemp("cache")
    reports = []
    for i in range(3):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": str(THREADS)}
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            "tests.render.test_determinism",
            str(tmp_path_factory.mktemp(f"run{i}")),
        ]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout.splitlines()[-1]))
    return reports


def test_the_first_process_compiles_and_the_others_load(processes):
    assert [report["cold"] for report in processes] == [True, False, False]
    assert [report["compiled"] > 0 for report in processes] == [True, False, False]


@pytest.mark.parametrize("name", [*KERNELS, "noise, reference", "noise, philox"])
def test_same_bits(processes, name):
    digests = {
        key: report["images"][key] for report in processes for key in report["images"] if key.startswith(f"{name};")
    }
    seen = {value for report in processes for key, value in report["images"].items() if key.startswith(f"{name};")}
    assert len(digests) >= THREADS
    assert len(seen) == 1, digests


def test_same_files(processes):
    """Every file that a run writes: images, counts with noise, pictures."""
    files: dict[str, set[str]] = {}
    for report in processes:
        for key, value in report["files"].items():
            files.setdefault(key.split(";")[0], set()).add(value)
    assert {"floatimage.bin", "intimage.img", "noiseimage.img", "image.pgm", "counts.npy"} <= set(files)
    assert not [name for name, seen in files.items() if len(seen) > 1]


def _job(folder: Path) -> None:
    """Render everything in this process and report."""
    from nbnumba.kernels.cpu import fast as cpu_fast
    from nbnumba.kernels.cpu import general as cpu
    from nbnumba.kernels.cpu import paint as spots_paint
    from nbnumba.kernels.cpu import spots as cpu_spots
    from nbnumba.kernels.jit.cpu import is_cold

    cold = is_cold()
    images, files = render_all(folder), run_all(folder)
    modules = (cpu, cpu_fast, cpu_spots, spots_paint)
    found = {id(k): k for module in modules for k in vars(module).values() if hasattr(k, "stats")}
    kernels = {key: k for key, k in found.items() if k.stats.cache_path is not None}
    compiled = sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels.values())
    print(json.dumps({"cold": cold, "compiled": compiled, "images": images, "files": files}))


if __name__ == "__main__":
    _job(Path(sys.argv[1]))
