"""Geometry from experiment lists of DIALS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nbnumba.errors import FileError, UsageError
from nbnumba.io.expt import read_expt
from nbnumba.io.geometry import rotation
from nbnumba.model.config import Sampling
from nbnumba.model.experiment import resolve
from nbnumba.model.geometry_files import read_geometry, whole_image
from nbnumba.render.inputs import orientations
from nbnumba.render.simulate import simulate
from tests.geometry_inputs import (
    PANELS,
    WAVELENGTH,
    a_panel,
    an_experiment,
    direct_vectors,
    from_flags,
    group,
    simulation_of,
    write,
    write_geom,
)


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
    with pytest.raises(FileError, match="experiment 0 has no beam"):
        read_geometry(write(path, an_experiment(beam=None)))


def two_experiments() -> dict:
    """A list of three experiments that share all but the crystal; the last one has its own beam, too."""
    content = an_experiment(scan=None)
    a, b, c = direct_vectors().tolist()
    content["crystal"] += [
        {"real_space_a": [60, 0, 0], "real_space_b": [0, 60, 0], "real_space_c": [0, 0, 60]},
        {"real_space_a": c, "real_space_b": a, "real_space_c": b},
    ]
    content["beam"].append({"direction": [0, 0, 1], "wavelength": 1.25})
    first = content["experiment"][0]
    content["experiment"] += [first | {"crystal": 1}, first | {"crystal": 2, "beam": 1}]
    return content


def test_expt_experiment_is_chosen(tmp_path):
    path = write(tmp_path / "a.expt", two_experiments())
    found = read_geometry(path)
    assert any("3 experiments: number 0 is taken; --experiment N takes another one" in note for note in found.notes)
    second, third = (read_geometry(path, experiment=i) for i in (1, 2))
    assert (second.notes, third.notes) == ((), ())
    np.testing.assert_allclose(second.reciprocal, np.eye(3) / 60)
    assert (second.wavelength_A, third.wavelength_A) == (WAVELENGTH, 1.25)
    np.testing.assert_allclose(np.linalg.inv(third.reciprocal)[1], direct_vectors()[0])
    assert from_flags(f"--geometry {path} --experiment 1 -default_F 1 -N 3").crystal.A_matrix == pytest.approx(
        (np.eye(3) / 60 * WAVELENGTH).ravel()
    )
    with pytest.raises(FileError, match="has 3 experiments, 0 to 2: there is no number 3"):
        read_geometry(path, experiment=3)
    with pytest.raises(FileError, match="there is no number -1"):
        read_geometry(path, experiment=-1)
    with pytest.raises(UsageError, match="--experiment chooses an experiment of the list of --geometry"):
        from_flags("--experiment 1 -cell 30 -default_F 1")
    geom = write_geom(tmp_path / "x.geom")
    with pytest.raises(FileError, match="is no list of experiments: leave out --experiment"):
        read_geometry(geom, experiment=0)


def drifting_beam(step_deg: float, wavelength: float = WAVELENGTH) -> dict:
    """A beam that turns by a step about y with each image, with the length 1 / wavelength that dxtbx gives s0."""
    points = [(rotation((0, 1, 0), step_deg * i) @ [0, 0, -1 / wavelength]).tolist() for i in range(11)]
    return an_experiment()["beam"][0] | {"s0_at_scan_points": points}


@pytest.mark.parametrize("image", [None, 3, 4, 8, 12])
@pytest.mark.parametrize("step", [1.0, -0.05])
def test_expt_scan_varying_beam(tmp_path, image, step):
    """In the middle of image 3 + k the beam has turned by k + 1/2 steps from (0 0 -1)."""
    found = read_geometry(write(tmp_path / "a.expt", an_experiment(beam=drifting_beam(step))), image=image)
    middle = (image or 3) - 3 + 0.5
    np.testing.assert_allclose(found.beam, rotation((0, 1, 0), step * middle) @ [0, 0, -1], atol=1e-12)
    assert found.wavelength_A == WAVELENGTH
    assert abs(np.dot(found.beam, found.polar)) < 1e-12


def test_expt_scan_varying_wavelength(tmp_path):
    found = read_geometry(write(tmp_path / "a.expt", an_experiment(beam=drifting_beam(0.0, 1.1))))
    assert found.wavelength_A == pytest.approx(1.1)
    broken = drifting_beam(0.0) | {"s0_at_scan_points": [[0, 0, -1], [0, 0, 1]] * 6}
    with pytest.raises(FileError, match="s0_at_scan_points must be vectors along the beam"):
        read_geometry(write(tmp_path / "a.expt", an_experiment(beam=broken)))


@pytest.mark.parametrize("many_axes", [False, True])
def test_expt_scan_varying_goniometer(tmp_path, many_axes):
    """The crystal is turned by the setting of the image's middle, and so is the spindle."""
    points = [rotation((0, 0, 1), 0.2 * i).ravel().tolist() for i in range(11)]
    gonio: dict = {"rotation_axis": [1, 0, 0]}
    if many_axes:
        gonio = {"axes": [[1, 0, 0], [0, 1, 0]], "angles": [0, 25], "names": ["phi", "omega"], "scan_axis": 0}
    gonio |= {"setting_rotation_at_scan_points": points}
    path = write(tmp_path / "a.expt", an_experiment(goniometer=gonio))
    for image, turned in ((3, 0.1), (7, 0.9), (12, 1.9)):
        found = read_geometry(path, image=image)
        setting = rotation((0, 0, 1), turned)
        np.testing.assert_allclose(found.spindle, setting @ [1, 0, 0], atol=1e-12)
        np.testing.assert_allclose(found.reciprocal, setting @ np.linalg.inv(direct_vectors()), atol=1e-12)
    gonio["setting_rotation_at_scan_points"] = [np.diag([1, 1, -1]).ravel().tolist()] * 11
    with pytest.raises(FileError, match="setting_rotation_at_scan_points must be rotations"):
        read_geometry(write(path, an_experiment(goniometer=gonio)))


