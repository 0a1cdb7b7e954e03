"""Steps about the host's side: cost of a launch, memory that dropped renderers leave, Ctrl-C, compiling."""

from __future__ import annotations

import gc
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu.commands import (
    KERNELS,
    SMALL,
    SUBJECTS,
    find_device,
    prepare,
    renderer_on,
    shape_of,
    subject_renderer,
    wake,
)
from bench.gpu.package import cuda_module, package_facts
from bench.gpu.pool import end, environment, how_it_ended, run_program, start
from bench.gpu.setting import Record, Records, Setting
from nbnumba.render.timing import time_images, time_on_device

#: Launches that are timed; renderers that are made and dropped; images that are held.
LAUNCHES, LIVES, HELD = 1000, 60, 30
#: Seconds until SIGINT is sent to a process that has begun to render; seconds that it may take to end.
BEFORE_SIGINT, PATIENCE = 0.7, 20.0


def launch_cost(case: str, setting: Setting) -> Records:
    """Host time of a launch of each kernel, of an empty one, and of an image of few pixels."""
    device = find_device(setting.device)
    empty = time_empty_launch(device.index)
    yield {"kernel": "empty", "launch_s": empty, **package_facts()}
    for kernel in KERNELS:
        renderer, inputs = subject_renderer(kernel, setting, SMALL)
        image = renderer.new_image(shape_of(inputs))
        whole = time_images([renderer], [image], 50, 0)
        launch = time_on_device(renderer, 50).launch.median
        ratio = {} if SUBJECTS[kernel].launches > 1 else {"of_empty": launch / empty}
        yield {"kernel": kernel, "launch_s": launch, **ratio, "image_s": whole.median, "image_fastest_s": whole.fastest}


def time_empty_launch(index: int) -> float:
    """Host seconds of a launch of a kernel with one array argument."""
    cuda = cuda_module()

    @cuda.jit
    def empty(numbers):
        pass

    with cuda.gpus[index]:
        numbers = cuda.to_device(np.zeros(256, np.float32))
        # a grid large enough that numba gives no warning
        configured = empty[256, 128]
        configured(numbers)
        cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(LAUNCHES):
            configured(numbers)
        seconds = (time.perf_counter() - begin) / LAUNCHES
        cuda.synchronize()
    return seconds


def lifetimes(case: str, setting: Setting) -> Records:
    """Memory of device and process before and after renderers, or images, that were dropped."""
    device = find_device(setting.device)
    if case == "held images":
        yield hold_images(device.index, setting)
        return
    inputs = prepare(SUBJECTS[case].flags, setting)

    def live() -> None:
        renderer = renderer_on(inputs, device, SUBJECTS[case].precision)
        renderer.render(renderer.new_image(shape_of(inputs)))

    live()
    before = memory(device.index)
    begin = time.perf_counter()
    for _ in range(LIVES):
        live()
    seconds = (time.perf_counter() - begin) / LIVES
    after = memory(device.index)
    yield {"renderers": LIVES, "renderer_s": seconds, **_grown(before, after), "before": before, "after": after}


def hold_images(index: int, setting: Setting) -> Record:
    """Memory while images are held, and after they were dropped."""
    renderer, inputs = subject_renderer("fast32", setting)
    renderer.render(renderer.new_image(shape_of(inputs)))
    before = memory(index)
    images = []
    for _ in range(HELD):
        images.append(renderer.new_image(shape_of(inputs)))
        renderer.render(images[-1])
    held = memory(index)
    distinct = len({image.ctypes.data for image in images})
    del images
    return {"images": HELD, "distinct": distinct, **_grown(before, memory(index)), "before": before, "held": held}


def memory(index: int) -> dict[str, int]:
    """Bytes free on the device; resident, locked and pinned in this process, after dropped objects have been freed."""
    cuda = cuda_module()
    gc.collect()
    with cuda.gpus[index]:
        context = cuda.current_context()
        # both packages defer freeing until there is enough to free
        getattr(getattr(context, "deallocations", None), "clear", lambda: None)()
        free = int(min(context.get_memory_info()[0], 2**62))
    status = Path("/proc/self/status").read_text()
    found = {name: re.search(rf"{name}:\s*(\d+) kB", status) for name in ("VmRSS", "VmLck", "VmPin")}
    return {"free": free} | {name: int(row[1]) * 1024 for name, row in found.items() if row}


def _grown(before: dict[str, int], after: dict[str, int]) -> Record:
    return {
        "device_grown_bytes": before["free"] - after["free"],
        "resident_grown_bytes": after.get("VmRSS", 0) - before.get("VmRSS", 0),
    }


def interrupt(case: str, setting: Setting) -> Records:
    """Send SIGINT to a process that renders long images, and wait for its end."""
    command = [sys.executable, "-m", "bench.gpu.subject", case, "--long", "--setting", setting.to_json()]
    pipes: dict[str, Any] = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child = start(command, cwd=setting.scratch, env=environment(setting), text=True, errors="replace", **pipes)
    watchdog = threading.Timer(setting.limit, end, [child])
    watchdog.start()
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if "rendering" not in line:
            told = child.communicate(timeout=5)[1]
            yield {"error": f"the process {how_it_ended(child.returncode)} before it rendered: {told.strip()[-500:]}"}
            return
        time.sleep(BEFORE_SIGINT)
        if child.poll() is not None:
            yield {"error": f"the process {how_it_ended(child.returncode)} before SIGINT was sent"}
            return
        begin = time.monotonic()
        child.send_signal(signal.SIGINT)
        try:
            out = child.communicate(timeout=min(PATIENCE, setting.limit))[0]
        except subprocess.TimeoutExpired:
            yield {"error": f"the process still ran {PATIENCE:.0f} s after SIGINT"}
            return
        seconds = time.monotonic() - begin
        found = json.loads(out.strip().splitlines()[-1]) if out.strip() else {}
        rendering = {"rendering_end_s": found["interrupted_at"] - begin} if found else {}
        yield {
            **rendering,
            "end_s": seconds,
            "exit": how_it_ended(child.returncode),
            "images": found.get("images_before"),
        }
    finally:
        watchdog.cancel()
        end(child)


def compile_cost(case: str, setting: Setting) -> Records:
    """Seconds of a first preparation in a fresh folder for compiled kernels, and in the next process."""
    wake(setting)
    begin = time.perf_counter()
    subject_renderer(case, setting, SMALL)
    yield {"compiled_s": time.perf_counter() - begin, **package_facts()}
    command = [sys.executable, "-m", "bench.gpu.subject", case, "--small", "--setting", setting.to_json()]
    out, _ = run_program(command, setting.limit, setting)
    yield {"fetched_s": json.loads(out.strip().splitlines()[-1])["prepare_s"]}
