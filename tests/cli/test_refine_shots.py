"""``nbnumba refine --list``: the list, the folder, what is printed, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.cli.main import main
from nbnumba.cli.refine_shots import names_of, read_list
from nbnumba.errors import UsageError
from tests.series.inputs import ROOT, wait_until

FLAGS = """-cell 55 65 75 90 95 90 -N 12 -gauss_xtal --physics correct -default_F 200 -detpixels 160 -pixel 0.177
-distance 60 -lambda 1.3 -oversample 1 -fluence 1e27 --device cpu""".split()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images, their missets, and one with nothing in it."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(5):
        misset = [str(10.0 * number), "20", "30"]
        words = [*FLAGS, "-misset", *misset, "--npy", str(folder / f"a{number}.npy"), "--quiet"]
        words += ["-floatfile", str(folder / "float.bin"), "-intfile", str(folder / "i.img"), "-nonoise", "-nopgm"]
        assert main(["run", *words]) == 0
        image = np.load(folder / f"a{number}.npy").astype(float) + 5.0
        np.save(folder / f"a{number}.npy", np.random.default_rng(number).poisson(image).astype(np.int32))
    np.save(folder / "empty.npy", np.full((160, 160), -1, np.int32))
    return folder


def write_list(images: Path, path: Path, numbers: range = range(5)) -> Path:
    lines = ["# five crystals, each turned by 0.03 degrees", ""]
    lines += [f"'{images}/a{n}.npy' -misset {10 * n + 0.03} 20 30  # shot {n}" for n in numbers]
    path.write_text("\n".join([*lines, f"{images}/empty.npy -misset 0 0 0"]) + "\n")
    return path


def refine(path: Path, out: Path, *more: str) -> int:
    return main(["refine", "--list", str(path), *FLAGS, "--out", str(out), "--refine", "misset,scale", *more])


def test_a_list(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_list(images, tmp_path / "shots.txt")
    assert refine(path, tmp_path / "out", "--workers", "2") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("6 shots: 5 refined, 1 failed; ")
    assert "empty: failed" in printed.err and "no good pixel" in printed.err
    assert printed.err.count("by 2 processes") == 1 and "shots.csv" in printed.err
    rows = json.loads((tmp_path / "out" / "shots.json").read_text())["shots"]
    assert [row["shot"] for row in rows] == ["a0", "a1", "a2", "a3", "a4", "empty"]
    for row in rows[:5]:
        turned = np.linalg.norm([row[f"misset_{axis}_deg"] for axis in "xyz"])
        assert turned == pytest.approx(0.03, abs=0.003), row
    assert refine(path, tmp_path / "out") == 0
    assert "1 shots in" in capsys.readouterr().err, "the failed one is tried again"
    assert refine(path, tmp_path / "out", "-N", "13") == 1
    assert "a0.json was made with another start model" in capsys.readouterr().err
    assert refine(path, tmp_path / "out", "--reject", "5") == 1
    assert "options.reject was 6.0 and now is 5.0" in capsys.readouterr().err
    # the written model is a start that needs no more refinement
    words = "-N 12 -gauss_xtal --physics correct -default_F 200 -oversample 1 -fluence 1e27 --device cpu".split()
    words += ["--geometry", str(tmp_path / "out" / "a3.expt"), "--refine", "misset,scale", "--no-picture"]
    assert main(["refine", str(images / "a3.npy"), *words, "--out", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again.json").read_text())["refinement"]["parameters"]
    assert all(abs(again[f"misset_{axis}_deg"]["value"]) < 1e-4 for axis in "xyz")


def test_what_differs_from_line_to_line(images: Path, tmp_path: Path) -> None:
    """Offset and gain of the counts, the mask, and the geometry."""
    counts = np.load(images / "a1.npy")
    np.save(tmp_path / "b.npy", 4 * counts + 10)
    (tmp_path / "list").write_text(
        f"{images}/a1.npy -misset 10.03 20 30\n{tmp_path}/b.npy -misset 10.03 20 30 -adc 10 --gain 4\n"
    )
    assert refine(tmp_path / "list", tmp_path / "out", "--quiet") == 0
    a, b = (json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("a1", "b"))
    for name in ("misset_x_deg", "scale"):
        assert a["parameters"][name]["value"] == pytest.approx(b["parameters"][name]["value"], rel=1e-9)


def test_lattices_and_images_of_a_file(images: Path, tmp_path: Path) -> None:
    """Two crystals of a file of experiments, each on an image of its own and both on one."""
    import h5py

    from nbnumba.output.expt import write_expt
    from nbnumba.refinement.self_test import disturbed, make_truth
    from tests.series.refine_inputs import turned

    truth = make_truth(fpixels=160, spixels=160, distance_mm=60)
    true = [turned(number, truth) for number in (1, 2)]
    light = [nb.simulate(one, device="cpu").images[0].astype(float) for one in true]
    random = np.random.default_rng(5)
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["entry/data/data"] = random.poisson(np.stack([*light, sum(light)]) + 5.0).astype(np.int32)
    starts = [nb.resolve(disturbed(one, 0.04, (0.0,) * 6)) for one in true]
    write_expt(tmp_path / "both.expt", starts, [tmp_path / "stack.h5"] * 2, indices=[0, 1])
    factors = truth.structure_factors.hkl
    rows = np.column_stack([factors.indices, factors.F])
    np.savetxt(tmp_path / "F.hkl", rows, fmt=["%d", "%d", "%d", "%.6f"])
    geometry = f"--geometry {tmp_path}/both.expt"
    lines = [f"{tmp_path}/stack.h5 --image {n + 1} {geometry} --experiment {n}" for n in (0, 1)]
    lines.append(f"{tmp_path}/stack.h5 --image 3 {geometry} --lattices 0,1")
    (tmp_path / "list").write_text("\n".join(lines))
    words = ["refine", "--list", str(tmp_path / "list"), "-hkl", str(tmp_path / "F.hkl"), "-gauss_xtal", "--quiet"]
    words += "-Na 12 -Nb 12 -Nc 11 --physics correct -oversample 1 --device cpu --refine misset,scale".split()
    assert main([*words, "-fluence", str(truth.beam.fluence), "--out", str(tmp_path / "out")]) == 0
    names = ["stack-000001", "stack-000002", "stack-000003"]
    found = [json.loads((tmp_path / "out" / f"{name}.json").read_text())["parameters"] for name in names]
    for number, one in enumerate(found[:2]):
        turned_deg = np.linalg.norm([one[f"misset_{axis}_deg"]["value"] for axis in "xyz"])
        assert turned_deg == pytest.approx(0.04, abs=0.004)
        both = found[2][f"lattice{number + 1}.misset_x_deg"]
        assert both["value"] == pytest.approx(one["misset_x_deg"]["value"], abs=6 * both["error"])


def test_a_geometry_is_shared(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_list(images, tmp_path / "shots.txt")
    out = tmp_path / "out"
    assert refine(path, out, "--share", "distance", "-distance", "60.05", "--workers", "1") == 0
    printed = capsys.readouterr()
    assert "distance_mm" in printed.out and "5 of 6 shots" in printed.out
    found = json.loads((out / "geometry.json").read_text())
    distance = found["parameters"]["distance_mm"]
    assert found["converged"] and abs(distance["value"] - 60) < 5 * distance["error"] < 0.05
    assert (out / "a2.expt").is_file() and not (out / "geometry.csv").exists()


def test_ctrl_c_keeps_what_is_done(images: Path, tmp_path: Path) -> None:
    lines = [f"{images}/a{n % 5}.npy -misset {10 * (n % 5) + 0.03} 20 30" for n in range(60)]
    (tmp_path / "many.txt").write_text("\n".join(lines))
    words = [sys.executable, "-m", "nbnumba", "refine", "--list", str(tmp_path / "many.txt"), *FLAGS]
    words += ["--out", str(tmp_path / "out"), "--refine", "misset,scale", "--workers", "2"]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list((tmp_path / "out").glob("*-a*.json"))) >= 3, process)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert "of 60 shots are done: the same command continues" in said and "Traceback" not in said
    assert 3 <= len(list((tmp_path / "out").glob("*-a*.json"))) < 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.npy", "--list", "x"], "--list names the images: leave out a.npy"),
        (["--list", "x", "--self-test"], "--list names the images: leave out --self-test"),
        (["a.npy", "--workers", "2"], "--workers is for many shots: give --list FILE"),
        (["a.npy", "--share", "panels"], "--share is for many shots"),
        (["a.npy", "--scheduler", "tcp://x:1"], "--scheduler is for many shots"),
        (["a.npy", "--slurm"], "--slurm is for many shots"),
        (["--list", "x", "--workers", "0"], "--workers needs a whole number above 0"),
        (["--list", "x", "--workers", "two"], "--workers needs a whole number above 0"),
        (["--list", "x", "--share", " "], "--share needs the names of parameters"),
        (["--list", "x", "--slurm", "--scheduler", "tcp://x:1"], "name two clusters"),
        (["--list"], "--list needs a value"),
    ],
)
def test_command_lines_that_cannot_be(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refine", *FLAGS, *words] if words == ["--list"] else ["refine", *words, *FLAGS]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no image"),
        ("# nothing\n\n   # more\n", "names no image"),
        ("a.npy\n-misset 1 2 3\n", "line 2: the image comes first, got -misset"),
        ("a.npy\n\n'b.npy -N 3\n", "line 3: no closing quotation"),
        ("a.npy --refine cell\n", "line 1: --refine is the same for all shots"),
        ("a.npy\nb.npy --out x\n", "line 2: --out is the same for all shots"),
        ("a.npy -nonsense 3\n", "line 1: unknown"),
        ("a.npy -N\n", "line 1: -N needs"),
        ("a.npy -distance abc\n", "line 1: -distance needs"),
        ("a.npy -distance -3\n", "line 1: "),
        ("a.npy -mat none.mat\n", "line 1: "),
        ("a.npy @none.txt\n", "line 1: @none.txt"),
        ("a.npy --lattices x\n", "line 1: --lattices needs"),
        ("a.npy more.npy\n", "line 1: "),
    ],
)
def test_lists_that_cannot_be(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shots.txt").write_text(text)
    assert refine(Path("shots.txt"), tmp_path / "out") in (1, 2)
    said = capsys.readouterr().err
    assert message in said and "shots.txt" in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_a_missing_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refine(tmp_path / "none.txt", tmp_path / "out") == 1
    assert "none.txt: no such file" in capsys.readouterr().err


def test_warnings_are_given_once(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_list(images, tmp_path / "shots.txt", range(3))
    assert refine(path, tmp_path / "out", "--dry-run", "-hdivrange", "0") == 0
    said = capsys.readouterr().err.splitlines()
    assert any("4 shots were read" in line for line in said)
    assert len(said) == len(set(said))


def test_words_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "flags").write_text("-N 4 # cells\n")
    (tmp_path / "list").write_text(f"\ufeff'my run/a 1.cbf' -misset 1 2 3 @{tmp_path}/flags\r\nb.cbf\n")
    first, second = read_list(str(tmp_path / "list"))
    assert (first.number, first.image) == (1, "my run/a 1.cbf")
    assert first.words == ("-misset", "1", "2", "3", "-N", "4")
    assert (second.number, second.image, second.words) == (2, "b.cbf", ())
    (tmp_path / "list").write_text("a.cbf 'b\n")
    with pytest.raises(UsageError, match="list, line 1: no closing quotation"):
        read_list(str(tmp_path / "list"))


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (["a.cbf", "x/b.cbf.gz", "../c.d.img", "e"], ["a", "b", "c.d", "e"]),
        (["r1/a.cbf", "r2/a.cbf", "b.cbf"], ["r1-a", "r2-a", "b"]),
        (["r1/a.cbf", "r1/a.cbf", "a.img"], ["r1-a", "r1-a-2", "a"]),
        (["a.cbf", "./a.cbf", "../a.cbf"], ["a", "a-2", "a-3"]),
        ([".cbf", "..x"], ["cbf", "shot"]),
        (["a-2.cbf", "a.cbf", "a.img"], ["a-2", "a", "a-3"]),
        (["shots.cbf", "geometry.h5", "shots.img"], ["shots-2", "geometry-2", "shots-3"]),
        (["x.h5", "x.h5 3", "x.h5 4"], ["x", "x-000003", "x-000004"]),
        (["r/x.h5 3", "q/x.h5 3", "q/x.h5 3"], ["r-x-000003", "q-x-000003", "q-x-000003-2"]),
    ],
)
def test_names_of_shots(images: list[str], names: list[str]) -> None:
    split = [image.partition(" ") for image in images]
    found = names_of([image for image, *_ in split], [int(n) if n else None for *_, n in split])
    assert len(set(found)) == len(found)
    assert found == names
    for name in found:
        nb.ShotFile(name, "a.cbf", nb.Simulation(crystal=nb.Crystal(cell=(40, 40, 40))))
