"""Geometry from files of XDS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.io.geometry import rotation
from nbnumba.model.config import Sampling, Simulation
from nbnumba.model.experiment import resolve
from nbnumba.model.geometry_files import read_geometry, to_config
from nbnumba.render.simulate import simulate
from tests.geometry_inputs import (
    CELL,
    FACTORS,
    INP,
    WAVELENGTH,
    a_panel,
    an_experiment,
    direct_vectors,
    from_flags,
    old_xparm,
    pixel_place,
    simulation_of,
    write,
    xparm,
)


@pytest.mark.parametrize("layout", ["today", "old", "inp"])
def test_xds_puts_pixels_where_xds_does(tmp_path, layout):
    """XDS' own formula for the centre of pixel (x, y), x and y from 1, in all three files."""
    text = {"today": xparm(direct_vectors()), "old": old_xparm(direct_vectors()), "inp": INP}[layout]
    path = tmp_path / "file"
    path.write_text(text)
    found = read_geometry(path)
    x_axis, y_axis = np.array([0.9998, 0, 0.02]), np.array([0, 1, 0])
    x_axis = x_axis / np.linalg.norm(x_axis)
    normal = np.cross(x_axis, y_axis)
    panel = resolve(simulation_of(path) if layout != "inp" else replace(_inp_simulation(path))).panel
    for x, y in ((1, 1), (240, 1), (77, 150)):
        wanted = (x - 118.70) * 0.3 * x_axis + (y - 98.20) * 0.3 * y_axis + 71.50 * normal
        np.testing.assert_allclose(pixel_place(panel, x - 0.5, y - 0.5), wanted, atol=1e-9)
    assert (panel.fpixels, panel.spixels) == (240, 200)
    assert found.wavelength_A == WAVELENGTH
    np.testing.assert_allclose(found.beam, np.array([0.003, -0.004, 1.02]) / np.linalg.norm([0.003, -0.004, 1.02]))
    np.testing.assert_allclose(found.spindle, (0.999, 0.01, -0.0436), rtol=1e-4)
    assert (found.phi_deg, found.osc_deg) == (10, 0.5)
    assert read_geometry(path, image=9).phi_deg == 12.5
    if layout == "inp":
        assert found.cell == CELL
        assert found.kahn_factor == pytest.approx(0.96)
        assert (found.thickness_um, found.attenuation_um) == (450, pytest.approx(1000 / 3.9))
    else:
        np.testing.assert_allclose(np.linalg.inv(found.reciprocal), direct_vectors(), atol=1e-8)


def _inp_simulation(path: Path) -> Simulation:
    return Simulation(structure_factors=FACTORS, sampling=Sampling(oversample=1), **to_config(read_geometry(path)))


def test_xparm_and_expt_of_one_experiment_give_one_image(tmp_path):
    """The same experiment in the frames of XDS and DIALS, which differ by half a turn about x."""
    turn = np.diag([1.0, -1.0, -1.0])
    xds = tmp_path / "XPARM.XDS"
    xds.write_text(
        xparm(direct_vectors() @ turn).replace("0.999000  0.010000 -0.043600", "1 0 0").replace("0.0030 -0.0040", "0 0")
    )
    corner = turn @ ([-118.2 * 0.3 * 0.9998, -97.7 * 0.3, -118.2 * 0.3 * 0.02] + 71.5 * np.array([-0.02, 0, 0.9998]))
    fast = turn @ [0.9998, 0, 0.02]
    panel = a_panel((corner / np.linalg.norm(fast)).tolist(), fast.tolist(), (0, -1, 0), (240, 200), 0.3)
    norm = np.linalg.norm(fast)
    panel["origin"] = (turn @ (np.array([-118.2 * 0.3, -97.7 * 0.3, 71.5]) @ _rows(norm))).tolist()
    scan = {"image_range": [4, 5], "oscillation": [10.0, 0.5]}
    dials = write(tmp_path / "a.expt", an_experiment(detector={"panels": [panel]}, scan=scan))
    one, two = simulation_of(xds), simulation_of(dials)
    two = replace(two, beam=replace(two.beam, kahn_factor=0.0))
    first, second = simulate(one, precision="double").image, simulate(two, precision="double").image
    # the XPARM file's vectors are rounded to 1e-9 A
    assert first.max() > 0
    assert np.abs(first - second).max() < 2e-6 * first.max()


