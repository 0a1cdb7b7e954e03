"""Every CUDA kernel compiled, linked and launched under the null driver, with arguments that its machine code can take."""

from __future__ import annotations

import json

import pytest

from bench.cuda_resources import KERNELS
from nbnumba.render.devices import toolkit_version
from tests.campaigns.null_driver.build import PACKAGES, missing
from tests.campaigns.null_driver.experiments import (
    DERIVED,
    DERIVED_RESULTS,
    DERIVED_SPOTS,
    ELSEWHERE,
    EXPERIMENTS,
    SHARED_ROWS,
)
from tests.campaigns.null_driver.session import Outcome, run

needs_driver = pytest.mark.skipif(bool(missing()), reason=missing() or "all is there")
each_package = pytest.mark.parametrize(
    "package",
    [
        pytest.param(name, marks=pytest.mark.skipif(bool(missing(name)), reason=missing(name) or "all is there"))
        for name in PACKAGES
    ],
)

ALL = """
import json
from nbnumba.render.gpu.split import portions_of
from nbnumba.render.inputs import build_inputs
from nbnumba.render.simulate import simulate
from tests.campaigns.null_driver.experiments import EXPERIMENTS, simulation
from tests.campaigns.null_driver.inside import figure, stay_current

stay_current()
rows = {}
for name in EXPERIMENTS:
    before = figure("launches")
    result = simulate(simulation(name), device="cuda")
    assert result.device == "cuda:0", result.warnings
    x, kernel = build_inputs(result.experiment), result.plan.kernel
    separate = int(x.beam.per_term or x.beam.dmin > 0)
    if kernel == "spots":
        single = x.panel.layers * x.panel.oversample**2 == 1
        row = ("paint" if single else "paint all", x.crystal.shape, x.panel.curved, int(x.beam.per_term))
    else:
        general = (0, 0, 0, int(x.cell.interpolate))
        row = (kernel, *(general if kernel == "general" else (x.crystal.shape, x.panel.curved, separate)))
        terms = len(x.sources) * len(x.cells)
        if kernel != "general" and portions_of(16, x.panel.layers * x.panel.oversample**2, terms, 132) > 1:
            row += (0, 1)
    rows[name] = {"row": row, "launches": [before, figure("launches")]}
print(json.dumps(rows))
"""


@each_package
def test_every_kernel_is_launched(package):
    """Each row of bench.cuda_resources, by an experiment of its own; each kernel of its own is loaded once."""
    done = run(ALL, package=package).check()
    rows, launches = json.loads(done.out.splitlines()[-1]), done.report.launches
    for name, experiment in EXPERIMENTS.items():
        first, last = rows[name]["launches"]
        assert tuple(rows[name]["row"]) == KERNELS[experiment.row], name
        assert {launch.kernel for launch in launches[first:last]} == set(experiment.functions), name
    here = {experiment.row for experiment in EXPERIMENTS.values()} | set(SHARED_ROWS)
    assert here | {*ELSEWHERE, *DERIVED, *DERIVED_RESULTS, *DERIVED_SPOTS} == KERNELS.keys()
    assert len(done.report.loads) == len(here)


@each_package
def test_every_kernel_of_derivatives_is_launched(package):
    """Each in one piece, with each kind of result; each kernel is loaded once."""
    code = """
    import json
    import numpy as np
    import nbnumba as nb
    from nbnumba.cli.build import build
    from nbnumba.cli.parse import parse
    from tests.campaigns.null_driver.experiments import DERIVED
    from tests.campaigns.null_driver.inside import figure, stay_current

    stay_current()
    rows = {}
    for name, (flags, parameters) in DERIVED.items():
        before = figure("launches")
        found = nb.derivatives(build(parse(flags.split()))[0], parameters, device="cuda", pixels=[(0, 64, 0, 20)])
        assert found.device == "cuda:0"
        assert not found.image.any()
        found.normal(), found.gradient(np.ones((64, 64)))
        x, spins = found.setting.first, "mosaic" in parameters
        painter = found.passes[0]._held.get("painter")
        row = ("sum", min(x.crystal.shape, 2), *map(int, (x.panel.curved, x.cell.interpolate, spins)))
        row = row if painter is None else ("slopes", painter.alone, int(spins))
        rows[name] = {"row": row, "launches": [before, figure("launches")]}
    print(json.dumps(rows))
    """
    done = run(code, package=package).check()
    rows, launches = json.loads(done.out.splitlines()[-1]), done.report.launches
    of_spots = "find_spots place_tiles fill_lists sort_lists paint_slopes close_slopes"
    for name in DERIVED:
        assert tuple(rows[name]["row"]) == KERNELS[name], name
        launched = [launch.kernel for launch in launches[slice(*rows[name]["launches"])]]
        sums = of_spots if "of spots" in name else "sum_pixels"
        wanted = f"{sums} chain_sums {sums} chain_sums weigh_values {sums} weigh_sums"
        assert launched == wanted.split(), name
    assert len(done.report.loads) == len([*DERIVED, *DERIVED_RESULTS, *DERIVED_SPOTS])


