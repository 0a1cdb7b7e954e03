"""Steps ``ncu`` and ``sanitizer``: NVIDIA's profiler and memory checker on one image of each kernel."""

from __future__ import annotations

import csv
import re
import sys
import time
from pathlib import Path

from bench.gpu.commands import SUBJECTS
from bench.gpu.package import find_tool
from bench.gpu.pool import run_program
from bench.gpu.record import append
from bench.gpu.setting import Record, Records, Setting

#: Name in the record -> metric of Nsight Compute's raw page.
METRICS = {
    "duration_s": "gpu__time_duration.sum",
    "cycles": "sm__cycles_elapsed.max",
    "clock_Hz": "smsp__cycles_elapsed.avg.per_second",
    "registers": "launch__registers_per_thread",
    "blocks": "launch__grid_size",
    "shared_bytes_per_block": "launch__shared_mem_per_block",
    "waves": "launch__waves_per_multiprocessor",
    "occupancy_percent": "sm__warps_active.avg.pct_of_peak_sustained_active",
    "issue_active_percent": "smsp__issue_active.avg.pct_of_peak_sustained_active",
    "sm_percent": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "memory_percent": "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed",
    "dram_percent": "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
    "instructions": "smsp__inst_executed.sum",
    "fma_percent": "sm__inst_executed_pipe_fma.avg.pct_of_peak_sustained_active",
    "alu_percent": "sm__inst_executed_pipe_alu.avg.pct_of_peak_sustained_active",
    "xu_percent": "sm__inst_executed_pipe_xu.avg.pct_of_peak_sustained_active",
    "fp64_percent": "sm__inst_executed_pipe_fp64.avg.pct_of_peak_sustained_active",
    "lsu_percent": "sm__inst_executed_pipe_lsu.avg.pct_of_peak_sustained_active",
    "l1_hit_percent": "l1tex__t_sector_hit_rate.pct",
    "l2_hit_percent": "lts__t_sector_hit_rate.pct",
    "local_loads": "smsp__sass_inst_executed_op_local_ld.sum",
    "local_stores": "smsp__sass_inst_executed_op_local_st.sum",
}
#: Names of the metrics of what warps wait for.
_STALL = re.compile(r"smsp__average_warps_issue_stalled_(\w+)_per_issue_active\.ratio")
#: Unit of the tool -> factor to the unit of the record.
_UNITS = {
    "nsecond": 1e-9,
    "usecond": 1e-6,
    "msecond": 1e-3,
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "second": 1.0,
    "s": 1.0,
}
_UNITS |= {"cycle/nsecond": 1e9, "cycle/usecond": 1e6, "Ghz": 1e9, "GHz": 1e9, "Mhz": 1e6, "MHz": 1e6, "hz": 1.0}
_UNITS |= {"Kbyte": 1e3, "Kbyte/block": 1e3, "Mbyte": 1e6}

_SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (?:errors?|hazards?)")
#: Characters of the checker's report that are kept if it found an error.
_KEPT = 3000


def _subject(kernel: str, setting: Setting, *more: str) -> list[str]:
    return [sys.executable, "-m", "bench.gpu.subject", kernel, "--setting", setting.to_json(), *more]


def profile(case: str, setting: Setting) -> Records:
    """Key figures of a kernel; all others are appended to a file beside the results, as the tool wrote them."""
    program = find_tool("ncu")
    assert program is not None, "Step.missing reports that it is missing"
    log = Path(setting.scratch, f"ncu-{case.replace(' ', '-')}.csv")
    words = ["--clock-control", "none", "--set", "full", "--profile-from-start", "off", "--csv", "--page", "raw"]
    words += ["-c", str(SUBJECTS[case].launches), "--log-file", str(log)]
    try:
        run_program([program, *words, *_subject(case, setting, "--profile")], setting.limit, setting)
    except RuntimeError as error:
        told = log.read_text(errors="replace")[-500:].strip() if log.exists() else ""
        raise RuntimeError(f"{error}; {told}") from None
    text = log.read_text(errors="replace")
    if setting.out:
        title = f"# {case}, {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n"
        append(Path(setting.out, f"{setting.name}-ncu.csv"), title + text)
    found = read_profile(text)
    if not found:
        raise RuntimeError(f"ncu profiled nothing: {text.strip()[-500:]}")
    yield from found


def read_profile(text: str) -> list[Record]:
    """Figures of each launch in a raw page as CSV; lines before its head are the tool's messages."""
    lines = text.splitlines()
    head = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if head is None:
        return []
    rows = list(csv.DictReader(lines[head:]))
    units, found = rows[0] if rows else {}, []
    for row in rows[1:]:
        record: Record = {"launch": row.get("Kernel Name", "")}
        for name, metric in METRICS.items():
            if (value := _number(row.get(metric))) is not None:
                record[name] = value * _UNITS.get(units.get(metric) or "", 1.0)
        stalls = {
            known[1]: value for key in row if key and (known := _STALL.fullmatch(key)) if (value := _number(row[key]))
        }
        record["stalls"] = dict(sorted(stalls.items(), key=lambda item: -item[1])[:6])
        found.append(record)
    return found


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").replace(",", ""))
    except ValueError:
        return None


def sanitize(case: str, setting: Setting) -> Records:
    """Errors that one of compute-sanitizer's tools finds in a small image, such as ``memcheck, fast32``."""
    program = find_tool("compute-sanitizer")
    assert program is not None, "Step.missing reports that it is missing"
    tool, kernel = case.split(", ")
    words = ["--tool", tool, "--print-limit", "20"]
    if tool == "memcheck":
        words += ["--report-api-errors", "no"]  # Numba queries the driver for features that may be missing
    command = [program, *words, *_subject(kernel, setting, "--small")]
    begin = time.perf_counter()
    out, told = run_program(command, setting.limit, setting, expected=lambda code: code >= 0)
    text = out + told
    errors = count_errors(text)
    if errors is None:
        raise RuntimeError(f"compute-sanitizer gave no summary: {text.strip()[-800:]}")
    if errors == 0 and '"prepare_s"' not in out:
        raise RuntimeError(f"nothing was rendered: {text.strip()[-800:]}")
    seconds = {"seconds": round(time.perf_counter() - begin, 1)}
    yield {"errors": errors, "good": errors == 0, **seconds} | ({"report": text[:_KEPT]} if errors else {})


def count_errors(text: str) -> int | None:
    """Errors or hazards that the summaries of a report name; None without a summary."""
    found = [int(number) for number in _SUMMARY.findall(text)]
    return sum(found) if found else None
