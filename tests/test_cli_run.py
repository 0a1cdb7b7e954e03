"""``nbnumba run`` from the configuration it builds to exit codes, help, log and the files of a whole run."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from nbnumba import config
from nbnumba.cli import main as cli_main
from nbnumba.cli import report
from nbnumba.cli.build import RunOptions, build
from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.flags import Flag
from nbnumba.cli.parse import parse
from nbnumba.errors import ConfigError, FileError
from nbnumba.outputs import Outputs
from tests.conftest import CASES, GOLDEN
from tests.terminal import shown_on_terminal
from tests.test_cli_flags import ORIGIN

ROOT = Path(__file__).parent.parent
CELL = ("-cell", "50")


def shell(*words: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m nbnumba`` in its own process."""
    return subprocess.run(
        [sys.executable, "-m", "nbnumba", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **environment},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )


# --- from values to the configuration ----------------------------------------------------------------------------


def test_only_what_is_given_departs_from_the_defaults() -> None:
    simulation, outputs, options = build(parse(CELL))
    assert simulation.beam == config.Beam() and simulation.detector == config.Detector()
    assert simulation.scan == config.Scan() and simulation.sampling == config.Sampling()
    assert outputs == Outputs() and options == RunOptions()


def test_sizes_of_the_axes_are_independent() -> None:
    assert build(parse([*CELL, "-xtal_x", "1", "-height", "3"]))[0].crystal.size_mm == (1, 0, 3)


def test_a_refused_value_names_its_flag() -> None:
    with pytest.raises(ConfigError, match=r"^detector.distance_mm must be > 0, got -5.0 \(from -distance\)$"):
        build(parse([*CELL, "-distance", "-5"]))
    with pytest.raises(ConfigError, match=r"--threads must be at least 1, got 0"):
        build(parse([*CELL, "--threads", "0"]))


def test_two_outputs_must_not_be_one_file() -> None:
    with pytest.raises(ConfigError, match=r"outputs\.intfile and outputs\.floatfile must be different files"):
        build(parse([*CELL, "-floatfile", "a.bin", "-intfile", "./a.bin"]))
    build(parse([*CELL, "-floatfile", os.devnull, "-intfile", os.devnull]))


def test_a_picture_is_not_called_what_it_is_not() -> None:
    with pytest.raises(ConfigError, match=r"must be called so, got a\.jpg \(from --preview\)"):
        build(parse([*CELL, "--preview", "a.jpg"]))
    assert build(parse([*CELL, "--preview", "a.PNG"]))[1].preview == Path("a.PNG")


