"""Steps ``environment`` and ``device``: machine, versions and device, for the record."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict

from bench.gpu.package import cuda_module, find_tool, package_facts, version_of
from bench.gpu.pool import run_program
from bench.gpu.setting import ROOT, Record, Records, Setting

#: Fields queried from nvidia-smi; a name that its version does not know is left out.
ASKED = (
    "name driver_version pstate clocks.sm clocks.mem clocks.max.sm clocks.max.mem clocks.applications.graphics "
    "power.limit power.draw temperature.gpu ecc.mode.current mig.mode.current persistence_mode compute_mode pci.bus_id "
    "memory.total memory.used utilization.gpu"
).split()
PACKAGES = (
    "nbnumba numba llvmlite numpy gemmi numba-cuda numba-cuda-mlir cuda-bindings cuda-core cuda-pathfinder cuda-toolkit "
    "nvidia-nvvm nvidia-nvjitlink nvidia-cuda-nvcc nvidia-cuda-nvrtc nvidia-cuda-runtime cupy-cuda12x cupy-cuda13x torch"
).split()


def facts(case: str, setting: Setting) -> Records:
    """One of code, packages, nvidia-smi, tools."""
    yield {"code": _code, "packages": _packages, "nvidia-smi": _nvidia_smi, "tools": _tools}[case](setting)


def _code(setting: Setting) -> Record:
    from nbnumba.kernels.jit.cache import CACHE_DIR

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    # a copy of a checkout has no history, or another one: NB_COMMIT gives the commit of the copy
    commit, changed = os.environ.get("NB_COMMIT", ""), 0
    with suppress(OSError):  # no git
        if not commit:
            commit, changed = git("rev-parse", "HEAD"), len(git("status", "--porcelain").splitlines())
    return {
        "commit": commit,
        "changed_files": changed,
        "kernels": CACHE_DIR.name if CACHE_DIR else "",
        "argv": sys.argv[1:],
    }


def _packages(setting: Setting) -> Record:
    installed = {name: found for name in PACKAGES if (found := version_of(name))}
    system = {"system": platform.platform(), "cores": os.cpu_count(), "available": len(os.sched_getaffinity(0))}
    return {"python": platform.python_version(), **installed, **system}


def _nvidia_smi(setting: Setting) -> Record:
    program = find_tool("nvidia-smi")
    if program is None:
        return {"error": "nvidia-smi was not found"}

    def ask(names: list[str]) -> dict[str, str]:
        command = [program, f"--id={setting.device}", f"--query-gpu={','.join(names)}", "--format=csv,noheader"]
        line = run_program(command, min(20, setting.limit), setting)[0].strip().splitlines()[0]
        return dict(zip(names, line.split(", "), strict=True))

    try:
        return dict(ask(ASKED))
    except RuntimeError:
        found: Record = {}
        for name in ASKED:
            try:
                found |= ask([name])
            except RuntimeError as error:
                found.setdefault("refused", {})[name] = str(error)[-80:]
        return found


def _tools(setting: Setting) -> Record:
    found: Record = {"CUDA_HOME": os.environ.get("CUDA_HOME", "")}
    for name in ("nvcc", "ptxas", "nvdisasm", "ncu", "nsys", "compute-sanitizer"):
        program = find_tool(name)
        if program is None:
            found[name] = "not found"
            continue
        try:
            found[name] = f"{program}: {run_program([program, '--version'], 20, setting)[0].strip().splitlines()[-1]}"
        except (RuntimeError, IndexError) as error:
            found[name] = f"{program}: {error}"
    return found


def device_facts(case: str, setting: Setting) -> Records:
    """Properties of the device from CUDA, the place of libnvvm, and whether a tiny kernel works."""
    from bench.gpu.commands import find_device
    from nbnumba.render.devices import survey, try_kernel
    from nbnumba.render.gpu.clock import read_clock

    device = find_device(setting.device)
    if case == "driver":
        cuda = cuda_module()
        with cuda.gpus[device.index]:
            free, total = cuda.current_context().get_memory_info()
        found = survey()
        yield {
            **asdict(device),
            "cuda_driver": found.driver,
            "cuda_packages": found.toolkit,
            "free_bytes": free,
            "total_bytes": total,
            "sm_clock_Hz": read_clock(device.index),
            **package_facts(),
        }
        return
    yield {"libnvvm": libnvvm()}
    result = try_kernel(device)
    yield {"tiny_kernel": result} if result == "compiles and runs" else {"error": f"a tiny kernel {result}"}


def libnvvm() -> str:
    """Path of the compiler's library, found in the way of the CUDA packages."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib
    except ImportError:
        return "unknown: cuda-pathfinder is not installed"
    try:
        found = load_nvidia_dynamic_lib("nvvm")
    except Exception as error:  # the class depends on the version
        return f"not found: {type(error).__name__}"
    return f"{found.abs_path} ({found.found_via})"
