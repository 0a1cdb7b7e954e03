"""Experiment lists that are written, read again by nbnumba, and by dxtbx where it is installed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.geometry import rotation
from nbnumba.model.config import Beam, Crystal, Detector, Panel, Scan, Simulation, StructureFactors
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.frames import MCSTAS, to_imgcif
from nbnumba.model.geometry_files import read_geometry, to_config
from nbnumba.model.outputs import Outputs
from nbnumba.output.expt import write_expt
from nbnumba.render.inputs import orientations
from nbnumba.render.simulate import simulate
from tests.geometry_inputs import an_experiment as a_list
from tests.geometry_inputs import simulation_of, write, write_geom
from tests.io.geometries import DETECTORS, experiment
from tests.io.test_dials import dials_python, run

FACTORS = StructureFactors(default_F=100.0, dump=Path("/nonexistent/none.bin"), interpolate=False)


def a_turned(
    detector: str | Detector = "panels", misset: tuple[float, float, float] = (10.0, -25.0, 70.0), **more: Any
) -> Experiment:
    """An experiment with an oblique cell that stands askew."""
    one = DETECTORS[detector] if isinstance(detector, str) else detector
    if one.beam_vector == (0, 0, 1) and one.polar_vector is None:
        one = replace(one, polar_vector=(0.8, 0.6, 0.0))
    crystal = Crystal(cell=(36.4, 41.7, 47.3, 82.1, 75.4, 68.9), misset_deg=misset, Na=3, Nb=4, Nc=2)
    parts = {"detector": one, "beam": Beam(wavelength_A=0.9768123, kahn_factor=0.9), "scan": Scan()} | more
    return resolve(Simulation(**{"crystal": crystal, "structure_factors": FACTORS, **parts}))


def again(path: Path, index: int | None = None, image: int | None = None) -> Experiment:
    """The experiment that a list describes."""
    return resolve(simulation_of(path, experiment=index, image=image))


def assert_same(found: Experiment, wanted: Experiment, turn: np.ndarray | None = None) -> None:
    """Beam, panels and crystal agree; ``turn``: from the axes of the one to those of the other."""
    turn = np.eye(3) if turn is None else turn
    axes, own = found.detector.frame, wanted.detector.frame
    assert found.simulation.beam.wavelength_A == wanted.simulation.beam.wavelength_A
    assert found.simulation.beam.kahn_factor == pytest.approx(wanted.simulation.beam.kahn_factor, abs=1e-12)
    np.testing.assert_allclose(axes.beam, turn @ own.beam, atol=1e-12)
    np.testing.assert_allclose(np.abs(axes.polar @ turn @ own.polar), 1, atol=1e-12)  # a plane has no sign
    assert len(found.detector.panels) == len(wanted.detector.panels)
    for panel, said in zip(found.detector.panels, wanted.detector.panels, strict=True):
        assert panel.shape == said.shape
        np.testing.assert_allclose(panel.pix0, turn @ said.pix0, rtol=1e-9, atol=1e-12)
        for axis in ("fdet", "sdet"):
            edges = getattr(panel, axis) * panel.pixel_size, turn @ getattr(said, axis) * said.pixel_size
            np.testing.assert_allclose(*edges, atol=1e-9 * said.pixel_size)
    np.testing.assert_allclose(found.crystal.direct, wanted.crystal.direct @ turn.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("detector", ["panels", "stack", "slab", "tilted"])
def test_axes_of_a_file_are_kept(tmp_path: Path, detector: str) -> None:
    wanted = a_turned(detector)
    write_expt(tmp_path / "a.expt", [wanted], ["a.cbf"])
    assert_same(again(tmp_path / "a.expt"), wanted)


@pytest.mark.parametrize("detector", ["MOSFLM", "DENZO", "ADXV", "XDS", "DIALS"])
def test_conventions_become_the_axes_of_their_images(tmp_path: Path, detector: str) -> None:
    wanted = a_turned(detector)
    write_expt(tmp_path / "a.expt", [wanted], ["a.cbf"])
    found = again(tmp_path / "a.expt")
    np.testing.assert_allclose(found.detector.frame.beam, [0, 0, -1], atol=1e-12)
    assert_same(found, wanted, to_imgcif(wanted))


def test_axes_can_be_given(tmp_path: Path) -> None:
    """Those of NeXus and CrystFEL, z along the beam, become those of DIALS."""
    wanted = a_turned("panels")
    write_expt(tmp_path / "a.expt", [wanted], ["a.cbf"], turn=MCSTAS)
    found = again(tmp_path / "a.expt")
    np.testing.assert_allclose(found.detector.frame.beam, [0, 0, -1], atol=1e-12)
    assert_same(found, wanted, MCSTAS)


@pytest.mark.parametrize("name", ["oblique", "not square"])
def test_odd_pixels(tmp_path: Path, name: str) -> None:
    fast, slow = (1.0, 0.1, 0.0), (-0.02, 1.0, 0.3)
    one: dict[str, Any] = {"pix0_mm": (-5.0, -4.0, 80.0), "fpixels": 30, "spixels": 20, "pixel_mm": 0.2}
    panel = (
        Panel(**one, fast_axis=fast, slow_axis=slow)
        if name == "oblique"
        else Panel(**one, fast_axis=(1, 0, 0), slow_axis=(0, 1, 0), slow_pixel_mm=0.25)
    )
    wanted = a_turned(
        detector=Detector(convention="CUSTOM", panels=(panel,), beam_vector=(0, 0, 1), spindle_axis=(1, 0, 0))
    )
    write_expt(tmp_path / "a.expt", [wanted], ["a.cbf"])
    assert_same(again(tmp_path / "a.expt"), wanted)


@pytest.mark.parametrize("start", ["expt", "geom"])
def test_from_file_to_file(tmp_path: Path, start: str) -> None:
    """A list that is read and written is the same list; so is the image."""
    if start == "expt":
        path = write(tmp_path / "start.expt", a_list())
        first = simulation_of(path, image=5)
    else:
        path = write_geom(tmp_path / "start.geom")
        parts = to_config(read_geometry(path))
        first = Simulation(crystal=Crystal(cell=(30, 40, 50), Na=3, Nb=4, Nc=2), structure_factors=FACTORS, **parts)
    write_expt(tmp_path / "next.expt", [resolve(first)], [tmp_path / "img_0005.cbf"])
    assert_same(again(tmp_path / "next.expt"), resolve(first))
    image = simulate(again(tmp_path / "next.expt").simulation, device="cpu").image
    wanted = simulate(first, device="cpu").image
    assert wanted.max() > 0
    np.testing.assert_allclose(image, wanted, rtol=1e-4, atol=1e-6 * wanted.max())


def test_rotation_image(tmp_path: Path) -> None:
    """Goniometer, scan and the number of the image; the crystal turns as it did."""
    wanted = a_turned(scan=Scan(phi_deg=12.5, osc_deg=0.75, phisteps=3))
    write_expt(tmp_path / "a.expt", [wanted], [tmp_path / "lys_01_0042.cbf"])
    content = json.loads((tmp_path / "a.expt").read_text())
    assert content["scan"][0]["image_range"] == [42, 42] and content["imageset"][0]["template"] == "lys_01_####.cbf"
    np.testing.assert_allclose(content["scan"][0]["oscillation"], [12.5, 0.75], rtol=1e-15)
    found = again(tmp_path / "a.expt")
    assert_same(found, wanted)
    np.testing.assert_allclose(found.detector.frame.spindle, wanted.detector.frame.spindle, atol=1e-12)
    assert found.scan.start == pytest.approx(wanted.scan.start, rel=1e-12)
    assert found.scan.osc == pytest.approx(wanted.scan.osc, rel=1e-12)
    with pytest.raises(FileError, match="holds images 42 to 42"):
        read_geometry(tmp_path / "a.expt", image=1)


#: Names of images of a rotation: template, number and index of the one that is third in its file.
SEQUENCES = {
    "a_0003.img": ("a_####.img", 3, None),
    "run2/a_0003.cbf": ("run2/a_####.cbf", 3, None),
    "a_0003.cbf.gz": ("a_####.cbf.gz", 3, None),
    "shot12b.img": ("shot##b.img", 12, None),
    "img.0815": ("img.####", 815, None),
    "plain.img": ("plain.img", 1, [0]),
    "run2/plain.img": ("run2/plain.img", 1, [0]),
    "data_000007.h5": ("data_000007.h5", 3, [2]),
    "master_12.nxs": ("master_12.nxs", 3, [2]),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_names_of_rotation_images(tmp_path: Path, name: str) -> None:
    template, number, whole = SEQUENCES[name]
    index = 2 if whole == [2] else 0
    write_expt(tmp_path / "a.expt", [a_turned(scan=Scan(osc_deg=1))], [tmp_path / name], indices=[index])
    content = json.loads((tmp_path / "a.expt").read_text())
    (images,), (scan,) = content["imageset"], content["scan"]
    assert images["__id__"] == "ImageSequence" and images["template"] == template
    assert images.get("single_file_indices") == whole and scan["image_range"] == [number, number]
    assert len(scan["epochs"]) == len(scan["exposure_time"]) == 1


@pytest.mark.parametrize("phi", [0.0, 33.0, -120.0])
def test_still_has_the_crystal_as_it_stands(tmp_path: Path, phi: float) -> None:
    wanted = a_turned(scan=Scan(phi_deg=phi))
    write_expt(tmp_path / "a.expt", [wanted], ["a.img"])
    content = json.loads((tmp_path / "a.expt").read_text())
    assert not content["goniometer"] and not content["scan"] and "scan" not in content["experiment"][0]
    found = again(tmp_path / "a.expt")
    turned = orientations(wanted)[0].reshape(3, 3)
    np.testing.assert_allclose(orientations(found)[0].reshape(3, 3), turned, rtol=1e-9, atol=1e-19)
    by_hand = wanted.crystal.direct @ rotation(wanted.detector.frame.spindle, phi).T
    np.testing.assert_allclose(found.crystal.direct, by_hand, atol=1e-9)


def test_lattices_of_an_image_share_it(tmp_path: Path) -> None:
    """Equal models are listed once; each lattice has its crystal, each image its imageset."""
    missets = [(0.0, 0.0, 0.0), (10.0, 20.0, 30.0), (-50.0, 5.0, 1.0), (0.0, 0.0, 0.0)]
    made = [a_turned(misset=misset) for misset in missets]
    moved = replace(made[3].simulation, beam=replace(made[3].simulation.beam, wavelength_A=1.5))
    made[3] = resolve(moved)
    write_expt(tmp_path / "a.expt", made, [tmp_path / "a.cbf"] * 3 + [tmp_path / "sub" / "b.cbf"])
    content = json.loads((tmp_path / "a.expt").read_text())
    assert [one["imageset"] for one in content["experiment"]] == [0, 0, 0, 1]
    assert [one["crystal"] for one in content["experiment"]] == [0, 1, 2, 0]
    assert [one["beam"] for one in content["experiment"]] == [0, 0, 0, 1]
    assert len(content["detector"]) == 1
    assert [one["images"] for one in content["imageset"]] == [["a.cbf"], ["sub/b.cbf"]]
    for index, one in enumerate(made):
        assert_same(again(tmp_path / "a.expt", index), one)


def test_lattices_of_a_rotation_image(tmp_path: Path) -> None:
    made = [a_turned(misset=(turn, 0, 0), scan=Scan(phi_deg=5, osc_deg=0.5)) for turn in (0.0, 30.0)]
    write_expt(tmp_path / "a.expt", made, ["a_7.cbf"] * 2)
    content = json.loads((tmp_path / "a.expt").read_text())
    assert len(content["imageset"]) == len(content["scan"]) == len(content["goniometer"]) == 1
    for index, one in enumerate(made):
        assert_same(again(tmp_path / "a.expt", index), one)


def test_places_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the list where they lie below it, absolute elsewhere."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    images = ["a.cbf", Path("x/b.cbf"), tmp_path / "out" / "c.cbf", "../d.cbf"]
    write_expt("a.expt", [a_turned()] * 4, images)
    found = [one["images"][0] for one in json.loads(Path("a.expt").read_text())["imageset"]]
    assert found == ["a.cbf", "x/b.cbf", "c.cbf", str(tmp_path / "d.cbf")]


def test_stills_of_one_file(tmp_path: Path) -> None:
    write_expt(tmp_path / "a.expt", [a_turned()] * 3, ["a.h5"] * 3, indices=[4, 0, 4])
    content = json.loads((tmp_path / "a.expt").read_text())
    assert [one["single_file_indices"] for one in content["imageset"]] == [[4], [0]]
    assert [one["imageset"] for one in content["experiment"]] == [0, 1, 0]


COUNTS = {
    "none": (None, (1.0, 0.0, [-1.0, 65535.0])),
    "noise": (Outputs(gain=1.5, saturation=5000), (1.5, 40.0, [-41.0, 4960.0])),
    "counts": (Outputs(noisefile=None, cbf=Path("a.cbf"), adc_offset=0, gain=2.0), (2.0, 0.0, [-1.0, 65535.0])),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_the_detector(tmp_path: Path, name: str) -> None:
    outputs, (gain, pedestal, trusted) = COUNTS[name]
    write_expt(tmp_path / "a.expt", [a_turned()], ["a.cbf"], outputs)
    for panel in json.loads((tmp_path / "a.expt").read_text())["detector"][0]["panels"]:
        assert (panel["gain"], panel["pedestal"], panel["trusted_range"]) == (gain, pedestal, trusted)


def test_polarization_along_the_beam_has_no_plane(tmp_path: Path) -> None:
    wanted = a_turned(detector=replace(DETECTORS["panels"], polar_vector=(0, 0, 1)))
    write_expt(tmp_path / "a.expt", [wanted], ["a.cbf"])
    found = again(tmp_path / "a.expt").detector.frame
    assert abs(found.polar @ found.beam) < 1e-12


def test_names_and_sensor(tmp_path: Path) -> None:
    detector = replace(DETECTORS["panels"], thickness_um=320.0, attenuation_um=250.0)
    write_expt(tmp_path / "a.expt", [a_turned(detector=detector)], ["a.cbf"])
    found = read_geometry(tmp_path / "a.expt")
    assert [panel.name for panel in found.panels] == ["tilted", "panel1"]
    assert (found.thickness_um, found.attenuation_um) == (pytest.approx(320), pytest.approx(250))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_numbers_of_images_and_experiments_agree(tmp_path: Path, count: int) -> None:
    with pytest.raises(ConfigError, match="needs an image for each experiment"):
        write_expt(tmp_path / "a.expt", [a_turned()] * (2 if count else 0), ["a.cbf"] * count)
    assert not (tmp_path / "a.expt").exists()


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        write_expt(tmp_path / "none" / "a.expt", [a_turned()], ["a.cbf"])


#: Run by the Python that has DIALS: what dxtbx makes of a list, whose images are not there.
PROBE = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory
found = []
experiments = ExperimentListFactory.from_json_file(sys.argv[1], check_format=False)
images = []
for one in experiments:
    if not any(one.imageset is known for known in images):
        images.append(one.imageset)
    found.append({
        "A": one.crystal.get_A(), "s0": one.beam.get_s0(), "normal": one.beam.get_polarization_normal(),
        "fraction": one.beam.get_polarization_fraction(),
        "panels": [[p.get_origin(), p.get_fast_axis(), p.get_slow_axis(), p.get_pixel_size(), p.get_image_size(),
                    p.get_gain(), p.get_pedestal(), p.get_trusted_range(), p.get_mu(), p.get_thickness()]
                   for p in one.detector],
        "axis": one.goniometer.get_rotation_axis() if one.goniometer else None,
        "oscillation": one.scan.get_oscillation() if one.scan else None,
        "range": one.scan.get_image_range() if one.scan else None,
        "images": [known is one.imageset for known in images].index(True),
        "paths": list(one.imageset.paths()),
    })
print("FOUND" + json.dumps(found))
"""


