"""Commands, the files that they write when nothing disturbs them, and how they are started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.conftest import GOLDEN

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 400
#: A command that takes longer had kernels to compile.
WARM_S = 6.0
CRYSTAL = "-hkl {inputs}/h.hkl -mat {inputs}/A.mat -lambda 1 -distance 60 -N 3 -oversample 1 -nointerpolate -seed 1"
SMALL = f"{CRYSTAL} -pixel 0.2 -detpixels 64"
ALL_KINDS = (
    "-noisefile noise.img --cbf image_1.cbf --nexus image_1.nxs --npy image.npy --truth truth.h5 "
    "--preview image.png --json run.json"
)
NAMES = ("floatimage.bin", "intimage.img", "image.pgm", "Fdump.bin")
EVERY = (*NAMES, "noise.img", "image_1.cbf", "image_1.nxs", "image.npy", "truth.h5", "image.png", "run.json")
SHOTS = tuple(f"s/h_{i:04d}.img" for i in (1, 2, 3))
DEMO = tuple(f"demo/{name}" for name in ("Fdump.bin", "lysozyme.bin", "lysozyme.img", "lysozyme_noise.img"))


@dataclass(frozen=True)
class Task:
    """A command.

    Attributes
    ----------
    groups : tuple of tuples of str
        Files that it writes; those of a group appear together.
    quiet : bool
        Whether nothing but warnings and errors goes to stderr.
    kept : tuple of str
        Folders that may stay when it fails, because the same command continues from them.
    """

    name: str
    words: str
    groups: tuple[tuple[str, ...], ...] = ()
    quiet: bool = True
    kept: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All files that it writes."""
        return tuple(name for group in self.groups for name in group)


TASKS = {
    task.name: task
    for task in (
        Task("run", f"run {SMALL} --quiet", ((*NAMES, "noiseimage.img"),)),
        Task("run, all outputs", f"run {SMALL} {ALL_KINDS} --quiet", (EVERY,)),
        Task("run, large", f"run {CRYSTAL} -pixel 0.01 -detpixels 1500 --quiet", ((*NAMES, "noiseimage.img"),)),
        Task(
            "series",
            f"series --stills 3 --out s {SMALL} --quiet",
            (("s/series.json",), *((shot,) for shot in SHOTS), ("s/h_truth.h5",), ("s/h.expt",), ("s/h.png",)),
            kept=("s", "s/.parts"),
        ),
        Task(
            "compare",
            "compare {inputs}/a.bin {inputs}/a.bin --shape 64 64 --out c",
            (("c/metrics.json", "c/comparison.png"),),
            kept=("c",),
        ),
        Task("trace", f"trace 3 4 {SMALL} --json trace.json --quiet", (("trace.json",),)),
        Task("info", "info"),
        Task("demo", "demo demo", (("demo/lysozyme.hkl",), (*DEMO, "demo/lysozyme.png")), quiet=False, kept=("demo",)),
    )
}
#: Their files hold times: every well-formed one is right.
TIMED = ("run.json", "trace.json")


@dataclass
class Done:
    """How a command ended: exit code (negative: the signal that killed it) and what it printed."""

    code: int
    out: str
    err: str


