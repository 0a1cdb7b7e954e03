"""CrystFEL's streams as geometries, and their chunks."""

from __future__ import annotations

import bz2
import gzip
import re

import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.io.stream import read_chunk, read_stream
from nbnumba.model.experiment import resolve
from nbnumba.model.geometry_files import geometry_kind, read_geometry, to_config
from nbnumba.render.simulate import simulate
from tests.geometry_inputs import from_flags, write_geom
from tests.io.stream_inputs import ENERGY, GEOMETRY, Lattice, a_cell, chunk, predicted, stream

#: hc (Å eV) of nbnumba.
HC = 12398.42
IN_DATA = GEOMETRY.replace("9500 eV", "/LCLS/photon_energy_eV").replace("clen = 0.080", "clen = /LCLS/encoder")


def put(tmp_path, text: str | bytes, name: str = "a.stream"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def places(found) -> list[tuple[float, ...]]:
    return [panel.pix0_mm for panel in found.panels]


def test_geometry_is_that_of_its_geometry_file(tmp_path):
    path = put(tmp_path, stream(chunk(Lattice())))
    assert geometry_kind(path) == "stream"
    found, plain = read_geometry(path), read_geometry(write_geom(tmp_path / "a.geom"))
    assert found.panels == plain.panels and found.beam == plain.beam and found.polar == plain.polar
    assert found.wavelength_A == plain.wavelength_A == pytest.approx(HC / ENERGY)
    # a* in 1/nm, seven digits
    np.testing.assert_allclose(found.reciprocal.T, a_cell() / 10, atol=5e-9)
    assert found.phi_deg is None and found.images is None and found.format == "stream"
    named = "profile_radius 0.00258 nm^-1 and 1 bad region"
    assert found.notes == (f"CrystFEL stream {path} also has {named}, not used",)


SHIFTS = [(0.022, -0.009), (-1.5, 0.0), (0.0, 0.25), (3.125, 2.5)]


@pytest.mark.parametrize("shift", SHIFTS)
def test_shift_moves_the_detector_as_crystfel_does(tmp_path, shift):
    """cnx + shift / pitch is the corner that predictions are made with: what is at a pixel must not depend on the way."""
    path = put(tmp_path, stream(chunk(Lattice(shift=shift), Lattice(shift=None))))
    moved, plain = read_geometry(path, experiment=0), read_geometry(path, experiment=1)
    for place, old in zip(places(moved), places(plain), strict=True):
        np.testing.assert_allclose(np.subtract(place, old), (*shift, 0), atol=1e-12)
    stars, wavelength = moved.reciprocal.T * 10, moved.wavelength_A / 10
    corner, fs, ss = (
        np.array([-34.5, 2.25, 80.5 / 0.2]),
        np.array([0.999995, 0.003162, 0]),
        np.array([-0.003162, 0.999995, 0]),
    )
    shifted = corner + np.array([shift[0] / 0.2, shift[1] / 0.2, 0])
    panel = moved.panels[0]
    for hkl in ((1, 2, 3), (-2, 1, 4), (0, 3, -1)):
        f, s = predicted(stars, hkl, shifted, fs, ss, wavelength)
        place = np.array(panel.pix0_mm) + 0.2 * (f * fs + s * ss)
        ray = hkl @ stars + np.array([0, 0, 1 / wavelength])
        np.testing.assert_allclose(place / np.linalg.norm(place), ray / np.linalg.norm(ray), atol=1e-12)


def test_spots_are_where_crystfel_predicts_them(tmp_path):
    """A reflection on the Ewald sphere is the brightest pixel around the place of CrystFEL's own formula."""
    geometry = (
        "photon_energy = 9500 eV\nclen = 0.060\nres = 5000\np/min_fs = 0\np/max_fs = 399\np/min_ss = 0\np/max_ss = 399\n"
        "p/corner_x = -203\np/corner_y = -190\np/fs = x\np/ss = y\n"
    )
    shift = (1.2, -0.8)
    text = stream(chunk(Lattice(shift=shift), energy=9500), geometry=geometry)
    words = "-N 10 -gauss_xtal -default_F 100 -oversample 2 -nonoise --physics correct"
    simulation = from_flags(f"--geometry {put(tmp_path, text)} {words}")
    image = simulate(simulation).image
    stars, wavelength = a_cell(), HC / 9500 / 10
    stars = np.round(stars, 7)
    h = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), -1).reshape(-1, 3)
    h = h[h.any(axis=1)]
    off = np.linalg.norm(h @ stars + [0, 0, 1 / wavelength], axis=1) - 1 / wavelength
    found = 0
    for hkl in h[np.abs(off) < 2e-3]:
        corner = np.array([-203 + shift[0] / 0.2, -190 + shift[1] / 0.2, 300])
        f, s = predicted(stars, hkl, corner, np.array([1, 0, 0]), np.array([0, 1, 0]), wavelength)
        if 5 < f < 395 and 5 < s < 395:
            box = image[int(s) - 4 : int(s) + 5, int(f) - 4 : int(f) + 5]
            row, column = np.unravel_index(box.argmax(), box.shape)
            assert max(abs(row - 4), abs(column - 4)) <= 1, hkl
            found += 1
    assert found >= 5


