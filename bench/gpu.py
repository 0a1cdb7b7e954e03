"""Check and time the CUDA kernels on the GPUs of this machine: ``python -m bench.gpu [--device cuda:0] [--skip-parity]``.

Needs numba, numba-cuda and numpy only, and no network; takes some minutes, most of them for compiling. Parity: every
golden image of the reference program. Timings: medians over warm runs, kernels by device events, images by the clock
from launch to pixels on the host. Writes JSON with the GPU's name to bench/results/. With NB_REAL_DATA the real crystal
is taken; with NB_CUDA_BIN the reference's own CUDA program is timed beside ours, its start-up taken off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from bench.workloads import MEGAPIXEL, lay_out, workloads
from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.devices import Device, choose_devices, survey
from nbnumba.dispatch import make_plan
from nbnumba.errors import DeviceError
from nbnumba.experiment import resolve
from nbnumba.inputs import KernelInputs, build_inputs
from nbnumba.timing import count_steps, time_images, time_on_device

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
RESULTS = ROOT / "bench" / "results"
#: Bars of parity: max |d| / max, for the float64 kernel and for the one that is chosen.
BARS = {"double": 1e-6, "auto": 2e-6}
#: Instructions per step of the float32 kernel, where bench.cuda_resources cannot count them; warps that a
#: multiprocessor issues from per clock, threads of a warp.
INSTRUCTIONS, SCHEDULERS, WARP = 90.0, 4, 32
#: Steps that the float64 kernel may take to check a result.
CHECKED_STEPS = 2e9


def cases() -> dict[str, str]:
    """Commands that are timed."""
    known = {name: row.flags for name, row in workloads().items()}
    return {
        "real command, 10 phi steps": known["W1"],
        "real command, 1000 phi steps": f"{known['W1']} -phisteps 1000",
        "1 Mpixel, N 5, 1000 domains": f"{MEGAPIXEL} -N 5 -oversample 1 -mosaic 0.5 -mosaic_domains 1000",
        "1 Mpixel, 2000 orientations": known["W2L"],
        "1 Mpixel, 45 sources, oversample 2": known["W3"],
        "1 Mpixel, gauss, 40 orientations": known["W4"],
        "1 Mpixel, tophat, 40 orientations": known["W5"],
        "1 Mpixel, gauss, 2000 orientations": known["W4L"],
        "1 Mpixel, 5 layers, oversample 3": known["W6"],
        "1 Mpixel, interpolation": known["W7"],
        "1 Mpixel, every -oversample_* flag": known["W8"],
        "64 x 64 pixels": known["W9"],
        "64 x 64 pixels, 100000 phi steps": f"{known['W9']} -osc 1 -phisteps 100000",
    }


def prepare(flags: str) -> KernelInputs:
    """Kernel arguments of a command; the current folder holds its files."""
    return build_inputs(resolve(build(parse(shlex.split(flags)))[0]))


def make_gpu_renderer(inputs: KernelInputs, device: Device, precision: str = "auto") -> Any:
    """A renderer on one device."""
    from nbnumba.gpu_render import GpuRenderer

    return GpuRenderer(inputs, make_plan(inputs, f"cuda:{device.index}", precision), (device,))


def check_parity(device: Device) -> dict[str, Any]:
    """Worst errors over the golden cases, and the cases beyond the bars."""
    os.chdir(GOLDEN)
    found: dict[str, Any] = {}
    with np.load(GOLDEN / "images.npz") as images:
        golden = [case for case in json.loads(Path("cases.json").read_text()) if "differs_on_purpose" not in case]
        for precision, bar in BARS.items():
            worst, typical, failed = 0.0, 0.0, []
            for case in golden:
                inputs = build_inputs(resolve(build(parse(case["args"]))[0]))
                renderer = make_gpu_renderer(inputs, device, precision)
                image = renderer.new_image(tuple(case["shape"]))
                renderer.render(image)
                wanted = images[case["name"]]
                off, lit = np.abs(image.astype(float) - wanted), wanted > 0
                error = float(off.max() / wanted.max())
                worst = max(worst, error)
                typical = max(typical, float(np.percentile(off[lit] / wanted[lit], 99)))
                if not error <= bar:
                    failed.append((case["name"], error))
            found[precision] = {"cases": len(golden), "max": worst, "percentile_99": typical, "failed": failed}
            print(
                f"parity, {precision}: {len(golden)} images, worst {worst:.1e} of the maximum, {len(failed)} beyond {bar}"
            )
            for name, error in failed:
                print(f"  {name}: {error:.1e}")
    return found


def check(inputs: KernelInputs, image: np.ndarray, device: Device) -> float | None:
    """Max |d| / max against the float64 kernel; None where that would take too long."""
    if count_steps(inputs) > CHECKED_STEPS:
        return None
    renderer = make_gpu_renderer(inputs, device, "double")
    exact = renderer.new_image(image.shape)
    renderer.render(exact)
    return float(np.abs(image.astype(float) - exact).max() / exact.max())


def measure(name: str, flags: str, device: Device, instructions: float) -> dict[str, Any]:
    """Everything about one command."""
    inputs = prepare(flags)
    start = time.perf_counter()
    renderer = make_gpu_renderer(inputs, device)
    first = time.perf_counter() - start
    start = time.perf_counter()
    renderer = make_gpu_renderer(inputs, device)
    fixed = time.perf_counter() - start
    steps = count_steps(inputs)
    repeat = 5 if steps > 2e9 else 20
    image = renderer.new_image((inputs.panel.s1, inputs.panel.fpixels))
    wall, watched = (time_images([renderer], [image], repeat, 0, watch).median for watch in (None, lambda share: None))
    kernel, copy = (timing.median for timing in time_on_device(renderer, repeat))
    limit = device.processors * SCHEDULERS * WARP * device.clock / instructions
    row = {
        "case": name,
        "kernel": renderer.plan.kernel,
        "steps": steps,
        "kernel_s": kernel,
        "copy_s": copy,
        "image_s": wall,
        "image_with_progress_s": watched,
        "prepare_s": fixed,
        "first_prepare_s": first,
        "steps_per_s": steps / kernel,
        "of_issue_limit": steps / kernel / limit if renderer.plan.kernel == "fast32" else None,
        "copy_share": copy / (kernel + copy),
        "error": check(inputs, image, device),
        "reference_s": time_reference(flags),
    }
    bound = f"{row['of_issue_limit']:.0%} of the issue limit" if row["of_issue_limit"] else row["kernel"]
    print(
        f"{name:36} kernel {kernel * 1e3:9.3f} ms  image {wall * 1e3:9.3f} ms (prepare {fixed * 1e3:.2f} ms)  "
        f"{steps / kernel:.2e} steps/s  {bound}, copies {row['copy_share']:.0%}, error "
        + ("-" if row["error"] is None else f"{row['error']:.1e}")
        + (f", reference {row['reference_s'] / wall:.1f}x slower" if row["reference_s"] else ""),
        flush=True,
    )
    return row


def time_reference(flags: str, repeat: int = 3) -> float | None:
    """Median seconds that the reference's CUDA program needs for an image, less those for one pixel of it."""
    program = os.environ.get("NB_CUDA_BIN")
    if not program:
        return None
    words = [program, "-nonoise", "-nopgm", "-floatfile", "reference.bin", *shlex.split(flags)]
    times: list[list[float]] = [[], []]
    for _ in range(repeat):
        for place, more in enumerate(([], ["-roi", "0", "0", "0", "0"])):
            start = time.perf_counter()
            if subprocess.run([*words, *more], capture_output=True).returncode != 0:
                return None
            times[place].append(time.perf_counter() - start)
    return statistics.median(times[0]) - statistics.median(times[1])


