"""Geometry from the headers of images: miniCBF, NXmx, SMV."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.io.geometry import rotation
from nbnumba.model.geometry_files import read_geometry
from tests.geometry_inputs import (
    MINI,
    WAVELENGTH,
    from_flags,
    make_nxmx,
)


def test_mini_cbf_is_dxtbx_frame(tmp_path):
    path = tmp_path / "a.cbf"
    path.write_bytes(MINI.encode() + b"\x0c\x1a\x04\xd5\x00\x01 # Wavelength 7")
    found = read_geometry(path)
    (panel,) = found.panels
    assert panel.pix0_mm == pytest.approx((-118.2 * 0.3, 97.7 * 0.3, -71.5))
    assert (panel.fast_axis, panel.slow_axis, panel.fpixels, panel.spixels) == ((1, 0, 0), (0, -1, 0), 240, 200)
    assert (found.beam, found.spindle) == ((0, 0, -1), (1, 0, 0))
    assert (found.wavelength_A, found.phi_deg, found.osc_deg) == (WAVELENGTH, 10, 0.5)
    assert found.kahn_factor == pytest.approx(0.98)
    path.write_bytes(MINI.replace("# Beam_xy (118.20, 97.70) pixels\n", "").encode())
    with pytest.raises(FileError, match=r"a\.cbf has no Beam_xy"):
        read_geometry(path)
    path.write_bytes(MINI.replace("(118.20, 97.70)", "118.20").encode())
    with pytest.raises(FileError, match=r"a\.cbf: Beam_xy needs 2 numbers, got"):
        read_geometry(path)
    path.write_bytes(MINI.replace("0.9795", "0.0").encode())
    with pytest.raises(FileError, match=r"a\.cbf: Wavelength must be > 0, got 0"):
        read_geometry(path)
    path.write_bytes(MINI.encode())
    with pytest.raises(FileError, match=r"a\.cbf holds one image: leave out --geometry-image"):
        read_geometry(path, image=2)


@pytest.mark.parametrize("n_images", [1, 3])
def test_nxmx_chains_of_transformations(tmp_path, n_images):
    found = read_geometry(make_nxmx(tmp_path / "m.nxs", n_images), image=n_images)
    swing, tilt = rotation((1, 0, 0), 10), rotation((0, 1, 0), 12)
    one, two = found.panels
    np.testing.assert_allclose(one.pix0_mm, swing @ [-30, 20, 71.5], atol=1e-12)
    np.testing.assert_allclose(two.pix0_mm, swing @ [6, 20, 72.5], atol=1e-12)
    np.testing.assert_allclose(two.fast_axis, swing @ tilt @ [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(two.slow_axis, swing @ tilt @ [0, -1, 0], atol=1e-12)
    assert two.pixel_mm == pytest.approx(0.3)
    assert (two.offset, two.fpixels, two.spixels) == ((70, 0), 60, 50)
    np.testing.assert_allclose(found.spindle, rotation((0, 0, 1), 30) @ [-1, 0, 0], atol=1e-12)
    assert found.phi_deg == pytest.approx(10 + 0.5 * (n_images - 1))
    assert found.osc_deg == pytest.approx(0.5)
    assert found.beam == (0, 0, 1)
    assert found.wavelength_A == WAVELENGTH
    with pytest.raises(FileError, match=rf"holds {n_images} images: there is no image 7"):
        read_geometry(tmp_path / "m.nxs", image=7)


ARM = "/entry/instrument/det/transformations"
NXMX_ERRORS = {
    "has no incident_wavelength": lambda file: file.__delitem__("/entry/instrument/beam/incident_wavelength"),
    r"swing holds a number that is out of range": lambda file: file[f"{ARM}/swing"].__setitem__(0, 1e300),
    r"the unit of .*swing must be one of .*, got 'furlong'": lambda file: file[f"{ARM}/swing"].attrs.modify(
        "units", "furlong"
    ),
    r"the vector of .*swing has no length": lambda file: file[f"{ARM}/swing"].attrs.modify("vector", (0.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("message", NXMX_ERRORS)
def test_nxmx_values_that_cannot_be(tmp_path, message):
    path = make_nxmx(tmp_path / "m.nxs")
    with h5py.File(path, "a") as file:
        NXMX_ERRORS[message](file)
    with pytest.raises(FileError, match=rf"m\.nxs.*{message}"):
        read_geometry(path)


def test_nxmx_rotations_without_ends_are_as_wide_as_their_steps(tmp_path):
    path = make_nxmx(tmp_path / "m.nxs")
    with h5py.File(path, "a") as file:
        del file["/entry/sample/transformations/omega_end"]
    assert read_geometry(path, image=2).osc_deg == pytest.approx(0.5)


def test_nxmx_stills_have_no_scan(tmp_path):
    path = make_nxmx(tmp_path / "m.nxs", 1)
    with h5py.File(path, "a") as file:
        del file["/entry/sample/depends_on"], file["/entry/sample/transformations"]
    found = read_geometry(path)
    assert (found.spindle, found.phi_deg, found.osc_deg) == (None, None, None)


def test_nxmx_errors_name_file_and_place(tmp_path):
    path = make_nxmx(tmp_path / "m.nxs")
    with h5py.File(path, "a") as file:
        del file["/entry/instrument/det/transformations/away"]
    with pytest.raises(FileError, match=r"m\.nxs: /entry/instrument/det/transformations/away, .* is missing"):
        read_geometry(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match=r"the NXmx file .*m\.nxs cannot be read"):
        read_geometry(path)


def test_smv_image_is_read_as_img_does(tmp_path):
    header = (
        "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=20;\nSIZE2=30;\n"
        "PIXEL_SIZE=0.3;\nDISTANCE=80;\nWAVELENGTH=1.1;\nBEAM_CENTER_X=3;\nBEAM_CENTER_Y=4;\nPHI=7;\nOSC_RANGE=0.5;\n}\n"
    )
    path = tmp_path / "a.img"
    path.write_bytes(header.encode().ljust(512) + bytes(1200))
    one, two = (from_flags(f"{flag} {path} -cell 30 -default_F 1 -distance 90") for flag in ("-img", "--geometry"))
    assert one == two
    assert two.beam.wavelength_A == 1.1
    assert two.detector.distance_mm == 90