@needs_driver
@pytest.mark.parametrize(("device", "ends"), [("auto", "on the CPU"), ("cuda", "cuda:0 (Null Driver H100) failed: ")])
def test_derivatives_fall_back_where_nobody_asked_for_the_gpu(device, ends):
    """Where a launch fails: the CPU's values, with a line of the log; else the error."""
    code = f"""
    import logging, sys
    import nbnumba as nb
    from nbnumba.cli.build import build
    from nbnumba.cli.parse import parse
    from tests.campaigns.null_driver.experiments import DERIVED
    logging.getLogger("nbnumba").addHandler(logging.StreamHandler(sys.stdout))
    flags, parameters = DERIVED["derivatives, square"]
    try:
        found = nb.derivatives(build(parse(flags.split()))[0], parameters, device="{device}", pixels=[(0, 9, 0, 9)])
        print("on the CPU" if found.image.any() and found.device == "cpu" else "wrong")
    except nb.DeviceError as error:
        print(error)
    """
    done = run(code, fail="launch:1:719")
    assert done.code == 0, done.err[-3000:]
    lines = done.out.splitlines()
    assert lines[-1].startswith(ends), done.out
    assert len(lines) == (2 if device == "auto" else 1)


@each_package
def test_float32_kernels_have_no_local_memory(package):
    """As they are linked at run time, which bench.cuda_resources does not do."""
    code = """
    from nbnumba.render.simulate import simulate
    from tests.campaigns.null_driver.experiments import simulation
    from tests.campaigns.null_driver.inside import stay_current
    stay_current()
    for name in ("fast32", "fast32 by source"):
        simulate(simulation(name), device="cuda")
    """
    done = run(code, package=package).check()
    found = [(load["kernel"], load["stack"], load["threads"]) for load in done.report.loads]
    assert found == [("render_fast", 0, 128)] * 2


def rows_of(done: Outcome, device: int, width: int = 64) -> list[int]:
    """Rows of the bands that a device was given: the first array among the arguments, where it is as wide as the image."""
    found = []
    for launch in done.report.launches:
        index = next(launch.arrays())[0]
        if launch.device == device and launch.values[index + 2] == width:
            found.append(launch.values[index + 1])
    return found


def render(folder, name, *more, **settings) -> Outcome:
    """Run an experiment from the command line; the image is a file in the folder."""
    flags = EXPERIMENTS[name].flags.split()
    return run(["-m", "nbnumba", "run", *flags, "-floatfile", "a.bin", "-nonoise", *more], folder=folder, **settings)


@needs_driver
@pytest.mark.parametrize("name", ["fast32", "general"])
def test_two_devices_share_an_image(name, tmp_path):
    """Kernels that take a while leave bands to the other device."""
    done = render(tmp_path, name, "--device", "cuda:all", devices=2, kernel_ms=100).check()
    assert (tmp_path / "a.bin").stat().st_size == 64 * 64 * 4
    assert "cuda:0,1" in done.err
    bands = [rows_of(done, device) for device in range(2)]
    assert sum(map(sum, bands)) == 64 and all(bands), bands


@needs_driver
def test_little_memory_makes_bands(tmp_path):
    """Two bands of 16 rows at least, and tables, are all that is there: the image is made of several, one after the other."""
    whole = render(tmp_path, "fast32", "--device", "cuda").check()
    assert rows_of(whole, 0) == [64]
    done = render(tmp_path, "fast32", "--device", "cuda", free=30_000).check()
    bands = rows_of(done, 0)
    assert len(bands) > 1 and sum(bands) == 64, bands
    (end,) = done.report.exits
    assert end["device_bytes"]["peak"] <= 30_000
    assert (tmp_path / "a.bin").stat().st_size == 64 * 64 * 4


