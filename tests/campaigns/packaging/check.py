"""Check what would be released: wheel and sdist, in an empty environment, outside the checkout.

``python tests/campaigns/packaging/check.py`` (under two minutes with a warm kernel cache):

1. builds sdist and wheel from the files that git knows, and a wheel from the sdist; looks at what is in them;
2. installs the wheel into a fresh virtual environment, with nothing but what the wheel asks for, and pytest;
3. runs a part of the tests there, against the installed package;
4. asks for what each optional extra brings, and expects one clear sentence.

By hand: ``--lowest`` installs the lowest versions that pyproject.toml allows and runs the whole suite with them (Python
3.11); ``--extras`` installs each extra by itself and imports what it brings; ``--audit`` looks installed versions up in
the database of known flaws (pip-audit).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGES = {"nbnumba": "nbnumba", "kernels": "nbnumba/kernels", "cli": "nbnumba/cli", "data": "nbnumba/data"}
#: Tests that look at the installed package, not at the checkout.
TESTS = """cli/test_golden cli/test_build cli/test_help cli/test_run data/test_lysozyme house/test_api io/test_model
io/test_reflections io/test_smv model/test_structure_factors""".split()
#: Commands that need an extra, and what their one sentence must say.
MISSING = {
    "cuda": ("run -cell 50 -default_F 1 -detpixels 8 --device cuda", "nbnumba[cuda]"),
    "cluster": (
        "series -cell 50 -default_F 1 -detpixels 8 --stills 1 --scheduler tcp://127.0.0.1:9",
        "nbnumba[cluster]",
    ),
    "slurm": ("series -cell 50 -default_F 1 -detpixels 8 --stills 1 --slurm", "nbnumba[cluster]"),
}
#: The commit that a wheel is built from.
RECORD = "nbnumba/COMMIT"
#: What each extra is for.
MODULES = {
    "cuda": "numba.cuda",
    "cuda12": "numba.cuda",
    "cuda13": "numba.cuda",
    "cuda-mlir": "numba_cuda_mlir",
    "cuda-resources": "numba.cuda",
    "cluster": "distributed",
    "torch": "nbnumba.torch",
    "jax": "nbnumba.jax",
    "test": "pytest, pytest_cov, xdist, hypothesis",
    "fuzz": "atheris, hypothesis",
    "docs": "sphinx, furo, myst_parser",
    "dev": "pytest, hypothesis, mypy, ruff",
}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Output of a command; a failing one ends the check."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-6000:]}{done.stderr[-6000:]}")
    return done.stdout


def say(what: str, start: float) -> None:
    """A line of the record."""
    print(f"{what} ({time.perf_counter() - start:.0f} s)", flush=True)


def export(folder: Path) -> Path:
    """A repository of the files that git knows, so that building leaves nothing in the checkout."""
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    source = folder / "source"
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "--quiet"), ("add", "."), (*who, "commit", "--quiet", "-m", "Export")):
        run("git", *words, cwd=source)
    return source


def environment(folder: Path, *packages: str | Path) -> Path:
    """The Python of a new virtual environment with these packages."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    if packages:
        run(python, "-m", "pip", "install", "--quiet", *packages)
    return python


def build(source: Path, folder: Path) -> Path:
    """Build sdist and wheels, compare what is in them; returns the wheel."""
    python = environment(folder / "build", "build")
    run(python, "-m", "build", "--sdist", "--wheel", "--outdir", folder / "dist", source)
    wheel, sdist = next((folder / "dist").glob("*.whl")), next((folder / "dist").glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    unpacked = next((folder / "unpacked").iterdir())
    run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "again", unpacked)
    again = next((folder / "again").glob("*.whl"))
    names = set(zipfile.ZipFile(wheel).namelist())
    if names != set(zipfile.ZipFile(again).namelist()):
        sys.exit(f"the sdist gives another wheel: {names ^ set(zipfile.ZipFile(again).namelist())}")
    head = run("git", "rev-parse", "HEAD", cwd=source).strip()
    for each in (wheel, again):
        recorded = zipfile.ZipFile(each).read(RECORD).decode().strip()
        if recorded != head:
            sys.exit(f"{each} says that it was built from {recorded!r}, not from {head}")
    check_content(names, source)
    return wheel


