"""Master files of DECTRIS' filewriter at several beamlines, and NXmx files of other detectors, by their published figures.

The files are made here, with the numbers that published headers and tests of other programs have; geometry in the frame of
McStas. Figures of imgCIF's frame, as DIALS has it, are turned by 180 degrees about y.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.io.geometry import FileGeometry, rotation
from nbnumba.model.geometry_files import read_geometry
from tests.io.nxmx_inputs import DETECTOR, Maker, filewriter, one_module

IMGCIF = np.array([-1.0, 1.0, -1.0])
GONIOMETER = "entry/sample/goniometer"


def put(made: Maker, **values) -> Maker:
    """Replace data sets of the sample's goniometer; None leaves one out, a number stands for one image."""
    for name, value in values.items():
        if f"{GONIOMETER}/{name}" in made.file:
            del made.file[f"{GONIOMETER}/{name}"]
        if value is not None:
            made.put(f"{GONIOMETER}/{name}", np.atleast_1d(np.asarray(value, dtype=float)), "degree")
    return made


def sized(made: Maker, fast: int, slow: int, number: str = "") -> Maker:
    for name, value in (("x_pixels_in_detector", fast), ("y_pixels_in_detector", slow)):
        made.file[f"{DETECTOR}/detectorSpecific/{name}"][()] = value
    if number:
        made.put(f"{DETECTOR}/detector_number", number)
    return made


def lies(made: Maker, axes: np.ndarray, corner_m: np.ndarray | None = None) -> Maker:
    """Orientation and translation of the detector, whose z is opposite to that of McStas."""
    made.group(f"{DETECTOR}/geometry", "NXgeometry")
    made.put(f"{DETECTOR}/geometry/orientation/value", (axes * [1, 1, -1]).ravel())
    if corner_m is not None:
        made.put(f"{DETECTOR}/geometry/translation/distances", corner_m * [1, 1, -1])
    return made


def said(found: FileGeometry, words: str) -> bool:
    return any(words in note for note in found.notes)


UPRIGHT = np.array([[-1.0, 0, 0], [0, -1.0, 0]])


@pytest.mark.parametrize("fixed", [False, True])
def test_eiger_9m_at_proxima_2a(fixed, tmp_path):
    """Header of SOLEIL's example in dials/data-files; dxtbx has the corner at (-120.556 118.982 -134.255) mm."""
    made = filewriter(
        tmp_path / "m.h5",
        fixed,
        beam_center_x=(1607.415, "pixel"),
        beam_center_y=(1586.4314, "pixel"),
        detector_distance=(0.134255, "m"),
    )
    lies(sized(made, 3110, 3269, "E-18-0102"), UPRIGHT, np.array([0.12055613, 0.11898236, 0.134255]))
    put(made, omega=0.0, omega_range_average=0.5, chi=0.0, kappa=0.0, phi=0.0, phi_range_average=0.0)
    found = read_geometry(made.close())
    (panel,) = found.panels
    np.testing.assert_allclose(IMGCIF * panel.pix0_mm, (-120.556, 118.982, -134.255), atol=1e-3)
    assert (panel.fpixels, panel.spixels) == (3110, 3269)
    assert (panel.fast_axis, panel.slow_axis, found.spindle) == ((-1, 0, 0), (0, -1, 0), (-1, 0, 0))
    assert (found.phi_deg, found.osc_deg, found.images) == (0.0, 0.5, (1, 1))
    assert len(found.notes) == 2 and said(found, "an upright detector perpendicular to the beam")


@pytest.mark.parametrize(
    ("number", "spindle", "where"),
    [
        ("E-32-0105", (0, 1, 0), "EIGER 16M at BioMAX, whose goniometer is vertical"),
        ("E-18-0133", (0, 1, 0), "EIGER 9M at ID23-2, too"),
        ("E-32-0112", (1, 0, 0), "EIGER 16M at SPring-8, where the sense of omega is the other one"),
        ("E-18-0103", (1, 0, 0), "EIGER 9M at SPring-8"),
        ("E-32-0999", (-1, 0, 0), "any other"),
    ],
)
def test_spindles_of_beamlines(number, spindle, where, tmp_path):
    """As dxtbx has them, in its frame: (0 1 0), (-1 0 0) and (1 0 0)."""
    found = read_geometry(sized(filewriter(tmp_path / "m.h5"), 4150, 4371, number).close(), image=2)
    assert found.spindle == spindle, where
    assert (found.phi_deg, found.osc_deg) == pytest.approx((20.1, 0.1))
    assert said(found, f"a spindle along ({' '.join(map(str, spindle))})")


