"""The pages in docs/ say what the code does: table of flags, links, names of files, functions and cases, warnings."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from types import CodeType, ModuleType

import pytest

import nbnumba
from nbnumba.cli.derivatives_flags import DERIVATIVES_OPTIONS
from nbnumba.cli.flag_table import TABLE
from nbnumba.cli.main import main
from nbnumba.cli.nanobragg import PORT
from nbnumba.cli.refine_flags import REFINE_OPTIONS
from nbnumba.cli.series_flags import SERIES_OPTIONS
from nbnumba.model.conventions import CONVENTIONS
from tests.conftest import CASES
from tests.house.test_rooms import FLOORS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = ["physics.md", "quirks.md", "flags.md", "design.md", "install.md", "tutorial.md", "moving.md", "cookbook.md"]
PAGES += ["gallery.md", "troubleshooting.md", "inputs.md", "outputs.md"]
#: Files that the programs write or that are not part of this repository.
FOREIGN = {"nanoBragg.c", "Fdump.bin", "floatimage.bin", "demo/", "vary.toml"}
#: Options of other commands than ``nbnumba run``, or of other programs.
OTHER_OPTIONS = (
    {row.name for row in (*SERIES_OPTIONS, *DERIVATIVES_OPTIONS, *REFINE_OPTIONS)}
    | PORT.keys()
    | {"--help", "--against", "--config"}
)


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page without its blocks of formulas."""
    return re.sub(r"(?m)^(    .*\n)+", "", read(page))


