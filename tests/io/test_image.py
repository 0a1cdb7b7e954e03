"""Images of files: HDF5 as nbnumba, beamlines and CrystFEL have it, masks, and which image of several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from nbnumba.cli.main import main
from nbnumba.errors import ConfigError, FileError
from nbnumba.io.image import count_images, is_hdf5, read_image, read_mask
from nbnumba.io.nexus import ValidCounts, write_nexus, write_nexus_master
from nbnumba.io.smv import read_smv
from nbnumba.model.frames import image_geometry
from tests.compare_inputs import FLAGS
from tests.io.geometries import DETECTORS, counts, experiment
from tests.io.nxmx_inputs import DETECTOR, Maker, eiger, filewriter

VALID = ValidCounts(saturation=1000)


def stack(*shape: int, dtype: object = np.uint32) -> np.ndarray:
    """Images whose pixels are all different."""
    return np.random.default_rng(2).permutation(np.arange(np.prod(shape))).reshape(shape).astype(dtype)  # type: ignore


# --- nbnumba's own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DETECTORS)
def test_own_images_come_back(name: str, tmp_path: Path) -> None:
    """All panels in the arrangement of the writer, and the mask."""
    geometry = image_geometry(experiment(name))
    data = geometry.layout.arrange(counts(geometry))
    mask = np.zeros(data.shape, np.uint32)
    mask[3, 5], mask[0, 1] = 1, 2
    write_nexus(tmp_path / "a.nxs", data, geometry, ValidCounts(saturation=1000, pixel_mask=mask))
    for panels in (False, True):  # the writer has no axis of panels
        np.testing.assert_array_equal(read_image(tmp_path / "a.nxs", panels=panels), data)
        found = read_mask(tmp_path / "a.nxs", panels=panels)
        assert found is not None and found.dtype == bool
        np.testing.assert_array_equal(found, mask == 0)
    assert count_images(tmp_path / "a.nxs") == 1
    write_nexus(tmp_path / "b.nxs", data, geometry, VALID)
    assert read_mask(tmp_path / "b.nxs") is None


@pytest.mark.parametrize("name", ["MOSFLM", "panels", "stack", "slab"])
def test_own_series(name: str, tmp_path: Path) -> None:
    """A file of all images, and a master of one file each."""
    geometry = image_geometry(experiment(name))
    images = np.stack([geometry.layout.arrange(counts(geometry, seed)) for seed in range(3)])
    write_nexus(tmp_path / "a.nxs", images, geometry, VALID)
    parts = [tmp_path / f"p{i}.nxs" for i in range(3)]
    for part, image in zip(parts, images, strict=True):
        write_nexus(part, image, geometry, VALID)
    write_nexus_master(tmp_path / "all.nxs", parts, geometry, VALID)
    for path in (tmp_path / "a.nxs", tmp_path / "all.nxs"):
        assert count_images(path) == 3
        for number in (1, 2, 3):
            np.testing.assert_array_equal(read_image(path, image=number), images[number - 1])
        for number in (-1, 0, 4):
            with pytest.raises(FileError, match=f"holds 3 images: there is no image {number}"):
                read_image(path, image=number)
        with pytest.raises(ConfigError, match=r"holds 3 images: choose one by --image N"):
            read_image(path)


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    """HDF5 gives the fill value in place of its pixels."""
    geometry = image_geometry(experiment("MOSFLM"))
    parts = [tmp_path / f"p{i}.nxs" for i in range(2)]
    write_nexus_master(tmp_path / "all.nxs", parts, geometry, VALID)
    write_nexus(parts[0], counts(geometry)[0], geometry, VALID)
    np.testing.assert_array_equal(read_image(tmp_path / "all.nxs", image=1), counts(geometry)[0])
    with pytest.raises(FileError, match=r"has its images in p1\.nxs, which is missing: put it beside the file"):
        read_image(tmp_path / "all.nxs", image=2)


def interleaved(path: Path, images: np.ndarray, count: int, *, endless: bool) -> None:
    """A virtual data set in which every count-th image is in the same file, as parallel writers have it."""
    n, size = len(images), images.shape[1:]
    for part in range(count):
        with h5py.File(path.with_name(f"part{part}.h5"), "w") as file:
            file.create_dataset("data", data=images[part::count], maxshape=(None, *size), chunks=(1, *size))
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_fill_value(np.array(7, images.dtype))
    ends = (h5py.h5s.UNLIMITED if endless else n, *size)
    for part in range(count):
        held = len(images[part::count])
        blocks = h5py.h5s.UNLIMITED if endless else held
        space, source = h5py.h5s.create_simple((n, *size), ends), h5py.h5s.create_simple((held, *size), ends)
        space.select_hyperslab((part, 0, 0), (blocks, 1, 1), (count, 1, 1), (1, *size))
        source.select_hyperslab((0, 0, 0), (blocks, 1, 1), (1, 1, 1), (1, *size))
        settings.set_virtual(space, f"part{part}.h5".encode(), b"data", source)
    with h5py.File(path, "w") as file:
        file.create_group("entry/data")
        space = h5py.h5s.create_simple((n, *size), ends)
        kind = h5py.h5t.py_create(images.dtype)
        h5py.h5d.create(file["entry/data"].id, b"data", kind, space, settings)


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize(("n", "count"), [(6, 2), (7, 3)])
def test_virtual_data_sets_of_parallel_writers(n: int, count: int, endless: bool, tmp_path: Path) -> None:
    """An image is refused if its own file is missing, and no other."""
    images = stack(n, 4, 5)
    interleaved(tmp_path / "a.h5", images, count, endless=endless)
    assert count_images(tmp_path / "a.h5") == n
    for number in range(1, n + 1):
        np.testing.assert_array_equal(read_image(tmp_path / "a.h5", image=number), images[number - 1])
    (tmp_path / "part1.h5").rename(tmp_path / "gone")
    for number in range(1, n + 1):
        if (number - 1) % count == 1:
            # without its files an endless data set is shorter
            message = r"has its images in part1\.h5, which is missing|holds 5 images: there is no image 6"
            with pytest.raises(FileError, match=message):
                read_image(tmp_path / "a.h5", image=number)
        else:
            np.testing.assert_array_equal(read_image(tmp_path / "a.h5", image=number), images[number - 1])


# --- master files of beamlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("attributes", [{}, {"signal": "data_000001"}, {"signal": np.bytes_("data")}])
@pytest.mark.parametrize("nx_class", [True, False])
@pytest.mark.parametrize("per_file", [1, 2, 5, 12])
def test_images_behind_external_links(per_file: int, nx_class: bool, attributes: dict, tmp_path: Path) -> None:
    images, mask = stack(12, 6, 7), np.zeros((6, 7), np.uint32)
    mask[2:4, 3] = 1 << 8
    path = eiger(tmp_path, images, per_file, mask, nx_class=nx_class, **attributes)
    assert count_images(path) == 12
    for number in (1, 2, 5, 6, 11, 12):
        np.testing.assert_array_equal(read_image(path, image=number), images[number - 1])
    with pytest.raises(ConfigError, match="holds 12 images"):
        read_image(path)
    with pytest.raises(FileError, match="holds 12 images: there is no image 13"):
        read_image(path, image=13)
    np.testing.assert_array_equal(read_mask(path), mask == 0)


def test_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    images = stack(12, 4, 5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number, image in enumerate(images, 1):
            file[f"entry/data/data_{number}"] = image
        file["entry/data/data_angle"] = np.arange(12.0)
    for number in (1, 2, 10, 12):
        np.testing.assert_array_equal(read_image(tmp_path / "a.h5", image=number), images[number - 1])


def test_files_of_a_master_that_are_missing(tmp_path: Path) -> None:
    images = stack(6, 4, 5)
    path = eiger(tmp_path, images, 2)
    (tmp_path / "shot_data_000002.h5").unlink()
    np.testing.assert_array_equal(read_image(path, image=2), images[1])
    for number in (3, 5):  # it is not known how many images are in a missing file
        with pytest.raises(FileError, match=r"its images in shot_data_000002\.h5, which is missing: put it beside"):
            read_image(path, image=number)
    for part in tmp_path.glob("shot_data_*"):
        part.unlink()
    for image in (None, 1):
        with pytest.raises(FileError, match=r"its images in shot_data_000001\.h5, which is missing"):
            read_image(path, image=image)
    with h5py.File(tmp_path / "shot_data_000001.h5", "w") as file:
        file["other"] = 1
    with pytest.raises(FileError, match=r"shot_data_000001\.h5, where there is no readable /entry/data/data"):
        read_image(path, image=1)


# --- other layouts -----------------------------------------------------------------------------------------------


def place(where: str, **attributes: str) -> Callable[[h5py.File, np.ndarray], None]:
    def make(file: h5py.File, data: np.ndarray) -> None:
        file[where] = data
        for name, value in attributes.items():
            file[where].parent.attrs[name] = value

    return make


def marked(file: h5py.File, data: np.ndarray) -> None:
    """The signal is marked on the data set, as before 2014; another array is beside it."""
    group = file.create_group("scan")
    group.attrs["NX_class"] = "NXentry"
    group = group.create_group("measured")
    group.attrs["NX_class"] = "NXdata"
    group["a"] = np.zeros((9, 9))
    group["counts"] = data
    group["counts"].attrs["signal"] = 1


def default(file: h5py.File, data: np.ndarray) -> None:
    """Of two entries and two NXdata each, those that are the default."""
    for entry in ("a", "b"):
        file.create_group(entry).attrs.update({"NX_class": "NXentry", "default": "y"})
        for name in ("x", "y"):
            group = file[entry].create_group(name)
            group.attrs.update({"NX_class": "NXdata", "signal": "counts"})
            group["counts"] = data if (entry, name) == ("b", "y") else 0 * data
    file.attrs["default"] = "b"


def linked(file: h5py.File, data: np.ndarray) -> None:
    """Counts of the detector, which NXdata has by a link."""
    file[f"{DETECTOR}/data"] = data
    file["entry/data/data"] = h5py.SoftLink(f"{DETECTOR}/data")


LAYOUTS = {
    "CrystFEL": place("/data/data"),
    "CrystFEL, raw": place("/data/rawdata0"),
    "entry": place("/entry/data/data"),
    "CXI": place("/entry_1/data_1/data"),
    "CXI detector": place("/entry_1/instrument_1/detector_1/data"),
    "detector": place(f"{DETECTOR}/data"),
    "signal": place("/entry/data/counts", signal="counts"),
    "alone": place("/LCLS/detector_1/ADUs"),
    "marked": marked,
    "default": default,
    "linked": linked,
}


@pytest.mark.parametrize("dtype", [np.uint16, ">i4", np.float32, np.int64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, dtype: object, tmp_path: Path) -> None:
    """One image, several, several with panels."""
    images = stack(3, 4, 5, dtype=dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        LAYOUTS[layout](file, images)
    np.testing.assert_array_equal(read_image(tmp_path / "a.h5", image=2), images[1])
    with h5py.File(tmp_path / "b.h5", "w") as file:
        LAYOUTS[layout](file, images[0])
    np.testing.assert_array_equal(read_image(tmp_path / "b.h5"), images[0])
    panels = stack(2, 3, 4, 5, dtype=dtype)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        LAYOUTS[layout](file, panels)
    assert count_images(tmp_path / "c.h5") == 2
    np.testing.assert_array_equal(read_image(tmp_path / "c.h5", image=2, panels=True), panels[1])
    below = read_image(tmp_path / "c.h5", image=2)
    np.testing.assert_array_equal(below, np.concatenate(list(panels[1])))


def modules(path: Path, count: int, axes: int = 3) -> Maker:
    """Detector modules with their places in the images."""
    made = Maker(path)
    for name, kind in (
        ("entry", "entry"),
        ("entry/instrument", "instrument"),
        (DETECTOR, "detector"),
        ("entry/data", "data"),
    ):
        made.group(name, f"NX{kind}")
    for number in range(count):
        module = f"{DETECTOR}/module_{number}"
        made.group(module, "NXdetector_module")
        made.put(f"{module}/data_origin", [number, 0, 0][-axes:] if axes == 3 else [4 * number, 0])
        made.put(f"{module}/data_size", [1, 4, 5][-axes:])
    return made


def test_axis_of_panels_without_one_of_images(tmp_path: Path) -> None:
    """Three axes are those of panels where the modules have places along the first, else those of images."""
    data, mask = stack(3, 4, 5), np.zeros((3, 4, 5), np.uint8)
    mask[1, 2, 3] = 1
    for path, count, axes in (("panels.h5", 3, 3), ("images.h5", 3, 2), ("one.h5", 1, 3)):
        made = modules(tmp_path / path, count, axes)
        made.put("entry/data/data", data)
        made.put(f"{DETECTOR}/pixel_mask", mask)
        made.close()
    path = tmp_path / "panels.h5"
    assert count_images(path) == 1
    np.testing.assert_array_equal(read_image(path), data.reshape(12, 5))
    np.testing.assert_array_equal(read_image(path, image=1, panels=True), data)
    np.testing.assert_array_equal(read_mask(path), mask.reshape(12, 5) == 0)
    np.testing.assert_array_equal(read_mask(path, panels=True), mask == 0)
    for name in ("images.h5", "one.h5"):
        np.testing.assert_array_equal(read_image(tmp_path / name, image=2, panels=True), data[1])
        np.testing.assert_array_equal(read_mask(tmp_path / name, 2), mask[1] == 0)
        assert read_mask(tmp_path / name).all()  # type: ignore[union-attr]
        with pytest.raises(FileError, match="holds 3 images: there is no image 4"):
            read_mask(tmp_path / name, 4)


def test_mask_of_panels_with_an_axis_of_images(tmp_path: Path) -> None:
    made = modules(tmp_path / "a.h5", 3)
    made.put("entry/data/data", stack(2, 3, 4, 5))
    mask = stack(3, 4, 5) % 7
    made.put(f"{DETECTOR}/pixel_mask", mask)
    made.close()
    np.testing.assert_array_equal(read_mask(tmp_path / "a.h5", 2), mask.reshape(12, 5) == 0)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.h5", panels=True), mask == 0)


def test_mask_without_images_at_hand(tmp_path: Path) -> None:
    made = filewriter(tmp_path / "a.h5")  # its data are gone
    mask = stack(4, 5) % 3
    made.put(f"{DETECTOR}/pixel_mask", mask)
    np.testing.assert_array_equal(read_mask(made.close()), mask == 0)


def test_other_formats_have_no_mask_and_one_image(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", stack(4, 5))
    stack(4, 5).astype("<f4").tofile(tmp_path / "a.bin")
    for name in ("a.npy", "a.bin"):
        assert read_mask(tmp_path / name) is None and count_images(tmp_path / name) == 1
        np.testing.assert_array_equal(read_image(tmp_path / name, (4, 5), 1), stack(4, 5))
        with pytest.raises(FileError, match="holds one image: there is no image 2"):
            read_image(tmp_path / name, (4, 5), 2)


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    """Whatever its name, and behind a block of something else, whose size is 512 times a power of two."""
    for number, size in enumerate((0, 512, 1024, 4096)):
        path = tmp_path / f"{number}.img"
        with h5py.File(path, "w", userblock_size=size) as file:
            file["data/data"] = stack(4, 5)
        assert is_hdf5(path) and count_images(str(path)) == 1 and read_mask(str(path)) is None
        np.testing.assert_array_equal(read_image(str(path)), stack(4, 5))
    for content in (b"", b"\x89HDF", b"x" * 511 + b"\x89HDF\r\n\x1a\n", b"x" * 5000):
        (tmp_path / "no.h5").write_bytes(content)
        assert not is_hdf5(tmp_path / "no.h5")
    assert not is_hdf5(tmp_path / "none.h5") and not is_hdf5(tmp_path)


# --- what is refused ---------------------------------------------------------------------------------------------


def _no_data(file: h5py.File) -> None:
    file["a"] = 1


def _two(file: h5py.File) -> None:
    file["a/b"], file["c"] = stack(4, 5), stack(4, 5)


def _only_mask(file: h5py.File) -> None:
    file[f"{DETECTOR}/pixel_mask"] = stack(4, 5)
    file["entry"].attrs["NX_class"] = "NXentry"


def _words(file: h5py.File) -> None:
    file["entry/data/data"] = np.array([[b"a", b"b"]])


def _five_axes(file: h5py.File) -> None:
    file["entry/data/data"] = stack(1, 2, 3, 4, 5)


def _empty(file: h5py.File) -> None:
    file["entry/data/data"] = np.zeros((0, 4, 5), np.int32)


def _claims(file: h5py.File) -> None:
    file.create_dataset("entry/data/data", (3, 1_000_000, 1_000_000), np.int32, chunks=(1, 1000, 1000))


def _never_written(file: h5py.File) -> None:
    file.create_dataset("entry/data/data", (1, 40, 50), np.int32, chunks=(1, 40, 50))


def _unknown_filter(file: h5py.File) -> None:
    file.create_dataset("entry/data/data", data=stack(1, 40, 50), chunks=(1, 40, 50), compression=None)
    del file["entry/data/data"]
    space, kind = h5py.h5s.create_simple((1, 40, 50)), h5py.h5t.NATIVE_INT32
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((1, 40, 50))
    settings.set_filter(511, h5py.h5z.FLAG_OPTIONAL)
    data = h5py.h5d.create(file["entry/data"].id, b"data", kind, space, settings)
    data.write_direct_chunk((0, 0, 0), b"packed", 0)


BAD = {
    "no data": (_no_data, "holds no images"),
    "two": (_two, "has no NXdata that names its images, which may be /a/b, /c"),
    "only a mask": (_only_mask, "holds no images"),
    "words": (_words, "holds no images"),
    "five axes": (_five_axes, "holds no images"),
    "no image": (_empty, "holds no images"),
    "too large": (_claims, "/entry/data/data claims 1000000 x 1000000 pixels an image, which is too many"),
    "never written": (_never_written, "the pixels of /entry/data/data were never written"),
    "unknown filter": (_unknown_filter, "cannot be read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_files_without_an_image(kind: str, tmp_path: Path, capfd) -> None:
    make, message = BAD[kind]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    with pytest.raises(FileError, match=message) as caught:
        read_image(tmp_path / "a.h5", image=1)
    assert str(tmp_path / "a.h5") in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    geometry = image_geometry(experiment("MOSFLM"))
    write_nexus(tmp_path / "a.nxs", counts(geometry)[0], geometry, VALID)
    content = (tmp_path / "a.nxs").read_bytes()
    for length in (8, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "a.nxs").write_bytes(content[:length])
        for read in (read_image, read_mask, count_images):
            with pytest.raises(FileError, match=r"the image .*a\.nxs cannot be read: "):
                read(tmp_path / "a.nxs")  # type: ignore[operator]


@pytest.mark.parametrize("mask", [np.zeros(5, np.int32), np.zeros((4, 5)), np.int32(3), np.array([[b"a"]])])
def test_masks_that_are_none(mask: np.ndarray, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"], file[f"{DETECTOR}/pixel_mask"] = stack(4, 5), mask
    with pytest.raises(FileError, match=r"pixel_mask is no mask of its pixels"):
        read_mask(tmp_path / "a.h5")


# --- compare -----------------------------------------------------------------------------------------------------


def test_compare_nxmx_with_smv_of_the_same_run(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *FLAGS, "-nopgm", "-adc", "0", "-seed", "3", "--nexus", "a.nxs", "-q"]) == 0
    np.testing.assert_array_equal(read_image(Path("a.nxs")), read_smv(Path("noiseimage.img")).data)
    for pair in (["a.nxs", "noiseimage.img"], ["noiseimage.img", "a.nxs"]):
        assert main(["compare", *pair, "--no-picture"]) == 0
        assert "the images are identical" in capsys.readouterr().out
    for pair in (["a.nxs", "floatimage.bin"], ["floatimage.bin", "a.nxs"]):  # floats without a header have its size
        assert main(["compare", *pair, "--min-correlation", "0.9", "--max-rel", "1", "--no-picture"]) == 0
        assert "384 of 384" in capsys.readouterr().out


def test_compare_chooses_an_image(tmp_path: Path, monkeypatch, capsys) -> None:
    """In files of several; the other file has one."""
    monkeypatch.chdir(tmp_path)
    images = stack(3, 12, 17)
    path = eiger(tmp_path, images, 2).name
    np.save("b.npy", images[2])
    words = ["compare", path, "b.npy", "--no-picture"]
    assert main([*words, "--image", "3"]) == 0
    out = capsys.readouterr().out
    assert "the images are identical" in out and "image of A:" in out and "image of B:" not in out
    assert main([*words, "--image", "2"]) == 1
    assert "the images are identical" not in capsys.readouterr().out
    assert main(["compare", path, path, "--image", "2", "--no-picture"]) == 0
    capsys.readouterr()
    for more, message in (
        ([], "shot_master.h5 holds 3 images: choose one by --image N, from 1"),
        (["--image", "4"], "shot_master.h5 holds 3 images: there is no image 4"),
    ):
        assert main([*words, *more]) == 1
        assert capsys.readouterr().err == f"nbnumba: error: {message}\n"
    assert main(["compare", "b.npy", "b.npy", "--image", "3"]) == 1
    expected = "nbnumba: error: neither b.npy nor b.npy holds several images: leave out --image 3\n"
    assert capsys.readouterr().err == expected


def test_compare_leaves_masked_pixels_out(tmp_path: Path, monkeypatch, capsys) -> None:
    """Those of the file, and those of a mask that is an NXmx file; EIGER has the largest number there."""
    monkeypatch.chdir(tmp_path)
    images, mask = stack(1, 12, 17), np.zeros((12, 17), np.uint32)
    mask[3, 4:9] = 1
    np.save("b.npy", images[0])
    images[0][mask > 0] = 2**32 - 1
    path = eiger(tmp_path, images, 1, mask).name
    for pair in ([path, "b.npy"], ["b.npy", path]):
        assert main(["compare", *pair, "--no-picture"]) == 0
        out = capsys.readouterr().out
        assert "pixels compared:" in out and "199 of 204" in out and "5 pixels, by the pixel mask" in out
    np.save("c.npy", images[0])
    assert main(["compare", "b.npy", "c.npy", "--no-picture"]) == 1
    assert main(["compare", "b.npy", "c.npy", "--mask", path, "--no-picture"]) == 0
    ones = np.ones((12, 17))
    ones[0] = 0
    np.save("mask.npy", ones)
    capsys.readouterr()
    assert main(["compare", path, "b.npy", "--mask", "mask.npy", "--no-picture"]) == 0
    assert "182 of 204" in capsys.readouterr().out
