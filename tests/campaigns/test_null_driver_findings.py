"""What was found without hardware, and must not come back: installations that do not fit together, failures outside guarded
places, memory that stays or is shared, and the cost of a launch. All under the null driver.
"""

from __future__ import annotations

import json
import textwrap

import pytest

from tests.campaigns.null_driver.build import PACKAGES, missing
from tests.campaigns.null_driver.campaign import campaign
from tests.campaigns.null_driver.experiments import EXPERIMENTS
from tests.campaigns.null_driver.session import run

each_package = pytest.mark.parametrize(
    "package",
    [
        pytest.param(name, marks=pytest.mark.skipif(bool(missing(name)), reason=missing(name) or "all is there"))
        for name in PACKAGES
    ],
)
needs_mlir = pytest.mark.skipif(bool(missing("mlir")), reason=missing("mlir") or "all is there")
pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "all is there")

#: NumPy 2.5 has no row_stack: numba knows by the version, numba-cuda does not.
NO_ROW_STACK = """
import numpy

if hasattr(numpy, "row_stack"):
    del numpy.row_stack
    numpy.__version__ = "2.5.0"
"""
#: Raises an exception of another package's in a frame of the CUDA package: compiling meets a NumPy that it does not know.
FOREIGN = """
import importlib.machinery, sys, types

class Spoil:
    def find_spec(self, name, path=None, target=None):
        if name != "numba.cuda.dispatcher":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            text = "def compile(self, *given):\\n    import numpy\\n    return numpy.no_such_function\\n"
            exec(__builtins__["compile"](text, module.__file__, "exec"), module.__dict__, found := {})
            module.CUDADispatcher.compile = found["compile"]
        spec.loader.exec_module = exec_module
        return spec

import importlib.util
sys.meta_path.insert(0, Spoil())
"""
#: A module of a package that does not fit is not there.
MISMATCHED = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "cuda.core":
            raise ImportError("cannot import name 'no_such_part' from 'cuda.core'")

sys.meta_path.insert(0, Missing())
"""
#: The compiler's library is not there.
NO_NVVM = """
import cuda.pathfinder

load = cuda.pathfinder.load_nvidia_dynamic_lib
def refuse(name, *given):
    if name == "nvvm":
        raise RuntimeError("no such library: libnvvm.so")
    return load(name, *given)
cuda.pathfinder.load_nvidia_dynamic_lib = refuse
"""
SPOILT = {
    "foreign": (FOREIGN, "no_such_function"),
    "mismatched": (MISMATCHED, "no_such_part"),
    "no nvvm": (NO_NVVM, "nvvm"),
}


def spoilt(folder, text, *, cold=False):
    """Settings of a process in which ``text`` is run before anything else; ``cold``: with no kernel compiled yet."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(text)
    more = {"PYTHONPATH": str(folder / "site")} | ({"NUMBA_CACHE_DIR": str(folder / "cache")} if cold else {})
    # of a capability for which no other test compiles, and so for which no kernel is on the disk
    return {"more": more, "package": "numba-cuda", "capability": "8.7"}


def command(name, folder, device, **settings):
    """Render an experiment from the command line; the image is ``a.bin``."""
    flags = EXPERIMENTS[name].flags.split()
    words = ["-m", "nbnumba", "run", *flags, "-floatfile", "a.bin", "-nonoise", "--device", device]
    return run(words, folder=folder, **settings)


def check_fallen_back(done, folder, words):
    """The run ended well on the CPU, and a line says why."""
    assert done.code == 0, done.err[-2000:]
    assert "Traceback" not in done.err and "Exception ignored" not in done.err, done.err[-2000:]
    assert (folder / "a.bin").stat().st_size == 64 * 64 * 4
    assert any((folder / "a.bin").read_bytes())  # under the null driver a GPU's image is empty
    assert any("on cpu" in line and words in line for line in done.err.splitlines()), done.err[-2000:]


