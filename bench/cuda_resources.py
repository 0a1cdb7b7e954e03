"""Resources of each CUDA kernel on each architecture, without a GPU: ``python -m bench.cuda_resources [-o FILE.json]``.

Compiles the kernels to PTX and to machine code and prints registers, stack, spills, shared memory, occupancy, and of
the inner loop the instructions per step and pixel, the conversions for two steps and the float64 instructions.
``--linked`` uses the linker of a run instead, which optimizes again. Needs ``nbnumba[cuda]`` or ``nbnumba[cuda-mlir]``
(``--package``) and the packages nvidia-cuda-nvcc (ptxas) and nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench.cuda_kernels import DERIVATIVES, KERNELS, SPOTS, compile_kernel, kernel_of
from nbnumba.kernels.jit.cuda_choice import PACKAGES, VARIABLE, find_package

CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")
#: Threads that a multiprocessor holds at most (CUDA programming guide, table of compute capabilities).
MOST_THREADS = {"7.5": 1024, "8.0": 2048, "8.6": 1536, "8.9": 1536, "9.0": 2048, "10.0": 2048, "12.0": 1536}
#: Shared memory of a multiprocessor (KiB), from the same table, and the overhead of a block (bytes).
MOST_SHARED = {"7.5": 64, "8.0": 164, "8.6": 100, "8.9": 100, "9.0": 228, "10.0": 228, "12.0": 100}
BLOCK_SHARED = 1024
REGISTERS = 65536
_FLOAT64 = re.compile(r"^(D[A-Z]+|F2F\.F(32|64)\.F(32|64)|I2F\.F64.*|F2I\.F64.*|FRND\.F64.*|MUFU\.\w+64H?)\b")
#: Conversions and roundings, which run at an eighth to a half of the speed of sums.
_CONVERSION = re.compile(r"^(F2F|F2I|I2F|I2FP|FRND)\b")
#: The load of a structure factor, one number; loads of two and four numbers are those of sine tables.
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
    instructions: float | None  # None where there is no single loop over terms
    conversions: float | None  # for two steps: one term and both pixels of a thread
    float64_instructions: int
    memory_instructions: int


def missing_tools() -> str:
    """Sentence about the tools that are not installed; empty if none is missing."""
    if find_package() is None:
        return "neither numba-cuda nor numba-cuda-mlir is installed"
    missing = [tool for tool in ("ptxas", "nvdisasm") if find_tool(tool) is None]
    return f"{' and '.join(missing)} not found: pip install nvidia-cuda-nvcc nvidia-cuda-nvdisasm" if missing else ""


def find_tool(name: str) -> Path | None:
    """Path of a program of NVIDIA's Python packages; None if it is not installed."""
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    return next((path for root in roots for path in sorted(root.glob(f"*/bin/{name}"))), None)


def assemble(ptx: str, capability: str) -> tuple[str, str]:
    """The assembler's report and the machine code as text."""
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        architecture = f"-arch=sm_{capability.replace('.', '')}"
        command = [str(find_tool("ptxas")), architecture, "-v", str(source), "-o", str(binary)]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        return report, disassemble(binary.read_bytes())


def link(ltoir: bytes, capability: str) -> tuple[str, str]:
    """The linker's report and the machine code as text, as loaded by a GPU of this architecture."""
    from cuda.bindings import nvjitlink

    options = [f"-arch=sm_{capability.replace('.', '')}", "-lto", "-verbose", "-O3"]
    handle = nvjitlink.create(len(options), options)
    try:
        nvjitlink.add_data(handle, nvjitlink.InputType.LTOIR, ltoir, len(ltoir), "kernel")
        nvjitlink.complete(handle)
        binary = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, binary)
        report = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, report)
    finally:
        nvjitlink.destroy(handle)
    return report.decode(errors="replace"), disassemble(bytes(binary))


def disassemble(binary: bytes) -> str:
    """Machine code as text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(binary)
        command = [str(find_tool("nvdisasm")), "-c", str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


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
    """Instructions of the loop over terms."""

    instructions: float | None = None  # per step and pixel; None: no such loop was found
    conversions: float | None = None  # for two steps
    doubles: int = 0  # float64 instructions of the whole loop
    memory: int = 0  # loads and stores in it


def inner_loop(machine_code: str) -> Loop:
    """The loop over terms.

    The loop over terms is the one that looks up structure factors, once for each step and pixel. In the general kernel
    the loops call functions, so that nothing is counted.
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
    """Fraction of a multiprocessor's threads that can be resident at once."""
    most = MOST_THREADS[capability] // threads
    by_registers = REGISTERS // (-(-registers // 8) * 8 * threads)
    by_shared = MOST_SHARED[capability] * 1024 // (shared + BLOCK_SHARED)
    return min(most, by_registers, by_shared) * threads / MOST_THREADS[capability]


@cache
def measure(name: str, capability: str, linked: bool = False) -> Resources:
    """Resources of one of :data:`KERNELS` on one architecture; ``linked``: as linked at run time."""
    kernel, *variant = KERNELS[name]
    if linked:
        code = compile_kernel(kernel, *variant, capability=capability, output="ltoir")
        report, text = link(code, capability)
    else:
        report, text = assemble(compile_kernel(kernel, *variant, capability=capability), capability)

    def number(pattern: str) -> int:
        # several functions may be reported: the kernel's own figures are the largest
        return max((int(n) for n in re.findall(pattern, report)), default=0)

    registers, shared = number(r"Used (\d+) registers"), number(r"(\d+) bytes smem")
    loop = Loop() if kernel in ("end", "general", *SPOTS, *DERIVATIVES) else inner_loop(text)
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


HEAD = f"{'kernel':36}{'cc':>5}{'regs':>6}{'stack':>7}{'spills':>8}{'shared':>8}{'occup.':>8}{'instr.':>8}"
HEAD += f"{'conv.':>7}{'float64':>9}"


def as_line(row: Resources) -> str:
    """A row of the table under :data:`HEAD`."""
    instructions = "-" if row.instructions is None else f"{row.instructions:.1f}"
    conversions = "-" if row.conversions is None else f"{row.conversions:g}"
    return (
        f"{row.kernel:36}{row.capability:>5}{row.registers:6}{row.stack_bytes:7}{row.spill_bytes:8}{row.shared_bytes:8}"
        f"{row.occupancy:8.0%}{instructions:>8}{conversions:>7}{row.float64_instructions:9}"
    )


def main(words: list[str] | None = None) -> None:
    """Print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("-c", "--capability", action="append", choices=CAPABILITIES, help="default: all")
    parser.add_argument("-k", "--kernel", action="append", choices=KERNELS, metavar="ROW", help="default: all rows")
    parser.add_argument("--package", choices=[package.key for package in PACKAGES], help="default: the one of a run")
    parser.add_argument("--linked", action="store_true", help="by the linker that runs use, not by ptxas")
    options = parser.parse_args(words)
    if options.package:  # before it is imported for the first time
        os.environ[VARIABLE] = options.package
    if missing := missing_tools():
        raise SystemExit(f"bench.cuda_resources: {missing}")
    print(HEAD)
    rows = []
    for name in options.kernel or KERNELS:
        for capability in options.capability or CAPABILITIES:
            row = measure(name, capability, options.linked)
            rows.append(asdict(row))
            print(as_line(row), flush=True)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
