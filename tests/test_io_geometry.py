"""Geometry files and flags together: which one counts, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.config import Panel
from nbnumba.errors import ConfigError, FileError, UsageError
from nbnumba.experiment import resolve
<<<<<<< HEAD
from nbnumba.geometry_files import cell_of, geometry_kind, orientation, read_geometry, whole_image
from tests.geometry_inputs import (
    CELL,
    PANELS,
    an_experiment,
    direct_vectors,
    from_flags,
    write,
)
=======
from nbnumba.geometry_files import cell_of, geometry_kind, orientation, read_geometry, to_config, whole_image
from nbnumba.inputs import orientations
from nbnumba.io.expt import read_expt
from nbnumba.io.geometry import rotation
from nbnumba.simulate import simulate

CELL = (36.4, 41.7, 47.3, 82.1, 75.4, 68.9)
WAVELENGTH = 0.9795
U = rotation((1, 2, 3), 40)
FACTORS = StructureFactors(default_F=100.0, dump=Path("/nonexistent/none.bin"), interpolate=False)


def direct_vectors() -> np.ndarray:
    """a, b, c (Å) as rows, oriented by U."""
    a, b, c, al, be, ga = CELL
    ca, cb, cg, sg = *np.cos(np.radians([al, be, ga])), np.sin(np.radians(ga))
    x, y = cb, (ca - cb * cg) / sg
    standard = np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * x, c * y, c * np.sqrt(1 - x * x - y * y)]])
    return standard @ U.T


def a_panel(origin, fast=(1, 0, 0), slow=(0, -1, 0), size=(12, 10), pixel=0.9, name="", offset=(0, 0)) -> dict:
    """A panel as dxtbx writes it."""
    return {
        "name": name,
        "type": "SENSOR_PAD",
        "fast_axis": list(fast),
        "slow_axis": list(slow),
        "origin": list(origin),
        "raw_image_offset": list(offset),
        "image_size": list(size),
        "pixel_size": [pixel, pixel],
        "trusted_range": [0, 65535],
        "thickness": 0.0,
        "material": "",
        "mu": 0.0,
    }


TILTED = rotation((0.3, 1, 0.1), 17)
PANELS = [
    a_panel((-14, 12, -60), name="a"),
    a_panel((2, 12, -60), name="b", offset=(14, 0)),
    a_panel((-14, -2, -61), name="c", size=(11, 9), offset=(0, 12)),
    a_panel((3, -3, -58), TILTED[:, 0], -TILTED[:, 1], name="d", pixel=0.7, offset=(14, 12)),
]


def an_experiment(**changes) -> dict:
    """An experiment list with one experiment; a model that is None is left out."""
    a, b, c = direct_vectors().tolist()
    models = {
        "beam": {
            "__id__": "monochromatic",
            "direction": [0.0, 0.0, 1.0],
            "wavelength": WAVELENGTH,
            "polarization_normal": [0.0, 1.0, 0.0],
            "polarization_fraction": 0.95,
            "probe": "x-ray",
        },
        "detector": {"panels": PANELS, "hierarchy": group(range(len(PANELS)))},
        "goniometer": {"rotation_axis": [1.0, 0.0, 0.0]},
        "scan": {"image_range": [3, 12], "properties": {"oscillation": [10 + 0.5 * i for i in range(10)]}},
        "crystal": {"__id__": "crystal", "real_space_a": a, "real_space_b": b, "real_space_c": c},
    } | changes
    content = {"__id__": "ExperimentList", "experiment": [{"__id__": "Experiment", "identifier": ""}]}
    for name, model in models.items():
        content[name] = [] if model is None else [model]
        if model is not None:
            content["experiment"][0][name] = 0
    return content


def group(panels, **frame) -> dict:
    """A node of the detector's hierarchy."""
    home = {"fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0], "origin": [0, 0, 0]}
    return home | frame | {"children": [{"panel": i} for i in panels]}


def write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content))
    return path


def simulation_of(path: Path, **more) -> Simulation:
    """The file's experiment, small."""
    parts = to_config(read_geometry(path, **more))
    crystal = replace(parts.pop("crystal"), Na=3, Nb=4, Nc=2)
    return Simulation(crystal=crystal, structure_factors=FACTORS, sampling=Sampling(oversample=1), **parts)


def from_flags(line: str) -> Simulation:
    """What a command line describes."""
    return build(parse(line.split()))[0]


def test_expt_panels_equal_single_panel_runs(tmp_path):
    """Four panels, one tilted: each is, bit for bit, the image of the same geometry with this panel only."""
    together = simulate(simulation_of(write(tmp_path / "all.expt", an_experiment())))
    assert len(together.images) == 4
    for i, image in enumerate(together.images):
        detector = {"panels": [PANELS[i]], "hierarchy": group([0])}
        alone = simulate(simulation_of(write(tmp_path / f"{i}.expt", an_experiment(detector=detector))))
        assert image.shape == tuple(PANELS[i]["image_size"][::-1])
        assert image.max() > 0
        np.testing.assert_array_equal(image, alone.image)
    whole = whole_image(together.experiment.simulation.detector.panels, together.images, gap=-1)
    assert whole.shape == (22, 26)
    np.testing.assert_array_equal(whole[12:, 14:], together.images[3])
    np.testing.assert_array_equal(whole[12:21, :11], together.images[2])
    assert (whole[:, 12:14] == -1).all()
    assert (whole == -1).sum() == 22 * 26 - 120 * 3 - 99


def test_expt_is_the_experiment_that_dials_means(tmp_path):
    """Every number of the file, against dxtbx's definitions written out."""
    experiment = resolve(simulation_of(write(tmp_path / "a.expt", an_experiment())))
    frame = experiment.detector.frame
    np.testing.assert_array_equal(frame.beam, [0, 0, -1])
    np.testing.assert_allclose(np.abs(frame.polar), [1, 0, 0])
    np.testing.assert_array_equal(frame.spindle, [1, 0, 0])
    np.testing.assert_allclose(experiment.crystal.direct, direct_vectors(), atol=1e-9)
    assert experiment.simulation.beam.kahn_factor == pytest.approx(0.9)
    assert np.degrees(experiment.scan.start) == pytest.approx(10)
    assert np.degrees(experiment.scan.osc) == pytest.approx(0.5)
    for panel, said in zip(experiment.detector.panels, PANELS, strict=True):
        np.testing.assert_allclose(panel.pix0, np.array(said["origin"]) / 1000, rtol=1e-12)
        np.testing.assert_allclose(panel.fdet, said["fast_axis"], atol=1e-12)
    # a crystal turned by phi about e: x' = R(e, phi) x
    wanted = direct_vectors() @ rotation((1, 0, 0), 10).T * 1e-10
    np.testing.assert_allclose(orientations(experiment)[0].reshape(3, 3), wanted, atol=1e-20)


