"""What each CUDA kernel costs on each architecture, without a GPU: ``python -m bench.cuda_resources [-o FILE.json]``.

Compiles the kernels to PTX and to machine code and prints registers, stack, spills, shared memory, occupancy and the
instructions of the inner loop. Needs ``nbnumba[cuda]`` and the packages nvidia-cuda-nvcc (ptxas) and nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import tempfile
import typing
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")
#: Threads that a multiprocessor holds at most (CUDA programming guide, table of compute capabilities).
MOST_THREADS = {"7.5": 1024, "8.0": 2048, "8.6": 1536, "8.9": 1536, "9.0": 2048, "10.0": 2048, "12.0": 1536}
#: Shared memory of a multiprocessor (KiB), as the same table gives it, and what a block costs on top (bytes).
MOST_SHARED = {"7.5": 64, "8.0": 164, "8.6": 100, "8.9": 100, "9.0": 228, "10.0": 228, "12.0": 100}
BLOCK_SHARED = 1024
REGISTERS = 65536
#: name of a row -> kernel, shape, curved, separate (as ``gpu.find_kernel`` takes them); of spots the part, and per_term last
KERNELS = {
    "fast square float32": ("fast32", 0, 0, 0),
    "fast square float32, curved": ("fast32", 0, 1, 0),
    "fast square float32, by source": ("fast32", 0, 0, 1),
    "fast square float64": ("fast64", 0, 0, 0),
    "fast square fixed point": ("fixed", 0, 0, 0),
    "fast round": ("fast64", 1, 0, 0),
    "fast gauss, tophat": ("fast64", 2, 0, 0),
    "general": ("general", 0, 0, 0),
    "spots, find": ("find", 2, 0, 0),
    "spots, fill": ("fill", 2, 0, 0),
    "spots, paint": ("paint", 2, 0, 0),
    "spots, paint, sub-pixels": ("paint all", 2, 0, 0),
    "spots, paint, term by term": ("paint all", 2, 0, 1),
    "spots, close": ("close", 2, 0, 0),
}
#: Parts of the reflection-by-reflection way, which have no loop over terms.
SPOTS = ("find", "fill", "paint", "paint all", "close")
_FLOAT64 = re.compile(r"^(D[A-Z]+|F2F\.F(32|64)\.F(32|64)|I2F\.F64.*|F2I\.F64.*|FRND\.F64.*|MUFU\.\w+64H?)\b")
#: Conversions and roundings, which run at an eighth to a half of the speed of sums.
_CONVERSION = re.compile(r"^(F2F|F2I|I2F|I2FP|FRND)\b")
#: Reading a structure factor: one number. Tables of the sine are read by two and four.
_LOOK_UP = re.compile(r"^LDG\.E\.CONSTANT\b")


@dataclass(frozen=True)
class Resources:
    """One kernel on one architecture; the inner loop's instructions are per step and pixel."""

    kernel: str
    capability: str
    registers: int
    stack_bytes: int
    spill_bytes: int
    shared_bytes: int
    threads: int
    occupancy: float
    instructions: float | None  # None where no single loop tells
    conversions: float | None  # for two steps: one term and both pixels of a thread
    float64_instructions: int
    memory_instructions: int


def missing_tools() -> str:
    """What this needs and is not installed; empty if all is there."""
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed"
    missing = [tool for tool in ("ptxas", "nvdisasm") if find_tool(tool) is None]
    return f"{' and '.join(missing)} not found: pip install nvidia-cuda-nvcc nvidia-cuda-nvdisasm" if missing else ""


def find_tool(name: str) -> Path | None:
    """A program of NVIDIA's Python packages."""
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    return next((path for root in roots for path in sorted(root.glob(f"*/bin/{name}"))), None)


