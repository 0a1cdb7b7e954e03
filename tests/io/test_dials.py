"""DIALS, where it is installed, places every pixel of our files where nbnumba does, and reads the same counts."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import hdf5plugin
import numpy as np
import pytest

from nbnumba.io.cbf import write_cbf
from nbnumba.io.nexus import ValidCounts, write_nexus, write_nexus_master
from nbnumba.io.smv import write_smv
from nbnumba.model.frames import ImageGeometry, dials_import_words, image_geometry
from nbnumba.output.sinks.smv import smv_geometry
from tests.io.geometries import DETECTORS, PLAIN, counts, experiment, in_place

ROOT = Path(__file__).resolve().parents[2]
SINGLE = [name for name in DETECTORS if not DETECTORS[name].panels]
OFFSET, CUTOFF = 40, 65000
#: Ten digits of a header, of a detector 100 mm away.
HEADER_MM, HDF5_MM = 2e-8, 1e-8

#: Run by the Python that has DIALS: what dxtbx makes of an image or of an imported .expt.
PROBE = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory
found = {}
for name in sys.argv[1:]:
    load = ExperimentListFactory.from_json_file if name.endswith(".expt") else None
    experiment = (load(name) if load else ExperimentListFactory.from_filenames([name]))[0]
    images, panels = experiment.imageset, []
    for panel, raw, mask in zip(experiment.detector, images.get_raw_data(0), images.get_mask(0)):
        fast, slow = panel.get_image_size()
        points = [(0, 0), (fast, 0), (0, slow), (fast / 3, slow / 5)]
        panels.append({
            "size": [slow, fast], "counts": list(raw), "good": list(mask),
            "points": [[*point, *panel.get_pixel_lab_coord(point)] for point in points],
            "trusted": panel.get_trusted_range(), "pedestal": panel.get_pedestal(), "gain": panel.get_gain(),
        })
    scan = experiment.scan
    found[name] = {
        "format": images.get_format_class().__name__, "panels": panels, "images": len(images),
        "beam": experiment.beam.get_unit_s0(), "wavelength": experiment.beam.get_wavelength(),
        "axis": experiment.goniometer.get_rotation_axis() if experiment.goniometer else None,
        "oscillation": scan.get_oscillation() if scan else None,
        "exposure": scan.get_exposure_times()[0] if scan else None,
    }
print("FOUND" + json.dumps(found))
"""


@functools.cache
def dials_python() -> str | None:
    """A Python that can import dxtbx, or None."""
    for python in dict.fromkeys(filter(None, (shutil.which("dials.python"), "/usr/bin/python3"))):
        found = subprocess.run([python, "-c", "import dxtbx"], capture_output=True, check=False)
        if found.returncode == 0:
            return python
    return None


pytestmark = pytest.mark.skipif(dials_python() is None, reason="DIALS is not installed (Debian: apt install dials)")