@pytest.mark.parametrize("angle", [-12.0, 5.0, 30.0])
@pytest.mark.parametrize("axis", [(-1, 0, 0), (0, 1, 0), (1, 2, 0.5)])
@pytest.mark.parametrize("translated", [True, False])
def test_eiger_1m_on_an_arm(translated, axis, angle, tmp_path):
    """A detector that is swung about the crystal by two_theta: its orientation and its place describe that."""
    R, distance, center = rotation(axis, angle), 80.0, np.array([514.5, 532.25])
    axes = UPRIGHT @ R.T
    corner = R @ [*(center * 0.075), distance]
    # where the beam, along z, passes the plane of the detector
    beam = np.linalg.solve(np.column_stack([axes[0], axes[1], [0, 0, -1]]), -corner)
    made = filewriter(
        tmp_path / "m.h5",
        beam_center_x=(beam[0] / 0.075, "pixel"),
        beam_center_y=(beam[1] / 0.075, "pixel"),
        detector_distance=(beam[2] / 1000, "m"),
    )
    lies(sized(made, 1028, 1062), axes, corner / 1000 if translated else None)
    made.put(f"{DETECTOR}/goniometer/two_theta", [angle], "degree")
    found = read_geometry(made.close())
    (panel,) = found.panels
    np.testing.assert_allclose(panel.pix0_mm, corner, atol=1e-9)
    np.testing.assert_allclose([panel.fast_axis, panel.slow_axis], axes, atol=1e-12)
    assert np.dot(np.cross(panel.fast_axis, panel.slow_axis), panel.pix0_mm) == pytest.approx(distance)
    assert said(found, "the orientation that it gives") and not said(found, "two_theta")
    assert not said(found, "is taken: ") and not said(found, "beam_center and")


def test_two_sources_of_the_place(tmp_path):
    """The beam centre of an upright detector, the translation of a turned one; the log has both."""
    made = lies(filewriter(tmp_path / "m.h5"), UPRIGHT, np.array([0.03, 0.04, 0.1]))
    found = read_geometry(made.close())
    assert found.panels[0].pix0_mm == pytest.approx((38.625, 39.9, 100))
    assert said(found, "at (38.625 39.9 100) mm, geometry/translation at (30 40 100) mm: the first is taken")
    axes = UPRIGHT @ rotation((1, 0, 0), 20).T
    found = read_geometry(lies(filewriter(tmp_path / "n.h5"), axes, np.array([0.03, 0.04, 0.1])).close())
    assert found.panels[0].pix0_mm == pytest.approx((30, 40, 100))
    assert said(found, "geometry/translation at (30 40 100) mm: the second is taken")
    nowhere = read_geometry(lies(filewriter(tmp_path / "o.h5"), UPRIGHT, np.zeros(3)).close())
    assert nowhere.panels[0].pix0_mm == pytest.approx((38.625, 39.9, 100)) and len(nowhere.notes) == 2


@pytest.mark.parametrize("axes", [[[1, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]], [[2, 0, 0], [0, 1, 0]]])
def test_orientation_that_is_none(axes, tmp_path):
    found = read_geometry(lies(filewriter(tmp_path / "m.h5"), np.array(axes, float)).close())
    assert said(found, "has no two perpendicular directions") and found.panels[0].fast_axis == (-1, 0, 0)


