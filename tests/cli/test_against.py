"""Another program's image with ours, run side by side."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from pathlib import Path

import pytest

from nbnumba.cli.against import both_know, for_ours, run_both
from nbnumba.cli.main import main
from nbnumba.errors import ConfigError, FileError
from tests.compare_inputs import FLAGS
from tests.conftest import GOLDEN

ROOT = Path(__file__).resolve().parents[2]


def stand_in(folder: Path, body: str, name: str = "simulator") -> Path:
    """An executable Python script."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport os, sys, pathlib\nargs = sys.argv[1:]\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


#: nbnumba itself, as another program: with a flag of its own where the test wants a difference.
OURS = (
    f"sys.path.insert(0, {str(ROOT)!r})\n"
    "from nbnumba.cli.main import main\n"
    "assert os.listdir('.') == ['log.txt'], os.listdir('.')\n"
    "print('hello')\n"
    "sys.exit(main(['run', *args, '-q', *MORE]))"
)


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    return tmp_path


def test_against_a_program_that_agrees(clean: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("NB_C_BIN", str(stand_in(clean, "MORE = []\n" + OURS)))
    (clean / "Fdump.bin").write_bytes(b"stale")
    for words in (["--against", "--"], ["--"]):
        assert main(["compare", "--out", "out", "--keep", *words, *FLAGS, "-nonoise"]) == 0
        out = capsys.readouterr().out
        assert "the images are identical" in out and "time of A" in out and "time of B" in out
    content = json.loads((clean / "out" / "metrics.json").read_text())
    assert content["passed"] and content["seconds"]["A"] > 0 and content["flags"] == [*FLAGS, "-nonoise"]
    assert sorted(path.name for path in (clean / "out").iterdir()) == [
        "comparison.png",
        "metrics.json",
        "nbnumba.bin",
        "nbnumba.log",
        "other.bin",
        "other.log",
    ]
    assert "hello" in (clean / "out" / "other.log").read_text()
    # nothing else was written where the user stands
    assert sorted(path.name for path in clean.iterdir()) == ["Fdump.bin", "out", "simulator"]
    assert (clean / "Fdump.bin").read_bytes() == b"stale"


def test_against_a_program_that_differs(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = stand_in(clean, "MORE = ['-fluence', '1e28']\n" + OURS)
    words = [*FLAGS, "-fluence", "2e28", "-osc", "1", "-phisteps", "2"]
    assert main(["compare", "--against", str(program), "--no-picture", "--", *words]) == 1
    out = capsys.readouterr().out
    assert "B is A times 2" in out


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit('no licence')", "fails with exit code 1: no licence"),
        ("print('done')", "wrote no float image; it printed last: done"),
        ("pathlib.Path(args[args.index('-floatfile') + 1]).write_bytes(b'1234')", "has 4 bytes"),
        ("os.kill(os.getpid(), 9)", "fails with exit code -9: nothing"),
    ],
)
def test_against_a_program_that_fails(clean: Path, capsys, body: str, message: str) -> None:
    program = stand_in(clean, body)
    assert main(["compare", "--against", str(program), "--", *FLAGS]) == 1
    assert re.fullmatch(rf"nbnumba: error: .*{re.escape(message)}.*\n", capsys.readouterr().err)
    assert not (clean / "metrics.json").exists()


