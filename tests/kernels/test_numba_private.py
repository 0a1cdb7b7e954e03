"""Kernels with a Numba that lacks one of the private parts that are used, as a later version may."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numba
import pytest

ROOT = Path(__file__).parents[2]
#: What a Numba may lack: statements that take it away before nbnumba is imported.
MISSING = {
    "nothing": "",
    "the cache": "del caching.FunctionCache",
    "its implementation": "del caching.CompileResultCacheImpl",
    "a method of its files": "del caching.IndexDataCacheFile._dump",
    "an attribute of its files": "caching.IndexDataCacheFile.__init__ = lambda self, *arguments: None",
    "events": "sys.modules['numba.core.event'] = None",
    "the wrappers' options": "del options.DefaultOptions.no_cpython_wrapper",
    "a way to add overloads": "registry.CPUDispatcher = object",
    "inlining": "del options.DefaultOptions.forceinline",
}
KERNEL = """
import logging, sys
import numba
from numba.core import caching, ccallback, event, options, registry
{missing}
logging.basicConfig(level="INFO", format="%(message)s")
from nbnumba.kernels.formulas import lattice
from nbnumba.kernels.jit.cpu import device, kernel

@device(forceinline=True)
def twice(x):
    return 2 * x

@kernel(parallel=False)
def doubled(x):
    return twice(x) + lattice.sincg(0.0, 5.0)

assert doubled(4.0) == 13.0
kept = getattr(doubled, "_cache", None)
print(type(kept).__name__, sum(doubled.stats.cache_hits.values()), sum(doubled.stats.cache_misses.values()))
"""


def run(code: str, folder: Path, script: Path) -> str:
    """What a process prints; kernels are kept in ``folder``."""
    script.write_text(code)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize("missing", MISSING)
def test_kernels_work_without(missing: str, tmp_path: Path) -> None:
    code = KERNEL.format(missing=MISSING[missing])
    first, second = (run(code, tmp_path / "cache", tmp_path / "script.py") for _ in range(2))
    kept = "cache" not in missing and "its" not in missing
    if kept:
        assert first == "KernelCache 0 1" and second == "KernelCache 1 0"
    else:
        assert second.endswith(" 0 0") or second.endswith(" 0 1"), "compiled again"


@pytest.mark.slow
def test_an_image_without_any_of_them(tmp_path: Path) -> None:
    image = """
import numpy as np
import nbnumba as nb

still = nb.Simulation(
    crystal=nb.Crystal(cell=(70, 80, 90), misset_deg=(1, 2, 3), Na=5, Nb=5, Nc=5),
    detector=nb.Detector(fpixels=20, spixels=20, distance_mm=50),
    structure_factors=nb.StructureFactors(default_F=10.0, write_dump=False),
)
print(np.float64(nb.simulate(still, device="cpu", threads=1).image).sum().hex())
"""
    everything = "\n".join(line for name, line in MISSING.items() if "attribute" not in name)
    head = (
        f"import sys\nimport numba\nfrom numba.core import caching, ccallback, event, options, registry\n{everything}\n"
    )
    plain = run(image, tmp_path / "cache", tmp_path / "plain.py")
    assert run(head + image, tmp_path / "cache", tmp_path / "less.py") == plain


def test_no_newer_numba_than_the_tested_one_is_allowed() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bound = re.search(r"numba>=[\d.]+,<0\.(\d+)$", next(entry for entry in needed if entry.startswith("numba>=")))
    assert bound is not None
    assert int(numba.__version__.split(".")[1]) < int(bound[1]), "the tests have to pass with the newest one allowed"