def test_expt_spots_are_where_the_laue_equation_puts_them(tmp_path):
    """A reflection that dxtbx's own formulas predict (r = S R F A h, s1 = s0 + r) is the brightest pixel around."""
    F, S = rotation((0, 1, 1), 25), rotation((1, 1, 0), 35)
    gonio = {
        "rotation_axis": [0.0, 1.0, 0.0],
        "fixed_rotation": F.ravel().tolist(),
        "setting_rotation": S.ravel().tolist(),
    }
    detector = {"panels": [a_panel((-40, 40, -60), size=(400, 400), pixel=0.2)], "hierarchy": group([0])}
    scan = {"image_range": [1, 1], "oscillation": [33.0, 0.01]}
    path = write(tmp_path / "a.expt", an_experiment(goniometer=gonio, scan=scan, detector=detector))
    A = np.linalg.inv(direct_vectors())
    turned = S @ rotation((0, 1, 0), 33.0) @ F @ A
    s0 = np.array([0, 0, -1]) / WAVELENGTH
    h = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), -1).reshape(-1, 3)
    s1 = s0 + h @ turned.T
    off = np.abs(np.linalg.norm(s1, axis=1) - 1 / WAVELENGTH)
    close = (off < 1e-4) & (h.any(axis=1)) & (s1[:, 2] < -0.5 / WAVELENGTH)
    hits = s1[close] * (-60 / s1[close][:, 2:])
    fast, slow = (hits[:, 0] + 40) / 0.2, (40 - hits[:, 1]) / 0.2
    inside = (fast > 4) & (fast < 396) & (slow > 4) & (slow < 396)
    assert inside.sum() >= 3
    base = simulation_of(path)
    sharp = replace(base, crystal=replace(base.crystal, Na=10, Nb=10, Nc=10, shape="gauss"))
    image = simulate(replace(sharp, physics="correct", sampling=Sampling(oversample=2))).image
    for f, s in zip(fast[inside].astype(int), slow[inside].astype(int), strict=True):
        box = image[s - 4 : s + 5, f - 4 : f + 5]
        row, column = np.unravel_index(box.argmax(), box.shape)
        assert box.max() > 1e-3 * image.max()
        assert max(abs(row - 4), abs(column - 4)) <= 1


def test_expt_goniometer_of_many_axes(tmp_path):
    """Axes are listed from the crystal outwards; those before the scan axis are fixed, those after it its setting."""
    axes = [[1, 0, 0], [0.1, 0.9, 0.2], [0, 0.6, 0.8]]
    gonio = {"axes": axes, "angles": [20, 0, 30], "names": ["phi", "kappa", "omega"], "scan_axis": 1}
    found = read_geometry(write(tmp_path / "a.expt", an_experiment(goniometer=gonio)))
    setting, fixed = rotation(axes[2], 30), rotation(axes[0], 20)
    np.testing.assert_allclose(found.spindle, setting @ axes[1] / np.linalg.norm(axes[1]), atol=1e-12)
    np.testing.assert_allclose(found.reciprocal, setting @ fixed @ np.linalg.inv(direct_vectors()), atol=1e-12)


STILLS = {
    "no scan": {"scan": None},
    "no goniometer": {"goniometer": None},
    "no oscillation": {"scan": {"image_range": [1, 1], "oscillation": [10.0, 0.0]}},
    "none said": {"scan": {"image_range": [1, 4]}},
}


@pytest.mark.parametrize("name", STILLS)
def test_expt_stills_take_the_crystal_as_it_is(tmp_path, name):
    gonio = {"rotation_axis": [1, 0, 0], "fixed_rotation": rotation((0, 1, 0), 50).ravel().tolist()}
    found = read_geometry(write(tmp_path / "a.expt", an_experiment(**({"goniometer": gonio} | STILLS[name]))))
    np.testing.assert_allclose(found.reciprocal, np.linalg.inv(direct_vectors()), atol=1e-12)
    assert found.phi_deg is None
    assert found.osc_deg is None


def test_expt_nested_groups(tmp_path):
    """A panel's frame is that of its group, the group's that of the one around it."""
    outer, inner = rotation((0, 1, 0), 12), rotation((1, 0, 0), -7)
    leaf = group([0], fast_axis=inner[:, 0].tolist(), slow_axis=inner[:, 1].tolist(), origin=[1, 2, 3])
    root = group([], fast_axis=outer[:, 0].tolist(), slow_axis=outer[:, 1].tolist(), origin=[0, 0, -50])
    detector = {"panels": [a_panel((-5, 6, 1))], "hierarchy": root | {"children": [leaf]}}
    (panel,) = read_geometry(write(tmp_path / "a.expt", an_experiment(detector=detector))).panels
    wanted = np.array([0, 0, -50]) + outer @ ([1, 2, 3] + inner @ [-5, 6, 1])
    np.testing.assert_allclose(panel.pix0_mm, wanted, atol=1e-12)
    np.testing.assert_allclose(panel.fast_axis, (outer @ inner)[:, 0], atol=1e-12)
    np.testing.assert_allclose(panel.slow_axis, -(outer @ inner)[:, 1], atol=1e-12)


def test_expt_image_of_a_scan(tmp_path):
    path = write(tmp_path / "a.expt", an_experiment())
    assert read_geometry(path).images == (3, 12)
    assert read_geometry(path, image=5).phi_deg == pytest.approx(11.0)
    with pytest.raises(FileError, match="holds images 3 to 12: there is no image 2"):
        read_geometry(path, image=2)


