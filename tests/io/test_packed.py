"""Packed files: known by their first bytes, whatever their name, with a limit for what they unpack to."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.io import packed
from nbnumba.io.lists.table import read_list
from nbnumba.io.model import calculate_reflections, read_model_cell
from nbnumba.io.reflections import read_cell, read_reflections
from nbnumba.model.config import StructureFactors
from nbnumba.model.structure_factors import resolve_structure_factors
from tests.io.reflection_inputs import make_cif, make_model, make_mtz


def _zstd(data: bytes) -> bytes:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    compressed: bytes = importlib.import_module(name).compress(data)
    return compressed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": _zstd,
}
#: A zstd frame of 3 bytes, uncompressed, by its definition (RFC 8878): for tests without a module.
FRAME = b"\x28\xb5\x2f\xfd\x20\x03\x19\x00\x00abc"


@pytest.mark.parametrize("name", PACKERS)
def test_every_packer_unpacks_every_kind(name, tmp_path):
    one = np.array([[1, 2, 3]])
    plain = {
        "mtz": make_mtz(tmp_path / "a.mtz", "P 1 21 1", {"FP": ("F", np.array([20.0]))}, one),
        "cif": make_cif(tmp_path / "a.cif", "P 1 21 1", ["F_meas_au"], [[1, 2, 3, 20]]),
        "hkl": tmp_path / "a.hkl",
        "pdb": make_model(tmp_path / "m.pdb", "P 1 21 1", 4),
        "mmcif": make_model(tmp_path / "m.cif", "P 1 21 1", 4),
    }
    plain["hkl"].write_text("1 2 3 20\n-1 -2 -3 20\n")
    for kind, path in plain.items():
        for suffix in ("", ".gz", ".mtz"):
            other = tmp_path / f"packed{suffix}"
            other.write_bytes(PACKERS[name](path.read_bytes()))
            assert packed.packer_of(other.read_bytes()) == name
            if kind in ("pdb", "mmcif"):
                assert read_model_cell(other) == read_model_cell(path)
                np.testing.assert_array_equal(calculate_reflections(other, 6.0).F, calculate_reflections(path, 6.0).F)
            elif kind == "hkl":
                np.testing.assert_array_equal(read_list(other).F, [20, 20])
            else:
                np.testing.assert_array_equal(read_reflections(other).F, read_reflections(path).F)
                assert read_cell(other) == read_cell(path)
            if kind in ("hkl", "mtz", "cif"):
                box, _ = resolve_structure_factors(StructureFactors(hkl=other))
                assert box.grid.max() == 20


@pytest.mark.parametrize("name", PACKERS)
def test_limit_of_what_is_unpacked(name, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(PACKERS[name](b"data_a\n" + b" " * (60 << 20)))
    for read in (read_reflections, read_model_cell, read_list):
        with pytest.raises(FileError, match="unpacks to more than 50 times its size"):
            read(path)
    assert len(packed.read_unpacked(path, "HKL file", 4096)) == 4096


@pytest.mark.parametrize("name", PACKERS)
def test_damaged_files_name_the_packer(name, tmp_path):
    whole = PACKERS[name](b"1 2 3 4\n" * 3000)
    for data in (whole[: len(whole) // 2], whole[:12] + b"\xff" * 30 + whole[42:]):
        path = tmp_path / "damaged"
        path.write_bytes(data)
        with pytest.raises(FileError, match=rf"damaged is a {name} file that cannot be unpacked"):
            packed.read_unpacked(path, "HKL file")


@pytest.mark.parametrize(
    ("head", "cure"),
    [
        (FRAME, r"zstd: unpack it with zstd -d, or: python -m pip install backports\.zstd"),
        (b"BZh91AY", "bzip2: unpack it with bzip2 -d"),
        (b"\xfd7zXZ\x00", "xz: unpack it with xz -d"),
    ],
)
def test_without_a_module_the_cure_is_said(head, cure, monkeypatch, tmp_path):
    """Python has bz2 and lzma only where their libraries were there when it was built."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(packed.importlib, "import_module", missing)
    path = tmp_path / "a.hkl.zst"
    path.write_bytes(head)
    with pytest.raises(FileError, match=rf"a\.hkl\.zst is packed by {cure}$"):
        read_list(Path(path))


def test_zstd_frame_by_its_definition(tmp_path):
    PACKERS["zstd"](b"")
    (tmp_path / "f").write_bytes(FRAME)
    assert packed.read_unpacked(tmp_path / "f", "HKL file") == b"abc"


def test_plain_files_are_as_they_are(tmp_path):
    (tmp_path / "f").write_bytes(b"BZ, not packed")
    assert packed.read_unpacked(tmp_path / "f", "HKL file") == b"BZ, not packed"
    assert packed.read_unpacked(tmp_path / "f", "HKL file", 2) == b"BZ"