def codes(page: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`\n]+)`", read(page))


def anchors(page: str) -> set[str]:
    """Names of a page's headings, as code hosts make them."""
    found = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", prose(page)):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(kept.replace(" ", "-"))
    return found


def script(name: str) -> ModuleType:
    """A script of docs/, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["flags", "moving", "gallery", "quirks"])
def test_made_pages_are_in_step(name: str) -> None:
    assert read(f"{name}.md") == script(f"make_{name}").make_text(), f"run: python docs/make_{name}.py"


def test_moving_names_every_flag_of_the_reference_once() -> None:
    differs = script("make_moving").DIFFERS
    flags = [flag.name for flag in TABLE.flags if not flag.is_extension]
    assert differs.keys() <= set(flags)
    _, _, by_flag = read("moving.md").partition("\n## Flag by flag")
    rows = re.findall(r"(?m)^\| `(-[^`]+)` \|", by_flag)
    same = re.findall(r"`(-[^`]+)`", " ".join(re.findall(r"(?m)^The same: (.*)$", by_flag)))
    assert sorted(rows + same) == sorted(flags)
    assert sorted(rows) == sorted(differs)


def test_pictures_of_the_gallery() -> None:
    plates = {plate.name for plate in script("make_gallery").PLATES}
    files = {path.stem: path for path in (DOCS / "gallery").iterdir()}
    assert files.keys() == plates
    sizes = [path.stat().st_size for path in files.values()]
    assert min(sizes) > 1000 and max(sizes) < 150_000 and sum(sizes) < 800_000
    for path in files.values():
        assert path.read_bytes()[16:24] == (512).to_bytes(4, "big") * 2, path  # width, height


def test_a_picture_of_the_gallery_is_what_its_command_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them, drawn again: other processors may move a few grey levels, and nothing else."""
    import numpy as np
    from PIL import Image

    gallery = script("make_gallery")
    monkeypatch.setattr(gallery, "PLATES", tuple(plate for plate in gallery.PLATES if plate.name == "panels"))
    gallery.make_pictures(tmp_path)
    drawn, kept = (
        np.asarray(Image.open(folder / "panels.png").convert("L"), float) for folder in (tmp_path, DOCS / "gallery")
    )
    assert (abs(drawn - kept) > 32).mean() < 1e-3
    assert (kept < 128).sum() > 200  # there are spots


def test_every_page_has_its_place() -> None:
    """In one table of contents of index.md, and in no other."""
    contents = " ".join(re.findall(r"(?ms)^```\{toctree\}\n(.*?)^```$", read("index.md")))
    entries = re.findall(r"(?<!:)\b[a-z-]+\b(?!:)", re.sub(r"(?m)^:.*$", "", contents))
    assert len(entries) == len(set(entries))
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    may_lack = set(ast.literal_eval(re.findall(r"(?m)^MAY_LACK = (.*)$", (DOCS / "conf.py").read_text())[0]))
    assert pages <= set(entries), f"add to docs/index.md: {pages - set(entries)}"
    assert set(entries) - pages <= may_lack


def test_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for package in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install sphinx furo myst-parser")
    words = [
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-d",
        str(tmp_path / "trees"),
        str(DOCS),
        str(tmp_path / "site"),
    ]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    public = {name for name in nbnumba.__all__ if f'.{name}"' not in reference}
    assert not public, f"not in docs/api.md: {public}"


@pytest.mark.parametrize("command", [[], ["run"], ["series"], ["trace"], ["compare"], ["compare-traces"], ["info"]])
def test_help_fits_a_terminal(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line], "something is cut off"
    if command in (["run"], ["series"], ["trace"]):
        text = "\n".join(lines)
        for panel in dict.fromkeys(flag.panel for flag in TABLE.flags):
            assert f"─ {panel} ─" in text


def test_every_flag_has_one_row() -> None:
    rows = re.findall(r"(?m)^\| `(-[^`]+)` \|(.*)\|$", read("flags.md"))
    assert sorted(name for name, _ in rows) == sorted(flag.name for flag in TABLE.flags)
    for name, rest in rows:  # an unescaped bar would move all that follows one column on
        assert len(re.findall(r"(?<!\\)\|", rest)) == 3, name


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        name = file or page
        assert (DOCS / name).is_file(), target
        assert not anchor or anchor in anchors(name), target


@pytest.mark.parametrize("page", PAGES)
def test_files(page: str) -> None:
    for code in codes(page):
        if re.fullmatch(r"[\w./-]+(/|\.(py|md|json|toml|npz|c|bin))", code) and code not in FOREIGN:
            assert (ROOT / code).exists(), code


@pytest.mark.parametrize("page", PAGES)
def test_functions(page: str) -> None:
    names = set(re.findall(r"nbnumba(?:\.[A-Za-z_]\w*)+", read(page)))
    assert names or page != "physics.md"
    for name in names:
        assert find(name) is not None, name


def find(dotted: str) -> object | None:
    """The module ``dotted``, or the object of that name in one; None if there is none."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        module = ".".join(parts[:n])
        try:
            if importlib.util.find_spec(module) is None:
                continue
        except ModuleNotFoundError:
            continue
        value: object = importlib.import_module(module)
        for attribute in parts[n:]:
            value = getattr(value, attribute, None)
        return value
    return None


def section(page: str, heading: str) -> str:
    """Text of a page below one of its second-level headings."""
    return read(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_design_lists_the_folders_by_level() -> None:
    """As :mod:`tests.house.test_rooms` enforces them; each is also in the drawing."""
    text = section("design.md", "Folders")
    drawing, _, table = text.partition("| level |")
    levels: dict[int, set[str]] = {}
    for level, folder in re.findall(r"(?m)^\| (\d) \| `([\w/]+)/` \|", table):
        levels.setdefault(int(level), set()).add(folder.removeprefix("nbnumba/").replace("/", "."))
        assert f"{folder}/" in drawing
    assert tuple(levels[level] for level in sorted(levels)) == FLOORS


def test_design_names_the_functions_that_a_flag_passes_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = section("design.md", "From a flag to the file")
    wanted = [code_of(name) for name in re.findall(r"(?m)^\| `(nbnumba[\w.]+)` \|", text)]
    command = re.findall(r"`nbnumba (run [^`]+)`", text)[0]
    monkeypatch.chdir(tmp_path)
    called: list[CodeType] = []
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code) if event == "call" else None)
    try:
        code = main([*command.split(), "-detpixels", "32", "-seed", "1", "--device", "cpu", "--quiet"])
    finally:
        sys.setprofile(None)
    assert code == 0 and (tmp_path / "intimage.img").is_file()
    rest = iter(called)
    missing = [step.co_qualname for step in wanted if step not in rest]  # "in" goes on where the last one was found
    assert not missing


def code_of(dotted: str) -> CodeType:
    """Code of a function, method or cached property, without its decorators."""
    found = find(dotted)
    function = found.func if isinstance(found, cached_property) else found
    assert callable(function), dotted
    return inspect.unwrap(function).__code__  # type: ignore[attr-defined]


def test_find_refuses_what_is_not_there() -> None:
    assert find("nbnumba.model.config.Panel") is not None
    assert find("nbnumba.model.config.Pannel") is None
    assert find("nbnumba.confug.Panel") is None


@pytest.mark.parametrize("page", PAGES)
def test_flags_are_known(page: str) -> None:
    for code in codes(page):
        word = code.split()[0].partition("=")[0]
        if re.fullmatch(r"--?[A-Za-z4]\w*", word) and word != "-n":  # flags.md: capitals count
            assert TABLE.find(word) is not None or word in OTHER_OPTIONS, code


def test_table_of_conventions() -> None:
    letters = {"x": 0, "y": 1, "z": 2}
    for name, rule in CONVENTIONS.items():
        row = re.search(rf"(?m)^\| {name} \|(.*[+-][xyz].*)\|$", read("physics.md"))
        assert row is not None, name
        *cells, pivot = (cell.strip() for cell in row[1].split("|"))
        axes = rule.axes
        expected = (axes.beam, axes.fdet, axes.sdet, axes.odet, axes.twotheta, axes.polar, axes.spindle)
        for cell, axis in zip(cells, expected, strict=True):
            vector = [0.0, 0.0, 0.0]
            vector[letters[cell[1]]] = float(f"{cell[0]}1")
            assert tuple(vector) == axis, (name, cell)
        assert pivot == (rule.pivot.lower() if rule.pivot else "the user's"), name


def test_golden_cases_of_quirks() -> None:
    shapes = r"(?:conv|custom|quirk|det|shape|phi|mosaic|div|disp|oversample|interp|hkl|cell|mat|misset)_\w+"
    named = {code for code in codes("quirks.md") if re.fullmatch(shapes, code)}
    assert named <= CASES.keys(), named - CASES.keys()
    quirks = {name for name, case in CASES.items() if case["quirk"]}
    assert quirks <= named, f"no word about {quirks - named}"
    third = read("quirks.md").partition("\n## Where nbnumba departs")[2]
    on_purpose = {name for name, case in CASES.items() if case.get("differs_on_purpose")}
    assert not {name for name in on_purpose if f"`{name}`" not in third}


def test_reference_rules_have_their_row() -> None:
    """Whatever promises ``--physics correct`` in a warning of the model is quoted in quirks.md."""
    page = " ".join(re.sub(r"\n> ", " ", read("quirks.md")).replace("\\", "").split())
    for file in sorted((ROOT / "nbnumba").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "--physics correct" in node.value:
                ending = re.search(r"--physics correct [a-z -]+", node.value)
                assert ending is not None and ending[0].strip() in page, f"{file.name}: {node.value}"
