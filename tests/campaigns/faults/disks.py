"""Faults of disks, folders and files."""

from __future__ import annotations

import os
import resource
import shutil
from contextlib import ExitStack
from random import Random

from tests.campaigns.faults.lab import Done, Lab, Task, can_mount, finish, mounted, put_old_files
from tests.campaigns.faults.machine import drop_privileges, limit
from tests.campaigns.faults.registry import choose, kind, prepared, sleep_or_end, trial
from tests.campaigns.faults.verdict import Trial


@kind("disk full", "The file system is full at any byte of any output.", 11)
def disk_full(lab: Lab, rng: Random) -> Trial:
    """A file system in memory of random size; without root a limit on the size of files."""
    task, folder = choose(lab, rng, "run", "run, all outputs", "series", "compare", "trace"), lab.new_folder()
    needs = sum(map(len, lab.right[task.name].values()))
    with ExitStack() as stack:
        if rng.random() < 0.7 and can_mount(folder):
            pages = max(3, int(rng.uniform(0, 1.3) * needs / 4096))
            stack.enter_context(mounted(folder, f"size={4 * pages}k"))
            return trial(lab, "disk full", task, folder, (0, 1), lambda: lab.run(task, folder))
        put_old_files(task, folder, rng)
        largest = max(map(len, lab.right[task.name].values()))
        before = limit(resource.RLIMIT_FSIZE, int(rng.uniform(100, 1.2 * largest)))
        return trial(lab, "disk full", task, folder, (0, 1), lambda: lab.run(task, folder, before=before))


@kind("folder closed to us", "No permission to write in the folder, or a read-only file system.", 5)
def unwritable(lab: Lab, rng: Random) -> Trial:
    """A folder without write permission, or a read-only file system."""
    task, folder = prepared(lab, rng, "run", "run, all outputs", "compare", "series", "trace")
    if rng.random() < 0.4 and can_mount(folder):
        with mounted(folder, "ro,size=64k"):
            return trial(lab, "folder closed to us", task, folder, (1,), lambda: lab.run(task, folder))
    folder.chmod(0o555)
    for place in (path for path in folder.iterdir() if path.is_dir()):
        place.chmod(0o555)
    act = lambda: lab.run(task, folder, before=drop_privileges)  # noqa: E731
    return trial(lab, "folder closed to us", task, folder, (1,), act)


@kind("file vanishes", "An input, the kernel cache or the whole folder is removed at a random moment.", 7)
def vanishing(lab: Lab, rng: Random) -> Trial:
    """Remove an input or the folder while the command runs."""
    task, folder = choose(lab, rng, "run", "run, all outputs", "run, large", "trace", "series"), lab.new_folder()
    inner = folder / "inputs"
    shutil.copytree(lab.inputs, inner)
    own = Lab(lab.scratch, lab.root)
    place = folder / "here"
    place.mkdir()
    victim = rng.choice([inner / "h.hkl", inner / "A.mat", inner, place])
    words = task.words.replace("{inputs}", str(inner))
    moved = Task(task.name, words, tuple(tuple(f"here/{n}" for n in g) for g in task.groups), task.quiet, task.kept)
    moved = Task(moved.name, words, moved.groups, moved.quiet, tuple(f"here/{name}" for name in task.kept))

    def act() -> Done:
        process = own.start(moved, place)
        sleep_or_end(process, rng.uniform(0, 1.1 * lab.seconds[task.name]))
        if victim.is_dir():
            shutil.rmtree(victim, ignore_errors=True)
        else:
            victim.unlink()
        return finish(process)

    right = ({f"here/{name}": content for name, content in lab.right[task.name].items()},)
    touched = (str(victim.relative_to(folder)),) + (("inputs",) if victim == inner else ())
    found = trial(lab, "file vanishes", moved, folder, (0, 1), act, right=right, touched=touched)
    if victim == place and not place.exists() and found.done.code == 0:  # it was complete, and removed after that
        found.after |= right[0] | {"here/run.json": b"{}", "here/trace.json": b"{}"}
    return found


@kind("output name taken", "The name of an output is a folder, a link, a protected file, or that of an input.", 6)
def taken(lab: Lab, rng: Random) -> Trial:
    """Put something in the way of an output."""
    task, folder = choose(lab, rng, "run", "run, all outputs", "trace"), lab.new_folder()
    name = rng.choice(task.files)
    path, elsewhere = folder / name, folder / "elsewhere"
    way = rng.choice(["folder", "link", "dangling link", "circle", "lost link", "protected", "hard link"])
    codes, right = (1,), dict(lab.right[task.name])
    touched: tuple[str, ...] = ()
    if way == "folder":
        path.mkdir()
    elif way in ("link", "dangling link"):
        if way == "link":
            elsewhere.write_text("old")
        path.symlink_to(elsewhere)
        codes, touched = (0,), (name, "elsewhere")
    elif way == "circle":
        path.symlink_to(path)
    elif way == "lost link":
        path.symlink_to(folder / "no" / "such")
    elif way == "protected":
        path.write_text("old")
        path.chmod(0o444)
    else:
        elsewhere.write_text("old")
        os.link(elsewhere, path)
        codes = (0,)
    if name == "Fdump.bin" and codes == (1,):
        codes, touched = (0,), ("Fdump.bin",)  # a run does not fail for want of it
    act = lambda: lab.run(task, folder, before=drop_privileges)  # noqa: E731
    found = trial(lab, "output name taken", task, folder, codes, act, right=(right,), touched=touched, note=way)
    if way in ("link", "dangling link"):
        same = name in ("run.json", "trace.json") or found.after.get("elsewhere") == right[name]
        if not (path.is_symlink() and same):
            found.problems.append("the link was not followed")
    return found


@kind("two runs in one folder", "Two commands write the same names at the same time, with different numbers.", 4)
def two_runs(lab: Lab, rng: Random) -> Trial:
    """The same outputs from two seeds; each file is that of one of them."""
    task, folder = prepared(lab, rng, "run", "run, all outputs")
    other = lab.new_folder()
    lab.run(task, other, extra="-seed 2")
    second = {name: (other / name).read_bytes() for name in task.files}

    def act() -> Done:
        one, two = lab.start(task, folder), lab.start(task, folder, extra="-seed 2")
        ends = finish(one), finish(two)
        return max(ends, key=lambda done: done.code)

    right = (lab.right[task.name], second)
    return trial(lab, "two runs in one folder", task, folder, (0,), act, right=right)
