"""Run another simulator and nbnumba with the same flags in clean folders, time both, and read their float images."""

from __future__ import annotations

import os
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
    """Images and times of the two programs.

    Attributes
    ----------
    other, ours : (slow, fast) float32
        Images, photons.
    other_s, ours_s : float
        Seconds of the whole processes.
    record : dict
        Record of nbnumba's run, as ``nbnumba run --json`` writes it.
    """

    other: np.ndarray
    ours: np.ndarray
    other_s: float
    ours_s: float
    record: dict[str, Any]


def run_both(executable: str, flags: Sequence[str], keep: Path | None = None) -> BothRuns:
    """Run both programs with the same flags.

    Parameters
    ----------
    executable : str
        The other simulator: a path, or a name to be found in PATH.
    flags : sequence of str
        As for ``nbnumba run``. Names of output files are left out: both write only what is compared.
    keep : Path or None
        Folder for both float images and the output of the programs.

    Raises
    ------
    ConfigError
        The program does not exist.
    FileError
        A program fails, or writes no float image of the right size.
    """
    program = shutil.which(executable)
    if program is None:
        raise ConfigError(f"{executable} cannot be run: give --against PATH of a program, or set NB_C_BIN")
    program = os.path.abspath(program)
    plain = both_know(flags)
    with tempfile.TemporaryDirectory(prefix="nbnumba-") as folder:
        places = {name: Path(folder, name) for name in ("other", "nbnumba")}
        for place in places.values():
            place.mkdir()
        # nbnumba first: it checks the flags, and its record has the image's size
        command = [sys.executable, "-c", _OURS, "run", *_OUTPUT, *for_ours(flags), "--json", _RECORD, "--quiet"]
        ours_s = _run(command, places["nbnumba"], "nbnumba", os.environ | {"PYTHONPATH": _python_path()})
        record = loads((places["nbnumba"] / _RECORD).read_text())
        shape = record["facts"]["spixels"], record["facts"]["fpixels"]
        other_s = _run([program, *_OUTPUT, *plain], places["other"], executable, dict(os.environ))
        images = {}
        for name, place in places.items():
            if not (place / _FLOAT).exists():
                raise FileError(f"{executable} wrote no float image; it printed last: {_last_words(place)}")
            images[name] = read_float_image(place / _FLOAT, shape)
            if keep is not None:
                shutil.copy(place / _FLOAT, keep / f"{name}.bin")
                shutil.copy(place / "log.txt", keep / f"{name}.log")
    return BothRuns(images["other"], images["nbnumba"], other_s, ours_s, record)


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
