"""Faults injected into the driver's calls, over every kernel: ``tests.campaigns.null_driver`` has more of them."""

from __future__ import annotations

import pytest

from tests.campaigns.null_driver.build import missing
from tests.campaigns.null_driver.campaign import CLASSES, WAYS, Trial, campaign, judge
from tests.campaigns.null_driver.experiments import EXPERIMENTS
from tests.campaigns.null_driver.session import run

needs_driver = pytest.mark.skipif(bool(missing()), reason=missing() or "all is there")


@needs_driver
def test_every_fault_is_told_or_made_good():
    """In auto the image is the CPU's and one sentence says why; a GPU asked for by name is an error, or its image whole.

    Devices that are lost for good: tests/campaigns/test_null_driver_findings.py.
    """
    trials = campaign(30, seed=2, ways=WAYS[:-1])
    wrong = [f"{t.experiment}, {t.fault}, {t.device}: {problem}" for t in trials for problem in t.problems]
    assert not wrong, "\n".join(wrong)
    assert {trial.target for trial in trials} == CLASSES.keys()
    assert {"on the CPU", "told"} <= {trial.outcome for trial in trials}


@needs_driver
@pytest.mark.parametrize("fault", ["launch:2", "copy:5+:999", "sync:1:719", "alloc:4+"])
def test_a_command_falls_back_or_is_refused(fault, tmp_path):
    flags = EXPERIMENTS["fast32"].flags.split()
    words = ["-m", "nbnumba", "run", *flags, "-floatfile", "a.bin", "-nonoise", "--device"]
    auto = run([*words, "auto"], folder=tmp_path, fail=fault)
    assert auto.code == 0, auto.err
    assert any((tmp_path / "a.bin").read_bytes())  # under the null driver a GPU's image is empty
    assert sum("cuda:0" in line and "failed" in line for line in auto.err.splitlines()) in (1, 2)
    (tmp_path / "a.bin").unlink()
    asked = run([*words, "cuda"], folder=tmp_path, fail=fault)
    assert asked.code == 1
    last = asked.err.strip().splitlines()[-1]
    assert last.startswith("nbnumba: error: cuda:0 (Null Driver H100) failed: ") and "unexpected" not in last
    assert not (tmp_path / "a.bin").exists()
    for done in (auto, asked):
        assert "Traceback" not in done.err and "Exception ignored" not in done.err
        assert done.report.faults and not done.report.problems()


GOOD = {"device": "cpu", "image": "x", "empty": False, "reason": "cuda:0 failed: so", "warnings": []}


@pytest.mark.parametrize(
    ("device", "changes", "problem"),
    [
        ("auto", {}, ""),
        ("auto", {"image": "y"}, "the image is not the CPU's"),
        ("auto", {"reason": "requested"}, "the reason is not told once"),
        ("auto", {"device": "cuda:0", "empty": True}, "nothing was said of the fault in cuLaunchKernel"),
        ("auto", {"error": "cuda:0 failed"}, "auto ended with an error"),
        ("cuda", {}, "the CPU was not asked for"),
        ("cuda", {"error": "cuda:0 failed"}, ""),
        ("cuda", {"error": "something\nelse"}, "this is no sentence"),
    ],
)
def test_what_is_judged_wrong(device, changes, problem):
    found = {"faults": 1, "objections": 0, "stderr": "", "failed": "cuLaunchKernel", "renders": [GOOD | changes]}
    problems = judge(Trial("fast32", "launch:1", device), found, "x").problems
    assert [text.startswith(problem) for text in problems] == ([True] if problem else [])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"faults": 0}, "the fault did not come"), ({"stderr": "Traceback"}, "stderr"), ({"objections": 2}, "2 calls")],
)
def test_what_else_is_judged_wrong(changes, problem):
    found = {"faults": 1, "objections": 0, "stderr": "", "failed": "cuLaunchKernel", "renders": [GOOD]}
    (text,) = judge(Trial("fast32", "launch:1", "auto"), found | changes, "x").problems
    assert text.startswith(problem)
