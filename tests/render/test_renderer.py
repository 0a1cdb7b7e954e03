"""The public renderer: images are those of simulate, and what did not change is kept."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.io import kept as kept_files
from nbnumba.render.kernel_table import TABLE

SIMULATION = nb.Simulation(
    crystal=nb.Crystal(cell=(40.0, 50.0, 60.0), misset_deg=(10.0, 20.0, 30.0), Na=8, Nb=8, Nc=8),
    beam=nb.Beam(wavelength_A=1.0, fluence=1e26),
    detector=nb.Detector(distance_mm=60, fpixels=64, spixels=48, pixel_mm=0.4),
    structure_factors=nb.StructureFactors(default_F=100.0, dump=Path("no such dump")),
    sampling=nb.Sampling(oversample=1),
)
#: Fields that are changed one after the other, whatever they have in common with what was there before.
CHANGES: list[dict[str, Any]] = [
    {"misset_deg": (1.0, 2.0, 3.0)},
    {"phi_deg": 5.0, "osc_deg": 1.0, "phisteps": 4},
    {"shape": "gauss"},
    {"mosaic_spread_deg": 0.3, "mosaic_domains": 20},
    {"wavelength_A": 1.1, "dispersion_percent": 1.0, "dispsteps": 3},
    {"shape": "round", "Na": 5},
    {"distance_mm": 70.0},
    {"fpixels": 80},
    {"roi": (10, 30, 5, 40)},
    {"oversample": 2, "shape": "square"},
    {"thickness_um": 200.0, "attenuation_um": 300.0, "thicksteps": 2},
    {"dmin_A": 1.5},
    {"physics": "correct"},
    {"default_F": 50.0},
    {"air_mm": 10.0},
    {"mask": np.eye(48, 80)},
    {"hkl": (np.array([[0, 0, 1], [1, 2, 3], [-1, -2, -3]]), np.array([30.0, 40.0, 50.0]))},
    {"interpolate": True},
    {"fluence": 1e25},
]


def renderer(**changes: Any) -> nb.Renderer:
    """One of the CPU."""
    return nb.Renderer(SIMULATION.changed(**changes), device="cpu")


def test_updates_give_the_images_of_new_simulations() -> None:
    """Whatever changes, and in whatever order: the bits are those of a simulation that nothing came before."""
    one = renderer()
    simulation = SIMULATION
    for change in CHANGES:
        simulation = simulation.changed(**change)
        one.update(**change)
        expected = nb.simulate(simulation, device="cpu")
        np.testing.assert_array_equal(one.render(), expected.image, err_msg=str(change))
        assert one.experiment.warnings == expected.experiment.warnings
        assert one.plan == expected.plan
    for change in reversed(CHANGES[:9]):
        one.update(SIMULATION, **change)
        np.testing.assert_array_equal(one.render(), nb.simulate(SIMULATION.changed(**change), device="cpu").image)


def test_an_image_is_rendered_into() -> None:
    one = renderer(roi=(10, 20, 5, 15))
    image = np.full((48, 64), -7, np.float32)
    assert one.render(out=image) is image
    inside = np.zeros((48, 64), bool)
    inside[5:16, 10:21] = True
    np.testing.assert_array_equal(image[inside], nb.simulate(one.experiment, device="cpu").image[inside])
    assert (image[~inside] == -7).all()


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.zeros((48, 63), np.float32), r"out must be float32, C-contiguous and of the panel's shape \(48, 64\), got"),
        (np.zeros((48, 64)), "got float64"),
        (np.zeros((64, 48), np.float32).T, "C-contiguous"),
        (np.broadcast_to(np.float32(0), (48, 64)), "C-contiguous"),
        ([np.zeros((48, 64), np.float32)] * 2, "an array for each of the 1 panels, got 2"),
        ("image", "out must"),
    ],
)
def test_what_cannot_be_rendered_into_is_refused(out: Any, words: str) -> None:
    with pytest.raises(nb.ConfigError, match=words):
        renderer().render(out=out)


def test_an_array_of_a_gpu_is_refused_by_the_cpu() -> None:
    class Elsewhere:
        __cuda_array_interface__: dict[str, Any] = {}  # noqa: RUF012

    with pytest.raises(nb.ConfigError, match=r"out must be a NumPy array, as the CPU renders .*, got Elsewhere"):
        renderer().render(out=Elsewhere())


@pytest.mark.parametrize("shape", ["square", "gauss"])
def test_rows_are_reported_when_they_are_final(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With background: what is there when rows are reported is what is there in the end."""
    for row in TABLE.values():
        monkeypatch.setattr(type(row.cost), "band", 1.0, raising=False)
    one = renderer(shape=shape, air_mm=5.0)
    out, seen, rows = one.new_image(), np.zeros((48, 64), np.float32), []

    def on_rows(panel: int, first: int, end: int) -> None:
        assert panel == 0
        rows.extend(range(first, end))
        seen[first:end] = out[first:end]

    image = one.render(out, on_rows=on_rows)
    assert sorted(rows) == list(range(48))
    np.testing.assert_array_equal(seen, image)


