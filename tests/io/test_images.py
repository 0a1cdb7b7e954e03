"""Float images and PGM pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nbnumba.errors import FileError
from nbnumba.io.pgm import read_pgm, write_pgm
from nbnumba.io.raw import read_float_image, write_float_image
from tests.conftest import CASES

sides = array_shapes(min_dims=2, max_dims=2, max_side=7)


@given(arrays(np.float32, sides, elements=st.floats(width=32)))
def test_float_image_write_read_is_identity(tmp_path_factory, image):
    path = tmp_path_factory.getbasetemp() / "f.bin"
    write_float_image(path, image)
    assert path.read_bytes() == image.astype("<f4").tobytes()
    assert read_float_image(path, image.shape).tobytes() == image.tobytes()


def test_float_image_of_another_layout(tmp_path):
    image = np.arange(12, dtype=np.float64).reshape(3, 4).T
    write_float_image(tmp_path / "f.bin", image)
    np.testing.assert_array_equal(read_float_image(tmp_path / "f.bin", (4, 3)), image)


@pytest.mark.parametrize("size", [0, 47, 49])
def test_float_image_of_wrong_size(tmp_path, size):
    (tmp_path / "f.bin").write_bytes(bytes(size))
    with pytest.raises(FileError, match=rf"has {size} bytes, but 4 x 3 pixels of 4 bytes need 48"):
        read_float_image(tmp_path / "f.bin", (3, 4))


@given(arrays(np.uint8, sides), st.floats(1e-30, 1e30))
def test_pgm_write_read_is_identity(tmp_path_factory, picture, scale):
    path = tmp_path_factory.getbasetemp() / "p.pgm"
    write_pgm(path, picture, scale)
    again, noted = read_pgm(path)
    np.testing.assert_array_equal(again, picture)
    assert noted == pytest.approx(scale, rel=1e-5)  # six digits are written


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "pgm_header" in case])
def test_pgm_bytes_are_the_references(tmp_path, golden_images, name):
    picture = golden_images[f"{name}__pgm"]
    scale = CASES[name]["expect"]["pgm_scale"]
    write_pgm(tmp_path / "p.pgm", picture, scale)
    assert (tmp_path / "p.pgm").read_bytes() == CASES[name]["pgm_header"].encode() + picture.tobytes()


def test_pgm_headers_of_other_programs(tmp_path):
    path = tmp_path / "p.pgm"
    for header in (b"P5 2 1 255\n", b"P5\n# who\n2\n# why\n1\n255\n", b"P5\t2\r1 255 "):
        path.write_bytes(header + b" \n")
        picture, scale = read_pgm(path)
        assert picture.tolist() == [[32, 10]]
        assert scale is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not start with 'P5'"),
        (b"P6\n2 1\n255\nab", "does not start with 'P5'"),
        (b"P5\n2 -1\n255\nab", "does not start with 'P5'"),
        (b"P5\n2 1\n65535\nabcd", "must hold 8-bit pixels"),
        (b"P5\n0 1\n255\n", "must hold 8-bit pixels"),
        (b"P5\n2 1\n255\na", "truncated: 2 x 1 pixels announced, 1 bytes found"),
        (b"P5\n999999999 999999999\n255\na", "truncated"),
    ],
)
def test_malformed_pgm(tmp_path, content, message):
    (tmp_path / "p.pgm").write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_pgm(tmp_path / "p.pgm")


def test_pgm_takes_bytes_only(tmp_path):
    with pytest.raises(TypeError, match="uint8"):
        write_pgm(tmp_path / "p.pgm", np.zeros((2, 2)), 1.0)
