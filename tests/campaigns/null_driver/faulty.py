"""Renders under injected faults: ``python -m tests.campaigns.null_driver.faulty JOBS < cases.json``.

This process imports everything and touches neither the driver nor a thread of Numba's; every case is a fork of it, so that
each finds a program that has just begun. Lines of JSON come out, one for each case.
"""

from __future__ import annotations

import atexit
import gc
import hashlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbnumba.errors import DeviceError
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.render.simulate import simulate
from tests.campaigns.null_driver.experiments import simulation
from tests.campaigns.null_driver.inside import fail, figure, last_failed

#: Classes of calls that faults are injected into (driver/report.c).
CLASSES = ("alloc", "pinned", "launch", "copy", "sync", "load", "event", "stream", "query", "free")


def get_ready() -> None:
    """Have Numba import what it otherwise does in every fork."""
    with suppress(ImportError, AttributeError):
        from numba.core.registry import cpu_target

        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
    with suppress(ImportError, AttributeError):
        from numba.cuda.descriptor import cuda_target

        cuda_target.typing_context.refresh()
        cuda_target.target_context.refresh()


def render(experiment: Experiment, device: str) -> dict[str, Any]:
    """Render once; what came of it."""
    try:
        result = simulate(experiment, device=device, threads=1)
    except DeviceError as error:
        return {"error": str(error)}
    return {
        "device": result.device,
        "image": hashlib.sha256(result.image.tobytes()).hexdigest(),
        "empty": not result.image.any(),
        "reason": result.plan.reason,
        "warnings": [text for text in result.warnings if "cuda" in text or "GPU" in text],
    }


def act(case: dict[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Render a case: once, and again if the device is lost for good."""
    if case["device"] != "cpu":
        fail(case["fault"])
    found: dict[str, Any] = {
        "renders": [render(experiment, case["device"]) for _ in range(2 if "sticky" in case["fault"] else 1)]
    }
    if case["device"] != "cpu":
        found |= {"faults": figure("faults"), "objections": figure("errors"), "failed": last_failed()}
        found |= {"calls": {name: figure(f"calls.{name}") for name in CLASSES}}
    return found


def in_a_fork(case: dict[str, Any], experiment: Experiment, folder: Path) -> int:
    """Begin a case; what it gives and what it says will be in files of the folder. Returns the process."""
    process = os.fork()
    if process:
        return process
    said = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 2)
    try:
        found = act(case, experiment)
    except BaseException:
        found = {"traceback": traceback.format_exc()}
    atexit._run_exitfuncs()  # finalizers belong to the case; taking the interpreter apart takes longer than it
    (folder / "found").write_text(json.dumps(found))
    sys.stderr.flush()
    os._exit(0)


def finish(case: dict[str, Any], folder: Path, status: int) -> None:
    """Print what came of a case."""
    file = folder / "found"
    found = json.loads(file.read_text()) if file.exists() else {"traceback": f"the process ended with {status}"}
    print(json.dumps(case | found | {"stderr": (folder / "stderr").read_text()}), flush=True)


def main() -> None:
    """Read cases from standard input and render them, so many at a time."""
    jobs, cases = int(sys.argv[1]), json.load(sys.stdin)
    experiments = {name: resolve(simulation(name)) for name in {case["experiment"] for case in cases}}
    get_ready()
    gc.freeze()  # what is here now need not be looked at, and so not be copied, in every fork
    waiting, running = list(enumerate(cases))[::-1], dict[int, tuple[dict[str, Any], Path]]()
    scratch = Path(tempfile.mkdtemp(prefix="faulty-"))  # a TemporaryDirectory would be removed by the first fork's end
    try:
        while waiting or running:
            if waiting and len(running) < jobs:
                number, case = waiting.pop()
                folder = scratch / str(number)
                folder.mkdir()
                process = in_a_fork(case, experiments[case["experiment"]], folder)
                running[process] = (case | {"number": number}, folder)
            else:
                process, status = os.wait()
                finish(*running.pop(process), status)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
