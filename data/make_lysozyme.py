"""Make ``lysozyme_asu.hkl``: invented structure factors of a crystal like tetragonal hen egg-white lysozyme.

No value is measured. Cell, space group, composition and atomic form factors are those of lysozyme; the amplitudes are
random numbers with the statistics of a real crystal:

- mean intensity ``epsilon * sum(f^2) * exp(-2 B stol^2)`` over the atoms of the cell (A. J. C. Wilson, Nature 150
  (1942) 152), f from the four-Gaussian fits of Cromer & Mann (International Tables C, table 6.1.1.4);
- acentric intensities exponentially distributed, centric ones as the square of a normal deviate (Wilson, Acta Cryst. 2
  (1949) 318);
- contrast against the solvent between the molecules, ``(1 - 0.75 exp(-200 stol^2))`` on F (Babinet's principle; Moews &
  Kretsinger, J. Mol. Biol. 91 (1975) 201);
- F(000) is the number of electrons in the cell, solvent included.

Run ``python -m nbnumba.data.make_lysozyme`` to write the file again; the result is the same, byte for byte.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

CELL = (79.1, 79.1, 37.9)  # Å, all angles 90 degrees
D_MIN_A = 2.0
B_A2 = 20.0
SOLVENT_K, SOLVENT_B_A2 = 0.75, 200.0
SOLVENT_DENSITY = 0.334  # electrons / Å^3 of water
MOLECULE_VOLUME_A3 = 17_600.0  # 14.3 kDa at 1.23 Å^3 / Da
SEED = 1965  # the year of the structure

#: Atoms of one molecule, 8 in the cell: number, electrons, then a1 b1 a2 b2 a3 b3 a4 b4 c (b in Å^2).
ATOMS = {
    "C": (613, 6, 2.31, 20.8439, 1.02, 10.2075, 1.5886, 0.5687, 0.865, 51.6512, 0.2156),
    "H": (959, 1, 0.489918, 20.6593, 0.262003, 7.74039, 0.196767, 49.5519, 0.049879, 2.20159, 0.001305),
    "N": (193, 7, 12.2126, 0.0057, 3.1322, 9.8933, 2.0125, 28.9975, 1.1663, 0.5826, -11.529),
    "O": (185, 8, 3.0485, 13.2771, 2.2868, 5.7011, 1.5463, 0.3239, 0.867, 32.9089, 0.2508),
    "S": (10, 16, 6.9053, 1.4679, 5.2034, 22.2151, 1.4379, 0.2536, 1.5863, 56.172, 0.8669),
}
MOLECULES = 8

#: P 43 21 2: rotation by rows, then translation in quarters of the cell.
OPERATIONS = (
    (((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0, 0, 0)),
    (((-1, 0, 0), (0, -1, 0), (0, 0, 1)), (0, 0, 2)),
    (((0, -1, 0), (1, 0, 0), (0, 0, 1)), (2, 2, 3)),
    (((0, 1, 0), (-1, 0, 0), (0, 0, 1)), (2, 2, 1)),
    (((-1, 0, 0), (0, 1, 0), (0, 0, -1)), (2, 2, 3)),
    (((1, 0, 0), (0, -1, 0), (0, 0, -1)), (2, 2, 1)),
    (((0, 1, 0), (1, 0, 0), (0, 0, -1)), (0, 0, 0)),
    (((0, -1, 0), (-1, 0, 0), (0, 0, -1)), (0, 0, 2)),
)


def asymmetric_unit() -> np.ndarray:
    """Indices with h >= k >= 0 and l >= 0 to ``D_MIN_A``, absences included; (n, 3) int, ordered."""
    limits = [int(length / D_MIN_A) for length in CELL]
    hkl = np.stack(np.meshgrid(*(np.arange(n + 1) for n in limits), indexing="ij"), axis=-1).reshape(-1, 3)
    return hkl[(hkl[:, 0] >= hkl[:, 1]) & (squared_length(hkl) <= D_MIN_A**-2)]


def squared_length(hkl: np.ndarray) -> np.ndarray:
    """``1 / d^2`` in 1/Å^2."""
    return ((hkl / np.array(CELL)) ** 2).sum(axis=-1)


def classify(hkl: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``epsilon`` (number of operations that leave h k l unchanged), whether it is centric, whether it is absent."""
    epsilon = np.zeros(len(hkl), int)
    centric = np.zeros(len(hkl), bool)
    absent = np.zeros(len(hkl), bool)
    for rotation, quarters in OPERATIONS:
        turned = hkl @ np.array(rotation)
        same = (turned == hkl).all(axis=1)
        epsilon += same
        centric |= (turned == -hkl).all(axis=1)
        # such an operation multiplies F by exp(2 pi i h.t), so F is 0 unless h.t is whole
        absent |= same & (hkl @ np.array(quarters) % 4 != 0)
    return epsilon, centric, absent


def mean_intensity(hkl: np.ndarray) -> np.ndarray:
    """Wilson's mean of F^2 for epsilon = 1, in squared electrons."""
    stol_sq = squared_length(hkl) / 4
    total = np.zeros(len(hkl))
    for number, _, a1, b1, a2, b2, a3, b3, a4, b4, c in ATOMS.values():
        f = c + sum(a * np.exp(-b * stol_sq) for a, b in ((a1, b1), (a2, b2), (a3, b3), (a4, b4)))
        total += MOLECULES * number * f**2
    contrast = 1 - SOLVENT_K * np.exp(-SOLVENT_B_A2 * stol_sq)
    return total * np.exp(-2 * B_A2 * stol_sq) * contrast**2


def electrons_in_cell() -> float:
    """F(000) of protein and solvent: the number of electrons in the cell."""
    protein = MOLECULES * sum(atom[0] * atom[1] for atom in ATOMS.values())
    solvent_volume = float(np.prod(CELL)) - MOLECULES * MOLECULE_VOLUME_A3
    return protein + SOLVENT_DENSITY * solvent_volume


def make_table() -> str:
    """The text of the file: ``h k l F`` per line."""
    hkl = asymmetric_unit()
    epsilon, centric, absent = classify(hkl)
    # RandomState, not Generator: NumPy promises that its numbers never change
    real, imaginary = np.random.RandomState(SEED).standard_normal((len(hkl), 2)).T
    wilson = np.where(centric, real**2, (real**2 + imaginary**2) / 2)
    F = np.sqrt(np.where(absent, 0.0, epsilon * mean_intensity(hkl) * wilson))
    F[(hkl == 0).all(axis=1)] = electrons_in_cell()
    return "".join(f"{h} {k} {l} {amplitude:.2f}\n" for (h, k, l), amplitude in zip(hkl.tolist(), F, strict=True))


def main() -> None:
    """Write the file beside this script, or to the path on the command line."""
    parser = argparse.ArgumentParser(description="Write the structure factors of the demo's crystal.")
    parser.add_argument("path", nargs="?", type=Path, default=Path(__file__).with_name("lysozyme_asu.hkl"))
    parser.parse_args().path.write_bytes(make_table().encode())


if __name__ == "__main__":
    main()
