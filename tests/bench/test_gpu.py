"""``python -m bench.gpu``: what it takes and writes, with the simulator, with a driver that does nothing, and with neither."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.gpu import tools
from bench.gpu.pool import StepRun, how_it_ended
from bench.gpu.record import Recorder, readable
from bench.gpu.setting import Deadline, Setting
from bench.gpu.steps import STEPS, pick
from tests.bench.cases import BEHAVIOURS, make_step
from tests.campaigns.null_driver import build
from tests.campaigns.null_driver.session import environment_for

ROOT = Path(__file__).parents[2]
NAMES = [step.name for step in STEPS]
#: What a bare machine may lack, and what must not be needed.
NOT_NEEDED = "fabio typer rich matplotlib scipy h5py hdf5plugin pytest hypothesis dask torch cupy".split()


def bench(*words: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m bench.gpu`` in the root of the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu", *words],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Everything in the one file of results."""
    (file,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def one(lines: list[dict[str, Any]], step: str, case: str, field: str) -> dict[str, Any]:
    """The only record of a case that has a field."""
    (found,) = (line for line in lines if (line["step"], line["case"]) == (step, case) and field in line)
    return found


def in_simulator(tmp_path: Path) -> dict[str, str]:
    """Variables of a run in the simulator that finds nothing of :data:`NOT_NEEDED`."""
    blocker = tmp_path / "blocked"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(
        "import sys\nclass Bare:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {NOT_NEEDED}:\n            raise ImportError(name + ' is blocked')\n"
        "sys.meta_path.insert(0, Bare())\n"
    )
    return {"PYTHONPATH": str(blocker), "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}


def test_steps_are_listed() -> None:
    done = bench("--list")
    assert done.returncode == 0, done.stderr
    listed = [re.match(r"(.*?)\*? +(\d+) s", line) for line in done.stdout.splitlines()]
    assert [row and row[1] for row in listed] == [*NAMES, "all"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--steps", "parity,parities"), "unknown step parities: choose from"),
        (("--packages", "numba"), "unknown package numba: choose from numba-cuda, mlir"),
        (("--cases", "("), "--cases: "),
    ],
)
def test_refused_words(words: tuple[str, ...], message: str) -> None:
    done = bench(*words)
    assert done.returncode == 2 and message in done.stderr


@given(st.floats(0, 10), st.sets(st.sampled_from(NAMES)))
def test_what_is_picked_fits_and_the_most_telling_comes_first(minutes: float, names: set[str]) -> None:
    setting = Setting(programs=("nanoBraggCUDA",))
    taken, short = pick(sorted(names), minutes, setting)
    costs = {step.name: step.estimate(setting) for step in STEPS}
    assert sum(costs[step.name] for step in taken) <= 60 * minutes
    assert {step.name for step in taken + short} == (names or set(NAMES))
    assert [step.name for step in taken] == [name for name in NAMES if name in {step.name for step in taken}]
    for step in short:  # what comes before it leaves too little
        before = sum(costs[other.name] for other in taken if NAMES.index(other.name) < NAMES.index(step.name))
        assert before + costs[step.name] > 60 * minutes


def test_the_quarter_of_an_hour_has_room_for_everything_once() -> None:
    assert pick([], 6.5, Setting(programs=("single", "double")))[1] == []


def test_fewer_cases_take_less_time() -> None:
    parity = next(step for step in STEPS if step.name == "parity")
    setting = Setting()
    assert parity.estimate(setting) == parity.seconds
    assert parity.estimate(setting, "double$") == parity.seconds / 2
    assert 0 < parity.estimate(setting, "^phi_step_only, double$") < parity.seconds / 4
    assert parity.estimate(setting, "no such case") == 0
    assert next(step for step in STEPS if step.name == "reference").estimate(setting) == 0, "no program is named"


def test_without_a_gpu_the_environment_is_told_and_nothing_is_left(tmp_path) -> None:
    def results() -> set[Path]:
        return set((ROOT / "bench" / "results").iterdir())

    before = results()
    done = bench("--minutes", "1")
    assert done.returncode == 1
    assert "bench.gpu: device cuda" in done.stderr and "Traceback" not in done.stderr
    assert "environment packages" in done.stdout and "parity" not in done.stdout
    assert results() == before
    done = bench("--out", str(tmp_path))
    assert done.returncode == 1
    lines = lines_of(tmp_path)
    assert lines[-1]["step"] == "summary" and one(lines, "environment", "packages", "python")["numba"]


@pytest.mark.skipif(build.missing() == "numba-cuda is not installed", reason="numba-cuda is not installed")
def test_a_bare_machine_checks_and_times_in_the_simulator(tmp_path) -> None:
    """Right images, every field of a timing, and no package beyond numba, a CUDA package, numpy and gemmi."""
    done = bench(
        "--tiny", "--steps", "environment,device,parity,timings,derivatives", "--out", str(tmp_path / "out"),
        "--cases", "^(code|driver|phi_step_only.*|shape_tophat, auto|64 x 64 pixels|square)$",
        **in_simulator(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = lines_of(tmp_path / "out")
    assert not [line for line in lines if "error" in line]
    assert len({line["run"] for line in lines}) == 1
    parity = [line for line in lines if line["step"] == "parity"]
    assert {line["case"] for line in parity} == {"phi_step_only, auto", "phi_step_only, double", "shape_tophat, auto"}
    for line in parity:
        assert line["good"] and line["deviation"] <= line["bar"] <= 2e-6
    timing = one(lines, "timings", "64 x 64 pixels", "kernel_s")
    assert timing["pixels"] == 6 and timing["steps"] == 6 and timing["kernel"] == "fixed"
    assert timing["image_s"] > 0 and timing["prepare_s"] > 0 and timing["launch_s"] > 0
    assert {"copy_s", "image_with_progress_s", "first_prepare_s", "clock", "of_issue_limit", "held"} < set(timing)
    assert one(lines, "timings", "64 x 64 pixels", "deviation")["deviation"] < 1e-6
    derived = [line for line in lines if line["step"] == "derivatives"]
    assert [line["result"] for line in derived[:-1]] == ["images", "gradient", "normal"]
    assert all(line["pixels"] == 6 and line["same_bits"] and line["seconds"] > 0 for line in derived[:-1])
    assert derived[-1]["good"] and derived[-1]["deviation"] <= 1e-9
    assert lines[-1]["ended"] == "complete" and lines[-1]["wrong"] == []
    assert re.search(r"(?m)parity +phi_step_only, double +kernel: general .*  good$", done.stdout), done.stdout


@pytest.mark.slow
@pytest.mark.skipif(bool(build.missing()), reason=build.missing())
def test_the_whole_script_on_a_driver_that_does_nothing(tmp_path) -> None:
    """Every step, a case or two of each: wrong images fail the run, and what is missing is told in a line."""
    program = tmp_path / "reference"
    program.write_text(
        "#!/bin/sh\n"
        f"exec {sys.executable} -c \"import sys; open(sys.argv[sys.argv.index('-floatfile') + 1], 'wb')"
        '.write(bytes(4) * 4095 + b\'\\x00\\x00\\x80\\x3f\')" "$@"\n'
    )
    program.chmod(0o755)
    keep = "^(code|tools|driver|kernel|phi_step_only.*|64 x 64 pixels|batch.*gauss|launch|held.*|fast32|square|.*, 2 blocks|reference single: 64 x 64.*)$"
    environment = environment_for(more={"NB_CUDA_BIN": str(program), "PATH": os.defpath, "CUDA_HOME": str(tmp_path)})
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--minutes", "9", "--cases", keep, "--out", str(tmp_path / "out")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "images on the device differ" in done.stderr and "Traceback" not in done.stderr
    lines = lines_of(tmp_path / "out")
    assert {line["step"] for line in lines} == {*NAMES, "summary"}
    wrong = [line for line in lines if line["step"] == "parity"]
    assert len(wrong) == 2 and not any(line["good"] for line in wrong) and wrong[0]["deviation"] == 1
    parity = ["parity: phi_step_only, auto", "parity: phi_step_only, double"]
    assert sorted(lines[-1]["wrong"]) == ["derivatives: square", *parity, "renderer: fast32"]
    updated = [line for line in lines if line["step"] == "renderer"]
    assert [line["memory"] for line in updated[:3]] == ["host", "pinned", "device"]
    assert all(line["update_s"] > 0 and line["image_s"] > 0 for line in updated[:3])
    assert updated[3]["same_bits"] and not updated[3]["good"]
    assert "tiny kernel gives wrong numbers" in one(lines, "device", "kernel", "error")["error"]
    reference = one(lines, "reference", "reference single: 64 x 64 pixels, 100000 phi steps", "reference_s")
    assert reference["reference_process_s"] > 0 and reference["image_s"] > 0
    compared = one(
        lines, "reference", "reference single: 64 x 64 pixels, 100000 phi steps", "deviation_of_ours_from_it"
    )
    assert compared["deviation_of_ours_from_it"] == 1, "ours is empty, the reference's has one pixel of 1"
    assert "SIGINT" in one(lines, "ctrl-c", "fast32", "end_s")["exit"]
    assert one(lines, "timings", "batch of 12 stills, gauss", "images_per_s")["stills"] == 12
    assert one(lines, "lifetimes", "held images", "images")["distinct"] == 30
    assert one(lines, "lifetimes", "fast32", "renderers")["renderers"] == 60
    costs = {line["kernel"]: line for line in lines if line["step"] == "launch cost"}
    assert set(costs) == {"empty", "fast32", "fixed", "fast64", "general", "spots"} and costs["fast32"]["of_empty"] > 0
    compiled, fetched = (one(lines, "compile", "fast32", name)[name] for name in ("compiled_s", "fetched_s"))
    assert compiled > 0 and fetched > 0
    assert one(lines, "variants", "general, 2 blocks", "kernel_s")["kernel"] == "general"
    for step in ("ncu", "sanitizer"):
        assert "was not found" in one(lines, step, "missing", "error")["error"]
    assert len(list((tmp_path / "out").iterdir())) == 1


def recorded(folder: Path, step: Any, deadline: Deadline | None = None) -> tuple[list[dict[str, Any]], Recorder]:
    """Lines that a step writes."""
    deadline = deadline or Deadline()
    recorder = Recorder(folder / "r.jsonl", deadline)
    StepRun(step, Setting(scratch=str(folder)), deadline, recorder).run()
    file = folder / "r.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else [], recorder


def test_what_dies_or_hangs_costs_its_own_case_only(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")  # the worker looks whether its device is well after an exception
    lines, recorder = recorded(tmp_path, make_step(*BEHAVIOURS, limit=2.0))
    assert [line["case"] for line in lines if "value" in line] == list(BEHAVIOURS)
    told = {line["case"]: line["error"] for line in lines if "error" in line}
    assert told == {
        "raises": "ValueError: out of luck",
        "dies": "the process was ended by SIGSEGV",
        "leaves": "the process ended with exit status 7",
        "hangs": "the process gave no result within 2 s",
    }
    assert recorder.errors == [f"odd: {case}" for case in told]
    assert one(lines, "odd", "leaves", "error")["stderr"] == "a last word"
    assert any("cases.py" in place for place in one(lines, "odd", "raises", "error")["where"])
    assert one(lines, "odd", "works again", "value")["value"] == "nan", "no number of JSON"
    pids = {line["case"]: line["pid"] for line in lines if "pid" in line}
    assert len(set(pids.values())) >= 4, "a new process after each that is lost"
    assert pids["works"] == pids["raises"] and pids["prints"] == pids["works again"]
    assert not any(is_running(pid) for pid in pids.values())


def test_a_fresh_step_has_a_process_for_each_case(tmp_path) -> None:
    lines, _ = recorded(tmp_path, make_step("works", "works again", fresh=True))
    assert len({line["pid"] for line in lines}) == 2


def test_cases_for_which_no_time_is_left_are_named(tmp_path) -> None:
    lines, _ = recorded(tmp_path, make_step("works", "works again"), Deadline(0.2))
    assert [line["dropped"] for line in lines] == [["works", "works again"]]


def is_running(pid: int) -> bool:
    """Whether a process is there, and no corpse."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def wait_until(condition: Any, seconds: float = 60) -> None:
    """Wait for something that a process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_measured_is_on_the_disk_when_the_run_is_killed(tmp_path, number) -> None:
    file = tmp_path / "r.jsonl"
    command = [sys.executable, "-m", "tests.bench.cases", str(tmp_path)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: file.exists() and file.read_text().count("\n") == 2)
        child.send_signal(number)
        child.wait(30)
    finally:
        child.kill()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["case"] for line in lines] == ["works", "waits"]
    with contextlib.suppress(ProcessLookupError):
        os.kill(lines[0]["pid"], signal.SIGKILL)  # its case would go on for minutes, with nobody to tell


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(build.missing() == "numba-cuda is not installed", reason="numba-cuda is not installed")
def test_a_run_that_is_stopped_says_so_and_ends_its_processes(tmp_path, number) -> None:
    out = tmp_path / "out"
    words = ["--tiny", "--steps", "parity", "--processes", "1", "--out", str(out)]
    command = [sys.executable, "-m", "bench.gpu", *words]
    pipes: dict[str, Any] = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ | in_simulator(tmp_path), **pipes)
    try:
        wait_until(lambda: out.exists() and any("parity" in file.read_text() for file in out.glob("*.jsonl")))
        workers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        child.send_signal(number)
        assert child.wait(30) == 130
        assert child.stderr is not None and b"Traceback" not in child.stderr.read()
    finally:
        child.kill()
        child.communicate()
    assert lines_of(out)[-1]["ended"] == "stopped"
    assert not any(is_running(int(pid)) for pid in workers)


PAGE = """==PROF== Connected to process 42
"ID","Kernel Name","gpu__time_duration.sum","launch__registers_per_thread","smsp__cycles_elapsed.avg.per_second",\
"smsp__average_warps_issue_stalled_math_pipe_throttle_per_issue_active.ratio",\
"smsp__average_warps_issue_stalled_wait_per_issue_active.ratio"
"","","usecond","register/thread","cycle/nsecond","",""
"0","render_fast","1,234.5","64","1.755","2.5","0.75"
"""


def test_profile_of_nsight_compute_is_read() -> None:
    (row,) = tools.read_profile(PAGE)
    assert row["launch"] == "render_fast" and row["registers"] == 64
    assert row["duration_s"] == pytest.approx(1.2345e-3) and row["clock_Hz"] == pytest.approx(1.755e9)
    assert list(row["stalls"].items()) == [("math_pipe_throttle", 2.5), ("wait", 0.75)]
    assert tools.read_profile("==ERROR== ERR_NVGPUCTRPERM") == []


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("========= ERROR SUMMARY: 0 errors", 0),
        ("========= ERROR SUMMARY: 1 error", 1),
        ("========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)", 3),
        ("========= Target application terminated", None),
    ],
)
def test_reports_of_the_sanitizer_are_counted(text: str, errors: int | None) -> None:
    assert tools.count_errors(f"========= COMPUTE-SANITIZER\n{text}\n") == errors


def test_readable_lines_have_units() -> None:
    line = {"t_s": 1.0, "step": "compile", "case": "fast32", "run": "now", "prepare_s": 0.0021, "clock_Hz": 1.755e9}
    shown = readable(line | {"free_bytes": 3 << 20, "good": False, "images_per_s": 12.5})
    assert shown.endswith("prepare 2.1 ms  clock 1755 MHz  free 3 MiB  NOT good  images per s 12.5")
    assert readable(line | {"error": "out of luck"}).endswith("error: out of luck")


def test_exit_statuses_in_words() -> None:
    assert how_it_ended(-signal.SIGKILL) == "was ended by SIGKILL"
    assert how_it_ended(3) == "ended with exit status 3"
    assert how_it_ended(-99) == "was ended by signal 99"