def test_expt_scan_points_without_a_scan_are_named(tmp_path):
    (note,) = read_geometry(write(tmp_path / "a.expt", an_experiment(beam=drifting_beam(1), scan=None))).notes
    assert "a.expt also has beam[0].s0_at_scan_points, as it has no scan, not used" in note


@pytest.mark.parametrize("probe", ["electron", "neutron"])
def test_expt_of_another_probe_is_read_with_a_warning(tmp_path, probe):
    beam = an_experiment()["beam"][0] | {"probe": probe, "wavelength": 0.0251}
    found = read_geometry(write(tmp_path / "a.expt", an_experiment(beam=beam)))
    assert found.wavelength_A == 0.0251
    (note,) = found.notes
    assert f"beam[0].probe is {probe}: it is simulated as X-rays of its wavelength" in note


def test_expt_without_a_wavelength(tmp_path):
    beam = {"__id__": "polychromatic", "direction": [0, 0, 1], "wavelength_range": [0.9, 1.2]}
    path = write(tmp_path / "a.expt", an_experiment(beam=beam))
    with pytest.raises(FileError, match=r"a\.expt gives no wavelength: give -lambda, -energy or --spectrum FILE"):
        read_geometry(path)
    assert from_flags(f"--geometry {path} -lambda 1.05 -default_F 1 -N 3").beam.wavelength_A == 1.05


def test_expt_pixels_that_are_not_square(tmp_path):
    panels = [PANELS[0] | {"pixel_size": [0.1, 0.2]}]
    (panel,) = read_geometry(write(tmp_path / "a.expt", an_experiment(detector={"panels": panels}))).panels
    assert (panel.pixel_mm, panel.slow_pixel_mm) == (0.1, 0.2)


def test_expt_what_is_not_used_is_named(tmp_path):
    content = an_experiment()
    content["beam"][0] |= {"divergence": 0.0, "sigma_divergence": 0.05}
    content["crystal"][0] |= {"ML_half_mosaicity_deg": 0.14, "ML_domain_size_ang": 2300, "mosaicity": 0}
    content["imageset"] = [{"template": "a_####.cbf", "mask": "", "dx": "dx.pickle", "dy": "dy.pickle"}]
    content["profile"] = [{"__id__": "gaussian_rs"}]
    content["experiment"][0] |= {"imageset": 0, "profile": 0}
    (note,) = read_geometry(write(tmp_path / "a.expt", content)).notes
    for thing in (
        "beam[0].sigma_divergence 0.05",
        "crystal[0].ML_half_mosaicity_deg 0.14",
        "imageset dx",
        "a profile model",
    ):
        assert thing in note
    assert ".divergence" not in note
    assert "mask" not in note
