"""``nbnumba refine``: images of other formats, files, exit codes and refusals, as a user meets them."""

from __future__ import annotations

import csv
import json
import shlex
import signal

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.cli.main import main
from nbnumba.cli.refine_flags import parse_refine
from nbnumba.errors import UsageError
from nbnumba.model.experiment import resolve
from nbnumba.model.geometry_files import read_geometry, to_config
from nbnumba.refinement.minimizer import STOPPED
from nbnumba.refinement.self_test import make_trial, misset_between
from tests.io.refl_inputs import column, refl

#: A small crystal on a small detector; the image and the refinement differ in the orientation and the flags of output.
COMMON = shlex.split(
    "-cell 100 110 120 90 90 90 -N 8 -gauss_xtal --physics correct -default_F 300 -fluence 3e26 -lambda 1.3 "
    "-distance 60 -pixel 0.15 -detpixels 200 -oversample 1 --device cpu --quiet"
)
TRUE, START = ["-misset", "10", "20", "30"], ["-misset", "10.06", "19.95", "30.04"]
PLANES = ["--no-picture"]


def make(folder, *words: str) -> None:
    """An image with noise, on a background of water."""
    flags = [
        *COMMON,
        *TRUE,
        "-water",
        "0.1",
        "-seed",
        "1",
        "-nopgm",
        "-intfile",
        "/dev/null",
        "-floatfile",
        "/dev/null",
    ]
    assert main(["run", *flags, *words]) == 0


def truth() -> nb.Simulation:
    return nb.Simulation(
        crystal=nb.Crystal(cell=(100, 110, 120), misset_deg=(10, 20, 30), Na=8, Nb=8, Nc=8, shape="gauss"),
        beam=nb.Beam(wavelength_A=1.3, fluence=3e26),
        detector=nb.Detector(distance_mm=60, pixel_mm=0.15, fpixels=200, spixels=200),
        structure_factors=nb.StructureFactors(default_F=300),
        physics="correct",
        sampling=nb.Sampling(oversample=1),
    )


def off_deg(record: dict) -> float:
    """Angle between the refined orientation and the true one, from the turns of the record."""
    turns = {name[7]: entry["value"] for name, entry in record["parameters"].items() if name.startswith("misset")}
    start = resolve(truth().changed(misset_deg=(10.06, 19.95, 30.04))).crystal.direct
    model = nb.ParameterModel(
        truth().changed(misset_deg=(10.06, 19.95, 30.04)), [f"misset_{x}_deg" for x in "xyz"], device="cpu"
    )
    direct = model.at([turns[x] for x in "xyz"]).setting.state.direct
    assert misset_between(start, resolve(truth()).crystal.direct) > 0.05
    return misset_between(direct, resolve(truth()).crystal.direct)


@pytest.mark.parametrize(
    ("name", "flags", "given"),
    [
        ("noise.img", [], []),
        ("noise.img", ["--gain", "2.5", "--read-noise", "3"], ["--gain", "2.5", "--read-noise", "3"]),
        ("noise.img", ["-adc", "10"], ["-adc", "10"]),
        ("a.cbf", [], []),
        ("a.nxs", [], ["--image", "1"]),
        ("a.npy", [], []),
    ],
)
def test_formats_of_images(tmp_path, monkeypatch, capsys, name, flags, given):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "-noisefile", "noise.img", "--cbf", "a.cbf", "--nexus", "a.nxs", "--npy", "a.npy", *flags)
    words = [name, *COMMON, *START, "--refine", "misset,scale", *given, *PLANES]
    assert main(["refine", *words]) == 0
    shown = capsys.readouterr().out
    for text in ("misset_x_deg", "chi^2 per degree of freedom", "median distance of spots"):
        assert text in shown
    record = json.loads((tmp_path / "refined.json").read_text())["refinement"]
    assert record["converged"] and abs(record["chi2_per_degree_of_freedom"] - 1) < 0.15
    assert off_deg(record) < 0.004
    # what is off by a gain or an offset that is not known shows in the scale, or in chi^2
    assert abs(record["parameters"]["scale"]["value"] - 1) < 0.05


