"""Whole runs of ``nbnumba run``: files and record, failures, signals, and the bar of a terminal."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nbnumba
from nbnumba.cli import main as cli_main
from tests.terminal import ROOT, shell, shown_on_terminal

CELL = ("-cell", "50")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 1, "not enough memory for this image; fewer pixels need less of it"),
        (RuntimeError("boom"), 1, "unexpected RuntimeError: boom; run again with --debug to see where"),
        (FileNotFoundError(2, "No such file or directory", "x.y"), 1, "No such file or directory: x.y"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
        (KeyboardInterrupt(), 130, "interrupted; no file was written"),
    ],
)
def test_failures_inside_a_command(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("nbnumba.cli.run.run", fail)
    for stream in ("stdout", "stderr"):  # Typer replaces them when a pipe is broken
        monkeypatch.setattr(sys, stream, getattr(sys, stream))
    assert cli_main.main(["run", *CELL]) == code
    stderr = capsys.readouterr().err
    assert message in stderr and "Traceback" not in stderr


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("nbnumba.cli.run.run", fail)
    assert cli_main.main(["run", *CELL, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("nbnumba.cli.run.run", lambda _: signal.raise_signal(number))
    handler = signal.getsignal(number)
    assert cli_main.main(["run", *CELL]) == code
    assert "interrupted; no file was written" in capsys.readouterr().err
    assert signal.getsignal(number) is handler


def test_an_interrupt_after_the_files_names_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nbnumba.cli import interrupt

    def late(invocation: object) -> None:
        interrupt.completed.append(Path("floatimage.bin"))
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("nbnumba.cli.run.run", late)
    assert cli_main.main(["run", "-default_F", "1", "-cell", "50"]) == 130
    assert "complete files: floatimage.bin" in capsys.readouterr().err


def test_a_signal_lost_in_a_callback_stops_the_run_at_the_next_band() -> None:
    from nbnumba.cli import interrupt
    from nbnumba.cli.run import progress_bar

    with interrupt.handled(), progress_bar(True) as progress:
        progress(0.1)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            progress(0.2)


SMALL = ("-cell", "30", "40", "50", "-default_F", "100", "-N", "3", "-detpixels", "16", "-pixel", "1")
SMALL = (*SMALL, "-oversample", "1", "-nopgm", "--device", "cpu")


def test_a_run_writes_its_files_and_its_record(tmp_path: Path) -> None:
    result = shell("run", *SMALL, "-misset", "random", "--json", "run.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {
        "floatimage.bin",
        "intimage.img",
        "noiseimage.img",
        "run.json",
    }
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["version"] == nbnumba.__version__ and record["device"] == "cpu"
    assert record["facts"]["fpixels"] == 16 and math.isfinite(record["statistics"]["mean"])
    assert "16 x 16 pixels" in result.stderr and "wrote" in result.stderr
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".json"}
    again = shell(*record["command"][1:], "--quiet", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".json"}


def test_a_dark_image_is_remarked_upon(tmp_path: Path) -> None:
    (tmp_path / "far.hkl").write_text("40 40 40 100\n")
    words = ("run", *SMALL[:4], "-hkl", "far.hkl", *SMALL[6:], "--quiet")
    dark, lit = shell(*words, cwd=tmp_path), shell(*words, "-default_F", "1", cwd=tmp_path)
    assert dark.returncode == lit.returncode == 0, dark.stderr + lit.stderr
    assert "warning: every pixel is 0" in dark.stderr and "every pixel" not in lit.stderr


def test_dry_run_prints_the_facts_and_writes_nothing(tmp_path: Path) -> None:
    result = shell("run", *SMALL, "--dry-run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "3 x 3 x 3 cells, parallelepiped" in result.stderr and "(30 40 50 90 90 90)" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_stops_before_the_work(tmp_path: Path) -> None:
    result = shell("run", *SMALL, "--json", "no/run.json", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.endswith("nbnumba: error: cannot write no/run.json: the folder no does not exist\n")
    assert not list(tmp_path.iterdir())


ENDLESS = """
import os, signal, sys, threading
from nbnumba.cli.main import main
from nbnumba.render.cpu.backend import CpuRenderer

render = CpuRenderer.render

def interrupted(self, *arguments):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.{name})).start()
    return render(self, *arguments)