def _rows(norm: float) -> np.ndarray:
    """Detector axes of the XPARM file, as rows."""
    return np.array([[0.9998 / norm, 0, 0.02 / norm], [0, 1, 0], [-0.02 / norm, 0, 0.9998 / norm]])


def test_xds_segments(tmp_path):
    """Each segment's pixels by XDS' formula: ORG + ED [(x - ORGXS) QX EDS1 + (y - ORGYS) QY EDS2 + FS EDS3]."""
    tilt = rotation((1, 0.2, 0), 5)
    axes = " ".join(f"{v:.12f}" for v in (*tilt[:, 0], *tilt[:, 1]))
    second = f"2 131 240 1 200\n 12.5 -3.0 0.7 {axes}\n"
    path = tmp_path / "XPARM.XDS"
    path.write_text(xparm(direct_vectors(), "1 1 120 1 200\n 0 0 0 1 0 0 0 1 0\n" + second))
    one, two = resolve(simulation_of(path)).detector.panels
    ED = _rows(float(np.linalg.norm([0.9998, 0.02]))).T
    ORG = ED @ [-118.7 * 0.3, -98.2 * 0.3, 71.5]
    for x, y in ((1, 1), (120, 200)):
        np.testing.assert_allclose(pixel_place(one, x - 0.5, y - 0.5), ORG + ED @ [x * 0.3, y * 0.3, 0], atol=1e-9)
    for x, y in ((131, 1), (240, 200)):
        wanted = ORG + ED @ tilt @ [(x - 12.5) * 0.3, (y + 3.0) * 0.3, 0.7]
        np.testing.assert_allclose(pixel_place(two, x - 131 + 0.5, y - 0.5), wanted, atol=1e-9)
    assert [panel.offset for panel in read_geometry(path).panels] == [(0, 0), (130, 0)]
    keywords = (
        "SEGMENT= 1 120 1 200\nSEGMENT= 131 240 1 200\n"
        f"DIRECTION_OF_SEGMENT_X-AXIS= {axes.split(' ', 3)[0]} {axes.split()[1]} {axes.split()[2]}\n"
        f"DIRECTION_OF_SEGMENT_Y-AXIS= {' '.join(axes.split()[3:])}\n"
        "SEGMENT_DISTANCE= 0.7 SEGMENT_ORGX= 12.5 SEGMENT_ORGY= -3.0\n"
    )
    inp = tmp_path / "XDS.INP"
    inp.write_text(INP + keywords)
    for from_inp, from_xparm in zip(read_geometry(inp).panels, read_geometry(path).panels, strict=True):
        np.testing.assert_allclose(from_inp.pix0_mm, from_xparm.pix0_mm, atol=1e-9)
        np.testing.assert_allclose(from_inp.fast_axis, from_xparm.fast_axis, atol=1e-12)


def test_xds_errors_name_file_and_line(tmp_path):
    path = tmp_path / "bad"
    path.write_text(xparm(direct_vectors()).replace("240  200", "240  x"))
    with pytest.raises(FileError, match=r"line 8 of the XPARM file .*bad: expected a number, got 'x'"):
        read_geometry(path)
    path.write_text("\n".join(xparm(direct_vectors()).splitlines()[:8]))
    with pytest.raises(FileError, match="is cut off"):
        read_geometry(path)
    path.write_text(INP.replace("ORGX= 118.70", ""))
    with pytest.raises(FileError, match=r"bad has no ORGX="):
        read_geometry(path)
    path.write_text(INP.replace("ROTATION_AXIS=0.999 0.01 -0.0436", "ROTATION_AXIS=1 0"))
    with pytest.raises(FileError, match=r"line 9 of the XDS.INP file .*ROTATION_AXIS= needs 3 numbers, has 2"):
        read_geometry(path)
    path.write_text(INP.replace("0.9998 0 0.02", "0.9998 0.5 0.02"))
    with pytest.raises(FileError, match="right angles"):
        read_geometry(path)


