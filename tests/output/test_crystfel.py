"""Files for CrystFEL: solutions as ``fromfile.c`` reads them, and geometry files with refined panels."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.errors import ConfigError, FileError
from nbnumba.io.geometry import rotation
from nbnumba.model.config import Beam, Crystal, Scan, Simulation, StructureFactors
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.model.frames import MCSTAS, to_imgcif
from nbnumba.model.geometry_files import read_geometry, to_config
from nbnumba.output.crystfel import SolEntry, crystfel_reciprocal, to_crystfel, write_sol
from nbnumba.output.geom import write_geom
from tests.geometry_inputs import GEOM, write
from tests.geometry_inputs import an_experiment as a_list
from tests.io.geometries import experiment
from tests.io.stream_inputs import Lattice, a_cell, chunk, stream


@dataclass
class Solution:
    """A line of a solution file."""

    image: str
    event: str
    stars: np.ndarray  # rows, 1/nm
    shift: tuple[float, float]
    lattice: str


def solutions(path: Path) -> list[Solution]:
    """A solution file as ``fromfile.c`` takes it apart: thirteen blanks from the end, then words."""
    found = []
    for line in path.read_bytes().decode().split("\n")[:-1]:
        assert len(line) < 1023 and line == line.rstrip()
        places = [i for i, letter in enumerate(line) if letter == " "]
        image, rest = line[: places[-13]], line[places[-13] + 1 :]
        words = rest.replace("\t", " ").replace(",", " ").split()
        assert len(words) == 13
        numbers = np.array([float(np.float32(word)) for word in words[1:12]])
        found.append(Solution(image, words[0], numbers[:9].reshape(3, 3), tuple(numbers[9:]), words[12]))
    return found


def test_solutions_are_read_as_crystfel_does(tmp_path: Path) -> None:
    entries = [
        SolEntry(image="a.h5", reciprocal=a_cell().T / 10),
        SolEntry(image="a.h5", reciprocal=a_cell(3).T / 10, shift_mm=(0.0215, -1.25), lattice="mCb"),
        SolEntry(image=Path("of run 1") / "b 2.h5", event="entry//17", reciprocal=a_cell(5).T / 10, lattice="tPc"),
        SolEntry(image="ü.h5", event="", reciprocal=-a_cell(7).T / 1000, lattice="rR"),
    ]
    write_sol(tmp_path / "a.sol", entries)
    found = solutions(tmp_path / "a.sol")
    assert [(one.image, one.event) for one in found[1:]] == [
        ("a.h5", "//"),
        ("of run 1/b 2.h5", "entry//17"),
        ("ü.h5", "//"),
    ]
    for one, entry in zip(found, entries, strict=True):
        np.testing.assert_allclose(one.stars, entry.reciprocal.T * 10, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(one.shift, entry.shift_mm, atol=1e-6)
        assert one.lattice == entry.lattice


def test_a_stream_becomes_solutions(tmp_path: Path) -> None:
    """A crystal from a stream, resolved and written, is the stream's crystal."""
    (tmp_path / "a.stream").write_text(stream(chunk(Lattice(a_cell(4)))))
    parts = to_config(read_geometry(tmp_path / "a.stream"))
    made = resolve(Simulation(structure_factors=StructureFactors(default_F=1), **parts))
    write_sol(tmp_path / "a.sol", [SolEntry(image="a.h5", reciprocal=crystfel_reciprocal(made))])
    np.testing.assert_allclose(solutions(tmp_path / "a.sol")[0].stars, np.round(a_cell(4), 7), rtol=1e-6, atol=1e-9)


