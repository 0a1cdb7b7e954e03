"""What is noticed about text lists: parts of a sphere, and nothing about complete ones or sparse samples."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from nbnumba.data import lysozyme_text
from nbnumba.io.hkl import parse_hkl, read_hkl
from nbnumba.io.list_checks import contrast, incomplete, looks_like_intensities
from nbnumba.io.lists.table import read_list
from nbnumba.io.symmetry import expand_to_p1
from tests.conftest import GOLDEN
from tests.io.reflection_inputs import CELLS, amplitudes, make_asu


def sphere(name: str) -> tuple[np.ndarray, np.ndarray]:
    """All reflections of P1, with the F of a group."""
    miller = make_asu(name)
    return expand_to_p1(miller, amplitudes(miller), None, gemmi.SpaceGroup(name))


@pytest.mark.parametrize("name", CELLS)
def test_complete_spheres_are_silent(name):
    assert incomplete(*sphere(name)) is None


@pytest.mark.parametrize("path", sorted((GOLDEN / "inputs").glob("*.hkl")), ids=lambda path: path.stem)
def test_golden_inputs_are_silent(path):
    assert incomplete(*read_hkl(path)) is None
    assert not looks_like_intensities(*read_hkl(path))
    assert read_list(path).notes == ()


def test_demo_is_silent():
    indices, F = parse_hkl(lysozyme_text(), "lysozyme")
    assert incomplete(indices, F) is None
    assert looks_like_intensities(indices, F) is False
    assert looks_like_intensities(indices, F**2) is True


@pytest.mark.parametrize("name", CELLS)
def test_asymmetric_units_have_no_mates(name):
    miller = make_asu(name)
    assert "none of its" in incomplete(miller, amplitudes(miller))


HALVES = {
    "h >= 0": lambda h, k, l: h >= 0,
    "k >= 0": lambda h, k, l: k >= 0,
    "l <= 0": lambda h, k, l: l <= 0,
    "strictly half": lambda h, k, l: (l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h > 0)))),
    "l > 0": lambda h, k, l: l > 0,
    "oblique": lambda h, k, l: h + k + l > 0,
}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["P 1 21 1", "P 31 2 1"])
def test_half_spheres(name, half):
    rows, F = sphere(name)
    keep = HALVES[half](*rows.T)
    assert "Friedel mate: -hkl takes" in incomplete(rows[keep], F[keep])


PARTS = {
    "one octant": (lambda h, k, l: (h >= 0) & (k >= 0) & (l >= 0), "Friedel mate"),
    "an octant and its mate": (lambda h, k, l: (h * k >= 0) & (k * l >= 0) & (h * l >= 0), "only 2 of the 8 octants"),
    "two octants and their mates": (lambda h, k, l: h * k >= 0, "only 4 of the 8 octants"),
    "all but an octant and its mate": (
        lambda h, k, l: ~((h > 0) & (k > 0) & (l > 0) | (h < 0) & (k < 0) & (l < 0)),
        "6 of the 8",
    ),
    "a sixth is missing": (lambda h, k, l: (3 * h + 5 * k + 7 * l) % 6 != 2, "reflections lack the "),
    "Friedel pairs are missing": (
        lambda h, k, l: np.abs(3 * h + 5 * k + 7 * l) % 9 != 1,
        "reflections lack the mate by a",
    ),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", ["P 43 21 2", "C 2 2 21", "I 21 3"])
def test_parts_of_a_sphere(name, part):
    rows, F = sphere(name)
    chosen, said = PARTS[part]
    keep = chosen(*rows.T)
    assert said in incomplete(rows[keep], F[keep])


def test_measured_gaps_are_silent():
    """Where F(+) and F(-) differ, and some were not measured, a list is what the experiment gave."""
    rows, F = sphere("P 1 21 1")
    random = np.random.default_rng(3)
    measured = F * random.normal(1, 0.05, len(F))
    keep = random.random(len(F)) > 0.1
    assert incomplete(rows[keep], measured[keep]) is None
    assert incomplete(rows[keep], F[keep]) is not None


def test_samples_and_short_lists_are_silent():
    rows, F = sphere("P 43 21 2")
    few = np.random.default_rng(2).permutation(len(F))[: len(F) // 8]
    assert incomplete(rows[few], F[few]) is None
    assert incomplete(np.array([[1, 2, 3], [4, 5, 6], [0, 0, 0]]), np.ones(3)) is None
    assert incomplete(np.repeat([[1, 2, 3], [2, 1, 1]], 4, axis=0), np.ones(8)) is None
    assert contrast(rows[:50], F[:50]) is None


@pytest.mark.parametrize("centric", [False, True])
def test_wilson_distributions(centric):
    """Intensities of centric reflections are squares of normal deviates, of acentric ones exponential; F are their roots."""
    rows = make_asu("P 1 21 1", 1.6)
    random = np.random.default_rng(5)
    I = random.normal(0, 30, len(rows)) ** 2 if centric else random.exponential(900, len(rows))
    assert looks_like_intensities(rows, I) is True
    assert contrast(rows, I) == pytest.approx(1 / 2 if centric else 1 / 3, abs=0.015)  # some 3000 pairs
    assert contrast(rows, np.sqrt(I)) == pytest.approx(0.273 if centric else 0.142, abs=0.015)
    assert not looks_like_intensities(rows, np.sqrt(I))
    falling = np.exp(-20 * (rows**2).sum(axis=1) / (rows**2).sum(axis=1).max())
    assert contrast(rows, I * falling) == pytest.approx(contrast(rows, I), abs=0.05)
    I[::5] = 0  # absences that are listed do not count
    assert not looks_like_intensities(rows, np.sqrt(I))


def test_indices_beyond_what_an_integer_key_holds():
    rows = np.array([[1000000, 1, 1], [-1000000, -1, -1], [1, 2, 3], [-1, -2, -3], [5, 0, 1], [-5, 0, -1]])
    assert incomplete(rows, np.arange(6.0)) is None
