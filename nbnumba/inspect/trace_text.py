"""Traces as text and JSON: the writer of ``TRACE_PY`` lines, and a reader of those, of ``TRACE_C`` logs and of JSON.

A line is ``TRACE_C: key value...``; values may be separated by commas and wrapped in brackets, and a unit may follow.
``TRACE_C_PHI phi_tic=0 key=value ...`` holds one phi step. All other lines of a log are ignored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbnumba.errors import FileError
from nbnumba.inspect.trace_schema import ALIASES, FACTORS, Value
from nbnumba.io.files import read_text

if TYPE_CHECKING:  # reading a log needs no kernels
    from nbnumba.inspect.trace import PixelTrace

_LINE = re.compile(r"^\s*TRACE_[A-Z]+:[ \t]*(.*)$")
_PHI = re.compile(r"^\s*TRACE_[A-Z]+_PHI:?(?:\s+(.*))?$")
_KEY = re.compile(r"^([A-Za-z_]\w*)\s*[=:]?\s*(.*)$")
_PAIR = re.compile(r"(\w+)=(\S*)")

Values = tuple[float, ...] | str


@dataclass
class TraceLog:
    """Factors of one pixel as read from a log.

    Attributes
    ----------
    path : Path
        The file that was read.
    pixel : (int, int) or None
        Slow and fast index; None where the log does not give them.
    factors : dict
        Name to numbers or text. A repeated name is numbered: ``hkl_frac[2]``.
    phi : dict
        phi_tic to the factors of that step.
    """

    path: Path
    pixel: tuple[int, int] | None = None
    factors: dict[str, Values] = field(default_factory=dict)
    phi: dict[int, dict[str, Values]] = field(default_factory=dict)
    _times: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def add(self, key: str, values: Values) -> None:
        """Add a factor under its name in ``nbnumba.inspect.trace_schema``."""
        name = ALIASES.get(key, key)
        if name == "pixel" and isinstance(values, tuple) and len(values) == 2 and all(map(math.isfinite, values)):
            self.pixel = (int(values[0]), int(values[1]))
            return
        if name != key and name in self.factors:  # the log has both spellings
            name = key
        if name in self.factors:
            self._times[name] = self._times.get(name, 1) + 1
            name = f"{name}[{self._times[name]}]"
        self.factors[name] = values


def format_value(value: Value) -> str:
    """Numbers with 15 significant digits, vectors separated by blanks."""
    if isinstance(value, tuple):
        return " ".join(format_value(v) for v in value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def trace_lines(traces: Iterable[PixelTrace], per_phi: bool = False, prefix: str = "TRACE_PY") -> list[str]:
    """Traces as lines of a log."""
    lines = []
    for trace in traces:
        lines.append(f"{prefix}: pixel {trace.slow} {trace.fast}")
        lines += [f"{prefix}: {key} {format_value(value)}" for key, value in trace.factors.items()]
        for step in trace.phi if per_phi else ():
            lines.append(f"{prefix}_PHI " + " ".join(f"{key}={format_value(value)}" for key, value in step.items()))
    return lines


def trace_table(trace: PixelTrace, per_phi: bool = False) -> list[str]:
    """A trace as a readable table: factor, value with eight digits, unit, meaning."""
    rows = [("factor", "value", "unit", "meaning")]
    for key, value in trace.factors.items():
        known = FACTORS.get(key)
        rows.append((key, _short(value), known.unit if known else "", known.meaning if known else ""))
    lines = [f"pixel slow {trace.slow}, fast {trace.fast}", *_aligned(rows)]
    if per_phi and trace.phi:
        lines += ["", *_aligned([tuple(trace.phi[0]), *(tuple(map(_short, step.values())) for step in trace.phi)])]
    return lines


def _short(value: Value) -> str:
    if isinstance(value, tuple):
        return "  ".join(_short(v) for v in value)
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "-" * min(max(map(len, lines)), 120), *lines[1:]]


def trace_data(
    traces: Sequence[PixelTrace], environment: dict[str, Any], configuration: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Traces as data for JSON, with the record of versions, device and command, and the resolved configuration.

    The phi steps of the first pixel stand at the top level too, where tools of the PyTorch port look for them.
    """
    first = traces[0]
    return {
        "pixel": {"slow": first.slow, "fast": first.fast},
        "per_phi_entries": list(first.phi),
        "environment": environment,
        "configuration": configuration,
        "pixels": [
            {
                "pixel": [trace.slow, trace.fast],
                "factors": trace.factors,
                "phi": list(trace.phi),
                "terms": trace.terms,
                "notes": list(trace.notes),
            }
            for trace in traces
        ],
    }


