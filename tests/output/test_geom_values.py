"""Numbers that a CrystFEL geometry file takes from the data file are in the file that is written."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import pytest

from nbnumba.cli.main import main
from tests.output.geom_reader import read_number
from tests.output.test_layouts import FLAGS, panel

#: Lines of a geometry file, key of its wavelength, offsets of its two panels (m).
TWO = panel("a", 0) + panel("b", 25, fs=(30, 53))
GEOMS = {
    "LCLS": (
        "photon_energy = /LCLS/photon_energy_eV\nclen = /LCLS/detector_1/EncoderValue\ncoffset = 0.58\n",
        0.58,
        0.58,
    ),
    "units": ("photon_energy = /x/energy keV\nclen = /x/clen m\ncoffset = -0.01\n", -0.01, -0.01),
    "mm": ("photon_energy = /x/energy eV\nclen = /x/clen mm\n", 0.0, 0.0),
    "wavelength": ("wavelength = /beam/wavelength m\nclen = 0.123 m\n", 0.0, 0.0),
    "names of NXmx": (
        "wavelength = /entry/instrument/beam/incident_wavelength A\nclen = /entry/instrument/detector/distance m\n",
        0.0,
        0.0,
    ),
    "electrons": ("electron_voltage = /e/voltage kV\nclen = 123 mm\n", 0.0, 0.0),
    "one for each image": ("photon_energy = /%/energy\nclen = /%/z\n", 0.0, 0.0),
    "panels of their own": (
        "photon_energy = /LCLS/energy\nclen = /LCLS/z\na/coffset = 0.002\nb/coffset = 0.005\n",
        0.002,
        0.005,
    ),
}
#: h c (eV m), electron's rest energy (eV), of CODATA 2018.
HC, REST = 1.23984198e-6, 510998.95


def wavelength(geom: str, path: Path, event: str = "1", image: int = 0) -> float:
    """What CrystFEL takes for the wavelength (m)."""
    key = next(key for key in ("photon_energy", "electron_voltage", "wavelength") if f"{key} =" in geom)
    found = read_number(geom, path, key, event, image)
    if key == "photon_energy":
        return HC / found
    return HC / math.sqrt(found * (found + 2 * REST)) if key == "electron_voltage" else found


def geometry(name: str) -> tuple[str, float, float]:
    lines, *offsets = GEOMS[name]
    own = "".join(line + "\n" for line in lines.splitlines() if line.startswith(("a/", "b/")))
    whole = "".join(line + "\n" for line in lines.splitlines() if not line.startswith(("a/", "b/")))
    head = "res = 5000\nfs = x\nss = y\ndata = /%/data\n" if "%" in lines else "res = 5000\nfs = x\nss = y\n"
    return head + whole + TWO + own, *offsets


@pytest.mark.parametrize("name", GEOMS)
def test_a_geom_file_finds_its_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With -distance 123 and -lambda 1.5, the panels stand where CrystFEL puts them: clen + coffset."""
    geom, first, _ = geometry(name)
    monkeypatch.chdir(tmp_path)
    Path("a.geom").write_text(geom)
    flags = f"run --geometry a.geom -distance 123 -lambda 1.5 {FLAGS}"
    assert main([*flags.split(), "--nexus", "a.nxs"]) == 0
    assert "needs other numbers" not in capsys.readouterr().err
    # the panel with the smaller coffset, the median, stands at the distance
    assert read_number(geom, Path("a.nxs"), "clen") + first == pytest.approx(0.123, rel=1e-9)
    assert wavelength(geom, Path("a.nxs")) == pytest.approx(1.5e-10, rel=1e-6)


@pytest.mark.parametrize("name", ["LCLS", "one for each image", "electrons"])
def test_series_have_the_numbers_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stills whose wavelength varies, one by one; a rotation series by its master."""
    geom, first, _ = geometry(name)
    monkeypatch.chdir(tmp_path)
    Path("a.geom").write_text(geom)
    Path("v.toml").write_text('[beam]\nwavelength_A = { distribution = "uniform", low = 1.4, high = 1.6 }\n')
    flags = [
        "--geometry",
        "a.geom",
        "-distance",
        "123",
        "-lambda",
        "1.5",
        *FLAGS.split(),
        "--nexus",
        "s.nxs",
        "--workers",
        "1",
    ]
    assert main(["series", "--stills", "2", "--vary", "v.toml", "--out", "stills", *flags]) == 0
    seen = []
    for path in (Path("stills/s_0001.nxs"), Path("stills/s_0002.nxs")):
        with h5py.File(path) as file:
            seen.append(file["entry/instrument/beam/incident_wavelength"][()])
        assert wavelength(geom, path) == pytest.approx(seen[-1] * 1e-10, rel=1e-6)
        assert read_number(geom, path, "clen") + first == pytest.approx(0.123, rel=1e-9)
    assert seen[0] != seen[1]
    assert main(["series", "--images", "3", "-osc", "1", "-phisteps", "1", "--out", "turn", *flags]) == 0
    for image in range(3):
        found = wavelength(geom, Path("turn/s.nxs"), str(image + 1), image)
        assert found == pytest.approx(1.5e-10, rel=1e-6)
        assert read_number(geom, Path("turn/s.nxs"), "clen", str(image + 1), image) + first == pytest.approx(
            0.123, rel=1e-9
        )


#: Lines, and the sentence about numbers that they cannot have; None: there is none.
DIFFERENT = {
    "flags": ("photon_energy = 9500 eV\nclen = 0.12 m\n", "photon_energy 8265.61 instead of 9500 eV and clen 0.123 instead of 0.12 m"),
    "no unit": ("photon_energy = 8265.61\nclen = 0.1\n", "clen 0.123 instead of 0.1 m"),
    "the same": ("wavelength = 1.5 A\nclen = 123 mm\n", None),
    "unit of NXmx": ("wavelength = 1.5 A\nclen = /entry/instrument/detector/distance\n",
                     "clen 123 instead of 0.123 mm (/entry/instrument/detector/distance)"),
    "a group": ("photon_energy = /entry/instrument\nclen = 0.123\n", "photon_energy 8265.61 (/entry/instrument is no number)"),
    "a text": ("wavelength = /entry/definition A\nclen = 0.123\n", "wavelength 1.5 A (/entry/definition is no number)"),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_numbers_that_the_file_contradicts_are_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, sentence = DIFFERENT[name]
    monkeypatch.chdir(tmp_path)
    Path("a.geom").write_text(f"res = 5000\nfs = x\nss = y\n{lines}{TWO}")
    flags = f"run --geometry a.geom -distance 123 -lambda 1.5 {FLAGS}".replace(" -q", "")
    assert main([*flags.split(), "--nexus", "a.nxs"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert ("needs other numbers in its geometry file" in said) == (sentence is not None)
    assert sentence is None or f"a.nxs needs other numbers in its geometry file: {sentence}" in said


def test_a_number_without_a_place_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A data set cannot be below another one."""
    monkeypatch.chdir(tmp_path)
    Path("a.geom").write_text(f"res = 5000\nfs = x\nss = y\nphoton_energy = /entry/definition/eV\nclen = 0.1\n{TWO}")
    assert main([*f"run --geometry a.geom -lambda 1.5 {FLAGS}".split(), "--nexus", "a.nxs"]) == 1
    assert "cannot write /entry/definition/eV, the photon_energy of the geometry file" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not Path("a.nxs").exists()