def test_rows_are_final_though_interpolation_ends() -> None:
    """In the reference the first evaluation out of range ends interpolation: rows behind it are rendered again."""
    hkl = np.array([[h, k, l] for h in range(-4, 5) for k in range(-4, 5) for l in range(-4, 5)])
    one = renderer(Na=2, Nb=2, Nc=2, hkl=(hkl, np.arange(1.0, len(hkl) + 1)), interpolate=True)
    out, seen = one.new_image(), np.zeros((48, 64), np.float32)

    def on_rows(panel: int, first: int, end: int) -> None:
        seen[first:end] = out[first:end]

    image = one.render(out, on_rows=on_rows)
    assert one.interpolation_ended
    np.testing.assert_array_equal(seen, image)


def test_panels_are_a_tuple() -> None:
    with pytest.raises(nb.ConfigError, match="an array for each of the 2 panels, got 1"):
        two_panels().render(out=5)
    panels = tuple(
        nb.Panel(
            pix0_mm=(x, -5, 60), fast_axis=(1, 0, 0), slow_axis=(0, 1, 0), spixels=20, fpixels=fpixels, pixel_mm=0.4
        )
        for x, fpixels in ((-9, 20), (1, 24))
    )
    one = nb.Renderer(SIMULATION.changed(panels=panels, convention="CUSTOM"), device="cpu")
    first, second = one.render()
    assert (first.shape, second.shape) == ((20, 20), (20, 24))
    result = nb.simulate(one.experiment, device="cpu")
    for image, expected in zip((first, second), result.images, strict=True):
        np.testing.assert_array_equal(image, expected)
    assert one.render(out=(first, second)) == (first, second)


def two_panels() -> nb.Renderer:
    panels = tuple(
        nb.Panel(pix0_mm=(x, -5, 60), fast_axis=(1, 0, 0), slow_axis=(0, 1, 0), spixels=20, fpixels=20, pixel_mm=0.4)
        for x in (-9, 1)
    )
    return nb.Renderer(SIMULATION.changed(panels=panels, convention="CUSTOM"), device="auto", kernel="fast64")


def test_an_update_that_fails_on_one_panel_changes_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbnumba.render.cpu.backend import CpuRenderer

    one = two_panels()
    before, update, calls = one.render(), CpuRenderer.update, []

    def fail(self: Any, *arguments: Any) -> None:
        calls.append(self)
        if len(calls) == 2:
            raise MemoryError("out of luck")
        update(self, *arguments)

    monkeypatch.setattr(CpuRenderer, "update", fail)
    with pytest.raises(MemoryError, match="out of luck"):
        one.update(misset_deg=(5.0, 0.0, 0.0))
    for image, expected in zip(one.render(), before, strict=True):
        np.testing.assert_array_equal(image, expected)
    assert len(calls) == 3


def test_a_device_that_fails_in_an_update_is_replaced_in_auto_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbnumba.render.cpu.backend import CpuRenderer

    one, named = two_panels(), renderer()

    def lost(self: Any, *arguments: Any) -> None:
        monkeypatch.undo()
        raise nb.DeviceError("cuda:0 failed")

    monkeypatch.setattr(CpuRenderer, "update", lost)
    one.update(misset_deg=(5.0, 0.0, 0.0))
    assert one.plan.reason.startswith("cuda:0 failed; ")
    assert one.render()[0].max() > 0
    monkeypatch.setattr(CpuRenderer, "update", lost)
    with pytest.raises(nb.DeviceError, match="cuda:0 failed"):
        named.update(misset_deg=(5.0, 0.0, 0.0))


def test_a_failing_update_changes_nothing() -> None:
    one = renderer()
    before = one.render()
    for wrong in ({"distance_mm": -5}, {"roi": (60, 70, 0, 5)}, {"no_such_field": 1}, {"hkl": Path("no such file")}):
        with pytest.raises(nb.NbnumbaError):
            one.update(**wrong)
        np.testing.assert_array_equal(one.render(), before)
    with pytest.raises(nb.ConfigError, match="fields of an experiment cannot be changed"):
        one.update(one.experiment, misset_deg=(0, 0, 0))