HEADERS = {
    "now": ["header/float//LCLS/encoder = 80.000000", "header/float//LCLS/photon_energy_eV = 9511.868397"],
    "before 2020": ["hdf5/LCLS/encoder = 80.000000", "hdf5/LCLS/photon_energy_eV = 9511.868397"],
    "as a whole number": ["header/int//LCLS/encoder = 80", "header/str//LCLS/name = a = b"],
    "none": [],
    "other ones": ["header/float//LCLS/other = nan", "header/float//LCLS/more = -1e30"],
}


@pytest.mark.parametrize("name", HEADERS)
def test_numbers_of_the_data_are_those_of_the_chunk(tmp_path, name):
    text = stream(chunk(Lattice(), energy=9511.868397, headers=HEADERS[name]), geometry=IN_DATA)
    found = read_geometry(put(tmp_path, text))
    assert found.wavelength_A == pytest.approx(HC / 9511.868397, rel=1e-12)
    assert [place[2] for place in places(found)] == pytest.approx([80.5, 79.0], abs=1e-9)


def test_distance_of_many_panels_with_one_clen_in_the_data(tmp_path):
    """The camera length is the mean over all panels, of those with a distance of their own, too."""
    own = IN_DATA + "a0/clen = 0.09\n"
    text = stream(chunk(Lattice(), camera=(0.0905 + 0.07 - 0.001) / 2), geometry=own)
    assert [place[2] for place in places(read_geometry(put(tmp_path, text)))] == pytest.approx([90.5, 69.0], abs=1e-6)


@pytest.mark.parametrize(
    ("geometry", "camera", "headers"),
    [
        (IN_DATA, None, ["header/float//LCLS/other = 80.0"]),
        (IN_DATA + "a1/clen = /LCLS/second\n", 0.08, []),
        (IN_DATA, None, ["header/float//LCLS/encoder = nan"]),
    ],
)
def test_distance_that_is_not_known_can_be_given(tmp_path, geometry, camera, headers):
    path = put(tmp_path, stream(chunk(Lattice(), camera=camera, headers=headers), geometry=geometry))
    with pytest.raises(FileError, match=r"line \d+ of the CrystFEL stream .*clen is kept in the data file \(/LCLS/"):
        read_geometry(path)
    assert [place[2] for place in places(read_geometry(path, distance_mm=60))] == pytest.approx([61.5, 60.0])


def test_units_of_headers(tmp_path):
    for text, number in (("/LCLS/encoder m", "0.08"), ("/LCLS/encoder mm", "80.0")):
        geometry = (
            GEOMETRY.replace("clen = 0.080", f"clen = {text}")
            + "detector_shift_x = /LCLS/x mm\ndetector_shift_y = -0.5 mm\n"
        )
        headers = [f"header/float//LCLS/encoder = {number}", "header/float//LCLS/x = 2.0"]
        found = read_geometry(put(tmp_path, stream(chunk(headers=headers, camera=None), geometry=geometry)))
        x, y, z = places(found)[0]
        assert (x, y, z) == pytest.approx((-34.5 * 0.2 + 2, 2.25 * 0.2 - 0.5, 80.5))


