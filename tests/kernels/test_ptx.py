"""What the compiler makes of the CUDA kernels before machine code: one property of each line that was written for it."""

from __future__ import annotations

import importlib.util
import re

import pytest

from bench.cuda_kernels import KERNELS, compile_kernel

_found = importlib.util.find_spec("numba_cuda")
needs_compiler = pytest.mark.skipif(_found is None, reason="numba-cuda is not installed")


def innermost_loops(ptx: str) -> list[list[str]]:
    """Instructions of the loops that hold no other loop."""
    code: list[str] = []
    label: dict[str, int] = {}
    for line in map(str.strip, ptx.splitlines()):
        if found := re.match(r"(\$L\w+):", line):
            label[found[1]] = len(code)
        elif line.endswith(";"):
            code.append(line)
    jumps = [(end, re.search(r"\bbra(?:\.uni)?\s+(\$L\w+);", line)) for end, line in enumerate(code)]
    loops = [(label[jump[1]], end) for end, jump in jumps if jump and label[jump[1]] <= end]
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    return [code[start : end + 1] for start, end in inner]


@needs_compiler
@pytest.mark.parametrize("capability", ["7.5", "9.0"])
def test_float32_loop_is_float32(capability):
    """The loop over terms: three indices clamped by one instruction each for a look-up, and no float64."""
    ptx = compile_kernel(*KERNELS["fast square float32"], capability=capability)
    loops = [loop for loop in innermost_loops(ptx) if any("ld.global.nc.f32" in line for line in loop)]
    assert len(loops) == 1
    (loop,) = loops
    look_ups = sum("ld.global.nc.f32" in line for line in loop)
    assert sum(line.split()[0] == "min.u32" for line in loop) == 3 * look_ups
    assert not [line for line in loop if ".f64" in line]
    assert not [line for line in loop if re.match(r"(ld|st)\.local|call", line)]


@needs_compiler
@pytest.mark.parametrize(
    "name",
    ["fast square float32", "fast square float32, by source", "fast square float64", "spots, place", "spots, fill",
     "spots, paint", "spots, paint, sub-pixels", "spots, paint, term by term"],
)  # fmt: skip
def test_no_local_memory_is_asked_for(name):
    """Arrays that a thread has to itself would be in the device's memory, behind caches."""
    assert ".local" not in compile_kernel(*KERNELS[name], capability="9.0")


@needs_compiler
@pytest.mark.parametrize("name", ["fast square float32", "fast square fixed point", "fast square float64", "general"])
def test_whether_to_stop_is_asked_where_it_is_written(name):
    """Behind the test that there is a word from the host, which may be at no address, and again on the way."""
    code = [line.strip() for line in compile_kernel(*KERNELS[name], capability="9.0").splitlines()]
    code = [line for line in code if line and not line.startswith(("//", "ld.param"))]
    asked = [i for i, line in enumerate(code) if line.startswith("ld.volatile.global")]
    assert len(asked) == (1 if name == "general" else 3)
    assert all(re.match(r"@%p\d+ bra", code[i - 1]) for i in asked)
    if name != "general":
        labels = {line[:-1]: i for i, line in enumerate(code) if line.endswith(":")}
        jumps = [(i, re.search(r"bra(?:\.uni)?\s+(\$L\w+);", line)) for i, line in enumerate(code)]
        assert all(any(labels[jump[1]] < i < end for end, jump in jumps if jump) for i in asked[1:])


LOOPS = """
$L__BB0_1:
\tadd.s32 %r1, %r1, 1;
$L__BB0_2:
\tmin.u32 %r2, %r1, %r3;
\t@%p1 bra $L__BB0_2;
\tbra.uni $L__BB0_1;
"""


def test_innermost_loops_are_found():
    assert innermost_loops(LOOPS) == [["min.u32 %r2, %r1, %r3;", "@%p1 bra $L__BB0_2;"]]