def check_refused(done, words):
    """The run ended with one sentence."""
    assert done.code == 1, done.err[-2000:]
    assert "Traceback" not in done.err and "Exception ignored" not in done.err, done.err[-2000:]
    endings = [line for line in done.err.splitlines() if line.startswith("nbnumba: error: ")]
    assert len(endings) == 1 and words in endings[0], done.err[-2000:]
    assert "unexpected" not in endings[0]  # which asks for a report


@pytest.mark.parametrize("name", ["fast64 square", "spots"])
def test_numpy_without_row_stack(name, tmp_path):
    """R1: every kernel is compiled, and the small one of ``nbnumba info``, too."""
    settings = spoilt(tmp_path, NO_ROW_STACK, cold=True)
    done = command(name, tmp_path, "cuda", **settings).check()
    assert set(done.report.kernels()) == set(EXPERIMENTS[name].functions)


def test_info_with_numpy_without_row_stack(tmp_path):
    done = run(["-m", "nbnumba", "info"], folder=tmp_path, **spoilt(tmp_path, NO_ROW_STACK)).check()
    assert "gives wrong numbers" in done.out  # and not: fails


@pytest.mark.parametrize("kind", SPOILT)
def test_a_foreign_failure_falls_back(kind, tmp_path):
    """R2: whatever goes wrong inside a CUDA package is a reason to go on on the CPU."""
    text, words = SPOILT[kind]
    check_fallen_back(command("fast64 square", tmp_path, "auto", **spoilt(tmp_path, text)), tmp_path, words)


@pytest.mark.parametrize("kind", SPOILT)
def test_a_foreign_failure_is_told(kind, tmp_path):
    """R2: or a sentence, where a GPU is asked for."""
    text, words = SPOILT[kind]
    check_refused(command("fast64 square", tmp_path, "cuda", **spoilt(tmp_path, text)), words)


@pytest.mark.parametrize("fault", ["pinned:1", "pinned:1+"])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_pinned_memory_may_fail(fault, device, tmp_path):
    """R3: the image is made through other memory, or on the CPU; or the failure is told."""
    done = command("fast32", tmp_path, device, fail=fault)
    if device == "cuda" and done.code != 0:
        check_refused(done, "OUT_OF_MEMORY")
    elif "on cpu" in done.err:
        check_fallen_back(done, tmp_path, "OUT_OF_MEMORY")
    else:
        assert done.code == 0, done.err[-2000:]
        assert "Traceback" not in done.err
        assert done.report.launches


@pytest.mark.parametrize("less", [0, 1])
def test_images_that_are_held_share_no_memory(less):
    """R4: whatever is left of an image keeps its memory; Python 3.14 counts one reference less."""
    code = """
    import gc, sys
    import numpy as np
    count = sys.getrefcount
    sys.getrefcount = lambda thing: count(thing) - LESS - 1  # one is this call's own
    from nbnumba.render.dispatch import make_renderer
    from nbnumba.model.experiment import resolve
    from nbnumba.render.inputs import build_inputs
    from tests.campaigns.null_driver.experiments import simulation
    from tests.campaigns.null_driver.inside import figure, stay_current

    stay_current()
    renderer = make_renderer(build_inputs(resolve(simulation("fast32"))), "cuda")
    ways = {
        "image": lambda image: image,
        "rows": lambda image: image[3:5],
        "turned": lambda image: image.T[::2],
        "flat": lambda image: image.ravel(),
        "bytes": lambda image: np.asarray(memoryview(image).cast("B")),
        "words": lambda image: np.frombuffer(image, np.int32),
        "class": lambda image: image.view(np.ma.MaskedArray),
    }
    held = {}
    for mark, (name, keep) in enumerate(ways.items()):
        image = renderer.new_image((64, 64))
        image[:] = mark
        held[name] = keep(image)
        del image
        gc.collect()
    images = [renderer.new_image((64, 64)) for _ in range(3)]
    for image in images:
        renderer.render(image)
    for name, kept in held.items():
        assert not any(np.shares_memory(np.asarray(kept), image) for image in images), name
        assert not any(np.shares_memory(np.asarray(kept), np.asarray(other)) for other in held.values() if other is not kept)
    """
    run(code.replace("LESS", str(less))).check()


