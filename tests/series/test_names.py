"""What a series calls its files, and files of these names that are not its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbnumba.cli.main import main
from nbnumba.model.outputs import FILES
from nbnumba.series.run import run_series
from nbnumba.series.shots import SERIES_DEFAULTS, series_outputs
from nbnumba.series.truth import read_truth
from tests.series.inputs import series

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
    two = ["--npy", "still.npy", "-noisefile", "noise.img"]
    assert main([*FLAGS, "--out", str(tmp_path / "a"), "--name", "lyso", *two]) == 2
    assert "--name and -noisefile both name" in capsys.readouterr().err, "the image that data processing reads"


def test_a_series_writes_one_image_unless_told() -> None:
    assert list(series_outputs().files) == ["noisefile"]
    assert set(SERIES_DEFAULTS) & set(FILES) == {"floatfile", "intfile", "pgmfile"}


def test_a_series_is_complete_without_the_record_of_a_command(tmp_path: Path) -> None:
    outputs = series_outputs(json=Path("a.json"), npy=Path("a.npy"), truth=Path("a.h5"))
    made = series(images=1, outputs=outputs)
    assert made.shot(1).files == (Path("image_0001.img"), Path("a_0001.npy"), Path("a_0001.h5"))
    assert [run_series(made, tmp_path, workers=1).made for _ in range(2)] == [1, 0]


def test_no_note_is_about_an_image_that_goes_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FLAGS, "--out", str(tmp_path / "npy"), "--npy", "still.npy"]) == 0
    assert "DIALS" not in capsys.readouterr().err
    assert main(["run", *FLAGS[3:], "--smv", "adsc", "--cbf", str(tmp_path / "still.cbf"), *elsewhere(tmp_path)]) == 0
    assert "DIALS needs a number in the names of images: rename still.cbf" in capsys.readouterr().err, (
        "the note is alive"
    )


@pytest.mark.parametrize("name", ["\u5b57a$x^$", "\u00e4", "no\udce4text"])
def test_files_may_be_called_anything(name: str, tmp_path: Path) -> None:
    """A letter that the font lacks (warnings are errors in these tests) in a broken formula, an umlaut, a wrong byte."""
    assert main([*FLAGS, "--out", str(tmp_path), "-noisefile", name + ".img"]) == 0
    assert (tmp_path / f"{name}.png").stat().st_size > 2000
    written = read_truth(tmp_path / f"{name}_truth.h5")["shots"]["file"]
    assert [os.fsdecode(file) for file in written] == [f"{name}_0001.img", f"{name}_0002.img"]