def test_wavelength_of_the_image_holds(tmp_path):
    """Where geometry file and image differ, and where the geometry file says nothing."""
    path = put(tmp_path, stream(chunk(Lattice(), energy=9000)))
    found = read_geometry(path)
    assert found.wavelength_A == pytest.approx(HC / 9000)
    assert (
        found.notes[0]
        == f"the CrystFEL stream {path} says photon_energy = 9500 eV, but the image has 1.3776 Å, which is taken"
    )
    path = put(
        tmp_path, stream(chunk(Lattice(), energy=9000), geometry=GEOMETRY.replace("photon_energy = 9500 eV\n", ""))
    )
    assert read_geometry(path).wavelength_A == pytest.approx(HC / 9000)
    assert read_geometry(path, wavelength_A=1.5).wavelength_A == 1.5


@pytest.fixture
def four(tmp_path):
    """Four chunks with 1, 0, 2 and 1 crystals, turned by 0, 1, 2, 3 degrees, and one that was not completed."""
    lattices = [Lattice(a_cell(turn), rows=[(turn, 0, 0, 1.0, 1.0, 1.0, 1.0, "a1")] * turn) for turn in range(4)]
    chunks = [
        chunk(lattices[0]),
        chunk(),
        chunk(*lattices[1:3], event="e3"),
        chunk(lattices[3], image="last.h5", event="//"),
    ]
    return put(tmp_path, stream(*chunks, chunk(Lattice(a_cell(9))).rsplit("\n", 5)[0]))


@pytest.mark.parametrize(
    ("choice", "turn", "note"),
    [
        ({}, 0, "has 4 crystals: number 0 is taken; --experiment N takes another one"),
        ({"experiment": 0}, 0, None),
        ({"experiment": 1}, 1, None),
        ({"experiment": 2}, 2, None),
        ({"experiment": 3}, 3, None),
        ({"image": 1}, 0, None),
        ({"image": 2}, None, None),
        ({"image": 3}, 1, "chunk 3 of the CrystFEL stream .* has 2 crystals: the first is number 1"),
        ({"image": 4}, 3, None),
        ({"image": 3, "experiment": 2}, 2, None),
    ],
)
def test_choice_of_a_crystal(four, choice, turn, note):
    found = read_geometry(four, **choice)
    if turn is None:
        assert found.reciprocal is None and found.panels
    else:
        np.testing.assert_allclose(found.reciprocal.T, a_cell(turn) / 10, atol=5e-9)
    assert len(found.notes) == (1 if note is None else 2)
    assert note is None or re.search(note, found.notes[0])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"experiment": 4}, r"has 4 crystals, 0 to 3: there is no number 4"),
        ({"experiment": -1}, r"there is no number -1"),
        ({"image": 5}, r"holds chunks 1 to 4: there is no image 5"),
        ({"image": 0}, r"there is no image 0"),
        ({"image": 4, "experiment": 2}, r"crystal 2 .* is in chunk 3, not in 4"),
    ],
)
def test_choice_of_none(four, choice, message):
    with pytest.raises(FileError, match=message):
        read_geometry(four, **choice)


@pytest.mark.parametrize(
    ("image", "index", "number", "place"),
    [(None, None, 1, 0), (None, 2, 3, 1), (3, None, 3, 0), (2, None, 2, None), (None, 3, 4, 0)],
)
def test_chunk_of_a_crystal(four, image, index, number, place):
    chunk, found = read_chunk(four, image, index)
    assert (chunk.number, found) == (number, place)
    wanted = read_geometry(four, image=image, experiment=index).reciprocal
    assert wanted is None if place is None else np.array_equal(chunk.crystals[place], wanted)


def test_flags_choose_too(four):
    experiment = resolve(from_flags(f"--geometry {four} --experiment 2 -default_F 1 -N 5"))
    np.testing.assert_allclose(experiment.crystal.reciprocal, np.round(a_cell(2), 7) / 10, rtol=1e-9)
    experiment = resolve(from_flags(f"--geometry {four} --geometry-image 4 -default_F 1 -N 5"))
    np.testing.assert_allclose(experiment.crystal.reciprocal, np.round(a_cell(3), 7) / 10, rtol=1e-9)


