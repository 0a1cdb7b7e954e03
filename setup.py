"""Record the commit that a distribution is built from, for ``nbnumba.origin``; all else is in pyproject.toml."""

import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

RECORD = Path("nbnumba", "COMMIT")


def commit() -> str:
    """Of the checkout, else as a source distribution records it; empty where neither is there."""
    if Path(".git").exists():
        describe = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
        try:
            return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return ""
    return RECORD.read_text().strip() if RECORD.exists() else ""


class BuildWithCommit(build_py):
    """Modules, and the record beside them; an editable installation asks its checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            Path(self.build_lib, RECORD).write_text(f"{commit()}\n")


class SdistWithCommit(sdist):
    """Sources, and the record among them."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        Path(base_dir, RECORD).write_text(f"{commit()}\n")


setup(cmdclass={"build_py": BuildWithCommit, "sdist": SdistWithCommit})
