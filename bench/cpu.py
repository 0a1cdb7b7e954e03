"""Time the CPU kernels and whole processes, and the reference program if NB_C_BIN names it.

``python -m bench.cpu [W1 W2 ...] [--repeat 5] [--threads N] [--save]``. For each workload: the kernel's median over
warm runs, ns per step and core, steps per second, the whole process with warm cache, peak memory, the error against
the general float64 kernel; with NB_C_BIN also the reference's render time (its wall time less that with a region of one
pixel) on the same number of threads, run alternately with ours, and the ratio of medians. ``--cold`` adds the first run
after installation. D1 to D4 are derivatives beside renderings (:mod:`bench.derivatives`). ``--save`` writes JSON to bench/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import derivatives
from bench.workloads import Workload, lay_out, workloads
from nbnumba.cli.build import build
from nbnumba.cli.info import facts as installation
from nbnumba.cli.parse import parse
from nbnumba.data import lysozyme_text
from nbnumba.model.experiment import resolve
from nbnumba.render.backend import PanelRenderer
from nbnumba.render.dispatch import make_plan, renderer_of, set_threads
from nbnumba.render.inputs import KernelInputs, build_inputs
from nbnumba.render.kernel_table import TABLE
from nbnumba.render.timing import Timing, count_pixels, count_steps, render_seconds

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
#: Most steps of the general kernel for the check of a result; of a larger image only a part of the rows is checked.
CHECKED_STEPS = 2e8
#: Least number, and least total time (s), of the renderings that are timed between two runs of the reference: virtual
#: machines change their speed from one second to the next. One rendering before them warms up threads and memory.
BURST, BURST_SECONDS = 3, 0.5


def prepare(workload: Workload) -> KernelInputs:
    """Kernel arguments of a workload; the current folder holds its files."""
    simulation, _, _ = build(parse(shlex.split(workload.flags)))
    return build_inputs(resolve(simulation))


def errors(inputs: KernelInputs, image: np.ndarray) -> tuple[float, float, int]:
    """Max |d| / max and the 99th percentile of |d| / pixel against the general kernel, and how many rows were used."""
    panel = inputs.panel
    rows = max(1, int(CHECKED_STEPS / (panel.fpixels * inputs.steps_per_pixel)))
    first = max(0, min(image.shape[0] - rows, image.shape[0] // 2))
    last = min(image.shape[0], first + rows)
    part = KernelInputs(**{**vars(inputs), "panel": panel._replace(s0=first, s1=last)})
    exact = np.zeros_like(image)
    renderer_of(part, make_plan(part, "cpu", "double")).render(exact)
    wanted, got = exact[first:last].astype(float), image[first:last].astype(float)
    off, lit = np.abs(got - wanted), wanted > 0
    if not lit.any():
        return 0.0, 0.0, last - first
    return float(off.max() / wanted.max()), float(np.percentile(off[lit] / wanted[lit], 99)), last - first


def wall(command: list[str], folder: Path, **environment: str) -> tuple[float, int]:
    """Seconds and peak memory (KiB) of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True)
    return time.perf_counter() - start, max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def reference_command(binary: str, workload: Workload) -> list[str]:
    """The same command for the reference, with as few output files as possible."""
    quiet = "-nonoise -nopgm -noprogress -floatfile c.bin -intfile c.img"
    return [binary, *shlex.split(workload.flags), *quiet.split()]


def burst(renderer: PanelRenderer, image: np.ndarray) -> list[float]:
    """Seconds of some renderings in a row."""
    render_seconds(renderer, image)
    found: list[float] = []
    while len(found) < BURST or sum(found) < BURST_SECONDS:
        found.append(render_seconds(renderer, image))
    return found