def test_all_chunks(four):
    chunks = read_stream(four)
    assert [one.number for one in chunks] == [1, 2, 3, 4]
    assert [len(one.crystals) for one in chunks] == [1, 0, 2, 1]
    assert [(one.image, one.event) for one in chunks[2:]] == [("data/run 1.h5", "e3"), ("last.h5", "//")]
    assert [table["h"].tolist() for one in chunks for table in one.reflections] == [[], [1], [2, 2], [3, 3, 3]]
    assert all(one.wavelength_A == pytest.approx(HC / ENERGY) for one in chunks)


LATTICES = {
    "aP": {"lattice_type": "triclinic", "centering": "P", "unique_axis": "*"},
    "mCb": {"lattice_type": "monoclinic", "centering": "C", "unique_axis": "b"},
    "oC": {"lattice_type": "orthorhombic", "centering": "C", "unique_axis": "?"},
    "tPc": {"lattice_type": "tetragonal", "centering": "P", "unique_axis": "c"},
    "hHc": {"lattice_type": "hexagonal", "centering": "H", "unique_axis": "c"},
    "rR": {"lattice_type": "rhombohedral", "centering": "R", "unique_axis": "*"},
    "cF": {"lattice_type": "cubic", "centering": "F", "unique_axis": "*"},
}


@pytest.mark.parametrize("lattice", LATTICES)
def test_reflections_and_lattices(tmp_path, lattice):
    rows = [
        (1, -2, 3, 150.25, 12.5, 634.8, 4.2, "q1a11"),
        (-10, 0, 7, -3.5, 9.0, 0.4, 1057.6, "b"),
        (0, 0, 4, 0, 1, 2, 3, "a0"),
    ]
    (one,) = read_stream(put(tmp_path, stream(chunk(Lattice(words=LATTICES[lattice], rows=rows, shift=(0.125, -1.0))))))
    (table,) = one.reflections
    assert table.dtype.names == ("h", "k", "l", "fs", "ss", "panel", "I", "sigma")
    assert [tuple(row) for row in table.tolist()] == [(h, k, l, f, s, p, i, e) for h, k, l, i, e, f, s, p in rows]
    assert one.lattices == (lattice,) and one.shifts_mm == ((0.125, -1.0),) and one.profile_radii == (0.00258,)


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2", "2.3"])
def test_older_formats(tmp_path, version):
    (one,) = read_stream(put(tmp_path, stream(chunk(Lattice(), version=version), version=version)))
    row = one.reflections[0][0]
    assert (row["h"], row["k"], row["l"], row["I"], row["sigma"]) == (1, -2, 3, 150.25, 12.5)
    assert (row["fs"], row["ss"]) == (7.1, 4.2) and row["panel"] == ("a0" if version > "2.1" else "")


