"""miniCBF files as fabio reads them, and the frame that their geometry is in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fabio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbnumba.errors import FileError
from nbnumba.io.cbf import cbf_header, read_cbf, write_cbf
from nbnumba.io.npy import read_npy, write_npy
from nbnumba.model.data_layout import Layout
from nbnumba.model.detector import resolve_detector
from nbnumba.model.frames import ImageGeometry, PanelGeometry, dials_import_words, image_geometry, to_imgcif
from nbnumba.model.outputs import MAX_COUNT
from tests.io.geometries import DETECTORS, PLAIN, counts, experiment


def small(shape: tuple[int, int], **more: float) -> ImageGeometry:
    axes = np.eye(3)
    panel = PanelGeometry(np.array([-1.0, 1.0, -100.0]), axes[0], -axes[1], *shape, pixel_mm=0.1)
    numbers = {"distance_mm": 100.0, "beam_fast_mm": 1.0, "beam_slow_mm": 1.0, "phi_deg": 0.0, "osc_deg": 0.1}
    numbers |= {"wavelength_A": 1.0, "exposure_s": 1.0, "thickness_mm": 0.0} | more
    return ImageGeometry(panels=(panel,), layout=Layout.single(*shape), spindle=axes[0], **numbers)


@settings(max_examples=40)
@given(
    data=hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.one_of(st.integers(-2, 300), st.integers(-1, MAX_COUNT)),
    )
)
def test_fabio_reads_every_count(data: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cbf") / "x_0001.cbf"
    write_cbf(path, data, small(data.shape), 100)
    assert np.array_equal(fabio.open(str(path)).data, data)


def test_header_says_what_readers_ask_for(tmp_path: Path) -> None:
    geometry = image_geometry(experiment("MOSFLM"))
    write_cbf(tmp_path / "a.cbf", counts(geometry)[0], geometry, 1000)
    header = fabio.open(str(tmp_path / "a.cbf")).header
    assert header["_array_data.header_convention"] == "GENERIC_MINI"
    lines = header["_array_data.header_contents"].splitlines()
    found = {line.split()[1].rstrip(":"): " ".join(line.split()[2:]) for line in lines if line.startswith("# ")}
    assert found["Pixel_size"] == "0.000173123456 m x 0.000173123456 m"
    assert found["Exposure_period"] == "0.25 s" and found["Count_cutoff"] == "1000 counts"
    assert found["Wavelength"] == "0.9768123 A" and found["Detector_distance"] == "0.123456789 m"
    assert found["Start_angle"] == "10 deg." and found["Angle_increment"] == "0.5 deg."
    # MOSFLM counts from the middle of the first pixel, and calls the slow axis X
    beam = [float(word.strip("(),")) for word in found["Beam_xy"].split()[:2]]
    assert beam == pytest.approx([1.77 / 0.173123456 + 0.5, 2.22 / 0.173123456 + 0.5], rel=1e-10)


def test_sensor_is_named_where_there_is_one() -> None:
    assert "Silicon" not in cbf_header(small((2, 2)), 100)
    assert "# Silicon sensor, thickness 0.00032 m\r\n" in cbf_header(small((2, 2), thickness_mm=0.32), 100)


def test_same_content_same_file(tmp_path: Path) -> None:
    geometry = image_geometry(experiment("XDS"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_cbf(tmp_path / name / "i_1.cbf", counts(geometry)[0], geometry, 1000)
    assert (tmp_path / "a/i_1.cbf").read_bytes() == (tmp_path / "b/i_1.cbf").read_bytes()


def test_wrong_arrays_and_places_are_refused(tmp_path: Path) -> None:
    geometry = small((2, 3))
    with pytest.raises(TypeError, match="int32 array of that shape, got uint16"):
        write_cbf(tmp_path / "a.cbf", np.zeros((2, 3), np.uint16), geometry, 1)
    with pytest.raises(TypeError, match=r"got int32 \(3, 2\)"):
        write_cbf(tmp_path / "a.cbf", np.zeros((3, 2), np.int32), geometry, 1)
    with pytest.raises(FileError, match=r"the folder .* does not exist"):
        write_cbf(tmp_path / "no" / "a.cbf", np.zeros((2, 3), np.int32), geometry, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"x-CBF_BYTE_OFFSET", b"x-CBF_PACKED", "must be compressed by byte offsets"),
        (b"X-Binary-Size-Second-Dimension", b"X-Binary-Size-2", "has no X-Binary-Size-Second-Dimension"),
        (b"Fastest-Dimension: 5", b"Fastest-Dimension: 900", "is cut off: 900 x 8 pixels in"),
        (b"Fastest-Dimension: 5", b"Fastest-Dimension: 12", "holds \\d+ pixels, not 12 x 8"),
    ],
)
def test_images_that_are_not_read(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    data = np.arange(40, dtype=np.int32).reshape(8, 5) * 1000  # three bytes a pixel: there would be room for 12 x 8
    write_cbf(tmp_path / "a.cbf", data, small((8, 5)), 100_000)
    assert np.array_equal(read_cbf(tmp_path / "a.cbf"), data)
    whole = (tmp_path / "a.cbf").read_bytes()
    assert old in whole
    (tmp_path / "b.cbf").write_bytes(whole.replace(old, new))
    with pytest.raises(FileError, match=rf"b\.cbf {message}"):
        read_cbf(tmp_path / "b.cbf")


def test_flux_is_named_where_it_is_known() -> None:
    assert "Flux" not in cbf_header(small((2, 2)), 100)
    assert "# Flux 2.5e+11\r\n" in cbf_header(small((2, 2), flux=2.5e11), 100)


# --- frame -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DETECTORS)
def test_frame_is_turned_not_mirrored(name: str) -> None:
    turn = to_imgcif(experiment(name))
    assert np.abs(turn @ turn.T - np.eye(3)).max() < 1e-14 and np.linalg.det(turn) == pytest.approx(1)
    assert turn @ resolve_detector(DETECTORS[name], "reference").frame.beam == pytest.approx([0, 0, -1])
    fast = turn @ experiment(name).panel.fdet
    assert fast[0] > 0 and abs(fast[1]) < 1e-14


@pytest.mark.parametrize("name", DETECTORS)
def test_beam_centre_and_distance_are_where_the_beam_hits(name: str) -> None:
    geometry = image_geometry(experiment(name))
    p = geometry.panel
    spot = p.origin_mm + geometry.beam_fast_mm * p.fast + geometry.beam_slow_mm * p.slow
    assert spot == pytest.approx([0, 0, -geometry.distance_mm], abs=1e-10)


@pytest.mark.parametrize("name", DETECTORS)
def test_only_what_a_header_cannot_say_is_said_otherwise(name: str) -> None:
    geometry = image_geometry(experiment(name))
    words = dials_import_words(geometry)
    assert (name in PLAIN) == (not words)
    if name == "DIALS":
        assert words == ["geometry.goniometer.axes=0,-1,0", "geometry.beam.polarization_normal=1,0,0"]
    if name == "ADXV":  # slow runs against MOSFLM's: the image is its mirror image
        assert [word.partition("=")[2] for word in words[:2]] == ["1,0,0", "0,1,0"] and len(words) == 3


def test_polarization_of_a_plain_header_is_said_where_it_is_not_what_dials_takes() -> None:
    geometry = small((2, 2))
    assert not dials_import_words(geometry)
    assert not dials_import_words(replace(geometry, polarization_normal=np.array([0.0, 1, 0])))
    words = dials_import_words(replace(geometry, polarization_normal=np.array([0.6, 0.8, 0])))
    assert words == ["geometry.beam.polarization_normal=0.6,0.8,0"]


@pytest.mark.parametrize("name", DETECTORS)
def test_polarization_normal_is_across_beam_and_field(name: str) -> None:
    normal, turn = image_geometry(experiment(name)).polarization_normal, to_imgcif(experiment(name))
    frame = resolve_detector(DETECTORS[name], "reference").frame
    if np.allclose(np.cross(frame.beam, frame.polar), 0, atol=1e-12):
        assert normal is None
    else:
        assert normal is not None and np.linalg.norm(normal) == pytest.approx(1)
        assert [normal @ turn @ frame.beam, normal @ turn @ frame.polar] == pytest.approx([0, 0], abs=1e-12)


# --- arrays ------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(data=hnp.arrays(st.sampled_from([np.int32, np.float32]), hnp.array_shapes(max_dims=3, max_side=5)))
def test_arrays_come_back_as_they_were(data: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("npy") / "counts"  # no ending is added
    write_npy(path, data)
    back = read_npy(path)
    assert back.dtype == data.dtype and np.array_equal(back, data, equal_nan=True)


def test_what_is_no_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("1 2 3")
    with pytest.raises(FileError, match=r"cannot read the NumPy array .*text\.npy"):
        read_npy(tmp_path / "text.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(FileError, match="objects"):
        read_npy(tmp_path / "objects.npy")
