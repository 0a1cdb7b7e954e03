"""NXmx files as h5py reads them: counts, masks, and the place of every pixel along its chain of transformations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.io.nexus import ValidCounts, join_nexus, write_nexus, write_nexus_master
from nbnumba.model.frames import MCSTAS, image_geometry
from tests.io.geometries import DETECTORS, counts, experiment, in_place

VALID = ValidCounts(saturation=1000)


def write(path: Path, name: str, **more: object) -> np.ndarray:
    geometry = image_geometry(experiment(name))
    data = geometry.layout.arrange(counts(geometry))
    write_nexus(path, data, geometry, VALID, **more)  # type: ignore[arg-type]
    return data


def matrix(axis: h5py.Dataset) -> np.ndarray:
    """4x4 matrix of a translation and of all it depends on, mm."""
    assert axis.attrs["transformation_type"] == "translation" and axis.attrs["units"] == "mm"
    here = np.eye(4)
    here[:3, 3] = np.ravel(axis[()])[0] * axis.attrs["vector"] + axis.attrs.get("offset", np.zeros(3))
    before = axis.attrs["depends_on"]
    return here if before == "." else matrix(axis.file[before]) @ here


@pytest.mark.parametrize("name", DETECTORS)
def test_every_pixel_is_in_its_place(name: str, tmp_path: Path) -> None:
    data = write(tmp_path / "a.nxs", name)
    geometry = image_geometry(experiment(name))
    with h5py.File(tmp_path / "a.nxs") as file:
        detector = file["entry/instrument/detector"]
        modules = [group for group in detector.values() if group.attrs.get("NX_class") == "NXdetector_module"]
        assert len(modules) == len(geometry.panels)
        for index, module in enumerate(modules):
            origin, size = module["data_origin"][()], module["data_size"][()]
            spixels, fpixels = size[-2:]
            expected = counts(geometry)[index]
            assert expected.shape == (spixels, fpixels)
            part = tuple(slice(low, low + count) for low, count in zip(origin, size, strict=True))
            assert np.array_equal(file["entry/data/data"][0][part].reshape(spixels, fpixels), expected)
            fast, slow = module["fast_pixel_direction"], module["slow_pixel_direction"]
            corner = matrix(file[fast.attrs["depends_on"]])[:3, 3]
            assert fast.attrs["depends_on"] == slow.attrs["depends_on"]
            for f, s in ((0, 0), (fpixels, 0), (2.5, spixels)):
                mcstas = corner + f * fast[0] * fast.attrs["vector"] + s * slow[0] * slow.attrs["vector"]
                assert MCSTAS @ mcstas == pytest.approx(in_place(geometry, index, f, s), abs=1e-10)
        assert file["entry/data/data"].shape[1:] == data.shape


@pytest.mark.parametrize(("name", "shape"), [("panels", (21, 33)), ("stack", (16, 33)), ("slab", (24, 73))])
def test_panels_lie_as_the_geometry_says(name: str, shape: tuple[int, int]) -> None:
    assert image_geometry(experiment(name)).layout.shape == shape


def test_one_image_of_a_rotation(tmp_path: Path) -> None:
    data = write(tmp_path / "a.nxs", "DIALS")
    with h5py.File(tmp_path / "a.nxs") as file:
        assert file["entry/definition"][()] == b"NXmx"
        stored = file["entry/data/data"]
        assert stored.dtype == np.int32 and np.array_equal(stored[0], data)
        assert str(hdf5plugin.BSHUF_ID) in stored._filters
        omega = file[file["entry/sample/depends_on"][()].decode()]
        assert omega[()].tolist() == [10.0] and omega.attrs["transformation_type"] == "rotation"
        assert omega.parent["omega_end"][()] == pytest.approx([10.5])
        # DIALS' spindle lies along the slow axis, and the frame is turned about the beam
        slow = file["entry/instrument/detector/module/slow_pixel_direction"].attrs["vector"]
        assert omega.attrs["vector"] == pytest.approx(slow)
        assert file["entry/instrument/beam/incident_wavelength"][()] == 0.9768123
        detector = file["entry/instrument/detector"]
        assert 0 < detector["sensor_thickness"][()] < 1e-8 and detector["sensor_material"][()] == b"Si"
        assert detector["saturation_value"][()] == 1000 and "pixel_mask" not in detector


def test_series_and_its_angles(tmp_path: Path) -> None:
    geometry = image_geometry(experiment("XDS"))
    data = np.stack([counts(geometry, seed)[0] for seed in range(3)])
    write_nexus(tmp_path / "a.nxs", data, geometry, VALID)
    write_nexus(tmp_path / "b.nxs", data, geometry, VALID, starts_deg=[0, 90, 45])
    with h5py.File(tmp_path / "a.nxs") as file:
        assert np.array_equal(file["entry/data/data"], data)
        assert file["entry/sample/transformations/omega"][()] == pytest.approx([10, 10.5, 11])
    with h5py.File(tmp_path / "b.nxs") as file:
        assert file["entry/sample/transformations/omega_end"][()] == pytest.approx([0.5, 90.5, 45.5])


def test_master_shows_the_images_of_its_parts(tmp_path: Path) -> None:
    geometry = image_geometry(experiment("panels"))
    (tmp_path / "parts").mkdir()
    parts = [tmp_path / "parts" / f"p{i}.nxs" for i in range(3)]
    images = [geometry.layout.arrange(counts(geometry, seed)) for seed in range(3)]
    write_nexus_master(tmp_path / "all.nxs", parts, geometry, VALID)  # before its parts are there
    for path, image in zip(parts, images, strict=True):
        write_nexus(path, image, geometry, VALID)
    moved = tmp_path.rename(tmp_path.with_name(tmp_path.name + "_moved"))
    with h5py.File(moved / "all.nxs") as file:
        assert np.array_equal(file["entry/data/data"], images)
        assert len(file["entry/sample/transformations/omega"]) == 3


def test_a_first_part_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    geometry = image_geometry(experiment("panels"))
    (tmp_path / "p1.nxs").write_bytes(b"no HDF5")
    with pytest.raises(FileError, match=r"cannot read .*p1\.nxs: .*; remove it and run the series again"):
        join_nexus(tmp_path / "all.nxs", [tmp_path / "p1.nxs"], geometry)
    with h5py.File(tmp_path / "p1.nxs", "w") as file:
        file["entry/instrument/detector/saturation_value"] = 3
    with pytest.raises(FileError, match=r"cannot read .*p1\.nxs: .*underload_value"):
        join_nexus(tmp_path / "all.nxs", [tmp_path / "p1.nxs"], geometry)
    assert not (tmp_path / "all.nxs").exists()


def test_flux_is_written_where_it_is_known(tmp_path: Path) -> None:
    geometry = image_geometry(experiment("panels"))
    image = geometry.layout.arrange(counts(geometry, 1))
    for flux in (0.0, 2.5e11):
        write_nexus(tmp_path / "a.nxs", image, replace(geometry, flux=flux), VALID)
        with h5py.File(tmp_path / "a.nxs") as file:
            beam = file["entry/instrument/beam"]
            assert ("total_flux" in beam) == (flux > 0)
            assert not flux or (beam["total_flux"][()], beam["total_flux"].attrs["units"]) == (flux, "Hz")


def test_mask_and_underload_are_kept(tmp_path: Path) -> None:
    geometry = image_geometry(experiment("MOSFLM"))
    data = counts(geometry)[0]
    mask = (data % 3).astype(np.uint8)
    write_nexus(tmp_path / "a.nxs", data, geometry, ValidCounts(saturation=9, underload=-40, pixel_mask=mask))
    with h5py.File(tmp_path / "a.nxs") as file:
        detector = file["entry/instrument/detector"]
        assert np.array_equal(detector["pixel_mask"], mask) and detector["underload_value"][()] == -40


def test_same_content_same_file(tmp_path: Path) -> None:
    for name in ("a.nxs", "b.nxs"):
        write(tmp_path / name, "panels")
    assert (tmp_path / "a.nxs").read_bytes() == (tmp_path / "b.nxs").read_bytes()


def test_wrong_arrays_and_places_are_refused(tmp_path: Path) -> None:
    geometry = image_geometry(experiment("XDS"))
    with pytest.raises(TypeError, match="int32"):
        write_nexus(tmp_path / "a.nxs", np.zeros((26, 33)), geometry, VALID)
    with pytest.raises(TypeError, match=r"counts must be \(n, 26, 33\)"):
        write_nexus(tmp_path / "a.nxs", np.zeros((33, 26), np.int32), geometry, VALID)
    with pytest.raises(TypeError, match="2 images need as many start angles, got 3"):
        write_nexus(tmp_path / "a.nxs", np.zeros((2, 26, 33), np.int32), geometry, VALID, starts_deg=[0, 1, 2])
    with pytest.raises(TypeError, match="pixel mask"):
        bad = ValidCounts(saturation=1, pixel_mask=np.zeros((2, 2)))
        write_nexus(tmp_path / "a.nxs", np.zeros((26, 33), np.int32), geometry, bad)
    with pytest.raises(FileError, match="does not exist"):
        write_nexus(tmp_path / "no" / "a.nxs", np.zeros((26, 33), np.int32), geometry, VALID)
    assert not list(tmp_path.iterdir())
