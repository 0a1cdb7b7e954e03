"""Reading traces of either program, and naming the first factor that differs."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.cli.main import main
from nbnumba.errors import ConfigError, FileError
from nbnumba.inspect.compare_traces import compare_traces, verdict
from nbnumba.inspect.trace_schema import FACTORS
from nbnumba.inspect.trace_text import TraceLog, read_traces

DOCS = Path(__file__).resolve().parents[2] / "docs"

#: What instrumented builds of the C program print: units, brackets, other names, indices in 1/m under a name in 1/Å.
C_LOG = """
nanoBragg nanocrystal diffraction simulator - James Holton and Ken Frankel 5-17-17
TRACE_C: pix0_vector_meters -0.216475836204836 0.216343050492215 -0.230192414300537
TRACE_C: fdet_vec 0.999982004873912 -0.00599800002923425 -0.000118000000575132
TRACE_C: R_distance_meters 0.253416334111961
TRACE_C: omega_pixel_sr 4.20412684465831e-07
TRACE_C: incident_vec (0.000513879494092498, 0, -0.999999867963924)
TRACE_C: scattering_vec_A_inv -1556230686.07047 3933478972.39855 913944567.685603
TRACE_C: hkl_frac -6.8795206024501 -0.607255839576692 -13.766298525469
TRACE_C: hkl_rounded -7 -1 -14
TRACE_C: steps 10
TRACE_C: polar 0.91463969894451
TRACE_C: omega_pixel 4.20412684465831e-07 [sr]
TRACE_C: I_pixel_final 2.88139542684698e-07
TRACE_C: floatimage_accumulated 2.88139548e-07
TRACE_C_PHI phi_tic=0 phi_deg=0 k_frac=-0.607255839576692 F_latt_b=1.05079664302326 F_latt=-2.38319665299058
TRACE_C_PHI phi_tic=1 phi_deg=0.01 k_frac=-0.591177727127406 F_latt_b=-0.650897255741776 F_latt=1.09860741704356
TRACE_C_TRICUBIC: grid of 4 x 4 x 4
done
"""
PY_LOG = """
TRACE_PY: pixel 685 1039
TRACE_PY: convention CUSTOM
TRACE_PY: fdet_vec 0.999982004873912 -0.00599800002923425 -0.000118000000575132
TRACE_PY: pix0_vector_meters -0.216475836204836 0.216343050492215 -0.230192414300537
TRACE_PY: incident_vec 0.000513879494092498 0 -0.999999867963924
TRACE_PY: airpath 0.253416334111961
TRACE_PY: scattering_vec_A_inv -0.155623068607047 0.393347897239855 0.0913944567685603
TRACE_PY: hkl_frac -6.8795206024501 -0.607255839576692 -13.766298525469
TRACE_PY: hkl_rounded -7 -1 -14
TRACE_PY: steps 10
TRACE_PY: polar 0.91463969894451
TRACE_PY: omega_pixel 4.20412684465831e-07
TRACE_PY: I_pixel_final 2.88139542684698e-07
TRACE_PY_PHI phi_tic=0 phi_deg=0 h_frac=-6.8 k_frac=-0.607255839576692 F_latt_b=1.05079664302326 F_latt=-2.38319665299058
TRACE_PY_PHI phi_tic=1 phi_deg=0.01 h_frac=-6.9 k_frac=-0.591177727127406 F_latt_b=-0.650897255741776 F_latt=1.09860741704356
"""


def logs(tmp_path: Path, a: str, b: str) -> tuple[list[TraceLog], list[TraceLog]]:
    read = []
    for name, text in (("a.log", a), ("b.log", b)):
        (tmp_path / name).write_text(text)
        read.append(read_traces(tmp_path / name))
    return read[0], read[1]


def first(tmp_path: Path, a: str, b: str, rtol: float = 1e-6) -> str | None:
    (comparison,) = compare_traces(*logs(tmp_path, a, b), rtol)
    return None if comparison.first is None else comparison.first.key


def test_logs_of_both_programs_agree(tmp_path: Path) -> None:
    (comparison,) = compare_traces(*logs(tmp_path, C_LOG, PY_LOG))
    assert comparison.first is None
    rows = {row.key: row for row in comparison.rows}
    assert rows["airpath"].a == rows["airpath"].b == (0.253416334111961,)
    assert rows["scattering_vec_A_inv"].note == "in 1/m in A, in spite of its name"
    assert rows["convention"].note == "only in B" and not rows["convention"].differs
    assert rows["omega_pixel"].relative == 0
    assert rows["phi 1: k_frac"].a == (-0.591177727127406,)
    assert comparison.pixel == (685, 1039)
    assert "TRICUBIC" not in " ".join(rows)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("steps 10", "steps 160", "steps"),
        ("polar 0.91463969894451", "polar 0.9146", "polar"),
        ("k_frac=-0.591177727127406", "k_frac=-0.6", "phi 1: k_frac"),
        ("hkl_rounded -7 -1 -14", "hkl_rounded -7 -1", "hkl_rounded"),
        ("I_pixel_final 2.88139542684698e-07", "I_pixel_final nan", "I_pixel_final"),
        ("convention CUSTOM", "convention MOSFLM", "convention"),
        ("steps 10", "steps ten", "steps"),
        # 1/m is no excuse for another direction
        ("scattering_vec_A_inv -0.155623068607047", "scattering_vec_A_inv 0.155623068607047", "scattering_vec_A_inv"),
    ],
)
def test_first_divergence(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in PY_LOG
    assert first(tmp_path, PY_LOG, PY_LOG.replace(old, new)) == expected
    assert first(tmp_path, PY_LOG.replace(old, new), PY_LOG) == expected


def test_causes_come_before_effects(tmp_path: Path) -> None:
    """The beam is printed behind the detector corner that follows from it; a wrong beam is named all the same."""
    wrong = PY_LOG.replace("pix0_vector_meters -0.216", "pix0_vector_meters -0.217").replace(
        "incident_vec 0.0", "incident_vec 0.1"
    )
    assert wrong.index("pix0_vector") < wrong.index("incident_vec")
    (comparison,) = compare_traces(*logs(tmp_path, PY_LOG, wrong))
    assert comparison.first is not None and comparison.first.key == "incident_vec"
    text = verdict(comparison)
    assert "-beam_vector" in text and "also different: pix0_vector_meters" in text


def test_image_pixel_of_a_float32_kernel_is_no_divergence(tmp_path: Path) -> None:
    a = PY_LOG + "TRACE_PY: floatimage_accumulated 2.88139548e-07\n"
    assert first(tmp_path, a, a.replace("floatimage_accumulated 2.88139548", "floatimage_accumulated 2.88141")) is None


def test_tolerance(tmp_path: Path) -> None:
    wrong = PY_LOG.replace("polar 0.91463969894451", "polar 0.9146")
    assert first(tmp_path, PY_LOG, wrong, rtol=1e-4) is None
    assert first(tmp_path, PY_LOG, wrong, rtol=1e-5) == "polar"
    with pytest.raises(ConfigError, match="rtol"):
        first(tmp_path, PY_LOG, wrong, rtol=-1)


def test_indices_near_zero_are_compared_as_phases(tmp_path: Path) -> None:
    a, b = "TRACE_PY: hkl_frac 1e-17 0 0\n", "TRACE_PY: hkl_frac 0 0 0\n"
    assert first(tmp_path, a, b) is None
    assert first(tmp_path, a, b.replace("hkl_frac 0", "hkl_frac 0.001")) == "hkl_frac"


def test_repeated_factors_are_numbered(tmp_path: Path) -> None:
    a = "TRACE_C: F_latt 1\nTRACE_C: F_latt 2\nTRACE_C: F_latt 3\n"
    assert first(tmp_path, a, a.replace("F_latt 2", "F_latt 5")) == "F_latt[2]"


def test_pixels_are_found_by_their_number(tmp_path: Path) -> None:
    one, two = "TRACE_PY: pixel 1 1\nTRACE_PY: polar 0.5\n", "TRACE_PY: pixel 2 2\nTRACE_PY: polar 0.7\n"
    comparisons = compare_traces(*logs(tmp_path, one + two, two + one))
    assert [(c.pixel, c.first) for c in comparisons] == [((1, 1), None), ((2, 2), None)]
    with pytest.raises(FileError, match=r"different pixels.*\(1, 1\).*\(2, 2\)"):
        compare_traces(*logs(tmp_path, one, two))


# no quotient of two of them underflows
number = st.floats(-1e100, 1e100).filter(lambda x: x == 0 or abs(x) > 1e-100)


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from([k for k in FACTORS if k != "physics"]), st.lists(number, min_size=1, max_size=3))
)
def test_a_trace_agrees_with_itself_and_order_does_not_matter(factors: dict[str, list[float]]) -> None:
    if not factors:
        return
    a, b = TraceLog(Path("a")), TraceLog(Path("b"))
    for key, values in factors.items():
        a.add(key, tuple(values))
    for key, values in reversed(factors.items()):
        b.add(key, tuple(values))
    (comparison,) = compare_traces([a], [b], rtol=0.0)
    assert comparison.first is None
    assert all(row.relative == 0 or row.relative != row.relative for row in comparison.rows)


@settings(max_examples=60)
@given(st.lists(number, min_size=1, max_size=4), st.lists(number, min_size=1, max_size=4))
def test_the_relative_difference_is_symmetric(x: list[float], y: list[float]) -> None:
    a, b = TraceLog(Path("a")), TraceLog(Path("b"))
    a.add("fdet_vec", tuple(x))
    b.add("fdet_vec", tuple(y))
    (forth,), (back,) = compare_traces([a], [b])[0].rows, compare_traces([b], [a])[0].rows
    assert forth.relative == back.relative and forth.differs == back.differs
    assert (forth.relative == 0) == (x == y)


#: k_frac of the phi steps of the C program at pixel slow 685, fast 1039 of the published traces, and of one that rotates.
STALE = (-0.607255839576692, -0.591177727127406, -0.593187702936187, -0.607255839576692)
ROTATED = (-0.589167775012345, *STALE[1:])


def steps(k_frac: tuple[float, ...], prefix: str = "TRACE_C") -> str:
    return "".join(f"{prefix}_PHI phi_tic={i} phi_deg={i / 100} k_frac={k:.15g}\n" for i, k in enumerate(k_frac))


def test_the_limit_of_indices(tmp_path: Path) -> None:
    """It matters where other factors may differ by more."""
    both = logs(tmp_path, steps(ROTATED), steps(tuple(k + 4e-4 for k in ROTATED)))
    assert [compare_traces(*both, rtol)[0].passed for rtol in (1e-6, 1e-2)] == [False, True]
    (comparison,) = compare_traces(*both, 1e-2, max_dhkl=3e-4)
    assert comparison.first is None and not comparison.passed
    with pytest.raises(ConfigError, match="--max-dhkl must be >= 0"):
        compare_traces(*both, 1e-6, -1.0)


# --- JSON of other programs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["entries", "traces", "phi", "bare"])
def test_phi_steps_as_json_are_read_whoever_wrote_them(form: str, tmp_path: Path) -> None:
    entries = [
        {"phi_tic": i, "phi_deg": i / 100, "k_frac": k, "F_latt_b": 1.05, "F_latt": -2.4} for i, k in enumerate(STALE)
    ]
    pixel = {"slow": 685, "fast": 1039}
    content = {
        "entries": {
            "timestamp": "2025-10-08T01:14:02",
            "pixel": pixel,
            "config": "supervisor",
            "per_phi_entries": entries,
        },
        "traces": {"pixel": [685, 1039], "traces": entries},
        "phi": {"phi": entries},
        "bare": entries,
    }[form]
    (tmp_path / "a.json").write_text(json.dumps(content))
    (log,) = read_traces(tmp_path / "a.json")
    assert log.pixel == ((685, 1039) if form in ("entries", "traces") else None)
    assert [log.phi[tic]["k_frac"] for tic in range(4)] == [(k,) for k in STALE]
    (tmp_path / "b.log").write_text(steps(STALE))
    (comparison,) = compare_traces([log], read_traces(tmp_path / "b.log"))
    assert comparison.passed and comparison.max_dhkl == 0.0


# --- files and command line --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no trace"),
        ("a log\nof something else\n", "holds no trace"),
        ("TRACE_C: steps 10\nTRACE_C: polar\n", r"line 2 of .*: polar has no value"),
        ("TRACE_C: \n", r"line 1 of .* names no factor"),
        ("TRACE_C: = 3\n", r"line 1 of .* names no factor"),
        ("TRACE_C_PHI k_frac=1\n", r"line 1 of .* without a whole phi_tic"),
        ("TRACE_C_PHI phi_tic=0 k_frac=-0.59e\n", r"line 1 of .*: k_frac=-0.59e is not a number"),
        ("TRACE_C_PHI phi_tic=0 k_frac=\n", r"line 1 of .*: k_frac= is not a number"),
        ('{"traces": [{"pixel": [1', "not complete JSON"),
        ('{"facts": {}}', "neither of 'nbnumba trace --json'"),
        ('{"traces": [{"pixel": 3, "factors": {}}]}', "neither of 'nbnumba trace --json'"),
        (
            "1039  685 : stol = 2.18e+09 or 0.218\nat 0.23 0.099 -0.035\n",
            r"prints for -printout_pixel, .* docs/trace\.md",
        ),
        ("TRACE_C: \x00\n", "is not a text file"),
    ],
)
def test_malformed_logs_end_in_one_sentence(tmp_path: Path, capsys, text: str, message: str) -> None:
    good, bad = tmp_path / "good.log", tmp_path / "bad.log"
    good.write_text(PY_LOG)
    bad.write_text(text)
    for words in ([bad, good], [good, bad]):
        assert main(["compare-traces", *map(str, words)]) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and err.startswith("nbnumba: error: ")
        assert re.search(message, err)


def test_missing_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare-traces", str(tmp_path / "none.log"), str(tmp_path / "none.log")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_nothing_in_common(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no factor in common"):
        compare_traces(*logs(tmp_path, "TRACE_C: steps 10\n", "TRACE_C: polar 1\n"))


FLAGS = "-cell 40 50 60 -default_F 100 -N 5 -distance 80 -pixel 0.3 -detpixels 16 -oversample 1 -osc 0.3 -phisteps 3 -q"


def test_text_and_json_of_one_trace_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "trace.json"
    assert main(["trace", "3", "4", "5", "6", *FLAGS.split(), "--json", str(file), "--per-phi"]) == 0
    (tmp_path / "trace.log").write_text(capsys.readouterr().out)
    # 15 digits in the text, all of them in the JSON
    assert main(["compare-traces", str(tmp_path / "trace.log"), str(file), "--rtol", "1e-14"]) == 0
    assert capsys.readouterr().out.count("no divergence") == 2


def test_output_files_and_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    a.write_text(PY_LOG)
    b.write_text(PY_LOG.replace("steps 10", "steps 160"))
    words = ["compare-traces", str(a), str(b), "--json", str(tmp_path / "c.json"), "--csv", str(tmp_path / "c.csv")]
    assert main(words) == 1
    assert "first divergence: steps: 10 in A, 160 in B (relative difference 0.938)" in capsys.readouterr().out
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["pixels"][0]["first_divergence"]["key"] == "steps"
    with open(tmp_path / "c.csv", newline="") as handle:
        table = list(csv.DictReader(handle))
    assert {row["factor"]: row["differs"] for row in table}["steps"] == "1"
    assert {row["slow"] for row in table} == {"685"}
    assert main(["compare-traces", str(a), str(a)]) == 0


# --- the page in docs/ -------------------------------------------------------------------------------------------


def commands() -> list[str]:
    """Commands of the worked example, continuation lines joined."""
    page = (DOCS / "trace.md").read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"(?m)^    \$ (.+)$", page)


def test_worked_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command of docs/trace.md but the demo's picture and the other program is run; each mistake is named."""
    from nbnumba.data import lysozyme_text

    monkeypatch.chdir(tmp_path)
    Path("demo").mkdir()
    Path("demo/lysozyme.hkl").write_text(lysozyme_text())
    variables: dict[str, str] = {}
    verdicts = []
    printed = ""
    for command in commands():
        if assignment := re.fullmatch(r"(\w+)='(.*)'", command):
            variables[assignment[1]] = " ".join(assignment[2].split())
            continue
        for name, value in variables.items():
            command = command.replace(f"${name}", value)
        words = shlex.split(command)
        if words[:2] == ["nbnumba", "demo"] or "--against" in words:
            continue
        target = words[words.index(">") + 1] if ">" in words else None
        code = main(words[1 : words.index(">")] if target else words[1:])
        out = capsys.readouterr().out
        printed += out
        if target:
            assert code == 0, command
            Path(target).write_text(out)
        elif words[1] == "compare-traces":
            verdicts.append(re.findall(r"first divergence: (\w+)", out))
            assert code == (1 if verdicts[-1] else 0)
    assert verdicts == [["steps"], ["fluence_photons_per_m2"], ["incident_vec"]]
    page = (DOCS / "trace.md").read_text(encoding="utf-8")
    for line in re.findall(r"(?m)^    (first divergence: .*|  \w+ is: .*)$", page):
        assert line.removesuffix(" ...") in printed
    good = read_traces("good.log")[0].factors
    quoted = re.findall(r"(?m)^    TRACE_PY: (\w+) (.*)$", page)
    assert len(quoted) == 11
    for key, text in quoted[1:]:
        wanted = good[key]
        # libraries of other machines round the 15th digit otherwise, and the image is float32
        bar = 1e-5 if key == "floatimage_accumulated" else 1e-10
        assert text == wanted or [float(word) for word in text.split()] == pytest.approx(list(wanted), rel=bar), key