def check_content(names: set[str], source: Path) -> None:
    """Every module and table is in the wheel, and nothing else but its metadata."""
    found = {name for name in names if ".dist-info/" not in name} - {RECORD}
    wanted = set()
    for folder, package in PACKAGES.items():
        for path in (source / folder).rglob("*"):
            kept = path.suffix in (".py", ".pyi") or path.name == "py.typed" or folder == "data"
            if path.is_file() and kept and "__pycache__" not in path.parts:
                wanted.add(f"{package}/{path.relative_to(source / folder).as_posix()}")
    if found != wanted:
        sys.exit(f"the wheel lacks {sorted(wanted - found)} and should not hold {sorted(found - wanted)}")
    if not any(name.endswith("licenses/LICENSE") for name in names):
        sys.exit("the wheel lacks the licence")


def test(python: Path, source: Path, folder: Path, tests: list[str]) -> str:
    """Last line of the tests' report, run outside the checkout against the installed package."""
    for name in ("tests", "docs", "README.md", "pyproject.toml"):
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name)
        else:
            shutil.copy2(source / name, folder / name)
    where = run(python, "-c", "import nbnumba; print(nbnumba.__file__)", cwd=folder).strip()
    if "site-packages" not in where:
        sys.exit(f"nbnumba was imported from {where}, not from the environment")
    return run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=folder).strip().splitlines()[-1]


def check_missing(python: Path, folder: Path) -> None:
    """Without its extra, a feature says in one sentence what to install."""
    for name, (words, wanted) in MISSING.items():
        command = [str(python), "-m", "nbnumba", *words.split()]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if wanted in line.replace("\\[", "[")]
        if done.returncode != 1 or len(said) != 1 or "Traceback" in done.stderr:
            sys.exit(f"without {name}, exit code {done.returncode}:\n{done.stderr}")


def lowest() -> list[str]:
    """The lowest versions that pyproject.toml allows, of what is needed and of what tests need."""
    named = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    named += PROJECT["optional-dependencies"]["cluster"]
    return [re.sub(r">=\s*", "==", requirement) for requirement in named]


def check_lowest(source: Path, folder: Path) -> str:
    """Run the suite with the lowest versions; in the copy of the checkout, which is what the tests look at."""
    python = environment(folder / "lowest", *lowest())
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", source)
    skipped = ["--ignore=tests/campaigns/packaging", "-m", "not gpu"]
    return run(python, "-m", "pytest", "-q", "-n", "2", *skipped, "tests", cwd=source).strip().splitlines()[-1]


def main() -> None:
    """Entry point."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lowest", action="store_true", help="run the suite with the lowest versions allowed")
    options.add_argument("--extras", nargs="*", metavar="NAME", help="install and import these extras (default: all)")
    options.add_argument("--audit", action="store_true", help="look the installed versions up with pip-audit")
    chosen = options.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="nbnumba-") as scratch:
        folder = Path(scratch)
        source = export(folder)
        if chosen.lowest:
            say(f"lowest versions: {check_lowest(source, folder)}", start)
            return
        wheel = build(source, folder)
        say(f"{wheel.name} and its sdist hold the same modules and tables", start)
        if chosen.extras is not None:
            for extra in chosen.extras or MODULES:
                python = environment(folder / extra, f"{wheel}[{extra}]")
                run(python, "-c", f"import nbnumba, {MODULES[extra]}", cwd=folder)
                say(f"extra {extra}: {MODULES[extra]} can be imported", start)
            return
        python = environment(folder / "empty", wheel, "pytest", "hypothesis")
        say("installed in an empty environment", start)
        (folder / "outside").mkdir()
        check_missing(python, folder / "outside")
        say(f"one sentence each without {', '.join(MISSING)}", start)
        report = test(python, source, folder / "outside", [f"tests/{name}.py" for name in TESTS])
        say(f"tests against the installed package: {report}", start)
        if chosen.audit:
            run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "nbnumba")
            auditor = environment(folder / "audit", "pip-audit")
            places = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
            found = run(auditor, "-m", "pip_audit", "--path", places)
            if unknown := found.count("could not be audited"):
                sys.exit(
                    f"pip-audit: {unknown} packages could not be looked up; run it where its database can be reached"
                )
            say("pip-audit knows of no flaw", start)


if __name__ == "__main__":
    main()
