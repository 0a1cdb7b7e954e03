"""Which device is taken, what is said where there is none, and how work is cut for GPUs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nbnumba.cli.main import main
from nbnumba.errors import ConfigError, DeviceError
from nbnumba.kernels.formulas.lattice import metric_sqr, spot_metric, spot_radius_sqr
from nbnumba.kernels.jit import cuda_choice
from nbnumba.model.config import Crystal, Detector, Sampling, Simulation, StructureFactors
from nbnumba.model.experiment import resolve
from nbnumba.render import devices, dispatch
from nbnumba.render.devices import Device, Survey
from nbnumba.render.gpu import inputs as gpu_inputs
from nbnumba.render.gpu.case import CudaCase
from nbnumba.render.inputs import build_inputs
from nbnumba.render.kernel_table import choose
from nbnumba.render.simulate import simulate
from tests.compiled import from_python

ROOT = Path(__file__).parents[2]
H200 = Device(0, "NVIDIA H200", (9, 0), 140 << 30, 132, 1.98e9)
L4 = Device(1, "NVIDIA L4", (8, 9), 24 << 30, 58, 2.0e9)


def small(**more) -> Simulation:
    return Simulation(
        crystal=Crystal(cell=(50.0, 60.0, 70.0, 80.0, 85.0, 95.0), Na=5, Nb=6, Nc=7, **more),
        detector=Detector(fpixels=24, spixels=20, pixel_mm=0.4),
        structure_factors=StructureFactors(default_F=100.0),
        sampling=Sampling(oversample=1),
    )


@pytest.fixture
def found(monkeypatch):
    """Let the machine seem to have what a survey says."""

    def pretend(survey: Survey) -> None:
        monkeypatch.setattr(devices, "survey", lambda: survey)
        monkeypatch.setattr(dispatch, "survey", lambda: survey)

    return pretend


class Driver:
    """A driver library that answers as told."""

    def __init__(self, *, init=0, version=13000, count=1, capability=(9, 0)):
        self.init, self.version, self.count, self.capability = init, version, count, capability

    def cuInit(self, flags):
        return self.init

    def cuDriverGetVersion(self, number):
        number._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = self.count
        return 0

    def cuDeviceGet(self, handle, index):
        return 0

    def cuDeviceGetName(self, name, length, handle):
        name.value = b"NVIDIA Test"
        return 0

    def cuDeviceTotalMem_v2(self, memory, handle):
        memory._obj.value = 1 << 34
        return 0

    def cuDeviceGetAttribute(self, number, attribute, handle):
        number._obj.value = {75: self.capability[0], 76: self.capability[1], 16: 10, 13: 1500000}[attribute]
        return 0


@pytest.mark.parametrize(
    ("driver", "package", "toolkit", "words"),
    [
        (None, True, "", "no NVIDIA driver"),
        (Driver(init=100), True, "", "no NVIDIA GPU"),
        (Driver(count=0), True, "", "no NVIDIA GPU"),
        (Driver(init=3), True, "", "error 3"),
        (Driver(version=11080), True, "", "too old: it supports CUDA 11.8"),
        (Driver(), False, "", "numba-cuda is not installed"),
        (Driver(version=12040), True, "13.1.0", "supports CUDA 12.4 only"),
        (Driver(capability=(6, 1)), True, "13.0", "compute capability 6.1"),
    ],
)
def test_what_is_missing_is_said(monkeypatch, driver, package, toolkit, words):
    monkeypatch.setattr(devices, "_load_driver", lambda: driver)
    monkeypatch.setattr(cuda_choice.importlib.util, "find_spec", lambda name: object() if package else None)
    monkeypatch.setattr(devices, "toolkit_version", lambda: toolkit)
    survey = devices.survey.__wrapped__()
    assert words in survey.problem
    assert survey.cure
    assert not survey.devices


def test_a_device_is_described(monkeypatch):
    monkeypatch.setattr(devices, "_load_driver", lambda: Driver(version=12080))
    monkeypatch.setattr(cuda_choice.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(devices, "toolkit_version", lambda: "12.9")
    survey = devices.survey.__wrapped__()
    assert survey.devices == (Device(0, "NVIDIA Test", (9, 0), 1 << 34, 10, 1.5e9),)
    assert (survey.driver, survey.toolkit) == ("12.8", "12.9")


def test_a_missing_library_is_no_error(monkeypatch):
    def refuse(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert devices._load_driver() is None


def test_names(found):
    found(Survey((H200, L4)))
    assert dispatch.choose_device("auto") == ("cuda:0", "NVIDIA H200")
    assert dispatch.choose_device("cuda") == ("cuda:0", "NVIDIA H200")
    assert dispatch.choose_device("cuda:1") == ("cuda:1", "NVIDIA L4")
    assert dispatch.choose_device("cuda:all") == ("cuda:0,1", "NVIDIA H200 and NVIDIA L4")
    assert dispatch.choose_device("cpu") == ("cpu", "requested")
    with pytest.raises(DeviceError, match=r"this machine has cuda:0 \(NVIDIA H200\), cuda:1"):
        dispatch.choose_device("cuda:2")
    assert dispatch.choose_device("cuda:1,0") == ("cuda:1,0", "NVIDIA L4 and NVIDIA H200")
    assert dispatch.choose_device(dispatch.choose_device("cuda:all")[0])[0] == "cuda:0,1"
    for name in ("gpu", "cuda:x", "cuda0", "cuda:-1", "cuda:0,", "cuda:all,1"):
        with pytest.raises(ConfigError, match="--device must be"):
            dispatch.choose_device(name)


def test_without_a_gpu(found, capfd, tmp_path, monkeypatch):
    """One clear line on the CPU; one sentence with what is missing and how to install it where a GPU is asked for."""
    found(Survey(problem="no NVIDIA driver was found", cure=f"install NVIDIA's driver, then {devices.INSTALL}"))
    monkeypatch.chdir(tmp_path)
    words = ["run", "-cell", "50", "50", "50", "90", "90", "90", "-default_F", "1", "-N", "3", "-detpixels", "16"]
    assert main([*words, "-nonoise", "--device", "auto"]) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if "NVIDIA" in line]
    assert len(said) == 1
    assert "on cpu" in said[0]
    assert main([*words, "--device", "cuda"]) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert "no NVIDIA driver was found" in lines[-1]
    assert "pip install 'nbnumba[cuda]'" in lines[-1]


def test_a_failure_midway_falls_back_in_auto_only(found, monkeypatch):
    """The image is the CPU's, and a warning says why; a GPU asked for by name fails."""

    class Broken:
        def __init__(self, inputs, plan):
            self.inputs, self.plan = inputs, plan

        def new_image(self, shape):
            return np.ones(shape, np.float32)

        def render(self, image, progress=None, on_rows=None):
            raise DeviceError("cuda:0 (NVIDIA H200) failed: out of luck")

    expected = simulate(small(), device="cpu")
    found(Survey((H200,)))
    monkeypatch.setattr("nbnumba.render.gpu.backend.CudaBackend.make", Broken)
    result = simulate(small(), device="auto")
    np.testing.assert_array_equal(result.image, expected.image)
    assert result.device == "cpu"
    assert any("out of luck: rendered on the CPU instead" in line for line in result.warnings)
    with pytest.raises(DeviceError, match="out of luck"):
        simulate(small(), device="cuda")