def test_phi_steps_that_one_log_lacks_are_told(tmp_path: Path) -> None:
    shorter = "\n".join(line for line in PY_LOG.splitlines() if "phi_tic=1" not in line)
    (comparison,) = compare_traces(*logs(tmp_path, PY_LOG, shorter))
    assert comparison.first is None
    assert "2 phi steps in A, 1 in B: only those of both are compared" in comparison.notes


def test_the_first_phi_step_that_differs_is_named_beside_a_cause(tmp_path: Path) -> None:
    wrong = PY_LOG.replace("hkl_frac -6.8795206024501", "hkl_frac -6.9").replace(
        "F_latt=1.09860741704356", "F_latt=2.5"
    )
    (comparison,) = compare_traces(*logs(tmp_path, PY_LOG, wrong))
    text = verdict(comparison)
    assert text.startswith("first divergence: hkl_frac")
    assert "first phi step that differs: phi 1: F_latt: 1.09860741704356 in A, 2.5 in B" in text


def test_markdown_is_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.log").write_text(C_LOG)
    Path("b.log").write_text(PY_LOG.replace("steps 10", "steps 20"))
    assert main(["compare-traces", "a.log", "b.log", "--markdown", "a.md"]) == 1
    lines = Path("a.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {7} and rows[1] == "|---|---|---|---|---|---|"
    assert "| **differs** | steps | 10 | 20 | 0.5 |  |" in rows
    assert lines[:2] == ["A: `a.log`  ", "B: `b.log`"] and any("first divergence: steps" in line for line in lines)