def test_expt_backward_scan_is_a_forward_one_about_the_opposite_axis(tmp_path):
    backward = {"image_range": [1, 2], "oscillation": [10.0, -0.5]}
    found = read_geometry(write(tmp_path / "a.expt", an_experiment(scan=backward)), image=2)
    assert (found.phi_deg, found.osc_deg) == (-9.5, 0.5)
    assert found.spindle == (-1, 0, 0)


def test_expt_scan_varying_crystal(tmp_path):
    A = np.linalg.inv(direct_vectors())
    points = [(rotation((0, 0, 1), 0.1 * i) @ A).ravel().tolist() for i in range(11)]
    crystal = an_experiment()["crystal"][0] | {"A_at_scan_points": points}
    found = read_geometry(write(tmp_path / "a.expt", an_experiment(crystal=crystal)), image=6)
    np.testing.assert_allclose(found.reciprocal, rotation((0, 0, 1), 0.35) @ A, atol=1e-7)


def test_expt_sensor(tmp_path):
    panels = [panel | {"thickness": 0.45, "mu": 3.9} for panel in PANELS]
    found = read_geometry(write(tmp_path / "a.expt", an_experiment(detector={"panels": panels})))
    assert found.thickness_um == pytest.approx(450)
    assert found.attenuation_um == pytest.approx(1000 / 3.9)
    panels[1]["mu"] = 2
    with pytest.raises(FileError, match="different thickness or mu"):
        read_geometry(write(tmp_path / "a.expt", an_experiment(detector={"panels": panels})))


BROKEN = {
    "beam": ({"direction": [0, 0, 0], "wavelength": 1}, r"beam\[0\].direction has no length"),
    "detector": ({"panels": []}, r"detector\[0\] has no panels"),
    "goniometer": ({"axes": [[1, 0, 0]], "angles": [0], "scan_axis": 3}, "scan_axis must be the number"),
    "crystal": ({"real_space_a": [1, 0, 0], "real_space_b": [1, 0, 0], "real_space_c": [0, 0, 1]}, "no volume"),
    "scan": ({"image_range": [1, 2], "oscillation": [0, "x"]}, r"scan\[0\].oscillation must be 2 finite numbers"),
}
BEAM = {"direction": [0, 0, 1], "wavelength": WAVELENGTH, "polarization_normal": [0, 1, 0]}
BROKEN_BEAMS = {
    "wavelength": (0, r"beam\[0\].wavelength must be > 0, got 0"),
    "polarization_normal": ([0, 0, 3], "the normal of the polarization plane lies along the beam"),
    "polarization_fraction": (1.5, "the polarized fraction must be 0 to 1, got 1.5"),
}


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [(name, *row) for name, row in BROKEN.items()]
    + [("beam", BEAM | {key: value}, message) for key, (value, message) in BROKEN_BEAMS.items()],
)
def test_expt_errors_name_file_and_key(tmp_path, name, entry, message):
    with pytest.raises(FileError, match=message) as caught:
        read_geometry(write(tmp_path / "bad.expt", an_experiment(**{name: entry})))
    assert "bad.expt" in str(caught.value)


def test_expt_without_the_experiment_that_is_wanted(tmp_path):
    for content in ([], {"experiment": 3}):
        with pytest.raises(FileError, match=r"a\.expt has no list 'experiment'"):
            read_geometry(write(tmp_path / "a.expt", {"experiment": None, "beam": content}))
    with pytest.raises(FileError, match=r"a\.expt has 1 experiments: there is no number 1"):
        read_expt(write(tmp_path / "a.expt", an_experiment()), index=1)


def test_expt_scan_of_one_image_has_its_width(tmp_path):
    properties = {"oscillation": [12.5], "oscillation_width": [0.25]}
    one = an_experiment(scan={"image_range": [7, 7], "properties": properties})
    found = read_geometry(write(tmp_path / "a.expt", one))
    assert (found.phi_deg, found.osc_deg) == (12.5, 0.25)


def test_expt_that_is_no_json(tmp_path):
    path = tmp_path / "bad.expt"
    path.write_text('{"experiment": [\n  {"beam": 0,}\n]}')
    with pytest.raises(FileError, match=r"bad\.expt is not JSON: .*line 2"):
        read_geometry(path)
    panels = [PANELS[0] | {"pixel_size": [0.1, 0.2]}]
    with pytest.raises(FileError, match=r"detector\[0\].panels\[0\]: pixels of 0.1 x 0.2 mm are not square"):
        read_geometry(write(path, an_experiment(detector={"panels": panels})))
    with pytest.raises(FileError, match="experiment 0 has no beam"):
        read_geometry(write(path, an_experiment(beam=None)))
>>>>>>> 6b0221d (Tests of geometry, image and reflection files that cannot be)


def test_flags_beat_the_file(tmp_path):
    path = write(tmp_path / "a.expt", an_experiment(detector={"panels": PANELS[:1]}))
    plain = from_flags(f"--geometry {path} -default_F 1")
    assert plain.detector.panels[0].name == "a"
    other = from_flags(f"-lambda 1.5 -osc 2 -beam_vector 0 0.1 -1 -polar 0 --geometry {path} -default_F 1")
    assert other.beam.wavelength_A == 1.5
    assert other.beam.kahn_factor == 0
    assert (other.scan.phi_deg, other.scan.osc_deg) == (10, 2)
    assert other.detector.beam_vector == (0, 0.1, -1)
    np.testing.assert_allclose(resolve(other).crystal.direct, direct_vectors(), atol=1e-9)


def test_a_spectrum_beats_the_wavelength_of_the_file(tmp_path):
    """And the crystal stays as it is, although its matrix holds the wavelength."""
    path, spectrum = write(tmp_path / "a.expt", an_experiment()), tmp_path / "s.txt"
    spectrum.write_text("1.2 1\n1.3 1\n")
    simulation = from_flags(f"--geometry {path} -default_F 1 --spectrum {spectrum}")
    assert simulation.beam.wavelength_A == pytest.approx(1.25)
    np.testing.assert_allclose(resolve(simulation).crystal.direct, direct_vectors(), atol=1e-9)
    assert from_flags(f"--geometry {path} -default_F 1 --spectrum {spectrum} -lambda 1").beam.wavelength_A == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3), st.booleans())
