"""Writes docs/flags.md from the table of flags: ``python docs/make_flags.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":  # the checkout need not be installed
    sys.path.insert(0, str(HERE.parent))

if TYPE_CHECKING:
    from nbnumba.cli.flags import Flag

HEAD = """# Flags of `nbnumba run`

Made by `docs/make_flags.py` from `cli/flag_table.py`; do not edit by hand. [physics.md](physics.md) has the formulas that the
values enter, [quirks.md](quirks.md) the odd rules of some flags.

## Spelling

- The reference's flags take one dash or two: `-distance 100`, `--distance 100`, also with `=` before the value:
  `-distance=100`. Flags shown with two dashes are extensions of nbnumba and cannot have one dash.
- The reference finds a flag when its name occurs anywhere in a word. In nbnumba each flag has its name, the other spellings
  of the tables, and some have a beginning, shown with `...`, after which any ending is accepted, with one dash. Where two beginnings
  fit, the longer one is used.
- `@FILE` stands for the flags in a file, as a shell would read them; `#` begins a comment. `--config NAME` stands for
  those of a preset: `supervisor` is the command of the published parity traces, for which `A.mat` and `scaled.hkl` have to
  lie in the working folder. What follows overrides the flags of either.
- Capital and small letters differ: `-N` is not `-n`.
- An unknown flag is an error (exit code 2) that names the nearest known one: "unknown option -hdivr; did you mean
  -hdivrange?". A word that belongs to no flag is an error, too. With `--lenient`, in any position, both are warnings,
  and the words that follow an unknown flag are ignored with it.
- Numbers are plain (`0.9768`, `1e12`); a negative number is a value, not a flag. Counts must be whole numbers. A flag whose
  values are missing is an error.

## Order

- Of flags that set the same value the last one counts: `-N 5 -Nb 7` is 5 x 7 x 5 cells, `-lambda 1 -energy 12000` uses
  the energy.
- Some flags override others in any order: `-close_distance` overrides `-distance`, `-flux` (with `-exposure` and
  `-beamsize`) `-fluence`, `-hkl` `-dump`, counts of pixels `-detsize`, sizes in mm `-N`, and `-mat` the angles, but not the
  lengths, of `-cell`.
- Headers are applied before the flags, in any position: first that of `-mask`, then that of `-img`.
- Several flags set the convention, several the pivot; the last one of each group counts:
"""
RULES = """- After that, every convention but CUSTOM sets its own pivot: beam for MOSFLM, DENZO and ADXV,
  sample for XDS and DIALS. So the pivot of a flag is used with CUSTOM only.
- `-detector_abs inf` means that there is no sensor, in any order with `-detector_thick`.
"""
DERIVATIVES = """
## Derivatives: `nbnumba derivatives`

Takes the flags above and these; [derivatives.md](derivatives.md) lists the parameters.
"""
REFINE = """
## Refinement: `nbnumba refine`

`nbnumba refine IMAGE...` takes the flags above, for the model to start from, and these; [refine.md](refine.md) explains them.
"""
BENCH = """
## Timing: `nbnumba bench`

Takes the flags above, writes no image, and times the kernel that `nbnumba run` would use: inputs are made and kernels
compiled, one rendering warms up, and the next ones are timed. Without a crystal the experiment is that of `nbnumba demo`,
changed by the flags that are given. `--json` writes the figures. On a GPU the times of kernel and copy, by events of the
device, are printed beside that of the whole image.
"""


def _code(words: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _row(flag: Flag) -> str:
    stems = [f"{stem}..." for stem in flag.stems]
    other = [word for word in flag.also if not word.startswith(flag.stems)] + stems
    values = ""
    if flag.kind != "switch":
        values = f"`{flag.metavar}`"
        if flag.unit:
            values += f" in {flag.unit}"
    silent = not flag.note or "without effect" in flag.help
    meaning = flag.help if silent else f"{flag.help} It {flag.note}."
    return "| " + " | ".join(map(_cell, (f"`{flag.name}`", _code(other), values, meaning, flag.default))) + " |"


def _setters(flags: tuple[Flag, ...], field: str, value: str) -> list[str]:
    return [flag.name for flag in flags if (field, value) in flag.sets]


def _order(flags: tuple[Flag, ...]) -> list[str]:
    lines = []
    for field, values in (
        ("detector.convention", ("MOSFLM", "DENZO", "ADXV", "XDS", "DIALS", "CUSTOM")),
        ("detector.pivot", ("BEAM", "SAMPLE")),
    ):
        for value in values:
            lines.append(f"  - {field.rpartition('.')[2]} {value}: {_code(_setters(flags, field, value))}")
    return lines


def make_text() -> str:
    """The whole page, with a line end."""
    from nbnumba.cli.bench_flags import BENCH_OPTIONS
    from nbnumba.cli.derivatives_flags import DERIVATIVES_OPTIONS
    from nbnumba.cli.flag_table import FLAGS
    from nbnumba.cli.refine_flags import REFINE_OPTIONS

    lines = [HEAD.rstrip("\n"), *_order(FLAGS), RULES.rstrip("\n")]
    for panel in dict.fromkeys(flag.panel for flag in FLAGS):
        lines += ["", f"## {panel}", "", "| flag | other spellings | values | meaning | default |", "| --- " * 5 + "|"]
        lines += [_row(flag) for flag in FLAGS if flag.panel == panel]
    lines += _options(BENCH, "bench", BENCH_OPTIONS)
    lines += _options(DERIVATIVES, "derivatives", DERIVATIVES_OPTIONS)
    lines += _options(REFINE, "refine", REFINE_OPTIONS)
    return "\n".join(lines) + "\n"


def _options(head: str, command: str, options: Iterable[Flag]) -> list[str]:
    """The section of a command: its own options."""
    lines = [head, "| option | meaning | default |", "| --- " * 3 + "|"]
    for row in options:
        name = f"nbnumba {command} {row.name} {row.metavar}".rstrip()
        lines.append(f"| `{name}` | {row.help} | {row.default} |")
    return lines


def main() -> None:
    """Write the page beside this file."""
    (HERE / "flags.md").write_text(make_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