def test_against_with_flags_that_ours_refuses(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = stand_in(clean, "sys.exit('must not run')")
    assert main(["compare", "--against", str(program), "--", *FLAGS, "-hdivr", "3"]) == 1
    assert "unknown option -hdivr" in capsys.readouterr().err


def test_against_a_file_that_is_no_program(clean: Path) -> None:
    program = clean / "simulator"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    with pytest.raises(FileError, match="cannot run"):
        run_both(str(program), FLAGS)
    with pytest.raises(ConfigError, match="cannot be run"):
        run_both(str(clean), FLAGS)


def test_flags_for_clean_folders(clean: Path) -> None:
    here = os.getcwd()
    words = ["-hkl", "P1.hkl", "-matrix", "A.mat", "-floatfile", "x.bin", "-nonoise", "-dump", "d.bin", "-cell", "-5"]
    words += ["--precision", "double", "--json=x.json", "--preview", "x.png", "-noisefile", "n.img", "--device=cpu"]
    words += ["-trace_pixel", "1", "2", "-scale", "3", "-mask", "/m.img", "-misset", "-1", "2", "3"]
    kept = ["-hkl", f"{here}/P1.hkl", "-matrix", f"{here}/A.mat", "-cell", "-5"]
    tail = ["-scale", "3", "-mask", "/m.img", "-misset", "-1", "2", "3"]
    assert both_know(words) == [*kept, *tail]
    assert for_ours(words) == [*kept, "--precision", "double", "--device", "cpu", *tail]
    # without -hkl the dump is read
    assert both_know(["-dump", "d.bin"]) == ["-dump", f"{here}/d.bin"]


REFERENCE = os.environ.get("NB_C_BIN")


@pytest.mark.golden
@pytest.mark.skipif(REFERENCE is None, reason="NB_C_BIN names no build of the reference program")
def test_against_the_reference_program(clean: Path) -> None:
    assert REFERENCE is not None
    shutil.copytree(GOLDEN / "inputs", clean / "inputs")
    words = [
        "-hkl",
        "inputs/hex.hkl",
        "-cell",
        "52.4",
        "52.4",
        "38.7",
        "90",
        "90",
        "120",
        "-N",
        "5",
        "-detpixels",
        "64",
    ]
    assert main(["compare", "--against", REFERENCE, "--max-rel", "2e-6", "--no-picture", "--", *words]) == 0


def test_a_second_program_takes_our_place(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named as a command with arguments of its own; flags that only nbnumba has go to neither."""
    one = stand_in(clean, "MORE = []\n" + OURS, "one")
    two = stand_in(
        clean, "assert args.pop(0) == 'render' and '--device' not in args\nMORE = ['-fluence', '1e28']\n" + OURS, "two"
    )
    words = ["compare", "--c-bin", str(one), "--py-bin", f"{two} render", "--keep", "--out", "out", "--no-picture"]
    assert main([*words, "--", *FLAGS, "-fluence", "2e28", "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    assert "B is A times 0.5" in out and f"{two} render" in out and "rendering" not in out
    content = json.loads((clean / "out" / "metrics.json").read_text())
    assert content["py_bin"] == f"{two} render" and content["seconds"]["B_phases"] is None and content["kernel"] is None
    assert {path.name for path in (clean / "out").iterdir()} >= {"other.bin", "second.bin", "second.log"}


def test_flags_of_a_preset_go_to_both(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = stand_in(clean, "MORE = []\n" + OURS)
    (clean / "flags.txt").write_text(" ".join(FLAGS))
    assert main(["compare", "--against", str(program), "--no-picture", "--", "@flags.txt"]) == 0
    assert "identical" in capsys.readouterr().out


def test_hkl_of_peaks_are_limited(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a program whose spots lie half a pixel away; the limits on pixels would let it pass."""
    spots = [*FLAGS[:-2], "-gauss_xtal", "-N", "3", "-oversample", "3", "-detpixels", "32"]
    program = stand_in(clean, "MORE = ['-Xbeam', '4.95']\n" + OURS)
    (clean / "F.hkl").write_text("1 2 3 100\n")
    spots += ["-hkl", "F.hkl"]  # a name below the user's folder
    words = ["compare", "--against", str(program), "--out", "out", "--no-picture"]
    loose = ["--min-correlation", "-1", "--sum-ratio", "0.1:10", "--max-rel", "1", "--max-peak-distance", "3"]
    assert main([*words, *loose, "--", *spots, "-Xbeam", "4.8"]) == 1
    assert "fails: hkl of matched peaks differ by " in capsys.readouterr().out
    content = json.loads((clean / "out" / "metrics.json").read_text())
    assert len(content["failures"]) == 1 and len(content["index_shift"]) == 3
    assert main([*words, *loose, "--max-dhkl", "10", "--", *spots, "-Xbeam", "4.8"]) == 0
