"""Time of an image beside its kernel, for one image after another of a rotating crystal: one core, 256 x 256 pixels.

``python -m bench.overhead [--images 300]``. For each image a :class:`nbnumba.Renderer` is updated with another orientation and
renders into the same array. The time of the kernel's function is subtracted; the rest is checks, geometry, choice of the
kernel and Python. Structure factors come from a file and from an atomic model, which are read when the renderer is made.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

import nbnumba as nb
from nbnumba.data import lysozyme_text

#: Most milliseconds of an image beside its kernel.
LIMIT_MS = 1.0


def simulation(**factors: Any) -> nb.Simulation:
    """A small still of a crystal of ten cells a side, one domain."""
    return nb.Simulation(
        crystal=nb.Crystal(cell=(79.1, 79.1, 37.9), misset_deg=(1.0, 2.0, 3.0), Na=10, Nb=10, Nc=10),
        beam=nb.Beam(wavelength_A=1.0, fluence=1e24),
        detector=nb.Detector(distance_mm=150, fpixels=256, spixels=256, pixel_mm=0.3),
        structure_factors=nb.StructureFactors(write_dump=False, **factors),
        sampling=nb.Sampling(oversample=1),
    )


def some_atoms() -> gemmi.Structure:
    """A hundred carbon atoms in a tetragonal cell."""
    structure, model, chain = gemmi.Structure(), gemmi.Model("1"), gemmi.Chain("A")
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(79.1, 79.1, 37.9, 90, 90, 90), "P 43 21 2"
    rng = np.random.default_rng(1)
    for number in range(100):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(str(number + 1))
        atom.name, atom.element, atom.b_iso = "CA", gemmi.Element("C"), 20.0
        atom.pos = gemmi.Position(*(rng.random(3) * (79.1, 79.1, 37.9)))
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    return structure


def measure(renderer: nb.Renderer, images: int) -> tuple[float, float]:
    """Median milliseconds of an image beside its kernel, and of the kernel."""
    launcher = renderer._panels[0]._launcher  # type: ignore[attr-defined]
    run, kernel = launcher.run, [0.0]

    def timed(*arguments: Any, **named: Any) -> None:
        start = time.perf_counter()
        run(*arguments, **named)
        kernel[0] += time.perf_counter() - start

    launcher.run = timed
    out, others, kernels = renderer.new_image(), [], []
    for number in range(images):
        kernel[0] = 0.0
        start = time.perf_counter()
        renderer.update(misset_deg=(1.0, 2.0, 3.0 + 0.01 * number))
        renderer.render(out)
        others.append(time.perf_counter() - start - kernel[0])
        kernels.append(kernel[0])
    return 1e3 * statistics.median(others), 1e3 * statistics.median(kernels)


def main() -> None:
    """Entry point."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=300)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hkl, model = Path(folder, "lysozyme.hkl"), Path(folder, "atoms.cif")
        hkl.write_text(lysozyme_text())
        some_atoms().make_mmcif_document().write_file(str(model))
        for source, factors in (("a file", {"hkl": hkl}), ("a model", {"model": model, "model_dmin_A": 2.0})):
            renderer = nb.Renderer(simulation(**factors), device="cpu", threads=1)
            beside, kernel = measure(renderer, chosen.images)
            verdict = "" if beside <= LIMIT_MS else f", above the limit of {LIMIT_MS:g} ms"
            print(f"overhead per image, F from {source}: {beside:.2f} ms beside {kernel:.2f} ms of the kernel{verdict}")


if __name__ == "__main__":
    main()