@pytest.mark.skipif(dials_python() is None, reason="DIALS is not installed (Debian: apt install dials)")
@pytest.mark.parametrize("detector", ["panels", "tilted", "MOSFLM"])
@pytest.mark.parametrize("osc_deg", [None, 0.5])
def test_dxtbx_reads_the_same_models(tmp_path: Path, detector: str, osc_deg: float | None) -> None:
    """Two lattices of one image, and one of another: every number that dxtbx has of them."""
    scan = Scan(phi_deg=5, osc_deg=osc_deg)
    one = replace(a_turned(detector).simulation.detector, thickness_um=320.0, attenuation_um=250.0)
    made = [a_turned(one, misset=(turn, 0.0, 10.0), scan=scan) for turn in (0.0, 30.0, 60.0)]
    names = ["a_0007.img", "a_0007.img", "a_0009.img"]
    for name in names:
        (tmp_path / name).touch()  # it looks for the files' names
    write_expt(tmp_path / "a.expt", made, [tmp_path / name for name in names], Outputs(gain=1.5, cbf=None))
    text = run(str(dials_python()), "-c", PROBE, "a.expt", cwd=tmp_path).split("FOUND", 1)[1]
    turn = np.eye(3) if detector != "MOSFLM" else to_imgcif(made[0])
    for index, (seen, wanted) in enumerate(zip(json.loads(text), made, strict=True)):
        assert seen["images"] == index // 2 and Path(seen["paths"][0]).name == names[index]
        frame = wanted.detector.frame
        stars = np.linalg.inv(wanted.crystal.direct).T
        if osc_deg is None:
            stars = stars @ rotation(frame.spindle, 5).T
            assert seen["axis"] is seen["oscillation"] is seen["range"] is None
        else:
            np.testing.assert_allclose(seen["axis"], turn @ frame.spindle, atol=1e-12)
            np.testing.assert_allclose(seen["oscillation"], [5, 0.5], atol=1e-12)
            assert seen["range"] == [7 + index // 2 * 2] * 2
        np.testing.assert_allclose(np.reshape(seen["A"], (3, 3)), turn @ stars.T, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(seen["s0"], turn @ frame.beam / 0.9768123, atol=1e-12)
        np.testing.assert_allclose(seen["normal"], turn @ np.cross(frame.beam, frame.polar), atol=1e-12)
        assert seen["fraction"] == pytest.approx(0.95)
        for panel, said in zip(seen["panels"], wanted.detector.panels, strict=True):
            origin, fast, slow, pixel, size, gain, pedestal, trusted, mu, thickness = panel
            np.testing.assert_allclose(origin, turn @ said.pix0 * 1000, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(
                np.multiply(fast, pixel[0]), turn @ said.fdet * said.pixel_size * 1000, atol=1e-9
            )
            np.testing.assert_allclose(
                np.multiply(slow, pixel[1]), turn @ said.sdet * said.pixel_size * 1000, atol=1e-9
            )
            assert size == [said.fpixels, said.spixels]
            assert (gain, pedestal, trusted) == (1.5, 40.0, [-41.0, 65495.0])
            assert (mu, thickness) == (pytest.approx(4.0), pytest.approx(0.32))


def test_the_frame_of_nexus_is_crystfels(tmp_path: Path) -> None:
    """What the writers for CrystFEL rely on: x to the left along the beam, y up, z along it."""
    one = experiment("MOSFLM")
    turn = MCSTAS @ to_imgcif(one)
    np.testing.assert_allclose(turn @ one.detector.frame.beam, [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ one.panel.sdet, [0, -1, 0], atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
