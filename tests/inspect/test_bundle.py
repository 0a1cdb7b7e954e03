"""All evidence about two traces in one folder."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from nbnumba.cli.main import main
from tests.inspect.test_compare_traces import PY_LOG


def test_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two comparisons at once, and a third one later: three folders, each complete, with digests that hold."""
    monkeypatch.chdir(tmp_path)
    flags = "-cell 40 50 60 -default_F 100 -N 5 -distance 80 -detpixels 16 -osc 0.3 -phisteps 3 -q".split()
    assert main(["trace", "5", "7", *flags, "--json", "a.json", "--physics", "released", "--out", "a.log"]) == 0
    assert main(["trace", "5", "7", *flags, "--out", "b.log"]) == 0
    words = ["compare-traces", "a.json", "b.log", "--bundle", "evidence"]
    monkeypatch.setattr("sys.argv", ["nbnumba", *words])
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "mine.txt").write_text("kept")
    for _ in range(3):
        assert main(words) == 1
    said = [
        line.removeprefix("everything is in ") for line in capsys.readouterr().out.splitlines() if "everything" in line
    ]
    folders = [path for path in (tmp_path / "evidence").iterdir() if path.is_dir()]
    assert len(folders) == len(set(said)) == 3 and (tmp_path / "evidence" / "mine.txt").read_text() == "kept"
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        assert names == {
            "A-a.json",
            "B-b.log",
            "A-configuration.json",
            "commands.txt",
            "comparison.csv",
            "comparison.json",
            "comparison.md",
            "comparison.txt",
            "environment.json",
            "SHA256SUMS",
        }
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
        assert len((folder / "SHA256SUMS").read_text().splitlines()) == len(names) - 1
        assert (folder / "B-b.log").read_bytes() == (tmp_path / "b.log").read_bytes()
        around = json.loads((folder / "environment.json").read_text())
        assert around["A"]["device"] == "cpu" and around["A"]["dtype"] in ("float32", "float64") and around["B"] is None
        assert around["comparison"].keys() >= {"versions", "commit", "time", "system"}
        commands = (folder / "commands.txt").read_text()
        assert shlex.join(["nbnumba", *words]) in commands and "nbnumba trace 5 7 -cell 40" in commands
        assert json.loads((folder / "A-configuration.json").read_text())["configuration"]["crystal"]["Na"] == 5


def test_a_bundle_that_cannot_be_written(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text(PY_LOG)
    assert main(["compare-traces", "a.log", "a.log", "--bundle", "a.log"]) == 1
    assert re.fullmatch(r"nbnumba: error: cannot write a folder in a\.log: .*\n", capsys.readouterr().err)
    full = Path("full")
    full.mkdir()
    monkeypatch.setattr("os.rename", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert main(["compare-traces", "a.log", "a.log", "--bundle", "full"]) == 1
    assert not [path for path in full.rglob("*") if path.is_file()], "no half-written folder is left"
