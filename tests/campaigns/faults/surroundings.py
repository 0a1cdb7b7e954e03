"""Faults of what a run needs: compiled kernels, memory, a GPU."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.campaigns.faults.lab import Done, Lab, finish
from tests.campaigns.faults.machine import drop_privileges, limit
from tests.campaigns.faults.registry import kind, prepared, sleep_or_end, trial
from tests.campaigns.faults.verdict import Trial


@contextmanager
def own_cache(lab: Lab) -> Iterator[Path]:
    """A copy of the kernel cache."""
    copy = lab.new_folder("cache")
    shutil.copytree(lab.cache, copy, dirs_exist_ok=True)
    yield copy
    shutil.rmtree(copy, ignore_errors=True)


@kind(
    "kernel cache spoilt",
    "Files of compiled kernels are cut short, empty, garbled, or one bit is wrong.",
    6,
    quick=False,
)
def corrupt_cache(lab: Lab, rng: Random) -> Trial:
    """Damage some files of the cache."""
    task, folder = prepared(lab, rng, "run", "run, all outputs")
    with own_cache(lab) as cache:
        cheap = [p for p in sorted(cache.rglob("*.nb?")) if p.stat().st_size < 120_000 and "render" not in p.name]
        dear = [p for p in sorted(cache.rglob("*.nb?")) if "render_" in p.name]
        for path in rng.sample(cheap, 3) + rng.sample(dear, 1 if rng.random() < 0.1 else 0):
            content = bytearray(path.read_bytes())
            place = rng.randrange(len(content))
            way = rng.choice(["cut", "empty", "garbage", "bit"])
            if way == "bit":
                content[place] ^= 1 << rng.randrange(8)
            path.write_bytes(
                {
                    "cut": bytes(content[:place]),
                    "empty": b"",
                    "garbage": rng.randbytes(len(content)),
                    "bit": bytes(content),
                }[way]
            )
        env = {"NUMBA_CACHE_DIR": str(cache)}
        return trial(lab, "kernel cache spoilt", task, folder, (0,), lambda: lab.run(task, folder, env=env))


@kind("kernel cache closed", "Home and kernel cache cannot be written, or the cache vanishes.", 3, quick=False)
def closed_cache(lab: Lab, rng: Random) -> Trial:
    """A read-only home with a warm or no cache; a cache that is removed while the command runs."""
    task, folder = prepared(lab, rng, "run", "run, all outputs")
    way = rng.choice(["read-only", "read-only", "read-only", "removed", "full"])
    with own_cache(lab) as cache:
        home = lab.new_folder("home")
        env = {"HOME": str(home), "NUMBA_CACHE_DIR": str(cache), "MPLCONFIGDIR": str(lab.scratch / "home/.config")}
        before: Callable[[], None] | None = None

        def act() -> Done:
            process = lab.start(task, folder, env=env, before=before)
            if way == "removed":
                sleep_or_end(process, rng.uniform(0, lab.seconds[task.name]))
                shutil.rmtree(cache, ignore_errors=True)
            return finish(process)

        if way == "read-only":
            for place in (home, cache, *(path for path in cache.rglob("*") if path.is_dir())):
                place.chmod(0o555)
            before = drop_privileges
        if way == "full":  # one kernel is not there, and cannot be kept
            for path in cache.rglob("*.solid_angle_rows*"):
                path.unlink()
            for path in cache.rglob("quantize.*.nbc"):
                path.unlink()
            before = limit(resource.RLIMIT_FSIZE, max(map(len, lab.right[task.name].values())) + 10)
        return trial(lab, "kernel cache closed", task, folder, (0,), act, note=way)


@kind("too little memory", "The process may take only so much memory (ulimit -v), or the detector is huge.", 8)
def memory(lab: Lab, rng: Random) -> Trial:
    """A limit on the address space, from what the interpreter needs to what the run needs."""
    if rng.random() < 0.2:
        task, folder = prepared(lab, rng, "run")
        size = rng.choice([60_000, 300_000, 2_000_000])
        act = lambda: lab.run(task, folder, extra=f"-detpixels {size}")  # noqa: E731
        return trial(lab, "too little memory", task, folder, (1,), act, note="huge detector")
    task, folder = prepared(lab, rng, "run", "run, all outputs", "run, large", "compare", "trace")
    size = int(2 ** rng.uniform(28, 31))
    act = lambda: lab.run(task, folder, before=limit(resource.RLIMIT_AS, size))  # noqa: E731
    return trial(lab, "too little memory", task, folder, (0, 1), act, note=f"{size >> 20} MiB")


@kind("GPU disappears", "A GPU is lost when the kernel starts, in the middle, or at the end (simulated).", 3)
def gpu(lab: Lab, rng: Random) -> Trial:
    """A GPU that fails: with --device auto the CPU takes over, a GPU asked for by name is an error."""
    task, folder = prepared(lab, rng, "run", "run, all outputs", "run, large")
    wanted = rng.choice(["auto", "auto", "cuda"])
    wrapper = (Path(__file__).parent / "lost_gpu.py").read_text(encoding="utf-8")
    env = {"LOST_GPU": rng.choice(["start", "middle", "end"])}
    act = lambda: lab.run(task, folder, extra=f"--device {wanted}", wrapper=wrapper, env=env)  # noqa: E731
    found = trial(lab, "GPU disappears", task, folder, (0,) if wanted == "auto" else (1,), act, note=wanted)
    if "CudaAPIError" not in found.done.err and env["LOST_GPU"] != "start":
        found.problems.append("nothing is said about the GPU")
    return found