def test_too_little_memory_falls_back_in_auto_only(found, monkeypatch):
    found(Survey((H200,)))
    full = DeviceError("not enough memory on cuda:0 (NVIDIA H200): 99.0 GiB of tables leave no room for an image")

    class Full:
        def __init__(self, *args):
            raise full

    monkeypatch.setitem(sys.modules, "nbnumba.render.gpu.renderer", type(sys)("nbnumba.render.gpu.renderer"))
    sys.modules["nbnumba.render.gpu.renderer"].GpuRenderer = Full
    inputs = build_inputs(resolve(small()))
    renderer = dispatch.make_renderer(inputs, "auto")
    assert renderer.plan.device == "cpu"
    assert "not enough memory" in renderer.plan.reason
    with pytest.raises(DeviceError, match="not enough memory"):
        dispatch.make_renderer(inputs, "cuda")


def test_precision_is_kept_on_a_gpu(found):
    found(Survey((H200,)))
    inputs = build_inputs(resolve(small()))
    assert dispatch.make_plan(inputs, "auto", "double").kernel == "general"
    assert dispatch.make_plan(inputs, "auto", "mixed").kernel == "fast32"
    assert dispatch.make_plan(inputs, "auto").kernel == "fixed"  # one term
    many = replace(inputs, cells=np.repeat(inputs.cells, 50, axis=0))
    assert dispatch.make_plan(many, "auto").kernel == "fast32"
    large = replace(many, crystal=many.crystal._replace(Na=1000.0))
    assert dispatch.make_plan(large, "auto").kernel == "fast64"


def test_table_with_a_plane_of_defaults():
    inputs = build_inputs(resolve(small()))
    rng = np.random.default_rng(1)
    F = rng.uniform(1, 9, (3, 4, 5))
    cell = inputs.cell._replace(h_range=3, k_range=4, l_range=5, has_hkl=1, default_F=3.0)
    table = gpu_inputs.padded_F2(replace(inputs, cell=cell, Fhkl=F)).reshape(4, 5, 6)
    np.testing.assert_array_equal(table[:3, :4, :5], (F**2).astype(np.float32))
    assert (table[3] == 9).all() and (table[:, 4] == 9).all() and (table[:, :, 5] == 9).all()


