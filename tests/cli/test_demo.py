"""``nbnumba demo`` and ``nbnumba info``, and pictures that a run draws."""

from __future__ import annotations

import fabio
import numpy as np
import pytest

from nbnumba.cli import info
from nbnumba.cli.main import main
from nbnumba.io.raw import read_float_image
from nbnumba.output.sinks.picture import resolution_map
from tests.conftest import GOLDEN


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's folder."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    assert main(["demo", str(folder)]) == 0
    return folder


def test_demo_writes_its_files(demo):
    names = {"lysozyme.hkl", "Fdump.bin", "lysozyme.bin", "lysozyme.img", "lysozyme_noise.img", "lysozyme.png"}
    assert {path.name for path in demo.iterdir()} == names


def test_demo_shows_spots_above_water(demo):
    """Bragg spots stand far above the background, and the noise is that of photons."""
    image = read_float_image(demo / "lysozyme.bin", (1024, 1024))
    noisy = fabio.open(str(demo / "lysozyme_noise.img")).data.astype(float) - 40
    background = np.median(image)
    assert 2 < background < 50
    assert 1000 < np.count_nonzero(image > 5 * background) < 0.05 * image.size
    dim = image < 2 * background
    assert np.var(noisy[dim] - image[dim]) == pytest.approx(image[dim].mean(), rel=0.02)


def test_demo_prints_a_command_that_gives_the_same(demo, tmp_path, capsys):
    assert main(["demo", str(tmp_path)]) == 0
    log = capsys.readouterr().err
    line = next(text for text in log.splitlines() if text.startswith("the same: nbnumba run "))
    image = (tmp_path / "lysozyme.bin").read_bytes()
    noise = (tmp_path / "lysozyme_noise.img").read_bytes()
    assert image == (demo / "lysozyme.bin").read_bytes()
    assert main(line.removeprefix("the same: nbnumba ").split()) == 0
    assert (tmp_path / "lysozyme.bin").read_bytes() == image
    assert (tmp_path / "lysozyme_noise.img").read_bytes() == noise


def test_demo_in_an_impossible_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["demo", str(tmp_path / "file" / "demo")]) == 1
    assert "cannot make the folder" in capsys.readouterr().err


def test_info(capsys):
    assert main(["info"]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["cpu kernel"].strip() == "compiles and runs"
    assert {"nbnumba", "numba", "numpy", "threads", "kernel cache", "threading layer"} <= set(lines)


@pytest.mark.parametrize("noise", [True, False])
def test_preview_of_a_run(tmp_path, monkeypatch, noise):
    monkeypatch.chdir(tmp_path)
    words = (
        f"-hkl {GOLDEN}/inputs/tri.hkl -mat {GOLDEN}/inputs/tri_A.mat -lambda 1 -N 4 -distance 60 -pixel 0.4".split()
    )
    words += ["-detpixels", "60", "-oversample", "1", "-detector_roty", "20", "--preview", "p.png", "--quiet"]
    assert main(["run", *words, *([] if noise else ["-nonoise"])]) == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_resolution_map_of_a_tilted_detector():
    """Bragg's law at a pixel, by its angle."""
    from tests.kernels.test_physics import BASE, resolve

    experiment = resolve(BASE)
    panel = experiment.panel
    place = panel.pix0 + panel.pixel_size * (7.5 * panel.sdet + 20.5 * panel.fdet)
    two_theta = np.arccos(place @ experiment.detector.frame.beam / np.linalg.norm(place))
    assert resolution_map(experiment)[7, 20] == pytest.approx(0.98 / (2 * np.sin(two_theta / 2)), rel=1e-6)


def test_info_where_the_system_tells_less(monkeypatch):
    def refuse(*_):
        raise FileNotFoundError

    monkeypatch.setattr(info, "PACKAGES", ("numpy", "no-such-package"))
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(info.platform, "processor", lambda: "")
    monkeypatch.setattr(info.platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(info.binding, "get_host_cpu_features", lambda: {"v": True})
    monkeypatch.setattr(info, "_gpus", dict)
    facts = info.facts()
    assert facts["no-such-package"] == "not installed" and facts["numpy"] == np.__version__
    assert facts["processor"].startswith("riscv64, ") and facts["processor"].endswith(", 64 bit vectors")


def test_info_of_a_compiler_that_does_not_work(monkeypatch):
    def broken(rows):
        raise RuntimeError("no LLVM")

    for kernel, words in ((broken, "fails: RuntimeError: no LLVM"), (lambda rows: None, "gives wrong numbers")):
        monkeypatch.setattr("nbnumba.kernels.cpu.general.fill_rows", kernel)
        assert info.facts()["cpu kernel"] == words