def test_a_moved_panel_starts_where_the_file_has_it(tmp_path_factory, which, near):
    """Setting the distance that the panel has anyway changes nothing; another one moves it along beam or normal."""
    path = write(tmp_path_factory.mktemp("g") / "a.expt", an_experiment(detector={"panels": [PANELS[which]]}))
    still = resolve(from_flags(f"--geometry {path} -default_F 1"))
    panel = still.panel
    flag, distance = ("-close_distance", panel.close_distance) if near else ("-distance", panel.distance)
    same = resolve(from_flags(f"--geometry {path} {flag} {distance * 1000!r} -default_F 1")).panel
    np.testing.assert_allclose(same.pix0, panel.pix0, atol=1e-15)
    np.testing.assert_allclose(np.array([same.fdet, same.sdet]), [panel.fdet, panel.sdet], atol=1e-15)
    moved = resolve(from_flags(f"--geometry {path} {flag} {distance * 1000 + 5!r} -default_F 1")).panel
    along = panel.odet if near else still.detector.frame.beam
    np.testing.assert_allclose(moved.pix0 - panel.pix0, 0.005 * along, atol=1e-12)


def test_flags_that_contradict_the_file(tmp_path):
    path = write(tmp_path / "a.expt", an_experiment())
    with pytest.raises(ConfigError, match=r"distance_mm cannot be set: .* has 4 panels.*\(from -distance\)"):
        from_flags(f"--geometry {path} -distance 100")
    with pytest.raises(UsageError, match="-mosflm contradicts --geometry"):
        from_flags(f"--geometry {path} -mosflm")
    with pytest.raises(UsageError, match="give --geometry FILE"):
        from_flags("-cell 10 --geometry-image 3")


def test_cell_flag_keeps_the_orientation(tmp_path):
    path = write(tmp_path / "a.expt", an_experiment())
    same = resolve(from_flags(f"--geometry {path} -default_F 1 -cell {' '.join(map(str, CELL))}"))
    np.testing.assert_allclose(same.crystal.direct, direct_vectors(), atol=1e-9)
    other = resolve(from_flags(f"--geometry {path} -default_F 1 -cell 30 40 50 90 100 110"))
    np.testing.assert_allclose(other.crystal.unit_cell, (30, 40, 50, 90, 100, 110), rtol=1e-9)
    # a keeps its direction, and b its plane
    np.testing.assert_allclose(np.cross(other.crystal.direct[0], direct_vectors()[0]), 0, atol=1e-9)
    assert np.linalg.det(np.array([*direct_vectors()[:2], other.crystal.direct[1]])) == pytest.approx(0, abs=1e-9)
    assert cell_of(read_geometry(path).reciprocal) == pytest.approx(CELL)
    assert orientation(replace(read_geometry(path), reciprocal=None), 1.0) is None


def test_whole_image_refuses_overlap():
    panel = Panel(pix0_mm=(0, 0, 9), fast_axis=(1, 0, 0), slow_axis=(0, 1, 0), spixels=2, fpixels=3, pixel_mm=1)
    image = np.ones((2, 3), np.float32)
    stacked = whole_image([panel, panel], [image, 2 * image])
    np.testing.assert_array_equal(stacked, [[1] * 3] * 2 + [[2] * 3] * 2)
    with pytest.raises(ConfigError, match="overlaps"):
        whole_image([replace(panel, offset=(0, 0)), replace(panel, offset=(2, 1))], [image, image])


def test_unknown_files(tmp_path):
    path = tmp_path / "x.geo"
    path.write_text("hello world\n")
    with pytest.raises(FileError, match=r"x\.geo is no geometry file that is known"):
        geometry_kind(path)
    with pytest.raises(FileError, match="cannot read the geometry file"):
        geometry_kind(tmp_path / "none")
<<<<<<< HEAD
=======


# XDS


def xparm(direct: np.ndarray, segments: str = "") -> str:
    """XPARM.XDS of today; without ``segments`` the one that is the whole detector."""
    segments = segments or "1 1 240 1 200\n 0.0 0.0 0.0  1.0 0.0 0.0  0.0 1.0 0.0\n"
    rows = "\n".join("  ".join(f"{v:.9f}" for v in row) for row in direct)
    return (
        " XPARM.XDS    VERSION Jan 10, 2022  BUILT=20220820\n"
        "     4   10.0000   0.5000  0.999000  0.010000 -0.043600\n"
        f"    {WAVELENGTH}   0.0030 -0.0040  1.0200\n"
        f"  1  {' '.join(map(str, CELL))}\n{rows}\n"
        f"  {len(segments.splitlines()) // 2}  240  200  0.3 0.3\n"
        "   118.70   98.20   71.50\n"
        "  0.9998 0.0 0.02\n  0.0 1.0 0.0\n -0.02 0.0 0.9998\n" + segments
    )


def old_xparm(direct: np.ndarray) -> str:
    """The same without the last two lines, in the layout of before 2012."""
    rows = "\n".join("  ".join(f"{v:.9f}" for v in row) for row in direct)
    return (
        "     4   10.0000   0.5000  0.999000  0.010000 -0.043600\n"
        f"    {WAVELENGTH}   0.0030 -0.0040  1.0200\n"
        "  240  200  0.3 0.3\n   71.50   118.70   98.20\n"
        "  0.9998 0.0 0.02\n  0.0 1.0 0.0\n -0.02 0.0 0.9998\n"
        f"  1  {' '.join(map(str, CELL))}\n{rows}\n"
    )


INP = """! written for a test  ORGX= 5
JOB= XYCORR INIT
ORGX= 118.70 ORGY= 98.20   DETECTOR_DISTANCE= 71.50
OSCILLATION_RANGE=0.5 STARTING_ANGLE= 10.0 ! half a degree
X-RAY_WAVELENGTH= 0.9795  DATA_RANGE= 4 90
NAME_TEMPLATE_OF_DATA_FRAMES=../a_NX=7_????.cbf
UNIT_CELL_CONSTANTS= 36.4 41.7 47.3 82.1 75.4 68.9
NX= 240 NY= 200  QX= 0.3  QY= 0.3
ROTATION_AXIS=0.999 0.01 -0.0436
DIRECTION_OF_DETECTOR_X-AXIS= 0.9998 0 0.02
DIRECTION_OF_DETECTOR_Y-AXIS= 0 1 0
INCIDENT_BEAM_DIRECTION= 0.003 -0.004 1.02
FRACTION_OF_POLARIZATION=0.98 POLARIZATION_PLANE_NORMAL=0 1 0
SENSOR_THICKNESS=0.45 SILICON=3.9
"""