def count_instructions(device: Device) -> float:
    """Instructions per step of the float32 kernel on this device."""
    from bench import cuda_resources

    capability = ".".join(map(str, device.capability))
    if cuda_resources.missing_tools() or capability not in cuda_resources.CAPABILITIES:
        return INSTRUCTIONS
    return cuda_resources.measure("fast square float32", capability).instructions or INSTRUCTIONS


def describe(device: Device) -> dict[str, Any]:
    """Where the figures come from."""
    packages = {}
    for package in ("numba", "numba-cuda", "numpy", "cuda-toolkit", "cuda-bindings"):
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = "not installed"
    git = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True)
    return {
        "gpu": device.name,
        "capability": list(device.capability),
        "multiprocessors": device.processors,
        "clock_Hz": device.clock,
        "memory_bytes": device.memory,
        "driver_cuda": survey().driver,
        "packages": packages,
        "python": platform.python_version(),
        "commit": git.stdout.strip(),
    }


def main() -> None:
    """Check, time, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N")
    parser.add_argument("--skip-parity", action="store_true", help="time only")
    parser.add_argument("--skip-timings", action="store_true", help="check only, for compute-sanitizer")
    options = parser.parse_args()
    try:
        device = choose_devices(options.device)[0]
    except DeviceError as error:
        raise SystemExit(f"bench.gpu: {error}") from None
    RESULTS.mkdir(parents=True, exist_ok=True)
    record = describe(device)
    print(f"{device}, compute capability {device.capability[0]}.{device.capability[1]}, CUDA {record['driver_cuda']}")
    if not options.skip_parity:
        record["parity"] = check_parity(device)
    if not options.skip_timings:
        record["instructions_per_step"] = instructions = count_instructions(device)
        with tempfile.TemporaryDirectory() as folder:
            lay_out(Path(folder))
            os.chdir(folder)
            record["timings"] = [measure(name, flags, device, instructions) for name, flags in cases().items()]
            os.chdir(ROOT)
    name = re.sub(r"\W+", "-", device.name).strip("-").lower()
    target = RESULTS / f"gpu-{name}.json"
    target.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written: {target.relative_to(ROOT)}")
    if any(found["failed"] for found in record.get("parity", {}).values()):
        raise SystemExit("bench.gpu: images differ from the reference's by more than allowed")


if __name__ == "__main__":
    main()