@needs_driver
def test_too_little_memory_is_told(tmp_path):
    asked = render(tmp_path, "fast32", "--device", "cuda", free=9_000)
    assert asked.code == 1
    assert "not enough memory on cuda:0" in asked.err and "Traceback" not in asked.err
    auto = render(tmp_path, "fast32", "--device", "auto", free=9_000)
    assert auto.code == 0
    assert "not enough memory on cuda:0" in auto.err and "on cpu" in auto.err


@needs_driver
def test_a_mask_goes_along(tmp_path):
    """With a mask, rows come by way of pinned buffers, and the mask's rows go to the device."""
    header = b"{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=64;\nSIZE2=64;\n}\n"
    (tmp_path / "mask.img").write_bytes(header.ljust(512) + b"\1\0" * 2048 + b"\0\0" * 2048)
    done = render(tmp_path, "fast32", "-mask", "mask.img", "--device", "cuda").check()
    last = done.report.launches[-1]
    assert 64 * 64 in [array[1] for array in last.arrays()]


def near(offset: float) -> str:
    """A driver's version: that of the installed packages, or so much older or newer."""
    major, minor = (toolkit_version() or "13.0").split(".")[:2]
    return f"{int(major) + int(offset)}.{minor if offset == int(offset) else 9}"


@needs_driver
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"version": "11.8"}, "the NVIDIA driver is too old: it supports CUDA 11.8"),
        ({"version": near(-1)}, "but the installed CUDA packages are"),
        ({"devices": 0}, "no NVIDIA GPU was found"),
        ({"capability": "7.0"}, "Null Driver H100 has compute capability 7.0, 7.5 is needed"),
        ({"fail": "cuInit:1+:999"}, "the NVIDIA driver does not start (error 999)"),
        ({"fail": "cuDeviceGetCount:1+:802"}, "the NVIDIA driver does not start (error 802)"),
    ],
)
def test_what_does_not_fit_is_said(settings, words, tmp_path):
    """A sentence where a GPU is asked for; in auto the CPU, and the same as its reason."""
    asked = render(tmp_path, "fast64 square", "--device", "cuda", **settings)
    lines = asked.err.strip().splitlines()
    assert asked.code == 1
    assert lines[-1].startswith("nbnumba: error: device cuda is ") and words in lines[-1]
    assert "Traceback" not in asked.err
    auto = render(tmp_path, "fast64 square", **settings)
    assert auto.code == 0
    assert [words in line and "on cpu" in line for line in auto.err.splitlines()].count(True) == 1
    assert not auto.report.launches


@needs_driver
@pytest.mark.parametrize("offset", [0, 1])
def test_drivers_of_the_same_version_and_newer_ones_are_taken(offset, tmp_path):
    done = render(tmp_path, "fast64 square", "--device", "cuda", version=near(offset)).check()
    assert done.report.launches


@needs_driver
def test_info_says_what_is_there(tmp_path):
    """A driver that computes nothing is found out."""
    done = run(["-m", "nbnumba", "info"], folder=tmp_path, devices=2).check()
    lines = [line for line in done.out.splitlines() if line.startswith("cuda:")]
    assert len(lines) == 2
    for index, line in enumerate(lines):
        assert line.startswith(f"cuda:{index}:")
        assert line.endswith(
            "Null Driver H100, 80 GiB, 132 multiprocessors, compute capability 9.0; gives wrong numbers"
        )


@each_package
def test_every_golden_case_is_launched(package):
    """The flags of every golden case make arguments that the kernels can take."""
    code = """
    import json, os
    from nbnumba.cli.build import build
    from nbnumba.cli.parse import parse
    from nbnumba.render.simulate import simulate
    from tests.conftest import CASES, GOLDEN
    from tests.campaigns.null_driver.inside import stay_current

    stay_current()
    os.chdir(GOLDEN)
    kernels = {}
    for name, case in CASES.items():
        result = simulate(build(parse(case["args"]))[0], device="cuda")
        assert result.device == "cuda:0", (name, result.warnings)
        kernels[name] = (result.plan.kernel, bool(result.experiment.interpolate))
    print(json.dumps(kernels))
    """
    done = run(code, package=package).check()
    kernels = json.loads(done.out.splitlines()[-1])
    assert len(done.report.launches) >= len(kernels)
    assert {kernel for kernel, _ in kernels.values()} == {"fast32", "fixed", "fast64", "general"}
    assert ["general", True] in kernels.values()