def signature_of(kernel: str) -> tuple[Any, ...]:
    """Types of a kernel's arguments."""
    from numba import types

    from nbnumba.kernels import blocks
    from nbnumba.kernels.gpu_terms import SquareUnits

    def block(cls: Any, whole: Any = types.int64, real: Any = types.float64) -> Any:
        hints = typing.get_type_hints(cls)
        double = {
            "least_a",
            "least_b",
            "least_c",
            "end",
            "vector_scale",
            "direction_scale",
            "anchor_scale",
            "last_half",
        }
        kinds = [whole if hint is int else (types.float64 if name in double else real) for name, hint in hints.items()]
        return types.NamedTuple(kinds, cls)

    rows = types.float64[:, ::1]
    if kernel in SPOTS:
        return spots_signature(kernel, block)
    head = (
        types.float32[:, ::1],
        types.UniTuple(types.int64, 4),
        *map(block, (blocks.PanelBlock, blocks.CrystalBlock, blocks.CellBlock)),
    )
    head += (block(blocks.BeamBlock), rows, rows)
    mask, control = types.uint8[:, ::1], types.int32[::1]
    if kernel == "general":
        return (*head, types.float64[:, :, ::1], mask, types.int64[::1], control)
    return (*head, types.float32[::1], mask, block(SquareUnits, types.int32, types.float32), control)


def spots_signature(kernel: str, block: Any) -> tuple[Any, ...]:
    """Types of the arguments of a kernel of :mod:`nbnumba.kernels.gpu_spots`; ``block`` makes that of a block."""
    from numba import types

    from nbnumba.kernels import blocks

    whole, real, rows, table = types.int64, types.float64, types.float64[:, ::1], types.float32[::1]
    list_, found, mask = types.int32[::1], types.int32[:, ::1], types.uint8[:, ::1]
    names = (blocks.PanelBlock, blocks.CrystalBlock, blocks.CellBlock, blocks.BeamBlock)
    panel, crystal, cell, beam = map(block, names)
    if kernel == "find":
        cone = types.UniTuple(real, 4)
        return found, list_, list_, *[whole] * 4, panel, cell, rows, rows, rows, cone, real, table
    if kernel == "fill":
        return list_, list_, found, list_, whole, whole, panel
    if kernel.startswith("paint"):
        form = types.UniTuple(real, 6)
        head = (rows, list_, list_, found, whole, panel, crystal, cell, beam, form)
        return *head, rows, rows, table, mask, whole
    return types.float32[:, ::1], rows, panel, beam, rows, mask


def kernel_of(kernel: str, shape: int, curved: int, separate: int) -> tuple[Any, int]:
    """A kernel and the threads of its blocks."""
    from nbnumba.kernels import gpu, gpu_spots

    if kernel not in SPOTS:
        return gpu.find_kernel(kernel, shape, curved, separate), gpu.threads_of(kernel)
    if kernel in ("find", "fill"):
        return gpu_spots.find_spots if kernel == "find" else gpu_spots.fill_lists, gpu_spots.FINDERS
    if kernel == "close":
        return gpu_spots.close_pixels, gpu_spots.PAINTERS
    return gpu_spots.paint_kernel(separate, int(kernel == "paint")), gpu_spots.PAINTERS


def compile_ptx(kernel: str, shape: int, curved: int, separate: int, capability: str) -> str:
    """PTX of a kernel; no driver is asked."""
    from numba import cuda
    from numba.cuda import dispatcher

    compiled, _ = kernel_of(kernel, shape, curved, separate)
    major, minor = (int(part) for part in capability.split("."))
    device = mock.Mock(compute_capability=(major, minor))
    with mock.patch.object(dispatcher, "get_current_device", lambda: device):
        ptx, _ = cuda.compile(
            compiled.py_func,
            signature_of(kernel),
            cc=(major, minor),
            device=False,
            abi="numba",
            launch_bounds=compiled.targetoptions["launch_bounds"],
        )
    return str(ptx)


def assemble(ptx: str, capability: str) -> tuple[str, str]:
    """The assembler's report and the machine code as text."""
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        architecture = f"-arch=sm_{capability.replace('.', '')}"
        command = [str(find_tool("ptxas")), architecture, "-v", str(source), "-o", str(binary)]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        command = [str(find_tool("nvdisasm")), "-c", str(binary)]
        return report, subprocess.run(command, capture_output=True, text=True, check=True).stdout


