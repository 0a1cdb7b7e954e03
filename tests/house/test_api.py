"""The public names: light to import, documented, typed, safe in threads and processes; and the tour of them."""

from __future__ import annotations

import dataclasses
import inspect
import multiprocessing
import os
import re
import subprocess
import sys
import types
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import nbnumba as nb

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def simulation(angle: float = 0.0) -> nb.Simulation:
    return nb.Simulation(
        crystal=nb.Crystal(cell=(40.0, 50.0, 60.0), misset_deg=(angle, 20.0, 30.0), Na=8, Nb=8, Nc=8),
        beam=nb.Beam(fluence=1e26),
        detector=nb.Detector(distance_mm=60, fpixels=80, spixels=70, pixel_mm=0.3),
        structure_factors=nb.StructureFactors(default_F=100.0, dump=Path("no such dump")),
    )


def render(angle: float) -> np.ndarray:
    return nb.simulate(simulation(angle), device="cpu", threads=1).image


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_neither_numpy_nor_numba() -> None:
    assert run("import sys, nbnumba; print({'numpy', 'numba', 'h5py'} & set(sys.modules))") == "set()\n"


def test_no_room_hides_a_public_name() -> None:
    """A module below the package, once imported, becomes its attribute."""
    rooms = {path.stem for path in Path(nb.__file__).parent.iterdir()} | {"kernels", "cli", "data"}
    assert not rooms & set(nb.__all__)


def test_names() -> None:
    assert set(nb.__all__) <= set(dir(nb))
    with pytest.raises(AttributeError, match="attribute simulat"):
        nb.simulat  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", nb.__all__)
def test_every_name_is_documented_and_typed(name: str) -> None:
    value = getattr(nb, name)
    doc = inspect.getdoc(value)
    assert doc and len(doc.split()) > 3
    if isinstance(value, types.FunctionType):
        signature = inspect.signature(value)
        assert signature.return_annotation is not inspect.Signature.empty
        for parameter in signature.parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty, parameter.name
    elif dataclasses.is_dataclass(value):
        assert not doc.startswith(f"{name}("), "the docstring is dataclass' own"
        assert all(field.type for field in dataclasses.fields(value))
    else:
        assert issubclass(value, Exception) or name in {"Renderer", "Derivatives", "ParameterModel"}


def test_a_result_is_shown_on_one_line() -> None:
    result = nb.simulate(simulation(), device="cpu")
    brightest = f"{result.image.max():.4g}"
    assert repr(result) == f"<Result: 70 x 80 pixels (slow x fast), brightest {brightest} photons, by cpu>"
    both = dataclasses.replace(result, images=result.images * 2)
    assert "(slow x fast), first of 2 panels, brightest" in repr(both)


def test_two_threads_at_once() -> None:
    angles = [float(n) for n in range(12)]
    expected = [render(angle) for angle in angles]
    assert not np.array_equal(expected[0], expected[1])
    with ThreadPoolExecutor(3) as pool:
        for image, alone in zip(pool.map(render, angles), expected, strict=True):
            assert np.array_equal(image, alone)


def test_threads_on_the_pool_that_bears_only_one() -> None:
    """Without the lock Numba ends the process: "Concurrent access has been detected"."""
    code = """
from concurrent.futures import ThreadPoolExecutor
from tests.house.test_api import render
import numba
alone = [render(float(n)) for n in range(8)]
with ThreadPoolExecutor(4) as pool:
    same = all((a == b).all() for a, b in zip(pool.map(render, map(float, range(8))), alone))
print(numba.threading_layer(), same)
"""
    assert run(code, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2") == "workqueue True\n"


def test_two_processes_at_once() -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for image, angle in zip(pool.map(render, [1.0, 2.0]), [1.0, 2.0], strict=True):
            assert np.array_equal(image, render(angle))


def blocks(page: str) -> list[str]:
    return re.findall(r"(?ms)^```python\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"))


def test_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/python.md from top to bottom, in one namespace, as in a notebook."""
    monkeypatch.chdir(tmp_path)
    found = blocks("python.md")
    assert len(found) == 15
    namespace: dict[str, object] = {}
    for number, block in enumerate(found, start=1):
        exec(compile(block, f"python.md, block {number}", "exec"), namespace)


def test_tutorial_names_exist() -> None:
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\bnb\.(\w+)", text))
    assert used <= set(nb.__all__), used - set(nb.__all__)
