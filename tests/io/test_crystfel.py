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
