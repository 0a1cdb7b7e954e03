"""Each format of output on its own, read back by another program; and that the table of them is complete."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_args

import fabio
import gemmi
import h5py
import hdf5plugin  # noqa: F401  (h5py needs it to read what is compressed)
import numpy as np
import pytest
from PIL import Image

from nbnumba.cli.flag_table import FLAGS
from nbnumba.errors import FileError
from nbnumba.io.hdf5 import new_hdf5
from nbnumba.model.config import StructureFactors
from nbnumba.model.field_types import hints_of
from nbnumba.model.outputs import FILES, IMAGES, NOWHERE, FileUse, Outputs
from nbnumba.output import sinks
from nbnumba.output.sinks.dump import StructureFactorDump
from nbnumba.output.sinks.sink import Report, Sink
from nbnumba.output.sinks.table import BY_FIELD, SINKS
from nbnumba.output.writing import Written
from nbnumba.readout.exposure import Exposure
from tests.output.inputs import DUMP, NAMES, everything, panels, result


@pytest.fixture(scope="module")
def exposure(tmp_path_factory: pytest.TempPathFactory) -> Exposure:
    folder = tmp_path_factory.mktemp("made")
    return Exposure(result(folder), everything(folder, gain=2.0))


def write(field: str, exposure: Exposure, path: Path) -> Report:
    """Write one file, and nothing else."""
    report = BY_FIELD[field].write(path, exposure)
    assert report.files == (path,) and not report.notes and list(path.parent.iterdir()) == [path]
    return report


# --- each on its own -----------------------------------------------------------------------------------------------


def test_float_image(exposure: Exposure, tmp_path: Path) -> None:
    assert not write("floatfile", exposure, tmp_path / "a").facts
    assert np.array_equal(np.fromfile(tmp_path / "a", "<f4").reshape(30, 40), exposure.result.image)


def test_integer_image(exposure: Exposure, tmp_path: Path) -> None:
    scale = write("intfile", exposure, tmp_path / "a.img").facts["intfile_scale"]
    found = fabio.open(str(tmp_path / "a.img"))
    assert found.data.max() == 55040
    assert np.array_equal(found.data, np.floor(exposure.result.image.astype(float) * scale + 40.5))
    assert found.header["BEAMLINE"] == "fake"


def test_grey_image(exposure: Exposure, tmp_path: Path) -> None:
    scale = write("pgmfile", exposure, tmp_path / "a.pgm").facts["pgm_scale"]
    found = np.asarray(Image.open(tmp_path / "a.pgm"))
    assert np.array_equal(found, np.clip(exposure.result.image * scale, 0, 255).astype(np.uint8)) and found.max() > 200


def test_noise_image(exposure: Exposure, tmp_path: Path) -> None:
    facts = write("noisefile", exposure, tmp_path / "a.img").facts
    found = fabio.open(str(tmp_path / "a.img")).data
    assert facts["noise_seed"] == 3 and facts["noise_overloads"] == np.count_nonzero(found == 65535)
    assert np.array_equal(facts["noise"], (found - np.float32(40)) / np.float32(2))
    bright = facts["noise"][exposure.result.image > 50]
    assert bright.mean() == pytest.approx(exposure.result.image[exposure.result.image > 50].mean(), rel=0.1)


def test_cbf(exposure: Exposure, tmp_path: Path) -> None:
    write("cbf", exposure, tmp_path / "a_1.cbf")
    found = fabio.open(str(tmp_path / "a_1.cbf"))
    assert np.array_equal(found.data, exposure.frames[0].counts - 40)
    document = gemmi.cif.read_string((tmp_path / "a_1.cbf").read_bytes().split(b"_array_data.data")[0].decode())
    block = document.sole_block()
    assert block.name == "a_1" and block.find_value("_array_data.header_convention") == '"GENERIC_MINI"'
    assert "# Gain 2\r" in block.find_value("_array_data.header_contents")


def test_nexus(exposure: Exposure, tmp_path: Path) -> None:
    write("nexus", exposure, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["entry/data/data"][0], exposure.frames[0].counts - 40)
        detector = file["entry/instrument/detector"]
        assert detector["saturation_value"][()] == 65535 - 40 and "pixel_mask" not in detector


def test_numpy(exposure: Exposure, tmp_path: Path) -> None:
    write("npy", exposure, tmp_path / "a.npy")
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.int32 and np.array_equal(found, exposure.frames[0].counts - 40)


def test_truth(exposure: Exposure, tmp_path: Path) -> None:
    write("truth", exposure, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        panel = file["panel_0"]
        assert np.array_equal(panel["bragg"][()] + panel["background"][()], exposure.result.image)
        assert panel["hkl"].shape == (30, 40, 3) and len(panel["spots"]) > 3


def test_picture(exposure: Exposure, tmp_path: Path) -> None:
    write("preview", exposure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as found:
        assert found.format == "PNG" and found.info["Title"] == "5 x 5 x 5 cells, 1 Å" and min(found.size) > 400


def test_a_picture_without_noise_is_another(tmp_path: Path) -> None:
    made = result(tmp_path)
    for name, more in (("a", {}), ("b", {"noisefile": None})):
        BY_FIELD["preview"].write(tmp_path / f"{name}.png", Exposure(made, everything(tmp_path, **more)))
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_dump(exposure: Exposure, tmp_path: Path) -> None:
    """In the layout of the reference: a plane more along each axis than there are indices, all zero."""
    report = StructureFactorDump().write(tmp_path / "F.bin", exposure)
    assert report == Report((tmp_path / "F.bin",))
    head, _, data = (tmp_path / "F.bin").read_bytes().partition(b"\n\f")
    h_min, h_max, k_min, k_max, l_min, l_max = map(int, head.split())
    found = np.frombuffer(data, "<f8").reshape(h_max - h_min + 2, k_max - k_min + 2, l_max - l_min + 2)
    for h, k, l, F in ((0, 0, 1, 30.5), (0, 2, -1, 12), (3, 0, 1, 8.25), (1, 1, 1, 50)):
        assert found[h - h_min, k - k_min, l - l_min] == F
    assert not found[-1].any() and not found[:, -1].any() and not found[:, :, -1].any()


def test_a_dump_that_fails_is_a_note(exposure: Exposure, tmp_path: Path) -> None:
    report = StructureFactorDump().write(tmp_path, exposure)
    assert report.files == () and report.notes == (
        f"no dump of the structure factors: cannot write {tmp_path}: it is a folder",
    )


@pytest.mark.parametrize("config", [{"write_dump": False}, {"hkl": None}])
def test_no_dump_without_a_file_or_against_the_wish(config: dict[str, Any], tmp_path: Path) -> None:
    factors: dict[str, Any] = {"hkl": tmp_path / "some.hkl", "dump": tmp_path / DUMP, "default_F": 50.0}
    made = result(tmp_path, structure_factors=StructureFactors(**{**factors, **config}))
    assert StructureFactorDump().target(Exposure(made, Outputs())) is None


def test_panels(tmp_path: Path) -> None:
    """Files of one panel hold the first, files of all panels each of them."""
    made = result(tmp_path, detector=panels())
    exposure = Exposure(made, everything(tmp_path))
    for sink in BY_FIELD.values():
        sink.write(tmp_path / NAMES[str(sink.field)], exposure)
    both = np.array([frame.counts - 40 for frame in exposure.frames])
    assert np.array_equal(np.load(tmp_path / NAMES["npy"]), both)
    assert np.array_equal(fabio.open(str(tmp_path / NAMES["cbf"])).data, both[0])
    with h5py.File(tmp_path / NAMES["nexus"]) as file:
        assert np.array_equal(file["entry/data/data"][0], both.reshape(40, 20))
    with h5py.File(tmp_path / NAMES["truth"]) as file:
        assert list(file) == ["panel_0", "panel_1"]


@pytest.mark.parametrize("field", BY_FIELD)
def test_a_folder_in_the_way_is_told(field: str, exposure: Exposure, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="it is a folder"):
        BY_FIELD[field].write(tmp_path, exposure)


# --- the table -----------------------------------------------------------------------------------------------------


def path_fields(outputs: type) -> set[str]:
    """Fields that name a file, by their types."""
    return {name for name, hint in hints_of(outputs).items() if Path in (hint, *get_args(hint))}


def without_a_sink(outputs: type) -> set[str]:
    """Files that nobody writes."""
    return (
        path_fields(outputs) - {sink.field for sink in SINKS} - {name for name, use in FILES.items() if use.by_command}
    )


def test_every_file_has_one_sink() -> None:
    named = [sink.field for sink in SINKS if sink.field is not None]
    assert len(named) == len(set(named)) == len(BY_FIELD) and not without_a_sink(Outputs)
    assert set(named) == {name for name, use in FILES.items() if not use.by_command}


def test_a_file_without_a_sink_is_found() -> None:
    @dataclass(frozen=True, kw_only=True)
    class More(Outputs):
        tiff: Annotated[Path | None, FileUse(image=7)] = None

    assert without_a_sink(More) == {"tiff"}


def test_every_file_has_its_use() -> None:
    assert path_fields(Outputs) == set(FILES) and [name for name in vars(Outputs()) if name in FILES] == list(FILES)
    ranks = [use.image for use in FILES.values() if use.image is not None]
    assert len(ranks) == len(set(ranks)) == len(IMAGES)
    assert {name for name, use in FILES.items() if use.names_images} <= set(IMAGES)
    wanted = Outputs(floatfile=NOWHERE, cbf=Path("a"), pgmfile=None, json=Path("b")).files
    assert list(wanted) == ["intfile", "noisefile", "json", "cbf"]


def test_every_file_has_a_flag() -> None:
    assert {f"outputs.{name}" for name in FILES} <= {dest for flag in FLAGS for dest in flag.dest}


def test_every_sink_is_in_the_table() -> None:
    for entry in pkgutil.iter_modules(sinks.__path__):
        importlib.import_module(f"{sinks.__name__}.{entry.name}")
    here = {kind for kind in Sink.__subclasses__() if kind.__module__.startswith(f"{sinks.__name__}.")}
    assert here == {type(sink) for sink in SINKS} and len(SINKS) == len(here)
    assert all(inspect.getdoc(kind) and not inspect.isabstract(kind) for kind in here)


def test_images_are_of_one_panel_or_of_all() -> None:
    for sink in SINKS:
        of_one, of_all = sink.first_panel is not None, sink.every_panel_flag is not None
        assert of_one + of_all == (sink.field in IMAGES or sink.field == "preview")
    places = [sink.first_panel for sink in SINKS if sink.first_panel is not None]
    assert sorted(places) == list(range(1, len(places) + 1))


@pytest.mark.parametrize("sink", SINKS, ids=lambda sink: type(sink).__name__)
def test_who_joins_files(sink: Sink, exposure: Exposure, tmp_path: Path) -> None:
    joins = sink.field is not None and FILES[sink.field].joined
    assert joins == (type(sink).join is not Sink.join)
    if not joins:
        with pytest.raises(NotImplementedError, match=type(sink).__name__):
            sink.join(tmp_path / "all", [], exposure.geometry)


def test_facts_are_those_of_the_record(exposure: Exposure, tmp_path: Path) -> None:
    told = [key for sink in SINKS for key in sink.write(tmp_path / type(sink).__name__, exposure).facts]
    assert len(told) == len(set(told))
    assert set(told) | {"files", "notes"} == {entry.name for entry in fields(Written)}


# --- HDF5 ----------------------------------------------------------------------------------------------------------


def test_an_hdf5_file_is_whole_or_not_there(tmp_path: Path) -> None:
    with new_hdf5(tmp_path / "a.h5") as file:
        file["z"], file["a"] = 1, 2
        assert list(tmp_path.iterdir()) == []
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file) == ["z", "a"]
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(RuntimeError), new_hdf5(tmp_path / "a.h5") as file:
        file["z"] = 3
        raise RuntimeError
    assert (tmp_path / "a.h5").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
