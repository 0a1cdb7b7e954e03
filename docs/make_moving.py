"""Writes docs/moving.md from the table of flags and what is known to differ: ``python docs/make_moving.py``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":  # the checkout need not be installed
    sys.path.insert(0, str(HERE.parent))

if TYPE_CHECKING:
    from nbnumba.cli.flags import Flag

HEAD = """# Moving from nanoBragg

Made by `docs/make_moving.py` from `cli/flag_table.py`; do not edit by hand.

Put `nbnumba run` where your script has `nanoBragg`. Flags, units, files and their names stay:

```sh
nbnumba run -cell 79.1 79.1 37.9 90 90 90 -hkl demo/lysozyme.hkl -lambda 1.2 -distance 120 -pixel 0.172 \\
            -detpixels 256 -Na 20 -Nb 20 -Nc 20 -misset 10 20 30 -flux 1e12 -exposure 1 -beamsize 0.001 -oversample 1
```

To see that an image is the same, let both programs run with the same flags:

```sh
# needs nanoBragg
nbnumba compare --against ./nanoBragg -- -cell 79.1 79.1 37.9 -hkl demo/lysozyme.hkl -N 20 -detpixels 256
```

The exit code is 0 when the images agree; if they do not, [trace.md](trace.md) finds the factor that differs.

## What is different at once

- **An unknown flag stops the run.** nanoBragg passes over words that it does not know, so a mistyped flag gives a
  plausible wrong image. A script that relies on that: `--lenient`.
- **Files appear when they are complete**, all together, or not at all.
- **Warnings name odd rules.** The default, `--physics reference`, gives nanoBragg's image, odd rules included, and says
  which of them matter in your run. `--physics correct` leaves them out; the third column below says what that changes.
- **Threads:** all cores, as with OpenMP; `--threads N` takes N of them. The image is the same for any number.
- **The log** goes to standard error, not to standard output. `--json FILE` has its facts as data, `--quiet` leaves warnings.
- **The same seed gives the same noise**, photon for photon, as long as the float images agree.
- **Single precision:** by default sums are taken in float32 where an error bound holds; `--precision double` is float64
  throughout, as in nanoBragg.

Not in nanoBragg: GPUs, MTZ and mmCIF, atomic models, DIALS, XDS and CrystFEL geometries, several panels, spectra with
weights, air and amorphous material, read-out noise, CBF, NeXus, truth, traces, series. Their options have two dashes;
[flags.md](flags.md) lists them.

## The same in both, and easily overlooked

- `Fdump.bin` of an earlier run is read when there is no `-hkl`, in both programs. nbnumba's log names it with its date.
- `-misset random` without `-misset_seed` takes its seed from the time, in both programs. nbnumba's log and `--json` tell
  which it was.
- Without `-oversample`, both programs choose the number of sub-pixels by the size of the crystal: 9 a side are 81 times
  the work. Give `-oversample 1` to compare speed.

## Flag by flag