def measure(
    workload: Workload,
    repeat: int,
    threads: int,
    folder: Path,
    binary: str | None,
    cold: bool,
    kernel: str | None = None,
) -> dict[str, Any]:
    """All figures of one workload."""
    inputs = prepare(workload)
    plan = make_plan(inputs, "cpu", "auto", kernel)
    start = time.perf_counter()
    renderer = renderer_of(inputs, plan)
    first_call = time.perf_counter() - start
    panel = inputs.panel
    image = np.zeros((panel.s1, panel.fpixels), np.float32)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(repeat):
        ours += burst(renderer, image)
        if binary:
            command = reference_command(binary, workload)
            full, _ = wall(command, folder, OMP_NUM_THREADS=str(threads))
            start_up, _ = wall([*command, "-roi", "0", "0", "0", "0"], folder, OMP_NUM_THREADS=str(threads))
            theirs.append(full - start_up)
    timing = Timing(tuple(ours), count_steps(inputs), count_pixels(inputs), threads)
    seconds = timing.median
    worst, p99, rows = errors(inputs, image)
    row: dict[str, Any] = {
        "workload": workload.name,
        "what": workload.what,
        "kernel": plan.kernel,
        "tile": list(plan.tile),
        "steps": timing.steps,
        "seconds": seconds,
        "ns_per_step_and_core": timing.ns_per_step_and_core,
        "steps_per_second": timing.steps_per_second,
        "prepare_seconds": first_call,
        "max_error": worst,
        "p99_error": p99,
        "rows_checked": rows,
    }
    if theirs:
        row |= {"reference_seconds": statistics.median(theirs), "ratio": statistics.median(theirs) / seconds}
        if workload.comparable:
            reference = np.fromfile(folder / "c.bin", "<f4")
            # the last command wrote an image of one pixel: render the whole one again
            wall(reference_command(binary or "", workload), folder, OMP_NUM_THREADS=str(threads))
            reference = np.fromfile(folder / "c.bin", "<f4").reshape(image.shape).astype(float)
            row["max_error_against_reference"] = float(np.abs(image - reference).max() / reference.max())
    ours_command = [sys.executable, "-m", "nbnumba", "run", *shlex.split(workload.flags), "-nonoise", "--quiet"]
    ours_command += ["--threads", str(threads)]
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    wall(ours_command, folder, **paths)
    runs = [wall(ours_command, folder, **paths) for _ in range(3)]
    row["process_seconds"] = statistics.median(seconds for seconds, _ in runs)
    if cold:
        with tempfile.TemporaryDirectory() as cache:
            row["first_process_seconds"], _ = wall(ours_command, folder, NUMBA_CACHE_DIR=cache, **paths)
    return row


def peak_memory(workload: Workload, folder: Path) -> float:
    """Peak memory (MiB) of a whole process, read by the process itself; Linux.

    getrusage is not used: a process inherits its figure from the process that started it.
    """
    script = (
        "import re, sys; from nbnumba.cli.main import main; code = main(sys.argv[1:]);"
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]); sys.exit(code)"
    )
    command = [sys.executable, "-c", script, "run", *shlex.split(workload.flags), "-nonoise", "--quiet"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1]) / 1024


def show(row: dict[str, Any]) -> None:
    """One line of the table."""
    ratio = f"{row['ratio']:8.1f}x" if "ratio" in row else " " * 9
    print(
        f"{row['workload']:4} {row['kernel']:8} {row['seconds']:9.4f} s {row['ns_per_step_and_core']:8.3f} ns/step/core "
        f"{row['steps_per_second']:9.3g} steps/s {ratio} process {row['process_seconds']:6.2f} s "
        f"{row['peak_MiB']:6.0f} MiB  max {row['max_error']:.1e} p99 {row['p99_error']:.1e}  {row['what']}",
        flush=True,
    )


def main() -> None:
    """Entry point."""
    table = workloads()
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", help=f"of {', '.join([*table, *derivatives.ROWS])}; default: all")
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--threads", type=int)
    options.add_argument("--cold", action="store_true", help="also time the first run after installation")
    options.add_argument("--kernel", choices=list(TABLE), help="instead of the one that a run would take")
    options.add_argument("--save", metavar="NAME", help="write bench/results/NAME.json")
    chosen = options.parse_args()
    binary = os.environ.get("NB_C_BIN")
    binary = str(Path(binary).resolve()) if binary else None
    threads = set_threads(chosen.threads)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lay_out(folder)
        (folder / "lysozyme.hkl").write_text(lysozyme_text())
        before = Path.cwd()
        os.chdir(folder)
        try:
            for name in chosen.names or [*table, *derivatives.ROWS]:
                if name in derivatives.ROWS:
                    derivatives.measure(name, folder / "lysozyme.hkl", chosen.repeat, threads)
                    continue
                row = measure(table[name], chosen.repeat, threads, folder, binary, chosen.cold, chosen.kernel)
                row["peak_MiB"] = peak_memory(table[name], folder)
                rows.append(row)
                show(row)
        finally:
            os.chdir(before)
    if chosen.save:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
        record = {
            "machine": platform.machine(),
            "installation": installation(),
            "threads": threads,
            "commit": commit.stdout.strip(),
            "time": time.strftime("%Y-%m-%d"),
            "rows": rows,
        }
        record["installation"].pop("kernel cache", None)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{chosen.save}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
