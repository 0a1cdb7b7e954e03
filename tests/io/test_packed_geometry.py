"""Geometry files that are packed, SMV headers of other programs, angles of miniCBF headers."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma

import h5py
import numpy as np
import pytest

from nbnumba.errors import FileError, UsageError
from nbnumba.io.smv import read_smv
from nbnumba.model.geometry_files import read_geometry
from tests.geometry_inputs import GEOM, INP, MINI, an_experiment, direct_vectors, from_flags, xparm

PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
FILES = {
    "expt": json.dumps(an_experiment()).encode(),
    "geom": GEOM.encode(),
    "xds.inp": INP.encode(),
    "xparm": xparm(direct_vectors()).encode(),
    "cbf": MINI.encode() + b"\x0c\x1a\x04\xd5\x00\x01",
}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("kind", FILES)
def test_packed_files_are_read_as_plain_ones(tmp_path, kind, packer):
    (tmp_path / "plain").write_bytes(FILES[kind])
    (tmp_path / "packed").write_bytes(PACKERS[packer](FILES[kind]))
    plain, packed = (read_geometry(tmp_path / name) for name in ("plain", "packed"))
    assert packed.panels == plain.panels
    assert (packed.format, packed.wavelength_A, packed.spindle) == (plain.format, plain.wavelength_A, plain.spindle)


def smv(line_end: str = "\n", **entries: str) -> bytes:
    """An image of 6 x 5 pixels; an entry of "" is left out."""
    usual = {"HEADER_BYTES": "512", "DIM": "2", "BYTE_ORDER": "little_endian", "TYPE": "unsigned_short"}
    usual |= {"SIZE1": "6", "SIZE2": "5", "PIXEL_SIZE": "0.3", "DISTANCE": "80", "WAVELENGTH": "1.1"}
    usual |= {"BEAM_CENTER_X": "0.9", "BEAM_CENTER_Y": "0.6"} | entries
    header = f"{{{line_end}" + "".join(f"{k}={v};{line_end}" for k, v in usual.items() if v) + f"}}{line_end}"
    return header.encode().ljust(512) + np.arange(30, dtype="<u2").tobytes()


@pytest.mark.parametrize("packer", PACKERS)
def test_packed_smv(tmp_path, packer):
    path = tmp_path / "a.img"
    path.write_bytes(PACKERS[packer](smv()))
    np.testing.assert_array_equal(read_smv(path).data, np.arange(30).reshape(5, 6))
    made = from_flags(f"--geometry {path} -cell 30 -default_F 1")
    assert (made.detector.distance_mm, made.beam.wavelength_A) == (80, 1.1)
    path.write_bytes(PACKERS[packer](smv()[:-2]))
    with pytest.raises(FileError, match="is truncated: 6 x 5 pixels need 60 bytes, 58 found"):
        read_smv(path)


def test_packed_files_that_cannot_be_used(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry"] = 1
    (tmp_path / "a.h5.gz").write_bytes(gzip.compress((tmp_path / "a.h5").read_bytes()))
    with pytest.raises(FileError, match=r"a\.h5\.gz is an HDF5 file packed by gzip: unpack it first"):
        read_geometry(tmp_path / "a.h5.gz")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(GEOM.encode())[:100])
    with pytest.raises(FileError, match=r"cut\.gz is a gzip file that cannot be unpacked"):
        read_geometry(tmp_path / "cut.gz")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_smv_with_line_ends_of_dos(tmp_path, line_end):
    """The same header, whatever its line ends: beam centre (0.9 0.6) mm in MOSFLM's convention."""
    path = tmp_path / "a.img"
    path.write_bytes(smv(line_end))
    image = read_smv(path)
    np.testing.assert_array_equal(image.data, np.arange(30).reshape(5, 6))
    assert (image.value("DISTANCE"), image.value("BEAM_CENTER_Y")) == (80, 0.6)
    one, two = (from_flags(f"{flag} {path} -cell 30 -default_F 1") for flag in ("-img", "--geometry"))
    assert one == two
    assert (one.detector.Xbeam_mm, one.detector.pixel_mm, one.detector.fpixels) == (0.9, 0.3, 6)