def pixel_place(panel, x: float, y: float) -> np.ndarray:
    """Where a panel has fast x, slow y, in mm from its corner in pixels."""
    return 1000 * (panel.pix0 + panel.pixel_size * (x * panel.fdet + y * panel.sdet))


@pytest.mark.parametrize("layout", ["today", "old", "inp"])
def test_xds_puts_pixels_where_xds_does(tmp_path, layout):
    """XDS' own formula for the centre of pixel (x, y), x and y from 1, in all three files."""
    text = {"today": xparm(direct_vectors()), "old": old_xparm(direct_vectors()), "inp": INP}[layout]
    path = tmp_path / "file"
    path.write_text(text)
    found = read_geometry(path)
    x_axis, y_axis = np.array([0.9998, 0, 0.02]), np.array([0, 1, 0])
    x_axis = x_axis / np.linalg.norm(x_axis)
    normal = np.cross(x_axis, y_axis)
    panel = resolve(simulation_of(path) if layout != "inp" else replace(_inp_simulation(path))).panel
    for x, y in ((1, 1), (240, 1), (77, 150)):
        wanted = (x - 118.70) * 0.3 * x_axis + (y - 98.20) * 0.3 * y_axis + 71.50 * normal
        np.testing.assert_allclose(pixel_place(panel, x - 0.5, y - 0.5), wanted, atol=1e-9)
    assert (panel.fpixels, panel.spixels) == (240, 200)
    assert found.wavelength_A == WAVELENGTH
    np.testing.assert_allclose(found.beam, np.array([0.003, -0.004, 1.02]) / np.linalg.norm([0.003, -0.004, 1.02]))
    np.testing.assert_allclose(found.spindle, (0.999, 0.01, -0.0436), rtol=1e-4)
    assert (found.phi_deg, found.osc_deg) == (10, 0.5)
    assert read_geometry(path, image=9).phi_deg == 12.5
    if layout == "inp":
        assert found.cell == CELL
        assert found.kahn_factor == pytest.approx(0.96)
        assert (found.thickness_um, found.attenuation_um) == (450, pytest.approx(1000 / 3.9))
    else:
        np.testing.assert_allclose(np.linalg.inv(found.reciprocal), direct_vectors(), atol=1e-8)


def _inp_simulation(path: Path) -> Simulation:
    return Simulation(structure_factors=FACTORS, sampling=Sampling(oversample=1), **to_config(read_geometry(path)))


def test_xparm_and_expt_of_one_experiment_give_one_image(tmp_path):
    """The same experiment in the frames of XDS and DIALS, which differ by half a turn about x."""
    turn = np.diag([1.0, -1.0, -1.0])
    xds = tmp_path / "XPARM.XDS"
    xds.write_text(
        xparm(direct_vectors() @ turn).replace("0.999000  0.010000 -0.043600", "1 0 0").replace("0.0030 -0.0040", "0 0")
    )
    corner = turn @ ([-118.2 * 0.3 * 0.9998, -97.7 * 0.3, -118.2 * 0.3 * 0.02] + 71.5 * np.array([-0.02, 0, 0.9998]))
    fast = turn @ [0.9998, 0, 0.02]
    panel = a_panel((corner / np.linalg.norm(fast)).tolist(), fast.tolist(), (0, -1, 0), (240, 200), 0.3)
    norm = np.linalg.norm(fast)
    panel["origin"] = (turn @ (np.array([-118.2 * 0.3, -97.7 * 0.3, 71.5]) @ _rows(norm))).tolist()
    scan = {"image_range": [4, 5], "oscillation": [10.0, 0.5]}
    dials = write(tmp_path / "a.expt", an_experiment(detector={"panels": [panel]}, scan=scan))
    one, two = simulation_of(xds), simulation_of(dials)
    two = replace(two, beam=replace(two.beam, kahn_factor=0.0))
    first, second = simulate(one, precision="double").image, simulate(two, precision="double").image
    # the XPARM file's vectors are rounded to 1e-9 A
    assert first.max() > 0
    assert np.abs(first - second).max() < 2e-6 * first.max()


def _rows(norm: float) -> np.ndarray:
    """Detector axes of the XPARM file, as rows."""
    return np.array([[0.9998 / norm, 0, 0.02 / norm], [0, 1, 0], [-0.02 / norm, 0, 0.9998 / norm]])


def test_xds_segments(tmp_path):
    """Each segment's pixels by XDS' formula: ORG + ED [(x - ORGXS) QX EDS1 + (y - ORGYS) QY EDS2 + FS EDS3]."""
    tilt = rotation((1, 0.2, 0), 5)
    axes = " ".join(f"{v:.12f}" for v in (*tilt[:, 0], *tilt[:, 1]))
    second = f"2 131 240 1 200\n 12.5 -3.0 0.7 {axes}\n"
    path = tmp_path / "XPARM.XDS"
    path.write_text(xparm(direct_vectors(), "1 1 120 1 200\n 0 0 0 1 0 0 0 1 0\n" + second))
    one, two = resolve(simulation_of(path)).detector.panels
    ED = _rows(float(np.linalg.norm([0.9998, 0.02]))).T
    ORG = ED @ [-118.7 * 0.3, -98.2 * 0.3, 71.5]
    for x, y in ((1, 1), (120, 200)):
        np.testing.assert_allclose(pixel_place(one, x - 0.5, y - 0.5), ORG + ED @ [x * 0.3, y * 0.3, 0], atol=1e-9)
    for x, y in ((131, 1), (240, 200)):
        wanted = ORG + ED @ tilt @ [(x - 12.5) * 0.3, (y + 3.0) * 0.3, 0.7]
        np.testing.assert_allclose(pixel_place(two, x - 131 + 0.5, y - 0.5), wanted, atol=1e-9)
    assert [panel.offset for panel in read_geometry(path).panels] == [(0, 0), (130, 0)]
    keywords = (
        "SEGMENT= 1 120 1 200\nSEGMENT= 131 240 1 200\n"
        f"DIRECTION_OF_SEGMENT_X-AXIS= {axes.split(' ', 3)[0]} {axes.split()[1]} {axes.split()[2]}\n"
        f"DIRECTION_OF_SEGMENT_Y-AXIS= {' '.join(axes.split()[3:])}\n"
        "SEGMENT_DISTANCE= 0.7 SEGMENT_ORGX= 12.5 SEGMENT_ORGY= -3.0\n"
    )
    inp = tmp_path / "XDS.INP"
    inp.write_text(INP + keywords)
    for from_inp, from_xparm in zip(read_geometry(inp).panels, read_geometry(path).panels, strict=True):
        np.testing.assert_allclose(from_inp.pix0_mm, from_xparm.pix0_mm, atol=1e-9)
        np.testing.assert_allclose(from_inp.fast_axis, from_xparm.fast_axis, atol=1e-12)


