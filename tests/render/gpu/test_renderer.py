"""What happens around the CUDA kernels, in numba's simulator: several GPUs at one image, failures, Ctrl-C.

Each check is a function ``simulated_*`` of this file, run in a process of its own, in which the simulator is on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.errors import DeviceError
from nbnumba.render.backend import Plan
from nbnumba.render.devices import Device
from nbnumba.render.inputs import KernelInputs
from tests.kernels.test_cuda_simulator import golden_inputs

ROOT = Path(__file__).parents[3]
SHAPE = (110, 84)
#: The simulator has one device, which stands for two.
FIRST, SECOND = (Device(0, name, (9, 0), 1 << 34, 1, 1.0) for name in ("first", "second"))
PLAN = Plan("cuda:all", "fast64", (16, 16), "simulated")
#: Pixels of a band: one row of tiles of two columns.
BAND = 32


def simulate_check(name: str, module: str = __name__) -> str:
    """What a module's function of this name prints in the simulator."""
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"import {module} as t; t.{name if name.endswith(chr(41)) else name + chr(40) + chr(41)}",
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


CHECKS = """two_gpus_make_the_image_of_one a_failing_gpu_is_named_and_stops_the_other errors_of_others_stay_what_they_are
one_gpu_that_fails_is_named ctrl_c_ends_all_threads too_little_memory_is_told nothing_to_render
auto_never_takes_the_simulator kernels_tell_how_far_they_are kernels_stop_when_they_are_told
fast_kernel_stops_on_the_way""".split()


#: In a simulator these take up to half a minute.
_LONG = ("kernels_tell_how_far_they_are", "kernels_stop_when_they_are_told", "two_gpus_make_the_image_of_one")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in _LONG)) for name in CHECKS])
def test_around_the_kernels(name: str) -> None:
    assert simulate_check(f"simulated_{name}") == "", "nothing is printed by threads that fail"


def test_a_pixel_is_traced_through_the_gpu_kernels() -> None:
    """Both kernels' pixels stand beside the traced one, and agree as images do."""
    found = dict(line.split(maxsplit=2)[1:] for line in simulate_check("simulated_trace").splitlines() if " " in line)
    assert found["floatimage_kernel"] == "fixed on cuda:0"
    assert found["I_pixel_mixed_kernel"] == "fast32 on cuda:0"
    assert float(found["I_pixel_final"]) > 0
    assert float(found["floatimage_rel_diff"]) < 3e-7  # stored as float32
    assert float(found["I_pixel_mixed_rel_diff"]) < 1e-5  # float32 phases, of a pixel beside the peak


def window() -> KernelInputs:
    """Four rows of tiles, two columns wide."""
    inputs = golden_inputs("shape_square_even_odd")
    return replace(inputs, panel=inputs.panel._replace(s0=32, s1=96, f0=42, f1=44))


