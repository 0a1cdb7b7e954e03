"""Geometry from files of CrystFEL."""

from __future__ import annotations

import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.model.experiment import resolve
from nbnumba.model.geometry_files import read_geometry, whole_image
from nbnumba.render.simulate import simulate
from tests.geometry_inputs import (
    from_flags,
    pixel_place,
    write_geom,
)


def test_geom_puts_pixels_where_crystfel_does(tmp_path):
    path = write_geom(tmp_path / "x.geom")
    found = read_geometry(path)
    assert found.wavelength_A == pytest.approx(12398.42 / 9500)
    crystal = "-cell 30 40 50 -default_F 1"
    experiment = resolve(from_flags(f"--geometry {path} {crystal}"))
    np.testing.assert_array_equal(experiment.detector.frame.beam, [0, 0, 1])
    np.testing.assert_array_equal(experiment.detector.frame.polar, [1, 0, 0])
    one, two = experiment.detector.panels
    # (corner + fs_index fs + ss_index ss) / res, and clen + coffset along the beam
    wanted = 0.2 * np.array([-34.5 + 7 * 0.999995 - 4 * 0.003162, 2.25 + 7 * 0.003162 + 4 * 0.999995, 0]) + [0, 0, 80.5]
    np.testing.assert_allclose(pixel_place(one, 7, 4), wanted, atol=1e-6)
    np.testing.assert_allclose(pixel_place(two, 7, 4), [2.0, 0.2 * (1.5 + 4 * 0.96), 79 + 0.2 * 4 * 0.28], atol=1e-9)
    assert [panel.offset for panel in found.panels] == [(0, 0), (30, 0)]
    whole = whole_image(found.panels, simulate(from_flags(f"--geometry {path} {crystal} -N 3")).images)
    assert whole.shape == (20, 60)


def test_geom_with_values_in_the_data_file(tmp_path):
    path = write_geom(tmp_path / "x.geom", ("9500 eV", "/LCLS/photon_energy_eV"), ("clen = 0.080", "clen = /LCLS/clen"))
    with pytest.raises(
        FileError, match=r"line 3 of .*x\.geom: clen is kept in the data file \(/LCLS/clen\): give -dist"
    ):
        read_geometry(path)
    with pytest.raises(FileError, match=r"line 2 of .*photon_energy is kept .* give -lambda"):
        read_geometry(path, distance_mm=90)
    simulation = from_flags(f"--geometry {path} -distance 90 -lambda 1.3 -cell 30 -default_F 1")
    # the offsets of a0 and a1 are 0.5 and -1 mm; the lower one's panel stands at -distance
    assert [panel.pix0_mm[2] for panel in simulation.detector.panels] == pytest.approx([91.5, 90.0])
    assert simulation.beam.wavelength_A == 1.3


GEOM_UNITS = {
    "clen = 0.080": "clen = 80 mm",
    "9500 eV": "9.5 keV",
    "photon_energy = 9500 eV": "wavelength = 1.30509684 A",
}


@pytest.mark.parametrize("old", GEOM_UNITS)
def test_geom_units(tmp_path, old):
    plain = read_geometry(write_geom(tmp_path / "a.geom"))
    other = read_geometry(write_geom(tmp_path / "b.geom", (old, GEOM_UNITS[old])))
    assert other.wavelength_A == pytest.approx(plain.wavelength_A, rel=1e-8)
    assert other.panels[0].pix0_mm == pytest.approx(plain.panels[0].pix0_mm)


GEOM_ERRORS = {
    "a0/corner_x = -34.5": ("", "line 11 of .*panel a0 has no corner_x"),
    "a1/fs = x": ("a1/fs = 2w", "line 25 of .*a1/fs must be like"),
    "clen = 0.080": ("clen = 3 ft", "line 3 of .*a0/clen must be a number in m, mm, cm, um, got '3 ft'"),
    "data = /entry/data": ("data /entry/data", "line 7 of .*expected 'key = value'"),
    "a0/max_fs = 29": ("a0/max_fs = -9", "panel a0: panel.fpixels must be > 0"),
    "res = 5000": ("res = 0", "res must be > 0"),
    "9500 eV": ("-9500 eV", "photon_energy must be > 0, got -9500"),
}


