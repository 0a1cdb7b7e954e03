"""Writes docs/flags.md from the table of flags: ``python docs/make_flags.py``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":  # the checkout need not be installed
    sys.path.insert(0, str(HERE.parent))

if TYPE_CHECKING:
    from nbnumba.cli.flags import Flag

HEAD = """# Flags of `nbnumba run`

Made by `docs/make_flags.py` from `cli/flag_table.py`; do not edit by hand. What the values mean is in
[physics.md](physics.md), what is odd about some of them in [quirks.md](quirks.md).

## Spelling

- The reference's flags take one dash or two: `-distance 100`, `--distance 100`, and `=` may stand before
  the value: `-distance=100`. Flags shown with two dashes are nbnumba's own and do not take one.
- The reference finds a flag when its name occurs anywhere in a word. Here each flag has its name, the other spellings
  of the tables, and for some a beginning, shown with `...`, after which any ending is accepted. Where two beginnings
  fit, the longer one decides.
- Capitals count: `-N` is not `-n`.
- An unknown flag is an error (exit code 2) that names the nearest known one: "unknown option -hdiv; did you mean
  -hdivrange?". A word that belongs to no flag is one, too. With `--lenient`, wherever it stands, both are warnings,
  and the words that follow an unknown flag are left out with it.
- Numbers are plain (`0.9768`, `1e12`); a negative number is a value, not a flag. Counts must be whole. A flag whose
  values are missing is an error.

## Order

- Of flags that set the same thing the last one wins: `-N 5 -Nb 7` is 5 x 7 x 5 cells, `-lambda 1 -energy 12000` takes
  the energy.
- Some flags win in any order: `-close_distance` over `-distance`, `-flux` (with `-exposure` and `-beamsize`) over
  `-fluence`, `-hkl` over `-dump`, counts of pixels over `-detsize`, sizes in mm over `-N`; `-mat` over the angles of
  `-cell`, whose lengths stay.
- Headers come first, wherever they stand: that of `-mask`, then that of `-img`, then the flags.
- Several flags name a convention, several the pivot, and the last of each kind counts:
"""
RULES = """- After that, every convention but CUSTOM sets its own pivot: beam for MOSFLM, DENZO and ADXV,
  sample for XDS and DIALS. So the pivot of a flag counts for CUSTOM only.
- `-detector_abs inf` means that there is no sensor, in any order with `-detector_thick`.
"""
BENCH = """
## Timing: `nbnumba bench`

Takes the flags above, writes no image, and times the kernel that `nbnumba run` would take: inputs are made and kernels
compiled, one rendering warms up, and the next ones count. Without a crystal the experiment is that of `nbnumba demo`,
changed by the flags that are given. `--json` writes the figures. On a GPU the time of the whole image, copies included,
stands beside that of the kernel and of the copy by the device's own clock.
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
    from nbnumba.cli.flag_table import FLAGS

    lines = [HEAD.rstrip("\n"), *_order(FLAGS), RULES.rstrip("\n")]
    for panel in dict.fromkeys(flag.panel for flag in FLAGS):
        lines += ["", f"## {panel}", "", "| flag | other spellings | values | meaning | default |", "| --- " * 5 + "|"]
        lines += [_row(flag) for flag in FLAGS if flag.panel == panel]
    lines += _bench()
    return "\n".join(lines) + "\n"


def _bench() -> list[str]:
    from nbnumba.cli.bench_flags import BENCH_OPTIONS

    rows = [(f"nbnumba bench {row.name} {row.metavar}".rstrip(), row.help, row.default) for row in BENCH_OPTIONS]
    return [
        BENCH,
        "| option | meaning | default |",
        "| --- " * 3 + "|",
        *(f"| `{a}` | {b} | {c} |" for a, b, c in rows),
    ]


def main() -> None:
    """Write the page beside this file."""
    (HERE / "flags.md").write_text(make_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