def test_xds_errors_name_file_and_line(tmp_path):
    path = tmp_path / "bad"
    path.write_text(xparm(direct_vectors()).replace("240  200", "240  x"))
    with pytest.raises(FileError, match=r"line 8 of the XPARM file .*bad: expected a number, got 'x'"):
        read_geometry(path)
    path.write_text("\n".join(xparm(direct_vectors()).splitlines()[:8]))
    with pytest.raises(FileError, match="is cut off"):
        read_geometry(path)
    path.write_text(INP.replace("ORGX= 118.70", ""))
    with pytest.raises(FileError, match=r"bad has no ORGX="):
        read_geometry(path)
    path.write_text(INP.replace("ROTATION_AXIS=0.999 0.01 -0.0436", "ROTATION_AXIS=1 0"))
    with pytest.raises(FileError, match=r"line 9 of the XDS.INP file .*ROTATION_AXIS= needs 3 numbers, has 2"):
        read_geometry(path)
    path.write_text(INP.replace("0.9998 0 0.02", "0.9998 0.5 0.02"))
    with pytest.raises(FileError, match="right angles"):
        read_geometry(path)


XDS_ERRORS = {
    "X-AXIS= 0.9998 0 0.02": ("X-AXIS= 0 0 0", "_X-AXIS and _Y-AXIS must not be 0 0 0"),
    "BEAM_DIRECTION= 0.003 -0.004 1.02": ("BEAM_DIRECTION= 0 0 0", "the INCIDENT_BEAM_DIRECTION must not be 0 0 0"),
    "X-RAY_WAVELENGTH= 0.9795": ("X-RAY_WAVELENGTH= 0", "X-RAY_WAVELENGTH= must be > 0, got 0"),
    "STARTING_ANGLE= 10.0": ("STARTING_ANGLE= 1e300", r"line 4 of .*STARTING_ANGLE= 1e\+300 is out of range"),
    "SENSOR_THICKNESS=0.45": ("SEGMENT_DISTANCE= 1", "line 14 of .*SEGMENT_DISTANCE= stands before any SEGMENT="),
}


@pytest.mark.parametrize("old", XDS_ERRORS)
def test_xds_inp_errors(tmp_path, old):
    new, message = XDS_ERRORS[old]
    assert old in INP
    (tmp_path / "XDS.INP").write_text(INP.replace(old, new))
    with pytest.raises(FileError, match=message):
        read_geometry(tmp_path / "XDS.INP")


def test_xparm_numbers_that_cannot_be(tmp_path):
    path = tmp_path / "XPARM.XDS"
    path.write_text(xparm(direct_vectors()).replace(f" {WAVELENGTH} ", " -1.0 "))
    with pytest.raises(FileError, match="the wavelength must be > 0, got -1"):
        read_geometry(path)
    path.write_text(xparm(direct_vectors()).replace("71.50", "-1e99"))
    with pytest.raises(FileError, match=r"holds -1e\+99, which is no length, angle or count"):
        read_geometry(path)


def test_a_sensor_of_unknown_material_is_left_out(tmp_path):
    (tmp_path / "XDS.INP").write_text(INP.replace(" SILICON=3.9", ""))
    found = read_geometry(tmp_path / "XDS.INP")
    assert found.thickness_um is None and found.attenuation_um is None
    assert any("does not say how the sensor absorbs (SILICON=): it is left out" in note for note in found.notes)


def test_xds_inp_cell_is_the_crystal(tmp_path):
    path = tmp_path / "XDS.INP"
    path.write_text(INP)
    assert from_flags(f"--geometry {path} -default_F 1").crystal.cell == CELL
    assert from_flags(f"--geometry {path} -default_F 1 -cell 50").crystal.cell == (50,)


# CrystFEL

GEOM = """; made for a test
photon_energy = 9500 eV
clen = 0.080
coffset = 0.0005
adu_per_photon = 1
res = 5000  ; pixels of 0.2 mm
data = /entry/data
rigid_group_q0 = a0,a1
bada/min_x = -5

a0/min_fs = 0
a0/max_fs = 29
a0/min_ss = 0
a0/max_ss = 19
a0/corner_x = -34.5
a0/corner_y = 2.25
a0/fs = +0.999995x +0.003162y
a0/ss = -0.003162x +0.999995y
a1/min_fs = 30
a1/max_fs = 59
a1/min_ss = 0
a1/max_ss = 19
a1/corner_x = 3
a1/corner_y = 1.5
a1/fs = x
a1/ss = 0.96y + 0.28z
a1/coffset = -0.001
"""


def write_geom(path: Path, *changes: tuple[str, str]) -> Path:
    text = GEOM
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_geom_puts_pixels_where_crystfel_does(tmp_path):
    path = write_geom(tmp_path / "x.geom")
    found = read_geometry(path)
    assert found.wavelength_A == pytest.approx(12398.42 / 9500)
    crystal = "-cell 30 40 50 -default_F 1"
    experiment = resolve(from_flags(f"--geometry {path} {crystal}"))
    np.testing.assert_array_equal(experiment.detector.frame.beam, [0, 0, 1])
    np.testing.assert_array_equal(experiment.detector.frame.polar, [1, 0, 0])
    one, two = experiment.detector.panels
    # (corner + fs_index fs + ss_index ss) / res, and clen + coffset along the beam
    wanted = 0.2 * np.array([-34.5 + 7 * 0.999995 - 4 * 0.003162, 2.25 + 7 * 0.003162 + 4 * 0.999995, 0]) + [0, 0, 80.5]
    np.testing.assert_allclose(pixel_place(one, 7, 4), wanted, atol=1e-6)
    np.testing.assert_allclose(pixel_place(two, 7, 4), [2.0, 0.2 * (1.5 + 4 * 0.96), 79 + 0.2 * 4 * 0.28], atol=1e-9)
    assert [panel.offset for panel in found.panels] == [(0, 0), (30, 0)]
    whole = whole_image(found.panels, simulate(from_flags(f"--geometry {path} {crystal} -N 3")).images)
    assert whole.shape == (20, 60)