def test_another_orientation_reads_no_file_and_makes_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of an HKL file nor of anything else; no image is allocated either."""
    hkl = tmp_path / "a.hkl"
    hkl.write_text("".join(f"{h} {k} {l} {10 + h + k + l}\n" for h in range(9) for k in range(9) for l in range(9)))
    one = renderer(hkl=hkl, default_F=0.0)
    image = one.render()
    os.remove(hkl)
    held = one.inputs[0].Fhkl
    monkeypatch.setattr(type(one.inputs[0]), "F2_table", lambda self: pytest.fail("a table was made again"))
    monkeypatch.setattr(type(one), "new_image", lambda self: pytest.fail("an image was allocated"))
    one.update(misset_deg=(5.0, 5.0, 5.0))
    assert one.render(out=image) is image
    assert one.inputs[0].Fhkl is held


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until they change: name, size and time are the key."""
    kept_files.forget()
    hkl = tmp_path / "a.hkl"
    hkl.write_text("0 0 1 50\n1 1 1 60\n")
    os.utime(hkl, (1e9, 1e9))
    simulation = SIMULATION.changed(hkl=hkl)
    first = nb.resolve(simulation).structure_factors
    with monkeypatch.context() as patch:
        patch.setattr("nbnumba.io.lists.table.read_list", lambda *_: pytest.fail("it was read again"))
        assert nb.resolve(simulation.changed(misset_deg=(0, 0, 9))).structure_factors is first
    other = nb.resolve(simulation.changed(default_F=1.0)).structure_factors
    assert other is not None and first is not None and other.default_F == 1.0 and first.default_F == 100.0
    hkl.write_text("0 0 1 50\n1 1 1 70\n")
    changed = nb.resolve(simulation).structure_factors
    assert changed is not None and changed.grid.max() == 100.0 and 70.0 in changed.grid
    hkl.unlink()
    with pytest.raises(nb.FileError, match="cannot read the HKL file"):
        nb.resolve(simulation)


def test_a_file_that_was_just_written_is_not_kept(tmp_path: Path) -> None:
    """Its time may not show the next change."""
    path = tmp_path / "fresh"
    path.write_text("a")
    reads: list[str] = []

    def read() -> str:
        reads.append(path.read_text())
        return reads[-1]

    now = path.stat().st_mtime_ns
    assert kept_files.kept(path, "test", read) == "a"
    fresh = kept_files.is_fresh((str(path), 1, now, 0))
    assert kept_files.kept(path, "test", read) == "a"
    assert len(reads) == (2 if fresh else 1)
    os.utime(path, (1e9, 1e9))
    assert [kept_files.kept(path, "test", read) for _ in range(3)] == ["a"] * 3
    assert len(reads) <= 3


def test_values_that_are_kept_take_no_more_than_their_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_files.forget()
    monkeypatch.setattr(kept_files, "MOST_BYTES", 10_000)
    paths = [tmp_path / f"{n}" for n in range(30)]
    for path in paths:
        path.write_text("x")
        os.utime(path, (1e9, 1e9))
        kept_files.kept(path, "test", lambda: (np.zeros(500), "text"))
    assert len(kept_files._values) <= 2
    assert kept_files.kept(paths[0], "test", lambda: "large" and np.zeros(10**6)).size == 10**6
    assert len(kept_files._values) == 1
    kept_files.forget()


def test_kernels_can_be_named() -> None:
    """Each row of the table that can render a case gives its image; others are refused with the reason."""
    simulation = SIMULATION.changed(mosaic_spread_deg=0.3, mosaic_domains=12)
    exact = nb.simulate(simulation, device="cpu", precision="double").image
    for name, bar in (("fast32", 1e-5), ("fast64", 1e-6), ("general", 0.0)):
        result = nb.simulate(simulation, device="cpu", kernel=name)
        assert result.plan.kernel == name
        assert np.abs(result.image - exact).max() <= bar * exact.max()
    with pytest.raises(nb.ConfigError, match="--kernel spots cannot render this: the crystal's spots are not compact"):
        nb.simulate(simulation, device="cpu", kernel="spots")
    with pytest.raises(nb.ConfigError, match="must be one of spots, fast32, fast64, general on this device, got fixed"):
        nb.simulate(simulation, device="cpu", kernel="fixed")
    round_ = simulation.changed(shape="round")
    with pytest.raises(nb.ConfigError, match="--kernel fast32 cannot render this: a round crystal"):
        nb.simulate(round_, device="cpu", kernel="fast32")


def test_experiments_are_reused_in_parts() -> None:
    one = nb.resolve(SIMULATION)
    other = nb.resolve(replace(SIMULATION, scan=nb.Scan(phi_deg=3.0)), like=one)
    assert other.crystal is one.crystal and other.detector is one.detector and other.sources is one.sources
    assert other.scan.start != one.scan.start
    moved = nb.resolve(SIMULATION.changed(wavelength_A=1.2), like=one)
    assert moved.detector is one.detector and moved.sources is not one.sources
    correct = nb.resolve(SIMULATION.changed(physics="correct"), like=one)
    assert correct.detector is not one.detector
