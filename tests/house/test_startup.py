"""What a run loads, and when it says that it compiles. Seconds are measured by ``python -m bench.cpu``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nbnumba.kernels.formulas.polarization import beam_frame
from nbnumba.kernels.formulas.vec import unit
from nbnumba.kernels.jit.cpu import plain
from tests.compiled import from_python

ROOT = Path(__file__).parents[2]
RUN = "run -cell 50 60 70 -default_F 10 -N 5 -detpixels 16 -distance 50 -oversample 1 -nonoise --quiet --device cpu"

#: Compiles, or fetches, one small kernel of the package.
SMALL = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
import numpy as np
from nbnumba.kernels.cpu.general import fill_rows
fill_rows(np.zeros(4))
fill_rows(np.zeros(5))
"""


def python(code: str, cwd: Path, **environment: str) -> str:
    """What a new Python process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_loads_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    """Neither what reads other formats, nor what draws, nor linear algebra, nor what Typer checks its arguments with."""
    heavy = {"scipy.linalg", "matplotlib", "h5py", "hdf5plugin", "gemmi", "fabio", "rich", "pydantic", "numba.cuda"}
    code = f"""
import sys
from nbnumba.cli.main import main
assert main({RUN.split()!r}) == 0
print(*sorted({heavy!r} & set(sys.modules)))
"""
    assert python(code, tmp_path).strip() == ""
    assert (tmp_path / "floatimage.bin").stat().st_size == 16 * 16 * 4


def test_linear_algebra_in_other_kernels_still_works(tmp_path: Path) -> None:
    """Numba asks for SciPy when it compiles something that needs it."""
    code = """
import sys
import nbnumba.kernels.cpu.general
import numba, numpy as np
assert "scipy.linalg" not in sys.modules
f = numba.njit(lambda a: np.dot(a, a) + np.cov(a))
print(np.allclose(f(np.eye(3)), np.eye(3) + np.cov(np.eye(3))), "scipy.linalg" in sys.modules)
"""
    assert python(code, tmp_path).split() == ["True", "True"]


def test_compiling_is_told_once_and_only_when_it_happens(tmp_path: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert python(SMALL, tmp_path, **cache).splitlines() == ["compiling kernels (once) ..."]
    assert python(SMALL, tmp_path, **cache) == ""


#: Names the functions that are compiled, not fetched, while the words after it are obeyed.
WATCHED = """
from numba.core import event
from nbnumba.cli.main import main
with event.install_recorder("numba:compile") as compiled:
    assert main({words!r}) == 0
print(*(entry.data["dispatcher"].py_func.__qualname__ for _, entry in compiled.buffer if entry.is_start))
"""


@pytest.mark.parametrize("shape", ["square", "gauss", "tophat"])
@pytest.mark.slow
def test_nothing_is_compiled_twice(shape: str, tmp_path: Path) -> None:
    """What is not kept on disk would be compiled in every process: scalar functions, called from Python."""
    code = WATCHED.format(words=[*RUN.split(), f"-{shape}_xtal" if shape != "tophat" else "-tophat_spots"])
    python(code, tmp_path)
    assert python(code, tmp_path) == "\n"


def test_plain_functions() -> None:
    """They compile nothing, nor do those that they call, and give what the compiled ones do."""
    called = (unit, beam_frame)
    before = [list(getattr(function, "signatures", ())) for function in called]
    found = plain(beam_frame)((0.6, 0.0, 0.8), (0.1, 1.0, 0.2))
    assert [list(getattr(function, "signatures", ())) for function in called] == before
    # a product and a sum may be contracted in compiled code: one rounding each
    np.testing.assert_allclose(found, from_python(beam_frame)((0.6, 0.0, 0.8), (0.1, 1.0, 0.2)), rtol=0, atol=1e-15)
    assert plain(len) is len


def test_python_cannot_call_what_is_compiled_for_kernels() -> None:
    """Not even where the same types were compiled for a kernel: there would be nothing to call."""
    arguments = ((0.6, 0.0, 0.8), (0.1, 1.0, 0.2))
    for _ in range(2):
        with pytest.raises(TypeError, match="beam_frame is compiled for kernels only"):
            beam_frame(*arguments)
        from_python(beam_frame)(*arguments)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders are closed otherwise on this system")
def test_compiling_in_memory_is_told(tmp_path: Path) -> None:
    """No folder can be made below a file; nor one for temporary files."""
    (tmp_path / "file").write_text("")
    code = f"import tempfile; tempfile.gettempdir = lambda: {str(tmp_path / 'file')!r}\n{SMALL}"
    place = str(tmp_path / "file" / "cache")
    told = python(code, tmp_path, NUMBA_CACHE_DIR=place)
    assert told.splitlines() == [
        f"compiling kernels, in every run: {place} cannot be written; name a folder in NUMBA_CACHE_DIR"
    ]


def test_kernels_of_others_are_not_told_about(tmp_path: Path) -> None:
    code = f"{SMALL}\nimport numba\nprint(numba.njit(lambda a: a + 1)(1))"
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    python(SMALL, tmp_path, **cache)
    assert python(code, tmp_path, **cache) == "2\n"
