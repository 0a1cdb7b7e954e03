"""Readers under hypothesis: damaged files of every kind, written and read again, cut off, and with strange values."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbnumba.errors import FileError
from nbnumba.inspect.trace_text import TraceLog
from nbnumba.io.cbf import read_cbf, write_cbf
from nbnumba.io.fdump import read_fdump, write_fdump
from nbnumba.io.npy import parse_npy, read_npy, write_npy
from nbnumba.io.smv import header_value, read_smv
from nbnumba.io.spectrum import read_spectrum
from nbnumba.model.frames import image_geometry
from nbnumba.render.background import read_stol
from nbnumba.series.truth import SPOT_COLUMNS, read_part, write_part
from tests.campaigns.fuzz import contract
from tests.campaigns.fuzz.seeds import seeds
from tests.campaigns.fuzz.targets import TARGETS
from tests.io.geometries import counts, experiment

#: One folder for all examples of a test is what is wanted.
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
SOME = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@functools.cache
def corpus(name: str) -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        return tuple(seeds(name, Path(folder)))


@pytest.fixture(scope="module", autouse=True)
def corpora() -> None:
    """Seeds are made before any example: the helpers of other tests, which some come from, use hypothesis themselves."""
    for name in TARGETS:
        corpus(name)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """A valid file after up to four changes, or anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(corpus(name))))
    words = st.sampled_from(
        [b"", b"nan", b"-1", b"1e999", b"9" * 30, b"\n", b"=", b"[]", b"\0\0\0\0", b"\xff\xff\xff\x7f"]
    )
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 12))] = draw(st.one_of(words, st.binary(max_size=6)))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_end_in_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}{TARGETS[name].suffix}"

    @FEW
    @given(damaged(name))
    def property_(data: bytes) -> None:
        path.write_bytes(data)
        contract.read(TARGETS[name], path)

    property_()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


