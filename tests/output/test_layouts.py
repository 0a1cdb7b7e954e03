"""Files of several panels have the layout of the geometry file, which reads them back."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from nbnumba.cli.main import main
from nbnumba.model.config import Panel
from nbnumba.model.data_layout import layout_of
from nbnumba.model.geometry_files import read_geometry
from tests.geometry_inputs import a_panel, an_experiment, group
from tests.output.geom_reader import read_good, read_panels, settings

HEAD = "clen = 0.05 m\nres = 5000\nphoton_energy = 12398.4 eV\nadu_per_photon = 1\nfs = x\nss = y\n"
FLAGS = "-cell 50 60 70 -misset 10 20 30 -default_F 300 -N 5 -fluence 1e27 -oversample 1 -seed 3 --threads 1 --device cpu -q"


def panel(name: str, at: int, *, fs: tuple[int, int] = (0, 23), ss: tuple[int, int] = (0, 19), **more: object) -> str:
    """Lines of a panel; ``at`` shifts it, so that every panel has other counts."""
    own = {
        "min_fs": fs[0],
        "max_fs": fs[1],
        "min_ss": ss[0],
        "max_ss": ss[1],
        "corner_x": 5 + at,
        "corner_y": -40 + 2 * at,
    }
    return "".join(f"{name}/{key} = {value}\n" for key, value in (own | more).items())


def stack(index: str, *numbers: int, **more: object) -> str:
    return "".join(panel(f"p{n}", 25 * k, **{index: n}, **more) for k, n in enumerate(numbers))  # type: ignore[arg-type]


IMAGES = "dim0 = %\n"
#: Geometries in CrystFEL's language, and the shape of the array of counts in NXmx.
GEOMS: dict[str, tuple[str, tuple[int, ...]]] = {
    "two arrays": (HEAD + IMAGES + "dim2 = ss\ndim3 = fs\n" + stack("dim1", 0, 1), (1, 40, 24)),
    "one is missing": (HEAD + IMAGES + "dim2 = ss\ndim3 = fs\n" + stack("dim1", 0, 3), (1, 40, 24)),
    "first is missing": (HEAD + IMAGES + "dim2 = ss\ndim3 = fs\n" + stack("dim1", 2), (1, 20, 24)),
    "modules of tiles": (
        HEAD
        + "data = /entry_1/data_1/data\ndim0 = %\ndim2 = ss\ndim3 = fs\n"
        + "".join(
            panel(f"p{m}a{a}", 30 * m + 8 * a, ss=(8 * a, 8 * a + 7), dim1=m) for m in range(3) for a in range(4)
        ),
        (1, 96, 24),
    ),
    "different sizes": (
        HEAD
        + IMAGES
        + "dim2 = ss\ndim3 = fs\n"
        + panel("a", 0, fs=(0, 9), dim1=0)
        + panel("b", 30, fs=(2, 30), ss=(1, 7), dim1=1),
        (1, 28, 31),
    ),
    "no axis of images": (HEAD + "dim0 = 1\ndim1 = ss\ndim2 = fs\n" + stack("dim0", 1, 0), (1, 40, 24)),
    "index between": (HEAD + "dim0 = ss\ndim2 = fs\ndim3 = %\n" + stack("dim1", 0, 1), (1, 40, 24)),
    "index first": (HEAD + "data = /d\ndim1 = %\ndim2 = ss\ndim3 = fs\n" + stack("dim0", 0, 1), (1, 40, 24)),
    "two indices": (
        HEAD + IMAGES + "dim3 = ss\ndim4 = fs\n" + panel("a", 0, dim1=0, dim2=1) + panel("b", 25, dim1=1, dim2=0),
        (1, 40, 24),
    ),
    "several data sets": (
        HEAD
        + "dim0 = %\ndim1 = ss\ndim2 = fs\n"
        + panel("a", 0, data="/INSTRUMENT/0CH/image/data")
        + panel("b", 25, data="/INSTRUMENT/1CH/image/data", fs=(4, 20)),
        (1, 40, 24),
    ),
    "name of the image": (HEAD + "data = /%/data\n" + panel("a", 0) + panel("b", 25, fs=(30, 53)), (1, 20, 54)),
    "slab": (HEAD + panel("a", 0) + panel("b", 25, fs=(30, 53), ss=(4, 23)), (1, 24, 54)),
    "slab of images": (
        HEAD
        + "data = /entry/data/data\ndim0 = %\ndim1 = ss\ndim2 = fs\n"
        + panel("a", 0)
        + panel("b", 25, ss=(22, 41)),
        (1, 42, 24),
    ),
    "slab at NXmx's own name": (
        HEAD + "data = /entry/data/data\n" + panel("a", 0) + panel("b", 25, ss=(20, 39)),
        (1, 40, 24),
    ),
    "one panel, cut": (HEAD + panel("a", 0, fs=(10, 33), ss=(5, 24)), (1, 25, 34)),
}


def counts_of(path: Path, geom: str) -> dict[str, np.ndarray]:
    """Counts of every panel from the ``--npy`` file of the same run, which knows of no layout."""
    whole, found, row = np.load(path), {}, 0
    for number, (name, own) in enumerate(settings(geom).items()):
        size = [int(own[f"max_{key}"]) - int(own[f"min_{key}"]) + 1 for key in ("ss", "fs")]
        if whole.ndim == 3:
            found[name] = whole[number]
        else:
            found[name] = whole[row : row + size[0], : size[1]]
            row += size[0]
        assert found[name].shape == tuple(size)
    return found


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, panel_counts in expected.items():
        assert np.array_equal(found[name], panel_counts), name
    assert len({panel_counts.tobytes() for panel_counts in found.values()}) == len(found), "all alike proves nothing"


def counts_name(file: h5py.File) -> str:
    return f"entry/data/{file['entry/data'].attrs['signal']}"


def by_modules(path: Path) -> list[np.ndarray]:
    """Panels as a reader of NXmx finds them."""
    with h5py.File(path) as file:
        data, detector = file[counts_name(file)], file["entry/instrument/detector"]
        modules = [detector[name] for name in sorted(detector) if name.startswith("module")]
        found = []
        for module in modules:
            origin, size = module["data_origin"][()], module["data_size"][()]
            part = tuple(slice(low, low + count) for low, count in zip(origin, size, strict=True))
            found.append(data[0][part].reshape(size[-2:]))
        return found


@pytest.mark.parametrize("name", GEOMS)
def test_a_geom_file_reads_back_what_is_written_with_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    geom, shape = GEOMS[name]
    monkeypatch.chdir(tmp_path)
    Path("a.geom").write_text(geom)
    run = ["run", "--geometry", "a.geom", *FLAGS.split(), "--nexus", "a.nxs", "--npy", "a.npy"]
    assert main(run) == 0
    assert "error" not in capsys.readouterr().err
    expected = counts_of(Path("a.npy"), geom)
    same(read_panels(geom, Path("a.nxs")), expected)
    for found, counts in zip(by_modules(Path("a.nxs")), expected.values(), strict=True):
        assert np.array_equal(found, counts)
    with h5py.File("a.nxs") as file:
        data = file[counts_name(file)]
        assert data.shape == shape
        used = sum(counts.size for counts in expected.values())
        # what is in no panel is no count
        assert np.count_nonzero(data[()] == -1) == data.size - used
        masks = file["entry/instrument/detector"].get("pixel_mask")
        wide = all(counts.shape[1] == data.shape[-1] for counts in expected.values())
        assert (masks is not None) == (used < data.size and wide)
        assert masks is None or np.array_equal(masks[()] > 0, data[0] == -1)


@pytest.mark.parametrize("name", GEOMS)
def test_a_series_is_read_back_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stills one by one; a rotation series also by its master, if the geometry has a place for several images."""
    geom, _ = GEOMS[name]
    monkeypatch.chdir(tmp_path)
    Path("a.geom").write_text(geom)
    flags = ["--geometry", "a.geom", *FLAGS.split(), "--nexus", "s.nxs", "--npy", "s.npy", "--workers", "1"]
    assert main(["series", "--stills", "2", "--out", "stills", *flags]) == 0
    for number in (1, 2):
        same(read_panels(geom, Path(f"stills/s_000{number}.nxs")), counts_of(Path(f"stills/s_000{number}.npy"), geom))
    assert main(["series", "--images", "2", "-osc", "1", "-phisteps", "1", "--out", "turn", *flags]) == 0
    with h5py.File("turn/s.nxs") as file:
        whole = file[counts_name(file)][()]
    for image in (0, 1):
        with h5py.File(f"turn/s_000{image + 1}.nxs") as file:
            assert np.array_equal(whole[image], file[counts_name(file)][0])
        if "%" in geom:
            expected = counts_of(Path(f"turn/s_000{image + 1}.npy"), geom)
            same(read_panels(geom, Path("turn/s.nxs"), event=str(image + 1), image=image), expected)