A flag that is in none of the tables' rows, but in the line "the same", means here what it means there, with and without
`--physics correct`. Every rule has its golden case in [quirks.md](quirks.md), every flag its row in [flags.md](flags.md).
"""

#: Flag -> (what differs here in any case, what ``--physics correct`` changes); an empty text: nothing.
DIFFERS: dict[str, tuple[str, str]] = {
    "-mat": ("A file that is missing or too short is an error.", ""),
    "-cell": ("", "Three oblique angles are honoured; the reference turns them a little."),
    "-misset_seed": ("Sets the seed only; there, the next three words become angles, too.", ""),
    "-gauss_xtal": ("", "The radius of a spot is scaled for each axis by its own number of cells, not by Na Nb Nc."),
    "-tophat_spots": ("", "As `-gauss_xtal`."),
    "-hkl": (
        "Comments, blank lines and columns after the fourth are skipped; any other text is an error with its line. Takes "
        "MTZ and mmCIF, too.",
        "",
    ),
    "-dump": ("Read byte by byte; the log names the dump that is used, and its date.", ""),
    "-interpolate": (
        "What is interpolated is what one thread would interpolate, for any number of threads.",
        "Each evaluation out of range falls back by itself; in the reference the first one ends interpolation for good.",
    ),
    "-sourcefile": ("", "Weights are honoured (or `--source-weights`)."),
    "-nopolar": ("", "`-oversample_polar` does not bring the factor back."),
    "-twotheta_axis": ("Sets the axis only, normalized; there, its x becomes the angle as well.", ""),
    "-pix0_vector": (
        "Used if no beam centre, near point, ORGX or ORGY is given, else a warning; there, it is not used. Metres.",
        "",
    ),
    "-pix0_vector_mm": ("The same in mm.", ""),
    "-curved_det": ("Works as the last word of the command, too.", ""),
    "-detector_abs": ("`inf` means that there is no sensor; there, with a thickness, a black image.", ""),
    "-detector_thick": ("", "Layers of thickness/n, each at its middle, each with its own capture fraction."),
    "-detector_thicksteps": ("", "n layers of thickness/n; the reference spaces n layers by thickness/(n - 1)."),
    "-mask": ("A file that is too short is an error.", ""),
    "-phi": ("At exactly 0 the crystal is unrotated; there, it is that of the pixel before.", ""),
    "-osc": ("", "Phi steps lie in the middle of their slices, not at their beginnings."),
    "-phistep": ("", "As `-osc`."),
    "-phisteps": ("", "As `-osc`."),
    "-oversample_thick": (
        "Without a thickness the capture fraction is 1; there, a black image.",
        "No effect: every term has its own factors.",
    ),
    "-oversample_polar": ("", "As `-oversample_thick`."),
    "-oversample_omega": ("", "As `-oversample_thick`."),
    "-water": ("", "Counted once; the reference multiplies it by r_e² fluence twice and divides it by the steps."),
    "-stol": ("Used by `--background`; there, no effect.", ""),
    "-4stol": ("As `-stol`.", ""),
    "-Q": ("As `-stol`.", ""),
    "-density": ("As `-stol`.", ""),
    "-MW": ("As `-stol`.", ""),
    "-intfile": ("The header says `ADC_OFFSET`, has a `;` after `DIALS_ORIGIN`, and grows when it must.", ""),
    "-noisefile": ("As `-intfile`.", ""),
    "-printout": ("Needs `-printout_pixel`.", ""),
    "-printout_pixel": ("Prints the trace of that pixel, in the form of `nbnumba trace`.", ""),
    "-trace_pixel": ("As `-printout_pixel`, slow index first; a flag of builds with traces.", ""),
    "-progress": ("A bar, and only on a terminal.", ""),
}


def make_text() -> str:
    """The whole page, with a line end."""
    from nbnumba.cli.flag_table import FLAGS

    flags = [flag for flag in FLAGS if not flag.is_extension]
    lines = [HEAD.rstrip("\n")]
    for panel in dict.fromkeys(flag.panel for flag in flags):
        members = [flag for flag in flags if flag.panel == panel]
        rows = [_row(flag) for flag in members if flag.name in DIFFERS]
        same = ", ".join(f"`{flag.name}`" for flag in members if flag.name not in DIFFERS)
        lines += ["", f"### {panel}"]
        lines += ["", f"The same: {same}."] if same else []
        if rows:
            lines += ["", "| flag | here | with `--physics correct` |", "| --- | --- | --- |", *rows]
    return "\n".join(lines) + "\n"


def _row(flag: Flag) -> str:
    here, correct = (text or "the same" for text in DIFFERS[flag.name])
    return f"| `{flag.name}` | {here} | {correct} |"


if __name__ == "__main__":
    (HERE / "moving.md").write_text(make_text(), encoding="utf-8")
