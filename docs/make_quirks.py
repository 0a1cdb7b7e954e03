"""Writes the part of docs/quirks.md about the editions of the physics: ``python docs/make_quirks.py``."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":  # the checkout need not be installed
    sys.path.insert(0, str(HERE.parent))

if TYPE_CHECKING:
    from nbnumba.model.editions import Rule

BEGIN, END = "<!-- made by docs/make_quirks.py -->", "<!-- end of what docs/make_quirks.py makes -->"
WIDTH = 132


def said_about(folder: Path) -> dict[str, list[str]]:
    """Warnings of an experiment that every rule affects, by the rules' names, in any edition."""
    import numpy as np

    from nbnumba.model.config import Beam, Crystal, Detector, Sampling, Scan, Simulation, StructureFactors
    from nbnumba.model.editions import PHYSICS
    from nbnumba.model.experiment import resolve
    from nbnumba.model.odd_rules import INTERPOLATION_ENDED, bites
    from nbnumba.model.sample import Background

    sources = folder / "sources.txt"
    sources.write_text("-10 0 0 1 1e-10\n-10 0.1 0 2 1e-10\n")
    simulation = Simulation(
        crystal=Crystal(cell=(36.4, 41.7, 47.3, 82.1, 75.4, 68.9), Na=3, Nb=4, Nc=5, shape="gauss"),
        beam=Beam(sourcefile=sources),
        detector=Detector(fpixels=8, spixels=8, pixel_mm=1.0, thickness_um=450, attenuation_um=500, thicksteps=4),
        scan=Scan(osc_deg=1.2),
        structure_factors=StructureFactors(default_F=1.0, dump=folder / "none.bin"),
        sampling=Sampling(oversample=2, oversample_omega=True),
        background=Background(water_um=1.0),
    )
    found: dict[str, list[str]] = {"ends_interpolation": [INTERPOLATION_ENDED]}
    for physics in PHYSICS:
        for name, sentences in bites(resolve(simulation.changed(physics=physics))).items():
            found.setdefault(name, []).extend(x for x in sentences if x not in found.get(name, []))
    # the flag of the sensor's layers hides what is said without it
    simple = simulation.changed(oversample_omega=False, thicksteps=None)
    found["layers_at_fronts"] = sorted(
        {*found["layers_at_fronts"], *bites(resolve(simple)).get("layers_at_fronts", [])}
    )
    sized = simulation.changed(Na=1, Nb=1, Nc=1, size_mm=(3e-5,) * 3, hkl=(np.eye(3), np.ones(3)), write_dump=False)
    found["forgets_size"] = bites(resolve(sized))["forgets_size"]
    return found


def _wrapped(text: str, quote: bool = False) -> str:
    mark = "> " if quote else ""
    return textwrap.fill(
        text, WIDTH, initial_indent=mark, subsequent_indent=mark, break_on_hyphens=False, break_long_words=False
    )


def _section(rule: Rule, said: list[str]) -> list[str]:
    rows = ["| | |", "| --- | --- |", f"| C program | {rule.program} |", f"| instead | {rule.instead} |"]
    quotes = [line for sentence in said for line in ("", _wrapped(sentence.replace("*", "\\*"), quote=True))]
    return ["", f"### {rule.title}", "", *rows, "", _wrapped(rule.text), *quotes]


def make_part() -> str:
    """The part of the page, between its marks."""
    from nbnumba.model.editions import EDITIONS, RULES

    names = list(EDITIONS)
    lines = [BEGIN, ""]
    lines += ["| `--physics` | |", "| --- | --- |"]
    lines += [
        f"| `{edition.name}`{' (default)' * (edition.name == 'reference')} | {edition.what} |"
        for edition in EDITIONS.values()
    ]
    lines += [
        "",
        f"| odd rule of the C program | name | {' | '.join(f'`{name}`' for name in names)} |",
        "| --- " * (len(names) + 2) + "|",
    ]
    for rule in RULES:
        anchor = "".join(c for c in rule.title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
        holds = ("yes" if getattr(EDITIONS[name], rule.name) else "" for name in names)
        lines.append(f"| [{rule.title}](#{anchor}) | `{rule.name}` | {' | '.join(holds)} |")
    with tempfile.TemporaryDirectory() as folder:
        said = said_about(Path(folder))
    for rule in RULES:
        lines += _section(rule, said.get(rule.name, []))
    return "\n".join([*lines, "", END])


def make_text() -> str:
    """The whole page, with the part made anew."""
    page = (HERE / "quirks.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    return before + make_part() + rest.partition(END)[2]


def main() -> None:
    """Write the page beside this file."""
    (HERE / "quirks.md").write_text(make_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