@dataclass
class Lab:
    """A scratch folder with inputs, a copy of the program if wanted, a warm cache, and undisturbed results.

    Attributes
    ----------
    right : dict
        For each task the content of its files.
    seconds : dict
        For each task how long it takes.
    allowed : tuple of str
        Tasks to be taken where there is a choice; empty: all.
    """

    scratch: Path
    root: Path = ROOT
    right: dict[str, dict[str, bytes]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    number: int = 0
    allowed: tuple[str, ...] = ()

    @property
    def inputs(self) -> Path:
        """Input files that no fault touches."""
        return self.scratch / "inputs"

    @property
    def cache(self) -> Path:
        """Folder of compiled kernels."""
        return self.scratch / "cache"

    def set_up(self, snapshot: bool) -> None:
        """Make inputs and cache; ``snapshot``: copy the program, so that its files may change meanwhile."""
        from nbnumba.kernels.jit.cache import CACHE_DIR

        self.scratch.chmod(0o755)
        self.inputs.mkdir()
        (self.scratch / "home").mkdir()
        for name, source in (("h.hkl", "tri.hkl"), ("A.mat", "tri_A.mat")):
            shutil.copy(GOLDEN / "inputs" / source, self.inputs / name)
        if snapshot:
            self.root = self.scratch / "program"
            for part in ("nbnumba", "kernels", "cli", "data"):
                shutil.copytree(ROOT / part, self.root / part, ignore=shutil.ignore_patterns("__pycache__"))
        if CACHE_DIR is not None and CACHE_DIR.is_dir():
            shutil.copytree(CACHE_DIR, self.cache / CACHE_DIR.name)
        self.run(TASKS["run"], self.new_folder(), env={"MPLBACKEND": "agg"})
        shutil.copy(self.last / "floatimage.bin", self.inputs / "a.bin")

    def learn(self, name: str) -> None:
        """Run a task undisturbed, again where kernels had to be compiled, and remember its files."""
        if name in self.right:
            return
        task = TASKS[name]
        folder = self.new_folder()
        for _ in range(2):
            start = time.perf_counter()
            done = self.run(task, folder)
            self.seconds[name] = time.perf_counter() - start
            if done.code != 0:
                raise RuntimeError(f"{name} fails undisturbed: {done.err}")
            if self.seconds[name] < WARM_S:
                break
        self.right[name] = {file: (folder / file).read_bytes() for file in task.files}

    def new_folder(self, name: str = "") -> Path:
        """An empty folder."""
        self.number += 1
        self.last = self.scratch / f"{self.number:04d}{name}"
        self.last.mkdir()
        return self.last

    def sweep(self) -> None:
        """Remove the last folder, for 300 of them would fill a small disk."""
        for folder in self.scratch.glob("[0-9]*"):
            _force_remove(folder)

    def remove(self) -> None:
        """Remove everything."""
        _force_remove(self.scratch)

    def environment(self, changes: dict[str, str] | None = None) -> dict[str, str]:
        """Variables of a command; it is not measured, since coverage's own file would meet the same faults."""
        others = ("LC_", "LANG", "NUMBA_", "COVERAGE_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(others)}
        own = {"PYTHONPATH": str(self.root), "NUMBA_CACHE_DIR": str(self.cache), "HOME": str(self.scratch / "home")}
        return {**kept, **own, **(changes or {})}

    def command(self, task: Task, extra: str = "", wrapper: str | None = None) -> list[str]:
        """Words of a command; ``wrapper`` is Python code that runs before ``nbnumba.cli.start.main``."""
        words = [word.replace("{inputs}", str(self.inputs)) for word in f"{task.words} {extra}".split()]
        if wrapper is None:
            return [sys.executable, "-m", "nbnumba", *words]
        ending = "\nimport sys\nfrom nbnumba.cli.start import main\nsys.exit(main())"
        return [sys.executable, "-c", wrapper + ending, *words]

    def start(
        self,
        task: Task,
        folder: Path,
        *,
        extra: str = "",
        wrapper: str | None = None,
        env: dict[str, str] | None = None,
        before: Callable[[], None] | None = None,
        **streams: Any,
    ) -> subprocess.Popen[bytes]:
        """Start a command; ``before`` runs in its process."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        return subprocess.Popen(
            self.command(task, extra, wrapper),
            cwd=folder,
            env=self.environment(env),
            preexec_fn=partial(_as_in_foreground, before),
            **streams,
        )

    def run(self, task: Task, folder: Path, **how: Any) -> Done:
        """Run a command to its end."""
        return finish(self.start(task, folder, **how))


def _as_in_foreground(before: Callable[[], None] | None) -> None:
    """A shell has Ctrl-C ignored in what it starts in the background: then no interrupt would be one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if before is not None:
        before()


def _force_remove(folder: Path) -> None:
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())):
        path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


def finish(process: subprocess.Popen[bytes]) -> Done:
    """Wait for a command."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        err = (err or b"") + b"\nTraceback: it hangs"
    texts = [(data or b"").decode("utf-8", "backslashreplace") for data in (out, err)]
    return Done(process.returncode, *texts)


def put_old_files(task: Task, folder: Path, rng: Random) -> None:
    """Half of the times, files of an earlier run under the names of the outputs; not where they would be continued."""
    if rng.random() < 0.5 and task.name != "series":
        for name in task.files:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(f"old {name}"))


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system in memory on a folder; needs root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount(folder: Path) -> bool:
    """Whether :func:`mounted` works here."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    try:
        with mounted(folder, "size=64k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
