"""``nbnumba demo``: simulate one realistic still of the crystal in ``nbnumba.data``, and draw it."""

from __future__ import annotations

import os
from pathlib import Path

from nbnumba.cli import report
from nbnumba.cli.build import build
from nbnumba.cli.parse import parse
from nbnumba.cli.run import progress_bar
from nbnumba.data import lysozyme_text
from nbnumba.errors import FileError
from nbnumba.io.files import atomic_write, cause, together
from nbnumba.output.sinks.picture import draw
from nbnumba.output.writing import write_outputs
from nbnumba.render.simulate import simulate

#: A nanocrystal of 18 x 18 x 36 cells in a focused X-ray laser pulse of 1e12 photons, 0.1 micrometres wide, in a water
#: jet; mosaicity and bandwidth give the spots their shape.
FLAGS = """
-cell 79.1 79.1 37.9 90 90 90 -misset 12 34 56 -Na 18 -Nb 18 -Nc 36 -mosaic 0.5 -mosaic_domains 150
-lambda 1.2 -dispersion 0.3 -dispsteps 3 -polar 0.95 -flux 1e12 -exposure 1 -beamsize 0.0001 -water 0.4
-distance 160 -pixel 0.172 -detpixels_x 1024 -detpixels_y 1024 -oversample 1 -seed 1 --physics correct
""".split()
BEAMSTOP_MM = 4.0


def demo(folder: Path, device: str = "auto") -> None:
    """Write ``lysozyme.hkl``, the images made from it, and the picture ``lysozyme.png`` into ``folder``.

    Raises
    ------
    FileError
        The folder or a file in it cannot be written.
    """
    report.set_up_log(quiet=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {folder}: {cause(error)}") from error
    names = {"-hkl": "lysozyme.hkl", "-dump": "Fdump.bin", "-floatfile": "lysozyme.bin"}
    names |= {"-intfile": "lysozyme.img", "-noisefile": "lysozyme_noise.img"}
    files = [word for flag, name in names.items() for word in (flag, os.fspath(folder / name))]
    with atomic_write(folder / "lysozyme.hkl") as handle:
        handle.write(lysozyme_text().encode())
    simulation, outputs, _ = build(parse([*files, "-nopgm", *FLAGS]))
    picture = folder / "lysozyme.png"
    with progress_bar(wanted=True) as progress:
        result = simulate(simulation, device=device, progress=progress)
    with together():
        written = write_outputs(result, outputs)
        draw(
            picture,
            result.image if written.noise is None else written.noise,
            result.experiment,
            title="Lysozyme nanocrystal, one X-ray laser pulse",
            beamstop_mm=BEAMSTOP_MM,
        )
    _tell(result, written, folder, picture, files)


def _tell(result, written, folder: Path, picture: Path, files: list[str]) -> None:
    experiment = result.experiment
    panel = experiment.panel
    steps = panel.spixels * panel.fpixels * experiment.steps
    cells = " x ".join(map(str, experiment.crystal.N))
    seconds = result.timings["render"]
    report.say(
        [
            f"crystal:  {cells} cells of P43212 lysozyme (synthetic structure factors to 2 Å), "
            f"{len(experiment.crystal.umats)} mosaic domains, {len(experiment.sources.wavelengths)} wavelengths",
            f"image:    {panel.fpixels} x {panel.spixels} pixels, {steps / 1e6:.0f} million steps in {seconds:.2f} s "
            f"({result.plan.kernel} kernel on {result.device}, {result.threads} threads)",
            f"noise:    {written.noise_photons:.4g} photons drawn, {written.noise_overloads} pixels overloaded",
            f"files:    {', '.join(path.name for path in written.files)} in {folder}/",
            f"picture:  {picture}",
            "the same: nbnumba run " + " ".join([*files, "-nopgm", *FLAGS]),
        ]
    )