ONE: dict[str, Any] = {"image": "a.h5", "reciprocal": np.eye(3) / 50}
WRONG = {
    "line end": ({"image": "a\n.h5"}, "one line of 1 to 255 bytes"),
    "no name": ({"image": " "}, "one line of 1 to 255 bytes"),
    "long name": ({"image": "ü" * 128}, "one line of 1 to 255 bytes"),
    "blank in the event": ({"event": "a b"}, "neither blanks nor commas"),
    "comma in the event": ({"event": "a,b"}, "neither blanks nor commas"),
    "lattice": ({"lattice": "tetragonal"}, "like aP, oC, mPb or tIc, got 'tetragonal'"),
    "no unique axis": ({"lattice": "mP"}, "like aP, oC, mPb or tIc"),
    "not finite": ({"reciprocal": np.full((3, 3), np.nan)}, "needs 9 \\+ 2 finite numbers"),
    "shape": ({"reciprocal": np.eye(2)}, "needs 9 \\+ 2 finite numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_crystfel_could_not_read_is_refused(tmp_path: Path, name: str) -> None:
    change, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        write_sol(tmp_path / "a.sol", [SolEntry(**ONE), SolEntry(**(ONE | change))])
    assert not (tmp_path / "a.sol").exists()


def test_more_crystals_than_crystfel_takes(tmp_path: Path) -> None:
    write_sol(tmp_path / "a.sol", [SolEntry(**ONE)] * 16 + [SolEntry(**ONE, event="2")] * 16)
    with pytest.raises(ConfigError, match=r"can have 16 crystals of an image: a\.h5 // has more"):
        write_sol(tmp_path / "a.sol", [SolEntry(**ONE)] * 17)


def refined(path: Path, change: Callable[[int, Any], Any] | None = None, **more: Any) -> Experiment:
    """The experiment of a geometry file, each panel changed."""
    found = read_geometry(path, **more)
    parts = to_config(found)
    if change is not None:
        panels = tuple(change(i, panel) for i, panel in enumerate(found.panels))
        parts["detector"] = replace(parts["detector"], panels=panels)
    parts.setdefault("crystal", Crystal(cell=(30, 40, 50)))
    return resolve(Simulation(structure_factors=StructureFactors(default_F=1), **parts))


def moved(i: int, panel: Any, by: float = 0.3, turn: float = 0.1) -> Any:
    """A panel that is shifted and turned, each by other amounts."""
    R = rotation((1, i + 1, -2), turn * (i + 1))
    place = np.array(panel.pix0_mm) + by * np.array([1, -0.5 * i, 0.25 * (i + 1)])
    axes = [tuple(R @ np.array(axis)) for axis in (panel.fast_axis, panel.slow_axis)]
    return replace(panel, pix0_mm=tuple(place), fast_axis=axes[0], slow_axis=axes[1])


def assert_panels(path: Path, wanted: Experiment, **more: Any) -> None:
    """A geometry file has the panels and the wavelength of an experiment."""
    found = refined(path, **more)
    for panel, said in zip(found.detector.panels, wanted.detector.panels, strict=True):
        assert panel.shape == said.shape
        np.testing.assert_allclose(panel.pix0, said.pix0, atol=1e-7 * np.linalg.norm(said.pix0))
        for axis in ("fdet", "sdet"):
            edges = getattr(panel, axis) * panel.pixel_size, getattr(said, axis) * said.pixel_size
            np.testing.assert_allclose(*edges, atol=1e-7 * said.pixel_size)
    assert found.simulation.beam.wavelength_A == pytest.approx(wanted.simulation.beam.wavelength_A, rel=1e-9)


BARE = """photon_energy = 9000 eV
clen = 0.1
res = 10000
fs = x
ss = y
p0/min_fs = 0
p0/max_fs = 99
p0/min_ss = 0
p0/max_ss = 79
p0/corner_x = -50
p0/corner_y = -40
"""
#: Geometry files of every form that the reader takes.
STARTS: dict[str, str] = {
    "two panels": GEOM,
    "defaults alone": BARE,
    "clen of each panel": GEOM.replace("clen = 0.080\n", "") + "a0/clen = 0.08\na1/clen = 0.12 ; own\n",
    "clen in mm": GEOM.replace("clen = 0.080", "clen = 80.0 mm"),
    "clen without a blank": GEOM.replace("clen = 0.080", "clen = 80.0mm"),
    "clen at the end": GEOM.replace("clen = 0.080\n", "") + "clen = 0.08",
    "energy in keV": GEOM.replace("9500 eV", "9.5 keV"),
    "wavelength in A": GEOM.replace("photon_energy = 9500 eV", "wavelength = 1.3 A"),
    "wavelength in m": GEOM.replace("photon_energy = 9500 eV", "wavelength = 1.3e-10 m"),
    "electrons": GEOM.replace("photon_energy = 9500 eV", "electron_voltage = 200 kV"),
    "shifted": GEOM + "detector_shift_x = 1.5 mm\ndetector_shift_y = -0.002\n",
    "said twice": GEOM + "a0/corner_x = -30\na0/fs = 0.9999x +0.014142y\n",
    "words behind numbers": GEOM.replace("a1/corner_x = 3", "a1/corner_x = 3 or so"),
    "not square": GEOM.replace("a1/ss = 0.96y + 0.28z", "a1/ss = 1.2y + 0.35z"),
    "blanks": GEOM.replace(" = ", "=").replace("res=5000", "res\t=\t 5000"),
}


@pytest.mark.parametrize("name", STARTS)
def test_refined_panels_are_read_again(tmp_path: Path, name: str) -> None:
    (tmp_path / "start.geom").write_text(STARTS[name])
    made = refined(tmp_path / "start.geom", moved)
    made = resolve(
        replace(
            made.simulation, beam=replace(made.simulation.beam, wavelength_A=made.simulation.beam.wavelength_A * 1.001)
        )
    )
    write_geom(tmp_path / "next.geom", made, tmp_path / "start.geom")
    assert_panels(tmp_path / "next.geom", made)
    # and what is refined once more
    final = refined(tmp_path / "next.geom", moved)
    write_geom(tmp_path / "last.geom", final, tmp_path / "next.geom")
    assert_panels(tmp_path / "last.geom", final)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", STARTS)
def test_what_has_not_changed_stays_as_it_is(tmp_path: Path, name: str, ending: str) -> None:
    """Without a change the same bytes; with a change of one panel the same lines but its own."""
    start = tmp_path / "start.geom"
    data = ("; für Ångström\n" + STARTS[name]).replace("\n", ending).encode("latin-1")
    start.write_bytes(data)
    write_geom(tmp_path / "same.geom", refined(start), start)
    assert (tmp_path / "same.geom").read_bytes() == data
    made = refined(start, lambda i, panel: moved(i, panel) if i == 0 else panel)
    write_geom(tmp_path / "next.geom", made, start)
    assert_panels(tmp_path / "next.geom", made)
    old, new = (path.read_bytes().decode("latin-1").split(ending) for path in (start, tmp_path / "next.geom"))
    first = "p0" if name == "defaults alone" else "a0"
    others = [
        [line for line in lines if not line.startswith(f"{first}/") and "clen" not in line] for lines in (old, new)
    ]
    assert others[0] == others[1]
    own = {line.split("=")[0].strip() for line in set(new) - set(old)}
    assert own <= {f"{first}/{key}" for key in ("fs", "ss", "corner_x", "corner_y", "coffset", "clen")} | {"clen"}


def test_lines_as_they_are_written(tmp_path: Path) -> None:
    """Comments and blanks stay; a common movement goes into clen, the rest into coffset, in a line of the panel."""
    start = tmp_path / "start.geom"
    start.write_text(
        GEOM.replace("clen = 0.080", "clen =  80.0 mm  ; the encoder's").replace("a1/fs = x", "a1/fs = x;old")
    )

    def along(i: int, panel: Any) -> Any:
        x, y, z = panel.pix0_mm
        return replace(
            panel, pix0_mm=(x + 0.02, y, z + 0.75 - 0.25 * i), fast_axis=(0.8, 0.6, 0.0) if i else panel.fast_axis
        )

    write_geom(tmp_path / "next.geom", refined(start, along), start)
    old, new = start.read_text().splitlines(), (tmp_path / "next.geom").read_text().splitlines()
    assert [line for line in new if line not in old] == [
        "clen =  80.5 mm  ; the encoder's",
        "a0/corner_x = -34.4",
        "a0/coffset = 0.00075",
        "a1/corner_x = 3.1",
        "a1/fs = +0.8000000000x +0.6000000000y;old",
    ]
    # a0 has its coffset from the lines above all panels
    assert new.index("a0/coffset = 0.00075") == new.index("a0/ss = -0.003162x +0.999995y") + 1
    assert len(new) == len(old) + 1


def test_clen_in_the_data_files(tmp_path: Path) -> None:
    start = tmp_path / "start.geom"
    start.write_text(GEOM.replace("clen = 0.080", "clen = /LCLS/encoder"))
    begun, made = refined(start, distance_mm=79), refined(start, moved, distance_mm=79)
    with pytest.raises(
        ConfigError, match=r"clen of .*start\.geom is in the data files \(/LCLS/encoder\): give the experiment"
    ):
        write_geom(tmp_path / "next.geom", made, start)
    write_geom(tmp_path / "next.geom", made, start, begun)
    text = (tmp_path / "next.geom").read_text()
    assert "clen = /LCLS/encoder\n" in text
    # -distance is that of the panel with the median coffset: compared with the encoder's number in the place of its name
    for path in (start, tmp_path / "next.geom"):
        path.write_text(path.read_text().replace("/LCLS/encoder", "0.080"))
    assert_panels(tmp_path / "next.geom", made)
    assert_panels(start, begun)


def test_energy_in_the_data_files(tmp_path: Path) -> None:
    start = tmp_path / "start.geom"
    start.write_text(GEOM.replace("9500 eV", "/LCLS/photon_energy_eV"))
    made = refined(start, moved, wavelength_A=1.25)
    write_geom(tmp_path / "next.geom", made, start)
    assert "photon_energy = /LCLS/photon_energy_eV\n" in (tmp_path / "next.geom").read_text()
    assert_panels(tmp_path / "next.geom", made, wavelength_A=1.25)


@pytest.mark.parametrize("in_data", [False, True])
def test_start_in_a_stream(tmp_path: Path, in_data: bool) -> None:
    """The geometry file of the stream; its crystal's shift is in the corners afterwards."""
    geometry = GEOM.replace("clen = 0.080", "clen = /LCLS/encoder") if in_data else GEOM
    start = tmp_path / "a.stream"
    start.write_text(
        stream(chunk(Lattice(shift=(0.5, -0.25))), geometry=geometry.replace("a test", "für")), encoding="utf-8"
    )
    begun, made = refined(start), refined(start, moved)
    write_geom(tmp_path / "next.geom", made, start, begun)
    text = (tmp_path / "next.geom").read_text(encoding="utf-8")
    assert text.startswith("; made for für\n") and "Begin" not in text
    (tmp_path / "next.geom").write_text(text.replace("/LCLS/encoder", "0.080"), encoding="utf-8")
    assert_panels(tmp_path / "next.geom", made)


def test_packed_start(tmp_path: Path) -> None:
    (tmp_path / "start.geom.gz").write_bytes(gzip.compress(GEOM.encode()))
    write_geom(tmp_path / "next.geom", refined(tmp_path / "start.geom.gz"), tmp_path / "start.geom.gz")
    assert (tmp_path / "next.geom").read_text() == GEOM


def test_one_panel_that_flags_moved(tmp_path: Path) -> None:
    """It is no list of panels any more."""
    start = tmp_path / "start.geom"
    start.write_text(BARE)
    parts = to_config(read_geometry(start))
    (panel,) = parts["detector"].panels
    axes = {"fdet_vector": panel.fast_axis, "sdet_vector": panel.slow_axis, "odet_vector": (0.0, 0.0, 1.0)}
    size = {"fpixels": 100, "spixels": 80, "pixel_mm": 0.1, "Xbeam_mm": 4.0, "Ybeam_mm": 5.0, "distance_mm": 99.0}
    parts["detector"] = replace(parts["detector"], panels=(), **axes, **size)
    made = resolve(Simulation(crystal=Crystal(cell=(30,)), structure_factors=StructureFactors(default_F=1), **parts))
    write_geom(tmp_path / "next.geom", made, start)
    assert_panels(tmp_path / "next.geom", made)


def test_panels_by_their_names(tmp_path: Path) -> None:
    start = tmp_path / "start.geom"
    start.write_text(GEOM)
    made = refined(start, moved)
    turned = replace(made.simulation.detector, panels=made.simulation.detector.panels[::-1])
    write_geom(tmp_path / "next.geom", resolve(replace(made.simulation, detector=turned)), start)
    assert_panels(tmp_path / "next.geom", made)
    (tmp_path / "other.geom").write_text(GEOM.replace("a1/", "b7/"))
    with pytest.raises(ConfigError, match=r"other\.geom has other panels than the experiment: a1, b7"):
        write_geom(tmp_path / "next.geom", made, tmp_path / "other.geom")


def test_start_of_another_program(tmp_path: Path) -> None:
    made = refined(write(tmp_path / "a.expt", a_list()))
    with pytest.raises(FileError, match=r"a\.expt is no geometry file of CrystFEL"):
        write_geom(tmp_path / "next.geom", made, tmp_path / "a.expt")


@pytest.mark.parametrize("tilt", [(0.0, 0.0, 1.0), (0.01, -0.02, 1.0), (0.1, 0.05, 1.0)])
def test_a_beam_that_was_refined_is_put_on_z(tmp_path: Path, tilt: tuple[float, float, float]) -> None:
    """By the smallest rotation: all angles between beam, panels and crystal stay."""
    (tmp_path / "start.geom").write_text(GEOM)
    made = refined(tmp_path / "start.geom", moved)
    made = resolve(replace(made.simulation, detector=replace(made.simulation.detector, beam_vector=tilt)))
    turn = to_crystfel(made)
    beam = np.array(tilt) / np.linalg.norm(tilt)
    np.testing.assert_allclose(turn @ beam, [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.trace(turn) == pytest.approx(1 + 2 * beam[2])  # of a rotation by the angle between them
    write_geom(tmp_path / "next.geom", made, tmp_path / "start.geom")
    for panel, said in zip(refined(tmp_path / "next.geom").detector.panels, made.detector.panels, strict=True):
        np.testing.assert_allclose(panel.pix0, turn @ said.pix0, atol=1e-8)
    np.testing.assert_allclose(crystfel_reciprocal(made), turn @ np.linalg.inv(made.crystal.direct), atol=1e-15)


@pytest.mark.parametrize("name", ["MOSFLM", "XDS", "DIALS", "tilted"])
def test_other_conventions(name: str) -> None:
    made = experiment(name)
    turn = to_crystfel(made)
    np.testing.assert_allclose(turn @ made.detector.frame.beam, [0, 0, 1], atol=1e-12)
    if made.detector.frame.beam[2] < 0.9:
        np.testing.assert_array_equal(turn, MCSTAS @ to_imgcif(made))
    else:
        np.testing.assert_array_equal(turn, np.eye(3))


def test_crystal_in_the_middle_of_the_exposure() -> None:
    """That of the image, which is made of a, b, c: for an oblique cell the released physics has other a*, b*, c*."""
    detector = experiment("panels").simulation.detector
    crystal = Crystal(cell=(30, 40, 50, 80, 90, 100), misset_deg=(1, 2, 3))
    parts: dict[str, Any] = {
        "detector": detector,
        "crystal": crystal,
        "structure_factors": StructureFactors(default_F=1),
    }
    made = resolve(Simulation(beam=Beam(wavelength_A=1.0), scan=Scan(phi_deg=20, osc_deg=2), **parts))
    wanted = rotation((1, 0, 0), 21) @ np.linalg.inv(made.crystal.direct)
    np.testing.assert_allclose(crystfel_reciprocal(made), wanted, atol=1e-15)
    assert abs(made.crystal.reciprocal[0] @ made.crystal.direct[0] - 1) > 1e-5