MASKED = {
    "good bits": ("mask_good = 0x1\nmask_bad = 0x0\n", "two arrays"),
    "bad bits": ("mask_good = 0x0\nmask_bad = 0xffff\n", "two arrays"),
    "both": ("mask_good = 2\nmask_bad = 5\n", "different sizes"),
    "slab": ("mask_bad = 0x1\n", "slab"),
}


@pytest.mark.parametrize("name", MASKED)
def test_masks_that_the_geometry_names_are_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bits, base = MASKED[name]
    geom = "mask = /entry/mask\n" + bits + GEOMS[base][0]
    monkeypatch.chdir(tmp_path)
    Path("a.geom").write_text(geom)
    dead = ["--dead", "20", "--nexus", "a.nxs", "--npy", "a.npy"]
    assert main(["run", "--geometry", "a.geom", *FLAGS.split(), *dead]) == 0
    expected = {key: counts >= 0 for key, counts in counts_of(Path("a.npy"), geom).items()}
    assert all(0.6 < good.mean() < 0.95 for good in expected.values())
    same(read_good(geom, Path("a.nxs")), expected)


def test_panels_with_common_pixels_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """max_ss is inclusive: a file that takes it for the end has panels that share a row."""
    geom = HEAD + panel("a", 0, ss=(0, 20)) + panel("b", 25, ss=(20, 40))
    monkeypatch.chdir(tmp_path)
    Path("a.geom").write_text(geom)
    assert main(["run", "--geometry", "a.geom", *FLAGS.split(), "--nexus", "a.nxs", "--npy", "a.npy"]) == 0
    assert "panels a and b of the geometry have the same pixels of the data" in capsys.readouterr().err
    with h5py.File("a.nxs") as file:
        assert file["entry/data/data"].shape == (1, 42, 24) and "data" not in file
    assert all(map(np.array_equal, by_modules(Path("a.nxs")), counts_of(Path("a.npy"), geom).values()))


