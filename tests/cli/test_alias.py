"""The program nanoBragg that ``nbnumba alias`` writes, called as the C program is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from nbnumba.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
CELL = "-cell 50 60 70 90 90 90 -default_F 10 -N 3 -distance 60 -detpixels 8".split()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["alias", "my programs"]) == 0
    said = capsys.readouterr().out
    assert said == f"wrote my programs/nanoBragg; the shell finds it after: export PATH={tmp_path}/my programs:$PATH\n"
    return tmp_path / "my programs" / "nanoBragg"


def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # installed or not
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, env=environment, check=False)


def test_an_example_of_the_reference_runs(program: Path, tmp_path: Path) -> None:
    """With what the C program ignores, and the options of the PyTorch port."""
    (tmp_path / "typing.py").write_text("raise ImportError('a file of the user')\n")
    done = call(program, *CELL, *"-hdiv 0 -vdiv 0 -dispstep 3 -device cpu -dtype float64 -floatfile a.bin".split())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.bin").stat().st_size == 4 * 64
    assert "-hdiv is ignored" in done.stderr and "unknown option -dispstep" in done.stderr
    assert "double precision" in done.stderr and "unknown option -d" not in done.stderr.replace("-dispstep", "")


@pytest.mark.parametrize("word", ["-show_config", "-echo_config"])
def test_the_configuration_is_printed(word: str, program: Path) -> None:
    done = call(program, *CELL, word, "-nonoise")
    assert done.returncode == 0 and json.loads(done.stdout)["configuration"]["run"]["lenient"] is True


def test_without_words_it_shows_the_usage(program: Path) -> None:
    done = call(program)
    assert done.returncode == 0 and "-default_F" in done.stdout


def test_an_error_is_one_sentence(program: Path) -> None:
    done = call(program, "-cell", "50")
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("nbnumba: error: ")


def test_another_program_is_spared(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alias", str(program.parent)]) == 0  # its own it replaces
    program.write_bytes(b"\x7fELF")
    capsys.readouterr()
    assert main(["alias", str(program.parent)]) == 1
    assert "nanoBragg is another program, which is left as it is" in capsys.readouterr().err
    assert program.read_bytes() == b"\x7fELF"


def test_a_folder_that_cannot_be_made(program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alias", str(program / "below")]) == 1
    assert "cannot write" in capsys.readouterr().err
