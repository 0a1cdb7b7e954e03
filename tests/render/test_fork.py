"""Rendering in processes that were made after a rendering, in every way that Python makes them."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
METHODS = multiprocessing.get_all_start_methods()
COMMON = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from tests.house.test_api import render

def total(angle):
    return float(render(angle).sum())

if __name__ == "__main__":
    ways = multiprocessing.get_context(sys.argv[1])
    alone = [total(angle) for angle in (0.0, 5.0)]  # the threads of this process are started
    {body}
    print("good")
"""
BODIES = {
    "process": """
    for angle in (0.0, 5.0):
        child = ways.Process(target=render, args=(angle,))
        child.start()
        child.join(200)
        assert child.exitcode == 0, child.exitcode
""",
    "pool": """
    with ProcessPoolExecutor(2, mp_context=ways) as pool:
        there = list(pool.map(total, (0.0, 5.0)))
    assert all(abs(a - b) <= 1e-6 * a for a, b in zip(alone, there)), (alone, there)
    assert [total(angle) for angle in (0.0, 5.0)] == alone  # and here as before
""",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("body", BODIES)
def test_rendering_in_children(tmp_path, method, body):
    script = tmp_path / "children.py"
    script.write_text(COMMON.replace("    {body}", BODIES[body]))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(script), method],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.stdout == "good\n", done.stderr
    assert done.stderr == ""


@pytest.mark.skipif("fork" not in METHODS, reason="this system does not fork")
def test_a_child_of_a_child(tmp_path):
    """A fork of a fork is no worse than one."""
    script = tmp_path / "grandchildren.py"
    script.write_text(
        "import os\nfrom tests.house.test_api import render\nrender(0.0)\n"
        "for generation in range(2):\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "    render(5.0)\n"
        "print('good', flush=True)\nos._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr
