"""Barriers of the CUDA kernels: all threads of a block meet at the same one, whatever Python compiles them.

Python 3.12 and later copy the last few instructions of a function into each branch that ends there. Threads of a block that
take different branches would then wait at different copies of a barrier for ever. Neither the simulator nor a driver that
computes nothing can show this.
"""

from __future__ import annotations

import ast
import collections
import dis
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "kernels" / "gpu").glob("*.py"))
BRANCHES = (ast.If, ast.IfExp, ast.BoolOp, ast.While, ast.For, ast.comprehension)


def name_of(call: ast.Call) -> str:
    """Name of the function that is called, without what it is an attribute of."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Nodes of a function, without those of the functions in it."""
    for statement in function.body:
        if not isinstance(statement, ast.FunctionDef):
            yield from ast.walk(statement)


@cache
def functions() -> list[tuple[Path, ast.FunctionDef]]:
    """All functions of the CUDA kernels, those in others included."""
    trees = [(path, ast.parse(path.read_text())) for path in MODULES]
    return [(path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@cache
def meeting() -> frozenset[str]:
    """Names of the functions in which all threads of a block meet, barriers included."""
    found = {"syncthreads", "syncthreads_or", "syncthreads_and", "syncthreads_count"}
    while True:
        more = {
            function.name
            for _, function in functions()
            if any(isinstance(node, ast.Call) and name_of(node) in found for node in own_nodes(function))
        }
        if more <= found:
            return frozenset(found)
        found |= more


def mistakes(function: ast.FunctionDef) -> Iterator[str]:
    """What lets a Python copy a barrier of a function."""
    nodes = list(own_nodes(function))
    calls = [node for node in nodes if isinstance(node, ast.Call) and name_of(node) in meeting()]
    for call in calls:
        if any(isinstance(node, BRANCHES) for argument in call.args for node in ast.walk(argument)):
            yield f"line {call.lineno}: {name_of(call)} gets a conditional: compute it in a function"
    last = function.body[-1]
    ends = [node for node in nodes if isinstance(node, ast.Return)] + [last] * isinstance(last, ast.Expr)
    at_end = any(call in ast.walk(end) for end in ends for call in calls)
    if at_end and any(isinstance(node, BRANCHES) for node in nodes):
        yield f"line {function.lineno}: {function.name} has branches, and ends at a barrier"


def test_the_functions_that_meet_are_known() -> None:
    assert {"all_stop", "is_wanted", "load", "render_fast", "sort_rows", "paint_spots", "place_tiles"} <= meeting()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_python_can_copy_a_barrier(path: Path) -> None:
    found = [mistake for where, function in functions() if where == path for mistake in mistakes(function)]
    assert not found, found


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return cuda.syncthreads_or(1 if x else 0) != 0",
        "def f(x):\n    if x:\n        g(x)\n    cuda.syncthreads()",
        "def f(x):\n    return all_stop(x and x > 1)",
    ],
)
def test_mistakes_are_found(source: str) -> None:
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert list(mistakes(function))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_this_python_copies_no_barrier(path: Path) -> None:
    def codes(code: types.CodeType) -> Iterator[types.CodeType]:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from codes(constant)

    lines = path.read_text().splitlines()
    for code in codes(compile(path.read_text(), str(path), "exec")):
        calls = collections.Counter(
            instruction.positions
            for instruction in dis.get_instructions(code)
            if instruction.opname.startswith("CALL") and instruction.positions is not None
        )
        for place, times in calls.items():
            line = lines[(place.lineno or 1) - 1][place.col_offset or 0 : place.end_col_offset]
            assert times == 1 or not any(f"{name}(" in line for name in meeting()), (code.co_name, line)