#: Angles of the goniometer; start and width of image 3, whether it is a rotation about the spindle, and what is not used.
SCANS = {
    "omega": ({"omega": 10 + 0.2 * np.arange(5)}, (10.4, 0.2), ""),
    "backwards": ({"omega": 10 - 0.2 * np.arange(5)}, (-9.6, 0.2), ""),
    "omega, kappa and phi fixed": (
        {"omega": 0.1 * np.arange(5), "kappa": 30, "phi": 20, "chi": 0},
        (0.2, 0.1),
        "kappa 30 deg and phi 20 deg",
    ),
    "start and increment": ({"omega": None, "omega_start": 5.0, "omega_increment": 0.25}, (5.5, 0.25), ""),
    "first and width": ({"omega": [10.0], "omega_range_average": 0.5}, (11.0, 0.5), ""),
    "first of a still": ({"omega": [10.0]}, (10.0, None), ""),
    "phi": ({"omega": [90.0] * 5, "omega_increment": 0.0, "phi": 3 + 0.5 * np.arange(5)}, (4.0, 0.5), ""),
    "phi at kappa": (
        {"omega": [90.0] * 5, "phi": 0.5 * np.arange(5), "kappa": [30] * 5},
        (90.0, None),
        "kappa 30 deg and a scan of phi by 0.5 deg",
    ),
    "still": ({"omega": [7.0] * 5}, (7.0, None), ""),
}


@pytest.mark.parametrize("name", SCANS)
def test_goniometers(name, tmp_path):
    angles, (start, width), unused = SCANS[name]
    made = filewriter(tmp_path / "m.h5")
    made.put(f"{DETECTOR}/detectorSpecific/nimages", 5)
    made.put(f"{DETECTOR}/detectorSpecific/ntrigger", 1)
    found = read_geometry(put(made, **angles).close(), image=3)
    assert (found.phi_deg, found.osc_deg) == (pytest.approx(start), width and pytest.approx(width))
    assert found.spindle == ((1, 0, 0) if name == "backwards" else (-1, 0, 0))
    assert found.images == (1, 5)
    assert said(found, f"also has {unused}, not used") if unused else not said(found, "not used")
    with pytest.raises(FileError, match="holds 5 images: there is no image 6"):
        read_geometry(tmp_path / "m.h5", image=6)


def test_images_of_a_part_of_the_detector(tmp_path):
    """The size is that of the images, as with the region of interest of an EIGER 9M, and the beam centre may be a length."""
    made = filewriter(tmp_path / "m.h5", beam_center_x=(0.08, "m"), beam_center_y=(85.5, "mm"))
    del made.file["entry/data/data_000001"]
    made.file.create_dataset("entry/data/data_000001", shape=(2, 2167, 2070), dtype="u4", chunks=True)
    (panel,) = read_geometry(sized(made, 3110, 3269).close()).panels
    assert (panel.fpixels, panel.spixels, *panel.pix0_mm) == (2070, 2167, *map(pytest.approx, (80, 85.5, 100)))


def beam_of(path: Path, **data) -> Path:
    made = one_module(path)
    del made.file["entry/instrument/beam/incident_wavelength"]
    for name, (value, units) in data.items():
        made.put(f"entry/instrument/beam/{name}", value, units)
    return made.close()


ENERGIES = np.linspace(9400, 9600, 41)
BELL = np.exp(-(((ENERGIES - 9500) / 20) ** 2) / 2)
HC = 12398.4198


@pytest.mark.parametrize(
    ("data", "image", "wanted", "words"),
    [
        ({"incident_wavelength": ([0.9871, 0.9872, 0.9870], "angstrom")}, 2, 0.9872, "that of image 2 is taken"),
        ({"incident_wavelength": ([0.9871, 0.9872, 0.9870], "angstrom")}, None, 0.9871, "3 wavelengths, for as many images"),
        ({"incident_wavelength": ([0.987] * 3, "angstrom")}, 3, 0.987, ""),
        ({"incident_wavelength": (9.5e-11, "m")}, None, 0.95, ""),
        ({"incident_wavelength": (95.0, "pm")}, None, 0.95, ""),
        ({"incident_wavelength": (HC / ENERGIES, "angstrom"), "incident_wavelength_weights": (BELL, "")}, None, HC / 9500,
         "a spectrum of 41 wavelengths: their mean, 1.3051 A"),
        ({"incident_wavelength": (HC / ENERGIES, "angstrom"), "incident_wavelength_weight": ([BELL, BELL[::-1] + 1], "")}, 1,
         HC / 9500, "a spectrum of 41"),
        ({"incident_wavelength": ([[1.0], [1.1]], "angstrom"), "incident_wavelength_weights": ([[1.0], [2.0]], "")}, 2, 1.1, ""),
        ({"incident_energy": (12.0, "keV")}, None, HC / 12000, ""),
        ({"incident_energy": ([9000.0, 9100.0], "eV")}, 2, HC / 9100, "that of image 2"),
    ],
)  # fmt: skip
def test_wavelengths(data, image, wanted, words, tmp_path):
    found = read_geometry(beam_of(tmp_path / "a.nxs", **data), image=image)
    assert found.wavelength_A == pytest.approx(wanted, rel=1e-6)
    assert said(found, words) if words else not said(found, " wavelengths")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"incident_wavelength": ([1.0, 1.1], ""), "incident_wavelength_weights": ([1.0], "")}, "as many numbers"),
        ({"incident_wavelength": ([1.0, 1.1], ""), "incident_wavelength_weights": ([0.0, 0.0], "")}, "as many numbers"),
        ({"incident_wavelength": (0.0, "")}, "must be > 0"),
        ({"incident_energy": (-1.0, "eV")}, "must be > 0"),
        ({}, "has no incident_wavelength"),
    ],
)
def test_wavelengths_that_are_none(data, words, tmp_path):
    with pytest.raises(FileError, match=words):
        read_geometry(beam_of(tmp_path / "a.nxs", **data))