def test_geom_with_values_in_the_data_file(tmp_path):
    path = write_geom(tmp_path / "x.geom", ("9500 eV", "/LCLS/photon_energy_eV"), ("clen = 0.080", "clen = /LCLS/clen"))
    with pytest.raises(
        FileError, match=r"line 3 of .*x\.geom: clen is kept in the data file \(/LCLS/clen\): give -dist"
    ):
        read_geometry(path)
    with pytest.raises(FileError, match=r"line 2 of .*photon_energy is kept .* give -lambda"):
        read_geometry(path, distance_mm=90)
    simulation = from_flags(f"--geometry {path} -distance 90 -lambda 1.3 -cell 30 -default_F 1")
    assert [panel.pix0_mm[2] for panel in simulation.detector.panels] == pytest.approx([90.5, 89.0])
    assert simulation.beam.wavelength_A == 1.3


GEOM_UNITS = {
    "clen = 0.080": "clen = 80 mm",
    "9500 eV": "9.5 keV",
    "photon_energy = 9500 eV": "wavelength = 1.30509684 A",
}


@pytest.mark.parametrize("old", GEOM_UNITS)
def test_geom_units(tmp_path, old):
    plain = read_geometry(write_geom(tmp_path / "a.geom"))
    other = read_geometry(write_geom(tmp_path / "b.geom", (old, GEOM_UNITS[old])))
    assert other.wavelength_A == pytest.approx(plain.wavelength_A, rel=1e-8)
    assert other.panels[0].pix0_mm == pytest.approx(plain.panels[0].pix0_mm)


GEOM_ERRORS = {
    "a0/corner_x = -34.5": ("", "line 11 of .*panel a0 has no corner_x"),
    "a1/fs = x": ("a1/fs = 2w", "line 25 of .*a1/fs must be like"),
    "clen = 0.080": ("clen = 3 ft", "line 3 of .*a0/clen must be a number in m, mm, cm, um, got '3 ft'"),
    "data = /entry/data": ("data /entry/data", "line 7 of .*expected 'key = value'"),
    "a0/max_fs = 29": ("a0/max_fs = -9", "panel a0: panel.fpixels must be > 0"),
    "res = 5000": ("res = 0", "res must be > 0"),
    "9500 eV": ("-9500 eV", "photon_energy must be > 0, got -9500"),
}


@pytest.mark.parametrize("old", GEOM_ERRORS)
def test_geom_errors_name_file_and_line(tmp_path, old):
    new, message = GEOM_ERRORS[old]
    with pytest.raises(FileError, match=message):
        read_geometry(write_geom(tmp_path / "bad.geom", (old, new)))


# headers of images

MINI = """###CBF: VERSION 1.5
data_made
_array_data.header_convention "GENERIC_MINI"
_array_data.header_contents
;
# Detector: made for a test
# Pixel_size 300e-6 m x 300e-6 m
# Wavelength 0.9795 A
# Detector_distance 0.07150 m
# Beam_xy (118.20, 97.70) pixels
# Polarization 0.990
# Start_angle 10.0000 deg.
# Angle_increment 0.5000 deg.
;
_array_data.data
;
--CIF-BINARY-FORMAT-SECTION--
X-Binary-Size-Fastest-Dimension: 240
X-Binary-Size-Second-Dimension: 200
"""


def test_mini_cbf_is_dxtbx_frame(tmp_path):
    path = tmp_path / "a.cbf"
    path.write_bytes(MINI.encode() + b"\x0c\x1a\x04\xd5\x00\x01 # Wavelength 7")
    found = read_geometry(path)
    (panel,) = found.panels
    assert panel.pix0_mm == pytest.approx((-118.2 * 0.3, 97.7 * 0.3, -71.5))
    assert (panel.fast_axis, panel.slow_axis, panel.fpixels, panel.spixels) == ((1, 0, 0), (0, -1, 0), 240, 200)
    assert (found.beam, found.spindle) == ((0, 0, -1), (1, 0, 0))
    assert (found.wavelength_A, found.phi_deg, found.osc_deg) == (WAVELENGTH, 10, 0.5)
    assert found.kahn_factor == pytest.approx(0.98)
    path.write_bytes(MINI.replace("# Beam_xy (118.20, 97.70) pixels\n", "").encode())
    with pytest.raises(FileError, match=r"a\.cbf has no Beam_xy"):
        read_geometry(path)
    path.write_bytes(MINI.replace("(118.20, 97.70)", "118.20").encode())
    with pytest.raises(FileError, match=r"a\.cbf: Beam_xy needs 2 numbers, got"):
        read_geometry(path)
    path.write_bytes(MINI.replace("0.9795", "0.0").encode())
    with pytest.raises(FileError, match=r"a\.cbf: Wavelength must be > 0, got 0"):
        read_geometry(path)
    path.write_bytes(MINI.encode())
    with pytest.raises(FileError, match=r"a\.cbf holds one image: leave out --geometry-image"):
        read_geometry(path, image=2)