@pytest.mark.parametrize("kind", ["unsigned short int", "unsigned_short", "Unsigned  Short  Int"])
def test_smv_pixel_type_of_dtrek(tmp_path, kind):
    path = tmp_path / "a.img"
    path.write_bytes(smv(TYPE="", Data_type=kind))
    assert read_smv(path).data[4, 5] == 29


@pytest.mark.parametrize("kind", ["long int", "float IEEE", "signed char", "short int", "unsigned long int", "8-bit"])
def test_smv_pixel_type_of_dtrek_that_is_not_read(tmp_path, kind):
    path = tmp_path / "a.img"
    path.write_bytes(smv(TYPE="", Data_type=kind))
    with pytest.raises(FileError, match=f"must hold unsigned_short pixels, its Data_type is {kind}"):
        read_smv(path)
    with pytest.raises(FileError, match="Data_type"):
        from_flags(f"-mask {path} -cell 30 -default_F 1")


def test_smv_with_compressed_pixels(tmp_path):
    path = tmp_path / "a.img"
    path.write_bytes(smv(COMPRESSION="None"))
    assert read_smv(path).data[0, 1] == 1
    path.write_bytes(smv(COMPRESSION="BS"))
    with pytest.raises(FileError, match=r"holds compressed pixels \(BS\)"):
        read_smv(path)


#: Lines of a miniCBF header, and what the log says of them.
ANGLES = {
    "# Detector_2theta 20.0000 deg.": "Detector_2theta 20 deg (see -twotheta)",
    "# Kappa 30.0 deg.\n# Phi 20.0 deg.": "Kappa 30 deg and Phi 20 deg",
    "# Chi -54.7 deg": "Chi -54.7 deg",
    "# Detector_2theta = -5.5": "Detector_2theta -5.5 (see -twotheta)",
    "# Oscillation_axis PHI\n# Phi 10.0000 deg.": "Oscillation_axis phi",
    "# Oscillation_axis CHI\n# Phi 7 deg.": "Phi 7 deg and Oscillation_axis chi",
    "# Detector_2theta 0.0000 deg.\n# Kappa 0.0000 deg.\n# Phi 0.0 deg.\n# Chi 0.0 deg.": "",
    "# Oscillation_axis X, CW\n# N_oscillations 1\n# Phi_increment 3": "",
    "# Oscillation_axis OMEGA\n# Omega 10.0000 deg.": "",
}


@pytest.mark.parametrize("lines", ANGLES)
def test_mini_cbf_angles_that_are_not_used_are_named(tmp_path, lines):
    path = tmp_path / "a.cbf"
    path.write_bytes(MINI.replace("# Wavelength", f"{lines}\n# Wavelength").encode())
    notes = read_geometry(path).notes
    assert notes == ((f"CBF image {path} also has {ANGLES[lines]}, not used",) if ANGLES[lines] else ())


def test_mini_cbf_with_pixels_that_are_not_square(tmp_path):
    path = tmp_path / "a.cbf"
    path.write_bytes(MINI.replace("300e-6 m x 300e-6 m", "300e-6 m x 150e-6 m").encode())
    (panel,) = read_geometry(path).panels
    assert (panel.pixel_mm, panel.slow_pixel_mm) == pytest.approx((0.3, 0.15))
    assert panel.pix0_mm == pytest.approx((-118.2 * 0.3, 97.7 * 0.15, -71.5))


def test_experiment_of_an_image_is_refused(tmp_path):
    (tmp_path / "a.img").write_bytes(smv())
    with pytest.raises(
        UsageError, match=r"--experiment chooses an experiment of a \.expt, but .*a\.img is an SMV image"
    ):
        from_flags(f"--geometry {tmp_path}/a.img --experiment 0 -cell 30 -default_F 1")
