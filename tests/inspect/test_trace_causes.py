"""Known causes of the difference between two traces, and what is not called so."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbnumba.inspect.compare_traces import compare_traces, verdict
from tests.inspect.test_compare_traces import C_LOG, PY_LOG, ROTATED, STALE, first, logs, steps


@pytest.mark.parametrize("order", [1, -1])
def test_the_stale_cell_is_known(order: int, tmp_path: Path) -> None:
    texts = (C_LOG.split("TRACE_C_PHI")[0] + steps(STALE), PY_LOG.split("TRACE_PY_PHI")[0] + steps(ROTATED, "TRACE_PY"))
    (comparison,) = compare_traces(*logs(tmp_path, *texts[::order]))
    name = "A" if order == 1 else "B"
    assert comparison.cause.startswith(
        f"known cause: the C program's stale cell at phi = 0: {name} has at phi step 0 the cell"
    )
    assert verdict(comparison).startswith(comparison.cause)
    assert comparison.max_dhkl == pytest.approx(ROTATED[0] - STALE[0], abs=1e-15) and not comparison.passed


def test_a_log_without_phi_steps_shows_it_in_its_first_indices(tmp_path: Path) -> None:
    whole = "".join(
        f"TRACE_PY_PHI phi_tic={i} phi_deg={i / 100} h_frac=-6.88 k_frac={k:.15g} l_frac=-13.8\n"
        for i, k in enumerate(ROTATED)
    )
    good = f"TRACE_PY: hkl_frac -6.88 {ROTATED[0]!r} -13.8\n"
    stale = f"TRACE_C: hkl_frac -6.88 {STALE[0]!r} -13.8\n"
    (comparison,) = compare_traces(*logs(tmp_path, stale, good + whole))
    assert "A has at phi step 0 the cell of the step before it" in comparison.cause
    (comparison,) = compare_traces(*logs(tmp_path, stale.replace("-13.8", "-13.9"), good + whole))
    assert comparison.first is not None and comparison.cause == ""


def test_phi_steps_of_the_stale_log_alone_show_it(tmp_path: Path) -> None:
    stale = f"TRACE_C: hkl_frac -6.88 {STALE[0]!r} -13.8\n" + steps(STALE)
    good = f"TRACE_PY: hkl_frac -6.88 {ROTATED[0]!r} -13.8\n"
    (comparison,) = compare_traces(*logs(tmp_path, good, stale))
    assert "B has at phi step 0 the cell of the step before it" in comparison.cause
    for a, b in ((good, stale.split("TRACE_C_PHI")[0]), (good, stale.replace(steps(STALE), steps(ROTATED)))):
        (comparison,) = compare_traces(*logs(tmp_path, a, b))
        assert comparison.first is not None and comparison.cause == ""


def test_reciprocal_vectors_before_phi_are_recognized(tmp_path: Path) -> None:
    """The C program prints those; they count as different where they are not even these."""
    cell = "".join(
        f"TRACE_PY: misset_{v}_angstroms {x}\n" for v, x in zip("abc", ("50 0 0", "0 40 0", "0 0 25"), strict=True)
    )
    ours = cell + "".join(f"TRACE_PY: rot_{v}_star_A_inv 0.1 0.2 0.3\n" for v in "abc")
    stars = zip("abc", ("0.02 0 0", "0 0.025 0", "0 0 0.04"), strict=True)
    theirs = "".join(f"TRACE_C: rot_{v}_star_A_inv {x}\n" for v, x in stars)
    for texts, which in (((theirs, ours), "A"), ((ours, theirs), "B")):
        (comparison,) = compare_traces(*logs(tmp_path, *texts))
        assert comparison.first is None
        assert [row.note for row in comparison.rows if "star" in row.key] == [f"before the phi rotation in {which}"] * 3
    for wrong in (theirs.replace("0.04", "0.05"), theirs.replace("0.02 0 0", "0.02 0")):
        assert first(tmp_path, wrong, ours) is not None
    assert first(tmp_path, theirs, ours.replace("misset_a_angstroms 50", "misset_a_angstroms 0")) is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (ROTATED, ROTATED[:1] + tuple(k + 1e-3 for k in ROTATED[1:])),  # another difference
        (STALE, tuple(k + 1e-3 for k in STALE)),  # both have it
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.6)),  # an index that the rotation leaves as it is
        (STALE[:1], ROTATED[:1]),  # one step: its cell is its own
    ],
)
def test_other_differences_are_not_called_so(a, b, tmp_path: Path) -> None:
    (comparison,) = compare_traces(*logs(tmp_path, steps(a), steps(b)))
    assert comparison.first is not None and comparison.cause == ""


def test_steps_away_from_zero_are_not_called_so(tmp_path: Path) -> None:
    one, two = (steps(k).replace("phi_deg=0", "phi_deg=5") for k in (STALE, ROTATED))
    (comparison,) = compare_traces(*logs(tmp_path, one, two))
    assert comparison.first is not None and comparison.cause == ""