XDS_ERRORS = {
    "X-AXIS= 0.9998 0 0.02": ("X-AXIS= 0 0 0", "_X-AXIS and _Y-AXIS must not be 0 0 0"),
    "BEAM_DIRECTION= 0.003 -0.004 1.02": ("BEAM_DIRECTION= 0 0 0", "the INCIDENT_BEAM_DIRECTION must not be 0 0 0"),
    "X-RAY_WAVELENGTH= 0.9795": ("X-RAY_WAVELENGTH= 0", "X-RAY_WAVELENGTH= must be > 0, got 0"),
    "STARTING_ANGLE= 10.0": ("STARTING_ANGLE= 1e300", r"line 4 of .*STARTING_ANGLE= 1e\+300 is out of range"),
    "SENSOR_THICKNESS=0.45": ("SEGMENT_DISTANCE= 1", "line 14 of .*SEGMENT_DISTANCE= stands before any SEGMENT="),
}


@pytest.mark.parametrize("old", XDS_ERRORS)
def test_xds_inp_errors(tmp_path, old):
    new, message = XDS_ERRORS[old]
    assert old in INP
    (tmp_path / "XDS.INP").write_text(INP.replace(old, new))
    with pytest.raises(FileError, match=message):
        read_geometry(tmp_path / "XDS.INP")


def test_xparm_numbers_that_cannot_be(tmp_path):
    path = tmp_path / "XPARM.XDS"
    path.write_text(xparm(direct_vectors()).replace(f" {WAVELENGTH} ", " -1.0 "))
    with pytest.raises(FileError, match="the wavelength must be > 0, got -1"):
        read_geometry(path)
    path.write_text(xparm(direct_vectors()).replace("71.50", "-1e99"))
    with pytest.raises(FileError, match=r"holds -1e\+99, which is no length, angle or count"):
        read_geometry(path)


def test_a_sensor_of_unknown_material_is_left_out(tmp_path):
    (tmp_path / "XDS.INP").write_text(INP.replace(" SILICON=3.9", ""))
    found = read_geometry(tmp_path / "XDS.INP")
    assert found.thickness_um is None and found.attenuation_um is None
    assert any("has no SILICON= (absorption of the sensor): the sensor is left out" in note for note in found.notes)


def test_xds_inp_cell_is_the_crystal(tmp_path):
    path = tmp_path / "XDS.INP"
    path.write_text(INP)
    assert from_flags(f"--geometry {path} -default_F 1").crystal.cell == CELL
    assert from_flags(f"--geometry {path} -default_F 1 -cell 50").crystal.cell == (50,)


def test_xds_inp_what_is_not_used_is_named(tmp_path):
    path = tmp_path / "XDS.INP"
    path.write_text(
        INP + "X-GEO_CORR= x.pck Y-GEO_CORR= y.pck\nUNTRUSTED_RECTANGLE= 1 2 3 4\nUNTRUSTED_RECTANGLE= 5 6 7 8\n"
    )
    (note,) = read_geometry(path).notes
    assert "XDS.INP also has X-GEO_CORR=, Y-GEO_CORR= and UNTRUSTED_RECTANGLE=, not used" in note
    path.write_text(INP)
    assert read_geometry(path).notes == ()


def test_xds_pixels_that_are_not_square(tmp_path):
    path = tmp_path / "XDS.INP"
    path.write_text(INP.replace("QY= 0.3", "QY= 0.25"))
    (panel,) = read_geometry(path).panels
    assert (panel.pixel_mm, panel.slow_pixel_mm) == (0.3, 0.25)
    # ORGX, ORGY are pixels: the corner is half a pixel before pixel 1
    x, y = np.array([0.9998, 0, 0.02]), np.array([0, 1, 0])
    x = x / np.linalg.norm(x)
    wanted = (0.5 - 118.70) * 0.3 * x + (0.5 - 98.20) * 0.25 * y + 71.5 * np.cross(x, y)
    np.testing.assert_allclose(panel.pix0_mm, wanted, atol=1e-9)