def test_a_device_of_several_can_be_given_back():
    """R5: what a result says of its device is a device."""
    code = """
    from nbnumba.render.simulate import simulate
    from tests.campaigns.null_driver.experiments import simulation
    from tests.campaigns.null_driver.inside import stay_current

    stay_current()
    first = simulate(simulation("fast32"), device="cuda:all")
    again = simulate(simulation("fast32"), device=first.device)
    print(first.device, again.device)
    """
    done = run(code, devices=2).check()
    first, again = done.out.split()
    assert first == again != "cuda:0"


def test_a_series_with_background_on_several_devices(tmp_path):
    """R5: the truth of a series asks for the device of its images."""
    code = """
    import sys
    from dataclasses import replace
    from nbnumba.model.config import Background
    from nbnumba.series.run import run_series
    from tests.campaigns.null_driver.inside import stay_current
    from tests.series.inputs import SIMULATION, series

    if __name__ == "__main__":
        stay_current()
        wet = replace(SIMULATION, background=Background(water_um=100.0))
        run_series(series(simulation=wet, images=2, device="cuda:all"), sys.argv[1], workers=1)
    """
    (tmp_path / "make.py").write_text(textwrap.dedent(code))
    done = run([str(tmp_path / "make.py"), str(tmp_path / "out")], devices=2)
    assert done.code == 0, done.err[-2000:]
    assert {launch.device for launch in done.report.launches} == {0, 1}


def test_a_launch_costs_little():
    """R7: a prepared launch with all our arguments, beside a plain one of an empty kernel with one array."""
    done = run(["-m", "tests.campaigns.null_driver.launch_cost"], bare=True)
    assert done.code == 0, done.err
    cost = json.loads(done.out)
    assert cost["prepared"] < 3 * cost["empty"], cost


def test_pinned_memory_of_dropped_images_does_not_stay():
    """R8: thirty images that were held together leave a few buffers for the next ones."""
    code = """
    import json
    from nbnumba.render.simulate import simulate
    from tests.campaigns.null_driver.experiments import simulation
    from tests.campaigns.null_driver.inside import figure, flush, live, stay_current

    stay_current()
    held = [simulate(simulation("fast32"), device="cuda") for _ in range(30)]
    most = figure("pinned")
    del held
    simulate(simulation("fast32"), device="cuda")
    flush()
    print(json.dumps([most, live()]))
    """
    most, now = json.loads(run(code).check().out)
    assert most >= 30
    assert now["pinned"] <= 8, now
    assert now["pinned_bytes"] <= 6 * 64 * 64 * 4, now


@pytest.mark.parametrize("name", ["fast32", "spots"])
def test_dropped_renderers_leave_nothing(name):
    """R9: sixty leave no more than twenty did."""
    code = """
    import json
    from nbnumba.render.dispatch import make_renderer
    from nbnumba.model.experiment import resolve
    from nbnumba.render.inputs import build_inputs
    from tests.campaigns.null_driver.experiments import simulation
    from tests.campaigns.null_driver.inside import flush, live

    def some(n):
        for _ in range(n):
            renderer = make_renderer(build_inputs(resolve(simulation("NAME"))), "cuda")
            renderer.render(renderer.new_image((64, 64)))
        del renderer
        flush()
        return live()

    print(json.dumps([some(20), some(40)]))
    """
    done = run(code.replace("NAME", name))
    assert done.code == 0, done.err[-2000:]
    after_20, after_60 = json.loads(done.out.splitlines()[-1])
    assert after_60 == after_20
    assert after_60["streams"] <= 4 and after_60["events"] <= 8 and after_60["device"] <= 12, after_60


