"""Ordinary commands give the warnings that they always gave, and no others: a new rule must not cry wolf."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import ordinary

COMMANDS = ordinary.commands()
EXPECTED = ordinary.expected()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ordinary")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        ordinary.prepare(made)
    return made


def new_warnings(name: str, words: list[str]) -> list[str]:
    return [warning for warning in ordinary.warnings_of(words) if warning not in EXPECTED[name]]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_new_warning(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning that is wanted here goes into the table: python -m tests.cli.ordinary"""
    monkeypatch.chdir(folder)
    assert new_warnings(name, COMMANDS[name]) == []


def test_the_table_is_about_these_commands() -> None:
    assert EXPECTED.keys() == COMMANDS.keys()
    assert sum(name.startswith(("README", "cookbook")) for name in COMMANDS) >= 13
    assert sum(name.startswith("golden") for name in COMMANDS) >= 90
    assert "demo" in COMMANDS


def test_a_new_warning_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (found,) = new_warnings("demo", [*COMMANDS["demo"], "-hdiv", "0.1"])
    assert "-hdiv" in found
