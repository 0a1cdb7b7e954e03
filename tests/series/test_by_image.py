"""Models that change along a scan: each image of a series has those of ``nbnumba run --geometry-image``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nbnumba.cli.build import build
from nbnumba.cli.main import main
from nbnumba.cli.parse import parse
from nbnumba.cli.series_flags import parse_series
from nbnumba.cli.series_geometry import changes_by_image
from nbnumba.errors import ConfigError
from nbnumba.io.geometry import rotation
from nbnumba.model.experiment import resolve
from nbnumba.series.folder import description
from nbnumba.series.shots import Changes, Series
from tests.geometry_inputs import WAVELENGTH, an_experiment, direct_vectors
from tests.series.inputs import series

FLAGS = "-default_F 100 -N 3 -oversample 1 -phisteps 1 --device cpu -q"
IMAGES = 4
SCAN = {"image_range": [3, 2 + IMAGES], "oscillation": [10.0, 0.5]}
AXIS = (0.3, -1, 0.5)
A = np.linalg.inv(direct_vectors())
S0 = np.array([0.0, 0.0, -1.0]) / WAVELENGTH


def turned(degrees: float) -> np.ndarray:
    return rotation(AXIS, degrees)


def at_points(value: Any) -> list[list[float]]:
    """Values at the start of each image and at the end of the last; ``value``: of the number of a point."""
    return [np.ravel(value(number)).tolist() for number in range(IMAGES + 1)]


CRYSTAL = {"A_at_scan_points": at_points(lambda n: turned(0.7 * n) @ A)}
CELL = {"A_at_scan_points": at_points(lambda n: A * (1 + 0.002 * n))}
BEAM = {"s0_at_scan_points": at_points(lambda n: rotation((0, 1, 0), 0.02 * n) @ S0)}
LENGTH = {"s0_at_scan_points": at_points(lambda n: S0 / (1 + 0.001 * n))}
SETTING = {"setting_rotation_at_scan_points": at_points(lambda n: turned(0.05 * n))}
#: What changes: models of the file, and what differs then between images.
VARYING: dict[str, tuple[dict[str, dict[str, Any]], set[str]]] = {
    "orientation": ({"crystal": CRYSTAL}, {"crystal.A_matrix"}),
    "cell": ({"crystal": CELL}, {"crystal.A_matrix"}),
    "beam": ({"beam": BEAM}, {"detector.beam_vector", "detector.polar_vector"}),
    "wavelength": ({"beam": LENGTH}, {"beam.wavelength_A", "crystal.A_matrix"}),
    "goniometer": ({"goniometer": SETTING}, {"detector.spindle_axis", "crystal.A_matrix"}),
    "all": (
        {"crystal": CRYSTAL, "beam": BEAM, "goniometer": SETTING},
        {"crystal.A_matrix", "detector.beam_vector", "detector.polar_vector", "detector.spindle_axis"},
    ),
}


def write(path: Path, **models: dict[str, Any]) -> Path:
    content = an_experiment(scan=SCAN)
    for kind, more in models.items():
        content[kind][0].update(more)
    path.write_text(json.dumps(content))
    return path


def changes(words: str) -> tuple[Changes, ...]:
    request = parse_series(f"{words} {FLAGS}".split())
    return changes_by_image(request, build(request.invocation)[0])


def shots(words: str) -> Series:
    request = parse_series(f"{words} {FLAGS}".split())
    simulation, _, _ = build(request.invocation)
    return series(simulation=simulation, images=request.images, by_image=changes_by_image(request, simulation))


@pytest.mark.parametrize("name", VARYING)
def test_each_image_is_that_of_a_run(name: str, tmp_path: Path) -> None:
    models, expected = VARYING[name]
    path = write(tmp_path / "a.expt", **models)
    made = shots(f"--images {IMAGES} --geometry {path}")
    assert {key for one in made.by_image for key, _ in one} == expected
    for number in range(1, IMAGES + 1):
        alone, _, _ = build(parse(f"--geometry {path} --geometry-image {number + 2} {FLAGS}".split()))
        shot = made.shot(number).simulation
        assert (shot.crystal, shot.beam, shot.detector) == (alone.crystal, alone.beam, alone.detector)
        assert shot.scan.phi_deg == pytest.approx(alone.scan.phi_deg)
    different = {repr(made.shot(number).simulation.changed(scan=alone.scan)) for number in range(1, IMAGES + 1)}
    assert len(different) == IMAGES


@pytest.mark.parametrize("name", ["orientation", "all"])
def test_truth_and_models_have_the_crystal_of_each_image(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_note = "a.nxs has beam and spindle of the first image: those of each are in its own file"
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.expt", **VARYING[name][0])
    command = f"series --images {IMAGES} --geometry {path} {FLAGS} --out s --nexus a.nxs --no-contact-sheet --workers 1 -seed 1"
    assert main(command.split()) == 0
    with h5py.File("s/a_truth.h5") as file:
        found = file["shots/reciprocal"][()]
    for number, rows in enumerate(found):
        # by definition, in the middle of the image, and with the goniometer's setting in it at spindle 0
        setting = turned(0.05 * (number + 0.5)) if name == "all" else np.eye(3)
        assert pytest.approx(setting @ turned(0.7 * (number + 0.5)) @ A, abs=2e-9) == rows.T
    models = json.loads(Path("s/a.expt").read_text())
    assert len(models["experiment"]) == len(models["crystal"]) == IMAGES
    assert [scan["image_range"] for scan in models["scan"]] == [[n, n] for n in range(1, IMAGES + 1)]
    assert [scan["oscillation"] for scan in models["scan"]] == [
        pytest.approx([10 + 0.5 * n, 0.5]) for n in range(IMAGES)
    ]
    # the written models, read again, are the crystals of the images in the frame of their files
    for number, model in enumerate(models["crystal"]):
        direct = np.array([model[f"real_space_{axis}"] for axis in "abc"])
        assert np.linalg.norm(direct, axis=1) == pytest.approx(np.linalg.norm(np.linalg.inv(found[number].T), axis=1))
    assert main(command.split()) == 0, "the same command continues"
    assert (folder_note in capsys.readouterr().err) == (name == "all")


def test_another_file_is_another_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.expt", crystal=CRYSTAL)
    command = f"series --images {IMAGES} --geometry {path} {FLAGS} --out s --no-contact-sheet --workers 1 -seed 1"
    assert main(command.split()) == 0
    varied = {"A_at_scan_points": [CRYSTAL["A_at_scan_points"][0], *at_points(lambda n: turned(0.5) @ A)[1:]]}
    write(tmp_path / "a.expt", crystal=varied)
    assert main(command.split()) == 1
    assert "holds another series: by_image was" in capsys.readouterr().err


def test_a_series_may_begin_inside_the_scan(tmp_path: Path) -> None:
    path = write(tmp_path / "a.expt", crystal=CRYSTAL)
    whole, later = (
        shots(f"--images {IMAGES} --geometry {path}"),
        shots(f"--images 2 --geometry {path} --geometry-image 5"),
    )
    assert [later.shot(n).simulation for n in (1, 2)] == [whole.shot(n).simulation for n in (3, 4)]


def test_more_images_than_the_scan_has_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.expt", crystal=CRYSTAL)
    with pytest.raises(
        ConfigError, match=r"a\.expt the crystal changes from image to image, 3 to 6: give --images 4 or fewer$"
    ):
        changes(f"--images 5 --geometry {path}")
    with pytest.raises(ConfigError, match=r"give --images 2 or fewer after --geometry-image 5"):
        changes(f"--images 3 --geometry {path} --geometry-image 5")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--images 4 -osc 1", "those of image 3 are taken throughout, as -phi or -osc make other images"),
        ("--images 4 -phi 20", "those of image 3 are taken throughout, as -phi or -osc make other images"),
        ("--stills 4 --orientations fixed", "those of image 3 are taken throughout, as stills are no scan"),
    ],
)
def test_what_cannot_be_followed_is_said(
    words: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    monkeypatch.setattr(logging.getLogger("nbnumba"), "propagate", True)
    path = write(tmp_path / "a.expt", crystal=CRYSTAL)
    assert changes(f"{words} --geometry {path}") == ()
    (message,) = {record.getMessage() for record in caplog.records}
    assert message.startswith(f"in {path} the crystal changes from image to image: {reason}")


def test_flags_stand_above_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.expt", crystal=CRYSTAL)
    (tmp_path / "A.mat").write_text("0.012 0.001 0\n-0.001 0.012 0\n0 0 0.026\n")
    assert changes(f"--images 4 --geometry {path} -mat {tmp_path / 'A.mat'}") == ()
    own = shots(f"--images 4 --geometry {path} -cell 30 40 50 80 90 100")
    for number in (1, 4):
        cell = resolve(own.shot(number).simulation).crystal.unit_cell
        assert cell == pytest.approx((30, 40, 50, 80, 90, 100))


def test_models_that_do_not_change_are_no_news(tmp_path: Path) -> None:
    path = write(tmp_path / "a.expt")
    made = shots(f"--images 40 --geometry {path}")  # beyond the scan, as one crystal turns on
    assert made.by_image == () and "by_image" not in description(made)
    same = write(tmp_path / "b.expt", crystal={"A_at_scan_points": at_points(lambda n: A)})
    assert changes(f"--images 40 --geometry {same}") == ()


def test_one_item_for_each_image() -> None:
    with pytest.raises(
        ConfigError, match="by_image must be empty, or fields and values for each image of a rotation series"
    ):
        series(images=3, by_image=((),))
    with pytest.raises(ConfigError, match="by_image must be empty"):
        series(images=1, kind="stills", by_image=((),))
