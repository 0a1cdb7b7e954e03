"""The rooms of the house: which there are, that imports go down only, and that tests lie in the same ones."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Top first; rooms of one line may import each other.
FLOORS = (
    {"cli"},
    {"series", "inspect"},
    {"output", "readout"},
    {"refinement"},
    {"render", "derive"},
    {"model", "io"},
    {"kernels.cpu", "kernels.gpu"},
    {"kernels.formulas"},
    {"kernels.jit"},
)
#: Modules outside of the rooms, for packages of others, each on the floor of a room.
SINGLE = {"torch": "series", "jax": "series"}
#: Below all of them, and free to be imported: errors, the check of memory, the version, the commit.
GROUND = {"", "errors", "memory", "origin", "data"}
#: Imports within a room that go one way: a GPU is never needed.
NEVER = (("kernels.cpu", "kernels.gpu"), ("kernels.gpu", "kernels.cpu"), ("readout", "output"))

#: Folders of tests that are no rooms of the package.
OF_TESTS = {"acceptance", "bench", "campaigns", "house"}


def modules() -> Iterator[tuple[str, Path]]:
    """Names below ``nbnumba`` of all modules, and their files."""
    for folder, name in (("nbnumba", ""), ("kernels", "kernels"), ("cli", "cli"), ("data", "data")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join([*filter(None, [name]), *(part for part in parts if part != "__init__")]), path


NAMES = dict(modules())


def room(name: str) -> str:
    """The room of a module, by its name below ``nbnumba``."""
    first, *rest = name.split(".")
    return f"kernels.{rest[0]}" if first == "kernels" and rest else first


def imports(path: Path) -> Iterator[str]:
    """Names below ``nbnumba`` of what a module imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            if name.split(".")[0] == "nbnumba":
                below = name.removeprefix("nbnumba").removeprefix(".")
                yield below if below in NAMES else below.rpartition(".")[0]


def floor(name: str) -> int:
    """Number of a room's floor, the top one being 0."""
    return next(i for i, rooms in enumerate(FLOORS) if SINGLE.get(name, name) in rooms)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in GROUND and not name.endswith("__main__")])
def test_imports_go_down_only(name):
    own = room(name)
    if name == own == "kernels":
        return
    for other in map(room, imports(NAMES[name])):
        if other in GROUND:
            continue
        assert floor(own) <= floor(other), f"{name} imports from {other}"
        assert (own, other) not in NEVER, f"{name} imports from {other}"


@pytest.mark.parametrize("name", sorted(GROUND))
def test_the_ground_rests_on_nothing(name):
    """At import: the package itself loads names when they are asked for."""
    tree = ast.parse(NAMES[name].read_text())
    loaded = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {module for module in loaded if module.startswith("nbnumba")} <= {"nbnumba.errors"}


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_packages_of_others_are_imported_by_their_modules_alone(name):
    """Nothing in the package imports the module, or what it is for."""
    for other, path in NAMES.items():
        if other != name:
            assert name not in imports(path), other
            assert not re.search(rf"(?m)^\s*(import|from) {name}\b", path.read_text()), other


def test_every_room_is_known_and_installed():
    known = set().union(*FLOORS) | GROUND | SINGLE.keys() | {"__main__", "kernels"}
    assert {room(name) for name in NAMES} <= known
    packages = {"nbnumba" + f".{name}" * bool(name) for name, path in NAMES.items() if path.name == "__init__.py"}
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]) == packages


def test_no_room_is_called_like_the_cuda_package():
    """numba-cuda redirects imports of names that contain ``numba.cuda``."""
    assert not [name for name in NAMES if "numba.cuda" in f"nbnumba.{name}"]


def test_tests_lie_in_the_rooms():
    rooms = {name.replace(".", "/") for name, path in NAMES.items() if name and path.name == "__init__.py"}
    tested = set()
    for path in (ROOT / "tests").rglob("*.py"):
        folder = path.relative_to(ROOT / "tests").parent
        assert (path.parent / "__init__.py").is_file(), folder
        if folder.parts:
            assert folder.as_posix() in rooms or folder.parts[0] in OF_TESTS, f"{folder} is no room"
        if path.name.startswith("test_"):
            assert folder.parts, f"{path.name} lies in no room"
            tested.add(folder.as_posix())
    assert {name for name in rooms if "/" not in name} <= tested