@pytest.mark.parametrize("old", GEOM_ERRORS)
def test_geom_errors_name_file_and_line(tmp_path, old):
    new, message = GEOM_ERRORS[old]
    with pytest.raises(FileError, match=message):
        read_geometry(write_geom(tmp_path / "bad.geom", (old, new)))


def bare(*lines: str, top: str = "photon_energy = 9000 eV\nclen = 0.1\nres = 10000", panel: str = "p0") -> str:
    """A file of one panel of 100 x 80 pixels; ``lines`` are added at its end."""
    own = (
        "min_fs = 0",
        "max_fs = 99",
        "min_ss = 0",
        "max_ss = 79",
        "corner_x = -50",
        "corner_y = -40",
        "fs = x",
        "ss = y",
    )
    return "\n".join([top, *(f"{panel}/{line}" for line in own), *lines]) + "\n"


def read(tmp_path, text: str | bytes, **more):
    path = tmp_path / "x.geom"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_geometry(path, **more)


#: Wavelengths by definition: hc / E, and h / sqrt(2 m e U (1 + e U / 2 m c^2)) of electrons.
WAVELENGTHS = {
    "photon_energy = 9000 eV": 12398.42 / 9000,
    "photon_energy = 9 keV": 12398.42 / 9000,
    "photon_energy = 9000": 12398.42 / 9000,
    "wavelength = 1.3 A": 1.3,
    "wavelength = 1.3e-10 m": 1.3,
    "electron_voltage = 200 kV": 0.0250793,
    "electron_voltage = 300000 V": 0.0196875,
    "electron_voltage = 100 kV": 0.0370144,
}


@pytest.mark.parametrize("line", WAVELENGTHS)
def test_wavelength_in_every_form(tmp_path, line):
    found = read(tmp_path, bare(top=f"{line}\nclen = 0.1\nres = 10000"))
    assert found.wavelength_A == pytest.approx(WAVELENGTHS[line], rel=1e-5)
    assert any("electrons" in note for note in found.notes) == line.startswith("electron")


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ("", "has no wavelength .*: give -lambda or -energy"),
        ("electron_voltage = 200\n", "line 1 of .*electron_voltage must be a number in V, kV, got '200'"),
        ("electron_voltage = /entry/kV kV\n", "electron_voltage is kept in the data file"),
        ("photon_energy = Wavelength\n", r"photon_energy is kept in the data file \(Wavelength\)"),
        ("wavelength = 1.3 nm\n", "wavelength must be a number in m, A"),
    ],
)
def test_no_wavelength_is_an_error_unless_given(tmp_path, top, message):
    text = bare(top=f"{top}clen = 0.1\nres = 10000")
    with pytest.raises(FileError, match=message):
        read(tmp_path, text)
    if "nm" not in top:
        assert read(tmp_path, text, wavelength_A=1.1).wavelength_A == 1.1
        path = tmp_path / "x.geom"
        (tmp_path / "s.txt").write_text("0.9 1\n1.1 1\n")
        made = from_flags(f"--geometry {path} --spectrum {tmp_path}/s.txt -cell 30 -default_F 1")
        assert made.beam.wavelength_A == pytest.approx(1.0, abs=0.02)


#: clen, coffset of both panels (mm), -distance, and where the panels stand then.
DISTANCES = {
    "encoder": ("/LCLS/detector_1/EncoderValue", 580, 580, 100, (100, 100)),
    "encoder, refined": ("/LCLS/detector_1/EncoderValue", 573.224, 573.724, 120, (120, 120.5)),
    "literal encoder": ("-450 mm", 580, 580, 120, (120, 120)),
    "no clen": (None, 0, 1.5, 80, (80, 81.5)),
    "far coffset, no clen": (None, 700.742, 700.742, 693, (693, 693)),
    "as the file says": ("0.1", 0, 0, None, (100, 100)),
    "small coffset": ("0.1", 1, 2, None, (101, 102)),
}


