"""Makes docs/gallery.md and its pictures, docs/gallery/*.png: ``python docs/make_gallery.py``.

Every picture is made by the commands printed beside it, run in an empty folder that holds only what ``nbnumba demo``
writes and the files printed on the page. Pictures have 16 grey levels, so that noise does not make them large.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":  # the checkout need not be installed
    sys.path.insert(0, str(HERE.parent))

if TYPE_CHECKING:
    import numpy as np

#: What all commands share: the demo's crystal, 1e12 photons in a beam of 1 micrometre, no files but those named.
CRYSTAL = "-hkl demo/lysozyme.hkl -cell 79.1 79.1 37.9"
BEAM = "-lambda 1.2 -flux 1e12 -exposure 1 -beamsize 0.001"
DETECTOR = "-distance 120 -pixel 0.172 -detpixels 512 -oversample 1"
SHARED = f"{CRYSTAL} {BEAM} {DETECTOR}"
SIDE = 512

PINK = """# pink.txt: energy (eV), weight
11600 0.10
11700 0.25
11800 0.50
11900 0.80
12000 1.00
12100 0.60
12200 0.15
"""
GEOM = """; four.geom
photon_energy = 10332
clen = 0.12
res = 5814
{panels}"""
_PANELS = (("a", -256, -256, 0.0), ("b", 6, -262, 0.02), ("c", -262, 8, -0.015), ("d", 8, 4, 0.0))


def geom_text() -> str:
    """A CrystFEL geometry of four panels, two of them turned a little about the beam."""
    lines = []
    for n, (name, corner_x, corner_y, turn) in enumerate(_PANELS):
        fast, slow = 248 * (n % 2), 248 * (n // 2)
        lines += [
            "",
            f"{name}/min_fs = {fast}",
            f"{name}/max_fs = {fast + 247}",
            f"{name}/min_ss = {slow}",
            f"{name}/max_ss = {slow + 247}",
            f"{name}/corner_x = {corner_x}",
            f"{name}/corner_y = {corner_y}",
            f"{name}/fs = +1.0x {turn:+}y",
            f"{name}/ss = {-turn:+}x +1.0y",
        ]
    return GEOM.format(panels="\n".join(lines[1:]) + "\n")


@dataclass(frozen=True)
class Plate:
    """A picture: its name, headline, description, commands, the function that draws it, and files the commands read."""

    name: str
    title: str
    text: str
    commands: tuple[str, ...]
    draw: Callable[[], np.ndarray]
    files: tuple[tuple[str, str], ...] = ()


def run(*more: str) -> str:
    """A command as the page prints it."""
    return f"nbnumba run $SHARED {' '.join(more)}"


def whole(name: str = "noiseimage.img", pedestal: float = 40.0) -> Callable[[], np.ndarray]:
    """Draws a whole SMV image."""

    def draw() -> np.ndarray:
        return picture(_smv(name) - pedestal)

    return draw


def part(name: str, fast: int, slow: int, side: int) -> Callable[[], np.ndarray]:
    """Draws a square of a float image whose rows have 512 pixels, enlarged."""

    def draw() -> np.ndarray:
        return picture(_floats(name)[slow : slow + side, fast : fast + side])

    return draw


def quarters(names: tuple[str, ...], fast: int, slow: int, side: int) -> Callable[[], np.ndarray]:
    """Draws the same square of four float images, each on a grey scale of its own."""

    def draw() -> np.ndarray:
        import numpy as np

        tiles = [picture(_floats(name)[slow : slow + side, fast : fast + side], SIDE // 2 - 2) for name in names]
        return np.block([[_framed(tiles[0]), _framed(tiles[1])], [_framed(tiles[2]), _framed(tiles[3])]])

    return draw


def panels(name: str) -> Callable[[], np.ndarray]:
    """Draws the four panels of a NumPy file at their positions, as seen against the beam."""

    def draw() -> np.ndarray:
        import numpy as np
        from scipy.ndimage import map_coordinates

        images = np.load(name).astype(float)
        slow, fast = np.mgrid[0:SIDE, 0:SIDE] - (SIDE - 1) / 2
        sheet = np.full((SIDE, SIDE), np.nan)
        for image, (_, x, y, turn) in zip(images, _PANELS, strict=True):
            length = 1 + turn**2
            f = ((fast - x) + turn * (slow - y)) / length
            s = ((slow - y) - turn * (fast - x)) / length
            inside = (f >= 0) & (s >= 0) & (f < 248) & (s < 248)
            sheet[inside] = map_coordinates(image, [s[inside] - 0.5, f[inside] - 0.5], order=0, mode="nearest")
        grey = picture(np.nan_to_num(sheet))
        return np.where(np.isnan(sheet), 176, grey)

    return draw


def _smv(name: str) -> np.ndarray:
    from nbnumba.io.smv import read_smv

    return read_smv(Path(name)).data.astype(float)


def _floats(name: str) -> np.ndarray:
    import numpy as np

    return np.fromfile(name, np.float32).reshape(SIDE, SIDE).astype(float)


def picture(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Grey levels (uint8, dark spots on white) of an image, each pixel repeated to about ``side``.

    White is the 0.5th percentile, black the 99.7th; asinh makes weak spots visible.
    """
    import numpy as np

    low = np.percentile(image, 0.5)
    high = max(np.percentile(image, 99.7), low + 1e-9 * (image.max() - low), low + 1e-30)
    level = np.clip(np.arcsinh(8 * (image - low) / (high - low)) / np.arcsinh(8), 0, 1)
    times = max(round(side / max(image.shape)), 1)
    return np.kron((255 * (1 - level)).astype(np.uint8), np.ones((times, times), np.uint8))[:side, :side]


