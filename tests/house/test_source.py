"""What the code must not do: run what a user gives it, load objects that run by being loaded; kernels that nobody can read."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for folder in ("nbnumba", "kernels", "cli", "data") for path in (ROOT / folder).rglob("*.py"))
#: Modules whose loaders run code, and functions that do.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "codeop", "runpy"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
FUNCTIONS = {
    "os": {"system", "popen", "execv", "execve", "execvp", "spawnl", "spawnv", "startfile"},
    "subprocess": {"getoutput", "getstatusoutput"},
    "yaml": {"load", "unsafe_load", "full_load"},
    "tempfile": {"mktemp"},
}
#: The cache of compiled kernels holds what Numba pickles: files of the user's own folder, checked by their digest.
ALLOWED = {("kernels/jit/cache.py", "import pickle"), ("kernels/jit/cache.py", "pickle.loads")}


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of a chain of attributes, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def is_true(call: ast.Call, keyword: str) -> bool:
    """Whether a call sets a keyword to anything but False."""
    values = [entry.value for entry in call.keywords if entry.arg == keyword]
    return any(not (isinstance(value, ast.Constant) and value.value is False) for value in values)


def offences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything in a module that runs what it is given."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in MODULES:
                    yield node.lineno, f"import {alias.name}"
        elif isinstance(node, ast.ImportFrom) and node.module:
            origin = node.module.split(".")[0]
            wrong = [alias.name for alias in node.names if alias.name in FUNCTIONS.get(origin, ())]
            if origin in MODULES or wrong:
                yield node.lineno, f"from {node.module} import {', '.join(wrong) or '...'}"
        elif isinstance(node, ast.Call):
            yield from wrong_call(node)


def wrong_call(call: ast.Call) -> Iterator[tuple[int, str]]:
    """The same of a call."""
    name = dotted(call.func)
    origin, _, function = name.rpartition(".")
    if name in BUILTINS or name.removeprefix("builtins.") in BUILTINS:
        yield call.lineno, name
    if origin in MODULES or function in FUNCTIONS.get(origin, ()):
        yield call.lineno, name
    if is_true(call, "shell"):
        yield call.lineno, f"{name}(shell=...)"
    if is_true(call, "allow_pickle"):
        yield call.lineno, f"{name}(allow_pickle=...)"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_what_a_user_gives(path):
    here = path.relative_to(ROOT).as_posix()
    found = [(line, what) for line, what in offences(ast.parse(path.read_text("utf-8"))) if (here, what) not in ALLOWED]
    assert not found, f"{here}: " + "; ".join(f"line {line}: {what}" for line, what in found)


def test_all_four_packages_are_looked_at():
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == {"nbnumba", "kernels", "cli", "data"}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os, marshal",
        "from pickle import loads",
        "from os import system",
        "eval('1')",
        "builtins.exec(x)",
        "__import__('os')",
        "compile(text, 'a', 'exec')",
        "os.system('ls')",
        "subprocess.run(words, shell=True)",
        "subprocess.Popen(words, shell=how)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "def f():\n    return [pickle.loads(x) for x in y]",
    ],
)
def test_it_would_be_found(code):
    assert list(offences(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import json",
        "re.compile('a')",
        "subprocess.run(words, shell=False)",
        "np.load(path, allow_pickle=False)",
        "self.exec(x)",
        "from os import path",
    ],
)
def test_what_is_harmless_is_not(code):
    assert not list(offences(ast.parse(code)))


#: Modules whose decorators compile a function.
JIT = ("nbnumba.kernels.jit.cpu", "nbnumba.kernels.jit.cuda")


def test_coverage_leaves_out_compiled_functions_only():
    """Whatever its patterns for decorators match is decorated by kernels/jit/cpu.py or kernels/jit/cuda.py."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["coverage"]["report"]
    (pattern,) = (re.compile(text) for text in settings["exclude_also"] if "@" in text)
    decorators = {"device", "kernel", "cuda_device", "cuda_kernel"}
    left_out = 0
    for path in SOURCES:
        text = path.read_text("utf-8")
        matched = {re.sub(r"\W.*", "", line.strip()[1:]) for line in text.splitlines() if pattern.search(line)}
        imported = {
            alias.name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom) and node.module in JIT
            for alias in node.names
            if alias.asname is None
        }
        assert matched <= decorators & imported, path
        left_out += len(matched)
    assert left_out > 20


#: Of a function in ``kernels/``; a nested function counts by itself.
MOST_PARAMETERS, MOST_LINES, MOST_NESTING = 12, 60, 4
#: Through the launch of a CUDA kernel go only arrays, numbers and flat tuples of numbers: nothing that bundles arrays.
LAUNCHED = "cuda_kernel"


def functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """All functions below a node, nested ones too."""
    return (found for found in ast.walk(node) if isinstance(found, ast.FunctionDef))


def decorator(function: ast.FunctionDef) -> str:
    """Name of a function's decorator, or nothing."""
    names = [dotted(node.func if isinstance(node, ast.Call) else node) for node in function.decorator_list]
    return names[0] if names else ""


def length(function: ast.FunctionDef) -> int:
    """Lines of a function without those of functions in it."""
    spans = [set(range(found.lineno, (found.end_lineno or 0) + 1)) for found in functions(function)]
    return len(spans[0].difference(*spans[1:]))


def nesting(body: list[ast.stmt]) -> int:
    """How deep blocks lie in blocks; an ``elif`` is as deep as its ``if``, and functions count by themselves."""
    deepest = 0
    for node in body:
        if not isinstance(node, ast.For | ast.While | ast.If | ast.With | ast.Try):
            continue
        other = getattr(node, "orelse", [])
        again = isinstance(node, ast.If) and len(other) == 1 and isinstance(other[0], ast.If)
        deepest = max(deepest, 1 + nesting(node.body), nesting(other) + (0 if again else 1 if other else 0))
    return deepest


def too_much(tree: ast.AST) -> Iterator[str]:
    """What of a module's functions is beyond the limits."""
    for function in functions(tree):
        arguments = function.args
        count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
        if count > MOST_PARAMETERS and decorator(function) != LAUNCHED:
            yield f"{function.name} has {count} parameters"
        if length(function) > MOST_LINES:
            yield f"{function.name} has {length(function)} lines"
        if nesting(function.body) > MOST_NESTING:
            yield f"{function.name} is nested {nesting(function.body)} deep"


@pytest.mark.parametrize("path", sorted((ROOT / "kernels").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_kernels_can_be_read(path):
    assert not list(too_much(ast.parse(path.read_text("utf-8"))))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (f"def f({', '.join(f'a{i}' for i in range(13))}):\n    pass", ["f has 13 parameters"]),
        (f"@cuda_kernel(threads=1)\ndef f({', '.join(f'a{i}' for i in range(13))}):\n    pass", []),
        ("def f():\n" + "    x = 1\n" * 60, ["f has 61 lines"]),
        ("def f():\n" + "    x = 1\n" * 30 + "    def g():\n" + "        x = 1\n" * 40, []),
        (
            "def f():\n" + "".join("    " * i + "while x:\n" for i in range(1, 6)) + "    " * 6 + "x = 1",
            ["f is nested 5 deep"],
        ),
        ("def f():\n    if a:\n        x = 1\n" + "    elif b:\n        x = 2\n" * 8, []),
    ],
)
def test_what_cannot_be_read_is_found(code, found):
    assert list(too_much(ast.parse(code))) == found