def innermost_loops(machine_code: str) -> list[list[str]]:
    """Instructions of the loops that hold no other loop, predicates removed."""
    code: list[str] = []
    label: dict[str, int] = {}
    for line in machine_code.splitlines():
        if found := re.match(r"\s*(\.L_x_\d+):", line):
            label[found[1]] = len(code)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,5}\*/\s+(.*?);", line):
            code.append(re.sub(r"^@!?U?P\w+\s+", "", found[1].strip()))
    loops = []
    for end, text in enumerate(code):
        found = re.search(r"BRA.*`\((\.L_x_\d+)\)", text)
        # "@P0 BRA" to itself at the end of the code pads it
        if found and label.get(found[1], end) < end:
            loops.append((label[found[1]], end))
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    return [code[start : end + 1] for start, end in inner]


class Loop(NamedTuple):
    """What the loop over terms costs."""

    instructions: float | None = None  # per step and pixel; None: no such loop was found
    conversions: float | None = None  # for two steps
    doubles: int = 0  # float64 instructions of the whole loop
    memory: int = 0  # loads and stores in it


def inner_loop(machine_code: str) -> Loop:
    """The loop over terms.

    The loop over terms is the one that looks up structure factors, once for each step and pixel. The general kernel's
    time goes into functions that its loops call: nothing is counted.
    """
    found = [Loop()]
    for body in innermost_loops(machine_code):
        mix = Counter(text.split()[0] for text in body)
        look_ups = sum(n for word, n in mix.items() if _LOOK_UP.match(word))
        if look_ups:
            doubles = sum(n for word, n in mix.items() if _FLOAT64.match(word))
            memory = sum(n for word, n in mix.items() if word.startswith(("LD", "ST")) and not word.startswith("LDC"))
            conversions = sum(n for word, n in mix.items() if _CONVERSION.match(word))
            found.append(Loop(len(body) / look_ups, 2 * conversions / look_ups, doubles, memory))
    return max(found, key=lambda loop: loop.instructions or 0)


def occupancy(capability: str, registers: int, shared: int, threads: int) -> float:
    """Share of a multiprocessor's threads that can be there at once."""
    most = MOST_THREADS[capability] // threads
    by_registers = REGISTERS // (-(-registers // 8) * 8 * threads)
    by_shared = MOST_SHARED[capability] * 1024 // (shared + BLOCK_SHARED)
    return min(most, by_registers, by_shared) * threads / MOST_THREADS[capability]


def measure(name: str, capability: str) -> Resources:
    """Resources of one of :data:`KERNELS` on one architecture."""
    kernel, *variant = KERNELS[name]
    report, code = assemble(compile_ptx(kernel, *variant, capability), capability)

    def number(pattern: str) -> int:
        # several functions may be reported: the kernel's own figures are the largest
        return max((int(n) for n in re.findall(pattern, report)), default=0)

    registers, shared = number(r"Used (\d+) registers"), number(r"(\d+) bytes smem")
    loop = Loop() if kernel in ("general", *SPOTS) else inner_loop(code)
    _, threads = kernel_of(kernel, *variant)
    return Resources(
        kernel=name,
        capability=capability,
        registers=registers,
        stack_bytes=number(r"(\d+) bytes stack frame"),
        spill_bytes=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        shared_bytes=shared,
        threads=threads,
        occupancy=occupancy(capability, registers, shared, threads),
        instructions=loop.instructions,
        conversions=loop.conversions,
        float64_instructions=loop.doubles,
        memory_instructions=loop.memory,
    )


def main() -> None:
    """Print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("-c", "--capability", action="append", choices=CAPABILITIES, help="default: all")
    options = parser.parse_args()
    if missing := missing_tools():
        raise SystemExit(f"bench.cuda_resources: {missing}")
    print(
        f"{'kernel':32}{'cc':>5}{'regs':>6}{'stack':>7}{'spills':>8}{'shared':>8}{'occup.':>8}{'instr.':>8}"
        f"{'conv.':>7}{'float64':>9}"
    )
    rows = []
    for name in KERNELS:
        for capability in options.capability or CAPABILITIES:
            row = measure(name, capability)
            rows.append(asdict(row))
            count = "-" if row.instructions is None else f"{row.instructions:.1f}"
            conversions = "-" if row.conversions is None else f"{row.conversions:g}"
            print(
                f"{name:32}{capability:>5}{row.registers:6}{row.stack_bytes:7}{row.spill_bytes:8}{row.shared_bytes:8}"
                f"{row.occupancy:8.0%}{count:>8}{conversions:>7}{row.float64_instructions:9}",
                flush=True,
            )
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
