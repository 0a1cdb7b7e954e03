"""Locales, strange names, and broken standard streams."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from functools import partial
from random import Random
from typing import Any

from tests.campaigns.faults.lab import Done, Lab, Task, finish
from tests.campaigns.faults.machine import close
from tests.campaigns.faults.registry import choose, kind, prepared, trial
from tests.campaigns.faults.verdict import Trial


@kind("locale", "A locale with decimal commas, or one whose letters are not UTF-8.", 3)
def locale(lab: Lab, rng: Random) -> Trial:
    """German numbers through setlocale(), ASCII or Latin-1 terminals."""
    task, folder = prepared(lab, rng, "run", "run, all outputs", "compare", "trace")
    places = lab.scratch / "locale"
    if not places.exists():
        places.mkdir()
        for charset in ("UTF-8", "ISO-8859-1"):
            if shutil.which("localedef"):
                words = ["localedef", "-i", "de_DE", "-f", charset, str(places / f"de_DE.{charset}")]
                subprocess.run(words, check=False, capture_output=True)
    name = rng.choice(["de_DE.UTF-8", "de_DE.UTF-8", "de_DE.ISO-8859-1", "C"])
    env = {"LC_ALL": name, "LOCPATH": str(places), "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    wrapper = "import locale\ntry:\n    locale.setlocale(locale.LC_ALL, '')\nexcept locale.Error:\n    pass\n"
    act = lambda: lab.run(task, folder, wrapper=wrapper, env=env)  # noqa: E731
    return trial(lab, "locale", task, folder, (0,), act, note=name)


@kind("strange paths", "Folders and files with spaces, umlauts, line ends and bytes that are no UTF-8.", 4)
def paths(lab: Lab, rng: Random) -> Trial:
    """Run in such a folder, with such inputs; half of the inputs are missing."""
    task, folder = choose(lab, rng, "run", "run, all outputs", "trace", "compare"), lab.new_folder()
    odd = rng.choice(
        ["with space", "Müller ß 結晶", "two\nlines", "tab\tand 'quote\"", os.fsdecode(b"M\xfcller"), "-N"]
    )
    inner = folder / odd
    shutil.copytree(lab.inputs, inner)
    missing = rng.random() < 0.5 and task.name != "compare"
    if missing:
        (inner / "h.hkl").unlink()
    own = Lab(lab.scratch, lab.root)
    words = own.command(task)
    words = [word.replace(str(lab.inputs), str(inner) if task.name == "compare" else f"{odd}") for word in words]
    words = [word if not word.startswith("-N/") else f"./{word}" for word in words]

    def act() -> Done:
        place = inner if task.name == "compare" else folder
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return finish(subprocess.Popen(words, cwd=place, env=own.environment(), **pipes))  # type: ignore[call-overload]

    if task.name == "compare":
        groups = tuple(tuple(f"{odd}/{name}" for name in group) for group in task.groups)
        task = Task(task.name, task.words, groups, True, (f"{odd}/c",))
        right: dict[str, bytes] = {}
        found = trial(lab, "strange paths", task, folder, (0,), act, right=(right,))
        right |= {name: found.after.get(name, b"") for name in task.files}  # the names of A and B are in them
        return found
    return trial(lab, "strange paths", task, folder, (1,) if missing else (0,), act, note=repr(odd))


@kind("streams", "Standard input, output or error closed, full, or their reader gone.", 9)
def streams(lab: Lab, rng: Random) -> Trial:
    """Close, fill or break a standard stream."""
    task, folder = prepared(lab, rng, "run", "compare", "trace", "info", "info", "trace")
    way = rng.choice(["stdin closed", "stdout closed", "stderr closed", "both closed", "stdout full", "stderr full"])
    if rng.random() < 0.25:
        way = rng.choice(["stdout's reader gone", "stderr's reader gone"])
    speaks = task.name in ("compare", "trace", "info")
    codes: tuple[int, ...] = (0,)
    if speaks and way in ("stdout full", "stdout's reader gone"):
        codes = (1,)

    def act() -> Done:
        given: dict[str, Any] = {}
        closed = {"stdin closed": (0,), "stdout closed": (1,), "stderr closed": (2,), "both closed": (1, 2)}
        numbers = closed.get(way, ())
        before = partial(close, numbers)
        which = "stdout" if "stdout" in way else "stderr"
        with ExitStack() as stack:
            if way.endswith("full"):
                given[which] = stack.enter_context(open("/dev/full", "wb"))
            if way.endswith("gone"):
                read, write = os.pipe()
                os.close(read)
                given[which] = stack.enter_context(os.fdopen(write, "wb", closefd=True))
            return finish(lab.start(task, folder, before=before, **given))

    talks = "stderr" not in way and way != "both closed"
    return trial(lab, "streams", task, folder, codes, act, talks=talks, note=way)
