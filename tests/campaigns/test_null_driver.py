"""The driver without a GPU (tests/campaigns/null_driver): what it objects to, its faults, and what it reports."""

from __future__ import annotations

import json
import textwrap

import pytest

from tests.campaigns.null_driver.build import compile_driver, missing
from tests.campaigns.null_driver.session import run

needs_driver = pytest.mark.skipif(bool(missing()), reason=missing() or "all is there")
needs_mlir = pytest.mark.skipif(bool(missing("mlir")), reason=missing("mlir") or "all is there")

#: What tests.campaigns.null_driver.misuse does: the error that the driver returns (CUresult), and words of its report.
OBJECTIONS = {
    "freed memory": (700, "argument 4 is 0x", "which is freed"),
    "memory of the host": (700, "argument 4", "memory of the host"),
    "address behind an allocation": (700, "argument 4", "lies in no allocation"),
    "pinned memory that is not mapped": (700, "argument 4", "not mapped"),
    "memory of another device": (700, "argument 4", "memory of another device"),
    "no arguments": (1, "table of 9 arguments", "cannot be read"),
    "unreadable argument": (1, "argument 4 at 0x8", "cannot be read"),
    "misaligned argument": (716, "argument 7", "no multiple of its 4 bytes"),
    "empty grid": (1, "scale", "a grid of 0 x 1 x 1"),
    "large block": (1, "blocks of 128 threads", "compiled for 64"),
    "copy beyond the end": (1, "cuMemcpyDtoH", "400 bytes from byte 40 of an allocation of 400"),
    "copy of freed memory": (1, "cuMemcpyDtoH", "is freed"),
    "memset beyond the end": (1, "cuMemsetD8", "401 bytes from byte 0 of an allocation of 400"),
    "freed twice": (1, "cuMemFree:", "is freed twice"),
    "pinned freed twice": (1, "cuMemFreeHost:", "is freed twice"),
    "device address of plain pinned memory": (1, "cuMemHostGetDevicePointer", "CU_MEMHOSTALLOC_DEVICEMAP"),
    "destroyed stream": (400, "the stream", "is destroyed"),
    "stream of another device": (400, "a stream of device 1", "while device 0 is current"),
    "stream that is none": (400, "0x1234", "is no stream"),
    "destroyed event": (400, "the event", "is destroyed"),
    "code that is none": (200, "cuLibraryLoadData", "no ELF file"),
    "code for another device": (209, "code for 8.0", "on a device of 9.0"),
    "no context": (201, "cuMemAlloc", "no context is current"),
    "context that was given back": (709, "cuMemAlloc", "the context is destroyed"),
}


@needs_driver
def test_it_objects_to_what_is_wrong():
    done = run(["-m", "tests.campaigns.null_driver.misuse"], devices=2)
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["answers"] == {name: code for name, (code, *_) in OBJECTIONS.items()}
    assert len(done.report.errors) == len(OBJECTIONS)
    for line, (code, *words) in zip(done.report.errors, OBJECTIONS.values(), strict=True):
        assert all(word in line for word in words), line
        assert line.endswith(f"({code})")
    assert said["launches"] == 2  # those before the mistakes


@needs_driver
def test_parameters_are_those_of_the_machine_code():
    """An array of one axis is seven words of 8 bytes; then a float32 and an int32."""
    done = run(["-m", "tests.campaigns.null_driver.misuse"], devices=2)
    assert json.loads(done.out)["parameters"] == [*([8 * i, 8] for i in range(7)), [56, 4], [60, 4]]
    assert [len(launch.sizes) for launch in done.report.launches] == [9, 9]


@needs_driver
def test_it_compiles_without_a_warning(tmp_path):
    assert compile_driver(tmp_path) == ""


TINY = """
import warnings
warnings.simplefilter("ignore")
import numpy as np
from {package} import cuda
from tests.campaigns.null_driver.inside import fail, figure, live, reset

@cuda.jit
def add(sums, numbers, x, n):
    i = cuda.grid(1)
    if i < n:
        sums[i] = numbers[i] + x

def some():
    numbers = cuda.to_device(np.arange(100, dtype=np.float32))
    add[2, 64](cuda.device_array(100, np.float32), numbers, np.float32(3), 100)
    return numbers.copy_to_host()
"""


@needs_driver
def test_numba_cuda_runs_on_it():
    done = run(TINY.format(package="numba") + "print(some().sum(), figure('launches'), figure('calls.copy'))").check()
    assert done.out.split() == ["4950.0", "1", "2"]
    (launch,) = done.report.launches
    assert (launch.kernel, launch.grid, launch.block) == ("add", [2, 1, 1], [64, 1, 1])
    assert [array[1:] for array in launch.arrays()] == [(400, 0, 400), (400, 0, 400)]


@needs_mlir
def test_numba_cuda_mlir_runs_on_it():
    done = run(TINY.format(package="numba_cuda_mlir") + "print(some().sum(), figure('launches'))").check()
    assert done.out.split() == ["4950.0", "1"]
    (launch,) = done.report.launches
    assert (launch.kernel, launch.grid, launch.block) == ("add", [2, 1, 1], [64, 1, 1])
    assert {size for _, size, _ in launch.pointers} == {400}


CALLS = """
from ctypes import byref, c_size_t, c_uint64, c_void_p
from tests.campaigns.null_driver.inside import driver, fail, figure, reset

cu, contexts = driver(), (c_void_p(), c_void_p())
for index, context in enumerate(contexts):
    assert cu.cuDevicePrimaryCtxRetain(byref(context), index) == 0

def alloc(size=8):
    return cu.cuMemAlloc_v2(byref(c_uint64()), c_size_t(size))

cu.cuCtxSetCurrent(contexts[0])
"""