@pytest.mark.parametrize("name", DISTANCES)
def test_distance_that_is_asked_for(tmp_path, name):
    clen, one, two, distance, wanted = DISTANCES[name]
    top = "photon_energy = 9000\nres = 10000" + (f"\nclen = {clen}" if clen else "")
    text = bare(f"p0/coffset = {one / 1000}", top=top) + bare(f"p1/coffset = {two / 1000}", top="", panel="p1")
    found = read(tmp_path, text, distance_mm=distance)
    assert [panel.pix0_mm[2] for panel in found.panels] == pytest.approx(wanted)
    told = [note for note in found.notes if "coffset" in note]
    assert len(told) == (distance is not None and one > 1)
    if told:
        assert f"coffset of {one:g} mm" in told[0]


def test_clen_behind_the_panels_and_missing(tmp_path):
    """In today's CrystFEL clen is of the whole detector, wherever it stands."""
    text = bare("clen = 0.25", top="photon_energy = 9000\nres = 10000")
    assert read(tmp_path, text).panels[0].pix0_mm[2] == pytest.approx(250)
    with pytest.raises(FileError, match="panel p0 has no clen: give -distance"):
        read(tmp_path, text.replace("clen = 0.25", ""))


#: fs, ss: the corner at (w, h) lies at (corner + w fs + h ss) / res.
EDGES = {
    "DSSC": ("-0.002x -1.154y", "+1.0x -0.0017y"),
    "scaled": ("1.003x", "1.003y"),
    "unequal": ("x +0.1y", "-0.2x +1.5y"),
    "far from one": ("0.5x", "2.0y"),
    "oblique": ("x", "0.1x +0.995y"),
    "rounded": ("-0.004806x +0.999988y", "-0.999988x -0.004806y"),
    "out of plane": ("0.9x + 0.3z", "1.1y -0.2z"),
}


@pytest.mark.parametrize("name", EDGES)
def test_corners_are_where_fs_and_ss_put_them(tmp_path, name):
    fs, ss = EDGES[name]
    text = bare().replace("fs = x", f"fs = {fs}").replace("ss = y", f"ss = {ss}")
    simulation = from_flags(f"--geometry {write_text(tmp_path, text)} -cell 30 -default_F 1")
    panel = resolve(simulation).panel

    def terms(text: str) -> np.ndarray:
        found = {
            term[-1]: float(term[:-1] or 1) for term in text.replace(" ", "").replace("-", "+-").split("+") if term
        }
        return np.array([found.get(axis, 0.0) for axis in "xyz"])

    for w, h in ((0, 0), (100, 0), (0, 80), (100, 80)):
        wanted = 0.1 * (np.array([-50, -40, 1000]) + w * terms(fs) + h * terms(ss))
        np.testing.assert_allclose(pixel_place(panel, w, h), wanted, atol=2e-4)  # 0.002 pixels


def write_text(tmp_path, text: str):
    path = tmp_path / "x.geom"
    path.write_text(text)
    return path


def test_shift_of_the_detector(tmp_path):
    top = "photon_energy = 9000\nclen = 0.1\nres = 10000\ndetector_shift_x = 1.5 mm\ndetector_shift_y = -0.0005"
    assert read(tmp_path, bare(top=top)).panels[0].pix0_mm == pytest.approx((-3.5, -4.5, 100))
    with pytest.raises(FileError, match=r"line 4 of .*detector_shift_x is kept in the data file \(/shift m\)"):
        read(tmp_path, bare(top=top.replace("1.5 mm", "/shift m")))


