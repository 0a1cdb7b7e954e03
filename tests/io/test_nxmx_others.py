"""NXmx files as other programs write them, and master files of DECTRIS' filewriter."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.model.geometry_files import read_geometry
from tests.geometry_inputs import make_nxmx
from tests.io.nxmx_inputs import DETECTOR, Maker, filewriter, one_module

#: Value and vector of module_offset; the corner is 200 mm along z plus their product.
OFFSETS = {
    "nexgen": (1.0, (30.0, -20.0, 0.5)),
    "unit": (30.0, (1.0, 0.0, 0.0)),
    "short": (1000.0, (0.03, -0.02, 0.0)),
    "backwards": (-2.0, (30.0, 20.0, 0.0)),
    "nowhere": (0.0, (0.0, 0.0, 0.0)),
    "zero vector": (5.0, (0.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("name", OFFSETS)
@pytest.mark.parametrize("fixed", [False, True])
def test_translations_are_value_times_vector(tmp_path, name, fixed):
    value, vector = OFFSETS[name]
    (panel,) = read_geometry(one_module(tmp_path / "a.nxs", offset=OFFSETS[name], fixed=fixed).close()).panels
    np.testing.assert_allclose(panel.pix0_mm, np.array([0, 0, 200]) + value * np.array(vector), atol=1e-12)
    assert (panel.fpixels, panel.spixels, panel.pixel_mm) == (700, 500, pytest.approx(0.075))


@pytest.mark.parametrize(("value", "vector"), [(1.0, (-7.5e-5, 0, 0)), (-7.5e-5, (1, 0, 0)), (1.5e-4, (-0.5, 0, 0))])
def test_pixel_directions_are_value_times_vector(tmp_path, value, vector):
    """1 m times (-75e-6 0 0), and so on, is a pixel of 75 um along -x."""
    (panel,) = read_geometry(one_module(tmp_path / "a.nxs", fast=(value, vector)).close()).panels
    assert panel.pixel_mm == pytest.approx(0.075)
    np.testing.assert_allclose(panel.fast_axis, (-1, 0, 0), atol=1e-12)


def test_pixels_that_are_not_square(tmp_path):
    (panel,) = read_geometry(one_module(tmp_path / "a.nxs", fast=(1e-4, (-1, 0, 0))).close()).panels
    assert (panel.pixel_mm, panel.slow_pixel_mm) == pytest.approx((0.1, 0.075))


def test_pixel_without_a_size_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"vector of .*fast_pixel_direction has no length"):
        read_geometry(one_module(tmp_path / "a.nxs", fast=(1e-4, (0, 0, 0))).close())


def test_dead_links_are_passed_over(tmp_path):
    made = one_module(tmp_path / "a.nxs")
    made.group("entry/data", "NXdata")
    made.file["entry/data/data_000001"] = h5py.ExternalLink("gone_000001.h5", "/entry/data/data")
    made.file["entry/missing"] = h5py.ExternalLink("gone.h5", "/entry")
    made.file["entry/instrument/away"] = h5py.SoftLink("/nowhere")
    made.file[f"{DETECTOR}/pixel_mask"] = h5py.ExternalLink("gone.h5", "/mask")
    assert read_geometry(made.close()).panels[0].pix0_mm == pytest.approx((30, -20, 200.5))


def test_dead_link_that_is_needed_is_named(tmp_path):
    made = one_module(tmp_path / "a.nxs")
    del made.file[f"{DETECTOR}/transformations/det_z"]
    made.file[f"{DETECTOR}/transformations/det_z"] = h5py.ExternalLink("gone.h5", "/z")
    with pytest.raises(FileError, match=r"transformations/det_z, which a position depends on, is missing"):
        read_geometry(made.close())


def with_images(made: Maker, shape: tuple[int, ...], place: str = "entry/data/data") -> Maker:
    made.group("entry/data", "NXdata")
    made.file.create_dataset(place, shape=shape, dtype="i4", chunks=True)
    return made


@pytest.mark.parametrize("place", ["entry/data/data", "entry/data/data_000001", f"{DETECTOR}/data"])
def test_data_size_with_columns_first(tmp_path, place):
    """The images have 700 rows and 500 columns, so (500, 700) lists columns before rows."""
    found = read_geometry(with_images(one_module(tmp_path / "a.nxs"), (3, 700, 500), place).close())
    assert (found.panels[0].spixels, found.panels[0].fpixels) == (700, 500)
    assert sum("lists columns before rows" in note for note in found.notes) == 1


def test_data_size_that_fits_and_that_does_not(tmp_path):
    for shape in ((500, 700), (2, 500, 700), (1, 1, 800, 900)):
        found = read_geometry(with_images(one_module(tmp_path / "a.nxs"), shape).close())
        assert (found.panels[0].spixels, found.panels[0].fpixels) == (500, 700)
        assert not any("columns before rows" in note for note in found.notes)
    with pytest.raises(FileError, match="has 500 rows and 700 columns, more than its images of 400 x 400"):
        read_geometry(with_images(one_module(tmp_path / "a.nxs"), (2, 400, 400)).close())


def test_module_without_a_size_is_its_images(tmp_path):
    made = with_images(one_module(tmp_path / "a.nxs"), (2, 480, 640))
    del made.file[f"{DETECTOR}/module/data_size"]
    (panel,) = read_geometry(made.close()).panels
    assert (panel.spixels, panel.fpixels, panel.offset) == (480, 640, (0, 0))


def test_chain_begins_at_the_detector_where_the_module_names_none(tmp_path):
    made = one_module(tmp_path / "a.nxs")
    del made.file[f"{DETECTOR}/module/module_offset"]
    for axis in ("fast", "slow"):
        del made.file[f"{DETECTOR}/module/{axis}_pixel_direction"].attrs["depends_on"]
    made.put(f"{DETECTOR}/depends_on", "transformations/det_z")
    assert read_geometry(made.close()).panels[0].pix0_mm == pytest.approx((0, 0, 200))


@pytest.mark.parametrize(("unit", "factor"), [("millimetre", 1), ("micrometer", 1e-3), ("M", 1000), ("cm", 10)])
def test_units_by_other_names(tmp_path, unit, factor):
    made = one_module(tmp_path / "a.nxs")
    made.file[f"{DETECTOR}/transformations/det_z"].attrs["units"] = unit
    assert read_geometry(made.close()).panels[0].pix0_mm[2] == pytest.approx(200 * factor + 0.5)


def test_fixed_strings_in_every_place(tmp_path):
    """The same file with all its strings of a fixed length."""
    plain = read_geometry(make_nxmx(tmp_path / "plain.nxs"))
    with h5py.File(make_nxmx(tmp_path / "fixed.nxs"), "a") as file:
        names: list[str] = ["/"]
        file.visit(names.append)
        for name in names:
            item = file[name]
            for key, value in item.attrs.items():
                if isinstance(value, str):
                    item.attrs.modify(key, np.bytes_(value))
            if isinstance(item, h5py.Dataset) and item.dtype.kind == "O":
                text = item[()]
                del file[name]
                file[name] = np.bytes_(text)
    fixed = read_geometry(tmp_path / "fixed.nxs")
    assert fixed.panels == plain.panels
    assert (fixed.spindle, fixed.phi_deg, fixed.osc_deg) == (plain.spindle, plain.phi_deg, plain.osc_deg)


@pytest.mark.parametrize("fixed", [False, True])
def test_filewriter_master(tmp_path, fixed):
    """Corner of pixel (0, 0) at beam centre times pixel, x and y, and the distance: (38.625 39.9 100) mm."""
    found = read_geometry(filewriter(tmp_path / "m.h5", fixed).close(), image=3)
    (panel,) = found.panels
    assert panel.pix0_mm == pytest.approx((38.625, 39.9, 100))
    assert (panel.fast_axis, panel.slow_axis) == ((-1, 0, 0), (0, -1, 0))
    assert (panel.fpixels, panel.spixels, panel.pixel_mm) == (1030, 1065, pytest.approx(0.075))
    assert (found.wavelength_A, found.beam, found.spindle) == (0.98, (0, 0, 1), (-1, 0, 0))
    assert (found.phi_deg, found.osc_deg) == pytest.approx((20.2, 0.1))
    assert any("no detector module" in note and "dials.import" in note for note in found.notes)


def test_filewriter_in_other_forms(tmp_path):
    made = filewriter(
        tmp_path / "m.h5", detector_distance=(250.0, "mm"), y_pixel_size=(0.172, "mm"), x_pixel_size=(172, "um")
    )
    del made.file[f"{DETECTOR}/detectorSpecific"], made.file["entry/sample/goniometer/omega"]
    made.put("entry/sample/goniometer/omega", 5.0, "degree")
    made.put("entry/sample/goniometer/omega_range_average", -0.2, "degree")
    made.put("entry/sample/goniometer/chi", [30.0], "degree")
    made.group(f"{DETECTOR}/goniometer", "NXcollection")
    made.put(f"{DETECTOR}/goniometer/two_theta", [10.0], "degree")
    found = read_geometry(with_images(made, (4, 619, 487)).close())
    (panel,) = found.panels
    assert panel.pix0_mm == pytest.approx((515 * 0.172, 532 * 0.172, 250))
    assert (panel.fpixels, panel.spixels) == (487, 619)
    # a scan that runs backwards is one about the opposite axis
    assert (found.spindle, found.phi_deg, found.osc_deg) == ((1, 0, 0), -5, pytest.approx(0.2))
    assert any("also has two_theta 10 deg and chi 30 deg, not used" in note for note in found.notes)


@pytest.mark.parametrize("name", ["beam_center_x", "detector_distance", "x_pixel_size"])
def test_filewriter_without_a_number(tmp_path, name):
    wanted = "distance" if name == "detector_distance" else name
    with pytest.raises(FileError, match=f"m.h5 has neither a detector module nor {wanted}: a .expt that dials.import"):
        read_geometry(filewriter(tmp_path / "m.h5", **{name: None}).close())
    with pytest.raises(FileError, match="detector_distance and pixel sizes must be > 0"):
        read_geometry(filewriter(tmp_path / "m.h5", detector_distance=(0.0, "m")).close())


@pytest.mark.parametrize(
    "start",
    [
        "../transformations/det_z",
        "entry/instrument/detector/transformations/det_z",
        f"{DETECTOR}/./transformations/det_z",
    ],
)
def test_paths_of_a_chain_in_other_forms(tmp_path, start):
    made = one_module(tmp_path / "a.nxs")
    made.file[f"{DETECTOR}/module/module_offset"].attrs["depends_on"] = start
    assert read_geometry(made.close()).panels[0].pix0_mm == pytest.approx((30, -20, 200.5))


def test_chain_of_many_steps(tmp_path):
    """Two translations and a rotation of 90 degrees about y between the module and the crystal: z becomes x."""
    made = one_module(tmp_path / "a.nxs", offset=(0.0, (1.0, 0.0, 0.0)))
    arm = f"{DETECTOR}/transformations"
    made.step(f"{arm}/swing", 90.0, "deg", "rotation", (0, 2, 0), ".")
    made.step(f"{arm}/along", 10.0, "mm", "translation", (0, 0, 3), "swing")
    made.step(
        f"{arm}/up", 1.0, "cm", "translation", (0, 0.5, 0), "along", offset=np.array([1.0, 0, 0]), offset_units="mm"
    )
    made.file[f"{arm}/det_z"].attrs["depends_on"] = "up"
    (panel,) = read_geometry(made.close()).panels
    # before the swing: 200 + 30 along z, 5 along y, 1 along x
    np.testing.assert_allclose(panel.pix0_mm, (230, 5, -1), atol=1e-9)


def test_data_size_of_several_modules_with_columns_first(tmp_path):
    """Two modules of 50 x 60 pixels (rows x columns) side by side in images of 50 x 130, listed the other way round."""
    with h5py.File(make_nxmx(tmp_path / "a.nxs"), "a") as file:
        for i in range(2):
            module = file[f"/entry/instrument/det/module{i}"]
            module["data_size"][...], module["data_origin"][...] = [60, 50], [70 * i, 0]
        file.create_dataset("/entry/instrument/det/data", shape=(3, 50, 130), dtype="i4", chunks=True)
    found = read_geometry(tmp_path / "a.nxs")
    assert [(panel.spixels, panel.fpixels, panel.offset) for panel in found.panels] == [
        (50, 60, (0, 0)),
        (50, 60, (70, 0)),
    ]
