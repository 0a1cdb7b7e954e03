"""What ``nbnumba`` says: help, completion, the log; and the exit codes of wrong calls."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields

import pytest

import nbnumba
from nbnumba.cli import report
from nbnumba.cli.flag_table import FLAGS
from nbnumba.cli.flags import Flag
from tests.cli.test_flags import ORIGIN
from tests.terminal import ROOT, shell


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
    assert titles == ["Options", "Simulate", "Compare", "Refine", "This installation"]
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


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"], ["run", "-hdivr", "0"], []])
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


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "-hdivr", "0"], 2, "nbnumba: error: unknown option -hdivr; did you mean -hdivrange?\n"),
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
    assert (result.returncode, result.stdout) == (0, f"nbnumba {nbnumba.__version__}\n")


def test_log_lines_show_units_and_leave_out_what_is_unknown() -> None:
    facts = {"fpixels": 4, "spixels": 3, "pixel_m": 1e-4, "detsize_fast_m": 4e-4, "detsize_slow_m": 3e-4}
    facts |= {"N": [1, 2, 3], "xtal_shape": "round", "roi": None, "detector_thick_m": 0.0, "dmin_A": 2.5}
    lines = [line.split(None, 1) for line in report.experiment_lines(facts)]
    assert lines == [
        ["detector:", "4 x 3 pixels (fast x slow) of 0.1 mm, 0.4 mm x 0.3 mm"],
        ["crystal:", "1 x 2 x 3 cells, round"],
        ["resolution:", "limit 2.5 Å"],
    ]


def test_quiet_log_keeps_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    report.set_up_log(quiet=True)
    report.say(["fact"])
    report.warn(["mind this"])
    assert capsys.readouterr().err == "warning: mind this\n"
    report.set_up_log(quiet=False)
    report.say(["fact"])
    assert capsys.readouterr().err == "fact\n"
