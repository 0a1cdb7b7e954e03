"""The commit that a record names: of the checkout, or of the build."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nbnumba import origin


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "nbnumba"
    folder.mkdir()
    monkeypatch.setattr(origin, "HERE", folder)
    return folder


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_installed_package_has_that_of_its_build(package: Path) -> None:
    assert origin.commit() is None
    (package / "COMMIT").write_text("0123abcd\n")
    assert origin.commit() == "0123abcd"
    (package / "COMMIT").write_text("\n")  # built from sources without one
    assert origin.commit() is None


def test_a_checkout_asks_git(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "a.py").write_text("1\n")
    git(package.parent, "init", "--quiet")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "--quiet", "-m", "Begin")
    git(package.parent, "tag", "v1")
    head = git(package.parent, "rev-parse", "HEAD")
    assert origin.commit() == head
    (package / "a.py").write_text("2\n")
    assert origin.commit() == f"{head}-dirty"
    monkeypatch.setenv("PATH", "")
    assert origin.commit() is None


def test_versions_of_what_is_missing() -> None:
    found = origin.versions("numba", "no-such-package")
    assert found["no-such-package"] == "not installed" and found["numba"][0].isdigit() and "python" in found