def render(
    devices: tuple[Device, ...],
    launch: Callable[[Any, Callable[[], Any]], Any] = lambda state, go: go(),
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """The image of the window; ``launch`` is asked to start each band."""
    from nbnumba.render.gpu import renderer as gpu_render

    renderer = gpu_render.GpuRenderer(window(), PLAN, devices)
    renderer.limit = BAND
    one_at_a_time = threading.Lock()  # the simulator exchanges the globals of a kernel while it runs
    for state in renderer.states:

        def start(*arguments: Any, state: Any = state, own: Any = state.start) -> Any:
            with one_at_a_time:
                return own(*arguments)

        def begun(*arguments: Any, state: Any = state, own: Any = state._begin) -> Any:
            return launch(state, lambda: own(*arguments))

        state.start, state._begin = start, begun
    image = renderer.new_image(SHAPE)
    renderer.render(image, progress)
    return image.copy()


@contextmanager
def refused(kind: type[BaseException], words: str) -> Iterator[None]:
    """Hold the block to an error of just this kind."""
    with pytest.raises(kind) as caught:
        yield
    assert words in str(caught.value), caught.value
    assert type(caught.value) is kind


def simulated_two_gpus_make_the_image_of_one() -> None:
    both, shares, users = threading.Barrier(2), [], []

    def launch(state: Any, go: Callable[[], Any]) -> Any:
        if state.device not in users:
            users.append(state.device)
            both.wait(60)  # neither does all the work before the other has begun
        return go()

    one = render((FIRST,))
    two = render((FIRST, SECOND), launch, shares.append)
    assert one.max() > 0
    np.testing.assert_array_equal(one, two)
    assert set(users) == {FIRST, SECOND}
    assert shares == [0.25, 0.5, 0.75, 1.0]


def simulated_a_failing_gpu_is_named_and_stops_the_other() -> None:
    from numba.cuda.cudadrv.driver import CudaAPIError

    failed, launches = threading.Event(), []

    def launch(state: Any, go: Callable[[], Any]) -> Any:
        if state.device is SECOND:
            failed.set()
            raise CudaAPIError(999, "it has gone\nand more")
        assert failed.wait(60)
        launches.append(state.device)
        return go()

    with refused(DeviceError, "cuda:0 (second) failed: CudaAPIError: "):
        render((FIRST, SECOND), launch)
    assert len(launches) < 4


def simulated_one_gpu_that_fails_is_named() -> None:
    from numba.cuda.cudadrv.driver import CudaAPIError

    def launch(state: Any, go: Callable[[], Any]) -> Any:
        raise CudaAPIError(999, "it has gone\nand more")

    with refused(DeviceError, "cuda:0 (first) failed: CudaAPIError: "):
        render((FIRST,), launch)


def simulated_errors_of_others_stay_what_they_are() -> None:
    def launch(state: Any, go: Callable[[], Any]) -> Any:
        raise ZeroDivisionError("not the GPU's")

    for devices in ((FIRST,), (FIRST, SECOND)):
        with refused(ZeroDivisionError, "not the GPU's"):
            render(devices, launch)


def simulated_ctrl_c_ends_all_threads() -> None:
    """Also when it comes while they are started."""
    heard, launches = threading.Event(), []

    def stop(number: int, frame: Any) -> None:
        heard.set()
        raise KeyboardInterrupt("heard")

    def launch(state: Any, go: Callable[[], Any]) -> Any:
        launches.append(threading.current_thread())
        if len(launches) == 1:
            signal.raise_signal(signal.SIGINT)
        assert heard.wait(60)
        return go()

    signal.signal(signal.SIGINT, stop)
    with refused(KeyboardInterrupt, "heard"):
        render((FIRST, SECOND), launch)
    assert not any(thread.is_alive() for thread in launches)
    assert len(launches) < 4


def simulated_too_little_memory_is_told() -> None:
    from nbnumba.render.gpu import renderer as gpu_render

    class Context:
        def get_memory_info(self) -> tuple[int, int]:
            return 1000, 1000

    gpu_render.cuda.current_context = Context
    with refused(DeviceError, "not enough memory on cuda:0 (first): 0.0 GiB of tables leave no room for an image"):
        render((FIRST,))


def simulated_nothing_to_render() -> None:
    """A region without columns leaves the image as it is, and asks for no device."""
    from nbnumba.render.gpu import renderer as gpu_render

    inputs = window()
    renderer = gpu_render.GpuRenderer(replace(inputs, panel=inputs.panel._replace(f1=42)), PLAN, (FIRST,))
    image = np.full(SHAPE, -7, np.float32)
    shares: list[float] = []
    assert renderer.render(image, shares.append) is False
    assert (image == -7).all() and not shares


@contextmanager
def long_launches() -> Iterator[None]:
    """Let every launch be one that may take long."""
    from nbnumba.render.gpu.launchers import Launcher

    before = Launcher.is_long
    Launcher.is_long = lambda self, window: True  # type: ignore[method-assign]
    try:
        yield
    finally:
        Launcher.is_long = before  # type: ignore[method-assign]


def simulated_kernels_tell_how_far_they_are() -> None:
    """The number of a block, in memory that host and device share; the image is the same."""
    from nbnumba.kernels.gpu.ops import TOLD
    from nbnumba.render.gpu import memory as gpu_memory
    from nbnumba.render.gpu import renderer as gpu_render

    inputs = golden_inputs("shape_square_even_odd")
    inputs = replace(inputs, panel=inputs.panel._replace(s0=0, s1=36, f0=0, f1=64))  # 3 x 4 blocks, of general 5 x 4
    for kernel, blocks in (("fast64", 12), ("general", 20)):
        images, told = [], []
        for waits in (long_launches, nullcontext):
            with waits():
                renderer = gpu_render.GpuRenderer(inputs, replace(PLAN, kernel=kernel), (FIRST,))
                images.append(renderer.new_image((110, 64)))
                renderer.render(images[-1])
            with gpu_memory.lanes_of(0)._lock:
                told.append(int(gpu_memory.lanes_of(0)._free[-1].done[0]))
        assert images[0].max() > 0
        np.testing.assert_array_equal(*images)
        assert 0 < told[0] < blocks and told[0] % TOLD == 0, told
        assert told[1] == 0


def simulated_kernels_stop_when_they_are_told() -> None:
    """No pixel is written by blocks that start afterwards."""
    from nbnumba.render.gpu import renderer as gpu_render

    for kernel in ("fast64", "general"):
        renderer = gpu_render.GpuRenderer(window(), replace(PLAN, kernel=kernel), (FIRST,))
        state = renderer.states[0]
        for stop in (0, 1):
            with long_launches(), state.lanes.lend() as lane:
                lane.halt.copy_to_device(np.array([stop], np.int32))
                lane.band((64, 2)).copy_to_device(np.full((64, 2), -7, np.float32))
                band = state.start((1, 8), lane, (32, 96, 42, 44), renderer.inputs.cell, state.no_mask)
                assert (band.copy_to_host() == -7).all() == bool(stop), kernel
                lane.halt.copy_to_device(np.zeros(1, np.int32))


def simulated_fast_kernel_stops_on_the_way() -> None:
    """Whether all of its terms are in one portion or in several, no pixel is written once it was told to stop."""
    from nbnumba.kernels.gpu import fast as gpu_fast
    from nbnumba.kernels.gpu import ops as gpu_ops
    from nbnumba.render.gpu import renderer as gpu_render

    look, read = gpu_fast.LOOK, gpu_ops.read_anew
    for copies in (1, 80):  # orientations: one portion, and two
        inputs = replace(window(), cells=np.repeat(window().cells[:1], copies, axis=0))
        inputs = replace(inputs, panel=inputs.panel._replace(oversample=2))
        renderer = gpu_render.GpuRenderer(inputs, replace(PLAN, kernel="fast64"), (FIRST,))
        state = renderer.states[0]
        asked = []
        gpu_fast.LOOK = 1
        gpu_ops.read_anew = lambda halt, place, asked=asked: asked.append(place) or len(asked) > 1
        try:
            with long_launches(), state.lanes.lend() as lane:
                lane.band((16, 2)).copy_to_device(np.full((16, 2), -7, np.float32))
                band = state.start((1, 1), lane, (32, 48, 42, 44), inputs.cell, state.no_mask)
                assert (band.copy_to_host() == -7).all()
        finally:
            gpu_fast.LOOK, gpu_ops.read_anew = look, read
        assert len(asked) == 2, copies


def simulated_auto_never_takes_the_simulator() -> None:
    from nbnumba.render.dispatch import choose_device

    assert choose_device("auto") == ("cpu", "the CUDA simulator is used only on request")
    assert choose_device("cuda")[0].startswith("cuda")


def simulated_trace() -> None:
    from nbnumba.cli.main import main

    words = "-cell 40 50 60 -default_F 10 -N 3 -detpixels 12 -pixel 1 -distance 50 -oversample 1 --device cuda"
    assert main(["trace", "5", "6", *words.split()]) == 0
