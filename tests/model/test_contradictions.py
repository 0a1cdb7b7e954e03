"""Warnings about two sources that say different things."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from nbnumba.model.contradictions import of_distance, of_matrix
from tests.conftest import GOLDEN
from tests.geometry_inputs import from_flags, write_geom

U = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


def matrix_file(path, cell, wavelength, said=None, tail=True):
    """A as MOSFLM writes it for a cell with right angles, for a wavelength."""
    A = wavelength * U @ np.diag(1 / np.array(cell, float))
    rows = ["".join(f"{x:12.8f}" for x in row) for row in A]
    if tail:
        rows += ["".join(f"{0:12.3f}" for _ in range(3)), *("".join(f"{x:12.7f}" for x in row) for row in U)]
        rows += ["".join(f"{x:12.4f}" for x in (*(said or cell), 90, 90, 90)), "".join(f"{0:12.3f}" for _ in range(3))]
    path.write_text("\n".join(rows) + "\n")
    return path


def warnings(caplog, line: str) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "nbnumba"):
        from_flags(line)
    return [record.message for record in caplog.records]


@pytest.mark.parametrize(("made_for", "used"), [(0.9, 1.0), (0.9793, 1.0), (1.5418, 1.5), (1.0, 0.7), (0.0251, 1.0)])
def test_matrix_made_for_another_wavelength(tmp_path, caplog, made_for, used):
    """Line 8 is the cell 60 70 80; A at another wavelength has its lengths times used / made_for."""
    path = matrix_file(tmp_path / "A.mat", (60, 70, 80), made_for)
    (note,) = warnings(caplog, f"-mat {path} -lambda {used} -default_F 1 -N 5")
    assert "line 8 of " in note
    assert "60 70 80 90 90 90" in note
    assert f"{60 * used / made_for:.4g}"[:4] in note
    assert f"give -lambda {made_for:g}" in note
    assert warnings(caplog, f"-mat {path} -lambda {made_for} -default_F 1 -N 5") == []


def test_case_22(tmp_path, caplog):
    """A = diag(0.9 / (60, 70, 80)): at the default of 1 A the cell would be 66.667 77.778 88.889."""
    rows = "0.015 0 0\n0 0.01285714 0\n0 0 0.01125\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n60 70 80 90 90 90\n0 0 0\n"
    (tmp_path / "A.mat").write_text(rows)
    (note,) = warnings(caplog, f"-mat {tmp_path}/A.mat -default_F 1 -N 5")
    assert "66.6667 77.7778 88.8889" in note
    assert "-lambda 0.9" in note


def test_matrix_of_another_cell(tmp_path):
    path = matrix_file(tmp_path / "A.mat", (60, 70, 80), 1.0, said=(60, 70, 90))
    values = [float(x) for x in path.read_text().split()[:9]]
    (note,) = of_matrix(path, values, 1.0)
    assert "60 70 90 90 90 90" in note
    assert "give -lambda" not in note


def test_matrices_that_say_nothing_else(tmp_path, caplog):
    short = matrix_file(tmp_path / "short.mat", (60, 70, 80), 0.9, tail=False)
    assert warnings(caplog, f"-mat {short} -default_F 1 -N 5") == []
    golden = GOLDEN / "inputs" / "tri_A.mat"
    assert warnings(caplog, f"-mat {golden} -lambda 0.9791 -default_F 1 -N 5") == []
    words = tmp_path / "words.mat"
    words.write_text(
        short.read_text() + "made by hand 60 70 80 and so on until there are more than enough words for it\n" * 3
    )
    assert warnings(caplog, f"-mat {words} -default_F 1 -N 5") == []


def test_matrix_and_cell(tmp_path, caplog):
    path = matrix_file(tmp_path / "A.mat", (60, 70, 80), 1.0)
    assert warnings(caplog, f"-mat {path} -cell 60.2 70 80 90 90 90 -default_F 1 -N 5") == []
    # the difference of the golden case mat_plus_cell, which is meant
    assert warnings(caplog, f"-mat {path} -cell 65.9 74 84 90 90 90 -default_F 1 -N 5") == []
    (note,) = warnings(caplog, f"-mat {path} -cell 60 70 95 90 90 90 -default_F 1 -N 5")
    assert "-cell 60 70 95 90 90 90 contradicts -mat" in note
    assert "60 70 80 90 90 90" in note
    (note,) = warnings(caplog, f"-mat {path} -cell 79.1 -default_F 1 -N 5")
    assert "-cell 79.1 79.1 79.1 90 90 90" in note


def test_distances(tmp_path, caplog):
    path = write_geom(tmp_path / "x.geom")
    (note,) = (n for n in warnings(caplog, f"--geometry {path} -distance 200 -cell 30 -default_F 1") if "replaces" in n)
    assert "-distance 200 mm replaces the 79 mm" in note
    assert not [
        n for n in warnings(caplog, f"--geometry {path} -distance 80 -cell 30 -default_F 1") if "-distance" in n
    ]
    image = GOLDEN / "inputs" / "header_close.img"
    assert warnings(caplog, f"-img {image} -distance 80 -cell 30 -default_F 1 -N 5") == []
    (note,) = warnings(caplog, f"-img {image} -distance 180 -cell 30 -default_F 1 -N 5")
    assert "-distance 180 mm has no effect" in note
    assert "61 mm" in note
    assert warnings(caplog, f"-img {image} -distance 180 -close_distance 90 -cell 30 -default_F 1 -N 5") == []
    assert of_distance("a file", None, 100.0) == []
    assert of_distance("a file", 95.0, 100.0) == []
    assert of_distance("a file", 0.25, 250.0) == ["-distance 250 mm replaces the 0.25 mm of a file"]


def test_header_without_numbers(tmp_path, caplog):
    header = (
        "{\nHEADER_BYTES=512;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=20;\nSIZE2=30;\nDISTANCE=70;\n}\n"
    )
    (tmp_path / "a.img").write_bytes(header.encode().ljust(512) + bytes(1200))
    (note,) = warnings(caplog, f"--geometry {tmp_path}/a.img -cell 30 -default_F 1 -N 5")
    assert "has no PIXEL_SIZE (0.1 mm), WAVELENGTH (1 A)" in note
    (note,) = warnings(caplog, f"-img {tmp_path}/a.img -lambda 1.1 -cell 30 -default_F 1 -N 5")
    assert "has no PIXEL_SIZE (0.1 mm): " in note
