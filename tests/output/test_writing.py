"""All files of a run appear together, or none does; what is said about them; what they share is made once."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabio
import numpy as np
import pytest

from nbnumba.errors import FileError
from nbnumba.model.config import Detector, StructureFactors
from nbnumba.model.outputs import FILES, NOWHERE, Outputs
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.output.sinks.table import BY_FIELD, SINKS
from nbnumba.output.writing import write_outputs
from nbnumba.readout import exposure as exposure_module
from nbnumba.readout.exposure import Exposure
from nbnumba.render.simulate import Result
from tests.output.inputs import DUMP, NAMES, everything, panels, result

WRITTEN = [DUMP, *(NAMES[str(sink.field)] for sink in SINKS if sink.field)]


@pytest.fixture
def made(tmp_path: Path) -> Result:
    return result(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- all or none ---------------------------------------------------------------------------------------------------


def test_files_are_listed_in_the_order_of_the_table(made: Result, tmp_path: Path) -> None:
    written = write_outputs(made, everything(tmp_path))
    assert [path.name for path in written.files] == WRITTEN
    assert set(contents(tmp_path)) == {*WRITTEN, "some.hkl"} and not written.notes


@pytest.mark.parametrize("sink", SINKS, ids=lambda sink: type(sink).__name__)
def test_one_that_fails_leaves_everything_as_it_was(
    sink: Sink, made: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in WRITTEN[::2]:
        (tmp_path / name).write_bytes(b"earlier")
    before = contents(tmp_path)
    write = type(sink).write

    def fail(self: Sink, path: Path, exposure: Exposure) -> Report:
        write(self, path, exposure)
        raise FileError(f"cannot write {path}: no space left on the device")

    monkeypatch.setattr(type(sink), "write", fail)
    with pytest.raises(FileError, match="no space left"):
        write_outputs(made, everything(tmp_path))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("field", BY_FIELD)
def test_a_folder_in_the_way_of_one_stops_all(field: str, made: Result, tmp_path: Path) -> None:
    (tmp_path / NAMES[field]).mkdir()
    with pytest.raises(FileError, match=f"cannot write .*{NAMES[field]}: it is a folder"):
        write_outputs(made, everything(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"some.hkl", NAMES[field]}


def test_a_folder_in_the_way_of_the_dump_stops_nothing(made: Result, tmp_path: Path) -> None:
    (tmp_path / DUMP).mkdir()
    written = write_outputs(made, everything(tmp_path))
    assert [path.name for path in written.files] == WRITTEN[1:]
    assert written.notes == (f"no dump of the structure factors: cannot write {tmp_path / DUMP}: it is a folder",)


def test_files_that_go_nowhere(made: Result, tmp_path: Path) -> None:
    names: dict[str, Any] = {**dict.fromkeys(FILES), "floatfile": NOWHERE, "intfile": NOWHERE, "noisefile": NOWHERE}
    written = write_outputs(made, Outputs(**names, seed=1))
    assert written.files == (tmp_path / DUMP, NOWHERE, NOWHERE, NOWHERE)
    assert written.noise is not None and written.noise_seed == 1 and written.pgm_scale is None


# --- what is said --------------------------------------------------------------------------------------------------


def test_files_of_the_first_panel_are_named_in_one_note(tmp_path: Path) -> None:
    made = result(tmp_path, detector=panels(3))
    first = ", ".join(
        str(tmp_path / NAMES[field]) for field in ("floatfile", "intfile", "noisefile", "pgmfile", "preview", "cbf")
    )
    held, header = write_outputs(made, everything(tmp_path)).notes
    assert held == f"{first} hold the first of 3 panels: --nexus FILE or --npy FILE hold them all"
    assert header.startswith(f"the header of {tmp_path / NAMES['cbf']} cannot describe detector")
    nowhere = everything(tmp_path, floatfile=NOWHERE, intfile=NOWHERE, noisefile=NOWHERE, pgmfile=None, cbf=None)
    (note,) = write_outputs(made, nowhere).notes
    assert note.startswith(f"{tmp_path / NAMES['preview']} hold the first of 3 panels")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({}, ["c.cbf"]),
        ({"smv": "adsc"}, ["c.cbf", "n.img"]),
        ({"smv": "adsc", "noisefile": None}, ["c.cbf", "i.img"]),
        ({"smv": "adsc", "noisefile": NOWHERE}, ["c.cbf"]),
        ({"smv": "adsc", "cbf": None}, ["n.img"]),
        ({"cbf": None}, []),
    ],
)
def test_files_with_plain_headers_are_named(
    more: dict[str, Any], named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    detector = Detector(convention="DIALS", fpixels=40, spixels=30, pixel_mm=0.2, distance_mm=50)
    made = result(tmp_path, detector=detector, structure_factors=StructureFactors(default_F=50))
    names: dict[str, Any] = {"intfile": Path("i.img"), "noisefile": Path("n.img"), "cbf": Path("c.cbf")}
    notes = write_outputs(made, Outputs(**{**names, **more})).notes
    assert len(notes) == (2 if named else 0)
    if named:
        assert notes[0].startswith(f"the header of {' and '.join(named)} cannot describe detector, spindle and pol")
        assert notes[1] == f"DIALS needs a number in the names of images: rename {named[0]}, for example to image_0001"


# --- what is shared ------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """How often everything that an exposure computes is computed."""
    made: collections.Counter[str] = collections.Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            made[name] += 1
            return function(*arguments, **more)

        return call

    for name in (
        *("integer_image", "pgm_image", "noisy_frames", "noisy_counts"),
        *("expected_frames", "expected_counts", "pixel_masks", "image_geometry"),
    ):
        monkeypatch.setattr(exposure_module, name, counted(name, getattr(exposure_module, name)))
    return made


def only(folder: Path, *fields: str) -> Outputs:
    """Outputs that want these files; those that every run writes go nowhere."""
    rest: dict[str, Any] = dict.fromkeys(name for name in FILES if name not in fields)
    rest |= {name: NOWHERE for name in ("floatfile", "intfile") if name not in fields}
    return everything(folder, smv="adsc", **rest)


@pytest.mark.parametrize(
    ("fields", "computed"),
    [
        ((), "integer_image"),
        (("pgmfile",), "integer_image pgm_image"),
        (("noisefile",), "integer_image noisy_frames image_geometry"),
        (("preview", "truth"), "integer_image image_geometry"),
        (("npy",), "integer_image expected_frames expected_counts pixel_masks"),
        (("npy", "cbf", "nexus"), "integer_image expected_frames expected_counts pixel_masks image_geometry"),
        (("noisefile", "npy"), "integer_image noisy_frames noisy_counts pixel_masks image_geometry"),
        (tuple(NAMES), "integer_image pgm_image noisy_frames noisy_counts pixel_masks image_geometry"),
    ],
)
def test_everything_is_computed_once_and_only_if_wanted(
    fields: tuple[str, ...], computed: str, made: Result, tmp_path: Path, calls: collections.Counter[str]
) -> None:
    write_outputs(made, only(tmp_path, *fields))
    assert calls == dict.fromkeys(computed.split(), 1)


def test_nothing_is_computed_before_it_is_asked_for(made: Result, calls: collections.Counter[str]) -> None:
    exposure = Exposure(made, Outputs(dead_percent=10.0, seed=5))
    assert not calls
    frames = exposure.frames
    assert calls == {"noisy_frames": 1, "pixel_masks": 1} and exposure.frames is frames
    assert exposure.noisy_photons is exposure.noisy_photons and exposure.counts is exposure.counts
    assert calls == {"noisy_frames": 1, "pixel_masks": 1, "noisy_counts": 1}


def test_noise_of_the_time_is_the_same_in_all_files(
    made: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100, 200))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    written = write_outputs(made, everything(tmp_path, seed=None, truth=None, preview=None))
    assert written.noise_seed == 100
    noise = fabio.open(str(tmp_path / NAMES["noisefile"])).data
    assert np.array_equal(np.load(tmp_path / NAMES["npy"]), noise.astype(int) - 40)
