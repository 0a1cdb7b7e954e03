"""SMV images: the reference's header, its look-up rule, and what fabio reads."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nbnumba.errors import FileError
from nbnumba.io.smv import SmvGeometry, header_value, read_smv, smv_header, write_smv
from tests.conftest import CASES, GOLDEN

INPUTS = GOLDEN / "inputs"
GEOMETRY = SmvGeometry(
    fpixels=3,
    spixels=2,
    pixel_mm=0.1,
    distance_mm=100,
    wavelength_A=0.9768,
    xbeam_mm=1,
    ybeam_mm=2,
    fbeam_mm=2.05,
    sbeam_mm=1.05,
    detsize_s_mm=0.2,
    dials_origin_mm=(-2.05, 1.05, -100),
    orgx=21,
    orgy=11,
    close_distance_mm=99,
    phi_deg=10,
    osc_deg=0.5,
    twotheta_deg=0,
)
#: Every number as long as %g makes them: such a header overflows 512 bytes.
LONG = dataclasses.replace(
    GEOMETRY,
    **{
        field.name: -1.23456e-100
        for field in dataclasses.fields(SmvGeometry)
        if field.name not in ("fpixels", "spixels", "dials_origin_mm")
    },
    dials_origin_mm=(-1.23456e-100,) * 3,
)


def geometry_of(case: dict) -> SmvGeometry:
    e = case["expect"]
    spixels, fpixels = case["shape"]
    return SmvGeometry(
        fpixels=fpixels,
        spixels=spixels,
        pixel_mm=e["pixel_m"] * 1000,
        distance_mm=e["distance_m"] * 1000,
        wavelength_A=e["lambda0_m"] * 1e10,
        xbeam_mm=e["Xbeam_m"] * 1000,
        ybeam_mm=e["Ybeam_m"] * 1000,
        fbeam_mm=e["Fbeam_m"] * 1000,
        sbeam_mm=e["Sbeam_m"] * 1000,
        detsize_s_mm=e["detsize_slow_m"] * 1000,
        dials_origin_mm=tuple(e["dials_origin_mm"]),
        orgx=e["XDS_ORGX"],
        orgy=e["XDS_ORGY"],
        close_distance_mm=e["close_distance_m"] * 1000,
        phi_deg=e["phi_start_deg"],
        osc_deg=e["phi_end_deg"] - e["phi_start_deg"],
        twotheta_deg=0.0,
    )


def entries(header: str) -> dict[str, str]:
    return dict(line.rstrip(";").split("=") for line in header.split("\n") if "=" in line)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "smv_header" in case])
def test_header_is_the_references(name):
    header = smv_header(geometry_of(CASES[name]), 40)
    ours, reference = entries(header.decode("ascii")), entries(CASES[name]["smv_header"])
    assert len(reference) > 25
    assert ours.pop("ADC_OFFSET") == "40"
    assert list(ours.items()) == list(reference.items())


def test_header_layout():
    for geometry, size in ((GEOMETRY, 512), (LONG, 1024)):
        header = smv_header(geometry, 40)
        assert len(header) == size
        assert header.startswith(b"{\nHEADER_BYTES=%d;\n" % size)
        text, padding = header.split(b"}\f")
        assert padding.strip(b" ") == b""
        assert all(line.endswith(b";") for line in text.split(b"\n")[1:-1])


@pytest.mark.parametrize("geometry", [GEOMETRY, LONG], ids=["512", "1024"])
def test_fabio_reads_it(tmp_path, geometry):
    import fabio

    data = np.array([[0, 1, 40], [258, 32768, 65535]], np.uint16)
    write_smv(tmp_path / "x.img", data, geometry, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fabio's own
        image = fabio.open(str(tmp_path / "x.img"))
    np.testing.assert_array_equal(image.data, data)
    assert int(image.header["HEADER_BYTES"]) == len(smv_header(geometry, 40))
    assert float(image.header["DISTANCE"]) == geometry.distance_mm
    assert float(image.header["ADC_OFFSET"]) == 40


@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=7)), st.booleans())
def test_write_read_is_identity(tmp_path_factory, data, long):
    path = tmp_path_factory.getbasetemp() / "identity.img"
    geometry = dataclasses.replace(LONG if long else GEOMETRY, spixels=data.shape[0], fpixels=data.shape[1])
    write_smv(path, data, geometry, 12.5)
    image = read_smv(path)
    np.testing.assert_array_equal(image.data, data)
    assert image.data.dtype == np.uint16
    assert image.value("ADC_OFFSET") == 12.5
    assert image.value("WAVELENGTH") == geometry.wavelength_A


@pytest.mark.parametrize(("name", "shape"), [("mask", (70, 90)), ("header", (72, 96)), ("header_close", (72, 96))])
def test_golden_inputs(name, shape):
    path = INPUTS / f"{name}.img"
    image = read_smv(path)
    np.testing.assert_array_equal(image.data, np.frombuffer(path.read_bytes()[512:], "<u2").reshape(shape))
    only = read_smv(path, header_only=True)
    assert only.data.shape == shape and not only.data.any()
    assert only.header_text == image.header_text


def test_look_up_of_the_reference_in_real_headers():
    image = read_smv(INPUTS / "header_close.img", header_only=True)
    assert image.value("ORGX") == 41.25  # part of XDS_ORGX
    assert image.value("DISTANCE") == 61  # of CLOSE_DISTANCE, which comes last
    assert image.value("BEAM_CENTER_X") == 9.7
    assert image.value("TWOTHETA") is None
    assert read_smv(INPUTS / "header.img", header_only=True).value("TWOTHETA") == 7


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("A=1;\nA=2;", 2),
        ("A=1;\nXA=2;", 2),
        ("A_LONG=3;", 3),
        ("A;\nB=4;", 4),
        ("A", 0),
        ("A=word;", 0),
        ("A=;\n7", 0),
        ("A= \n 7", 7),
        ("A=1.5e2x", 150),
        ("A=1e", 1),
        ("A=-.5", -0.5),
        ("A=0x1F;", 31),
        ("A=nan;", None),
        ("A=-inf;", -np.inf),
        ("B=1", None),
        ("", None),
    ],
)
def test_look_up_rule(header, value):
    assert header_value(header, "A") == value


def image_bytes(text: str = "", pixels: int = 12, **changes: str) -> bytes:
    keys = {"HEADER_BYTES": "512", "BYTE_ORDER": "little_endian", "SIZE1": "3", "SIZE2": "2", **changes}
    lines = "".join(f"{key}={value};\n" for key, value in keys.items() if value)
    return f"{{\n{lines}{text}}}\f".ljust(512).encode("latin-1") + bytes(range(pixels))


def test_big_endian_and_old_size_key(tmp_path):
    path = tmp_path / "x.img"
    path.write_bytes(image_bytes(BYTE_ORDER="big_endian"))
    assert read_smv(path).data[0].tolist() == [0x0001, 0x0203, 0x0405]
    path.write_bytes(image_bytes(pixels=8, SIZE1="", SIZE2="", DETECTOR_DIMENSIONS="2"))
    assert read_smv(path).data.tolist() == [[0x0100, 0x0302], [0x0504, 0x0706]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an SMV image"),
        (b"P5\n2 1\n255\nab", "not an SMV image"),
        (b"{\nHEADER_BYTES=512;\n", "ends inside its header: 20 bytes of 512"),
        (b"{\nHEADER_BYTES=1024;\n".ljust(700), "ends inside its header: 700 bytes of 1024"),
        (image_bytes(HEADER_BYTES="100"), "impossible HEADER_BYTES of 100"),
        (image_bytes(HEADER_BYTES="nan"), "impossible HEADER_BYTES of nothing"),
        (image_bytes(HEADER_BYTES="1e12"), "impossible HEADER_BYTES of 1e"),
        (image_bytes(SIZE1="0"), "impossible size"),
        (image_bytes(SIZE1="-3"), "impossible size"),
        (image_bytes(SIZE1="nan"), "impossible size"),
        (image_bytes(SIZE1="inf"), "impossible size"),
        (image_bytes(SIZE2="2.5"), "impossible size"),
        (image_bytes(SIZE2=""), "impossible size"),
        (image_bytes(SIZE1="1e300"), "impossible size"),
        (image_bytes(SIZE1="999999", SIZE2="999999"), "truncated: 999999 x 999999 pixels need 1999996000002 bytes, 12"),
        (image_bytes(pixels=11), "truncated: 3 x 2 pixels need 12 bytes, 11 found"),
        (image_bytes(BYTE_ORDER=""), "must say BYTE_ORDER"),
        (image_bytes(BYTE_ORDER="middle_endian"), "must say BYTE_ORDER"),
        (image_bytes("TYPE=float;\n", pixels=24), "its TYPE is float"),
    ],
)
def test_malformed(tmp_path, content, message):
    (tmp_path / "x.img").write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_smv(tmp_path / "x.img")


def test_missing_file_and_folder(tmp_path):
    for path, message in ((tmp_path / "none.img", "no such file"), (tmp_path, "it is a folder")):
        with pytest.raises(FileError, match=f"cannot read the SMV image .*: {message}"):
            read_smv(path)


def test_wrong_arrays_are_refused_before_the_file_is_touched(tmp_path):
    for data in (np.zeros((3, 2), np.uint16), np.zeros((2, 3), np.int32)):
        with pytest.raises(TypeError, match="2 rows and 3 columns"):
            write_smv(tmp_path / "x.img", data, GEOMETRY, 40)
    assert not list(tmp_path.iterdir())
