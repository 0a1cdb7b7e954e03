"""Run two simulators, mostly another one and nbnumba, with the same flags in clean folders; times and float images."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from json import loads
from pathlib import Path
from typing import Any

import numpy as np

import nbnumba
from nbnumba.cli.flag_table import TABLE
from nbnumba.errors import ConfigError, FileError
from nbnumba.io.raw import read_float_image

_FLOAT, _RECORD = "float.bin", "run.json"
#: Output flags of both programs. They come before the user's flags, so that the user's last word stays the last: there
#: nanoBragg.c ignores ``-curved_det``.
_OUTPUT = ("-floatfile", _FLOAT, "-intfile", "int.img", "-nonoise", "-nopgm")
_OURS = (
    "import sys; from nbnumba.cli.main import main; "  # installed or not, this interpreter's nbnumba
    "sys.exit(main(sys.argv[1:]))"
)


@dataclass(frozen=True)
class BothRuns:
    """Images and times of two programs.

    Attributes
    ----------
    a, b : (slow, fast) float32
        Images, photons; B is nbnumba's unless a second program is named.
    a_s, b_s : float
        Seconds of the whole processes.
    record : dict or None
        Record of nbnumba's run, as ``nbnumba run --json`` writes it; None where it did not render.
    """

    a: np.ndarray
    b: np.ndarray
    a_s: float
    b_s: float
    record: dict[str, Any] | None


def run_both(executable: str, flags: Sequence[str], keep: Path | None = None, second: str | None = None) -> BothRuns:
    """Run two programs with the same flags.

    Parameters
    ----------
    executable : str
        The other simulator: a path, a name to be found in PATH, or either with its first arguments.
    flags : sequence of str
        As for ``nbnumba run``. Names of output files are left out: both write only what is compared.
    keep : Path or None
        Folder for both float images and the output of the programs.
    second : str or None
        The program that takes nbnumba's place; None: nbnumba itself.

    Raises
    ------
    ConfigError
        A program does not exist.
    FileError
        A program fails, or writes no float image of the right size.
    """
    plain = [*_OUTPUT, *both_know(flags)]
    commands = {"other": [*_program(executable, "--against"), *plain]}
    if second is not None:
        commands["second"] = [*_program(second, "--py-bin"), *plain]
    with tempfile.TemporaryDirectory(prefix="nbnumba-") as folder:
        places = {name: Path(folder, name) for name in ("nbnumba", *commands)}
        for place in places.values():
            place.mkdir()
        # nbnumba first: it checks the flags, and its record has the image's size
        ours = [sys.executable, "-c", _OURS, "run", *_OUTPUT, *for_ours(flags), "--json", _RECORD, "--quiet"]
        ours += ["--dry-run"] if second is not None else []
        seconds = {"nbnumba": _run(ours, places["nbnumba"], "nbnumba", os.environ | {"PYTHONPATH": _python_path()})}
        record = loads((places["nbnumba"] / _RECORD).read_text())
        shape = record["facts"]["spixels"], record["facts"]["fpixels"]
        for name, command in commands.items():
            seconds[name] = _run(command, places[name], shlex.join(command[: -len(plain)]), dict(os.environ))
        compared = ("other", "nbnumba" if second is None else "second")
        called = {"other": executable, "nbnumba": "nbnumba", "second": second or ""}
        a, b = (_image(places[name], called[name], shape, keep) for name in compared)
    one, two = compared
    return BothRuns(a, b, seconds[one], seconds[two], record if second is None else None)


def _program(text: str, option: str) -> list[str]:
    """A program and its first arguments, with its absolute path."""
    try:
        words = [text] if shutil.which(text) else shlex.split(text)
    except ValueError:  # a quotation without an end
        words = []
    found = shutil.which(words[0]) if words else None
    if found is None:
        variable = ", or set NB_C_BIN" if option == "--against" else ""
        raise ConfigError(f"{text} cannot be run: give {option} PATH of a program{variable}")
    return [os.path.abspath(found), *words[1:]]


def _image(place: Path, program: str, shape: tuple[int, int], keep: Path | None) -> np.ndarray:
    if not (place / _FLOAT).exists():
        raise FileError(f"{program} wrote no float image; it printed last: {_last_words(place)}")
    if keep is not None:
        shutil.copy(place / _FLOAT, keep / f"{place.name}.bin")
        shutil.copy(place / "log.txt", keep / f"{place.name}.log")
    return read_float_image(place / _FLOAT, shape)


def both_know(flags: Sequence[str]) -> list[str]:
    """Flags for the other program: as :func:`for_ours`, without nbnumba's extensions."""
    return _rewritten(flags, extensions=False)


def for_ours(flags: Sequence[str]) -> list[str]:
    """Flags for nbnumba: without those of output files, and with absolute names of input files."""
    return _rewritten(flags, extensions=True)


def _rewritten(flags: Sequence[str], extensions: bool) -> list[str]:
    words, kept = list(flags), []
    has_hkl = any((f := TABLE.find(word)) is not None and f.name == "-hkl" for word in words)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        flag = TABLE.find(name)
        if flag is None:
            kept.append(word)
            continue
        if equals:
            words.insert(0, value)
        follows = 0 if flag.kind == "switch" else 1
        # with -hkl the dump is written, and neither program may write outside its folder
        writes = flag.panel == "Output" and flag.kind in ("path", "switch")
        writes = writes or (flag.name == "-dump" and has_hkl)
        if (
            writes
            or (flag.is_extension and not extensions)
            or flag.name in ("--quiet", "--dry-run", "-trace_pixel", "-printout_pixel", "-printout")
        ):
            del words[: 2 if flag.kind == "ints" else follows]
            continue
        kept.append(name)
        if flag.kind == "path" and words:
            kept.append(os.path.abspath(words.pop(0)))
    return kept


def _python_path() -> str:
    """Value of PYTHONPATH with which another process imports this nbnumba, also from a checkout not installed."""
    root = str(Path(nbnumba.__file__).resolve().parent.parent)
    before = os.environ.get("PYTHONPATH")
    return root + (os.pathsep + before if before else "")


def _run(command: list[str], folder: Path, name: str, environment: dict[str, str]) -> float:
    """Run a program in its folder, with its output in ``log.txt``; returns seconds."""
    start = time.perf_counter()
    with open(folder / "log.txt", "wb") as log:
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            )
        except OSError as error:
            raise FileError(f"cannot run {name}: {error.strerror}") from None
    seconds = time.perf_counter() - start
    if done.returncode != 0 and not (folder / _FLOAT).exists():
        raise FileError(f"{name} fails with exit code {done.returncode}: {_last_words(folder)}")
    return seconds


def _last_words(folder: Path) -> str:
    lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else "nothing"
