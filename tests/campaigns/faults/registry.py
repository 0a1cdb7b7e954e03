"""What a kind of fault is, and the parts that all of them share."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.campaigns.faults.lab import TASKS, Done, Lab, Task, put_old_files
from tests.campaigns.faults.verdict import Trial, contents

Inject = Callable[[Lab, Random], Trial]


@dataclass(frozen=True)
class Kind:
    """A kind of fault: its name, what it stands for, how many of 100 faults are of it, what injects it."""

    name: str
    meaning: str
    share: float
    inject: Inject
    quick: bool = True


KINDS: list[Kind] = []


def kind(name: str, meaning: str, share: float, quick: bool = True) -> Callable[[Inject], Inject]:
    """Register a kind of fault."""

    def register(inject: Inject) -> Inject:
        KINDS.append(Kind(name, meaning, share, inject, quick))
        return inject

    return register


def choose(lab: Lab, rng: Random, *names: str) -> Task:
    """One of the tasks, its undisturbed result known."""
    name = rng.choice([name for name in names if name in lab.allowed] or names)
    lab.learn(name)
    return TASKS[name]


def trial(
    lab: Lab, name: str, task: Task, folder: Path, codes: tuple[int, ...], act: Callable[[], Done], **more: Any
) -> Trial:
    """Note what is in the folder, disturb, and note again."""
    before = contents(folder)
    done = act()
    more.setdefault("right", (lab.right.get(task.name, {}),))
    return Trial(name, task, done, codes, before, contents(folder), **more)


def prepared(lab: Lab, rng: Random, *names: str) -> tuple[Task, Path]:
    """A task, and a folder for it with or without files of an earlier run."""
    task, folder = choose(lab, rng, *names), lab.new_folder()
    put_old_files(task, folder, rng)
    return task, folder


def sleep_or_end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait so long, or until the process has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.002)