@each_package
def test_memory_of_a_dropped_renderer_is_free_at_once(package):
    """Numba frees what is dropped in batches: of ten arrays, or of a fifth of the device's memory."""
    code = """
    import gc
    from nbnumba.render.dispatch import make_renderer
    from nbnumba.model.experiment import resolve
    from nbnumba.render.inputs import build_inputs
    from tests.campaigns.null_driver.experiments import simulation
    from tests.campaigns.null_driver.inside import figure

    held = []
    for _ in range(3):
        renderer = make_renderer(build_inputs(resolve(simulation("fast32"))), "cuda")
        renderer.render(renderer.new_image((64, 64)))
        before = figure("device")
        del renderer
        gc.collect()
        held.append((before, figure("device")))
    assert held[2] == held[1] and held[2][1] < held[2][0], held
    """
    run(code, package=package).check()


@each_package
def test_the_next_process_compiles_nothing(package, tmp_path):
    """Kernels made by a function around them were compiled in every process, and kept once more by each."""
    code = """
    from nbnumba.render.dispatch import make_renderer
    from nbnumba.model.experiment import resolve
    from nbnumba.render.inputs import build_inputs
    from tests.campaigns.null_driver.experiments import simulation

    for name in ("fast32 split", "fixed by source", "fast64 round", "spots", "general"):
        make_renderer(build_inputs(resolve(simulation(name))), "cuda")
    """
    kept = []
    for _ in range(2):
        run(code, package=package, more={"NUMBA_CACHE_DIR": str(tmp_path)}).check()
        kept.append(sorted(file.name for file in tmp_path.rglob("*.nbc")))
    assert len(kept[0]) >= 9
    assert kept[1] == kept[0]


def test_memory_is_freed_in_its_context():
    """Packages free memory in batches, whenever one more array is dropped: a context has to be current then.

    Otherwise the driver refuses, Python prints a traceback of a finalizer, and the memory is lost.
    """
    code = """
    import gc
    from nbnumba.render.simulate import simulate
    from tests.campaigns.null_driver.experiments import simulation

    for _ in range(2):
        for name in ("fast32", "fast64 square", "general", "spots"):
            simulate(simulation(name), device="cuda")
            gc.collect()
    """
    done = run(code)
    assert done.code == 0
    assert not done.report.problems(), done.report.problems()[:3]
    assert "Traceback" not in done.err, done.err[-2000:]


def test_memory_of_two_devices_is_freed_in_its_context(tmp_path):
    done = command("spots", tmp_path, "cuda:all", devices=2, kernel_ms=5).check()
    assert "Traceback" not in done.err, done.err[-2000:]
    assert {launch.device for launch in done.report.launches} == {0, 1}


def check_campaign(**given):
    """No fault of a draw is told badly."""
    trials = campaign(24, seed=2, **given)
    wrong = [f"{t.experiment}, {t.fault}, {t.device}: {problem}" for t in trials for problem in t.problems]
    assert not wrong, "\n".join(wrong)


@each_package
def test_a_lost_device_is_told_once(package):
    """Nothing can be freed on a device that is lost: finalizers leave it alone, while the program runs and at its end."""
    check_campaign(ways=[":sticky"], package=package)


@needs_mlir
def test_every_fault_of_mlir_is_told_or_made_good():
    """Its launcher raises RuntimeError out of machine code, which has no frame of its own; its names are long."""
    check_campaign(ways=["", "+"], package="mlir")


@needs_mlir
def test_a_later_launch_of_mlir_may_fail(tmp_path):
    """The third kernel of an image: by then its launcher is called without anything of the package in between."""
    check_fallen_back(command("spots", tmp_path, "auto", fail="launch:6", package="mlir"), tmp_path, "LAUNCH_FAILED")
    check_refused(command("spots", tmp_path, "cuda", fail="launch:6", package="mlir"), "LAUNCH_FAILED")
