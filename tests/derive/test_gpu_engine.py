"""Derivatives by the CUDA kernels in numba's simulator against those by the CPU, on a few pixels.

The simulator is chosen when numba is first imported: the kernels run in a process of their own, as plain Python, with small
groups and pieces, so that a few pixels are several of each.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.derive.engine import GRADIENT, NORMAL, VALUES, Goal, PanelPass, PixelPass, SpotPass, make_pass
from nbnumba.kernels.formulas.sums import BRAGG, SPINS, SUMS
from nbnumba.render.dispatch import make_plan, renderer_of
from nbnumba.render.inputs import KernelInputs
from tests.kernels.test_cuda_simulator import inputs_of

ROOT = Path(__file__).parents[2]
BASE = """-hkl inputs/hex.hkl -cell 52.4 52.4 38.7 90 90 120 -default_F 11 -misset 12 34 56 -detpixels_x 48 -detpixels_y 32
-distance 63 -pixel 0.4 -lambda 1.1 -Na 5 -Nb 4 -Nc 7 -nointerpolate -oversample 1 -polar 0.4"""
MANY = "-Na 10 -Nb 9 -Nc 12 -fudge 0.3"
FEW = "-Na 2 -Nb 3 -Nc 2"
#: Experiments by name: flags beside those of BASE.
EXPERIMENTS = {
    "square": "-square_xtal -phi 3 -osc 2 -phisteps 2",
    "square, correct physics, thick": "-square_xtal --physics correct -detector_thick 400 -detector_thicksteps 2",
    "square, curved, thick": "-square_xtal -curved_det -detector_thick 400 -detector_thicksteps 2",
    "square, sources, resolution limit": "-square_xtal -dispersion 2 -dispsteps 2 -dmin 2.5",
    "square, correct physics, sources, water": "-square_xtal --physics correct -dispersion 2 -dispsteps 2 -water 20",
    "round": f"-round_xtal {FEW} -fudge 0.7",
    "round, correct physics, curved": f"-round_xtal {FEW} --physics correct -curved_det",
    "gauss": f"-gauss_xtal {FEW} -fudge 0.3 -oversample 2",
    "gauss, correct physics": f"-gauss_xtal {FEW} -fudge 0.3 --physics correct -nopolar",
    "tophat": f"-tophat_spots {FEW} -fudge 0.3 -water 20",
    "spots": f"-gauss_xtal {MANY} -phi 3 -osc 2 -phisteps 2",
    "spots, correct physics, sources, water": "-gauss_xtal -Na 20 -Nb 18 -Nc 24 --physics correct -dispersion 2 -dispsteps 2 -water 20",
    "interpolated": f"-square_xtal {FEW} -interpolate",
    "interpolated, correct physics": f"-gauss_xtal {FEW} -fudge 0.3 -interpolate --physics correct",
}


class Case:
    """What both compute: inputs, rotations of the orientations, chosen pixels, chain, weights and right sides."""

    def __init__(self, name: str) -> None:
        rng = np.random.default_rng(list(EXPERIMENTS).index(name))
        self.inputs = inputs_of([*BASE.split(), *EXPERIMENTS[name].split()])
        shape = (32, 48)
        self.mask = np.zeros(shape, bool)
        s, f = rng.integers(0, 27), rng.integers(0, 42)
        if name.startswith("spots"):  # a few pixels around a spot
            image = np.zeros(shape, np.float32)
            dark = replace(self.inputs, beam=self.inputs.beam._replace(I_bg=0.0))
            renderer_of(dark, make_plan(dark, "cpu")).render(image)
            slow, fast = np.unravel_index(image.argmax(), shape)
            s, f = min(max(int(slow) - 2, 0), 28), min(max(int(fast) - 2, 0), 43)
        self.mask[s : s + 4, f : f + 5] = rng.random((4, 5)) < 0.9
        self.spins = rng.normal(size=(len(self.inputs.cells), 3 * SPINS)) if "phi" in EXPERIMENTS[name] else None
        self.chain = rng.normal(size=(4, SUMS)) * (rng.random((4, SUMS)) < 0.5)
        self.weights, self.rights = rng.normal(size=shape), rng.normal(size=shape)

    def goals(self) -> dict[str, Goal]:
        """What is asked for."""
        return {
            "sums": Goal(VALUES, np.eye(SUMS)),
            "values": Goal(VALUES, self.chain),
            "normal": Goal(NORMAL, self.chain, self.weights, self.rights),
            "gradient": Goal(GRADIENT, self.chain, self.weights),
        }

    def settings(self) -> tuple[KernelInputs, np.ndarray | None, np.ndarray]:
        """Arguments of a pass."""
        return self.inputs, self.spins, self.mask


def compute_simulated(cases: dict[str, Case], folder: Path) -> dict[str, np.ndarray]:
    """Results of the simulator, by names of case and goal."""
    content = {n: (*c.settings(), {k: tuple(g) for k, g in c.goals().items()}) for n, c in cases.items()}
    (folder / "cases.pkl").write_bytes(pickle.dumps(content))
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error", "-m", "tests.derive.test_gpu_engine", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "found.npz") as found:
        return {name: found[name] for name in found.files}


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Relative L2 distance."""
    return float(np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1.0))


