"""Faults that ``python -m tests.campaigns.faults`` has found, by name, and a small sample of that campaign.

Those of the cache of compiled kernels are in tests/kernels/test_cache.py.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import llvmlite.binding
import pytest

from nbnumba.cli import interrupt, start
from nbnumba.cli import main as cli_main
from nbnumba.errors import FileError
from nbnumba.io import files
from nbnumba.io.files import atomic_write, together
from nbnumba.render import devices
from tests.campaigns.faults.campaign import campaign
from tests.campaigns.faults.lab import ROOT, Lab

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and resource limits")
RUN = ["run", "-default_F", "1", "-cell", "50"]


def nbnumba(*words: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | how.pop("env", {})
    return subprocess.run(
        [sys.executable, "-m", "nbnumba", *words], env=environment, text=True, timeout=120, check=False, **how
    )


# --- files -------------------------------------------------------------------------------------------------------


@POSIX
def test_a_signal_waits_until_all_files_have_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system hands the signal to any thread, so that masking it in one is not enough."""
    replace, stop = os.replace, threading.Event()

    def interrupted(source: Path, target: Path) -> None:
        replace(source, target)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(files.os, "replace", interrupted)
    idle = threading.Thread(target=stop.wait)
    idle.start()
    try:
        with interrupt.handled():
            with pytest.raises(KeyboardInterrupt), together():
                for name in "abc":
                    with atomic_write(tmp_path / name) as file:
                        file.write(b"new")
            assert interrupt.complete_files() == [tmp_path / name for name in "abc"]
    finally:
        stop.set()
        idle.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_all_or_none_when_a_folder_takes_a_name_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileError, match="b: it is a folder"), together():
        for name in "ab":
            with atomic_write(tmp_path / name) as file:
                file.write(b"new")
        (tmp_path / "b").mkdir()
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_all_or_none_when_a_folder_is_removed_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with pytest.raises(FileError, match=r"the folder .*gone was removed meanwhile"), together():
        for name in ("a", "gone/b"):
            with atomic_write(tmp_path / name) as file:
                file.write(b"new")
        shutil.rmtree(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_block_is_not_blamed_on_its_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="mine") as caught, together():
        with atomic_write(tmp_path / "a"):
            pass
        raise FileNotFoundError("mine")
    assert not isinstance(caught.value, FileError)
    assert list(tmp_path.iterdir()) == []


# --- signals -----------------------------------------------------------------------------------------------------


