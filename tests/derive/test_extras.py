"""What is loaded of PyTorch and JAX without being asked for, and what is said where they are not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("extra", "name"), [("torch", "PyTorch"), ("jax", "JAX")])
def test_a_missing_package_is_named_with_its_cure(extra, name):
    code = f"""
import sys
sys.modules["{extra}"] = None  # as if it were not installed
import nbnumba as nb
try:
    import nbnumba.{extra}
except ImportError as error:
    assert isinstance(error, nb.NbnumbaError) and isinstance(error, nb.ExtraError)
    print(error)
"""
    assert run(code) == f"nbnumba.{extra} needs {name}: pip install 'nbnumba[{extra}]'\n"


def test_they_are_loaded_by_their_modules_alone():
    code = "import sys, nbnumba.derive.model; import nbnumba as nb; nb.simulate; print({'torch', 'jax'} & set(sys.modules))"
    assert run(code) == "set()\n"