def test_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "-noisefile", "/dev/null", "--cbf", "a.cbf")
    words = ["a.cbf", *COMMON, *START, "--refine", "misset,cell,N,scale", "--restrain", "cell=0.5", "--out", "shot.1"]
    assert main(["refine", *words, "--stages", "misset scale; misset cell N scale"]) == 0
    names = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("shot"))
    assert names == ["shot.1.csv", "shot.1.expt", "shot.1.json", "shot.1.png"]
    record = json.loads((tmp_path / "shot.1.json").read_text())
    found = record["refinement"]
    assert record["image"] == "a.cbf" and record["command"][:2] == ["nbnumba", "refine"]
    assert {entry["stage"] for entry in found["iterations"]} <= {"1", "2"}
    assert np.shape(found["correlations"]) == (10, 10)
    assert found["offset_after_px"] < 0.7 * found["offset_before_px"]
    for name, value in (("cell_a", 100), ("cell_b", 110), ("cell_c", 120), ("Na", 8), ("Nb", 8), ("Nc", 8)):
        entry = found["parameters"][name]
        assert abs(entry["value"] - value) < 4 * entry["error"] < 1.0
    # the model for other programs is the refined one
    read = read_geometry(tmp_path / "shot.1.expt")
    cell = np.linalg.norm(np.linalg.inv(read.reciprocal), axis=1)
    assert np.allclose(cell, [found["parameters"][f"cell_{x}"]["value"] for x in "abc"], rtol=1e-6)
    assert to_config(read) and len(read.panels) == 1
    with open(tmp_path / "shot.1.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["spots"] and {"h", "k", "l", "intensity", "sigma", "offset_px"} <= rows[0].keys()
    assert (tmp_path / "shot.1.png").read_bytes()[:4] == b"\x89PNG"
    # a refinement that begins at its own end has nothing left to do
    more = [*COMMON[7:], "--geometry", "shot.1.expt", "--refine", "misset,scale", "--out", "again", *PLANES]
    assert main(["refine", "a.cbf", *more]) == 0


def test_lattices_of_an_experiment_list(tmp_path, monkeypatch):
    from nbnumba.output.expt import write_expt

    monkeypatch.chdir(tmp_path)
    make(tmp_path, "-noisefile", "/dev/null", "--npy", "one.npy")
    second = truth().changed(misset_deg=(-40, 70, 15))
    light = nb.simulate(second, device="cpu").images[0]
    both = np.load("one.npy") + np.random.default_rng(2).poisson(light).astype(np.uint32)
    np.save("both.npy", both)
    starts = [truth().changed(misset_deg=(10.06, 19.95, 30.04)), second.changed(misset_deg=(-40.05, 70, 15.04))]
    write_expt("start.expt", [resolve(one) for one in starts], ["both.npy"] * 2)
    rest = COMMON[7:]  # without the cell
    words = ["both.npy", *rest, "--geometry", "start.expt", "--lattices", "0,1", "--refine", "misset,scale", *PLANES]
    assert main(["refine", *words]) == 0
    found = json.loads((tmp_path / "refined.json").read_text())["refinement"]["parameters"]
    assert {f"lattice{n}.{name}" for n in (1, 2) for name in ("misset_y_deg", "scale")} <= found.keys()
    for lattice, one in enumerate((truth(), second)):
        read = read_geometry(tmp_path / "refined.expt", experiment=lattice)
        wanted = read_geometry(tmp_path / "start.expt", experiment=lattice)
        assert misset_between(np.linalg.inv(wanted.reciprocal), np.linalg.inv(read.reciprocal)) > 0.03
        write_expt("true.expt", [resolve(one)], ["both.npy"])
        true = read_geometry(tmp_path / "true.expt")
        assert misset_between(np.linalg.inv(true.reciprocal), np.linalg.inv(read.reciprocal)) < 0.01


def test_a_table_of_reflections_chooses_spots(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "-noisefile", "/dev/null", "--cbf", "a.cbf")
    flags = [*COMMON, *START, "--refine", "misset,scale", *PLANES]
    assert main(["refine", "a.cbf", *flags, "--out", "all"]) == 0
    with open("all.csv") as file:
        every = [tuple(int(row[x]) for x in "hkl") for row in csv.DictReader(file)]
    some = np.array(every[::3])
    table = {"miller_index": column("cctbx::miller::index<>", some), "id": column("int", np.zeros(len(some)))}
    (tmp_path / "some.refl").write_bytes(refl(table, len(some)))
    assert main(["refine", "a.cbf", *flags, "--refl", "some.refl", "--out", "some"]) == 0
    with open("some.csv") as file:
        found = [tuple(int(row[x]) for x in "hkl") for row in csv.DictReader(file)]
    assert set(found) == {tuple(row) for row in some.tolist()}


def test_self_test_passes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["refine", "--self-test", "--quiet", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("passed")
    assert not list(tmp_path.iterdir())
    assert main(["refine", "--self-test", "--quiet", "--device", "cpu", "--out", "t", "--refine", "scale"]) == 1
    assert "FAILED" in capsys.readouterr().out  # the truth cannot be found by the scale alone
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.json", "t.png"]


def test_ctrl_c_keeps_the_last_good_state(monkeypatch):
    """An interrupt ends a refinement at the best point so far."""
    trial = make_trial(2)

    def interrupt(stage, step):
        if step.iteration == 2:
            signal.raise_signal(signal.SIGINT)

    refined = nb.refine(trial.image, trial.start, device="cpu", on_step=interrupt)
    assert refined.reason == STOPPED and len(refined.steps) == 2
    assert refined.last.value < refined.first.value and np.isfinite(refined.errors).all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "refine needs an image"),
        (["a.npy", "--self-test"], "--self-test makes its own image: leave out a.npy"),
        (["a.npy", *COMMON, "--rim", "1.5"], "--rim needs a whole number"),
        (["a.npy", *COMMON, "--reach", "far"], "--reach needs a number"),
        (["a.npy", *COMMON, "--restrain", "cell"], "--restrain needs NAME=SIGMA"),
        (["a.npy", *COMMON, "--restrain", "cell=-1"], "--restrain needs NAME=SIGMA"),
        (["a.npy", *COMMON, "--lattices", "1,1"], "--lattices needs numbers"),
        (["a.npy", *COMMON, "--likelihood", "cauchy"], "--likelihood must be one of"),
    ],
)
def test_wrong_usage(words, sentence):
    with pytest.raises(UsageError, match=sentence):
        parse_refine(words)


