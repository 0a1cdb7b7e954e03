"""What the CUDA kernels cost in machine code: the figures that bench.cuda_resources prints, held below their limits."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from bench import cuda_resources
from bench.cuda_resources import innermost_loops, measure, occupancy

missing = cuda_resources.missing_tools()
needs_tools = pytest.mark.skipif(bool(missing), reason=missing or "all tools are there")


@needs_tools
@pytest.mark.parametrize("capability", cuda_resources.CAPABILITIES)
@pytest.mark.parametrize("name", ["fast square float32", "fast square float32, split"])
def test_fast_kernel_keeps_its_limits(name, capability):
    row = measure(name, capability)
    assert row.registers <= 64
    assert row.spill_bytes == 0
    assert row.stack_bytes == 0  # no local memory
    assert row.float64_instructions == 0
    assert row.instructions is not None
    # the others have no single instruction that adds and clamps, or take more moves: 84 to 87.5
    assert 60 < row.instructions <= (82.5 if capability == "9.0" else 88)
    assert row.occupancy >= 0.5


@needs_tools
@pytest.mark.parametrize("capability", cuda_resources.CAPABILITIES)
def test_phases_in_fixed_point_take_no_float64(capability):
    row = measure("fast square fixed point", capability)
    assert row.registers <= 72
    assert row.spill_bytes == 0
    assert row.stack_bytes == 0
    assert row.float64_instructions == 0
    assert row.instructions is not None
    assert 60 < row.instructions <= (108 if capability == "9.0" else 112)


@needs_tools
def test_float64_phases_convert_little():
    """8 conversions for two steps: six remainders become float32, two products float64."""
    row = measure("fast square float64", "9.0")
    assert row.instructions is not None
    assert 60 < row.instructions <= 106
    assert row.conversions == 8


@needs_tools
def test_inner_loop_loads_four_numbers_at_once():
    """The 15 numbers of a term are four loads for two pixels, with a look-up for each of those; two terms in a turn."""
    row = measure("fast square float32", "9.0")
    assert row.memory_instructions == 2 * (4 + 2)


@needs_tools
@pytest.mark.parametrize(
    "name", [name for name in cuda_resources.KERNELS if not name.startswith(("spots", "derivatives"))]
)
def test_no_kernel_spills(name):
    row = measure(name, "9.0")
    assert row.spill_bytes == 0
    if row.instructions is not None:
        assert (row.float64_instructions == 0) == ("float32" in name or "fixed" in name)


@needs_tools
@pytest.mark.parametrize("name", ["fast square float32", "fast square fixed point", "fast square float64", "general"])
def test_linked_at_run_time_they_cost_the_same(name):
    """The linker of a run optimizes anew: its figures hold the same limits."""
    assembled, linked = measure(name, "9.0"), measure(name, "9.0", linked=True)
    assert linked.spill_bytes == 0
    assert linked.registers <= assembled.registers + 8
    assert linked.occupancy >= assembled.occupancy
    if assembled.instructions is not None:
        assert linked.instructions == pytest.approx(assembled.instructions, abs=1)
        assert linked.conversions == assembled.conversions


@pytest.mark.slow
@needs_tools
@pytest.mark.skipif(importlib.util.find_spec("numba_cuda_mlir") is None, reason="numba-cuda-mlir is not installed")
def test_the_other_package_keeps_the_limits(tmp_path):
    """The package is chosen at the first import: a process of its own, some 20 s for each kernel."""
    rows = {
        "fast square float32": (82.5, 6),
        "fast square fixed point": (108, 12),
        "fast square float64": (106, 8),
    }
    command = [
        sys.executable,
        "-m",
        "bench.cuda_resources",
        "--package",
        "mlir",
        "-c",
        "9.0",
        "-o",
        str(tmp_path / "rows"),
    ]
    done = subprocess.run([*command, *(word for name in rows for word in ("-k", name))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for row in json.loads((tmp_path / "rows").read_text()):
        instructions, conversions = rows[row["kernel"]]
        assert 60 < row["instructions"] <= instructions
        assert row["conversions"] <= conversions
        assert row["spill_bytes"] == 0


@needs_tools
@pytest.mark.parametrize("capability", ["7.5", "9.0", "12.0"])
@pytest.mark.parametrize(
    ("name", "most"),
    [("spots, paint", 64), ("spots, paint, sub-pixels", 80), ("spots, paint, term by term", 128), ("spots, find", 168)],
)
def test_kernels_of_spots_keep_their_limits(name, most, capability):
    """Registers for as many blocks as ``launch_bounds`` ask for, and nothing of a loop in local memory."""
    row = measure(name, capability)
    assert row.registers <= most
    assert row.spill_bytes == 0
    assert row.stack_bytes == 0 or not name.startswith("spots, paint")


@needs_tools
@pytest.mark.parametrize("capability", ["7.5", "9.0", "12.0"])
@pytest.mark.parametrize("name", ["square", "square, turned domains", "round", "gauss, tophat"])
def test_derivatives_fit_into_registers(name, capability):
    """All sums of a thread: the stack is that of sine and cosine of huge angles, in the library."""
    row = measure(f"derivatives, {name}", capability)
    assert row.registers <= 255
    assert row.spill_bytes == 0
    assert row.stack_bytes <= 40
    assert row.shared_bytes <= 16384


@needs_tools
@pytest.mark.parametrize("capability", ["7.5", "9.0", "12.0"])
@pytest.mark.parametrize(("name", "most"), [("", 255), (", one ray", 176), (", end", 208), (", sort", 64)])
def test_derivatives_of_spots_fit_into_registers(name, most, capability):
    row = measure(f"derivatives of spots{name}", capability)
    assert row.registers <= most
    assert row.spill_bytes == 0
    assert row.stack_bytes <= (40 if name == ", end" else 0)


@needs_tools
@pytest.mark.parametrize("name", ["images", "gradient", "normal"])
def test_results_of_the_derivatives_take_few_registers(name):
    row = measure(f"derivatives, {name}", "9.0")
    assert row.registers <= 64
    assert row.spill_bytes == 0
    assert row.stack_bytes == 0


MACHINE_CODE = """
.L_x_1:
        /*0010*/                   LDS R1, [R2] ;
.L_x_2:
        /*0020*/                   FFMA R1, R1, R1, R1 ;
        /*0030*/              @!P0 BRA `(.L_x_2) ;
        /*0040*/               @P1 BRA `(.L_x_1) ;
.L_x_3:
        /*0050*/                   BRA `(.L_x_3);
"""


def test_innermost_loops_are_found():
    assert innermost_loops(MACHINE_CODE) == [["FFMA R1, R1, R1, R1", "BRA `(.L_x_2)"]]


def test_occupancy_is_what_the_scarcest_resource_allows():
    assert occupancy("9.0", registers=64, shared=0, threads=128) == 0.5  # 65536 / 64 of 2048 threads
    assert occupancy("9.0", registers=32, shared=0, threads=128) == 1.0
    assert occupancy("7.5", registers=32, shared=31 * 1024, threads=128) == 0.25  # two blocks in 64 KiB
