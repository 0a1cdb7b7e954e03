"""Files with which CrystFEL goes on from a refined experiment: solutions for ``--indexing=file``, and a geometry file.

CrystFEL's frame has z along the beam. An experiment whose beam is within ``_ALONG_Z`` of that, as those that begin with
CrystFEL's files are, keeps its axes but for the smallest rotation that puts its beam on z; others get the axes of NeXus
(:mod:`nbnumba.model.frames`), y up.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbnumba.errors import ConfigError
from nbnumba.io.files import atomic_write
from nbnumba.model.experiment import Experiment
from nbnumba.model.frames import MCSTAS, to_imgcif
from nbnumba.model.vectors import rotate_axis

#: Cosine of the largest angle between z and a beam that is along z but for its refinement (10 degrees).
_ALONG_Z = math.cos(math.radians(10))
#: CrystFEL's limits for names, and for the crystals of an image.
_MOST_LETTERS, _MOST_CRYSTALS = 255, 16
#: Lattice type, centring, and the unique axis where the type has one.
_LATTICE = re.compile(r"[aocr][PABCIFRH]|[mth][PABCIFRH][abc*?]")


@dataclass(frozen=True, kw_only=True, eq=False)
class SolEntry:
    """A crystal for :func:`write_sol`.

    Attributes
    ----------
    image : path
        Name of the file, as CrystFEL's list of images has it.
    event : str
        Event in the file; ``//``: the file has one image.
    reciprocal : (3, 3) float
        a*, b*, c* as columns (1/Å) in CrystFEL's frame, as they stand in the image (:func:`crystfel_reciprocal`).
    shift_mm : (float, float)
        By how much the detector stands further along x and y than its geometry file says.
    lattice : str
        Type (a, m, o, t, c, r, h), centring, and for m, t and h the unique axis: ``tPc``.
    """

    image: str | Path
    event: str = "//"
    reciprocal: np.ndarray
    shift_mm: tuple[float, float] = (0.0, 0.0)
    lattice: str = "aP"


def to_crystfel(experiment: Experiment) -> np.ndarray:
    """Rotation (3, 3) from the laboratory axes of an experiment to CrystFEL's."""
    beam = experiment.detector.frame.beam
    if beam[2] < _ALONG_Z:
        return MCSTAS @ to_imgcif(experiment)
    x, y, _ = beam
    K = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])  # of the rotation about beam x z
    return np.eye(3) + K + K @ K / (1 + beam[2])


def crystfel_reciprocal(experiment: Experiment) -> np.ndarray:
    """a*, b*, c* of an experiment as columns (1/Å) in CrystFEL's frame, in the middle of the exposure."""
    scan = experiment.scan
    direct = rotate_axis(experiment.crystal.direct, experiment.detector.frame.spindle, scan.start + scan.osc / 2)
    # the image is that of a, b, c; an odd rule of the reference gives oblique cells other a*, b*, c*
    return np.linalg.inv(direct @ to_crystfel(experiment).T)


def write_sol(path: Path | str, entries: Iterable[SolEntry]) -> None:
    """Write a solution file for ``indexamajig --indexing=file --fromfile-input-file=FILE``.

    A line has the image, the event, a*, b*, c* (nm^-1), the shift of the detector (mm) and the lattice, single blanks
    between them.

    Raises
    ------
    ConfigError
        CrystFEL could not read a line, or would leave it out.
    FileError
        The file cannot be written.
    """
    lines, counts = [], Counter[tuple[str, str]]()
    for entry in entries:
        image, event = str(entry.image), entry.event or "//"
        _check(image, event, entry)
        counts[image, event] += 1
        if counts[image, event] > _MOST_CRYSTALS:
            raise ConfigError(
                f"a solution file can have {_MOST_CRYSTALS} crystals of an image: {image} {event} has more"
            )
        vectors = " ".join(f"{value:+.10f}" for value in (10 * entry.reciprocal).T.ravel())
        shift = " ".join(f"{value:.6f}" for value in entry.shift_mm)
        lines.append(f"{image} {event} {vectors} {shift} {entry.lattice}\n")
    with atomic_write(path) as handle:
        handle.write("".join(lines).encode())


def _check(image: str, event: str, entry: SolEntry) -> None:
    """Raise ConfigError if CrystFEL could not read the line of an entry."""
    numbers = (*np.ravel(entry.reciprocal), *entry.shift_mm)
    if np.shape(entry.reciprocal) != (3, 3) or len(entry.shift_mm) != 2 or not np.isfinite(numbers).all():
        raise ConfigError(f"the solution of {image} needs 9 + 2 finite numbers, got {numbers}")
    if not image.strip() or any(sign in image for sign in "\r\n") or len(image.encode()) > _MOST_LETTERS:
        raise ConfigError(f"the name of an image in a solution file is one line of 1 to 255 bytes, got {image[:80]!r}")
    if re.search(r"[\s,]", event) or len(event.encode()) > _MOST_LETTERS:
        raise ConfigError(f"an event in a solution file has neither blanks nor commas, got {event[:80]!r}")
    if not _LATTICE.fullmatch(entry.lattice):
        raise ConfigError(f"a lattice in a solution file is like aP, oC, mPb or tIc, got {entry.lattice!r}")
