"""Every field of every dataclass that users make, with values of wrong types, shapes and sizes, and with NumPy's."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbnumba as nb
from nbnumba.model.checked import name_of
from nbnumba.model.field_types import described, fitted, hints_of

SIMULATION = nb.Simulation(
    crystal=nb.Crystal(cell=(40.0, 50.0, 60.0)),
    detector=nb.Detector(fpixels=12, spixels=10),
    structure_factors=nb.StructureFactors(default_F=10.0, dump=Path("no such dump")),
    sampling=nb.Sampling(oversample=1),
    scan=nb.Scan(osc_deg=1.0),
)
#: One good object of each class.
GOOD: dict[str, Any] = {
    "Background": nb.Background(),
    "Beam": nb.Beam(),
    "Crystal": SIMULATION.crystal,
    "Detector": SIMULATION.detector,
    "Outputs": nb.Outputs(),
    "RefineOptions": nb.RefineOptions(),
    "Panel": nb.Panel(
        pix0_mm=(100.0, 1.0, 1.0),
        fast_axis=(0.0, 0.0, 1.0),
        slow_axis=(0.0, -1.0, 0.0),
        spixels=10,
        fpixels=12,
        pixel_mm=0.1,
    ),
    "Sampling": SIMULATION.sampling,
    "Scan": SIMULATION.scan,
    "Series": nb.Series(simulation=SIMULATION, images=2),
    "Shot": nb.Series(simulation=SIMULATION, images=2).shot(1),
    "Simulation": SIMULATION,
    "StructureFactors": SIMULATION.structure_factors,
    "Variation": nb.Variation("beam", "wavelength_A", "normal", (("mean", 1.0), ("sigma", 0.1))),
}
#: Dataclasses that come out, and are made by nobody else.
RESULTS = {"Experiment", "Information", "Refined", "Result", "SharedRefined", "ShotsReport", "SeriesReport", "Written"}
#: Those of values in memory, which tests/io/test_values.py looks at.
VALUES = {"AtomicModel", "FTable", "Reflections", "SourceTable", "Spectrum", "StolTable"}
#: Of which a field takes files, arrays or sequences; tests/series/test_refine_shots.py looks at it.
OTHERS = {"ShotFile"}
FIELDS = [(name, entry.name) for name, value in GOOD.items() for entry in fields(value)]
#: What no field of any class takes.
NEVER = [object(), b"bytes", {"a": 1}, {1, 2}, 1j, [[1, 2], [3]], np.array([1, "x"], object), lambda: None, type]
#: What some take and others do not.
SOMETIMES = [
    None, True, np.True_, 0, -1, 7, 10.5, -0.5, np.float32(2.5), np.int16(3), 10**30, 1e300, float("nan"), -np.inf,
    Fraction(1, 3), "", "text", "gaus", "mosflm", "corect", "a\0b", Path("x"), (), (1, 2), (1.0, 2.0, 3.0), [4, 5, 6],
    (1, None, 2), (np.nan, 0, 0), (0, 0, 0), ("a", "b", "c"), np.arange(3.0), np.eye(3), np.ones((10, 12), bool),
    np.zeros(0), np.array(5), np.array("text"), 90, (79.1, 79.1, 37.9, 90, 90, 90), (1, 2, 3, 200, 90, 90), nb.Beam(),
]  # fmt: skip


def put_in(name: str, value: Any) -> nb.Simulation | None:
    """The simulation with this part; None for what is no part of one."""
    if name == "Simulation":
        return value
    if name == "Panel":
        return replace(SIMULATION, detector=nb.Detector(panels=(value,)))
    part = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return replace(SIMULATION, **{part: value}) if hasattr(SIMULATION, part) else None


def test_all_classes_are_here():
    public = {name for name in nb.__all__ if is_dataclass(getattr(nb, name))}
    assert set(GOOD) | RESULTS | VALUES | OTHERS == public
    for name, value in GOOD.items():
        assert type(value).__name__ == name


@pytest.mark.parametrize(("name", "key"), FIELDS)
def test_wrong_types_are_refused_by_name(name, key):
    good = GOOD[name]
    for value in NEVER:
        if hints_of(type(good))[key] is np.ndarray | None and isinstance(value, list):
            continue
        with pytest.raises(nb.ConfigError, match=re.escape(f"{name_of(good, key)} must be ")) as caught:
            replace(good, **{key: value})
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(("name", "key"), FIELDS)
def test_every_value_is_of_its_type_or_refused(name, key, tmp_path, monkeypatch):
    """Whatever is taken does not change when it is taken again, and ends in no foreign exception further on."""
    monkeypatch.chdir(tmp_path)
    good = GOOD[name]
    for value in SOMETIMES:
        try:
            made = replace(good, **{key: value})
        except nb.ConfigError:
            continue
        kept = getattr(made, key)
        assert np.array_equal(fitted("x", hints_of(type(good))[key], kept), kept) or kept is None, (value, kept)
        assert not isinstance(kept, np.generic | list), (value, kept)
        simulation = put_in(name, made)
        if simulation is not None:
            try:
                nb.resolve(simulation)
            except nb.NbnumbaError as error:
                assert str(error)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: nb.Crystal(cell=(50,), Na=10.5), "crystal.Na must be a whole number, got 10.5"),
        (lambda: nb.Crystal(cell=(50,), shape="gaus"), "crystal.shape must be square or round or gauss or tophat, got 'gaus'"),
        (lambda: nb.Crystal(cell=(50,), misset_deg=(1, 2)), "crystal.misset_deg must be 3 numbers or random or None, got (1, 2)"),
        (lambda: nb.Detector(convention="mosflm"), "detector.convention must be MOSFLM or XDS or "),
        (lambda: replace(SIMULATION, physics="corect"), "simulation.physics must be released or reference or upstream or correct, got 'corect'"),
        (lambda: nb.Outputs(intfile=None), "outputs.intfile must be the name of a file, got None"),
        (lambda: nb.Beam(nopolar=1), "beam.nopolar must be true or false, got 1"),
        (lambda: nb.Beam(wavelength_A=True), "beam.wavelength_A must be a number, got True"),
        (lambda: nb.StructureFactors(default_F="10"), "structure_factors.default_F must be a number, got '10'"),
        (lambda: nb.StructureFactors(solvent_B=-1), "structure_factors.solvent_B must be >= 0, got -1.0"),
        (lambda: nb.Detector(fdet_vector=np.eye(3)), "detector.fdet_vector must be 3 numbers or None, got [[1.0, 0.0"),
        (lambda: replace(SIMULATION, crystal=nb.Beam()), "simulation.crystal must be a Crystal, got Beam("),
        (lambda: replace(SIMULATION, mask="mask.img"), "simulation.mask must be an array of numbers or None, got 'mask.img'"),
        (lambda: nb.Series(simulation=SIMULATION, images=2, kind="still"), "series.kind must be rotation or stills, got 'still'"),
    ],
)  # fmt: skip
def test_messages(made, words):
    with pytest.raises(nb.ConfigError) as caught:
        made()
    assert str(caught.value).startswith(words)


def test_numpys_values_are_pythons():
    """Scalars, arrays and lists make an object equal to one of plain numbers, and nothing of NumPy is left in it."""
    plain = nb.Crystal(cell=(40.0, 50.0, 60.0), misset_deg=(1.0, 2.0, 3.0), Na=5, fudge=0.5, size_mm=(0.1, 0.1, 0.1))
    made = nb.Crystal(
        cell=np.array([40, 50, 60]),
        misset_deg=[1, 2, 3],
        Na=np.int64(5),
        fudge=np.float64(0.5),
        size_mm=np.full(3, 0.1),
    )
    assert made == plain and repr(made) == repr(plain)
    assert nb.Crystal(cell=(50,), Na=10.0).Na == 10 and type(nb.Crystal(cell=(50,), Na=np.array(10)).Na) is int
    assert nb.Outputs(intfile="a.img").intfile == Path("a.img")
    assert replace(SIMULATION, mask=[[0, 1]] * 5).mask.shape == (5, 2)


def test_defaults_are_of_their_types():
    for value in GOOD.values():
        for entry in fields(value):
            if entry.default is not MISSING and entry.default is not None:
                assert fitted("x", hints_of(type(value))[entry.name], entry.default) == entry.default
            assert described(hints_of(type(value))[entry.name])