def test_eiger_on_an_arm_with_axes(tmp_path):
    """I19-2 of Diamond, two_theta 45 degrees about -x; dxtbx has the corner at (-81.075 139.689 -30.017) mm."""
    made = one_module(tmp_path / "a.nxs", offset=(112.19250476301882, (0.72264186, 0.69122265, 0.0)), size=(2162, 2068))
    arm = f"{DETECTOR}/transformations"
    made.file[f"{arm}/det_z"][()] = 120.0
    made.file[f"{arm}/det_z"].attrs["depends_on"] = f"{arm}/two_theta"
    made.step(f"{arm}/two_theta", 45, "deg", "rotation", (-1, 0, 0), ".")
    axes = "entry/sample/transformations"
    made.group(axes, "NXtransformations")
    made.step(f"{axes}/omega", -90.0, "deg", "rotation", (-1, 0, 0), ".")
    made.step(f"{axes}/kappa", 30.0, "deg", "rotation", (-0.642788, -0.766044, 0), "omega")
    made.step(f"{axes}/phi", 80 + 0.1 * np.arange(50), "deg", "rotation", (-1, 0, 0), "kappa")
    made.file["entry/sample/depends_on"][...] = "/entry/sample/transformations/phi"
    found = read_geometry(made.close(), image=11)
    (panel,) = found.panels
    wanted = (-81.07500032000678, 139.68894494331983, -30.01668254145155)
    np.testing.assert_allclose(IMGCIF * panel.pix0_mm, wanted, atol=1e-9)
    np.testing.assert_allclose(IMGCIF * panel.slow_axis, (0, -(0.5**0.5), -(0.5**0.5)), atol=1e-12)
    # phi's axis, turned by kappa and then by omega
    spindle = rotation((-1, 0, 0), -90) @ rotation((-0.642788, -0.766044, 0), 30) @ [-1, 0, 0]
    np.testing.assert_allclose(found.spindle, spindle, atol=1e-9)
    assert (found.phi_deg, found.osc_deg, found.images) == (pytest.approx(81), pytest.approx(0.1), (1, 50))


def test_module_on_the_beam_has_the_beam_centre(tmp_path):
    """Of older EIGERs: dxtbx has the corner of this EIGER 16M at (-155.985 166.904 -289.3) mm."""
    made = one_module(tmp_path / "a.nxs", offset=(0.0, (1.0, 0.0, 0.0)), size=(4362, 4148))
    made.file[f"{DETECTOR}/transformations/det_z"][()] = 289.3
    made.put(f"{DETECTOR}/beam_center_x", 2079.79727597266)
    made.put(f"{DETECTOR}/beam_center_y", 2225.38773853771)
    for axis in ("fast", "slow"):  # as some of these files have it
        made.file[f"{DETECTOR}/module/{axis}_pixel_direction"].attrs["depends_on"] = "."
    found = read_geometry(made.close())
    np.testing.assert_allclose(IMGCIF * found.panels[0].pix0_mm, (-155.985, 166.904, -289.3), rtol=1e-5)
    assert said(found, "puts the corner of its detector on the beam: the beam centre of 2079.8 2225.39 pixels is taken")


