"""Acceptance tests of sources, of numbers that are chosen, and of the fluence."""

from __future__ import annotations

import numpy as np
import pytest

from tests.acceptance.programs import CUBIC, experiment, facts, render

SMALL = f"{CUBIC} -detpixels 64 -oversample 1 -N 5"


def test_src_001_source_file(folder, figure):
    """The file's wavelengths are used, its weights are not."""
    (folder / "two.txt").write_text("-10 0 0 1 1.0e-10\n-10 0.02 0 5 1.2e-10\n")
    flags = f"{SMALL} -lambda 1.1"
    both = experiment(f"{flags} -sourcefile two.txt")
    assert both.steps == 2
    image = render(f"{flags} -sourcefile two.txt")
    alone = []
    for line in ("-10 0 0 1 1.0e-10", "-10 0.02 0 1 1.2e-10"):
        (folder / "one.txt").write_text(line + "\n")
        alone.append(render(f"{flags} -sourcefile one.txt"))
    # the polarization is that of the first source
    off = np.abs(image - (alone[0] + alone[1]) / 2).max() / image.max()
    (folder / "same.txt").write_text("-10 0 0\n-10 0.02 0\n")
    ignored = np.abs(render(f"{flags} -sourcefile same.txt") - image).max() / image.max()
    figure("AT-SRC-001", f"mean of both sources {off:.0e} off; with -lambda for both {ignored:.1g}, of the maximum")
    assert off < 1e-4 < 0.01 < ignored


CHOSEN = [
    ("-hdivstep 0.5", "hdivrange_rad", "hdivstep_rad", 5e-4, 5e-4, "sources", 2),
    ("-hdivrange 0.5", "hdivrange_rad", "hdivstep_rad", 5e-4, 5e-4, "sources", 2),
    ("-hdivsteps 4", "hdivrange_rad", "hdivstep_rad", 1.0, 0.25, "sources", 4),
    ("-dispersion 2", "dispersion_percent", "dispsteps", 2.0, 2, "sources", 2),
    ("-dispsteps 4", "dispersion_percent", "dispsteps", 0.0, 1, "sources", 1),
    ("-detector_thick 300", "detector_thick_m", "detector_thickstep_um", 3e-4, 150.0, "detector_thicksteps", 2),
    ("-detector_thicksteps 5", "detector_thick_m", "detector_thickstep_um", 0.0, 0.0, "detector_thicksteps", 1),
    ("-phisteps 4", "phi_start_deg", "phi_end_deg", 0.0, 1.0, "phisteps", 4),
    ("-osc 0.6", "phi_start_deg", "phi_end_deg", 0.0, 0.6, "phisteps", 2),
    ("-phistep 0.5", "phi_start_deg", "phi_end_deg", 0.0, 0.5, "phisteps", 2),
]


def test_src_002_chosen_numbers(figure):
    right = 0
    for flags, first, second, range_, step, count, number in CHOSEN:
        found = facts(f"{SMALL} {flags}")
        assert (found[first], found[second], found[count]) == (
            pytest.approx(range_, rel=1e-12),
            pytest.approx(step, rel=1e-12),
            number,
        ), flags
        right += 1
    figure("AT-SRC-002", f"{right} of {len(CHOSEN)} as the C program")


def test_flu_001_fluence_and_clipping(figure):
    flags = f"{CUBIC} -detpixels 16 -oversample 1 -xtalsize 0.001 -flux 1e12 -exposure 0.5 -beamsize 0.0005 -fluence 7"
    found = experiment(flags)
    wanted = 1e12 * 0.5 / 0.5e-6**2
    clipped = [text for text in found.warnings if "clipped to the beam" in text]
    figure("AT-FLU-001", f"{abs(found.fluence / wanted - 1):.0e} of the fluence off; N = {found.crystal.N}")
    assert found.fluence == pytest.approx(wanted, rel=1e-14)
    assert tuple(found.crystal.N) == (100, 50, 50) and len(clipped) == 2