@pytest.mark.parametrize("name", ["mask", "img_header", "quirk_img_close_distance"])
def test_headers_give_the_geometry_of_the_golden_cases(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    case = CASES[name]
    simulation, *_ = build(parse(case["args"]))
    detector, expect = simulation.detector, case["expect"]
    assert (detector.spixels, detector.fpixels) == tuple(case["shape"])
    # a header's decimal number times 1e-3 or pi/180 is rounded once or twice
    assert detector.pixel_mm == pytest.approx(1e3 * expect["pixel_m"], rel=1e-14)
    assert detector.Xbeam_mm == pytest.approx(1e3 * expect["Xbeam_m"], rel=1e-14)
    assert detector.Ybeam_mm == pytest.approx(1e3 * expect["Ybeam_m"], rel=1e-14)
    distance = detector.close_distance_mm if detector.close_distance_mm is not None else detector.distance_mm
    assert distance == pytest.approx(1e3 * expect["distance_m"], rel=1e-14)
    assert simulation.scan.phi_deg == pytest.approx(expect["phi_start_deg"], rel=1e-14)
    turned = simulation.scan.phi_deg + (simulation.scan.osc_deg or 0.0)
    assert turned == pytest.approx(expect["phi_end_deg"], rel=1e-14)
    assert detector.twotheta_deg == 0, "TWOTHETA of a header is not read"
    assert (simulation.mask is not None) == (name == "mask")


def test_flags_beat_headers_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    simulation, *_ = build(parse([*CELL, "-distance", "80", "-img", "inputs/header.img", "-mask", "inputs/header.img"]))
    assert simulation.detector.distance_mm == 80
    assert simulation.detector.Ybeam_mm == 14.1, "the image's header counts after the mask's"
    assert simulation.beam.wavelength_A == 1.0332


def test_mask_of_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(ConfigError, match=r"mask has 90 x 70 pixels .* detector has 96 x 72 \(from the header of"):
        build(parse([*CELL, "-mask", "inputs/mask.img", "-img", "inputs/header.img"]))
    with pytest.raises(ConfigError, match=r"mask has 90 x 70 pixels .* detector has 64 x 64 \(from -detpixels\)"):
        build(parse([*CELL, "-mask", "inputs/mask.img", "-detpixels", "64"]))


def test_matrix_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    simulation, *_ = build(parse(["-mat", "inputs/tri_A.mat"]))
    assert np.allclose(simulation.crystal.A_matrix[:3], (-0.02412425, 0.01958416, -0.00236541), rtol=0, atol=0)
    with pytest.raises(FileError, match=r"missing\.mat"):
        build(parse(["-mat", "missing.mat"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-hkl", "my.hkl", "-intfile", "my.hkl"], "-intfile would replace my.hkl, which -hkl reads"),
        (["-hkl", "my.hkl", "-dump", "./my.hkl"], "-dump would replace my.hkl, which -hkl reads"),
        (["-mat", "A.mat", "--json", "A.mat"], "--json would replace A.mat, which -mat reads"),
        (["-mask", "intimage.img"], "-intfile would replace intimage.img, which -mask reads"),
    ],
)
def test_no_file_of_a_run_replaces_one_that_it_reads(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.hkl").write_text("1 0 0 5\n")
    (tmp_path / "A.mat").write_text("1 0 0 0 1 0 0 0 1\n")
    (tmp_path / "intimage.img").write_bytes((GOLDEN / "inputs/mask.img").read_bytes())
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(parse([*CELL, *words]))


def test_a_header_may_be_taken_from_the_image_that_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "intimage.img").write_bytes((GOLDEN / "inputs/header.img").read_bytes())
    assert build(parse([*CELL, "-img", "intimage.img"]))[1].intfile == Path("intimage.img")


@pytest.mark.parametrize("name", CASES)
def test_golden_cases_build(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    simulation, *_ = build(parse(CASES[name]["args"]))
    convention = CASES[name]["expect"]["convention"].upper()
    assert simulation.detector.convention == convention


# --- help --------------------------------------------------------------------------------------------------------


def default_of(dest: str) -> object:
    part, _, name = dest.partition(".")
    return next(entry.default for entry in fields(ORIGIN[part]) if entry.name == name)


@pytest.mark.parametrize("flag", [f for f in FLAGS if f.dest and "[" not in f.dest[0]], ids=lambda flag: flag.name)
def test_defaults_in_the_help_are_those_of_the_configuration(flag: Flag) -> None:
    if flag.dest[0].partition(".")[0] in ("input", "trace"):
        return
    default = default_of(flag.dest[0])
    if isinstance(default, bool) or default is None or (not flag.default and "Default:" in flag.help):
        return
    if not flag.default:
        # the help may leave out a default that another flag with the same destination shows
        assert any(f.default for f in FLAGS if f is not flag and set(f.dest) & set(flag.dest)) or default in (0, "BEAM")
    elif isinstance(default, (int, float)):
        digits = len(flag.default.partition("e")[0].replace(".", "").lstrip("0")) or 1
        assert float(flag.default) == float(f"{default:.{digits - 1}e}")
    else:
        assert flag.default == str(default)


def test_help_groups_commands_and_names_values_in_words() -> None:
    lines = shell("--help").stdout.splitlines()
    titles = [match[1] for line in lines if (match := re.match("╭─ ([A-Za-z ]+) ─", line))]
    assert titles == ["Options", "Simulate", "Compare", "This installation"]
    for command in ("compare", "compare-traces", "demo"):
        options = shell(command, "--help").stdout.partition("─ Options ─")[2]
        assert "--help" in options and not re.search("<(path|str|float|int)>", options), options


def test_help_fits_80_columns_without_cut_text() -> None:
    result = shell("run", "--help")
    assert result.returncode == 0
    assert "…" not in result.stdout and "..." not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    words = set(re.findall(r"--?[A-Za-z0-9_][A-Za-z0-9_-]*", result.stdout))
    assert {spelling for flag in FLAGS for spelling in flag.spellings} <= words
    assert all(panel in result.stdout for panel in {flag.panel for flag in FLAGS})


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"], ["run", "-hdiv", "0"], []])
def test_nothing_heavy_is_loaded_for_help(words: list[str]) -> None:
    heavy = {"numpy", "numba", "matplotlib", "fabio", "scipy"}
    code = (
        "import sys\nfrom nbnumba.cli.main import main\n"
        f"main({words!r})\nsys.exit(' '.join({heavy!r} & sys.modules.keys()) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_of_flags(shell_name: str) -> None:
    line = "nbnumba run -N 5 -dista"
    result = shell(
        _NBNUMBA_COMPLETE=f"complete_{shell_name}",
        COMP_WORDS=line,
        COMP_CWORD="4",
        _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert "-distance" in result.stdout
    assert "Traceback" not in result.stderr


# --- exit codes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "-hdiv", "0"], 2, "nbnumba: error: unknown option -hdiv; did you mean -hdivrange?\n"),
        (["run", "-distance", "abc"], 2, "nbnumba: error: -distance needs a number in mm, got 'abc'\n"),
        (["runn"], 2, "nbnumba: error: No such command 'runn'"),
        (["simulate"], 2, "nbnumba: error: No such command 'simulate'. 'nbnumba --help' lists them.\n"),
        (["help", "run"], 2, "nbnumba: error: unknown command 'help'; did you mean --help?\n"),
        (["-mat", "A.mat"], 2, "nbnumba: error: a command comes before the flags: nbnumba run -mat ...\n"),
        (["demo", "-device", "cpu"], 2, "nbnumba: error: unknown option -device; 'nbnumba demo --help' lists those"),
        (["run", "-N", "5"], 1, "nbnumba: error: crystal needs a matrix or a cell"),
        (["run", "-mat", "no/such.mat"], 1, "nbnumba: error: "),
    ],
)
def test_exit_codes_and_the_message_alone(words: list[str], code: int, message: str) -> None:
    result = shell(*words)
    assert result.returncode == code
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1 and result.stdout == ""


def test_version() -> None:
    result = shell("--version")
    assert (result.returncode, result.stdout) == (0, "nbnumba 0.1.0\n")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 1, "not enough memory for this image; fewer pixels need less of it"),
        (RuntimeError("boom"), 1, "unexpected RuntimeError: boom; run again with --debug to see where"),
        (FileNotFoundError(2, "No such file or directory", "x.y"), 1, "No such file or directory: x.y"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
        (KeyboardInterrupt(), 130, "interrupted; no file was written"),
    ],
)
def test_failures_inside_a_command(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("nbnumba.cli.run.run", fail)
    for stream in ("stdout", "stderr"):  # Typer replaces them when a pipe is broken
        monkeypatch.setattr(sys, stream, getattr(sys, stream))
    assert cli_main.main(["run", *CELL]) == code
    stderr = capsys.readouterr().err
    assert message in stderr and "Traceback" not in stderr


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("nbnumba.cli.run.run", fail)
    assert cli_main.main(["run", *CELL, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("nbnumba.cli.run.run", lambda _: signal.raise_signal(number))
    handler = signal.getsignal(number)
    assert cli_main.main(["run", *CELL]) == code
    assert "interrupted; no file was written" in capsys.readouterr().err
    assert signal.getsignal(number) is handler


# --- log and record ----------------------------------------------------------------------------------------------


def test_log_lines_show_units_and_leave_out_what_is_unknown() -> None:
    facts = {"fpixels": 4, "spixels": 3, "pixel_m": 1e-4, "detsize_fast_m": 4e-4, "detsize_slow_m": 3e-4}
    facts |= {"N": [1, 2, 3], "xtal_shape": "round", "roi": None, "detector_thick_m": 0.0, "dmin_A": 2.5}
    lines = [line.split(None, 1) for line in report.experiment_lines(facts)]
    assert lines == [
        ["detector:", "4 x 3 pixels (fast x slow) of 0.1 mm, 0.4 mm x 0.3 mm"],
        ["crystal:", "1 x 2 x 3 cells, round"],
        ["resolution:", "nothing beyond 2.5 Å"],
    ]


def test_quiet_log_keeps_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    report.set_up_log(quiet=True)
    report.say(["fact"])
    report.warn(["mind this"])
    assert capsys.readouterr().err == "warning: mind this\n"
    report.set_up_log(quiet=False)
    report.say(["fact"])
    assert capsys.readouterr().err == "fact\n"


def test_json_holds_plain_finite_values(tmp_path: Path) -> None:
    from nbnumba.cli.run import write_json

    content = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": (math.nan, math.inf), "d": Path("x"), "e": True}
    write_json(tmp_path / "a.json", content)
    read = json.loads((tmp_path / "a.json").read_text())
    assert read == {"a": 0.5, "b": [1, 2], "c": [None, None], "d": "x", "e": True}


def test_an_interrupt_after_the_files_names_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nbnumba.cli import interrupt

    def late(invocation: object) -> None:
        interrupt.completed.append(Path("floatimage.bin"))
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("nbnumba.cli.run.run", late)
    assert cli_main.main(["run", "-default_F", "1", "-cell", "50"]) == 130
    assert "complete files: floatimage.bin" in capsys.readouterr().err


def test_a_signal_lost_in_a_callback_stops_the_run_at_the_next_band() -> None:
    from nbnumba.cli import interrupt
    from nbnumba.cli.run import progress_bar

    with interrupt.handled(), progress_bar(True) as progress:
        progress(0.1)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            progress(0.2)


def test_a_refused_header_value_names_the_file(tmp_path: Path) -> None:
    header = (
        "{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nBYTE_ORDER=little_endian;\nSIZE1=4;\nSIZE2=3;\nDISTANCE=0;\n}\n"
    )
    image = tmp_path / "zero.img"
    image.write_bytes(header.encode().ljust(512) + bytes(24))
    with pytest.raises(ConfigError, match=r"detector.distance_mm must be > 0, got 0.0 \(from the header of .*DISTANCE"):
        build(parse([*CELL, "-img", str(image)]))
    detector = build(parse([*CELL, "-img", str(image), "-distance", "70"]))[0].detector
    assert (detector.distance_mm, detector.fpixels, detector.spixels) == (70, 4, 3)


# --- whole runs --------------------------------------------------------------------------------------------------

SMALL = ("-cell", "30", "40", "50", "-default_F", "100", "-N", "3", "-detpixels", "16", "-pixel", "1")
SMALL = (*SMALL, "-oversample", "1", "-nopgm", "--device", "cpu")


def test_a_run_writes_its_files_and_its_record(tmp_path: Path) -> None:
    result = shell("run", *SMALL, "-misset", "random", "--json", "run.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {
        "floatimage.bin",
        "intimage.img",
        "noiseimage.img",
        "run.json",
    }
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["version"] == "0.1.0" and record["device"] == "cpu"
    assert record["facts"]["fpixels"] == 16 and math.isfinite(record["statistics"]["mean"])
    assert "16 x 16 pixels" in result.stderr and "wrote" in result.stderr
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".json"}
    again = shell(*record["command"][1:], "--quiet", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".json"}


def test_a_dark_image_is_remarked_upon(tmp_path: Path) -> None:
    (tmp_path / "far.hkl").write_text("40 40 40 100\n")
    words = ("run", *SMALL[:4], "-hkl", "far.hkl", *SMALL[6:], "--quiet")
    dark, lit = shell(*words, cwd=tmp_path), shell(*words, "-default_F", "1", cwd=tmp_path)
    assert dark.returncode == lit.returncode == 0, dark.stderr + lit.stderr
    assert "warning: every pixel is 0" in dark.stderr and "every pixel" not in lit.stderr


def test_dry_run_prints_the_facts_and_writes_nothing(tmp_path: Path) -> None:
    result = shell("run", *SMALL, "--dry-run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "3 x 3 x 3 cells, parallelepiped" in result.stderr and "(30 40 50 90 90 90)" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_stops_before_the_work(tmp_path: Path) -> None:
    result = shell("run", *SMALL, "--json", "no/run.json", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.endswith("nbnumba: error: cannot write no/run.json: the folder no does not exist\n")
    assert not list(tmp_path.iterdir())


ENDLESS = """
import os, signal, sys, threading
from nbnumba.cli.main import main
from nbnumba.dispatch import Renderer

render = Renderer.render

def interrupted(self, image, progress):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.{name})).start()
    return render(self, image, progress)

Renderer.render = interrupted
sys.exit(main())
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("shape", ["-square_xtal", "-gauss_xtal"])
def test_a_pixel_that_would_take_years_is_remarked_upon_and_can_be_stopped(
    name: str, code: int, shape: str, tmp_path: Path
) -> None:
    words = ["run", "-cell", "50", "-default_F", "10", "-N", "1e9", shape, "-detpixels", "8", "--device", "cpu"]
    child = subprocess.run(
        [sys.executable, "-c", ENDLESS.format(name=name), *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == code, child.stderr
    assert child.stderr.endswith("interrupted; no file was written\n")
    assert re.search(r"all pixels together have 1\.\de\+\d\d steps, some .* hours for 16 cores", child.stderr)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-N", "1e20"), "crystal.Na must be at most 1e+12, got 100000000000000000000 (from -N)"),
        (
            ("-N", "1e12"),
            "4.2e+11 x 4.2e+11 sub-pixels are more than can be counted: give -oversample 1, or fewer cells",
        ),
        (("-oversample", "4e9"), "4e+09 x 4e+09 sub-pixels are more than can be counted"),
        (
            ("-samplesize", "1e60", "-beamsize", "1e60"),
            "a crystal of 1e+60, 1e+60, 1e+60 mm has 2e+65 cells along an axis",
        ),
        ("-fdet_vector 0 0 1 -sdet_vector 0 0 -1".split(), "-fdet_vector and -sdet_vector are parallel: give two"),
        (("-cell", "50", "60", "1e-80"), "crystal.cell: edges are 0.001 to 1e+06 Å long, got (50.0, 60.0, 1e-80)"),
    ],
)
@pytest.mark.parametrize("shape", ["-square_xtal", "-gauss_xtal"])
def test_crystals_detectors_and_samplings_that_cannot_be_are_refused(
    words: Sequence[str], message: str, shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", "-cell", "50", "60", "70", "-default_F", "10", "-detpixels", "8", "-distance", "50", shape, *words]
    assert cli_main.main([*run, "-floatfile", str(tmp_path / "image.bin")]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


TINY = "-cell 50 60 70 -default_F 10 -N 5 -detpixels 16 -distance 50 -oversample 1 -nonoise --device cpu".split()


def test_a_bar_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    shown = shown_on_terminal("run", *TINY, cwd=tmp_path)
    assert "rendering" in shown and "100%" in shown
    assert "100%" not in shown_on_terminal("run", *TINY, "-noprogress", cwd=tmp_path)
    assert "100%" not in shell("run", *TINY, cwd=tmp_path).stderr


def test_the_short_way_and_typers_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain run goes past Typer, for speed."""
    files = []
    for name in ("short", "typer"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "short":
            assert cli_main.main(["run", *TINY, "--quiet"]) == 0
        else:
            cli_main.app(args=["run", *TINY, "--quiet"], prog_name="nbnumba", standalone_mode=False)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert files[0] == files[1] and "floatimage.bin" in files[0]


def test_what_gets_lost_is_told_unless_it_is_the_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    """Python reports what is raised where nobody can catch it; an interrupt is noticed later."""
    from nbnumba.cli import interrupt

    told: list[BaseException | None] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda lost: told.append(lost.exc_value)
    try:
        with interrupt.handled():
            for error in (KeyboardInterrupt(), ZeroDivisionError("of a callback")):

                class Lost:
                    def __del__(self, error: BaseException = error) -> None:
                        raise error

                Lost()
    finally:
        sys.unraisablehook = hook
    assert [str(error) for error in told] == ["of a callback"]


def test_a_negative_width_in_a_header_is_none_given(tmp_path: Path) -> None:
    """As in the reference."""
    for width, expected in ((0.5, 0.5), (-1.0, None)):
        header = (
            "{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nBYTE_ORDER=little_endian;\nSIZE1=4;\nSIZE2=3;\n"
            f"DISTANCE=90;\nPHI=7;\nOSC_RANGE={width};\n}}\n"
        )
        (tmp_path / "a.img").write_bytes(header.encode().ljust(512) + bytes(24))
        scan = build(parse([*CELL, "-img", str(tmp_path / "a.img")]))[0].scan
        assert (scan.phi_deg, scan.osc_deg) == (7, expected)


def test_an_empty_word_is_no_file() -> None:
    with pytest.raises(ConfigError, match="-floatfile needs the name of a file, got an empty word"):
        parse([*CELL, "-floatfile", ""])