def test_offsets_of_pixel_directions(tmp_path):
    """The offset of a direction moves the corner, in the frame of what it depends on."""
    made = one_module(tmp_path / "a.nxs", offset=(0.0, (1.0, 0.0, 0.0)))
    data = made.file[f"{DETECTOR}/module/fast_pixel_direction"]
    data.attrs["offset"], data.attrs["offset_units"] = np.array([0.1, -0.05, 0.002]), "m"
    assert read_geometry(made.close()).panels[0].pix0_mm == pytest.approx((100, -50, 202))


#: Modules of a quadrant of a JUNGFRAU 16M at SwissFEL, with the axes that they hang from: offsets (mm).
JUNGFRAU = {
    "AXIS_D0Q0M0A0": ("AXIS_D0Q0M0", (38.5842, -19.1314, 0)),
    "AXIS_D0Q0M0A1": ("AXIS_D0Q0M0", (19.2342, -19.1658, 0)),
    "AXIS_D0Q0M12A0": ("AXIS_D0Q0M12", (38.4963, -19.3077, 0)),
    "AXIS_D0Q0M0": ("AXIS_D0Q0", (38.3107, -61.1138, 0)),
    "AXIS_D0Q0M12": ("AXIS_D0Q0", (39.1843, 61.4038, 0)),
    "AXIS_D0Q0": ("AXIS_D0", (75.1333, -84.6597, 0)),
    "AXIS_D0": ("AXIS_RAIL", (-0.429033, 0.121021, -0.294)),
}
SIDES = {
    "ARRAY_D0Q0M0A0": ("AXIS_D0Q0M0A0", [1, 1], [(-0.999998, -0.001781, 0), (-0.001781, 0.999998, 0)]),
    "ARRAY_D0Q0M0A1": ("AXIS_D0Q0M0A1", [1, 259], [(-0.999998, -0.001781, 0), (-0.001781, 0.999998, 0)]),
    "ARRAY_D0Q0M12A0": ("AXIS_D0Q0M12A0", [6169, 1], [(-0.999996, 0.00279501, 0), (0.00279501, 0.999996, 0)]),
}


def test_jungfrau_with_a_hierarchy_of_axes(tmp_path):
    """dxtbx has the first corner at (-151.599167 -164.783879 -97.536) mm; each image has a wavelength of its own."""
    made = Maker(tmp_path / "jf.h5", fixed=True)
    detector = "/entry/instrument/ELE_D0"
    for name, kind in (("entry", "entry"), ("entry/instrument", "instrument"), ("entry/instrument/beam", "beam")):
        made.group(name, f"NX{kind}")
    made.put("entry/instrument/beam/incident_wavelength", np.array([1.3, 1.31, 1.32]), "angstrom")
    made.group(detector, "NXdetector")
    made.group(f"{detector}/transformations", "NXtransformations")
    for name, (above, offset) in JUNGFRAU.items():
        more = {"offset": np.array(offset, float), "offset_units": "mm"}
        made.step(f"{detector}/transformations/{name}", 0.0, "degrees", "rotation", (0, 0, -1), above, **more)
    made.step(f"{detector}/transformations/AXIS_RAIL", 97.83, "mm", "translation", (0, 0, 1), ".")
    for name, (axis, origin, sides) in SIDES.items():
        made.group(f"{detector}/{name}", "NXdetector_module")
        made.put(f"{detector}/{name}/data_size", [254, 254])
        made.put(f"{detector}/{name}/data_origin", origin)
        for key, side in zip(("fast", "slow"), sides, strict=True):
            where = f"{detector}/transformations/{axis}"
            made.step(f"{detector}/{name}/{key}_pixel_direction", 0.075, "mm", "translation", side, where)
    found = read_geometry(made.close(), image=3)
    assert found.wavelength_A == pytest.approx(1.32)
    corners = np.array([panel.pix0_mm for panel in found.panels])
    np.testing.assert_allclose(IMGCIF * corners[0], (-151.599167, -164.783879, -97.536), atol=1e-6)
    # by the sums of the offsets
    for corner, name in zip(corners, SIDES, strict=True):
        above, total = SIDES[name][0], np.array([0, 0, 97.83])
        while above in JUNGFRAU:
            above, offset = JUNGFRAU[above]
            total = total + offset
        np.testing.assert_allclose(corner, total, atol=1e-9)
    np.testing.assert_allclose(
        IMGCIF * found.panels[0].fast_axis, (0.9999984140169291, -0.0017810007373656254, 0), rtol=1e-6
    )
    assert [panel.offset for panel in found.panels] == [(1, 1), (259, 1), (1, 6169)]


