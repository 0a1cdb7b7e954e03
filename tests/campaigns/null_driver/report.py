"""What the driver wrote: launches, errors, faults, and what was left at the end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Launch:
    """One launch.

    Attributes
    ----------
    kernel : str
        Name of the Python function.
    sizes, values : list of int
        Of each parameter: bytes, and the bits as an unsigned number.
    pointers : list of (index, bytes, offset)
        The parameters that are addresses: the size of the allocation, and the place in it.
    """

    kernel: str
    device: int
    grid: list[int]
    block: list[int]
    shared: int
    sizes: list[int]
    values: list[int]
    pointers: list[tuple[int, int, int]]

    def arrays(self) -> Iterator[tuple[int, int, int, int]]:
        """The arrays among the arguments, as numba-cuda hands them over: number of the parameter with the address, bytes
        of the array, place in the allocation, bytes of the allocation.

        The parameters of an array are: two pointers to its owner (none), items, bytes of an item, address, shape, strides.
        Those of numba-cuda-mlir tell nothing of bytes, and none is found.
        """
        for index, size, offset in self.pointers:
            before = self.values[max(index - 4, 0) : index]
            if len(before) == 4 and before[:2] == [0, 0] and before[3] in (1, 2, 4, 8):
                yield index, before[2] * before[3], offset, size

    def too_large(self) -> list[str]:
        """Arrays that do not fit into their allocations."""
        return [
            f"{self.kernel}: the array at argument {index} has {wanted} bytes from byte {offset} of {size}"
            for index, wanted, offset, size in self.arrays()
            if offset + wanted > size
        ]


@dataclass
class Report:
    """The lines of a report; several processes may have written them."""

    launches: list[Launch] = field(default_factory=list)
    loads: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    #: what each process left, and its calls
    exits: list[dict[str, Any]] = field(default_factory=list)

    def calls(self, name: str) -> int:
        """Number of calls of a function, as ``cuMemAlloc``."""
        return sum(end["calls"].get(name, 0) for end in self.exits)

    def kernels(self) -> list[str]:
        """Names of the kernels that were launched, each once, in order."""
        return list(dict.fromkeys(launch.kernel for launch in self.launches))

    def problems(self) -> list[str]:
        """Whatever the program did wrong."""
        return self.errors + [text for launch in self.launches for text in launch.too_large()]


def short_name(mangled: str) -> str:
    """Name of the function in a mangled name: the last part of ``_ZN6module8functionE...``, or ``_Z8function...``."""
    nested = mangled.startswith("_ZN")
    parts: list[str] = []
    rest = mangled.removeprefix("_ZN" if nested else "_Z")
    while (nested or not parts) and (found := re.match(r"(\d+)", rest)):
        start = len(found[1])
        parts.append(rest[start : start + int(found[1])])
        rest = rest[start + int(found[1]) :]
    return parts[-1] if parts else mangled


def shortened(message: str) -> str:
    """A message of the driver with its kernel's name made readable."""
    return re.sub(r"\b_ZN?\w+", lambda found: short_name(found[0]), message)


def read_report(path: Path) -> Report:
    """Read a file of lines."""
    report = Report()
    for line in path.read_text().splitlines() if path.exists() else []:
        entry = json.loads(line)
        kind = entry.pop("event")
        if kind == "launch":
            entry.pop("pid")
            pointers = [tuple(pointer) for pointer in entry.pop("pointers")]
            report.launches.append(Launch(short_name(entry.pop("kernel")), pointers=pointers, **entry))
        elif kind == "load":
            report.loads.append(entry | {"kernel": short_name(entry["kernel"])})
        elif kind == "error":
            report.errors.append(f"{entry['call']}: {shortened(entry['message'])} ({entry['code']})")
        elif kind == "fault":
            report.faults.append(entry)
        else:
            report.exits.append(entry)
    return report