def places(content: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to all parts of a JSON value but the whole."""
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    return [place for key in keys for place in ((*here, key), *places(content[key], (*here, key)))]


@SOME
@given(st.data())
def test_any_value_anywhere_in_an_experiment_list(tmp_path: Path, data: st.DataObject) -> None:
    content = json.loads(data.draw(st.sampled_from(corpus("expt"))))
    *outer, last = data.draw(st.sampled_from(places(content)))
    owner = functools.reduce(lambda part, key: part[key], outer, content)
    owner[last] = data.draw(anything)
    path = tmp_path / "a.expt"
    path.write_text(json.dumps(content))
    contract.read(TARGETS["expt"], path)


@SOME
@given(st.data())
def test_any_value_anywhere_in_a_trace(tmp_path: Path, data: st.DataObject) -> None:
    content = json.loads(corpus("trace")[2])
    *outer, last = data.draw(st.sampled_from(places(content)))
    owner = functools.reduce(lambda part, key: part[key], outer, content)
    owner[last] = data.draw(anything)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    contract.read(TARGETS["trace"], path)


toml_values = st.one_of(
    *(
        st.just(word)
        for word in ("[]", "{}", "true", "inf", "-nan", "1e308", "1979-05-27", "'a'", "[1, 'b']", "9" * 400)
    ),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
toml_entries = st.dictionaries(
    st.sampled_from(
        ["distribution", "mean", "sigma", "median", "low", "high", "values", "weights", "min", "max", "times"]
    ),
    st.one_of(toml_values, st.sampled_from(['"normal"', '"lognormal"', '"uniform"', '"choice"'])),
)


@SOME
@given(
    st.sampled_from(["beam", "crystal", "detector", "scan", "sampling"]),
    st.sampled_from(["wavelength_A", "N", "cell", "convention", "phi_deg", "spectrum", "misset_deg", "oversample"]),
    st.one_of(toml_values, toml_entries),
)
def test_any_distribution(tmp_path: Path, part: str, field: str, entry: Any) -> None:
    text = entry if isinstance(entry, str) else "{ " + ", ".join(f"{k} = {v}" for k, v in entry.items()) + " }"
    (tmp_path / "a.toml").write_text(f"[{part}]\n{field} = {text}\n")
    contract.read(TARGETS["toml"], tmp_path / "a.toml")


# written and read again, and cut off


@SOME
@given(hnp.arrays(np.int32, (26, 33), elements=st.integers(-1, 2**31 - 4), fill=st.integers(-1, 3)), st.data())
def test_cbf_comes_back_or_is_refused(tmp_path: Path, data: np.ndarray, more: st.DataObject) -> None:
    geometry = image_geometry(experiment("MOSFLM"))
    write_cbf(tmp_path / "a.cbf", data, geometry, 65000)
    np.testing.assert_array_equal(read_cbf(tmp_path / "a.cbf"), data)
    whole = (tmp_path / "a.cbf").read_bytes()
    packed = whole.index(b"\x0c\x1a\x04\xd5")
    cut = whole[: more.draw(st.integers(0, packed + 4))]
    (tmp_path / "b.cbf").write_bytes(cut)
    with pytest.raises(FileError, match=r"b\.cbf (ends before|is cut off)"):
        read_cbf(tmp_path / "b.cbf")


def test_cbf_of_other_programs_is_read_as_fabio_reads_it(tmp_path: Path) -> None:
    import fabio

    geometry = image_geometry(experiment("MOSFLM"))
    values = counts(geometry)[0]
    fabio.cbfimage.CbfImage(data=values).write(str(tmp_path / "a.cbf"))
    np.testing.assert_array_equal(read_cbf(tmp_path / "a.cbf"), fabio.open(str(tmp_path / "a.cbf")).data)
    np.testing.assert_array_equal(read_cbf(tmp_path / "a.cbf"), values)


kinds = st.sampled_from(["<f4", ">f8", "i2", "<u4", "?", "<c8", "S3", "<U2"]).map(np.dtype)


@SOME
@given(hnp.arrays(kinds, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)), st.data())
def test_arrays_come_back_or_are_refused(tmp_path: Path, array: np.ndarray, more: st.DataObject) -> None:
    write_npy(tmp_path / "a.npy", array)
    again = read_npy(tmp_path / "a.npy")
    assert again.dtype == array.dtype and again.shape == array.shape
    assert again.tobytes() == array.tobytes()
    whole = (tmp_path / "a.npy").read_bytes()
    with pytest.raises(FileError, match=r"^(cannot read )?it( is cut off|: its header is broken)"):
        parse_npy(whole[: more.draw(st.integers(0, len(whole) - 1))], "it")


@SOME
@given(st.data())
def test_cut_off_smv_and_dump_are_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = corpus("smv")[0]
    (tmp_path / "a.img").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(FileError):
        read_smv(tmp_path / "a.img")
    write_fdump(tmp_path / "d.bin", np.ones((2, 3, 1)), (0, -1, 2))
    whole = (tmp_path / "d.bin").read_bytes()
    (tmp_path / "d.bin").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(FileError):
        read_fdump(tmp_path / "d.bin")


@SOME
@given(st.lists(st.integers(-999_999, 999_999), min_size=6, max_size=6))
def test_dumps_that_claim_a_huge_box_are_refused_before_memory_is_taken(tmp_path: Path, limits: list[int]) -> None:
    low, high = np.sort(np.reshape(limits, (3, 2)), axis=1).T
    head = " ".join(f"{a} {b}" for a, b in zip(low, high, strict=True)).encode() + b"\n\f"
    (tmp_path / "d.bin").write_bytes(head + bytes(65))  # no box takes 65 bytes
    assert not contract.read_measured(TARGETS["fdump"], tmp_path / "d.bin")


@SOME
@given(st.integers(1, 999_999), st.integers(1, 999_999))
def test_smv_that_claims_many_pixels_is_refused_before_memory_is_taken(tmp_path: Path, fast: int, slow: int) -> None:
    header = corpus("smv")[0][:512].replace(b"SIZE1=6;", b"SIZE1=%d;" % fast).replace(b"SIZE2=5;", b"SIZE2=%d;" % slow)
    (tmp_path / "a.img").write_bytes(header.ljust(600)[:600])
    assert contract.read_measured(TARGETS["smv"], tmp_path / "a.img") == (2 * fast * slow <= 88)


@SOME
@given(st.integers(0, 5), st.floats(allow_nan=False), st.integers(0, 50))
def test_parts_of_a_series_come_back_or_are_refused(tmp_path: Path, n: int, phi: float, cut: int) -> None:
    spots = {key: np.ones((n, 3) if key == "hkl" else n, kind) for key, kind in SPOT_COLUMNS.items()}
    write_part(tmp_path / "a.npz", {"phi_deg": phi, "file": "a.img"}, spots, None)
    found = read_part(tmp_path / "a.npz")
    assert found["shot.phi_deg"] == phi and found["shot.file"] == "a.img"
    assert all(
        found[f"spot.{key}"].dtype == kind and len(found[f"spot.{key}"]) == n for key, kind in SPOT_COLUMNS.items()
    )
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: -1 - cut])
    with pytest.raises(FileError, match="remove it and run the series again"):
        read_part(tmp_path / "a.npz")


# text

numbers = st.floats(1e-3, 99.0)


@SOME
@given(st.lists(st.tuples(numbers, st.floats(0, 1e6)), min_size=1, max_size=8))
def test_spectra_have_weights_that_sum_to_one(tmp_path: Path, points: list[tuple[float, float]]) -> None:
    (tmp_path / "s.txt").write_text("".join(f"{place!r}, {weight!r} # A\n" for place, weight in points))
    if sum(weight for _, weight in points) == 0:
        with pytest.raises(FileError, match="no point with a weight"):
            read_spectrum(tmp_path / "s.txt")
        return
    found = read_spectrum(tmp_path / "s.txt")
    # a rounding error for each of eight points
    assert abs(found.weights.sum() - 1) < 1e-14
    assert found.wavelengths_A.tolist() == [place for place, weight in points if weight > 0]


@SOME
@given(st.dictionaries(st.floats(0, 5), st.floats(-100, 100), min_size=2, max_size=8))
def test_tables_of_a_liquid_come_back_in_order(tmp_path: Path, points: dict[float, float]) -> None:
    points = {stol + 0.0: F for stol, F in points.items()}  # -0.0 and 0.0 are one place
    (tmp_path / "a.stol").write_text("".join(f"{stol!r} {F!r}\n" for stol, F in points.items()))
    stol, F = read_stol(tmp_path / "a.stol")
    assert stol.tolist() == sorted(points) and F.tolist() == [points[x] for x in sorted(points)]


@SOME
@given(st.floats() | st.integers(-(10**30), 10**30), st.sampled_from(["{}", "0x{:x}", "{}e400", "-{}"]))
def test_header_values_are_numbers_or_nothing(number: float, form: str) -> None:
    text = form.format(int(number) if "x" in form and number == number and abs(number) < 1e300 else 7)
    value = header_value(f"A={text};\nPHI={number};\n", "A")
    assert value is None or isinstance(value, float)
    phi = header_value(f"PHI={number};", "PHI")
    assert phi is None if number != number else phi == float(number)


@SOME
@given(st.lists(st.sampled_from(["F_latt", "hkl_frac", "steps"]), max_size=30))
def test_factors_that_come_again_are_numbered(names: list[str]) -> None:
    log = TraceLog(Path("a"))
    for i, name in enumerate(names):
        log.add(name, (float(i),))
    for name in set(names):
        given_ = [float(i) for i, each in enumerate(names) if each == name]
        keys = [name, *(f"{name}[{k}]" for k in range(2, len(given_) + 1))]
        assert [log.factors[key] for key in keys] == [(value,) for value in given_]
    assert len(log.factors) == len(names)