def read_traces(path: Path | str) -> list[TraceLog]:
    """Traces of a log or of the JSON form, one for each pixel.

    Raises
    ------
    FileError
        The file cannot be read, holds no trace, or a line of a trace has no value.
    """
    path = Path(path)
    text = read_text(path, "trace")
    logs = _from_json(text, path) if text.lstrip().startswith(("{", "[")) else _from_log(text, path)
    if not any(log.factors or log.phi for log in logs):
        if re.search(r"(?m)^[ \t]{0,9}\d{1,9}[ \t]{1,9}\d{1,9} : stol = ", text):
            raise FileError(
                f"{path} holds what nanoBragg prints for -printout_pixel, not TRACE_C lines: "
                "docs/trace.md has a table to compare it by eye"
            )
        raise FileError(f"{path} holds no trace: no line begins with TRACE_C: or TRACE_PY:, and it is no JSON of one")
    return logs


def read_record(path: Path) -> dict[str, Any]:
    """What a trace as JSON says about its making: ``environment``, ``configuration``; empty for other traces.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    text = read_text(path, "trace")
    if not text.lstrip().startswith("{"):
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {key: content[key] for key in ("environment", "configuration") if isinstance(content.get(key), dict)}


def _from_log(text: str, path: Path) -> list[TraceLog]:
    logs = [TraceLog(path)]
    for number, line in enumerate(text.split("\n"), 1):
        if match := _PHI.match(line):
            _add_phi_step(logs[-1], match[1] or "", f"line {number} of {path}")
        elif match := _LINE.match(line):
            named = _KEY.match(match[1])
            if named is None:
                raise FileError(f"line {number} of {path} names no factor: {line.strip()!r}")
            key, rest = named[1], named[2].strip()
            if not rest:
                raise FileError(f"line {number} of {path}: {key} has no value; is the log cut off?")
            if ALIASES.get(key, key) == "pixel" and (logs[-1].factors or logs[-1].phi):
                logs.append(TraceLog(path))
            logs[-1].add(key, _values(rest))
    return logs


def _values(text: str) -> Values:
    """Numbers up to the first word; the text itself where it does not begin with a number."""
    numbers: list[float] = []
    for word in re.split(r"[\s,;()\[\]]+", text):
        try:
            numbers.append(float(word))
        except ValueError:
            if word:
                break
    return tuple(numbers) if numbers else text


def _add_phi_step(log: TraceLog, text: str, where: str) -> None:
    step: dict[str, Values] = {}
    for key, word in _PAIR.findall(text):
        try:
            step[key] = (float(word),)
        except ValueError:
            raise FileError(f"{where}: {key}={word} is not a number; is the log cut off?") from None
    tic = step.pop("phi_tic", None)
    if not isinstance(tic, tuple) or tic[0] != tic[0] // 1:
        raise FileError(f"{where} is a phi step without a whole phi_tic=")
    log.phi.setdefault(int(tic[0]), step)


def _from_json(text: str, path: Path) -> list[TraceLog]:
    """Traces of :func:`trace_data`, or the phi steps of one pixel that another program wrote."""
    try:
        content = json.loads(text)
        entries = content.get("pixels") or content.get("traces") or [] if isinstance(content, dict) else content
        if entries and "factors" in entries[0]:
            return [_json_trace(entry, path) for entry in entries]
        return [_json_steps(content, entries, path)]
    except json.JSONDecodeError as error:
        raise FileError(f"{path} is not complete JSON: line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise FileError(f"{path} is nested too deeply to be a trace") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise FileError(f"{path} is JSON, but neither of 'nbnumba trace --json' nor a list of phi steps") from None


def _json_trace(entry: dict[str, Any], path: Path) -> TraceLog:
    slow, fast = map(int, entry["pixel"])
    log = TraceLog(path, (slow, fast))
    for key, value in entry["factors"].items():
        log.add(key, _json_values(value))
    _add_json_steps(log, entry.get("phi", ()))
    return log


def _json_steps(content: Any, entries: list[Any], path: Path) -> TraceLog:
    """A list of phi steps, by itself or under a name of its own, with the pixel beside it."""
    log = TraceLog(path)
    if isinstance(content, dict):
        entries = entries or content.get("per_phi_entries") or content["phi"]
        pixel = content.get("pixel")
        if pixel is not None:
            slow, fast = (pixel["slow"], pixel["fast"]) if isinstance(pixel, dict) else pixel
            log.pixel = int(slow), int(fast)
    _add_json_steps(log, entries)
    return log


def _add_json_steps(log: TraceLog, steps: Iterable[dict[str, Any]]) -> None:
    for step in steps:
        rest = {key: _json_values(value) for key, value in step.items() if key != "phi_tic"}
        log.phi[int(step["phi_tic"])] = rest


def _json_values(value: Any) -> Values:
    if isinstance(value, str):
        return value
    # NaN and infinity are null in JSON
    numbers = value if isinstance(value, list) else [value]
    return tuple(float("nan") if number is None else float(number) for number in numbers)
