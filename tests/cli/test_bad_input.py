"""Whatever is wrong: one sentence that names the culprit, a non-zero exit code, and no file written or changed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.main import main
from tests.conftest import GOLDEN

GOOD = "-hkl h.hkl -mat A.mat -lambda 1 -distance 60 -pixel 0.5 -detpixels 24 -N 3 -oversample 1 -nointerpolate -seed 1"
OUTPUTS = ("floatimage.bin", "intimage.img", "image.pgm", "noiseimage.img", "Fdump.bin")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with good inputs and the outputs of an earlier run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "h.hkl").write_bytes((GOLDEN / "inputs" / "tri.hkl").read_bytes())
    (tmp_path / "A.mat").write_bytes((GOLDEN / "inputs" / "tri_A.mat").read_bytes())
    (tmp_path / "header.img").write_bytes((GOLDEN / "inputs" / "header.img").read_bytes())
    for name in OUTPUTS:
        (tmp_path / name).write_text(f"old {name}")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def command(line: str) -> list[str]:
    """Words of a command; a leading + adds to the good one, = replaces it."""
    return ["run", *(f"{GOOD} {line[1:]}" if line[0] == "+" else line[1:]).split(), "--quiet"]


CELL = "-cell 40 40 40 90 90 90 -default_F 10 -detpixels 24 -pixel 0.5"
LINES = {
    # files
    "=-hkl none.hkl -mat A.mat": "none.hkl",
    "=-hkl h.hkl -mat none.mat": "none.mat",
    "=-hkl . -mat A.mat": "folder",
    "+-sourcefile none.txt": "none.txt",
    "+-mask none.img": "none.img",
    "+-img A.mat": "A.mat",
    "=-hkl bad_word.hkl -mat A.mat": "line 2",
    "=-hkl short.hkl -mat A.mat": "short.hkl",
    "=-hkl nan.hkl -mat A.mat": "line 1",
    "=-hkl fraction.hkl -mat A.mat": "line 1",
    "=-hkl empty.hkl -mat A.mat": "empty.hkl",
    "=-hkl binary.hkl -mat A.mat": "binary.hkl",
    "=-hkl stray.hkl -mat A.mat": "GiB",
    "=-hkl h.hkl -mat eight.mat": "eight.mat",
    "=-hkl h.hkl -mat word.mat": "word.mat",
    "=-hkl h.hkl -mat singular.mat": "singular",
    "=-hkl h.hkl -mat zero.mat": "singular",
    "=-hkl h.hkl -mat nan.mat": "nan.mat",
    "=-dump truncated.bin -mat A.mat": "truncated.bin",
    "=-dump huge.bin -mat A.mat": "huge.bin",
    "+-img truncated.img": "truncated",
    "+-mask huge.img": "huge.img",
    "+-mask header.img": "pixels",
    "=-mat A.mat -dump none.bin": "-default_F",
    # values
    "+-distance nan": "-distance",
    "+-distance -100": "distance",
    "+-pixel 0": "pixel",
    "+-pixel -1": "pixel",
    "+-lambda 0": "lambda",
    "+-lambda inf": "lambda",
    "+-detpixels 0": "detpixels",
    "+-detpixels -5": "detpixels",
    "+-N -3": "-N",
    "+-fluence -1": "fluence",
    "+-mosaic -1": "mosaic",
    "+-oversample -2": "oversample",
    "+-polar 2": "polar",
    "+-roi 0 99 0 5": "roi",
    "+-roi 9 5 0 5": "roi",
    "+-beam_vector 0 0 0": "beam_vector",
    "+-detector_roty 90": "parallel",
    f"={CELL} -cell 40 40 40 90 90 200": "cell",
    f"={CELL} -cell 40 40 40 30 30 170": "cell",
    f"={CELL} -cell 0 40 40": "cell",
    "=-detpixels 10": "-mat",
    "+-detpixels 900000": "GiB",
    # the command itself
    "+-hdivr 2": "-hdivrange",
    "+-distanc 2": "-distance",
    "+-distance": "-distance",
    "+-distance far": "far",
    "+stray": "stray",
    "+--precision single": "precision",
    "+--physics quantum": "physics",
    "+--device cuda:99": "cuda",
    "+--device tpu": "tpu",
    "+--threads 0": "threads",
    "+--threads 9999": "threads",
    # outputs
    "+-floatfile nowhere/f.bin": "nowhere",
    "+-intfile A.mat/i.img": "A.mat",
    "+-noisefile .": ".",
    "+--preview nowhere/p.png": "nowhere",
    "+--json nowhere/r.json": "nowhere",
    "+-floatfile same.bin -intfile same.bin": "same.bin",
}


def write_bad_files(folder: Path) -> None:
    """The files that LINES name."""
    texts = {
        "bad_word.hkl": "1 2 3 4.0\n1 2 x 4.0\n",
        "short.hkl": "1 2 3 4\n1 2\n",
        "nan.hkl": "1 2 3 nan\n",
        "fraction.hkl": "1.5 2 3 4\n",
        "empty.hkl": "# nothing\n",
        "stray.hkl": "0 0 0 1\n99999 99999 99999 1\n",
        "eight.mat": "1 0 0\n0 1 0\n0 0\n",
        "word.mat": "1 0 0\n0 one 0\n0 0 1\n",
        "singular.mat": "1 2 3\n2 4 6\n1 1 1\n",
        "zero.mat": "0 0 0\n0 0 0\n0 0 0\n",
        "nan.mat": "1 0 0\n0 nan 0\n0 0 1\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "binary.hkl").write_bytes(bytes(range(256)))
    (folder / "truncated.bin").write_bytes((GOLDEN / "inputs" / "sparse_Fdump.bin").read_bytes()[:-100])
    (folder / "huge.bin").write_bytes(b"-99999 99999 -99999 99999 -99999 99999\n\f" + b"\0" * 100)
    header = (folder / "header.img").read_bytes()
    (folder / "truncated.img").write_bytes(header[:3000])
    (folder / "huge.img").write_bytes(
        header.replace(b"SIZE1=96;", b"SIZE1=99999;").replace(b"SIZE2=72;", b"SIZE2=99999;")
    )


@pytest.mark.parametrize("line", LINES)
def test_one_sentence_and_nothing_written(folder, capsys, line):
    write_bad_files(folder)
    before = contents(folder)
    code = main(command(line))
    words = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("warning: ")]
    assert code in (1, 2)
    assert len(words) == 1 and words[0].startswith("nbnumba: error: ") and "unexpected" not in words[0], words
    assert LINES[line] in words[0]
    assert contents(folder) == before


def test_good_command_is_good(folder):
    """The command that the lines above spoil."""
    assert main(command("+-adc 40")) == 0
    for name in OUTPUTS:
        assert (folder / name).read_bytes() != f"old {name}".encode()
    assert {p.name for p in folder.iterdir()} == {"h.hkl", "A.mat", "header.img", *OUTPUTS}


def shell(folder: Path, *words: str, **more) -> subprocess.CompletedProcess:
    """The command as a user runs it."""
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, "-m", "nbnumba", *words], cwd=folder, env=environment, capture_output=True, text=True, **more
    )


def test_full_disk(folder, monkeypatch):
    """A limit on file size stands for a full disk: no output takes its name."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # its data would not fit under the limit
    before = contents(folder)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    # kernels are compiled before the limit holds, their cache is larger
    assert (
        shell(folder, *command("+-floatfile warm.bin -intfile warm.img -nopgm -nonoise -dump warm.dump")).returncode
        == 0
    )
    for name in ("warm.bin", "warm.img", "warm.dump"):
        (folder / name).unlink()
    done = shell(folder, *command("+"), preexec_fn=limit)
    assert done.returncode == 1
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr
    assert contents(folder) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_leaves_the_old_files(folder, number, code):
    """Stopped while rendering: one line, the code of the signal, everything as it was."""
    before = contents(folder)
    root = Path(__file__).resolve().parents[2]
    words = command("+-detpixels 700 -phisteps 400 -osc 1 --precision double")
    process = subprocess.Popen(
        [sys.executable, "-m", "nbnumba", *words[:-1]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("region:"):  # the last line before the rendering
            break
    time.sleep(0.5)
    process.send_signal(number)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == code
    assert "interrupted; no file was written" in rest and "Traceback" not in rest
    assert contents(folder) == before


def test_two_runs_in_one_folder_share_the_dump(folder):
    """Both end well, and the dump is whole whoever was last."""
    root = Path(__file__).resolve().parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "nbnumba", *command(f"+-floatfile {i}.bin -intfile {i}.img -nopgm -nonoise")],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        for i in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert (folder / "0.bin").read_bytes() == (folder / "1.bin").read_bytes()
    assert main(["run", "-mat", "A.mat", *GOOD.split()[4:], "-floatfile", "2.bin", "--quiet"]) == 0
    assert (folder / "2.bin").read_bytes() == (folder / "0.bin").read_bytes()


def test_too_bright_for_float32_is_said(folder, capsys):
    assert main(command("+-fluence 1e80")) == 0
    assert "too bright" in capsys.readouterr().err
    assert not np.isnan(np.fromfile(folder / "floatimage.bin", "<f4")).any()
