"""Every command and every Python block of README.md and docs/ is run, and prints what its page says.

Pages share this process: ``nbnumba ...`` is a call of the command line's ``main``. In a ``console`` block the lines
under a ``$`` command are expected in its output, in order; ``...`` stands for anything. A block that begins with a
comment naming a file (``# pink.txt``) is that file. A block that begins with ``# needs ...`` is shown and not run; so
are the programs of ``ELSEWHERE``. A Python block that needs a package of ``PACKAGES`` is run where that is installed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
#: Reasons that a page may give for a block that is not run, as its first line.
NEEDS = re.compile(
    r"# needs (a GPU|DIALS|CrystFEL|nanoBragg|a cluster|SLURM|the network|another environment|minutes|this checkout)"
)
#: Packages that Python blocks may need, by the words after ``# needs`` on their first line.
PACKAGES = {"PyTorch": "torch", "JAX": "jax"}
#: Programs that are not run where they stand, and where they are.
ELSEWHERE = {
    "make": "by .ci/run, or takes minutes",
    "pip": "by .ci/run, which installs the package in an environment of its own",
    "python -m pip": "as pip",
    "python -m bench.": "takes minutes; tests/ holds its parts",
    "python -m venv": "by .ci/run",
    "python3 -m venv": "by .ci/run",
    ". nb/bin/activate": "by .ci/run",
    "python3.11 tests/": "takes minutes",
    ".venv/bin/": "wants the environment that make makes; by .ci/run, or takes minutes",
    "python -m pytest": "is this test",
    "pytest": "is this test",
    "ruff": "by .ci/run",
    "mypy": "by .ci/run",
    "NUMBA_": "wants an environment of its own",
    "python -m tests.": "takes minutes",
    "python docs/": "by tests/house/test_docs.py",
    "NB_C_BIN=": "needs nanoBragg",
    "nbnumba bench": "takes minutes on idle cores",
    "git ": "needs the network",
    "dials.": "by tests/io/test_dials.py where DIALS is installed",
    "dev.dials.": "by tests/io/test_dials.py where DIALS is installed",
    "compute-sanitizer": "needs a GPU",
}
#: Pages whose blocks have a test of their own.
OWN_TEST = {
    "python.md": "tests/house/test_api.py",
    "trace.md": "tests/inspect/test_compare_traces.py",
    "design.md": "no commands",
}
#: Plain programs that pages use.
PROGRAMS = {"cat", "cp", "head", "ls", "mkdir"}
SMALL = "-cell 79.1 79.1 37.9 -default_F 100 -N 5 -detpixels 64 -oversample 1"
#: Pages that leave something out or describe work for many cores, and what is put in its place where it occurs.
SHRUNK = ("README.md", "series.md")
INSTEAD = (
    (r"trace \d+ \d+ FLAGS", f"trace 31 42 {SMALL}"),
    (r"\bFLAGS\b", SMALL),
    (r"--against nanoBragg", "--against ./nanoBragg"),
    (r"(--images|--stills) \d+", r"\1 2"),
    (r"(nbnumba (?:run|series) (?:[^\n]*\\\n)*[^\n#]*)", r"\1 -detpixels 64 -oversample 1 "),
    (r"(--geometry .*?)-detpixels 64 ", r"\1"),  # panels of a file cannot be changed
    (r" \.\.\.", ""),
    (r"--vary beam.toml", ""),
)


@dataclass(frozen=True)
class Block:
    """A block of code: where it begins, its language, its text."""

    page: str
    line: int
    language: str
    text: str


def pages() -> list[str]:
    return ["README.md", *sorted(path.name for path in DOCS.glob("*.md"))]


def text_of(page: str) -> str:
    text = (ROOT if page == "README.md" else DOCS).joinpath(page).read_text(encoding="utf-8")
    for what, instead in INSTEAD if page in SHRUNK else ():
        text = re.sub(what, instead, text)
    return text


def blocks(page: str) -> list[Block]:
    """Fenced blocks, and indented lines that are commands, from top to bottom."""
    text = text_of(page)
    found = [(m.start(), m[1], m[2]) for m in re.finditer(r"(?ms)^```(\w+)\n(.*?)^```$", text)]
    bare = re.sub(r"(?ms)^```.*?^```$", lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    indented = re.finditer(r"(?m)^    (?:\$ )?((?:nbnumba|python|pip|dials\.\w+) .*)$", bare)
    found += [(m.start(), "sh", m[1] + "\n") for m in indented]
    return [Block(page, 1 + text.count("\n", 0, start), *rest) for start, *rest in sorted(found)]


@cache
def lysozyme() -> str:
    from nbnumba.data import lysozyme_text

    return lysozyme_text()


def prepare(page: str, folder: Path) -> None:
    """What a page takes for granted."""
    if page != "tutorial.md":  # which begins with the demo itself
        (folder / "demo").mkdir()
        (folder / "demo" / "lysozyme.hkl").write_text(lysozyme())
    if page == "series.md":
        (folder / "lysozyme.hkl").write_text(lysozyme())
        (folder / "A.mat").write_text("0.012 0.001 0\n-0.001 0.012 0\n0 0 0.026\n")
    if page == "README.md":
        _prepare_readme(folder)


def _prepare_readme(folder: Path) -> None:
    from tests import geometry_inputs
    from tests.io import reflection_inputs

    (folder / "P1.hkl").write_text(lysozyme())
    (folder / "A.mat").write_text("0.012 0.001 0\n-0.001 0.012 0\n0 0 0.026\n")
    miller = reflection_inputs.make_asu("P 43 21 2")
    columns = {"FP": ("F", reflection_inputs.amplitudes(miller))}
    reflection_inputs.make_mtz(folder / "data.mtz", "P 43 21 2", columns, miller)
    models = geometry_inputs.an_experiment()  # of the crystal of data.mtz
    a, b, c = np.diag(reflection_inputs.CELLS["P 43 21 2"][:3]).tolist()
    models["crystal"][0] |= {"real_space_a": a, "real_space_b": b, "real_space_c": c}
    geometry_inputs.write(folder / "models.expt", models)
    for name in "ab":
        assert main(["run", *SMALL.split(), "-intfile", str(folder / f"{name}.img"), "-nonoise", "-nopgm", "-q"]) == 0
    other = folder / "nanoBragg"  # the other program is played by this one
    other.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m nbnumba run "$@"\n')
    other.chmod(0o755)
    for trace in ("c.log", "ours.log"):
        (folder / trace).write_text("TRACE_C: pixel 31 42\nTRACE_C: steps 1\n")


class Shell:
    """Runs the commands of a page in one folder, one after another."""

    def __init__(self, folder: Path, printed: Callable[[], str], chdir: Callable[[Path], None]) -> None:
        self.folder, self._printed, self._chdir = folder, printed, chdir
        self.variables: dict[str, str] = {}
        self.run = 0

    def __call__(self, command: str) -> tuple[int, str]:
        """Exit code and output of a command line."""
        command = command.replace("\\\n", " ")
        if assignment := re.fullmatch(r"(\w+)='(.*)'", command, re.DOTALL):
            self.variables[assignment[1]] = " ".join(assignment[2].split())
            return 0, ""
        if any(command.startswith(program) for program in ELSEWHERE):
            return 0, ""
        for name, value in sorted(self.variables.items(), reverse=True):
            command = command.replace(f"${name}", value)
        words = shlex.split(command, comments=True)
        assert "|" not in words and "$" not in command, f"write it without a pipe or shell magic: {command}"
        target = words[words.index(">") + 1] if ">" in words else None
        words = words[: words.index(">")] if target else words
        code, out, log = self._do(words)
        self.run += 1
        if target:
            (self.folder / target).write_text(out)
            out = ""
        return code, out + log

    def _do(self, words: list[str]) -> tuple[int, str, str]:
        if words[0] == "cd":
            self.folder = self.folder / words[1]
            self._chdir(self.folder)
            return 0, "", ""
        if words[0] == "nbnumba":
            self._printed()
            code = main(words[1:])
            out, err = self._printed()
            return code, out, err
        assert words[0] in PROGRAMS, f"unknown program {words[0]}"
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


def steps(block: Block) -> Iterator[tuple[str, list[str] | None]]:
    """Commands of a block with the output that the page shows; None where it shows none."""
    if block.language != "console":
        for command in re.findall(r"(?m)^((?:[^\n]*\\\n)*[^\n]*[^\\\n])$", _whole_assignments(block.text)):
            if not command.lstrip().startswith("#"):
                yield command, None
        return
    assert block.text.startswith("$ "), f"{block.page}:{block.line}: a console block begins with a command"
    for part in re.split(r"(?m)^\$ ", block.text)[1:]:
        command = re.match(r"\w+='[^']*'|(?:[^\n]*\\\n)*[^\n]*", part)
        assert command is not None
        yield command[0], [line for line in part[command.end() :].splitlines() if line.strip()]


def _whole_assignments(text: str) -> str:
    """Assignments of several lines, on one line each."""
    return re.sub(r"(?ms)^\w+='[^']*'$", lambda m: m[0].replace("\\\n", " ").replace("\n", " "), text)


def check_output(block: Block, command: str, expected: list[str] | None, code: int, output: str) -> None:
    where = f"{block.page}:{block.line}: {command}\n{output}"
    fails = any("error:" in line for line in expected or [])
    compares = command.startswith("nbnumba compare")
    assert (code != 0) if fails else (code == 0 or (compares and code == 1 and expected)), where
    rest = " ".join(output.split())
    for line in expected or []:
        pattern = re.escape(" ".join(line.split())).replace(re.escape("..."), ".*?")
        found = re.search(pattern, rest)
        assert found is not None, f"{line!r} is not in the output of {where}"
        rest = rest[found.end() :]


def reason(block: Block) -> str | None:
    """Why a block is not run; None: it is."""
    first = block.text.lstrip("$ ").partition("\n")[0]
    if not first.startswith("# needs "):
        return None
    assert NEEDS.match(first), f"{block.page}:{block.line}: {first!r} is no reason that is known"
    return first


def lacks_package(block: Block) -> bool:
    """Whether a block needs a package that is not installed."""
    needs = re.match(r"# needs (.*)\n", block.text)
    return needs is not None and importlib.util.find_spec(PACKAGES[needs[1]]) is None


@pytest.mark.parametrize("page", [page for page in pages() if page not in OWN_TEST])
def test_commands(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(page, tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    shell = Shell(tmp_path, capsys.readouterr, monkeypatch.chdir)
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        named = re.match(r"[#;] ([\w.-]+\.\w+)\b", block.text)
        if block.language == "python":
            if lacks_package(block):
                continue
            exec(compile(block.text, f"{page}:{block.line}", "exec"), namespace)
        elif block.language in ("text", "toml"):
            if named:
                (shell.folder / named[1]).write_text(block.text)
        elif block.language in ("sh", "bash", "console"):
            if reason(block) is None:
                for command, expected in steps(block):
                    check_output(block, command, expected, *shell(command))
        else:
            assert block.language in ("c", "json"), f"{page}:{block.line}: what is a {block.language} block?"


def test_every_fence_has_a_language() -> None:
    for page in pages():
        fences = re.findall(r"(?m)^```(.*)$", text_of(page))
        assert len(fences) % 2 == 0, page
        assert all(fences[::2]) and not any(fences[1::2]), page


def test_pages_with_a_test_of_their_own_exist() -> None:
    for page, where in OWN_TEST.items():
        assert (DOCS / page).is_file()
        if where.startswith("tests/"):
            assert page in (ROOT / where).read_text(encoding="utf-8")
        else:
            assert not [block for block in blocks(page) if block.language in ("sh", "bash", "console", "python")]


# --- the runner itself: a page that is wrong is found ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$ nbnumba --version\nnbnumba 99.9\n", "is not in the output"),
        ("$ nbnumba run -hdivr 3\n", "did you mean"),
        ("$ nbnumba --version\nnbnumba: error: no such thing\n", "--version"),
        ("$ curl example.org\n", "unknown program"),
        ("$ nbnumba --version | cat\n", "without a pipe"),
    ],
)
def test_wrong_blocks_are_found(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell(tmp_path, capsys.readouterr, os.chdir)
    block = Block("page.md", 1, "console", text)
    with pytest.raises(AssertionError, match=complaint):
        for command, expected in steps(block):
            check_output(block, command, expected, *shell(command))


def test_output_is_compared_in_order_and_with_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell(tmp_path, capsys.readouterr, os.chdir)
    text = "$ X='--version'\n$ nbnumba \\\n  $X > version.txt\n$ cat version.txt\nnbnumba ...\n"
    done = [command for command, _ in steps(Block("page.md", 1, "console", text))]
    assert done == ["X='--version'", "nbnumba \\\n  $X > version.txt", "cat version.txt"]
    for command, expected in steps(Block("page.md", 1, "console", text)):
        check_output(Block("page.md", 1, "console", text), command, expected, *shell(command))
    assert (tmp_path / "version.txt").read_text().startswith("nbnumba ")
    block = Block("page.md", 1, "console", "")
    check_output(block, "x", ["one", "t..."], 0, "zero one two")
    with pytest.raises(AssertionError, match="'one' is not in the output"):
        check_output(block, "x", ["two", "one"], 0, "zero one two")


def test_reasons_are_of_a_list() -> None:
    assert reason(Block("p", 1, "sh", "# needs a GPU\nx\n")) == "# needs a GPU"
    assert reason(Block("p", 1, "sh", "x\n# needs a GPU\n")) is None
    with pytest.raises(AssertionError, match="no reason that is known"):
        reason(Block("p", 1, "sh", "# needs luck\nx\n"))