#: Panels of a .expt: sizes (fast, slow) with raw_image_offset, and the shape of the array of counts.
EXPTS = {
    "all 0 0": ([((12, 10), (0, 0))] * 3, (30, 12)),
    "all 0 0, different sizes": ([((12, 10), (0, 0)), ((7, 13), (0, 0))], (23, 12)),
    "pairs": ([((12, 10), (0, 0)), ((12, 10), (15, 0))] * 2, (20, 27)),
    "one picture": ([((12, 10), (0, 0)), ((12, 10), (0, 12))], (22, 12)),
    "the rest of a picture": ([((12, 10), (20, 30))], (40, 32)),
    "no place": ([((12, 10), None), ((12, 10), None)], (20, 12)),
}


@pytest.mark.parametrize("name", EXPTS)
def test_raw_image_offsets_are_the_layout(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, shape = EXPTS[name]
    panels = []
    for number, (size, offset) in enumerate(sizes):
        panels.append(a_panel((-14 + 13 * number, 12, -60), size=size, name=f"p{number}", offset=offset or (0, 0)))
        if offset is None:
            del panels[-1]["raw_image_offset"]
    detector = {"panels": panels, "hierarchy": group(range(len(panels)))}
    monkeypatch.chdir(tmp_path)
    Path("a.expt").write_text(json.dumps(an_experiment(detector=detector, scan=None, goniometer=None)))
    flags = (
        "-default_F 300 -N 5 -fluence 1e27 -oversample 1 --device cpu -q --nexus s.nxs --npy s.npy --workers 1 -seed 3"
    )
    assert main(["series", "--stills", "2", "--out", "s", "--geometry", "a.expt", *flags.split()]) == 0
    whole, row = np.load("s/s_0001.npy"), 0
    for number, found in enumerate(by_modules(Path("s/s_0001.nxs"))):
        (fast, slow), _ = sizes[number]
        expected = whole if len(sizes) == 1 else whole[number] if whole.ndim == 3 else whole[row : row + slow, :fast]
        row += slow
        assert found.shape == (slow, fast) and np.array_equal(found, expected)
    with h5py.File("s/s_0001.nxs") as file:
        assert file["entry/data/data"].shape == (1, *shape)
    # and nbnumba reads its own file
    again = read_geometry("s/s_0001.nxs").panels
    assert [(one.fpixels, one.spixels) for one in again] == [size for size, _ in sizes]
    models = json.loads(Path("s/s.expt").read_text())["detector"][0]["panels"]
    placed = [tuple(model["raw_image_offset"]) for model in models]
    with h5py.File("s/s_0001.nxs") as file:
        modules = file["entry/instrument/detector"]
        origins = [modules[name]["data_origin"][()] for name in modules if name.startswith("module")]
    assert placed == [(fast, slow) for slow, fast in origins]


def test_layers_are_side_by_side_in_a_picture() -> None:
    axes = {"pix0_mm": (0.0, 0.0, 1.0), "fast_axis": (1.0, 0.0, 0.0), "slow_axis": (0.0, 1.0, 0.0)}
    sizes = [(4, 3), (4, 3), (2, 3), (4, 3)]
    panels = [Panel(**axes, spixels=s, fpixels=f, pixel_mm=0.1, offset=(0, 0)) for s, f in sizes]  # type: ignore[arg-type]
    picture = layout_of(panels).picture([np.full(size, 1 + number) for number, size in enumerate(sizes)])
    assert picture.tolist() == [*[[1] * 3 + [2] * 3] * 4, *[[3] * 3 + [4] * 3] * 2, *[[0] * 3 + [4] * 3] * 2]


def test_an_offset_far_out_is_no_huge_array() -> None:
    from nbnumba.errors import ConfigError

    axes = {"pix0_mm": (0.0, 0.0, 1.0), "fast_axis": (1.0, 0.0, 0.0), "slow_axis": (0.0, 1.0, 0.0)}
    far = Panel(**axes, spixels=10, fpixels=10, pixel_mm=0.1, name="far", offset=(10**9, 10**9))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"panel far is so far out .* check its offset"):
        layout_of([far])