def dense(one: PanelPass, values: np.ndarray) -> np.ndarray:
    """Values of the pixels in the place of each, (spixels, fpixels, rows); 0 elsewhere."""
    out = np.zeros((*one.mask.shape, values.shape[1]))
    out[one.pixels[:, 0], one.pixels[:, 1]] = values
    return out


def wrong_results(names: list[str], folder: Path) -> dict[str, float]:
    """Results of the simulator that are not the CPU's, and how far off they are."""
    cases = {name: Case(name) for name in names}
    found, wrong = compute_simulated(cases, folder), {}
    for name, case in cases.items():
        one = make_pass(*case.settings())
        assert isinstance(one, SpotPass if name.startswith("spots") else PixelPass)
        for goal, wanted in case.goals().items():
            expected, result = one.run(wanted), found[f"{name}: {goal}"]
            if wanted.kind == VALUES:
                expected = dense(one, expected)[case.mask]
            assert expected.shape == result.shape
            if goal == "sums":
                assert np.any(expected[:, BRAGG]), name
                off = max(distance(result[:, j], expected[:, j]) for j in range(SUMS))
            else:
                off = distance(result, expected)
            if not off <= 1e-9:
                wrong[f"{name}: {goal}"] = off
    return wrong


#: Minutes of the simulator, beyond those that every run can spend.
MORE = pytest.mark.skipif(
    "NBNUMBA_MORE_SIMULATED" not in os.environ, reason="takes minutes in the simulator: set NBNUMBA_MORE_SIMULATED=1"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ["square", "round, correct physics, curved", "gauss, correct physics"],
        ["spots"],
        pytest.param(["spots, correct physics, sources, water"], marks=MORE),
        pytest.param(["square, correct physics, thick", "round", "gauss"], marks=MORE),
        pytest.param(["square, curved, thick", "square, sources, resolution limit", "tophat"], marks=MORE),
        pytest.param(
            ["square, correct physics, sources, water", "interpolated", "interpolated, correct physics"], marks=MORE
        ),
    ],
    ids=lambda names: names[0],
)
def test_sums_and_totals_are_those_of_the_cpu(names: list[str], tmp_path: Path) -> None:
    """1e-9 of the norm: the same float64 formulas; sums of many terms cancel at most a million times."""
    assert not wrong_results(names, tmp_path)


def _compute(folder: Path) -> None:
    """Compute what the parent process left; runs in the simulator."""
    from nbnumba.derive import gpu_engine, gpu_spots
    from nbnumba.derive.engine import has_footprints
    from nbnumba.kernels.gpu import deliver
    from nbnumba.render.devices import survey

    deliver.GROUP = gpu_engine.GROUP = 4
    gpu_engine.CudaPass.most = gpu_spots.CudaSpotPass.most = 8
    found: dict[str, Any] = {}
    for name, (inputs, spins, mask, goals) in pickle.loads((folder / "cases.pkl").read_bytes()).items():
        kind = gpu_spots.CudaSpotPass if has_footprints(inputs) else gpu_engine.CudaPass
        one = kind(inputs, spins, mask, survey().devices[0])
        for goal, fields in goals.items():
            found[f"{name}: {goal}"] = one.run(Goal(*fields))
    np.savez(folder / "found.npz", **found)


if __name__ == "__main__":
    _compute(Path(sys.argv[1]))