@pytest.mark.parametrize(
    ("image", "words", "sentence"),
    [
        ("missing.npy", [], "cannot read|No such file"),
        ("small.npy", [], "small.npy has 9 x 8 pixels, the detector 200 x 200"),
        ("nan.npy", [], "nan.npy has no good pixel"),
        ("ones.npy", ["--gain", "0"], "gain"),
        ("ones.npy", ["--refine", "misset,Nx"], "no parameter Nx"),
        ("ones.npy", ["--refl", "ones.npy"], "ones.npy"),
        ("ones.npy", ["--stages", "cell"], "--stages: cell_a is not refined"),
    ],
)
def test_bad_input_gets_a_sentence_and_no_file(tmp_path, monkeypatch, capfd, image, words, sentence):
    import re

    monkeypatch.chdir(tmp_path)
    np.save("small.npy", np.ones((8, 9)))
    np.save("nan.npy", np.full((200, 200), np.nan))
    np.save("ones.npy", np.ones((200, 200)))
    before = set(tmp_path.iterdir())
    given = words if "--refine" in words else ["--refine", "misset,scale", *words]
    assert main(["refine", image, *COMMON, *START, *given]) in (1, 2)
    said = capfd.readouterr().err.strip()
    assert re.search(sentence, said) and "Traceback" not in said
    assert set(tmp_path.iterdir()) == before


def test_exit_code_where_it_does_not_converge(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "-noisefile", "/dev/null", "--npy", "a.npy")
    words = ["a.npy", *COMMON, *START, "--refine", "misset,scale", "--iterations", "1", *PLANES]
    assert main(["refine", *words]) == 1
    assert "not to be trusted: it did not converge within 1 iteration" in capfd.readouterr().err
    assert not json.loads((tmp_path / "refined.json").read_text())["refinement"]["converged"]