@pytest.mark.parametrize("physics", [0, 1])
def test_metric_of_a_spot(physics):
    crystal = build_inputs(resolve(small(shape="gauss"))).crystal._replace(per_axis=physics, fudge=0.7)
    metric, offset = spot_metric(crystal), np.array([0.1, -0.2, 0.05])
    radius_sqr = 0.7 * from_python(spot_radius_sqr)(crystal, *offset)
    assert from_python(metric_sqr)(*offset, metric) == pytest.approx(radius_sqr, rel=1e-12)
    form = np.diag(metric[:3])
    form[[0, 0, 1], [1, 2, 2]] = form[[1, 2, 2], [0, 0, 1]] = np.array(metric[3:6]) / 2
    np.testing.assert_allclose(metric[6:], 1 / np.diag(np.linalg.inv(form)), rtol=1e-12)


def test_info_tells_what_is_there_or_missing(found, monkeypatch):
    from nbnumba.cli import info

    monkeypatch.setattr(info, "try_kernel", lambda device: "compiles and runs")
    monkeypatch.setattr(info, "survey", lambda: Survey((H200, L4), driver="13.0"))
    facts = info.facts()
    assert facts["CUDA driver"] == "supports CUDA 13.0"
    assert facts["cuda:1"] == "NVIDIA L4, 24 GiB, 58 multiprocessors, compute capability 8.9; compiles and runs"
    monkeypatch.setattr(info, "survey", lambda: Survey(problem="no NVIDIA GPU was found", cure="buy one"))
    assert info.facts()["GPU"] == "none: no NVIDIA GPU was found; buy one"


class OneThreadAfterAnother:
    """Stands for ``numba.cuda``: a kernel's threads, in turn."""

    gpus = (contextlib.nullcontext(),)

    def __init__(self, grid: Callable[[int], int]) -> None:
        self.place, self.wanted = 0, grid

    def grid(self, dimensions: int) -> int:
        return self.wanted(self.place)

    def jit(self, function):
        def launch(numbers: np.ndarray) -> None:
            for self.place in range(len(numbers)):
                function(numbers)

        return {(1, 32): launch}

    def to_device(self, array: np.ndarray) -> np.ndarray:
        class Copied(np.ndarray):
            copy_to_host = np.ndarray.copy

        return array.view(Copied)


def refuse(place: int) -> int:
    raise RuntimeError("the driver says no\nat length")


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (lambda place: place, "compiles and runs"),
        (lambda place: place // 2, "gives wrong numbers"),
        (refuse, "fails: RuntimeError: the driver says no"),
    ],
)
def test_a_tiny_kernel_tells_whether_a_gpu_works(monkeypatch, grid, words):
    monkeypatch.setitem(sys.modules, "nbnumba.kernels.jit.cuda", SimpleNamespace(cuda=OneThreadAfterAnother(grid)))
    assert devices.try_kernel(H200) == words


def run_python(text: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_cpu_runs_import_no_cuda():
    done = run_python(
        """
        import sys
        import nbnumba.render.dispatch
        from nbnumba.render.devices import survey
        survey()
        print("numba.cuda" in sys.modules)
        """
    )
    assert done.stdout.strip() == "False", done.stderr


def test_no_module_is_taken_for_numba_cuda():
    """numba-cuda redirects every import whose name contains "numba.cuda", nbnumba.cuda included."""
    assert not [path.name for path in (ROOT / "nbnumba").glob("cuda*")]


def test_the_public_function_on_a_device():
    """simulate() with a GPU's name, progress and two images in one process, in the simulator."""
    done = run_python(
        """
        import numpy as np
        from tests.render.test_dispatch import small
        from nbnumba.render.simulate import simulate
        shares = []
        first = simulate(small(), device="cuda", progress=shares.append)
        kept = first.image.copy()
        second = simulate(small(), device="cuda:all", precision="mixed")
        again = simulate(small(), device="cuda")
        cpu = simulate(small(), device="cpu", precision="double")
        assert (first.device, second.device) == ("cuda:0", "cuda:0")
        assert shares[-1] == 1.0 and sorted(shares) == shares
        assert np.array_equal(first.image, kept) and np.array_equal(again.image, kept)
        assert first.image is not again.image
        for result in (first, second):
            assert np.abs(result.image - cpu.image).max() <= 1e-6 * cpu.image.max()
        print("good")
        """,
        NUMBA_ENABLE_CUDASIM="1",
        NUMBA_DISABLE_JIT="1",
    )
    assert done.stdout.strip() == "good", done.stderr


def test_tables_beyond_32_bits_go_to_the_general_kernel():
    inputs = build_inputs(resolve(small()))
    cell = inputs.cell._replace(h_range=1300, k_range=1300, l_range=1300, has_hkl=1)
    choice = choose(CudaCase(replace(inputs, cell=cell)))
    assert choice.kernel.name == "general"
    assert choice.reason == "more structure factors than the fast kernels can index"


def test_cuda_packages_that_are_not_there_have_no_version(monkeypatch):
    def missing(package):
        raise devices.PackageNotFoundError(package)

    monkeypatch.setattr(devices, "version", missing)
    assert devices.toolkit_version() == ""