def test_axis_of_a_file_that_is_known_to_be_wrong(tmp_path):
    """ESRF ID23-2 has a vertical spindle, and files that say -x."""
    for number, spindle in (("E-18-0133", (0, 1, 0)), ("E-18-0134", (-1, 0, 0)), ("E-32-0105", (-1, 0, 0))):
        made = one_module(tmp_path / f"{number}.h5")
        made.put(f"{DETECTOR}/detector_number", number)
        made.put(f"{DETECTOR}/detectorSpecific/eiger_fw_version", "1.8")
        made.group("entry/sample/transformations", "NXtransformations")
        made.step("entry/sample/transformations/omega", [1.0, 1.5], "deg", "rotation", (-1, 0, 0), ".")
        made.file["entry/sample/depends_on"][...] = "/entry/sample/transformations/omega"
        found = read_geometry(made.close())
        assert (found.spindle, found.phi_deg, found.osc_deg) == (spindle, 1.0, 0.5)
        assert said(found, "is one of a beamline whose spindle is (0 1 0), not (-1 0 0)") == (number == "E-18-0133")


def test_groups_without_a_class(tmp_path):
    """The first EIGERs' files had one for the entry only: groups have their usual names."""
    plain = read_geometry(filewriter(tmp_path / "m.h5").close())
    for name in ("entry", "entry/instrument", "entry/instrument/beam", DETECTOR, "entry/sample", "entry/data"):
        with h5py.File(tmp_path / "m.h5", "a") as file:
            del file[name].attrs["NX_class"]
        found = read_geometry(tmp_path / "m.h5")
        assert (found.panels, found.wavelength_A, found.osc_deg) == (plain.panels, plain.wavelength_A, plain.osc_deg)


ARM = f"{DETECTOR}/transformations"
AXES = "entry/sample/transformations"
#: What the second version of the filewriter has beside omega: name, values, unit; what is said of it.
BESIDE = {
    "two-theta": ((f"{ARM}/two_theta", [12.0] * 4, "degree"), "two_theta 12 degree"),
    "kappa": ((f"{AXES}/kappa", [30.0] * 4, "degree"), "kappa 30 degree"),
    "phi": ((f"{AXES}/phi", np.arange(4.0), "deg"), "phi 0 to 3 deg"),
    "none": ((f"{AXES}/chi", [0.0] * 4, "degree"), ""),
    "ends": ((f"{AXES}/omega_end", [0.1, 0.2, 0.3, 0.4], "degree"), ""),
    "not an angle": ((f"{AXES}/sam_z", [1.0], "mm"), ""),
}


@pytest.mark.parametrize("name", BESIDE)
def test_angles_that_nothing_depends_on_are_named(name, tmp_path):
    """The filewriter's second version: one module, a translation, and angles that are in no chain."""
    (place, values, unit), words = BESIDE[name]
    made = one_module(tmp_path / "a.h5", offset=(0.0, (1.0, 0.0, 0.0)))
    made.group(AXES, "NXtransformations")
    made.step(f"{AXES}/omega", 0.1 * np.arange(4), "degree", "rotation", (-1, 0, 0), ".")
    made.put(place, np.array(values), unit)
    # the same axis under a second name
    made.group("entry/sample/sample_omega", "NXtransformations")
    made.file["entry/sample/sample_omega/omega"] = made.file[f"{AXES}/omega"]
    made.file["entry/sample/depends_on"][...] = "/entry/sample/transformations/omega"
    found = read_geometry(made.close(), image=2)
    assert (found.phi_deg, found.osc_deg) == pytest.approx((0.1, 0.1)) and found.images == (1, 4)
    assert said(found, f"also has {words}, not used") if words else not said(found, "not used")


def test_files_that_are_no_images(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(FileError, match="has no NXentry"):
        read_geometry(tmp_path / "a.h5")
