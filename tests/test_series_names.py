"""What a series calls its files, files of these names that are not its own, and misspelt options."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nbnumba.cli.bench_flags import parse_bench
from nbnumba.cli.main import main
from nbnumba.cli.series_flags import parse_series
from nbnumba.cli.trace_flags import parse_trace
from nbnumba.errors import UsageError
from nbnumba.series.truth import read_truth

FLAGS = """series --stills 2 -cell 40 50 60 -N 8 -default_F 100 -distance 60 -detpixels 24 -pixel 0.8 -fluence 1e26
-oversample 1 -seed 7 --device cpu --quiet --physics correct""".split()


def elsewhere(folder: Path) -> list[str]:
    """The reference's files, put into a folder."""
    names = {"-floatfile": "f.bin", "-intfile": "i.img", "-pgmfile": "p.pgm", "-noisefile": "n.img"}
    return [word for flag, name in names.items() for word in (flag, str(folder / name))]


@pytest.mark.parametrize("name", ["image_0002.img", "image.png", "image.expt", "image_truth.h5"])
def test_files_that_no_series_made_are_left_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    assert main([*FLAGS, "--out", str(tmp_path)]) == 1
    assert f"holds {name}, which no series has made there" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_other_files_in_the_folder_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "image.hkl").write_text("1 0 0 5\n")
    assert main([*FLAGS, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "image_0002.img").exists() and (tmp_path / "image.hkl").exists()
    assert main([*FLAGS, "--out", str(tmp_path)]) == 0, "its own files are continued"


def test_two_names_for_the_images_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FLAGS, "--out", str(tmp_path / "a"), "--name", "lyso", "--npy", "still.npy"]) == 2
    assert "--name and --npy both name the images" in capsys.readouterr().err


def test_no_note_is_about_an_image_that_goes_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FLAGS, "--out", str(tmp_path / "npy"), "--npy", "still.npy"]) == 0
    assert "DIALS" not in capsys.readouterr().err
    assert main(["run", *FLAGS[3:], "--smv", "adsc", "--cbf", str(tmp_path / "still.cbf"), *elsewhere(tmp_path)]) == 0
    assert "DIALS wants a number in the names of images: call still.cbf" in capsys.readouterr().err, "the note is alive"


@pytest.mark.parametrize(
    ("read", "line", "word", "meant"),
    [
        (parse_series, "-images 3 -osc 1", "-images", "--images"),
        (parse_series, "--stills 3 --worker 2", "--worker", "--workers"),
        (parse_series, "--stills 3 --orientation fixed", "--orientation", "--orientations"),
        (parse_series, "--stills 3 -hdiv 1", "-hdiv", "-hdivrange"),
        (parse_bench, "-repeat 3", "-repeat", "--repeat"),
        (parse_trace, "3 4 --tabel", "--tabel", "--table"),
    ],
)
def test_options_of_a_command_are_suggested_before_flags(
    read: Callable[[list[str]], object], line: str, word: str, meant: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(line.split())
    assert str(caught.value) == f"unknown option {word}; did you mean {meant}?"


@pytest.mark.parametrize("name", ["\u5b57a$x^$", "\u00e4", "no\udce4text"])
def test_files_may_be_called_anything(name: str, tmp_path: Path) -> None:
    """A letter that the font lacks (warnings are errors in these tests) in a broken formula, an umlaut, a wrong byte."""
    assert main([*FLAGS, "--out", str(tmp_path), "-noisefile", name + ".img"]) == 0
    assert (tmp_path / f"{name}.png").stat().st_size > 2000
    written = read_truth(tmp_path / f"{name}_truth.h5")["shots"]["file"]
    assert [os.fsdecode(file) for file in written] == [f"{name}_0001.img", f"{name}_0002.img"]