def _framed(tile: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.pad(tile, 2, constant_values=120)


SHAPES = ("square", "round", "gauss", "tophat")
PLATES = (
    Plate(
        "still",
        "A still",
        "A perfect crystal of 15 x 15 x 30 cells in a monochromatic, parallel beam: expected photons, no noise. The "
        "fringes between spots are those of a crystal with flat faces.",
        (run("-misset 12 34 56 -Na 15 -Nb 15 -Nc 30 -floatfile still.bin"),),
        part("still.bin", 0, 0, 256),
    ),
    Plate(
        "rotation",
        "A rotation image",
        "One degree in 20 steps, 1e14 photons on the crystal and 0.3 µm of water, with photon noise.",
        (
            run(
                "-misset 12 34 56 -N 25 -gauss_xtal -oversample 2 -flux 1e14 -osc 1 -phisteps 20 -mosaic 0.2 -mosaic_domains 20",
                "-water 0.3 -seed 1 --physics correct -noisefile rotation.img",
            ),
        ),
        whole("rotation.img"),
    ),
    Plate(
        "mosaic",
        "A mosaic crystal",
        "The still with 200 blocks over 3 degrees: spots become arcs about the beam.",
        (
            run(
                "-misset 12 34 56 -N 15 -gauss_xtal -mosaic 3 -mosaic_domains 200",
                "--physics correct -floatfile mosaic.bin",
            ),
        ),
        part("mosaic.bin", 0, 0, 256),
    ),
    Plate(
        "divergence",
        "Divergence and dispersion",
        "4 mrad of divergence in 5 x 5 directions and 2 % of dispersion in 9 wavelengths: spots become larger and longer "
        "along the radius.",
        (
            run(
                "-misset 12 34 56 -N 15 -gauss_xtal -divergence 4 -divsteps 5 -dispersion 2 -dispsteps 9",
                "--physics correct -floatfile divergence.bin",
            ),
        ),
        part("divergence.bin", 0, 0, 256),
    ),
    Plate(
        "pink",
        "A pink beam",
        "An undulator's harmonic as a list of energies and weights, with a steep edge at high energy.",
        (
            run(
                "-misset 12 34 56 -N 30 -gauss_xtal --spectrum pink.txt -lambda 1.0386 -mosaic 0.1 -mosaic_domains 20",
                "--physics correct -floatfile pink.bin",
            ),
        ),
        part("pink.bin", 0, 0, 256),
        files=(("pink.txt", PINK),),
    ),
    Plate(
        "thick",
        "A thick sensor",
        "1 mm of silicon with an attenuation depth of 300 µm, in 10 layers, hit at up to 35 degrees: spots have tails "
        "away from the beam.",
        (
            run(
                "-misset 12 34 56 -N 15 -gauss_xtal -distance 60 -Xbeam 0 -Ybeam 0 -mosaic 1 -mosaic_domains 50",
                "-detector_thick 1000 -detector_abs 300 -thicksteps 10 --physics correct -floatfile thick.bin",
            ),
        ),
        part("thick.bin", 100, 100, 128),
    ),
    Plate(
        "shapes",
        "Four shapes",
        "The same spots of 8 x 8 x 16 cells as `-square_xtal`, `-round_xtal` (above), `-gauss_xtal` and "
        "`-tophat_spots` (below).",
        tuple(
            run(
                f"-misset 12 34 56 -Na 8 -Nb 8 -Nc 16 --physics correct -{shape}_{'spots' if shape == 'tophat' else 'xtal'}",
                f"-floatfile {shape}.bin",
            )
            for shape in SHAPES
        ),
        quarters(tuple(f"{shape}.bin" for shape in SHAPES), 160, 300, 84),
    ),
    Plate(
        "panels",
        "Four panels",
        "A detector of four panels from a CrystFEL geometry; grey: no detector. The picture shows the panels of the "
        "NumPy file at their positions.",
        (
            "nbnumba run --geometry four.geom -hkl demo/lysozyme.hkl -cell 79.1 79.1 37.9 -flux 1e12 -exposure 1 "
            "-beamsize 0.001 -misset 12 34 56 -N 15 -gauss_xtal -mosaic 0.5 -mosaic_domains 30 -oversample 1 "
            "-seed 1 --physics correct --npy four.npy",
        ),
        panels("four.npy"),
        files=(("four.geom", geom_text()),),
    ),
)

HEAD = """# Gallery

Pictures and page are made by `docs/make_gallery.py`; do not edit by hand. Bright pixels are dark in the pictures; grey levels
are linear for weak and logarithmic for strong pixels. `nbnumba demo` writes `demo/lysozyme.hkl`, the structure factors of all
pictures. The commands share

```sh
SHARED='{crystal} \\
        {beam} \\
        {detector}'
```
"""


def _folded(command: str, width: int = 100) -> str:
    lines, line = [], ""
    for word in command.split(" "):
        if line and len(line) + len(word) + 3 > width:
            lines.append(line + " \\")
            line = "    " + word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join([*lines, line])


def make_text() -> str:
    """Text of the page."""
    text = HEAD.format(crystal=CRYSTAL, beam=BEAM, detector=DETECTOR)
    for plate in PLATES:
        text += f"\n## {plate.title}\n\n{plate.text}\n"
        for _, content in plate.files:
            text += f"\n```text\n{content}```\n"
        text += "\n```sh\n" + "\n".join(_folded(command) for command in plate.commands) + "\n```\n"
        text += f"\n![{plate.title}](gallery/{plate.name}.png)\n"
    return text


def make_pictures(folder: Path) -> None:
    """Run all commands in a temporary folder, and write the pictures into ``folder``."""
    from PIL import Image

    from nbnumba.cli.main import main
    from nbnumba.data import lysozyme_text

    folder.mkdir(exist_ok=True)
    back = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            Path("demo").mkdir()
            Path("demo/lysozyme.hkl").write_text(lysozyme_text())
            for plate in PLATES:
                for name, content in plate.files:
                    Path(name).write_text(content)
                for command in plate.commands:
                    words = shlex.split(command.replace("$SHARED", SHARED))
                    if main([*words[1:], "--quiet"]):
                        raise SystemExit(f"{plate.name}: {command}")
                image = Image.fromarray(plate.draw().astype("uint8")).quantize(16)
                image.save(folder / f"{plate.name}.png", optimize=True)
        finally:
            os.chdir(back)


if __name__ == "__main__":
    (HERE / "gallery.md").write_text(make_text(), encoding="utf-8")
    make_pictures(HERE / "gallery")
