"""Files of a refinement beside the table of spots: the model for DIALS, and refined structure factors."""

from __future__ import annotations

from pathlib import Path

from nbnumba.io.files import atomic_write
from nbnumba.model.experiment import Experiment, resolve
from nbnumba.output.expt import CountRange, file_axes, write_expt
from nbnumba.refinement.refined import Refined

#: Counts from which on a pixel is saturated, where nothing else is known.
SATURATION = 65535.0


def write_refined_expt(path: Path, refined: Refined, image: str, number: int | None = None) -> list[Experiment]:
    """Write the refined model, with the axes of the start; returns the experiment of every lattice.

    Parameters
    ----------
    image : str
        Name of the image.
    number : int, optional
        Which image of its file, from 1.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    begun, options = refined.settings[0].experiment, refined.target.options
    experiments = [resolve(one) for one in refined.simulations]
    index = max((number or 1) - 1, 0)
    largest = SATURATION if options.saturation is None else options.saturation
    counts = CountRange(options.offset, options.gain, (-1.0 - options.offset, largest - options.offset))
    write_expt(path, experiments, [image] * len(experiments), counts, [index] * len(experiments), file_axes(begun))
    return experiments


def write_amplitudes(path: Path, refined: Refined) -> None:
    """Refined structure factors as text: h k l F sigma, one reflection of the asymmetric unit in each line.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    assert refined.amplitudes is not None
    with atomic_write(path) as handle:
        for row in refined.amplitudes:
            handle.write(f"{row['h']} {row['k']} {row['l']} {row['F']:.6g} {row['sigma']:.6g}\n".encode())
