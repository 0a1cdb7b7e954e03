"""Known causes of the difference between two traces of a pixel."""

from __future__ import annotations

from nbnumba.inspect.trace_schema import PHASES
from nbnumba.inspect.trace_text import TraceLog, Values

#: Difference up to which two indices are those of one cell: more than the last digits of a log, less than a phi step.
_SAME = 1e-9


def known_cause(a: TraceLog, b: TraceLog) -> str:
    """Sentence about the known cause of the difference; empty: none is known."""
    for name, log, other in (("A", a, b), ("B", b, a)):
        step = _stale_step(log, other)
        if step is not None:
            return (
                f"known cause: the C program's stale cell at phi = 0: {name} has at phi step {step} the cell of the step before "
                "it; --physics released gives that, --physics reference the unrotated cell"
            )
    return ""


def _stale_step(log: TraceLog, other: TraceLog) -> int | None:
    """The phi step at phi = 0 at which a log, and not the other one, has the indices of the step before it."""
    for tic in sorted(log.phi.keys() & other.phi.keys()):
        differs = not _same(log.phi[tic], other.phi[tic])
        if differs and _is_zero(log, other, tic) and _repeats(log, tic) and not _repeats(other, tic):
            return tic
    # a trace without phi steps has the indices of the first one
    if bool(log.phi) != bool(other.phi) and _is_zero(log, other, 0):
        return 0 if _first_is_stale(log, other) else None
    return None


def _first_is_stale(log: TraceLog, other: TraceLog) -> bool:
    """The same where only one of the two has phi steps."""
    ours, theirs = ({key: each.factors[key] for key in PHASES & each.factors.keys()} for each in (log, other))
    if other.phi:
        last = max(other.phi)
        return last > 0 and _same(ours, _vector(other, last)) and not _same(ours, _vector(other, 0))
    turns = any(not _same(step, log.phi[0]) for step in log.phi.values())
    return turns and _repeats(log, 0) and bool(ours) and bool(theirs) and not _same(ours, theirs)


def _is_zero(log: TraceLog, other: TraceLog, tic: int) -> bool:
    said = [each.phi[tic]["phi_deg"] for each in (log, other) if "phi_deg" in each.phi.get(tic, {})]
    return bool(said) and all(value == (0.0,) for value in said)


def _repeats(log: TraceLog, tic: int) -> bool:
    """Whether a phi step has the indices of the step before it; before the first one comes the last one."""
    before = tic - 1 if tic > 0 else max(log.phi)
    return before != tic and before in log.phi and _same(log.phi[tic], log.phi[before])


def _vector(log: TraceLog, tic: int) -> dict[str, Values]:
    """The indices of a phi step, as a trace has them for the first one."""
    numbers = [log.phi[tic].get(f"{letter}_frac") for letter in "hkl"]
    return {"hkl_frac": tuple(x[0] for x in numbers if isinstance(x, tuple))} if all(numbers) else {}


def _same(one: dict[str, Values], two: dict[str, Values]) -> bool:
    """Whether the indices that both have are there, and equal."""
    shared = PHASES & one.keys() & two.keys()
    pairs = [(x, y) for key in shared for x, y in zip(one[key], two[key], strict=False)]
    return bool(pairs) and all(isinstance(x, float) and isinstance(y, float) and abs(x - y) <= _SAME for x, y in pairs)