CpuRenderer.render = interrupted
sys.exit(main())
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("shape", ["-square_xtal", "-gauss_xtal"])
def test_a_pixel_that_would_take_years_is_remarked_upon_and_can_be_stopped(
    name: str, code: int, shape: str, tmp_path: Path
) -> None:
    words = ["run", "-cell", "50", "-default_F", "10", "-N", "1e9", shape, "-detpixels", "8", "--device", "cpu"]
    child = subprocess.run(
        [sys.executable, "-c", ENDLESS.format(name=name), *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == code, child.stderr
    assert child.stderr.endswith("interrupted; no file was written\n")
    assert re.search(r"all pixels together have 1\.\de\+\d\d steps, some .* hours for 16 cores", child.stderr)
    assert not list(tmp_path.iterdir())


TINY = "-cell 50 60 70 -default_F 10 -N 5 -detpixels 16 -distance 50 -oversample 1 -nonoise --device cpu".split()


def test_a_bar_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    shown = shown_on_terminal("run", *TINY, cwd=tmp_path)
    assert "rendering" in shown and "100%" in shown
    assert "100%" not in shown_on_terminal("run", *TINY, "-noprogress", cwd=tmp_path)
    assert "100%" not in shell("run", *TINY, cwd=tmp_path).stderr


def test_the_short_way_and_typers_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain run goes past Typer, for speed."""
    files = []
    for name in ("short", "typer"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "short":
            assert cli_main.main(["run", *TINY, "--quiet"]) == 0
        else:
            cli_main.app(args=["run", *TINY, "--quiet"], prog_name="nbnumba", standalone_mode=False)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert files[0] == files[1] and "floatimage.bin" in files[0]


def test_what_gets_lost_is_told_unless_it_is_the_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    """Python reports what is raised where nobody can catch it; an interrupt is noticed later."""
    from nbnumba.cli import interrupt

    told: list[BaseException | None] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda lost: told.append(lost.exc_value)
    try:
        with interrupt.handled():
            for error in (KeyboardInterrupt(), ZeroDivisionError("of a callback")):

                class Lost:
                    def __del__(self, error: BaseException = error) -> None:
                        raise error

                Lost()
    finally:
        sys.unraisablehook = hook
    assert [str(error) for error in told] == ["of a callback"]


def test_a_dry_run_records_the_configuration(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every field, defaults included, and the facts; no other file is written."""
    monkeypatch.chdir(tmp_path)
    words = [
        *CELL,
        "-default_F",
        "1",
        "-detpixels",
        "8",
        "-osc",
        "1",
        "-misset",
        "random",
        "--physics",
        "released",
        "--json",
        "run.json",
    ]
    assert cli_main.main(["run", *words, "--dry-run"]) == 0
    assert "nothing was simulated" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    found = json.loads(Path("run.json").read_text())
    assert found["version"] == nbnumba.__version__ and "commit" in found
    parts = found["configuration"]
    assert parts["detector"]["fpixels"] == 8 and parts["beam"]["fluence"] == nbnumba.Beam().fluence
    assert parts["outputs"]["floatfile"] == "floatimage.bin" and parts["run"]["device"] == "auto"
    assert found["facts"]["phisteps"] == 2 and found["facts"]["odd_rules"][0] == "stale_cell"
    # the command gives the same crystal again
    first = found["facts"]["a_vector_A"]
    assert cli_main.main(found["command"][1:]) == 0
    assert json.loads(Path("run.json").read_text())["facts"]["a_vector_A"] == first


def test_a_mask_is_recorded_by_its_shape(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    header = b"{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=8;\nSIZE2=6;\n}\n"
    Path("mask.img").write_bytes(header.ljust(512) + b"\1\0" * 48)
    assert cli_main.main(["run", *CELL, "-default_F", "1", "-mask", "mask.img", "--json", "run.json", "--dry-run"]) == 0
    assert json.loads(Path("run.json").read_text())["configuration"]["mask"] == "uint16 array of 6 x 8"


def test_show_config_prints_the_configuration_and_simulates(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli_main.main(["run", *CELL, "-default_F", "1", "-detpixels", "8", "--show-config", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["configuration"]["detector"]["spixels"] == 8
    assert Path("floatimage.bin").stat().st_size == 4 * 64
