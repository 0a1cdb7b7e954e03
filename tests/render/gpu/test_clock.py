"""Times by a GPU's events, its clock, and its issue limit: what is measured of them without a GPU."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bench import cuda_resources
from bench.gpu.timings import SQUARE
from nbnumba.render.devices import Device
from nbnumba.render.gpu import clock as gpu_clock
from nbnumba.render.gpu.clock import ClockLog
from nbnumba.render.kernel_table import TABLE
from nbnumba.render.timing import DeviceTiming, Timing, issue_limit
from tests.bench.test_gpu import wait_until
from tests.campaigns.null_driver import build
from tests.campaigns.null_driver.session import run

H200 = Device(0, "NVIDIA H200", (9, 0), 140 << 30, 132, 1.98e9)


def device_timing(clock: ClockLog) -> DeviceTiming:
    """A second for as many steps as an H200 could do at 1.98 GHz with 86.5 instructions for each."""
    timing = Timing((1.0,), int(132 * 4 * 32 * 1.98e9 / 86.5), 1, 0)
    return DeviceTiming(H200, "fast32", timing, timing, timing, True, clock)


def test_share_of_the_issue_limit_is_that_at_the_measured_clock(monkeypatch) -> None:
    assert issue_limit(132, 1.98e9, 86.5) == pytest.approx(3.87e11, rel=1e-3)  # docs/cuda.md
    clock = ClockLog(0)
    assert device_timing(clock).of_issue_limit(86.5) == pytest.approx(1), "as rated, without readings"
    clock.readings += [0.99e9, 0.99e9, 1.98e9]
    assert device_timing(clock).of_issue_limit(86.5) == pytest.approx(2)
    assert device_timing(clock).of_issue_limit(173) == pytest.approx(4)
    assert clock.record() == {"median_Hz": 0.99e9, "least_Hz": 0.99e9, "most_Hz": 1.98e9, "readings": 3}


HELD = """
    import sys
    from bench.gpu.commands import SMALL, renderer_on, prepare, wake
    from bench.gpu.setting import ROOT, Setting
    from nbnumba.render.timing import time_on_device
    setting = Setting()
    flags = f"-cell 50 60 70 90 90 90 -default_F 10 -N 5 -distance 50 -oversample 1 {SMALL}"
    device = wake(setting)
    timing = time_on_device(renderer_on(prepare(flags, setting, ROOT), device, "double"), 2)
    print(timing.held, timing.kernel.median, len(timing.launch.seconds), timing.launch.median < timing.kernel.median)
"""


@pytest.mark.skipif(bool(build.missing()), reason=build.missing())
def test_launches_are_queued_behind_a_kernel_that_holds_the_device() -> None:
    """Held, events give the kernel's own time, whatever a launch takes; otherwise the result says that it was not so."""
    held = run(HELD, kernel_ms=400)
    assert held.code == 0, held.err
    assert held.out.split() == ["True", "0.4", "2", "True"]
    at_once = run(HELD, kernel_ms=0)
    assert at_once.code == 0, at_once.err
    assert at_once.out.split()[0] == "False"


class Nvml:
    """A management library whose clock rises by 15 MHz with each reading."""

    def __init__(self, status: int = 0) -> None:
        self.status, self.megahertz = status, 1500

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle):
        handle._obj.value = 1 + index
        return 0

    def nvmlDeviceGetClockInfo(self, handle, kind, megahertz):
        assert (handle.value, kind) == (3, 1)
        self.megahertz += 15
        megahertz._obj.value = self.megahertz
        return self.status


@pytest.fixture
def nvml(monkeypatch):
    """Have a management library be found."""

    def found(library: Any) -> None:
        gpu_clock._handle.cache_clear()
        monkeypatch.setattr(gpu_clock, "_library", lambda: library)
        monkeypatch.setattr(gpu_clock, "_bus_address", lambda index: b"")

    yield found
    gpu_clock._handle.cache_clear()


def test_the_clock_is_read_while_the_device_works(nvml) -> None:
    nvml(Nvml())
    with ClockLog(2) as log:
        wait_until(lambda: len(log.readings) >= 3)
    log.note()
    number = len(log.readings)
    assert log.readings == sorted(set(log.readings)) and log.readings[0] == 1530e6
    assert log.record() is not None and log.record()["readings"] == number
    time.sleep(5 * gpu_clock.PERIOD)
    assert len(log.readings) == number, "the thread has ended"


@pytest.mark.parametrize("library", [None, Nvml(status=3)])
def test_without_a_clock_there_are_no_readings(nvml, library) -> None:
    nvml(library)
    with ClockLog(2) as log:
        log.note()
    assert log.readings == [] and log.median is None and log.record() is None


@pytest.mark.skipif(bool(cuda_resources.missing_tools()), reason=cuda_resources.missing_tools())
@pytest.mark.parametrize(("kernel", "row"), SQUARE.items())
def test_instructions_are_those_of_the_machine_code(kernel: str, row: str) -> None:
    counted = cuda_resources.measure(row, "9.0").instructions
    assert counted is not None
    assert TABLE[kernel].cost.instructions["numba-cuda"] == pytest.approx(counted, rel=0.01)