def make_nxmx(path: Path, n_images: int = 3) -> Path:
    """A master file with two modules, one of them tilted, on an arm that is swung by 10 degrees about x."""
    with h5py.File(path, "w") as file:

        def group(name: str, kind: str):
            made = file.require_group(name)
            made.attrs["NX_class"] = kind
            return made

        def step(name: str, value, kind: str, axis, depends_on: str, units: str, offset=(0, 0, 0)) -> None:
            data = file.create_dataset(name, data=np.atleast_1d(np.array(value, float)))
            attributes = {"transformation_type": kind, "vector": axis, "depends_on": depends_on, "units": units}
            data.attrs.update(attributes | {"offset": offset, "offset_units": "mm"})

        group("entry", "NXentry")
        group("entry/instrument", "NXinstrument")
        group("entry/instrument/beam", "NXbeam")["incident_wavelength"] = WAVELENGTH
        detector = "/entry/instrument/det"
        group(detector, "NXdetector")
        group(f"{detector}/transformations", "NXtransformations")
        arm = f"{detector}/transformations"
        step(f"{arm}/swing", 10, "rotation", (1, 0, 0), ".", "deg")
        step(f"{arm}/away", 0.0715, "translation", (0, 0, 1), "swing", "m")
        for i, (origin, tilt) in enumerate((((-30, 20, 0), 0), ((6, 20, 1), 12))):
            name = f"{detector}/module{i}"
            module = group(name, "NXdetector_module")
            step(f"{arm}/tilt{i}", tilt, "rotation", (0, 1, 0), f"{arm}/away", "deg", offset=origin)
            step(f"{name}/module_offset", 0, "translation", (1, 0, 0), f"{arm}/tilt{i}", "mm")
            step(f"{name}/fast_pixel_direction", 3e-4, "translation", (-1, 0, 0), "module_offset", "m")
            step(f"{name}/slow_pixel_direction", 3e-4, "translation", (0, -1, 0), "module_offset", "m")
            module["data_origin"], module["data_size"] = [0, 70 * i], [50, 60]
        sample = group("entry/sample", "NXsample")
        sample["depends_on"] = "/entry/sample/transformations/phi"
        group("entry/sample/transformations", "NXtransformations")
        turns = "/entry/sample/transformations"
        step(f"{turns}/omega", 10 + 0.5 * np.arange(n_images), "rotation", (-1, 0, 0), "chi", "deg")
        file[f"{turns}/omega_end"] = 10.5 + 0.5 * np.arange(n_images)
        step(f"{turns}/phi", 0, "rotation", (0, 0, 1), "omega", "deg")
        step(f"{turns}/chi", 30, "rotation", (0, 0, 1), ".", "deg")
    return path


@pytest.mark.parametrize("n_images", [1, 3])
def test_nxmx_chains_of_transformations(tmp_path, n_images):
    found = read_geometry(make_nxmx(tmp_path / "m.nxs", n_images), image=n_images)
    swing, tilt = rotation((1, 0, 0), 10), rotation((0, 1, 0), 12)
    one, two = found.panels
    np.testing.assert_allclose(one.pix0_mm, swing @ [-30, 20, 71.5], atol=1e-12)
    np.testing.assert_allclose(two.pix0_mm, swing @ [6, 20, 72.5], atol=1e-12)
    np.testing.assert_allclose(two.fast_axis, swing @ tilt @ [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(two.slow_axis, swing @ tilt @ [0, -1, 0], atol=1e-12)
    assert two.pixel_mm == pytest.approx(0.3)
    assert (two.offset, two.fpixels, two.spixels) == ((70, 0), 60, 50)
    np.testing.assert_allclose(found.spindle, rotation((0, 0, 1), 30) @ [-1, 0, 0], atol=1e-12)
    assert found.phi_deg == pytest.approx(10 + 0.5 * (n_images - 1))
    assert found.osc_deg == pytest.approx(0.5)
    assert found.beam == (0, 0, 1)
    assert found.wavelength_A == WAVELENGTH
    with pytest.raises(FileError, match=rf"holds {n_images} images: there is no image 7"):
        read_geometry(tmp_path / "m.nxs", image=7)


ARM = "/entry/instrument/det/transformations"
NXMX_ERRORS = {
    "has no incident_wavelength": lambda file: file.__delitem__("/entry/instrument/beam/incident_wavelength"),
    r"swing holds a number that is out of range": lambda file: file[f"{ARM}/swing"].__setitem__(0, 1e300),
    r"swing has the unit 'furlong'; known are": lambda file: file[f"{ARM}/swing"].attrs.modify("units", "furlong"),
    r"the vector of .*swing has no length": lambda file: file[f"{ARM}/swing"].attrs.modify("vector", (0.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("message", NXMX_ERRORS)
def test_nxmx_values_that_cannot_be(tmp_path, message):
    path = make_nxmx(tmp_path / "m.nxs")
    with h5py.File(path, "a") as file:
        NXMX_ERRORS[message](file)
    with pytest.raises(FileError, match=rf"m\.nxs.*{message}"):
        read_geometry(path)


def test_nxmx_rotations_without_ends_are_as_wide_as_their_steps(tmp_path):
    path = make_nxmx(tmp_path / "m.nxs")
    with h5py.File(path, "a") as file:
        del file["/entry/sample/transformations/omega_end"]
    assert read_geometry(path, image=2).osc_deg == pytest.approx(0.5)


def test_nxmx_stills_have_no_scan(tmp_path):
    path = make_nxmx(tmp_path / "m.nxs", 1)
    with h5py.File(path, "a") as file:
        del file["/entry/sample/depends_on"], file["/entry/sample/transformations"]
    found = read_geometry(path)
    assert (found.spindle, found.phi_deg, found.osc_deg) == (None, None, None)


def test_nxmx_errors_name_file_and_place(tmp_path):
    path = make_nxmx(tmp_path / "m.nxs")
    with h5py.File(path, "a") as file:
        del file["/entry/instrument/det/transformations/away"]
    with pytest.raises(FileError, match=r"m\.nxs: /entry/instrument/det/transformations/away, .* is not there"):
        read_geometry(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match=r"the NXmx file .*m\.nxs cannot be read"):
        read_geometry(path)


def test_smv_image_is_read_as_img_does(tmp_path):
    header = (
        "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=20;\nSIZE2=30;\n"
        "PIXEL_SIZE=0.3;\nDISTANCE=80;\nWAVELENGTH=1.1;\nBEAM_CENTER_X=3;\nBEAM_CENTER_Y=4;\nPHI=7;\nOSC_RANGE=0.5;\n}\n"
    )
    path = tmp_path / "a.img"
    path.write_bytes(header.encode().ljust(512) + bytes(1200))
    one, two = (from_flags(f"{flag} {path} -cell 30 -default_F 1 -distance 90") for flag in ("-img", "--geometry"))
    assert one == two
    assert two.beam.wavelength_A == 1.1
    assert two.detector.distance_mm == 90
>>>>>>> 6b0221d (Tests of geometry, image and reflection files that cannot be)
