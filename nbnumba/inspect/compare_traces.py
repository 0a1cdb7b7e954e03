"""Comparison of two traces of a pixel, and the first factor that differs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from nbnumba.errors import ConfigError, FileError
from nbnumba.inspect.trace_c import STARS, unrotated_stars
from nbnumba.inspect.trace_causes import known_cause
from nbnumba.inspect.trace_schema import FACTORS, PHASES, REMARKS
from nbnumba.inspect.trace_text import TraceLog, Values, format_value

#: Largest difference of fractional indices between programs that mean the same: |dh|, |dk|, |dl|.
MAX_DHKL = 5e-4


@dataclass(frozen=True)
class Row:
    """One factor in both traces.

    Attributes
    ----------
    key : str
        Name, with the phi step where it belongs to one: ``phi 9: k_frac``.
    a, b : tuple of float, str or None
        Values; None where a trace lacks the factor.
    relative : float
        Largest |a - b| relative to the larger of the two vectors' largest component; of indices, relative to 1 at
        least. Infinite for different words or numbers of values; NaN where one side is missing.
    differs : bool
        Whether the difference exceeds the tolerance.
    note : str
        Remark for the reader; empty: none.
    """

    key: str
    a: Values | None
    b: Values | None
    relative: float
    differs: bool
    note: str = ""

    @property
    def name(self) -> str:
        """The factor without phi step and number."""
        return self.key.rpartition(": ")[2].partition("[")[0]


@dataclass(frozen=True)
class TraceComparison:
    """Two traces of a pixel.

    Attributes
    ----------
    rows : tuple of Row
        In the order of the first trace.
    first, first_phi : Row or None
        The first divergence in the order of cause, and the first one of a phi step.
    cause : str
        Sentence about the known cause of the difference; empty: none is known.
    max_dhkl : float or None
        Largest difference of a fractional index; None where no index is in both traces.
    dhkl_limit : float
        What ``max_dhkl`` may be.
    """

    rows: tuple[Row, ...]
    first: Row | None
    first_phi: Row | None
    pixel: tuple[int, int] | None
    notes: tuple[str, ...]
    cause: str = ""
    max_dhkl: float | None = None
    dhkl_limit: float = MAX_DHKL

    @property
    def passed(self) -> bool:
        """Whether no factor differs, and no index by more than its limit."""
        return self.first is None and not (self.max_dhkl or 0.0) > self.dhkl_limit


def compare_traces(
    a: list[TraceLog], b: list[TraceLog], rtol: float = 1e-6, max_dhkl: float = MAX_DHKL
) -> list[TraceComparison]:
    """Compare traces pixel by pixel; in the order of the logs where a log does not name its pixel.

    Parameters
    ----------
    rtol : float
        Largest relative difference of a factor.
    max_dhkl : float
        Largest difference of a fractional index, which matters where ``rtol`` is larger.

    Raises
    ------
    ConfigError
        A negative tolerance.
    FileError
        The traces follow different pixels, or share no factor.
    """
    for name, value in (("--rtol", rtol), ("--max-dhkl", max_dhkl)):
        if not value >= 0:
            raise ConfigError(f"{name} must be >= 0, got {value}")
    named_b = {log.pixel: log for log in b if log.pixel is not None}
    if all(log.pixel for log in a) and len(named_b) == len(b):
        pairs = [(log, named_b[log.pixel]) for log in a if log.pixel in named_b]
        if not pairs:
            listed = " and ".join(f"{logs[0].path} follows {_pixels(logs)}" for logs in (a, b))
            raise FileError(f"the traces follow different pixels (slow, fast): {listed}")
    else:
        pairs = list(zip(a, b, strict=False))
    return [_compare(one, other, rtol, max_dhkl) for one, other in pairs]


def _pixels(logs: list[TraceLog]) -> str:
    return ", ".join(f"({log.pixel[0]}, {log.pixel[1]})" for log in logs if log.pixel)


def _compare(a: TraceLog, b: TraceLog, rtol: float, max_dhkl: float) -> TraceComparison:
    rows = _with_stars(_rows(a.factors, b.factors, "", rtol), a, b, rtol)
    for tic in sorted(a.phi.keys() | b.phi.keys()):
        rows += _rows(a.phi.get(tic, {}), b.phi.get(tic, {}), f"phi {tic}: ", rtol)
    shared = [row for row in rows if row.a is not None and row.b is not None]
    if not shared:
        raise FileError(f"{a.path} and {b.path} have no factor in common: is one of them no trace of a pixel?")
    notes = []
    if (a.phi or b.phi) and set(a.phi) != set(b.phi):
        notes.append(f"{len(a.phi)} phi steps in A, {len(b.phi)} in B: only those of both are compared")
    diverged = [row for row in _by_cause(rows) if row.differs]
    of_phi = [row for row in rows if row.differs and row.key.startswith("phi ")]
    return TraceComparison(
        rows=tuple(rows),
        first=diverged[0] if diverged else None,
        first_phi=of_phi[0] if of_phi else None,
        pixel=a.pixel or b.pixel,
        notes=tuple(notes),
        cause=known_cause(a, b) if diverged else "",
        max_dhkl=_largest_dhkl(shared),
        dhkl_limit=max_dhkl,
    )


def _with_stars(rows: list[Row], a: TraceLog, b: TraceLog, rtol: float) -> list[Row]:
    """The rows; logs of the C program have a*, b*, c* before the phi rotation under the names of those after it."""
    stars = {row.key: row for row in rows if row.name in STARS}
    if not any(row.differs for row in stars.values()):
        return rows
    for which, other in (("A", b), ("B", a)):
        unrotated = unrotated_stars(other.factors)
        if not unrotated.keys() >= stars.keys():
            continue
        pairs = {
            key: (row.a, unrotated[key]) if which == "A" else (unrotated[key], row.b) for key, row in stars.items()
        }
        again = {key: _row(key, one, two, rtol) for key, (one, two) in pairs.items()}
        if not any(row.differs for row in again.values()):
            note = f"before the phi rotation in {which}"
            return [
                replace(row, relative=again[row.key].relative, differs=False, note=note) if row.key in again else row
                for row in rows
            ]
    return rows


def _largest_dhkl(rows: list[Row]) -> float | None:
    """Largest difference of a fractional index, NaN left out; None if no row has one in both traces."""
    pairs = [(row.a, row.b) for row in rows if row.name in PHASES]
    off = [
        abs(x - y)
        for a, b in pairs
        if isinstance(a, tuple) and isinstance(b, tuple)
        for x, y in zip(a, b, strict=False)
    ]
    return max((x for x in off if not math.isnan(x)), default=None)


def _by_cause(rows: list[Row]) -> list[Row]:
    """Rows with causes before effects; an unknown factor stays after the one that it follows."""
    order = {name: rank for rank, name in enumerate(FACTORS)}
    ranked, rank = [], -1
    for place, row in enumerate(rows):
        rank = order.get(row.name, rank)
        ranked.append((rank, place, row))
    return [row for _, _, row in sorted(ranked, key=lambda entry: entry[:2])]


def _rows(a: dict[str, Values], b: dict[str, Values], where: str, rtol: float) -> list[Row]:
    keys = [*a, *(key for key in b if key not in a)]
    return [_row(where + key, a.get(key), b.get(key), rtol) for key in keys]


def _row(key: str, a: Values | None, b: Values | None, rtol: float) -> Row:
    row = Row(key, a, b, math.nan, False)
    if a is None or b is None:
        return replace(row, note="only in B" if a is None else "only in A")
    if row.name in REMARKS:
        return row
    relative, note = _relative(row.name, a, b)
    if row.name == "scattering_vec_A_inv" and relative > 0.5 and isinstance(a, tuple) and isinstance(b, tuple):
        # logs of the C program have it in 1/m under this name
        for factor, which in ((1e10, "A"), (1e-10, "B")):
            again, _ = _relative(row.name, a, tuple(v * factor for v in b))
            if again <= max(rtol, 1e-9):
                relative, note = again, f"in 1/m in {which}, in spite of its name"
    return replace(row, relative=relative, differs=relative > rtol, note=note)


def _relative(name: str, a: Values, b: Values) -> tuple[float, str]:
    if isinstance(a, str) or isinstance(b, str):
        same = isinstance(a, str) and isinstance(b, str) and a.strip().lower() == b.strip().lower()
        return (0.0, "") if same else (math.inf, "")
    if len(a) != len(b):
        return math.inf, f"{len(a)} values in A, {len(b)} in B"
    scale = max(map(abs, (*a, *b)), default=0.0)
    if name in PHASES:
        scale = max(scale, 1.0)
    worst = 0.0
    for x, y in zip(a, b, strict=True):
        if x == y or (math.isnan(x) and math.isnan(y)):
            continue
        off = abs(x - y) / scale
        worst = max(worst, math.inf if math.isnan(off) else off)
    return worst, ""


def comparison_lines(comparison: TraceComparison) -> list[str]:
    """Lines of a table of all factors, and the verdict."""
    cells = [("", "factor", "A", "B", "relative difference", "")]
    for row in comparison.rows:
        relative = "" if math.isnan(row.relative) else f"{row.relative:.3g}"
        cells.append(("*" if row.differs else "", row.key, _text(row.a), _text(row.b), relative, row.note))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    if comparison.pixel:
        lines.insert(0, f"pixel slow {comparison.pixel[0]}, fast {comparison.pixel[1]}")
    return [*lines, *(f"note: {note}" for note in comparison.notes), *_index_lines(comparison), verdict(comparison)]


def _index_lines(comparison: TraceComparison) -> list[str]:
    off, limit = comparison.max_dhkl, comparison.dhkl_limit
    if off is None:
        return []
    return [
        f"fractional indices differ by {off:.3g} at most: {'above' if off > limit else 'within'} the limit of {limit:g}"
    ]


def verdict(comparison: TraceComparison) -> str:
    """The first divergence, in a sentence or two."""
    first = comparison.first
    if first is None:
        n = sum(row.a is not None and row.b is not None for row in comparison.rows)
        return f"no divergence: {n} factors agree"
    relative = f"relative difference {first.relative:.3g}" if math.isfinite(first.relative) else "not the same"
    text = f"{comparison.cause}\n" if comparison.cause else ""
    text += f"first divergence: {first.key}: {_text(first.a)} in A, {_text(first.b)} in B ({relative})"
    known = FACTORS.get(first.name)
    if known is not None:
        text += f"\n  {first.name} is: {known.meaning}"
        text += f"; check {known.flags}" if known.flags else ""
    others = [row.name for row in comparison.rows if row.differs and row is not first]
    if others:
        text += f"\n  also different: {', '.join(dict.fromkeys(others))}"
    phi = comparison.first_phi
    if phi is not None and phi is not first:
        text += f"\n  first phi step that differs: {phi.key}: {_text(phi.a)} in A, {_text(phi.b)} in B"
    return text


def _text(values: Values | None) -> str:
    return "-" if values is None else format_value(values)


def comparison_data(comparisons: list[TraceComparison]) -> list[dict[str, Any]]:
    """The comparisons as data for JSON."""
    return [
        {
            "pixel": comparison.pixel,
            "first_divergence": None if comparison.first is None else asdict(comparison.first),
            "first_phi_divergence": None if comparison.first_phi is None else asdict(comparison.first_phi),
            "passed": comparison.passed,
            "cause": comparison.cause,
            "max_dhkl": comparison.max_dhkl,
            "dhkl_limit": comparison.dhkl_limit,
            "rows": [asdict(row) for row in comparison.rows],
            "notes": comparison.notes,
        }
        for comparison in comparisons
    ]


def comparison_csv(comparisons: list[TraceComparison]) -> str:
    """The rows as comma-separated text: slow, fast, factor, A, B, relative difference, differs, note."""
    lines = ["slow,fast,factor,A,B,relative_difference,differs,note"]
    for comparison in comparisons:
        pixel = comparison.pixel or ("", "")
        for row in comparison.rows:
            relative = "" if math.isnan(row.relative) else repr(row.relative)
            cells = (*pixel, row.key, _text(row.a), _text(row.b), relative, int(row.differs), row.note)
            lines.append(",".join(f'"{cell}"' if "," in str(cell) else str(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def comparison_markdown(comparisons: list[TraceComparison], name_a: str, name_b: str) -> str:
    """The comparisons as tables in Markdown, each with its verdict."""
    lines = [f"A: `{name_a}`  ", f"B: `{name_b}`"]
    for comparison in comparisons:
        if comparison.pixel:
            lines += ["", f"## Pixel slow {comparison.pixel[0]}, fast {comparison.pixel[1]}"]
        lines += ["", "| | factor | A | B | relative difference | |", "|---|---|---|---|---|---|"]
        for row in comparison.rows:
            relative = "" if math.isnan(row.relative) else f"{row.relative:.3g}"
            cells = ("**differs**" if row.differs else "", row.key, _text(row.a), _text(row.b), relative, row.note)
            lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
        said = [*(f"note: {note}" for note in comparison.notes), *_index_lines(comparison), verdict(comparison)]
        lines += ["", *("\n".join(said).replace("\n", "  \n").split("\n"))]
    return "\n".join(lines) + "\n"