def run(*words: str, cwd: Path) -> str:
    """Output of a command that can read our HDF5 compression."""
    environment = {**os.environ, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def probe(*names: str, cwd: Path) -> dict[str, Any]:
    """What DIALS says about files, by name."""
    return json.loads(run(str(dials_python()), "-c", PROBE, *names, cwd=cwd).split("FOUND", 1)[1])


def _write(folder: Path, name: str) -> None:
    setup = experiment(name)
    geometry = image_geometry(setup)
    panels = counts(geometry)
    if name in SINGLE:
        pixels = (np.minimum(panels[0], CUTOFF - OFFSET) + OFFSET).astype(np.uint16)
        write_smv(folder / f"{name}_0001.img", pixels, smv_geometry(setup, gain=1.5), OFFSET, "adsc")
        marked = panels[0].copy()
        marked[5, 6] = -1
        write_cbf(folder / f"{name}_0001.cbf", marked, geometry, CUTOFF)
    data = geometry.layout.arrange(panels)
    mask = None
    if name in SINGLE:  # DIALS 3.12 cannot cut a mask for panels that are narrower than the array, nor one of a stack
        mask = np.zeros(data.shape, np.uint8)
        mask[5, 6] = 2
    write_nexus(folder / f"{name}.nxs", data, geometry, ValidCounts(saturation=CUTOFF, pixel_mask=mask))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What DIALS says about the files of every detector, by their names; DIALS is started once."""
    folder = tmp_path_factory.mktemp("dials")
    for name in DETECTORS:
        _write(folder, name)
    geometry = image_geometry(experiment("tilted"))
    parts = [folder / f"part_{i}.nxs" for i in range(3)]
    for i, part in enumerate(parts):
        write_nexus(part, counts(geometry, 10 + i)[0], geometry, ValidCounts(saturation=CUTOFF))
    write_nexus_master(folder / "series.nxs", parts, geometry, ValidCounts(saturation=CUTOFF))
    write_nexus(
        folder / "still.nxs", counts(geometry)[0], image_geometry(experiment("XDS", 0.0)), ValidCounts(saturation=9)
    )
    files = sorted(p.name for p in folder.iterdir() if not p.name.startswith("part_"))
    return probe(*files, cwd=folder).__getitem__


def assert_places(seen: dict[str, Any], geometry: ImageGeometry, tolerance: float) -> None:
    """Every point of every panel is where nbnumba has it, in mm."""
    assert len(seen["panels"]) == len(geometry.panels)
    for index, panel in enumerate(seen["panels"]):
        assert panel["size"] == [geometry.panels[index].spixels, geometry.panels[index].fpixels]
        for fast, slow, *place in panel["points"]:
            assert place == pytest.approx(in_place(geometry, index, fast, slow), abs=tolerance)


def assert_beam_and_scan(seen: dict[str, Any], geometry: ImageGeometry) -> None:
    assert seen["beam"] == pytest.approx([0, 0, -1], abs=1e-12)
    assert seen["wavelength"] == pytest.approx(geometry.wavelength_A, rel=1e-9)
    assert seen["oscillation"] == pytest.approx([10, 0.5], abs=1e-9)
    assert seen["exposure"] == 0.25


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("ending", ["img", "cbf"])
def test_plain_headers_place_the_image_exactly(found: Callable, name: str, ending: str) -> None:
    seen, geometry = found(f"{name}_0001.{ending}"), image_geometry(experiment(name))
    assert seen["format"] == {"img": "FormatSMVADSCNoDateStamp", "cbf": "FormatCBFMini"}[ending]
    assert_places(seen, geometry, HEADER_MM)
    assert_beam_and_scan(seen, geometry)
    assert seen["axis"] == pytest.approx(geometry.spindle, abs=1e-12)


@pytest.mark.parametrize("name", DETECTORS)
def test_nxmx_places_every_detector_exactly(found: Callable, name: str) -> None:
    seen, geometry = found(f"{name}.nxs"), image_geometry(experiment(name))
    assert seen["format"] == "FormatNXmx"
    assert_places(seen, geometry, HDF5_MM)
    assert_beam_and_scan(seen, geometry)
    assert seen["axis"] == pytest.approx(geometry.spindle, abs=1e-12)


@pytest.mark.parametrize("name", DETECTORS)
def test_counts_and_masks_are_ours(found: Callable, name: str) -> None:
    panels = counts(image_geometry(experiment(name)))
    seen = found(f"{name}.nxs")["panels"]
    for index, panel in enumerate(seen):
        assert np.array_equal(panel["counts"], panels[index].ravel())
    good = panels[0] < CUTOFF  # a count at the cut-off is an overload
    if name in SINGLE:
        good[5, 6] = False
    assert np.array_equal(seen[0]["good"], good.ravel())
    if name in SINGLE:
        seen = found(f"{name}_0001.cbf")["panels"][0]
        assert np.array_equal(np.delete(seen["counts"], 5 * 33 + 6), np.delete(panels[0].ravel(), 5 * 33 + 6))
        assert np.array_equal(seen["good"], good.ravel())
        seen = found(f"{name}_0001.img")["panels"][0]
        assert np.array_equal(seen["counts"], np.minimum(panels[0], CUTOFF - OFFSET).ravel() + OFFSET)
        assert seen["pedestal"] == OFFSET and seen["gain"] == 1.5
        assert seen["trusted"] == [-1 - OFFSET, 65535 - OFFSET]


def test_series_in_several_files_is_one_scan(found: Callable) -> None:
    seen, geometry = found("series.nxs"), image_geometry(experiment("tilted"))
    assert seen["images"] == 3 and seen["oscillation"] == pytest.approx([10, 0.5])
    assert_places(seen, geometry, HDF5_MM)
    assert np.array_equal(seen["panels"][0]["counts"], counts(geometry, 10)[0].ravel())


def test_still_is_read_as_one(found: Callable) -> None:
    assert found("still.nxs")["oscillation"] == pytest.approx([10, 0])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SINGLE if name not in PLAIN])
@pytest.mark.parametrize("ending", ["img", "cbf"])
def test_what_headers_cannot_say_can_be_given_to_dials_import(tmp_path: Path, name: str, ending: str) -> None:
    _write(tmp_path, name)
    geometry = image_geometry(experiment(name))
    importer = shutil.which("dials.import")
    assert importer is not None
    run(importer, f"{name}_0001.{ending}", *dials_import_words(geometry), cwd=tmp_path)
    seen = probe("imported.expt", cwd=tmp_path)["imported.expt"]
    assert_places(seen, geometry, HEADER_MM)
    assert seen["axis"] == pytest.approx(geometry.spindle, abs=1e-11)


@pytest.fixture(scope="module")
def dials_check() -> ModuleType:
    """The script behind docs/dials.md."""
    spec = importlib.util.spec_from_file_location("dials_check", ROOT / "docs" / "dials_check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dials_check"] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "convention", "off_centre"), [("smv", "adxv", True), ("cbf", "mosflm", True), ("nxmx", "dials", False)]
)
def test_dials_finds_what_was_simulated(
    tmp_path: Path, dials_check: ModuleType, form: str, convention: str, off_centre: bool
) -> None:
    """The acceptance of docs/dials.md with fewer and smaller images, and its limits."""
    check = dials_check.Check(tmp_path, form, convention, off_centre, images=16, pixels=512)
    dials_check.process(check, dials_check.make(check), tell=lambda line: None)
    figures = dials_check.judge(check)
    assert len(figures) == 17
    missed = [figure.line() for figure in figures if not figure.holds]
    assert not missed


def test_a_figure_that_is_missed_is_seen(dials_check: ModuleType) -> None:
    assert dials_check.at_most("a", 1.0, 1.0).holds and not dials_check.at_most("a", 1.01, 1.0).holds
    assert dials_check.near("a", 0.97, 1, 0.04).holds and not dials_check.near("a", 0.95, 1, 0.04).holds
    assert not dials_check.at_least("a", float("nan"), 1).holds
    turned = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    true = np.diag([50.0, 60.0, 70.0])
    change, angle = dials_check._against_truth(np.linalg.inv(true) @ turned, true)
    assert np.array_equal(change, turned) and angle == pytest.approx(0, abs=1e-6)
    mirror = np.diag([1.0, 1, -1]) @ np.linalg.inv(true + np.triu(np.ones((3, 3)), 1) * 7)
    assert np.isnan(dials_check._against_truth(mirror, true)[1])
