"""The page of figures: docs/stress.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.campaigns.stress.check import LIMITS, Verdict

KERNELS = {
    "fast32": "fast32, as `auto` takes it",
    "fast64": "fast64",
    "spots": "spots",
    "double": "general, `--precision double`",
    "definition": "general in float64, against its definition",
}
#: Words that tell what an experiment is about.
FEATURES = {
    "square crystals": "-square_xtal",
    "round": "-round_xtal",
    "gauss": "-gauss_xtal",
    "tophat": "-tophat_spots",
    "mosaic spread": "-mosaic",
    "rotation": "-osc",
    "divergence": "-hdivrange",
    "dispersion": "-dispersion",
    "source file": "-sourcefile",
    "spectrum": "--spectrum",
    "sensor": "-detector_thick",
    "curved": "-curved_det",
    "point pixels": "-point_pixel",
    "tilt": "-detector_rotx",
    "two-theta": "-twotheta",
    "own axes": "-spindle_axis",
    "orientation matrix": "-mat",
    "interpolation": "-interpolate",
    "-oversample_thick": "-oversample_thick",
    "-oversample_polar": "-oversample_polar",
    "-oversample_omega": "-oversample_omega",
    "resolution limit": "-dmin",
    "water": "-water",
    "mask": "-mask",
    "region": "-roi",
    "no polarization": "-nopolar",
    "correct physics": "--physics",
}

TEXT = """# Numerics under stress

Made by `python -m tests.campaigns.stress --count {count} --seed {seed} --table docs/stress.md` on two cores of an AMD
EPYC; do not edit by hand. Each experiment is a whole command line drawn at random (`tests/campaigns/stress/draw.py`):
every flag that changes an image, 1 to 10 000 cells along an axis of 2 to 2000 Å, wavelengths of 0.05 to 50 Å, distances
of 1 mm to 100 m, any tilt. Nine in ten have 4 x 4 to 48 x 40 pixels; one in ten has some ten million steps,
for which `auto` takes float32 phases where its error bound allows them.

{drawn} experiments, {refused} of them refused with a message (mostly a detector that lies behind the crystal), {black}
of them black. **Every image is finite, and {verdict}.**

| kernel | images | median | 99 % | worst | limit |
| --- | --- | --- | --- | --- | --- |
{rows}

The figure is the largest difference from the general kernel in float64, over the brightest pixel of the image, even
where no Bragg peak lies in it. Images are stored as float32, which is worth 6e-8. The last row holds the general kernel's
vector code against `kernels/formulas/pixel.py`, pixel by pixel: its limit is {definition:.0e}, and where the definition itself moves
by more when the last bits of cell and beam change, {factor} times that (N h of ten thousand cells of a huge cell has no
more digits).

## Worst cases

{worst}

`FOLDER` holds the experiment's files: `python -m tests.campaigns.stress --seed {seed} --only NAME` draws them again,
prints the command and leaves the files. What such runs have found stands as named tests in `tests/campaigns/test_stress.py`.

## What was drawn

| | experiments | | experiments | | experiments |
| --- | --- | --- | --- | --- | --- |
{features}
"""


def write_table(
    path: Path, seed: int, verdicts: dict[str, Verdict], commands: dict[str, list[str]], refused: int
) -> None:
    """Write the page."""
    from tests.campaigns.stress.check import UNCERTAIN, is_beyond

    rows, worst = [], []
    for kernel, label in KERNELS.items():
        found = sorted((v.errors[kernel], name) for name, v in verdicts.items() if kernel in v.errors)
        if not found:
            continue
        errors = np.array([error for error, _ in found])
        figures = " | ".join(f"{x:.1e}" for x in (np.median(errors), np.percentile(errors, 99), errors[-1]))
        rows.append(f"| {label} | {len(errors)} | {figures} | {LIMITS[kernel]:.0e} |")
        name = found[-1][1]
        worst.append(f"- {label}, {found[-1][0]:.1e}, `{name}`: `nbnumba run {shown(commands[name])}`")
    beyond = sum(any(is_beyond(v, kernel) for kernel in v.errors) for v in verdicts.values())
    counted = [(label, sum(word in words for words in commands.values())) for label, word in FEATURES.items()]
    cells = [f"{label} | {n}" for label, n in counted]
    cells += ["|"] * (-len(cells) % 3)
    path.write_text(
        TEXT.format(
            count=len(verdicts) + refused,
            seed=seed,
            drawn=len(verdicts) + refused,
            refused=refused,
            black=sum("double" not in v.errors and not v.problems for v in verdicts.values()),
            verdict=f"{beyond} beyond its limit" if beyond else "none is beyond its limit",
            rows="\n".join(rows),
            worst="\n".join(worst),
            definition=LIMITS["definition"],
            factor=UNCERTAIN,
            features="\n".join(f"| {' | '.join(cells[i : i + 3])} |" for i in range(0, len(cells), 3)),
        )
    )


def shown(words: list[str]) -> str:
    """A command line whose files lie in FOLDER."""
    return " ".join(f"FOLDER/{Path(word).name}" if word.startswith("/") else word for word in words)
