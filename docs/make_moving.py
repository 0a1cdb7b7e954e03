"""Writes docs/moving.md from the table of flags and the list of differences: ``python docs/make_moving.py``."""

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

Replace `nanoBragg` in your script by `nbnumba run`. Flags, units, files and their names stay the same:

```sh
nbnumba run -cell 79.1 79.1 37.9 90 90 90 -hkl demo/lysozyme.hkl -lambda 1.2 -distance 120 -pixel 0.172 \\
            -detpixels 256 -Na 20 -Nb 20 -Nc 20 -misset 10 20 30 -flux 1e12 -exposure 1 -beamsize 0.001 -oversample 1
```

To check that an image is the same, run both programs with the same flags:

```sh
# needs nanoBragg
nbnumba compare --against ./nanoBragg -- -cell 79.1 79.1 37.9 -hkl demo/lysozyme.hkl -N 20 -detpixels 256
```

The exit code is 0 when the images agree; if they do not, [trace.md](trace.md) finds the factor that differs.

## General differences

- **An unknown flag stops the run.** nanoBragg ignores words that it does not know, so that a mistyped flag gives a
  plausible wrong image. If a script relies on that, add `--lenient`.
- **Files get their names when they are complete**, all together, or not at all.
- **Warnings name odd rules.** The default, `--physics reference`, gives nanoBragg's image, odd rules included but for the cell at
  phi = 0 (`--physics released` has that, too), and names those that affect your run. `--physics correct` replaces them; the third column below lists the changes.
- **Threads:** all cores, as with OpenMP; `--threads N` uses N of them. The image is the same for any number.
- **The log** goes to standard error, not to standard output. `--json FILE` writes its facts as data, `--quiet` keeps only
  warnings.
- **The same seed gives the same noise**, photon for photon, as long as the float images agree.
- **Single precision:** by default sums are computed in float32 where an error bound holds; `--precision double` is float64
  throughout, as in nanoBragg.

Not in nanoBragg: GPUs, MTZ, CIF and other programs' lists, atomic models, DIALS, XDS and CrystFEL geometries, several panels, spectra with
weights, air and amorphous material, read-out noise, CBF, NeXus, truth, traces, series. Their options have two dashes;
[flags.md](flags.md) lists them.

## Rules of both programs that are easily overlooked

- `Fdump.bin` of an earlier run is read when there is no `-hkl`, in both programs. nbnumba's log names it with its date.
- `-misset random` without `-misset_seed` takes its seed from the time, in both programs. nbnumba's log and `--json` have the
  seed.
- Without `-oversample`, both programs choose the number of sub-pixels by the size of the crystal: 9 a side are 81 times
  the work. Give `-oversample 1` to compare speed.

## Flag by flag

A flag in a line "the same" has the same meaning in both programs, with and without `--physics correct`; the tables list the
others. Every rule has its golden case in [quirks.md](quirks.md), every flag its row in [flags.md](flags.md).
"""

#: Flag -> (difference of nbnumba in any case, change by ``--physics correct``); an empty text: none.
DIFFERS: dict[str, tuple[str, str]] = {
    "-mat": ("A file that is missing or too short is an error.", ""),
    "-cell": ("", "Three oblique angles are used as given; the reference changes them a little."),
    "-misset_seed": ("Sets the seed only; in nanoBragg the next three words become angles, too.", ""),
    "-gauss_xtal": ("", "The radius of a spot is scaled for each axis by its own number of cells, not by Na Nb Nc."),
    "-tophat_spots": ("", "As `-gauss_xtal`."),
    "-hkl": (
        "Comments, blank lines and columns after the fourth are skipped; any other text is an error that names its line. "
        "Also MTZ, CIF, and lists of XDS, SHELX, SCALEPACK and CrystFEL.",
        "",
    ),
    "-dump": ("Read byte by byte; the log names the dump that is used, and its date.", ""),
    "-interpolate": (
        "For any number of threads, the same evaluations are interpolated as with one thread.",
        "Only evaluations out of range use the nearest reflection; in the reference the first one ends interpolation.",
    ),
    "-sourcefile": ("", "Weights are used (also with `--source-weights`)."),
    "-nopolar": ("", "`-oversample_polar` does not bring the factor back."),
    "-twotheta_axis": ("Sets the axis only, normalized; in nanoBragg its x becomes the angle as well.", ""),
    "-pix0_vector": (
        "Used if no beam centre, near point, ORGX or ORGY is given, else a warning; not used in nanoBragg. Metres.",
        "",
    ),
    "-pix0_vector_mm": ("The same in mm.", ""),
    "-curved_det": ("Also works as the last word of the command.", ""),
    "-detector_abs": ("`inf` means that there is no sensor; in nanoBragg, with a thickness, a black image.", ""),
    "-detector_thick": ("", "Layers of thickness/n, each at its middle, each with its own capture fraction."),
    "-detector_thicksteps": ("", "n layers of thickness/n; the reference spaces n layers by thickness/(n - 1)."),
    "-mask": ("A file that is too short is an error.", ""),
    "-phi": ("At exactly 0 the crystal is unrotated; in nanoBragg it is that of the pixel before.", ""),
    "-osc": ("", "Phi steps lie in the middle of their slices, not at their beginnings."),
    "-phistep": ("", "As `-osc`."),
    "-phisteps": ("", "As `-osc`."),
    "-oversample_thick": (
        "Without a thickness the capture fraction is 1; in nanoBragg a black image.",
        "No effect: every term has its own factors.",
    ),
    "-oversample_polar": ("", "As `-oversample_thick`."),
    "-oversample_omega": ("", "As `-oversample_thick`."),
    "-water": ("", "Counted once; the reference multiplies it by r_e² fluence twice and divides it by the steps."),
    "-stol": ("Used by `--background`; no effect in nanoBragg.", ""),
    "-4stol": ("As `-stol`.", ""),
    "-Q": ("As `-stol`.", ""),
    "-density": ("As `-stol`.", ""),
    "-MW": ("As `-stol`.", ""),
    "-intfile": ("The header has `ADC_OFFSET`, a `;` after `DIALS_ORIGIN`, and more than 512 bytes if needed.", ""),
    "-noisefile": ("As `-intfile`.", ""),
    "-printout": ("Needs `-printout_pixel`.", ""),
    "-printout_pixel": ("Prints the trace of that pixel, in the form of `nbnumba trace`.", ""),
    "-trace_pixel": ("As `-printout_pixel`, slow index first; a flag of instrumented builds.", ""),
    "-progress": ("A bar, on a terminal only.", ""),
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