def test_what_is_not_used_is_named_in_one_line(tmp_path):
    top = "photon_energy = 9000\nclen = 0.1\nres = 10000\nbandwidth = 0.01\nmask = /m\nmask_good = 0\nadu_per_eV = 1\ncornr = 3"
    extra = ("p0/no_index = 1", "bad_a/min_x = 1", "bad_b/min_x = 2", "rigid_group_q0 = p0", "p0/dim0 = %")
    (note,) = read(tmp_path, bare(*extra, top=top)).notes
    for thing in ("bandwidth 0.01", "mask (2 times)", "cornr", "2 bad regions", "no_index of 1 panel"):
        assert thing in note
    for thing in ("adu", "rigid", "dim0"):
        assert thing not in note
    assert read(tmp_path, bare()).notes == ()


def test_last_line_wins_and_is_named(tmp_path):
    found = read(tmp_path, bare("p0/corner_x = -7", "p0/corner_x = -7", "wavelength = 1.2 A"))
    assert found.panels[0].pix0_mm[0] == pytest.approx(-0.7)
    assert found.wavelength_A == pytest.approx(1.2)
    (note,) = found.notes
    assert "p0/corner_x = -50 (-7 of line 12 holds)" in note
    assert "photon_energy = 9000 eV (wavelength = 1.2 A of line 14 holds)" in note
    # a default that changes from panel to panel does not contradict itself
    two = bare() + bare(top="res = 5000", panel="p1")
    found = read(tmp_path, two)
    assert [panel.pixel_mm for panel in found.panels] == pytest.approx([0.1, 0.2])
    assert found.notes == ()


def test_bytes_that_are_no_plain_text(tmp_path):
    plain = read(tmp_path, bare())
    kept = (
        b"; \x01 made by a program\n; \xff\xfe\n" + bare().encode(),
        bare().replace("p0/corner_x = -50", "p0/corner_x\xa0=\xa0-50\xa0").encode("latin-1"),
        bare().replace("= -50", "= -50\xa0; caf\xe9").replace("9000 eV", "9000\xa0eV").encode("utf-8"),
        b"\xef\xbb\xbf" + bare().replace("\n", "\r\n").encode() + b"\x1a",
    )
    for content in kept:
        found = read(tmp_path, content)
        assert found.panels == plain.panels
        assert found.wavelength_A == plain.wavelength_A
    with pytest.raises(FileError, match=r"line 8 of .*holds the control character 0x07: delete it"):
        read(tmp_path, bare().replace("= -50", "= -5\x070"))
    with pytest.raises(FileError, match="is not a text file: byte 4 is 0x00"):
        read(tmp_path, b"clen\0")


def test_words_behind_a_number(tmp_path):
    found = read(tmp_path, bare("p0/corner_y = -3 as measured"))
    assert found.panels[0].pix0_mm[1] == pytest.approx(-0.3)
    assert any("'as measured' behind the number of p0/corner_y in line 12" in note for note in found.notes)
    for line, message in (
        ("p0/corner_x = -50 mm", "p0/corner_x must be a number without a unit, got '-50 mm'"),
        ("p0/corner_x = -5o", "p0/corner_x must be a number without a unit"),
        ("p0/res = 1e4 px", "p0/res must be a number without a unit"),
        ("p0/clen = 0.1 m or so", "p0/clen must be a number in m, mm, cm, um"),
        ("p0/fs = x about", "p0/fs must be like"),
    ):
        with pytest.raises(FileError, match=message):
            read(tmp_path, bare(line))


def test_axes_that_are_not_given_are_named(tmp_path):
    text = bare().replace("p0/fs = x\n", "").replace("p0/ss = y\n", "") + bare(top="", panel="p1").replace(
        "p1/ss = y\n", ""
    )
    found = read(tmp_path, text)
    assert [panel.fast_axis for panel in found.panels] == [(1, 0, 0), (1, 0, 0)]
    (note,) = found.notes
    assert "does not say how panel p0 (and 1 more) lies: fs = x and ss = y is taken" in note