def test_a_second_signal_does_not_disturb_the_cleaning_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cleaned = []

    def run(_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    monkeypatch.setattr("nbnumba.cli.run.run", run)
    assert cli_main.main(RUN) == 143
    assert cleaned == [True]
    assert capsys.readouterr().err == "\ninterrupted; no file was written\n"


def test_a_signal_while_an_error_is_told_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise FileError("x")

    monkeypatch.setattr("nbnumba.cli.run.run", fail)
    monkeypatch.setattr("nbnumba.cli.failures.fail", lambda *_: signal.raise_signal(signal.SIGTERM))
    assert cli_main.main(RUN) == 143
    assert "interrupted; no file was written" in capsys.readouterr().err


def test_a_signal_that_a_library_turns_into_an_error_is_still_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise SystemError("a callback failed") from None

    monkeypatch.setattr("nbnumba.cli.run.run", run)
    assert cli_main.main(RUN) == 143


@POSIX
def test_a_signal_in_the_middle_of_an_import_waits_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Modules that C code loads lose the exception or print it."""
    (tmp_path / "slow_to_load.py").write_text(
        "import signal, time\nsignal.raise_signal(signal.SIGINT)\ntime.sleep(0.1)\nloaded = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    seen = []

    def run(_: object) -> None:
        module = importlib.import_module("slow_to_load")
        seen.append(module.loaded)
        time.sleep(10)
        seen.append("not stopped")

    monkeypatch.setattr("nbnumba.cli.run.run", run)
    assert cli_main.main(RUN) == 130
    assert seen == [True]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_an_ignored_interrupt_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell starts what it puts into the background like that."""
    monkeypatch.setattr("nbnumba.cli.run.run", lambda _: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert cli_main.main(RUN) == 0
        start.prepare()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@POSIX
def test_ctrl_c_waits_until_llvm_is_left() -> None:
    """In the middle of its bookkeeping objects were freed twice: a traceback, or a crash when the process ended."""
    source = "def close():\n    signal.raise_signal(signal.SIGINT)\n    time.sleep(0.1)\n    left.append(len(interrupt.received))"
    left: list[int] = []
    names: dict[str, Any] = {"signal": signal, "time": time, "interrupt": interrupt, "left": left}
    exec(compile(source, llvmlite.binding.ffi.__file__, "exec"), names)
    with interrupt.handled(), pytest.raises(KeyboardInterrupt):
        names["close"]()
        time.sleep(10)
    assert left == [1], "it was noticed at once, and raised later"


# --- words and streams -------------------------------------------------------------------------------------------


def test_a_line_end_in_a_name_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_main.main(["run", "-mat", f"{tmp_path}/no\nsuch\x1b[1m.mat"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"nbnumba: error: cannot read the matrix file {tmp_path}/no\\nsuch\\x1b[1m.mat: no such file"
    ]


@POSIX
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the Linux device /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])  # what the system refuses when the process ends, and at once
def test_a_full_standard_output_is_told(unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = nbnumba("--version", stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 1
    assert done.stderr == "nbnumba: error: cannot write to the standard output: no space left on the device\n"


@POSIX
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_not_worth_a_word(unbuffered: str) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        done = nbnumba("--version", stdout=gone, env={"PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr) == (1, "")


@POSIX
def test_errors_do_not_go_to_the_output_where_stderr_is_closed() -> None:
    done = nbnumba("runn", preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout) == (2, "")


@POSIX
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the Linux device /dev/full")
def test_the_exit_code_is_right_where_stderr_is_full() -> None:
    with open("/dev/full", "w") as full:
        assert nbnumba("runn", stderr=full).returncode == 2


@POSIX
def test_no_file_takes_the_number_of_a_closed_stream() -> None:
    code = "import os; from nbnumba.cli import start; start.prepare(); print(os.open('.', os.O_RDONLY))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, preexec_fn=lambda: os.close(2), stdout=subprocess.PIPE, check=True
    )
    assert int(done.stdout) > 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("libx.so: failed to map segment from shared object"), "not enough memory, or too many processes"),
        (RuntimeError("can't start new thread"), "not enough memory, or too many processes"),
        (OSError(12, "Cannot allocate memory"), "not enough memory, or too many processes"),
        (RuntimeError("one\ntwo"), "unexpected RuntimeError: one; run again"),
    ],
)
def test_a_failure_of_the_machine_is_one_sentence(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("nbnumba.cli.run.run", fail)
    assert cli_main.main(RUN) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and words in lines[0]


@POSIX
def test_a_working_folder_that_was_removed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(_: object) -> None:
        shutil.rmtree(tmp_path / "here")
        os.getcwd()

    monkeypatch.setattr("nbnumba.cli.run.run", run)
    assert cli_main.main(RUN) == 1
    assert "the folder in which the command was started has been removed" in capsys.readouterr().err


def test_a_linker_that_speaks_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a Latin-1 locale the reason why there is no driver has umlauts that ctypes cannot read."""

    def refuse(name: str) -> None:
        b"Datei oder Verzeichnis nicht ge\xf6ffnet".decode()

    monkeypatch.setattr(devices.ctypes, "CDLL", refuse)
    assert devices._load_driver() is None


@POSIX
def test_a_full_disk_while_the_truth_of_a_series_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 crashed when the process ended, after the one sentence."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # its data would not fit under the limit
    code = (
        "import resource, signal, sys, numpy as np; from pathlib import Path\n"
        "from nbnumba.errors import FileError; from nbnumba.io.hdf5 import new_hdf5\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "try:\n"
        "    with new_hdf5(Path(sys.argv[1])) as file:\n"
        "        file['x'] = np.arange(10000)\n"
        "except FileError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "t.h5")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"cannot write {tmp_path}/t.h5: it grows beyond the file size limit\n"
    assert list(tmp_path.iterdir()) == []


# --- the campaign ------------------------------------------------------------------------------------------------


@POSIX
@pytest.mark.slow
def test_a_sample_of_the_campaign(tmp_path: Path) -> None:
    """Nothing is lost, nothing is left behind, one sentence, the right exit code; ``python -m tests.campaigns.faults`` is more."""
    lab = Lab(tmp_path, allowed=("run", "info"))
    lab.set_up(snapshot=False)
    found = [
        f"{x.kind}, {x.task.name}, {x.note}: {x.problems}" for x in campaign(lab, 12, seed=1, quick=True) if x.problems
    ]
    assert found == []
