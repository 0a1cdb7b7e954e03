"""The demo's crystal: symmetry of P 43 21 2, absences, Wilson statistics, and that the script makes the stored file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nbnumba import data
from nbnumba.data import make_lysozyme


@pytest.fixture(scope="module")
def sphere() -> tuple[np.ndarray, np.ndarray]:
    return data.lysozyme()


@pytest.fixture(scope="module")
def lookup(sphere) -> np.ndarray:
    """F by h, k, l (negative indices from the end); -1 where there is no reflection."""
    indices, F = sphere
    box = np.full(tuple(2 * np.abs(indices).max(axis=0) + 1), -1.0)
    box[tuple(indices.T)] = F
    return box


def test_whole_sphere_once(sphere):
    indices, F = sphere
    assert indices.dtype == np.int32 and F.dtype == np.float64 and F.shape == (len(indices),)
    assert len(np.unique(indices, axis=0)) == len(indices)
    cell = np.array(data.LYSOZYME_CELL[:3])
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in (40, 40, 20)), indexing="ij"), -1).reshape(-1, 3)
    inside = grid[((grid / cell) ** 2).sum(axis=1) <= 1 / 2.0**2]
    assert np.array_equal(indices, inside)  # both ascending


def test_symmetry_of_the_space_group(sphere, lookup):
    indices, F = sphere
    for rotation, _ in make_lysozyme.OPERATIONS:
        turned = indices @ np.array(rotation)
        assert np.array_equal(lookup[tuple(turned.T)], F)
    assert np.array_equal(lookup[tuple(-indices.T)], F)


def test_operations_form_a_group():
    operations = {(r, tuple(t)) for r, t in make_lysozyme.OPERATIONS}
    for r1, t1 in make_lysozyme.OPERATIONS:
        for r2, t2 in make_lysozyme.OPERATIONS:
            rotation = np.array(r1) @ np.array(r2)
            shift = (np.array(r1) @ np.array(t2) + np.array(t1)) % 4
            assert (tuple(map(tuple, rotation.tolist())), tuple(shift.tolist())) in operations
        assert round(np.linalg.det(r1)) == 1


def test_absences(sphere):
    indices, F = sphere
    h, k, l = indices.T
    axial = ((h == 0) & (k == 0) & (l % 4 != 0)) | ((k == 0) & (l == 0) & (h % 2 != 0))
    axial |= (h == 0) & (l == 0) & (k % 2 != 0)
    assert axial.sum() == 2 * (14 + 20 + 20)  # l to 18, h and k to 39
    assert np.array_equal(F == 0, axial)


def test_wilson_statistics(sphere):
    indices, F = sphere
    unique = (indices[:, 0] >= indices[:, 1]) & (indices[:, 1] >= 0) & (indices[:, 2] >= 0) & (F > 0)
    unique &= (indices != 0).any(axis=1)
    hkl = indices[unique]
    epsilon, centric, _ = make_lysozyme.classify(hkl)
    E_sq = F[unique] ** 2 / (epsilon * make_lysozyme.mean_intensity(hkl))
    acentric = E_sq[~centric]
    # about 7000 acentric and 1500 centric: the fourth moments scatter by 0.05 and 0.25; four of these for the first
    assert len(acentric) > 6000 and centric.sum() > 1000
    assert acentric.mean() == pytest.approx(1.0, abs=0.05)
    assert (acentric**2).mean() / acentric.mean() ** 2 == pytest.approx(2.0, abs=0.2)
    centrics = E_sq[centric]
    assert (centrics**2).mean() / centrics.mean() ** 2 == pytest.approx(3.0, abs=0.8)
    assert (acentric < 0.01).mean() == pytest.approx(0.01, abs=0.005)  # 1 - exp(-0.01) are nearly extinct


def test_absolute_scale(sphere, lookup):
    indices, F = sphere
    d = 1 / np.sqrt(np.maximum(((indices / np.array(data.LYSOZYME_CELL[:3])) ** 2).sum(axis=1), 1e-12))
    # 8 x 1001 atoms of 7 electrons give sqrt(sum f^2) near 600; scattering falls with angle and B, and the solvent
    # takes most of the rest away at low angle
    assert 61_024 < lookup[0, 0, 0] < 120_000
    rms = [np.sqrt((F[(d > lo) & (d <= hi)] ** 2).mean()) for lo, hi in ((15, 70), (4, 6), (2.0, 2.1))]
    assert 250 < rms[1] < 600
    assert rms[0] < rms[1] and rms[2] < rms[1] / 2


def test_form_factors_end_at_the_number_of_electrons():
    for _, electrons, *gauss in make_lysozyme.ATOMS.values():
        assert sum(gauss[0:8:2]) + gauss[8] == pytest.approx(electrons, abs=0.006)  # quality of the published fits


def test_script_makes_the_stored_file(tmp_path):
    stored = Path(data.__file__).with_name("lysozyme_asu.hkl").read_bytes()
    subprocess.run([sys.executable, "-m", "nbnumba.data.make_lysozyme", str(tmp_path / "new.hkl")], check=True)
    assert (tmp_path / "new.hkl").read_bytes() == stored
    assert len(stored) < 400_000


def test_written_file_holds_everything(tmp_path, sphere):
    (tmp_path / "P1.hkl").write_text(data.lysozyme_text())
    read = np.loadtxt(tmp_path / "P1.hkl")
    assert np.array_equal(read[:, :3], sphere[0])
    assert np.array_equal(read[:, 3], sphere[1])