#: A detector of two panels, for CrystFEL.
GEOM = """photon_energy = 9500 eV
clen = 0.1
res = 6000
rigid_group_q0 = a0,a1
a0/min_fs = 0
a0/max_fs = 119
a0/min_ss = 0
a0/max_ss = 149
a0/fs = +0.9999x +0.01y
a0/ss = -0.01x +0.9999y
a0/corner_x = -125
a0/corner_y = -74
a1/min_fs = 0
a1/max_fs = 119
a1/min_ss = 150
a1/max_ss = 299
a1/fs = +1x
a1/ss = +1y
a1/corner_x = 5
a1/corner_y = -75
"""


def test_from_a_stream_to_files_for_crystfel(tmp_path, monkeypatch):
    """A stream is the start; solution and geometry files are read again, and are those of the refined model."""
    from tests.io.stream_inputs import Lattice, chunk, stream

    monkeypatch.chdir(tmp_path)
    rest = COMMON[7 : COMMON.index("-lambda")] + shlex.split("-oversample 1 -polar 0.99 --device cpu --quiet")
    lattice = Lattice(stars=np.array([[0.08, 0.02, 0.01], [-0.02, 0.07, 0.03], [0.0, -0.03, 0.09]]))
    (tmp_path / "true.stream").write_text(stream(chunk(lattice, image="run1.h5", event="//3"), geometry=GEOM))
    begun = read_geometry(tmp_path / "true.stream")
    words = ["--npy", "a.npy", "-nopgm", "-nonoise", "-intfile", "/dev/null", "-floatfile", "/dev/null"]
    assert main(["run", "--geometry", "true.stream", *rest, "-fluence", "3e27", *words]) == 0
    counts = np.load("a.npy")
    assert counts.shape == (2, 150, 120)
    # half a millimetre farther away than the stream has it: refined panels end where the truth is
    (tmp_path / "wrong.stream").write_text(
        stream(chunk(lattice, image="run1.h5", event="//3"), geometry=GEOM.replace("clen = 0.1\n", "clen = 0.1005\n"))
    )
    words = ["a.npy", "--geometry", "wrong.stream", *rest, "-fluence", "2e27", "--refine", "misset,scale,distance"]
    assert main(["refine", *words, *PLANES]) == 0
    names = {path.name for path in tmp_path.iterdir() if path.name.startswith("refined")}
    assert names == {f"refined.{x}" for x in ("csv", "expt", "json", "geom", "sol")}
    found = json.loads((tmp_path / "refined.json").read_text())["refinement"]["parameters"]
    assert found["scale"]["value"] == pytest.approx(1.5, rel=0.01)
    again = read_geometry(tmp_path / "refined.geom", wavelength_A=begun.wavelength_A)
    for panel, true in zip(again.panels, begun.panels, strict=True):
        assert np.allclose(panel.pix0_mm, true.pix0_mm, atol=0.02)
        assert np.allclose(panel.fast_axis, true.fast_axis, atol=1e-6)
    name, event, *numbers = (tmp_path / "refined.sol").read_text().split()
    assert (name, event, numbers[-1]) == ("run1.h5", "//3", "aP")  # by which CrystFEL finds the image
    numbers = np.array(numbers[:9], float) / 10  # from 1/nm
    assert np.allclose(numbers.reshape(3, 3).T, begun.reciprocal, atol=2e-5)


def test_ctrl_c_writes_the_best_model_so_far(tmp_path, monkeypatch, capfd):
    from nbnumba.cli import refine as command

    monkeypatch.chdir(tmp_path)
    make(tmp_path, "-noisefile", "/dev/null", "--npy", "a.npy")
    monkeypatch.setattr(command, "say_step", lambda stage, step: signal.raise_signal(signal.SIGINT))
    flags = [word for word in COMMON if word != "--quiet"]
    assert main(["refine", "a.npy", *flags, *START, "--refine", "misset,scale", *PLANES]) == 130
    found = json.loads((tmp_path / "refined.json").read_text())["refinement"]
    assert found["reason"] == STOPPED and len(found["iterations"]) == 1
    assert STOPPED in capfd.readouterr().err