@needs_driver
def test_faults_come_where_they_are_asked_for():
    code = """
print([alloc() for _ in range(4)])          # as NULL_DRIVER_FAIL says
fail("alloc:3")
print([alloc() for _ in range(4)])
fail("cuMemAlloc:2+:999,cuCtxGetCurrent:1:3")
print([alloc() for _ in range(4)], cu.cuCtxGetCurrent(byref(c_void_p())))
print(figure("faults"), figure("cuMemAlloc"), figure("calls.alloc"), figure("device"))
for wrong in ("copy", "copy:0", "copy:1:x", "copy:x"):
    try:
        fail(wrong)
    except ValueError as error:
        print(error)
"""
    done = run(CALLS + code, devices=2, fail="alloc:1:719")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "[719, 0, 0, 0]",
        "[0, 0, 2, 0]",
        "[0, 999, 999, 999] 3",
        "6 12 12 7",
        *(f"the faults {wrong} cannot be read" for wrong in ("copy", "copy:0", "copy:1:x", "copy:x")),
    ]
    assert [(fault["call"], fault["number"], fault["code"]) for fault in done.report.faults] == [
        *(("cuMemAlloc", 1, 719), ("cuMemAlloc", 3, 2)),
        *(("cuMemAlloc", n, 999) for n in (2, 3, 4)),
        ("cuCtxGetCurrent", 1, 3),
    ]


@needs_driver
def test_a_lost_device_stays_lost():
    """Every call of its context fails after a sticky fault, and none of another's; what needs no context works."""
    code = """
fail("alloc:2:719:sticky")
print([alloc() for _ in range(4)], cu.cuCtxSynchronize(), cu.cuStreamCreate(byref(c_void_p()), 0))
print(cu.cuDriverGetVersion(byref(c_size_t())), cu.cuCtxPushCurrent_v2(contexts[1]), alloc(), cu.cuCtxSynchronize())
cu.cuCtxPopCurrent_v2(None)
print(alloc(), figure("faults"))
reset()
print(alloc(), figure("faults"), figure("cuMemAlloc"), figure("device"))
"""
    done = run(CALLS + code, devices=2).check()
    assert done.out.splitlines() == ["[0, 719, 719, 719] 719 719", "0 0 0 0", "719 1", "0 0 1 3"]


@needs_driver
def test_memory_is_as_small_as_asked_for():
    code = """
free, total = c_size_t(), c_size_t()
def room():
    cu.cuMemGetInfo_v2(byref(free), byref(total))
    return free.value
print(room(), alloc(400), room(), alloc(601), alloc(600), room(), total.value)
cu.cuCtxSetCurrent(contexts[1])
print(room())
"""
    done = run(CALLS + code, devices=2, free=1000).check()
    assert done.out.splitlines() == ["1000 0 600 2 0 0 85899345920", "1000"]


@needs_driver
def test_kernels_can_take_time():
    """An event behind a kernel is not ready before its time; what waits for it waits as long."""
    code = """
    import time
    stream, start, end = cuda.stream(), cuda.event(), cuda.event()
    numbers = cuda.to_device(np.zeros(100, np.float32))
    add[2, 64](numbers, numbers, np.float32(3), 100)
    cuda.synchronize()
    start.record(stream)
    add[2, 64, stream](numbers, numbers, np.float32(3), 100)
    end.record(stream)
    before, begin = end.query(), time.monotonic()
    end.synchronize()
    print(before, end.query(), time.monotonic() - begin > 0.25, 290 < cuda.event_elapsed_time(start, end) < 600)
    """
    done = run(TINY.format(package="numba") + textwrap.dedent(code), kernel_ms=300).check()
    assert done.out.split() == ["False", "True", "True", "True"]


@needs_driver
@pytest.mark.parametrize(
    ("version", "there"), [("12.0", "[1, 1, 0, 0]"), ("12.8", "[1, 1, 1, 0]"), ("13.2", "[1, 1, 1, 1]")]
)
def test_a_driver_has_the_functions_of_its_version(version, there):
    code = """
def has(name, version=13020):
    found = c_void_p()
    cu.cuGetProcAddress_v2(name, byref(found), version, c_uint64(0), None)
    return int(bool(found.value))
print([has(name) for name in (b"cuMemAlloc", b"cuLibraryLoadData", b"cuKernelGetParamInfo", b"cuKernelGetParamCount")])
print(has(b"cuNoSuchFunction"), has(b"cuStreamGetCtx", 9020))
"""
    done = run(CALLS + code, devices=2, version=version).check()
    assert done.out.splitlines() == [there, "0 1"]


@needs_driver
def test_what_is_left_is_counted():
    code = """
    from tests.campaigns.null_driver.inside import NAMES
    def now():
        context = cuda.current_context()  # which frees in batches
        context.deallocations.clear()
        context.memory_manager.deallocations.clear()
        return live()

    some()
    before = now()
    held = [cuda.to_device(np.zeros(100, np.float32)), cuda.pinned_array(1000, np.float64), cuda.stream(), cuda.event()]
    print([now()[name] - before[name] for name in NAMES])
    del held
    print([now()[name] - before[name] for name in NAMES], figure("events.peak"), figure("events.made"))
    """
    done = run(TINY.format(package="numba") + textwrap.dedent(code)).check()
    assert done.out.splitlines() == ["[1, 400, 1, 8000, 1, 1, 0]", "[0, 0, 0, 0, 0, 0, 0] 1 1"]