FORMS = {
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "Latin-1": lambda text: text.replace("made for a test", "für Ångström").encode("latin-1"),
    "gzip": lambda text: gzip.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "no line end": lambda text: text.rstrip("\n").encode(),
    "notes of an indexer": lambda text: text.replace(
        "profile_radius", "some note = 1 of any kind\nprofile_radius"
    ).encode(),
    "no list of reflections": lambda text: (
        text[: text.index("Reflections measured")]
        + "No integrated reflections.\n"
        + text[text.index("--- End crystal") :]
    ).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_text(tmp_path, form):
    path = put(tmp_path, FORMS[form](stream(chunk(Lattice()))))
    found = read_geometry(path)
    np.testing.assert_allclose(found.reciprocal.T, a_cell() / 10, atol=5e-9)
    assert len(found.panels) == 2
    assert len(read_stream(path)[0].reflections[0]) == (0 if form.startswith("no list") else 1)


GOOD = stream(chunk(Lattice()))
#: What is damaged: the text, a part of the line that the message must name (none: no line), and the message.
DAMAGED = {
    "version": (
        GOOD.replace("format 2.3", "format 3.0"),
        None,
        "begins with b'CrystFEL stream format 3.0': its format must be",
    ),
    "no chunk": (stream(), None, "has no complete chunk"),
    "no geometry": (
        stream(chunk(Lattice()), geometry=None),
        None,
        "has no geometry file: give the .geom that it was made with",
    ),
    "no energy": (
        GOOD.replace("photon_energy_eV = 9500.000000\n", ""),
        "Begin chunk",
        "the chunk has no photon_energy_eV",
    ),
    "energy": (GOOD.replace("eV = 9500.000000", "eV = 0.0"), "Begin chunk", "the chunk has the photon energy 0 eV"),
    "energy is no number": (GOOD.replace("eV = 9500.000000", "eV = nan"), "eV = nan", "expected a number, got 'nan'"),
    "no bstar": (GOOD.replace("bstar", "bst"), "Begin crystal", "the crystal has no astar, bstar and cstar of three"),
    "two numbers": (
        GOOD.replace("bstar = ", "bstar = +0.1 nm "),
        "bstar = ",
        "expected a number, got 'nm'",
    ),
    "in a plane": (
        GOOD[: GOOD.index("astar")]
        + "astar = +0.1 +0.0 +0.0 nm^-1\nbstar = +0.0 +0.1 +0.0 nm^-1\ncstar = +0.1 +0.1 +0.0 nm^-1\n"
        + GOOD[GOOD.index("lattice_type") :],
        "Begin crystal",
        "the crystal: the three cell vectors span no volume: check astar, bstar and cstar",
    ),
    "reflection": (
        GOOD.replace("150.25", "abc"),
        "abc",
        "expected the 10 columns of a reflection, got '   1   -2    3",
    ),
    "columns": (GOOD.replace(" a0\nEnd of refl", "\nEnd of refl"), "150.25", "expected the 10 columns"),
    "titles": (
        GOOD.replace("fs/px  ss/px panel", "fs ss panel"),
        "fs ss panel",
        "the list of reflections has no column fs/px",
    ),
    "index": (GOOD.replace("   1   -2    3", "   1   -2    3000000"), "3000000", "expected the 10 columns"),
    "panel": (
        GOOD.replace(" a0\nEnd of refl", f" {'a' * 64}\nEnd of refl"),
        "a" * 64,
        "expected the 10 columns",
    ),
    "no end of the crystal": (
        GOOD.replace("--- End crystal\n", "--- Begin crystal\n"),
        "Begin chunk",
        "a list or a crystal in the chunk has no end",
    ),
    "no end of the peaks": (
        GOOD.replace("End of peak list\n", ""),
        "Begin chunk",
        "a list or a crystal in the chunk has no end",
    ),
    "shift": (GOOD.replace("x = 0.000", "x = a"), "x = a", "expected a number, got 'a'"),
    "geometry": (GOOD.replace("a0/corner_x = -34.5", ""), "a0/min_fs", "panel a0 has no corner_x"),
    "unit": (GOOD.replace("clen = 0.080", "clen = 0.080 ft"), "0.080 ft", "a0/clen must be a number in m, mm"),
    "binary": (GOOD.replace("indexed_by", "\0"), None, "is not a text file"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_with_its_line(tmp_path, name):
    text, part, message = DAMAGED[name]
    assert text != GOOD
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        read_geometry(put(tmp_path, text, "bad.stream"))
    said = str(caught.value)
    assert "CrystFEL stream" in said and "bad.stream" in said and len(said.splitlines()) == 1
    if part is not None:
        line = next(i for i, line in enumerate(text.split("\n"), 1) if part in line)
        assert said.startswith(f"line {line} of the CrystFEL stream")


def test_beam_that_is_not_used_is_named(tmp_path):
    text = stream(chunk(Lattice())).replace("0.00e+00 rad", "8.00e-04 rad").replace("1.00e-08 (fr", "1.30e-02 (fr")
    (note,) = read_geometry(put(tmp_path, text)).notes
    assert "beam_divergence 8.00e-04 rad, beam_bandwidth 1.30e-02 (fraction), profile_radius" in note


def test_a_stream_becomes_a_simulation(tmp_path):
    parts = to_config(read_geometry(put(tmp_path, stream(chunk(Lattice())))))
    assert set(parts) == {"beam", "detector", "scan", "crystal"}
    assert [panel.name for panel in parts["detector"].panels] == ["a0", "a1"]
