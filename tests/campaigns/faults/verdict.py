"""What a fault has done: every file is the right one or as it was, one sentence, the right exit code."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.campaigns.faults.lab import TIMED, Done, Task

Outcome = Literal["complete", "none", "lost"]
#: What no user is to see.
UGLY = ("Traceback", "Exception ignored", "unexpected ", "Fatal Python", "terminate called", "core dumped")
#: How libraries begin what they say before they end the process for want of memory.
LIBRARIES = ("OpenBLAS", "libgomp", "OMP: Error", "LLVM ERROR")
ENDINGS = ("nbnumba: error: ", "interrupted; ")


@dataclass
class Trial:
    """One injected fault.

    Attributes
    ----------
    codes : tuple of int
        Exit codes that are right; those of a process that a signal kills count as the shell does, 128 + number.
    before, after : dict
        Everything below the folder: content of files, targets of links.
    right : tuple of dict
        Contents that its files may have when complete: of the undisturbed run, or of several that compete.
    killed : bool
        It could not clean up: temporary names may stay, and a group of files be split.
    touched : tuple of str
        Names that the fault itself removes or makes.
    talks : bool
        Whether what it said could be read at all.
    """

    kind: str
    task: Task
    done: Done
    codes: tuple[int, ...]
    before: dict[str, bytes]
    after: dict[str, bytes]
    right: tuple[dict[str, bytes], ...]
    killed: bool = False
    touched: tuple[str, ...] = ()
    talks: bool = True
    note: str = ""
    problems: list[str] = field(default_factory=list)
    outcome: Outcome = "none"

    @property
    def killed_by_library(self) -> bool:
        """Whether a library that cannot tell its caller of too little memory has ended the process."""
        return self.kind == "too little memory" and any(word in self.done.err for word in LIBRARIES)

    @property
    def code(self) -> int:
        """Exit code as a shell shows it."""
        return self.done.code if self.done.code >= 0 else 128 - self.done.code


def contents(folder: Path) -> dict[str, bytes]:
    """Everything below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = b"link to " + os.fsencode(os.readlink(path))
        elif path.is_file():
            found[name] = path.read_bytes()
        elif path.is_dir():
            found[name] = b"folder"
    return found


def judge(trial: Trial) -> Trial:
    """Fill in ``outcome`` and ``problems``."""
    states = [_group(trial, group) for group in trial.task.groups]
    if any(state == "lost" for state in states):
        trial.outcome = "lost"
    else:
        trial.outcome = "complete" if states and all(state == "new" for state in states) else "none"
        if not states and trial.done.code == 0:
            trial.outcome = "complete"
    if trial.code == 0 and any(state != "new" for state in states):
        trial.problems.append("exit code 0 without the files")
    if trial.code not in trial.codes:
        trial.problems.append(f"exit code {trial.code}")
    _look_for_leftovers(trial)
    _read_messages(trial)
    return trial


def _group(trial: Trial, names: tuple[str, ...]) -> str:
    states = {name: _state(trial, name) for name in names if name not in trial.touched}
    if states.get("Fdump.bin") == "old" and "warning: no dump of the structure factors" in trial.done.err:
        del states["Fdump.bin"]  # a convenience, without which a run does not fail
    for name, state in states.items():
        if state == "bad":
            trial.problems.append(f"{name} is neither the right file nor the old one")
            return "lost"
    found = set(states.values())
    if len(found) > 1:
        if trial.killed:
            return "old"
        trial.problems.append(f"some files are new, others not: {states}")
        return "lost"
    return found.pop() if found else "new"


def _state(trial: Trial, name: str) -> str:
    now, old = trial.after.get(name), trial.before.get(name)
    if now == old:
        return "old"
    if now is None:
        return "bad"
    if name.rsplit("/", 1)[-1] in TIMED:
        try:
            return "new" if isinstance(json.loads(now), dict) else "bad"
        except ValueError:
            return "bad"
    return "new" if any(now == right[name] for right in trial.right) else "bad"


def _look_for_leftovers(trial: Trial) -> None:
    for name in sorted(trial.after.keys() | trial.before.keys()):
        if name in trial.task.files or name.startswith(trial.touched or ("//",)):
            continue
        before, after = trial.before.get(name), trial.after.get(name)
        if before == after or name in trial.task.kept:
            continue
        last = name.rsplit("/", 1)[-1]
        temporary = last.startswith(".nbnumba-") and last.endswith(".tmp")
        continued = any(name.startswith(f"{folder}/") for folder in trial.task.kept if folder.endswith(".parts"))
        if (temporary and trial.killed) or (continued and not temporary):
            continue
        trial.outcome = "lost" if before is not None else trial.outcome
        trial.problems.append(f"{name} was {'lost or changed' if before is not None else 'left behind'}")


def _read_messages(trial: Trial) -> None:
    if not trial.talks:
        return
    err = trial.done.err
    if _before_the_program(trial):
        return
    for word in UGLY:
        if word in err:
            trial.problems.append(f"stderr holds {word!r}: {err[-300:]!r}")
            return
    lines = [line for line in err.splitlines() if line]
    endings = [line for line in lines if line.startswith(ENDINGS)]
    if trial.killed_by_library and not endings:  # it ends the process by itself, after a word of its own
        trial.note += " (a library gave up)"
        return
    wanted = {1} if trial.done.code > 0 else {0} if trial.done.code == 0 else {0, 1}  # a second signal may end it
    if trial.done.code == 1 and "reader gone" in trial.note:
        wanted = {0}
    if len(endings) not in wanted:
        trial.problems.append(f"{len(endings)} closing sentences: {err[-300:]!r}")
    others = [line for line in lines if line not in endings and not line.startswith("warning: ")]
    if others and trial.task.quiet:
        trial.problems.append(f"strange words: {others[0][:200]!r}")


def _before_the_program(trial: Trial) -> bool:
    """Whether a signal hit the interpreter before it had begun with the program: Python answers in its own way."""
    trace = trial.done.err
    inside = any(part in trace for part in ("/cli/", "/io/", "/kernels/", "nbnumba: ", "interrupted"))
    early = trial.done.code == -2 and "KeyboardInterrupt" in trace and not inside
    if early:
        trial.note += " (before the program began)"
    return early
